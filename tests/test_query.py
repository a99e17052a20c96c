"""What the store answers, held against rows that were written one by one."""

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from store.errors import NothingMatched, QueryError, StoreBusy, StoreError, StoreForeign, StoreMissing
from store.evidence import published_record
from store.instants import age_text, iso, parse_instant
from store.moves import percent_text
from store.query import changes, current, endpoints, explain, find_model, held, history, models, sources
from store.read import open_store
from store.records import Document, Facts, Override, RateCard
from store.version import SCHEMA_VERSION
from tests.stores import run
from tests.tape import T0, Tape, hour, usd

MODEL = "openai/gpt-oss-120b"
CARD = usd(input=37_000_000, output=170_000_000)
DEARER = usd(input=74_000_000, output=170_000_000)


@pytest.fixture
def tape(store_url: str) -> Tape:
    return Tape(store_url)


@pytest.fixture
def file(tmp_path: Path) -> Tape:
    return Tape(tmp_path / "tape.db")


# --- endpoints as of an instant ---


@pytest.mark.fault(124)
@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (hour(1) - timedelta(milliseconds=1), []),
        (hour(1), [CARD]),
        (hour(2) - timedelta(milliseconds=1), [CARD]),
        (hour(2), [DEARER]),
        (hour(4) - timedelta(milliseconds=1), [DEARER]),
        (hour(4), []),
        (hour(9), [CARD]),
    ],
)
def test_intervals_are_half_open(tape: Tape, at: datetime, expected: list[RateCard]) -> None:
    source = tape.source("acme")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.interval(endpoint, hour(1), CARD, ended=hour(2), end_reason="changed", last_seen=hour(1))
    tape.interval(endpoint, hour(2), DEARER, ended=hour(4), end_reason="withdrawn", last_seen=hour(3))
    tape.interval(endpoint, hour(8), CARD)
    with open_store(tape.url) as reader:
        assert [row.card for row in endpoints(reader, MODEL, at)] == expected


def test_as_of_equals_a_search_through_all_intervals(tape: Tape) -> None:
    random = Random(7)
    source = tape.source("acme")
    written: list[tuple[str, datetime, datetime | None]] = []
    for number in range(12):
        endpoint = tape.endpoint(source, "acme", MODEL, tag=str(number))
        edges = sorted(random.sample(range(40), 8))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            ended = None if last == edges[-1] and number % 2 else hour(last)
            tape.interval(endpoint, hour(first), CARD, ended=ended)
            written.append((f"{MODEL}@{number}", hour(first), ended))
    with open_store(tape.url) as reader:
        for half_hours in range(-1, 84):
            at = hour(half_hours / 2)
            expected = sorted((name, first) for name, first, end in written if first <= at and (not end or at < end))
            found = [(row.endpoint, row.first_seen) for row in endpoints(reader, MODEL, at)]
            assert sorted(found) == expected
            assert sorted((row.endpoint, row.first_seen) for row in current(reader, at)) == expected


def test_endpoints_of_one_provider_are_never_merged(tape: Tape) -> None:
    source = tape.source("openrouter")
    for tag, sibling in (("together", ""), ("together", "a1b2"), ("together/turbo", "")):
        tape.interval(tape.endpoint(source, "together", MODEL, tag=tag, sibling=sibling), T0, CARD)
    with open_store(tape.url) as reader:
        found = [row.endpoint for row in endpoints(reader, MODEL, T0)]
    assert found == [f"{MODEL}@together", f"{MODEL}@together#a1b2", f"{MODEL}@together/turbo"]


def test_every_source_is_listed_unless_one_is_named(tape: Tape) -> None:
    for name, trust in (("litellm", 2), ("acme", 0)):
        source = tape.source(name, trust=trust)
        for provider in ("acme", "other"):
            tape.interval(tape.endpoint(source, provider, MODEL), T0, CARD)
    with open_store(tape.url) as reader:
        found = [(row.provider, row.source) for row in endpoints(reader, MODEL, T0)]
        assert found == [("acme", "acme"), ("acme", "litellm"), ("other", "acme"), ("other", "litellm")]
        assert [row.source for row in endpoints(reader, MODEL, T0, provider="acme", source="litellm")] == ["litellm"]
        assert endpoints(reader, "no/model", T0) == []


# --- last seen ---


def last_seen(tape: Tape, at: datetime) -> list[float]:
    """Hours at which the endpoints of the model were last seen."""
    with open_store(tape.url) as reader:
        return [(row.last_seen - T0) / timedelta(hours=1) for row in endpoints(reader, MODEL, at)]


def test_an_open_interval_was_last_seen_by_the_newest_whole_poll(tape: Tape) -> None:
    source, other = tape.source("acme"), tape.source("other")
    tape.interval(tape.endpoint(source, "acme", MODEL), hour(1), CARD)
    for at, outcome in ((1, "ok"), (2, "ok"), (3, "failed"), (5, "ok")):
        tape.poll(source, hour(at), outcome)
    tape.poll(other, hour(4))
    assert [last_seen(tape, hour(at)) for at in (1, 2, 4, 5, 6)] == [[1], [2], [2], [5], [5]]


