"""OpenRouter: what every provider behind it asks for every model, one answer per model.

What is read
    `/api/v1/models` for the ids, then `/api/v1/models/{author}/{slug}/endpoints` for each of them: one quote per entry
    of `data.endpoints`. No key needed; answers are cached for minutes at the edge, so that asking more often than every
    five gains nothing. Its terms speak against scraping in broad words: poll gently.
    Source: https://openrouter.ai/docs/api-reference/list-endpoints-for-a-model
    Of the list, `knowledge_cutoff` and `expiration_date` are read, as facts of every offer of that model. `created` is
    when OpenRouter listed it and no release date; `hugging_face_id` may name a tokenizer and says nothing of weights.
    The headline price in the list is that of some routed endpoint and moves with the routing: not quoted.

Names
    Provider is `provider_name`, tag is `tag` (slug, region, tier, quantization). A tag is not unique within a model.
    Model is the id that *answered*: `google/gemini-2.5-pro-preview` is answered by `google/gemini-2.5-pro`, whose own
    answer lists the same endpoints; a note says what was asked. Routers and `~author/x-latest` have no endpoints.

Prices
    Decimal strings, `discount` already inside. USD per token, but `web_search` and `request` per piece, and `image`:
    - `audio`, `audio_output`, `input_audio_cache`: per audio token in, out and read from cache. gpt-audio has 0.000032
      and 0.000064 where OpenAI asks 32 and 64 USD per 1M; `input_audio_cache` is a tenth of `audio` beside it.
    - `image_output`: documented as per output image, published per image *token*: 0.00003 where Google asks 30 USD per
      1M image tokens (0.039 an image), 0.00012 where it asks 120.
    - `image`: documented as per input image, and published so until 2026-01-23 (the last ones until 02-10), at 256
      times the price of a prompt token and more. That day Google's went from 0.00516 to 0.00000125: per image token
      since, and all 5,512 times it was recorded with an endpoint exactly the price of a prompt token. Models that only
      make images, which `/models` does not list, go on having it per piece. The two are two orders of magnitude apart
      and are told apart by that; anything else is held.
    - `image_token` has stood in no recorded answer of this kind: a note, like any key that is not known here.
    A 0 is a price for `prompt` and `completion` only (and 0/0 declared free only by an id ending in `:free`). Any other
    meter at 0 is one that was not stated: cache prices of almost every model were "0" from 2025-03-07 to 04-05, audio
    from 2025-07-30 to 08-23, request, image, web search and reasoning until 2026-01-13.
    `overrides` replace the keys they name for long prompts or at hours of the day; where the hours cover the day the
    price on top is only the price of the hour (`collector.normalise` sees to that).

History
    2024-09-21 prompt, completion, image, request. 2025-03-07 cache, web search and reasoning prices. 2025-03-31 lists
    of modalities. 2025-04-30 `supported_parameters`. 2025-07-30 `audio`. 2026-01-13 keys at zero dropped. 2026-01-23
    `image` per token. 2026-03-30 `request` gone. 2026-06-26 `input_cache_write_1h`. 2026-07-09 tags `/flex` and
    `/priority`. 2026-07-13 `overrides`, `total_count` and `links.next`. 2026-07-28 ids ending in `:batch`.
    2026-08-16 overrides by the hour. 2026-09 `supports_tool_choice` and kin.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from collector.contract import Price, Prices, PriceSpec, Quote, QuotedOverride, Request, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.catalogue import unmapped
from collector.parse.doubt import Doubt, describe, note
from collector.parse.facts import facts_of, telemetry_of
from collector.parse.openrouter_format import overrides
from collector.parse.rows import price_of
from collector.parse.strict import Json, read_json
from store.records import Document, Facts, Finding, Telemetry
from store.text import printable

PRICES = tuple(
    PriceSpec(meter=meter, at=key, unit=unit, zero="price" if meter in ("input", "output") else "absent")
    for key, meter, unit in (
        ("prompt", "input", "USD/token"),
        ("completion", "output", "USD/token"),
        ("input_cache_read", "cache_read", "USD/token"),
        ("input_cache_write", "cache_write", "USD/token"),
        ("input_cache_write_1h", "cache_write_1h", "USD/token"),
        ("internal_reasoning", "reasoning", "USD/token"),
        ("audio", "input_audio", "USD/token"),
        ("audio_output", "output_audio", "USD/token"),
        ("input_audio_cache", "cache_read_audio", "USD/token"),
        ("image_output", "output_image_token", "USD/token"),
        ("web_search", "web_search", "USD/search"),
        ("request", "request", "USD/request"),
    )
)
IMAGE_TOKEN = PriceSpec(meter="input_image_token", at="image", unit="USD/token", zero="absent")
IMAGE = PriceSpec(meter="input_image", at="image", unit="USD/image", zero="absent")
IMAGE_TOKEN_PROMPTS = 10
"""Within this many times the price of a prompt token, either way, `image` is the price of an image token ..."""
IMAGE_PROMPTS = 100
"""... and from this many times on, of an image."""

_KNOWN = frozenset({"image", "discount", "overrides", *(price.at for price in PRICES)})
_ID = re.compile(r"~?[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(?::[A-Za-z0-9][A-Za-z0-9._-]*)?", re.ASCII)
_ID_LENGTH = 200


def follow(document: Document, spec: SourceSpec) -> list[Request]:
    """One request per model of the list, each model once.

    Raises: SourceChanged if the list is not whole (`incomplete`), is empty, or has an id that is no id.
    """
    base = spec.url.partition("?")[0]
    return [Request(url=f"{base}/{name}/endpoints", part=name) for name in _ids(read_json(document), spec)]


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per endpoint of an answer; none from the list, which is only checked.

    Units: USD per token, search, request or image; nothing is converted here.
    Raises: SourceChanged if the list is not whole, or an answer lacks its id, its endpoints, or the provider, tag or
        pricing of one of them.
    Not: equal endpoints in the answers of two ids, the price of the hour, zeros at birth.
    """
    body = read_json(document)
    data = body.get("data") if isinstance(body, Mapping) else None
    if not document.part and isinstance(data, list):
        _ids(body, spec)
        return []
    place = f"{spec.id}: {document.part or 'document'}"
    if not isinstance(data, Mapping):
        raise SourceChanged(f"{place}: data: wanted an object, found {describe(data)}")
    listed = data.get("endpoints")
    if not isinstance(listed, list):
        raise SourceChanged(f"{place}: data.endpoints: wanted a list, found {describe(listed)}")
    model = _text(data, "id", f"{place}: data")
    asked = () if document.part in ("", model) else (f"asked for {document.part}, answered by {model}",)
    architecture = data.get("architecture")
    quotes = []
    for number, endpoint in enumerate(listed):
        locator = f"data.endpoints[{number}]"
        if not isinstance(endpoint, Mapping):
            raise SourceChanged(f"{place}: {locator}: wanted an object, found {describe(endpoint)}")
        quote = _quote(model, endpoint, architecture, locator, place)
        notes = tuple(note("answered_by", message, locator) for message in asked)
        quotes.append(replace(quote, findings=(*quote.findings, *notes)))
    return quotes


