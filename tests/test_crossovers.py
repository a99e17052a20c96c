"""Where the cheapest route changes, held against asking at every place."""

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from store.constraints import Constraints, sights
from store.costing import Workload
from store.crossovers import by_hits, by_hour, by_prompt
from store.currency import Converter
from store.intervals import IntervalRow
from store.records import Override, RateCard
from store.routing import rank
from store.tariff import WEEK, stretches
from store.traffic import Traffic, hours_of_week, spend
from tests.tape import T0, usd
from tests.test_routing import offer

USD = Converter()
_PRICE = st.integers(0, 40)


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    amounts = {"input": draw(_PRICE), "output": draw(_PRICE)}
    if draw(st.booleans()):
        amounts["cache_read"] = draw(_PRICE)
    if draw(st.booleans()):
        amounts["request"] = draw(st.integers(0, 2)) * 10
    overrides = [
        Override(above_tokens=draw(st.integers(0, 60)), amounts=(("input", draw(_PRICE)),))
        for _ in range(draw(st.integers(0, 2)))
    ]
    overrides += [
        Override(
            start_minute=draw(st.integers(0, 1439)),
            end_minute=draw(st.integers(0, 1439)),
            days=tuple(sorted(draw(st.sets(st.integers(1, 7))))),
            tz=draw(st.sampled_from(("UTC", "Asia/Shanghai", "America/New_York"))),
            amounts=(("output", draw(_PRICE)),),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    return replace(usd(**amounts), overrides=tuple(overrides))


def offers(drawn: list[RateCard], context: int | None = 131_072) -> list[IntervalRow]:
    return [
        offer(card, endpoint=f"e{number}", provider=f"p{number}", endpoint_id=number, context_length=context)
        for number, card in enumerate(drawn)
    ]


@settings(max_examples=200)
@given(st.lists(cards(), min_size=1, max_size=5), st.integers(1, 100), st.integers(0, 50), st.fractions(0, 1))
def test_who_wins_at_a_share_of_hits_is_cheapest_there(
    drawn: list[RateCard], tokens: int, answer: int, share: Fraction
) -> None:
    rows = offers(drawn)
    traffic = Traffic(loads=(Workload(input_tokens=tokens, output_tokens=answer),))
    routes = rank(rows, traffic, T0, Constraints(include_free=True)).routes
    winners = by_hits(routes, traffic, T0, USD)
    assert winners[0].since == 0
    assert winners[-1].until == 1
    assert all(one.until == other.since for one, other in pairwise(winners))
    winner = next(one for one in winners if one.since <= share <= one.until)
    costs = {row.endpoint_id: spend(row.card, traffic.with_hits(share), T0, USD) for row in rows}
    lowest = min(one.request for one in costs.values())  # type: ignore[union-attr]
    assert costs[winner.rows[0].endpoint_id].request == lowest  # type: ignore[union-attr]


@settings(max_examples=100)
@given(st.lists(cards(), min_size=1, max_size=4), st.integers(0, 50), st.sampled_from((0, 1, 2)))
def test_who_wins_at_a_length_of_the_prompt_is_cheapest_there(drawn: list[RateCard], answer: int, part: int) -> None:
    rows = offers(drawn, context=answer + 100)
    share = Fraction(part, 2)
    whole = Traffic(loads=(Workload(input_tokens=2, output_tokens=answer, cached_tokens=part),))
    routes = rank(rows, whole, T0, Constraints(include_free=True)).routes
    winners = by_prompt(routes, whole, T0, USD)
    for length in range(1, 101):
        winner = next(one for one in winners if one.since <= length <= one.until)
        load = Workload(
            input_tokens=2 * length,
            cached_tokens=int(2 * length * share),
            output_tokens=2 * answer,
            requests=2,
            prompt_tokens=length,
        )
        costs = {row.endpoint_id: spend(row.card, Traffic(loads=(load,)), T0, USD) for row in rows}
        lowest = min(one.request for one in costs.values())  # type: ignore[union-attr]
        assert costs[winner.rows[0].endpoint_id].request == lowest, length  # type: ignore[union-attr]


@settings(max_examples=60)
@given(st.lists(cards(), min_size=1, max_size=4), st.integers(0, 7 * 1440 - 1))
def test_who_wins_at_an_hour_is_cheapest_then(drawn: list[RateCard], minute: int) -> None:
    rows = offers(drawn)
    traffic = Traffic(loads=(Workload(input_tokens=30, output_tokens=30),))
    free = Constraints(include_free=True)
    winners = by_hour(rows, traffic, T0, free, USD, sights(rows))
    moment = T0 + timedelta(minutes=minute)
    winner = next(one for one in winners if one.since <= moment < one.until)
    best = [route.row for route in rank(rows, traffic, moment, free).routes if route.rank == 1]
    assert list(winner.rows) == best


@settings(max_examples=60)
@given(cards(), st.integers(0, 365 * 1440))
def test_stretches_are_a_week_without_a_gap_each_charging_the_same(card: RateCard, start: int) -> None:
    since = datetime(2026, 1, 1, tzinfo=T0.tzinfo) + timedelta(minutes=start)
    found = stretches(card, 30, since, since + WEEK)
    assert (found[0].since, found[-1].until) == (since, since + WEEK)
    assert all(one.until == other.since for one, other in pairwise(found))
    assert all(one.held != other.held for one, other in pairwise(found))
    for one in found:
        for moment in (one.since, one.until - timedelta(minutes=1), one.since + (one.until - one.since) / 2):
            (only,) = stretches(card, 30, moment, moment + timedelta(seconds=1))
            assert only.held == one.held


def test_hours_that_come_twice_or_not_at_all_are_told_apart() -> None:
    card = replace(
        usd(input=1),
        overrides=(Override(start_minute=90, end_minute=150, tz="America/New_York", amounts=(("input", 2),)),),
    )
    autumn = datetime(2026, 11, 1, 4, tzinfo=T0.tzinfo)  # 2 o'clock comes an hour after 1 o'clock came twice
    dear = [
        (one.since.strftime("%H:%M"), one.until.strftime("%H:%M"))
        for one in stretches(card, 1, autumn, autumn + timedelta(hours=6))
        if one.held
    ]
    assert dear == [("05:30", "06:00"), ("06:30", "07:30")]


def test_traffic_of_the_week_costs_what_its_hours_cost_in_proportion() -> None:
    night = Override(start_minute=0, end_minute=360, amounts=(("input", 500),))
    card = replace(usd(input=1000), overrides=(night,))
    load = Workload(input_tokens=1, output_tokens=0)
    even = Traffic(loads=(load,), week=(1,) * 168)
    by_night = Traffic(loads=(load,), week=hours_of_week("Mon-Fri 0-6"))
    across = Traffic(loads=(load,), week=hours_of_week("05-07"))
    found = [spend(card, one, T0, USD) for one in (even, by_night, across)]
    assert [one.request for one in found] == [875, 500, 750]  # type: ignore[union-attr]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), cards())
def test_kinds_of_requests_cost_their_mean(counts: list[int], card: RateCard) -> None:
    plain = replace(card, overrides=())
    loads = tuple(Workload(input_tokens=n * 7, output_tokens=n, requests=n, prompt_tokens=7) for n in counts)
    one = Workload(input_tokens=7 * sum(counts), output_tokens=sum(counts), requests=sum(counts), prompt_tokens=7)
    mixed, summed = (spend(plain, Traffic(loads=kinds), T0, USD) for kinds in (loads, (one,)))
    assert mixed.request == summed.request  # type: ignore[union-attr]
    assert mixed.meters == summed.meters  # type: ignore[union-attr]
