"""A source's timeline made anew from its archived documents, by today's parser, identity and checks.

What comes out is laid beside what is believed (`store.ledger`): the difference is a set of corrections, and nothing at
all where nothing changed. One transaction: it may be killed at any point and leaves the store as it was.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from collector import checks
from collector.contract import SourceSpec
from collector.errors import FetchFailed, SourceChanged
from collector.release import release
from collector.settings import CheckSettings
from collector.sighting import Received, Seer, in_words
from store.ledger import Correction, Draft
from store.records import TRUST_ORDER, Document, Verdict, Verdicts
from store.returned import Sent
from store.sellers import nobody
from store.timeline import PollMark, Rules, SourceState
from store.touched import Track
from store.write import KeptPoll, PollFacts, Replayed, SourceFacts, Tape

AHEAD = 4
"""Arrivals that are read ahead: some take long to look at, others long to read."""
Progress = Callable[[int, int], None]
"""Called with the polls done and the polls known so far."""


def no_progress(_done: int, _known: int) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A document, or all of a fan-out, that was current at an instant."""

    at: datetime
    documents: tuple[Document, ...]
    failed_parts: frozenset[str] = frozenset()
    """Of a fan-out, what was asked for and is not to be had."""
    origin: str = ""
    """Which copy of the documents this is, in words that are said of no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What mending a source did."""

    polls: int
    """In the timeline, those that arrived included."""
    arrived: int = 0
    refused: tuple[tuple[datetime, str], ...] = field(default=())
    """Instants whose documents are not what they should be, and why."""
    corrections: tuple[Correction, ...]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let the collector of cycles rest: what is made meanwhile is kept, and to look through it takes a tenth of all.

    Afterwards and at the end of the program as well, so that it is kept out of what is looked through.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def source_facts(spec: SourceSpec) -> SourceFacts:
    """What the store keeps of a source's configuration."""
    return SourceFacts(name=spec.id, trust=TRUST_ORDER.index(spec.trust), every_s=spec.every_s)


def reparse(
    settings: CheckSettings,
    tape: Tape,
    spec: SourceSpec,
    *,
    known: datetime,
    progress: Progress = no_progress,
    dry_run: bool = False,
) -> Mended:
    """Replay everything archived of a source; with `dry_run` only tell what would be corrected.

    Raises: StoreError, also where a document is damaged.
    """
    return _mend(settings, tape, spec, [], known=known, progress=progress, dry_run=dry_run)


def decide(
    settings: CheckSettings, tape: Tape, spec: SourceSpec, verdicts: Sequence[Verdict], *, known: datetime
) -> Mended:
    """Record what was said of what is held, and replay everything in its light, in one transaction.

    What is released is believed from its first sighting on, and what is rejected is as if it had never been seen: as
    known from now on.

    Raises: StoreError, also where documents that it needs were dropped.
    """
    return _mend(settings, tape, spec, [], known=known, progress=no_progress, verdicts=verdicts)


@_no_collection()
def backfill(
    settings: CheckSettings,
    tape: Tape,
    spec: SourceSpec,
    arrivals: Iterable[Arrival],
    *,
    known: datetime,
    progress: Progress = no_progress,
) -> Mended:
    """Archive documents of the past and give them their place; those that the store has already change nothing.

    Where all are newer than what is stored, the timeline goes on from there; else it is made anew.

    Raises: StoreError.
    """
    rules = checks.rules(settings, release(), partial(tape.sellers, source_facts(spec)))
    standing, places = tape.standing(spec.id), tape.places(spec.id)
    seer, draft = Seer(spec), Draft()
    state: SourceState | None = None
    polls: list[PollFacts] = []
    settled: list[PollFacts] = []
    refused: list[tuple[datetime, str]] = []
    newest, in_order, count = standing.newest, True, 0
    with tape.archive.bulk(tape.last_polls(spec.id).pack) as bulk:
        for arrival in _ahead(iter(arrivals)):
            count += 1
            facts = _poll_of(arrival, bulk.keep(arrival.documents))
            if (facts.at, facts.pack) in standing.polls:
                continue
            if not places.has(facts.at, facts.pack or ""):
                refused.append((facts.at, "the documents that came next were pruned: it has no certain place"))
                continue
            polls.append(facts)
            in_order = in_order and (newest is None or facts.at > newest)
            if in_order:
                newest = facts.at
                if state is None:
                    state = tape.state(spec.id)
                    track = Track(state, rules)
                given = as_received(arrival.documents, facts.failed_parts)
                replayed = _replay(seer, track, standing.sent, given, facts.at, facts.pack or "")
                settled.append(replayed.settled(facts))
                draft.take(facts.at, replayed.step)
                if replayed.step is None:
                    refused.append((facts.at, replayed.message or ""))
    corrections: list[Correction] | None = None if polls else []
    if state is not None and in_order:
        corrections = tape.go_on(source_facts(spec), settled, draft, state=state, salt=rules.salt, known=known)
    if corrections is None:
        mended = _mend(settings, tape, spec, polls, known=known, progress=progress)
        return replace(mended, refused=tuple(sorted({*refused, *mended.refused})))
    return Mended(
        polls=len(standing.polls) + len(polls), arrived=count, refused=tuple(refused), corrections=tuple(corrections)
    )


