"""llm-prices: rows of one model as dated prices, and the recorded documents read a second way."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from collector.contract import Quote
from collector.errors import SourceChanged
from collector.sources.llm_prices import parse
from tests import catalogues
from tests.catalogues import document, rules, texts

SPEC = catalogues.spec("llm_prices")


def row(**fields: object) -> dict[str, object]:
    return {
        "id": "one",
        "vendor": "acme",
        "name": "One",
        "input": 1,
        "output": 2,
        "input_cached": None,
        "from_date": None,
        "to_date": None,
        **fields,
    }


def quotes(*rows: object) -> list[Quote]:
    return parse(document("llm_prices", {"prices": list(rows)}), SPEC)


def one(*rows: object) -> Quote:
    [quote] = quotes(*rows)
    return quote


def test_a_row_becomes_a_quote_with_one_dated_price_and_none_of_its_own() -> None:
    quote = one(row(input=0.06, output=0.24, input_cached=0.015))
    assert (quote.provider, quote.model, quote.prices, quote.locator) == ("acme", "one", {}, "prices[0]")
    [entry] = quote.stated
    assert (entry.since, entry.until) == (None, None)
    assert texts(entry.prices) == {"input": "0.06", "output": "0.24", "cache_read": "0.015"}
    assert {price.unit for price in entry.prices.values()} == {"USD/1M_token"}


def test_rows_of_one_model_become_dated_prices_oldest_first_at_midnight_utc() -> None:
    quote = one(row(input=3, from_date="2025-02-08"), row(to_date="2025-02-08"))
    day = datetime(2025, 2, 8, tzinfo=UTC)
    assert [(entry.since, entry.until, entry.prices["input"].text) for entry in quote.stated] == [
        (None, day, "1"),
        (day, None, "3"),
    ]
    assert not quote.findings


def test_vendors_and_prompt_lengths_are_kept_apart_as_published() -> None:
    found = quotes(row(), row(vendor="other"), row(id="one-200k", input=2))
    assert [(quote.provider, quote.model) for quote in found] == [
        ("acme", "one"),
        ("other", "one"),
        ("acme", "one-200k"),
    ]


def test_a_row_that_stands_twice_is_read_once() -> None:
    quote = one(row(name="One"), row(name="One ≤128k", input=1.0))
    assert len(quote.stated) == 1
    assert not quote.findings


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"to_date": "2025-03-01"}, {"from_date": "2025-02-28"}),
        ({"from_date": "2025-01-01", "to_date": "2025-12-31"}, {"from_date": "2025-06-01", "to_date": "2025-07-01"}),
        ({"from_date": "2025-01-01"}, {"from_date": "2026-01-01"}),
    ],
)
def test_two_prices_for_one_instant_hold_the_quote(first: dict[str, object], second: dict[str, object]) -> None:
    assert rules(one(row(**first), row(input=5, **second))) == [("contradiction", True)]
    assert rules(one(row(input=5, **second), row(**first))) == [("contradiction", True)]


def test_one_price_said_twice_for_overlapping_dates_contradicts_nothing() -> None:
    assert not one(row(), row(from_date="2025-01-01")).findings


def test_a_gap_between_two_prices_is_left_open() -> None:
    quote = one(row(to_date="2024-01-01"), row(input=3, from_date="2025-01-01"))
    assert [entry.until and entry.until.year for entry in quote.stated] == [2024, None]
    assert not quote.findings


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"input": "1.0"}, "type"),
        ({"output": True}, "type"),
        ({"input_cached": [0.1]}, "type"),
        ({"from_date": "8 February 2025"}, "dates"),
        ({"from_date": "2025-02-30"}, "dates"),
        ({"from_date": "20250208"}, "dates"),
        ({"to_date": 2025}, "dates"),
        ({"to_date": ""}, "dates"),
        ({"from_date": "2025-02-08", "to_date": "2025-02-08"}, "dates"),
    ],
)
def test_a_row_that_is_not_understood_holds_its_model_and_names_its_place(fields: dict[str, object], rule: str) -> None:
    good, bad = quotes(row(id="other"), row(**fields))
    assert not good.findings
    [finding] = bad.findings
    assert (finding.rule, finding.held, finding.locator) == (rule, True, "prices[1]")


def test_a_hostile_name_is_held_under_a_name_that_can_be_shown() -> None:
    quote = one(row(id="one\u202e"))
    assert (quote.model, rules(quote)) == ("one\\u202e", [("name", True)])


def test_zero_and_missing_prices_are_unknown() -> None:
    [entry] = one(row(input=0, output=None)).stated
    assert texts(entry.prices) == {"input": "", "output": ""}


def test_a_price_that_has_ended_stays_as_the_only_one() -> None:
    [entry] = one(row(from_date="2023-03-01", to_date="2024-01-01")).stated
    assert entry.until == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        [],
        {},
        [row()],
        {"prices": []},
        {"prices": {"one": row()}},
        {"updated_at": "2026-08-05"},
        {"prices": ["one"]},
        {"prices": [row(id="")]},
        {"prices": [row(vendor=None)]},
        {"prices": [{key: value for key, value in row().items() if key != "input"}]},
    ],
)
def test_a_body_that_is_no_list_of_rows_raises_source_changed(body: object) -> None:
    with pytest.raises(SourceChanged):
        parse(document("llm_prices", body), SPEC)


def test_the_current_form_without_dates_raises_source_changed() -> None:
    undated = {key: value for key, value in row().items() if not key.endswith("_date")}
    with pytest.raises(SourceChanged, match="from_date, to_date"):
        quotes(undated)


@pytest.mark.recorded
def test_every_row_of_recorded_documents_equals_an_independent_reading(recorded: Path) -> None:
    for body in catalogues.first_middle_last(recorded, "llm-prices"):
        wanted = {
            (
                entry["vendor"],
                entry["id"],
                entry["from_date"],
                entry["to_date"],
                entry["input"],
                entry["output"],
                entry["input_cached"],
            )
            for entry in catalogues.read(body)["prices"]
        }
        found = [
            (
                quote.provider,
                quote.model,
                entry.since and f"{entry.since:%Y-%m-%d}",
                entry.until and f"{entry.until:%Y-%m-%d}",
                *(Decimal(entry.prices[meter].text) for meter in ("input", "output")),
                Decimal(entry.prices["cache_read"].text) if "cache_read" in entry.prices else None,
            )
            for quote in parse(document("llm_prices", body), SPEC)
            for entry in quote.stated
        ]
        assert set(found) == wanted
        assert len(found) == len(wanted)


@pytest.mark.recorded
def test_every_recorded_body_is_read_whole_and_nothing_is_held(recorded: Path) -> None:
    recordings = catalogues.bodies(recorded, "llm-prices")
    assert len(recordings) == 36
    for instant, body in recordings:
        found = parse(document("llm_prices", body), SPEC)
        assert len({(quote.provider, quote.model) for quote in found}) == len(found) >= 74, instant
        assert not [quote for quote in found if quote.findings]


@pytest.mark.recorded
def test_an_announced_price_is_stated_before_it_holds(recorded: Path) -> None:
    body = catalogues.current(recorded, "llm-prices", "20260801T000000Z")
    [quote] = [quote for quote in parse(document("llm_prices", body), SPEC) if quote.model == "claude-sonnet-5"]
    change = datetime(2026, 9, 1, tzinfo=UTC)
    assert [(entry.since, entry.until, entry.prices["input"].text) for entry in quote.stated] == [
        (None, change, "2"),
        (change, None, "3"),
    ]