def test_a_poll_in_part_counts_only_where_it_answered(tape: Tape) -> None:
    source = tape.source("openrouter")
    for part in ("a", "b", "c"):
        tape.interval(tape.endpoint(source, part, MODEL, part=part), hour(1), CARD)
    tape.poll(source, hour(0), "partial", failed_parts=["a"])
    tape.poll(source, hour(1))
    tape.poll(source, hour(2), "partial", failed_parts=["a", "b"])
    tape.poll(source, hour(3), "partial", failed_parts=["b", "c"])
    assert last_seen(tape, hour(2)) == [1, 1, 2]
    assert last_seen(tape, hour(3)) == [3, 1, 2]
    tape.poll(source, hour(4))
    assert last_seen(tape, hour(4)) == [4, 4, 4]


def test_a_source_that_was_never_whole_is_seen_in_its_parts(tape: Tape) -> None:
    source = tape.source("openrouter")
    for part in ("a", "b"):
        tape.interval(tape.endpoint(source, part, MODEL, part=part), hour(1), CARD)
    tape.poll(source, hour(1), "partial", failed_parts=["c"])
    tape.poll(source, hour(2), "partial", failed_parts=["b"])
    assert last_seen(tape, hour(5)) == [2, 1]


def test_an_unseen_endpoint_stays_in_force_and_was_last_seen_before(tape: Tape) -> None:
    source = tape.source("acme")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.interval(endpoint, hour(0), CARD)
    tape.gap(endpoint, hour(2), hour(1))
    for at in range(4):
        tape.poll(source, hour(at))
    assert [last_seen(tape, hour(at)) for at in (0, 1, 2, 3)] == [[0], [1], [1], [1]]
    with open_store(tape.url) as reader:
        assert endpoints(reader, MODEL, hour(3))[0].unseen_since == hour(2)


def test_before_its_end_an_ended_interval_was_seen_by_the_poll_of_then(tape: Tape) -> None:
    source = tape.source("acme")
    tape.interval(tape.endpoint(source, "acme", MODEL), hour(0), CARD, ended=hour(3), last_seen=hour(2))
    for at in range(4):
        tape.poll(source, hour(at))
    assert [last_seen(tape, hour(at)) for at in (0.5, 1.5, 2.5)] == [[0], [1], [2]]


def test_a_price_goes_stale_after_two_polling_periods_and_a_grace(tape: Tape) -> None:
    source = tape.source("acme", every_s=3600)
    tape.interval(tape.endpoint(source, "acme", MODEL), T0, CARD)
    tape.poll(source, T0)
    limit = timedelta(hours=2, minutes=15)
    with open_store(tape.url) as reader:
        assert not endpoints(reader, MODEL, T0 + limit)[0].stale
        assert endpoints(reader, MODEL, T0 + limit + timedelta(seconds=1))[0].stale


def test_an_endpoint_is_disputed_while_a_newer_price_is_held(tape: Tape) -> None:
    source = tape.source("acme")
    one, other = (tape.endpoint(source, name, MODEL) for name in ("one", "other"))
    tape.interval(one, T0, CARD)
    tape.interval(other, T0, CARD)
    tape.finding(source, hour(1), endpoint=one, ended=hour(2), card=DEARER)
    tape.finding(source, hour(1), endpoint=other, held=False)
    tape.finding(source, hour(1))
    with open_store(tape.url) as reader:
        disputed = [[row.disputed for row in endpoints(reader, MODEL, hour(at))] for at in (0.5, 1, 2)]
    assert disputed == [[False, False], [True, False], [False, False]]


# --- what a source dates itself ---


def test_before_the_first_observation_a_stated_price_answers_as_such(tape: Tape) -> None:
    source = tape.source("llm_prices")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.poll(source, hour(0))
    tape.interval(endpoint, hour(0), CARD)
    tape.stated(endpoint, None, hour(-20), usd(input=3), first_seen=hour(0))
    tape.stated(endpoint, hour(-20), hour(-10), usd(input=2), first_seen=hour(0))
    tape.stated(endpoint, hour(-10), None, CARD, first_seen=hour(0))
    with open_store(tape.url) as reader:
        for at, amount in ((-1000, 3), (-20.5, 3), (-20, 2), (-10.5, 2), (-10, 37_000_000), (-0.5, 37_000_000)):
            (row,) = endpoints(reader, MODEL, hour(at))
            assert (row.basis, row.card.amount("input"), row.context_length) == ("stated", amount, None)
            assert not row.stale
        (row,) = endpoints(reader, MODEL, hour(0))
        assert row.basis == "observed"
        assert [row.basis for row in current(reader, hour(-15))] == ["stated"]


