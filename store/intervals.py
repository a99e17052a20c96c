"""What an endpoint charges now, then, and over time."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from store.instants import from_micros, to_micros
from store.read import Reader, Row
from store.records import EndReason, RateCard, endpoint_reference

GRACE_S = 900
"""A price is stale once it was last seen more than two polling periods and this many seconds ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """One endpoint in one source over a stretch of time in which card and facts stayed the same."""

    model: str
    provider: str
    endpoint: str
    """Published model id, `@tag`, `#sibling`."""
    variant: str
    source: str
    trust: int
    """Rank of the source, 0 is believed first."""
    basis: Literal["observed", "stated"]
    """`stated`: the source dates this price itself; it was not seen in force."""
    not_before: datetime | None
    first_seen: datetime
    """Of a stated price: the first poll in which the source stated it."""
    last_seen: datetime
    """Up to the instant asked about."""
    ended: datetime | None
    end_reason: EndReason | None
    stated_since: datetime | None
    stated_until: datetime | None
    card: RateCard
    context_length: int | None
    max_output_tokens: int | None
    quantization: str | None
    document: str
    """SHA-256 of the document that first showed it, hex."""
    locator: str
    """Where in that document."""
    unseen_since: datetime | None
    """The first poll that should have shown it and did not, while it is not yet held to be withdrawn."""
    stale: bool
    """In force, but not seen for two polling periods and more."""
    disputed: bool
    """In force, and a newer price for this endpoint is held."""

    endpoint_id: int
    """Keys of the store, of no meaning outside it."""
    document_id: int
    facts_id: int | None

    @property
    def ref(self) -> str:
        """What `explain` takes."""
        return f"{self.source}:{self.provider}:{self.endpoint}"


_ENDPOINT = """
    e.id, m.name, p.name, e.published_model, e.tag, e.sibling, e.variant, s.id, s.name, s.trust, s.every_s, e.part,
    d.id, d.sha256,
    EXISTS (
        SELECT 1 FROM finding g
        WHERE g.endpoint_id = e.id AND g.held AND g.first_seen <= :at AND (g.ended IS NULL OR g.ended > :at)
    )
"""
_OF_MODEL = """
FROM model m
JOIN endpoint e ON e.model_id = m.id
JOIN provider p ON p.id = e.provider_id
JOIN source s ON s.id = e.source_id
"""
_FILTER = """
WHERE m.name = :model
    AND (CAST(:provider AS TEXT) IS NULL OR p.name = :provider)
    AND (CAST(:source AS TEXT) IS NULL OR s.name = :source)
"""
_ORDER = "p.name, e.published_model, e.tag, e.sibling, s.trust, s.name"

_OBSERVED = f"""
SELECT {_ENDPOINT}, 'observed', i.card_id, i.locator, i.not_before, i.first_seen, i.last_seen, i.unseen_since, i.ended,
    i.end_reason, NULL, NULL, f.id, f.context_length, f.max_output_tokens, f.quantization
{_OF_MODEL}
JOIN "interval" i ON i.endpoint_id = e.id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
{_FILTER}
"""
_STATED = f"""
SELECT {_ENDPOINT}, 'stated', t.card_id, t.locator, NULL, t.first_seen, NULL, NULL, NULL,
    NULL, t.since, t.until, NULL, NULL, NULL, NULL
{_OF_MODEL}
JOIN stated t ON t.endpoint_id = e.id
JOIN document d ON d.id = t.document_id
{_FILTER} AND t.ended IS NULL AND (t.since IS NOT NULL OR t.until IS NOT NULL)
"""
_OLDEST_STATED = f"{_ORDER}, COALESCE(t.since, -9223372036854775807), t.id"

# Intervals of an endpoint do not overlap: only the newest one begun can hold an instant.
_OBSERVED_AT = f"""{_OBSERVED}
    AND i.first_seen = (
        SELECT MAX(x.first_seen) FROM "interval" x WHERE x.endpoint_id = e.id AND x.first_seen <= :at
    )
    AND (i.ended IS NULL OR i.ended > :at)
ORDER BY {_ORDER}
"""  # noqa: S608 - put together from constants only
_OBSERVED_IN = f"""{_OBSERVED}
    AND (CAST(:until AS BIGINT) IS NULL OR i.first_seen < :until)
    AND (CAST(:since AS BIGINT) IS NULL OR i.ended IS NULL OR i.ended > :since)
ORDER BY {_ORDER}, i.first_seen
"""
_STATED_AT = f"""{_STATED}
    AND (t.since IS NULL OR t.since <= :at) AND (t.until IS NULL OR t.until > :at)
    AND NOT EXISTS (SELECT 1 FROM "interval" x WHERE x.endpoint_id = e.id AND x.first_seen <= :at)
ORDER BY {_OLDEST_STATED}
"""  # noqa: S608 - put together from constants only
_STATED_IN = f"""{_STATED}
    AND (CAST(:until AS BIGINT) IS NULL OR t.since IS NULL OR t.since < :until)
    AND (CAST(:since AS BIGINT) IS NULL OR t.until IS NULL OR t.until > :since)
ORDER BY {_OLDEST_STATED}
"""

