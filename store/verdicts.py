"""What was said of what is held, by a person, a second source or what others charge: recorded and never edited."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from store import statements as sql
from store.instants import from_millis, to_millis
from store.records import BY_OTHERS, BY_SOURCE, RateCard, Said, Verdict, Verdicts, endpoint_reference, with_said
from store.sellers import Model, Seller


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmable:
    """A card that is held, and what another source states of the same offer."""

    source: str
    subject: str
    since: datetime
    held: RateCard
    accepted: RateCard | None
    """In force meanwhile."""
    witness: str
    """The other source."""
    stated: RateCard
    stated_by: str
    """The other source's endpoint, as it is referred to."""
    stated_since: datetime
    doubted: bool
    """It is held there too, for it is far from what others charge."""


def verdicts_on(connection: Connection, source_id: int) -> Verdicts:
    """What was said of what was held of a source."""
    return with_said({}, map(_verdict, connection.execute(sql.VERDICTS, {"source_id": source_id})))


def _verdict(row: Row[Any]) -> Verdict:
    return Verdict(
        subject=row.subject,
        value=row.value,
        released=bool(row.released),
        by=row.by,
        note=row.note,
        since=from_millis(row.since),
    )


def keep_verdicts(connection: Connection, source_id: int, said: Iterable[Verdict], *, known: datetime) -> int:
    """Record verdicts; how many. What stands already, by another process, is not said twice but by a person."""
    said = list(said)
    standing = verdicts_on(connection, source_id) if said else {}

    def stands(one: Verdict) -> bool:
        already = standing.get((one.subject, one.value), Said())
        return bool(already.against) if one.by == BY_OTHERS else one.by.startswith(BY_SOURCE) and bool(already.released)

    rows = [
        {
            "source_id": source_id,
            "subject": one.subject,
            "value": one.value,
            "released": one.released,
            "by": one.by,
            "note": one.note,
            "since": to_millis(one.since),
            "known": to_millis(known),
        }
        for one in said
        if not stands(one)
    ]
    if rows:
        connection.execute(sql.INSERT["verdict"], rows)
    return len(rows)


def confirmable(connection: Connection) -> list[Confirmable]:
    """Every card that is held and waits for a verdict, beside what each other source states of the same offer,
    undoubted or only far from what others charge.
    """
    rows = [
        (row, f"{row.published_provider}:{endpoint_reference(row.published_model, row.tag, row.sibling)}", False)
        for row in connection.execute(sql.CONFIRMABLE)
    ]
    rows += ((row, row.stated_by, True) for row in connection.execute(sql.CONFIRMABLE_BY_DOUBTED))
    said = {source_id: verdicts_on(connection, source_id) for source_id in {row.source_id for row, *_ in rows}}
    return [
        Confirmable(
            source=row.source,
            subject=row.subject,
            since=from_millis(row.first_seen),
            held=RateCard.from_text(row.held),
            accepted=None if row.accepted is None else RateCard.from_text(row.accepted),
            witness=row.witness,
            stated=RateCard.from_text(row.stated),
            stated_by=f"{row.witness}:{stated_by}",
            stated_since=from_millis(row.stated_since),
            doubted=doubted,
        )
        for row, stated_by, doubted in rows
        if said[row.source_id].get((row.subject, row.held), Said()).released is None
    ]


def sellers_on(
    connection: Connection, source: str, trust: int, models: Iterable[Model], at: datetime
) -> dict[Model, list[Seller]]:
    """Who sells each of some models at an instant, for dollars and as known now, by other sources than one."""
    wanted = set(models)
    names = sorted({name for name, _ in wanted})
    found: dict[Model, list[Seller]] = {}
    for start in range(0, len(names), sql.CHUNK):
        some = {"models": names[start : start + sql.CHUNK], "at": to_millis(at), "source": source, "trust": trust}
        for row in connection.execute(sql.SELLERS, some):
            if (row.model, row.variant) in wanted:
                seller = Seller(row.provider, row.input, row.output, bool(row.trusted_more))
                found.setdefault((row.model, row.variant), []).append(seller)
    return found
