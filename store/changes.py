"""What moved: from one interval of an endpoint to the next, in what is believed of the past, in what is announced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Literal, NamedTuple

from store.belief import EVER, believed, lasted, newest
from store.corrections import CORRECTED, LATE_MILLIS, Term, Witness
from store.instants import from_millis, to_millis
from store.moves import Move, card_moves, facts_moves
from store.naming import CURRENCIES
from store.read import Reader, Row, Value
from store.records import Facts, endpoint_reference

FACTS_KEPT = 4096
"""Sets of facts held in memory by an answer."""

ChangeEvent = Literal[
    "arrival", "change", "withdrawal", "return", "correction", "announcement", "announcement withdrawn"
]

ChangeKind = Literal["price", "fact"]


class ChangeRow(NamedTuple):
    """One meter or fact of one endpoint that moved."""

    seen: datetime
    """The poll that showed it; of a withdrawal, the first that missed it; of a correction, when it became known."""
    not_before: datetime | None
    """The last poll that did not show it yet: the change lies between the two."""
    event: ChangeEvent
    model: str
    provider: str
    endpoint: str
    variant: str
    source: str
    meter: str
    """A meter, with its condition where there is one (`input above 200000`), or the name of a fact."""
    old: str | None
    """A plain decimal, or the value of a fact; of a list, what is gone. None: there was no amount (see the state)."""
    new: str | None
    """Of a list, what was added."""
    old_state: str | None
    """`priced`, `free`, `varies`, `unknown`, `not_offered`; None for a fact, and for an endpoint that was not there."""
    new_state: str | None
    change_percent: str | None
    """Rounded to hundredths; None where there is nothing to compare."""
    document: str | None
    """SHA-256 of the document that showed it, hex; None for what is gone, which is shown by no document."""
    known: datetime
    """When it became known."""
    since: datetime | None
    """Of a correction, the first instant of the time that was believed otherwise; of an announcement, when the price is
    to be in force; else None."""
    until: datetime | None
    """Where that time ends; None: not yet, or not said."""
    kind: ChangeKind
    """Whether what moved is a price, as an offer that comes or goes is too, or a fact beside it."""


def _in_force(at: str, column: str) -> str:
    """SQL: the card or the facts that an endpoint has at an instant."""
    return f"""(
        SELECT c.{column} FROM "interval" c
        WHERE c.endpoint_id = e.id AND c.first_seen <= {at} AND {believed("c")} AND {lasted("c", at)}
        ORDER BY c.first_seen DESC LIMIT 1
    )"""  # noqa: S608 - put together from constants only


# CROSS JOIN keeps SQLite from going through the whole history instead of from endpoint to endpoint, where time is an
# index, and from making a table of all events before they are sorted. The first poll of a source shows what was there,
# not what moved: an interval before which nobody looked is no arrival. Of what has ended, nothing that began before the
# newest interval before `since` can have ended after it.
_CHANGES = f"""
WITH offered AS (
    SELECT e.id, e.source_id, m.name AS model, p.name AS provider, e.published_model, e.tag, e.sibling, e.variant,
        s.name AS source
    FROM endpoint e
    JOIN model m ON m.id = e.model_id
    JOIN provider p ON p.id = e.provider_id
    JOIN source s ON s.id = e.source_id
    WHERE (CAST(:model AS TEXT) IS NULL OR m.name = :model)
        AND (CAST(:provider AS TEXT) IS NULL OR p.name = :provider)
        AND (CAST(:source AS TEXT) IS NULL OR s.name = :source)
        AND (CAST(:model AS TEXT) IS NOT NULL OR m.name NOT LIKE '{CURRENCIES}%')
)
SELECT n.event, n.seen, n.known, n.not_before, n.old_card, n.old_facts, n.new_card, n.new_facts, d.sha256,
    n.first, n.last, e.id, e.source_id, e.model, e.provider, e.published_model, e.tag, e.sibling, e.variant, e.source
