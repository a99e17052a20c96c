"""Migrations: whatever a store was, it becomes what a new one is, exactly, at once or not at all; on each engine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from click.testing import CliRunner, Result
from sqlalchemy import Connection, inspect

import store.migrations
from collector.cli import main
from store import seal
from store.catalogue import models
from store.db import driver, mark, on_sqlite, open_engine, reach
from store.errors import StoreError, StoreForeign, StoreMissing
from store.intervals import history
from store.location import is_postgres
from store.read import open_store
from store.upgrade import upgrade
from store.version import APPLICATION_ID, SCHEMA_VERSION, VERSION_TABLE
from tests.stores import Stores, content, rows, run
from tests.tape import T0, hour

OLD = 1_754_006_400_123_456
"""An instant of the first schema, in microseconds: 2026-08-01T00:00:00.123456Z."""
FIRST = [
    "INSERT INTO source VALUES (1, 'acme', 0, 3600)",
    "INSERT INTO provider VALUES (1, 'acme')",
    "INSERT INTO model VALUES (1, 'acme/one')",
    (
        "INSERT INTO poll (id, source_id, at, known, outcome, complete, pack, quotes, changes, held, requests,"
        f" body_bytes, duration_ms) VALUES (1, 1, {OLD}, {OLD + 999}, 'ok', true, 'p', 1, 1, 0, 1, 10, 5)"
    ),
    "INSERT INTO endpoint VALUES (1, 1, 1, 1, '', 'Acme', 'one', '', '', '')",
    """INSERT INTO rate_card VALUES (1, 'd', 'USD', 5, NULL, NULL, NULL, '{"amounts":{"input":5},"currency":"USD"}')""",
    "INSERT INTO facts VALUES (1, 'f', NULL, NULL, NULL, '{}')",
    "INSERT INTO document VALUES (1, 1, '', 's', 'https://x.example')",
    (
        f"INSERT INTO interval VALUES (1, {OLD}, {OLD + 999}, NULL, 1, 1, 1, 'data[0]', {OLD - 3_600_000_000},"
        f" {OLD + 7_200_000_000}, {OLD + 10_800_000_000}, 'withdrawn', {OLD + 90_000_000_000})"
    ),
    (
        f"INSERT INTO interval VALUES (1, {OLD + 20_000_000_000}, {OLD + 20_000_000_000}, {OLD + 99_000_000_000},"
        " 1, 1, 1, 'data[1]', NULL, NULL, NULL, NULL, NULL)"
    ),
    f"INSERT INTO gap VALUES (1, {OLD}, {OLD}, NULL, {OLD}, NULL, NULL)",
    f"INSERT INTO stated VALUES (1, 1, -1, NULL, 1, 1, '', {OLD}, NULL, {OLD}, NULL, NULL)",
    f"INSERT INTO finding VALUES (1, 1, 1, 'one', 'ratio', 'm', true, 1, 1, '', {OLD}, NULL, {OLD}, NULL, NULL)",
    f"INSERT INTO telemetry VALUES (1, {OLD}, 0, 99)",
]


def migrated(connection: Connection, revision: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(store.migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)


@pytest.fixture
def empty_url(stores: Stores, tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it."""
    if stores.server is None:
        yield str(tmp_path / "tape.db")
    else:
        with stores.server.database(made=False) as url:
            yield url


@pytest.fixture
def first_url(empty_url: str) -> str:
    """A store of the first schema."""
    return first(empty_url)


def first(url: str) -> str:
    """Make a store as the first release left it: on SQLite, without a table of revisions."""
    with reach(url).engine.begin() as connection:
        migrated(connection, "0001")
        for statement in FIRST:
            connection.exec_driver_sql(statement.replace("FROM interval", 'FROM "interval"'))
        if on_sqlite(connection):
            connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql("PRAGMA user_version = 1")
    return url


