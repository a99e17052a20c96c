"""What a sighting touches of a timeline: the rest is neither looked at, nor loaded, nor written.

An offer that is seen as it was before, by one endpoint that is settled (`EndpointState.settled`), and one that is not
seen and has nothing to lose, are left out of a step. Siblings share an offer and are taken together or not at all. What
is left of the state is a state, and the step over it gives the events of the step over all; findings about what is left
out stand as they are.
"""

import marshal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from operator import attrgetter
from typing import Any, TypeAlias

from store.records import EndpointKey, Observation, Offer, RateCard, Sighting, Stated, with_said
from store.timeline import EndpointState, OpenFinding, PollMark, Rules, SourceState, Step, step, with_offers

AT_REST = b""
"""The mark of an endpoint that has ended, states nothing and has no finding: only being seen changes it."""
Mark: TypeAlias = "bytes | None"
"""Digest of what an endpoint settled on, `AT_REST`, or None: visited at every poll."""

_override_fields = attrgetter("above_tokens", "start_minute", "end_minute", "days", "tz", "amounts", "unknown")
_telemetry_fields = attrgetter("status", "uptime_percent", "first_token_ms", "tokens_per_second")


def mark(observation: Observation, salt: bytes) -> bytes:
    """16 bytes that are the same for the same observation, wherever in its document it stood.

    `salt` stands for all that judges it. Made from plain values, for it is made of every endpoint of every poll.
    """
    identity, card = observation.identity, observation.card
    content: tuple[Any, ...] = (
        tuple(observation.key),
        (identity.provider, identity.model, identity.variant),
        observation.part,
        observation.declared_free,
        observation.facts.text,
        None if card is None else _of_card(card),
        observation.telemetry and _telemetry_fields(observation.telemetry),
        observation.stated and tuple(map(_of_stated, observation.stated)),
        observation.findings and tuple((one.rule, one.message, one.held) for one in observation.findings),
    )
    # Version 2 of the format writes equal values alike, whatever is shared between them.
    return blake2b(salt + marshal.dumps(content, 2), digest_size=16).digest()


def by_mark(observations: Iterable[Observation], salt: bytes) -> dict[bytes, Observation]:
    """Observations by their marks."""
    return {mark(one, salt): one for one in observations}


def _of_card(card: RateCard) -> tuple[Any, ...]:
    overrides = tuple(map(_override_fields, card.overrides)) if card.overrides else ()
    return (card.currency, card.amounts, card.states, overrides)


def _of_stated(one: Stated) -> tuple[Any, ...]:
    return (*("" if at is None else at.isoformat() for at in (one.since, one.until)), _of_card(one.card))


