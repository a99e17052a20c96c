"""The timeline of a source: a pure function of its set of sightings.

It is a fold of `step` (match, judge, advance) over sightings in the order of their instants. What is taken in its
place is the same step over the part of the state that the sighting touches (`store.touched`); property tests hold the
two equal.

An interval is [first_seen, ended). Absence counts only in complete sightings, and only once confirmed (`Patience`); the
interval then ends at the first of those misses. A shorter gap leaves no trace in prices. A part of a fan-out that did
not answer says nothing about its endpoints: they are neither seen nor missed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from store.records import (
    EndpointKey,
    EndReason,
    Facts,
    Finding,
    Identity,
    Observation,
    Offer,
    RateCard,
    Sighting,
    Stated,
    Telemetry,
    Verdict,
    Verdicts,
    endpoint_reference,
)

OFFERED_DAYS = 30
"""Days over which losses add up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long something must last before it is believed: an absence, or a price of zero at birth."""

    polls: int = 3
    span: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where something was read."""

    part: str
    document: str
    """SHA-256 of the document, hex."""
    url: str
    locator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A stretch of time in which a source stated the same card and facts for an endpoint."""

    card: RateCard
    facts: Facts
    first_seen: datetime
    not_before: datetime | None
    """Last successful poll that did not yet show it."""
    evidence: Evidence
    unseen_since: datetime | None = None
    last_seen: datetime | None = None
    """None while open and seen: it is then the source's last poll that covered its part."""
    ended: datetime | None = None
    end_reason: EndReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """What the timeline must know of an endpoint to take the next step."""

    key: EndpointKey
    identity: Identity
    part: str
    last: Interval | None
    """The newest interval; open unless `ended` is set. None: only stated prices so far."""
    stated: frozenset[Stated] = frozenset()
    telemetry: Telemetry | None = None
    settled: Observation | None = None
    """What was seen of it last, if the same seen again changes nothing whatever the time; None also where that is not
    known: nothing is ever wrong for it, only slower."""

    @property
    def open(self) -> Interval | None:
        """The interval in force, if any."""
        return self.last if self.last is not None and self.last.ended is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollMark:
    """A successful poll, as far as absence and coverage go."""

    at: datetime
    complete: bool
    failed_parts: frozenset[str] = frozenset()
    pruned: bool = False
    """Its documents were dropped, for nothing rests on them: it counts, and is a witness of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFinding:
    """A finding that stands since a poll and has not gone away."""

    subject: str
    rule: str
    message: str
    held: bool
    card: RateCard | None
    key: EndpointKey | None
    """The endpoint it is about, where that is on the tape."""
    part: str
    identity: Identity | None = field(default=None, compare=False)
    """The canonical names of the offer it is about, on the tape or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """Everything that the next step of a source's timeline depends on: all of it, or what a sighting touches."""

    endpoints: Mapping[EndpointKey, EndpointState] = field(default_factory=dict)
    findings: frozenset[OpenFinding] = frozenset()
    polls: Sequence[PollMark] = ()
    """Successful polls in order of their instants, as far back as `needed_since` asks."""
    offered: Mapping[int, int] = field(default_factory=dict)
    """The most offers that a complete poll of a day showed, by the day's ordinal, of `OFFERED_DAYS` up to the last."""
    unchanged: int = 0
    """Open endpoints that are left out, for they are seen as they were before."""
    standing: int = 0
    """Findings that hold something back and are left out, for they are about those."""
    verdicts: Verdicts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An observation and the endpoint it belongs to; what `collector.checks` judges."""

    observation: Observation
    key: EndpointKey
    """With the sibling filled in."""
    held: bool = False
    """The card is not believed: the endpoint counts as seen and keeps its interval."""
    card: RateCard | None = None
    """What goes on the tape; None when held."""
    facts: Facts | None = None
    """What goes on the tape in the place of the facts observed, where some are not believed."""
    waits: bool = False
    """Time alone may change what is believed of it."""


# --- events: what one step changes, in the order in which it must be written ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An endpoint is new, or its canonical names or its part changed."""

    key: EndpointKey
    identity: Identity
    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An interval begins."""

    key: EndpointKey
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """An open interval ended, went unseen, or was seen again."""

    key: EndpointKey
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedBegan:
    """A source began to state a dated price."""

    key: EndpointKey
    stated: Stated
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedEnded:
    """A source no longer states a dated price."""

    key: EndpointKey
    stated: Stated


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingBegan:
    """A finding is new."""

    finding: OpenFinding
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingEnded:
    """A finding is gone."""

    finding: OpenFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """An endpoint's telemetry changed."""

    key: EndpointKey
    telemetry: Telemetry


