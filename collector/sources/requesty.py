"""Requesty: a router whose ids name the provider behind it.

What is read
    `https://router.requesty.ai/v1/models`: flat rows, USD per token as JSON numbers. `caching_price` is what writing to
    the cache costs, `cached_price` what reading from it does. The price is Requesty's own: it is the provider, and the
    one behind it, the first part of the id (`vertex/claude-opus-5@eu`), is the tag.

Oddities
    One id may stand in several rows with different context and price: offers of their own, told apart by the context.
    Rows of another `api` than chat count other things under the same names and are left out, as are routing policies.
    A 0 is a price that nobody filled in.
"""

from dataclasses import replace

from collector.contract import Quote, SourceSpec
from collector.parse import json_list
from collector.parse.json_list import Record
from collector.parse.paths import MISSING
from store.records import Document


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per row of the chat API.

    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, spec)
    behind, slash, model = quote.model.partition("/")
    if record.at("api") not in ("chat", None, MISSING) or behind == "policy":
        return replace(quote, prices={}, findings=())  # no offer: left out
    return replace(quote, model=model, tag=behind) if slash else quote
