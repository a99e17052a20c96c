"""A source's timeline made anew, and what that corrects.

A timeline is a pure function of a source's documents and of the programs that read them. When a document arrives late,
or a parser was mended, it is drafted anew and laid beside what is believed: what differs is superseded and believed
anew from now on, what was open and has an end now is ended, and what is the same is not touched. Nothing is edited, so
that an answer once given can be given again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection

from store import statements as sql
from store import timeline as tl
from store.instants import from_millis, to_millis
from store.load import load
from store.records import EndpointKey, RateCard, Stated
from store.scribe import Scribe, millis

K = TypeVar("K")
RowKey = tuple[object, ...]
Kind = Literal["corrected", "added", "dropped", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One interval that is not believed as it was."""

    kind: Kind
    subject: str
    """As published: provider, model id, `@tag`, `#sibling`."""
    first_seen: datetime
    before: RateCard | None
    after: RateCard | None


@dataclass(frozen=True, slots=True)
class Belief:
    """What a row says, apart from the end that may be filled in once."""

    content: tuple[object, ...]
    end: tuple[object, ...] | None


@dataclass(slots=True)
class Draft:
    """A whole timeline as its steps give it, not yet compared with anything."""

    names: dict[EndpointKey, tl.Named] = field(default_factory=dict)
    intervals: dict[tuple[EndpointKey, datetime], tuple[tl.Interval, int]] = field(default_factory=dict)
    gaps: dict[tuple[EndpointKey, datetime], tuple[datetime, datetime | None]] = field(default_factory=dict)
    stated: dict[tuple[EndpointKey, Stated, datetime], tuple[tl.Evidence, int, datetime | None]] = field(
        default_factory=dict
    )
    findings: dict[tuple[tl.OpenFinding, datetime], tuple[tl.Evidence, int, datetime | None]] = field(
        default_factory=dict
    )
    fared: list[tuple[tl.Fared, datetime]] = field(default_factory=list)
    _open_gaps: dict[EndpointKey, datetime] = field(default_factory=dict)
    _open_stated: dict[tuple[EndpointKey, Stated], datetime] = field(default_factory=dict)
    _open_findings: dict[tl.OpenFinding, datetime] = field(default_factory=dict)

    def take(self, poll_id: int, at: datetime, events: Sequence[tl.Event]) -> None:
        """Add a step, newer than all before it."""
        for event in events:
            match event:
                case tl.Named():
                    self.names[event.key] = event
                case tl.Opened():
                    self.intervals[event.key, event.interval.first_seen] = (event.interval, poll_id)
                case tl.Updated():
                    self._update(event.key, event.interval, at)
                case tl.StatedBegan():
                    self._open_stated[event.key, event.stated] = at
                    self.stated[event.key, event.stated, at] = (event.evidence, poll_id, None)
                case tl.StatedEnded():
                    began = self._open_stated.pop((event.key, event.stated))
                    evidence, first_poll, _ = self.stated[event.key, event.stated, began]
                    self.stated[event.key, event.stated, began] = (evidence, first_poll, at)
                case tl.FindingBegan():
                    self._open_findings[event.finding] = at
                    self.findings[event.finding, at] = (event.evidence, poll_id, None)
                case tl.FindingEnded():
                    began = self._open_findings.pop(event.finding)
                    evidence, first_poll, _ = self.findings[event.finding, began]
                    self.findings[event.finding, began] = (evidence, first_poll, at)
                case tl.Fared():
                    self.fared.append((event, at))

    def _update(self, key: EndpointKey, interval: tl.Interval, at: datetime) -> None:
        _, poll_id = self.intervals[key, interval.first_seen]
        self.intervals[key, interval.first_seen] = (interval, poll_id)
        since = self._open_gaps.pop(key, None)
        if interval.ended is None and interval.unseen_since is not None:
            assert interval.last_seen is not None
            self._open_gaps[key] = interval.unseen_since
            self.gaps[key, interval.unseen_since] = (interval.last_seen, None)
        elif since is not None:
            self.gaps[key, since] = (self.gaps[key, since][0], at)