Event = Named | Opened | Updated | StatedBegan | StatedEnded | FindingBegan | FindingEnded | Fared


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The outcome of one sighting."""

    state: SourceState
    events: tuple[Event, ...]
    complete: bool
    """Absence counted."""
    offers: int
    """Seen, equal ones once, those that were left out included."""
    held: int
    """Findings that hold something back, after it."""
    said: tuple[Verdict, ...] = ()
    """What is to be recorded with it, for it is to be found again whatever others charge then."""

    @property
    def changes(self) -> int:
        """Intervals that began or ended."""
        return sum(
            isinstance(event, Opened) or (isinstance(event, Updated) and event.interval.end_reason == "withdrawn")
            for event in self.events
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A sighting after the checks: what is believed, and what was found."""

    at: datetime
    complete: bool
    failed_parts: frozenset[str]
    documents: Mapping[str, tuple[str, str]]
    """As of the sighting."""
    offers: int
    """Seen, equal ones once, those that are left out included."""
    matches: tuple[Match, ...]
    findings: tuple[tuple[Match | None, Finding], ...]
    """With the observation each is about; None: the whole document."""
    said: tuple[Verdict, ...] = ()
    """As that of a step."""


Judge = Callable[[Sighting, Sequence[Match], SourceState], Judged]
"""The checks: `collector.checks.judge` with its settings bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decides a step, apart from what is seen."""

    judge: Judge
    patience: Patience
    salt: bytes
    """Stands for both, where what was decided is remembered: other rules, another salt."""


def match(sighting: Sighting, state: SourceState) -> tuple[tuple[Match, ...], tuple[tuple[Match, Finding], ...]]:
    """Each observation with its endpoint, and findings about those that cannot be told apart.

    Offers that share provider, model and tag are siblings: they are told apart by their facts, never by their place in
    a list. Where even facts do not help, they are held.
    """
    known: dict[Offer, list[EndpointState]] = {}
    for endpoint in state.endpoints.values():
        known.setdefault(endpoint.key.offer, []).append(endpoint)
    groups: dict[Offer, list[Observation]] = {}
    for observation in sighting.observations:
        groups.setdefault(observation.key.offer, []).append(observation)
    matches: list[Match] = []
    findings: list[tuple[Match, Finding]] = []
    for offer, group in groups.items():
        siblings = known.get(offer, ())
        if len(group) == 1 and len(siblings) <= 1:
            found = siblings[0].key if siblings else group[0].key
            matches.append(Match(observation=group[0], key=found, card=group[0].card))
            continue
        for one, sibling, ambiguous in _tell_apart(group, siblings):
            matched = Match(observation=one, key=EndpointKey(*offer, sibling), card=one.card)
            if ambiguous:
                matched = replace(matched, held=True, card=None)
                message = "two offers share provider, model, tag and every fact, at different prices"
                findings.append(
                    (matched, Finding(rule="ambiguous_key", message=message, held=True, locator=one.locator))
                )
            matches.append(matched)
    return tuple(matches), tuple(findings)


