"""What an endpoint charges now, then, and over time."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Literal, NamedTuple

from store.belief import Coverage, at_end, believed, disputed, lasted, newest
from store.currency import Conversion, Unconverted
from store.instants import from_millis, to_millis
from store.naming import CURRENCIES
from store.read import Reader, Row
from store.records import EndReason, Facts, RateCard, endpoint_reference

GRACE_S = 900
"""A price is stale once it was last seen more than two polling periods and this many seconds ago."""


NO_FACTS = Facts()


class IntervalRow(NamedTuple):
    """One endpoint in one source over a stretch of time in which card and facts stayed the same.

    A tuple, for a frozen dataclass of as many fields takes more than twice as long to make, and answers have many.
    """

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
    """Up to the instant asked about, by polls known then."""
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
    """The first poll that should have shown it and did not, while it is in force and has not been seen again."""
    stale: bool
    """In force, but not seen for two polling periods and more."""
    disputed: bool
    """In force, and a newer price for this endpoint is held."""
    known_from: datetime
    """Believed from this instant on."""
    known_to: datetime | None
    """Up to, and without, this instant; None: believed still."""

    endpoint_id: int
    """Keys of the store, of no meaning outside it."""
    document_id: int
    facts_id: int | None

    facts: Facts = NO_FACTS
    """As stated over this stretch of time; none for a price that was not observed."""
    conversion: Conversion | Unconverted | None = None
    """How `card` comes to be in another currency than that in which it is quoted, or why it is not."""
    contradicted_by: tuple[str, ...] | None = None
    """Sources that state another price for this offer (see `store.conflicts`); None: nobody looked."""

    @property
    def ref(self) -> str:
        """What `explain` takes."""
        return f"{self.source}:{self.provider}:{self.endpoint}"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why to think twice of it, in words."""
        reasons = {
            "stale": self.stale,
            "unseen": self.unseen_since,
            "disputed": self.disputed,
            "stated": self.basis == "stated",
            "contradicted": self.contradicted_by,
        }
        return tuple(name for name, holds in reasons.items() if holds)


_OWN = "(CASE WHEN i.known_to <= :known THEN i.known_to - 1 ELSE :known END)"
"""A belief that was superseded is told as it stood just before."""


def _selected(known: str, columns: str) -> str:
    return f"""
SELECT e.id, m.name, p.name, e.published_model, e.tag, e.sibling, e.variant, s.id, s.name, s.trust, s.every_s, e.part,
    d.id, d.sha256, {disputed(known)}, {columns}
FROM model m
JOIN endpoint e ON e.model_id = m.id
JOIN provider p ON p.id = e.provider_id
JOIN source s ON s.id = e.source_id
"""  # noqa: S608 - put together from constants only


_SOURCE_ID = 7
"""Place of a source's key in what is selected."""
_FILTER = """
WHERE m.name = :model
    AND (CAST(:provider AS TEXT) IS NULL OR p.name = :provider)
    AND (CAST(:source AS TEXT) IS NULL OR s.name = :source)
"""
_ORDER = "p.name, e.published_model, e.tag, e.sibling, s.trust, s.name, e.id"


def _observed(known: str) -> str:
    """Intervals as known at an instant; a gap counts while the interval is in force."""
    ends = ", ".join(at_end("i", column) for column in ("last_seen", "ended", "end_reason"))
    columns = f"""'observed', i.card_id, i.locator, i.not_before, i.first_seen, {ends}, u.since, u.last_seen,
    NULL, NULL, f.id, f.body, i.known_from, i.known_to"""
    return f"""{_selected(known, columns)}
JOIN "interval" i ON i.endpoint_id = e.id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
LEFT JOIN gap u ON u.endpoint_id = e.id AND u.since <= :seen AND {believed("u", known)}
    AND {lasted("u", ":seen", known, ended="until", end_known="until_known")}
    AND i.first_seen <= :seen AND {lasted("i", ":seen", known)}
{_FILTER}
"""


_STATED = f"""{
    _selected(
        ":known",
        ''''stated', t.card_id, t.locator, NULL, t.first_seen, NULL, NULL, NULL, NULL, NULL,
    t.since, t.until, NULL, NULL, t.known_from, t.known_to''',
    )
}
JOIN stated t ON t.endpoint_id = e.id
JOIN document d ON d.id = t.document_id
{_FILTER} AND {believed("t")} AND (t.end_known IS NULL OR t.end_known > :known)
    AND (t.since IS NOT NULL OR t.until IS NOT NULL)
"""
_OLDEST_STATED = f"{_ORDER}, COALESCE(t.since, -9223372036854775807), t.id"

