"""Documents of a source one after another, where each member of one is read by itself: only what changed is read.

What comes out is what reading each document as a whole gives (`collector.parse.members` says why); where that cannot
be told, the caller is asked to read it so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from collector.contract import EntryParser, SourceSpec
from collector.decode import is_plain
from collector.errors import SourceChanged
from collector.normalise import by_offer, timeless
from collector.parse.members import Cut, cut, differing
from collector.parse.strict import read_json_text
from collector.tally import Tally
from store.records import Document, Observation, Offer


class _Whole(Exception):
    """The document has to be read as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What one piece of a document says."""

    keys: frozenset[str]
    offers: Mapping[Offer, tuple[Observation, ...]]


class Entries:
    """What the document before said, piece by piece."""

    def __init__(self, parser: EntryParser, spec: SourceSpec) -> None:
        self._parser = parser
        self._spec = spec
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._cut: Cut | None = None
        self._entries: dict[bytes, _Entry] = {}
        self._gone: Mapping[bytes, _Entry] = {}
        """What the last edit took away: what takes it back brings the same again."""
        self._keys: set[str] = set()
        self._offers: set[Offer] = set()
        self._tally = Tally()

    @property
    def empty(self) -> bool:
        """There was none before."""
        return self._cut is None

    @property
    def quotes(self) -> int:
        """Observations in the document."""
        return self._tally.quotes

    def read(self, document: Document, at: datetime) -> Mapping[Offer, tuple[Observation, ...]] | None:
        """What is otherwise than in the document before: offers with all their observations, none if it has none.

        Returns: None if it has to be read as a whole.
        Raises: SourceChanged if it holds too little; it counts as never read.
        """
        found = cut(document.body) if is_plain(document) else None
        if found is None:
            return None
        old, new = differing(self._cut, found)
        fresh = sorted(set(new).difference(old))
        left = sorted(set(old).difference(new))
        if len(set(new)) != len(new):
            return None  # a key stands twice
        try:
            begun = {piece: self._gone.get(piece) or self._entry(found.text(piece), document, at) for piece in fresh}
            if found.rest != (self._cut.rest if self._cut else b""):
                if self._cut and self._cut.rest:
                    left.append(_as_object(self._cut.rest))
                if found.rest:
                    begun[_as_object(found.rest)] = self._entry(_as_object(found.rest), document, at)
            changed = self._replace(begun, {piece: self._entries[piece] for piece in left})
        except _Whole:
            return None
        self._cut = found
        return changed

    def _entry(self, text: bytes, document: Document, at: datetime) -> _Entry:
        """Raises: _Whole."""
        try:
            members = read_json_text(str(text, "utf-8"), document.source)
            if not isinstance(members, Mapping) or "error" in members or "errors" in members:
                raise _Whole
            quotes = self._parser.quotes(members, self._spec)
        except (SourceChanged, UnicodeDecodeError):
            raise _Whole from None
        if not all(map(timeless, quotes)):
            raise _Whole
        return _Entry(keys=frozenset(members), offers=by_offer(quotes, document, self._spec, at))

    def _replace(
        self, new: Mapping[bytes, _Entry], gone: Mapping[bytes, _Entry]
    ) -> Mapping[Offer, tuple[Observation, ...]]:
        """Put pieces in the place of others.

        Raises: _Whole if a key, or an offer, stands in two pieces; SourceChanged if there is too little.
        """
        if not new and not gone:
            return {}
        old_keys = {key for entry in gone.values() for key in entry.keys}
        new_keys = [key for entry in new.values() for key in entry.keys]
        before = {offer: seen for entry in gone.values() for offer, seen in entry.offers.items()}
        after = [(offer, seen) for entry in new.values() for offer, seen in entry.offers.items()]
        fresh = dict(after)
        if len(set(new_keys)) != len(new_keys) or len(fresh) != len(after):
            raise _Whole
        if any(key in self._keys and key not in old_keys for key in new_keys):
            raise _Whole
        if any(offer in self._offers and offer not in before for offer in fresh):
            raise _Whole
        if not self.quotes + sum(map(len, fresh.values())) - sum(map(len, before.values())):
            raise _Whole
        self._tally.exchange(before.values(), fresh.values())
        try:
            self._tally.expect(self._spec)
        except SourceChanged:
            self._tally.exchange(fresh.values(), before.values())
            raise
        for piece in gone:
            del self._entries[piece]
        self._gone = gone or self._gone
        self._entries.update(new)
        self._keys -= old_keys
        self._keys.update(new_keys)
        self._offers -= before.keys()
        self._offers.update(fresh)
        changed = {offer: seen for offer, seen in fresh.items() if before.get(offer) != seen}
        return changed | {offer: () for offer in before if offer not in fresh}


def _as_object(rest: bytes) -> bytes:
    """Members as an object of its own, which no piece is like: none begins with a brace."""
    return b"".join((b"{", rest, b"}"))