def described(document: Document, spec: SourceSpec) -> dict[str, tuple[Facts, tuple[Finding, ...]]]:
    """What the list states of a model whoever serves it, by id.

    Raises: SourceChanged as `follow` does.
    """
    return {
        name: facts_of(
            {"knowledge_cutoff": model.get("knowledge_cutoff"), "retires_on": model.get("expiration_date")}, ""
        )
        for name, model in _ids(read_json(document), spec).items()
    }


def _ids(body: Json, spec: SourceSpec) -> dict[str, Mapping[str, Json]]:
    """The models of the list by id, in its order, each once."""
    listed = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(listed, list) or not listed:
        raise SourceChanged(f"{spec.id}: data: wanted a list of models, found {describe(listed)}", code="empty")
    total, links = body.get("total_count", len(listed)), body.get("links")
    if total != len(listed) or (isinstance(links, Mapping) and links.get("next") is not None):
        there = f"{len(listed)} of {describe(total)}, next page {describe(links)}"
        raise SourceChanged(f"{spec.id}: data: wanted the whole list on one page, found {there}", code="incomplete")
    ids: dict[str, Mapping[str, Json]] = {}
    for number, model in enumerate(listed):
        fields = model if isinstance(model, Mapping) else {}
        name = fields.get("id")
        if not isinstance(name, str) or len(name) > _ID_LENGTH or _ID.fullmatch(name) is None:
            raise SourceChanged(f"{spec.id}: data[{number}].id: wanted author/slug, found {describe(name)}")
        ids[name] = fields
    return ids