FROM (
    SELECT e.id AS endpoint_id, i.first_seen AS seen, i.known_from AS known, i.not_before,
        CASE WHEN o.endpoint_id IS NULL THEN 'arrival' WHEN o.ended = i.first_seen THEN 'change' ELSE 'return' END
            AS event,
        CASE WHEN o.ended = i.first_seen THEN o.card_id END AS old_card,
        CASE WHEN o.ended = i.first_seen THEN o.facts_id END AS old_facts,
        i.card_id AS new_card, i.facts_id AS new_facts, i.document_id, CAST(NULL AS BIGINT) AS first,
        CAST(NULL AS BIGINT) AS last
    FROM offered e
    CROSS JOIN "interval" i
    LEFT JOIN "interval" o ON o.endpoint_id = e.id AND o.first_seen = {newest("e.id", "< i.first_seen")}
        AND {believed("o")}
    WHERE i.endpoint_id = e.id AND i.first_seen >= :since AND i.first_seen < :until AND {believed("i")}
        AND (i.not_before IS NOT NULL OR o.endpoint_id IS NOT NULL)
    UNION ALL
    SELECT e.id, w.ended, w.end_known, w.last_seen, 'withdrawal', w.card_id, w.facts_id, NULL, NULL, NULL, NULL, NULL
    FROM offered e
    CROSS JOIN "interval" w
    WHERE w.endpoint_id = e.id AND w.first_seen >= COALESCE({newest("e.id", "< :since")}, :since)
        AND w.first_seen < :until AND {believed("w")} AND w.end_known <= :known
        AND w.end_reason = 'withdrawn' AND w.ended >= :since AND w.ended < :until
    UNION ALL
    SELECT e.id, t.first_seen, t.known_from, NULL, 'announcement', {_in_force("t.first_seen", "card_id")}, NULL,
        t.card_id, NULL, t.document_id, t.since, t.until
    FROM offered e
    CROSS JOIN stated t
    WHERE t.endpoint_id = e.id AND t.since > t.first_seen AND {believed("t")}
        AND t.first_seen >= :since AND t.first_seen < :until
    UNION ALL
    SELECT e.id, t.ended, t.end_known, NULL, 'announcement withdrawn', t.card_id, NULL,
        {_in_force("t.ended", "card_id")}, NULL, NULL, t.since, t.until
    FROM offered e
    CROSS JOIN stated t
    WHERE t.endpoint_id = e.id AND t.since > t.first_seen AND {believed("t")}
        AND t.end_known <= :known AND t.ended < t.since AND t.ended >= :since AND t.ended < :until
    UNION ALL
    SELECT k.endpoint_id, k.known, k.known, NULL, 'correction', NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM ({CORRECTED}) k
) n
CROSS JOIN offered e
LEFT JOIN document d ON d.id = n.document_id
WHERE e.id = n.endpoint_id
ORDER BY n.seen, e.model, e.provider, e.published_model, e.tag, e.sibling, e.source, e.id, n.event,
    n.first NULLS FIRST, n.last NULLS FIRST, n.new_card NULLS FIRST, n.old_card NULLS FIRST
"""  # noqa: S608 - put together from constants only
_FACTS = "SELECT body FROM facts WHERE id = :facts"


@dataclass(frozen=True, slots=True)
class _Event:
    """What is the same in all rows of one event."""

    kind: ChangeEvent
    old: Term | None
    new: Term | None
    document: str | None
    first: int | None = None
    last: int | None = None


def changes(
    reader: Reader,
    *,
    known: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
    prices_only: bool = False,
) -> Iterator[ChangeRow]:
    """What was first seen to have moved in [since, until), oldest first, a row for each meter and fact.

    With `prices_only`, facts are left out: an edit of a release date moves no price.

    That is the timeline as it was known at an instant, with all that had been corrected by then: what a late document
    or a mended parser tells of the past is a correction when it becomes known, and stands at its own time as well.
    None: from the first poll on, up to the last, with all that is known.
    """
    from_millis_on = -(2**63) if since is None else to_millis(since)
    values: dict[str, Value] = {
        "since": from_millis_on,
        "late_since": max(-(2**63), from_millis_on - LATE_MILLIS),
        "until": EVER if until is None else to_millis(until),
        "known": EVER if known is None else to_millis(known),
        "model": model,
        "provider": provider,
        "source": source,
    }
    witness = Witness(reader)
    facts = None if prices_only else lru_cache(maxsize=FACTS_KEPT)(partial(_facts, reader))
    for row in reader.stream(_CHANGES, values):
        kind, document, first, last, endpoint_id, source_id = row[0], *row[8:13]
        if kind == "correction":
            for one in witness.corrections(endpoint_id, source_id, row[2]):
                event = _Event("correction", one.old, one.new, one.document, one.since, one.until)
                yield from _rows(reader, facts, row, event)
        else:
            event = _Event(kind, _term(*row[4:6]), _term(*row[6:8]), document, first, last)
            yield from _rows(reader, facts, row, event)


def _term(card_id: int | None, facts_id: int | None) -> Term | None:
    return None if card_id is None else Term(card_id, facts_id)


def _rows(reader: Reader, facts: Callable[[int], Facts] | None, row: Row, event: _Event) -> Iterator[ChangeRow]:
    seen, known, not_before = from_millis(row[1]), from_millis(row[2]), _instant(row[3])
    since, until = _instant(event.first), _instant(event.last)
    model, provider, published_model, tag, sibling, variant, source = row[13:]
    endpoint = endpoint_reference(published_model, tag, sibling)
    old, new = event.old, event.new
    cards = (None if old is None else reader.card(old.card_id), None if new is None else reader.card(new.card_id))
    moves: list[tuple[ChangeKind, Move]] = [("price", move) for move in card_moves(*cards)]
    if facts and old and new and old.facts_id is not None and new.facts_id is not None and old.facts_id != new.facts_id:
        moves += (("fact", move) for move in facts_moves(facts(old.facts_id), facts(new.facts_id)))
    for kind, (meter, before, after, old_state, new_state, percent) in moves:
        yield ChangeRow(
            seen=seen,
            not_before=not_before,
            event=event.kind,
            model=model,
            provider=provider,
            endpoint=endpoint,
            variant=variant,
            source=source,
            meter=meter,
            old=before,
            new=after,
            old_state=old_state,
            new_state=new_state,
            change_percent=percent,
            document=event.document,
            known=known,
            since=since,
            until=until,
            kind=kind,
        )


def _instant(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _facts(reader: Reader, facts_id: int) -> Facts:
    row = reader.row(_FACTS, {"facts": facts_id})
    return Facts.from_text(row[0]) if row else Facts()
