"""How far apart the endpoints of a model are, at an instant: exact, over the routes that `cheapest` ranks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

from store.blend import Volume
from store.constraints import Constraints
from store.costing import Workload
from store.currency import Converter
from store.intervals import IntervalRow
from store.routing import Ranking, rank

REQUEST_TOKENS = 4000
"""The length of the request by which endpoints are compared: fees for each are shared by so many tokens."""


class Spread(NamedTuple):
    """What a mixture of tokens costs at the endpoints of a model; amounts in 1e-9 currency units per 1M tokens."""

    model: str
    endpoints: int
    """That are compared."""
    providers: int
    cheapest: Fraction
    quartile: Fraction
    """A quarter of the endpoints is cheaper: between two of them, in proportion (as are median and third quartile)."""
    median: Fraction
    third_quartile: Fraction
    dearest: Fraction
    ties: int
    """Endpoints that are the cheapest."""
    currency: str
    low: IntervalRow
    """The first of the cheapest."""
    high: IntervalRow
    """The last of the dearest."""
    left_out: int
    """Endpoints without a cost that can be compared: unknown, free, in another currency, answering later, gone."""
    doubted: int
    """Of the endpoints compared, those that are contradicted, disputed, stale, or only stated."""

    @property
    def ratio(self) -> Fraction:
        """How many times the cheapest the dearest is."""
        return self.dearest / self.cheapest


def request_of(mixture: Volume) -> Workload:
    """A request of `REQUEST_TOKENS` in a mixture."""
    read = round(mixture.input * REQUEST_TOKENS)
    return Workload(input_tokens=read, output_tokens=REQUEST_TOKENS - read)


def spreads(
    rows: Iterable[IntervalRow],
    at: datetime,
    mixture: Volume,
    into: Converter,
    *,
    tiers: frozenset[str] = frozenset(),
) -> list[Spread]:
    """The spread of each model that has a route, from rows in force by model: the widest first."""
    request, allowed = request_of(mixture), Constraints(tiers=tiers)
    told = (
        spread_of(rank(offers, request, at, allowed, into), into.currency)
        for _, offers in groupby(rows, key=lambda row: row.model)
    )
    return sorted((one for one in told if one is not None), key=lambda one: (-one.ratio, one.model))


def spread_of(ranking: Ranking, currency: str) -> Spread | None:
    """The spread of what was ranked for a request of `REQUEST_TOKENS`; None: there is no route."""
    if not ranking.routes:
        return None
    amounts = [Fraction(route.spend.request, REQUEST_TOKENS) for route in ranking.routes]
    rows = [route.row for route in ranking.routes]
    return Spread(
        model=rows[0].model,
        endpoints=len(rows),
        providers=len({row.provider for row in rows}),
        cheapest=amounts[0],
        quartile=quantile(amounts, Fraction(1, 4)),
        median=quantile(amounts, Fraction(1, 2)),
        third_quartile=quantile(amounts, Fraction(3, 4)),
        dearest=amounts[-1],
        ties=amounts.count(amounts[0]),
        currency=currency,
        low=rows[0],
        high=rows[-1],
        left_out=len(ranking.excluded),
        doubted=sum(bool(row.contradicted_by or row.disputed or row.stale or row.basis == "stated") for row in rows),
    )


def quantile(ascending: Sequence[Fraction], share: Fraction) -> Fraction:
    """The value below which a share of the others lies, in proportion between the two next to it."""
    place, part = divmod((len(ascending) - 1) * share, 1)
    low = ascending[place]
    return low if not part else low + (ascending[place + 1] - low) * part