def test_a_statement_without_dates_or_no_longer_made_says_nothing_about_the_past(tape: Tape) -> None:
    source = tape.source("llm_prices")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.interval(endpoint, hour(0), CARD)
    tape.stated(endpoint, None, None, CARD, first_seen=hour(0))
    tape.stated(endpoint, hour(-9), None, DEARER, first_seen=hour(0), ended=hour(1))
    with open_store(tape.url) as reader:
        assert endpoints(reader, MODEL, hour(-5)) == []


def test_what_was_observed_is_never_overruled_by_what_is_stated(tape: Tape) -> None:
    source = tape.source("llm_prices")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.interval(endpoint, hour(0), CARD, ended=hour(1), end_reason="withdrawn", last_seen=hour(0))
    tape.stated(endpoint, hour(-9), None, DEARER, first_seen=hour(0))
    with open_store(tape.url) as reader:
        assert endpoints(reader, MODEL, hour(2)) == []


def test_of_overlapping_statements_the_latest_since_answers(tape: Tape) -> None:
    source = tape.source("llm_prices")
    endpoint = tape.endpoint(source, "acme", MODEL)
    for since, amount in ((-5, 2), (None, 1), (-9, 3)):
        tape.stated(endpoint, None if since is None else hour(since), hour(9), usd(input=amount), first_seen=hour(0))
    with open_store(tape.url) as reader:
        found = [endpoints(reader, MODEL, hour(at))[0].card.amount("input") for at in (-10, -8, -4)]
    assert found == [1, 3, 2]


# --- history ---


def test_history_has_the_intervals_with_any_time_in_the_range(tape: Tape) -> None:
    source = tape.source("acme")
    endpoint = tape.endpoint(source, "acme", MODEL)
    for first in range(4):
        tape.interval(endpoint, hour(first), CARD, ended=hour(first + 1) if first < 3 else None)
    tape.interval(tape.endpoint(source, "acme", "other/model"), hour(0), CARD)
    with open_store(tape.url) as reader:

        def hours(since: float | None, until: float | None) -> list[float]:
            found = history(
                reader,
                MODEL,
                hour(9),
                since=None if since is None else hour(since),
                until=None if until is None else hour(until),
            )
            return [(row.first_seen - T0) / timedelta(hours=1) for row in found]

        assert hours(None, None) == [0, 1, 2, 3]
        assert hours(1, 2) == [1]
        assert hours(1.5, 2.5) == [1, 2]
        assert hours(2, None) == [2, 3]
        assert hours(None, 0) == []
        assert [row.model for row in history(reader, None, hour(9), since=hour(3))] == [MODEL, "other/model"]


def test_history_shows_stated_prices_only_when_asked(tape: Tape) -> None:
    source = tape.source("llm_prices")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.interval(endpoint, hour(0), CARD)
    tape.stated(endpoint, hour(-9), None, CARD, first_seen=hour(0))
    with open_store(tape.url) as reader:
        assert [row.basis for row in history(reader, MODEL, hour(1))] == ["observed"]
        both = list(history(reader, MODEL, hour(1), stated=True))
        assert [(row.basis, row.stated_since) for row in both] == [("observed", None), ("stated", hour(-9))]


# --- changes ---


def moved(tape: Tape, since: float = -1000, until: float = 1000) -> list[tuple[str, str, str | None, str | None]]:
    with open_store(tape.url) as reader:
        found = changes(reader, since=hour(since), until=hour(until))
        return [(row.event, row.meter, row.old, row.new) for row in found]


def test_what_a_source_shows_at_first_is_no_change(tape: Tape) -> None:
    tape.interval(tape.endpoint(tape.source("acme"), "acme", MODEL), hour(0), CARD)
    assert moved(tape) == []


def test_changes_tell_each_meter_condition_and_fact_that_moved(tape: Tape) -> None:
    endpoint = tape.endpoint(tape.source("acme"), "acme", MODEL)
    night = Override(start_minute=0, end_minute=60, amounts=(("input", 5),))
    before = RateCard(
        currency="USD",
        amounts=(("input", 37_000_000), ("output", 170_000_000)),
        states=(("cache_read", "unknown"),),
        overrides=(Override(above_tokens=200_000, amounts=(("input", 74_000_000),)), night),
    )
    after = RateCard(
        currency="USD",
        amounts=(("cache_read", 0), ("input", 74_000_000), ("output", 170_000_000)),
        overrides=(Override(above_tokens=200_000, amounts=(("input", 37_000_000),), unknown=("output",)),),
    )
    facts = Facts(context_length=8192, quantization="fp8", features=("tools", "top_k"))
    newer = Facts(context_length=131_072, features=("tools", "top_p"), status="beta")
    tape.interval(endpoint, hour(0), before, facts, ended=hour(2), end_reason="changed", last_seen=hour(1))
    tape.interval(endpoint, hour(2), after, newer, not_before=hour(1))
    with open_store(tape.url) as reader:
        found = {row.meter: row for row in changes(reader)}
    assert {name: (row.old, row.new, row.change_percent) for name, row in found.items()} == {
        "input": ("0.037", "0.074", "100"),
        "cache_read": (None, "0", None),
        "input above 200000": ("0.074", "0.037", "-50"),
        "output above 200000": (None, None, None),
        "input 00:00-01:00 UTC": ("0.000000005", None, None),
        "context_length": ("8192", "131072", "1500"),
        "quantization": ("fp8", None, None),
        "status": (None, "beta", None),
        "features": ("top_k", "top_p", None),
    }
    assert (found["cache_read"].old_state, found["cache_read"].new_state) == ("unknown", "free")
    assert (found["input"].seen, found["input"].not_before, found["input"].event) == (hour(2), hour(1), "change")
    assert found["output above 200000"].new_state == "unknown"
    assert found["context_length"].new_state is None


