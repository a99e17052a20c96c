"""AI/ML API: a reseller that prices each model in units of its own.

What is read
    `https://api.aimlapi.com/v1/models?include=pricing,modalities`: per model and kind of endpoint
    `pricing.units[{name, content, origin, price, per}]`, USD per so many (`per`) of a thing. The price is the
    reseller's own. No key.

Prices
    Text tokens by `origin`: `provided` is input, `generated` output, `cached` a cache read. Units of anything else
    (images, seconds, characters) are noted. One id stands once per kind of endpoint: only the chat one is read.
"""

from collections.abc import Mapping
from dataclasses import replace

from collector.contract import Price, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.amounts import number_text
from collector.parse.catalogue import count, number, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.json_list import Record
from collector.parse.paths import MISSING
from store.records import Document

CHAT = "openai/chat-completions"
METERS = {"provided": "input", "generated": "output", "cached": "cache_read"}


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per chat model.

    Units: USD per the number of tokens that each unit states.
    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, replace(spec, prices=()))
    if record.at("type") != CHAT:
        return replace(quote, findings=())  # no offer by the token: left out
    try:
        units = record.at("pricing.units")
        prices, unread = _prices([] if units in (None, MISSING) else units)
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator)))
    return replace(quote, prices=prices, findings=(*quote.findings, *unmapped(unread, record.locator)))


def _prices(units: object) -> tuple[dict[str, Price], list[str]]:
    """The prices of text tokens, and what else is charged."""
    if not isinstance(units, list) or not all(isinstance(one, Mapping) for one in units):
        raise Doubt("type", f"pricing.units is {describe(units)}, not a list of objects")
    prices: dict[str, Price] = {}
    unread = []
    for one in units:
        meter = METERS.get(str(one.get("origin")))
        if (one.get("name"), one.get("content")) != ("token", "text") or meter is None:
            unread.append(f"{one.get('name')} {one.get('content')} {one.get('origin')}")
            continue
        value, per = number(one.get("price"), "price"), count(one.get("per"), "per")
        if value is None or per is None or per >= 10**9 or meter in prices:
            raise Doubt("unit", f"{meter} at {describe(one.get('price'))} per {describe(one.get('per'))}")
        prices[meter] = Price(text=number_text(value), unit=f"USD/{per}_token")
    return prices, unread
