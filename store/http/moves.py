"""Routes about how prices move: the index, the spread between endpoints, and how often and how far they do."""

from itertools import islice
from typing import Annotated, Literal

from fastapi import Response
from pydantic import Field

from store import disputes, views_index
from store.blend import Volume, blend
from store.errors import QueryError
from store.http.asked import Asked, Currency, Instant, Name, Paged
from store.index import index as find_index
from store.naming import find_model
from store.periods import BACK, Every, periods
from store.spread import spreads
from store.volatility import most_moved

PERIODS = 500
"""Of a series, at most."""
Blend = Annotated[str, Field(pattern="^[0-9]{1,6}:[0-9]{1,6}$", description="Tokens read for each that is written.")]


class Series(Paged):
    """The index of prices: of some models, or of all."""

    model: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    blend: Blend = "3:1"
    every: Every = "month"
    since: Instant | None = None


class Spread(Paged):
    """How far apart the endpoints of a model are, or those of each."""

    model: Name | None = None
    blend: Blend = "3:1"
    tier: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    currency: Currency = "USD"


class Volatile(Paged):
    """How often and how far prices moved."""

    model: Name | None = None
    blend: Blend = "3:1"
    by: Literal["endpoint", "model"] | None = Field(None, description="Endpoint of a model, else model.")
    provider: Name | None = None
    source: Name | None = None
    since: Instant | None = Field(None, description="Ninety days before, if left out.")


def series(ask: Asked, wanted: Series) -> Response:
    """As `tokentape index`."""
    end = min(ask.at, ask.known)
    since = ask.instant(wanted.since) or end - BACK[wanted.every]
    asked = list(islice(periods(since, end, wanted.every), PERIODS + 1))
    if not asked or len(asked) > PERIODS:
        raise QueryError(f"since: that is no period, or more than {PERIODS}")
    with ask.open() as reader:
        models = tuple(find_model(reader, name) for name in wanted.model)
        found = find_index(reader, asked, known=ask.known, models=models, mixture=_mixture(wanted.blend))
    return ask.answer(found, views_index.INDEX)


def spread(ask: Asked, wanted: Spread) -> Response:
    """As `tokentape spread`."""
    with ask.open() as reader:
        name = None if wanted.model is None else find_model(reader, wanted.model)
        rows = disputes.in_force(reader, ask.at, known=ask.known, model=name)
        into = ask.doors.converter(reader, wanted.currency, ask.known)
        found = spreads(rows, ask.at, _mixture(wanted.blend), into, tiers=frozenset(wanted.tier))
    return ask.answer(found, views_index.SPREAD)


def volatility(ask: Asked, wanted: Volatile) -> Response:
    """As `tokentape volatility`."""
    with ask.open() as reader:
        found = most_moved(
            reader,
            wanted.model,
            ask.at,
            _mixture(wanted.blend),
            since=ask.instant(wanted.since),
            known=ask.known,
            provider=wanted.provider,
            source=wanted.source,
            by=wanted.by,
        )
    return ask.answer(found, views_index.VOLATILITY)


def _mixture(text: str) -> Volume:
    try:
        return blend(text)
    except ValueError as error:
        raise QueryError(f"blend: {error}") from None