def test_arrival_withdrawal_and_return_are_told_apart(tape: Tape) -> None:
    endpoint = tape.endpoint(tape.source("acme"), "acme", MODEL)
    one = usd(input=1_000_000_000)
    tape.interval(endpoint, hour(1), one, not_before=hour(0), ended=hour(4), end_reason="withdrawn", last_seen=hour(3))
    tape.interval(endpoint, hour(9), one, not_before=hour(8))
    assert moved(tape) == [
        ("arrival", "input", None, "1"),
        ("withdrawal", "input", "1", None),
        ("return", "input", None, "1"),
    ]
    assert [event for event, *_ in moved(tape, 1, 4)] == ["arrival"]
    assert [event for event, *_ in moved(tape, 4, 9)] == ["withdrawal"]
    with open_store(tape.url) as reader:
        withdrawal = list(changes(reader))[1]
    assert (withdrawal.seen, withdrawal.not_before, withdrawal.document) == (hour(4), hour(3), None)


def test_an_endpoint_without_any_price_arrives_all_the_same(tape: Tape) -> None:
    tape.interval(tape.endpoint(tape.source("acme"), "acme", MODEL), hour(1), usd(), not_before=hour(0))
    assert moved(tape) == [("arrival", "", None, None)]


def test_amounts_in_two_currencies_are_not_compared(tape: Tape) -> None:
    endpoint = tape.endpoint(tape.source("acme"), "acme", MODEL)
    euro = RateCard(currency="EUR", amounts=(("input", 2_000_000_000),))
    tape.interval(endpoint, hour(0), usd(input=1_000_000_000), ended=hour(1), end_reason="changed", last_seen=hour(0))
    tape.interval(endpoint, hour(1), euro, not_before=hour(0))
    with open_store(tape.url) as reader:
        found = [(row.meter, row.old, row.new, row.change_percent) for row in changes(reader)]
    assert found == [("currency", "USD", "EUR", None), ("input", "1", "2", None)]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [(3, 4, "33.33"), (8, 7, "-12.5"), (200_000, 200_001, "0"), (0, 5, None), (None, 5, None), (5, None, None)],
)
def test_percentages_are_rounded_to_hundredths(old: int | None, new: int | None, text: str | None) -> None:
    assert percent_text(old, new) == text


def test_changes_are_narrowed_to_model_provider_and_source(tape: Tape) -> None:
    for name in ("acme", "other"):
        source = tape.source(name)
        for model in (MODEL, "a/b"):
            tape.interval(tape.endpoint(source, name, model), hour(1), CARD, not_before=hour(0))
    with open_store(tape.url) as reader:
        assert len({(row.model, row.provider) for row in changes(reader)}) == 4
        assert {row.model for row in changes(reader, model="a/b", provider="acme", source="acme")} == {"a/b"}
        assert not list(changes(reader, provider="acme", source="other"))


# --- models, sources, held ---


def test_models_are_found_by_any_part_of_their_id_taken_literally(tape: Tape) -> None:
    source = tape.source("acme")
    for name in ("acme/100%_pure", "acme/100x-pure", "acme/Loud", "acme/gone!"):
        tape.interval(tape.endpoint(source, "acme", name), hour(0), CARD, ended=hour(1) if name.endswith("!") else None)
    with open_store(tape.url) as reader:

        def found(query: str, at: float = 2) -> list[str]:
            return [row.model for row in models(reader, query, hour(at))]

        assert found("100%") == found("%_") == ["acme/100%_pure"]
        assert found("LOUD") == ["acme/Loud"]
        assert found("!") == []
        assert found("!", 0.5) == ["acme/gone!"]
        assert len(found("")) == 3


def test_a_model_shows_its_lowest_paid_prices_and_how_many_offers_are_free(tape: Tape) -> None:
    one, other = tape.source("one"), tape.source("other")
    tape.interval(tape.endpoint(one, "a", MODEL), T0, usd(input=0, output=0), Facts(context_length=1000))
    tape.interval(tape.endpoint(one, "b", MODEL), T0, usd(input=0, output=7))
    tape.interval(tape.endpoint(other, "b", MODEL), T0, usd(input=3, output=5), Facts(context_length=500))
    tape.interval(tape.endpoint(other, "c", MODEL), T0, RateCard(currency="EUR", amounts=(("input", 1), ("output", 1))))
    with open_store(tape.url) as reader:
        (row,) = models(reader, "oss", T0)
    assert (row.endpoints, row.providers, row.sources, row.free) == (4, 3, 2, 1)
    assert (row.input, row.output, row.context_length) == (0, 5, 1000)


