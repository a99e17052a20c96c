"""GMI Cloud: the prices that its console shows.

What is read
    `https://console.gmicloud.ai/api/v1/billing/model_prices`: whole numbers of 1e-6 USD per 1M tokens (742000 is
    $0.742). Not documented: what its own console reads. Page: https://www.gmicloud.ai/pricing

Prices
    `tiers[]` by the length of the prompt (`threshold`, from which on it holds; the one from 0 on must be there);
    without tiers the two prices beside them. While a promotion runs the price is the one to be paid and `origin*`
    beside it the list price: the discount is kept as a fact where all list prices say the same. A 0 is a price that is
    not told, or no such meter.
    Rows of another `billingType` than `llm` count other things: left out.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from collector.contract import Price, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.amounts import number_text
from collector.parse.catalogue import conditions, count, number
from collector.parse.doubt import Doubt, describe
from collector.parse.json_list import Record
from collector.parse.paths import MISSING
from store.records import Document

UNIT = "1e-6_USD/1M_token"
PRICES = {"inputPrice": "input", "outputPrice": "output", "cacheReadPrice": "cache_read"}


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model.

    Units: 1e-6 USD per 1M tokens; nothing is converted here.
    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, spec)
    listed = record.at("tiers")
    if record.at("billingType") != "llm":
        return replace(quote, prices={}, findings=())  # no offer by the token: left out
    if listed in (None, MISSING, []):
        return quote
    try:
        above, discounts = _ranges(listed)
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator)))
    prices = above.pop(0)
    discount = discounts.pop() if len(discounts) == 1 else None
    facts = replace(quote.facts, discount=discount)
    return replace(quote, prices=prices, overrides=conditions(above, prices), facts=facts)


def _ranges(listed: object) -> tuple[dict[int, dict[str, Price]], set[str]]:
    """Prompt tokens -> prices of longer prompts, and every discount on a list price."""
    if not isinstance(listed, list):
        raise Doubt("type", f"tiers is {describe(listed)}, not a list")
    ranges: dict[int, dict[str, Price]] = {}
    discounts = set()
    for tier in listed:
        if not isinstance(tier, Mapping):
            raise Doubt("type", f"tiers holds {describe(tier)}")
        from_tokens = count(tier.get("threshold"), "threshold")
        start = from_tokens - 1 if from_tokens else 0
        if start in ranges:
            raise Doubt("ranges", f"two prices for prompts above {start}")
        ranges[start] = {}
        for key, meter in PRICES.items():
            paid = number(tier.get(key), key)
            full = number(tier.get(f"origin{key[0].upper()}{key[1:]}"), key)
            if paid is not None:
                ranges[start][meter] = Price(text=number_text(paid), unit=UNIT)
            if paid and full and full != paid:
                discounts.add(f"{(1 - Decimal(paid) / Decimal(full)).quantize(Decimal('0.01')):f}")
    if 0 not in ranges:
        raise Doubt("ranges", "no price for the shortest prompts")
    return ranges, discounts
