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

Repository
    `api.json` is built of one TOML file per offer, `providers/ID/models/**/*.toml`, and its history is taken over from
    there (`tokentape backfill git CLONE --path providers --path models --source models_dev`): the same offers under the
    same names, and of all 21 recorded documents whose commit is on the main branch the same cards and facts. A folder
    without a `provider.toml` is not published. `base_model` takes what is not said, and not in `base_model_omit`, from
    `models/`; `[extends]` (2026-04-17 to 06-05) from another provider's model. Symbolic links are offers like others;
    those that lead nowhere are none. A tier without a type is one of context. The build drops keys of `cost` that it
    does not know; here they are a note. It refuses more than is refused here (a missing name, say).

History
    Until 2025-06-19 modalities stood in the model itself (`input_modalities`). First seen: 2025-09-19 `reasoning`;
    2025-09-29 audio prices; 2025-10-28 `status` (`alpha: true` before, once); 2025-11-15 `context_over_200k`;
    2026-04-12 `experimental.modes`; 2026-05-15 `tiers`.
    Slips: cache read and write swapped for anthropic until 2025-06-23; cloudflare-ai-gateway outputs a million times
    too high 2025-12-13 to 12-23; helicone's mistral-small a thousand times 2025-12-08 to 2026-05-27; two openrouter
    models a million times too low 2026-03-19 to 04-21.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from collector.contract import Price, Quote, SourceSpec, Tree
from collector.errors import SourceChanged
from collector.parse.catalogue import complete, conditions, count, named, price, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.facts import facts_of
from collector.parse.inherit import merged, without
from collector.parse.paths import MISSING, value_at
from collector.parse.rows import name_of
from collector.parse.strict import read_json
from store.records import Document, Facts, Finding

METERS = ("input", "output", "cache_read", "cache_write", "reasoning", "input_audio", "output_audio")
"""Read under their own names."""
UNIT = "USD/1M_token"
_MODEL = re.compile(r"providers/([^/]+)/models/(.+)\.toml", re.DOTALL)
FEATURES = ("attachment", "reasoning", "structured_output", "tool_call")
READ = (
    *("cost", "experimental", "limit", "modalities", "input_modalities", "output_modalities"),
    *("status", "release_date", "knowledge", "open_weights", *FEATURES),
)
"""What of a model has a say in its quotes."""


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
            quotes += _quotes(provider, name, model, spec, f'["{provider}"].models["{name}"]')
    if not quotes:
        raise SourceChanged(f"{spec.id}: wanted models, found {len(body)} providers without one", code="empty")
    return quotes


def reads(path: str) -> bool:
    """Whether a file of the repository has a say in `api.json`."""
    return path.startswith(("providers/", "models/")) and path.endswith(".toml")


def said_in(path: str, tree: Tree, spec: SourceSpec) -> Mapping[str, Any] | None:
    """What one file of the repository says of a provider's model, `READ` of it, with what it takes from others.

    Raises: SourceChanged if the file, or one that it takes from, is not there or not sound: then nothing is published.
    """
    place = _MODEL.fullmatch(path)
    if place is not None and tree.read(f"providers/{place[1]}/provider.toml") is None:
        return None  # nor is anything of a folder without it published
    if tree.read(path) is None:
        return None  # a link to nothing
    model = _whole(path, tree, spec)
    return None if place is None else {key: model[key] for key in READ if key in model}


def quotes_of(path: str, said: Mapping[str, Any], spec: SourceSpec) -> list[Quote]:
    """Quotes of what one file says: those that `api.json` has of a provider's model.

    Units: USD per 1M tokens.
    Raises: SourceChanged if the file's name is none that can be stored and shown.
    """
    place = _MODEL.fullmatch(path)
    assert place is not None
    return list(_quotes(place[1], place[2], said, spec, f'["{path}"].text'))


