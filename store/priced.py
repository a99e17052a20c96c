"""What one workload costs at one offer, with the offer that says so."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from store.costing import Cost, Unpriced, Workload, cost
from store.currency import Conversion, Converter
from store.disputes import in_force
from store.errors import NothingMatched, QueryError
from store.intervals import IntervalRow
from store.offers import Wanted, choose, own_provider
from store.read import Reader
from store.text import one_line

_TOLD = 12
"""Providers named in a message."""


class Priced(NamedTuple):
    """A price, and whose it is."""

    row: IntervalRow
    """The offer, with its evidence and what there is to doubt about it."""
    cost: Cost
    at: datetime


def priced(
    reader: Reader, wanted: Wanted, workload: Workload, at: datetime, into: Converter, *, known: datetime | None = None
) -> Priced:
    """What a workload costs at the offer that is meant (`store.offers.choose`), at an instant, as known at another.

    Without a provider, at the model's own author. In the currency of `into`.
    Raises: NothingMatched if there is no such offer then; QueryError if what it costs there cannot be told.
    """
    rows = list(in_force(reader, at, known=known, model=wanted.model))
    wanted = wanted._replace(provider=wanted.provider or author_of(rows, wanted.model))
    row = choose(rows, wanted, at, into)
    if isinstance(row, Unpriced):
        raise NothingMatched(f"{wanted.model}: {row.reason}")
    return Priced(row, charged(row, workload, at, into), at)


def author_of(rows: Sequence[IntervalRow], model: str) -> str:
    """The provider that is the model's own author.

    Raises: NothingMatched, naming those that sell it, if that is none of them.
    """
    own = own_provider(rows, model)
    if own is None:
        sellers = sorted({row.provider for row in rows})
        more = f" and {len(sellers) - _TOLD} more" if len(sellers) > _TOLD else ""
        told = f"sold by {', '.join(sellers[:_TOLD])}{more}: name the provider" if sellers else "nobody sells it then"
        raise NothingMatched(one_line(f"{model} has no offer of its own author; {told}"))
    return own


def charged(row: IntervalRow, workload: Workload, at: datetime, into: Converter) -> Cost:
    """What a workload costs at an offer, in the currency of `into`.

    Raises: QueryError if that cannot be told.
    """
    found = cost(row.card, workload, at)
    if isinstance(found, Unpriced):
        raise QueryError(f"what that costs at {row.ref} is not known: {found.reason}")
    if found.currency == into.currency:
        return found
    by = into.conversion(found.currency, at)
    if not isinstance(by, Conversion):
        raise QueryError(f"what that costs at {row.ref} in {into.currency} is not known: {by}")
    return found.converted(by)
