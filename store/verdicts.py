"""What a person or a second source said of what is held: recorded, never edited, and the newest on a thing stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection

from store import statements as sql
from store.instants import from_millis, to_millis
from store.records import BY_SOURCE, RateCard, Verdict, endpoint_reference

Verdicts: TypeAlias = Mapping[tuple[str, str], bool]
"""By subject and value, whether it is released (see `store.timeline.SourceState.verdicts`)."""


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


def verdicts_on(connection: Connection, source_id: int) -> dict[tuple[str, str], bool]:
    """What was said of what was held of a source; the newest of each."""
    rows = connection.execute(sql.VERDICTS, {"source_id": source_id})
    return {(row.subject, row.value): bool(row.released) for row in rows}


def keep_verdicts(connection: Connection, source_id: int, said: Iterable[Verdict], *, known: datetime) -> int:
    """Record verdicts; how many. What a source confirms that stands already, by another process, is not said twice."""
    standing = verdicts_on(connection, source_id)
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
        if not (one.by.startswith(BY_SOURCE) and standing.get((one.subject, one.value)))
    ]
    if rows:
        connection.execute(sql.INSERT["verdict"], rows)
    return len(rows)


def confirmable(connection: Connection) -> list[Confirmable]:
    """Every card that is held and on which there is no verdict, beside what each other source states, undoubted."""
    rows = connection.execute(sql.CONFIRMABLE).all()
    said = {source_id: verdicts_on(connection, source_id) for source_id in {row.source_id for row in rows}}
    return [
        Confirmable(
            source=row.source,
            subject=row.subject,
            since=from_millis(row.first_seen),
            held=RateCard.from_text(row.held),
            accepted=None if row.accepted is None else RateCard.from_text(row.accepted),
            witness=row.witness,
            stated=RateCard.from_text(row.stated),
            stated_by=f"{row.witness}:{row.published_provider}:"
            f"{endpoint_reference(row.published_model, row.tag, row.sibling)}",
            stated_since=from_millis(row.stated_since),
        )
        for row in rows
        if (row.subject, row.held) not in said[row.source_id]
    ]
