"""Facts beside prices: read at the border, kept, asked for by model, and never taken for a price."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from collector.cli import main
from collector.config import load
from collector.parse.facts import coarse, day_of, facts_of, parameters_of, telemetry_of
from collector.sighting import Received, see
from store.facts import FactRow, facts
from store.intervals import prices_only
from store.query import changes, history
from store.read import open_store
from store.records import COUNT_FACTS, DATE_FACTS, Document, Facts, Telemetry, is_day
from tests.tape import T0, Tape, hour, usd
from tests.test_sources_contract import FOLDER

MODEL = "openai/gpt-oss-120b"
CARD = usd(input=1, output=2)
NOW = hour(3)
LISTS = ("features", "input_modalities", "output_modalities", "regions")
TRUTHS = ("open_weights", "trains_on_prompts")

days = st.dates(date(1000, 1, 1), date(9999, 12, 31)).flatmap(
    lambda day: st.sampled_from([f"{day:%Y}", f"{day:%Y-%m}", f"{day:%Y-%m-%d}"])
)
kinds = {
    **dict.fromkeys(COUNT_FACTS, st.integers(1, 2**53 - 1)),
    **dict.fromkeys(DATE_FACTS, days),
    **dict.fromkeys(LISTS, st.lists(st.text(), unique=True).map(lambda texts: tuple(sorted(texts)))),
    **dict.fromkeys(TRUTHS, st.booleans()),
}


def of(drawn: dict[str, Any]) -> Facts:
    return Facts(**drawn)


some_facts = st.fixed_dictionaries(
    {}, optional={name: kinds.get(name, st.text()) for name in Facts.__dataclass_fields__}
).map(of)


# --- values -----------------------------------------------------------------------------------------------------------


@given(some_facts)
def test_facts_are_what_their_text_says(stated: Facts) -> None:
    assert Facts.from_text(stated.text) == stated
    assert Facts.from_text(stated.text).text == stated.text


@given(some_facts, some_facts)
def test_what_is_stated_itself_goes_before_what_is_told_of_it(own: Facts, told: Facts) -> None:
    filled = own.filled(told)
    assert filled.stated == {
        name: getattr(own if name in own.stated else told, name) for name in own.stated.keys() | told.stated.keys()
    }


@given(st.integers(0, 9999), st.integers(0, 99), st.integers(0, 99))
def test_a_day_is_one_of_the_calendar(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        there = bool(date.fromisoformat(text))
    except ValueError:
        there = False
    assert is_day(text) is there
    assert is_day(text[:7]) is (year > 0 and 1 <= month <= 12)


@pytest.mark.parametrize("name", DATE_FACTS)
def test_no_record_holds_a_date_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Facts(**{name: "2025-02-30"})  # type: ignore[arg-type]


# --- the border -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "day"),
    [
        ("2025-08-05", "2025-08-05"),
        ("2025-08", "2025-08"),
        (" 2025 ", "2025"),
        ("2025-06-01T15:00:00Z", "2025-06-01"),
        ("August 2025", "2025-08"),
        ("Aug. 5, 2025", "2025-08-05"),
        (1745798400, "2025-04-28"),
        (Decimal(1745798400), "2025-04-28"),
        ("2025-02-31", None),
        ("2025-25-11", None),
        ("1970-01-01", None),
        ("2098-12-31", None),
        ("soon", None),
        ("Smarch 2025", None),
        ("08/05/2025", None),
        (0, None),
        (17457984000000, None),
        (True, None),
        (["2025"], None),
    ],
)
def test_a_date_is_as_fine_as_it_is_published_and_one_that_cannot_be_is_not_stated(
    published: object, day: str | None
) -> None:
    assert day_of(published) == day
    stated, notes = facts_of({"release_date": published}, "data[0]")
    assert (stated.release_date, [one.rule for one in notes]) == (day, [] if day else ["fact"])
    assert not any(one.held for one in notes), "no date costs a price"


@pytest.mark.parametrize(
    ("published", "count"),
    [
        ("117B", 117_000_000_000),
        ("5.1 billion", 5_100_000_000),
        ("1T", 1_000_000_000_000),
        ("350m", 350_000_000),
        (9399435264, 9_399_435_264),
        ("24", None),
        ("1000000T", None),
        ("large", None),
        (None, None),
    ],
)
def test_a_size_is_a_count_of_parameters(published: object, count: int | None) -> None:
    assert parameters_of(published) == count


@pytest.mark.parametrize(
    ("published", "truth"), [("Yes", True), ("no", False), (True, True), ("some", None), (1, None)]
)
def test_a_truth_is_said_or_unknown(published: object, truth: bool | None) -> None:
    assert facts_of({"open_weights": published}, "")[0].open_weights is truth


def test_what_has_taken_the_place_of_a_model_is_its_successor() -> None:
    named = facts_of({"status": "Superseded by Acme 2 Mini"}, "")[0]
    assert (named.status, named.successor) == ("superseded", "Acme 2 Mini")
    assert facts_of({"status": "Current"}, "")[0] == Facts(status="Current")
    assert facts_of({"status": "Replaced by Acme 2", "successor": "acme-2"}, "")[0].successor == "acme-2"


def test_a_region_may_stand_alone() -> None:
    assert [facts_of({"regions": one}, "")[0].regions for one in ("eu", ["us", "eu"], 3)] == [("eu",), ("eu", "us"), ()]


@given(st.decimals(Decimal("0.001"), 10**7, places=3))
def test_a_speed_is_kept_within_the_half_and_the_double_of_what_was_measured(measured: Decimal) -> None:
    kept = coarse(measured)
    if measured < 1:
        assert kept == 0
    else:
        assert str(kept).rstrip("0") in {"1", "2", "5"}
        assert Decimal("0.57") <= kept / measured <= Decimal("1.5")
        assert coarse(Decimal(kept)) == kept


@pytest.mark.parametrize(
    ("measures", "telemetry"),
    [
        ({"uptime_share": Decimal("0.985")}, Telemetry(uptime_percent=98)),
        ({"first_token_s": Decimal("5.52")}, Telemetry(first_token_ms=5000)),
        ({"uptime_percent": 101, "first_token_ms": 0, "tokens_per_second": None}, None),
        ({"tokens_per_second": Decimal("0.4")}, Telemetry(tokens_per_second=0)),
        ({"first_token_ms": "fast", "uptime_percent": True}, None),
    ],
)
def test_what_was_measured_is_read_in_its_unit_and_what_was_not_is_unknown(
    measures: Mapping[str, object], telemetry: Telemetry | None
) -> None:
    assert telemetry_of(measures) == telemetry


def test_what_the_list_of_openrouter_says_of_a_model_is_said_of_each_of_its_offers() -> None:
    spec = load(None, {}).sources["openrouter"]
    listed, answer = ((FOLDER / "openrouter" / name).read_bytes() for name in ("list.json", "sample-mill.json"))
    part = "acme/mill-120b"
    documents = tuple(
        Document(source="openrouter", url=spec.url, fetched_at=T0, status=200, body=body, part=of)
        for body, of in ((listed, ""), (answer, part), (answer, f"{part}:free"))
    )
    sighting, _ = see(Received(documents=documents[:2], failures={}), spec, T0)
    told = {(one.facts.knowledge_cutoff, one.facts.retires_on) for one in sighting.observations}
    assert told == {("2024-06-30", "2026-12-31")}
    sighting, _ = see(Received(documents=(documents[0], documents[2]), failures={}), spec, T0)
    assert {one.facts.retires_on for one in sighting.observations} == {None}, "2098 stands for never"
    notes = {(one.rule, one.held, one.message) for seen in sighting.observations for one in seen.findings}
    assert ("fact", False, "retires_on is '2098-12-31'") in notes


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tape(store_url: str) -> Tape:
    """Two sources on one model: a year and its day, two sizes, and a limit that each says otherwise."""
    tape = Tape(store_url)
    router, catalogue = tape.source("openrouter", trust=1), tape.source("models_dev", trust=2)
    for source in (router, catalogue):
        for at in (0, 1, 2):
            tape.poll(source, hour(at))
    turbo = tape.endpoint(router, "deepinfra", MODEL, tag="deepinfra/turbo", variant="turbo")
    plain = tape.endpoint(router, "deepinfra", MODEL, tag="deepinfra/bf16")
    other = tape.endpoint(catalogue, "deepinfra", MODEL)
    before = Facts(context_length=1000, features=("tools",))
    tape.interval(turbo, hour(0), CARD, before, ended=hour(1), end_reason="changed", last_seen=hour(0))
    tape.interval(turbo, hour(1), CARD, Facts(context_length=2000, features=("seed", "tools")), not_before=hour(0))
    known = Facts(context_length=1000, release_date="2025", total_parameters=117_000_000_000, open_weights=True)
    tape.interval(plain, hour(0), CARD, known)
    told = Facts(context_length=500, release_date="2025-08-05", total_parameters=120_000_000_000, open_weights=True)
    tape.interval(other, hour(1), CARD, told)
    tape.telemetry(plain, hour(0), Telemetry(status=0, uptime_percent=97, first_token_ms=500))
    tape.telemetry(plain, hour(2), Telemetry(status=-2, uptime_percent=98, tokens_per_second=50))
    return tape


def said(tape: Tape, at: datetime = NOW, **asked: Any) -> dict[tuple[str, str, str], FactRow]:
    with open_store(tape.url) as reader:
        found = facts(reader, MODEL, at, **asked)
    return {(row.fact, row.provider, row.value): row for row in found}


def test_each_value_is_told_with_who_says_so_at_how_many_endpoints_and_since_when(tape: Tape) -> None:
    found = said(tape)
    tools = found["features", "deepinfra", "tools"]
    assert (tools.sources, tools.endpoints, tools.since) == (("openrouter",), 1, hour(0)), "whatever changed beside it"
    assert found["features", "deepinfra", "seed"].since == hour(1)
    assert found["context_length", "deepinfra", "2000"].since == hour(1)
    weights = found["open_weights", "", "true"]
    assert (weights.sources, weights.endpoints, weights.since) == (("models_dev", "openrouter"), 2, hour(0))
    assert [row.fact for row in found.values()][:2] == ["release_date", "release_date"], "the model's own come first"
    assert "licence" not in {row.fact for row in found.values()}, "what nobody says has no row"


def test_values_that_cannot_both_be_right_are_disputed_and_no_others(tape: Tape) -> None:
    disputed = {(row.fact, row.value) for row in said(tape).values() if row.disputed}
    assert disputed == {
        ("total_parameters", "117000000000"),
        ("total_parameters", "120000000000"),
        ("context_length", "1000"),
        ("context_length", "500"),
    }, "a year and a day in it agree, and another variant may have another limit"


def test_how_endpoints_fare_is_told_as_of_the_last_measures_by_then(tape: Tape) -> None:
    now = {fact: value for fact, _, value in said(tape)}
    assert (now["health"], now["uptime_percent"], now["tokens_per_second"]) == ("-2", "98", "50")
    assert "first_token_ms" not in now, "of what is not measured any more nothing is known"
    then = {fact: value for fact, _, value in said(tape, at=hour(1))}
    assert (then["health"], then["uptime_percent"], then["first_token_ms"]) == ("0", "97", "500")
    known = {fact: value for fact, _, value in said(tape, known=hour(1))}
    assert known["uptime_percent"] == "97"


def test_facts_are_asked_for_on_both_clocks_and_of_one_source_or_provider(tape: Tape) -> None:
    assert ("features", "deepinfra", "seed") not in said(tape, at=hour(0))
    assert ("features", "deepinfra", "seed") not in said(tape, known=hour(0))
    assert {row.sources for row in said(tape, source="models_dev").values()} == {("models_dev",)}
    assert not said(tape, provider="groq")


def test_the_command_answers_in_every_form_and_ends_with_3_where_there_is_nothing(tape: Tape) -> None:
    def ask(*words: str) -> tuple[int, str]:
        given = ["--store", tape.url, "facts", "gpt-oss-120b", "--at", "2026-08-01T03:00:00Z", *words]
        done = CliRunner().invoke(main, given, prog_name="tokentape", catch_exceptions=False)
        return done.exit_code, done.stdout

    code, lines = ask("--format", "jsonl")
    rows = [json.loads(line) for line in lines.splitlines()]
    assert code == 0
    assert rows[0].keys() == {"model", "fact", "provider", "value", "sources", "endpoints", "since", "disputed"}
    assert len(rows) == len(said(tape))
    assert json.loads(ask("--format", "json")[1]) == rows
    assert ask("--format", "csv")[1].splitlines()[0] == "model,fact,provider,value,sources,endpoints,since,disputed"
    assert "disputed" in ask()[1]
    assert ask("--provider", "nobody") == (3, "")


def test_readers_of_prices_are_spared_what_is_no_price(tape: Tape) -> None:
    with open_store(tape.url) as reader:
        moved = list(changes(reader))
        assert {(row.meter, row.kind) for row in moved} == {("context_length", "fact"), ("features", "fact")}
        assert list(changes(reader, prices_only=True)) == []
        rows = list(history(reader, MODEL, hour(3)))
        joined = list(prices_only(rows))
    assert (len(rows), len(joined)) == (4, 3)
    (turbo,) = (row for row in joined if row.variant == "turbo")
    first, last = (row for row in rows if row.variant == "turbo")
    assert (turbo.first_seen, turbo.document, turbo.facts) == (first.first_seen, first.document, first.facts)
    assert (turbo.ended, turbo.last_seen, turbo.card) == (None, last.last_seen, CARD)


def test_what_followed_after_a_gap_or_at_another_price_is_not_joined(store_url: str) -> None:
    tape = Tape(store_url)
    one = tape.endpoint(tape.source("acme"), "acme", MODEL)
    dearer = usd(input=3)
    tape.interval(one, hour(0), CARD, ended=hour(1), end_reason="changed", last_seen=hour(0))
    tape.interval(one, hour(1), dearer, ended=hour(2), end_reason="withdrawn", last_seen=hour(1))
    tape.interval(one, hour(5), dearer)
    with open_store(store_url) as reader:
        rows = list(history(reader, MODEL, hour(9)))
        assert list(prices_only(rows)) == rows
