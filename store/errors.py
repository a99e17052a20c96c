"""What can go wrong with a store.

StoreError
├── StoreMissing     there is no store yet: nothing has been collected
├── StoreForeign     the file is not a tokentape store, or is damaged
│   └── OtherSchema    it is of an older schema, or of a newer tokentape
├── StoreBusy        another program holds the store locked
│   └── StoreConflict  the database took back what was written, for the sake of another: it may go well the next time
├── StoreUnreachable the server of the store, or its database, is not there
├── TooSlow          a question took longer than it may
├── StoreFull        no room is left on a disk
├── NoResources      this process may open no more files
├── LeaseLost        another daemon has taken over the poll that was to be written
├── ArchiveDamaged   an archived document is missing or is not what its hash says
├── EvidenceDropped  documents that beliefs rest on were dropped, as asked for: nothing can be made anew from them
└── QueryError       a question that cannot be asked: unknown option value, instant without an offset, ...
    └── NothingMatched   a question about something that the store does not have
"""

import errno
import os

from store.text import one_line

FULL = {errno.ENOSPC, errno.EDQUOT}
NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class StoreError(Exception):
    """Base of all errors of the store: one line, printable."""

    code = "store"
    """What a poll that ends so is told by."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class StoreMissing(StoreError):
    """There is no store yet."""


class StoreForeign(StoreError):
    """The file is not a store of this version, or is damaged."""


class OtherSchema(StoreForeign):
    """The store is of another schema version."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(f"store {name} {about}")
        self.about = about
        """Which, and what to do, without naming the store."""


class StoreBusy(StoreError):
    """Another program holds the store locked."""

    code = "db_locked"


class StoreConflict(StoreBusy):
    """The database took back what was written, for the sake of another; it may go well the next time."""

    code = "db_busy"


class StoreUnreachable(StoreError):
    """The server of the store does not answer, or has no such database."""


class TooSlow(StoreError):
    """A question took longer than it may."""


class StoreFull(StoreError):
    """No room is left on a disk: reading goes on, and writing does when there is room again."""

    code = "disk_full"


class NoResources(StoreError):
    """This process, or the machine, has no file handle or no memory left; the next poll may find some."""

    code = "resources"


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


def no_handle() -> str | None:
    """Why this process can open nothing just now, which no database says of itself; None if it can."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.strerror
    return None


def unwritten(place: object, error: OSError) -> StoreError:
    """What a file that could not be written comes to."""
    kind = StoreFull if error.errno in FULL else NoResources if error.errno in NO_RESOURCES else StoreError
    return kind(f"{error.filename or place}: {error.strerror}")
