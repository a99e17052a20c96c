"""What a rate card charges over a stretch of time: when its hours begin and end, pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from store.conditions import in_force, zone
from store.records import Override, RateCard

WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


class Stretch(NamedTuple):
    """[since, until), in which a card charges the same."""

    since: datetime
    until: datetime
    amounts: Mapping[str, int]
    """Meter -> amount, where one is known."""
    held: tuple[Override, ...]
    """The overrides that hold."""


def stretches(card: RateCard, prompt_tokens: int, since: datetime, until: datetime) -> list[Stretch]:
    """What a card charges for a prompt of that length in [since, until), in order and without a gap.

    Raises: KeyError or ValueError if nobody knows the time zone of one of its windows.
    """
    marks = sorted({since, *(at for at in _turns(card, since, until) if since < at < until)})
    found: list[Stretch] = []
    for start, end in zip(marks, [*marks[1:], until], strict=True):
        amounts, held = in_force(card, prompt_tokens, start)
        if found and found[-1].held == tuple(held):
            found[-1] = found[-1]._replace(until=end)
        else:
            found.append(Stretch(start, end, amounts, tuple(held)))
    return found


def has_hours(card: RateCard) -> bool:
    """Whether what a card charges depends on the hour."""
    return any(one.start_minute is not None or one.days for one in card.overrides)


def _turns(card: RateCard, since: datetime, until: datetime) -> Iterator[datetime]:
    """Every instant at which a window may begin or end, and some at which none does."""
    for override in card.overrides:
        if override.start_minute is None and not override.days:
            continue
        where = zone(override.tz)
        minutes = {0, override.start_minute or 0, override.end_minute or 0}
        day = since.astimezone(where).date() - _DAY
        while day <= until.astimezone(where).date() + _DAY:
            for minute in minutes:
                for fold in (0, 1):  # where clocks go back, an hour comes twice
                    local = datetime.combine(day, time(minute // 60, minute % 60, fold=fold), where)
                    yield local.astimezone(UTC)
            yield from _shift(where, datetime.combine(day, time(), UTC))
            day += _DAY


def _shift(where: tzinfo, start: datetime) -> Iterator[datetime]:
    """The instant within a day at which clocks there are changed, if they are."""
    early, late = start, start + _DAY
    if early.astimezone(where).utcoffset() == late.astimezone(where).utcoffset():
        return
    while late - early > _MINUTE:
        middle = early + ((late - early) / 2) // _MINUTE * _MINUTE
        if middle.astimezone(where).utcoffset() == early.astimezone(where).utcoffset():
            early = middle
        else:
            late = middle
    yield late
