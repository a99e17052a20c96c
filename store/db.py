"""The engine that writes: one SQLite file, one writer at a time, nothing half done.

Every write transaction begins IMMEDIATE, so that it never finds the lock taken half way. WAL lets readers go on.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from store import tables as _tables  # noqa: F401 - declares the tables on the metadata
from store.errors import StoreBusy, StoreError, StoreForeign
from store.location import sqlite_path
from store.version import APPLICATION_ID, SCHEMA_VERSION

BUSY_S = 10.0
"""How long a writer waits for another one."""


def open_engine(url: str, busy_s: float = BUSY_S) -> tuple[Engine, Path]:
    """An engine on the store at a URL, made and brought to this schema if it is new, and the path of its file.

    Raises: StoreForeign if the file is another program's, damaged, or of another schema version; StoreBusy if it is
    locked; StoreError if it cannot be made.
    """
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be made: {error.strerror}") from None
    if path.exists() and not path.is_file():
        raise StoreForeign(f"{path} is not a file, so not a store")
    engine = create_engine("sqlite://", creator=lambda: _connect(path, busy_s), poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with plain_errors(path):
        with engine.begin() as connection:
            _prepare(connection, path)
        _turn_on_wal(path, busy_s)
    return engine, path


def _connect(path: Path, busy_s: float) -> sqlite3.Connection:
    # Absolute, or a file called `:memory:` would be none.
    connection = sqlite3.connect(path.absolute(), timeout=busy_s, isolation_level=None, check_same_thread=False)
    for pragma in ("foreign_keys = ON", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _turn_on_wal(path: Path, busy_s: float) -> None:
    """Let readers go on while we write: outside a transaction, and only once the file is known to be ours.

    SQLite does not wait by itself until others who make the same store leave it alone for a moment.
    """
    until = time.monotonic() + busy_s
    with closing(_connect(path, busy_s)) as raw:
        while True:
            try:
                raw.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return


def _prepare(connection: Connection, path: Path) -> None:
    def pragma(name: str) -> int:
        value: Any = connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        return int(value)

    application, version = pragma("application_id"), pragma("user_version")
    empty = not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    if application == 0 and version == 0 and empty:
        SQLModel.metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif application != APPLICATION_ID:
        raise StoreForeign(f"{path} is not a tokentape store: name another file with --store")
    elif version != SCHEMA_VERSION:
        raise StoreForeign(f"{path} has schema {version}, this tokentape reads {SCHEMA_VERSION}")


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turns what the database raises into one line that says what to do."""
    try:
        yield
    except (DatabaseError, sqlite3.Error) as error:
        text = str(error.orig if isinstance(error, DatabaseError) else error)
        if "locked" in text or "busy" in text:
            raise StoreBusy(f"{path} is locked by another program: try again when it is done") from None
        if "malformed" in text or "not a database" in text:
            raise StoreForeign(f"{path} is not a usable SQLite database: {text}") from None
        raise StoreError(f"{path}: {text}") from None
