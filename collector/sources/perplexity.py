"""Perplexity: the price page of its documentation, in Markdown.

What is read
    https://docs.perplexity.ai/docs/getting-started/pricing.md: one table of Sonar models, a unit in each heading
    (`Input Tokens ($/1M)`, `Search Queries ($/1K)`). Names are display names: `Sonar Pro`.

Oddities
    Tokens are a part of the bill: every model but Deep Research also has a fee per request, by the size of the search
    context, in tables that some renderings of the page lose. It is a meter whose price varies.

History
    2025-10     five models; `Sonar Reasoning` is gone later.
"""

from dataclasses import replace

from collector.contract import Price, Quote, SourceSpec
from collector.parse import markdown_table
from store.records import Document

WITHOUT_FEE = "web_search"
"""The meter that stands in the place of a request fee, in Deep Research."""


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model, each with its request fee.

    Raises: SourceChanged as `markdown_table.parse` does.
    """
    return [_with_fee(quote, spec) for quote in markdown_table.parse(document, spec)]


def _with_fee(quote: Quote, spec: SourceSpec) -> Quote:
    pays_for_searches = quote.prices.get(WITHOUT_FEE)
    if pays_for_searches is None or pays_for_searches.text not in spec.absent:
        return quote
    return replace(quote, prices={**quote.prices, "request": Price(text=spec.varies[0], unit="USD/request")})
