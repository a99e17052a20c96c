"""A rate card made ready to price requests by the million: what `store.costing.cost` says, from memory.

What a workload costs is a sum over its meters, each at the amount that applies to a prompt of its length at that
instant. So what one unit of each meter costs is asked of `costing.cost` once for each case that the conditions of the
card tell apart, and remembered: nothing is computed here but the sum.
"""

from bisect import bisect_left
from datetime import datetime

from store.costing import ANSWER_PARTS, PROMPT_PARTS, Charge, Cost, Unpriced, Workload, cost
from store.instants import EPOCH
from store.records import RateCard
from store.tariff import has_hours, stretches

_OF_PROMPT, _OF_ANSWER = frozenset(PROMPT_PARTS), frozenset(ANSWER_PARTS)
_CHARGEABLE = ("input", "output", *PROMPT_PARTS, *ANSWER_PARTS)
_REMEMBERED = 4096
"""Minutes of prices in windows that are kept."""


class Rates(dict[str, int | None]):
    """Meter -> 1e-15 currency units for one of it, in one case; None: that is not known."""

    def __init__(self, card: RateCard, prompt_tokens: int, at: datetime) -> None:
        super().__init__()
        self._case = card, prompt_tokens, at
        self.request = sum(line.femto for line in self._asked_any() if line.meter == "request")

    def _asked_any(self) -> tuple[Charge, ...]:
        """What is charged for something: a price per request is charged with anything."""
        tried = (self._asked("input", 1, 0), self._asked("output", 0, 1))
        return next((one.charges for one in tried if isinstance(one, Cost)), ())

    def _asked(self, meter: str, prompt: int, answer: int) -> Cost | Unpriced:
        card, prompt_tokens, at = self._case
        more = () if meter in {"input", "output", "cache_read"} else ((meter, 1),)
        cached = 1 if meter == "cache_read" else 0
        one = Workload(
            input_tokens=prompt, output_tokens=answer, cached_tokens=cached, more=more, prompt_tokens=prompt_tokens
        )
        return cost(card, one, at)

    def __missing__(self, meter: str) -> int | None:
        prompt = int(meter == "input" or meter in _OF_PROMPT)
        found = self._asked(meter, prompt, int(meter == "output" or meter in _OF_ANSWER))
        self[meter] = found.femto - self.request if isinstance(found, Cost) else None
        return self[meter]


class ReadyCard:
    """What requests cost by a rate card."""

    __slots__ = ("_by_case", "_lengths", "by_the_hour", "card", "rates")

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self.by_the_hour = has_hours(card)
        """Whether it matters when a request is made."""
        self._lengths = sorted({one.above_tokens for one in card.overrides if one.above_tokens is not None})
        self.rates = None if card.overrides else Rates(card, 0, EPOCH)
        """None: they depend on the prompt, or on when a request is made."""
        self._by_case: dict[tuple[int, int], Rates] = {}

    def femto(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int,
        more: tuple[tuple[str, int], ...],
        requests: int,
        at: datetime,
        prompt_tokens: int | None = None,
    ) -> int | Unpriced:
        """What a workload costs, in 1e-15 units of the card's currency. The counts are those of a `Workload`.

        Raises: ValueError for counts that cannot be.
        """
        total = self.known_femto(input_tokens, output_tokens, cached_tokens, more, requests, at, prompt_tokens)
        if total is not None:
            return total
        # Not known, or impossible, or of single things alone: the reason is told where prices are made.
        found = cost(
            self.card,
            Workload(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cached_tokens=cached_tokens,
                more=more,
                requests=requests,
                prompt_tokens=prompt_tokens,
            ),
            at,
        )
        return found.femto if isinstance(found, Cost) else found

    def known_femto(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int,
        more: tuple[tuple[str, int], ...],
        requests: int,
        at: datetime,
        prompt_tokens: int | None = None,
    ) -> int | None:
        """The same where it is known for a workload of tokens; None elsewhere, and for counts that cannot be."""
        rates = self.rates or self._of_case(input_tokens if prompt_tokens is None else prompt_tokens, at)
        prompt, answer = input_tokens - cached_tokens, output_tokens
        total = requests * rates.request
        for meter, count in more:
            if meter in _OF_PROMPT:
                prompt -= count
            elif meter in _OF_ANSWER:
                answer -= count
            rate = rates[meter]
            if count < 0 or (rate is None and count):
                return None
            total += count * (rate or 0)
        if prompt < 0 or answer < 0 or cached_tokens < 0 or requests < 1 or input_tokens + output_tokens == 0:
            return None
        for meter, count in (("input", prompt), ("output", answer), ("cache_read", cached_tokens)):
            if count:
                rate = rates[meter]
                if rate is None:
                    return None
                total += count * rate
        return total

    def never_above(self, other: "ReadyCard") -> bool:
        """Whether nothing that is known to cost something there costs more here, or is unknown here.

        Only of cards without conditions; False says nothing.
        """
        if self.rates is None or other.rates is None or self.card.currency != other.card.currency:
            return False
        ours, theirs = self.rates, other.rates
        meters = {*_CHARGEABLE, *self.card.by_meter, *other.card.by_meter, *dict(self.card.states)} - {"request"}
        return ours.request <= theirs.request and all(
            (there := theirs[meter]) is None or ((here := ours[meter]) is not None and here <= there)
            for meter in meters
        )

    def _of_case(self, prompt_tokens: int, at: datetime) -> Rates:
        """The rates for a prompt of that length in that minute: no condition changes within one."""
        minute = at.toordinal() * 1440 + at.hour * 60 + at.minute if self.by_the_hour else 0
        case = (bisect_left(self._lengths, prompt_tokens), minute)
        rates = self._by_case.get(case)
        if rates is None:
            if len(self._by_case) >= _REMEMBERED:
                self._by_case.clear()
            rates = self._by_case[case] = Rates(self.card, prompt_tokens, at)
        return rates

    def unsure(self, input_tokens: int, requests: int, since: datetime, until: datetime | None) -> str:
        """Why the sum of several requests over a stretch of time cannot be priced as one; empty if it can.

        Each prompt may be as long as all together, or have next to nothing; each may have come at any time.
        """
        if requests > 1 and self._lengths and input_tokens > self._lengths[0]:
            return f"sums up {requests} prompts, and one above {self._lengths[0]} tokens has another price"
        if until is not None and self.by_the_hour:
            charged = stretches(self.card, input_tokens, since, until)
            if any(one.amounts != charged[0].amounts for one in charged):
                return "sums up hours that have different prices"
        return ""
