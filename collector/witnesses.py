"""Which source may confirm what is held of another, and whether it does: pure.

Catalogues copy from one another and from the lists that providers publish, so that two of them that agree may be one
mistake told twice. What a source copies from is configured (`derives_from`). A witness is independent of what it
confirms if the two have nothing in common that they copy from, and neither copies from the other; or if it is itself
what the other one copies from: then the copy is true to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from collector.contract import SourceSpec
from store.instants import iso
from store.records import BY_SOURCE, RateCard, Verdict

if TYPE_CHECKING:
    from store.verdicts import Confirmable

FIRST_PARTY = "first-party"
"""In `derives_from`: whatever providers publish themselves."""


def origins(name: str, sources: Mapping[str, SourceSpec]) -> frozenset[str]:
    """Everything that a source copies from, at whatever remove, without itself."""
    found: set[str] = set()
    left = [name]
    while left:
        spec = sources.get(left.pop())
        for origin in spec.derives_from if spec is not None else ():
            if origin not in found:
                found.add(origin)
                left.append(origin)
    return frozenset(found)


def independent(one: str, other: str, sources: Mapping[str, SourceSpec]) -> bool:
    """Whether two sources have nothing in common that they copy from, and neither copies from the other."""
    if one not in sources or other not in sources:
        return False
    ours, theirs = (
        {name, *origins(name, sources), *((FIRST_PARTY,) if sources[name].trust == FIRST_PARTY else ())}
        for name in (one, other)
    )
    if sources[one].trust == sources[other].trust == FIRST_PARTY:
        ours, theirs = ours - {FIRST_PARTY}, theirs - {FIRST_PARTY}
    return not ours & theirs


def may_confirm(witness: str, source: str, sources: Mapping[str, SourceSpec]) -> bool:
    """Whether what a witness states is evidence for what another source states."""
    if witness not in sources or source not in sources:
        return False
    copied = origins(source, sources)
    from_provider = sources[witness].trust == FIRST_PARTY and FIRST_PARTY in copied
    return from_provider or witness in copied or independent(witness, source, sources)


def states_the_same(held: RateCard, accepted: RateCard | None, stated: RateCard) -> bool:
    """Whether a card says of everything that moved what the one that is held says, and nothing else of the rest."""
    if held.currency != stated.currency or held.overrides != stated.overrides:
        return False
    before = {} if accepted is None else accepted.by_meter
    moved = {meter: amount for meter, amount in held.amounts if amount != before.get(meter)}
    shared = held.by_meter.keys() & stated.by_meter.keys()
    return bool(moved) and moved.keys() <= shared and all(held.amount(one) == stated.amount(one) for one in shared)


def confirmed(found: "Iterable[Confirmable]", sources: Mapping[str, SourceSpec]) -> Iterator[tuple[str, Verdict]]:
    """(source, verdict) for each card that an independent source states as well; each card once."""
    done: set[tuple[str, str, str]] = set()
    for one in found:
        key = (one.source, one.subject, one.held.text)
        # What is doubted itself is evidence only for one that it has nothing to do with: a copy of it is true to it.
        may = independent if one.doubted else may_confirm
        if key in done or not may(one.witness, one.source, sources):
            continue
        if states_the_same(one.held, one.accepted, one.stated):
            done.add(key)
            yield (
                one.source,
                Verdict(
                    subject=one.subject,
                    value=one.held.text,
                    released=True,
                    by=f"{BY_SOURCE}{one.witness}",
                    note=f"{one.stated_by} states the same since {iso(one.stated_since)}",
                    since=one.since,
                ),
            )
