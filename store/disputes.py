"""Prices in force, with the sources that state another one: what `store.intervals` answers, seen beside all others."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

from store.conflicts import ORDERS, Conflict, Kind, conflicts, contradicted
from store.intervals import IntervalRow, current, endpoints, shared
from store.naming import find_model
from store.read import Reader

if TYPE_CHECKING:
    from store.routing import Route


ONE = Fraction(1)


def in_force(
    reader: Reader,
    at: datetime,
    *,
    known: datetime | None = None,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
) -> Iterator[IntervalRow]:
    """As `intervals.current`, with `contradicted_by` filled in, also by sources that were not asked for."""
    rows = current(reader, at, known=known, model=model, provider=provider)
    for _, offers in groupby(rows, key=lambda row: row.model):
        yield from (row for row in contradicted(list(offers), at) if source in (None, row.source))


def contradictions(
    reader: Reader,
    at: datetime,
    *,
    known: datetime | None = None,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
    kinds: Collection[Kind] = (),
    min_ratio: Fraction = ONE,
    order: str = "model",
) -> Iterator[Conflict]:
    """Where two sources contradict each other at an instant, as known at another: on a model, or on all.

    `model`: as `find_model` takes it. `kinds`: only these; none: all. `min_ratio`: only where the larger is so many
    times the smaller. `order`: by name, or one of `store.conflicts.ORDERS`.
    Raises: NothingMatched or QueryError if the model is none.
    """
    if model is None:
        offers = shared(reader, at, known=known, provider=provider)
    else:
        offers = current(reader, at, known=known, model=find_model(reader, model), provider=provider)
    found = (
        one
        for _, rows in groupby(offers, key=lambda row: row.model)
        for one in conflicts(rows, at)
        if source in (None, one.row.source, one.other.source)
        and (not kinds or one.difference.kind in kinds)
        and one.difference.is_apart(min_ratio)
    )
    yield from found if order == "model" else sorted(found, key=ORDERS[order])


def held_against(routes: "Sequence[Route]", rows: Iterable[IntervalRow], at: datetime) -> "tuple[Route, ...]":
    """Routes, each with the sources among all offers that state another price for it."""
    models = {route.row.model for route in routes}
    by_model: dict[str, list[IntervalRow]] = {}
    for row in rows:
        if row.model in models:
            by_model.setdefault(row.model, []).append(row)
    told = {row.endpoint_id: row for offers in by_model.values() for row in contradicted(offers, at)}
    return tuple(route._replace(row=told[route.row.endpoint_id]) for route in routes)


def marked(
    rows: Iterable[IntervalRow], reader: Reader, at: datetime, *, known: datetime | None = None
) -> Iterator[IntervalRow]:
    """Rows of `intervals.history`, those in force at an instant with `contradicted_by` filled in."""
    for model, intervals in groupby(rows, key=lambda row: row.model):
        by: dict[int, tuple[str, ...] | None] | None = None
        for row in intervals:
            if row.basis != "observed" or row.known_to is not None or (row.ended is not None and row.ended <= at):
                yield row
                continue
            if by is None:
                offers = contradicted(endpoints(reader, model, at, known=known), at)
                by = {offer.endpoint_id: offer.contradicted_by for offer in offers}
            yield row._replace(contradicted_by=by.get(row.endpoint_id))
