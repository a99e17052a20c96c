"""A folder of recorded documents: bodies, and an `index.jsonl` with one line for each that says what it stands for.

A line has `upstream`, `url`, `observed_at` (an instant from which on the body was current), `sha256` and `bytes` of
the decoded body, `file` (relative, gzip if it ends in `.gz`) and `content_type`. Which source it belongs to, its
address says, which is the source's own or among its `also_at`; `upstreams.json`, where there is one, names other
addresses of the same upstream. Two forms go further:

bundles
    `"bundle": true`: the answers of a whole fan-out, as `{"models": {id: answer}, "aliases": {id: id}}`. `scope` is
    `"all"`, or the list of ids that it covers; what `not_recorded` names was not asked for. See
    `collector.backfill.sweeps`.
exports
    `source` names the source itself, as `tokentape archive export` writes it. The lines of one poll stand together, the
    first document before its parts (`part`), with `status`, `etag` and `last_modified` where there are any, and on the
    first line what did not answer, as `not_recorded`.

Nothing of a folder is used before all of it that would be used is proven: each line sound, each body the one it says.
Not: what the bodies say; `collector.mend` parses them.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from collector.backfill.bundle import read_bundle
from collector.backfill.index import Row, read_row, read_texts
from collector.contract import Follower, SourceSpec
from collector.decode import BodyDecoder
from collector.errors import BackfillRefused, FetchFailed
from collector.sources import parser_of
from store.instants import iso

INDEX = "index.jsonl"
UPSTREAMS = "upstreams.json"
LONGEST_LINE = 1 << 20
"""Bytes of a line of an index: a sweep of thousands of parts, none of which answered, stays far below."""
CHUNK = 1 << 16


def fans_out(spec: SourceSpec) -> bool:
    """Whether one poll of a source has several documents."""
    return isinstance(parser_of(spec), Follower)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the lines of one poll stand in an index."""

    at: datetime
    bundle: bool
    offset: int
    """Bytes from the start of the file."""
    line: int
    count: int
    """Lines, from there on."""


@dataclass(slots=True, kw_only=True)
class Held:
    """What a folder has of one source, each in the order of its instants."""

    polls: list[Place] = field(default_factory=list)
    """Of a fan-out: its bundles, or its polls as exported."""
    firsts: list[Place] = field(default_factory=list)
    """Of a fan-out, first documents; of which each bundle takes the newest that is not newer than itself."""
    unlisted: int = 0
    """Bundles older than every first document: nothing says what a poll would have asked for."""

    def settle(self) -> None:
        """Bring all into order, once all is there."""
        self.polls.sort(key=lambda place: place.at)
        self.firsts.sort(key=lambda place: place.at)
        listed = [one for one in self.polls if not one.bundle or (self.firsts and one.at >= self.firsts[0].at)]
        self.unlisted = len(self.polls) - len(listed)
        self.polls = listed

    def add(self, row: Row, offset: int, *, first: bool) -> None:
        """A line that begins a poll, or is a first document for bundles."""
        place = Place(at=row.at, bundle=row.bundle, offset=offset, line=row.line, count=1)
        (self.firsts if first else self.polls).append(place)

    def add_part(self) -> None:
        """One more line of the poll that was added last."""
        self.polls[-1] = replace(self.polls[-1], count=self.polls[-1].count + 1)


