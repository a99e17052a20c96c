"""Trees of files of a source, one after another: only what changed is read, and what rests on it.

A poll of a tree is a first document that names the commit and its folders, and a document for each folder
(`collector.parse.folder`). Each is whole: it can be read without any other. An offer stands in one file and may rest on
others; which those are is noted as they are read, so that of the next tree only the files are read again that changed
or rest on one that did. What comes out is what reading each tree from the beginning gives.
"""

import json
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from collector.contract import SourceSpec, TreeParser
from collector.doubts import among
from collector.errors import SourceChanged
from collector.normalise import observe
from collector.parse.folder import LINK, File, Folder, read_folder
from collector.parse.strict import read_json
from collector.parse.toml import read_toml
from collector.tally import Tally
from store.records import Document, Observation, Offer


def is_tree(documents: Sequence[Document]) -> bool:
    """Whether documents are those of a tree, where their source has one."""
    return any(one.part for one in documents)


def listed(commit: str, folders: Sequence[str]) -> bytes:
    """The first document of a tree."""
    return json.dumps({"commit": commit, "folders": list(folders)}, indent=2).encode("ascii") + b"\n"


class _Placed(NamedTuple):
    """A file, and the folder that it is archived in."""

    part: str
    file: File


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one file says."""

    offers: Mapping[Offer, tuple[Observation, ...]]
    rests_on: frozenset[str]
    """Paths of itself and others, be they there or not."""
    fault: SourceChanged | None = None
    """Why it cannot be read."""


class _View:
    """A tree as it is read: that before, and what changed."""

    def __init__(
        self,
        source: str,
        before: Mapping[str, _Placed],
        changed: Mapping[str, _Placed | None],
        tables: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._source = source
        self._before = before
        self._changed = changed
        self._known = tables
        self.tables: dict[str, Mapping[str, Any]] = {}
        """What files say that were read anew."""
        self.asked: set[str] = set()
        """Paths that were looked at."""

    def read(self, path: str) -> Mapping[str, Any] | None:
        """As `collector.contract.Tree`."""
        way: list[str] = []
        while path not in way:
            way.append(path)
            self.asked.add(path)
            placed = self._changed[path] if path in self._changed else self._before.get(path)
            if placed is None:
                return None
            if placed.file.mode != LINK:
                return self._table(path, placed.file)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), placed.file.text))
        raise SourceChanged(f"{self._source}: {path}: leads in a circle", code="link")

    def _table(self, path: str, file: File) -> Mapping[str, Any]:
        known = None if path in self._changed else self._known.get(path)
        if known is None and (known := self.tables.get(path)) is None:
            known = self.tables[path] = read_toml(file.text, f"{self._source}: {path}")
        return known


class Trees:
    """What the tree before said, file by file."""

    def __init__(self, parser: TreeParser, spec: SourceSpec) -> None:
        self._parser = parser
        self._spec = spec
        self._folders: dict[str, Folder] = {}
        self._files: dict[str, _Placed] = {}
        self._tables: dict[str, Mapping[str, Any]] = {}
        """What files say that were read."""
        self._entries: dict[str, _Entry] = {}
        self._resting: dict[str, set[str]] = {}
        """Path -> files whose offers rest on it."""
        self._faulty: set[str] = set()
        """Files that cannot be read."""
        self._owners: Counter[Offer] = Counter()
        """In how many files an offer stands."""
        self._twice: set[Offer] = set()
        """Those that stand in more than one."""
        self._tally = Tally()

    @property
    def quotes(self) -> int:
        """Observations in the tree."""
        return self._tally.quotes

    def everything(self) -> tuple[Observation, ...]:
        """All observations of the tree."""
        entries = (self._entries[path] for path in sorted(self._entries))
        return tuple(one for entry in entries for seen in entry.offers.values() for one in seen)

    def read(self, documents: Sequence[Document], at: datetime) -> Mapping[Offer, tuple[Observation, ...]]:
        """What is otherwise than in the tree before: offers with all their observations, none if it has none.

        Raises: SourceChanged. Where a file is at fault, or too little is there, the next tree is told from this one all
            the same: what has been otherwise since the last good one, `everything` has.
        """
        parts = {one.part: one for one in documents}
        self._complete(documents)
        folders = {part: read_folder(one, self._folders.get(part)) for part, one in parts.items() if part}
        changed = self._changed(folders)
        view = _View(self._spec.id, self._files, changed, self._tables)
        touched = sorted(changed.keys() | {entry for path in changed for entry in self._resting.get(path, ())})
        fresh: dict[str, _Entry] = {}
        for path in touched:
            placed = changed[path] if path in changed else self._files[path]
            if placed is not None:
                fresh[path] = self._entry(path, view, parts[placed.part], at)
        offers = self._replace(fresh, {path: self._entries[path] for path in touched if path in self._entries})
        self._folders = folders
        for path, placed in changed.items():
            self._tables.pop(path, None)
            if placed is None:
                del self._files[path]
            else:
                self._files[path] = placed
        self._tables |= view.tables
        self._prove()
        return offers

    def _prove(self) -> None:
        """Raises: SourceChanged if the tree is not to be believed."""
        if self._faulty:
            fault = self._entries[min(self._faulty)].fault
            assert fault is not None
            raise SourceChanged(str(fault), code=fault.code)
        if self._twice:
            raise SourceChanged(f"{self._spec.id}: {' '.join(min(self._twice))} stands in two files")
        if not self.quotes:
            raise SourceChanged(f"{self._spec.id}: wanted offers, found none", code="empty")
        self._tally.expect(self._spec)

    def _complete(self, documents: Sequence[Document]) -> None:
        """Raises: SourceChanged unless there is a first document, and all folders that it names."""
        first = next((read_json(one) for one in documents if not one.part), None)
        named = first.get("folders") if isinstance(first, Mapping) else None
        if not isinstance(named, list) or named != [one.part for one in documents if one.part]:
            raise SourceChanged(f"{self._spec.id}: wanted the folders that the first document names", code="incomplete")

    def _changed(self, folders: Mapping[str, Folder]) -> dict[str, _Placed | None]:
        """Path -> file that is new or otherwise than before; None for one that is gone.

        Raises: SourceChanged if a path stands in two folders.
        """
        before: dict[str, File] = {}
        now: dict[str, _Placed] = {}
        for part in sorted(self._folders.keys() | folders.keys()):
            old, new = self._folders.get(part), folders.get(part)
            if old is new:
                continue
            if old is not None:
                before |= old.files
            for path, file in new.files.items() if new is not None else ():
                if path in now:
                    raise SourceChanged(f"{self._spec.id}: {path} stands in two folders", code="json")
                now[path] = _Placed(part, file)
        changed: dict[str, _Placed | None] = {path: None for path in before if path not in now}
        for path, placed in now.items():
            if path not in before:
                if path in self._files:
                    raise SourceChanged(f"{self._spec.id}: {path} stands in two folders", code="json")
                changed[path] = placed
            elif before[path] != placed.file:
                changed[path] = placed
        return changed

    def _entry(self, path: str, view: _View, document: Document, at: datetime) -> _Entry:
        view.asked = {path}
        offers: dict[Offer, tuple[Observation, ...]] = {}
        fault: SourceChanged | None = None
        try:
            quotes = self._parser.quotes_of(path, view, self._spec)
            for one in among(observe(quote, document, self._spec, at) for quote in quotes):
                offers[one.key.offer] = (*offers.get(one.key.offer, ()), one)
        except SourceChanged as error:
            fault = error.with_traceback(None)
        return _Entry(offers, frozenset(view.asked), fault)

    def _replace(
        self, new: Mapping[str, _Entry], gone: Mapping[str, _Entry]
    ) -> Mapping[Offer, tuple[Observation, ...]]:
        """Put what files say in the place of what they said; what that changes."""
        before = [one for entry in gone.values() for one in entry.offers.items()]
        after = [one for entry in new.values() for one in entry.offers.items()]
        self._tally.exchange([seen for _, seen in before], [seen for _, seen in after])
        self._owners.update(offer for offer, _ in after)
        self._owners.subtract(offer for offer, _ in before)
        self._twice.update(offer for offer, _ in after)
        self._twice = {offer for offer in self._twice if self._owners[offer] > 1}
        for path, entry in gone.items():
            del self._entries[path]
            for one in entry.rests_on:
                self._resting[one].discard(path)
        for path, entry in new.items():
            self._entries[path] = entry
            for one in entry.rests_on:
                self._resting.setdefault(one, set()).add(path)
        self._faulty.difference_update(gone)
        self._faulty.update(path for path, entry in new.items() if entry.fault is not None)
        was, now = dict(before), dict(after)
        return {offer: seen for offer, seen in now.items() if was.get(offer) != seen} | {
            offer: () for offer in was if offer not in now
        }
