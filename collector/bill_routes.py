"""Where a row of usage would have cost least at its instant, among what is allowed."""

from dataclasses import replace
from typing import NamedTuple, TypeAlias

from collector.bill import Biller, Line
from collector.usage import Usage
from store.constraints import Constraints, limits, sights, unfit
from store.costing import Unpriced
from store.currency import Converter
from store.intervals import IntervalRow
from store.offers import Wanted
from store.stretches import Offer, Stretch
from store.variants import TIER, told_apart

_KEPT = 20_000
"""Lists of routes held in memory."""
_Limits: TypeAlias = tuple[int, int, int]
"""Tokens of a prompt and its answer, of a prompt, and of an answer."""
_ANY = 2**62


class Route(NamedTuple):
    """An offer, and what a row would have cost there."""

    row: IntervalRow
    femto: int
    """In 1e-15 units of the bill's currency."""


class Routes:
    """Finds the cheapest route of each row."""

    def __init__(self, biller: Biller, into: Converter, allowed: Constraints) -> None:
        self._biller, self._into, self._allowed = biller, into, allowed
        self._kept: dict[tuple[int, frozenset[str], bool], tuple[Stretch, list[tuple[Offer, _Limits]]]] = {}

    def cheapest(self, line: Line) -> Route | None:
        """Where a row would have cost least: in its own tier, where nothing is known to be too short for it.

        None where there is nothing. Of routes that cost the same, the first by the sum of its prices and its name.
        """
        usage = line.usage
        single = usage.requests == 1 and usage.until is None
        best: Route | None = None
        for offer, longest in self._competing(line.stretch, told_apart(line.offer.row.variant, TIER)[0], single=single):
            if usage.requests == 1 and _too_long(usage, longest):
                continue
            if not single and self._biller.unsteady(usage, _named(offer.row), offer):
                continue
            femto = self._femto(offer, usage)
            if femto is None or (femto == 0 and not self._allowed.include_free):
                continue
            if best is None or femto < best.femto:
                best = Route(offer.row, femto)
        return best

    def _femto(self, offer: Offer, usage: Usage) -> int | None:
        """What a row costs at an offer, where that is known."""
        if offer.row.card.currency != self._into.currency:
            found = self._biller.femto(offer, usage, cached=usage.cached_tokens)
            return None if isinstance(found, Unpriced) else found
        return offer.ready.known_femto(
            usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.more, usage.requests, usage.at
        )

    def _competing(self, stretch: Stretch, tier: frozenset[str], *, single: bool) -> list[tuple[Offer, _Limits]]:
        """Offers that may compete, and what they take.

        For a single request, without those that never cost less than another.
        """
        kept = self._kept.get((id(stretch), tier, single))
        if kept is not None:
            return kept[1]
        seen = sights(stretch.rows)
        wanted = replace(self._allowed, tiers=frozenset({"any"}))
        found: list[tuple[Offer, _Limits]] = []
        for offer in sorted(stretch.believed(), key=lambda one: (sum(one.row.card.by_meter.values()), one.row.ref)):
            row = offer.row
            if told_apart(row.variant, TIER)[0] != tier or unfit(row, seen(row), (0, 0), stretch.at, wanted):
                continue
            both, prompt, answer = (_ANY if one is None else one for one in limits(row, seen(row)))
            longest = (both, prompt, answer)
            if not (single and any(_rules_out(one, takes, offer, longest) for one, takes in found)):
                found.append((offer, longest))
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[id(stretch), tier, single] = (stretch, found)
        return found


def _named(row: IntervalRow) -> Wanted:
    """A row itself, as what is wanted."""
    return Wanted(row.model, row.provider, endpoint=row.endpoint, source=row.source)


def _too_long(usage: Usage, longest: _Limits) -> bool:
    both, prompt, answer = longest
    return (
        usage.input_tokens + usage.output_tokens > both or usage.input_tokens > prompt or usage.output_tokens > answer
    )


def _rules_out(one: Offer, takes: _Limits, other: Offer, needed: _Limits) -> bool:
    """Whether an offer never costs more than another, takes whatever that takes, and is never free of charge."""
    long_enough = all(ours >= theirs for ours, theirs in zip(takes, needed, strict=True))
    return long_enough and all(one.row.card.by_meter.values()) and one.ready.never_above(other.ready)