def _tell_apart(
    group: Sequence[Observation], siblings: Sequence[EndpointState]
) -> Iterable[tuple[Observation, str, bool]]:
    """(observation, sibling, ambiguous) for each distinct offer of a group, whatever its order in the document."""
    distinct: dict[str, list[Observation]] = {}
    for one in group:
        offers = distinct.setdefault(one.facts.text, [])
        if all(one.card != other.card for other in offers):
            offers.append(one)
    offers_by_facts = dict(sorted(distinct.items()))
    # Open endpoints claim their offer before closed ones do, the closest in facts first.
    pairs = sorted(
        (endpoint.open is None, _distance(one[0].facts, endpoint), endpoint.key.sibling, text)
        for text, one in offers_by_facts.items()
        for endpoint in siblings
    )
    claimed: dict[str, str] = {}
    for _, _, sibling, text in pairs:
        if text not in claimed and sibling not in claimed.values():
            claimed[text] = sibling
    taken = {endpoint.key.sibling for endpoint in siblings}
    for text, offers in offers_by_facts.items():
        lone = not taken and len(offers_by_facts) == 1
        sibling = claimed[text] if text in claimed else "" if lone else _new_sibling(offers[0].facts, taken)
        taken.add(sibling)
        for one in offers:
            yield one, sibling, len(offers) > 1


def _distance(facts: Facts, endpoint: EndpointState) -> int:
    """How many facts differ from the endpoint's last ones."""
    if endpoint.last is None:
        return len(Facts.__dataclass_fields__)
    last = endpoint.last.facts
    return sum(getattr(facts, name) != getattr(last, name) for name in Facts.__dataclass_fields__)


def _new_sibling(facts: Facts, taken: Iterable[str]) -> str:
    """A name that does not change with what has nothing to do with the offer, unless nothing else tells it apart."""
    digest = sha256(facts.telling_text.encode()).hexdigest()
    if digest[:4] in taken:
        digest = sha256(facts.text.encode()).hexdigest()
    length = 4
    while digest[:length] in taken:
        length += 1
    return digest[:length]


def last_covering(polls: Sequence[PollMark], part: str, before: datetime) -> datetime | None:
    """The newest successful poll before an instant that covered a part, and can still show that it did."""
    for mark in reversed(polls):
        if mark.at < before and not mark.pruned and part not in mark.failed_parts:
            return mark.at
    return None


def lasted(polls: Sequence[PollMark], part: str, since: datetime, now: datetime, patience: Patience) -> bool:
    """Whether what was first seen at `since`, and in every poll after it up to `now`, has lasted."""
    seen = 1 + sum(since <= mark.at < now and part not in mark.failed_parts for mark in polls)
    return now - since >= patience.span and seen >= patience.polls


def needed_since(polls: Sequence[PollMark], endpoints: Iterable[EndpointState], patience: Patience) -> datetime:
    """How far back the next step has to know the polls: to the oldest unconfirmed absence, over as many complete polls
    as anything has to last, and to one that is a witness."""
    complete = [mark.at for mark in polls if mark.complete]
    since = complete[-patience.polls] if len(complete) >= patience.polls else polls[0].at
    witness = next((mark.at for mark in reversed(polls) if mark.complete and not mark.pruned), polls[0].at)
    unseen = (one.open.unseen_since for one in endpoints if one.open is not None)
    return min([since, witness, *(at for at in unseen if at is not None)])


def with_offers(offered: Mapping[int, int], at: datetime, offers: int) -> dict[int, int]:
    """What was on offer by day, with what a complete poll newer than all before it showed."""
    today = at.toordinal()
    kept = {day: most for day, most in offered.items() if day > today - OFFERED_DAYS}
    return kept | {today: max(offers, kept.get(today, 0))}


def advance(state: SourceState, judged: Judged, patience: Patience) -> Step:
    """The state after a sighting newer than all before it, and the events that lead there."""
    endpoints = dict(state.endpoints)
    events: list[Event] = []
    seen: set[EndpointKey] = set()
    for matched in judged.matches:
        if matched.key in seen:
            continue  # offers that nothing tells apart: both are held, and one sighting is enough
        seen.add(matched.key)
        before = endpoints.get(matched.key)
        after = _see(events, state.polls, judged, before, matched)
        if after is not None:
            endpoints[matched.key] = after
    polls = (
        *state.polls,
        PollMark(at=judged.at, complete=judged.complete, failed_parts=judged.failed_parts),
    )
    for key, endpoint in state.endpoints.items():
        if key not in seen and endpoint.part not in judged.failed_parts:
            endpoints[key] = _miss(events, polls, judged, endpoint, patience)
    _settle(endpoints, judged)
    findings = _findings(events, state.findings, judged, endpoints)
    needed = needed_since(polls, endpoints.values(), patience)
    return Step(
        state=replace(
            state,
            endpoints=endpoints,
            findings=findings,
            polls=tuple(mark for mark in polls if mark.at >= needed),
            offered=with_offers(state.offered, judged.at, judged.offers) if judged.complete else state.offered,
        ),
        events=tuple(events),
        complete=judged.complete,
        offers=judged.offers,
        held=state.standing + sum(finding.held for finding in findings),
        said=judged.said,
    )


