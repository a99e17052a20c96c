"""Where two sources contradict each other: held against a plain reading of both cards, case by case."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import combinations, count
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from collector.config import load, packaged
from collector.normalise import observe
from collector.sources import parser_of
from store import cli, disputes
from store.conditions import in_force
from store.conflicts import KINDS, Difference, compared, conflicts, contradicted, differences, pairs
from store.evidence import list_card
from store.intervals import IntervalRow, current, history, shared
from store.read import open_store
from store.records import Document, Facts, Override, RateCard
from tests import timelines
from tests.benchmarks.agreement import Agreement, agreement, collected, measured
from tests.tape import T0, Tape, hour, usd
from tests.test_routing import offer

MONDAY = datetime(2026, 8, 3, 12, tzinfo=UTC)
WORKDAYS = (1, 2, 3, 4, 5)


def window(amount: int, start: int = 60, end: int = 240, days: tuple[int, ...] = (), tz: str = "UTC") -> Override:
    """Input at an amount between two minutes of the day."""
    return Override(start_minute=start, end_minute=end, days=days, tz=tz, amounts=(("input", amount),))


def above(tokens: int, amount: int) -> Override:
    return Override(above_tokens=tokens, amounts=(("input", amount),))


def card(amount: int, *overrides: Override) -> RateCard:
    return RateCard(currency="USD", amounts=(("input", amount),), overrides=overrides)


# --- two cards ---


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (usd(input=1), usd(input=2), [("price", "input", "", 1, 2)]),
        (usd(input=1, output=3), usd(input=2, output=4), [("price", "input", "", 1, 2), ("price", "output", "", 3, 4)]),
        (usd(input=0), usd(input=2), [("price", "input", "", 0, 2)]),
        (usd(input=1), usd(input=1, cache_write=5), []),
        (usd(input=1), RateCard(currency="USD", amounts=(), states=(("input", "unknown"),)), []),
        (usd(input=1), RateCard(currency="CNY", amounts=(("input", 7),)), []),
        (card(1, above(200, 2)), card(1), [("tier", "input", "prompt of 201 tokens", 2, 1)]),
        (card(1, above(200, 2)), card(1, above(272, 2)), [("tier", "input", "prompt of 201 tokens", 2, 1)]),
        (card(1, above(200, 2)), card(3, above(200, 2)), [("price", "input", "", 1, 3)]),
        (
            card(1, above(200, 2)),
            card(1, above(200, 2), above(100, 2)),
            [("tier", "input", "prompt of 101 tokens", 1, 2)],
        ),
        (card(1, window(2)), card(1), [("window", "input", "Tue 01:00 UTC", 2, 1)]),
        (card(1, window(2, 540, 720, tz="Asia/Shanghai")), card(1, window(2)), []),
        (card(1, window(2, tz="Mars/Olympus")), card(9), []),
    ],
)
def test_what_both_say_is_compared_in_the_simplest_case(
    one: RateCard, other: RateCard, expected: list[tuple[Any, ...]]
) -> None:
    assert [tuple(found) for found in differences(one, other, MONDAY)] == expected


def test_a_source_that_drops_the_weekday_is_contradicted_at_the_weekend() -> None:
    provider, router = card(1, window(2, days=WORKDAYS)), card(1, window(2))
    assert differences(provider, router, MONDAY) == [Difference("window", "input", "Sat 01:00 UTC", 1, 2)]
    shanghai = card(1, window(2, 540, 720, WORKDAYS, "Asia/Shanghai"))
    assert differences(shanghai, router, MONDAY) == [Difference("window", "input", "Sat 01:00 UTC", 1, 2)]


OVERRIDES = st.one_of(
    st.builds(above, st.sampled_from([100, 200, 300]), st.integers(0, 3)),
    st.builds(
        window,
        st.integers(0, 3),
        st.sampled_from([0, 60, 240, 1380]),
        st.sampled_from([60, 120, 300]),
        st.sampled_from([(), WORKDAYS, (6,)]),
        st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin"]),
    ),
)
CARDS = st.builds(
    lambda amount, overrides: card(amount, *overrides), st.integers(0, 3), st.lists(OVERRIDES, max_size=3)
)


def charges(one: RateCard, at: datetime) -> list[dict[str, int]]:
    """What a card charges in each hour of a week, for prompts of each length that the cards here tell apart."""
    return [
        dict(in_force(one, prompt, at + timedelta(minutes=30 * count))[0])
        for count in range(2 * 24 * 7)
        for prompt in (0, 101, 201, 301)
    ]


@given(one=CARDS, other=CARDS, at=st.sampled_from([MONDAY, T0, datetime(2026, 10, 24, 20, 30, tzinfo=UTC)]))
def test_two_cards_differ_exactly_where_what_they_charge_in_some_hour_of_a_week_does(
    one: RateCard, other: RateCard, at: datetime
) -> None:
    found = differences(one, other, at)
    assert bool(found) == (charges(one, at) != charges(other, at))
    assert [(two.kind, two.meter, two.case, two.other, two.value) for two in differences(other, one, at)] == found
    assert not differences(one, one, at)


# --- offers of sources ---


IDS = count(1)


def stated(source: str, amount: int, trust: int = 0, **facts: Any) -> IntervalRow:
    """An offer of a source, at so much a prompt token."""
    return offer(usd(input=amount), source=source, trust=trust, **{"endpoint_id": next(IDS), **facts})


def told(rows: Iterable[IntervalRow]) -> list[tuple[str, str, str]]:
    return [(one.row.source, one.other.source, one.difference.meter) for one in conflicts(rows, T0)]


def test_the_source_that_is_trusted_more_stands_first() -> None:
    rows = [stated("catalogue", 1, 2), stated("acme", 2, 0), stated("router", 1, 1)]
    assert told(rows) == [("acme", "router", "input"), ("acme", "catalogue", "input")]


def test_offers_of_another_name_are_other_offers() -> None:
    for other in ({"provider": "another"}, {"model": "acme/another"}, {"variant": "fp8"}):
        facts: dict[str, Any] = {**other}
        assert not told([stated("a", 1), stated("b", 2, **facts)])


def test_of_several_offers_of_a_name_the_one_that_is_most_alike_is_compared() -> None:
    rows = [stated("a", 1, endpoint="one", endpoint_id=1), stated("a", 2, endpoint="two", endpoint_id=2)]
    assert not told([*rows, stated("b", 2, 1, endpoint_id=3)])
    assert told([*rows, stated("b", 3, 1, endpoint_id=3)]) == [("a", "b", "input")]


def test_context_lengths_are_compared_where_both_are_stated() -> None:
    one = stated("a", 1, context_length=1000)
    assert not compared(one, stated("b", 1, context_length=None), T0)
    (found,) = compared(one, stated("b", 1, context_length=2000), T0)
    assert (found.kind, found.text, found.other_text) == ("context", "1000", "2000")


def test_a_row_knows_who_states_another_price_and_nothing_of_context() -> None:
    rows = [
        stated("a", 1, endpoint_id=1, context_length=5),
        stated("b", 2, 1, endpoint_id=2),
        stated("c", 1, 2, endpoint_id=3, context_length=6),
    ]
    assert [row.contradicted_by for row in contradicted(rows, T0)] == [("b",), ("a", "c"), ("b",)]
    assert [row.contradicted_by for row in contradicted(rows[::2], T0)] == [(), ()]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from(["", "fp8"])), max_size=8))
def test_agreement_counts_each_pair_of_offers_once_and_as_same_where_there_is_no_conflict(
    drawn: list[tuple[str, int, str]],
) -> None:
    rows = [
        stated(source, amount, "abc".index(source), variant=variant, endpoint_id=number)
        for number, (source, amount, variant) in enumerate(drawn)
    ]
    found = agreement(rows, T0)
    assert sum(pair.offers for pair in found.values()) == len(list(pairs(rows, T0)))
    differing = Counter((one.row.source, one.other.source) for one in conflicts(rows, T0))
    assert {key: pair.offers - pair.same for key, pair in found.items() if pair.offers > pair.same} == differing


@pytest.mark.recorded
def test_recorded_sources_agree_as_far_as_they_did(recorded: Path) -> None:
    """A parser or a rule of names that goes wrong shows as sources that agree less, or as offers no longer joined."""
    answered, found = measured(recorded, "2026-08-22")
    assert len(answered) >= 13
    total = Agreement()
    for pair in found.values():
        total.offers += pair.offers
        total.same += pair.same
    assert total.offers >= 3300
    assert total.same / total.offers > 0.73
    for two in (("anthropic", "models_dev"), ("xai", "models_dev"), ("voyage", "genai_prices")):
        assert found[two].same == found[two].offers, two


@pytest.mark.recorded
def test_the_days_of_the_peaks_of_deepseek_are_in_conflict_with_those_of_openrouter(
    recorded: Path, tmp_path: Path
) -> None:
    """On Saturday evening OpenRouter had taken its windows off for the weekend; the page of Monday knew no weekdays."""
    at = datetime(2026, 8, 22, 23, 59, tzinfo=UTC)
    rows = deepseek_rows(recorded, tmp_path / "tape.db", at)
    assert {(one.source, one.endpoint) for one in rows if one.card.overrides} == {
        ("deepseek", "deepseek-v4-flash"),
        ("deepseek", "deepseek-v4-flash@DeepSeek-V4-Flash-0731"),
        ("deepseek", "deepseek-v4-pro"),
        ("deepseek", "deepseek-v4-pro@DeepSeek-V4-Pro-0813"),
    }
    assert windows_apart(rows, at) == [
        ("deepseek/deepseek-v4-flash-0731", "Sun 01:00 UTC", "0.44", "0.22"),
        ("deepseek/deepseek-v4-pro-0813", "Sun 01:00 UTC", "1.32", "0.66"),
    ]


@pytest.mark.recorded
def test_a_page_of_deepseek_with_weekdays_is_in_conflict_with_the_daily_windows_of_openrouter(
    recorded: Path, tmp_path: Path
) -> None:
    """The recorded page, with the days of its later form; and the windows of OpenRouter as recorded, every day."""
    at = datetime(2026, 8, 21, 23, 59, tzinfo=UTC)
    rows = deepseek_rows(recorded, tmp_path / "tape.db", at)
    assert windows_apart(rows, at) == []
    spec = load(packaged(), {}).sources["deepseek"]
    (body,) = (
        timelines.body(recorded, row)
        for row in timelines.rows(recorded, "deepseek-pricing")
        if timelines.instant(row).day == 17
    )
    weekly = body.replace(b"10:00 UTC (all other", b"10:00 UTC, Monday through Friday (all other")
    assert weekly != body
    document = Document(source=spec.id, url=spec.url, fetched_at=at, status=200, body=weekly)
    quotes = parser_of(spec).parse(document, spec)
    cards = {quote.locator: observe(quote, document, spec, at).card for quote in quotes}
    told = [row._replace(card=cards.get(row.locator) or row.card) for row in rows]
    assert windows_apart(told, at) == [
        ("deepseek/deepseek-v4-flash-0731", "Sat 01:00 UTC", "0.22", "0.44"),
        ("deepseek/deepseek-v4-pro-0813", "Sat 01:00 UTC", "0.66", "1.32"),
    ]


def deepseek_rows(recorded: Path, store: Path, at: datetime) -> list[IntervalRow]:
    """What DeepSeek's page in USD and OpenRouter state of DeepSeek's offers."""
    collected(recorded, at, store, only=("deepseek", "openrouter"))
    with open_store(str(store)) as reader:
        return [row for row in current(reader, at) if row.provider == "deepseek"]


def windows_apart(rows: Iterable[IntervalRow], at: datetime) -> list[tuple[str, str, str, str]]:
    """Model, hour, input by the page and by OpenRouter, where they differ only at some hours."""
    return [
        (one.row.model, one.difference.case, one.difference.text, one.difference.other_text)
        for one in conflicts(rows, at)
        if one.difference.kind == "window" and one.difference.meter == "input"
    ]


def test_whoever_states_the_same_is_counted_on_either_side() -> None:
    rows = [stated("a", 1, 0), stated("b", 2, 1), stated("c", 2, 2), stated("d", 1, 2), stated("e", 3, 3)]
    (one,) = (found for found in conflicts(rows, T0) if (found.row.source, found.other.source) == ("a", "b"))
    assert (one.agreeing, one.other_agreeing) == (("d",), ("c",))
    silent = stated("f", 1, 3)._replace(card=usd(output=1))
    (one,) = conflicts([stated("a", 1), stated("b", 2, 1), silent], T0)
    assert (one.agreeing, one.other_agreeing) == ((), ())


@given(st.integers(0, 100), st.integers(0, 100), st.fractions(1, 20))
def test_prices_are_so_many_times_apart_as_division_says_and_of_nothing_all_are(
    one: int, other: int, n: Fraction
) -> None:
    apart = Difference("price", "input", "", one, other).is_apart(n)
    assert apart == (max(one, other) >= n * min(one, other))
    assert Difference("price", "input", "", other, one).is_apart(n) == apart


# --- commands ---

Ask = Callable[..., Result]


@pytest.fixture
def ask(store_url: str) -> Ask:
    """DeepSeek's own page with peaks on workdays, a router that drops the weekday, and a catalogue without peaks."""
    tape = Tape(store_url)
    cards = {
        "page": card(10**9, window(2 * 10**9, days=WORKDAYS)),
        "router": card(10**9, window(2 * 10**9)),
        "catalogue": card(10**9),
    }
    for trust, (name, charged) in enumerate(cards.items()):
        source = tape.source(name, trust=trust, every_s=86_400)
        tape.poll(source, hour(0))
        endpoint = tape.endpoint(source, "deepseek", "deepseek/one")
        tape.interval(endpoint, hour(trust), charged, Facts(context_length=1000 + trust))

    def run(*words: str) -> Result:
        group = click.Group(commands={name: getattr(cli, name) for name in cli.__all__ if name[0].islower()})
        doors = cli.Doors(tape.url, now=lambda: hour(3))
        return CliRunner().invoke(group, words, obj=doors, prog_name="tokentape", catch_exceptions=False)

    return run


