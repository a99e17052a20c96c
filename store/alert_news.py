"""What became known in a stretch of time: moves, offers that come and go, announcements, failures, what is held.

Everything is told as it was known at the very instant at which it became known: that a belief is corrected later takes
nothing back, and it does not matter when, or how often, anybody asks. News is what was seen at most `FRESH` before it
became known, and of which nothing had been believed: what a backfill or a reparse tells of the past is history.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

from store.belief import believed, newest
from store.catalogue import HeldRow
from store.corrections import CORRECTED, LATE_MILLIS, Term, Witness
from store.instants import from_millis
from store.intervals import GRACE_S
from store.naming import CURRENCIES
from store.read import Reader, Row, Value
from store.records import Facts, RateCard, endpoint_reference

FRESH = timedelta(days=1)
_FRESH_MILLIS = FRESH // timedelta(milliseconds=1)


class Offer(NamedTuple):
    """An endpoint, as it is named."""

    source: str
    provider: str
    model: str
    published_provider: str
    endpoint: str
    variant: str

    @property
    def ref(self) -> str:
        """What `explain` takes."""
        return f"{self.source}:{self.provider}:{self.endpoint}"


class Moved(NamedTuple):
    """An endpoint whose card or facts are others than before."""

    offer: Offer
    event: str
    """`arrival`, `return`, `change`, `withdrawal` or `correction`."""
    known: int
    """In milliseconds, as are the next two."""
    seen: int
    """The poll that showed it; of a withdrawal, the first that missed it; of a correction, what time it is about."""
    not_before: int | None
    """The last poll that did not show it yet."""
    old: RateCard | None
    new: RateCard | None
    old_facts: Facts
    new_facts: Facts
    document: str | None
    new_model: bool
    """Nobody was known to offer this model."""


class Announced(NamedTuple):
    """A price that a source dates in the future."""

    offer: Offer
    known: int
    seen: int
    since: int
    until: int | None
    old: RateCard | None
    """In force when it was announced."""
    new: RateCard
    document: str


class Failing(NamedTuple):
    """A source that failed as often in a row as was asked for."""

    source: str
    known: int
    at: int
    message: str


class Stale(NamedTuple):
    """A source that was not heard of for too long."""

    source: str
    last_success: int
    since: int
    """From when on it was stale."""


class Held(NamedTuple):
    """Something that is kept out of the tape."""

    row: HeldRow
    known: int
    seen: int


_NAMES = "s.name, p.name, m.name, e.published_provider, e.published_model, e.tag, e.sibling, e.variant"
_OFFERS = """
FROM source s
CROSS JOIN endpoint e
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
"""
_LOOKED = """EXISTS (
    SELECT 1 FROM poll b
    WHERE b.source_id = e.source_id AND b.outcome <> 'failed' AND b.at >= {row}.first_seen AND b.at < {row}.known_from
        AND b.known < {row}.known_from
)"""
"""SQL: something had been believed of that time before."""

# CROSS JOIN keeps SQLite from going through the whole history instead of from endpoint to endpoint.
_MOVED = f"""
SELECT {_NAMES}, i.known_from, i.first_seen, i.not_before, o.endpoint_id,
    o.end_known <= i.known_from AND o.ended = i.first_seen, o.card_id, o.facts_id, i.card_id, i.facts_id, d.sha256,
    NOT EXISTS (
        SELECT 1 FROM endpoint x CROSS JOIN span y
        WHERE x.model_id = e.model_id AND y.endpoint_id = x.id AND y.first_seen + y.known_lag < i.known_from
    )
{_OFFERS}
CROSS JOIN "interval" i
LEFT JOIN "interval" o ON o.endpoint_id = e.id AND {believed("o", "i.known_from")}
    AND o.first_seen = {newest("e.id", "< i.first_seen", "i.known_from")}