def test_a_model_is_meant_by_its_id_or_by_a_slug_that_only_it_has(tape: Tape) -> None:
    source = tape.source("acme")
    for name in (MODEL, "qwen/qwen3-32b", "copycat/qwen3-32b", "bare-model"):
        tape.endpoint(source, "acme", name)
    with open_store(tape.url) as reader:
        assert find_model(reader, MODEL) == find_model(reader, "gpt-oss-120b") == MODEL
        assert find_model(reader, "OpenAI/GPT-OSS-120B") == find_model(reader, "GPT-OSS-120b") == MODEL
        assert find_model(reader, "bare-model") == "bare-model"
        with pytest.raises(QueryError, match="copycat/qwen3-32b, qwen/qwen3-32b"):
            find_model(reader, "qwen3-32b")


@pytest.mark.parametrize("name", ["gpt-oss", "gpt-oss-20b", "someone/gpt-oss-120b", "gpt_oss-120b", "%", "", "/"])
def test_no_other_model_answers_for_one_that_is_not_there(tape: Tape, name: str) -> None:
    tape.endpoint(tape.source("acme"), "acme", MODEL)
    with open_store(tape.url) as reader, pytest.raises(NothingMatched, match="no model"):
        find_model(reader, name)


@pytest.mark.fault(104, 105)
def test_a_model_that_is_not_there_names_what_is_near(tape: Tape) -> None:
    source = tape.source("acme")
    for name in (MODEL, "openai/gpt-oss-20b", "qwen/qwen3-32b"):
        tape.endpoint(source, "acme", name)
    with open_store(tape.url) as reader:
        with pytest.raises(NothingMatched, match=r"near: openai/gpt-oss-20b, openai/gpt-oss-120b$"):
            find_model(reader, "gpt-oss")
        with pytest.raises(NothingMatched, match=r"near: qwen/qwen3-32b$"):
            find_model(reader, "qwen/qwen-3-32b")


def test_a_source_shows_how_it_fares(tape: Tape) -> None:
    fine, failing = tape.source("fine", trust=1, every_s=600), tape.source("failing")
    tape.source("new")
    tape.poll(fine, hour(-30), changes=9)
    tape.poll(fine, hour(0), "partial", failed_parts=["x"], message="1 of 9 parts failed", changes=2)
    tape.poll(failing, hour(-9))
    tape.poll(failing, hour(-8), "failed", message="HTTP 500")
    tape.poll(failing, hour(-7), "failed", message="timed out")
    endpoint = tape.endpoint(fine, "acme", MODEL)
    tape.interval(endpoint, hour(-30), CARD, ended=hour(0))
    tape.interval(endpoint, hour(0), CARD)
    tape.interval(tape.endpoint(fine, "acme", MODEL, tag="gone"), hour(-30), CARD, ended=hour(0))
    tape.finding(fine, hour(0))
    tape.finding(fine, hour(0), held=False)
    tape.finding(fine, hour(-9), ended=hour(-8))
    tape.finding(fine, hour(-9), known_to=hour(-8))
    tape.interval(tape.endpoint(fine, "acme", MODEL, tag="never"), hour(-30), CARD, known_to=hour(0))
    with open_store(tape.url) as reader:
        rows = {row.source: row for row in sources(reader, hour(1))}
    row = rows["fine"]
    assert (row.trust, row.every_s, row.last_poll, row.last_success) == (1, 600, hour(0), hour(0))
    assert (row.endpoints, row.changes, row.held, row.failures) == (1, 2, 1, 0)
    assert row.last_error == "1 of 9 parts failed"
    row = rows["failing"]
    assert (row.last_poll, row.last_success, row.failures, row.last_error) == (hour(-7), hour(-9), 2, "timed out")
    row = rows["new"]
    assert (row.last_poll, row.last_success, row.endpoints, row.last_error) == (None, None, 0, None)


def test_held_shows_what_is_refused_beside_what_is_believed(tape: Tape) -> None:
    source = tape.source("acme")
    endpoint = tape.endpoint(source, "acme", MODEL)
    tape.interval(endpoint, hour(0), CARD)
    tape.finding(source, hour(1), endpoint=endpoint, card=DEARER, subject="Acme gpt-oss-120b")
    tape.finding(source, hour(1), subject="acme", message="a third is missing")
    tape.finding(source, hour(1), held=False)
    tape.finding(source, hour(1), endpoint=endpoint, ended=hour(2))
    with open_store(tape.url) as reader:
        one, whole = held(reader)
        assert held(reader, source="other") == []
    assert (one.subject, one.model, one.accepted, one.card) == ("Acme gpt-oss-120b", MODEL, CARD, DEARER)
    assert (one.ref, one.locator, one.first_seen) == (f"acme:acme:{MODEL}", "data[7]", hour(1))
    assert (whole.message, whole.model, whole.accepted, whole.card, whole.ref) == (
        "a third is missing",
        None,
        None,
        None,
        None,
    )


