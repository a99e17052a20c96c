"""Reparse, late documents and verify: history mends as corrections, and every flipped bit in a belief is found."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from collector import mend, verify
from collector.config import load
from collector.contract import PriceSpec, SourceSpec
from collector.mend import Arrival
from collector.settings import CheckSettings
from store.records import Document
from store.write import Tape

START = datetime(2026, 8, 1, tzinfo=UTC)
KNOWN = datetime(2026, 9, 1, tzinfo=UTC)
SETTINGS = CheckSettings()
SPEC = replace(
    load(None, {}).sources["deepinfra"],
    expect={"endpoints": 1, "models": 1},
    skip={},
)


def document(at: datetime, **prices: tuple[str, str]) -> Document:
    """A list in DeepInfra's shape: model -> (input, output)."""
    rows = [
        {
            "id": f"acme/{model}",
            "metadata": {
                "context_length": 1000,
                "pricing": {"input_tokens": float(given), "output_tokens": float(taken)},
            },
        }
        for model, (given, taken) in prices.items()
    ]
    return Document(source=SPEC.id, url=SPEC.url, fetched_at=at, status=200, body=json.dumps({"data": rows}).encode())


def arrival(hours: int, **prices: tuple[str, str]) -> Arrival:
    at = START + timedelta(hours=hours)
    return Arrival(at=at, documents=(document(at, **prices),))


@pytest.fixture
def tape(store_url: str, tmp_path: Path) -> Iterator[Tape]:
    tape = Tape(store_url, str(tmp_path / "archive"))
    mend.backfill(
        SETTINGS,
        tape,
        SPEC,
        [arrival(0, one=("1", "2"), two=("3", "4")), arrival(24, one=("1.5", "2"), two=("3", "4"))],
        known=KNOWN,
    )
    yield tape
    tape.close()


def rows(tape: Tape, sql: str) -> list[tuple[Any, ...]]:
    with tape._engine.begin() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


BELIEVED = """
    SELECT e.published_model, i.first_seen, i.ended, c.input FROM interval i JOIN endpoint e ON e.id = i.endpoint_id
      JOIN rate_card c ON c.id = i.card_id WHERE i.known_to IS NULL ORDER BY 1, 2
"""


def columns(tape: Tape, table: str) -> list[str]:
    with tape._engine.begin() as connection:
        return list(connection.exec_driver_sql(f'SELECT * FROM "{table}" LIMIT 0').keys())


def dump(tape: Tape) -> list[object]:
    return [(name, sorted(rows(tape, f'SELECT * FROM "{name}"'), key=repr)) for name in SQLModel.metadata.tables]


def test_documents_of_the_past_become_intervals_known_from_now_on(tape: Tape) -> None:
    assert [(model, price) for model, _, _, price in rows(tape, BELIEVED)] == [
        ("acme/one", 10**9),
        ("acme/one", 15 * 10**8),
        ("acme/two", 3 * 10**9),
    ]
    assert {known for (known,) in rows(tape, "SELECT known_from FROM interval")} == {round(KNOWN.timestamp()) * 10**3}


def test_reparse_with_nothing_changed_corrects_nothing_and_writes_no_belief(tape: Tape) -> None:
    before = dump(tape)
    mended = mend.reparse(SETTINGS, tape, SPEC, known=KNOWN + timedelta(days=1))
    assert (mended.polls, mended.corrections) == (2, ())
    assert dump(tape) == before


def test_same_documents_again_change_nothing(tape: Tape) -> None:
    before = dump(tape)
    again = mend.backfill(SETTINGS, tape, SPEC, [arrival(0, one=("1", "2"), two=("3", "4"))], known=KNOWN)
    assert again.corrections == ()
    assert dump(tape) == before


def test_late_document_in_between_is_a_correction_that_edits_nothing(tape: Tape) -> None:
    before = set(rows(tape, "SELECT * FROM interval"))
    later = KNOWN + timedelta(days=1)
    mended = mend.backfill(SETTINGS, tape, SPEC, [arrival(12, one=("1.2", "2"), two=("3", "4"))], known=later)
    assert sorted(one.kind for one in mended.corrections) == ["added", "corrected", "corrected"]
    prices = [price for model, _, _, price in rows(tape, BELIEVED) if model == "acme/one"]
    assert prices == [10**9, 12 * 10**8, 15 * 10**8]
    # What was believed stands as it was, but for the instant at which it was superseded.
    known_to = columns(tape, "interval").index("known_to")
    after = {(*row[:known_to], None, *row[known_to + 1 :]) for row in rows(tape, "SELECT * FROM interval")}
    assert before <= after


