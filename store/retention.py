"""Which archived documents are kept, by their age and by what rests on them.

The ledger stays as it is: polls stay, beliefs stay. What goes is documents that nothing rests on. A document is
*needed* where something stored was read from it (an interval, a stated price, a finding), where it is a witness of
something (the last poll before a price was seen, the last that saw it, the one that no longer did, the ends of a gap),
and where it is the newest of its source. Of the rest, those younger than the policy says are all kept, and of older
ones the first of each day or week.

So a poll that is *pruned* (`poll.pruned`) is one at which nothing began or ended. Made anew, a timeline takes it for
just that: it counts, it changes nothing, and it is a witness of nothing (`store.touched.Track.pass_by`). By today's
parsers the timeline is the same. By a parser that reads more than before, what is new begins at a document that is
there, and may have begun at any time since the last one that is there. A late document has a place only where it is
known what came next.

Documents that are needed go only where they are asked for by name. Then what was believed stays believed, and cannot be
made anew: `lost` says so.

One step after the other, each durable: packs that rest on dropped ones are written anew, polls are marked, files go.
Stopped anywhere, nothing that is needed is missing, and the next run does the rest.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, text

from store.archive import Archive
from store.archive_thin import Thinning, freed_by, remove, thinning, written_anew
from store.instants import from_millis, to_millis
from store.lock import only_pruner
from store.policy import Policy, Then

Connecting = Callable[[], AbstractContextManager[Connection]]
Progress = Callable[[int, int], None]
DAY_MS = 86_400_000
PERIODS_MS: dict[Then, int] = {"daily": DAY_MS, "weekly": 7 * DAY_MS}
"""Of older documents, the first of each period is kept."""
MONDAY_MS = 4 * DAY_MS
"""From 1970 to its first Monday."""
ORPHANED_S = 86_400
"""Documents without a poll are those of a killed run once they are older than this: a backfill may take long."""
CHUNK = 500

_POLLS = text(
    """
    SELECT id, source_id, at, outcome, pack, pruned, changes FROM poll
     WHERE pack IS NOT NULL AND (:source = 0 OR source_id = :source) ORDER BY source_id, at, id
    """
)
_WITNESSES = text(
    """
    SELECT e.source_id AS source_id, i.first_seen AS at
      FROM "interval" i JOIN endpoint e ON e.id = i.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, i.not_before
      FROM "interval" i JOIN endpoint e ON e.id = i.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, i.last_seen
      FROM "interval" i JOIN endpoint e ON e.id = i.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, i.ended
      FROM "interval" i JOIN endpoint e ON e.id = i.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, g.since
      FROM gap g JOIN endpoint e ON e.id = g.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, g.last_seen
      FROM gap g JOIN endpoint e ON e.id = g.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, g.until
      FROM gap g JOIN endpoint e ON e.id = g.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, s.first_seen
      FROM stated s JOIN endpoint e ON e.id = s.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT e.source_id, s.ended
      FROM stated s JOIN endpoint e ON e.id = s.endpoint_id WHERE :source = 0 OR e.source_id = :source
    UNION
    SELECT source_id, first_seen FROM finding WHERE :source = 0 OR source_id = :source
    UNION
    SELECT source_id, ended FROM finding WHERE :source = 0 OR source_id = :source
    UNION
    SELECT p.source_id, p.at
      FROM document d JOIN poll p ON p.id = d.poll_id WHERE :source = 0 OR p.source_id = :source
    """
)
"""Instants at which a source's documents are needed; of one source, or of all (0)."""
_RESTING = text(
    """
    SELECT d.poll_id, count(*) AS intervals FROM "interval" i JOIN document d ON d.id = i.document_id GROUP BY d.poll_id
    """
)
_MARK = text("UPDATE poll SET pruned = :now WHERE id IN :polls").bindparams(bindparam("polls", expanding=True))
_UNMARKED = text("SELECT DISTINCT pack FROM poll WHERE pack IS NOT NULL AND pruned IS NULL")
_ANY_PRUNED = text("SELECT 1 FROM poll WHERE source_id = :source AND pruned IS NOT NULL LIMIT 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a policy drops, as things stand."""

    polls: tuple[int, ...] = ()
    """Rows whose documents go."""
    dropped: frozenset[str] = frozenset()
    """Packs that no other poll needs, those of polls marked earlier and of no poll at all included."""
    intervals: int = 0
    """Beliefs that lose the document they were read from; 0 unless that is asked for."""
    young: frozenset[str] = frozenset()
    """Packs that are kept for their age alone, and may go another time."""
    order: tuple[str, ...] = ()
    """All packs of polls, by source and instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was done, or would be."""

    polls: int = 0
    """Whose documents are dropped."""
    intervals: int = 0
    """Beliefs that lose the document they were read from."""
    freed: int = 0
    """Bytes on disk, less what was written anew."""


def plan(
    connection: Connection, archive: Archive, policy: Policy, *, horizon: datetime | None, drop_before: datetime | None
) -> Plan:
    """What goes: documents older than `horizon` (None: none) and not needed; before `drop_before`, needed or not."""
    polls = list(connection.execute(_POLLS, {"source": 0}))
    needed = {(row.source_id, row.at) for row in connection.execute(_WITNESSES, {"source": 0})}
    unguarded = 0 if drop_before is None else to_millis(drop_before)
    limit = max(unguarded, 0 if horizon is None else to_millis(horizon))
    newest: dict[int, int] = {}
    for row in polls:
        if row.outcome == "ok":
            newest[row.source_id] = row.at
    leaving: set[int] = set()
    periods: set[tuple[int, bool, int]] = set()
    for row in polls:
        period = (row.source_id, row.outcome == "failed", _period(policy.then, row.at))
        first = policy.then in PERIODS_MS and period not in periods
        periods.add(period)
        guarded = row.at >= unguarded and (row.changes or (row.source_id, row.at) in needed)
        if row.at < min(limit, newest.get(row.source_id, 0)) and not first and not guarded:
            leaving.add(row.id)
    staying = {row.pack for row in polls if row.pruned is None and row.id not in leaving}
    going = [row for row in polls if row.pruned is None and row.pack not in staying]
    resting = {row.poll_id: row.intervals for row in connection.execute(_RESTING)} if drop_before else {}
    return Plan(
        polls=tuple(row.id for row in going),
        dropped=frozenset(_orphans(archive, {row.pack for row in polls}))
        | {row.pack for row in polls if row.pack not in staying},
        intervals=sum(resting.get(row.id, 0) for row in going),
        young=frozenset(row.pack for row in polls if row.at >= limit),
        order=tuple(row.pack for row in polls),
    )


def _period(then: Then, at: int) -> int:
    return (at - MONDAY_MS) // PERIODS_MS.get(then, DAY_MS)


def _orphans(archive: Archive, known: set[str]) -> Iterator[str]:
    """Packs of no poll, left by a run that was killed before it wrote any."""
    before = time.time() - ORPHANED_S
    for key, path in archive.places():
        if key not in known and path.stat().st_mtime < before:
            yield key


def prune(
    archive: Archive,
    reading: Connecting,
    writing: Connecting,
    policy: Policy,
    *,
    now: datetime,
    horizon: datetime | None,
    drop_before: datetime | None = None,
    dry_run: bool = False,
    progress: Progress,
) -> Pruned:
    """Drop what a policy does not keep, of what is older than `horizon`; with `dry_run` only tell what that would do.

    Where it would free nothing, nothing is done. Nobody else writes while a connection of `writing` is open.

    Raises: StoreBusy if another program is at it; ArchiveDamaged if what is to be written anew cannot be read.
    """

    def planned() -> Plan:
        return plan(connection, archive, policy, horizon=horizon, drop_before=drop_before)

    with only_pruner(archive.root):
        with reading() as connection:
            first = planned()
        thin = thinning(archive, first.dropped)
        with written_anew(archive, _files(thin, first), progress) as (size, put_in_place):
            would_free = freed_by(archive, thin) - size
            if would_free <= 0:
                return Pruned()
            if dry_run:
                return Pruned(polls=len(first.polls), intervals=first.intervals, freed=would_free)
            put_in_place()
        with writing() as connection:
            marked = sorted({*first.polls} & {*planned().polls})
            for start in range(0, len(marked), CHUNK):
                connection.execute(_MARK, {"now": to_millis(now), "polls": marked[start : start + CHUNK]})
        with writing() as connection:  # no poll can come to need any of it while this lasts
            unmarked = set(connection.execute(_UNMARKED).scalars())
            freed = remove(archive, thin, thin.dropped & unmarked)
    return Pruned(polls=len(marked), intervals=first.intervals, freed=freed - size)


def _files(thin: Thinning, planned: Plan) -> list[list[str]]:
    """The packs to be written anew, like by like; those that may go another time apart from those that will stay."""
    moved = thin.moved
    ordered = [key for key in dict.fromkeys(planned.order) if key in moved]
    ordered += sorted(moved.difference(ordered))
    return [[key for key in ordered if (key in planned.young) is young] for young in (False, True)]


def lost(connection: Connection, source_id: int) -> str | None:
    """Why a source's timeline cannot be made anew, where documents that it needs were dropped; else None."""
    if connection.execute(_ANY_PRUNED, {"source": source_id}).first() is None:
        return None
    witnesses = {row.at for row in connection.execute(_WITNESSES, {"source": source_id})}
    gone = [
        row
        for row in connection.execute(_POLLS, {"source": source_id})
        if row.pruned is not None and (row.changes or row.at in witnesses)
    ]
    if not gone:
        return None
    return (
        f"documents up to {from_millis(gone[-1].at):%Y-%m-%d} that beliefs rest on were dropped on"
        f" {from_millis(gone[-1].pruned):%Y-%m-%d}: what is believed stays, and cannot be made anew"
    )


class Places:
    """Where in a source's timeline a late document can have its place."""

    def __init__(self, connection: Connection, source_id: int) -> None:
        rows = list(connection.execute(_POLLS, {"source": source_id}))
        self._there = {(row.at, row.pack) for row in rows}
        self._polls = [(row.at, row.pruned is not None) for row in rows if row.outcome != "failed"]

    def has(self, at: datetime, pack: str) -> bool:
        """Whether it is known what came next; of documents that were dropped and come back, it is."""
        millis = to_millis(at)
        following = bisect_left(self._polls, (millis, False))
        return (millis, pack) in self._there or following == len(self._polls) or not self._polls[following][1]
