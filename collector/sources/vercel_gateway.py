"""Vercel AI Gateway: the list of models, with the price of each at the gateway.

What is read
    `https://ai-gateway.vercel.sh/v1/models`: decimal strings, USD per token. The price is the gateway's, which claims
    no margin; `varies_by_provider` says that it is one of several. Who serves a model at which price stands in one
    answer per model (`/endpoints`), which is documented only and not read. Page:
    https://vercel.com/docs/ai-gateway/sdks-and-apis/rest-api

Prices
    `input_tiers` and its like are ranges of prompt length, `min` inclusive, `max` exclusive; a boundary is written
    200001 here and 200000 there and is taken at its word. `service_tiers` are offers of their own, tagged by name, with
    the prices they state. `web_search` is per 1,000 searches. `image` of an image model is per image out.
    Video, speech, transcription, reranking and realtime models are priced by things without a meter, under names that
    repeat token prices: left out. A 0 is a price that is not told.

Facts
    `released` is the release of the model, `created` the same for all. `zdr` and `no_training` say how many providers
    behind it keep nothing, or train on nothing; only `all` says what becomes of a prompt.

History
    2026-07 `service_tiers`. 2026-02 tiers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from collector.contract import Price, Prices, PriceSpec, Quote, SourceSpec
from collector.parse import json_list
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.catalogue import conditions, count, printed, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.json_list import Record
from collector.parse.rows import price_of
from store.records import Document

BY_THE_TOKEN = ("language", "embedding")
IMAGE = PriceSpec(meter="output_image", at="image", unit="USD/image", zero="absent")
_TIERS = "_tiers"


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model, and one more per service tier.

    Raises: SourceChanged as `json_list.parse` does.
    """
    services: list[Quote] = []

    def read(record: Record, spec: SourceSpec) -> Quote:
        quote, own = _quotes(record, spec)
        services.extend(own)
        return quote

    return [*json_list.quotes(document, spec, read), *services]


def _quotes(record: Record, spec: SourceSpec) -> tuple[Quote, list[Quote]]:
    """The offer of a model, without a price where it is not sold by the token or image, and those of its tiers."""
    quote = json_list.quote_of(record, spec)
    quote = replace(quote, facts=replace(quote.facts, **_policy(record)))
    pricing, kind = record.at("pricing"), record.at("type")
    if kind not in (*BY_THE_TOKEN, "image") or not isinstance(pricing, Mapping):
        return replace(quote, prices={}, findings=()), []
    if kind == "image":
        return _by_image(quote, pricing), []
    meters = {price.at.rpartition(".")[2]: price for price in spec.prices}
    told = {*meters, *(f"{key}{_TIERS}" for key in meters), "service_tiers", "varies_by_provider"}
    try:
        ranges = _ranges(pricing, meters, quote.prices)
        quote = replace(quote, prices={**quote.prices, **ranges.pop(0, {})})
        overrides = conditions(ranges, quote.prices)
        services = [_service(quote, tag, tier, meters) for tag, tier in _object(pricing, "service_tiers").items()]
    except Doubt as doubt:
        return replace(quote, findings=(*quote.findings, doubt.finding(record.locator))), []
    unread = unmapped(pricing.keys() - told, record.locator)
    return replace(quote, overrides=overrides, findings=(*quote.findings, *unread)), services


def _policy(record: Record) -> dict[str, Any]:
    """What is said of every provider behind the gateway; of `some`, one does not know which answers."""
    none_trains = record.at("no_training") == "all"
    none_keeps = record.at("zdr") == "all"
    return {
        "trains_on_prompts": False if none_trains else None,
        "data_policy": "zdr: all" if none_keeps else None,
    }


def _by_image(quote: Quote, pricing: Mapping[str, object]) -> Quote:
    unread = unmapped(pricing.keys() - {"image"}, quote.locator)
    try:
        price = price_of(pricing.get("image"), IMAGE)
    except Doubt as doubt:
        return replace(quote, prices={}, findings=(*quote.findings, doubt.finding(quote.locator)))
    return replace(quote, prices={"output_image": price} if price else {}, findings=(*quote.findings, *unread))


def _object(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = values.get(key)
    if not isinstance(value, Mapping | None):
        raise Doubt("type", f"{key} is {describe(value)}, not an object")
    return value or {}


def _ranges(
    pricing: Mapping[str, object], meters: Mapping[str, PriceSpec], usual: Prices
) -> dict[int, dict[str, Price]]:
    """Prompt tokens -> prices of longer prompts; from 0 on, those that stand nowhere else.

    Raises: Doubt if the ranges of a price do not begin at 0, or with another price than the one beside them.
    """
    ranges: dict[int, dict[str, Price]] = {}
    for key, spec in meters.items():
        listed = pricing.get(f"{key}{_TIERS}")
        if listed is None:
            continue
        if not isinstance(listed, list) or not all(isinstance(tier, Mapping) for tier in listed):
            raise Doubt("type", f"{key}{_TIERS} is {describe(listed)}, not a list of objects")
        read = [(count(tier.get("min"), "min") or 0, price_of(tier.get("cost"), spec)) for tier in listed]
        prices = {start: price for start, price in read if price is not None}
        beside = usual.get(spec.meter, prices.get(0))
        if len(prices) < len(read) or beside is None or 0 not in prices or not _equal(prices[0], beside):
            raise Doubt("ranges", f"{key}{_TIERS} do not begin at 0 with the price of {key}")
        for start, price in prices.items():
            ranges.setdefault(max(0, start - 1), {})[spec.meter] = price
    return ranges


def _equal(one: Price, other: Price) -> bool:
    try:
        return read_amount(one.text) == read_amount(other.text)
    except NotAnAmount:
        return False


def _service(quote: Quote, tag: str, tier: object, meters: Mapping[str, PriceSpec]) -> Quote:
    """The offer of a service tier.

    Raises: Doubt if it states anything that is not understood.
    """
    fields = _object({tag: tier}, tag)
    longer = _object(fields, "long_context")
    unknown = (fields.keys() - {"long_context", *meters}) | (longer.keys() - {"threshold", *meters})
    if unknown or not fields:
        raise Doubt("service_tier", f"service tier {tag} states {', '.join(sorted(unknown)) or 'nothing'}")
    prices = _stated(fields, meters)
    above: dict[int, dict[str, Price]] = {}
    if longer:
        threshold = count(longer.get("threshold"), "threshold")
        if threshold is None:
            raise Doubt("ranges", f"service tier {tag} has a long context without a threshold")
        above[threshold] = _stated(longer, meters)
    return replace(quote, tag=printed(tag, "a service tier"), prices=prices, overrides=conditions(above, prices))


def _stated(fields: Mapping[str, object], meters: Mapping[str, PriceSpec]) -> dict[str, Price]:
    read = {spec.meter: price_of(fields.get(key), spec) for key, spec in meters.items()}
    return {meter: price for meter, price in read.items() if price is not None}
