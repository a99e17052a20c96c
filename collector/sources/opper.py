"""Opper: a gateway with a route per model, provider and region.

What is read
    `https://api.opper.ai/v3/models?limit=2000`: USD per 1M tokens, each price a list of one number. The price is
    Opper's own; the provider behind the route and its region are the tag. No key. Page: https://opper.ai/models

Prices
    With `thresholds` the lists have a price per range of prompt length, of which it is not said whether it holds for
    the whole request or for the tokens in the range only: the row is held. A surcharge does hold for the whole request
    once its input is longer than `input_surcharge_threshold_tokens`, as a factor of the prices, and is reckoned out
    here, since that is how it is published. Derived rates carry binary noise: read to a grid of 1e-6.
    Only routes of `type` llm; a 0 is a price that is not told.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from collector.contract import Price, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.amounts import number_text
from collector.parse.catalogue import conditions, count, number, printed
from collector.parse.doubt import Doubt, describe
from collector.parse.json_list import Record
from store.records import Document

UNIT = "USD/1M_token"
PRICES = {"input": "input", "output": "output", "cached_input": "cache_read", "cache_creation": "cache_write"}
SURCHARGE = {"input": "input", "cache_read": "input", "cache_write": "input", "output": "output"}
"""Meter -> whose surcharge it bears."""


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per route.

    Units: USD per 1M tokens.
    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, replace(spec, prices=()))
    region, pricing = record.at("region"), record.at("pricing")
    if record.at("type") != "llm" or not isinstance(pricing, Mapping):
        return replace(quote, findings=())  # no offer by the token: left out
    try:
        if isinstance(region, str) and region.strip():
            quote = replace(quote, tag=f"{quote.tag}/{printed(region, 'region').lower()}")
        _require_flat(pricing)
        prices = {meter: one for key, meter in PRICES.items() if (one := _price(pricing.get(key), key)) is not None}
        above = _surcharge(pricing, prices)
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator)))
    return replace(quote, prices=prices, overrides=conditions(above, prices))


def _require_flat(pricing: Mapping[str, object]) -> None:
    if pricing.get("thresholds"):
        raise Doubt("ranges", "thresholds: of the whole request or of the tokens in the range, is not said")


def _price(listed: object, key: str) -> Price | None:
    if listed is None or listed == []:
        return None
    if not isinstance(listed, list) or len(listed) != 1:
        raise Doubt("type", f"{key} is {describe(listed)}, not a list of one price")
    value = number(listed[0], key)
    return None if value is None else Price(text=number_text(value), unit=UNIT)


def _surcharge(pricing: Mapping[str, object], prices: Mapping[str, Price]) -> dict[int, dict[str, Price]]:
    """Prompt tokens -> prices of longer prompts."""
    threshold = count(pricing.get("input_surcharge_threshold_tokens"), "input_surcharge_threshold_tokens")
    if threshold is None:
        return {}
    factors = {key: number(pricing.get(f"{key}_surcharge_multiplier"), "a surcharge") for key in ("input", "output")}
    above = {}
    for meter, price in prices.items():
        factor = factors[SURCHARGE[meter]]
        if factor is None:
            raise Doubt("surcharge", f"no factor for {meter} above {threshold} tokens")
        above[meter] = Price(text=f"{Decimal(price.text) * factor:f}", unit=UNIT)
    return {threshold: above}
