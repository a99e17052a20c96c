"""A source's timeline made anew, and what that corrects.

A timeline is a pure function of a source's documents and of the programs that read them. When a document arrives late,
or a parser was mended, it is drafted anew and laid beside what is believed: what differs is superseded and believed
anew from now on, what was open and has an end now is ended, and what is the same is not touched. Nothing is edited, so
that an answer once given can be given again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from store import statements as sql
from store import timeline as tl
from store.instants import from_millis, to_millis
from store.records import EndpointKey, RateCard, Stated, Verdict
from store.scribe import Proof, Scribe, millis, names_of
from store.touched import AT_REST, Mark, mark_after
from store.verdicts import keep_verdicts

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
    """A stretch of a timeline as its steps give it, not yet compared with anything and not yet written.

    It begins with nothing, or where the store is: then what ends in it may have begun before. Polls are numbered in
    the order in which they are taken.
    """

    names: dict[EndpointKey, tl.Named] = field(default_factory=dict)
    states: dict[EndpointKey, tl.EndpointState] = field(default_factory=dict)
    """Endpoints as they stand in the end, those that were touched."""
    disputed: set[EndpointKey] = field(default_factory=set)
    """Those of them that findings are about in the end."""
    intervals: dict[tuple[EndpointKey, datetime], tuple[tl.Interval, int]] = field(default_factory=dict)
    gaps: dict[tuple[EndpointKey, datetime], tuple[datetime, datetime | None]] = field(default_factory=dict)
    stated: dict[tuple[EndpointKey, Stated, datetime], tuple[Proof, datetime | None]] = field(default_factory=dict)
    findings: dict[tuple[tl.OpenFinding, datetime], tuple[Proof, datetime | None]] = field(default_factory=dict)
    fared: list[tuple[tl.Fared, datetime]] = field(default_factory=list)
    ended_intervals: list[tuple[EndpointKey, tl.Interval]] = field(default_factory=list)
    """Like the next three, of what began before the draft."""
    ended_gaps: dict[EndpointKey, datetime] = field(default_factory=dict)
    ended_stated: dict[tuple[EndpointKey, Stated], datetime] = field(default_factory=dict)
    ended_findings: dict[tl.OpenFinding, datetime] = field(default_factory=dict)
    said: list[Verdict] = field(default_factory=list)
    polls: int = 0
    _open_gaps: dict[EndpointKey, datetime] = field(default_factory=dict)
    _open_stated: dict[tuple[EndpointKey, Stated], datetime] = field(default_factory=dict)
    _open_findings: dict[tl.OpenFinding, datetime] = field(default_factory=dict)

    def take(self, at: datetime, step: tl.Step | None) -> None:
        """Add a poll, newer than all before it; without a step, one that changes nothing."""
        poll = self.polls
        self.polls += 1
        if step is None:
            return
        self.said += step.said
        self.states.update(step.state.endpoints)
        self.disputed.difference_update(step.state.endpoints)
        self.disputed.update(finding.key for finding in step.state.findings if finding.key is not None)
        for event in step.events:
            match event:
                case tl.Named():
                    self.names[event.key] = event
                case tl.Opened():
                    self.intervals[event.key, event.interval.first_seen] = (event.interval, poll)
                case tl.Updated():
                    self._update(event.key, event.interval, at)
                case tl.StatedBegan():
                    self._open_stated[event.key, event.stated] = at
                    self.stated[event.key, event.stated, at] = ((event.evidence, poll), None)
                case tl.StatedEnded():
                    self._end_stated(event.key, event.stated, at)
                case tl.FindingBegan():
                    self._open_findings[event.finding] = at
                    self.findings[event.finding, at] = ((event.evidence, poll), None)
                case tl.FindingEnded():
                    self._end_finding(event.finding, at)
                case tl.Fared():
                    self.fared.append((event, at))

    def _update(self, key: EndpointKey, interval: tl.Interval, at: datetime) -> None:
        drafted = self.intervals.get((key, interval.first_seen))
        if drafted is not None:
            self.intervals[key, interval.first_seen] = (interval, drafted[1])
        elif interval.ended is not None:
            self.ended_intervals.append((key, interval))
        since = self._open_gaps.pop(key, None)
        if interval.ended is None and interval.unseen_since is not None:
            assert interval.last_seen is not None
            self._open_gaps[key] = interval.unseen_since
            self.gaps[key, interval.unseen_since] = (interval.last_seen, None)
        elif since is not None:
            self.gaps[key, since] = (self.gaps[key, since][0], at)
        elif drafted is None:
            self.ended_gaps.setdefault(key, at)

    def _end_stated(self, key: EndpointKey, stated: Stated, at: datetime) -> None:
        began = self._open_stated.pop((key, stated), None)
        if began is None:
            self.ended_stated[key, stated] = at
        else:
            self.stated[key, stated, began] = (self.stated[key, stated, began][0], at)

    def _end_finding(self, finding: tl.OpenFinding, at: datetime) -> None:
        began = self._open_findings.pop(finding, None)
        if began is None:
            self.ended_findings[finding] = at
        else:
            self.findings[finding, began] = (self.findings[finding, began][0], at)


def go_on(scribe: Scribe, draft: Draft, salt: bytes) -> list[Correction]:
    """Write a draft that begins where the store is; what that changed."""
    loaded = scribe.loaded
    scribe.name(draft.names.values())
    keep_verdicts(scribe.connection, scribe.source_id, draft.said, known=scribe.known)
    _keep_values(scribe, draft)
    scribe.open((key, one, poll) for (key, _), (one, poll) in draft.intervals.items())
    scribe.end_intervals(draft.ended_intervals)
    unseen = [(key, at) for key, at in draft.ended_gaps.items() if _unseen(loaded.state.endpoints[key])]
    scribe.end_gaps(unseen)
    scribe.miss((key, since, seen, until) for (key, since), (seen, until) in draft.gaps.items())
    scribe.end("stated", ((loaded.stated_ids[one], at) for one, at in draft.ended_stated.items()))
    scribe.state((key, one, proof, at, ended) for (key, one, at), (proof, ended) in draft.stated.items())
    scribe.end("finding", ((loaded.finding_ids[one], at) for one, at in draft.ended_findings.items()))
    scribe.find((one, proof, at, ended) for (one, at), (proof, ended) in draft.findings.items())
    scribe.fare(draft.fared)
    scribe.mark(
        {
            key: mark_after(
                loaded.state.endpoints.get(key), after, loaded.marks.get(key), salt, disputed=key in draft.disputed
            )
            for key, after in draft.states.items()
        }
    )
    changed: list[Correction] = [
        Correction(kind="added", subject=tl.subject(key), first_seen=at, before=None, after=one.card)
        for (key, at), (one, _) in draft.intervals.items()
    ]
    changed += (
        Correction(kind="ended", subject=tl.subject(key), first_seen=one.first_seen, before=one.card, after=one.card)
        for key, one in draft.ended_intervals
    )
    return sorted(changed, key=lambda one: (one.subject, one.first_seen))


def _unseen(endpoint: tl.EndpointState) -> bool:
    return endpoint.open is not None and endpoint.open.unseen_since is not None


def _keep_values(scribe: Scribe, draft: Draft) -> None:
    """Make sure that all that a draft points to is stored."""
    intervals = [one for one, _ in draft.intervals.values()]
    stated_cards = (stated.card for _, stated, _ in draft.stated)
    held_cards = (finding.card for finding, _ in draft.findings if finding.card is not None)
    scribe.keep(
        (*(one.card for one in intervals), *stated_cards, *held_cards),
        (one.facts for one in intervals),
        (one.evidence.locator for one in intervals),
    )
    proofs = (*draft.stated.values(), *draft.findings.values())
    scribe.prove((*((one.evidence, poll) for one, poll in draft.intervals.values()), *(proof for proof, _ in proofs)))


def mend(scribe: Scribe, draft: Draft, salt: bytes) -> list[Correction]:
    """Bring what is believed of a source in line with a draft that begins with nothing; what that changed."""
    loaded = scribe.loaded
    parameters = {"source_id": scribe.source_id}
    scribe.documents = {(row.poll_id, row.part): row.id for row in scribe.connection.execute(sql.DOCUMENTS, parameters)}
    renamed: list[tl.Named] = []
    for named in draft.names.values():
        before = loaded.state.endpoints.get(named.key)
        if before is None or (before.identity, before.part) != (named.identity, named.part):
            renamed.append(named)
    scribe.name(renamed)
    keep_verdicts(scribe.connection, scribe.source_id, draft.said, known=scribe.known)
    _keep_values(scribe, draft)
    corrections = _mend_intervals(scribe, draft, parameters)
    _mend_gaps(scribe, draft, parameters)
    _mend_stated(scribe, draft, parameters)
    _mend_findings(scribe, draft, parameters)
    scribe.connection.execute(sql.FORGET_TELEMETRY, parameters)
    scribe.fare(draft.fared)
    marks: dict[EndpointKey, Mark] = dict.fromkeys(loaded.endpoint_ids, AT_REST)
    marks |= {
        key: mark_after(None, after, None, salt, disputed=key in draft.disputed) for key, after in draft.states.items()
    }
    scribe.mark(marks)
    scribe.connection.execute(sql.FORGET_UNUSED, parameters)
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
                scribe.document(interval.evidence, poll),
                interval.evidence.locator,
            ),
            None
            if interval.ended is None
            else (millis(interval.last_seen), to_millis(interval.ended), interval.end_reason),
        )
        for one, (interval, poll) in draft.intervals.items()
    }
    superseded, begun, ended = compare(believed, drafted)
    _supersede(scribe, "span", superseded)
    scribe.open((one[0], *draft.intervals[one]) for one in begun)
    scribe.end_intervals((one[0], draft.intervals[one][0]) for one in ended)
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
    known = to_millis(scribe.known)
    rows = [
        {"endpoint": scribe.loaded.endpoint_ids[key], "began": to_millis(began), "known": known} for key, began in keys
    ]
    if rows:
        scribe.connection.execute(sql.SUPERSEDE[table], rows)


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
    scribe.end_gaps(_ends((key, draft.gaps[key, since][1]) for key, since in ended))
    scribe.miss((key, since, *draft.gaps[key, since]) for key, since in begun)


def _mend_stated(scribe: Scribe, draft: Draft, parameters: dict[str, Any]) -> None:
    ids: dict[RowKey, int] = {}
    believed: dict[RowKey, Belief] = {}
    for row in scribe.connection.execute(sql.BELIEVED_STATED, parameters):
        one: RowKey = (row.endpoint_id, row.since, row.until, row.card, row.first_seen)
        ids[one] = row.id
        believed[one] = Belief((row.document_id, row.locator), None if row.ended is None else (row.ended,))
    drafted: dict[RowKey, Belief] = {}
    of: dict[RowKey, tuple[EndpointKey, Stated, Proof, datetime, datetime | None]] = {}
    for (key, stated, at), (proof, ended_at) in draft.stated.items():
        one = (
            scribe.loaded.endpoint_ids[key],
            millis(stated.since),
            millis(stated.until),
            stated.card.text,
            to_millis(at),
        )
        drafted[one] = Belief(
            (scribe.document(*proof), proof[0].locator), None if ended_at is None else (to_millis(ended_at),)
        )
        of[one] = (key, stated, proof, at, ended_at)
    superseded, begun, ended = compare(believed, drafted)
    _supersede_rows(scribe, "stated", [ids[one] for one in superseded])
    scribe.state(of[one] for one in begun)
    scribe.end("stated", _ends((ids[one], of[one][-1]) for one in ended))


def _mend_findings(scribe: Scribe, draft: Draft, parameters: dict[str, Any]) -> None:
    ids: dict[RowKey, int] = {}
    names: dict[RowKey, dict[str, str | None]] = {}
    believed: dict[RowKey, Belief] = {}
    for row in scribe.connection.execute(sql.BELIEVED_FINDINGS, parameters):
        one: RowKey = (row.endpoint_id, row.subject, row.rule, row.message, bool(row.held), row.card, row.first_seen)
        ids[one] = row.id
        names[one] = {"provider": row.provider, "model": row.model, "variant": row.variant}
        believed[one] = Belief((row.document_id, row.locator), None if row.ended is None else (row.ended,))
    drafted: dict[RowKey, Belief] = {}
    of: dict[RowKey, tuple[tl.OpenFinding, Proof, datetime, datetime | None]] = {}
    for (finding, at), (proof, ended_at) in draft.findings.items():
        one = (
            scribe.loaded.endpoint_ids[finding.key] if finding.key else None,
            finding.subject,
            finding.rule,
            finding.message,
            finding.held,
            finding.card.text if finding.card else None,
            to_millis(at),
        )
        document = scribe.document(*proof) if proof[0].document else None
        drafted[one] = Belief((document, proof[0].locator), None if ended_at is None else (to_millis(ended_at),))
        of[one] = (finding, proof, at, ended_at)
    superseded, begun, ended = compare(believed, drafted)
    _supersede_rows(scribe, "finding", [ids[one] for one in superseded])
    scribe.name_findings(
        (ids[one], of[one][0]) for one in ids.keys() & of.keys() if names[one] != names_of(of[one][0].identity)
    )
    scribe.find(of[one] for one in begun)
    scribe.end("finding", _ends((ids[one], of[one][-1]) for one in ended))


def _ends(ended: Iterable[tuple[K, datetime | None]]) -> Iterator[tuple[K, datetime]]:
    """What has an end, and when."""
    return ((one, at) for one, at in ended if at is not None)


def _supersede_rows(scribe: Scribe, table: str, rows: Sequence[int]) -> None:
    known = to_millis(scribe.known)
    if rows:
        scribe.connection.execute(sql.SUPERSEDE[table], [{"row": row, "known": known} for row in rows])