class Folder:
    """A recorded folder, open for reading.

    Raises: BackfillRefused, on opening and on every call, for anything that is not as it should be.
    """

    def __init__(self, root: Path, *, limit: int) -> None:
        self.root = root
        self._limit = limit
        self._index = self._inside(INDEX, f"{root}")
        self._aliases = self._read_aliases()

    def survey(
        self,
        specs: Sequence[SourceSpec],
        *,
        now: datetime,
        progress: Callable[[int], None],
    ) -> tuple[dict[str, Held], Counter[str]]:
        """What there is of each source, all of it proven; and how many lines of each address no source reads.

        `progress` is called with the number of lines read.
        """
        held: dict[str, Held] = {}
        unread: Counter[str] = Counter()
        proven: set[tuple[str, str, int]] = set()
        before: Row | None = None
        with self._index.open("rb") as file:
            for offset, row in self._rows(file, 0, 1):
                if row.at > now:
                    raise self._refuse(row.line, f"observed_at: {iso(row.at)} is in the future")
                readers = [spec for spec in specs if self._reads(spec, row, fans_out=fans_out(spec))]
                if not readers:
                    unread[row.source or row.url] += 1
                elif (row.file, row.sha256, row.size) not in proven:
                    self._prove(row)
                    proven.add((row.file, row.sha256, row.size))
                for spec in readers:
                    have = held.setdefault(spec.id, Held())
                    if not row.part:
                        have.add(row, offset, first=fans_out(spec) and not row.bundle and not row.source)
                    elif before is not None and (before.source, before.at) == (row.source, row.at):
                        have.add_part()
                    else:
                        raise self._refuse(
                            row.line, f"part: {row.part} stands apart from the first document of its poll"
                        )
                before = row
                progress(row.line)
        for have in held.values():
            have.settle()
        return held, unread

    def _prove(self, row: Row) -> None:
        body = self.body(row)
        if row.bundle:
            try:
                read_bundle(body)
            except (ValueError, IndexError, RecursionError) as error:
                raise self._refuse(row.line, f"{row.file}: is not a bundle of answers: {error}") from None

    def rows(self, places: Sequence[Place]) -> Iterator[list[Row]]:
        """The lines of each place, read anew."""
        with self._index.open("rb") as file:
            for place in places:
                found = self._rows(file, place.offset, place.line)
                yield [row for _, (_, row) in zip(range(place.count), found, strict=False)]

    def body(self, row: Row) -> bytes:
        """The decoded body of a line, which is the one that it says."""
        if row.size > self._limit:
            raise self._refuse(row.line, f"bytes: {row.size} is more than the {self._limit} of http.decoded_limit")
        where = self._where(row.line)
        path = self._inside(row.file, where)
        decoded = BodyDecoder("gzip" if row.file.endswith(".gz") else "", limit=row.size, where=f"{where}: {row.file}")
        try:
            with decoded as decoder, path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    decoder.feed(chunk)
                body = decoder.finish()
        except OSError as error:
            raise self._refuse(row.line, f"{row.file}: cannot be read: {error.strerror}") from None
        except FetchFailed as error:
            raise BackfillRefused(str(error)) from None
        if len(body) != row.size:
            raise self._refuse(row.line, f"{row.file}: wanted {row.size} bytes, got {len(body)}")
        if sha256(body).hexdigest() != row.sha256:
            raise self._refuse(row.line, f"{row.file}: is not what its sha256 says")
        return body

    def _rows(self, file: BinaryIO, offset: int, number: int) -> Iterator[tuple[int, Row]]:
        """Each line from there on, with the place where it begins."""
        file.seek(offset)
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise self._refuse(number, f"is longer than {LONGEST_LINE} bytes")
            if line.strip():
                try:
                    yield offset, read_row(json.loads(line), number)
                except (ValueError, RecursionError) as error:
                    raise self._refuse(number, str(error)) from None
            offset += len(line)
            number += 1

    def _reads(self, spec: SourceSpec, row: Row, *, fans_out: bool) -> bool:
        if row.source:
            return row.source == spec.id
        if row.bundle:
            return fans_out and row.url.startswith(f"{spec.url.partition('?')[0]}/")
        return not {spec.url, *spec.also_at}.isdisjoint((row.url, *self._aliases.get(row.upstream, ())))

    def _inside(self, name: str, where: str) -> Path:
        """The ordinary file of that name, which lies in this folder and nowhere else."""
        relative = PurePosixPath(name)
        if not name.isprintable() or "\\" in name or relative.is_absolute() or ".." in relative.parts:
            raise BackfillRefused(f"{where}: {name!r} does not lie in the folder")
        path = self.root
        for part in relative.parts:
            path /= part
            if path.is_symlink():
                raise BackfillRefused(f"{where}: {name} is a symbolic link, or lies behind one")
        if not path.is_file():
            raise BackfillRefused(f"{where}: {name} is not there")
        return path

    def _read_aliases(self) -> dict[str, tuple[str, ...]]:
        if not (self.root / UPSTREAMS).exists():
            return {}
        path = self._inside(UPSTREAMS, f"{self.root}")
        try:
            with path.open("rb") as file:
                upstreams = json.loads(file.read(LONGEST_LINE))
            return {name: read_texts(entry, "aliases") for name, entry in upstreams.items()}
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise BackfillRefused(f"{path}: is not a table of upstreams: {error}") from None

    def _where(self, line: int) -> str:
        return f"{self.root / INDEX}:{line}"

    def _refuse(self, line: int, what: str) -> BackfillRefused:
        return BackfillRefused(f"{self._where(line)}: {what}")
