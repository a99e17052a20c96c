"""A source's timeline made anew from its archived documents, by today's parser, identity and checks.

What comes out is laid beside what is believed (`store.ledger`): the difference is a set of corrections, and nothing at
all where nothing changed. One transaction: it may be killed at any point and leaves the store as it was.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from collector import checks
from collector.contract import TRUST_ORDER, SourceSpec
from collector.errors import FetchFailed, SourceChanged
from collector.settings import CheckSettings
from collector.sighting import Received, in_words, see
from store.ledger import Correction
from store.records import Document, Sighting
from store.timeline import PollMark, SourceState, pass_by, step
from store.write import KeptPoll, PollFacts, Replayed, SourceFacts, Tape

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What mending a source did."""

    polls: int
    """In the timeline, those that arrived included."""
    arrived: int = 0
    refused: tuple[tuple[datetime, str], ...] = field(default=())
    """Instants whose documents are not what they should be, and why."""
    corrections: tuple[Correction, ...]


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

    Raises: StoreError.
    """
    places = tape.places(spec.id)
    arrived, refused = [], []
    for poll in _archived(tape, arrivals, tape.last_polls(spec.id).pack):
        if places.has(poll.at, poll.pack or ""):
            arrived.append(poll)
        else:
            refused.append((poll.at, "the documents that came next were pruned: it has no certain place"))
    mended = _mend(settings, tape, spec, arrived, known=known, progress=progress)
    return replace(mended, refused=tuple(sorted([*refused, *mended.refused])))


def _mend(
    settings: CheckSettings,
    tape: Tape,
    spec: SourceSpec,
    arrived: Sequence[PollFacts],
    *,
    known: datetime,
    progress: Progress,
    dry_run: bool = False,
) -> Mended:
    refused: list[tuple[datetime, str]] = []
    count = 0

    def build(kept: Sequence[KeptPoll]) -> Iterator[tuple[KeptPoll, Replayed]]:
        nonlocal count
        for poll, replayed in replay(settings, tape, spec, kept):
            if replayed.step is None:
                refused.append((poll.at, replayed.message or ""))
            count += 1
            progress(count, len(kept))
            yield poll, replayed

    corrections = tape.rebuild(
        source_facts(spec), arrived, build, known=known, only_if_new=bool(arrived), dry_run=dry_run
    )
    return Mended(polls=count, arrived=len(arrived), refused=tuple(refused), corrections=tuple(corrections))


def _archived(tape: Tape, arrivals: Iterable[Arrival], base: str | None) -> Iterator[PollFacts]:
    for arrival in arrivals:
        base = tape.archive.keep(arrival.documents, base)
        yield PollFacts(
            at=arrival.at,
            outcome="ok",
            pack=base,
            requests=len(arrival.documents) + len(arrival.failed_parts),
            body_bytes=sum(len(document.body) for document in arrival.documents),
            failed_parts=arrival.failed_parts,
        )


def replay(
    settings: CheckSettings, tape: Tape, spec: SourceSpec, kept: Iterable[KeptPoll]
) -> Iterator[tuple[KeptPoll, Replayed]]:
    """Every poll of a source, taken again from its archived documents, in the order of their instants.

    A poll whose documents were pruned is passed by: nothing rests on it.
    """
    judge, patience = checks.judge(settings), checks.patience(settings)
    state = SourceState()
    for poll in kept:
        if poll.pruned:
            if not poll.failed:
                mark = PollMark(at=poll.at, complete=poll.complete, failed_parts=poll.failed_parts, pruned=True)
                state = pass_by(state, mark)
            continue
        try:
            sighting, message = sighted(tape, spec, poll)
        except SourceChanged as error:
            yield poll, Replayed(outcome="failed", code=error.code, message=str(error))
            continue
        taken = step(state, sighting, judge, patience)
        state = taken.state
        yield (
            poll,
            Replayed(
                step=taken,
                outcome="partial" if sighting.failed_parts else "ok",
                code="incomplete" if sighting.failed_parts else None,
                message=message,
                quotes=len(sighting.observations),
                failed_parts=sighting.failed_parts,
            ),
        )


def sighted(tape: Tape, spec: SourceSpec, poll: KeptPoll) -> tuple[Sighting, str | None]:
    """What a poll saw, read again from the archive, and what was not to be had of it.

    Raises: SourceChanged, ArchiveDamaged.
    """
    documents = tape.archive.documents(poll.pack, source=spec.id, fetched_at=poll.at)
    answered = {document.part for document in documents}
    failures = {part: FetchFailed("did not answer", code="incomplete") for part in poll.failed_parts - answered}
    sighting, failed = see(Received(documents=tuple(documents), failures=failures), spec, poll.at)
    if sighting.complete:
        checks.expected(sighting.observations, spec)
    return sighting, in_words(failed) if failed else None
