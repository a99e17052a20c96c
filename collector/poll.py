"""The pipe: fetch -> archive -> follow links -> parse -> normalise + identify -> check -> diff -> write.

The one place that reads the clock, and the one broad `except`: no source can stop another.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from collector import checks, clock, schedule
from collector.config import Config, requests_for
from collector.contract import Reader, Request, SourceSpec
from collector.errors import CollectorError, FetchFailed, SourceChanged
from collector.fetch import Fetcher, wait_of
from collector.mend import as_received, decide, replay, source_facts
from collector.parsing import links as links_of
from collector.release import release
from collector.sighting import Received, in_words, see
from collector.sources import parser_of
from collector.witnesses import confirmed
from store.errors import ArchiveDamaged, StoreBusy, StoreConflict, StoreError, unwritten
from store.instants import iso, utc_now
from store.leases import Claim
from store.received import Arrived, noted
from store.received import note as note_down
from store.records import Document, Sighting, Verdict
from store.text import one_line
from store.write import LastPolls, PollFacts, Tape

WRITE_WITHIN = timedelta(seconds=60)
"""Beyond its deadline, the time a poll is given to be written before others may do so in its place."""
TAKEN_OVER = ("taken_over", "its documents came then, and were taken over from the archive later")
AGAIN = 3
"""Times that a poll is written once more where the database took it back."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a poll did, for the line shown to a person."""

    source: str
    outcome: str
    """`ok`, `partial` or `failed`."""
    at: datetime
    code: str = ""
    message: str = ""
    quotes: int = 0
    changes: int = 0
    held: int = 0
    requests: int = 0
    body_bytes: int = 0
    duration_s: float = 0.0

    @property
    def line(self) -> str:
        """One line, without colour."""
        if self.outcome == "failed":
            return f"{self.source}: failed ({self.code}): {self.message.removeprefix(f'{self.source}: ')}"
        done = (
            f"{self.source}: {self.outcome}, {self.quotes} endpoints, {self.changes} changed, {self.held} held"
            f" ({self.requests} requests, {self.body_bytes / 1e6:.1f} MB, {self.duration_s:.1f} s)"
        )
        return f"{done}: {self.message}" if self.message else done


Progress = Callable[[str, int, int], None]
"""Called with source, requests done and requests known so far."""


def no_progress(_source: str, _done: int, _known: int) -> None:
    """Nobody is watching."""


