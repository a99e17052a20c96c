"""The engine that writes: one SQLite file, one writer at a time, nothing half done.

Every write transaction begins IMMEDIATE, so that it never finds the lock taken half way. WAL lets readers go on.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from store import tables as _tables  # noqa: F401 - declares the tables on the metadata
from store.errors import StoreBusy, StoreError, StoreForeign
from store.location import sqlite_path
from store.version import APPLICATION_ID, SCHEMA_VERSION
from sqlmodel import SQLModel

BUSY_S = 10
"""How long a writer waits for another one."""


def open_engine(url: str) -> tuple[Engine, Path]:
    """An engine on the store at a URL, made and brought to this schema if it is new, and the path of its file.

    Raises: StoreForeign if the file is another program's, damaged, or of another schema version; StoreBusy if it is
    locked; StoreError if it cannot be made.
    """
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be made: {error.strerror}") from None
    engine = create_engine(
        "sqlite://", creator=lambda: _connect(path), poolclass=NullPool
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with plain_errors(path):
        with engine.begin() as connection:
            _prepare(connection, path)
        # WAL cannot be turned on inside a transaction, and only once the file is known to be ours.
        with closing(_connect(path)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
    return engine, path


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    for pragma in ("foreign_keys = ON", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


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
    except OperationalError as error:
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            raise StoreBusy(f"{path} is locked by another program: try again when it is done") from None
        raise StoreError(f"{path}: {text}") from None
    except DatabaseError as error:
        text = str(error.orig)
        if "malformed" in text or "not a database" in text:
            raise StoreForeign(f"{path} is not a usable SQLite database: {text}") from None
        raise StoreError(f"{path}: {text}") from None
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from None
