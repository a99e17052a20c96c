"""The pipe: fetch -> archive -> follow links -> parse -> normalise + identify -> check -> diff -> write.

The one place that reads the clock, and the one broad `except`: no source can stop another.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from collector import checks
from collector.config import Config, requests_for
from collector.contract import TRUST_ORDER, Request, SourceSpec
from collector.errors import CollectorError, FetchFailed, SourceChanged
from collector.fetch import Fetcher
from collector.normalise import observe
from collector.sources import parser_of
from store.errors import StoreError
from store.records import Document, Observation, Sighting
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
            return f"{self.source}: failed ({self.code}): {self.message}"
        done = (
            f"{self.source}: {self.outcome}, {self.quotes} endpoints, {self.changes} changed, {self.held} held"
            f" ({self.requests} requests, {self.body_bytes / 1e6:.1f} MB, {self.duration_s:.1f} s)"
        )
        return f"{done}: {self.message}" if self.message else done


Progress = Callable[[str, int, int], None]
"""Called with source, requests done and requests known so far."""


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
        progress: Progress | None = None,
        environ: Mapping[str, str],
    ) -> None:
        self._config = config
        self._tape = tape
        self._fetcher = fetcher
        self._clock = clock
        self._progress = progress or (lambda _source, _done, _known: None)
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
        except Exception as error:  # noqa: BLE001 - a fault in one source must not stop the others
            report = await asyncio.to_thread(self._failed, spec, at, error, None)
        return replace(report, duration_s=asyncio.get_running_loop().time() - started)

    async def try_out(self, spec: SourceSpec) -> list[Observation]:
        """What a poll would see, without a store.

        Raises: CollectorError.
        """
        at = self._clock()
        received = await self._receive(spec, at, {})
        if received.failures:
            raise next(iter(received.failures.values()))
        return list(see(received, spec, at).observations)

    async def _poll(self, spec: SourceSpec, at: datetime) -> Report:
        started = asyncio.get_running_loop().time()
        last, held = await asyncio.to_thread(self._before, spec, at)
        if at == last.newest:
            at += timedelta(microseconds=1)  # a clock too coarse to tell two polls apart
        received = await self._receive(spec, at, held)
        duration_ms = int((asyncio.get_running_loop().time() - started) * 1000)
        return await asyncio.to_thread(self._take, spec, at, last, received, duration_ms)

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

    async def _receive(self, spec: SourceSpec, at: datetime, held: Mapping[str, Document]) -> Received:
        parser = parser_of(spec)
        if spec.url.startswith("package:"):
            return Received(documents=(await asyncio.to_thread(parser.read, spec, at),), failures={})
        deadline = asyncio.get_running_loop().time() + spec.deadline_s
        first = requests_for(spec, self._environ)
        done = 0
        known = len(first)

        async def get(request: Request) -> Document:
            nonlocal done
            document = await self._fetcher.get(request, spec, held.get(request.url), deadline)
            done += 1
            self._progress(spec.id, done, known)
            return document

        documents = [await get(request) for request in first]
        follow = getattr(parser, "follow", None)
        links = [link for document in documents for link in follow(document, spec)] if follow else []
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

    def _take(self, spec: SourceSpec, at: datetime, last: LastPolls, received: Received, duration_ms: int) -> Report:
        """Archive, then everything after it, in one transaction."""
        pack = self._tape.archive.keep(received.documents)
        body_bytes = sum(len(document.body) for document in received.documents)
        facts = PollFacts(
            at=at,
            outcome="partial" if received.failures else "ok",
            pack=pack,
            code="incomplete" if received.failures else None,
            message=_failures(received.failures),
            requests=len(received.documents) + len(received.failures),
            body_bytes=body_bytes,
            duration_ms=duration_ms,
            failed_parts=frozenset(received.failures),
        )
        try:
            sighting = see(received, spec, at)
            checks.expected(sighting.observations, spec)
        except SourceChanged as error:
            return self._failed(spec, at, error, facts)
        facts = replace(facts, quotes=len(sighting.observations))
        taken = self._write(spec, facts, sighting, last)
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

    def _write(self, spec: SourceSpec, facts: PollFacts, sighting: Sighting, last: LastPolls) -> Step:
        judge = checks.judge(self._config.checks)
        patience = checks.patience(self._config.checks)
        with self._writing:
            if last.newest_ok is None or facts.at > last.newest_ok:
                return self._tape.record(_source(spec), facts, lambda state: step(state, sighting, judge, patience))
            return self._tape.rebuild(_source(spec), facts, lambda kept: self._anew(spec, kept))

    def _anew(self, spec: SourceSpec, kept: Sequence[KeptPoll]) -> Iterator[tuple[KeptPoll, Step]]:
        """The steps of a source's whole timeline, from its archived documents."""
        judge, patience = checks.judge(self._config.checks), checks.patience(self._config.checks)
        yield from zip(kept, build((self._replay(spec, poll) for poll in kept), judge, patience), strict=True)

    def _replay(self, spec: SourceSpec, poll: KeptPoll) -> Sighting:
        documents = self._tape.archive.documents(poll.pack, source=spec.id, fetched_at=poll.at)
        failures = {part: FetchFailed("did not answer", code="incomplete") for part in poll.failed_parts}
        return see(Received(documents=tuple(documents), failures=failures), spec, poll.at)

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


def see(received: Received, spec: SourceSpec, at: datetime) -> Sighting:
    """Documents -> sighting: parse, normalise, identify. Pure.

    Raises: SourceChanged.
    """
    parser: Any = parser_of(spec)
    observations = tuple(_observations(parser, received.documents, spec, at))
    return Sighting(
        at=at,
        complete=not received.failures,
        failed_parts=frozenset(received.failures),
        observations=observations,
    )


def _observations(parser: Any, documents: Iterable[Document], spec: SourceSpec, at: datetime) -> Iterator[Observation]:
    """One observation per offer: an offer that several documents repeat (aliases) is taken from the first."""
    owner: dict[object, str] = {}
    for document in documents:
        for quote in parser.parse(document, spec):
            one = observe(quote, document, spec, at)
            if owner.setdefault(one.key, document.part) == document.part:
                yield one


def _failures(failures: Mapping[str, FetchFailed]) -> str | None:
    if not failures:
        return None
    part, first = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return one_line(f"{part}{more} did not answer: {first}")


def _source(spec: SourceSpec) -> SourceFacts:
    return SourceFacts(name=spec.id, trust=TRUST_ORDER.index(spec.trust), every_s=spec.every_s)
