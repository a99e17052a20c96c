"""What requests cost by a rate card: pure, exact, and never a guess.

The one place where counts meet prices. A price that is unknown, decided at run time or not offered is never zero: where
a workload needs it, its cost is not known either, and the reason is told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from store.conditions import condition_text, in_force
from store.currency import Conversion
from store.records import RateCard
from store.units import METERS, TOKENS_PER_AMOUNT

FEMTO_DIGITS = 15
"""An amount is 1e-9 of a currency unit per 1M tokens, so 1e-15 per token, and 1M times that per single other thing."""

PROMPT_PARTS = ("cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image_token", "input_video_token")
"""Meters of tokens that are part of the prompt."""
ANSWER_PARTS = ("reasoning", "output_audio", "output_image_token", "output_video_token")
"""Meters of tokens that are part of the answer."""
_CHARGED_AS = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "input",
    "input_image_token": "input",
    "reasoning": "output",
}
"""What a part is charged as where it has no price of its own. Audio and video are never charged as text."""
_WHOLE = ("input", "output", "request")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One request, or several that are charged alike, with their counts summed."""

    input_tokens: int
    """The whole prompt, with the part that is read from a cache."""
    output_tokens: int
    """The whole answer, with what is thought and not shown."""
    cached_tokens: int = 0
    """Of the prompt, read from a cache."""
    more: tuple[tuple[str, int], ...] = ()
    """(meter, count) of what else is used, by meter: tokens of `PROMPT_PARTS` and `ANSWER_PARTS`, which are part of
    the prompt or the answer, and single things such as `web_search`."""
    requests: int = 1
    prompt_tokens: int | None = None
    """How long each prompt is, where there are several; None: `input_tokens`."""

    def __post_init__(self) -> None:
        counts = dict(self.more)
        if min(self.input_tokens, self.output_tokens, self.cached_tokens, *counts.values()) < 0 or self.requests < 1:
            raise ValueError("a workload has no negative count of tokens")
        for meter in counts:
            if meter not in METERS or meter in {"cache_read", *_WHOLE}:
                raise ValueError(f"{meter} is no meter that a workload counts beside its tokens")
        if len(counts) != len(self.more):
            raise ValueError("a meter stands twice in a workload")
        if self.cached_tokens > self.input_tokens:
            raise ValueError("more cached tokens than input tokens")
        if self._rest[0][1] < 0:
            raise ValueError("the parts of the prompt are more than the prompt")
        if self._rest[1][1] < 0:
            raise ValueError("the parts of the answer are more than the answer")
        if self.input_tokens + self.output_tokens + sum(counts.values()) == 0:
            raise ValueError("a workload without tokens costs nothing anywhere")

    @cached_property
    def _rest(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Tokens of the prompt and the answer that are part of nothing else."""
        counts = dict(self.more)
        return (
            ("input", self.input_tokens - self.cached_tokens - sum(counts.get(part, 0) for part in PROMPT_PARTS)),
            ("output", self.output_tokens - sum(counts.get(part, 0) for part in ANSWER_PARTS)),
        )

    @cached_property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """(meter, count) of all that is used, none of it twice, requests aside."""
        prompt, answer = self._rest
        found = (prompt, ("cache_read", self.cached_tokens), *self.more, answer)
        return tuple((meter, count) for meter, count in found if count)

    @property
    def tier_tokens(self) -> int:
        """The length of the prompt by which prices for long prompts are told from others."""
        return self.input_tokens if self.prompt_tokens is None else self.prompt_tokens


class Charge(NamedTuple):
    """One line of a bill."""

    meter: str
    """The meter that is charged; a part without a price of its own is charged as the whole it is part of."""
    quantity: int
    amount: int
    femto: int
    """In 1e-15 currency units."""

    @property
    def text(self) -> str:
        """A plain decimal in currency units."""
        return femto_text(self.femto)


class Cost(NamedTuple):
    """What a workload costs, exactly, and the amounts that made it."""

    femto: int
    """In 1e-15 currency units."""
    currency: str
    input: int | None
    """The amount that applies to this workload at this instant, conditions included; None: not offered or unknown."""
    output: int | None
    cache_read: int | None
    """None: the cached part is charged as input."""
    conditions: tuple[str, ...] = ()
    """The conditions that held."""
    conversion: Conversion | None = None
    """How all that comes to be in `currency`, where the endpoint quotes another."""
    charges: tuple[Charge, ...] = ()
    """What it is the sum of, a meter each; of converted ones, each was rounded by itself."""

    def converted(self, by: Conversion) -> "Cost":
        """In another currency: the exact cost, rounded once."""
        input_, output, cache_read = (
            None if amount is None else by.amount(amount) for amount in (self.input, self.output, self.cache_read)
        )
        charges = tuple(
            Charge(one.meter, one.quantity, by.amount(one.amount), by.amount(one.femto)) for one in self.charges
        )
        return Cost(by.amount(self.femto), by.currency, input_, output, cache_read, self.conditions, by, charges)

    @property
    def text(self) -> str:
        """A plain decimal in currency units, without exponent or trailing zeros."""
        return femto_text(self.femto)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """The cost of a workload cannot be told."""

    reason: str


def femto_text(femto: int) -> str:
    """A plain decimal of 1e-15 currency units, without exponent or trailing zeros."""
    sign = "-" if femto < 0 else ""
    whole, fraction = divmod(abs(femto), 10**FEMTO_DIGITS)
    digits = f"{fraction:0{FEMTO_DIGITS}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def fraction_text(femto: Fraction | int) -> str:
    """The same of a part of them, rounded to whole ones."""
    return femto_text(round(femto))


def cost(card: RateCard, workload: Workload, at: datetime) -> Cost | Unpriced:
    """What a workload costs by a rate card at an instant.

    What is read from a cache, written to one, thought, or shown as a picture is charged at its own price where there is
    one, else as the prompt or the answer that it is part of. A meter that the workload needs and that has no amount
    makes the cost unknown; so does a cache kept for an hour where only a shorter one has a price.
    """
    try:
        amounts, held = in_force(card, workload.tier_tokens, at)
    except (KeyError, ValueError):
        return Unpriced(reason="time zone unknown")
    if not card.states and not held:
        states: Mapping[str, str] = {}
    else:
        told = chain(card.states, ((meter, "unknown") for one in held for meter in one.unknown))
        states = {meter: state for meter, state in told if meter not in amounts}
    charges: dict[str, int] = {}
    for used, count in workload.counts:
        meter = _charged(used, amounts, states)
        if meter not in amounts:
            return Unpriced(reason=_without_amount(meter, states))
        charges[meter] = charges.get(meter, 0) + count
    if "request" in states:
        return Unpriced(reason=_without_amount("request", states))
    if amounts.get("request"):
        charges["request"] = workload.requests
    lines = tuple(
        Charge(meter, count, amounts[meter], count * amounts[meter] * _steps(meter)) for meter, count in charges.items()
    )
    return Cost(
        femto=sum(line.femto for line in lines),
        currency=card.currency,
        input=amounts.get("input"),
        output=amounts.get("output"),
        cache_read=amounts.get("cache_read"),
        conditions=tuple(map(condition_text, held)),
        charges=lines,
    )


def _steps(meter: str) -> int:
    """Femto units in a nano unit of an amount, for one of what is counted."""
    return 1 if METERS[meter].thing == "token" else TOKENS_PER_AMOUNT


def _charged(used: str, amounts: Mapping[str, int], states: Mapping[str, str]) -> str:
    """The meter by which something is charged: its own, or that of the whole it is part of."""
    if used in amounts or used in states or used not in _CHARGED_AS:
        return used
    if used == "cache_write_1h" and ("cache_write" in amounts or "cache_write" in states):
        return used
    return _CHARGED_AS[used]


def _without_amount(meter: str, states: Mapping[str, str]) -> str:
    name = meter.replace("_", " ")
    return {"varies": f"{name} price varies", "unknown": f"{name} price unknown"}.get(
        states.get(meter, ""), f"{name} not offered"
    )


def added(costs: Iterable[Cost]) -> Cost:
    """Several costs in one currency as one: amounts are told where all of them share one, charges by meter and amount.

    Raises: ValueError if there is none, or they are in several currencies.
    """
    found = list(costs)
    if len({one.currency for one in found}) != 1:
        raise ValueError("costs of one currency are added, and there is at least one")
    first = found[0]
    if len(found) == 1:
        return first
    charges: dict[tuple[str, int], tuple[int, int]] = {}
    for charge in chain.from_iterable(one.charges for one in found):
        count, femto = charges.get((charge.meter, charge.amount), (0, 0))
        charges[charge.meter, charge.amount] = (count + charge.quantity, femto + charge.femto)
    return Cost(
        femto=sum(one.femto for one in found),
        currency=first.currency,
        input=_shared(one.input for one in found),
        output=_shared(one.output for one in found),
        cache_read=_shared(one.cache_read for one in found),
        conditions=tuple(dict.fromkeys(chain.from_iterable(one.conditions for one in found))),
        conversion=first.conversion,
        charges=tuple(Charge(meter, count, amount, femto) for (meter, amount), (count, femto) in charges.items()),
    )


def _shared(amounts: Iterable[int | None]) -> int | None:
    told = set(amounts)
    return told.pop() if len(told) == 1 else None
