"""Where two sources state different things of one offer: pure.

Compared is what both say. A meter that one of them does not mention, a price that varies or is unknown, and prices in
two currencies are no contradiction. Two rate cards are held together as what they are, functions of a prompt's length
and of time: for a prompt of any length that either distinguishes, at any instant of a week that either does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fractions import Fraction
from itertools import combinations, groupby
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from store.conditions import in_force, zone
from store.instants import to_millis
from store.intervals import IntervalRow
from store.records import Override, RateCard
from store.units import decimal_text

Kind: TypeAlias = Literal["price", "tier", "window", "context"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""`price`: outside all conditions. `tier`, `window`: only for long prompts, or at some hours. `context`: its length."""
PRICES: frozenset[Kind] = frozenset({"price", "tier", "window"})

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK = timedelta(days=7)


class Difference(NamedTuple):
    """A meter, or a fact, of which two sources say different things, in the simplest case in which they do."""

    kind: Kind
    meter: str
    case: str
    """`prompt of 200001 tokens`, `Sat 01:00 UTC`; empty outside all conditions."""
    value: int
    """An amount; of `context_length`, tokens."""
    other: int

    @property
    def text(self) -> str:
        """`value` as a plain decimal, or a count."""
        return self._text(self.value)

    @property
    def other_text(self) -> str:
        """`other` likewise."""
        return self._text(self.other)

    def is_apart(self, times: Fraction) -> bool:
        """Whether the larger is that many times the smaller, or more; of nothing, anything is."""
        low, high = sorted((self.value, self.other))
        return high * times.denominator >= low * times.numerator

    @property
    def ratio(self) -> Fraction | None:
        """The larger in units of the smaller; None where that is nothing."""
        low, high = sorted((self.value, self.other))
        return Fraction(high, low) if low else None

    def _text(self, value: int) -> str:
        return str(value) if self.kind == "context" else decimal_text(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two sources that contradict each other on one offer of one provider."""

    row: IntervalRow
    """Of the source that is trusted more."""
    other: IntervalRow
    difference: Difference
    agreeing: tuple[str, ...] = ()
    """Further sources that state of that meter, or fact, what `row` does."""
    other_agreeing: tuple[str, ...] = ()
    """And what `other` does."""

    @property
    def since(self) -> datetime:
        """From when on both have been saying so."""
        return max(self.row.first_seen, self.other.first_seen)


Compared: TypeAlias = Callable[[IntervalRow, IntervalRow], list[Difference]]
"""What two rows of one offer say differently."""


def _furthest(one: Conflict) -> tuple[bool, Fraction]:
    ratio = one.difference.ratio
    return ratio is not None, -(ratio or Fraction(0))


ORDERS: Mapping[str, Callable[[Conflict], Any]] = {
    "ratio": _furthest,
    "since": lambda one: -to_millis(one.since),
}


def differences(one: RateCard, other: RateCard, at: datetime) -> list[Difference]:
    """What two cards charge differently within a week from an instant: each meter once, in its simplest case.

    Windows in a time zone that nobody knows cannot be held against anything.
    """
    if one.currency != other.currency or one == other:
        return []
    found: dict[str, tuple[tuple[int, int, datetime], Difference]] = {}
    try:
        for prompt, instant in _cases((*one.overrides, *other.overrides), at):
            (ours, held), (theirs, also) = in_force(one, prompt, instant), in_force(other, prompt, instant)
            holding = dict.fromkeys((*held, *also))
            place = (len(holding), prompt, instant)
            for meter in ours.keys() & theirs.keys():
                if ours[meter] != theirs[meter] and (meter not in found or place < found[meter][0]):
                    kind, case = _case(holding, prompt, instant)
                    found[meter] = place, Difference(kind, meter, case, ours[meter], theirs[meter])
    except (KeyError, ValueError):
        return []
    return [difference for _, (_, difference) in sorted(found.items())]


def _cases(overrides: Sequence[Override], at: datetime) -> Iterator[tuple[int, datetime]]:
    """Prompt lengths and instants of which at least one lies in every case that the conditions tell apart."""
    prompts = sorted({0, *(one.above_tokens + 1 for one in overrides if one.above_tokens is not None)})
    instants = {at}
    for one in overrides:
        for minute in {one.start_minute, one.end_minute} - {None}:
            local = zone(one.tz)
            today = at.astimezone(local).date()
            for days in range(-1, 8):
                edge = datetime.combine(today + timedelta(days=days), time(*divmod(minute or 0, 60)), local)
                if at <= edge < at + _WEEK:
                    instants.add(edge.astimezone(at.tzinfo))
    for instant in sorted(instants):
        for prompt in prompts:
            yield prompt, instant


def _case(holding: Iterable[Override], prompt: int, instant: datetime) -> tuple[Kind, str]:
    windows = any(one.start_minute is not None for one in holding)
    words = [f"prompt of {prompt} tokens"] if any(one.above_tokens is not None for one in holding) else []
    kind: Kind = "window" if windows else "tier" if words else "price"
    return kind, ", ".join([*words, *([f"{_DAYS[instant.weekday()]} {instant:%H:%M} UTC"] if windows else ())])


def compared(one: IntervalRow, other: IntervalRow, at: datetime) -> list[Difference]:
    """What two rows of one offer say differently, facts included."""
    found = differences(one.card, other.card, at)
    lengths = one.context_length, other.context_length
    if lengths[0] is not None and lengths[1] is not None and lengths[0] != lengths[1]:
        found.append(Difference("context", "context_length", "", lengths[0], lengths[1]))
    return found


def conflicts(rows: Iterable[IntervalRow], at: datetime) -> Iterator[Conflict]:
    """Every contradiction between two sources on one canonical provider, model and variant.

    Where a source has several offers of that name, another is held against the one that it is most like.
    """
    for group in _offers(rows):
        told = _compared_once(at)
        for one, other in _pairs(group, told):
            for difference in told(one, other):
                rest = [row for row in group if row.source not in (one.source, other.source)]
                yield Conflict(
                    row=one,
                    other=other,
                    difference=difference,
                    agreeing=_stating(difference, one, rest, told),
                    other_agreeing=_stating(difference, other, rest, told),
                )


def _compared_once(at: datetime) -> Compared:
    """`compared`, once for each two offers."""
    found: dict[tuple[int, int], list[Difference]] = {}

    def told(one: IntervalRow, other: IntervalRow) -> list[Difference]:
        key = one.endpoint_id, other.endpoint_id
        if key not in found:
            found[key] = compared(one, other, at)
        return found[key]

    return told


def _stating(difference: Difference, row: IntervalRow, rest: Iterable[IntervalRow], told: Compared) -> tuple[str, ...]:
    """The sources that state of a meter, or a fact, what a row does."""
    meter = difference.meter
    stating = (
        other.source
        for other in rest
        if (other.context_length is not None if difference.kind == "context" else meter in other.card.by_meter)
        and other.card.currency == row.card.currency
        and all(one.meter != meter for one in told(row, other))
    )
    return tuple(dict.fromkeys(stating))


def pairs(rows: Iterable[IntervalRow], at: datetime) -> Iterator[tuple[IntervalRow, IntervalRow]]:
    """The offers of two sources that are one offer, the more trusted source first."""
    for group in _offers(rows):
        yield from _pairs(group, _compared_once(at))


def _offers(rows: Iterable[IntervalRow]) -> Iterator[list[IntervalRow]]:
    """The rows of each offer, the most trusted source first."""
    for _, group in groupby(sorted(rows, key=lambda row: (*_offer(row), row.trust, row.source)), key=_offer):
        yield list(group)


def _pairs(group: Sequence[IntervalRow], told: Compared) -> Iterator[tuple[IntervalRow, IntervalRow]]:
    by_source = [list(found) for _, found in groupby(group, key=lambda row: row.source)]
    for ours, theirs in combinations(by_source, 2):
        yield from ((_most_like(other, ours, told), other) for other in theirs)


def _offer(row: IntervalRow) -> tuple[str, str, str]:
    return row.model, row.provider, row.variant


def _most_like(row: IntervalRow, offers: Sequence[IntervalRow], told: Compared) -> IntervalRow:
    return offers[0] if len(offers) == 1 else min(offers, key=lambda one: len(told(one, row)))


def conflicts_of(row: IntervalRow, rows: Iterable[IntervalRow], at: datetime) -> Iterator[Conflict]:
    """Those of `conflicts` that a row has part in, from its side."""
    for one, other in pairs((found for found in rows if _offer(found) == _offer(row)), at):
        if row.endpoint_id in (one.endpoint_id, other.endpoint_id):
            theirs = other if one.endpoint_id == row.endpoint_id else one
            for difference in compared(row, theirs, at):
                yield Conflict(row=row, other=theirs, difference=difference)


def contradicted(rows: Sequence[IntervalRow], at: datetime) -> list[IntervalRow]:
    """The rows, each with the sources that state another price for it."""
    by: dict[int, dict[str, None]] = {}
    for one, other in pairs(rows, at):
        if differences(one.card, other.card, at):
            by.setdefault(one.endpoint_id, {})[other.source] = None
            by.setdefault(other.endpoint_id, {})[one.source] = None
    return [row._replace(contradicted_by=tuple(sorted(by.get(row.endpoint_id, ())))) for row in rows]
