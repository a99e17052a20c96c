"""One daemon per store: a lock that the system releases however the process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import StoreBusy


@contextmanager
def only_daemon(store: Path) -> Iterator[None]:
    """Hold the store's daemon lock (`tape.db.daemon` beside it, with the process id of its holder).

    Raises: StoreBusy, naming the process that holds it.
    """
    path = store.with_name(f"{store.name}.daemon")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
