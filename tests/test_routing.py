"""Where a workload is cheapest, held against a second computation that shares nothing with the first but the data."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.conditions import condition_text, holds
from store.currency import Converter
from store.intervals import IntervalRow
from store.records import Facts, Override, RateCard
from store.routing import Constraints, Cost, Ranking, Unpriced, Workload, believed, cost, rank
from tests.tape import T0, hour, usd

ANYTHING = Constraints(include_free=True)
NANO = 1_000_000_000


def offer(card: RateCard, **facts: Any) -> IntervalRow:
    """An endpoint that charges by a card."""
    row = IntervalRow(
        model="openai/gpt-oss-120b",
        provider="acme",
        endpoint="gpt-oss-120b",
        variant="",
        source="openrouter",
        trust=1,
        basis="observed",
        not_before=None,
        first_seen=T0,
        last_seen=T0,
        ended=None,
        end_reason=None,
        stated_since=None,
        stated_until=None,
        card=card,
        context_length=131_072,
        max_output_tokens=32_768,
        quantization="fp8",
        document="0" * 64,
        locator="",
        unseen_since=None,
        stale=False,
        disputed=False,
        known_from=T0,
        known_to=None,
        endpoint_id=1,
        document_id=1,
        facts_id=1,
    )
    return row._replace(**facts)


def workload(input_tokens: int = 1000, output_tokens: int = 1000, cached_tokens: int = 0) -> Workload:
    return Workload(input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=cached_tokens)


def priced(card: RateCard, load: Workload, at: datetime = T0) -> Cost:
    found = cost(card, load, at)
    assert isinstance(found, Cost)
    return found


# --- the oracle ---

ZONES = {"UTC": timezone.utc, "Asia/Shanghai": timezone(timedelta(hours=8))}  # noqa: UP017 - a zone without rules


def oracle_cost(card: RateCard, load: Workload, at: datetime) -> Fraction | None:
    """USD a request, or None: meter by meter, the last override that holds first."""

    def in_force(override: Override) -> bool:
        if override.above_tokens is not None and not load.input_tokens > override.above_tokens:
            return False
        if override.start_minute is None:
            return not override.days or at.astimezone(ZONES[override.tz]).isoweekday() in override.days
        assert override.end_minute is not None
        length = (override.end_minute - override.start_minute) % 1440 or 1440
        local = at.astimezone(ZONES[override.tz])
        for days_back in (0, 1):
            start = datetime(local.year, local.month, local.day, tzinfo=local.tzinfo) - timedelta(days=days_back)
            start += timedelta(minutes=override.start_minute)
            if start <= local < start + timedelta(minutes=length):
                return not override.days or start.isoweekday() in override.days
        return False

    def price(meter: str) -> Fraction | str:
        for override in reversed(card.overrides):
            if in_force(override) and meter in dict(override.amounts):
                return Fraction(dict(override.amounts)[meter], NANO)
            if in_force(override) and meter in override.unknown:
                return "unknown"
        if meter in dict(card.amounts):
            return Fraction(dict(card.amounts)[meter], NANO)
        return dict(card.states).get(meter, "not offered")

    total = Fraction(0)
    read = price("cache_read")
    cached_at = price("input") if read == "not offered" else read
    for tokens, each in (
        (load.input_tokens - load.cached_tokens, price("input")),
        (load.cached_tokens, cached_at),
        (load.output_tokens, price("output")),
    ):
        if tokens and isinstance(each, str):
            return None
        if tokens and isinstance(each, Fraction):
            total += each * tokens / 1_000_000
    per_request = price("request")
    if isinstance(per_request, Fraction):
        total += per_request
    elif per_request != "not offered":
        return None
    return total


def oracle_rank(rows: Sequence[IntervalRow], load: Workload, at: datetime) -> dict[str, tuple[int, bool]]:
    """Endpoint -> (rank, tied), by comparing each with each."""
    costs = {row.endpoint: oracle_cost(row.card, load, at) for row in rows if row.card.currency == "USD"}
    known = {name: value for name, value in costs.items() if value is not None}
    return {
        name: (1 + sum(other < value for other in known.values()), list(known.values()).count(value) > 1)
        for name, value in known.items()
    }


AMOUNTS = st.integers(0, 3) | st.integers(0, 10**13)
METERS = ("cache_read", "input", "output", "request")


@st.composite
def overrides(draw: st.DrawFn) -> Override:
    above = draw(st.none() | st.sampled_from([1000, 2000, 200_000]))
    window = above is None or draw(st.booleans())
    amounts = draw(st.dictionaries(st.sampled_from(METERS), AMOUNTS, min_size=1))
    return Override(
        above_tokens=above,
        start_minute=draw(st.integers(0, 1439)) if window else None,
        end_minute=draw(st.integers(0, 1439)) if window else None,
        days=tuple(sorted(draw(st.sets(st.integers(1, 7), max_size=3)))),
        tz=draw(st.sampled_from(sorted(ZONES))),
        amounts=tuple(sorted(amounts.items())),
        unknown=tuple(sorted(draw(st.sets(st.sampled_from(METERS))) - amounts.keys())),
    )


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    values = draw(st.dictionaries(st.sampled_from(METERS), AMOUNTS | st.sampled_from(["varies", "unknown"])))
    return RateCard(
        currency=draw(st.sampled_from(["USD", "USD", "USD", "EUR"])),
        amounts=tuple(sorted((meter, value) for meter, value in values.items() if isinstance(value, int))),
        states=tuple(sorted((meter, value) for meter, value in values.items() if not isinstance(value, int))),  # type: ignore[misc]
        overrides=tuple(draw(st.lists(overrides(), max_size=3))),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    tokens = st.sampled_from([0, 1, 1000, 1001, 2000, 2001, 200_001]) | st.integers(0, 10**6)
    prompt = draw(tokens)
    return workload(prompt, draw(tokens) or (not prompt), draw(st.integers(0, prompt)))


INSTANTS = st.integers(0, 31 * 1440).map(lambda minute: T0 + timedelta(minutes=minute))


@settings(max_examples=400)
@given(st.lists(cards(), max_size=8), workloads(), INSTANTS)
def test_ranking_equals_an_exhaustive_oracle(drawn: list[RateCard], load: Workload, at: datetime) -> None:
    rows = [
        offer(card, endpoint=f"e{number}", provider=f"p{number % 3}", context_length=None, max_output_tokens=None)
        for number, card in enumerate(drawn)
    ]
    found = rank(rows, load, at, replace(ANYTHING, sources=frozenset({"openrouter"})))
    expected = oracle_rank(rows, load, at)
    assert {route.row.endpoint: (route.rank, route.tied) for route in found.routes} == expected
    order = [(route.rank, route.row.provider, route.row.endpoint) for route in found.routes]
    assert order == sorted(order)
    for route in found.routes:
        assert Fraction(route.cost.text) == oracle_cost(route.row.card, load, at)
    assert len(found.routes) + len(found.excluded) == len(rows)
    assert all(one.reason for one in found.excluded)


# --- costs, one by one ---


def test_cost_is_exact_to_the_last_digit() -> None:
    card = usd(input=37_000_001, output=170_000_000)
    assert priced(card, workload(1, 1)).text == "0.000000207000001"
    assert priced(card, workload(10**12, 0)).text == "37000.001"


def test_cached_tokens_are_charged_as_input_where_cache_reads_are_not_offered() -> None:
    assert priced(usd(input=NANO, output=0), workload(1000, 0, 400)).text == "0.001"
    assert priced(usd(input=NANO, output=0, cache_read=NANO // 10), workload(1000, 0, 400)).text == "0.00064"


@pytest.mark.parametrize("state", ["varies", "unknown"])
@pytest.mark.parametrize(
    ("meter", "load"),
    [
        ("input", workload(10, 0)),
        ("output", workload(0, 10)),
        ("cache_read", workload(10, 0, 5)),
        ("request", workload(1, 0)),
    ],
)
def test_a_needed_meter_without_an_amount_makes_the_cost_unknown(meter: str, load: Workload, state: str) -> None:
    amounts = {name: 1 for name in ("cache_read", "input", "output") if name != meter}
    card = replace(usd(**amounts), states=((meter, state),))  # type: ignore[arg-type]
    found = cost(card, load, T0)
    assert found == Unpriced(reason=f"{meter.replace('_', ' ')} price {state}")


def test_a_meter_that_the_workload_does_not_need_may_be_unknown() -> None:
    card = RateCard(
        currency="USD", amounts=(("input", NANO),), states=(("cache_read", "unknown"), ("output", "varies"))
    )
    assert priced(card, workload(1000, 0)).text == "0.001"
    assert cost(card, workload(1000, 1), T0) == Unpriced(reason="output price varies")
    assert cost(usd(input=1), workload(1000, 1), T0) == Unpriced(reason="output not offered")


def test_the_whole_request_moves_to_the_amounts_of_a_longer_prompt() -> None:
    longer = Override(above_tokens=200_000, amounts=(("input", 2 * NANO), ("output", 3 * NANO)))
    card = replace(usd(input=NANO, output=NANO), overrides=(longer,))
    assert priced(card, workload(200_000, 0)).text == "0.2"
    above = priced(card, workload(200_001, 1000))
    assert (above.text, above.input, above.output) == ("0.403002", 2 * NANO, 3 * NANO)
    assert above.conditions == ("above 200000",)


def test_of_several_overrides_that_hold_the_last_wins() -> None:
    first = Override(above_tokens=10, amounts=(("input", 5), ("output", 5)))
    last = Override(above_tokens=5, amounts=(("input", 7),))
    found = priced(replace(usd(input=1, output=1), overrides=(first, last)), workload(11, 1))
    assert (found.input, found.output) == (7, 5)


def test_a_prompt_beyond_what_a_price_is_stated_for_has_no_known_cost() -> None:
    bound = Override(above_tokens=1000, amounts=(), unknown=("input", "output"))
    card = replace(usd(input=NANO, output=NANO), overrides=(bound,))
    assert priced(card, workload(1000, 0)).femto == 1000 * NANO
    assert cost(card, workload(1001, 0), T0) == Unpriced(reason="input price unknown")
    assert RateCard.from_text(card.text) == card
    for unknown in (("output", "input"), ("input", "input"), ("attention",)):
        with pytest.raises(ValueError, match="what is unknown"):
            Override(above_tokens=1000, amounts=(), unknown=unknown)
    with pytest.raises(ValueError, match="has an amount"):
        Override(above_tokens=1000, amounts=(("input", 1),), unknown=("input",))


def test_price_per_request_is_added_once() -> None:
    assert priced(usd(input=0, output=0, request=NANO // 200), workload()).text == "0.005"


@pytest.mark.parametrize(
    ("minute", "within"), [(59, False), (60, True), (239, True), (240, False)], ids=["before", "first", "last", "after"]
)
def test_a_window_is_half_open(minute: int, within: bool) -> None:
    window = Override(start_minute=60, end_minute=240, amounts=(("input", 1),))
    assert holds(window, 1, T0 + timedelta(minutes=minute)) is within
    assert condition_text(window) == "01:00-04:00 UTC"


def test_the_days_of_a_window_over_midnight_are_those_on_which_it_starts() -> None:
    friday_night = Override(start_minute=1320, end_minute=360, days=(5,), amounts=(("input", 1),))
    friday = datetime(2026, 8, 7, tzinfo=UTC)
    assert holds(friday_night, 1, friday.replace(hour=22))
    assert holds(friday_night, 1, friday + timedelta(hours=29))
    assert not holds(friday_night, 1, friday.replace(hour=5))
    assert condition_text(friday_night) == "Fri 22:00-06:00 UTC"


def test_a_window_follows_the_summer_time_of_its_zone() -> None:
    window = Override(start_minute=540, end_minute=600, tz="Europe/Berlin", amounts=(("input", 1),))
    assert holds(window, 1, datetime(2026, 7, 1, 7, 30, tzinfo=UTC))
    assert holds(window, 1, datetime(2026, 12, 1, 8, 30, tzinfo=UTC))
    assert not holds(window, 1, datetime(2026, 12, 1, 7, 30, tzinfo=UTC))


def test_a_time_zone_that_nobody_knows_leaves_the_price_unknown() -> None:
    card = replace(usd(input=1), overrides=(Override(start_minute=0, end_minute=1, tz="Mars/Base", amounts=()),))
    assert cost(card, workload(), T0) == Unpriced(reason="time zone unknown")


@pytest.mark.parametrize(("prompt", "answer", "cached"), [(1, 1, 2), (-1, 1, 0), (0, 0, 0)])
def test_an_impossible_workload_is_refused(prompt: int, answer: int, cached: int) -> None:
    with pytest.raises(ValueError):
        workload(prompt, answer, cached)


# --- who competes ---


def named(found: Ranking) -> list[tuple[int, bool, str]]:
    return [(route.rank, route.tied, route.row.provider) for route in found.routes]


def reasons(found: Ranking) -> dict[str, str]:
    return {one.row.provider: one.reason for one in found.excluded}


def test_ties_share_a_rank_and_the_next_is_counted_on() -> None:
    rows = [offer(usd(input=price, output=1), provider=name) for name, price in (("b", 5), ("c", 9), ("a", 5))]
    assert named(rank(rows, workload(), T0, Constraints())) == [(1, True, "a"), (1, True, "b"), (3, False, "c")]


def test_free_offers_compete_only_when_asked_for() -> None:
    rows = [offer(usd(input=0, output=0), provider="free"), offer(usd(input=1, output=0), provider="paid")]
    found = rank(rows, workload(), T0, Constraints())
    assert (named(found), reasons(found)) == ([(1, False, "paid")], {"free": "free"})
    assert named(rank(rows, workload(), T0, ANYTHING))[0] == (1, False, "free")


def test_what_is_free_for_a_workload_need_not_be_free_for_another() -> None:
    rows = [offer(usd(input=0, output=5))]
    assert reasons(rank(rows, workload(10, 0), T0, Constraints())) == {"acme": "free"}
    assert named(rank(rows, workload(10, 1), T0, Constraints())) == [(1, False, "acme")]


def test_prices_in_another_currency_are_left_out() -> None:
    rows = [offer(RateCard(currency="EUR", amounts=(("input", 1), ("output", 1))))]
    assert reasons(rank(rows, workload(), T0, Constraints())) == {"acme": "quoted in EUR: no rate for USD"}


@pytest.mark.parametrize(
    ("constraints", "facts", "reason"),
    [
        (Constraints(min_context=131_073), {}, "context below 131073"),
        (Constraints(min_context=131_072), {}, None),
        (Constraints(min_context=1), {"context_length": None}, "context unknown"),
        (Constraints(max_output=32_769), {}, "maximum output below 32769"),
        (Constraints(max_output=32_768), {}, None),
        (Constraints(max_output=1), {"max_output_tokens": None}, "maximum output unknown"),
        (Constraints(providers=frozenset({"other"})), {}, "another provider"),
        (Constraints(providers=frozenset({"acme", "other"})), {}, None),
        (Constraints(exclude_providers=frozenset({"acme"})), {}, "provider excluded"),
        (Constraints(quantizations=frozenset({"fp8", "bf16"})), {}, None),
        (Constraints(quantizations=frozenset({"bf16"})), {}, "another quantization"),
        (Constraints(quantizations=frozenset({"fp8"})), {"quantization": None}, "quantization unknown"),
    ],
)
def test_constraints_leave_out_what_is_not_known_to_meet_them(
    constraints: Constraints, facts: dict[str, Any], reason: str | None
) -> None:
    found = rank([offer(usd(input=1, output=1), **facts)], workload(), T0, constraints)
    assert [one.reason for one in found.excluded] == ([reason] if reason else [])


@pytest.mark.parametrize(("context", "fits"), [(2000, True), (None, None)])
def test_a_route_says_whether_it_is_known_to_be_long_enough(context: int | None, fits: bool | None) -> None:
    found = rank([offer(usd(input=1, output=1), context_length=context)], workload(), T0, Constraints())
    assert found.routes[0].fits is fits


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"context_length": 1999}, "context of 1999 is too short"),
        ({"max_output_tokens": 999}, "maximum output of 999 is too short"),
        ({"facts": Facts(max_prompt_tokens=999)}, "maximum prompt of 999 is too short"),
    ],
)
def test_what_is_known_to_be_too_small_for_a_request_is_no_route(facts: dict[str, Any], reason: str) -> None:
    found = rank([offer(usd(input=1, output=1), **facts)], workload(), T0, Constraints())
    assert [one.reason for one in found.excluded] == [reason]


# --- which source answers ---

CATALOGUE = {"source": "catalogue", "trust": 2}
FIRST_PARTY = {"source": "acme", "trust": 0}
PRICED, UNKNOWN = usd(input=1, output=1), RateCard(currency="USD", amounts=(), states=(("input", "unknown"),))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([offer(PRICED, **CATALOGUE), offer(PRICED, **FIRST_PARTY)], "acme"),
        ([offer(PRICED, **CATALOGUE), offer(PRICED, **FIRST_PARTY, stale=True)], "acme"),
        ([offer(PRICED, **CATALOGUE, first_seen=hour(1)), offer(PRICED, **FIRST_PARTY, stale=True)], "catalogue"),
        (
            [
                offer(PRICED, **CATALOGUE, first_seen=hour(-900)),
                offer(PRICED, **FIRST_PARTY, stale=True, last_seen=hour(-721)),
            ],
            "catalogue",
        ),
        (
            [
                offer(PRICED, **CATALOGUE, first_seen=hour(-900)),
                offer(PRICED, **FIRST_PARTY, stale=True, last_seen=hour(-719)),
            ],
            "acme",
        ),
        ([offer(PRICED, **CATALOGUE, stale=True), offer(PRICED, **FIRST_PARTY, stale=True)], "acme"),
        ([offer(PRICED, **CATALOGUE), offer(UNKNOWN, **FIRST_PARTY)], "catalogue"),
        ([offer(PRICED, **CATALOGUE, stale=True), offer(UNKNOWN, **FIRST_PARTY)], "catalogue"),
        ([offer(PRICED, **CATALOGUE), offer(PRICED, **FIRST_PARTY, basis="stated")], "catalogue"),
        ([offer(PRICED, source="b"), offer(PRICED, source="a")], "a"),
        ([offer(PRICED, source="b", last_seen=hour(1)), offer(PRICED, source="a")], "a"),
        ([offer(PRICED, source="b", last_seen=hour(1), stale=True), offer(PRICED, source="a", stale=True)], "b"),
    ],
    ids=[
        "trust",
        "stale",
        "newer",
        "expired",
        "not yet",
        "none fresh",
        "priced",
        "priced before fresh",
        "observed",
        "name",
        "polled last",
        "last seen",
    ],
)
def test_the_most_trusted_fresh_source_with_a_price_answers_for_a_provider(
    rows: list[IntervalRow], expected: str
) -> None:
    assert {row.source for row in believed(rows, T0, Converter())} == {expected}
    assert {row.source for row in believed(rows[::-1], T0, Converter())} == {expected}


def test_all_offers_of_the_believed_source_compete_and_none_of_the_others() -> None:
    rows = [
        offer(PRICED, **FIRST_PARTY, endpoint="turbo"),
        offer(PRICED, **FIRST_PARTY, endpoint="base", stale=True),
        offer(PRICED, **CATALOGUE),
        offer(PRICED, **CATALOGUE, provider="other"),
    ]
    found = rank(rows, workload(), T0, Constraints())
    assert sorted((route.row.provider, route.row.endpoint, route.row.stale) for route in found.routes) == [
        ("acme", "base", True),
        ("acme", "turbo", False),
        ("other", "gpt-oss-120b", False),
    ]


def test_a_named_source_is_heard_beside_a_better_one() -> None:
    rows = [offer(PRICED, **FIRST_PARTY), offer(PRICED, **CATALOGUE), offer(PRICED, source="third")]
    found = rank(rows, workload(), T0, Constraints(sources=frozenset({"catalogue", "acme"})))
    assert [route.row.source for route in found.routes] == ["acme", "catalogue"]
    assert not found.excluded


def test_each_model_of_a_provider_has_its_own_source() -> None:
    rows = [offer(PRICED, **FIRST_PARTY, model="a/one"), offer(PRICED, **CATALOGUE, model="a/two")]
    assert len(believed(rows, T0, Converter())) == 2
