"""Parasail: what its price page reads.

What is read
    `https://platform.parasail.io/api/v1/prices/serverlessEndpoints`: a bare list of deployments, USD per 1M tokens as
    JSON numbers. Not documented. The same rows were to be had with a login before, where they were recorded.

Names
    A deployment has its own alias (`parasail-kimi-k2-fast`) and names the repository that it serves, which is the
    model. Two deployments of one repository differ by the ending `-fast` of an alias, or in their facts.

Oddities
    0/0 is not known yet. Deployments that are priced by other things (`ttsCost`, `sttCost`) have no token price: left
    out. What is `OFFLINE` just now is for sale all the same. `parameter_count` counts packed weights (39 billion for
    DeepSeek-V3.2): not read.
"""

from dataclasses import replace

from collector.contract import Quote, SourceSpec
from collector.parse import json_list
from collector.parse.json_list import Record
from store.records import Document


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per deployment that is sold by the token.

    Raises: SourceChanged as `json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    served = record.at("modelName")
    named = replace(spec, model="modelName") if isinstance(served, str) and served.strip() else spec
    quote = json_list.quote_of(record, named)
    alias = record.at(spec.model)
    return replace(quote, tag="fast" if isinstance(alias, str) and alias.endswith("-fast") else "")