@pytest.mark.fault(114)
def test_conflicts_names_both_sources_documents_and_since_when(ask: Ask) -> None:
    rows = json.loads(ask("conflicts", "one", "--kind", "window", "--format", "json").stdout)
    assert [(row["source"], row["value"], row["other_source"], row["other_value"], row["case"]) for row in rows] == [
        ("page", "1", "router", "2", "Sat 03:00 UTC"),
        ("page", "2", "catalogue", "1", "Mon 01:00 UTC"),
        ("router", "2", "catalogue", "1", "Sat 03:00 UTC"),
    ]
    assert rows[0]["since"] == rows[0]["other_first_seen"] == "2026-08-01T01:00:00Z"
    assert rows[0]["document"] != rows[0]["other_document"]
    assert (rows[0]["trust"], rows[0]["other_trust"]) == (0, 1)


def test_conflicts_of_everything_can_be_narrowed(ask: Ask) -> None:
    assert ask("conflicts").stdout.count("context_length") == 3
    assert ask("conflicts", "--source", "page", "--kind", "context").stdout.count("context_length") == 2
    assert ask("conflicts", "--provider", "another").exit_code == 3
    assert ask("conflicts", "--kind", "price").exit_code == 3


def test_conflicts_can_be_narrowed_to_those_far_apart_and_put_in_another_order(ask: Ask) -> None:
    def told(*words: str) -> list[tuple[str, str, str]]:
        rows = json.loads(ask("conflicts", "one", *words, "--format", "json").stdout)
        return [(row["source"], row["other_source"], row["meter"]) for row in rows]

    assert len(told()) == 6
    assert {meter for *_, meter in told("--min-ratio", "2")} == {"input"}
    assert ask("conflicts", "one", "--min-ratio", "2.01").exit_code == 3
    assert [meter for *_, meter in told("--sort", "ratio")] == ["input"] * 3 + ["context_length"] * 3
    assert {other for _, other, _ in told("--sort", "since")[:4]} == {"catalogue"}
    assert sorted(told("--sort", "ratio")) == sorted(told("--sort", "since")) == sorted(told())
    for wrong in ("0.5", "two", "1e3", "-1", "NaN"):
        assert ask("conflicts", "--min-ratio", wrong).exit_code == 2


