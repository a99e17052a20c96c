"""The seal of a SQLite store: a row that was not written by us is noticed, whatever it holds and wherever it is."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collector import checks
from collector.settings import CheckSettings
from store import seal
from store.db import open_engine
from store.read import look_for_damage
from store.records import Sighting
from store.write import PollFacts, SourceFacts, Tape
from tests.collecting import ask
from tests.stores import columns, run, tables
from tests.worlds import DOCUMENTS, START, card, observation

RULES = checks.rules(CheckSettings())
SOURCE = SourceFacts(name="source", trust=0, every_s=3600)


@pytest.fixture
def sealed(tmp_path: Path) -> str:
    """A store of a few polls, in which a price changed, an offer vanished and another was held."""
    tape = Tape(str(tmp_path / "tape.db"))
    seen = [observation(f"m{number}", price=card(5_000_000 + number)) for number in range(8)]
    shown = [seen, seen, [replace(seen[0], card=card(6_000_000)), *seen[1:6]], seen[1:6], seen[1:6], seen]
    for number, observations in enumerate(shown):
        at = START + timedelta(days=number)
        sighting = Sighting(at=at, complete=True, documents=DOCUMENTS, observations=tuple(observations))
        facts = PollFacts(at=at, outcome="ok", pack=tape.archive.keep(()))
        tape.record(SOURCE, facts, sighting, RULES, known=at)
    tape.close()
    return tape.name


def faults(store: str) -> list[str]:
    with closing(sqlite3.connect(store)) as connection:
        return list(seal.faults(connection))


def cells(store: str) -> Iterator[tuple[str, str]]:
    for table in tables(store):
        yield from ((table, column) for column in columns(store, table) if column != "mark")


def test_what_we_write_is_under_the_seal(sealed: str) -> None:
    assert faults(sealed) == []


def test_sealing_anew_what_was_sealed_row_by_row_comes_to_the_same(sealed: str) -> None:
    with closing(sqlite3.connect(sealed)) as connection:
        before = connection.execute(f"SELECT * FROM {seal.TABLE}").fetchall()
        seal.install(connection)
        assert connection.execute(f"SELECT * FROM {seal.TABLE}").fetchall() == before


@pytest.mark.fault(131)
def test_a_change_of_any_cell_is_noticed(sealed: str) -> None:
    changed = 0
    for table, column in cells(sealed):
        kept = Path(sealed).read_bytes()
        with closing(sqlite3.connect(sealed)) as connection, connection:
            connection.create_function(seal.FUNCTION, -1, lambda total, *_: total)
            one = f"""SELECT "{column}" FROM "{table}" WHERE "{column}" NOT IN ('', x'') LIMIT 1"""
            for (value,) in connection.execute(one).fetchall():
                other = value + (1000 if isinstance(value, int) else value[:1])
                connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" IS ?', (other, value))
                changed += 1
        if Path(sealed).read_bytes() != kept:
            assert [line for line in faults(sealed) if f" {table} " in line], (table, column)
        for aside in ("", "-wal", "-shm"):
            Path(sealed + aside).unlink(missing_ok=True)
        Path(sealed).write_bytes(kept)
    assert changed > 40


@pytest.mark.parametrize(
    "row", ["DELETE FROM gap", "DELETE FROM poll WHERE id = 1", "INSERT INTO model VALUES (99, 'x')"]
)
def test_rows_more_or_less_are_noticed(sealed: str, row: str) -> None:
    with closing(sqlite3.connect(sealed)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.create_function(seal.FUNCTION, -1, lambda total, *_: total)
        for name in [one for (one,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(row)
    table = row.split()[2]
    assert [line for line in faults(sealed) if line.startswith(f"store: {table} has ")]
    assert [line for line in faults(sealed) if "schema" in line], "nor do triggers go unnoticed"


def test_two_rows_that_changed_places_are_noticed(sealed: str) -> None:
    run(sealed, "UPDATE span SET card_id = CASE card_id WHEN 1 THEN 2 ELSE 1 END WHERE card_id IN (1, 2)")
    assert faults(sealed) == ["store: a row of span is not as it was written"]


def test_another_program_cannot_write(sealed: str) -> None:
    with closing(sqlite3.connect(sealed)) as connection, pytest.raises(sqlite3.OperationalError, match=seal.FUNCTION):
        connection.execute("UPDATE poll SET quotes = 7")
    with closing(sqlite3.connect(sealed)) as connection:
        assert connection.execute('SELECT count(*) FROM "interval"').fetchone()[0] > 8


@pytest.mark.fault(131)
def test_no_single_bit_that_changes_a_row_is_missed(sealed: str) -> None:
    whole = Path(sealed).read_bytes()
    chance = random.Random(1)
    written = [place for place, byte in enumerate(whole) if byte]  # most of a small store is empty

    asked = [f'SELECT "{column}" FROM "{table}" NOT INDEXED' for table, column in cells(sealed)]

    def everything() -> list[object]:
        with closing(sqlite3.connect(sealed)) as connection:
            return [connection.execute(one).fetchall() for one in asked]

    sound, noticed = everything(), 0
    for _ in range(400):
        place = chance.choice(written)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        Path(sealed).write_bytes(flipped)
        try:
            changed = everything() != sound
            told = faults(sealed)
        except (sqlite3.Error, UnicodeDecodeError):
            continue  # SQLite itself noticed
        if changed:
            assert told, place
            noticed += 1
    assert noticed > 10


MODEL = "author/m1"
QUESTIONS = (
    ("models",),
    ("changes", "--format", "json"),
    ("cheapest", MODEL),
    ("endpoints", MODEL),
    ("history", MODEL, "--superseded"),
    ("facts", MODEL),
    ("held",),
    ("conflicts",),
    ("explain", "source:p:m1"),
    ("export", "history", "--format", "jsonl"),
    ("export", "ledger", "--names"),
)

BLOBS = [
    ("model", "name"), ("provider", "name"), ("source", "every_s"), ("endpoint", "published_model"),
    ("endpoint", "variant"), ("facts", "body"), ("rate_card", "body"), ("document", "sha256"), ("span", "first_seen"),
]  # fmt: skip


@pytest.mark.fault(131, 133)
def test_a_cell_of_another_kind_is_told_in_a_line_by_what_trips_over_it(sealed: str, tmp_path: Path) -> None:
    whole, tripped = Path(sealed).read_bytes(), set[tuple[str, str]]()
    for table, column in BLOBS:
        run(sealed, f"""UPDATE "{table}" SET "{column}" = CAST("{column}" AS BLOB)""")
        for words in QUESTIONS:
            asked = ask(tmp_path, "--store", sealed, *words)
            assert asked.exit_code in (0, 2, 3), asked.output
            if asked.exit_code == 2 and "is not as it was written): run `tokentape verify`" in asked.stderr:
                assert asked.stderr.startswith(f"tokentape: store {sealed} is damaged (")
                assert asked.stderr.count("\n") == 1
                tripped.add((table, column))
        for aside in ("-wal", "-shm"):
            Path(sealed + aside).unlink(missing_ok=True)
        Path(sealed).write_bytes(whole)
    assert {("model", "name"), ("endpoint", "published_model"), ("endpoint", "variant")} <= tripped


def test_a_store_that_is_as_it_was_written_is_not_to_blame(sealed: str, store_url: str, tmp_path: Path) -> None:
    for url in (sealed, store_url, str(tmp_path / "none.db")):
        look_for_damage(url)


def test_a_new_store_is_sealed_and_its_seal_holds_its_schema(tmp_path: Path) -> None:
    store = str(tmp_path / "tape.db")
    open_engine(store).engine.dispose()
    assert faults(store) == []
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DROP INDEX endpoint_model")
    assert [line[:18] for line in faults(store)] == ["store: schema has "]