_WHOLE_POLL = """
SELECT at FROM poll WHERE source_id = :source AND outcome = 'ok' AND at <= :at ORDER BY at DESC LIMIT 1
"""
_PARTIAL_POLLS = """
SELECT at, failed_parts FROM poll
WHERE source_id = :source AND outcome = 'partial' AND at > :whole AND at <= :at
ORDER BY at DESC
"""
_MODEL_NAMES = "SELECT name FROM model ORDER BY name"


class Coverage:
    """When a part of a source was last covered by a poll, up to an instant: the `last_seen` of what is open and seen.

    Most sources have whole polls only. Of those that came in part, only what is newer than the last whole one counts.
    """

    def __init__(self, reader: Reader, at: datetime) -> None:
        self.at = at
        self._reader = reader
        self._whole: dict[int, int | None] = {}
        self._last: dict[tuple[int, str], datetime | None] = {}

    def last(self, source_id: int, part: str) -> datetime | None:
        """The newest poll that covered a part; None if there is none."""
        key = (source_id, part)
        if key not in self._last:
            found = self._find(source_id, part)
            self._last[key] = None if found is None else from_micros(found)
        return self._last[key]

    def _find(self, source_id: int, part: str) -> int | None:
        values = {"source": source_id, "at": to_micros(self.at)}
        if source_id not in self._whole:
            row = self._reader.row(_WHOLE_POLL, values)
            self._whole[source_id] = None if row is None else row[0]
        whole = self._whole[source_id]
        newer = self._reader.rows(_PARTIAL_POLLS, values | {"whole": -(2**63) if whole is None else whole})
        for at, failed_parts in newer:
            if part not in json.loads(failed_parts or "[]"):
                return int(at)
        return whole


def endpoints(
    reader: Reader,
    model: str,
    at: datetime,
    *,
    provider: str | None = None,
    source: str | None = None,
    coverage: Coverage | None = None,
) -> list[IntervalRow]:
    """Every endpoint of a canonical model with a price in force at an instant, in every source.

    Where an endpoint had not been observed yet, what its source states about that instant answers instead.
    """
    coverage = coverage or Coverage(reader, at)
    values = {"model": model, "provider": provider, "source": source, "at": to_micros(at)}
    rows = [_row(reader, row, coverage) for row in reader.rows(_OBSERVED_AT, values)]
    stated = {row[0]: row for row in reader.rows(_STATED_AT, values)}  # of several for an endpoint, the latest since
    if stated:
        rows.extend(_row(reader, row, coverage) for row in stated.values())
        rows.sort(key=lambda row: (row.provider, row.endpoint, row.trust, row.source))
    return rows


def current(
    reader: Reader,
    at: datetime,
    *,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
) -> Iterator[IntervalRow]:
    """`endpoints` of a model (None: of every model, in the order of their names), as they are read."""
    coverage = Coverage(reader, at)
    for name in _names(reader, model):
        yield from endpoints(reader, name, at, provider=provider, source=source, coverage=coverage)


def history(
    reader: Reader,
    model: str | None,
    now: datetime,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    provider: str | None = None,
    source: str | None = None,
    stated: bool = False,
) -> Iterator[IntervalRow]:
    """The intervals of a model (None: of every model) that have any time in [since, until), by endpoint and time.

    With `stated`, the prices that sources date themselves follow those observed.
    """
    coverage = Coverage(reader, now)
    values = {
        "provider": provider,
        "source": source,
        "at": to_micros(now),
        "since": None if since is None else to_micros(since),
        "until": None if until is None else to_micros(until),
    }
    for name in _names(reader, model):
        for sql in (_OBSERVED_IN, _STATED_IN)[: 2 if stated else 1]:
            for row in reader.rows(sql, values | {"model": name}):
                yield _row(reader, row, coverage)


def _names(reader: Reader, model: str | None) -> Iterable[str]:
    return (name for (name,) in reader.rows(_MODEL_NAMES)) if model is None else (model,)


def _row(reader: Reader, row: Row, coverage: Coverage) -> IntervalRow:
    endpoint_id, model, provider, published_model, tag, sibling, variant, source_id, source, trust, every_s = row[:11]
    part, document_id, document, disputed, basis, card_id, locator, not_before, first, last, unseen, end = row[11:23]
    end_reason, since, until, facts_id, context_length, max_output_tokens, quantization = row[23:]
    first_seen, last_seen, ended = from_micros(first), _instant(last), _instant(end)
    if last_seen is None or last_seen > coverage.at:
        # Open and seen, or not yet gone at that instant: seen by whichever poll came last before it.
        last_seen = max(first_seen, coverage.last(source_id, part) or first_seen)
    in_force = ended is None or ended > coverage.at
    return IntervalRow(
        model=model,
        provider=provider,
        endpoint=endpoint_reference(published_model, tag, sibling),
        variant=variant,
        source=source,
        trust=trust,
        basis=basis,
        not_before=_instant(not_before),
        first_seen=first_seen,
        last_seen=last_seen,
        ended=ended,
        end_reason=end_reason,
        stated_since=_instant(since),
        stated_until=_instant(until),
        card=reader.card(card_id),
        context_length=context_length,
        max_output_tokens=max_output_tokens,
        quantization=quantization,
        document=document,
        locator=locator,
        unseen_since=_instant(unseen),
        stale=in_force and coverage.at - last_seen > timedelta(seconds=2 * every_s + GRACE_S),
        disputed=in_force and bool(disputed),
        endpoint_id=endpoint_id,
        document_id=document_id,
        facts_id=facts_id,
    )


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
