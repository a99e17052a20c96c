"""What a workload costs at an endpoint, and where it is cheapest: pure, exact, and never a guess.

A price that is unknown, decided at run time or not offered is never zero and never cheapest: the endpoint is left out,
with the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby
from typing import NamedTuple

from store.conditions import condition_text, in_force
from store.currency import Conversion, Converter
from store.instants import to_millis
from store.intervals import IntervalRow
from store.records import RateCard

FEMTO_DIGITS = 15
_REQUEST_STEPS = 1_000_000
"""An amount is 1e-9 of a currency unit per 1M tokens, so 1e-15 per token, and 1M times that per request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One request."""

    input_tokens: int
    """The whole prompt, with the part that is read from a cache."""
    output_tokens: int
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        if min(self.input_tokens, self.output_tokens, self.cached_tokens) < 0:
            raise ValueError("a workload has no negative count of tokens")
        if self.cached_tokens > self.input_tokens:
            raise ValueError("more cached tokens than input tokens")
        if self.input_tokens + self.output_tokens == 0:
            raise ValueError("a workload without tokens costs nothing anywhere")


class Cost(NamedTuple):
    """What one request costs, exactly, and the amounts that made it."""

    femto: int
    """In 1e-15 currency units."""
    currency: str
    input: int | None
    """The amount that applies to this workload at this instant, conditions included; None: not offered or unknown."""
    output: int | None
    cache_read: int | None
    """None: the cached part is charged as input."""
    conditions: tuple[str, ...] = ()
    """The conditions that held."""
    conversion: Conversion | None = None
    """How all that comes to be in `currency`, where the endpoint quotes another."""

    def converted(self, by: Conversion) -> "Cost":
        """In another currency: the exact cost, rounded once."""
        input_, output, cache_read = (
            None if amount is None else by.amount(amount) for amount in (self.input, self.output, self.cache_read)
        )
        return Cost(by.amount(self.femto), by.currency, input_, output, cache_read, self.conditions, by)

    @property
    def text(self) -> str:
        """A plain decimal in currency units, without exponent or trailing zeros."""
        whole, fraction = divmod(self.femto, 10**FEMTO_DIGITS)
        digits = f"{fraction:0{FEMTO_DIGITS}d}".rstrip("0")
        return f"{whole}.{digits}" if digits else str(whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """The cost of a workload cannot be told."""

    reason: str


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


def cost(card: RateCard, workload: Workload, at: datetime) -> Cost | Unpriced:
    """What a workload costs by a rate card at an instant.

    The cached part is charged as a cache read where that is offered, else as input. A meter that the workload needs
    and that has no amount makes the cost unknown.
    """
    try:
        amounts, held = in_force(card, workload.input_tokens, at)
    except (KeyError, ValueError):
        return Unpriced(reason="time zone unknown")
    told = chain(card.states, ((meter, "unknown") for one in held for meter in one.unknown))
    states = {meter: state for meter, state in told if meter not in amounts}
    cached_meter = "cache_read" if "cache_read" in amounts or "cache_read" in states else "input"
    total = 0
    for meter, tokens in (
        ("input", workload.input_tokens - workload.cached_tokens),
        (cached_meter, workload.cached_tokens),
        ("output", workload.output_tokens),
    ):
        if tokens and meter not in amounts:
            return Unpriced(reason=_without_amount(meter, states))
        total += tokens * amounts.get(meter, 0)
    if "request" in states:
        return Unpriced(reason=_without_amount("request", states))
    return Cost(
        femto=total + amounts.get("request", 0) * _REQUEST_STEPS,
        currency=card.currency,
        input=amounts.get("input"),
        output=amounts.get("output"),
        cache_read=amounts.get("cache_read"),
        conditions=tuple(map(condition_text, held)),
    )


def _without_amount(meter: str, states: Mapping[str, str]) -> str:
    name = meter.replace("_", " ")
    return {"varies": f"{name} price varies", "unknown": f"{name} price unknown"}.get(
        states.get(meter, ""), f"{name} not offered"
    )


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
    """Least for the source to believe: with a price, observed and fresh, trusted, unconverted, last seen, by name."""
    priced = [
        row for row in rows if row.card.amounts and isinstance(into.conversion(row.card.currency, at), Conversion)
    ]
    fresh = any(row.basis == "observed" and not row.stale for row in priced)
    newest = max(row.last_seen for row in priced or rows)
    foreign = all(row.card.currency != into.currency for row in priced)
    return not priced, not fresh, rows[0].trust, foreign, -to_millis(newest), rows[0].source


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
    if unfit := _unfit(row, constraints):
        return unfit
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


def _unfit(row: IntervalRow, constraints: Constraints) -> str:
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
