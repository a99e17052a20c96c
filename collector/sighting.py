"""Documents -> sighting: parse, normalise, identify. Pure; shared by polling, backfill and reparse."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from collector.contract import SourceSpec
from collector.errors import CollectorError, FetchFailed, SourceChanged
from collector.normalise import observe
from collector.sources import parser_of
from store.records import Document, EndpointKey, Observation, Sighting
from store.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Everything one poll got."""

    documents: tuple[Document, ...]
    failures: Mapping[str, FetchFailed]
    """Part -> why it did not answer."""
    robots: int = 0
    """Requests for a robots.txt."""


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


def in_words(failures: Mapping[str, CollectorError]) -> str:
    """Which parts did not answer, and why the first did not."""
    part, first = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return one_line(f"{part}{more} did not answer: {first}")