def _text(values: Mapping[str, object], key: str, place: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value or printable(value) != value:
        raise SourceChanged(f"{place}.{key}: wanted a text, found {describe(value)}", code="columns")
    return value


def _quote(model: str, endpoint: Mapping[str, Json], architecture: Json, locator: str, place: str) -> Quote:
    pricing = endpoint.get("pricing")
    if not isinstance(pricing, Mapping):
        raise SourceChanged(f"{place}: {locator}.pricing: wanted an object, found {describe(pricing)}", code="columns")
    prices: dict[str, Price] = {}
    conditional: tuple[QuotedOverride, ...] = ()
    findings: tuple[Finding, ...] = ()
    try:
        prices, conditional = _prices(pricing)
    except Doubt as doubt:
        findings = (doubt.finding(locator),)
    modalities = architecture if isinstance(architecture, Mapping) else {}
    facts, notes = facts_of(
        {
            "context_length": endpoint.get("context_length"),
            "max_output_tokens": endpoint.get("max_completion_tokens"),
            "max_prompt_tokens": endpoint.get("max_prompt_tokens"),
            "quantization": None if endpoint.get("quantization") == "unknown" else endpoint.get("quantization"),
            "discount": _discount(pricing.get("discount")),
            "features": endpoint.get("supported_parameters"),
            "input_modalities": modalities.get("input_modalities"),
            "output_modalities": modalities.get("output_modalities"),
        },
        locator,
    )
    return Quote(
        provider=_text(endpoint, "provider_name", f"{place}: {locator}"),
        model=model,
        tag=_text(endpoint, "tag", f"{place}: {locator}"),
        prices=prices,
        overrides=conditional,
        facts=facts,
        declared_free=model.endswith(":free"),
        telemetry=_telemetry(endpoint),
        locator=locator,
        findings=(*findings, *notes, *unmapped(pricing.keys() - _KNOWN, locator)),
    )


def _prices(pricing: Mapping[str, Json]) -> tuple[dict[str, Price], tuple[QuotedOverride, ...]]:
    """The prices outside all conditions, and those under them.

    Raises: Doubt if a price, its unit or a condition cannot be told.
    """
    specs = {spec.at: spec for spec in (*PRICES, *_image(pricing))}
    by_meter = {spec.meter: spec for spec in specs.values()}
    read = {spec.meter: price_of(pricing.get(key), spec) for key, spec in specs.items()}
    prices = _stated({meter: price for meter, price in read.items() if price is not None}, by_meter)
    if not prices.keys() & {"input", "output"}:
        raise Doubt("columns", "pricing has neither prompt nor completion")
    conditional = (replace(one, prices=_stated(one.prices, by_meter)) for one in overrides(pricing, specs))
    return prices, tuple(one for one in conditional if one.prices)


def _image(pricing: Mapping[str, Json]) -> tuple[PriceSpec, ...]:
    """What `image` is the price of, here; nothing where it is not stated.

    Raises: Doubt if it might be either an image or an image token.
    """
    image, prompt = (_amount(pricing.get(key)) for key in ("image", "prompt"))
    if "image" not in pricing or image == 0:
        return ()
    if image is None or image < 0:
        return (IMAGE,)  # a word is kept in the unit that is documented
    if prompt and prompt / IMAGE_TOKEN_PROMPTS <= image <= prompt * IMAGE_TOKEN_PROMPTS:
        return (IMAGE_TOKEN,)
    if prompt is not None and image >= prompt * IMAGE_PROMPTS:
        return (IMAGE,)
    raise Doubt("unit", f"image at {image}, prompt at {prompt}: the price of an image or of an image token")


def _amount(value: Json) -> Decimal | None:
    try:
        return read_amount(value) if isinstance(value, str) else None
    except NotAnAmount:
        return None


def _stated(prices: Prices, specs: Mapping[str, PriceSpec]) -> dict[str, Price]:
    """The prices without those whose 0 means that nothing was stated."""
    return {
        meter: price for meter, price in prices.items() if specs[meter].zero != "absent" or _amount(price.text) != 0
    }


def _discount(value: Json) -> Json:
    """Plain digits, and nothing where there is no discount."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    return f"{value:f}" if value else None


def _telemetry(endpoint: Mapping[str, Json]) -> Telemetry:
    """How an endpoint fares; speeds are null to who asks without a key."""
    status = endpoint.get("status")
    measured = telemetry_of(
        {
            "uptime_percent": endpoint.get("uptime_last_1d"),
            "first_token_ms": _median(endpoint.get("latency_last_30m")),
            "tokens_per_second": _median(endpoint.get("throughput_last_30m")),
        }
    )
    known = status if isinstance(status, int) and not isinstance(status, bool) else None
    return replace(measured or Telemetry(), status=known)


def _median(value: Json) -> Json:
    return value.get("p50") if isinstance(value, Mapping) else None
