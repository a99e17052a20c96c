"""What the store knows of: models, sources, and prices that are held; one function per question."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from store.belief import EVER, Coverage, believed, disputed, lasted, newest
from store.instants import from_millis, to_millis
from store.naming import CURRENCIES, literally
from store.read import Reader, Value
from store.records import RateCard, endpoint_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model that is on offer."""

    model: str
    endpoints: int
    providers: int
    sources: int
    free: int
    """Endpoints at which input and output are both free."""
    input: int | None
    """The lowest amount in USD over endpoints that are not free."""
    output: int | None
    context_length: int | None
    """The longest."""
    disputed: int
    """Endpoints of which something newer is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """How a source fares."""

    source: str
    trust: int
    every_s: int
    last_poll: datetime | None
    last_success: datetime | None
    endpoints: int
    """With a price in force."""
    changes: int
    """Intervals that began or ended in the last 24 hours."""
    held: int
    """Findings that keep something back."""
    failures: int
    """Failed polls since the last success."""
    last_error: str | None
    """Of the newest poll, unless that was fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """A price or a document that is kept out of the tape, and why."""

    source: str
    subject: str
    """As published."""
    model: str | None
    """None, as are provider and endpoint: about a whole document, or an offer that has never been accepted."""
    provider: str | None
    endpoint: str | None
    rule: str
    message: str
    first_seen: datetime
    accepted: RateCard | None
    """In force meanwhile."""
    card: RateCard | None
    """The one that is held."""
    locator: str
    document: str | None
    """None, as is the URL: about a poll as a whole."""
    url: str | None

    @property
    def value(self) -> str:
        """What a verdict on it is about (see `store.records.Verdict`)."""
        return self.message if self.card is None else self.card.text

    @property
    def held_ref(self) -> str:
        """What `held show`, `release` and `reject` take: the same for all that is found of one card."""
        told = "\n".join((self.source, self.subject, self.value))
        return blake2b(told.encode(), digest_size=4).hexdigest()

    @property
    def ref(self) -> str | None:
        """What `explain` takes."""
        return None if self.endpoint is None else f"{self.source}:{self.provider}:{self.endpoint}"


# CROSS JOIN keeps SQLite from going through the whole history instead of from endpoint to endpoint.
_MODELS = f"""
SELECT o.name, COUNT(*), COUNT(DISTINCT o.provider_id), COUNT(DISTINCT o.source_id),
    SUM(CASE WHEN o.input = 0 AND o.output = 0 THEN 1 ELSE 0 END),
    MIN(CASE WHEN o.currency = 'USD' AND (o.input > 0 OR o.output > 0) THEN o.input END),
    MIN(CASE WHEN o.currency = 'USD' AND (o.input > 0 OR o.output > 0) THEN o.output END),
    MAX(o.context_length), SUM(CASE WHEN o.disputed THEN 1 ELSE 0 END)
FROM (
    SELECT m.name, e.provider_id, e.source_id, c.currency, c.input, c.output, f.context_length,
        {disputed()} AS disputed
    FROM model m
    JOIN endpoint e ON e.model_id = m.id
    CROSS JOIN "interval" i
    JOIN rate_card c ON c.id = i.card_id
    JOIN facts f ON f.id = i.facts_id
    WHERE LOWER(m.name) LIKE :pattern ESCAPE '!' AND m.name NOT LIKE '{CURRENCIES}%'
        AND i.endpoint_id = e.id
        AND i.first_seen = {newest("e.id", "<= :at")} AND {believed("i")} AND {lasted("i", ":at")}
) o
GROUP BY o.name
ORDER BY o.name
"""  # noqa: S608 - put together from constants only

_SOURCES = """
SELECT q.name, q.trust, q.every_s, q.last_poll, q.last_success,
    (SELECT COUNT(*) FROM endpoint e CROSS JOIN "interval" i
     WHERE e.source_id = q.id AND i.endpoint_id = e.id AND i.known_to IS NULL AND i.ended IS NULL AND i.first_seen = (
        SELECT x.first_seen FROM "interval" x WHERE x.endpoint_id = e.id AND x.known_to IS NULL
        ORDER BY x.first_seen DESC LIMIT 1)),
    (SELECT COALESCE(SUM(b.changes), 0) FROM poll b WHERE b.source_id = q.id AND b.at > :day_ago),
    (SELECT COUNT(*) FROM finding g WHERE g.source_id = q.id AND g.known_to IS NULL AND g.ended IS NULL AND g.held),
    (SELECT COUNT(*) FROM poll b
     WHERE b.source_id = q.id AND b.outcome = 'failed' AND b.at > COALESCE(q.last_success, -9223372036854775807)),
    (SELECT CASE WHEN b.outcome <> 'ok' THEN COALESCE(b.message, b.code) END FROM poll b
     WHERE b.source_id = q.id AND b.at = q.last_poll ORDER BY b.id DESC LIMIT 1)
FROM (
    SELECT s.id, s.name, s.trust, s.every_s,
        (SELECT MAX(b.at) FROM poll b WHERE b.source_id = s.id) AS last_poll,
        (SELECT b.at FROM poll b WHERE b.source_id = s.id AND b.outcome <> 'failed' ORDER BY b.at DESC LIMIT 1)
            AS last_success
    FROM source s
) q
ORDER BY q.name
"""

