"""Where a workload is cheapest: pure, exact, and never a guess.

An endpoint of which the cost is not known (see `store.costing`) is never cheapest: it is left out, with the reason.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from store.costing import Cost, Unpriced, Workload, cost
from store.currency import Conversion, Converter
from store.instants import to_millis
from store.intervals import IntervalRow

__all__ = ["Constraints", "Cost", "Excluded", "Ranking", "Route", "Unpriced", "Workload", "believed", "cost", "rank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a route must be; an unknown fact never satisfies a constraint."""

    min_context: int | None = None
    max_output: int | None = None
    """Tokens of output that the endpoint must allow."""
    providers: frozenset[str] = frozenset()
    """Empty: any."""
    exclude_providers: frozenset[str] = frozenset()
    quantizations: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    """All offers of these sources; empty: for each provider and model those of the most trusted source (`believed`)."""
    include_free: bool = False


class Route(NamedTuple):
    """An endpoint with its place."""

    rank: int
    """1 is cheapest; equal costs share a rank, and the next one is counted on (1, 1, 3)."""
    tied: bool
    row: IntervalRow
    cost: Cost
    fits: bool | None
    """Input and output together fit the context length; None: that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """An endpoint that is no route, and why."""

    row: IntervalRow
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Where a workload can go, cheapest first."""

    routes: tuple[Route, ...]
    excluded: tuple[Excluded, ...]


def believed(rows: Iterable[IntervalRow], at: datetime, into: Converter) -> list[IntervalRow]:
    """For each provider and model the offers of one source: the most trusted of those that are fresh and have a price.

    A price that cannot be told in the currency asked for is none, and of two sources that are trusted alike the one
    that quotes in it answers.

    Variants are not compared one by one: a source that knows only one offer of a provider would otherwise stand beside
    one that tells several apart. Where no source is fresh, the most trusted answers, and its rows say so.
    """
    chosen: list[IntervalRow] = []
    for _, group in groupby(sorted(rows, key=_offered_by), key=_offered_by):
        by_source: dict[str, list[IntervalRow]] = {}
        for row in group:
            by_source.setdefault(row.source, []).append(row)
        offers = list(by_source.values())
        best = offers[0] if len(offers) == 1 else min(offers, key=lambda offer: _doubt(offer, at, into))
        chosen.extend(best)
    return chosen


def _offered_by(row: IntervalRow) -> tuple[str, str]:
    return row.provider, row.model


def _doubt(rows: Sequence[IntervalRow], at: datetime, into: Converter) -> tuple[bool, bool, int, bool, int, str]:
    """Least for the source to believe: with a price, observed and fresh, trusted, unconverted, last seen, by name.

    Which of two fresh ones was polled last says nothing, and would let them answer by turns.
    """
    priced = [
        row for row in rows if row.card.amounts and isinstance(into.conversion(row.card.currency, at), Conversion)
    ]
    fresh = any(row.basis == "observed" and not row.stale for row in priced)
    newest = max(row.last_seen for row in priced or rows)
    foreign = all(row.card.currency != into.currency for row in priced)
    return not priced, not fresh, rows[0].trust, foreign, 0 if fresh else -to_millis(newest), rows[0].source


def rank(
    rows: Iterable[IntervalRow],
    workload: Workload,
    at: datetime,
    constraints: Constraints,
    into: Converter | None = None,
) -> Ranking:
    """The endpoints in the order of what a workload costs there at an instant, and those left out with the reason.

    In the currency of `into`; without it, in USD, and no other currency is converted.
    """
    into = into or Converter()
    named = [row for row in rows if not constraints.sources or row.source in constraints.sources]
    routes: list[tuple[Cost, IntervalRow]] = []
    excluded: list[Excluded] = []
    for row in named if constraints.sources else believed(named, at, into):
        priced = _judge(row, workload, at, constraints, into)
        if isinstance(priced, Cost):
            routes.append((priced, row))
        else:
            excluded.append(Excluded(row=row, reason=priced))
    routes.sort(key=lambda route: (route[0].femto, *_place(route[1])))
    excluded.sort(key=lambda one: _place(one.row))
    return Ranking(routes=tuple(_numbered(routes, workload)), excluded=tuple(excluded))


def _place(row: IntervalRow) -> tuple[str, str, str, str]:
    return row.provider, row.endpoint, row.model, row.source


def _numbered(routes: Sequence[tuple[Cost, IntervalRow]], workload: Workload) -> Iterable[Route]:
    needed = workload.input_tokens + workload.output_tokens
    before = 0
    for _, group in groupby(routes, key=lambda route: route[0].femto):
        alike = list(group)
        for priced, row in alike:
            yield Route(
                rank=before + 1,
                tied=len(alike) > 1,
                row=row,
                cost=priced,
                fits=None if row.context_length is None else needed <= row.context_length,
            )
        before += len(alike)


def _judge(row: IntervalRow, workload: Workload, at: datetime, constraints: Constraints, into: Converter) -> Cost | str:
    """What the workload costs there, or why the endpoint is left out."""
    if lacking := unfit(row, constraints):
        return lacking
    priced = cost(row.card, workload, at)
    if isinstance(priced, Unpriced):
        return priced.reason
    if priced.currency != into.currency:
        by = into.conversion(priced.currency, at)
        if not isinstance(by, Conversion):
            return str(by)
        priced = priced.converted(by)
    if priced.femto == 0 and not constraints.include_free:
        return "free"
    return priced


def unfit(row: IntervalRow, constraints: Constraints) -> str:
    """Why an endpoint is not what was asked for, whatever it costs; empty if it is."""
    if constraints.providers and row.provider not in constraints.providers:
        return "another provider"
    if row.provider in constraints.exclude_providers:
        return "provider excluded"
    if constraints.quantizations and row.quantization not in constraints.quantizations:
        return "quantization unknown" if row.quantization is None else "another quantization"
    return _too_small("context", row.context_length, constraints.min_context) or _too_small(
        "maximum output", row.max_output_tokens, constraints.max_output
    )


def _too_small(name: str, tokens: int | None, wanted: int | None) -> str:
    if wanted is None or (tokens is not None and tokens >= wanted):
        return ""
    return f"{name} unknown" if tokens is None else f"{name} below {wanted}"
