"""Cohere: the price page, whose script has the prices as data.

What is read
    https://cohere.com/pricing: objects with `modelName`, `per` (`1M tokens`, `Free`) and `pricings`, each of which has
    labels and prices (`inputLabel: "Input"`, `inputPrice: 0.15`), and `overridePer` where its unit is another.

Oddities
    `Cost` is the only price of an embedding model, or of a reranker per `1K searches`; `Image cost` stands beside it.
    Models `per` `Free` can be downloaded: not for sale by the token, left out, as are those without prices. Dedicated
    instances by the hour and the older models in the sentences of the FAQ are not read.

History
    2026-07     as described; said to show dedicated instances only since autumn.
"""

from collections.abc import Mapping
from decimal import Decimal

from collector.contract import Price, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import number_text
from collector.parse.doubt import Doubt, describe
from collector.parse.page_data import objects
from collector.parse.strict import Json
from collector.parse.tables import model_name
from store.records import Document, Finding

METERS = {
    ("Input", "1M tokens"): ("input", "USD/1M_token"),
    ("Output", "1M tokens"): ("output", "USD/1M_token"),
    ("Cost", "1M tokens"): ("input", "USD/1M_token"),
    ("Image cost", "1M tokens"): ("input_image_token", "USD/1M_token"),
    ("Cost", "1K searches"): ("query", "USD/1K_query"),
}
"""Label and what it is counted by -> meter and unit."""
NOT_BY_USE = "Free"
KEYS = {"inputLabel", "inputPrice", "outputLabel", "outputPrice", "overridePer"}
"""Of a price: with any other it may be one of them under another name."""


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model that is sold by use.

    Raises: SourceChanged if the page has no such data, or a model stands twice at different prices.
    """
    quotes: dict[str, Quote] = {}
    for number, record in enumerate(objects(document, "modelName"), 1):
        quote = _quote(record, f"model {number}", spec)
        if quote is None:
            continue
        if quotes.setdefault(quote.model, quote).prices != quote.prices:
            raise SourceChanged(f"{spec.id}: {quote.model} stands twice", code="anchor")
    if not quotes:
        raise SourceChanged(f"{spec.id}: a model with a price wanted, there is none", code="empty")
    return list(quotes.values())


def _quote(record: Mapping[str, Json], locator: str, spec: SourceSpec) -> Quote | None:
    priced = record.get("pricings")
    if record.get("per") == NOT_BY_USE or not isinstance(priced, list) or not priced:
        return None
    prices: dict[str, Price] = {}
    findings: list[Finding] = []
    for entry in priced:
        strange = sorted(set(entry) - KEYS) if isinstance(entry, dict) else [describe(entry)]
        if strange:
            findings.append(Doubt("amount", f"{strange[0]!r} of a price is not known").finding(locator))
        for side in ("input", "output"):
            if not isinstance(entry, dict) or entry.get(f"{side}Price") is None:
                continue
            label, value = entry.get(f"{side}Label"), entry[f"{side}Price"]
            counted = entry.get("overridePer") or record.get("per")
            known = METERS.get((str(label), str(counted)))
            if known is None or known[0] in prices or isinstance(value, bool) or not isinstance(value, int | Decimal):
                doubt = Doubt("amount", f"{describe(label)} per {describe(counted)} is {describe(value)}")
                findings.append(doubt.finding(locator))
            else:
                prices[known[0]] = Price(text=number_text(value), unit=known[1])
    try:
        model, misnamed = model_name(str(record["modelName"]), "modelName")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {locator}: {doubt}") from None
    findings += [misnamed.finding(locator)] if misnamed else []
    return Quote(provider=spec.provider, model=model, prices=prices, locator=locator, findings=tuple(findings))