def _mend(
    settings: CheckSettings,
    tape: Tape,
    spec: SourceSpec,
    arrived: Sequence[PollFacts],
    *,
    known: datetime,
    progress: Progress,
    verdicts: Sequence[Verdict] = (),
    dry_run: bool = False,
) -> Mended:
    refused: list[tuple[datetime, str]] = []
    asked = partial(tape.sellers, source_facts(spec))
    rules = checks.rules(settings, release(), asked if arrived else nobody)
    count = 0

    def build(kept: Sequence[KeptPoll], said: Verdicts) -> Iterator[tuple[KeptPoll, Replayed]]:
        nonlocal count
        for poll, replayed in replay(rules, tape, spec, kept, said):
            if replayed.step is None:
                refused.append((poll.at, replayed.message or ""))
            count += 1
            progress(count, len(kept))
            yield poll, replayed

    with _no_collection():
        corrections = tape.rebuild(
            source_facts(spec),
            arrived,
            build,
            salt=rules.salt,
            known=known,
            said=verdicts,
            only_if_new=bool(arrived),
            dry_run=dry_run,
        )
    return Mended(polls=count, arrived=len(arrived), refused=tuple(refused), corrections=tuple(corrections))


def _ahead(arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
    """Arrivals, read (and hashed) by another thread while those before are looked at."""
    with ThreadPoolExecutor(1, "reading") as thread:
        waiting = deque(thread.submit(next, arrivals, None) for _ in range(AHEAD))
        while (arrival := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, arrivals, None))
            yield arrival


def _poll_of(arrival: Arrival, pack: str) -> PollFacts:
    return PollFacts(
        at=arrival.at,
        outcome="ok",
        pack=pack,
        message=arrival.origin or None,
        requests=len(arrival.documents) + len(arrival.failed_parts),
        body_bytes=sum(len(document.body) for document in arrival.documents),
        failed_parts=arrival.failed_parts,
    )


def replay(
    rules: Rules, tape: Tape, spec: SourceSpec, kept: Iterable[KeptPoll], verdicts: Verdicts
) -> Iterator[tuple[KeptPoll, Replayed]]:
    """Every poll of a source, taken again from its archived documents, in the order of their instants.

    A poll whose documents were pruned is passed by: nothing rests on it.
    """
    seer, track, sent = Seer(spec), Track(SourceState(verdicts=verdicts), rules), Sent()
    for poll in kept:
        if poll.pruned:
            if not poll.failed:
                sent.take(poll.at, poll.pack)
                mark = PollMark(at=poll.at, complete=poll.complete, failed_parts=poll.failed_parts, pruned=True)
                track.pass_by(mark, poll.quotes)
            continue
        yield poll, _replay(seer, track, sent, received(tape, spec, poll), poll.at, poll.pack)


def _replay(seer: Seer, track: Track, sent: Sent, received: Received, at: datetime, pack: str) -> Replayed:
    """The step that a poll is, and what the poll comes to."""
    try:
        seen = seer.see(received, at)
    except SourceChanged as error:
        return Replayed(outcome="failed", code=error.code, message=str(error))
    return Replayed(
        step=seen.step(track, sent.take(at, pack)),
        outcome="partial" if seen.failed else "ok",
        code="incomplete" if seen.failed else None,
        message=in_words(seen.failed) if seen.failed else None,
        failed_parts=seen.sighting.failed_parts,
    )


def received(tape: Tape, spec: SourceSpec, poll: KeptPoll) -> Received:
    """What a poll got, from the archive.

    Raises: ArchiveDamaged.
    """
    return as_received(tape.archive.documents(poll.pack, source=spec.id, fetched_at=poll.at), poll.failed_parts)


def as_received(documents: Sequence[Document], failed_parts: frozenset[str]) -> Received:
    """Documents from the archive, as they came, with what did not answer."""
    answered = {document.part for document in documents}
    failures = {part: FetchFailed("did not answer", code="incomplete") for part in failed_parts - answered}
    return Received(documents=tuple(documents), failures=failures)
