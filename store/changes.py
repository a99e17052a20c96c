"""What moved: the difference between one interval of an endpoint and the next."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from store.instants import from_micros, to_micros
from store.read import Reader
from store.records import Facts, RateCard, endpoint_reference
from store.routing import condition_text
from store.units import decimal_text

ChangeEvent = Literal["arrival", "change", "withdrawal", "return"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One meter or fact of one endpoint that moved."""

    seen: datetime
    """The poll that showed it; of a withdrawal, the first that missed it."""
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
    """SHA-256 of the document that showed it, hex; None for a withdrawal, which is shown by no document."""


# The first poll of a source shows what was there, not what moved: an interval before which nobody looked is no arrival.
_CHANGES = """
SELECT n.seen, n.not_before, n.event, m.name, p.name, e.published_model, e.tag, e.sibling, e.variant, s.name,
    n.old_card, n.old_facts, n.new_card, n.new_facts, d.sha256
FROM (
    SELECT i.endpoint_id, i.first_seen AS seen, i.not_before,
        CASE WHEN o.endpoint_id IS NULL THEN 'arrival' WHEN o.ended = i.first_seen THEN 'change' ELSE 'return' END
            AS event,
        o.card_id AS old_card, o.facts_id AS old_facts, i.card_id AS new_card, i.facts_id AS new_facts, i.document_id
    FROM "interval" i
    LEFT JOIN "interval" o ON o.endpoint_id = i.endpoint_id AND o.first_seen = (
        SELECT MAX(x.first_seen) FROM "interval" x WHERE x.endpoint_id = i.endpoint_id AND x.first_seen < i.first_seen
    )
    WHERE i.first_seen >= :since AND i.first_seen < :until
        AND (i.not_before IS NOT NULL OR o.endpoint_id IS NOT NULL)
    UNION ALL
    SELECT w.endpoint_id, w.ended, w.last_seen, 'withdrawal', w.card_id, w.facts_id, NULL, NULL, NULL
    FROM "interval" w
    WHERE w.end_reason = 'withdrawn' AND w.ended >= :since AND w.ended < :until
) n
JOIN endpoint e ON e.id = n.endpoint_id
JOIN model m ON m.id = e.model_id
JOIN provider p ON p.id = e.provider_id
JOIN source s ON s.id = e.source_id
LEFT JOIN document d ON d.id = n.document_id
WHERE (CAST(:model AS TEXT) IS NULL OR m.name = :model)
    AND (CAST(:provider AS TEXT) IS NULL OR p.name = :provider)
    AND (CAST(:source AS TEXT) IS NULL OR s.name = :source)
ORDER BY n.seen, m.name, p.name, e.published_model, e.tag, e.sibling, s.name
"""
_FACTS = "SELECT body FROM facts WHERE id = :facts"

_Move = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""meter, old, new, old state, new state, percent."""


def changes(
    reader: Reader,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
) -> Iterator[ChangeRow]:
    """What was first seen to have moved in [since, until), oldest first, a row for each meter and fact.

    None: from the first poll on, up to the last.
    """
    values = {
        "since": -(2**63) if since is None else to_micros(since),
        "until": 2**63 - 1 if until is None else to_micros(until),
        "model": model,
        "provider": provider,
        "source": source,
    }
    for row in reader.rows(_CHANGES, values):
        seen, not_before, event, model_name, provider_name, published_model, tag, sibling, variant, source_name = row[
            :10
        ]
        old_card, old_facts, new_card, new_facts, document = row[10:]
        moves = card_moves(
            None if event in ("arrival", "return") else reader.card(old_card),
            None if event == "withdrawal" else reader.card(new_card),
        )
        if event == "change" and old_facts != new_facts:
            moves += facts_moves(_facts(reader, old_facts), _facts(reader, new_facts))
        for meter, old, new, old_state, new_state, percent in moves:
            yield ChangeRow(
                seen=from_micros(seen),
                not_before=None if not_before is None else from_micros(not_before),
                event=event,
                model=model_name,
                provider=provider_name,
                endpoint=endpoint_reference(published_model, tag, sibling),
                variant=variant,
                source=source_name,
                meter=meter,
                old=old,
                new=new,
                old_state=old_state,
                new_state=new_state,
                change_percent=percent,
                document=document,
            )


def card_moves(old: RateCard | None, new: RateCard | None) -> list[_Move]:
    """The meters that differ between two cards; None: there was no offer, and every meter of the other moved."""
    before, after = _meters(old), _meters(new)
    moves: list[_Move] = []
    comparable = True
    if old is not None and new is not None and old.currency != new.currency:
        comparable = False
        moves.append(("currency", old.currency, new.currency, None, None, None))
    for meter in dict.fromkeys((*before, *after)):
        old_amount, old_state = before.get(meter, (None, None if old is None else "not_offered"))
        new_amount, new_state = after.get(meter, (None, None if new is None else "not_offered"))
        if (old_amount, old_state) != (new_amount, new_state):
            percent = percent_text(old_amount, new_amount) if comparable else None
            moves.append((meter, _amount(old_amount), _amount(new_amount), old_state, new_state, percent))
    if not moves and (old is None or new is None):
        moves.append(("", None, None, None, None, None))  # an offer without any price came or went all the same
    return moves


def facts_moves(old: Facts, new: Facts) -> list[_Move]:
    """The facts that differ."""
    moves: list[_Move] = []
    for name in Facts.__dataclass_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(before, tuple):
            gone = " ".join(one for one in before if one not in after)
            added = " ".join(one for one in after if one not in before)
            moves.append((name, gone or None, added or None, None, None, None))
        else:
            counts = isinstance(before, int) and isinstance(after, int)
            moves.append(
                (name, _fact(before), _fact(after), None, None, percent_text(before, after) if counts else None)
            )
    return moves


def percent_text(old: int | None, new: int | None) -> str | None:
    """By how many percent of the old the new differs, rounded half to even to hundredths; None from nothing."""
    if not old or new is None:
        return None
    hundredths = round(Fraction((new - old) * 10_000, old))
    return decimal_text(hundredths * 10_000_000)


def _meters(card: RateCard | None) -> dict[str, tuple[int | None, str]]:
    """Each meter of a card, also under its conditions, with its amount and state."""
    if card is None:
        return {}
    meters: dict[str, tuple[int | None, str]] = {
        meter: (amount, "priced" if amount else "free") for meter, amount in card.amounts
    }
    meters |= {meter: (None, state) for meter, state in card.states}
    for override in card.overrides:
        meters |= {
            f"{meter} {condition_text(override)}": (amount, "priced" if amount else "free")
            for meter, amount in override.amounts
        }
    return meters


def _facts(reader: Reader, facts_id: int) -> Facts:
    row = reader.row(_FACTS, {"facts": facts_id})
    return Facts.from_text(row[0]) if row else Facts()


def _amount(amount: int | None) -> str | None:
    return None if amount is None else decimal_text(amount)


def _fact(value: object) -> str | None:
    return None if value is None else str(value)
