"""Reasons to doubt a rate card or a fact, each a small pure function: about the card itself, or about how it moved.

Thresholds are measured on 118 recorded lists of OpenRouter over two years (943 changes of price) and on the faults that
public catalogues really had: no genuine move of a text price was as large as a hundred,
none exchanged two prices, none moved everything by an exchange rate.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from collector.settings import CheckSettings
from store import rates
from store.records import Facts, Finding, Observation, Offer, RateCard
from store.sellers import Seller
from store.units import NANO, decimal_text

TEXT_METERS = frozenset({"input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "citation"})
"""Meters of text tokens, whose amounts have a plausible range."""

SMALLEST = NANO // 10_000
"""Nano units for 1M text tokens: no price in the recorded lists and endpoints of OpenRouter is below it."""

UNIFORM = 10
"""Times that all prices of a card may not move together: a unit, not a decision."""

EXCHANGE = ((62, 10), (76, 10))
"""Between these factors lies what a dollar has been worth in yuan: moved together by it, prices changed currency."""

SMALL_USD = 25
"""USD per 1M text tokens that are believed of any model; of a larger one, a dollar for each billion parameters."""

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])", re.ASCII)
"""`8b`, `8x22b`, `1.5b`; not the `a3b` of those that are active."""

BATCH = "batch"
"""Part of a tag that says that an offer is for work that may wait."""

RATE = 3
"""Times that a rate of exchange may not move: no currency lost two thirds overnight."""

SHARED = 4
"""Other sellers of a model at whose price an offer that has another one too is copied from them."""

SELLERS = 3
"""Other providers of a model that must be known, to tell by them a price that is none."""

DEARER = 4
"""Times the dearest of them, in input and output alike, that nobody charges. Of 12,800 recorded offers that were new,
18 did: all but two or three had a wrong unit or currency, or a price filled in from another model."""

CHEAPER = 20
"""Part of what the cheapest of them charges, in both, that nobody asks: some resell at a tenth."""

CONTEXT = 8
"""Times that a context may not grow or shrink: 128 for 128K, characters for tokens."""


class Doubt(NamedTuple):
    """A finding that holds something, and the one amount outside conditions that it is about; None: the whole card."""

    finding: Finding
    meter: str | None = None


def _doubt(rule: str, message: str, meter: str | None = None) -> Doubt:
    return Doubt(Finding(rule=rule, message=message, held=True), meter)


def amounts(card: RateCard) -> Iterator[tuple[str, str, int]]:
    """(condition in words, meter, amount) of a card, overrides included."""
    for meter, amount in card.amounts:
        yield "", meter, amount
    for override in card.overrides:
        condition = f" above {override.above_tokens}" if override.above_tokens is not None else ""
        if override.start_minute is not None:
            condition += f" from {override.start_minute} to {override.end_minute} {override.tz}"
        for meter, amount in override.amounts:
            yield condition, meter, amount


def of_card(card: RateCard, settings: CheckSettings) -> Iterator[Doubt]:
    """What no rate card says, whatever was said before."""
    yield from out_of_bounds(card, settings)
    yield from cache_order(card)


def of_move(card: RateCard, last: RateCard, settings: CheckSettings) -> Iterator[Doubt]:
    """What a rate card does not become, from the one that was accepted last."""
    if card.currency != last.currency:
        yield _doubt("currency", f"quoted in {card.currency}, until now in {last.currency}")
        return
    yield from moved_together(card, last)
    yield from exchanged(card, last)
    yield from moved_too_far(card, last, settings)
    yield from no_price_any_more(card, last)


def out_of_bounds(card: RateCard, settings: CheckSettings) -> Iterator[Doubt]:
    """Text tokens dearer than any ever sold, or cheaper: the mark of a unit slip."""
    ceiling = settings.above_usd * NANO
    for condition, meter, amount in amounts(card):
        if meter not in TEXT_METERS:
            continue
        told = f"{meter}{condition} at {decimal_text(amount)} {card.currency} per 1M tokens is"
        only = None if condition else meter
        if amount > ceiling:
            yield _doubt("bound", f"{told} above {settings.above_usd}", only)
        elif 0 < amount < SMALLEST:
            yield _doubt("too_small", f"{told} below {decimal_text(SMALLEST)}", only)


def too_dear_for_its_size(model: str, card: RateCard) -> Iterator[Doubt]:
    """Text far dearer than models with so few parameters are sold for, where the name tells how many it has.

    Of 3,051 recorded offers that do, none cost as much but two, at a hundred and two hundred, which were slips of unit.
    """
    sizes = [int(times or 1) * Fraction(billions) for times, billions in _SIZE.findall(model.lower())]
    if not sizes or card.currency != "USD":
        return
    ceiling = max(Fraction(SMALL_USD), *sizes) * NANO
    for condition, meter, amount in amounts(card):
        if meter in TEXT_METERS and amount > ceiling:
            told = f"{meter}{condition} at {decimal_text(amount)} USD per 1M tokens"
            yield _doubt("size", f"{told} of a model named by its size", None if condition else meter)


def far_from_others(card: RateCard, provider: str, sellers: Sequence[Seller]) -> str | None:
    """In words, that text costs far more than several other providers of a model charge, or far less, or far more than
    sources that are trusted more say that the provider itself does; None if not, or if nothing is known.

    Far less than those say is what a cut looks like that they have not heard of. What a source says that is trusted as
    much contradicts it, in every answer: neither is known to be right.
    """
    text = _of_text(card)
    if text is None or text[0] != "USD":
        return None
    own = [one for one in sellers if one.provider == provider and one.trusted_more]
    others = [one for one in sellers if one.provider != provider]
    count = len({one.provider for one in others})
    _, *asked = text
    here = f"here {_both(asked)} USD per 1M tokens"
    most, _ = _ends(own)
    if own and all(new >= DEARER * old for new, old in zip(asked, most, strict=True)):
        return f"{_both(most)} at most by sources trusted more, {here}"
    most, least = _ends(others)
    if count >= SELLERS and all(new >= DEARER * old for new, old in zip(asked, most, strict=True)):
        return f"{_both(most)} at the dearest of {count} other providers, {here}"
    if count >= SELLERS and all(CHEAPER * new <= old for new, old in zip(asked, least, strict=True)):
        return f"{_both(least)} at the cheapest of {count} other providers, {here}"
    return None


def _ends(sellers: Sequence[Seller]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The most and the least that is charged, for input and for output."""
    inputs, outputs = [one.input for one in sellers], [one.output for one in sellers]
    most = max(inputs, default=0), max(outputs, default=0)
    return most, (min(inputs, default=0), min(outputs, default=0))


