"""The database that is written: SQLite or PostgreSQL, nothing half done, every error one line.

On SQLite there is one writer at a time: a write transaction begins IMMEDIATE, so that it never finds the lock taken
half way, and WAL lets readers go on. On PostgreSQL there is one writer at a time per source (`lock_source`); writers of
different sources go on beside each other.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Insert, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from store import seal, tables
from store.errors import NoResources, StoreBusy, StoreError, StoreForeign, StoreFull, no_handle
from store.location import is_postgres, sqlite_path
from store.version import APPLICATION_ID, SCHEMA_VERSION, check_version

BUSY_S = 10.0
"""How long a writer waits for another one."""

_MAKING = 0x746F6B74
"""Key of the advisory lock under which a schema is made or changed."""
_SNAPSHOT = "tokentape_snapshot"
"""Execution option of a connection that only reads."""
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_LOCK_SOURCE = text("SELECT pg_advisory_xact_lock(hashtextextended(:source, :making))")


@dataclass(frozen=True, slots=True)
class Database:
    """A database that a URL names, whether or not there is a store in it."""

    engine: Engine
    name: str
    """How messages name it."""
    path: Path | None
    """The file, on SQLite."""


def open_engine(url: str, busy_s: float = BUSY_S) -> Database:
    """The store at a URL, made if it is new.

    Raises: StoreForeign if what is there is another program's, damaged, or of another schema version; StoreBusy if it
    is locked; StoreError if it cannot be made or reached.
    """
    database = reach(url, busy_s)
    if database.path is not None:
        try:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{database.path.parent} cannot be made: {error.strerror}") from None
    with plain_errors(database.name):
        with database.engine.begin() as connection:
            version = stored_version(connection, database)
            if version is None:
                lock_schema(connection)
                version = stored_version(connection, database)  # others may make the same store
            if version is None:
                _create(connection, database)
            else:
                check_version(database.name, version)
        if database.path is not None:
            _turn_on_wal(database.path, busy_s)
    return database


def reach(url: str, busy_s: float = BUSY_S, *, foreign_keys: bool = True) -> Database:
    """The database at a URL, as it is.

    Raises: StoreError if it cannot be.
    """
    if is_postgres(url):
        from store import postgres

        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: _connect_to_server(url, busy_s), poolclass=NullPool
        )
        event.listen(engine, "do_executemany", _copy)
        return Database(engine, postgres.name_of(url), None)
    path = sqlite_path(url)
    if path.exists() and not path.is_file():
        raise StoreForeign(f"{path} is not a file, so not a store")
    engine = create_engine(
        "sqlite://", creator=lambda: _connect(path, busy_s, foreign_keys=foreign_keys), poolclass=NullPool
    )
    event.listen(engine, "begin", _begin)
    return Database(engine, str(path), path)


def _connect(path: Path, busy_s: float, *, foreign_keys: bool = True) -> sqlite3.Connection:
    # Absolute, or a file called `:memory:` would be none.
    connection = sqlite3.connect(path.absolute(), timeout=busy_s, isolation_level=None, check_same_thread=False)
    for pragma in (f"foreign_keys = {foreign_keys:d}", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    seal.enable(connection)
    return connection


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_SNAPSHOT) else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine, name: str) -> Iterator[Connection]:
    """A connection for questions, which all see the store in one state, and hold up nobody."""
    with plain_errors(name), engine.connect() as connection:
        if on_sqlite(connection):
            yield connection.execution_options(**{_SNAPSHOT: True})
        else:
            yield connection.execution_options(isolation_level="REPEATABLE READ")


def _connect_to_server(url: str, busy_s: float) -> Any:
    from store.postgres import connect

    connection = connect(url)
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = {round(busy_s * 1000)}")
    connection.autocommit = False
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


def stored_version(connection: Connection, database: Database) -> int | None:
    """The schema of what is there; None if there is nothing.

    Raises: StoreForeign if it is no store.
    """
    if database.path is None:
        from store import postgres

        return postgres.stored_version(driver(connection), database.name)

    def pragma(name: str) -> int:
        value: Any = connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        return int(value)

    application, version = pragma("application_id"), pragma("user_version")
    empty = not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    if application == 0 and version == 0 and empty:
        return None
    if application != APPLICATION_ID:
        raise StoreForeign(f"{database.name} is not a tokentape store: name another file with --store")
    return version


def _create(connection: Connection, database: Database) -> None:
    if not on_sqlite(connection):
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise StoreError(f"{database.name} is encoded in {encoding}: a store needs a database in UTF8")
    SQLModel.metadata.create_all(connection, checkfirst=False)
    connection.execute(tables.VERSION.insert(), {"version_num": f"{SCHEMA_VERSION:04}"})
    if on_sqlite(connection):
        mark(connection)
        seal.install(driver(connection))


def mark(connection: Connection) -> None:
    """Say in the head of a SQLite file what it is, so that reading needs no more."""
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def on_sqlite(connection: Connection) -> bool:
    """Whether this is SQLite."""
    return connection.dialect.name == "sqlite"


def driver(connection: Connection) -> Any:
    """The connection as the engine's own package has it."""
    return connection.connection.driver_connection


def lock_schema(connection: Connection) -> None:
    """Wait, until this transaction ends, for all who make or change the schema."""
    if not on_sqlite(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")


def lock_source(connection: Connection, source: str) -> None:
    """Wait for all who write the same source, until this transaction ends; what is read after that is what they left.

    SQLite has locked the whole file by then.
    """
    if not on_sqlite(connection):
        connection.execute(_LOCK_SOURCE, {"source": source, "making": _MAKING})


def lock_polls(connection: Connection) -> None:
    """Wait for all who write a poll, and keep them waiting until this transaction ends."""
    if not on_sqlite(connection):
        connection.exec_driver_sql("LOCK TABLE poll IN SHARE ROW EXCLUSIVE MODE")


def _copy(cursor: Any, _statement: str, parameters: Sequence[Mapping[str, Any]], context: Any) -> bool:
    """Insert many rows by COPY; False leaves any other statement to the dialect."""
    compiled = context.compiled
    if compiled is None or not isinstance(compiled.statement, Insert) or compiled.effective_returning:
        return False
    table = compiled.preparer.format_table(compiled.statement.table)
    names = list(parameters[0])
    columns = ", ".join(compiled.preparer.quote(name) for name in names)
    with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in parameters:
            copy.write_row([row[name] for name in names])
    return True


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """Turns what the database raises into one line that says what to do."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise _told(name, error.orig if isinstance(error, DBAPIError) else error) from None
    except UnicodeDecodeError as error:  # of what the database says, or holds
        raise StoreForeign(f"{name} is damaged: {error}") from None


def _told(name: str, error: BaseException | None) -> StoreError:
    if not isinstance(error, sqlite3.Error):
        from store import postgres

        return postgres.told(name, error)
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreBusy(f"{name} is locked by another program: try again when it is done")
    if "malformed" in text or "not a database" in text:
        return StoreForeign(f"{name} is not a usable SQLite database: {text}")
    if getattr(error, "sqlite_errorcode", 0) in _FULL:
        return StoreFull(f"{name}: no room is left on its disk ({text})")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN and (why := no_handle()):
        return NoResources(f"{name} cannot be opened: {why}")
    return StoreError(f"{name}: {text}")
