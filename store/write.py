"""The write side of the store: one transaction per poll.

`Tape.record` takes the step of a poll under the write lock: it loads what the sighting touches of the source's state,
and writes poll row and events together or not at all. What a step does not change is not touched.

Where a connection is cut while a transaction is committed, nobody says whether it was: it is looked up
(`Tape.written`). Where even that cannot be had, the next poll is decided from the state that it finds under the lock,
and a document that is there already is not written again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from store import check, leases, retention
from store import statements as sql
from store import timeline as tl
from store.archive import Archive
from store.db import BUSY_S, lock_polls, lock_source, open_engine, plain_errors, reading
from store.errors import EvidenceDropped, StoreError
from store.instants import from_millis, to_millis
from store.ledger import Correction, Draft, go_on, mend
from store.load import load, load_touched, returned
from store.location import archive_folder
from store.policy import Policy
from store.records import Sighting, Verdict, Verdicts, parts_from_text
from store.returned import BEHIND, Sent
from store.scribe import Scribe, inserted
from store.sellers import Model, Seller
from store.touched import by_mark
from store.verdicts import Confirmable, confirmable, keep_verdicts, sellers_on, verdicts_on

Outcome = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What the store keeps of a source's configuration."""

    name: str
    trust: int
    """Rank, 0 is believed first."""
    every_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFacts:
    """One attempt at a source."""

    at: datetime
    outcome: Outcome
    pack: str | None = None
    code: str | None = None
    message: str | None = None
    quotes: int = 0
    requests: int = 0
    body_bytes: int = 0
    duration_ms: int = 0
    failed_parts: frozenset[str] = frozenset()
    claim: leases.Claim | None = None
    """Of a daemon: the poll is written only if the claim still stands."""
    complete: bool = False
    """Absence counted."""
    changes: int = 0
    held: int = 0

    def after(self, step: tl.Step) -> "PollFacts":
        """With what the poll changed."""
        return replace(self, complete=step.complete, quotes=step.offers, changes=step.changes, held=step.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPolls:
    """What a new poll must know of those before it."""

    newest: datetime | None = None
    """Of any outcome."""
    over: datetime | None = None
    """When a daemon had done with it; any other is over as soon as it begins, however late it was written."""
    newest_ok: datetime | None = None
    """That went into the timeline."""
    pack: str | None = None
    """Of the newest that received anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a source's timeline goes."""

    polls: frozenset[tuple[datetime, str]] = frozenset()
    """Instant and archive key of all that got documents."""
    newest: datetime | None = None
    """Of them."""
    sent: Sent = field(default_factory=Sent)
    """What those that were read had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPoll:
    """A poll that is part of a source's timeline."""

    id: int
    at: datetime
    failed: bool
    """Its documents were refused when they came."""
    pack: str
    failed_parts: frozenset[str]
    complete: bool
    """Absence counted when it was read last."""
    pruned: bool
    """Its documents were dropped, for nothing rests on them."""
    quotes: int
    """When it was read last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A poll taken again from its archived documents."""

    step: tl.Step | None = None
    """None: the documents are refused."""
    outcome: Outcome
    code: str | None = None
    message: str | None = None
    failed_parts: frozenset[str] = frozenset()

    def settled(self, poll: PollFacts) -> PollFacts:
        """The poll, with what it came to."""
        found = replace(
            poll,
            outcome=self.outcome,
            code=self.code,
            message=self.message or poll.message,
            failed_parts=self.failed_parts,
        )
        return found if self.step is None else found.after(self.step)


Build = Callable[[Sequence[KeptPoll], Verdicts], Iterable[tuple[KeptPoll, Replayed]]]
"""A source's timeline, poll by poll in the order of their instants, in the light of verdicts."""


class Tape:
    """A store opened for writing.

    Raises: StoreError on opening and on every call, for anything the database refuses.
    """

    def __init__(self, url: str, archive: str = "", *, busy_s: float = BUSY_S) -> None:
        database = open_engine(url, busy_s)
        self._engine = database.engine
        self.name = database.name
        """How messages name it."""
        self.path = database.path
        """The file, on SQLite."""
        self.archive = Archive(archive_folder(url, archive))

    def close(self) -> None:
        """Release the file, or the server."""
        self._engine.dispose()

    @contextmanager
    def _writing(self, source: str = "") -> Iterator[Connection]:
        """A transaction, of one who writes a source if one is named."""
        with plain_errors(self.name), self._engine.begin() as connection:
            if source:
                lock_source(connection, source)
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """A transaction while nobody else writes a poll."""
        with self._writing() as connection:
            lock_polls(connection)
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection for questions, which holds up nobody."""
        with reading(self._engine, self.name) as connection:
            yield connection

    def sources(self) -> list[str]:
        """The sources that have ever been polled."""
        with self._writing() as connection:
            return [str(name) for name in connection.execute(sql.SOURCES).scalars()]

    def check(self) -> Iterator[str]:
        """A line for each thing inside the store that is not as it should be."""
        with self._writing() as connection:
            yield from check.structure(connection)
            yield from check.overlaps(connection)
            yield from check.marks(connection)
            yield from check.values(connection)
            yield from check.evidence(connection, self.archive)

    def last_polls(self, source: str) -> LastPolls:
        """What came before, for a source that may be new."""
        with self._reading() as connection:
            row = connection.execute(sql.LAST_POLLS, {"name": source}).one()
        return LastPolls(
            newest=None if row.newest is None else from_millis(row.newest),
            over=None if row.newest is None else from_millis(row.newest if row.slot is None else row.known),
            newest_ok=None if row.newest_ok is None else from_millis(row.newest_ok),
            pack=row.pack,
        )

    def newest(self) -> datetime | None:
        """The instant of the newest poll of all; None before the first."""
        with self._reading() as connection:
            newest = connection.execute(sql.NEWEST_POLL).scalar()
        return None if newest is None else from_millis(newest)

    def failures(self, source: str) -> int:
        """How many polls of a source have failed since the last that did not."""
        with self._reading() as connection:
            return int(connection.execute(sql.FAILURES, {"name": source}).scalar_one())

    def refused(self) -> dict[str, tuple[datetime, str]]:
        """Sources whose newest poll was turned away by their upstream: when, and in which words."""
        with self._reading() as connection:
            found = connection.execute(sql.REFUSED)
            return {row.name: (from_millis(row.at), row.message or "") for row in found}

    def last_with(self, source: str, pack: str, before: datetime) -> datetime | None:
        """When a source last sent these very documents, within a month before an instant; None: it did not."""
        values = {"name": source, "pack": pack, "since": to_millis(before - BEHIND), "before": to_millis(before)}
        with self._reading() as connection:
            found = connection.execute(sql.LAST_WITH, values).scalar()
        return None if found is None else from_millis(found)

    def claim(
        self,
        source: SourceFacts,
        *,
        slot: datetime,
        polled_since: datetime,
        until: datetime,
        now: datetime,
        holder: str,
    ) -> leases.Claim | leases.Held | None:
        """The right to poll a source for a slot (see `store.leases.claim`)."""
        with self._writing() as connection:
            return leases.claim(
                connection,
                _source_id(connection, source),
                slot=slot,
                polled_since=polled_since,
                until=until,
                now=now,
                holder=holder,
            )

    def expire_claims(self) -> None:
        """Let every poll under way be taken over at once: no other daemon is alive."""
        with self._writing() as connection:
            leases.expire(connection)

    def prune(
        self,
        policy: Policy,
        *,
        now: datetime,
        horizon: datetime | None,
        drop_before: datetime | None = None,
        dry_run: bool = False,
        progress: retention.Progress,
    ) -> retention.Pruned:
        """Drop documents that a policy does not keep (see `store.retention.prune`)."""
        return retention.prune(
            self.archive,
            self._reading,
            self._alone,
            policy,
            now=now,
            horizon=horizon,
            drop_before=drop_before,
            dry_run=dry_run,
            progress=progress,
        )

    def confirmable(self) -> list[Confirmable]:
        """Every card that is held and on which there is no verdict, beside what each other source states."""
        with self._reading() as connection:
            return confirmable(connection)

    def sellers(self, source: SourceFacts, models: Iterable[Model], at: datetime) -> Mapping[Model, Sequence[Seller]]:
        """Who sells each of some models at an instant, as other sources have it (see `store.verdicts.sellers_on`)."""
        with self._reading() as connection:
            return sellers_on(connection, source.name, source.trust, models, at)

    def places(self, source: str) -> retention.Places:
        """Where in a source's timeline a late document can have its place."""
        with self._reading() as connection:
            row = connection.execute(sql.SOURCE, {"name": source}).one_or_none()
            return retention.Places(connection, 0 if row is None else int(row.id))

    def _need(self, poll: PollFacts) -> None:
        """Raises: StoreError if the documents of a poll were pruned before it was written."""
        if poll.pack is not None and not self.archive.has(poll.pack):
            raise StoreError(f"documents {poll.pack[:12]} were pruned before their poll was written: poll again")

    def record_failure(self, source: SourceFacts, poll: PollFacts, *, known: datetime) -> None:
        """Write the row of a poll that changes nothing."""
        with self._writing(source.name) as connection:
            source_id = _source_id(connection, source)
            _insert_poll(connection, source_id, poll, known=_after_others(connection, known))
            self._need(poll)

    def record(
        self, source: SourceFacts, poll: PollFacts, sighting: Sighting, rules: tl.Rules, *, known: datetime
    ) -> tl.Step | None:
        """Write a poll newer than all before it, with all that it changed.

        Returns: None, with nothing written, if a newer one is in the timeline already: that takes `rebuild`.
        """
        fresh = by_mark(sighting.observations, rules.salt)  # before others have to wait
        with self._writing(source.name) as connection:
            last = connection.execute(sql.LAST_POLLS, {"name": source.name}).one()
            if last.newest_ok is not None and to_millis(poll.at) <= last.newest_ok:
                return None
            known = _after_others(connection, known)
            if last.known is not None:
                known = max(known, from_millis(last.known + 1))
            source_id = _source_id(connection, source)
            came = None if poll.pack is None else returned(connection, source_id, poll.at, poll.pack)
            sighting = replace(sighting, returned=came)
            loaded, touched = load_touched(connection, source_id, sighting, fresh)
            step = tl.step(loaded.state, touched, rules.judge, rules.patience)
            poll_id = _insert_poll(connection, source_id, poll.after(step), known=known)
            draft = Draft()
            draft.take(poll.at, step)
            go_on(Scribe(connection, source_id, known, loaded, [poll_id]), draft, rules.salt)
            self._need(poll)
        return step

    def written(self, source: str, poll: PollFacts) -> tuple[int, int] | None:
        """What a poll changed and held, if it is there; where a connection was cut at a commit, nobody has said."""
        values = {"name": source, "at": to_millis(poll.at), "pack": poll.pack or "", "outcome": poll.outcome}
        with self._writing(source) as connection:  # once whatever was under way has come to its end
            row = connection.execute(sql.WRITTEN, values).first()
        return None if row is None else (int(row.changes), int(row.held))

    def standing(self, source: str) -> Standing:
        """How far the timeline of a source goes, for a source that may be new."""
        with self._reading() as connection:
            row = connection.execute(sql.SOURCE, {"name": source}).one_or_none()
            if row is None:
                return Standing()
            kept, sent = _kept_polls(connection, row.id), Sent()
            for poll in kept:
                if not poll.failed:
                    sent.take(poll.at, poll.pack)
            return Standing(
                polls=frozenset((poll.at, poll.pack) for poll in kept if not poll.pruned),
                newest=kept[-1].at if kept else None,
                sent=sent,
            )

    def state(self, source: str) -> tl.SourceState:
        """What the next step of a source depends on."""
        with self._reading() as connection:
            row = connection.execute(sql.SOURCE, {"name": source}).one_or_none()
            return tl.SourceState() if row is None else load(connection, row.id).state

    def origins(self, source: str) -> frozenset[tuple[datetime, str]]:
        """Of polls that were read well: when, and which copy of their documents they came from, if that was told."""
        with self._reading() as connection:
            rows = connection.execute(sql.ORIGINS, {"name": source})
            return frozenset((from_millis(row.at), row.message) for row in rows)

    def go_on(
        self,
        source: SourceFacts,
        polls: Sequence[PollFacts],
        draft: Draft,
        *,
        state: tl.SourceState,
        salt: bytes,
        known: datetime,
    ) -> list[Correction] | None:
        """Write polls newer than all before them, at least one, with what they changed from a state on.

        Returns: None, with nothing written, if the timeline is not in that state any more: that takes `rebuild`.
        """
        with self._writing(source.name) as connection:
            source_id = _source_id(connection, source)
            loaded = load(connection, source_id)
            newest_ok = connection.execute(sql.LAST_POLLS, {"name": source.name}).one().newest_ok
            if loaded.state != state or (newest_ok is not None and to_millis(polls[0].at) <= newest_ok):
                return None
            known = _after_all(connection, source_id, known)
            rows = connection.execute(
                sql.INSERT_FOR_IDS["poll"], [_poll_row(source_id, poll, known=known) for poll in polls]
            )
            scribe = Scribe(connection, source_id, known, loaded, list(rows.scalars()))
            corrections = go_on(scribe, draft, salt)
            for poll in polls:
                self._need(poll)
            return corrections

    def rebuild(
        self,
        source: SourceFacts,
        arrived: Iterable[PollFacts],
        build: Build,
        *,
        salt: bytes,
        known: datetime,
        said: Iterable[Verdict] = (),
        only_if_new: bool = True,
        dry_run: bool = False,
    ) -> list[Correction]:
        """Make a source's timeline anew from all its polls, with those that arrived late, and mend what differs.

        `said` are verdicts to record with it: what they release, or reject, is so from its first sighting on, as known
        from now on.

        A poll that the store has already (same instant, same documents) is not written again, and with `only_if_new`
        nothing is done where that is true of all. With `dry_run` nothing is written at all.

        Raises: EvidenceDropped if documents that it needs were dropped.
        """
        with plain_errors(self.name), self._engine.connect() as connection, connection.begin() as transaction:
            lock_source(connection, source.name)
            source_id = _source_id(connection, source)
            if (why := retention.lost(connection, source_id)) is not None:
                raise EvidenceDropped(f"{source.name}: {why}")
            known = _after_all(connection, source_id, known)
            have = {(poll.at, poll.pack): poll.pruned for poll in _kept_polls(connection, source_id)}
            new: set[int] = set()
            for late in arrived:
                pruned = have.get((late.at, late.pack or ""))
                if pruned is None:
                    new.add(_insert_poll(connection, source_id, late, known=known))
                elif pruned:
                    back = {"source": source_id, "instant": to_millis(late.at), "key": late.pack}
                    connection.execute(sql.RESTORE_POLLS, back)
                if pruned is not False:
                    self._need(late)
            recorded = keep_verdicts(connection, source_id, said, known=known)
            if only_if_new and not new and not recorded:
                return []
            draft, polls = Draft(), list[int]()
            for poll, replayed in build(_kept_polls(connection, source_id), verdicts_on(connection, source_id)):
                polls.append(_settle(connection, source_id, poll, replayed, known=known, new=poll.id in new))
                draft.take(poll.at, replayed.step)
            corrections = mend(Scribe(connection, source_id, known, load(connection, source_id), polls), draft, salt)
            if dry_run:
                transaction.rollback()
        return corrections


def _after_all(connection: Connection, source_id: int, known: datetime) -> datetime:
    """As `_after_others`, and after all that is known of this source, in whatever order it was written."""
    newest = connection.execute(sql.LAST_KNOWN, {"source_id": source_id}).scalar()
    known = _after_others(connection, known)
    return known if newest is None else max(known, from_millis(newest + 1))


def _after_others(connection: Connection, known: datetime) -> datetime:
    """Knowledge only grows: what is learned now is known after all that was known before, of whatever source.

    The clock of one who collects may be behind that of another, or go back: an answer that was given is given again.
    """
    newest = connection.execute(sql.NEWEST_KNOWN).scalar()
    return known if newest is None else max(known, from_millis(newest + 1))


def _kept_polls(connection: Connection, source_id: int) -> list[KeptPoll]:
    """The polls of a source that got documents, each document at each instant once, in the order of their instants."""
    kept: dict[tuple[int, str], KeptPoll] = {}
    for row in connection.execute(sql.KEPT_POLLS, {"source_id": source_id}):
        known = kept.get((row.at, row.pack))
        if known is None or (known.failed and row.outcome != "failed"):
            kept[row.at, row.pack] = KeptPoll(
                id=row.id,
                at=from_millis(row.at),
                failed=row.outcome == "failed",
                pack=row.pack,
                failed_parts=parts_from_text(row.failed_parts),
                complete=bool(row.complete),
                pruned=row.pruned is not None,
                quotes=row.quotes,
            )
    return list(kept.values())


def _settle(
    connection: Connection, source_id: int, poll: KeptPoll, replayed: Replayed, *, known: datetime, new: bool
) -> int:
    """Bring a poll's row in line with how its documents read today; the id of the row that has them.

    A row that was there before keeps its outcome: a poll refused then and read now gets a row of its own.
    """
    taken = replayed.step
    figures = {
        "quotes": taken.offers if taken else 0,
        "complete": taken is not None and taken.complete,
        "changes": taken.changes if taken else 0,
        "held": taken.held if taken else 0,
    }
    if poll.failed and taken is not None:
        facts = PollFacts(
            at=poll.at,
            outcome=replayed.outcome,
            pack=poll.pack,
            code=replayed.code,
            message=replayed.message,
            failed_parts=replayed.failed_parts,
        )
        return _insert_poll(connection, source_id, facts.after(taken), known=known)
    if new:
        outcome = {
            "outcome": replayed.outcome,
            "code": replayed.code,
            "message": replayed.message,
            "failed_parts": json.dumps(sorted(replayed.failed_parts)) if replayed.failed_parts else None,
        }
        connection.execute(sql.SETTLE_POLL, {"poll": poll.id, **outcome, **figures})
    elif taken is not None:
        connection.execute(sql.UPDATE_POLL, {"poll": poll.id, **figures})
    return poll.id


def _source_id(connection: Connection, source: SourceFacts) -> int:
    values = {"name": source.name, "trust": source.trust, "every_s": source.every_s}
    row = connection.execute(sql.SOURCE, {"name": source.name}).one_or_none()
    if row is None:
        connection.execute(sql.KEEP["source"], values)
        row = connection.execute(sql.SOURCE, {"name": source.name}).one()
    if (row.trust, row.every_s) != (source.trust, source.every_s):
        connection.execute(sql.UPDATE_SOURCE, {"source": row.id, "trust": source.trust, "every_s": source.every_s})
    return int(row.id)


def _insert_poll(
    connection: Connection,
    source_id: int,
    poll: PollFacts,
    *,
    known: datetime,
) -> int:
    if poll.claim is not None:
        leases.settle(connection, source_id, poll.claim)
    return inserted(connection.execute(sql.INSERT["poll"], _poll_row(source_id, poll, known=known)))


def _poll_row(source_id: int, poll: PollFacts, *, known: datetime) -> dict[str, object]:
    return {
        "source_id": source_id,
        "at": to_millis(poll.at),
        "known": to_millis(known),
        "outcome": poll.outcome,
        "complete": poll.complete,
        "pack": poll.pack,
        "code": poll.code,
        "message": poll.message,
        "quotes": poll.quotes,
        "changes": poll.changes,
        "held": poll.held,
        "requests": poll.requests,
        "body_bytes": poll.body_bytes,
        "duration_ms": poll.duration_ms,
        "failed_parts": json.dumps(sorted(poll.failed_parts)) if poll.failed_parts else None,
        "slot": None if poll.claim is None else to_millis(poll.claim.slot),
    }
