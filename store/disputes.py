"""Prices in force, with the sources that state another one: what `store.intervals` answers, seen beside all others."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from store.conflicts import contradicted
from store.intervals import IntervalRow, current, endpoints
from store.read import Reader
from store.routing import Route


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


def held_against(routes: Sequence[Route], rows: Iterable[IntervalRow], at: datetime) -> tuple[Route, ...]:
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