def mended_spec() -> SourceSpec:
    """The source with a parser that was mended: what was read as the price of output is read from elsewhere."""
    prices = tuple(
        PriceSpec(meter=price.meter, at="metadata.pricing.input_tokens", unit=price.unit)
        if price.meter == "output"
        else price
        for price in SPEC.prices
    )
    return replace(SPEC, prices=prices)


def test_mended_parser_mends_history_as_corrections(tape: Tape) -> None:
    later = KNOWN + timedelta(days=1)
    mended = mend.reparse(SETTINGS, tape, mended_spec(), known=later)
    assert [one.kind for one in mended.corrections] == ["corrected"] * 3
    assert {one.after.amount("output") for one in mended.corrections if one.after} == {10**9, 15 * 10**8, 3 * 10**9}
    assert len(rows(tape, "SELECT 1 FROM interval WHERE known_to IS NOT NULL")) == 3
    assert mend.reparse(SETTINGS, tape, mended_spec(), known=later + timedelta(days=1)).corrections == ()


def test_dry_run_tells_the_same_and_writes_nothing(tape: Tape) -> None:
    before = dump(tape)
    told = mend.reparse(SETTINGS, tape, mended_spec(), known=KNOWN, dry_run=True)
    assert dump(tape) == before
    assert told.corrections == mend.reparse(SETTINGS, tape, mended_spec(), known=KNOWN).corrections


def test_document_that_is_refused_today_takes_its_intervals_along(tape: Tape) -> None:
    strict = replace(SPEC, expect={"endpoints": 3, "models": 3})
    mended = mend.reparse(SETTINGS, tape, strict, known=KNOWN + timedelta(days=1))
    assert len(mended.refused) == 2
    assert {one.kind for one in mended.corrections} == {"dropped"}
    back = mend.reparse(SETTINGS, tape, SPEC, known=KNOWN + timedelta(days=2))
    assert {one.kind for one in back.corrections} == {"added"}


def faults(tape: Tape) -> list[str]:
    return list(verify.faults(SETTINGS, tape, {SPEC.id: SPEC}, KNOWN + timedelta(days=9)))


def test_untouched_store_has_no_fault(tape: Tape) -> None:
    before = dump(tape)
    assert faults(tape) == []
    assert dump(tape) == before


@pytest.mark.fault(131)
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE rate_card SET input = input + 1 WHERE id = 1",
        "UPDATE rate_card SET body = replace(body, '1000000000', '1000000001')",
        "UPDATE facts SET context_length = 1001",
        "UPDATE span SET card_id = 2 WHERE card_id = 1",
        "UPDATE span SET first_seen = first_seen - 1 WHERE lasted IS NOT NULL",
        "UPDATE span SET lasted = lasted - 1 WHERE lasted IS NOT NULL",
        "UPDATE span SET unseen = unseen + 1 WHERE unseen IS NOT NULL",
        "UPDATE locator SET text = text || '9'",
        "DELETE FROM span WHERE lasted IS NOT NULL",
        "UPDATE document SET sha256 = replace(sha256, substr(sha256, 1, 1), 'z')",
        "UPDATE poll SET at = at + 1",
        "UPDATE endpoint SET mark = substr(mark, 1, 0)",
        "UPDATE endpoint SET published_model = 'acme/three' WHERE published_model = 'acme/two'",
    ],
)
def test_damage_to_any_belief_is_found(tape: Tape, damage: str) -> None:
    with tape._engine.begin() as connection:
        connection.exec_driver_sql(damage)
    assert faults(tape)


def test_beliefs_that_overlap_are_named(tape: Tape) -> None:
    with tape._engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # which would not let it happen
            connection.exec_driver_sql("ALTER TABLE span DROP CONSTRAINT span_no_overlap")
        connection.exec_driver_sql("UPDATE span SET lasted = lasted + 1 WHERE lasted IS NOT NULL")
    named = "deepinfra: deepinfra acme/one : the interval from 2026-08-01T00:00:00Z overlaps the next one"
    assert [fault for fault in faults(tape) if "overlaps" in fault] == [named]


@pytest.mark.fault(132)
def test_damaged_and_missing_documents_are_found(tape: Tape, tmp_path: Path) -> None:
    first, second = sorted((tmp_path / "archive").rglob("*.zst"))
    kept = first.read_bytes()
    first.write_bytes(kept[:-3] + bytes([kept[-3] ^ 1]) + kept[-2:])
    assert faults(tape)
    first.write_bytes(kept)
    assert faults(tape) == []
    shutil.move(second, tmp_path / "elsewhere")
    assert faults(tape)
