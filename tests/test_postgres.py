"""What is PostgreSQL's alone: how it is reached, who waits for whom, what it refuses, and what it says of it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import IntegrityError

from collector.cli import main
from store import tables
from store.catalogue import sources
from store.db import open_engine
from store.errors import QueryError, StoreBusy, StoreError, StoreForeign
from store.location import archive_folder
from store.naming import find_model
from store.postgres import name_of
from store.read import open_store
from store.records import Observation, Sighting
from store.timeline import Judged, Match, Rules, SourceState
from store.write import PollFacts, SourceFacts, Tape
from tests.stores import Server, connected, content, rows, run
from tests.test_timeline import RULES
from tests.worlds import DOCUMENTS, card, observation

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 8, 22, tzinfo=UTC)
SOURCE = SourceFacts(name="acme", trust=0, every_s=3600)
OTHER = replace(SOURCE, name="other")
OVERLAPPING = (
    "INSERT INTO span SELECT endpoint_id, first_seen + 1, 0, NULL, card_id, facts_id, document_id, locator_id"
    " FROM span LIMIT 1"
)
EVERY = [["models"], ["sources"], ["collect"], ["daemon"], ["verify"], ["db", "status"], ["db", "upgrade"]]


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with server.database() as made:
        yield made


def failure(number: int = 0) -> PollFacts:
    return PollFacts(at=NOW + timedelta(minutes=number), outcome="failed", code="test")


def saw(*observations: Observation, number: int = 0) -> tuple[PollFacts, Sighting]:
    at = NOW + timedelta(minutes=number)
    sighting = Sighting(at=at, complete=True, documents=DOCUMENTS, observations=observations)
    return PollFacts(at=at, outcome="ok"), sighting


def after(act: Callable[[], object]) -> Rules:
    """The rules of all tests, which do something first."""

    def judge(sighting: Sighting, matches: Sequence[Match], state: SourceState) -> Judged:
        act()
        return RULES.judge(sighting, matches, state)

    return replace(RULES, judge=judge)


# --- how it is reached ---


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:hunter2@db.example:5433/tape", "postgresql://me@db.example:5433/tape"),
        (
            "postgres://me:hunter2@db.example/tape?sslmode=require&sslpassword=hunter2",
            "postgresql://me@db.example/tape",
        ),
        ("postgresql://db.example/tape?user=me&password=hunter2", "postgresql://me@db.example/tape"),
        ("postgresql://me:hunter%402@one:1,two:2/tape", "postgresql://me@one:1,two:2/tape"),
        ("postgresql://me:hunter?2@db.example/tape", "postgresql://me@db.example/tape"),
        ("postgresql:///tape?host=/run/postgresql", "postgresql:///tape?host=/run/postgresql"),
        ("postgresql://me@/tape?host=/run/postgresql&port=5433", "postgresql://me@:5433/tape?host=/run/postgresql"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_a_store_is_named_by_its_url_without_password_or_options(url: str, name: str) -> None:
    assert name_of(url) == name
    assert name_of(name) == name


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@x@db.example/tape",
        "postgresql://me:hunter/2@db.example/tape",
        "postgresql://me:hunter2/tape",
        "postgresql://me:hunter2%@db.example/tape",
        "postgresql://me@db.example/tape?hunter2=1",
        "postgresql://me:hunter2\0@db.example/tape",
        "postgresql://me:hunter2\udcff@db.example/tape",
    ],
)
def test_nothing_is_told_of_a_url_that_may_show_its_password_anywhere(url: str) -> None:
    with pytest.raises(StoreError, match="cannot be understood: write postgresql://USER:PASSWORD@") as refused:
        Tape(url)
    assert "hunter" not in str(refused.value)
    with pytest.raises(StoreError, match="cannot be understood"), open_store(url):
        pass


def ask(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["--store", url, *words], prog_name="tokentape", catch_exceptions=False)


@pytest.mark.parametrize("words", EVERY)
def test_a_server_that_is_not_there_is_one_line_without_the_password(tmp_path: Path, words: list[str]) -> None:
    said = ask(f"postgresql://me:hunter2@/tape?host={tmp_path}", *words)
    assert (said.exit_code, said.stdout) == (2, "")
    assert re.fullmatch(
        rf"tokentape: postgresql://me@/tape\?host={tmp_path} cannot be reached: .*No such file.*\n", said.stderr
    )


def test_a_database_or_a_user_that_is_not_there_is_one_line(server: Server) -> None:
    for url, wanted in (
        (server.url("none"), 'database "none" does not exist'),
        (server.url("postgres", "nobody"), 'role "nobody" does not exist'),
    ):
        for words in (["models"], ["collect"]):
            said = ask(url, *words)
            assert said.exit_code == 2
            assert wanted in said.stderr
            assert said.stderr.count("\n") == 1


def test_a_user_who_may_not_is_told_what(server: Server, url: str) -> None:
    run(url, "DROP ROLE IF EXISTS guest")
    run(url, "CREATE ROLE guest LOGIN")
    guest = url.replace("postgres@", "guest@")
    with pytest.raises(StoreError, match="permission denied for table tokentape_version"), open_store(guest):
        pass
    run(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    with open_store(guest) as reader:
        assert sources(reader, NOW) == []
    tape = Tape(guest)
    with pytest.raises(StoreError, match="permission denied"):
        tape.record_failure(SOURCE, failure(), known=NOW)
    assert rows(url, "SELECT count(*) FROM poll") == [(0,)]


def test_a_database_that_cannot_hold_every_name_is_refused(server: Server) -> None:
    server.run("CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match="is encoded in LATIN1: a store needs a database in UTF8"):
        Tape(server.url("narrow"))
    assert content(server.url("narrow")) == {}


def test_a_schema_of_its_own_is_where_the_search_path_leads(url: str) -> None:
    run(url, "CREATE SCHEMA mine")
    mine = f"{url}&options=-csearch_path%3Dmine"
    Tape(mine).record_failure(SOURCE, failure(), known=NOW)
    assert rows(url, "SELECT count(*) FROM mine.poll") == [(1,)]
    assert rows(url, "SELECT count(*) FROM public.poll") == [(0,)]
    assert content(mine)["source"]


def test_many_may_make_one_store_at_once(server: Server) -> None:
    with server.database(made=False) as url:
        together = threading.Barrier(6)

        def poll(number: int) -> None:
            together.wait()
            Tape(url).record_failure(SOURCE, failure(number), known=NOW)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(poll, range(6)))
        assert rows(url, "SELECT count(*) FROM poll") == [(6,)]


def test_documents_are_kept_in_the_data_folder_under_the_name_of_the_database(data_home: Path) -> None:
    assert archive_folder("postgresql://me:x@h/tape") == data_home / "tokentape" / "tape.archive"
    assert archive_folder("postgresql://me:x@h/a%2F..%2Fb") == data_home / "tokentape" / "a%2F..%2Fb.archive"
    assert archive_folder("postgresql://me:x@h") == data_home / "tokentape" / "me.archive"
    assert archive_folder("postgresql://me:x@h/tape", "/mnt/archive") == Path("/mnt/archive")


def test_without_the_driver_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')\n")
    code = "from collector.cli import run; run()"
    for word in ("models", "collect"):
        done = subprocess.run(
            [sys.executable, "-c", code, "--store", "postgresql://me:hunter2@h/tape", word],
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("needs psycopg (no pq wrapper available): pip install 'tokentape[postgres]'\n")
        assert done.stderr.count("\n") == 1


# --- who waits for whom ---


def test_writers_of_one_source_wait_for_each_other_and_lose_nothing(url: str) -> None:
    tapes = [Tape(url), Tape(url)]

    def poll(number: int) -> None:
        tapes[number % 2].record_failure(SOURCE, failure(number), known=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(poll, range(20)))
    assert rows(url, "SELECT count(*) FROM poll") == [(20,)]
    assert rows(url, "SELECT count(*) FROM source") == [(1,)]


@pytest.mark.fault(117)
def test_knowledge_only_grows_whatever_the_clock_of_another_collector_says(url: str) -> None:
    for number, known in enumerate((NOW + timedelta(hours=2), NOW, NOW)):
        facts, seen = saw(observation(price=card((number + 5) * 1_000_000)), number=number)
        assert Tape(url).record(SOURCE, facts, seen, RULES, known=known)
    first = round(NOW.timestamp()) * 1000 + 7_200_000
    assert rows(url, "SELECT known FROM poll ORDER BY at") == [(first,), (first + 1,), (first + 2,)]
    assert rows(url, 'SELECT known_from, end_known FROM "interval" ORDER BY first_seen') == [
        (first, first + 1),
        (first + 1, first + 2),
        (first + 2, None),
    ]


def test_a_writer_of_another_source_is_not_waited_for_and_one_of_the_same_is(url: str) -> None:
    slow, quick = Tape(url), Tape(url, busy_s=0.2)
    facts, seen = saw(observation(price=card(5_000_000)))

    def meanwhile() -> None:
        quick.record(OTHER, *saw(observation(price=card(7_000_000))), RULES, known=NOW)
        with pytest.raises(StoreBusy, match="is locked by another program: try again when it is done"):
            quick.record_failure(SOURCE, failure(1), known=NOW)

    assert slow.record(SOURCE, facts, seen, after(meanwhile), known=NOW)
    assert rows(url, "SELECT count(*) FROM span") == [(2,)]


@pytest.mark.fault(144)
def test_writers_of_many_sources_store_what_they_share_once_and_never_for_ever_wait(url: str) -> None:
    offers = [observation(f"model{number}", price=card((number + 1) * 1_000_000)) for number in range(60)]
    together = threading.Barrier(6)

    def poll(number: int) -> None:
        tape = Tape(url)
        mixed = offers[number * 7 :] + offers[: number * 7]
        together.wait()
        for turn in range(3):
            facts, seen = saw(*mixed[: 20 * (turn + 1)], number=turn)
            assert tape.record(replace(SOURCE, name=f"source{number}"), facts, seen, RULES, known=facts.at)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(poll, range(6)))
    assert rows(url, "SELECT count(*) FROM model") == [(60,)]
    assert rows(url, "SELECT count(*) FROM rate_card") == [(60,)]
    assert rows(url, "SELECT count(*) FROM span") == [(360,)]


def test_readers_see_one_state_whatever_is_written_meanwhile(url: str) -> None:
    tape = Tape(url)
    with open_store(url) as reader:
        assert sources(reader, NOW) == []
        tape.record_failure(SOURCE, failure(), known=NOW)
        assert sources(reader, NOW) == []
    with open_store(url) as reader:
        assert [row.source for row in sources(reader, NOW)] == ["acme"]


# --- nothing half done ---


@pytest.mark.fault(141)
def test_a_connection_that_is_cut_leaves_nothing_and_the_next_poll_goes_on(url: str) -> None:
    tape = Tape(url)
    facts, seen = saw(observation(price=card(5_000_000)))

    def cut() -> None:
        with connected(url) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with pytest.raises(StoreError) as told:
        tape.record(SOURCE, facts, seen, after(cut), known=NOW)
    assert "terminat" in str(told.value) or "closed" in str(told.value)
    assert rows(url, "SELECT count(*) FROM poll") == [(0,)]
    assert tape.record(SOURCE, facts, seen, RULES, known=NOW)
    assert rows(url, "SELECT count(*) FROM span") == [(1,)]


@pytest.mark.fault(142)
def test_a_poll_whose_commit_nobody_confirmed_is_not_written_twice(url: str) -> None:
    tape = Tape(url)
    facts, seen = saw(observation(price=card(5_000_000)))
    assert tape.record(SOURCE, facts, seen, RULES, known=NOW)
    assert tape.record(SOURCE, facts, seen, RULES, known=NOW) is None, "it is there: not again"
    later, anew = saw(observation(price=card(6_000_000)), number=1)
    assert tape.record(SOURCE, later, anew, RULES, known=NOW + timedelta(minutes=1))
    assert rows(url, "SELECT lasted FROM span ORDER BY first_seen") == [(60_000,), (None,)]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("UPDATE span SET lasted = NULL WHERE lasted IS NOT NULL", "span_no_overlap"),
        ("UPDATE span SET lasted = lasted + 1 WHERE lasted IS NOT NULL", "span_no_overlap"),
        ("UPDATE span SET first_seen = first_seen - 1 WHERE lasted IS NULL", "span_no_overlap"),
        (
            OVERLAPPING,
            "span_no_overlap",
        ),
        ("DELETE FROM locator", "foreign key"),
        ("INSERT INTO poll (source_id, at, known) VALUES (1, 1, 1)", "not-null"),
    ],
)
def test_beliefs_that_overlap_and_rows_that_point_to_nothing_are_refused(url: str, change: str, refused: str) -> None:
    tape = Tape(url)
    for number in range(2):
        facts, seen = saw(observation(price=card((number + 5) * 1_000_000)), number=number)
        assert tape.record(SOURCE, facts, seen, RULES, known=facts.at)
    before = content(url)
    with pytest.raises(psycopg.Error, match=refused):
        run(url, change)
    assert content(url) == before
    run(url, "UPDATE span SET known_to = 1; UPDATE span SET lasted = NULL")
    assert rows(url, "SELECT count(*) FROM span WHERE lasted IS NULL") == [(2,)], "what is superseded may be anything"


def test_beliefs_that_touch_or_are_of_neighbours_do_not_overlap(url: str) -> None:
    tape = Tape(url)
    for number in range(6):
        offers = [observation(name, price=card((number + 5) * 1_000_000)) for name in ("one", "two", "three")]
        facts, seen = saw(*offers, number=number)
        assert tape.record(SOURCE, facts, seen, RULES, known=facts.at)
    run(url, "UPDATE span SET lasted = 1, first_seen = 4102444800000 + first_seen / 60000 % 6")
    assert rows(url, "SELECT count(*), count(DISTINCT first_seen) FROM span WHERE known_to IS NULL") == [(18, 6)]
    with pytest.raises(psycopg.Error, match="span_no_overlap"):
        run(url, "UPDATE span SET lasted = 2 WHERE endpoint_id = 2 AND first_seen = 4102444800003")


def test_many_rows_are_copied_and_one_that_is_refused_takes_all_along(url: str) -> None:
    engine = open_engine(url).engine
    names = [{"name": "plain"}, {"name": "tab\tquote'\"\\back\nline"}, {"name": "\\N"}, {"name": ""}]
    with engine.begin() as connection:
        connection.execute(tables.Provider.__table__.insert(), names)  # type: ignore[attr-defined]
    assert sorted(rows(url, "SELECT name FROM provider")) == sorted((one["name"],) for one in names)
    with pytest.raises(IntegrityError, match="provider_name_key"), engine.begin() as connection:
        connection.execute(tables.Provider.__table__.insert(), [{"name": "new"}, {"name": "plain"}])  # type: ignore[attr-defined]
    assert rows(url, "SELECT count(*) FROM provider") == [(4,)]


# --- what is read ---


def test_text_is_compared_by_its_bytes_in_every_column(url: str) -> None:
    found = rows(
        url,
        "SELECT count(*), count(*) FILTER (WHERE collation_name = 'C') FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'tokentape_version'"
        " AND table_name NOT IN (SELECT table_name FROM information_schema.views)"
        " AND data_type IN ('text', 'character varying')",
    )
    assert found[0][0] == found[0][1] > 20


def test_nothing_is_written_through_a_reader(url: str) -> None:
    with open_store(url) as reader, pytest.raises(StoreError, match="read-only transaction"):
        list(reader.rows("DELETE FROM source"))


def test_a_long_answer_is_fetched_in_parts_while_others_are_asked(url: str) -> None:
    with open_store(url) as reader:
        asked = "SELECT n FROM generate_series(1, :most) n"
        one, other = reader.stream(asked, {"most": 5000}), reader.stream(asked, {"most": 3})
        assert (next(one), next(other)) == ((1,), (1,))
        assert reader.row("SELECT :text || '%d', CAST(1 AS BIGINT)", {"text": "100%"}) == ("100%%d", 1)
        assert sum(1 for _ in one) == 4999
        other.close()  # type: ignore[attr-defined]
        half_read = reader.stream(asked, {"most": 5000})
        next(half_read)


@pytest.mark.parametrize("name", ["\udcff", "nul\0"])
def test_a_name_that_cannot_be_text_is_refused(url: str, name: str) -> None:
    with open_store(url) as reader, pytest.raises(QueryError, match="a name in the question"):
        find_model(reader, name)


def test_what_is_missing_is_told_as_damage(url: str) -> None:
    run(url, "ALTER TABLE model RENAME TO models")
    with open_store(url) as reader, pytest.raises(StoreForeign, match='is damaged: relation "model" does not exist'):
        find_model(reader, "x")


def test_reading_needs_no_sqlalchemy(url: str) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from collector.cli import main\n"
        f"print(CliRunner().invoke(main, ['--store', {url!r}, 'models']).exit_code,"
        " sorted({'sqlalchemy', 'sqlmodel', 'alembic'} & sys.modules.keys()), 'psycopg' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "3 [] True\n", done.stderr
    with closing(psycopg.connect(url)) as connection:
        assert connection.execute("SELECT count(*) FROM model").fetchone() == (0,)
