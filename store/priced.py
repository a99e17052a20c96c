"""What one workload costs at one offer, with the offer that says so."""

from datetime import datetime
from typing import NamedTuple

from store.costing import Cost, Unpriced, Workload, cost
from store.currency import Conversion, Converter
from store.disputes import in_force
from store.errors import NothingMatched, QueryError
from store.intervals import IntervalRow
from store.offers import Wanted, choose
from store.read import Reader


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

    In the currency of `into`.
    Raises: NothingMatched if there is no such offer then; QueryError if what it costs there cannot be told.
    """
    rows = list(in_force(reader, at, known=known, model=wanted.model, provider=wanted.provider or None))
    # Who else sells it is asked only where that is to be told.
    row = choose(rows or list(in_force(reader, at, known=known, model=wanted.model)), wanted, at, into)
    if isinstance(row, Unpriced):
        raise NothingMatched(f"{wanted.model}: {row.reason}")
    return Priced(row, charged(row, workload, at, into), at)


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