class Poller:
    """Polls sources into one tape; shared by `collect` and the daemon."""

    def __init__(
        self,
        config: Config,
        tape: Tape,
        fetcher: Fetcher,
        *,
        clock: Callable[[], datetime] = utc_now,
        progress: Progress = no_progress,
        environ: Mapping[str, str],
    ) -> None:
        self._config = config
        self._tape = tape
        self._fetcher = fetcher
        self._clock = clock
        self._progress = progress
        self._environ = environ
        self._writing = threading.Lock()
        self._noted: dict[str, str] = {}
        """Of each source, the documents that were noted last to have come (`store.received`)."""

    async def poll(self, spec: SourceSpec, claim: Claim | None = None) -> Report:
        """One attempt at one source, recorded whatever comes of it; of a daemon, for a slot that it claimed."""
        started = asyncio.get_running_loop().time()
        facts = PollFacts(at=self._clock(), outcome="failed", claim=claim)
        try:
            report = await self._poll(spec, facts)
        except (CollectorError, StoreError) as error:
            report = await asyncio.to_thread(self._failed, spec, facts, error)
        except OSError as error:  # of the archive: everything else that is read or written has its own errors
            unkept = unwritten(self._tape.archive.root, error)
            report = await asyncio.to_thread(self._failed, spec, facts, unkept)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a fault in one source must not stop the others
            report = await asyncio.to_thread(self._failed, spec, facts, error)
        return replace(report, duration_s=asyncio.get_running_loop().time() - started)

    async def _poll(self, spec: SourceSpec, facts: PollFacts) -> Report:
        started, at = asyncio.get_running_loop().time(), facts.at
        last, held = await asyncio.to_thread(self._before, spec, at)
        for source, (then, message) in (await asyncio.to_thread(self._tape.refused)).items():
            left_s = wait_of(message) - (at - then).total_seconds()
            if left_s > 0 and source in self._config.sources and at >= then:
                self._fetcher.leave_alone(self._config.sources[source], left_s)
        if at == last.newest:
            at += timedelta(milliseconds=1)  # a clock too coarse to tell two polls apart
        note = clock.went_back(at, last.newest) or await asyncio.to_thread(self._missed, spec, facts.claim, last)
        received = await receive(spec, at, self._fetcher, environ=self._environ, held=held, progress=self._progress)
        duration_ms = int((asyncio.get_running_loop().time() - started) * 1000)
        return await asyncio.to_thread(
            self.take,
            spec,
            at,
            received,
            base=last.pack,
            duration_ms=duration_ms,
            claim=facts.claim,
            note=note,
        )

    def _missed(self, spec: SourceSpec, claim: Claim | None, last: LastPolls) -> tuple[str, str] | None:
        """Code and words to be noted of a daemon's poll that others should have come before; None if there is nothing.

        Of those that came due while a poll was still under way, that poll tells (`_overrun`).
        """
        if claim is None or last.newest is None or last.over is None:
            return None
        failures = self._tape.failures(spec.id)
        count = schedule.unserved(spec.id, last.newest, last.over, spec.every_s, claim.slot, failures)
        return ("missed", f"{_slots(count)} missed since {iso(last.over)}") if count else None

    def _overrun(self, spec: SourceSpec, claim: Claim | None) -> tuple[str, str] | None:
        """The same of a poll that is still under way when the slots after its own have begun."""
        if claim is None:
            return None
        now = self._clock()
        count = (schedule.slot_at(spec.id, spec.every_s, now) - claim.slot) // timedelta(seconds=spec.every_s)
        return ("overrun", f"{_slots(count)} overrun, it was under way until {iso(now)}") if count > 0 else None

    def _before(self, spec: SourceSpec, at: datetime) -> tuple[LastPolls, dict[str, Document]]:
        """The polls before this one, and the documents that they left, by URL."""
        last = self._tape.last_polls(spec.id)
        noted_before: list[Arrived] = []
        if spec.id not in self._noted:
            noted_before = noted(self._tape.archive.root, spec.id, last.newest)
            self._noted |= {one.source: one.pack for one in noted_before}
        if why := clock.doubt(at, last.newest):
            raise FetchFailed(f"{spec.id}: {why}", code="clock")
        missing = [one for one in noted_before if self._is_missing(spec, one, last.newest, at)]
        if missing:
            for one in missing:
                with suppress(ArchiveDamaged):  # `verify` says so; those after it are still to be had
                    self._take_over(spec, one)
            last = self._tape.last_polls(spec.id)
        if last.pack is None:
            return last, {}
        try:
            documents = self._tape.archive.documents(last.pack, source=spec.id, fetched_at=at)
        except StoreError:
            # Nothing to compare with: the bodies are fetched whole and kept anew.
            return last, {}
        return last, {document.url: document for document in documents}

    def _is_missing(self, spec: SourceSpec, one: Arrived, newest: datetime | None, at: datetime) -> bool:
        """Whether what came is in the archive and not in the store, and no longer on its way there."""
        written_by = one.at + timedelta(seconds=spec.deadline_s) + WRITE_WITHIN
        return (newest is None or one.at > newest) and written_by < at and self._tape.archive.has(one.pack)

    def _take_over(self, spec: SourceSpec, one: Arrived) -> None:
        """Give documents their place that came at an instant and did not get into the store then.

        Raises: StoreError.
        """
        documents = self._tape.archive.documents(one.pack, source=spec.id, fetched_at=one.at)
        self.take(spec, one.at, as_received(documents, one.failed_parts), note=TAKEN_OVER)

    def take(
        self,
        spec: SourceSpec,
        at: datetime,
        received: Received,
        *,
        base: str | None = None,
        duration_ms: int = 0,
        claim: Claim | None = None,
        note: tuple[str, str] | None = None,
    ) -> Report:
        """Archive what was received, then everything after it, in one transaction.

        `base` is the archive key of the source's documents before these, which they are likely to resemble; `note` is
        code and words of what is to be said of the poll beside that.

        Raises: StoreError.
        """
        pack = self._tape.archive.keep(received.documents, base)
        if self._noted.get(spec.id) != pack and note != TAKEN_OVER:
            parts = frozenset(received.failures)
            note_down(self._tape.archive.root, Arrived(source=spec.id, at=at, pack=pack, failed_parts=parts))
            self._noted[spec.id] = pack
        body_bytes = sum(len(document.body) for document in received.documents)
        told = [one for one in (note, self._overrun(spec, claim)) if one]
        notes = dict.fromkeys([*(words for _, words in told), *self._notes(spec, received, pack, base, at)])
        facts = PollFacts(
            at=at,
            outcome="ok",
            pack=pack,
            message=one_line("; ".join(notes)) or None,
            requests=len(received.documents) + len(received.failures) + received.robots,
            body_bytes=body_bytes,
            duration_ms=duration_ms,
            claim=claim,
            code=told[0][0] if told else None,
        )
        try:
            sighting, failed = see(received, spec, at)
            if sighting.complete:
                checks.expected(checks.counted(sighting.observations), spec)
        except SourceChanged as error:
            return self._failed(spec, facts, error)
        facts = replace(facts, quotes=len(sighting.observations))
        if failed:
            facts = replace(
                facts,
                outcome="partial",
                code="incomplete",
                message=one_line("; ".join(filter(None, (in_words(failed), facts.message)))),
                failed_parts=sighting.failed_parts,
            )
        changes, held = self._write(spec, facts, sighting)
        self._confirm()
        return Report(
            source=spec.id,
            outcome=facts.outcome,
            at=at,
            code=facts.code or "",
            message=facts.message or "",
            quotes=facts.quotes,
            changes=changes,
            held=held,
            requests=facts.requests,
            body_bytes=body_bytes,
        )

    def _notes(self, spec: SourceSpec, received: Received, pack: str, base: str | None, at: datetime) -> Iterator[str]:
        """What is to be said of documents that came whole."""
        for document in received.documents:
            yield from document.notes
        before = self._tape.last_with(spec.id, pack, at) if base not in (None, pack) else None
        if before is not None:
            yield f"older documents came back, those of {before:%Y-%m-%dT%H:%M:%SZ}"

    def _write(self, spec: SourceSpec, facts: PollFacts, sighting: Sighting) -> tuple[int, int]:
        """Write a poll; (changes, held)."""
        return self._sure(spec, facts, lambda: self._settle(spec, facts, sighting))

    def _sure(self, spec: SourceSpec, facts: PollFacts, write: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """What a write gives, also where its connection was cut after it was done: then that is looked up.

        Raises: StoreError if it was not done, or if that cannot be known.
        """
        with self._writing:
            try:
                return write()
            except StoreBusy:
                raise  # it was not done
            except StoreError:
                figures = None
                with suppress(StoreError):
                    figures = self._tape.written(spec.id, facts)
                if figures is None:
                    raise
                return figures

    def _settle(self, spec: SourceSpec, facts: PollFacts, sighting: Sighting) -> tuple[int, int]:
        """Take the step, or, where the poll is older than others, find its place among them; (changes, held)."""
        source, known = source_facts(spec), self._clock()
        rules = checks.rules(self._config.checks, release(), partial(self._tape.sellers, source))
        taken = _again(lambda: self._tape.record(source, facts, sighting, rules, known=known))
        if taken is not None:
            return taken.changes, taken.held
        corrections = _again(
            lambda: self._tape.rebuild(
                source,
                [facts],
                lambda kept, said: replay(rules, self._tape, spec, kept, said),
                salt=rules.salt,
                known=known,
            )
        )
        return len(corrections), 0

    def _confirm(self) -> None:
        """Release what is held and a second, independent source states as well, in whatever source it is held.

        Where the documents that this takes are not all there, or the store is in use by another, it goes on waiting:
        the poll that came before is written, whatever becomes of this.
        """
        released = 1
        while released:
            released, by_source = 0, dict[str, list[Verdict]]()
            with self._writing, suppress(StoreError):
                for source, verdict in confirmed(self._tape.confirmable(), self._config.sources):
                    by_source.setdefault(source, []).append(verdict)
            for source, verdicts in by_source.items():
                with self._writing, suppress(StoreError):
                    decide(self._config.checks, self._tape, self._config.sources[source], verdicts, known=self._clock())
                    released += len(verdicts)  # which may be witnesses for others in turn

    def _failed(self, spec: SourceSpec, facts: PollFacts, error: Exception | SystemExit) -> Report:
        """Record a poll that changes no price, as far as the store lets us."""
        if isinstance(error, (CollectorError, StoreError)):
            code, message = error.code, str(error)
        elif isinstance(error, MemoryError):
            code, message = "resources", "no memory is left"
        else:
            code, message = "bug", one_line(f"{type(error).__name__}: {error}")
        if isinstance(error, StoreBusy) and not isinstance(error, StoreConflict):
            # It was waited for as long as is sensible: what came is in the archive, for the next poll to take over.
            self._noted.pop(spec.id, None)
            return Report(source=spec.id, outcome="failed", at=facts.at, code=code, message=message)
        failed = replace(facts, outcome="failed", code=code, message=self._with_notes(spec, facts, message))
        try:
            self._sure(spec, failed, lambda: self._record_failure(spec, failed))
        except StoreError as unwritable:
            self._noted.pop(spec.id, None)  # what came may be taken over by the next poll
            code, message = unwritable.code, str(unwritable)
        return Report(source=spec.id, outcome="failed", at=facts.at, code=code, message=message)

    def _with_notes(self, spec: SourceSpec, facts: PollFacts, message: str) -> str:
        """What is to be said of a poll that failed, beside why: before that, whose end tells how long to wait."""
        told: list[tuple[str, str] | None] = []
        with suppress(StoreError):
            told = [self._missed(spec, facts.claim, self._tape.last_polls(spec.id)), self._overrun(spec, facts.claim)]
        return "; ".join([*(one[1] for one in told if one), message])

    def _record_failure(self, spec: SourceSpec, failed: PollFacts) -> tuple[int, int]:
        _again(lambda: self._tape.record_failure(source_facts(spec), failed, known=self._clock()))
        return 0, 0


def _slots(count: int) -> str:
    return f"{count} slot{'s' * (count != 1)}"


def _again(write: Callable[[], T]) -> T:
    """What a transaction gives, also where the database takes it back for the sake of another, a few times.

    Raises: StoreError.
    """
    for _ in range(AGAIN):
        with suppress(StoreConflict):
            return write()
    return write()


async def receive(
    spec: SourceSpec,
    at: datetime,
    fetcher: Fetcher,
    *,
    environ: Mapping[str, str],
    held: Mapping[str, Document] | None = None,
    progress: Progress = no_progress,
) -> Received:
    """Every document of a source: what is asked for first, and what that links to.

    `held` are the documents of an earlier poll by URL: an upstream that says they still stand need not send them again.

    Raises: CollectorError if the first document, or every followed one, does not come whole.
    """
    parser = parser_of(spec)
    if isinstance(parser, Reader):
        return Received(documents=(await asyncio.to_thread(parser.read, spec, at),), failures={})
    deadline = asyncio.get_running_loop().time() + spec.deadline_s
    first = requests_for(spec, environ)
    robots_before = fetcher.robots_asked[spec.id]
    done, known = 0, len(first)

    async def get(request: Request) -> Document:
        nonlocal done
        document = await fetcher.get(request, spec, (held or {}).get(request.url), deadline)
        done += 1
        progress(spec.id, done, known)
        return document

    documents = [await get(request) for request in first]
    followed = [await asyncio.to_thread(links_of, document, spec) for document in documents]
    links = [link for some in followed for link in some]
    known += len(links)
    answers = await asyncio.gather(*(get(link) for link in links), return_exceptions=True)
    failures: dict[str, FetchFailed] = {}
    for link, answer in zip(links, answers, strict=True):
        if isinstance(answer, FetchFailed):
            failures[link.part] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            documents.append(answer)
    if links and len(failures) == len(links):
        raise next(iter(failures.values()))
    robots = fetcher.robots_asked[spec.id] - robots_before
    return Received(documents=tuple(documents), failures=failures, robots=robots)
