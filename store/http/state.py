"""Whether a store still says what it said: asked before every answer, so it costs next to nothing."""

import sqlite3
import time
from collections.abc import Callable

from store.errors import StoreError
from store.location import is_postgres, sqlite_path

AGAIN_S = 0.5
"""How long a server of PostgreSQL is not asked again."""
_NEWEST = """
SELECT (SELECT max(id) FROM poll), (SELECT max(id) FROM verdict),
    (SELECT max(known_to) FROM span WHERE known_to IS NOT NULL)
"""


def state_of(url: str) -> Callable[[], object]:
    """Tells, whenever it is called, something that is another thing once the store says something else."""
    return _of_server(url) if is_postgres(url) else _of_file(url)


def _of_file(url: str) -> Callable[[], object]:
    """The file, and the count of what other connections committed to it."""
    path = sqlite_path(url)
    held: list[tuple[tuple[int, int], sqlite3.Connection]] = []

    def state() -> object:
        try:
            found = path.stat()
            if not held or held[0][0] != (found.st_dev, found.st_ino):
                for _, connection in held:
                    connection.close()
                address = f"{path.absolute().as_uri()}?mode=ro"
                connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
                held[:] = [((found.st_dev, found.st_ino), connection)]
            (version,) = held[0][1].execute("PRAGMA data_version").fetchone()
        except (OSError, sqlite3.Error):
            return object()  # equal to nothing: the answer will say what is wrong
        return held[0][0], version

    return state


def _of_server(url: str) -> Callable[[], object]:
    told: list[tuple[float, object]] = []

    def state() -> object:
        if not told or time.monotonic() - told[0][0] > AGAIN_S:
            from store.read import open_store

            try:
                with open_store(url) as reader:
                    newest: object = reader.row(_NEWEST)
            except StoreError:
                newest = object()
            told[:] = [(time.monotonic(), newest)]
        return told[0][1]

    return state
