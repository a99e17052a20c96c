"""The views of prices: what other programs find in the store is what `export` writes, on each engine."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from store.cli_export import export
from store.doors import Doors
from store.instants import iso
from store.location import is_postgres
from store.records import Facts, Override, RateCard
from store.sql_views import VIEWS
from store.upgrade import upgrade
from tests.stores import Stores, connected, rows
from tests.tape import T0, Tape, hour, usd
from tests.test_upgrade import first

NOW = hour(100)
COLUMNS = (
    "model,provider,endpoint,variant,source,not_before,first_seen,last_seen,ended,end_reason,input,output,cache_read,"
    "cache_write,currency,input_state,output_state,cache_read_state,cache_write_state,input_nano,output_nano,"
    "cache_read_nano,cache_write_nano,has_conditions,context_length,max_output_tokens,quantization,disputed,document,ref"
)


@pytest.fixture(scope="module")
def tape(stores: Stores) -> Iterator[Tape]:
    """A store that tests only read."""
    with stores.new() as url:
        yield filled(url)


def filled(url: str) -> Tape:
    """Everything that an endpoint can be: open, ended, missing, corrected, in a part that fails, held, a currency."""
    tape = Tape(url)
    source, rates = tape.source("live", trust=1), tape.source("ecb")
    for at in (0, 1, 2, 3):
        tape.poll(source, hour(at) + timedelta(milliseconds=at))
    tape.poll(source, hour(4), "partial", failed_parts=["b/y", 'quoted"part'])
    tape.poll(source, hour(5), "failed")
    card = RateCard(
        currency="EUR",
        amounts=(("cache_read", 9_223_372_036_854_775_807), ("input", 1_500_000_000), ("output", 0)),
        states=(("cache_write", "unknown"),),
        overrides=(Override(above_tokens=10, amounts=(("input", 1),)),),
    )
    facts = Facts(context_length=1000, max_output_tokens=10, quantization="fp8")
    moved = tape.endpoint(source, "acme", "a/one", tag="t", sibling="1f", variant="fp8", published_model="One")
    tape.interval(moved, hour(0), card, facts, ended=hour(1), end_reason="changed", last_seen=hour(0))
    tape.interval(moved, hour(1), usd(input=37_000_001, output=10_000_000_000), not_before=hour(0))
    tape.finding(source, hour(2), endpoint=moved)
    gone = tape.endpoint(source, "beta", "a/one")
    tape.interval(gone, hour(0), usd(input=1), ended=hour(2), end_reason="withdrawn", last_seen=hour(1))
    missing = tape.endpoint(source, "gamma", "a/two")
    tape.interval(missing, hour(0), usd(input=5, output=5))
    tape.gap(missing, hour(2), hour(1))
    in_part = tape.endpoint(source, "delta", "a/two", part='quoted"part')
    tape.interval(in_part, hour(0), usd(input=5, output=5))
    late = tape.endpoint(source, "late", "a/two")
    tape.interval(late, hour(50), usd(input=5, output=5))
    wrong = tape.endpoint(source, "wrong", "a/two")
    tape.interval(wrong, hour(0), usd(input=5, output=5), known_to=hour(3))
    tape.interval(tape.endpoint(rates, "ecb", "currency/usd"), hour(0), usd(euro=1))
    return tape


def told(url: str, view: str) -> list[dict[str, str]]:
    """A view as CSV has it."""
    with connected(url) as connection:
        found = connection.execute(f"SELECT * FROM {view}")
        names = [one[0] for one in found.description]
        return [{name: text(name, cell) for name, cell in zip(names, row, strict=True)} for row in found.fetchall()]


def text(name: str, cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return iso(cell.astimezone(UTC).replace(tzinfo=UTC))
    if name in {"not_before", "first_seen", "last_seen", "ended"}:
        return iso(datetime.fromisoformat(cell))
    if name in {"disputed", "has_conditions"}:
        return "true" if cell else "false"
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


@pytest.fixture
def exported(tape: Tape) -> Callable[[str], list[dict[str, str]]]:
    def ask(what: str) -> list[dict[str, str]]:
        doors = Doors(tape.url, now=lambda: NOW)
        result: Result = CliRunner().invoke(export, [what], obj=doors, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return list(csv.DictReader(io.StringIO(result.stdout)))

    return ask


@pytest.mark.parametrize(("view", "what"), [("current_prices", "current"), ("price_history", "history")])
def test_a_view_has_what_an_export_has(
    tape: Tape, exported: Callable[[str], list[dict[str, str]]], view: str, what: str
) -> None:
    found, expected = told(tape.url, view), exported(what)
    assert len(expected) > 3
    for row in found:
        for meter in ("input", "output", "cache_read", "cache_write"):
            nano = row.pop(f"{meter}_nano")
            assert (Decimal(row[meter]) * 10**9 if nano else "") == (Decimal(nano) if nano else "")
    for row in expected:
        row["has_conditions"] = "true" if "overrides" in json.loads(row["rate_card"]) else "false"
    shared = set(found[0])
    assert ordered(found) == ordered([{name: cell for name, cell in row.items() if name in shared} for row in expected])


def ordered(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(found, key=lambda row: sorted(row.items()))


def test_the_columns_are_a_contract(tape: Tape) -> None:
    for view in VIEWS:
        with connected(tape.url) as connection:
            names = [one[0] for one in connection.execute(f"SELECT * FROM {view} LIMIT 0").description]
        left_out = {"ended", "end_reason"} if view == "current_prices" else set()
        assert names == [name for name in COLUMNS.split(",") if name not in left_out]


def test_decimals_and_instants_have_the_types_that_an_engine_has_for_them(tape: Tape) -> None:
    (row,) = rows(tape.url, "SELECT first_seen, input, input_nano FROM current_prices WHERE provider = 'acme'")
    assert row[1:] == ((Decimal("0.037000001") if is_postgres(tape.url) else "0.037000001"), 37_000_001)
    assert row[0] == (hour(1) if is_postgres(tape.url) else "2026-08-01T01:00:00.000Z")


def test_the_newest_price_and_the_newest_poll_are_found_by_their_keys(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape.db")
    steps = [str(row[3]) for row in rows(tape.url, "EXPLAIN QUERY PLAN SELECT * FROM current_prices")]
    for meant in ("SEARCH i USING PRIMARY KEY (endpoint_id=? AND first_seen=?)", "SEARCH b USING INDEX poll_source_at"):
        assert any(step.startswith(meant) for step in steps), steps


def test_every_millisecond_is_told_exactly(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("live")
    instants = [T0 + timedelta(days=number * 13, milliseconds=number * 37 % 1000) for number in range(120)]
    for number, at in enumerate(instants):
        tape.interval(tape.endpoint(source, "acme", f"a/{number}"), at, usd(input=1))
    found = [one for (one,) in rows(store_url, "SELECT first_seen FROM current_prices ORDER BY first_seen")]
    assert [one if isinstance(one, datetime) else datetime.fromisoformat(one) for one in found] == instants


def test_other_programs_find_them_in_a_store_that_is_upgraded(tmp_path: Path) -> None:
    url = first(str(tmp_path / "old.db"))
    upgrade(url)
    assert rows(url, "SELECT model, provider, input FROM price_history ORDER BY first_seen") == [
        ("acme/one", "acme", "0.000000005"),
    ]