def test_held_shows_also_what_is_about_a_poll_as_a_whole(tape: Tape) -> None:
    tape.finding(tape.source("acme"), hour(1), subject="acme", whole=True)
    with open_store(tape.url) as reader:
        (row,) = held(reader)
    assert (row.subject, row.document, row.url) == ("acme", None, None)


# --- evidence ---

BODY = b"""{"data": {"endpoints": [
  {"tag": "a", "pricing": {"prompt": "0.1"}},
  {"tag": "b", "pricing": {"prompt": 0.000000150000000000000012, "big": 1e400}}
]}}"""


def evidenced(tape: Tape, *, kept: bool = True) -> str:
    """A store with one endpoint, its document in the archive; the reference to it."""
    at = hour(1)
    document = Document(
        source="openrouter", url="https://x.example/a", fetched_at=at, status=200, body=BODY, part=MODEL
    )
    pack = tape.archive.keep([document])
    source = tape.source("openrouter")
    poll = tape.poll(source, at, pack=pack if kept else None)
    endpoint = tape.endpoint(source, "acme", MODEL, tag="b:1", part=MODEL)
    row = tape.document(poll, part=MODEL, body=BODY, url=document.url)
    facts = Facts(context_length=8192)
    tape.interval(endpoint, at, CARD, facts, document=row, locator="data.endpoints[1]", ended=hour(5))
    tape.finding(source, hour(2), endpoint=endpoint, card=DEARER)
    return f"openrouter:acme:{MODEL}@b:1"


def test_evidence_leads_to_the_record_as_published(tape: Tape) -> None:
    ref = evidenced(tape)
    with open_store(tape.url) as reader:
        (one,) = explain(reader, ref, hour(2))
        assert one.row.ref == endpoints(reader, MODEL, hour(2))[0].ref == ref
    assert one.record == '{"tag": "b", "pricing": {"prompt": 0.000000150000000000000012, "big": 1e400}}'
    assert (one.url, one.polled_at, one.part) == ("https://x.example/a", hour(1), MODEL)
    assert (one.facts, one.held) == ('{"context_length":8192}', ("ratio: 25 times the accepted amount",))
    assert one.record_missing is None


def test_evidence_of_what_is_gone_is_that_of_its_last_price(tape: Tape) -> None:
    ref = evidenced(tape)
    with open_store(tape.url) as reader:
        (one,) = explain(reader, ref, hour(9))
        assert one.row.ended == hour(5)
        with pytest.raises(NothingMatched, match="no price of"):
            explain(reader, ref, hour(0))


def test_evidence_says_why_there_is_no_record(tape: Tape, tmp_path: Path) -> None:
    ref = evidenced(tape)
    with open_store(tape.url) as reader:
        (one,) = explain(reader, ref, hour(2), archive=tmp_path / "elsewhere")
    assert one.record is None
    assert "missing" in (one.record_missing or "")


def test_evidence_of_a_poll_that_kept_nothing_is_still_told(tape: Tape) -> None:
    ref = evidenced(tape, kept=False)
    with open_store(tape.url) as reader:
        assert explain(reader, ref, hour(2))[0].record_missing == "the poll kept no documents"


@pytest.mark.parametrize("ref", ["", "openrouter", "openrouter:acme", "openrouter:acme:", f":acme:{MODEL}", MODEL])
def test_a_reference_of_another_form_is_refused(tape: Tape, ref: str) -> None:
    with open_store(tape.url) as reader, pytest.raises(QueryError, match="SOURCE:PROVIDER:ENDPOINT"):
        explain(reader, ref, T0)


def test_a_price_that_is_only_stated_has_its_evidence_too(tape: Tape) -> None:
    source = tape.source("llm_prices")
    poll = tape.poll(source, hour(0))
    endpoint = tape.endpoint(source, "acme", MODEL)
    assert poll == endpoint  # whose documents the statement's belongs to
    tape.stated(endpoint, hour(-9), None, CARD, first_seen=hour(0))
    with open_store(tape.url) as reader:
        (one,) = explain(reader, f"llm_prices:acme:{MODEL}", hour(-5))
    assert (one.row.basis, one.facts, one.row.stated_since) == ("stated", None, hour(-9))


