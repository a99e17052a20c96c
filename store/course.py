"""The course of prices as pieces of a chart: what was seen, what lies between two polls, what is not known."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from store.columns import Column, Columns, amount_text
from store.intervals import IntervalRow, prices_only
from store.plot import METERS, Trace, traces

Kind: TypeAlias = Literal["seen", "between", "unseen", "corrected", "stated"]


class Piece(NamedTuple):
    """A price of one meter of one endpoint from one instant to another."""

    ref: str
    label: str
    """Provider, variant and source."""
    meter: str
    kind: Kind
    """`between`: it changed from one amount to the other somewhere in it. `unseen`: it may have been so."""
    since: datetime
    until: datetime
    amount: int
    other: int | None
    """Of `between`, the amount after it."""
    currency: str


def course(rows: Iterable[IntervalRow], at: datetime, currency: str) -> Iterator[Piece]:
    """The pieces of the input and output prices of intervals by endpoint and time, cut off at an instant.

    Those that are quoted in a currency, or were converted into it: amounts of two have no place on one axis.
    """
    quoted = [row for row in prices_only(rows) if row.card.currency == currency]
    refs = {row.endpoint_id: row.ref for row in quoted}
    for meter in METERS:
        for trace in traces(quoted, meter, at):
            ref, label = refs[trace.endpoint_id], trace.label
            for kind, since, until, amount, other in _pieces(trace):
                if since <= at:
                    yield Piece(ref, label, meter, kind, since, min(until, at), amount, other, currency)


def _pieces(trace: Trace) -> Iterator[tuple[Kind, datetime, datetime, int, int | None]]:
    plain: Sequence[tuple[Kind, list[tuple[datetime, datetime, int]]]] = (
        ("seen", trace.seen),
        ("unseen", trace.unseen),
        ("corrected", trace.corrected),
        ("stated", trace.stated),
    )
    for kind, found in plain:
        for since, until, amount in found:
            yield kind, since, until, amount, None
    for since, until, amount, other in trace.between:
        yield "between", since, until, amount, other


COURSE: "Columns[Piece]" = (
    Column("ref", lambda one: one.ref),
    Column("label", lambda one: one.label),
    Column("meter", lambda one: one.meter),
    Column("kind", lambda one: one.kind),
    Column("since", lambda one: one.since),
    Column("until", lambda one: one.until),
    Column("amount", lambda one: amount_text(one.amount)),
    Column("other", lambda one: amount_text(one.other)),
    Column("currency", lambda one: one.currency),
)