LEFT JOIN document d ON d.id = i.document_id
WHERE e.source_id = s.id AND i.endpoint_id = e.id AND i.first_seen >= :since
    AND i.known_from > :after AND i.known_from <= :until AND i.known_lag <= {_FRESH_MILLIS}
    AND (i.not_before IS NOT NULL OR o.endpoint_id IS NOT NULL)
    AND m.name NOT LIKE '{CURRENCIES}%' AND NOT {_LOOKED.format(row="i")}
ORDER BY i.known_from, s.name, p.name, e.published_model, e.tag, e.sibling, e.id
"""  # noqa: S608 - put together from constants only

# What was open when the stretch began is the newest that was believed then, or began since.
_WITHDRAWN = f"""
SELECT {_NAMES}, w.end_known, w.ended, w.last_seen, w.card_id, w.facts_id
{_OFFERS}
CROSS JOIN "interval" w
WHERE e.source_id = s.id AND w.endpoint_id = e.id
    AND w.first_seen >= COALESCE({newest("e.id", "<= :after", ":after")}, :after)
    AND w.end_reason = 'withdrawn' AND w.end_known > :after AND w.end_known <= :until AND w.known_from < w.end_known
    AND m.name NOT LIKE '{CURRENCIES}%' AND EXISTS (
        SELECT 1 FROM poll b
        WHERE b.source_id = e.source_id AND b.known = w.end_known AND b.at >= w.end_known - {_FRESH_MILLIS}
    )
ORDER BY w.end_known, s.name, p.name, e.published_model, e.tag, e.sibling, e.id
"""  # noqa: S608 - put together from constants only

_ANNOUNCED = f"""
SELECT {_NAMES}, t.known_from, t.first_seen, t.since, t.until, t.card_id, d.sha256, (
        SELECT c.card_id FROM "interval" c
        WHERE c.endpoint_id = e.id AND c.first_seen <= t.first_seen AND {believed("c", "t.known_from")}
            AND (c.end_known IS NULL OR c.end_known > t.known_from OR c.ended > t.first_seen)
        ORDER BY c.first_seen DESC LIMIT 1
    )
{_OFFERS}
JOIN stated t ON t.endpoint_id = e.id
LEFT JOIN document d ON d.id = t.document_id
WHERE e.source_id = s.id AND t.since > t.first_seen AND t.known_from > :after AND t.known_from <= :until
    AND t.known_from - t.first_seen <= {_FRESH_MILLIS} AND m.name NOT LIKE '{CURRENCIES}%'
ORDER BY t.known_from, s.name, p.name, e.published_model, e.tag, e.sibling, e.id, t.since
"""  # noqa: S608 - put together from constants only

_CORRECTED = f"""
WITH offered AS (SELECT id, source_id FROM endpoint)
SELECT {_NAMES}, k.known, e.id, e.source_id
FROM ({CORRECTED}) k
JOIN endpoint e ON e.id = k.endpoint_id
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
WHERE m.name NOT LIKE '{CURRENCIES}%'
ORDER BY k.known, s.name, p.name, e.published_model, e.tag, e.sibling, e.id
"""  # noqa: S608 - put together from constants only

_HELD = f"""
SELECT s.name, g.subject, g.model, g.provider, e.published_model, e.tag, e.sibling, g.rule, g.message, g.first_seen,
    g.known_from, g.card_id, g.locator, d.sha256, d.url