def _both(prices: Sequence[int]) -> str:
    return " / ".join(map(decimal_text, prices))


def moved_much(card: RateCard, last: RateCard | None) -> bool:
    """Whether the prices of text are new, or have both at least doubled or halved."""
    before, now = None if last is None else _of_text(last), _of_text(card)
    if now is None:
        return False
    if before is None or before[0] != now[0]:
        return True
    pairs = ((before[1], now[1]), (before[2], now[2]))
    return all(new >= 2 * old for old, new in pairs) or all(2 * new <= old for old, new in pairs)


def cache_order(card: RateCard) -> Iterator[Doubt]:
    """Reading a cache costs more than reading the prompt, or as much as writing the cache: two columns in one."""
    read, write, prompt = card.amount("cache_read"), card.amount("cache_write"), card.amount("input")
    if read and prompt and read > prompt:
        told = f"cache_read {decimal_text(read)} is above input {decimal_text(prompt)}"
        yield _doubt("cache_order", told, "cache_read")
    elif read and read == write:
        yield _doubt("cache_order", f"cache_read and cache_write are both {decimal_text(read)}", "cache_read")


def moved_together(card: RateCard, last: RateCard) -> Iterator[Doubt]:
    """All prices of text times one factor: ten or more is a unit, about seven is a currency."""
    pairs = [
        (old, new)
        for meter, new in card.amounts
        if meter in TEXT_METERS and new and (old := last.amount(meter)) is not None and old
    ]
    if not pairs:
        return
    old, new = pairs[0]
    # Equal to a hundredth: what is rounded to few digits is not moved by one factor exactly.
    if any(100 * abs(one * old - other * new) > one * old for other, one in pairs):
        return
    small, large = min(old, new), max(old, new)
    (least, per), (most, of) = EXCHANGE
    way = f"all prices moved together, from {decimal_text(old)} to {decimal_text(new)}"
    if large >= UNIFORM * small:
        yield _doubt("unit", f"{way} and the others by the same factor: {UNIFORM} times or more")
    elif least * small <= per * large and of * large <= most * small:
        yield _doubt("exchange", f"{way} and the others by the same factor: as between dollar and yuan")


def exchanged(card: RateCard, last: RateCard) -> Iterator[Doubt]:
    """Two meters have each other's price of before."""
    for one, other in combinations(sorted(TEXT_METERS), 2):
        before = last.amount(one), last.amount(other)
        if all(before) and before[0] != before[1] and (card.amount(other), card.amount(one)) == before:
            yield _doubt("swap", f"{one} and {other} have each other's price of before")