def _settle(endpoints: dict[EndpointKey, EndpointState], judged: Judged) -> None:
    """Note of which endpoints the same seen again changes nothing.

    It is so of what was seen and is open, unless it waits: what was accepted is what stands, what was held is held
    against the same, and what is found is found again. Siblings are told apart as a group, and never settle.
    """
    known = Counter(key.offer for key in endpoints)
    seen = Counter(matched.key.offer for matched in judged.matches)
    for matched in judged.matches:
        endpoint = endpoints.get(matched.key)
        alone = known[matched.key.offer] == seen[matched.key.offer] == 1
        if endpoint is not None and endpoint.open is not None and alone and not matched.waits:
            endpoints[matched.key] = replace(endpoint, settled=matched.observation)


def _see(
    events: list[Event], polls: Sequence[PollMark], judged: Judged, before: EndpointState | None, matched: Match
) -> EndpointState | None:
    """The endpoint after it was seen; None for an offer that is not yet on the tape and is held."""
    observation, card, at = matched.observation, matched.card, judged.at
    facts = observation.facts if matched.facts is None else matched.facts
    if before is None and (matched.held or (card is None and not observation.stated)):
        return None
    names = (observation.identity, observation.part)
    if before is None or names != (before.identity, before.part):
        events.append(Named(key=matched.key, identity=names[0], part=names[1]))
    last = before.last if before else None
    evidence = _evidence(judged, observation, observation.locator)
    current = before.open if before else None
    if current is not None and (matched.held or (card == current.card and facts == current.facts)):
        if current.unseen_since is not None:
            last = replace(current, unseen_since=None, last_seen=None)
            events.append(Updated(key=matched.key, interval=last))
    elif card is not None:
        not_before = last_covering(polls, observation.part, at)
        if current is not None:
            seen_last = current.last_seen if current.unseen_since is not None else not_before
            ended = replace(
                current,
                unseen_since=None,
                last_seen=max(seen_last or current.first_seen, current.first_seen),
                ended=at,
                end_reason="changed",
            )
            events.append(Updated(key=matched.key, interval=ended))
        last = Interval(card=card, facts=facts, first_seen=at, not_before=not_before, evidence=evidence)
        events.append(Opened(key=matched.key, interval=last))
    elif current is not None and not matched.held:
        last = _end_stated_only(events, polls, at, matched.key, current, observation.part)
    stated = _restate(events, matched, before.stated if before else frozenset(), evidence)
    telemetry = before.telemetry if before else None
    if observation.telemetry is not None and observation.telemetry != telemetry:
        telemetry = observation.telemetry
        events.append(Fared(key=matched.key, telemetry=telemetry))
    return EndpointState(
        key=matched.key, identity=names[0], part=names[1], last=last, stated=stated, telemetry=telemetry
    )


def _evidence(judged: Judged, observation: Observation, locator: str) -> Evidence:
    document, url = judged.documents[observation.part]
    return Evidence(part=observation.part, document=document, url=url, locator=locator)


def _end_stated_only(
    events: list[Event], polls: Sequence[PollMark], at: datetime, key: EndpointKey, current: Interval, part: str
) -> Interval:
    """A source that dates its prices still lists the offer, and says that no price is in force any more."""
    ended = replace(
        current,
        last_seen=max(last_covering(polls, part, at) or current.first_seen, current.first_seen),
        unseen_since=None,
        ended=at,
        end_reason="withdrawn",
    )
    events.append(Updated(key=key, interval=ended))
    return ended