def mend(connection: Connection, source_id: int, known: datetime, draft: Draft) -> list[Correction]:
    """Bring what is believed of a source in line with a draft; what that changed."""
    loaded = load(connection, source_id)
    scribe = Scribe(connection, source_id, known, loaded)
    parameters = {"source_id": source_id}
    scribe.documents = {(row.poll_id, row.part): row.id for row in connection.execute(sql.DOCUMENTS, parameters)}
    for named in draft.names.values():
        before = loaded.state.endpoints.get(named.key)
        if before is None or (before.identity, before.part) != (named.identity, named.part):
            scribe.name(named)
    scribe.keep(
        (
            *(one.card for one, _ in draft.intervals.values()),
            *(stated.card for _, stated, _ in draft.stated),
            *(finding.card for finding, _ in draft.findings if finding.card is not None),
        ),
        (one.facts for one, _ in draft.intervals.values()),
        (one.evidence.locator for one, _ in draft.intervals.values()),
    )
    corrections = _mend_intervals(scribe, draft, parameters)
    _mend_gaps(scribe, draft, parameters)
    _mend_stated(scribe, draft, parameters)
    _mend_findings(scribe, draft, parameters)
    connection.execute(sql.FORGET_TELEMETRY, parameters)
    if draft.fared:
        connection.execute(sql.INSERT["telemetry"], [scribe.fared(event, at) for event, at in draft.fared])
    connection.execute(sql.FORGET_UNUSED, parameters)
    return corrections


def compare(believed: Mapping[K, Belief], drafted: Mapping[K, Belief]) -> tuple[list[K], list[K], list[K]]:
    """What to supersede, what to begin to believe, and what was open and has an end."""
    superseded = [
        key
        for key, belief in believed.items()
        if key not in drafted
        or drafted[key].content != belief.content
        or (belief.end is not None and drafted[key].end != belief.end)
    ]
    gone = set(superseded)
    begun = [key for key in drafted if key not in believed or key in gone]
    ended = [
        key
        for key, belief in believed.items()
        if key not in gone and belief.end is None and drafted[key].end is not None
    ]
    return superseded, begun, ended


def _mend_intervals(scribe: Scribe, draft: Draft, parameters: dict[str, Any]) -> list[Correction]:
    keys = {row_id: key for key, row_id in scribe.loaded.endpoint_ids.items()}
    cards: dict[tuple[EndpointKey, datetime], RateCard] = {}
    believed: dict[tuple[EndpointKey, datetime], Belief] = {}
    for row in scribe.connection.execute(sql.BELIEVED_INTERVALS, parameters):
        one = (keys[row.endpoint_id], from_millis(row.first_seen))
        cards[one] = RateCard.from_text(row.card)
        believed[one] = Belief(
            (row.card, row.facts, row.not_before, row.document_id, row.locator),
            None if row.ended is None else (row.last_seen, row.ended, row.end_reason),
        )
    drafted = {
        one: Belief(
            (
                interval.card.text,
                interval.facts.text,
                millis(interval.not_before),
                scribe.document(interval.evidence, poll_id),
                interval.evidence.locator,
            ),
            None
            if interval.ended is None
            else (millis(interval.last_seen), to_millis(interval.ended), interval.end_reason),
        )
        for one, (interval, poll_id) in draft.intervals.items()
    }
    superseded, begun, ended = compare(believed, drafted)
    _supersede(scribe, "span", superseded)
    for key, first_seen in begun:
        interval, poll_id = draft.intervals[key, first_seen]
        scribe.open(key, interval, poll_id)
    for key, first_seen in ended:
        scribe.end_interval(key, draft.intervals[key, first_seen][0])
    kinds: dict[tuple[EndpointKey, datetime], Kind] = dict.fromkeys(ended, "ended")
    kinds |= dict.fromkeys(superseded, "dropped")
    kinds |= {one: "corrected" if one in believed else "added" for one in begun}
    return [
        Correction(
            kind=kind,
            subject=tl.subject(one[0]),
            first_seen=one[1],
            before=cards.get(one),
            after=draft.intervals[one][0].card if one in draft.intervals else None,
        )
        for one, kind in sorted(kinds.items(), key=lambda item: (tl.subject(item[0][0]), item[0][1]))
    ]


def _supersede(scribe: Scribe, table: str, keys: Sequence[tuple[EndpointKey, datetime]]) -> None:
    for key, began in keys:
        values = {
            "endpoint": scribe.loaded.endpoint_ids[key],
            "began": to_millis(began),
            "known": to_millis(scribe.known),
        }
        scribe.connection.execute(sql.SUPERSEDE[table], values)


