"""Portkey: a catalogue of prices, one file per provider, kept by hand and by robots.

What is read
    `https://configs.portkey.ai/pricing/<provider>.json`, of the providers that `options` lists: an object keyed by
    model. US cents per token as JSON numbers (0.000125 is 1.25 USD per 1M), or per single search, image or the like.
    Source: https://github.com/Portkey-AI/models (MIT), where the same files lie under `pricing/`.

Prices
    `pricing_config.pay_as_you_go` is the offer, `batch_config` one more with the tag `batch`.
    `custom_pricing.regions.<region>.execution_modes.<mode>` are offers of their own, tagged by region and mode without
    `default` and `standard`; the one that is both repeats the offer, and brings what it lacks: the prices of long
    prompts, under `context_tiers`, whose names `context_tier_map` turns into numbers of tokens.
    `default` holds the currency and a formula, and its zeros are no prices. Any other 0 was not filled in.
    Rounded copies disagree inside one record (1.25e-05 and 1.3e-05): the price of the offer itself is the one read.

Oddities
    No dates, and no limits. Images, video, minutes, characters and pages are priced by what has no name here: noted.
    The file of OpenRouter is a copy of OpenRouter and not read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from collector.contract import Price, Quote, Request, SourceSpec
from collector.errors import SourceChanged
from collector.parse.catalogue import complete, conditions, named, price, printed, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.facts import count_of
from collector.parse.strict import read_json
from store.records import Document

TOKENS = "USDcent/token"
METERS = {
    "request_token": ("input", TOKENS),
    "response_token": ("output", TOKENS),
    "cache_read_input_token": ("cache_read", TOKENS),
    "cache_write_input_token": ("cache_write", TOKENS),
    "reasoning_token": ("reasoning", TOKENS),
    "request_audio_token": ("input_audio", TOKENS),
    "response_audio_token": ("output_audio", TOKENS),
    "request_image_token": ("input_image_token", TOKENS),
    "cache_write_1h": ("cache_write_1h", TOKENS),
    "web_search": ("web_search", "USDcent/search"),
}
"""Component, or additional unit, -> meter and unit."""


def follow(document: Document, spec: SourceSpec) -> list[Request]:
    """One request per further provider.

    Raises: SourceChanged if the first document is no file of this kind.
    """
    _file(document, spec)
    base, _, own = spec.url.rpartition("/")
    names = [str(name) for name in spec.options["providers"]]
    return [Request(url=f"{base}/{name}.json", part=name) for name in names if f"{name}.json" != own]


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model, region and mode.

    Units: US cents per token or piece; nothing is converted here.
    Raises: SourceChanged if the document is not an object of models with `default` in USD, or has no model.
    Not: plausibility, whether a price is still right.
    """
    models = _file(document, spec)
    provider = document.part or spec.url.rpartition("/")[2].removesuffix(".json")
    quotes = [quote for name, entry in models.items() if name != "default" for quote in _quotes(provider, name, entry)]
    if not quotes:
        raise SourceChanged(f"{spec.id}: {provider}: wanted models, found none", code="empty")
    return quotes


def _file(document: Document, spec: SourceSpec) -> Mapping[str, object]:
    body = read_json(document)
    default = body.get("default") if isinstance(body, Mapping) else None
    config = default.get("pricing_config") if isinstance(default, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(config, Mapping) or config.get("currency") != "USD":
        raise SourceChanged(f"{spec.id}: wanted default.pricing_config.currency USD, found {describe(config)}")
    return body


def _quotes(provider: str, key: str, entry: object) -> Iterator[Quote]:
    locator = f'["{key}"]'
    doubts: list[Doubt] = []
    name = named(key, "a model", doubts)
    if not name:
        return
    bare = Quote(provider=provider, model=name, prices={}, locator=locator)
    quotes: list[Quote] = []
    try:
        config = _object(_object(entry, "a model").get("pricing_config"), "pricing_config")
        tagged = _custom(_object(entry, "a model").get("custom_pricing"))
        offers = {"": config.get("pay_as_you_go"), "batch": config.get("batch_config")}
        for tag, listed in offers.items():
            if listed is not None:
                tagged[tag] = {**tagged.get(tag, {}), 0: _object(listed, tag or "pay_as_you_go")}
        quotes = [
            _quote(replace(bare, tag=printed(tag, "a region or mode") if tag else ""), ranges)
            for tag, ranges in tagged.items()
        ]
    except Doubt as doubt:
        doubts.append(doubt)
    if doubts:
        yield replace(bare, findings=tuple(doubt.finding(locator) for doubt in doubts))
    else:
        yield from (quote for quote in quotes if quote.prices)


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Doubt("type", f"{what} is {describe(value)}, not an object")
    return value


def _custom(custom: object) -> dict[str, dict[int, Mapping[str, object]]]:
    """Tag -> prompt tokens -> components for longer prompts.

    Raises: Doubt if regions, modes or ranges are not as they were.
    """
    if custom is None:
        return {}
    fields = _object(custom, "custom_pricing")
    names = {
        str(name): start for start, name in _object(fields.get("context_tier_map") or {}, "context_tier_map").items()
    }
    found: dict[str, dict[int, Mapping[str, object]]] = {}
    for region, entry in _object(fields.get("regions"), "regions").items():
        modes = _object(_object(entry, region).get("execution_modes"), "execution_modes")
        for mode, priced in modes.items():
            tag = "/".join(part for part in (region, mode) if part not in ("default", "standard"))
            ranges = _object(_object(priced, mode).get("context_tiers") or {"": priced}, "context_tiers")
            for name, holder in ranges.items():
                stated = names.get(name, "") if name else "0"
                start = 0 if stated == "0" else count_of(stated)
                if start is None:
                    raise Doubt("ranges", f"context tier {name!r} has no number of tokens")
                config = _object(_object(holder, mode).get("pricing_config"), "pricing_config")
                found.setdefault(tag, {})[start] = _object(config.get("pay_as_you_go"), "pay_as_you_go")
    return found


def _quote(bare: Quote, ranges: Mapping[int, Mapping[str, object]]) -> Quote:
    above: dict[int, dict[str, Price]] = {}
    unread: set[str] = set()
    for start, components in ranges.items():
        above[start], left = _prices(components)
        unread |= left
    prices = above.pop(0, {})
    told = {meter: one for meter, one in prices.items() if one.text}
    if not told:
        return bare
    if not told.keys().isdisjoint(("input", "output")):
        prices = complete(told, TOKENS)
    findings = () if bare.tag else unmapped(unread, bare.locator)
    return replace(bare, prices=prices, overrides=conditions(above, prices), findings=findings)


def _prices(components: Mapping[str, object]) -> tuple[dict[str, Price], set[str]]:
    """The prices with a meter, and the names of those without."""
    additional = _object(components.get("additional_units") or {}, "additional_units")
    prices: dict[str, Price] = {}
    unread = set()
    for name, entry in [*components.items(), *additional.items()]:
        if name == "additional_units":
            continue
        if name not in METERS:
            unread.add(name)
            continue
        meter, unit = METERS[name]
        stated = price(_object(entry, name).get("price"), name, unit, free=False)
        if stated is not None:
            prices[meter] = stated
    return prices, unread
