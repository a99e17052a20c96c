"""The engine: what is in force on every connection, who waits for whom, and that nothing is ever half done."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from collector.config import load, packaged
from collector.fetch import Fetcher
from collector.poll import Poller, Report, receive
from store.db import open_engine, plain_errors, reading
from store.errors import StoreBusy, StoreError, StoreForeign
from store.read import open_store
from store.records import Sighting, Verdicts
from store.timeline import Judged, Match, Patience, Rules, SourceState
from store.version import APPLICATION_ID, SCHEMA_VERSION
from store.write import KeptPoll, PollFacts, Replayed, SourceFacts, Tape
from tests.collecting import locked, rows
from tests.test_timeline import store_digest

SOURCE = SourceFacts(name="acme", trust=0, every_s=3600)
NOW = datetime(2026, 8, 22, tzinfo=UTC)
CONFIG = load(packaged(), {})
GENAI = CONFIG.sources["genai_prices"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_engine(str(tmp_path / "tape.db"), busy_s=0.2).engine
    yield made
    made.dispose()


def value(connection: Connection, pragma: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()


def polled(path: Path) -> int:
    return int(rows(path, "SELECT count(*) FROM poll")[0][0])


def failure(number: int = 0) -> PollFacts:
    return PollFacts(at=NOW + timedelta(minutes=number), outcome="failed", code="test")


# --- what is in force ---


def test_every_connection_has_what_a_store_needs(engine: Engine, tmp_path: Path) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            assert value(connection, "journal_mode") == "wal"
            assert value(connection, "foreign_keys") == 1
            assert value(connection, "synchronous") == 2, "FULL: what was reported is on disk"
            assert value(connection, "application_id") == APPLICATION_ID
            assert value(connection, "user_version") == SCHEMA_VERSION
    with closing(sqlite3.connect(tmp_path / "tape.db")) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    Tape(str(tmp_path / "tape.db")).close()
    before = (tmp_path / "tape.db").read_bytes()
    Tape(str(tmp_path / "tape.db")).close()
    assert (tmp_path / "tape.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tape.db"]


def test_many_may_make_one_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    together = threading.Barrier(8)

    def poll(number: int) -> None:
        together.wait()
        tape = Tape(str(path))
        tape.record_failure(SOURCE, failure(number), known=NOW)
        tape.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(poll, range(8)))
    assert polled(path) == 8
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]


def test_reference_to_nothing_is_refused(engine: Engine, tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="FOREIGN KEY"),
        plain_errors(str(tmp_path / "tape.db")),
        engine.begin() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO document (poll_id, part, sha256, url) VALUES (99, '', 'x', 'y')")


# --- who waits for whom ---


@pytest.mark.fault(138)
def test_a_transaction_has_the_write_lock_from_its_beginning(engine: Engine, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "tape.db", timeout=0, isolation_level=None)) as other:
        with engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


@pytest.mark.fault(138)
def test_two_writers_wait_for_each_other_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tapes = [Tape(str(path)), Tape(str(path))]

    def poll(number: int) -> None:
        tapes[number % 2].record_failure(SOURCE, failure(number), known=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(poll, range(60)))
    for tape in tapes:
        tape.close()
    assert polled(path) == 60


def test_a_writer_waits_for_another_one_that_is_done_soon(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, other.execute, ["COMMIT"])
        release.start()
        tape.record_failure(SOURCE, failure(), known=NOW)
        release.join()
    tape.close()
    assert polled(path) == 1


@pytest.mark.fault(137)
def test_a_writer_gives_up_in_the_time_it_was_given_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path), busy_s=0.2)
    calls: list[Callable[[], object]] = [
        lambda: tape.record_failure(SOURCE, failure(), known=NOW),
        lambda: open_engine(str(path), busy_s=0.2),
    ]
    with locked(path):
        assert tape.last_polls("acme").newest is None  # questions wait for nobody
        for call in calls:
            began = time.monotonic()
            with pytest.raises(StoreBusy, match=f"^{path} is locked by another program: try again when it is done$"):
                call()
            assert 0.1 < time.monotonic() - began < 5
    tape.record_failure(SOURCE, failure(), known=NOW)
    tape.close()
    assert polled(path) == 1


def test_a_new_store_that_another_program_holds_is_busy_too(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    path.touch()
    with locked(path), pytest.raises(StoreBusy):
        open_engine(str(path), busy_s=0.2)
    assert path.read_bytes() == b""


def test_readers_go_on_while_a_poll_is_written_and_see_none_of_it(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO provider (name) VALUES ('acme')")
        with open_store(str(tmp_path / "tape.db")) as reader:
            assert reader.row("SELECT count(*) FROM provider") == (0,)
    with open_store(str(tmp_path / "tape.db")) as reader:
        assert reader.row("SELECT count(*) FROM provider") == (1,)


def test_what_a_collector_asks_is_of_one_state_of_the_store_and_holds_up_no_writer(store_url: str) -> None:
    database = open_engine(store_url, busy_s=0.2)
    count = text("SELECT count(*) FROM provider")
    with reading(database.engine, database.name) as connection:
        before = connection.execute(count).scalar_one()
        with database.engine.begin() as writing:
            writing.execute(text("INSERT INTO provider (name) VALUES ('acme')"))
        assert connection.execute(count).scalar_one() == before == 0
    with reading(database.engine, database.name) as connection:
        assert connection.execute(count).scalar_one() == 1
    database.engine.dispose()


def genai_poller(tape: Tape, fetcher: Fetcher, at: datetime = NOW) -> Poller:
    return Poller(CONFIG, tape, fetcher, clock=lambda: at, environ={})


async def genai_poll(tape: Tape, at: datetime = NOW) -> Report:
    async with Fetcher(CONFIG.http, lambda: at) as fetcher:
        return await genai_poller(tape, fetcher, at).poll(GENAI)


def test_a_poll_of_a_locked_store_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path), busy_s=0.2)
    with locked(path):
        busy = asyncio.run(genai_poll(tape))
    tape.close()
    assert (busy.outcome, busy.code) == ("failed", "db_locked")
    assert (
        busy.line == f"genai_prices: failed (db_locked): {path} is locked by another program: try again when it is done"
    )
    assert polled(path) == 0


@pytest.mark.fault(137)
def test_what_was_received_for_a_store_that_is_locked_by_then_is_in_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path), busy_s=0.2)

    async def receive_then_take() -> None:
        async with Fetcher(CONFIG.http, lambda: NOW) as fetcher:
            received = await receive(GENAI, NOW, fetcher, environ={})
            with locked(path), pytest.raises(StoreBusy):
                genai_poller(tape, fetcher).take(GENAI, NOW, received)

    asyncio.run(receive_then_take())
    (pack,) = tape.archive.root.rglob("*.zst")
    assert polled(path) == 0
    assert asyncio.run(genai_poll(tape)).outcome == "ok"
    tape.close()
    assert list(tape.archive.root.rglob("*.zst")) == [pack]


# --- nothing half done ---


def test_a_failed_transaction_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    def write() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO provider (name) VALUES ('acme')")
            connection.exec_driver_sql("DROP TABLE poll")
            connection.exec_driver_sql("INSERT INTO provider (name) VALUES ('acme')")

    with pytest.raises(StoreError, match="UNIQUE"), plain_errors(str(tmp_path / "tape.db")):
        write()
    assert rows(tmp_path / "tape.db", "SELECT count(*) FROM provider") == [(0,)]
    assert polled(tmp_path / "tape.db") == 0


def test_a_poll_that_cannot_be_decided_leaves_not_even_its_row(tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "tape.db"))

    def undecided(_sighting: Sighting, _matches: Sequence[Match], _state: SourceState) -> Judged:
        raise StoreError("undecided")

    rules = Rules(judge=undecided, patience=Patience(), salt=b"")
    facts = PollFacts(at=NOW, outcome="ok", pack=tape.archive.keep(()))
    with pytest.raises(StoreError, match="undecided"):
        tape.record(SOURCE, facts, Sighting(at=NOW, complete=True), rules, known=NOW)
    tape.close()
    assert polled(tmp_path / "tape.db") == 0
    assert rows(tmp_path / "tape.db", "SELECT count(*) FROM source") == [(0,)]


def test_a_timeline_whose_rebuilding_fails_half_way_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path))
    assert asyncio.run(genai_poll(tape)).outcome == "ok"
    before = store_digest(path)
    asked: list[int] = []

    def build(kept: Sequence[KeptPoll], _verdicts: Verdicts) -> Iterator[tuple[KeptPoll, Replayed]]:
        asked.append(len(kept))
        yield from ()
        raise StoreError("half way")

    late = PollFacts(at=NOW - timedelta(hours=1), outcome="ok", pack=tape.archive.keep(()))
    source = SourceFacts(name="genai_prices", trust=2, every_s=60)
    with pytest.raises(StoreError, match="half way"):
        tape.rebuild(source, [late], build, salt=b"", known=NOW)
    tape.close()
    assert asked == [2]
    assert store_digest(path) == before
    assert len(before) > 2000


# --- damage ---


@pytest.mark.fault(133)
def test_a_damaged_store_is_told_apart_from_a_fault_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path))
    tape.record_failure(SOURCE, failure(), known=NOW)
    tape.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StoreForeign, match="malformed"):
        Tape(str(path)).record_failure(SOURCE, failure(1), known=NOW)
    path.write_bytes(b"\xff" * 100 + whole[100:])
    with pytest.raises(StoreForeign, match="not a database"):
        Tape(str(path))


@pytest.mark.fault(133)
def test_a_store_deleted_under_a_running_collector_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path))
    path.unlink()
    with pytest.raises(StoreError):
        tape.record_failure(SOURCE, failure(), known=NOW)
    tape.close()
    Tape(str(path)).close()
    assert polled(path) == 0
