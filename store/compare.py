"""What is known of models side by side: facts, prices, and what a workload costs; pure, and nothing made up.

What nobody says is unknown and has no value. Of what an offer has (context, modalities, status, ...) the author's own
shop is believed; without one, what most providers say. Prices are those of one source a provider, the one that is
believed (`store.routing`); what is no route for ordinary traffic (free, batch, flex, no longer listed) is no price to
compare with.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from store.costing import FEMTO_DIGITS
from store.currency import Converter
from store.disputes import in_force
from store.facts import FactRow, facts
from store.intervals import IntervalRow
from store.read import Reader
from store.routing import Constraints, Ranking, Route, Workload, believed, rank
from store.shops import shops
from store.spread import Spread, spread_of
from store.units import NANO, decimal_text, hundredths

WORKLOADS: Mapping[str, Workload] = {
    "input_heavy": Workload(input_tokens=3600, output_tokens=400),
    "balanced": Workload(input_tokens=3000, output_tokens=1000),
    "output_heavy": Workload(input_tokens=1000, output_tokens=3000),
}
"""Requests of 4,000 tokens, of which 90, 75 and 25 percent are prompt."""
MONTH_DAYS = 30
_TOKENS_PER_PAGE = Fraction(500 * 4, 3)
"""A page has 500 words, a token is three quarters of a word."""
LISTS = ("input_modalities", "output_modalities", "features")
_OF_AN_AUTHOR = ("status", "successor", "deprecated_on", "retires_on")
"""What only the author can say of a model: a provider says so of its own offer."""


class Property(NamedTuple):
    """One thing about a model, or about one of its endpoints."""

    model: str
    name: str
    value: str | None
    """None: unknown."""
    unit: str = ""
    note: str = ""
    """What else is said of it, and where it holds."""
    sources: tuple[str, ...] = ()
    """Who says so."""
    disputed: bool = False
    """Another value that cannot be right beside this one is stated too."""
    ref: str = ""
    """The endpoint that it is of, as `explain` takes it."""
    place: str = ""
    """That endpoint's provider and variant, the conditions of its price that hold, and what is in doubt about it."""
    naming: tuple[int, int] | None = None
    """Of a thing on a list: how many providers name it, of how many that name any."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, with all that is in force and said of it at an instant."""

    model: str
    offers: tuple[IntervalRow, ...]
    """In every source."""
    facts: tuple[FactRow, ...]
    at: datetime
    into: Converter

    @property
    def author(self) -> str:
        """Who made it."""
        return self.model.partition("/")[0]

    @property
    def shops(self) -> frozenset[str]:
        """Providers through which its author sells."""
        return frozenset(shops(self.author))

    @cached_property
    def believed(self) -> list[IntervalRow]:
        """Its offers in one source for each provider."""
        return believed(self.offers, self.at, self.into)

    def ranking(self, workload: Workload) -> Ranking:
        """Where it can be had for a price at once, cheapest first."""
        return rank(self.offers, workload, self.at, Constraints(), self.into)

    def own(self, workload: Workload) -> Route | None:
        """Its author's own offer: the plain one, where there is one."""
        routes = [route for route in self.ranking(workload).routes if route.row.provider in self.shops]
        return min(routes, key=lambda route: (bool(route.row.variant), route.rank), default=None)

    def spread(self) -> Spread | None:
        """How far apart its prices are, for a balanced request; None: it has none that can be told."""
        return spread_of(self.ranking(WORKLOADS["balanced"]), self.into.currency)

    def said(self, fact: str) -> list[FactRow]:
        """Who says what of it, the values that most endpoints have first."""
        return [row for row in self.facts if row.fact == fact]


def subject(reader: Reader, model: str, at: datetime, *, known: datetime | None, into: Converter) -> Subject:
    """A canonical model as it was at an instant, as known at another."""
    return Subject(
        model=model,
        offers=tuple(in_force(reader, at, known=known, model=model)),
        facts=tuple(facts(reader, model, at, known=known)),
        at=at,
        into=into,
    )


def compare(subjects: Sequence[Subject], month: Workload, tokens_a_day: Sequence[int]) -> list[Property]:
    """All that is known of each model, in the order of the models, and how they stand to each other.

    `month` is the request of which as many are made in each of 30 days as take `tokens_a_day`.
    """
    found = [list(properties(one, month, tokens_a_day)) for one in subjects]
    beside = [
        [
            *_newer(of_one, found),
            *_ratios("context_length", "context_ratio", of_one, found),
            *(
                one
                for name in WORKLOADS
                for one in _ratios(f"{name}_cost", f"{name}_ratio", of_one, found, to="the cheapest")
            ),
        ]
        for of_one in found
    ]
    return [one for of_one, more in zip(found, beside, strict=True) for one in (*of_one, *more)]