def schema(url: str) -> dict[str, Any]:
    """Everything declared, but for the order of columns."""
    found: dict[str, Any] = {}
    with reach(url).engine.begin() as connection:
        seen = inspect(connection)
        for table in seen.get_table_names():
            found[table] = (
                sorted((one["name"], repr(one["type"]), one["nullable"]) for one in seen.get_columns(table)),
                seen.get_pk_constraint(table)["constrained_columns"],
                sorted((one["constrained_columns"], one["referred_table"]) for one in seen.get_foreign_keys(table)),
            )
        if on_sqlite(connection):
            found["marks"] = [
                connection.exec_driver_sql(f"PRAGMA {one}").scalar() for one in ("application_id", "user_version")
            ]
            made = (
                "SELECT name, sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL"
                ' UNION ALL SELECT t.name, i."unique" || c.name FROM sqlite_master t, pragma_index_list(t.name) i,'
                " pragma_index_info(i.name) c"
                " UNION ALL SELECT name, 'WITHOUT ROWID' FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'"
            )
        else:
            made = (
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n'"
                " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
                " UNION ALL SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'"
                " UNION ALL SELECT table_name || column_name, collation_name || coalesce(column_default, '')"
                " FROM information_schema.columns WHERE table_schema = 'public'"
            )
        found["made"] = sorted(
            (str(name), " ".join(str(sql).split())) for name, sql in connection.exec_driver_sql(made)
        )
    return found


def test_the_migrations_make_what_a_new_store_is(empty_url: str, stores: Stores) -> None:
    with reach(empty_url).engine.begin() as connection:
        migrated(connection, "head")
        if on_sqlite(connection):
            mark(connection)
            seal.install(driver(connection))
    with stores.new() as made:
        open_engine(made).engine.dispose()
        assert schema(empty_url) == schema(made)
    assert rows(empty_url, f"SELECT version_num FROM {VERSION_TABLE}") == [(f"{SCHEMA_VERSION:04}",)]


def test_every_row_of_the_first_schema_is_carried_over(first_url: str) -> None:
    assert upgrade(first_url) == 1
    millis = OLD // 1000
    assert rows(first_url, "SELECT at, known, pruned, slot FROM poll") == [(millis, millis + 1, None, None)]
    told = (
        "SELECT first_seen, known_from, known_to, locator, not_before, last_seen, ended, end_reason, end_known"
        ' FROM "interval" ORDER BY 1'
    )
    assert rows(first_url, told) == [
        (
            millis, millis + 1, None, "data[0]", millis - 3_600_000, millis + 7_200_000, millis + 10_800_000,
            "withdrawn", millis + 90_000_000,
        ),
        (millis + 20_000_000, millis + 20_000_000, millis + 99_000_000, "data[1]", None, None, None, None, None),
    ]  # fmt: skip
    assert rows(first_url, "SELECT since, known_from, last_seen, until FROM gap") == [(millis, millis, millis, None)]
    assert rows(first_url, "SELECT since, until, known_from FROM stated") == [(-1, None, millis)], "rounded down"
    assert rows(first_url, "SELECT known_from, first_seen, ended FROM finding") == [(millis, millis, None)]
    told = "SELECT at, uptime_percent, first_token_ms, tokens_per_second FROM telemetry"
    assert rows(first_url, told) == [(millis, 99, None, None)], "of speeds nothing was known"
    with open_store(first_url) as reader:
        assert [row.end_reason for row in history(reader, None, hour(9), superseded=True)] == ["withdrawn", None]


def test_an_upgraded_store_is_a_store_like_any_other(first_url: str, stores: Stores) -> None:
    upgrade(first_url)
    with stores.new() as made:
        open_engine(made).engine.dispose()
        assert schema(first_url) == schema(made)
    before = content(first_url)
    assert upgrade(first_url) == SCHEMA_VERSION, "twice does no harm"
    assert content(first_url) == before


def test_a_dry_run_does_it_all_and_keeps_nothing(first_url: str) -> None:
    before = content(first_url)
    assert upgrade(first_url, dry_run=True) == 1
    assert content(first_url) == before
    assert "span" not in before


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(first_url: str) -> None:
    run(first_url, 'UPDATE "interval" SET known_to = NULL')
    # Two polls within one millisecond, which the schema of today cannot tell apart.
    run(first_url, f"INSERT INTO telemetry VALUES (1, {OLD + 1}, 0, 98)")
    before = content(first_url)
    with pytest.raises(StoreError, match=r"UNIQUE|unique"):
        upgrade(first_url)
    assert content(first_url) == before


