"""What moved in a month: prices, offers, routes, beliefs and sources."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, groupby
from typing import NamedTuple

from store.blend import BLEND
from store.catalogue import HeldRow, held, models
from store.changes import ChangeRow, changes
from store.conflicts import ORDERS, PRICES, Conflict, conflicts
from store.currency import Converter
from store.errors import NothingMatched
from store.index import Level, index
from store.instants import from_millis, to_millis
from store.intervals import GRACE_S, current
from store.periods import Period, periods
from store.read import Reader, Value
from store.spread import Spread, spreads

MONTHS = 6
"""Of the index."""

_SOURCES = """
SELECT s.id, s.name, s.every_s,
    (SELECT b.at FROM poll b
     WHERE b.source_id = s.id AND b.outcome <> 'failed' AND b.at < :since AND b.known <= :known
     ORDER BY b.at DESC LIMIT 1)
FROM source s
ORDER BY s.name
"""
_POLLS = """
SELECT b.at, b.outcome FROM poll b
WHERE b.source_id = :source AND b.at >= :since AND b.at < :until AND b.known <= :known
ORDER BY b.at
"""


class Health(NamedTuple):
    """How the polls of a source went."""

    source: str
    polls: int
    partial: int
    failed: int
    last_success: datetime | None
    longest: timedelta
    """The longest time without a successful poll, as far back as it reaches, up to the end of the month."""
    every: timedelta

    @property
    def gap(self) -> bool:
        """Whether that is longer than two polls may lie apart, and a grace."""
        return self.longest > 2 * self.every + timedelta(seconds=GRACE_S)


@dataclass(slots=True)
class Events:
    """What moved, sorted out."""

    moves: list[ChangeRow] = field(default_factory=list)
    """Prices, each move once: of several sources that tell it, the first to."""
    arrivals: list[list[ChangeRow]] = field(default_factory=list)
    """New endpoints, each with its meters."""
    withdrawals: list[list[ChangeRow]] = field(default_factory=list)
    corrections: list[ChangeRow] = field(default_factory=list)
    announced: list[ChangeRow] = field(default_factory=list)
    """Prices dated for later, and those taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is told of a month."""

    month: Period
    until: datetime
    """Its end, or as far as is known."""
    known: datetime
    events: Events
    on_offer: int
    """Models, at the end."""
    new_models: dict[str, list[ChangeRow]]
    """Models that nobody offered when the month began, with a line for each of their endpoints."""
    gone_models: tuple[str, ...]
    """Models that somebody offered when the month began, and nobody when it ended."""
    routes: tuple[tuple[Spread, Spread], ...]
    """Models that another provider sells for less than anybody did, before and after."""
    series: tuple[Level, ...]
    """The index of this month and those before."""
    held: tuple[HeldRow, ...]
    """Read in this month, and still held at its end."""
    conflicts: tuple[Conflict, ...]
    """On prices, at the end, the furthest apart first."""
    sources: tuple[Health, ...]


def report(reader: Reader, month: Period, *, known: datetime, into: Converter) -> Report:
    """What moved in a month, as known at an instant.

    Raises: NothingMatched if no source had been polled by its end.
    """
    until = min(month.until, known)
    sources = tuple(_health(reader, month.since, until, known))
    if not sources:
        raise NothingMatched(f"no source had been polled by the end of {month.name}")
    events = sorted_out(changes(reader, known=known, since=month.since, until=until, prices_only=True))
    before = {row.model for row in models(reader, "", month.since, known=known)}
    after = {row.model for row in models(reader, "", until, known=known)}
    return Report(
        month=month,
        until=until,
        known=known,
        events=events,
        on_offer=len(after),
        new_models=_new_models(events.arrivals, before),
        gone_models=tuple(sorted(before - after)),
        routes=tuple(_moved_routes(reader, month.since, until, known, into)),
        series=tuple(index(reader, list(periods(_months_back(month.since), until, "month")), known=known)),
        held=tuple(row for row in held(reader, known=until) if row.first_seen >= month.since),
        conflicts=tuple(_conflicts(reader, until, known)),
        sources=sources,
    )


def sorted_out(rows: Iterable[ChangeRow]) -> Events:
    """The changes of a month by what they are."""
    events = Events()
    told: set[tuple[str, ...]] = set()
    for _, one in groupby(rows, key=lambda row: (row.seen, row.event, ref(row), row.since, row.until)):
        meters = list(one)
        match meters[0].event:
            case "change" | "return":
                for row in meters:
                    move = (row.model, row.provider, row.variant, row.meter, str(row.old), str(row.new))
                    if row.change_percent is not None and move not in told:
                        told.add(move)
                        events.moves.append(row)
            case "arrival":
                events.arrivals.append(meters)
            case "withdrawal":
                events.withdrawals.append(meters)
            case "correction":
                events.corrections += meters
            case _:
                events.announced += meters
    return events


def ref(row: ChangeRow) -> str:
    """What `explain` takes."""
    return f"{row.source}:{row.provider}:{row.endpoint}"


def _months_back(since: datetime) -> datetime:
    """Where the index begins, of a month that begins at an instant."""
    start = since
    for _ in range(MONTHS - 1):
        start = (start - timedelta(days=1)).replace(day=1)
    return start


def _moved_routes(
    reader: Reader, since: datetime, until: datetime, known: datetime, into: Converter
) -> list[tuple[Spread, Spread]]:
    """Models that are cheaper, and at another provider, than they were: before and after, the largest cut first."""
    before, after = (
        {one.model: one for one in spreads(current(reader, at, known=known), at, BLEND, into)} for at in (since, until)
    )
    moved = [
        (before[model], one)
        for model, one in after.items()
        if model in before and one.low.provider != before[model].low.provider and one.cheapest < before[model].cheapest
    ]
    return sorted(moved, key=lambda pair: (pair[1].cheapest / pair[0].cheapest, pair[1].model))


def _new_models(arrivals: Iterable[Sequence[ChangeRow]], before: set[str]) -> dict[str, list[ChangeRow]]:
    """Models that nobody offered when the month began, with the first line of each of their endpoints."""
    new: dict[str, list[ChangeRow]] = {}
    for meters in arrivals:
        if meters[0].model not in before:
            new.setdefault(meters[0].model, []).append(meters[0])
    return new


def _conflicts(reader: Reader, at: datetime, known: datetime) -> list[Conflict]:
    offers = current(reader, at, known=known)
    found = chain.from_iterable(conflicts(rows, at) for _, rows in groupby(offers, key=lambda row: row.model))
    return sorted((one for one in found if one.difference.kind in PRICES), key=ORDERS["ratio"])


def _health(reader: Reader, since: datetime, until: datetime, known: datetime) -> Iterator[Health]:
    """How each source that had been polled by the end of a stretch of time fared in it."""
    values: dict[str, Value] = {"since": to_millis(since), "until": to_millis(until), "known": to_millis(known)}
    for source_id, name, every_s, before in reader.rows(_SOURCES, values):
        counts = {"ok": 0, "partial": 0, "failed": 0}
        success, begun, longest = before, before, 0
        for at, outcome in reader.stream(_POLLS, values | {"source": source_id}):
            counts[outcome] += 1
            begun = at if begun is None else begun  # nobody asked a new source before its first poll
            longest = max(longest, at - begun)
            if outcome != "failed":
                success = begun = at
        if begun is not None:
            yield Health(
                source=name,
                polls=sum(counts.values()),
                partial=counts["partial"],
                failed=counts["failed"],
                last_success=None if success is None else from_millis(success),
                longest=timedelta(milliseconds=max(longest, to_millis(until) - begun)),
                every=timedelta(seconds=every_s),
            )
