"""What can go wrong with a store.

StoreError
├── StoreMissing     there is no store yet: nothing has been collected
├── StoreForeign     the file is not a tokentape store, is damaged, or is of another schema version
├── StoreBusy        another program holds the store locked
├── LeaseLost        another daemon has taken over the poll that was to be written
├── ArchiveDamaged   an archived document is missing or is not what its hash says
├── EvidenceDropped  documents that beliefs rest on were dropped, as asked for: nothing can be made anew from them
└── QueryError       a question that cannot be asked: unknown option value, instant without an offset, ...
    └── NothingMatched   a question about something that the store does not have
"""

from store.text import one_line


class StoreError(Exception):
    """Base of all errors of the store: one line, printable."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class StoreMissing(StoreError):
    """There is no store yet."""


class StoreForeign(StoreError):
    """The file is not a store of this version, or is damaged."""


class StoreBusy(StoreError):
    """Another program holds the store locked."""


class LeaseLost(StoreError):
    """Another daemon has taken over the poll that was to be written."""


class ArchiveDamaged(StoreError):
    """An archived document is missing or is not what its hash says."""


class EvidenceDropped(StoreError):
    """Documents that beliefs rest on were dropped, as asked for."""


class QueryError(StoreError):
    """A question that cannot be asked."""


class NothingMatched(QueryError):
    """The store has nothing of that name; the message says what is near, or where to look."""