def test_conflicts_show_trust_checks_and_agreement_where_there_is_room(ask: Ask) -> None:
    head, first, *_ = ask("conflicts", "one", "--kind", "context").stdout.splitlines()
    assert (head.split()[0], ask("conflicts").stdout.split()[0]) == ("provider", "model")
    assert head.split().count("checked") == head.split().count("trust") == 2
    assert ("first-party" in first, "aggregator" in first, "1:1" in first, "3h" in first) == (True, True, True, True)


def test_every_kind_can_be_asked_for(ask: Ask) -> None:
    assert all(ask("conflicts", "--kind", kind).exit_code in (0, 3) for kind in KINDS)


def test_whoever_asks_for_a_price_sees_that_sources_disagree(ask: Ask) -> None:
    assert ask("endpoints", "one").stdout.count("contradicted") == 3
    (row,) = json.loads(ask("endpoints", "one", "--source", "page", "--format", "json").stdout)
    assert row["contradicted_by"] == ["catalogue", "router"]
    (route,) = json.loads(ask("cheapest", "one", "--input", "500", "--output", "0", "--format", "json").stdout)
    assert (route["source"], route["contradicted_by"]) == ("page", ["catalogue", "router"])
    shown = ask("explain", "page:deepseek:deepseek/one").stdout
    assert "input (Sat 03:00 UTC): 1 here, 2 by router:deepseek:deepseek/one" in shown
    (one,) = json.loads(ask("explain", "router:deepseek:deepseek/one", "--format", "json").stdout)
    assert [(other["other_ref"].partition(":")[0], other["meter"]) for other in one["conflicts"]] == [
        ("page", "input"),
        ("page", "context_length"),
        ("catalogue", "input"),
        ("catalogue", "context_length"),
    ]