def _restate(events: list[Event], matched: Match, before: frozenset[Stated], evidence: Evidence) -> frozenset[Stated]:
    if matched.held or matched.card != matched.observation.card:
        return before  # of dated prices of which one is not believed as it is, none is
    now = frozenset(matched.observation.stated)
    if now == before:
        return before
    gone, new = sorted(before - now, key=_stated_order), sorted(now - before, key=_stated_order)
    events.extend(StatedEnded(key=matched.key, stated=stated) for stated in gone)
    events.extend(StatedBegan(key=matched.key, stated=stated, evidence=evidence) for stated in new)
    return now


def _stated_order(stated: Stated) -> tuple[str, str, str]:
    return (
        stated.since.isoformat() if stated.since else "",
        stated.until.isoformat() if stated.until else "",
        stated.card.text,
    )


def _miss(
    events: list[Event], polls: Sequence[PollMark], judged: Judged, endpoint: EndpointState, patience: Patience
) -> EndpointState:
    """The endpoint after a sighting that covered it and did not show it."""
    current = endpoint.open
    after = endpoint
    if current is not None:
        missed = current
        if missed.unseen_since is None:
            last_seen = last_covering(polls, endpoint.part, judged.at) or missed.first_seen
            missed = replace(missed, unseen_since=judged.at, last_seen=max(last_seen, missed.first_seen))
        assert missed.unseen_since is not None
        misses = [mark.at for mark in polls if mark.complete and mark.at >= missed.unseen_since]
        if judged.complete and len(misses) >= patience.polls and judged.at - misses[0] >= patience.span:
            missed = replace(missed, ended=misses[0], end_reason="withdrawn", unseen_since=None)
        if missed != current:
            events.append(Updated(key=endpoint.key, interval=missed))
            after = replace(endpoint, last=missed, settled=None)
    if endpoint.stated and judged.complete and after.open is None:
        gone = sorted(endpoint.stated, key=_stated_order)
        events.extend(StatedEnded(key=endpoint.key, stated=stated) for stated in gone)
        after = replace(after, stated=frozenset())
    return after


def _findings(
    events: list[Event],
    before: frozenset[OpenFinding],
    judged: Judged,
    endpoints: Mapping[EndpointKey, EndpointState],
) -> frozenset[OpenFinding]:
    now: dict[OpenFinding, Evidence] = {}
    for matched, finding in judged.findings:
        one = matched.observation if matched else None
        about = OpenFinding(
            subject=subject(matched.key) if matched else "",
            rule=finding.rule,
            message=finding.message,
            held=finding.held,
            card=one.card if one and finding.held and finding.of_card else None,
            key=matched.key if matched and matched.key in endpoints else None,
            part=one.part if one else "",
            identity=one.identity if one else None,
        )
        if about not in now:
            now[about] = (
                _evidence(judged, one, finding.locator or one.locator)
                if one
                else Evidence(part="", document="", url="", locator=finding.locator)
            )
    kept = {finding for finding in before if finding in now or finding.part in judged.failed_parts}
    events.extend(FindingEnded(finding=finding) for finding in sorted(before - kept, key=_finding_order))
    began = sorted(now.keys() - kept, key=_finding_order)
    events.extend(FindingBegan(finding=finding, evidence=now[finding]) for finding in began)
    return frozenset(kept | now.keys())


def _finding_order(finding: OpenFinding) -> tuple[str, str, str, str]:
    return finding.subject, finding.rule, finding.message, finding.card.text if finding.card else ""


def subject(key: EndpointKey) -> str:
    """An endpoint in words: `DeepInfra openai/gpt-oss-120b@deepinfra/turbo`."""
    return f"{key.provider} {endpoint_reference(key.model, key.tag, key.sibling)}"


def step(state: SourceState, sighting: Sighting, judge: Judge, patience: Patience) -> Step:
    """One sighting, newer than all before it: match, judge, advance."""
    matches, ambiguous = match(sighting, state)
    judged = judge(sighting, matches, state)
    return advance(state, replace(judged, findings=(*ambiguous, *judged.findings)), patience)
