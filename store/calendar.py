"""What an endpoint charges at each hour of a week, and when that changes next."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from store.columns import Column, Columns, amount_text
from store.conditions import condition_text, in_force, zone
from store.evidence import named
from store.intervals import IntervalRow, history
from store.read import Reader
from store.records import RateCard
from store.tariff import WEEK, stretches
from store.units import CORE_METERS

_HOUR = timedelta(hours=1)


class Hour(NamedTuple):
    """[since, until): an hour of the clock, or the part of one in which prices stay as they are."""

    since: datetime
    until: datetime
    amounts: Mapping[str, int]
    """Meter -> amount, where one is known."""
    conditions: tuple[str, ...]


class Calendar(NamedTuple):
    """A week of an endpoint."""

    row: IntervalRow
    now: Mapping[str, int]
    hours: tuple[Hour, ...]
    """From midnight of the day asked about, without a gap: 168 of them, or more where prices change within one."""
    next_change: datetime | None
    """When other prices are in force next: by the hour, within a week, or as the source announces; None: not known."""
    next_amounts: Mapping[str, int]
    """The prices then."""
    announced: bool
    """That is what the source states of the future, not its hours."""


def calendar(
    reader: Reader, ref: str, at: datetime, *, known: datetime | None = None, prompt_tokens: int = 0, tz: str = "UTC"
) -> list[Calendar]:
    """The week of an endpoint from midnight in a time zone, for prompts of that length.

    There is one, unless the source publishes one provider under several names.
    Raises: as `store.evidence.named`; KeyError or ValueError if nobody knows the time zone, or one of a window.
    """
    where = zone(tz)
    midnight = datetime.combine(at.astimezone(where).date(), time(), where).astimezone(UTC)
    return [_week(reader, row, at, known, prompt_tokens, midnight) for row in named(reader, ref, at, known=known)]


def _week(
    reader: Reader, row: IntervalRow, at: datetime, known: datetime | None, prompt_tokens: int, midnight: datetime
) -> Calendar:
    now, _ = in_force(row.card, prompt_tokens, at)
    coming = [
        (one.since, one.amounts, False)
        for one in stretches(row.card, prompt_tokens, at, at + WEEK)
        if one.since > at and one.amounts != now
    ]
    stated = history(reader, row.model, at, known=known, provider=row.provider, source=row.source, stated=True)
    coming += [
        (one.stated_since, in_force(one.card, prompt_tokens, one.stated_since)[0], True)
        for one in stated
        if one.endpoint_id == row.endpoint_id and one.stated_since is not None and one.stated_since > at
    ]
    next_change, next_amounts, announced = min(coming, key=lambda one: one[0], default=(None, {}, False))
    return Calendar(row, now, tuple(_hours(row.card, prompt_tokens, midnight)), next_change, next_amounts, announced)


def _hours(card: RateCard, prompt_tokens: int, midnight: datetime) -> list[Hour]:
    hours = []
    for since, until, amounts, held in stretches(card, prompt_tokens, midnight, midnight + WEEK):
        conditions = tuple(map(condition_text, held))
        while since < until:
            end = min(until, midnight + ((since - midnight) // _HOUR + 1) * _HOUR)
            hours.append(Hour(since, end, amounts, conditions))
            since = end  # noqa: PLW2901 - the rest of the stretch
    return hours


def columns_of(rows: Iterable[tuple[Calendar, Hour]]) -> Columns[tuple[Calendar, Hour]]:
    """The columns of hours: the core meters, and after all else those that any of these hours has beside them."""
    others = {meter for _, hour in rows for meter in hour.amounts} - set(CORE_METERS)

    def price(meter: str) -> Column[tuple[Calendar, Hour]]:
        return Column(meter, lambda row: amount_text(row[1].amounts.get(meter)))

    return (
        Column("since", lambda row: row[1].since),
        Column("until", lambda row: row[1].until),
        *map(price, CORE_METERS),
        Column("currency", lambda row: row[0].row.card.currency),
        Column("conditions", lambda row: "; ".join(row[1].conditions)),
        Column("ref", lambda row: row[0].row.ref),
        Column("document", lambda row: row[0].row.document),
        Column("next_change", lambda row: row[0].next_change),
        *map(price, sorted(others)),
    )
