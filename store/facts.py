"""What is said of a model beside its prices: by whom, since when, and where sources disagree."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from store.belief import Coverage
from store.instants import from_millis
from store.intervals import IntervalRow, endpoints, history
from store.read import Reader
from store.records import COUNT_FACTS, DATE_FACTS, Facts

OF_THE_MODEL = frozenset(
    {"release_date", "knowledge_cutoff", "total_parameters", "active_parameters", "open_weights", "licence"}
)
"""What is so of a model whoever serves it; all else is of an offer."""
COMPARED = frozenset({*COUNT_FACTS, *DATE_FACTS, "quantization", "open_weights", "trains_on_prompts"})
"""Facts of which two values cannot both be right; the rest is in each source's own words."""
MEASURES = ("health", "uptime_percent", "first_token_ms", "tokens_per_second")
"""The names of what is measured, in an answer; `health` is the code of `Telemetry.status`."""

_MEASURED = """
SELECT t.at, t.status, t.uptime_percent, t.first_token_ms, t.tokens_per_second
FROM telemetry t
WHERE t.endpoint_id = :endpoint AND t.at <= :seen
ORDER BY t.at DESC LIMIT 1
"""


class Measured(NamedTuple):
    """How an endpoint fared, when last measured."""

    uptime_percent: int | None = None
    first_token_ms: int | None = None
    tokens_per_second: int | None = None


class FactRow(NamedTuple):
    """One value of one fact of a model, or of a provider's offers of it."""

    model: str
    fact: str
    """The name of a field of `Facts`, or one of `MEASURES`."""
    provider: str
    """Empty for what is so of the model, whoever serves it."""
    value: str
    """Of a list, one that is in it: of features that are not named, nothing is known."""
    sources: tuple[str, ...]
    """Who says so."""
    endpoints: int
    """How many endpoints have it, counted in each source."""
    since: datetime
    """The first poll, of any of them, that showed it and since which it has stood. Of a measure: the last that showed
    any measure of an endpoint to be another."""
    disputed: bool
    """Another value that cannot be right beside this one is stated by another source, or of the same model."""


@dataclass(slots=True)
class _Said:
    since: datetime
    sources: set[str] = field(default_factory=set)
    variants: dict[str, set[str]] = field(default_factory=dict)
    """Source -> variants of the offers that it says so of."""
    endpoints: int = 0


def facts(
    reader: Reader,
    model: str,
    at: datetime,
    *,
    known: datetime | None = None,
    provider: str | None = None,
    source: str | None = None,
) -> list[FactRow]:
    """The facts of a canonical model's endpoints that have a price in force at an instant, as known at another.

    By fact, those of the model first; then by provider, the values that most endpoints have first.
    """
    in_force = endpoints(reader, model, at, known=known, provider=provider, source=source)
    earlier: dict[int, list[IntervalRow]] = {}
    for row in history(reader, model, at, known=known, until=at, provider=provider, source=source):
        earlier.setdefault(row.endpoint_id, []).append(row)
    coverage = Coverage(reader, at, known)
    said: dict[tuple[str, str], dict[str, _Said]] = {}
    for row in in_force:
        stated = _since(row, earlier.get(row.endpoint_id, ()))
        for name, value, since in (*stated, *_measured(reader, row, coverage)):
            about = (name, "" if name in OF_THE_MODEL else row.provider)
            one = said.setdefault(about, {}).setdefault(value, _Said(since))
            one.since = min(one.since, since)
            one.sources.add(row.source)
            one.variants.setdefault(row.source, set()).add(row.variant)
            one.endpoints += 1
    order = (*sorted(Facts.__dataclass_fields__, key=lambda name: name not in OF_THE_MODEL), *MEASURES)
    return [
        FactRow(
            model=model,
            fact=name,
            provider=who,
            value=value,
            sources=tuple(sorted(one.sources)),
            endpoints=one.endpoints,
            since=one.since,
            disputed=any(_disagree(name, (value, one), other) for other in values.items()),
        )
        for (name, who), values in sorted(said.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
        for value, one in sorted(values.items(), key=lambda item: (-item[1].endpoints, item[0]))
    ]


def _since(row: IntervalRow, earlier: Iterable[IntervalRow]) -> Iterator[tuple[str, str, datetime]]:
    """Each fact that an endpoint has (name, value, the beginning of the stretch in which it had it)."""
    since = dict.fromkeys(_values(row.facts), row.first_seen)
    standing, begins = set(since), row.first_seen
    for before in sorted(earlier, key=lambda one: one.first_seen, reverse=True):
        if before.ended != begins:
            continue
        standing &= set(_values(before.facts))
        since |= dict.fromkeys(standing, before.first_seen)
        begins = before.first_seen
    for (name, value), first in since.items():
        yield name, value, first


def _values(stated: Facts) -> Iterator[tuple[str, str]]:
    for name, value in stated.stated.items():
        for one in value if isinstance(value, tuple) else (value,):
            yield name, str(one).lower() if isinstance(one, bool) else str(one)


def measures(reader: Reader, at: datetime, known: datetime | None = None) -> Callable[[IntervalRow], Measured]:
    """How endpoints fared, when last measured up to an instant, as known at another."""
    coverage = Coverage(reader, at, known)

    def of(row: IntervalRow) -> Measured:
        found = reader.row(_MEASURED, {"endpoint": row.endpoint_id, "seen": coverage.seen_millis})
        return Measured() if found is None else Measured(*found[2:])

    return of


def _measured(reader: Reader, row: IntervalRow, coverage: Coverage) -> Iterator[tuple[str, str, datetime]]:
    measured = reader.row(_MEASURED, {"endpoint": row.endpoint_id, "seen": coverage.seen_millis})
    if measured is not None:
        for name, value in zip(MEASURES, measured[1:], strict=True):
            if value is not None:
                yield name, str(value), from_millis(measured[0])


def _disagree(name: str, one: tuple[str, _Said], other: tuple[str, _Said]) -> bool:
    """Whether two values cannot both be right: of one model, or of one variant in sources of which none says both.

    A date is no other than the same date told more finely.
    """
    if name not in COMPARED or one[0].casefold() == other[0].casefold():
        return False
    if name in DATE_FACTS and (one[0].startswith(other[0]) or other[0].startswith(one[0])):
        return False
    if name in OF_THE_MODEL:
        return True
    return any(
        source != against
        and variants & others
        and not (variants & other[1].variants.get(source, set()))
        and not (others & one[1].variants.get(against, set()))
        for source, variants in one[1].variants.items()
        for against, others in other[1].variants.items()
    )
