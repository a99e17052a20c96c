"""What is believed, all pure but for what others charge, which is asked once and recorded.

A finding that *holds* keeps an amount, or a whole card, off the tape, visibly: the endpoint counts as seen, and what
was accepted last stands. Time alone never releases what is held, but for documents that came back: a value back within
bounds does, and a verdict of a person or of a second source (`SourceState.verdicts`), which is as much a part of a
timeline as its documents are.

What is true of every price there can ever be is checked where values are made (`store.records`,
`collector.normalise`); what is merely plausible is in `collector.doubts`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from hashlib import blake2b
from math import ceil

from collector import doubts
from collector.contract import SourceSpec
from collector.doubts import Doubt
from collector.errors import SourceChanged
from collector.settings import CheckSettings
from store.instants import iso
from store.records import BY_OTHERS, Facts, Finding, Observation, RateCard, Said, Sighting, Verdict, with_said
from store.returned import ROLLBACK
from store.sellers import Sellers, nobody
from store.timeline import (
    EndpointState,
    Interval,
    Judge,
    Judged,
    Match,
    Patience,
    Rules,
    SourceState,
    lasted,
    subject,
)


def patience(settings: CheckSettings) -> Patience:
    """How long an absence must last before it is believed."""
    return Patience(polls=settings.misses, span=timedelta(seconds=settings.gap_s))


def judge(settings: CheckSettings, sellers: Sellers = nobody) -> Judge:
    """The checks with their settings bound, as `store.timeline.step` takes them."""
    return partial(_judge, settings, sellers)


def rules(settings: CheckSettings, release: str = "", sellers: Sellers = nobody) -> Rules:
    """What decides the steps of a timeline: the checks of this release, with these settings.

    `sellers` are asked where polls are taken for the first time: what is found is recorded, for when they are replayed.
    """
    salt = blake2b(f"{release} {settings}".encode(), digest_size=16).digest()
    return Rules(judge=judge(settings, sellers), patience=patience(settings), salt=salt)


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


def _judge(
    settings: CheckSettings, sellers: Sellers, sighting: Sighting, matches: Sequence[Match], state: SourceState
) -> Judged:
    judged: list[Match] = []
    said = _against_others(settings, sellers, sighting, matches, state)
    if said:
        state = replace(state, verdicts=with_said(state.verdicts, said))
    findings: list[tuple[Match | None, Finding]] = [(None, finding) for finding in sighting.findings]
    doubted, back = _doubted_company(settings, matches, state), rollback(sighting, state, settings)
    for matched in matches:
        one, found = _believed(settings, sighting, matched, state, doubted)
        if back is not None and (old := _otherwise(one, back, state)) is not None:
            one, found = replace(one, held=True, card=None, waits=True), [*found, old]
            findings.append((None, back))
        judged.append(one)
        findings += ((one, finding) for finding in found)
    told = mass_absence(sighting, matches, state, settings)
    missing = told is not None and not _decided(state, "", told)
    if told is not None and missing:
        findings.append((None, Finding(rule="mass_absence", message=told, held=True)))
    return Judged(
        at=sighting.at,
        complete=sighting.complete and not missing,
        failed_parts=sighting.failed_parts,
        documents=sighting.documents,
        offers=state.unchanged + len(matches),
        matches=tuple(judged),
        findings=tuple(findings),
        said=said,
    )


def _against_others(
    settings: CheckSettings, sellers: Sellers, sighting: Sighting, matches: Sequence[Match], state: SourceState
) -> tuple[Verdict, ...]:
    """Of prices that are new, and that nothing else speaks against, those far from what others charge for the model."""
    new: list[tuple[Match, RateCard]] = []
    for one in matches:
        endpoint = state.endpoints.get(one.key)
        last = endpoint.last.card if endpoint is not None and endpoint.last is not None else None
        if (
            one.card is not None
            and doubts.moved_much(one.card, last)
            and (subject(one.key), one.card.text) not in state.verdicts
            and not any(True for _ in doubts.of_card(one.card, settings))
        ):
            new.append((one, one.card))
    names = [(one.observation.identity.model, one.observation.identity.variant) for one, _ in new]
    sold = sellers(names, sighting.at) if new else {}
    said: dict[tuple[str, str], Verdict] = {}
    for (one, card), name in zip(new, names, strict=True):
        found = doubts.far_from_others(card, one.observation.identity.provider, sold.get(name, ()))
        if found is not None:
            said[subject(one.key), card.text] = Verdict(
                subject=subject(one.key),
                value=card.text,
                released=False,
                by=BY_OTHERS,
                note=found,
                since=sighting.at,
            )
    return tuple(said.values())


def _decided(state: SourceState, about: str, value: str) -> bool | None:
    """Whether a person or a second source released something, or rejected it; None if nobody has said."""
    return state.verdicts.get((about, value), _NOTHING).released if state.verdicts else None


def _believed(
    settings: CheckSettings, sighting: Sighting, matched: Match, state: SourceState, company: AbstractSet[str]
) -> tuple[Match, list[Finding]]:
    """What is believed of an offer, and what was found."""
    observation, endpoint = matched.observation, state.endpoints.get(matched.key)
    found = [*observation.findings]
    for stated in observation.stated:
        found += (doubt.finding for doubt in doubts.out_of_bounds(stated.card, settings))
    if matched.card is None:
        return replace(matched, held=matched.held or any(one.held for one in found)), found
    last = endpoint.last if endpoint is not None else None
    said = state.verdicts.get((subject(matched.key), matched.card.text), _NOTHING) if state.verdicts else _NOTHING
    verdict = said.released
    doubted = [*doubts.of_card(matched.card, settings)]
    if said.against:
        doubted.append(Doubt(Finding(rule="apart", message=said.against, held=True)))
    doubted += doubts.too_dear_for_its_size(matched.key.model, matched.card)
    if last is None and matched.key.provider in company:
        doubted.append(Doubt(_IN_BAD_COMPANY))
    if last is not None:
        doubted += doubts.of_move(matched.card, last.card, settings)
    whole = matched.held or (verdict is not True and any(one.held for one in found))
    if verdict is not None:
        found = [replace(one, held=False) for one in found]
    if verdict is True:
        doubted = []
    card, waits = matched.card, False
    if zero_at_birth(observation, endpoint) and verdict is not True:
        waits = verdict is None and not _has_lasted(sighting, matched, state, settings)
        if waits or verdict is False:
            card = unpriced(card)
            doubted.append(Doubt(_ZERO_AT_BIRTH, "input"))
    accepted = None if whole else _without_doubt(card, doubted, last.card if last is not None else None)
    facts, doubted_facts = _facts(matched, last, state)
    found += (replace(one.finding, held=verdict is None) for one in doubted)
    return replace(matched, held=accepted is None, card=accepted, facts=facts, waits=waits), [*found, *doubted_facts]


def rollback(sighting: Sighting, state: SourceState, settings: CheckSettings) -> Finding | None:
    """Documents of before others came: an old copy, until they have lasted as long as an absence must.

    It stands as long as they say anything otherwise. Absence has a patience of its own.
    """
    if sighting.returned is None:
        return None
    since, of = sighting.returned
    told = f"the documents of {iso(of)} came back at {iso(since)}: what they say otherwise than those between waits"
    verdict = _decided(state, "", told)
    stood = since == sighting.at or any(one.rule == ROLLBACK and not one.subject for one in state.findings)
    if verdict or not stood or (verdict is None and lasted(state.polls, "", since, sighting.at, patience(settings))):
        return None
    return Finding(rule=ROLLBACK, message=told, held=verdict is None)


def _otherwise(matched: Match, back: Finding, state: SourceState) -> Finding | None:
    """What documents that came back say of an offer otherwise than what stands."""
    text = "" if matched.observation.card is None else matched.observation.card.text
    verdict = _decided(state, subject(matched.key), text)
    if matched.held or verdict or _is_as_before(matched, state.endpoints.get(matched.key)):
        return None
    return Finding(rule=ROLLBACK, message=_OLD_DOCUMENT, held=back.held and verdict is None)


def _is_as_before(matched: Match, endpoint: EndpointState | None) -> bool:
    """Whether what is believed of an offer is what stands."""
    stated = endpoint.stated if endpoint is not None else frozenset()
    if matched.card == matched.observation.card and stated != frozenset(matched.observation.stated):
        return False
    current = endpoint.open if endpoint is not None else None
    if current is None or matched.card is None:
        return current is None and matched.card is None
    facts = matched.observation.facts if matched.facts is None else matched.facts
    return (matched.card, facts) == (current.card, current.facts)


def _without_doubt(card: RateCard, doubted: Sequence[Doubt], last: RateCard | None) -> RateCard | None:
    """The card with the amounts that are doubted as they were accepted last; None if the card is doubted as a whole.

    An amount that waits holds up no other.
    """
    meters = {one.meter for one in doubted if one.finding is not _ZERO_AT_BIRTH}
    if not meters:
        return card
    if last is None or None in meters or last.currency != card.currency:
        return None
    amounts = {meter: amount for meter, amount in card.amounts if meter not in meters}
    states = {meter: state for meter, state in card.states if meter not in meters}
    for meter in meters:
        assert meter is not None
        before = last.amount(meter)
        if before is not None:
            amounts[meter] = before
        else:
            states[meter] = "unknown"
    return replace(card, amounts=tuple(sorted(amounts.items())), states=tuple(sorted(states.items())))


def _facts(matched: Match, last: Interval | None, state: SourceState) -> tuple[Facts | None, list[Finding]]:
    """The facts with a context that is doubted as it was accepted last, if it is, and what was found."""
    if last is None:
        return None, []
    facts, about = matched.observation.facts, subject(matched.key)
    doubted = [one for one in doubts.of_context(facts, last.facts) if not _decided(state, about, one.message)]
    if not doubted:
        return None, []
    found = [replace(one, held=(about, one.message) not in state.verdicts) for one in doubted]
    return replace(facts, context_length=last.facts.context_length), found


def _doubted_company(settings: CheckSettings, matches: Sequence[Match], state: SourceState) -> set[str]:
    """Providers of whose offers that were never accepted so many are out of all bounds that none of them is believed.

    A catalogue takes in a provider as a whole, in one unit: of 83 offers that were ten thousand times too dear, 18 were
    cheap enough to be within bounds all the same. It looks at nothing that is on the tape, so that whatever else a poll
    touches, it comes out the same.
    """
    new = Counter[str]()
    beyond = Counter[str]()
    for one in matches:
        endpoint = state.endpoints.get(one.key)
        if one.card is not None and (endpoint is None or endpoint.last is None):
            new[one.key.provider] += 1
            beyond[one.key.provider] += any(True for _ in doubts.out_of_bounds(one.card, settings))
    return {name for name, count in beyond.items() if count >= 3 and 4 * count >= new[name]}


_IN_BAD_COMPANY = Finding(
    rule="company",
    message="new together with others of its provider that are out of all bounds: their unit is in doubt",
    held=True,
)
_OLD_DOCUMENT = "said by documents that came back, and otherwise by those after them: waits until they last"
_NOTHING = Said()
_ZERO_AT_BIRTH = Finding(
    rule="zero_at_birth",
    message="a new offer at 0/0 that is not declared free: unknown until it has lasted",
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
    sighting: Sighting, matches: Sequence[Match], state: SourceState, settings: CheckSettings
) -> str | None:
    """A large share of the offers missing, at once or bit by bit, is a fault of the document until proven otherwise.

    Returns: what is to be said of it, which changes only where more is missing; None if there is nothing to say.
    """
    return _leak(sighting, state.unchanged + len(matches), state, settings) or _loss(sighting, matches, state, settings)


def _leak(sighting: Sighting, offers: int, state: SourceState, settings: CheckSettings) -> str | None:
    """So many fewer offers than there were within a month.

    Measured against what complete polls showed, day by day: while absence does not count no day is added, so that time
    alone does not wear down what it is measured against. A loss that was believed all the same, for it was released,
    begins a new count. What others took the place of is not lost: of 1,269 tags, 157 were renamed within seven weeks.
    """
    most, day = 0, 0
    for one, offered in sorted(state.offered.items()):
        if offered >= most or _is_large(most - offered, most, settings):
            most, day = offered, one
    lost = most - offers
    if not sighting.complete or not _is_large(lost, most, settings):
        return None
    share = settings.missing_share * most
    least = max(3, ceil(lost // share * share))
    return f"at least {least} of the {most} offers of {date.fromordinal(day)} are gone: their absence does not count"


def _loss(sighting: Sighting, matches: Sequence[Match], state: SourceState, settings: CheckSettings) -> str | None:
    """So many of the open endpoints missing whose absence no poll has counted yet, whatever took their place."""
    seen = {match.key for match in matches}
    counted = max((mark.at for mark in state.polls if mark.complete), default=None)
    open_endpoints = {
        key: endpoint.open
        for key, endpoint in state.endpoints.items()
        if endpoint.open is not None and endpoint.part not in sighting.failed_parts
    }
    missing = sorted(
        subject(key)
        for key, one in open_endpoints.items()
        if key not in seen and (one.unseen_since is None or counted is None or one.unseen_since > counted)
    )
    if not _is_large(len(missing), len(open_endpoints) + state.unchanged, settings):
        return None
    these = blake2b("\n".join(missing).encode(), digest_size=4).hexdigest()
    return f"{len(missing)} of the open endpoints ({these}) missing at once: their absence does not count"


def _is_large(lost: int, of: int, settings: CheckSettings) -> bool:
    return lost >= 3 and lost >= settings.missing_share * of
