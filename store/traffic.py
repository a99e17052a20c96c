"""Traffic: requests of several kinds, at certain hours of the week, and what they cost on average: pure and exact."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from store.conditions import zone
from store.costing import Charge, Cost, Unpriced, Workload, added, cost
from store.currency import Conversion, Converter
from store.records import RateCard
from store.tariff import WEEK, has_hours, stretches

HOURS = 168
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What is to be sent somewhere."""

    loads: tuple[Workload, ...]
    """Kinds of requests, each as often as its `requests` says."""
    week: tuple[int, ...] | None = None
    """How many requests, in proportion, come in each hour of the week from Monday 00:00 in `tz`; None: all at once."""
    tz: str = "UTC"
    a_month: int | None = None
    """Requests a month."""
    longest: tuple[int, int] | None = None
    """Tokens of the longest prompt and answer; None: of the longest kind."""

    def __post_init__(self) -> None:
        if not self.loads:
            raise ValueError("traffic has at least one kind of request")
        if self.week is not None and (len(self.week) != HOURS or min(self.week) < 0 or not any(self.week)):
            raise ValueError(f"a week has {HOURS} hours, and requests in at least one of them")
        zone(self.tz)

    @cached_property
    def requests(self) -> int:
        """How many there are, of all kinds."""
        return sum(load.requests for load in self.loads)

    @cached_property
    def needed(self) -> tuple[int, int]:
        """Tokens of the longest prompt, and of the longest answer."""
        if self.longest is not None:
            return self.longest
        return (
            max(load.tier_tokens for load in self.loads),
            max(-(-load.output_tokens // load.requests) for load in self.loads),
        )

    def with_hits(self, share: Fraction) -> "Traffic":
        """The same with that share of each prompt read from a cache, and the rest written to it where any is written.

        Counts are multiplied where a share of them would not be whole.
        """
        loads = []
        for load in self.loads:
            times = share.denominator
            more = {meter: count * times for meter, count in load.more}
            written = next((meter for meter in ("cache_write_1h", "cache_write") if meter in more), None)
            whole = load.input_tokens * times
            open_to_it = whole - sum(count for meter, count in more.items() if meter.startswith("input_"))
            cached = open_to_it * share.numerator // share.denominator
            if written is not None:
                more = {m: count for m, count in more.items() if not m.startswith("cache_write")}
                more[written] = open_to_it - cached
            loads.append(
                replace(
                    load,
                    input_tokens=whole,
                    output_tokens=load.output_tokens * times,
                    cached_tokens=cached,
                    more=tuple(sorted(more.items())),
                    requests=load.requests * times,
                    prompt_tokens=load.tier_tokens,
                )
            )
        return replace(self, loads=tuple(loads), longest=self.needed)

    def moments(self, card: RateCard, at: datetime) -> list[tuple[datetime, int]]:
        """Instants that stand for the week around `at` by this card's hours, each with its share of the requests."""
        if self.week is None or not has_hours(card):
            return [(at, 1)]
        where = zone(self.tz)
        today = at.astimezone(where).date()
        monday = datetime.combine(today - timedelta(days=today.weekday()), time(), where).astimezone(UTC)
        moments = []
        for since, until, *_ in stretches(card, max(load.tier_tokens for load in self.loads), monday, monday + WEEK):
            share = sum(
                self.week[hour] * (min(until, begins + _HOUR) - max(since, begins)) // _MINUTE
                for hour, begins in ((hour, monday + hour * _HOUR) for hour in range(HOURS))
                if begins < until and begins + _HOUR > since
            )
            if share:
                moments.append((since, share))
        return moments


class Spend(NamedTuple):
    """What traffic costs at an endpoint."""

    request: Fraction | int
    """A request on average, in 1e-15 currency units."""
    meters: tuple[tuple[str, Fraction | int], ...]
    """The same by meter, in the order in which they are charged."""
    cost: Cost
    """A request on average, rounded; its charges are those of all kinds at all hours, in proportion."""


def spend(card: RateCard, traffic: Traffic, at: datetime, into: Converter) -> Spend | Unpriced:
    """What traffic costs by a rate card, in the currency of `into`.

    With a week, over the week around `at`; else at that instant.
    """
    try:
        moments = traffic.moments(card, at)
    except (KeyError, ValueError):
        return Unpriced(reason="time zone unknown")
    costs: list[Cost] = []
    total = 0
    for moment, share in moments:
        for load in traffic.loads:
            found = cost(card, load, moment)
            if isinstance(found, Unpriced):
                return found
            total += found.femto * share
            costs.append(found if share == 1 else _times(found, share))
    whole = traffic.requests * sum(share for _, share in moments)
    told = added(costs)
    by_meter: dict[str, Fraction | int] = {}
    for charge in told.charges:
        by_meter[charge.meter] = by_meter.get(charge.meter, 0) + _mean(charge.femto, whole)
    request = _mean(total, whole)
    by = None
    if told.currency != into.currency:
        by = into.conversion(told.currency, at)
        if not isinstance(by, Conversion):
            return Unpriced(reason=str(by))
        told = told.converted(by)
        request = request * by.factor
        by_meter = {meter: femto * by.factor for meter, femto in by_meter.items()}
    mean = told.femto if whole == 1 else round(request)
    return Spend(request, tuple(by_meter.items()), told._replace(femto=mean))


def _mean(femto: int, of: int) -> Fraction | int:
    return femto if of == 1 else Fraction(femto, of)


def _times(found: Cost, share: int) -> Cost:
    charges = tuple(Charge(one.meter, one.quantity * share, one.amount, one.femto * share) for one in found.charges)
    return found._replace(femto=found.femto * share, charges=charges)


def hours_of_week(text: str) -> tuple[int, ...]:
    """The hours of a pattern such as `Mon-Fri 08-18`, `Sat,Sun 0-24 x2`; several are joined by `;`.

    Units: requests in proportion; an hour that is named twice counts the sum.
    Raises: ValueError, saying what is wrong.
    """
    week = [0] * HOURS
    for part in text.split(";"):
        words = part.split()
        times = 1
        if words and words[-1][:1] in "xX" and words[-1][1:].isdecimal():
            times = int(words.pop()[1:])
        if not 1 <= len(words) <= 2:
            raise ValueError(f"{part.strip()!r} is not of the form 'Mon-Fri 08-18 x3'")
        days = range(7) if len(words) == 1 else _days(words[0])
        for hour in _hours(words[-1]):
            for day in days:
                week[day * 24 + hour] += times
    if not any(week):
        raise ValueError(f"{text!r} names no hour")
    return tuple(week)


_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _days(text: str) -> Iterable[int]:
    found: list[int] = []
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in _NAMES or (last and last not in _NAMES):
            raise ValueError(f"{text!r} are no days: Mon, Mon-Fri or Sat,Sun")
        start, end = _NAMES.index(first), _NAMES.index(last or first)
        found += [day % 7 for day in range(start, end + 1 if end >= start else end + 8)]
    return dict.fromkeys(found)


def _hours(text: str) -> Iterable[int]:
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) < 24 and int(last) <= 24):
        raise ValueError(f"{text!r} are no hours: 08-18, 22-06 or 0-24")
    start, end = int(first), int(last)
    return [hour % 24 for hour in range(start, end if end > start else end + 24)]
