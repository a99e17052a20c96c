"""The state of a source's timeline, as the store keeps it: all of it, or what a sighting touches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row

from store import statements as sql
from store import timeline as tl
from store.errors import StoreForeign
from store.instants import from_millis, to_millis
from store.records import (
    EndpointKey,
    Facts,
    Identity,
    Observation,
    Offer,
    RateCard,
    Returned,
    Sighting,
    Stated,
    Telemetry,
    parts_from_text,
)
from store.returned import BEHIND, ROLLBACK
from store.touched import AT_REST, Mark
from store.verdicts import verdicts_on

EPOCH = date(1970, 1, 1).toordinal()
PATIENCE_POLLS_LIMIT = 100
"""Complete polls always loaded, so that any setting of patience up to this finds what it needs."""


@dataclass(slots=True)
class Loaded:
    """A state, and the row ids behind it."""

    state: tl.SourceState
    endpoint_ids: dict[EndpointKey, int] = field(default_factory=dict)
    marks: dict[EndpointKey, Mark] = field(default_factory=dict)
    """As they are stored."""
    stated_ids: dict[tuple[EndpointKey, Stated], int] = field(default_factory=dict)
    finding_ids: dict[tl.OpenFinding, int] = field(default_factory=dict)


_card = lru_cache(maxsize=20_000)(RateCard.from_text)
_facts = lru_cache(maxsize=20_000)(Facts.from_text)


def load(connection: Connection, source_id: int) -> Loaded:
    """Everything that the next step of a source depends on."""
    return _loaded(connection, source_id, None)


def load_touched(
    connection: Connection, source_id: int, sighting: Sighting, fresh: Mapping[bytes, Observation]
) -> tuple[Loaded, Sighting]:
    """What of a source a sighting touches, and the sighting of that alone (see `store.touched`).

    `fresh` are its observations by their marks.
    """
    cursor: Any = connection.execute(sql.MARKS, {"source_id": source_id, "rest": AT_REST}).cursor
    unknown, visited = dict(fresh), []
    for one, endpoint_id in cursor:  # as the driver has them: rows of SQLAlchemy's take as long again
        if unknown.pop(one, None) is None:
            visited.append(endpoint_id)
    new = dict.fromkeys(one.key.offer for one in unknown.values())
    ids: dict[int, None] = {}
    offers: dict[Offer, None] = {}
    for some in _chunks(visited):
        for provider, model, tag, endpoint_id in connection.execute(sql.SIBLINGS_OF, {"endpoints": some}):
            ids[endpoint_id] = offers[provider, model, tag] = None
    for some in _chunks([offer for offer in new if offer not in offers]):
        ids |= dict.fromkeys(connection.execute(sql.SIBLINGS, {"source_id": source_id, "offers": some}).scalars())
    offers |= new
    loaded = _loaded(connection, source_id, list(ids))
    held = connection.execute(sql.HELD, {"source_id": source_id}).scalar_one()
    known = len(fresh) - len(unknown)
    loaded.state = replace(
        loaded.state,
        unchanged=known - sum(one in fresh for one in loaded.marks.values()),
        standing=held - sum(finding.held for finding in loaded.finding_ids),
    )
    keys = {EndpointKey(*offer) for offer in offers}  # of observations: without a sibling
    shown = tuple(one for one in sighting.observations if one.key in keys) if offers else ()
    return loaded, replace(sighting, observations=shown)


def _loaded(connection: Connection, source_id: int, ids: Sequence[int] | None) -> Loaded:
    """The state as far as it is about some endpoints and about none; `ids` None: about all.

    Raises: StoreForeign if a row is about an endpoint that is not there.
    """
    try:
        return _read(connection, source_id, ids)
    except KeyError as error:
        raise StoreForeign(f"the store is damaged: there is no endpoint {error}: run `tokentape verify`") from None


def _read(connection: Connection, source_id: int, ids: Sequence[int] | None) -> Loaded:

    def rows(statements: Sequence[Any]) -> Iterator[Row[Any]]:
        whole, some = statements
        if ids is None:
            yield from connection.execute(whole, {"source_id": source_id})
        for chunk in _chunks(ids or ()):
            yield from connection.execute(some, {"endpoints": chunk})

    loaded = Loaded(state=tl.SourceState())
    stated: dict[int, set[Stated]] = {}
    stated_rows: list[tuple[int, int, Stated]] = []
    for row in rows(sql.STATED):
        one = Stated(since=_instant(row.since), until=_instant(row.until), card=_card(row.card))
        stated.setdefault(row.endpoint_id, set()).add(one)
        stated_rows.append((row.id, row.endpoint_id, one))
    telemetry = {
        row.endpoint_id: Telemetry(
            status=row.status,
            uptime_percent=row.uptime_percent,
            first_token_ms=row.first_token_ms,
            tokens_per_second=row.tokens_per_second,
        )
        for row in rows(sql.TELEMETRY)
    }
    endpoints: dict[EndpointKey, tl.EndpointState] = {}
    keys: dict[int, EndpointKey] = {}
    for row in rows(sql.ENDPOINTS):
        key = EndpointKey(row.published_provider, row.published_model, row.tag, row.sibling)
        keys[row.id] = key
        loaded.endpoint_ids[key], loaded.marks[key] = row.id, row.mark
        if row.first_seen is None and not row.stated_only:
            continue  # all that was believed of it is superseded
        endpoints[key] = tl.EndpointState(
            key=key,
            identity=Identity(provider=row.provider, model=row.model, variant=row.variant),
            part=row.part,
            last=None if row.first_seen is None else _interval(row),
            stated=frozenset(stated.get(row.id, ())),
            telemetry=telemetry.get(row.id),
        )
    loaded.stated_ids = {(keys[endpoint_id], one): row_id for row_id, endpoint_id, one in stated_rows}
    found = rows(sql.FINDINGS)
    loaded.finding_ids = {_finding(row, keys): row.id for row in found}
    if ids is not None:
        of_none = connection.execute(sql.FINDINGS_OF_NONE, {"source_id": source_id})
        loaded.finding_ids |= {_finding(row, keys): row.id for row in of_none}
    loaded.state = tl.SourceState(
        endpoints=endpoints,
        findings=frozenset(loaded.finding_ids),
        polls=_polls(connection, source_id, endpoints.values()),
        offered={
            EPOCH + row.day: row.offers
            for row in connection.execute(sql.OFFERED, {"source_id": source_id, "days": tl.OFFERED_DAYS})
        },
        verdicts=verdicts_on(connection, source_id),
    )
    return loaded


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), sql.CHUNK):
        yield values[start : start + sql.CHUNK]


def _finding(row: Row[Any], keys: dict[int, EndpointKey]) -> tl.OpenFinding:
    return tl.OpenFinding(
        subject=row.subject,
        rule=row.rule,
        message=row.message,
        held=bool(row.held),
        card=None if row.card is None else _card(row.card),
        key=None if row.endpoint_id is None else keys[row.endpoint_id],
        part=row.part or "",
        identity=None
        if row.provider is None
        else Identity(provider=row.provider, model=row.model, variant=row.variant),
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


def _polls(connection: Connection, source_id: int, endpoints: Iterable[tl.EndpointState]) -> tuple[tl.PollMark, ...]:
    """The polls that the next step may ask about (see `store.timeline.needed_since`)."""
    enough = connection.execute(sql.COMPLETE_SINCE, {"source_id": source_id, "skip": PATIENCE_POLLS_LIMIT - 1}).scalar()
    unseen = (one.open.unseen_since for one in endpoints if one.open is not None)
    since = min([0 if enough is None else int(enough), *(to_millis(at) for at in unseen if at is not None)])
    return tuple(
        tl.PollMark(
            at=from_millis(row.at),
            complete=bool(row.complete),
            failed_parts=parts_from_text(row.failed_parts),
            pruned=row.pruned is not None,
        )
        for row in connection.execute(sql.POLLS_SINCE, {"source_id": source_id, "since": since})
    )


def returned(connection: Connection, source_id: int, at: datetime, pack: str) -> Returned | None:
    """What came back with a poll newer than all in the store, as `store.returned.Sent` has it, from the rows.

    Of documents that are the same as those of the poll before, only as long as that poll had the finding: else they
    were new when they came, said nothing otherwise, or are believed by now.
    """
    values = {"source_id": source_id, "pack": pack}
    before = connection.execute(sql.NEWEST_READ, values).first()
    if before is None:
        return None
    if before.pack != pack:
        span = {"since": to_millis(at - BEHIND), "before": to_millis(at)}
        of = connection.execute(sql.LAST_READ_WITH, values | span).scalar()
        return None if of is None else Returned(since=at, of=from_millis(of))
    if connection.execute(sql.STANDS, {"source_id": source_id, "rule": ROLLBACK}).first() is None:
        return None
    run = connection.execute(sql.RUN, values).one()
    since = from_millis(run.since)
    span = {"since": to_millis(since - BEHIND), "before": run.since}
    return Returned(since=since, of=from_millis(connection.execute(sql.LAST_READ_WITH, values | span).scalar_one()))
