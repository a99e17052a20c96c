"""ZenMux: a gateway that states each price with its own unit, currency and condition.

What is read
    `https://zenmux.ai/api/v1/models`: per model `pricings`, an object of components, each a list of
    `{value, unit, currency, conditions}`. The price is ZenMux's own. Page: https://zenmux.ai/models

Prices
    `conditions.prompt_tokens` are ranges of prompt length in thousands (`gt` 200, `gte` 32, `lte`, `lt`); the whole
    request is charged at the price of its range. Where the length of the answer is a condition as well
    (`completion_tokens`), a rate card cannot say so: the row is held.
    Several entries without a condition are several upstreams, or hours, behind one name: where they differ, what a
    request costs is not to be told, and the meter is unknown, for long prompts only where it is so of these.
    A 0 is a price only where the id ends in `-free`; for what else is charged it means that nothing is.

Oddities
    Some models have no `pricings`: left out. `input_cache_write` stands beside `_5_min` and `_1_h` or in their place.
    Prices are rounded (0.13 where the provider asks 0.125). `publish_time` is at times the release of the model and at
    times that of a newer version under its name (deepseek-v4-pro): not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from collector.contract import Price, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.amounts import number_text
from collector.parse.catalogue import conditions, number, unmapped
from collector.parse.doubt import Doubt, describe, note
from collector.parse.json_list import Record
from store.records import Document

UNITS = {
    "perMTokens": {
        "prompt": "input",
        "completion": "output",
        "input_cache_read": "cache_read",
        "input_cache_write": "cache_write",
        "input_cache_write_5_min": "cache_write",
        "input_cache_write_1_h": "cache_write_1h",
        "audio_input": "input_audio",
        "audio_cache_read": "cache_read_audio",
    },
    "perCount": {"web_search": "web_search"},
    "perSecond": {"audio_input": "input_second"},
}
"""Unit as published -> component -> meter."""
QUOTED = {"perMTokens": "USD/1M_token", "perCount": "USD/search", "perSecond": "USD/second"}
BOUNDS = {"gt": 0, "gte": -1}
"""Lower bound as published -> tokens to add to it for "longer than"."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One price of a component."""

    meter: str
    above: int
    """Prompts longer than so many tokens; 0 without a condition."""
    price: Price


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model with prices.

    Units: USD, per what the row says.
    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, replace(spec, prices=()))
    pricings = record.at("pricings")
    if not isinstance(pricings, Mapping):
        return quote
    free = quote.model.endswith("-free")
    try:
        entries, unread = _entries(pricings)
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator)))
    ranges, doubtful = _ranges(entries)
    prices = {
        meter: price if free or not json_list.is_zero(price.text) else replace(price, text="")
        for meter, price in ranges.pop(0, {}).items()
        if free or meter in json_list.REQUIRED or not json_list.is_zero(price.text)
    }
    notes = (note("ambiguous", f"several prices of {', '.join(doubtful)}", record.locator),) if doubtful else ()
    return replace(
        quote,
        prices=prices,
        overrides=conditions(ranges, prices),
        declared_free=free,
        findings=(*quote.findings, *notes, *unmapped(unread, record.locator)),
    )


def _ranges(entries: list[_Entry]) -> tuple[dict[int, dict[str, Price]], list[str]]:
    """Prompt tokens -> prices of longer prompts, and the meters of which there are several in one range: unknown."""
    stated: dict[tuple[int, str], list[Price]] = {}
    for entry in entries:
        stated.setdefault((entry.above, entry.meter), []).append(entry.price)
    ranges: dict[int, dict[str, Price]] = {}
    doubtful = set()
    for (above, meter), listed in stated.items():
        several = len({price.text for price in listed}) > 1
        ranges.setdefault(above, {})[meter] = replace(listed[0], text="") if several else listed[0]
        doubtful |= {meter} if several else set()
    return ranges, sorted(doubtful)


def _entries(pricings: Mapping[str, object]) -> tuple[list[_Entry], list[str]]:
    """Every price with a meter, and the components without one.

    Raises: Doubt if a price, its currency or its condition is not understood.
    """
    entries: list[_Entry] = []
    unread = []
    for component, listed in pricings.items():
        for item in listed if isinstance(listed, list) else [listed]:
            if not isinstance(item, Mapping):
                raise Doubt("type", f"{component} holds {describe(item)}")
            unit = str(item.get("unit"))
            meter = UNITS.get(unit, {}).get(component)
            if meter is None:
                unread.append(f"{component} {unit}")
                continue
            if item.get("currency") != "USD":
                raise Doubt("currency", f"{component} is in {describe(item.get('currency'))}, not USD")
            value = number(item.get("value"), component)
            text = "" if value is None else number_text(value)
            entries.append(
                _Entry(meter, _above(item.get("conditions"), component), Price(text=text, unit=QUOTED[unit]))
            )
    return entries, unread


def _above(condition: object, component: str) -> int:
    """Prompts longer than so many tokens; 0 without a condition.

    Raises: Doubt if the condition is of anything but the length of the prompt.
    """
    if condition is None:
        return 0
    length = condition.get("prompt_tokens") if isinstance(condition, Mapping) else None
    if not isinstance(condition, Mapping) or condition.keys() != {"prompt_tokens"} or not isinstance(length, Mapping):
        raise Doubt("condition", f"{component} has a condition of {describe(condition)}")
    lower = [(bound, length[bound]) for bound in BOUNDS if bound in length]
    if length.get("unit") != "kTokens" or len(lower) != 1 or not length.keys() <= {*BOUNDS, "lt", "lte", "unit"}:
        raise Doubt("condition", f"{component} has a range of {', '.join(map(str, length))}")
    bound, value = lower[0]
    thousands = number(value, f"{component} {bound}")
    tokens = None if thousands is None else Decimal(thousands) * 1000
    if tokens is None or tokens < 0 or tokens != int(tokens):
        raise Doubt("condition", f"{component} has a range from {describe(value)} on")
    return max(0, int(tokens) + BOUNDS[bound])