def _whole(path: str, tree: Tree, spec: SourceSpec, asking: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """What a file says, with what it takes from another; `asking` are the files that take from it.

    Raises: SourceChanged.
    """
    own = tree.read(path)
    if own is None or path in asking:
        fault = "takes from itself" if own is not None else f"no such file, which {asking[-1]} takes from"
        raise SourceChanged(f"{spec.id}: {path}: {fault}", code="link")
    base, omitted = _base(own)
    if base is None:
        return own
    if not isinstance(omitted, list) or not all(isinstance(one, str) for one in omitted):
        raise SourceChanged(f"{spec.id}: {path}: omit: wanted a list of paths, found {describe(omitted)}")
    model: Mapping[str, Any] = merged(_whole(base, tree, spec, (*asking, path)), own)
    for one in omitted:
        model = without(model, one)
    return model


def _base(own: Mapping[str, Any]) -> tuple[str | None, object]:
    """The file that a model takes from, and what it does not take."""
    if "base_model" in own:
        return f"models/{own['base_model']}.toml", own.get("base_model_omit", [])
    extends = own.get("extends")
    if not isinstance(extends, Mapping):
        return None, []
    provider, _, name = str(extends.get("from")).partition("/")
    return f"providers/{provider}/models/{name}.toml", extends.get("omit", [])


def _quotes(provider: str, key: str, model: object, spec: SourceSpec, locator: str) -> Iterator[Quote]:
    doubts: list[Doubt] = []
    seller, name = named(provider, "a provider", doubts), named(key, "a model", doubts)
    if not seller or not name:
        raise SourceChanged(f"{spec.id}: {locator}: {doubts[-1]}")
    costs: dict[str, object] = {"": None}
    facts, notes = Facts(), tuple[Finding, ...]()
    try:
        fields = _object(model, "the model")
        costs = costs | _modes(fields) | {"": fields.get("cost")}
        facts, notes = _facts(fields, locator)
    except Doubt as doubt:
        doubts.append(doubt)
    findings = (*(doubt.finding(locator) for doubt in doubts), *notes)
    for tag, cost in costs.items():
        offer = partial(Quote, provider=seller, model=name, tag=tag, facts=facts, locator=locator)
        yield _priced(offer, cost, locator, findings, free=key.endswith(":free"))


def _priced(
    offer: Callable[..., Quote], cost: object, locator: str, findings: tuple[Finding, ...], *, free: bool
) -> Quote:
    """The quote of an offer with the prices of a cost, or with the doubt about them."""
    try:
        fields = {} if cost is None else _object(cost, "cost")
        told = {meter: one for meter, one in _stated(fields, free=free).items() if one.text}
        prices = complete(told, UNIT)
        overrides = conditions(_above(fields, free=free), prices)
    except Doubt as doubt:
        return offer(prices={}, declared_free=free, findings=(*findings, doubt.finding(locator)))
    unread = unmapped(fields.keys() - {*METERS, "tiers", "context_over_200k"}, locator)
    return offer(prices=prices, overrides=overrides, declared_free=free, findings=(*findings, *unread))


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
        kind = condition.get("type", "context")
        if kind != "context" or size is None or size in above:
            raise Doubt("condition", f"a tier of type {describe(kind)} and size {size}")
        above[size] = _stated(prices, free=free)
    return above


def _modes(model: Mapping[str, object]) -> dict[str, object]:
    """Name -> cost of the modes that have one.

    Raises: Doubt if modes, or one of them, are no objects, or a mode's name cannot be a tag.
    """
    experimental = model.get("experimental")
    modes = experimental.get("modes") if isinstance(experimental, Mapping) else None
    if modes is None:
        return {}
    costs = {}
    for name, mode in _object(modes, "modes").items():
        _, misnamed = name_of(name, "a mode")
        if misnamed is not None:
            raise misnamed
        cost = _object(mode, f"mode {name}").get("cost")
        if cost is not None:
            costs[name] = cost
    return costs


def _facts(model: Mapping[str, object], locator: str) -> tuple[Facts, tuple[Finding, ...]]:
    """Raises: Doubt if limits or modalities do not stand in an object."""
    return facts_of(
        {
            "context_length": value_at(model, "limit.context") or None,
            "max_output_tokens": value_at(model, "limit.output") or None,
            "max_prompt_tokens": value_at(model, "limit.input") or None,
            "status": model.get("status"),
            "features": [feature for feature in FEATURES if model.get(feature) is True],
            "input_modalities": _either(model, "modalities.input", "input_modalities"),
            "output_modalities": _either(model, "modalities.output", "output_modalities"),
            "release_date": model.get("release_date"),
            "knowledge_cutoff": model.get("knowledge"),
            "open_weights": model.get("open_weights"),
        },
        locator,
    )


def _either(model: Mapping[str, object], path: str, older: str) -> object:
    value = value_at(model, path)
    return model.get(older) if value is MISSING else value