FROM source s
JOIN finding g ON g.source_id = s.id
LEFT JOIN endpoint e ON e.id = g.endpoint_id
LEFT JOIN document d ON d.id = g.document_id
WHERE g.held AND g.known_from > :after AND g.known_from <= :until AND g.known_from - g.first_seen <= {_FRESH_MILLIS}
ORDER BY g.known_from, s.name, g.subject, g.rule, g.id
"""  # noqa: S608 - put together from constants only

_FAILING = f"""
SELECT s.name, b.known, b.at, COALESCE(b.message, b.code)
FROM source s
CROSS JOIN poll b
WHERE b.source_id = s.id AND b.at >= :since AND b.outcome = 'failed' AND b.known > :after AND b.known <= :until
    AND b.known - b.at <= {_FRESH_MILLIS} AND :times = (
        SELECT COUNT(*) FROM poll f
        WHERE f.source_id = s.id AND f.outcome = 'failed' AND f.at <= b.at AND f.known <= b.known
            AND f.at > COALESCE((
                SELECT g.at FROM poll g
                WHERE g.source_id = s.id AND g.at < b.at AND g.known <= b.known AND g.outcome <> 'failed'
                ORDER BY g.at DESC LIMIT 1
            ), -9223372036854775807)
    )
ORDER BY b.known, s.name, b.at
"""  # noqa: S608 - put together from constants only

_STALE = """
SELECT b.at FROM poll b
WHERE b.source_id = :source AND b.outcome <> 'failed' AND b.at > :after - :limit AND b.at <= :until - :limit
    AND b.known <= b.at + :limit AND NOT EXISTS (
        SELECT 1 FROM poll n
        WHERE n.source_id = b.source_id AND n.outcome <> 'failed' AND n.at > b.at AND n.known <= b.at + :limit
    )
