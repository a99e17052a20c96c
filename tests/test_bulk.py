"""The ledger for other engines: the very bytes of the database's own dump, and names that are safe."""

import csv
import io
import shutil
import sqlite3
import subprocess
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from store import bulk, cli
from store.read import open_store
from store.units import decimal_text
from tests.benchmarks.synthetic import Shape, build
from tests.stores import run
from tests.tape import Tape, hour, usd

SHAPE = Shape(models=6, providers=5, intervals=40, sources=2, polls=300, cards=30, facts=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bulk") / "tape.db"
    build(path, SHAPE)
    return path


def export(store: Path, *words: str) -> Result:
    group = click.Group(commands={"export": cli.export})
    doors = cli.Doors(str(store), now=lambda: hour(9))
    return CliRunner().invoke(group, ["export", *words], obj=doors, prog_name="tokentape", catch_exceptions=False)


def ledger(store: Path) -> str:
    out = io.StringIO(newline="")
    with open_store(str(store)) as reader:
        bulk.write(out, reader)
    return out.getvalue()


def test_a_made_up_store_holds_together(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        (beliefs,) = connection.execute("SELECT count(*) FROM span WHERE known_to IS NULL").fetchone()
        (corrected,) = connection.execute("SELECT count(*) FROM span WHERE known_to IS NOT NULL").fetchone()
    assert beliefs == SHAPE.models * SHAPE.providers * SHAPE.intervals
    assert corrected


def test_the_ledger_is_what_its_statement_says(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        cursor = connection.execute(bulk.STATEMENT)
        expected = io.StringIO(newline="")
        rows = csv.writer(expected, lineterminator="\n")
        rows.writerow([name for name, *_ in cursor.description])
        rows.writerows(cursor)
    assert ledger(store) == expected.getvalue()


def test_both_engines_make_the_same_lines_of_the_ledger(store_url: str) -> None:
    tape = Tape(store_url)
    endpoint = tape.endpoint(tape.source("acme"), "acme", "acme/=one", tag="a,b")
    tape.interval(endpoint, hour(0), usd(input=1, output=2), ended=hour(1), last_seen=hour(0), end_reason="changed")
    tape.interval(endpoint, hour(1), usd(input=3))
    lines, named = io.StringIO(newline=""), io.StringIO(newline="")
    with open_store(tape.url) as reader:
        bulk.write(lines, reader)
        bulk.write_named(named, reader)
        expected = list(reader.rows(bulk.STATEMENT))
    found = list(csv.reader(lines.getvalue().splitlines()))
    assert found[1:] == [["" if cell is None else str(cell) for cell in row] for row in expected]
    assert [row[len(bulk.NAMES) :] for row in csv.reader(named.getvalue().splitlines())] == found
    assert [row[:2] for row in csv.reader(named.getvalue().splitlines())][1] == ["acme/=one", "acme"]
    assert len(found) == 3


def test_the_sqlite3_command_makes_the_same_bytes_of_the_statement_that_is_shown(store: Path, tmp_path: Path) -> None:
    shell = shutil.which("sqlite3")
    if shell is None:
        pytest.skip("the sqlite3 command is not installed")
    shown = export(store, "ledger", "--show-sql")
    dump = subprocess.run([shell, "-csv", "-header", store, shown.stdout], stdout=subprocess.PIPE, check=True).stdout
    file = tmp_path / "ledger.csv"
    assert export(store, "ledger", "-o", str(file)).exit_code == 0
    assert file.read_bytes() == dump


def test_every_belief_on_both_clocks_stands_in_whole_numbers(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape.db")
    endpoint = tape.endpoint(tape.source("acme"), "acme", "author/model")
    tape.interval(endpoint, hour(1), usd(input=150_000_000), known_to=hour(5))
    end = {"ended": hour(3), "end_reason": "withdrawn", "last_seen": hour(2), "not_before": hour(0)}
    tape.interval(endpoint, hour(1), usd(input=160_000_000), known=hour(5), end_known=hour(6), **end)  # type: ignore[arg-type]
    first, second = csv.DictReader(io.StringIO(ledger(tape.path)))
    assert [(one["first_seen_ms"], one["known_from_ms"], one["known_to_ms"]) for one in (first, second)] == [
        (_ms(1), _ms(1), _ms(5)),
        (_ms(1), _ms(5), ""),
    ]
    names = ("not_before_ms", "last_seen_ms", "ended_ms", "end_reason", "end_known_ms")
    assert [second[name] for name in names] == [_ms(0), _ms(2), _ms(3), "withdrawn", _ms(6)]
    assert [first[name] for name in names] == [""] * 5
    assert [decimal_text(int(one["input_nano"])) for one in (first, second)] == ["0.15", "0.16"]
    assert (first["output_nano"], first["currency"]) == ("", "USD")


def _ms(count: int) -> str:
    return str(int(1000 * hour(count).timestamp()))


def test_names_stand_before_the_same_numbers(store: Path) -> None:
    plain, named = (
        list(csv.DictReader(io.StringIO(text))) for text in (ledger(store), export(store, "ledger", "--names").stdout)
    )
    assert [{name: row[name] for name in plain[0]} for row in named] == plain
    with closing(sqlite3.connect(store)) as connection:
        models = dict(connection.execute("SELECT e.id, m.name FROM endpoint e JOIN model m ON m.id = e.model_id"))
    assert {row["model"] for row in named} == set(models.values())
    assert all(row["model"] == models[int(row["endpoint_id"])] for row in named)


@pytest.mark.parametrize("raw", [False, True], ids=["guarded", "raw"])
def test_hostile_names_are_made_safe_unless_raw(tmp_path: Path, raw: bool) -> None:
    tape = Tape(tmp_path / "tape.db")
    source = tape.source("acme")
    hostile = "=cmd|'/C calc',\"\x1b]0;owned\x07"
    endpoint = tape.endpoint(source, "acme", "author/model", published_model=hostile)
    quiet = tape.endpoint(source, "acme", "author/other", published_model="other")
    for at in (1, 2):
        tape.interval(endpoint, hour(at), usd(input=at), ended=hour(at + 1), end_reason="changed")
    tape.interval(quiet, hour(1), usd(input=1))
    result = export(tape.path, "ledger", "--names", *(["--raw"] if raw else []))
    endpoints = [row["endpoint"] for row in csv.DictReader(io.StringIO(result.stdout, newline=""))]
    safe = "'=cmd|'/C calc',\"\\x1b]0;owned\\x07"
    assert endpoints == [hostile if raw else safe] * 2 + ["other"]
    assert ("2 cells begin like a formula" in result.stderr) is not raw


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    class Nowhere(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    def peak(intervals: int, write: Callable[..., object]) -> int:
        path = tmp_path / f"{intervals}.db"
        if not path.exists():
            build(path, Shape(models=4, providers=5, intervals=intervals, polls=3000, cards=10, facts=5))
        with open_store(str(path)) as reader:
            tracemalloc.start()
            try:
                write(Nowhere(), reader)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    for write in (bulk.write, bulk.write_named):
        assert peak(2000, write) < peak(1000, write) + 500_000  # of 5 MB that are written more


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ledger", "--model", "a/b"], "not narrowed"),
        (["ledger", "--known-at", "1d"], "not narrowed"),
        (["ledger", "--format", "jsonl"], "as CSV"),
        (["ledger", "--since", "7d"], "--since and --until with"),
        (["ledger", "--superseded"], "--superseded goes with"),
        (["ledger", "--names", "--show-sql"], "without --names"),
        (["history", "--names"], "go with `ledger`"),
    ],
)
def test_what_the_ledger_cannot_be_asked_is_refused(store: Path, words: list[str], told: str) -> None:
    result = export(store, *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_beliefs_about_an_endpoint_that_is_missing_are_told_as_damage(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape.db")
    tape.interval(tape.endpoint(tape.source("acme"), "acme", "author/model"), hour(1), usd(input=1))
    run(tape.url, "DELETE FROM endpoint")
    result = export(tape.path, "ledger", "--names")
    assert result.exit_code == 2
    assert "is damaged: endpoint 1 is missing" in result.stderr


def test_an_empty_ledger_matches_nothing(tmp_path: Path) -> None:
    result = export(Tape(tmp_path / "tape.db").path, "ledger")
    assert result.exit_code == 3
    assert result.stdout.startswith("endpoint_id,first_seen_ms,known_from_ms")
