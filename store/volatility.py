"""How often and how far prices moved: over a stretch of time, by endpoint or by model.

A move is from one price of an endpoint to the next, in one source, without a break in between; a price is that of a
mixture of tokens outside all conditions. What became free or was free moved, by no percentage; from one currency to
another is no move.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

from store.blend import Volume
from store.intervals import IntervalRow, history
from store.naming import find_model
from store.read import Reader

WINDOW = timedelta(days=90)
"""How far back is looked, unless somebody says."""
DIGITS = 50
"""Of a logarithm, before it is rounded."""
PLACES = Decimal("0.000001")


class Move(NamedTuple):
    """A price that became another."""

    row: IntervalRow
    """The new one."""
    old: Fraction
    """In 1e-9 currency units per 1M tokens."""
    new: Fraction

    @property
    def ratio(self) -> Fraction | None:
        """What the price was multiplied by; None from or to nothing."""
        return self.new / self.old if self.old and self.new else None

    @property
    def percent(self) -> Fraction | None:
        """By how many percent the price became another; None from or to nothing."""
        return None if self.ratio is None else (self.ratio - 1) * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Volatility:
    """How an endpoint moved, or all of a model's."""

    model: str
    row: IntervalRow | None
    """The endpoint, as it was last; None: of a model."""
    endpoints: int
    moved: int
    """Endpoints with a move."""
    moves: tuple[Move, ...]
    """Oldest first."""
    price: Fraction | None
    """Of an endpoint, the last one; None: not known, or of a model."""

    @property
    def of_free(self) -> int:
        """Moves from or to free."""
        return sum(move.ratio is None for move in self.moves)

    @property
    def largest(self) -> Move | None:
        """The move by the largest factor, up or down; of equal ones, the first."""
        found = [move for move in self.moves if move.ratio is not None]
        return max(found, key=lambda move: _apart(move.ratio), default=None)

    @property
    def mean_percent(self) -> Fraction | None:
        """By how many percent, up or down, a move goes on average."""
        percents = [abs(percent) for percent in self.percents]
        return sum(percents, Fraction(0)) / len(percents) if percents else None

    @property
    def percents(self) -> list[Fraction]:
        """By how many percent each went, up or down, but from or to nothing."""
        return [percent for move in self.moves if (percent := move.percent) is not None]

    @property
    def mean_log(self) -> Decimal | None:
        """The mean of the absolute natural logarithms: the same for a move and its way back."""
        logarithms = self._ratios
        if not logarithms:
            return None
        with localcontext(prec=DIGITS):
            far = [(Decimal(_apart(one).numerator) / Decimal(_apart(one).denominator)).ln() for one in logarithms]
            return (sum(far, Decimal(0)) / len(far)).quantize(PLACES)

    @property
    def _ratios(self) -> list[Fraction]:
        return [ratio for move in self.moves if (ratio := move.ratio) is not None]


def _apart(ratio: Fraction | None) -> Fraction:
    return Fraction(1) if ratio is None else max(ratio, 1 / ratio)


def volatilities(
    reader: Reader,
    model: str | None,
    until: datetime,
    mixture: Volume,
    *,
    since: datetime,
    known: datetime | None = None,
    provider: str | None = None,
    source: str | None = None,
    by_model: bool,
) -> Iterator[Volatility]:
    """Of each endpoint that had a price in [since, until), or of each model, in the order of their names.

    Of a model, each provider's endpoints are those of one source: the most trusted that tells a price of any.
    """
    rows = history(
        reader,
        model,
        until,
        known=known,
        since=since - timedelta(milliseconds=1),  # what ended as this began is where a move came from
        until=until,
        provider=provider,
        source=source,
    )
    for name, offers in groupby(rows, key=lambda row: row.model):
        told = [
            _volatility(list(found), mixture, since) for _, found in groupby(offers, key=lambda row: row.endpoint_id)
        ]
        yield from [together(name, told)] if by_model else told


def most_moved(
    reader: Reader,
    model: str | None,
    until: datetime,
    mixture: Volume,
    *,
    since: datetime | None = None,
    known: datetime | None = None,
    provider: str | None = None,
    source: str | None = None,
    by: Literal["endpoint", "model"] | None = None,
) -> list[Volatility]:
    """`volatilities` with most moves first, then the furthest; without a model, only of what moved.

    `model`: as `find_model` takes it. `since` None: `WINDOW` before. `by` None: endpoint of a model, else model.
    Raises: NothingMatched or QueryError if the model is none.
    """
    name = None if model is None else find_model(reader, model)
    told = volatilities(
        reader,
        name,
        until,
        mixture,
        since=since or until - WINDOW,
        known=known,
        provider=provider,
        source=source,
        by_model=by == "model" or (by is None and name is None),
    )
    return sorted((one for one in told if one.moves or name is not None), key=_order)


def _volatility(rows: Sequence[IntervalRow], mixture: Volume, since: datetime) -> Volatility:
    moves = tuple(
        Move(after, old, new)
        for before, after in pairwise(rows)
        if after.first_seen >= since
        and before.ended == after.first_seen
        and before.card.currency == after.card.currency
        and (old := mixture.cost(before.card)) is not None
        and (new := mixture.cost(after.card)) is not None
        and old != new
    )
    return Volatility(
        model=rows[-1].model,
        row=rows[-1],
        endpoints=1,
        moved=int(bool(moves)),
        moves=moves,
        price=mixture.cost(rows[-1].card),
    )


def _believed(told: Iterable[Volatility]) -> Iterator[Volatility]:
    """For each provider the endpoints of one source."""
    offered: dict[str, dict[tuple[int, str], list[Volatility]]] = {}
    for one in told:
        if one.row is not None:
            by_source = offered.setdefault(one.row.provider, {})
            by_source.setdefault((one.row.trust, one.row.source), []).append(one)
    for by_source in offered.values():
        priced = {key: found for key, found in by_source.items() if any(one.price is not None for one in found)}
        yield from min((priced or by_source).items())[1]


def together(model: str, told: Iterable[Volatility]) -> Volatility:
    """All endpoints of a model as one: of each provider, those of one source."""
    found = list(_believed(told))
    moves = sorted((move for one in found for move in one.moves), key=lambda move: (move.row.first_seen, move.row.ref))
    return Volatility(
        model=model,
        row=None,
        endpoints=len(found),
        moved=sum(one.moved for one in found),
        moves=tuple(moves),
        price=None,
    )


def _order(one: Volatility) -> tuple[int, Fraction, str, str]:
    """Most moves first, then the largest, then by name."""
    largest = one.largest
    far = _apart(None if largest is None else largest.ratio)
    return -len(one.moves), -far, one.model, "" if one.row is None else one.row.ref
