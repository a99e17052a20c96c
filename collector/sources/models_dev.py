"""models.dev: `api.json`, a catalogue of who offers which model, kept by hand and by robots.

What is read
    An object keyed by provider id, each with `models` keyed by model id; USD per 1M tokens as JSON numbers. Provider
    and model are those keys. Page: https://models.dev, source: https://github.com/anomalyco/models.dev (MIT).

Prices
    `cost.tiers[]` are the prices of prompts longer than `tier.size`; `cost.context_over_200k` is the older word for
    one such tier and goes on being published beside it: read only where there are no tiers.
    `experimental.modes.<name>.cost` is the price of a mode that is asked for by a request header (`fast`): an offer of
    its own, with the mode's name as tag and the prices stated for the mode, none inherited.
    Without a `cost` (one model in fourteen) an offer exists whose price is not told: `input` and `output` unknown, so
    that its context is on the tape and the price, once it comes, is a price that came and no new offer.

Oddities
    A 0 of `input` or `output` is unknown: most zeros are subscriptions (coding and token plans, github-models), trials
    or embeddings. Only ids ending in `:free` declare themselves free; `-free` is a part of names as well
    (`claude-haiku-4-5-free`) and declares nothing. Any other meter at 0 is one that is not charged apart: absent.
    A limit of 0 is not stated. `limit.output` and the dates come from a base model that many providers share.
    No currency field, quantization, region or service tier. A robot copies hourly from OpenRouter, Vercel, Kilo and
    NanoGPT, so that agreement with those proves nothing.

History
    Until 2025-06-19 modalities stood in the model itself (`input_modalities`). First seen: 2025-09-19 `reasoning`;
    2025-09-29 audio prices; 2025-10-28 `status` (`alpha: true` before, once); 2025-11-15 `context_over_200k`;
    2026-04-12 `experimental.modes`; 2026-05-15 `tiers`.
    Slips: cache read and write swapped for anthropic until 2025-06-23; cloudflare-ai-gateway outputs a million times
    too high 2025-12-13 to 12-23; helicone's mistral-small a thousand times 2025-12-08 to 2026-05-27; two openrouter
    models a million times too low 2026-03-19 to 04-21.
"""

from collections.abc import Iterator, Mapping

from collector.contract import Price, Quote, QuotedOverride, SourceSpec
from collector.errors import SourceChanged
from collector.parse.catalogue import complete, conditions, count, price, texts, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.strict import read_json
from store.records import Document, Facts

METERS = ("input", "output", "cache_read", "cache_write", "reasoning", "input_audio", "output_audio")
"""Read under their own names."""
UNIT = "USD/1M_token"
FEATURES = ("attachment", "reasoning", "structured_output", "tool_call")


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per provider, model and mode.

    Units: USD per 1M tokens.
    Raises: SourceChanged if the document is not an object of providers, each with an object of models.
    Not: identity of models, plausibility: the known slips of unit come out as published.
    """
    body = read_json(document)
    if not isinstance(body, Mapping):
        raise SourceChanged(f"{spec.id}: wanted an object keyed by provider, found {describe(body)}")
    quotes: list[Quote] = []
    for provider, entry in body.items():
        models = entry.get("models") if isinstance(entry, Mapping) else None
        if not isinstance(models, Mapping):
            raise SourceChanged(f"{spec.id}: {provider}: wanted an object of models, found {describe(entry)}")
        for name, model in models.items():
            quotes += _quotes(provider, name, model)
    if not quotes:
        raise SourceChanged(f"{spec.id}: wanted models, found {len(body)} providers without one", code="empty")
    return quotes


def _quotes(provider: str, name: str, model: object) -> Iterator[Quote]:
    locator = f'["{provider}"].models["{name}"]'
    free = name.endswith(":free")
    facts = Facts()
    costs: dict[str, object] = {"": None}
    doubts: list[Doubt] = []
    try:
        fields = _object(model, "the model")
        costs = costs | _modes(fields) | {"": fields.get("cost")}
        facts = _facts(fields)
    except Doubt as doubt:
        doubts.append(doubt)
    for tag, cost in costs.items():
        prices: dict[str, Price] = {}
        overrides: tuple[QuotedOverride, ...] = ()
        findings = [doubt.finding(locator) for doubt in doubts]
        try:
            fields = {} if cost is None else _object(cost, "cost")
            told = {meter: one for meter, one in _stated(fields, free=free).items() if one.text}
            prices = complete(told, UNIT)
            overrides = conditions(_above(fields, free=free), prices)
            findings += unmapped(fields.keys() - {*METERS, "tiers", "context_over_200k"}, locator)
        except Doubt as doubt:
            findings.append(doubt.finding(locator))
        yield Quote(
            provider=provider,
            model=name,
            tag=tag,
            prices=prices,
            overrides=overrides,
            facts=facts,
            declared_free=free,
            locator=locator,
            findings=tuple(findings),
        )


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Doubt("type", f"{what} is {describe(value)}, not an object")
    return value


def _stated(cost: Mapping[str, object], *, free: bool) -> dict[str, Price]:
    """The meters that a cost, or a tier of it, states; those at 0 without a text."""
    prices = {meter: price(cost.get(meter), meter, UNIT, free=free) for meter in METERS}
    return {meter: one for meter, one in prices.items() if one is not None}


def _above(cost: Mapping[str, object], *, free: bool) -> dict[int, dict[str, Price]]:
    """Prompt tokens -> prices of longer prompts."""
    tiers = cost.get("tiers")
    if tiers is None:
        over = cost.get("context_over_200k")
        return {} if over is None else {200_000: _stated(_object(over, "context_over_200k"), free=free)}
    if not isinstance(tiers, list):
        raise Doubt("type", f"tiers is {describe(tiers)}, not a list")
    above: dict[int, dict[str, Price]] = {}
    for item in tiers:
        prices = _object(item, "a tier")
        condition = _object(prices.get("tier"), "tier")
        size = count(condition.get("size"), "tier.size")
        if condition.get("type") != "context" or size is None or size in above:
            raise Doubt("condition", f"a tier of type {describe(condition.get('type'))} and size {size}")
        above[size] = _stated(prices, free=free)
    return above


def _modes(model: Mapping[str, object]) -> dict[str, object]:
    """Name -> cost of the modes that have one."""
    experimental = model.get("experimental")
    modes = experimental.get("modes") if isinstance(experimental, Mapping) else None
    if modes is None:
        return {}
    costs = {name: _object(mode, f"mode {name}").get("cost") for name, mode in _object(modes, "modes").items()}
    return {name: cost for name, cost in costs.items() if cost is not None}


def _facts(model: Mapping[str, object]) -> Facts:
    """Raises: Doubt if a limit is no count, a list of modalities no list of texts, or the status no text."""
    limit = _object(model.get("limit", {}), "limit")
    modalities = model.get("modalities")
    if modalities is None:
        modalities = {way: model.get(f"{way}_modalities") for way in ("input", "output")}
    listed = _object(modalities, "modalities")
    status = model.get("status")
    if status is not None and not isinstance(status, str):
        raise Doubt("type", f"status is {describe(status)}, not a word")
    return Facts(
        context_length=count(limit.get("context"), "limit.context"),
        max_output_tokens=count(limit.get("output"), "limit.output"),
        max_prompt_tokens=count(limit.get("input"), "limit.input"),
        status=status,
        features=tuple(feature for feature in FEATURES if model.get(feature) is True),
        input_modalities=texts(listed.get("input"), "modalities.input"),
        output_modalities=texts(listed.get("output"), "modalities.output"),
    )
