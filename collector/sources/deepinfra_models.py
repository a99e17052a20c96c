"""DeepInfra: its catalogue of deployed models, with quantization, service tiers and models on their way out.

What is read
    `https://api.deepinfra.com/models/list`: a bare list, US *cents* per token as JSON numbers. The same prices stand in
    USD per 1M in the source `deepinfra`, which has none of the facts: the two check each other.

Prices
    Cache reads and writes, and the tiers `priority` and `flex`, are factors (of the input price; of input and output),
    and are reckoned out here, since that is how they are published; what the cache costs in a tier is not said.
    `full` tells prices by prompt length in a sentence ("$1.2 in $6 out <= 32K, ..."), beside the price of the first
    range: such rows are held. So are those with a `discount`: whether it is already inside is not said.
    Numbers carry binary noise and are read to a grid of 1e-6.

Oddities
    `max_tokens` is the context that is served. `deprecated` is null or the second from which requests go to
    `replaced_by`, which may lie ahead. Rows of other types are priced by things without a common unit: left out.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from collector.contract import Price, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.catalogue import amount, number
from collector.parse.doubt import Doubt, describe
from collector.parse.json_list import Record
from store.records import Document

CACHE = {"rate_per_input_token_cached": "cache_read", "rate_per_input_token_cache_write": "cache_write"}
SERVICE = {"rate_per_service_tier_priority": "priority", "rate_per_service_tier_flex": "flex"}
_BY_LENGTH = re.compile(r"[0-9.]\s*[KM]\b", re.ASCII | re.IGNORECASE)


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model and service tier.

    Units: US cents per token; nothing is converted here.
    Raises: SourceChanged as `json_list.parse` does.
    """
    services: list[Quote] = []

    def read(record: Record, spec: SourceSpec) -> Quote:
        quote, own = _quotes(record, spec, document.fetched_at)
        services.extend(own)
        return quote

    return [*json_list.quotes(document, spec, read), *services]


def _quotes(record: Record, spec: SourceSpec, at: datetime) -> tuple[Quote, list[Quote]]:
    quote = json_list.quote_of(record, spec)
    pricing = record.at("pricing")
    if not isinstance(pricing, Mapping) or not quote.prices:
        return quote, []
    try:
        ends = _ends(record.at("deprecated"))
        if ends is not None and ends <= at:
            return replace(quote, prices={}, findings=()), []  # answered by another model: left out
        retires_on = f"{ends:%Y-%m-%d}" if ends else None
        _require_plain(pricing)
        priced = {**quote.prices, **_times(quote, {meter: ("input", pricing.get(key)) for key, meter in CACHE.items()})}
        quote = replace(quote, prices=priced, facts=replace(quote.facts, retires_on=retires_on))
        services = []
        for key, tag in SERVICE.items():
            prices = _times(quote, {meter: (meter, pricing.get(key)) for meter in json_list.REQUIRED})
            if prices:
                services.append(replace(quote, tag=tag, prices=prices))
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator))), []
    return quote, services


def _ends(deprecated: object) -> datetime | None:
    """From when on the model is no longer served, where it is to be."""
    seconds = number(deprecated or None, "deprecated")
    if seconds is None:
        return None
    if not 0 < seconds < 2**33 or seconds != int(seconds):
        raise Doubt("type", f"deprecated is {describe(deprecated)}, not a time")
    return datetime.fromtimestamp(int(seconds), UTC)


def _require_plain(pricing: Mapping[str, object]) -> None:
    """Raises: Doubt if the price of the row is not the price of every request."""
    told = pricing.get("full")
    if isinstance(told, str) and _BY_LENGTH.search(told):
        raise Doubt("ranges", f"prices by prompt length in a sentence: {told}")
    if number(pricing.get("discount"), "discount"):
        raise Doubt("discount", f"a discount of {describe(pricing.get('discount'))}: before or after, is not said")


def _times(quote: Quote, factors: Mapping[str, tuple[str, object]]) -> dict[str, Price]:
    """Meter -> the price of another meter times a factor; without those that have none."""
    prices = {}
    for meter, (base, value) in factors.items():
        factor = number(value, meter)
        if factor is not None and base in quote.prices:
            paid = quote.prices[base]
            prices[meter] = Price(text=f"{amount(paid, base) * factor:f}", unit=paid.unit)
    return prices
