"""Where the cheapest route changes: with cache hits, with the length of the prompt, with the hour. Pure and exact."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

from store.constraints import Constraints, Seen
from store.costing import Unpriced
from store.currency import Converter
from store.intervals import IntervalRow
from store.records import RateCard
from store.routing import Route, rank
from store.tariff import WEEK, has_hours, stretches
from store.traffic import Spend, Traffic, spend

Place = TypeVar("Place", Fraction, int, datetime)


class Line(NamedTuple):
    """What something costs between two places, of which it is a straight line."""

    row: IntervalRow
    start: Fraction
    end: Fraction


class Winner(NamedTuple, Generic[Place]):
    """Who is cheapest from one place to another; ties are told together."""

    since: Place
    until: Place
    rows: tuple[IntervalRow, ...]
    costs: tuple[Fraction, Fraction]
    """A request at either end, in 1e-15 currency units."""


def by_hits(routes: Iterable[Route], traffic: Traffic, at: datetime, into: Converter) -> list[Winner[Fraction]]:
    """Who is cheapest at each share of the prompt that is read from a cache, from 0 to 1.

    Of endpoints of which the cost is known at both ends.
    """
    none, all_ = traffic.with_hits(Fraction(0)), traffic.with_hits(Fraction(1))
    lines = []
    for route in routes:
        start, end = (spend(route.row.card, one, at, into) for one in (none, all_))
        if isinstance(start, Spend) and isinstance(end, Spend):
            lines.append(Line(route.row, Fraction(start.request), Fraction(end.request)))
    return _joined(_lowest(lines, Fraction(0), Fraction(1)))


def by_prompt(
    routes: Iterable[Route], traffic: Traffic, at: datetime, into: Converter, longest: int = 2_000_000
) -> list[Winner[int]]:
    """Who is cheapest at each length of the prompt, from 1 token to the longest that any endpoint is known to take.

    Of traffic of one kind: the answer stays as long as it is, and the same share of the prompt comes from a cache. An
    endpoint of which the context is not known is taken to be long enough.
    """
    load = traffic.loads[0]
    share = Fraction(load.cached_tokens, load.input_tokens) if load.input_tokens else Fraction(0)
    answer = load.output_tokens
    limits = {route.row.endpoint_id: _longest_prompt(route.row, answer, longest) for route in routes}
    found = list(routes)
    marks = {0, *limits.values()}
    marks |= {one.above_tokens for route in found for one in route.row.card.overrides if one.above_tokens is not None}
    places = sorted(mark for mark in marks if 0 <= mark <= max(limits.values(), default=0))
    winners: list[Winner[int]] = []
    for low, high in pairwise(places):
        least, most = (_of_length(traffic, share, length, high) for length in (low + 1, high))
        priced: dict[RateCard, tuple[Spend | Unpriced, Spend | Unpriced]] = {}  # many endpoints have the same prices
        lines = []
        for route in found:
            if limits[route.row.endpoint_id] < high:
                continue
            card = route.row.card
            if card not in priced:
                priced[card] = spend(card, least, at, into), spend(card, most, at, into)
            start, end = priced[card]
            if isinstance(start, Spend) and isinstance(end, Spend):
                lines.append(Line(route.row, Fraction(start.request), Fraction(end.request)))
        first = low + 1
        for _, until, rows, costs in _lowest(lines, Fraction(first), Fraction(high)):
            last = int(until)  # of two that cost the same there, the one that was cheapest before
            if first <= last:
                winners.append(Winner(first, last, rows, costs))
            first = max(first, last + 1)
    return _joined(winners)


def _longest_prompt(row: IntervalRow, answer: int, longest: int) -> int:
    context = longest if row.context_length is None else row.context_length - answer
    return max(0, min(context, longest, row.facts.max_prompt_tokens or longest))


def _of_length(traffic: Traffic, share: Fraction, length: int, tier: int) -> Traffic:
    """Requests with a prompt of that length, at the prices of another."""
    load = traffic.loads[0]
    times = share.denominator
    kind = replace(
        load,
        input_tokens=length * times,
        cached_tokens=length * share.numerator,
        output_tokens=load.output_tokens * times,
        requests=times,
        prompt_tokens=tier,
        more=(),
    )
    return replace(traffic, loads=(kind,), longest=traffic.needed)


def by_hour(
    rows: Sequence[IntervalRow],
    traffic: Traffic,
    at: datetime,
    constraints: Constraints,
    into: Converter,
    seen: Callable[[IntervalRow], Seen],
) -> list[Winner[datetime]]:
    """Who is cheapest at each instant of the coming week, by prices as they are now."""
    once = replace(traffic, week=None)
    tier = max(load.tier_tokens for load in traffic.loads)
    marks = {at}
    for row in rows:
        if has_hours(row.card):
            try:
                marks |= {one.since for one in stretches(row.card, tier, at, at + WEEK)}
            except (KeyError, ValueError):
                continue  # nobody knows its time zone: it is no route, and ranking says so
    winners = []
    for since, until in pairwise([*sorted(marks), at + WEEK]):
        best = [route for route in rank(rows, once, since, constraints, into, seen).routes if route.rank == 1]
        if best:
            cost = Fraction(best[0].spend.request)
            winners.append(Winner(since, until, tuple(route.row for route in best), (cost, cost)))
    return _joined(winners)


def _lowest(lines: Sequence[Line], low: Fraction, high: Fraction) -> list[Winner[Fraction]]:
    """The lowest of straight lines between two places, piece by piece."""
    # Of a line that never falls as low as another one always is, nothing comes.
    ceiling = min((max(line.start, line.end) for line in lines), default=Fraction(0))
    lines = [line for line in lines if min(line.start, line.end) <= ceiling]
    winners: list[Winner[Fraction]] = []
    here = Fraction(0)
    while lines and here < 1:
        # The lowest here, and of those the one that stays lowest just after.
        cost, slope = min((_on(line, here), line.end - line.start) for line in lines)
        best = [line for line in lines if (_on(line, here), line.end - line.start) == (cost, slope)]
        crossings = (
            here + (_on(line, here) - cost) / (slope - (line.end - line.start))
            for line in lines
            if line.end - line.start < slope
        )
        there = min((one for one in crossings if one > here), default=Fraction(1))
        there = min(there, Fraction(1))
        ends = (_on(best[0], here), _on(best[0], there))
        span = high - low
        winners.append(Winner(low + here * span, low + there * span, tuple(line.row for line in best), ends))
        here = there
    return winners


def _on(line: Line, here: Fraction) -> Fraction:
    return line.start + (line.end - line.start) * here


def _joined(winners: Iterable[Winner[Place]]) -> list[Winner[Place]]:
    """Neighbours of the same winners as one."""
    found: list[Winner[Place]] = []
    for one in winners:
        before = found[-1] if found else None
        if before is not None and _names(before) == _names(one):
            found[-1] = before._replace(until=one.until, costs=(before.costs[0], one.costs[1]))
        else:
            found.append(one)
    return found


def _names(winner: Winner[Place]) -> tuple[int, ...]:
    return tuple(row.endpoint_id for row in winner.rows)


class Crossing(NamedTuple):
    """A stretch in which one endpoint is cheapest, as it is shown."""

    by: str
    """`cache hits` (shares of the prompt), `prompt` (tokens) or `hour` (instants)."""
    since: Fraction | int | datetime
    until: Fraction | int | datetime
    """Of hours, up to and without; of prompts, with it."""
    row: IntervalRow
    tied: bool
    cost_since: Fraction
    """A request at either end, in 1e-15 currency units."""
    cost_until: Fraction
    currency: str
    always: bool
    """Nobody else ever is."""


def rows(
    offers: Sequence[IntervalRow],
    routes: Sequence[Route],
    traffic: Traffic,
    at: datetime,
    constraints: Constraints,
    into: Converter,
    seen: Callable[[IntervalRow], Seen],
) -> Iterator[Crossing]:
    """Every stretch of every kind; of prompts only where the traffic is of one kind and nothing but tokens of text."""
    found: list[tuple[str, Sequence[Winner[Fraction] | Winner[int] | Winner[datetime]]]] = []
    if all(load.input_tokens for load in traffic.loads):
        found.append(("cache hits", by_hits(routes, traffic, at, into)))
    if len(traffic.loads) == 1 and not traffic.loads[0].more:
        found.append(("prompt", by_prompt(routes, traffic, at, into)))
    found.append(("hour", by_hour(offers, traffic, at, constraints, into, seen)))
    for by, winners in found:
        for winner in winners:
            for row in winner.rows:
                yield Crossing(
                    by,
                    winner.since,
                    winner.until,
                    row,
                    len(winner.rows) > 1,
                    *winner.costs,
                    into.currency,
                    len(winners) == 1,
                )