def properties(one: Subject, month: Workload, tokens_a_day: Sequence[int]) -> Iterator[Property]:
    """All that is known of a model by itself."""
    yield Property(one.model, "author", one.author)
    for fact in (
        "release_date",
        "knowledge_cutoff",
        "open_weights",
        "licence",
        "total_parameters",
        "active_parameters",
    ):
        yield _of_the_model(one, fact)
    for fact in _OF_AN_AUTHOR:
        yield _of_the_author(one, fact)
    context = _of_offers(one, "context_length")
    yield context
    yield Property(one.model, "context_pages", _pages(context.value), "pages", "0.75 words a token, 500 a page")
    yield _largest_prompt(one)
    yield _of_offers(one, "max_output_tokens")
    for fact in LISTS:
        yield from _listed(one, fact)
    yield from _offered(one)
    yield from _prices(one)
    for name, workload in WORKLOADS.items():
        yield _cost(one, f"{name}_cost", workload)
    for volume in tokens_a_day:
        yield _month(one, month, volume)


def place(route: Route, among: Iterable[Route] = ()) -> str:
    """Where a price is from, how many of others cost the same, and what is to be doubted about it."""
    where = f"{route.row.provider} {route.row.variant}".rstrip()
    alike = sum(other.rank == route.rank and other is not route for other in among)
    return ", ".join((where, *([f"{alike} alike"] if alike else ()), *route.cost.conditions, *route.row.doubts))


def _of_the_model(one: Subject, fact: str) -> Property:
    rows = one.said(fact)
    if not rows:
        return Property(one.model, fact, None)
    first, *others = rows
    note = f"others say {', '.join(row.value for row in others)}" if others else ""
    return Property(one.model, fact, first.value, "", note, first.sources, first.disputed)


def _of_the_author(one: Subject, fact: str) -> Property:
    rows = one.said(fact)
    own = next((row for row in rows if row.provider in one.shops), None)
    note = ", ".join(f"{row.value} at {row.provider}" for row in rows if row.provider not in one.shops)
    if own is None:
        return Property(one.model, fact, None, "", note)
    return Property(one.model, fact, own.value, "", note, own.sources, own.disputed)


def _of_offers(one: Subject, fact: str) -> Property:
    """What the author's shop says, else what most providers do; of as many, the least."""
    rows = one.said(fact)
    own = [row for row in rows if row.provider in one.shops]
    saying = Counter[int]()
    for row in own or rows:
        saying[int(row.value)] += row.endpoints if own else 1
    if not saying:
        return Property(one.model, fact, None, "tokens")
    value = min(saying, key=lambda value: (-saying[value], value))
    all_values = {int(row.value) for row in rows}
    note = f"{min(all_values)} to {max(all_values)} over all offers" if len(all_values) > 1 else ""
    agreeing = [row for row in own or rows if row.value == str(value)]
    return Property(
        one.model,
        fact,
        str(value),
        "tokens",
        note,
        tuple(sorted({source for row in agreeing for source in row.sources})),
        any(row.disputed for row in agreeing),
    )


def _pages(tokens: str | None) -> str | None:
    return None if tokens is None else str(round(int(tokens) / _TOKENS_PER_PAGE))


def _largest_prompt(one: Subject) -> Property:
    """The longest prompt that can be had for a price."""
    taking = [
        (limit, route.row)
        for route in one.ranking(WORKLOADS["balanced"]).routes
        if (limit := route.row.facts.max_prompt_tokens or route.row.context_length)
    ]
    if not taking:
        return Property(one.model, "largest_prompt", None, "tokens")
    limit, row = min(taking, key=lambda item: (-item[0], item[1].provider, item[1].endpoint))
    note = "" if row.facts.max_prompt_tokens else "less what is answered"
    where = f"{row.provider} {row.variant}".rstrip()
    return Property(one.model, "largest_prompt", str(limit), "tokens", note, (row.source,), ref=row.ref, place=where)


def _listed(one: Subject, fact: str) -> Iterator[Property]:
    """Each thing that is listed, by the number of providers that list it; of what is not named nothing is known."""
    rows = one.said(fact)
    saying = len({row.provider for row in rows})
    by_value: dict[str, list[FactRow]] = {}
    for row in rows:
        by_value.setdefault(row.value, []).append(row)
    for value, naming in sorted(by_value.items(), key=lambda item: (-len(item[1]), item[0])):
        sources = tuple(sorted({source for row in naming for source in row.sources}))
        note = f"{len(naming)} of {saying} providers"
        yield Property(one.model, fact, value, "", note, sources, naming=(len(naming), saying))
    if not rows:
        yield Property(one.model, fact, None)


def _offered(one: Subject) -> Iterator[Property]:
    reasons = Counter(left.reason for left in one.ranking(WORKLOADS["balanced"]).excluded)
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item)))
    yield Property(one.model, "providers", str(len({row.provider for row in one.believed})))
    yield Property(one.model, "endpoints", str(len(one.believed)))
    yield Property(one.model, "endpoints_left_out", str(reasons.total()), "", why)