def mark_after(
    before: EndpointState | None, after: EndpointState, stored: Mark, salt: bytes, *, disputed: bool
) -> Mark:
    """The mark of an endpoint after a step, from the one that it had; `disputed`: a finding is about it."""
    if after is before:
        return stored  # of a part that did not answer
    if after.settled is not None:
        return mark(after.settled, salt)
    return AT_REST if after.open is None and not after.stated and not disputed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a sighting shows otherwise than the one before it."""

    sighting: Sighting
    """Its observations are left out."""
    offers: Mapping[Offer, tuple[Observation, ...]]
    """All observations of each offer that is not seen as it was before; none, where it is not seen any more."""


class Track:
    """A timeline in memory, gone on with from sighting to sighting at the cost of what changes."""

    def __init__(self, state: SourceState, rules: Rules) -> None:
        """Goes on from a state, of which nothing is known to be settled."""
        self._rules = rules
        self._polls = state.polls
        self._offered = state.offered
        self._verdicts = state.verdicts
        self._endpoints: dict[Offer, dict[EndpointKey, EndpointState]] = {}
        self._seen: dict[Offer, tuple[Observation, ...]] = {}
        self._findings: dict[Offer | None, set[OpenFinding]] = {None: set()}
        """By the endpoint that they are about; None: those that have none."""
        for endpoint in state.endpoints.values():
            self._endpoints.setdefault(endpoint.key.offer, {})[endpoint.key] = endpoint
        for finding in state.findings:
            self._findings.setdefault(_about(finding), set()).add(finding)
        self._unsettled = dict.fromkeys(self._endpoints)
        """Offers to visit whatever is shown: like all here in an order that is the same each time."""
        self._open = sum(endpoint.open is not None for endpoint in state.endpoints.values())
        self._held = sum(finding.held for finding in state.findings)

    def take(self, sighting: Sighting) -> Step:
        """The next step, from all observations of a sighting."""
        seen: dict[Offer, list[Observation]] = {}
        for observation in sighting.observations:
            seen.setdefault(observation.key.offer, []).append(observation)
        offers = {offer: tuple(group) for offer, group in seen.items()}
        changed = {offer: group for offer, group in offers.items() if self._seen.get(offer) != group}
        changed |= {offer: () for offer in self._seen if offer not in offers}
        return self.change(Change(sighting=replace(sighting, observations=()), offers=changed))

    def change(self, change: Change) -> Step:
        """The next step, from what is not as it was in the last one."""
        self._seen.update(change.offers)
        touched = self._unsettled | dict.fromkeys(change.offers)
        endpoints = {key: one for offer in touched for key, one in self._endpoints.get(offer, {}).items()}
        findings = self._findings[None].union(*(self._findings.get(offer, ()) for offer in touched))
        was_open = sum(one.open is not None for one in endpoints.values())
        were_held = sum(finding.held for finding in findings)
        part = SourceState(
            endpoints=endpoints,
            findings=frozenset(findings),
            polls=self._polls,
            offered=self._offered,
            unchanged=self._open - was_open,
            standing=self._held - were_held,
            verdicts=self._verdicts,
        )
        seen = tuple(one for offer in touched for one in self._seen.get(offer, ()))
        taken = step(part, replace(change.sighting, observations=seen), self._rules.judge, self._rules.patience)
        if taken.said:
            self._verdicts = with_said(self._verdicts, taken.said)
        self._keep(touched, taken.state)
        self._open += sum(one.open is not None for one in taken.state.endpoints.values()) - was_open
        self._held = taken.held
        return taken

    def pass_by(self, mark: PollMark, offers: int) -> None:
        """Go on past a poll that nothing rests on and whose documents were dropped: it counts, and changes nothing.

        What it said of telemetry is not known any more, so that the next poll says it anew.
        """
        self._polls = (*self._polls, mark)
        if mark.complete:
            self._offered = with_offers(self._offered, mark.at, offers)
        for offer, endpoints in self._endpoints.items():
            for key, endpoint in endpoints.items():
                if endpoint.telemetry is not None:
                    endpoints[key] = replace(endpoint, telemetry=None, settled=None)
                    self._unsettled[offer] = None

    def _keep(self, touched: Iterable[Offer], state: SourceState) -> None:
        self._polls, self._offered = state.polls, state.offered
        for key, endpoint in state.endpoints.items():
            self._endpoints.setdefault(key.offer, {})[key] = endpoint
        self._findings[None] = set()
        for offer in touched:
            self._findings.pop(offer, None)
            if not self._seen.get(offer, ()):
                self._seen.pop(offer, None)
        for finding in state.findings:
            self._findings.setdefault(_about(finding), set()).add(finding)
        for offer in touched:
            if self._waits(offer):
                self._unsettled[offer] = None
            else:
                self._unsettled.pop(offer, None)

    def _waits(self, offer: Offer) -> bool:
        """Whether the next step has to visit an offer whatever it shows."""
        endpoints = self._endpoints.get(offer, {}).values()
        if offer in self._seen:
            return len(endpoints) != 1 or any(one.settled is None for one in endpoints)
        return offer in self._findings or any(one.open is not None or one.stated for one in endpoints)


def _about(finding: OpenFinding) -> Offer | None:
    return None if finding.key is None else finding.key.offer
