"""A store in PostgreSQL: how it is reached, what its errors say, and how it is read.

Imported for a store whose URL asks for it, and for no other. What is said of it never holds a password.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from store.errors import (
    NoResources,
    QueryError,
    StoreBusy,
    StoreConflict,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
    no_handle,
)
from store.read import Reader, Row, Value
from store.version import VERSION_TABLE, check_version

try:
    import psycopg
    from psycopg import errors, sql
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:
    raise StoreError(f"a store in PostgreSQL needs psycopg ({error}): pip install 'tokentape[postgres]'") from None

CONNECT_S = 10
"""How long to wait for a server, unless the URL says otherwise (`?connect_timeout=`)."""
FETCHED = 2000
"""Rows of a long answer that are fetched at once."""

_PORT = re.compile(r"[0-9,]*", re.ASCII)
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")
_FOUND = f"""
SELECT to_regclass('{VERSION_TABLE}') IS NOT NULL, EXISTS (
    SELECT 1 FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS (
        SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""  # noqa: S608 - put together from constants only
"""Whether there is a store, and whether there is anything, what belongs to an extension aside."""

_SIZE = """
SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""


def parameters_of(url: str) -> dict[str, Any]:
    """The parameters of a connection, by the names that libpq gives them.

    Raises: StoreError if the URL is none; it says nothing of it, since a mistyped URL may show its password anywhere.
    """
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    try:
        given = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):
        given = None
    # A password that is not escaped may be read as a part of anything else.
    if given is None or authority.count("@") > 1 or "@" in path or not _PORT.fullmatch(str(given.get("port", ""))):
        raise StoreError(
            "the store's URL cannot be understood: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
            " and %XX for every character in it that is not a letter or a digit"
        )
    return given


def name_of(url: str) -> str:
    """How messages name a store: its URL without the password, and without options."""
    given = {key: str(value) for key, value in parameters_of(url).items()}
    user = f"{quote(given['user'])}@" if "user" in given else ""
    hosts, ports = given.get("host", "").split(","), given.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    database = quote(given.get("dbname", ""))
    if hosts[0].startswith(("/", "@")):  # the folder of a socket, which cannot stand where a host does
        port = f":{ports[0]}" if ports[0] else ""
        return f"postgresql://{user}{port}/{database}?host={hosts[0]}"
    places = (f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{user}{','.join(places)}/{database}"


def database_of(url: str) -> str:
    """The name of the database; PostgreSQL takes the user's where a URL has none."""
    given = parameters_of(url)
    return str(given.get("dbname") or given.get("user") or "postgres")


def connect(url: str) -> "psycopg.Connection[Row]":
    """A new connection.

    Raises: psycopg.Error (see `told`).
    """
    given: dict[str, Any] = {"connect_timeout": CONNECT_S, "application_name": "tokentape"} | parameters_of(url)
    return psycopg.connect(**given | {"client_encoding": "utf8"})


def told(name: str, error: BaseException | None) -> StoreError:
    """What a user can act on, of what PostgreSQL or the way to it says."""
    if not isinstance(error, psycopg.Error):
        return StoreError(f"{name}: {error}")
    text = error.diag.message_primary or str(error)
    kind: type[StoreError] = StoreError
    said = f"{name}: {text}" if error.sqlstate else f"{name} cannot be reached: {text}"
    match error:
        case errors.DeadlockDetected() | errors.SerializationFailure() | errors.QueryCanceled():
            kind, said = StoreConflict, f"{name} broke it off: {text}"
        case errors.DiskFull():
            kind = StoreFull
        case errors.LockNotAvailable():
            kind, said = StoreBusy, f"{name} is locked by another program: try again when it is done"
        case errors.TooManyConnections() | errors.CannotConnectNow():
            kind, said = StoreBusy, f"{name} is busy: {text}"
        case errors.UndefinedTable() | errors.UndefinedColumn():
            kind, said = StoreForeign, f"store {name} is damaged: {text}"
        case errors.InvalidCatalogName() | errors.AdminShutdown() | errors.CrashShutdown():
            kind = StoreUnreachable
        case _ if not error.sqlstate and (why := no_handle()):
            kind, said = NoResources, f"{name} cannot be reached: {why}"
        case _ if not error.sqlstate:
            kind = StoreUnreachable
    return kind(said)


def stored_version(connection: "psycopg.Connection[Any]", name: str) -> int | None:
    """The schema of the store that a connection reaches; None if there is nothing at all.

    Raises: StoreForeign if there is something else.
    """
    (ours, something) = connection.execute(_FOUND).fetchone() or (False, True)
    if not ours:
        if something:
            raise StoreForeign(f"{name} is not a tokentape store: name a database or a schema that is empty")
        return None
    row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    if row is None:
        raise StoreForeign(f"store {name} is damaged: {VERSION_TABLE} is empty")
    return int(row[0])


@contextmanager
def open_reader(url: str, *, any_schema: bool, within_s: float | None = None) -> Iterator["PostgresReader"]:
    """A reader of the store at a URL; of this schema, unless any will do. No statement takes longer than `within_s`.

    Raises: StoreMissing, StoreForeign, StoreBusy, StoreError, TooSlow.
    """
    name = name_of(url)
    with _told(name):
        connection = connect(url)
    try:
        with _told(name):
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.prepare_threshold = 1
            # Compiling a statement takes longer than any of ours does; what is streamed is read to its end.
            connection.execute("SET LOCAL jit = off; SET LOCAL cursor_tuple_fraction = 1")
            if within_s is not None:
                connection.execute(f"SET LOCAL statement_timeout = {int(within_s * 1000)}")
            version = stored_version(connection, name)
        if version is None:
            raise StoreMissing(f"no store at {name}: run `tokentape collect`")
        if not any_schema:
            check_version(name, version)
        yield PostgresReader(url, name, connection, version)
    finally:
        connection.close()


class PostgresReader(Reader):
    """Runs questions in one read-only transaction, which sees the store as it was when it began."""

    def __init__(self, url: str, name: str, connection: "psycopg.Connection[Row]", version: int) -> None:
        super().__init__(url, name, version)
        self._connection = connection
        self._streams = 0

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> Iterator[Row]:
        """The rows of a statement, fetched at once."""
        with _told(self.name):
            found = self._connection.execute(_translated(sql), values or {}).fetchall()
        yield from found

    def stream(self, sql: str, values: Mapping[str, Value] | None = None) -> Iterator[Row]:
        """The rows of a statement, fetched a part at a time; other statements may be run meanwhile."""
        self._streams += 1
        with _told(self.name), self._connection.cursor(f"stream_{self._streams}") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(_translated(sql), values or {})
            for row in cursor:  # noqa: UP028 - see `SqliteReader.rows`
                yield row

    def line(self, columns: Sequence[str]) -> str:
        """By `format`, which writes nothing for NULL."""
        return f"format(E'{','.join(['%s'] * len(columns))}\\n', {', '.join(columns)})"

    def csv(self, columns: Sequence[str], rest: str) -> Iterator[str]:
        """Lines made by COPY."""
        command = f"COPY (SELECT {', '.join(columns)} {rest}) TO STDOUT (FORMAT csv)"
        with _told(self.name), self._connection.cursor().copy(sql.SQL(command)) as copy:
            for block in copy:
                yield bytes(block).decode()

    def engine(self) -> str:
        """The engine and its version."""
        return f"PostgreSQL {self._connection.info.parameter_status('server_version')}"

    def size(self) -> int:
        """Bytes of the tables of this schema, with their indexes."""
        ((size,),) = self.rows(_SIZE)
        return int(size)


@lru_cache(maxsize=256)
def _translated(statement: str) -> "sql.SQL":
    """A statement with `:name` for its parameters, as psycopg takes it."""
    text = _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))
    return sql.SQL(text)


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError:
        raise QueryError("a name in the question is not valid Unicode") from None
    except psycopg.DataError as error:
        raise QueryError(f"a name in the question cannot be in any store: {error}") from None
    except psycopg.Error as error:
        raise told(name, error) from error
