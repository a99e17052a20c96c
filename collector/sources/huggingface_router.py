"""Hugging Face router: which inference provider serves which model of the hub, and at what price.

What is read
    `https://router.huggingface.co/v1/models`: one record per model, in it one offer per provider, each with its input
    and output price in USD per 1M tokens. Booked on the provider named: the router passes prices through without a
    margin. Page: https://huggingface.co/docs/inference-providers

Oddities
    An offer without `pricing` (featherless-ai always, others at times) states no price and is left out, and 0/0 beside
    `is_free: false` is not known yet: the contrary of free. No cache price, output limit, quantization or region.
    `status` (`live`, `error`, `staging`) is how the provider fares just now, and like the speeds beside it, which are
    measured anew for every answer, no part of the offer: telemetry.

History
    2026-07 `is_free`, measured speeds. 2025-10 prices.
"""

from dataclasses import replace

from collector.contract import Quote, SourceSpec
from collector.parse import json_list
from collector.parse.json_list import Record
from store.records import Document, Telemetry

FEATURES = {"supports_tools": "tools", "supports_structured_output": "structured_output"}


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model and provider with a price.

    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, spec)
    features = tuple(sorted(name for path, name in FEATURES.items() if record.at(path) is True))
    telemetry = replace(quote.telemetry or Telemetry(), status=0 if record.at("status") == "live" else -1)
    return replace(quote, facts=replace(quote.facts, features=features), telemetry=telemetry)