_OBSERVED_AT = f"""{_observed(":known")}
    AND i.first_seen = {newest("e.id", "<= :at")} AND {believed("i")} AND {lasted("i", ":at")}
ORDER BY {_ORDER}
"""
_OBSERVED_IN = f"""{_observed(_OWN)}
    AND i.known_from <= :known AND (:superseded OR i.known_to IS NULL OR i.known_to > :known)
    AND (CAST(:until AS BIGINT) IS NULL OR i.first_seen < :until)
    AND (CAST(:since AS BIGINT) IS NULL OR {lasted("i", ":since")})
ORDER BY {_ORDER}, i.first_seen, i.known_from
"""
_STATED_AT = f"""{_STATED}
    AND (t.since IS NULL OR t.since <= :at) AND (t.until IS NULL OR t.until > :at)
    AND {newest("t.endpoint_id", "<= :at")} IS NULL
ORDER BY {_OLDEST_STATED}
"""
_STATED_IN = f"""{_STATED}
    AND (CAST(:until AS BIGINT) IS NULL OR t.since IS NULL OR t.since < :until)
    AND (CAST(:since AS BIGINT) IS NULL OR t.until IS NULL OR t.until > :since)
ORDER BY {_OLDEST_STATED}
"""

_MODEL_NAMES = f"SELECT name FROM model WHERE name NOT LIKE '{CURRENCIES}%' ORDER BY name"  # noqa: S608 - a constant

_SHARED = f"""
SELECT m.name, e.id
FROM (
    SELECT model_id, provider_id, variant FROM endpoint
    GROUP BY model_id, provider_id, variant HAVING MIN(source_id) < MAX(source_id)
) twice
JOIN model m ON m.id = twice.model_id
CROSS JOIN endpoint e
WHERE e.model_id = twice.model_id AND e.provider_id = twice.provider_id AND e.variant = twice.variant
    AND m.name NOT LIKE '{CURRENCIES}%'
ORDER BY m.name
"""  # noqa: S608 - put together from constants only


def endpoints(
    reader: Reader,
    model: str,
    at: datetime,
    *,
    known: datetime | None = None,
    provider: str | None = None,
    source: str | None = None,
) -> list[IntervalRow]:
    """Every endpoint of a canonical model with a price in force at an instant, in every source, as known at another.

    Where an endpoint had not been observed yet, what its source states about that instant answers instead. `known`
    None: all that is known.
    """
    return _endpoints(reader, model, Coverage(reader, at, known), provider, source)


def _endpoints(
    reader: Reader,
    model: str,
    coverage: Coverage,
    provider: str | None,
    source: str | None,
    among: Collection[int] | None = None,
) -> list[IntervalRow]:
    values = coverage.values | {"model": model, "provider": provider, "source": source}
    observed, stated = (
        [row for row in reader.rows(sql, values) if among is None or row[0] in among]
        for sql in (_OBSERVED_AT, _STATED_AT)
    )
    coverage.look_at(row[_SOURCE_ID] for row in observed)
    rows = [_row(reader, row, coverage) for row in observed]
    if stated:
        latest = {row[0]: row for row in stated}  # of several for an endpoint, the latest since
        rows.extend(_row(reader, row, coverage) for row in latest.values())
        rows.sort(key=lambda row: (row.provider, row.endpoint, row.trust, row.source))
    return rows


def current(
    reader: Reader,
    at: datetime,
    *,
    known: datetime | None = None,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
) -> Iterator[IntervalRow]:
    """`endpoints` of a model (None: of every model, in the order of their names), as they are read."""
    coverage = Coverage(reader, at, known)
    for name in _names(reader, model):
        yield from _endpoints(reader, name, coverage, provider, source)


def shared(
    reader: Reader, at: datetime, *, known: datetime | None = None, provider: str | None = None
) -> Iterator[IntervalRow]:
    """`current` of every model, of those offers alone that two sources name: on no other can they disagree."""
    coverage = Coverage(reader, at, known)
    for name, named in groupby(reader.rows(_SHARED), key=itemgetter(0)):
        yield from _endpoints(reader, name, coverage, provider, None, {endpoint for _, endpoint in named})


