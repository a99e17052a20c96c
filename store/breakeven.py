"""Own GPUs, the cheapest host of open weights, and a vendor's API: what a volume costs at each, and where they cross.

Pure, and exact: a day of a GPU is 24 hours at its rate, a month 30 days, and where lines cross is the same whatever a
month is. A host and a vendor charge by the token; GPUs cost the same however little they do, and one more is needed for
each part of the volume that those there are cannot take.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from store.compare import MONTH_DAYS, Subject, cost_of
from store.routing import Route, Workload

GPU = "H100 SXM"
GPU_RATE_USD = "2.72"
GPU_RATE_SOURCE = "ORNN index, 2026-08-06"
"""What a GPU costs an hour unless another rate is named: rented, power and hosting within."""
_HOURS, _SECONDS = 24, 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """What is rented or owned."""

    rate: Fraction
    """Currency units an hour for one."""
    count: int = 1
    """So many are there whatever the volume."""
    tokens_per_second: Fraction | None = None
    """What one takes in and gives out together, when it has enough to do; None: unknown, and so is their limit."""
    utilisation: Fraction = Fraction(1)
    """Share of the time in which it has enough to do."""

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.count < 1 or not 0 < self.utilisation <= 1:
            raise ValueError("GPUs cost something, there is one at least, and none is used more than all the time")
        if self.tokens_per_second is not None and self.tokens_per_second <= 0:
            raise ValueError("a GPU that takes no token takes no volume")

    @property
    def tokens_a_day(self) -> Fraction | None:
        """What one can take."""
        return None if self.tokens_per_second is None else self.tokens_per_second * self.utilisation * _SECONDS

    @property
    def a_day(self) -> Fraction:
        """What one costs."""
        return self.rate * _HOURS

    def needed(self, volume: Fraction) -> int:
        """How many a volume takes, as far as their limit is known."""
        return self.count if self.tokens_a_day is None else max(self.count, ceil(volume / self.tokens_a_day))


class Line(NamedTuple):
    """What is charged by the token."""

    name: str
    """`hosted` or `vendor`."""
    route: Route
    per_token: Fraction


class Crossing(NamedTuple):
    """Where own GPUs begin to cost no more than what is charged by the token."""

    line: Line
    volume: Fraction | None
    """Tokens a day; None: never, for a GPU that does all it can costs more than what its tokens are charged."""
    again: tuple[Fraction, Fraction] | None
    """From where to where they cost more again, for one GPU more is needed and has little to do; None: nowhere at
    first, or their limit is unknown."""


class Point(NamedTuple):
    """What a volume costs a month, at each."""

    volume: Fraction
    """Tokens a day."""
    what: str
    """Why this volume: `asked`, `own = hosted`, `own = vendor`, `full`."""
    gpus: int
    own: Fraction
    hosted: Fraction | None
    vendor: Fraction | None

    @property
    def cheapest(self) -> tuple[str, ...]:
        """Which is; several that cost the same."""
        costs = {"own": self.own, "hosted": self.hosted, "vendor": self.vendor}
        least = min(cost for cost in costs.values() if cost is not None)
        return tuple(name for name, cost in costs.items() if cost == least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakeven:
    """The three lines and where they cross."""

    gpus: Gpus
    hosted: Line | None
    """None: no offer with a price."""
    vendor: Line | None
    crossings: tuple[Crossing, ...]
    points: tuple[Point, ...]
    """By volume."""


def lines(one: Subject, other: Subject, request: Workload, *, anybody: bool) -> list[Line]:
    """What is charged by the token: the cheapest offer of a model, and another model at its own author.

    `anybody`: where that author sells none, its cheapest offer. What has no price is left out.
    """
    own = other.own(request)
    vendor = (own,) if own else other.ranking(request).routes[:1] if anybody else ()
    return [
        Line(name, route, cost_of(route, request, 1))
        for name, routes in (("hosted", one.ranking(request).routes[:1]), ("vendor", vendor))
        for route in routes
    ]


def breakeven(gpus: Gpus, charged: Sequence[Line], volumes: Sequence[int]) -> Breakeven:
    """What each volume (tokens a day) costs on own GPUs and at what is charged by the token."""
    by_name = {line.name: line for line in charged}
    crossings = tuple(_crossing(gpus, line) for line in charged)
    asked: list[tuple[Fraction, str]] = [(Fraction(volume), "asked") for volume in volumes]
    asked += [(one.volume, f"own = {one.line.name}") for one in crossings if one.volume is not None]
    if gpus.tokens_a_day is not None:
        asked.append((gpus.tokens_a_day * gpus.count, "full"))
    return Breakeven(
        gpus=gpus,
        hosted=by_name.get("hosted"),
        vendor=by_name.get("vendor"),
        crossings=crossings,
        points=tuple(_points(gpus, by_name.get("hosted"), by_name.get("vendor"), sorted(asked))),
    )


def _crossing(gpus: Gpus, line: Line) -> Crossing:
    """Where own GPUs begin to cost no more.

    A GPU that is full is what they cost least: if that is more than what is charged for as many tokens, no number of
    them is cheaper.
    """
    of_one, limit = gpus.a_day / line.per_token, gpus.tokens_a_day
    if limit is None:
        return Crossing(line, of_one * gpus.count, None)
    if of_one > limit:
        return Crossing(line, None, None)
    full, more = limit * gpus.count, of_one * (gpus.count + 1)
    return Crossing(line, of_one * gpus.count, (full, more) if more > full else None)


def _points(
    gpus: Gpus, hosted: Line | None, vendor: Line | None, volumes: Sequence[tuple[Fraction, str]]
) -> Iterator[Point]:
    for volume, what in volumes:
        needed = gpus.needed(volume)
        yield Point(
            volume=volume,
            what=what,
            gpus=needed,
            own=gpus.a_day * needed * MONTH_DAYS,
            hosted=None if hosted is None else hosted.per_token * volume * MONTH_DAYS,
            vendor=None if vendor is None else vendor.per_token * volume * MONTH_DAYS,
        )