DOUBT = "in doubt: 3 contradicted by another source (`tokentape conflicts deepseek/one`)\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("endpoints", "one"), DOUBT),
        (("history", "one"), DOUBT),
        (("history", "one", "--at", "2026-08-01T02:00:00Z"), DOUBT),
        (("endpoints", "one", "--source", "page"), DOUBT.replace("3", "1")),
        (("cheapest", "one", "--input", "9", "--output", "0"), DOUBT.replace("3", "1")),
        (("export", "current"), DOUBT.replace(" deepseek/one", "")),
        (("export", "history", "--model", "deepseek/one", "--source", "router"), DOUBT.replace("3", "1")),
        (("endpoints", "one", "--at", "2026-08-01T00:30:00Z"), ""),
    ],
)
def test_every_answer_says_how_many_of_its_prices_are_in_doubt(ask: Ask, words: tuple[str, ...], told: str) -> None:
    for form in ("csv", "jsonl"):
        result = ask(*words, "--format", form)
        assert (result.exit_code, result.stderr) == (0, told)


def test_only_what_is_in_force_is_contradicted(store_url: str) -> None:
    tape = Tape(store_url)
    for trust, name in enumerate(("page", "router")):
        source = tape.source(name, trust=trust)
        tape.poll(source, hour(4))
        endpoint = tape.endpoint(source, "acme", "acme/one")
        tape.interval(endpoint, hour(0), usd(input=1 + trust), ended=hour(2), end_reason="changed")
        tape.interval(endpoint, hour(2), usd(input=5), not_before=hour(1), ended=hour(3), end_reason="changed")
        tape.interval(endpoint, hour(3), usd(input=7 + trust), not_before=hour(2))
    with open_store(store_url) as reader:
        rows = list(disputes.marked(history(reader, None, hour(4)), reader, hour(4)))
        assert [row.contradicted_by for row in rows] == [None, None, ("router",), None, None, ("page",)]
        now = list(disputes.in_force(reader, hour(4), source="router"))
        assert [(row.source, row.contradicted_by) for row in now] == [("router", ("page",))]
        assert [row.contradicted_by for row in disputes.in_force(reader, hour(2))] == [(), ()]
        assert [row.contradicted_by for row in disputes.in_force(reader, hour(1))] == [("router",), ("page",)]