@pytest.mark.parametrize(
    ("body", "locator", "record", "missing"),
    [
        (json.dumps("x" * 50_000).encode(), "", '"' + "x" * 19_998 + "…", None),
        (b"<table></table>", "row 4", None, "it is not JSON: see row 4"),
    ],
)
def test_a_record_is_cut_visibly_or_located(
    tape: Tape, body: bytes, locator: str, record: str | None, missing: str | None
) -> None:
    at = hour(1)
    document = Document(source="acme", url="https://x.example", fetched_at=at, status=200, body=body)
    pack = tape.archive.keep([document])
    source = tape.source("acme")
    endpoint = tape.endpoint(source, "acme", MODEL)
    row = tape.document(tape.poll(source, at, pack=pack), body=body)
    tape.interval(endpoint, at, CARD, document=row, locator=locator)
    with open_store(tape.url) as reader:
        (one,) = explain(reader, f"acme:acme:{MODEL}", at)
    assert (one.record, one.record_missing) == (record, missing)


def test_a_reference_to_nothing_names_what_is_near(tape: Tape) -> None:
    ref = evidenced(tape)
    with open_store(tape.url) as reader:
        with pytest.raises(NothingMatched, match=f"near: {ref}"):
            explain(reader, ref[:-1], hour(2))
        with pytest.raises(NothingMatched, match="names each as `ref`"):
            explain(reader, "other:acme:model", hour(2))


NESTED = {
    "a.b": {"c": [10, [11, 12]]},
    "a": {"b": 13, 'quo"ted]': {"x": 14}},
    "author/slug-1.0": {"p": 15},
    "é\u2028": 16,
    "list": [{"id": "x"}],
}


@pytest.mark.parametrize(
    ("locator", "expected"),
    [
        ("a.b.c[1][0]", 11),
        ("a.b", {"c": [10, [11, 12]]}),
        ('["a"].b', 13),
        ('a["quo"ted]"].x', 14),
        ('["author/slug-1.0"].p', 15),
        ("author/slug-1.0", {"p": 15}),
        ("é\u2028", 16),
        ("list[0].id", "x"),
        ("", NESTED),
        ("list[1]", None),
        ("list.0", None),
        ("missing", None),
        ("lis", None),
        ("row 4", None),
        ("list[0].id.x", None),
    ],
)
def test_a_record_is_found_by_its_locator(locator: str, expected: object) -> None:
    for body in (json.dumps(NESTED), json.dumps(NESTED, indent=3, ensure_ascii=False)):
        record = published_record(body.encode(), locator)
        assert (record and json.loads(record)) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1", b"\xff\xfe", b"[" * 100_000, b'{"a" 1}', b"{1: 2}"])
def test_a_document_that_is_not_json_has_no_record(body: bytes) -> None:
    assert published_record(body, "a[0]") is None


def test_of_a_key_that_stands_twice_the_last_is_the_record() -> None:
    assert published_record(b'{"a": 1, "a": 2}', "a") == "2"


# --- opening a store ---


def test_a_store_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="run `tokentape collect`"), open_store(f"sqlite:///{tmp_path}/none.db"):
        pass
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(StoreForeign, match="is not a tokentape store"), open_store(str(path)):
        pass
    with pytest.raises(StoreForeign, match="is not a file"), open_store(str(tmp_path)):
        pass


NEWER = SCHEMA_VERSION + 1


@pytest.mark.parametrize(
    ("pragma", "message"), [("application_id", "not a tokentape"), ("user_version", f"schema {NEWER}")]
)
def test_a_database_of_another_program_or_version_is_refused(file: Tape, pragma: str, message: str) -> None:
    with closing(sqlite3.connect(file.path)) as connection:
        connection.execute(f"PRAGMA {pragma} = {NEWER}")
    with pytest.raises(StoreForeign, match=message), open_store(file.url):
        pass


@pytest.mark.fault(133)
def test_a_damaged_store_is_refused_in_one_line(file: Tape) -> None:
    source = file.source("acme")
    for number in range(200):
        file.endpoint(source, "acme", f"acme/model-{number}")
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    with pytest.raises(StoreForeign, match="damaged"), open_store(file.url) as reader:
        list(history(reader, None, T0))


def test_a_damaged_rate_card_is_refused(tape: Tape) -> None:
    tape.interval(tape.endpoint(tape.source("acme"), "acme", MODEL), T0, CARD)
    for body in ("", "{}", "[]", '{"amounts": {"input": 1.5}, "currency": "USD"}'):
        run(tape.url, f"UPDATE rate_card SET body = '{body}'")
        with pytest.raises(StoreForeign, match="rate card"), open_store(tape.url) as reader:
            endpoints(reader, MODEL, T0)


@pytest.mark.parametrize("table", ["rate_card", "poll"])
def test_a_row_that_is_missing_is_told_as_damage(file: Tape, table: str) -> None:
    ref = evidenced(file)
    run(file.url, f"DELETE FROM {table}")
    with open_store(file.url) as reader, pytest.raises(StoreForeign, match="is missing"):
        explain(reader, ref, hour(2))


@pytest.mark.fault(137)
def test_a_locked_store_says_so(file: Tape) -> None:
    with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="locked"), open_store(file.url):
            pass


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://tape.db", "sqlite:///", "", "http://x"])
def test_a_url_of_another_engine_is_refused(url: str) -> None:
    with pytest.raises(StoreError), open_store(url):
        pass


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "50% off? #1 tape.db")
    tape.source("acme")
    for url in (str(tape.path), f"sqlite:///{tape.path}"):
        with open_store(url) as reader:
            assert [row.source for row in sources(reader, T0)] == ["acme"]


