"""Days, weeks and months, in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

Every: TypeAlias = Literal["day", "week", "month"]
BACK: dict[Every, timedelta] = {"day": timedelta(days=30), "week": timedelta(weeks=26), "month": timedelta(days=365)}
"""How far back a series goes where nobody says."""


class Period(NamedTuple):
    """A stretch of time (`since`, `until`]."""

    name: str
    """`2026-08-22`, `2026-W34` or `2026-08`."""
    since: datetime
    until: datetime


def periods(since: datetime, until: datetime, every: Every) -> Iterator[Period]:
    """From that in which `since` lies to that in which `until` lies, which ends there."""
    start = begin(since, every)
    while start < until:
        after = _next(start, every)
        yield Period(_name(start, every), start, min(after, until))
        start = after


def begin(at: datetime, every: Every) -> datetime:
    """The first instant of the day, week or month of an instant."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def month(start: datetime) -> Period:
    """The whole month that begins at an instant."""
    return Period(_name(start, "month"), start, _next(start, "month"))


def _next(start: datetime, every: Every) -> datetime:
    if every == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if every == "week" else 1)


def _name(start: datetime, every: Every) -> str:
    return f"{start:{ {'day': '%Y-%m-%d', 'week': '%G-W%V', 'month': '%Y-%m'}[every] }}"
