"""Why an invoice differs from the price in force: told only where another reading of the row gives just what it says.

Each hypothesis prices the row anew: at another tier or in another region of the same provider, with its cached tokens
charged otherwise, before a discount or after it, with conditions of the card applied or not, at an earlier or a later
price of the same endpoint, by another source. One that gives the invoice, to its rounding, is the cause, unless another
kind gives it too. What none gives is unknown.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from collector.bill import Biller, Line
from collector.usage import Invoiced
from store.costing import Unpriced
from store.evidence import list_card
from store.intervals import IntervalRow, history
from store.read import Reader
from store.ready import ReadyCard
from store.records import RateCard
from store.stretches import Offer
from store.variants import REGION, TIER

Cause = Literal["tier", "region", "cache", "promotion", "conditions", "date", "source", "rounding", "unknown"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
_LATER: frozenset[Cause] = frozenset({"date", "source"})
"""What counts only where nothing about the request itself explains the invoice: an old price is often another's too."""
_KEPT = 10_000


class Hypothesis(NamedTuple):
    """What a row would have cost if something had been otherwise."""

    cause: Cause
    what: str
    femto: int


class Causes:
    """Explains invoices, by the tape."""

    def __init__(self, reader: Reader, biller: Biller, known: datetime) -> None:
        self._reader, self._biller, self._known = reader, biller, known
        self._past: dict[int, tuple[list[Offer], list[Offer]]] = {}
        self._made: dict[int, tuple[Offer, list[tuple[Cause, str, Offer]]]] = {}

    def of(self, line: Line) -> Cause:
        """Why the invoice of a row is not what it cost; `rounding` where it is."""
        assert line.invoiced is not None
        return explained(line.femto, line.invoiced, self.hypotheses(line))

    def hypotheses(self, line: Line) -> Iterator[Hypothesis]:
        """What the row would have cost otherwise, as far as that is known."""
        usage, biller = line.usage, self._biller
        for what, cached, more, prompt in _cached_otherwise(line):
            femto = biller.femto(line.offer, usage, cached=cached, more=more, input_tokens=prompt)
            if not isinstance(femto, Unpriced):
                yield Hypothesis("cache", what, femto)
        for cause, what, offer in self._elsewhere(line):
            femto = biller.femto(offer, usage, cached=usage.cached_tokens)
            if not isinstance(femto, Unpriced):
                yield Hypothesis(cause, what, femto)

    def _elsewhere(self, line: Line) -> list[tuple[Cause, str, Offer]]:
        """The other offers and rate cards by which a row of this stretch could have been charged."""
        made = self._made.get(id(line.offer))
        if made is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            made = self._made[id(line.offer)] = (line.offer, list(self._made_for(line)))
        return made[1]

    def _made_for(self, line: Line) -> Iterator[tuple[Cause, str, Offer]]:
        row, stretch = line.offer.row, line.stretch
        kinds: tuple[tuple[Cause, re.Pattern[str]], ...] = (("tier", TIER), ("region", REGION))
        for cause, kind in kinds:
            for wanted in stretch.others(line.wanted, kind):
                offer = stretch.chosen(wanted)
                if not isinstance(offer, Unpriced):
                    yield cause, wanted.variant or "plain", offer
        if (listed := list_card(row.card, row.facts)) is not None:
            yield "promotion", "list price", _at(row, listed)
        past, stated = self._dated(row)
        yield from (("promotion", "stated price", offer) for offer in stated)
        if row.card.overrides:
            yield "conditions", "none", _at(row, replace(row.card, overrides=()))
            for override in row.card.overrides:
                amounts = tuple(sorted((dict(row.card.amounts) | dict(override.amounts)).items()))
                states = tuple((meter, state) for meter, state in row.card.states if meter not in dict(amounts))
                yield "conditions", "always", _at(row, replace(row.card, amounts=amounts, states=states, overrides=()))
        yield from (("date", "another date", offer) for offer in past)
        for source in sorted({other.source for other in stretch.rows if other.provider == row.provider} - {row.source}):
            offer = stretch.chosen(line.wanted._replace(provider=row.provider, source=source))
            if not isinstance(offer, Unpriced) and offer.row.source == source:
                yield "source", source, offer

    def _dated(self, row: IntervalRow) -> tuple[list[Offer], list[Offer]]:
        """The same endpoint at other prices that it had, and at those that its source dates itself."""
        found = self._past.get(row.endpoint_id)
        if found is None:
            if len(self._past) >= _KEPT:
                self._past.clear()
            rows = history(
                self._reader,
                row.model,
                self._known,
                known=self._known,
                provider=row.provider,
                source=row.source,
                stated=True,
            )
            same = [one for one in rows if one.endpoint_id == row.endpoint_id]
            found = self._past[row.endpoint_id] = (
                _cards(one for one in same if one.basis == "observed"),
                _cards(one for one in same if one.basis == "stated"),
            )
        past, stated = found
        return [one for one in past if one.row.card != row.card], [one for one in stated if one.row.card != row.card]


def _cards(rows: Iterable[IntervalRow]) -> list[Offer]:
    return [Offer(row, ReadyCard(row.card)) for row in {row.card.text: row for row in rows}.values()]


def _at(row: IntervalRow, card: RateCard) -> Offer:
    return Offer(row._replace(card=card), ReadyCard(card))


def _cached_otherwise(line: Line) -> Iterator[tuple[str, int, tuple[tuple[str, int], ...], int]]:
    """Other ways to count what was read from a cache and written to it: what, cached, more, and the whole prompt."""
    usage = line.usage
    plain = tuple((meter, count) for meter, count in usage.more if not meter.startswith("cache_write"))
    if usage.cached_tokens:
        yield "reads as input", 0, usage.more, usage.input_tokens
        yield "reads twice", usage.cached_tokens, usage.more, usage.input_tokens + usage.cached_tokens
        yield "reads left out", 0, usage.more, usage.input_tokens - usage.cached_tokens
    if plain != usage.more:
        yield "writes as input", usage.cached_tokens, plain, usage.input_tokens
        if usage.cached_tokens:
            yield "all as input", 0, plain, usage.input_tokens


def explained(femto: int, invoiced: Invoiced, hypotheses: Iterable[Hypothesis]) -> Cause:
    """The cause of the difference between what something cost and what it is said to have cost."""
    if invoiced.explains(femto):
        return "rounding"
    causes: set[Cause] = {one.cause for one in hypotheses if one.femto != femto and invoiced.explains(one.femto)}
    first = sorted(causes - _LATER or causes)  # of date and source, the date
    return first[0] if len(first) == 1 or causes == _LATER else "unknown"
