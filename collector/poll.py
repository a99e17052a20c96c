"""The pipe: fetch -> archive -> follow links -> parse -> normalise + identify -> check -> diff -> write.

The one place that reads the clock, and the one broad `except`: no source can stop another.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from collector import checks
from collector.config import Config, requests_for
from collector.contract import Follower, Reader, Request, SourceSpec
from collector.errors import CollectorError, FetchFailed, SourceChanged
from collector.fetch import Fetcher
from collector.mend import decide, replay, source_facts
from collector.release import release
from collector.sighting import Received, in_words, see
from collector.sources import parser_of
from collector.witnesses import confirmed
from store.errors import EvidenceDropped, StoreError
from store.instants import utc_now
from store.leases import Claim
from store.records import Document, Sighting, Verdict
from store.text import one_line
from store.write import LastPolls, PollFacts, Tape

CLOCK_SLACK = timedelta(days=1)


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

    async def poll(self, spec: SourceSpec, claim: Claim | None = None) -> Report:
        """One attempt at one source, recorded whatever comes of it; of a daemon, for a slot that it claimed."""
        started = asyncio.get_running_loop().time()
        facts = PollFacts(at=self._clock(), outcome="failed", claim=claim)
        try:
            report = await self._poll(spec, facts)
        except (CollectorError, StoreError) as error:
            report = await asyncio.to_thread(self._failed, spec, facts, error)
        except OSError as error:  # of the archive: everything else that is read or written has its own errors
            unkept = StoreError(f"{error.filename or self._tape.archive.root}: {error.strerror}")
            report = await asyncio.to_thread(self._failed, spec, facts, unkept)
        except Exception as error:  # noqa: BLE001 - a fault in one source must not stop the others
            report = await asyncio.to_thread(self._failed, spec, facts, error)
        return replace(report, duration_s=asyncio.get_running_loop().time() - started)

    async def _poll(self, spec: SourceSpec, facts: PollFacts) -> Report:
        started, at = asyncio.get_running_loop().time(), facts.at
        last, held = await asyncio.to_thread(self._before, spec, at)
        if at == last.newest:
            at += timedelta(milliseconds=1)  # a clock too coarse to tell two polls apart
        received = await receive(spec, at, self._fetcher, environ=self._environ, held=held, progress=self._progress)
        duration_ms = int((asyncio.get_running_loop().time() - started) * 1000)
        return await asyncio.to_thread(
            self.take, spec, at, received, base=last.pack, duration_ms=duration_ms, claim=facts.claim
        )

    def _before(self, spec: SourceSpec, at: datetime) -> tuple[LastPolls, dict[str, Document]]:
        """The polls before this one, and the documents that they left, by URL."""
        last = self._tape.last_polls(spec.id)
        if last.newest is not None and at < last.newest - CLOCK_SLACK:
            raise FetchFailed(
                f"{spec.id}: the clock says {at:%Y-%m-%dT%H:%M:%SZ}, the last poll was at"
                f" {last.newest:%Y-%m-%dT%H:%M:%SZ}: set the clock right",
                code="clock",
            )
        if last.pack is None:
            return last, {}
        try:
            documents = self._tape.archive.documents(last.pack, source=spec.id, fetched_at=at)
        except StoreError:
            # Nothing to compare with: the bodies are fetched whole and kept anew.
            return last, {}
        return last, {document.url: document for document in documents}

    def take(
        self,
        spec: SourceSpec,
        at: datetime,
        received: Received,
        *,
        base: str | None = None,
        duration_ms: int = 0,
        claim: Claim | None = None,
    ) -> Report:
        """Archive what was received, then everything after it, in one transaction.

        `base` is the archive key of the source's documents before these, which they are likely to resemble.

        Raises: StoreError.
        """
        pack = self._tape.archive.keep(received.documents, base)
        body_bytes = sum(len(document.body) for document in received.documents)
        facts = PollFacts(
            at=at,
            outcome="ok",
            pack=pack,
            requests=len(received.documents) + len(received.failures) + received.robots,
            body_bytes=body_bytes,
            duration_ms=duration_ms,
            claim=claim,
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
                message=in_words(failed),
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

    def _write(self, spec: SourceSpec, facts: PollFacts, sighting: Sighting) -> tuple[int, int]:
        """Take the step, or, where the poll is older than others, find its place among them; (changes, held)."""
        settings, known = self._config.checks, self._clock()
        rules = checks.rules(settings, release())
        with self._writing:
            taken = self._tape.record(source_facts(spec), facts, sighting, rules, known=known)
            if taken is not None:
                return taken.changes, taken.held
            corrections = self._tape.rebuild(
                source_facts(spec),
                [facts],
                lambda kept, said: replay(rules, self._tape, spec, kept, said),
                salt=rules.salt,
                known=known,
            )
            return len(corrections), 0

    def _confirm(self) -> None:
        """Release what is held and a second, independent source states as well, in whatever source it is held.

        Where the documents that this takes are not all there any more, it goes on waiting.
        """
        with self._writing:
            by_source: dict[str, list[Verdict]] = {}
            for source, verdict in confirmed(self._tape.confirmable(), self._config.sources):
                by_source.setdefault(source, []).append(verdict)
            for source, verdicts in by_source.items():
                with suppress(EvidenceDropped):
                    decide(self._config.checks, self._tape, self._config.sources[source], verdicts, known=self._clock())

    def _failed(self, spec: SourceSpec, facts: PollFacts, error: Exception) -> Report:
        """Record a poll that changes no price, as far as the store lets us."""
        known = isinstance(error, CollectorError)
        code = error.code if isinstance(error, CollectorError) else "store" if isinstance(error, StoreError) else "bug"
        message = str(error) if known or isinstance(error, StoreError) else one_line(f"{type(error).__name__}: {error}")
        failed = replace(facts, outcome="failed", code=code, message=message)
        try:
            with self._writing:
                self._tape.record_failure(source_facts(spec), failed, known=self._clock())
        except StoreError as unwritable:
            code, message = "store", str(unwritable)
        return Report(source=spec.id, outcome="failed", at=facts.at, code=code, message=message)


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
    links: list[Request] = []
    if isinstance(parser, Follower):
        links = [link for document in documents for link in parser.follow(document, spec)]
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
