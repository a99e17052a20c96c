"""Azure: what Microsoft Foundry (and Azure OpenAI) charge per token, from the public list of retail prices.

What is read
    `https://prices.azure.com/api/retail/prices`, filtered by service, region and product: one meter per record, USD per
    1,000 or 1,000,000 tokens as `unitOfMeasure` says. The products are listed in `options`: another one is not seen.
    An answer holds at most a thousand records; one that leads to a next page (`NextPageLink`) is refused.
    Source: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices

Names
    A meter is called `V4 Flash 0731 cached Inp glbl`: model, direction, deployment and tier in shorthand without a
    grammar. The words that are known for direction, deployment and tier become meter and tag; *all* others together,
    behind the product, are the model. `V4 Flash` and `V4 Flash 0731` therefore stay two models, and a long-context
    meter (`4.3 Inp Glbl L`) stays beside the short one instead of in its place. Which model that is, is reviewed data
    (`models.yaml`); what nobody has reviewed joins nothing. The version of a model stands in no meter.

Oddities
    Meters of fine-tuned models, of training and of reserved capacity (by the hour) are left out, as are all that are
    not counted in tokens. Models sold through the marketplace (Claude) have no meters. A 0 is a price that is not told.
    `effectiveStartDate` differs between the meters of one offer and is not kept.
"""

import re
from urllib.parse import quote as percent

from collector.contract import Price, Quote, Request, SourceSpec
from collector.errors import SourceChanged
from collector.parse import json_list
from collector.parse.amounts import number_text
from collector.parse.catalogue import number
from collector.parse.doubt import Doubt
from collector.parse.gathered import Gathered
from collector.parse.json_list import Record
from collector.parse.paths import MISSING
from collector.parse.strict import read_json
from store.records import Document

UNITS = {
    "1K": "USD/1K_token",
    "1K Tokens": "USD/1K_token",
    "1M": "USD/1M_token",
    "1M Tokens": "USD/1M_token",
}
INPUT = frozenset({"inp", "inpt", "input"})
OUTPUT = frozenset({"outp", "outpt", "output", "opt"})
CACHED = frozenset({"cached", "cchd", "cd"})
TAGS = {
    **dict.fromkeys(("glbl", "gl", "global"), "global"),
    **dict.fromkeys(("dz", "dzone"), "datazone"),
    **dict.fromkeys(("regnl", "regional"), "regional"),
    "batch": "batch",
    "pp": "priority",
}
OTHER_TRADES = frozenset({"ft", "finetuned", "rft", "training", "trng", "hosting", "hstng", "grader", "grdr", "ptu"})
_WORD = re.compile(r"[a-z0-9.+-]+")


def follow(document: Document, spec: SourceSpec) -> list[Request]:
    """One request per further product.

    Raises: SourceChanged if the first answer is not one of this kind.
    """
    next(json_list.records(read_json(document), spec, spec.id))
    first, *others = (str(name) for name in spec.options["products"])
    own = percent(f"'{first}'")
    if own not in spec.url:
        raise SourceChanged(f"{spec.id}: the URL asks for another product than {first}")
    return [Request(url=spec.url.replace(own, percent(f"'{name}'")), part=name) for name in others]


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model, deployment and tier.

    Units: USD per 1,000 or 1,000,000 tokens, as each meter says.
    Raises: SourceChanged if the answer is one page of several, or has no meter that counts tokens.
    """
    gathered = Gathered(spec.provider)
    for record in json_list.records(read_json(document), spec, spec.id):
        _gather(record, gathered)
    quotes = [*gathered.quotes()]
    if not quotes:
        raise SourceChanged(f"{spec.id}: no meter counts the tokens of a direction", code="empty")
    return quotes


def _gather(record: Record, gathered: Gathered) -> None:
    unit = UNITS.get(str(record.at("unitOfMeasure")))
    sku, product = record.at("skuName"), record.at("productName")
    if unit is None or not isinstance(sku, str) or not isinstance(product, str):
        return
    words = _WORD.findall(sku.lower())
    meter = _meter(frozenset(words))
    if meter is None or not OTHER_TRADES.isdisjoint(words):
        return
    tag = "/".join(dict.fromkeys(TAGS[word] for word in words if word in TAGS))
    model = " ".join([product, *(word for word in words if word not in {*INPUT, *OUTPUT, *CACHED, *TAGS})])
    try:
        gathered.put(model, tag, meter, Price(text=_price(record), unit=unit), record.locator)
    except Doubt as doubt:
        gathered.doubt(model, tag, doubt, record.locator)


def _price(record: Record) -> str:
    currency, value = record.at("currencyCode"), number(record.at("retailPrice"), "retailPrice")
    if currency not in ("USD", MISSING):
        raise Doubt("currency", f"a price in {currency}")
    if value is None:
        raise Doubt("type", "no retailPrice")
    return number_text(value)


def _meter(words: frozenset[str]) -> str | None:
    """What is charged; None where the words do not say, or say two things."""
    if words & CACHED:
        return None if words & OUTPUT else "cache_read"
    if bool(words & INPUT) == bool(words & OUTPUT):
        return None
    return "input" if words & INPUT else "output"
