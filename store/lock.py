"""One daemon per store, one who drops documents per archive: locks that the system releases however a process ends."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import StoreBusy, unwritten

WAL_RESET = ((3, 7, 0), (3, 51, 3))
"""From, and before: versions of SQLite in which two connections that reset a log at once may damage a store."""


def reset_danger(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str | None:
    """What is wrong with a version of SQLite, where a store has more than one writer; None if nothing is."""
    first, mended = WAL_RESET
    if not first <= version < mended:
        return None
    return f"SQLite {'.'.join(map(str, version))} may damage a store when two programs write at the same moment"


@contextmanager
def only_daemon(store: Path) -> Iterator[None]:
    """Hold the store's daemon lock (`tape.db.daemon` beside it, with the process id of its holder).

    Raises: StoreBusy, naming the process that holds it; StoreError if it cannot be written.
    """
    path = store.with_name(f"{store.name}.daemon")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unwritten(path, error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
            raise StoreBusy(f"a daemon already keeps {store}: process {holder}") from None
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def daemon_of(store: Path) -> str | None:
    """The process id of the daemon that keeps a store; None if none does."""
    try:
        handle = os.open(store.with_name(f"{store.name}.daemon"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(handle)
    return None


@contextmanager
def only_pruner(archive: Path) -> Iterator[None]:
    """Let nobody else drop documents of an archive meanwhile.

    Raises: StoreBusy if somebody does, or is making a backup.
    """
    archive.mkdir(parents=True, exist_ok=True)
    with (archive / "pruning").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreBusy(f"{archive}: another program is pruning it, or backing it up") from None
        yield
