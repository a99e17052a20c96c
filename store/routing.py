"""Where traffic is cheapest: pure, exact, and never a guess.

An endpoint of which the cost is not known (see `store.costing`) is never cheapest: it is left out, with the reason.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

from store.constraints import Constraints, Seen, sights, unfit
from store.costing import Cost, Unpriced, Workload, cost
from store.currency import Conversion, Converter
from store.instants import to_millis
from store.intervals import IntervalRow
from store.traffic import Spend, Traffic, spend

__all__ = [
    "Constraints",
    "Cost",
    "Excluded",
    "Ranking",
    "Route",
    "Unpriced",
    "Workload",
    "against",
    "believed",
    "cost",
    "rank",
]


class Route(NamedTuple):
    """An endpoint with its place."""

    rank: int
    """1 is cheapest; equal costs share a rank, and the next one is counted on (1, 1, 3)."""
    tied: bool
    row: IntervalRow
    spend: Spend
    fits: bool | None
    """Input and output together fit the context length; None: that is unknown."""
    month: Fraction | int | None = None
    """In 1e-15 currency units; None: nobody said how many requests there are."""
    saving: Fraction | int | None = None
    """What a request costs less than it does where it is sent now; None: nobody said where that is."""

    @property
    def cost(self) -> Cost:
        """A request, on average where there are several kinds or hours."""
        return self.spend.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """An endpoint that is no route, and why."""

    row: IntervalRow
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Where traffic can go, cheapest first."""

    routes: tuple[Route, ...]
    excluded: tuple[Excluded, ...]


def believed(rows: Iterable[IntervalRow], at: datetime, into: Converter) -> list[IntervalRow]:
    """For each provider and model the offers of one source: the most trusted that has a price and is heard of.

    A source that is not fresh answers still, and its rows say so: that somebody less trusted was asked since does not
    make them right who copied a price before it was last confirmed. They are, in its place, if they are fresh and have
    seen the price begin after that, or if it was not heard of for `EXPIRY`, or dates a price that it was not seen to
    charge. A price that cannot be told in the currency asked for is none, and of two sources that are trusted alike the
    one that quotes in it answers.

    Variants are not compared one by one: a source that knows only one offer of a provider would otherwise stand beside
    one that tells several apart.
    """
    chosen: list[IntervalRow] = []
    for _, group in groupby(sorted(rows, key=_offered_by), key=_offered_by):
        by_source: dict[str, list[IntervalRow]] = {}
        for row in group:
            by_source.setdefault(row.source, []).append(row)
        offers = list(by_source.values())
        chosen.extend(offers[0] if len(offers) == 1 else _best(offers, at, into))
    return chosen


EXPIRY = timedelta(days=30)
"""A source that was not heard of for longer is trusted no more than any other."""


class _Claim(NamedTuple):
    """What a source says of a provider's offers of a model; the least is to be believed first."""

    unpriced: bool
    trust: int
    foreign: bool
    """In another currency than is asked for."""
    stale: bool
    age: int
    """Of stale ones. Which of two fresh ones was polled last says nothing: they would answer by turns."""
    source: str
    rows: list[IntervalRow]
    observed: bool
    fresh: bool
    began: datetime
    """When its newest price did."""
    heard: datetime


def _best(offers: Iterable[list[IntervalRow]], at: datetime, into: Converter) -> list[IntervalRow]:
    best, *others = sorted((_claim(rows, at, into) for rows in offers), key=lambda claim: claim[:6])
    for other in others:
        if best.fresh or other.unpriced or not other.fresh:
            continue
        if not best.observed or other.began > best.heard or at - best.heard > EXPIRY:
            best = other
    return best.rows


def _claim(rows: list[IntervalRow], at: datetime, into: Converter) -> _Claim:
    priced = [
        row for row in rows if row.card.amounts and isinstance(into.conversion(row.card.currency, at), Conversion)
    ]
    observed = [row for row in priced if row.basis == "observed"]
    heard = max(row.last_seen for row in observed or priced or rows)
    stale = all(row.stale for row in priced or rows)
    return _Claim(
        unpriced=not priced,
        trust=rows[0].trust,
        foreign=all(row.card.currency != into.currency for row in priced),
        stale=stale,
        age=-to_millis(heard) if stale else 0,
        source=rows[0].source,
        rows=rows,
        observed=bool(observed),
        fresh=any(not row.stale for row in observed),
        began=max(row.first_seen for row in priced or rows),
        heard=heard,
    )


def _offered_by(row: IntervalRow) -> tuple[str, str]:
    return row.provider, row.model


def rank(
    rows: Iterable[IntervalRow],
    traffic: Traffic | Workload,
    at: datetime,
    constraints: Constraints,
    into: Converter | None = None,
    seen: Callable[[IntervalRow], Seen] | None = None,
) -> Ranking:
    """The endpoints in the order of what traffic costs there at an instant, and those left out with the reason.

    In the currency of `into`; without it, in USD, and no other currency is converted. `seen` tells what is known of an
    offer; without it, what these rows say together.
    """
    into = into or Converter()
    if isinstance(traffic, Workload):
        traffic = Traffic(loads=(traffic,))
    offers = list(rows)
    seen = seen or sights(offers)
    named = [row for row in offers if not constraints.sources or row.source in constraints.sources]
    routes: list[tuple[Spend, IntervalRow]] = []
    excluded: list[Excluded] = []
    for row in named if constraints.sources else believed(named, at, into):
        priced = _judge(row, traffic, at, constraints, into, seen)
        if isinstance(priced, Spend):
            routes.append((priced, row))
        else:
            excluded.append(Excluded(row=row, reason=priced))
    routes.sort(key=lambda route: (route[0].request, *_place(route[1])))
    excluded.sort(key=lambda one: _place(one.row))
    return Ranking(routes=tuple(_numbered(routes, traffic)), excluded=tuple(excluded))


def against(routes: Iterable[Route], current: Spend) -> tuple[Route, ...]:
    """Routes with what each saves of what a request costs now."""
    return tuple(route._replace(saving=current.request - route.spend.request) for route in routes)


def _place(row: IntervalRow) -> tuple[str, str, str, str]:
    return row.provider, row.endpoint, row.model, row.source


def _numbered(routes: Sequence[tuple[Spend, IntervalRow]], traffic: Traffic) -> Iterable[Route]:
    before = 0
    needed = sum(traffic.needed)
    for _, group in groupby(routes, key=lambda route: route[0].request):
        alike = list(group)
        for priced, row in alike:
            yield Route(
                rank=before + 1,
                tied=len(alike) > 1,
                row=row,
                spend=priced,
                fits=None if row.context_length is None else needed <= row.context_length,
                month=None if traffic.a_month is None else priced.request * traffic.a_month,
            )
        before += len(alike)


def _judge(
    row: IntervalRow,
    traffic: Traffic,
    at: datetime,
    constraints: Constraints,
    into: Converter,
    seen: Callable[[IntervalRow], Seen],
) -> Spend | str:
    """What the traffic costs there, or why the endpoint is left out."""
    if reason := unfit(row, seen(row), traffic.needed, at, constraints):
        return reason
    priced = spend(row.card, traffic, at, into)
    if isinstance(priced, Unpriced):
        return priced.reason
    if not priced.request and not constraints.include_free:
        return "free"
    return priced
