"""A store opened for reading: standard library only on SQLite, so that a question costs no more than its answer.

One reader is one read transaction: everything it says belongs to one moment of the store, whatever is collected
meanwhile. Nothing is ever written, also where the store lies on a read-only medium.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

from store.errors import QueryError, StoreBusy, StoreError, StoreForeign, StoreMissing, TooSlow
from store.location import archive_folder, is_postgres, sqlite_path
from store.records import Facts, RateCard
from store.version import APPLICATION_ID, check_version

BUSY_TIMEOUT_S = 5.0
CARDS_KEPT = 4096
"""Rate cards, and sets of facts, held in memory by a reader; a store has a few per endpoint."""

Value = int | str | None
Row = tuple[Any, ...]

LINES_AT_ONCE = 1000
_STEPS = 10_000
"""Steps of SQLite's machine, some tenths of a millisecond, between two looks at the clock."""
_CARD = "SELECT body FROM rate_card WHERE id = :card"


class Reader(ABC):
    """Runs questions against one state of a store. Statements are text, in the SQL that all engines mean alike."""

    def __init__(self, url: str, name: str, version: int) -> None:
        self.name = name
        """How messages name the store."""
        self.version = version
        """Of its schema."""
        self._url = url
        self._cards: dict[int, RateCard] = {}
        self._facts: dict[int, Facts] = {}

    @abstractmethod
    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> Iterator[Row]:
        """The rows of a statement, `:name` for its parameters. For answers that fit in memory.

        Raises: StoreBusy, StoreForeign, StoreError; QueryError for a value that is no text.
        """

    @abstractmethod
    def stream(self, sql: str, values: Mapping[str, Value] | None = None) -> Iterator[Row]:
        """The same for an answer of any size: in constant memory, as it is read."""

    @abstractmethod
    def line(self, columns: Sequence[str]) -> str:
        """SQL: a line of CSV, of columns that hold nothing but numbers and words."""

    @abstractmethod
    def csv(self, columns: Sequence[str], rest: str) -> Iterator[str]:
        """Lines of CSV of such columns, many at a time; `rest` is the statement from FROM on."""

    @abstractmethod
    def engine(self) -> str:
        """The engine and its version."""

    @abstractmethod
    def size(self) -> int:
        """Bytes that the database takes, archive and logs aside."""

    @property
    def archive(self) -> Path:
        """The folder of the archived documents, unless another is configured."""
        return archive_folder(self._url)

    def row(self, sql: str, values: Mapping[str, Value] | None = None) -> Row | None:
        """The first row of a statement."""
        return next(self.rows(sql, values), None)

    def card(self, card_id: int) -> RateCard:
        """A stored rate card."""
        card = self._cards.get(card_id)
        if card is None:
            row = self.row(_CARD, {"card": card_id})
            if row is None:
                raise StoreForeign(f"store {self.name} is damaged: rate card {card_id} is missing")
            card = RateCard.from_text(str(row[0]))
            if len(self._cards) >= CARDS_KEPT:
                self._cards.clear()
            self._cards[card_id] = card
        return card

    def facts(self, facts_id: int, body: str) -> Facts:
        """A stored set of facts, from the text that was read with its key."""
        facts = self._facts.get(facts_id)
        if facts is None:
            try:
                facts = Facts.from_text(body)
            except (ValueError, TypeError, AttributeError) as error:
                raise StoreForeign(f"store {self.name} is damaged: facts {facts_id}: {error}") from None
            if len(self._facts) >= CARDS_KEPT:
                self._facts.clear()
            self._facts[facts_id] = facts
        return facts


class SqliteReader(Reader):
    """Runs questions in one read transaction on a file."""

    def __init__(
        self, url: str, path: Path, connection: sqlite3.Connection, version: int, within_s: float | None = None
    ) -> None:
        super().__init__(url, str(path), version)
        self.path = path
        self._connection = connection
        self._within_s = within_s
        self._until = 0.0
        if within_s is not None:
            connection.set_progress_handler(lambda: monotonic() > self._until, _STEPS)

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> Iterator[Row]:
        """The rows of a statement, as they are fetched."""
        if self._within_s is not None:
            self._until = monotonic() + self._within_s
        if values and any(isinstance(value, str) and "\0" in value for value in values.values()):
            # No text of a store has one, and what SQLite compares ends before it.
            raise QueryError("a name in the question cannot be in any store: it has a NUL character")
        with _told(self.path):
            try:
                cursor = self._connection.execute(sql, values or {})
            except UnicodeEncodeError:
                raise QueryError("a name in the question is not valid Unicode") from None
            for row in cursor:  # noqa: UP028 - it would close the cursor of an answer left half read, with its store gone
                yield row

    stream = rows

    def line(self, columns: Sequence[str]) -> str:
        """By `printf`, which writes nothing for NULL."""
        return f"printf('{','.join(['%s'] * len(columns))}\n', {', '.join(columns)})"

    def csv(self, columns: Sequence[str], rest: str) -> Iterator[str]:
        """Lines made by SQLite."""
        rows = self.rows(f"SELECT {self.line(columns)} {rest}")
        while lines := "".join(line for (line,) in islice(rows, LINES_AT_ONCE)):
            yield lines

    def engine(self) -> str:
        """The engine and its version."""
        return f"SQLite {sqlite3.sqlite_version}"

    def size(self) -> int:
        """Bytes of the file."""
        ((size,),) = self.rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(size)