def test_home_is_where_the_tilde_leads(file: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.path.parent))
    with open_store("sqlite:///~/tape.db") as reader:
        assert reader.name == str(file.path)


def test_a_reader_sees_one_state_while_another_program_writes(tape: Tape) -> None:
    tape.source("acme")
    with open_store(tape.url) as reader:
        tape.source("later")
        assert [row.source for row in sources(reader, T0)] == ["acme"]
    with open_store(tape.url) as reader:
        assert len(sources(reader, T0)) == 2


@pytest.mark.fault(136)
def test_a_store_whose_side_files_cannot_be_made_is_read_alone(file: Tape) -> None:
    file.source("acme")
    side_file = Path(f"{file.path}-shm")
    side_file.unlink(missing_ok=True)
    side_file.mkdir()
    with open_store(file.url) as reader:
        assert [row.source for row in sources(reader, T0)] == ["acme"]


@pytest.mark.fault(134, 136)
def test_a_log_that_cannot_be_read_is_never_passed_over(file: Tape) -> None:
    log = Path(f"{file.path}-wal")
    log.unlink(missing_ok=True)
    log.mkdir()
    with pytest.raises(StoreForeign, match="cannot be read"), open_store(file.url):
        pass


def test_reading_changes_no_byte_of_the_store(file: Tape) -> None:
    file.interval(file.endpoint(file.source("acme"), "acme", MODEL), T0, CARD)
    before = file.path.read_bytes()
    with open_store(file.url) as reader:
        assert endpoints(reader, MODEL, T0)
        with pytest.raises(StoreForeign, match="readonly"):
            list(reader.rows("CREATE TABLE more (id)"))
    assert file.path.read_bytes() == before


def test_an_answer_must_be_read_while_the_store_is_open(tape: Tape) -> None:
    for name in ("one", "two"):
        tape.interval(tape.endpoint(tape.source(name), name, name), T0, CARD)
    with open_store(tape.url) as reader:
        answer = current(reader, T0)
        next(answer)
    with pytest.raises(StoreError, match="closed"):
        list(answer)


def test_a_question_that_is_no_text_is_refused(tape: Tape) -> None:
    with open_store(tape.url) as reader, pytest.raises(QueryError, match="Unicode"):
        find_model(reader, "\udcff")


# --- instants ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-22", "2026-08-22T00:00:00Z"),
        ("2026-08-22T12:00Z", "2026-08-22T12:00:00Z"),
        ("2026-08-22T12:00:01.250Z", "2026-08-22T12:00:01.25Z"),
        ("2026-08-22T12:00:00+02:00", "2026-08-22T10:00:00Z"),
        ("2026-08-22T00:00:00-05:30", "2026-08-22T05:30:00Z"),
        ("90m", "2026-07-31T22:30:00Z"),
        ("36h", "2026-07-30T12:00:00Z"),
        ("7d", "2026-07-25T00:00:00Z"),
        ("2w", "2026-07-18T00:00:00Z"),
    ],
)
def test_instants_are_read_strictly(text: str, expected: str) -> None:
    found = parse_instant(text, T0)
    assert found.tzinfo is UTC
    assert iso(found) == expected


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(seconds=120), "2m"),
        (timedelta(hours=2), "2h"),
        (timedelta(hours=47, minutes=59), "47h"),
        (timedelta(days=400), "400d"),
    ],
)
def test_ages_are_told_in_whole_units(age: timedelta, text: str) -> None:
    assert age_text(age) == text


@pytest.mark.fault(121)
@pytest.mark.parametrize(
    "text",
    [
        "", "now", "yesterday", "2026-08-22T12:00:00", "2026-08-22 12:00:00Z", "2026-02-30", "20260822", "1724284800",
        "2026-08-22T25:00Z", "-7d", "7", "7y", "999999w", "0001-01-01T00:00:00+23:00",
        "２０２６-08-22", "2026-08-22Z", "7d\n",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(QueryError, match="2026-08-22T12:00:00Z"):
        parse_instant(text, T0)


@pytest.mark.fault(121)
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z or 2026-10-25T01:30:00Z"),
        ("2026-03-29T02:30:00", "2026-03-29T00:30:00Z or 2026-03-29T01:30:00Z"),
        ("2026-08-22T12:00", "2026-08-22T10:00:00Z"),
    ],
)
def test_a_time_without_an_offset_is_refused_with_every_instant_that_it_may_be(
    monkeypatch: pytest.MonkeyPatch, text: str, meant: str
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        with pytest.raises(QueryError, match=f"^'{text}' has no offset: by the clocks here it is {meant}; expected "):
            parse_instant(text, T0)
    finally:
        monkeypatch.undo()
        time.tzset()
