"""Where traffic is cheapest, as the store has it: the question behind `cheapest`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from store import crossovers
from store.constraints import Constraints, Seen, sights
from store.costing import Unpriced
from store.currency import Converter
from store.disputes import held_against
from store.errors import QueryError
from store.facts import Measured, measures
from store.intervals import IntervalRow, current
from store.naming import find_model
from store.read import Reader
from store.routing import Excluded, Ranking, Route, against, believed, rank
from store.text import one_line
from store.traffic import Spend, Traffic, spend

TOP = 50
"""Routes of an answer where any model will do and nobody says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Routes for traffic, and all that they were chosen from."""

    models: tuple[str, ...]
    """Canonical ids of those asked for; empty: any."""
    offers: tuple[IntervalRow, ...]
    """By every source."""
    routes: tuple[Route, ...]
    """Cheapest first: as many as were asked for, each with the sources that contradict it."""
    ranking: Ranking
    """Of all of them."""
    traffic: Traffic
    wanted: Constraints
    at: datetime
    into: Converter
    seen: Callable[[IntervalRow], Seen]

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """What is no route, and why."""
        return self.ranking.excluded

    def crossings(self) -> Iterator[crossovers.Crossing]:
        """Where another becomes the cheapest."""
        return crossovers.rows(
            self.offers, self.ranking.routes, self.traffic, self.at, self.wanted, self.into, self.seen
        )


def choose(
    reader: Reader,
    models: Sequence[str],
    traffic: Traffic,
    wanted: Constraints,
    at: datetime,
    into: Converter,
    *,
    known: datetime | None = None,
    sent_to: str | None = None,
    top: int | None = None,
) -> Choice:
    """The routes for traffic at an instant, as known at another.

    `models`: as `store.naming.find_model` finds them; none: any model that fits, and then `TOP` routes unless more are
    asked for. `sent_to`: the provider, or SOURCE:PROVIDER:ENDPOINT, that has the traffic now: what each route saves.
    Raises: NothingMatched or QueryError if a model is none, or `sent_to` not one endpoint of which the cost is known.
    """
    names = tuple(dict.fromkeys(find_model(reader, name) for name in models))
    asked: Sequence[str | None] = names or [None]
    offers = tuple(row for name in asked for row in current(reader, at, known=known, model=name))
    seen = sights(offers)
    if wanted.measured:
        of = measures(reader, at, known)
        measured = {row.endpoint_id: of(row) for row in offers}
        seen = sights(offers, lambda row: measured.get(row.endpoint_id, Measured()))
    ranking = rank(offers, traffic, at, wanted, into, seen)
    if sent_to is not None:
        ranking = replace(ranking, routes=against(ranking.routes, _now(sent_to, offers, traffic, at, into)))
    routes = held_against(ranking.routes[: top or (None if names else TOP)], offers, at)
    return Choice(
        models=names,
        offers=offers,
        routes=routes,
        ranking=ranking,
        traffic=traffic,
        wanted=wanted,
        at=at,
        into=into,
        seen=seen,
    )


def _now(sent_to: str, offers: Sequence[IntervalRow], traffic: Traffic, at: datetime, into: Converter) -> Spend:
    """What the traffic costs where it is sent now."""
    name = one_line(sent_to, 120)
    found = [row for row in offers if row.ref == sent_to]
    found = found or [row for row in believed(offers, at, into) if row.provider == sent_to]
    plain = [row for row in found if not row.variant]
    if len(found) > 1 and len(plain) == 1:
        found = plain
    if not found:
        raise QueryError(f"{name!r}, where it is sent now: no such provider or endpoint offers this")
    if len(found) > 1:
        raise QueryError(f"{name!r}, where it is sent now, has several: {', '.join(row.ref for row in found)}")
    priced = spend(found[0].card, traffic, at, into)
    if isinstance(priced, Unpriced):
        raise QueryError(f"{name!r}, where it is sent now: {priced.reason}")
    return priced