@pytest.mark.fault(128, 148)
def test_an_upgrade_that_is_killed_leaves_the_store_as_it_was(first_url: str) -> None:
    before = content(first_url)
    killed = (
        "import os, signal, sys; from alembic import command; from store import upgrade; done = command.upgrade\n"
        "def then_die(*given): done(*given); os.kill(os.getpid(), signal.SIGKILL)\n"
        "command.upgrade = then_die; upgrade.upgrade(sys.argv[1])"
    )
    folder = Path(store.migrations.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", killed, first_url], env={**os.environ, "PYTHONPATH": str(folder)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert content(first_url) == before
    assert upgrade(first_url) == 1


def ask(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["--store", url, *words], prog_name="tokentape", catch_exceptions=False)


@pytest.mark.parametrize(
    "words",
    [["models"], ["sources"], ["collect"], ["verify"], ["reparse", "litellm"], ["daemon"], ["serve", "--port", "0"]],
)
def test_every_command_refuses_an_older_store_and_says_what_to_do(first_url: str, words: list[str]) -> None:
    before = content(first_url)
    said = ask(first_url, *words)
    assert (said.exit_code, said.stdout) == (2, "")
    assert f"has schema 1, this tokentape needs {SCHEMA_VERSION}: run `tokentape db upgrade`" in said.stderr
    assert content(first_url) == before


@pytest.mark.fault(148)
def test_a_store_of_a_newer_tokentape_is_refused_by_all(store_url: str) -> None:
    open_engine(store_url).engine.dispose()
    run(store_url, f"UPDATE {VERSION_TABLE} SET version_num = '0099'")
    if not is_postgres(store_url):
        run(store_url, "PRAGMA user_version = 99")
    for words in (["models"], ["collect"], ["db", "upgrade"]):
        said = ask(store_url, *words)
        assert (said.exit_code, said.stdout) == (2, "")
        assert f"has schema 99, this tokentape knows {SCHEMA_VERSION}: it is of a newer tokentape" in said.stderr


@pytest.mark.fault(133)
def test_what_belongs_to_others_is_refused_untouched(empty_url: str) -> None:
    run(empty_url, "CREATE TABLE poll (milk TEXT)")
    before = content(empty_url)
    for words in (["models"], ["collect"], ["db", "upgrade"], ["db", "status"]):
        said = ask(empty_url, *words)
        assert (said.exit_code, said.stdout) == (2, "")
        assert "is not a tokentape store" in said.stderr
    assert content(empty_url) == before


def test_no_folder_is_made_for_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        upgrade(str(tmp_path / "folder" / "tape.db"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_not_upgraded(empty_url: str) -> None:
    with pytest.raises(StoreMissing, match="run `tokentape collect`"):
        upgrade(empty_url)
    if is_postgres(empty_url):
        assert content(empty_url) == {}
    else:
        assert not Path(empty_url).exists()


def test_the_commands_say_what_they_did_and_what_there_is(first_url: str) -> None:
    assert "schema     1, this tokentape needs" in ask(first_url, "db", "status").stdout
    assert ask(first_url, "db", "upgrade", "--dry-run").stdout.startswith(f"schema 1 -> {SCHEMA_VERSION} would be")
    assert ask(first_url, "db", "upgrade").stdout == f"schema 1 -> {SCHEMA_VERSION}\n"
    assert ask(first_url, "db", "upgrade").stdout == f"schema {SCHEMA_VERSION}: nothing to do\n"
    shown = dict(line.split(maxsplit=1) for line in ask(first_url, "db", "status").stdout.splitlines() if line)
    assert (shown["schema"], shown["interval"], shown["poll"]) == (str(SCHEMA_VERSION), "2", "1")
    assert shown["engine"].split()[0] == ("PostgreSQL" if is_postgres(first_url) else "SQLite")
    assert int(shown["bytes"]) > 10_000
    with open_store(first_url) as reader:
        assert [row.model for row in models(reader, "", T0)] == []


def test_a_damaged_reference_which_only_sqlite_can_have_stops_an_upgrade(tmp_path: Path) -> None:
    url = first(str(tmp_path / "tape.db"))
    run(url, "UPDATE document SET poll_id = 77")
    before = content(url)
    with pytest.raises(StoreForeign, match="a row of document points to no poll"):
        upgrade(url)
    assert content(url) == before
