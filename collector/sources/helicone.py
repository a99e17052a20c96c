"""Helicone: a gateway that publishes its registry of models, with the price at each provider behind it.

What is read
    `https://api.helicone.ai/v1/public/model-registry/models`: per model its endpoints, one per provider. Some are sold
    with a margin (its own, OpenRouter's), so that the price is Helicone's and the provider behind it the tag.
    Source: https://github.com/Helicone/helicone, `packages/cost`.

Prices
    Two units in one record. `pricing` of an endpoint is USD per 1M tokens; `endpoint.pricing[]` beside it is USD per
    *token*, one entry per range of prompt length (`threshold`), with cache prices as factors of the input price. Where
    the two do not say the same of short prompts, the row is held. `web_search` is multiplied by a million as well and
    not read. A 0 is a price that is not told. `trainingDate` is no release date.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from collector.contract import Price, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.amounts import number_text
from collector.parse.catalogue import amount, conditions, count, number
from collector.parse.doubt import Doubt, describe
from collector.parse.json_list import Record
from collector.parse.paths import MISSING
from store.records import Document

UNIT = "USD/token"
PER_MILLION = 1_000_000
TOLERANCE = Decimal("1e-6")
"""Relative; both statements were multiplied as binary numbers."""
FACTORS = {"cachedInput": "cache_read", "write5m": "cache_write", "write1h": "cache_write_1h"}


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model and provider.

    Units: USD per 1M tokens; per token for prompts above a threshold.
    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, spec)
    try:
        ranges = _ranges(record.at("endpoint.pricing"))
        _require_agreement(quote, ranges.pop(0, {}))
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator)))
    return replace(quote, overrides=conditions(ranges, quote.prices))


def _ranges(listed: object) -> dict[int, dict[str, Price]]:
    """Prompt tokens -> prices of longer prompts, the cache prices reckoned out: a factor is how they are published."""
    if listed in (None, MISSING):
        return {}
    if not isinstance(listed, list):
        raise Doubt("type", f"endpoint.pricing is {describe(listed)}, not a list")
    ranges: dict[int, dict[str, Price]] = {}
    for item in listed:
        if not isinstance(item, Mapping):
            raise Doubt("type", f"endpoint.pricing holds {describe(item)}")
        factors = item.get("cacheMultipliers") or {}
        if not isinstance(factors, Mapping):
            raise Doubt("type", f"cacheMultipliers is {describe(factors)}")
        amounts = {key: number(item.get(key), key) for key in ("input", "output")}
        paid = Decimal(amounts["input"] or 0)
        prices = {key: Price(text=number_text(one), unit=UNIT) for key, one in amounts.items() if one is not None}
        for key, meter in FACTORS.items():
            factor = number(factors.get(key), key)
            if factor is not None:
                prices[meter] = Price(text=f"{paid * factor:f}", unit=UNIT)
        start = count(item.get("threshold"), "threshold") or 0
        if start in ranges:
            raise Doubt("ranges", f"two prices for prompts above {start}")
        ranges[start] = prices
    return ranges


def _require_agreement(quote: Quote, short: Mapping[str, Price]) -> None:
    """Raises: Doubt if the two statements of the price of short prompts differ."""
    for meter in json_list.REQUIRED:
        outer, inner = quote.prices.get(meter), short.get(meter)
        if outer is None or inner is None:
            continue
        stated = amount(inner, meter) * PER_MILLION
        if abs(amount(outer, meter) - stated) > stated * TOLERANCE:
            raise Doubt("contradiction", f"{meter} is {outer.text} per 1M and {inner.text} per token")
