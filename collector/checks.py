"""What is believed: one small function per finding, all pure.

A finding that *holds* keeps a quote off the tape, visibly: the endpoint counts as seen and its interval stays as it is.
Time alone never releases what is held; a value back within bounds does. What is true of every price there can ever be
is checked where values are made (`store.records`, `collector.normalise`); here is what is merely plausible.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import blake2b

from collector.contract import SourceSpec
from collector.errors import SourceChanged
from collector.settings import CheckSettings
from store.records import Finding, Observation, RateCard, Sighting
from store.timeline import EndpointState, Judge, Judged, Match, Patience, Rules, SourceState, lasted
from store.units import NANO, decimal_text

TEXT_METERS = frozenset({"input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "citation"})
"""Meters of text tokens, whose amounts have a plausible ceiling."""


def patience(settings: CheckSettings) -> Patience:
    """How long an absence must last before it is believed."""
    return Patience(polls=settings.misses, span=timedelta(seconds=settings.gap_s))


def judge(settings: CheckSettings) -> Judge:
    """The checks with their settings bound, as `store.timeline.step` takes them."""
    return partial(_judge, settings)


def rules(settings: CheckSettings, release: str = "") -> Rules:
    """What decides the steps of a timeline: the checks of this release, with these settings."""
    salt = blake2b(f"{release} {settings}".encode(), digest_size=16).digest()
    return Rules(judge=judge(settings), patience=patience(settings), salt=salt)


def counted(observations: Sequence[Observation]) -> dict[str, int]:
    """How many endpoints and models a document holds."""
    return {
        "endpoints": len({(one.key, one.facts.text) for one in observations}),
        "models": len({one.identity.model for one in observations}),
    }


def expected(counts: Mapping[str, int], spec: SourceSpec) -> None:
    """Raises: SourceChanged if a whole document holds fewer endpoints or models than its source is known to have."""
    for what, least in spec.expect.items():
        if counts[what] < least:
            raise SourceChanged(f"{spec.id}: wanted at least {least} {what}, found {counts[what]}", code="too_few")


def _judge(settings: CheckSettings, sighting: Sighting, matches: Sequence[Match], state: SourceState) -> Judged:
    judged: list[Match] = []
    findings: list[tuple[Match | None, Finding]] = [(None, finding) for finding in sighting.findings]
    for match in matches:
        endpoint = state.endpoints.get(match.key)
        found = [*match.observation.findings]
        card, waits = match.card, False
        for stated in match.observation.stated:
            found += above_ceiling(stated.card, settings)
        if card is not None:
            found += (*above_ceiling(card, settings), *moved_too_far(card, endpoint, settings))
            if zero_at_birth(match.observation, endpoint) and not _has_lasted(sighting, match, state, settings):
                card, waits = unpriced(card), True
                found.append(
                    Finding(
                        rule="zero_at_birth",
                        message="a new offer at 0/0 that is not declared free: unknown until it has lasted",
                        held=True,
                    )
                )
        held = match.held or any(finding.held and finding.rule != "zero_at_birth" for finding in found)
        judged.append(replace(match, held=held, card=None if held else card, waits=waits))
        findings += ((judged[-1], finding) for finding in found)
    missing = mass_absence(sighting, judged, state, settings)
    if missing is not None:
        findings.append((None, missing))
    return Judged(
        at=sighting.at,
        complete=sighting.complete and missing is None,
        failed_parts=sighting.failed_parts,
        documents=sighting.documents,
        matches=tuple(judged),
        findings=tuple(findings),
    )


def above_ceiling(card: RateCard, settings: CheckSettings) -> Iterator[Finding]:
    """Text tokens dearer than any ever sold: the mark of a unit slip."""
    ceiling = settings.above_usd * NANO
    for condition, meter, amount in _amounts(card):
        if meter in TEXT_METERS and amount > ceiling:
            yield Finding(
                rule="bound",
                message=f"{meter}{condition} at {decimal_text(amount)} {card.currency} per 1M tokens is above"
                f" {settings.above_usd}",
                held=True,
            )


def moved_too_far(card: RateCard, endpoint: EndpointState | None, settings: CheckSettings) -> Iterator[Finding]:
    """An amount many times what was last accepted, or a fraction of it, or turned to nothing."""
    if endpoint is None or endpoint.last is None or endpoint.last.card.currency != card.currency:
        return
    before = {(condition, meter): amount for condition, meter, amount in _amounts(endpoint.last.card)}
    for condition, meter, new in _amounts(card):
        old = before.get((condition, meter))
        if not old:
            # From nothing to something is never the cheaper error.
            continue
        if new == 0:
            yield Finding(rule="to_zero", message=f"{meter}{condition} fell from {decimal_text(old)} to 0", held=True)
        elif new >= old * settings.ratio or new * settings.ratio <= old:
            yield Finding(
                rule="ratio",
                message=f"{meter}{condition} moved from {decimal_text(old)} to {decimal_text(new)},"
                f" {settings.ratio} times or more",
                held=True,
            )


def zero_at_birth(observation: Observation, endpoint: EndpointState | None) -> bool:
    """A paid offer that has never had a price and says 0/0: measured, most get one by the next poll."""
    card = observation.card
    if card is None or observation.declared_free or card.amount("input") != 0 or card.amount("output") != 0:
        return False
    last = endpoint.last if endpoint else None
    return last is None or last.card == unpriced(card)


def _has_lasted(sighting: Sighting, match: Match, state: SourceState, settings: CheckSettings) -> bool:
    endpoint = state.endpoints.get(match.key)
    born = endpoint.open.first_seen if endpoint and endpoint.open else None
    part = match.observation.part
    return born is not None and lasted(state.polls, part, born, sighting.at, patience(settings))


def unpriced(card: RateCard) -> RateCard:
    """The card with its zeros said to be unknown."""
    zeros = {meter for meter, amount in card.amounts if amount == 0}
    states = dict(card.states) | dict.fromkeys(zeros, "unknown")
    return replace(
        card,
        amounts=tuple((meter, amount) for meter, amount in card.amounts if meter not in zeros),
        states=tuple(sorted(states.items())),
    )


def mass_absence(
    sighting: Sighting, matches: Iterable[Match], state: SourceState, settings: CheckSettings
) -> Finding | None:
    """A large share of the open endpoints missing at once is a fault of the document until proven otherwise.

    The share counts what was already missing before, so that small losses cannot add up unseen.
    """
    seen = {match.key for match in matches}
    open_keys = [
        key
        for key, endpoint in state.endpoints.items()
        if endpoint.open is not None and endpoint.part not in sighting.failed_parts
    ]
    missing = sum(key not in seen for key in open_keys)
    if missing < 3 or missing < settings.missing_share * (len(open_keys) + state.unchanged):
        return None
    share = settings.missing_share
    return Finding(
        rule="mass_absence",
        message=f"{share.numerator}/{share.denominator} or more of the open endpoints missing at once:"
        " their absence does not count",
        held=True,
    )


def _amounts(card: RateCard) -> Iterator[tuple[str, str, int]]:
    """(condition in words, meter, amount) of a card, overrides included."""
    for meter, amount in card.amounts:
        yield "", meter, amount
    for override in card.overrides:
        condition = f" above {override.above_tokens}" if override.above_tokens is not None else ""
        if override.start_minute is not None:
            condition += f" from {override.start_minute} to {override.end_minute} {override.tz}"
        for meter, amount in override.amounts:
            yield condition, meter, amount