def history(
    reader: Reader,
    model: str | None,
    now: datetime,
    *,
    known: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    provider: str | None = None,
    source: str | None = None,
    stated: bool = False,
    superseded: bool = False,
) -> Iterator[IntervalRow]:
    """The intervals of a model (None: of every model) that have any time in [since, until), by endpoint and time.

    As known at an instant (None: all that is known). With `stated`, the prices that sources date themselves follow
    those observed; with `superseded`, what was believed once and no more stands among what is.
    """
    coverage = Coverage(reader, now, known)
    values = coverage.values | {
        "provider": provider,
        "source": source,
        "superseded": superseded,
        "since": None if since is None else to_millis(since),
        "until": None if until is None else to_millis(until),
    }
    for name in _names(reader, model):
        for sql in (_OBSERVED_IN, _STATED_IN)[: 2 if stated else 1]:
            for row in reader.rows(sql, values | {"model": name}):
                yield _row(reader, row, coverage)


def prices_only(rows: Iterable[IntervalRow]) -> Iterator[IntervalRow]:
    """Intervals of an answer by endpoint and time, those joined that follow each other at the same price.

    What is joined differs in its facts alone; its facts, like its document, are those that it began with.
    """
    before: IntervalRow | None = None
    for row in rows:
        if before is None:
            before = row
        elif _goes_on(before, row):
            before = row._replace(**{name: getattr(before, name) for name in _BEGAN})
        else:
            yield before
            before = row
    if before is not None:
        yield before


_BEGAN = (
    "not_before",
    "first_seen",
    "document",
    "locator",
    "known_from",
    "document_id",
    "facts_id",
    "facts",
    "context_length",
    "max_output_tokens",
    "quantization",
)


def _goes_on(before: IntervalRow, row: IntervalRow) -> bool:
    return (
        (before.endpoint_id, before.ended, before.card) == (row.endpoint_id, row.first_seen, row.card)
        and before.end_reason == "changed"
        and before.known_to is row.known_to is None
    )


def _names(reader: Reader, model: str | None) -> Iterable[str]:
    return (name for (name,) in reader.rows(_MODEL_NAMES)) if model is None else (model,)


def _row(reader: Reader, row: Row, coverage: Coverage) -> IntervalRow:
    (
        endpoint_id,
        model,
        provider,
        published_model,
        tag,
        sibling,
        variant,
        source_id,
        source,
        trust,
        every_s,
        part,
        document_id,
        document,
        disputed,
        basis,
        card_id,
        locator,
        not_before,
        first_seen,
        last_seen,
        ended,
        end_reason,
        unseen,
        seen_before,
        since,
        until,
        facts_id,
        facts_body,
        known_from,
        known_to,
    ) = row
    # What is superseded only later was believed still, as far as anybody knew then.
    superseded = known_to is not None and known_to <= coverage.known_millis
    of_then = coverage.before(known_to) if superseded else coverage
    if unseen is not None:
        last_seen = seen_before
    elif last_seen is None or last_seen > of_then.seen_millis:
        # Open and seen, or not yet gone at that instant: seen by whichever poll came last before it.
        last_seen = of_then.last(source_id, part)
    if last_seen is None or last_seen < first_seen:
        last_seen = first_seen
    facts = NO_FACTS if facts_id is None else reader.facts(facts_id, facts_body)
    in_force = not superseded and (ended is None or ended > coverage.seen_millis)
    return IntervalRow(
        model=model,
        provider=provider,
        endpoint=endpoint_reference(published_model, tag, sibling),
        variant=variant,
        source=source,
        trust=trust,
        basis=basis,
        not_before=_instant(not_before),
        first_seen=from_millis(first_seen),
        last_seen=from_millis(last_seen),
        ended=_instant(ended),
        end_reason=end_reason,
        stated_since=_instant(since),
        stated_until=_instant(until),
        card=reader.card(card_id),
        context_length=facts.context_length,
        max_output_tokens=facts.max_output_tokens,
        quantization=facts.quantization,
        document=document,
        locator=locator,
        unseen_since=_instant(unseen) if in_force else None,
        stale=in_force and coverage.seen_millis - last_seen > 1000 * (2 * every_s + GRACE_S),
        disputed=in_force and bool(disputed),
        known_from=from_millis(known_from),
        known_to=_instant(known_to) if superseded else None,
        endpoint_id=endpoint_id,
        document_id=document_id,
        facts_id=facts_id,
        facts=facts,
    )


def _instant(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)