def moved_too_far(card: RateCard, last: RateCard, settings: CheckSettings) -> Iterator[Doubt]:
    """An amount many times what was last accepted, or a fraction of it, or turned to nothing."""
    before = {(condition, meter): amount for condition, meter, amount in amounts(last)}
    for condition, meter, new in amounts(card):
        old, only = before.get((condition, meter)), None if condition else meter
        if not old:
            # From nothing to something is never the cheaper error.
            continue
        if new == 0:
            yield _doubt("to_zero", f"{meter}{condition} fell from {decimal_text(old)} to 0", only)
            continue
        ratio = RATE if meter == rates.METER else settings.ratio
        if new >= old * ratio or new * ratio <= old:
            told = f"{meter}{condition} moved from {decimal_text(old)} to {decimal_text(new)}"
            yield _doubt("ratio", f"{told}, {ratio} times or more", only)


def no_price_any_more(card: RateCard, last: RateCard) -> Iterator[Doubt]:
    """A price that is now said to vary: the mark of a placeholder such as -1."""
    for meter, state in card.states:
        old = last.amount(meter)
        if state == "varies" and old:
            yield _doubt("to_varies", f"{meter} was {decimal_text(old)} and is now said to vary", meter)


def of_context(facts: Facts, last: Facts) -> Iterator[Finding]:
    """A context many times as long as before, or a fraction of it."""
    old, new = last.context_length, facts.context_length
    if old is not None and new is not None and max(old, new) >= CONTEXT * min(old, new):
        told = f"context length moved from {old} to {new} tokens"
        yield Finding(rule="context", message=told, held=True, of_card=False)


def among(observations: Iterable[Observation]) -> list[Observation]:
    """The same, where one contradicts another of the same provider and model: a batch dearer than no batch."""
    found = [*observations]
    cards = {
        (one.key.provider, one.key.model, one.key.tag): one.card
        for one in found
        if one.card is not None and BATCH not in one.key.tag.split("/")
    }
    for place, one in enumerate(found):
        parts = one.key.tag.split("/")
        if BATCH in parts and one.card is not None:
            tag = "/".join(part for part in parts if part != BATCH)
            usual = cards.get((one.key.provider, one.key.model, tag))
            if usual is not None and usual.currency == one.card.currency:
                dearer = tuple(batch_order(one.card, usual))
                found[place] = replace(one, findings=(*one.findings, *dearer)) if dearer else one
    return found


def copied(observations: Iterable[Observation]) -> list[Observation]:
    """The same, where a provider states two prices of one offer, and one of them is what many others charge: no price
    of its own, but one that was filled in.

    Only within an answer about one model. Many sellers honestly share a price: without the second one it is no doubt.
    """
    found = [*observations]
    prices: dict[tuple[Offer, str | None], set[tuple[str, int, int]]] = {}
    sellers: dict[tuple[str, tuple[str, int, int]], set[str]] = {}
    priced = [(place, one, price) for place, one in enumerate(found) if one.part and (price := _of_text(one.card))]
    for _, one, price in priced:
        prices.setdefault((one.key.offer, one.facts.quantization), set()).add(price)
        sellers.setdefault((one.part, price), set()).add(one.key.provider)
    for place, one, price in priced:
        own = [
            other for other in prices[one.key.offer, one.facts.quantization] if len(sellers[one.part, other]) <= SHARED
        ]
        if own and len(sellers[one.part, price]) > SHARED:
            _, cost, answer = min(own)
            told = f"what {SHARED} others charge or more; the provider itself says {decimal_text(cost)}"
            copy = Finding(rule="copied", message=f"{told} and {decimal_text(answer)} for the same offer", held=True)
            found[place] = replace(one, findings=(*one.findings, copy))
    return found


def _of_text(card: RateCard | None) -> tuple[str, int, int] | None:
    """Currency and prices of input and output, if both have one."""
    if card is None or not card.amount("input") or not card.amount("output"):
        return None
    return card.currency, card.by_meter["input"], card.by_meter["output"]


def batch_order(card: RateCard, usual: RateCard) -> Iterator[Finding]:
    """Work that may wait costs more than work that may not."""
    for meter, amount in card.amounts:
        other = usual.amount(meter)
        if meter in TEXT_METERS and other and amount > other:
            told = f"{meter} at {decimal_text(amount)} is above {decimal_text(other)}, which it costs without batch"
            yield Finding(rule="batch_order", message=told, held=True)
