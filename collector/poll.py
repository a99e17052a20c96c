"""The pipe: fetch -> archive -> follow links -> parse -> normalise + identify -> check -> diff -> write.

The one place that reads the clock, and the one broad `except`: no source can stop another.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from collector import checks
from collector.config import Config, requests_for
from collector.contract import TRUST_ORDER, Follower, Reader, Request, SourceSpec
from collector.errors import CollectorError, FetchFailed, SourceChanged
from collector.fetch import Fetcher
from collector.normalise import observe
from collector.sources import parser_of
from store.errors import StoreError
from store.records import Document, EndpointKey, Observation, Sighting
from store.text import one_line
from store.timeline import Step, build, step
from store.write import KeptPoll, LastPolls, PollFacts, SourceFacts, Tape

CLOCK_SLACK = timedelta(days=1)


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Everything one poll got."""

    documents: tuple[Document, ...]
    failures: Mapping[str, FetchFailed]
    """Part -> why it did not answer."""


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

    async def poll(self, spec: SourceSpec) -> Report:
        """One attempt at one source, recorded whatever comes of it."""
        started = asyncio.get_running_loop().time()
        at = self._clock()
        try:
            report = await self._poll(spec, at)
        except (CollectorError, StoreError) as error:
            report = await asyncio.to_thread(self._failed, spec, at, error, None)
        except OSError as error:  # of the archive: everything else that is read or written has its own errors
            unkept = StoreError(f"{error.filename or self._tape.archive.root}: {error.strerror}")
            report = await asyncio.to_thread(self._failed, spec, at, unkept, None)
        except Exception as error:  # noqa: BLE001 - a fault in one source must not stop the others
            report = await asyncio.to_thread(self._failed, spec, at, error, None)
        return replace(report, duration_s=asyncio.get_running_loop().time() - started)

    async def _poll(self, spec: SourceSpec, at: datetime) -> Report:
        started = asyncio.get_running_loop().time()
        last, held = await asyncio.to_thread(self._before, spec, at)
        if at == last.newest:
            at += timedelta(microseconds=1)  # a clock too coarse to tell two polls apart
        received = await receive(spec, at, self._fetcher, environ=self._environ, held=held, progress=self._progress)
        duration_ms = int((asyncio.get_running_loop().time() - started) * 1000)
        return await asyncio.to_thread(self.take, spec, at, received, duration_ms)

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

    def take(self, spec: SourceSpec, at: datetime, received: Received, duration_ms: int = 0) -> Report:
        """Archive what was received, then everything after it, in one transaction.

        Raises: StoreError.
        """
        pack = self._tape.archive.keep(received.documents)
        body_bytes = sum(len(document.body) for document in received.documents)
        facts = PollFacts(
            at=at,
            outcome="ok",
            pack=pack,
            requests=len(received.documents) + len(received.failures),
            body_bytes=body_bytes,
            duration_ms=duration_ms,
        )
        try:
            sighting, failed = see(received, spec, at)
            if sighting.complete:
                checks.expected(sighting.observations, spec)
        except SourceChanged as error:
            return self._failed(spec, at, error, facts)
        facts = replace(facts, quotes=len(sighting.observations))
        if failed:
            facts = replace(
                facts,
                outcome="partial",
                code="incomplete",
                message=_in_words(failed),
                failed_parts=sighting.failed_parts,
            )
        taken = self._write(spec, facts, sighting)
        return Report(
            source=spec.id,
            outcome=facts.outcome,
            at=at,
            code=facts.code or "",
            message=facts.message or "",
            quotes=facts.quotes,
            changes=taken.changes,
            held=taken.held,
            requests=facts.requests,
            body_bytes=body_bytes,
        )

    def _write(self, spec: SourceSpec, facts: PollFacts, sighting: Sighting) -> Step:
        judge = checks.judge(self._config.checks)
        patience = checks.patience(self._config.checks)
        with self._writing:
            taken = self._tape.record(_source(spec), facts, lambda state: step(state, sighting, judge, patience))
            return taken or self._tape.rebuild(_source(spec), facts, lambda kept: self._anew(spec, kept))

    def _anew(self, spec: SourceSpec, kept: Sequence[KeptPoll]) -> Iterator[tuple[KeptPoll, Step]]:
        """The steps of a source's whole timeline, from its archived documents."""
        judge, patience = checks.judge(self._config.checks), checks.patience(self._config.checks)
        yield from zip(kept, build((self._replay(spec, poll) for poll in kept), judge, patience), strict=True)

    def _replay(self, spec: SourceSpec, poll: KeptPoll) -> Sighting:
        documents = self._tape.archive.documents(poll.pack, source=spec.id, fetched_at=poll.at)
        answered = {document.part for document in documents}
        failures = {part: FetchFailed("did not answer", code="incomplete") for part in poll.failed_parts - answered}
        return see(Received(documents=tuple(documents), failures=failures), spec, poll.at)[0]

    def _failed(self, spec: SourceSpec, at: datetime, error: Exception, facts: PollFacts | None) -> Report:
        """Record a poll that changes no price, as far as the store lets us."""
        known = isinstance(error, CollectorError)
        code = error.code if isinstance(error, CollectorError) else "store" if isinstance(error, StoreError) else "bug"
        message = str(error) if known or isinstance(error, StoreError) else one_line(f"{type(error).__name__}: {error}")
        failed = replace(facts or PollFacts(at=at, outcome="failed"), outcome="failed", code=code, message=message)
        try:
            with self._writing:
                self._tape.record_failure(_source(spec), failed)
        except StoreError as unwritable:
            code, message = "store", str(unwritable)
        return Report(source=spec.id, outcome="failed", at=at, code=code, message=message)


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
    return Received(documents=tuple(documents), failures=failures)


def see(received: Received, spec: SourceSpec, at: datetime) -> tuple[Sighting, Mapping[str, CollectorError]]:
    """Documents -> sighting, and the parts that failed: parse, normalise, identify. Pure.

    A part of a fan-out that is not what it should be has not answered: the others stand.

    Raises: SourceChanged, of the first document or of every part.
    """
    parser = parser_of(spec)
    failed: dict[str, CollectorError] = dict(received.failures)
    seen: list[Observation] = []
    for document in received.documents:
        try:
            seen += (observe(quote, document, spec, at) for quote in parser.parse(document, spec))
        except SourceChanged as error:
            if not document.part:
                raise
            failed[document.part] = error
    if failed and len(failed) == sum(bool(one.part) for one in received.documents) + len(received.failures):
        raise SourceChanged(f"{spec.id}: no part answered: {next(iter(failed.values()))}", code="incomplete")
    sighting = Sighting(
        at=at, complete=not failed, failed_parts=frozenset(failed), observations=tuple(_each_once(seen))
    )
    return sighting, failed


def _each_once(observations: Iterable[Observation]) -> Iterator[Observation]:
    """The offers, each from one answer: two names asked for may be answered by the same one, best its own."""
    owner: dict[EndpointKey, str] = {}
    listed = sorted(observations, key=lambda one: one.part != one.key.model)
    for one in listed:
        if owner.setdefault(one.key, one.part) == one.part:
            yield one


def _in_words(failures: Mapping[str, CollectorError]) -> str:
    part, first = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return one_line(f"{part}{more} did not answer: {first}")


def _source(spec: SourceSpec) -> SourceFacts:
    return SourceFacts(name=spec.id, trust=TRUST_ORDER.index(spec.trust), every_s=spec.every_s)