_HELD = f"""
SELECT s.name, g.subject, m.name, p.name, e.published_model, e.tag, e.sibling, g.rule, g.message, g.first_seen,
    (SELECT i.card_id FROM "interval" i
     WHERE i.endpoint_id = g.endpoint_id AND {believed("i")} AND (i.end_known IS NULL OR i.end_known > :known)
     ORDER BY i.first_seen DESC LIMIT 1),
    g.card_id, g.locator, d.sha256, d.url
FROM finding g
JOIN source s ON s.id = g.source_id
LEFT JOIN document d ON d.id = g.document_id
LEFT JOIN endpoint e ON e.id = g.endpoint_id
LEFT JOIN model m ON m.id = e.model_id
LEFT JOIN provider p ON p.id = e.provider_id
WHERE g.held AND {believed("g")} AND (g.end_known IS NULL OR g.end_known > :known)
    AND (CAST(:source AS TEXT) IS NULL OR s.name = :source)
ORDER BY s.name, g.subject, g.rule, g.id
"""  # noqa: S608 - put together from constants only


def models(reader: Reader, query: str, at: datetime, *, known: datetime | None = None) -> list[ModelRow]:
    """Models on offer at an instant, as known at another, whose id holds a text, whatever its case.

    The empty text finds all. `known` None: all that is known.
    """
    values = Coverage(reader, at, known).values | {"pattern": f"%{literally(query.lower())}%"}
    return [
        ModelRow(
            model=model,
            endpoints=endpoints,
            providers=providers,
            sources=sources,
            free=free,
            input=lowest_input,
            output=lowest_output,
            context_length=context_length,
            disputed=doubted,
        )
        for (
            model,
            endpoints,
            providers,
            sources,
            free,
            lowest_input,
            lowest_output,
            context_length,
            doubted,
        ) in reader.rows(_MODELS, values)
    ]


def sources(reader: Reader, now: datetime) -> list[SourceRow]:
    """How every source that was ever polled fares."""
    day_ago = to_millis(now - timedelta(hours=24))
    return [
        SourceRow(
            source=source,
            trust=trust,
            every_s=every_s,
            last_poll=None if last_poll is None else from_millis(last_poll),
            last_success=None if last_success is None else from_millis(last_success),
            endpoints=endpoints,
            changes=changes,
            held=held_back,
            failures=failures,
            last_error=last_error,
        )
        for (
            source,
            trust,
            every_s,
            last_poll,
            last_success,
            endpoints,
            changes,
            held_back,
            failures,
            last_error,
        ) in reader.rows(_SOURCES, {"day_ago": day_ago})
    ]


def held(reader: Reader, *, known: datetime | None = None, source: str | None = None) -> list[HeldRow]:
    """What is kept out of the tape, beside what is on it instead, as known at an instant (None: all that is known)."""
    rows = []
    values: dict[str, Value] = {"source": source, "known": EVER if known is None else to_millis(known)}
    for row in reader.rows(_HELD, values):
        published_model, tag, sibling = row[4:7]
        rule, message, first_seen, accepted_id, card_id = row[7:12]
        rows.append(
            HeldRow(
                source=row[0],
                subject=row[1],
                model=row[2],
                provider=row[3],
                endpoint=None if published_model is None else endpoint_reference(published_model, tag, sibling),
                rule=rule,
                message=message,
                first_seen=from_millis(first_seen),
                accepted=None if accepted_id is None else reader.card(accepted_id),
                card=None if card_id is None else reader.card(card_id),
                locator=row[12],
                document=row[13],
                url=row[14],
            )
        )
    return rows


_VERDICTS = """
SELECT v.known, v.released, v.by, v.note, v.value FROM verdict v JOIN source s ON s.id = v.source_id
WHERE s.name = :source AND v.subject = :subject AND v.known <= :known ORDER BY v.known, v.id
"""


class VerdictRow(NamedTuple):
    """What was said of something that is or was held of an offer."""

    known: datetime
    released: bool
    by: str
    note: str
    value: str
    """As that of a `Verdict`."""


def verdicts(reader: Reader, row: HeldRow, *, known: datetime | None = None) -> list[VerdictRow]:
    """Everything that was said of what was held of an offer, oldest first."""
    values: dict[str, Value] = {
        "source": row.source,
        "subject": row.subject,
        "known": EVER if known is None else to_millis(known),
    }
    return [
        VerdictRow(from_millis(at), bool(released), by, note, value)
        for at, released, by, note, value in reader.rows(_VERDICTS, values)
    ]
