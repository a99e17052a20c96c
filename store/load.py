"""The state of a source's timeline, as the store keeps it."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row

from store import statements as sql
from store import timeline as tl
from store.instants import from_millis, to_millis
from store.records import EndpointKey, Facts, Identity, RateCard, Stated, Telemetry

PATIENCE_POLLS_LIMIT = 100
"""Complete polls always loaded, so that any setting of patience up to this finds what it needs."""


@dataclass(slots=True)
class Loaded:
    """A state, and the row ids behind it."""

    state: tl.SourceState
    endpoint_ids: dict[EndpointKey, int]
    stated_ids: dict[tuple[EndpointKey, Stated], int]
    finding_ids: dict[tl.OpenFinding, int]


_card = lru_cache(maxsize=20_000)(RateCard.from_text)
_facts = lru_cache(maxsize=20_000)(Facts.from_text)


def load(connection: Connection, source_id: int) -> Loaded:
    """Everything that the next step of a source depends on."""
    parameters = {"source_id": source_id}
    stated: dict[int, set[Stated]] = {}
    stated_rows: list[tuple[int, int, Stated]] = []
    for row in connection.execute(sql.STATED, parameters):
        one = Stated(
            since=_instant(row.since),
            until=_instant(row.until),
            card=_card(row.card),
        )
        stated.setdefault(row.endpoint_id, set()).add(one)
        stated_rows.append((row.id, row.endpoint_id, one))
    telemetry = {
        row.endpoint_id: Telemetry(status=row.status, uptime_percent=row.uptime_percent)
        for row in connection.execute(sql.TELEMETRY, parameters)
    }
    endpoints: dict[EndpointKey, tl.EndpointState] = {}
    keys: dict[int, EndpointKey] = {}
    for row in connection.execute(sql.ENDPOINTS, parameters):
        key = EndpointKey(provider=row.published_provider, model=row.published_model, tag=row.tag, sibling=row.sibling)
        keys[row.id] = key
        if row.first_seen is None and row.id not in stated:
            continue  # all that was believed of it is superseded
        endpoints[key] = tl.EndpointState(
            key=key,
            identity=Identity(provider=row.provider, model=row.model, variant=row.variant),
            part=row.part,
            last=None if row.first_seen is None else _interval(row),
            stated=frozenset(stated.get(row.id, ())),
            telemetry=telemetry.get(row.id),
        )
    findings = {
        tl.OpenFinding(
            subject=row.subject,
            rule=row.rule,
            message=row.message,
            held=bool(row.held),
            card=None if row.card is None else _card(row.card),
            key=None if row.endpoint_id is None else keys[row.endpoint_id],
            part=row.part or "",
        ): row.id
        for row in connection.execute(sql.FINDINGS, parameters)
    }
    return Loaded(
        state=tl.SourceState(
            endpoints=endpoints, findings=frozenset(findings), polls=_polls(connection, source_id, endpoints)
        ),
        endpoint_ids={key: row_id for row_id, key in keys.items()},
        stated_ids={(keys[endpoint_id], one): row_id for row_id, endpoint_id, one in stated_rows},
        finding_ids=findings,
    )


def _interval(row: Row[Any]) -> tl.Interval:
    return tl.Interval(
        card=_card(row.card),
        facts=_facts(row.facts),
        first_seen=from_millis(row.first_seen),
        not_before=_instant(row.not_before),
        evidence=tl.Evidence(part=row.document_part, document=row.sha256, url=row.url, locator=row.locator),
        unseen_since=_instant(row.unseen_since),
        last_seen=_instant(row.seen_before_gap if row.ended is None else row.last_seen),
        ended=_instant(row.ended),
        end_reason=row.end_reason,
    )


def _instant(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _polls(
    connection: Connection, source_id: int, endpoints: dict[EndpointKey, tl.EndpointState]
) -> tuple[tl.PollMark, ...]:
    """The polls that the next step may ask about (see `store.timeline.needed_since`)."""
    enough = connection.execute(sql.COMPLETE_SINCE, {"source_id": source_id, "skip": PATIENCE_POLLS_LIMIT - 1}).scalar()
    unseen = (one.open.unseen_since for one in endpoints.values() if one.open is not None)
    since = min([0 if enough is None else int(enough), *(to_millis(at) for at in unseen if at is not None)])
    return tuple(
        tl.PollMark(
            at=from_millis(row.at),
            complete=bool(row.complete),
            failed_parts=frozenset(json.loads(row.failed_parts or "[]")),
            pruned=row.pruned is not None,
        )
        for row in connection.execute(sql.POLLS_SINCE, {"source_id": source_id, "since": since})
    )
