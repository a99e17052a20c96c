"""Documents -> sighting: parse (`collector.parsing`), normalise, identify; shared by polling, backfill and reparse."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from collector import checks, parsing
from collector.contract import EntryParser, Quote, SourceSpec, TreeParser
from collector.doubts import among, copied
from collector.entries import Entries
from collector.errors import CollectorError, FetchFailed, SourceChanged
from collector.normalise import observe
from collector.sources import parser_of
from collector.trees import Trees, is_tree
from store.records import Document, EndpointKey, Facts, Finding, Observation, Offer, Returned, Sighting
from store.text import one_line
from store.timeline import Step
from store.touched import Change, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Everything one poll got."""

    documents: tuple[Document, ...]
    failures: Mapping[str, FetchFailed]
    """Part -> why it did not answer."""
    robots: int = 0
    """Requests for a robots.txt."""


def see(received: Received, spec: SourceSpec, at: datetime) -> tuple[Sighting, Mapping[str, CollectorError]]:
    """Documents -> sighting, and the parts that failed: parse, normalise, identify.

    A part of a fan-out that is not what it should be has not answered: the others stand.

    Raises: SourceChanged, of the first document or of every part.
    """
    failed: dict[str, CollectorError] = dict(received.failures)
    seen: list[Observation] = []
    told: dict[str, tuple[Facts, tuple[Finding, ...]]] = {}
    for document in received.documents:
        if not document.part:
            told |= parsing.described(document, spec)
    for document in received.documents:
        try:
            found = parsing.quotes(document, spec)
            if document.part in told:
                found = [_described(quote, *told[document.part]) for quote in found]
            seen += (observe(quote, document, spec, at) for quote in found)
        except SourceChanged as error:
            if not document.part:
                raise
            failed[document.part] = error
    if failed and len(failed) == sum(bool(one.part) for one in received.documents) + len(received.failures):
        raise SourceChanged(f"{spec.id}: no part answered: {next(iter(failed.values()))}", code="incomplete")
    sighting = Sighting(
        at=at,
        complete=not failed,
        failed_parts=frozenset(failed),
        documents=_evidence(received.documents),
        observations=tuple(copied(among(_each_once(seen)))),
    )
    return sighting, failed


def _described(quote: Quote, told: Facts, notes: tuple[Finding, ...]) -> Quote:
    """The quote with what it does not state itself."""
    return replace(quote, facts=quote.facts.filled(told), findings=(*quote.findings, *notes))


def _evidence(documents: Iterable[Document]) -> dict[str, tuple[str, str]]:
    return {document.part: (document.sha256, document.url) for document in documents}


def _each_once(observations: Iterable[Observation]) -> Iterator[Observation]:
    """The offers, each from one answer: two names asked for may be answered by the same one, best its own."""
    owner: dict[EndpointKey, str] = {}
    listed = sorted(observations, key=lambda one: one.part != one.key.model)
    for one in listed:
        if owner.setdefault(one.key, one.part) == one.part:
            yield one


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One of several sightings in a row."""

    sighting: Sighting
    offers: Mapping[Offer, tuple[Observation, ...]] | None
    """What is otherwise than in the sighting before, which is why `sighting` has no observations; None: it has all."""
    failed: Mapping[str, CollectorError]

    def step(self, track: Track, returned: Returned | None = None) -> Step:
        """The step that it is; `returned` where its documents came back."""
        sighting = replace(self.sighting, returned=returned)
        if self.offers is None:
            return track.take(sighting)
        return track.change(Change(sighting=sighting, offers=self.offers))


class Seer:
    """Sees what a source sent, poll after poll, at the cost of what changed where its parser allows."""

    def __init__(self, spec: SourceSpec) -> None:
        self._spec = spec
        parser = parser_of(spec)
        self._entries = Entries(parser, spec) if isinstance(parser, EntryParser) else None
        self._trees = Trees(parser, spec) if isinstance(parser, TreeParser) else None
        self._tree_before = False
        """What was seen last was a tree, and a good one."""

    def see(self, received: Received, at: datetime) -> Seen:
        """The next sighting.

        Raises: SourceChanged, and it is as if it had not been shown.
        """
        if self._trees is None or not is_tree(received.documents):
            seen = self._see(received, at)
            self._tree_before = False
            return seen
        whole, self._tree_before = not self._tree_before, False
        changed = self._trees.read(received.documents, at)
        self._tree_before = True
        if self._entries is not None:
            self._entries.forget()
        sighting = Sighting(
            at=at,
            complete=True,
            documents=_evidence(received.documents),
            observations=self._trees.everything() if whole else (),
        )
        return Seen(sighting=sighting, offers=None if whole else changed, failed={})

    def _see(self, received: Received, at: datetime) -> Seen:
        if self._entries is not None and len(received.documents) == 1 and not received.failures:
            (document,) = received.documents
            first = self._entries.empty
            offers = None if document.part else self._entries.read(document, at)
            if offers is not None:
                everything = tuple(one for seen in offers.values() for one in seen) if first else ()
                sighting = Sighting(
                    at=at, complete=True, documents=_evidence(received.documents), observations=everything
                )
                return Seen(sighting=sighting, offers=None if first else offers, failed={})
        sighting, failed = see(received, self._spec, at)
        if sighting.complete:
            checks.expected(checks.counted(sighting.observations), self._spec)
        if self._entries is not None:
            self._entries.forget()
        return Seen(sighting=sighting, offers=None, failed=failed)


def in_words(failures: Mapping[str, CollectorError]) -> str:
    """Which parts did not answer, and why the first did not."""
    part, first = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return one_line(f"{part}{more} did not answer: {first}")