def test_over_all_models_only_offers_that_two_sources_name_are_read_and_nothing_is_missed(store_url: str) -> None:
    tape = Tape(store_url)
    offers = [
        ("acme", "acme/one", ""),
        ("acme", "acme/one", "fp8"),
        ("other", "acme/one", ""),
        ("acme", "acme/two", ""),
    ]
    named = {"page": offers[:2], "router": [*offers[1:], offers[1]], "catalogue": [offers[1], offers[3]]}
    for trust, (name, listed) in enumerate(named.items()):
        source = tape.source(name, trust=trust)
        tape.poll(source, hour(0))
        for number, (provider, model, variant) in enumerate(listed):
            endpoint = tape.endpoint(source, provider, model, variant=variant, sibling=str(number))
            tape.interval(endpoint, hour(0), usd(input=1 + trust + number))
    with open_store(store_url) as reader:
        every = list(current(reader, hour(0)))
        found = list(disputes.contradictions(reader, hour(0)))
        assert found == list(conflicts(every, hour(0)))
        assert {(one.row.source, one.other.source) for one in found} == set(combinations(named, 2))
        assert len(list(shared(reader, hour(0)))) == 6 < len(every) == 8


# --- list prices ---


@given(amount=st.integers(0, 10**12), percent=st.integers(1, 99))
def test_a_discount_taken_off_the_list_price_gives_back_what_is_charged(amount: int, percent: int) -> None:
    listed = list_card(usd(input=amount), Facts(discount=f"0.{percent:02}"))
    assert listed is not None
    assert abs(dict(listed.amounts)["input"] * (100 - percent) - amount * 100) <= 50


@pytest.mark.parametrize("discount", [None, "1", "1.5", "some"])
def test_without_a_discount_that_can_be_undone_there_is_no_list_price(discount: str | None) -> None:
    assert list_card(usd(input=1), Facts(discount=discount)) is None


@pytest.mark.fault(80, 93)
def test_explain_shows_the_list_prices_of_a_discounted_offer(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("router")
    tape.poll(source, hour(0))
    endpoint = tape.endpoint(source, "acme", "acme/one")
    tape.interval(endpoint, hour(0), usd(input=3 * 10**8), Facts(discount="0.25"))
    group = click.Group(commands={"explain": cli.explain})
    doors = cli.Doors(tape.url, now=lambda: hour(1))
    shown = CliRunner().invoke(group, ["explain", "router:acme:acme/one"], obj=doors).stdout
    assert "input: 0.4 USD per 1M tokens" in shown
    told = CliRunner().invoke(group, ["explain", "router:acme:acme/one", "--format", "json"], obj=doors).stdout
    assert json.loads(told)[0]["list_rate_card"] == {"currency": "USD", "prices": {"input": "0.4"}}