def _prices(one: Subject) -> Iterator[Property]:
    """The author's own, the cheapest and the dearest price, by what a balanced request costs."""
    routes = one.ranking(WORKLOADS["balanced"]).routes
    own = one.own(WORKLOADS["balanced"])
    for which, route in (
        ("first_party", own),
        ("cheapest", routes[0] if routes else None),
        ("dearest", routes[-1] if routes else None),
    ):
        yield from _price(one, which, route, () if which == "first_party" else routes)
    spread = one.spread()
    times = None if spread is None else hundredths(spread.ratio)
    yield Property(one.model, "spread", times, "times", f"dearest to cheapest of {len(routes)}" if routes else "")


def _price(one: Subject, which: str, route: Route | None, among: Sequence[Route]) -> Iterator[Property]:
    unit = f"{one.into.currency}/1M tokens"
    if route is None:
        nothing = "no such offer with a price" if which == "first_party" else "no offer with a price"
        yield from (Property(one.model, f"{which}_{meter}", None, unit, nothing) for meter in ("input", "output"))
        return
    for meter, amount in (("input", route.cost.input), ("output", route.cost.output)):
        yield Property(
            one.model,
            f"{which}_{meter}",
            None if amount is None else decimal_text(amount),
            unit,
            "",
            (route.row.source,),
            route.row.disputed,
            route.row.ref,
            place(route, among),
        )


def _cost(one: Subject, name: str, workload: Workload) -> Property:
    """What 1M tokens cost where that is cheapest."""
    return _at_cheapest(one, name, workload, 1_000_000, f"{one.into.currency}/1M tokens", input_share(workload))


def _month(one: Subject, month: Workload, tokens_a_day: int) -> Property:
    return _at_cheapest(
        one,
        f"month_at_{tokens_a_day}_tokens_a_day",
        month,
        tokens_a_day * MONTH_DAYS,
        f"{one.into.currency}/month",
        f"{input_share(month)}, {MONTH_DAYS} days",
    )


def _at_cheapest(one: Subject, name: str, workload: Workload, tokens: int, unit: str, note: str) -> Property:
    routes = one.ranking(workload).routes
    if not routes:
        return Property(one.model, name, None, unit, f"{note}; no offer with a price")
    route = routes[0]
    return Property(
        one.model,
        name,
        decimal_text(round(cost_of(route, workload, tokens) * NANO)),
        unit,
        note,
        (route.row.source,),
        route.row.disputed,
        route.row.ref,
        place(route, routes),
    )


def input_share(workload: Workload) -> str:
    """`75 % input`: how much of a workload is prompt, to a tenth of a percent."""
    share = Fraction(workload.input_tokens * 1000, workload.input_tokens + workload.output_tokens)
    return f"{decimal_text(round(share) * NANO // 10)} % input"


def cost_of(route: Route, workload: Workload, tokens: int) -> Fraction:
    """What that many tokens cost in requests of a workload, exactly, in currency units."""
    tokens_a_request = workload.input_tokens + workload.output_tokens
    return route.spend.request * Fraction(tokens, tokens_a_request * 10**FEMTO_DIGITS)


def _value(found: Iterable[Property], name: str) -> str | None:
    return next((one.value for one in found if one.name == name), None)


def _newer(of_one: Sequence[Property], found: Sequence[Sequence[Property]]) -> Iterator[Property]:
    """Months, whole ones, since the oldest of the models compared came out."""
    model, released = of_one[0].model, _value(of_one, "release_date")
    dates = [_value(other, "release_date") for other in found]
    oldest = min((day for day in dates if day is not None and len(day) > len("2025")), default=None)
    months = months_between(oldest, released) if oldest and released else None
    yield Property(
        model,
        "months_newer",
        None if months is None else str(months),
        "months",
        f"than the oldest of these, {oldest}" if months is not None else "",
        disputed=any(one.disputed for one in of_one if one.name == "release_date"),
    )


def months_between(first: str, later: str) -> int | None:
    """Whole months from one day to a later one (`2024-07-18`, `2025-08`); None where one is only a year.

    Of two of which one names no day, those from month to month.
    """
    if min(len(first), len(later)) <= len("2025"):
        return None
    (year, month, *day), (until_year, until_month, *until_day) = (
        [int(part) for part in date.split("-")] for date in (first, later)
    )
    months = (until_year - year) * 12 + until_month - month
    return months - 1 if day and until_day and until_day < day else months


def _ratios(
    name: str, ratio: str, of_one: Sequence[Property], found: Sequence[Sequence[Property]], *, to: str = "the least"
) -> Iterator[Property]:
    """A value in units of the least that is known of the models compared."""
    model, value = of_one[0].model, _value(of_one, name)
    known = [Fraction(other) for one in found if (other := _value(one, name)) is not None]
    least = min(known, default=None)
    times = hundredths(Fraction(value) / least) if value is not None and least else None
    yield Property(model, ratio, times, "times", f"of {to} of {len(known)}" if times else "")
