"""Amazon Bedrock: the offer files of AWS's price list, of one region.

What is read
    `https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/<offer>/current/<region>/index.json` of two offers:
    AmazonBedrock (Nova, Llama, Mistral, DeepSeek, gpt-oss, ...) and AmazonBedrockFoundationModels (Claude, Cohere, ...,
    sold through the marketplace). `products` and `terms.OnDemand` are joined by SKU; one meter per SKU. Published for
    reading by programs, without a key; the file of all regions has 17 MB, that of one much less.
    Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api.html

Units
    `1K tokens` or `1M tokens`. In the marketplace offer older SKUs say `Units` and mean a million tokens, for which
    only the description stands ("Million Input Tokens"): a SKU in `Units` without that word is left out.

Names
    The model is `attributes.model` (a display name; sometimes an id) or `servicename` without "(Amazon Bedrock
    Edition)". All else stands in `usagetype`, in two spellings: `USE1-Nova2.0Lite-input-tokens-cross-region-global` and
    `USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units` (older: `USE1_CacheWrite1hInputTokenCount_Global`). Its
    words give direction, route and tier; a SKU with any other word (long context, whose threshold stands nowhere;
    latency-optimised; reserved; images) is left out. The tag is the region or route, and the tier: `us-east-1/batch`.
    Global routes cost a tenth less than the region and are offers of their own. `mantle` is another endpoint of AWS.

Sure
    The form and the spellings of names: several readers of the live files, which agree. No file is recorded.
"""

import re
from collections.abc import Iterator, Mapping

from collector.contract import Price, Quote, Request, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.doubt import Doubt, describe
from collector.parse.gathered import Gathered
from collector.parse.strict import read_json
from store.records import Document

UNITS = {"1k tokens": "USD/1K_token", "1m tokens": "USD/1M_token"}
EDITION = " (Amazon Bedrock Edition)"
METERS = {
    frozenset({"input"}): "input",
    frozenset({"output"}): "output",
    frozenset({"cache", "read"}): "cache_read",
    frozenset({"cache", "write"}): "cache_write",
    frozenset({"cache", "write", "5m"}): "cache_write",
    frozenset({"cache", "write", "1h"}): "cache_write_1h",
}
TIERS = ("batch", "flex", "priority")
ROUTES = ("global", "us", "eu", "apac", "jp", "au", "ca", "in")
_NOISE = frozenset({"token", "tokens", "count", "standard", "units", "million", "cross", "region", "mp"})
_MARKETPLACE = re.compile(r"[A-Z0-9]+-MP:[A-Z0-9]+_(.+)-Units")
_OWN = re.compile(r"-((?:cache[-_](?:read|write)|input|output)[-_].*)")
_WORD = re.compile(r"[A-Z]?[a-z]+|[0-9]+[hm](?![a-z])|[A-Z]+")


def follow(document: Document, spec: SourceSpec) -> list[Request]:
    """One request per further offer.

    Raises: SourceChanged if the first document is no offer file.
    """
    next(_skus(document, spec), None)
    first, *others = (str(name) for name in spec.options["offers"])
    return [Request(url=spec.url.replace(f"/{first}/", f"/{name}/"), part=name) for name in others]


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model, route and tier.

    Units: USD per 1,000 or 1,000,000 tokens, as each SKU says.
    Raises: SourceChanged if products and terms are not where they were, or no SKU is sold by the token.
    """
    gathered = Gathered(spec.provider)
    for sku, attributes, price in _skus(document, spec):
        _gather(sku, attributes, price, gathered)
    quotes = [*gathered.quotes()]
    if not quotes:
        raise SourceChanged(f"{spec.id}: no SKU is sold by the token", code="empty")
    return quotes


def _skus(document: Document, spec: SourceSpec) -> Iterator[tuple[str, Mapping[str, object], Mapping[str, object]]]:
    """Every SKU with its attributes and its one price on demand.

    Raises: SourceChanged if the document is no offer file.
    """
    body = read_json(document)
    products = body.get("products") if isinstance(body, Mapping) else None
    terms = body.get("terms") if isinstance(body, Mapping) else None
    on_demand = terms.get("OnDemand") if isinstance(terms, Mapping) else None
    if not isinstance(products, Mapping) or not isinstance(on_demand, Mapping) or not products:
        raise SourceChanged(f"{spec.id}: wanted products and terms.OnDemand, found {describe(products)}")
    for sku, product in products.items():
        attributes = product.get("attributes") if isinstance(product, Mapping) else None
        dimensions = [*_dimensions(on_demand.get(sku))]
        if isinstance(attributes, Mapping) and len(dimensions) == 1:
            yield sku, attributes, dimensions[0]


def _dimensions(offer: object) -> Iterator[Mapping[str, object]]:
    for term in offer.values() if isinstance(offer, Mapping) else ():
        priced = term.get("priceDimensions") if isinstance(term, Mapping) else None
        yield from (one for one in priced.values() if isinstance(one, Mapping)) if isinstance(priced, Mapping) else ()


def _gather(sku: str, attributes: Mapping[str, object], price: Mapping[str, object], gathered: Gathered) -> None:
    usage, unit = str(attributes.get("usagetype")), _unit(price)
    words = _words(usage)
    tiers = [tier for tier in TIERS if tier in words]
    routes = [route for route in ROUTES if route in words]
    meter = METERS.get(_direction(words - {*_NOISE, *TIERS, *ROUTES}))
    if unit is None or meter is None or len(tiers) > 1 or len(routes) > 1:
        return
    published = attributes.get("model") or attributes.get("titanModel") or attributes.get("servicename")
    model = str(published or "").removesuffix(EDITION)
    route = routes[0] if routes else "cross-region" if "cross" in words else str(attributes.get("regionCode"))
    tag = "/".join([route, *(["mantle"] if "-mantle-" in usage else []), *tiers])
    try:
        gathered.put(model, tag, meter, Price(text=_usd(price), unit=unit), sku)
    except Doubt as doubt:
        gathered.doubt(model, tag, doubt, sku)


def _usd(price: Mapping[str, object]) -> str:
    amounts = price.get("pricePerUnit")
    text = amounts.get("USD") if isinstance(amounts, Mapping) else None
    try:
        read_amount(text if isinstance(text, str) else "")
    except NotAnAmount as error:
        raise Doubt("number", f"in USD: {error}") from None
    return str(text)


def _unit(price: Mapping[str, object]) -> str | None:
    """The unit, where tokens are counted."""
    unit = str(price.get("unit"))
    if unit == "Units" and "Million" in str(price.get("description")):
        return "USD/1M_token"
    return UNITS.get(unit.lower())


def _words(usage: str) -> frozenset[str]:
    """The words of a usage type that say what is charged, in lower case; none where it does not say so."""
    found = _MARKETPLACE.fullmatch(usage) or _OWN.search(usage)
    return frozenset(word.lower() for word in _WORD.findall(found[1])) if found else frozenset()


def _direction(words: frozenset[str]) -> frozenset[str]:
    """What is left of the words; the input that is written to a cache, or read from it, is no other input."""
    return words - {"input"} if "cache" in words else words