@contextmanager
def open_store(url: str, *, any_schema: bool = False, within_s: float | None = None) -> Iterator[Reader]:
    """A reader of the store at a URL (see `store.location`); of this schema, unless any will do.

    `within_s`: how long a statement may take, in seconds; None: as long as it takes.
    Raises: StoreMissing, StoreForeign (no store of ours, of this version, or damaged), StoreBusy, StoreError; TooSlow,
    also while it is read.
    """
    if is_postgres(url):
        from store.postgres import open_reader

        with open_reader(url, any_schema=any_schema, within_s=within_s) as reader:
            yield reader
        return
    path = sqlite_path(url)
    if not path.exists():
        raise StoreMissing(f"no store at {path}: run `tokentape collect`")
    if not path.is_file():
        raise StoreForeign(f"{path} is not a file, so not a store")
    with _told(path):
        connection = _connect(path)
    try:
        with _told(path):
            version = _version(path, connection)
        if not any_schema:
            check_version(str(path), version)
        yield SqliteReader(url, path, connection, version, within_s)
    finally:
        connection.close()


def look_for_damage(url: str) -> None:
    """Whether a SQLite store, if there is one, is as it was written: reads all of it.

    For a question that failed as only a fault of ours should fail, and may have met what no store can hold: SQLite
    finds a number where it wrote a text, if a bit says so, and hands it on.

    Raises: StoreForeign if it is not; StoreError if it cannot be read.
    """
    from store import seal

    if is_postgres(url) or not sqlite_path(url).is_file():
        return
    path = sqlite_path(url)
    with _told(path), closing(_connect(path)) as connection:
        found = [line for (line,) in connection.execute("PRAGMA integrity_check(1)") if line != "ok"]
        if not found and seal.is_under(connection):
            found = list(islice(seal.faults(connection), 1))
    if found:
        raise StoreForeign(f"store {path} is damaged ({found[0].removeprefix('store: ')}): run `tokentape verify`")


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that has begun to read.

    A WAL database needs its side files, which cannot be made on a read-only medium or a full disk: where there is no
    log to miss, the file alone is the whole store and is read as immutable.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return _begin(address)
    except sqlite3.OperationalError as error:
        if not _nothing_to_miss(path.with_name(f"{path.name}-wal"), error):
            raise
        return _begin(f"{address}&immutable=1")


def _nothing_to_miss(log: Path, error: sqlite3.OperationalError) -> bool:
    """Whether side files could not be made, and nothing is in the log."""
    if error.sqlite_errorcode == sqlite3.SQLITE_IOERR_SHMSIZE:  # the disk is full, so nobody else is at it either
        return not log.exists() or log.stat().st_size == 0
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) and not log.exists()


def _begin(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        # A reader is used by one thread after another where an answer is streamed, and never by two at once.
        address,
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
    )
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _version(path: Path, connection: sqlite3.Connection) -> int:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise StoreForeign(f"{path} is not a tokentape store")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into what a user can act on."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told_error(path, error) from error
    except UnicodeDecodeError as error:  # of what the database says, or holds
        raise StoreForeign(f"store {path} is damaged: {error}") from None


def _told_error(path: Path, error: sqlite3.Error) -> StoreError:
    if isinstance(error, sqlite3.ProgrammingError):
        return QueryError(f"store {path} was closed before its answer was read")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return TooSlow(f"store {path}: the question takes too long: ask for less")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"store {path} is locked by another program: try again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return StoreForeign(f"store {path} cannot be read: {error}")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreForeign(f"{path} is not a tokentape store")
    return StoreForeign(f"store {path} is damaged: {error}")