ORDER BY b.at
"""
_SOURCES = "SELECT id, name, every_s FROM source ORDER BY name"

_INSTANTS = """
SELECT known FROM (
    SELECT i.known_from AS known FROM model m JOIN endpoint e ON e.model_id = m.id JOIN "interval" i
        ON i.endpoint_id = e.id WHERE m.name = :model
    UNION
    SELECT i.end_known FROM model m JOIN endpoint e ON e.model_id = m.id JOIN "interval" i
        ON i.endpoint_id = e.id WHERE m.name = :model AND i.end_known IS NOT NULL
    UNION
    SELECT i.known_to FROM model m JOIN endpoint e ON e.model_id = m.id JOIN "interval" i
        ON i.endpoint_id = e.id WHERE m.name = :model AND i.known_to IS NOT NULL
) one
WHERE known <= :until
ORDER BY known
"""


class News:
    """What became known in (after, until], in milliseconds; each kind is looked for once."""

    def __init__(self, reader: Reader, after: int, until: int) -> None:
        self.reader = reader
        self.after = after
        self.until = until
        self._between: dict[str, Value] = {"after": after, "until": until}
        self._since: dict[str, Value] = {"since": after - _FRESH_MILLIS}
        self._facts: dict[int, Facts] = {}

    @cached_property
    def moved(self) -> "list[Moved]":
        """Endpoints that came, came back, or whose card or facts changed."""
        return list(self._find_moved())

    def _find_moved(self) -> Iterator[Moved]:
        for row in self.reader.rows(_MOVED, self._between | self._since):
            known, seen, not_before, before, follows, old, old_facts, new, new_facts, document, new_model = row[8:]
            event = "arrival" if before is None else "change" if follows else "return"
            yield Moved(
                _offer(row),
                event,
                known,
                seen,
                not_before,
                self._card(old if follows else None),
                self._card(new),
                self._of(old_facts if follows else None),
                self._of(new_facts),
                document,
                bool(new_model),
            )

    @cached_property
    def withdrawn(self) -> "list[Moved]":
        """Endpoints that are gone, once that was certain."""
        return list(self._find_withdrawn())

    def _find_withdrawn(self) -> Iterator[Moved]:
        for row in self.reader.rows(_WITHDRAWN, self._between):
            known, seen, last_seen, card, facts = row[8:]
            yield Moved(
                _offer(row),
                "withdrawal",
                known,
                seen,
                last_seen,
                self._card(card),
                None,
                self._of(facts),
                Facts(),
                None,
                new_model=False,
            )

    @cached_property
    def announced(self) -> "list[Announced]":
        """Prices that are to be."""
        return list(self._find_announced())

    def _find_announced(self) -> Iterator[Announced]:
        for row in self.reader.rows(_ANNOUNCED, self._between):
            known, seen, since, until, card, document, old = row[8:]
            yield Announced(_offer(row), known, seen, since, until, self._card(old), self.reader.card(card), document)

    @cached_property
    def corrected(self) -> "list[Moved]":
        """Stretches of the past of which something else is believed."""
        return list(self._find_corrected())

    def _find_corrected(self) -> Iterator[Moved]:
        witness = Witness(self.reader)
        # Both ends of a stretch are whole milliseconds: (after, until] is [after + 1, until + 1).
        values = {"since": self.after + 1, "until": self.until + 1, "known": self.until}
        for row in self.reader.rows(_CORRECTED, values | {"late_since": self.after + 1 - LATE_MILLIS}):
            known, endpoint_id, source_id = row[8:]
            for one in witness.corrections(endpoint_id, source_id, known):
                yield Moved(
                    _offer(row),
                    "correction",
                    known,
                    one.since,
                    None,
                    self._card(_card_of(one.old)),
                    self._card(_card_of(one.new)),
                    Facts(),
                    Facts(),
                    one.document,
                    new_model=False,
                )

    @cached_property
    def held(self) -> "list[Held]":
        """What is not believed."""
        return list(self._find_held())

    def _find_held(self) -> Iterator[Held]:
        for row in self.reader.rows(_HELD, self._between):
            source, subject, model, provider, published, tag, sibling, rule, message, seen, known, card, *rest = row
            locator, document, url = rest
            held = HeldRow(
                source=source,
                subject=subject,
                model=model,
                provider=provider,
                endpoint=None if published is None else endpoint_reference(published, tag, sibling),
                rule=rule,
                message=message,
                first_seen=from_millis(seen),
                accepted=None,
                card=self._card(card),
                locator=locator,
                document=document,
                url=url,
            )
            yield Held(held, known, seen)

    def failing(self, times: int) -> Iterator[Failing]:
        """Sources whose failures in a row became that many."""
        for row in self.reader.rows(_FAILING, self._between | self._since | {"times": times}):
            yield Failing(*row)

    def stale(self, after_s: int | None, watched: Iterable[str]) -> Iterator[Stale]:
        """Sources of those named that were not heard of for so many seconds; None: two intervals, and a while."""
        names = set(watched)
        for source_id, name, every_s in self.reader.rows(_SOURCES):
            limit = 1000 * (2 * every_s + GRACE_S if after_s is None else after_s)
            if name in names:
                for (at,) in self.reader.rows(_STALE, self._between | {"source": source_id, "limit": limit}):
                    yield Stale(name, at, at + limit)

    def instants(self, model: str) -> list[int]:
        """When something became known of an offer of a model: the last time before this stretch, then each in it."""
        found = [int(known) for (known,) in self.reader.rows(_INSTANTS, {"model": model, "until": self.until})]
        before = sum(known <= self.after for known in found)
        return found[max(0, before - 1) :] if before else [self.after, *found]

    def _card(self, card_id: int | None) -> RateCard | None:
        return None if card_id is None else self.reader.card(card_id)

    def _of(self, facts_id: int | None) -> Facts:
        if facts_id is None:
            return Facts()
        if facts_id not in self._facts:
            row = self.reader.row("SELECT body FROM facts WHERE id = :facts", {"facts": facts_id})
            self._facts[facts_id] = Facts() if row is None else self.reader.facts(facts_id, str(row[0]))
        return self._facts[facts_id]


def _offer(row: Row) -> Offer:
    source, provider, model, published_provider, published_model, tag, sibling, variant = row[:8]
    return Offer(
        source, provider, model, published_provider, endpoint_reference(published_model, tag, sibling), variant
    )


def _card_of(term: Term | None) -> int | None:
    return None if term is None else term.card_id