def _mend_gaps(scribe: Scribe, draft: Draft, parameters: dict[str, Any]) -> None:
    keys = {row_id: key for key, row_id in scribe.loaded.endpoint_ids.items()}
    believed = {
        (keys[row.endpoint_id], from_millis(row.since)): Belief(
            (row.last_seen,), None if row.until is None else (row.until,)
        )
        for row in scribe.connection.execute(sql.BELIEVED_GAPS, parameters)
    }
    drafted = {
        one: Belief((to_millis(last_seen),), None if until is None else (to_millis(until),))
        for one, (last_seen, until) in draft.gaps.items()
    }
    superseded, begun, ended = compare(believed, drafted)
    _supersede(scribe, "gap", superseded)
    for key, since in ended:
        until = draft.gaps[key, since][1]
        assert until is not None
        scribe.end_gap(key, until)
    for key, since in begun:
        last_seen, until = draft.gaps[key, since]
        scribe.miss(key, since, last_seen, until)


def _mend_stated(scribe: Scribe, draft: Draft, parameters: dict[str, Any]) -> None:
    ids: dict[RowKey, int] = {}
    believed: dict[RowKey, Belief] = {}
    for row in scribe.connection.execute(sql.BELIEVED_STATED, parameters):
        one: RowKey = (row.endpoint_id, row.since, row.until, row.card, row.first_seen)
        ids[one] = row.id
        believed[one] = Belief((row.document_id, row.locator), None if row.ended is None else (row.ended,))
    drafted: dict[RowKey, Belief] = {}
    of: dict[RowKey, tuple[EndpointKey, Stated, tl.Evidence, int, datetime, datetime | None]] = {}
    for (key, stated, at), (evidence, poll_id, ended_at) in draft.stated.items():
        one = (
            scribe.loaded.endpoint_ids[key],
            millis(stated.since),
            millis(stated.until),
            stated.card.text,
            to_millis(at),
        )
        document = scribe.document(evidence, poll_id)
        drafted[one] = Belief((document, evidence.locator), None if ended_at is None else (to_millis(ended_at),))
        of[one] = (key, stated, evidence, poll_id, at, ended_at)
    superseded, begun, ended = compare(believed, drafted)
    _supersede_rows(scribe, "stated", [ids[one] for one in superseded])
    for one in begun:
        key, stated, evidence, poll_id, at, ended_at = of[one]
        row_id = scribe.state(key, stated, evidence, poll_id, at)
        if ended_at is not None:
            scribe.end("stated", row_id, ended_at)
    for one in ended:
        ended_at = of[one][-1]
        assert ended_at is not None
        scribe.end("stated", ids[one], ended_at)


def _mend_findings(scribe: Scribe, draft: Draft, parameters: dict[str, Any]) -> None:
    ids: dict[RowKey, int] = {}
    believed: dict[RowKey, Belief] = {}
    for row in scribe.connection.execute(sql.BELIEVED_FINDINGS, parameters):
        one: RowKey = (row.endpoint_id, row.subject, row.rule, row.message, bool(row.held), row.card, row.first_seen)
        ids[one] = row.id
        believed[one] = Belief((row.document_id, row.locator), None if row.ended is None else (row.ended,))
    drafted: dict[RowKey, Belief] = {}
    of: dict[RowKey, tuple[tl.OpenFinding, tl.Evidence, int, datetime, datetime | None]] = {}
    for (finding, at), (evidence, poll_id, ended_at) in draft.findings.items():
        one = (
            scribe.loaded.endpoint_ids[finding.key] if finding.key else None,
            finding.subject,
            finding.rule,
            finding.message,
            finding.held,
            finding.card.text if finding.card else None,
            to_millis(at),
        )
        document = scribe.document(evidence, poll_id) if evidence.document else None
        drafted[one] = Belief((document, evidence.locator), None if ended_at is None else (to_millis(ended_at),))
        of[one] = (finding, evidence, poll_id, at, ended_at)
    superseded, begun, ended = compare(believed, drafted)
    _supersede_rows(scribe, "finding", [ids[one] for one in superseded])
    for one in begun:
        finding, evidence, poll_id, at, ended_at = of[one]
        row_id = scribe.find(finding, evidence, poll_id, at)
        if ended_at is not None:
            scribe.end("finding", row_id, ended_at)
    for one in ended:
        ended_at = of[one][-1]
        assert ended_at is not None
        scribe.end("finding", ids[one], ended_at)


def _supersede_rows(scribe: Scribe, table: str, rows: Sequence[int]) -> None:
    for row in rows:
        scribe.connection.execute(sql.SUPERSEDE[table], {"row": row, "known": to_millis(scribe.known)})
