"""LiteLLM: `model_prices_and_context_window.json`, the price map that the LiteLLM library and proxy reckon with.

What is read
    An object keyed by model name, USD per token as JSON numbers. The name is the model id as published, the provider
    is `litellm_provider`. Page: https://github.com/BerriAI/litellm (MIT), changed by pull requests.

Modes
    A price by the piece is read where the mode says what the piece is, and noted elsewhere:
    - text (chat, responses, completion, realtime, embedding, rerank, moderation, ocr): by request, query, image,
      character, page. By second it is Bedrock's reserved throughput, stated for input and again for output: not read.
      By image it is read where it is more than ten times the price of a token of that way; else it is that of an image
      token (gpt-realtime has 0.000005 where OpenAI asks 5 USD per 1M) or cannot be told from one.
    - image_generation, image_edit: `output_cost_per_image`, and beside an output price also what goes in. Without one,
      `input_cost_per_image` may be what an image made costs (dall-e-3), as are prices by the pixel, which have no
      meter; so may those by the token (Fireworks' 4e-08, where it asks 0.04 an image). Sizes, qualities and steps
      before a name (`hd/1024-x-1792/dall-e-3`) are tags.
    - audio_transcription: `input_cost_per_second`; what `output_cost_per_second` says is the same seconds again
      (whisper-1) or instead (soniox). audio_speech: `input_cost_per_character`. video_generation: seconds of output.
    - search, vector_store: `input_cost_per_query`; tiers by the number of results have no condition.

Names of prices
    <base>[_above_<N>k_tokens][_batches|_batch_requests|_flex|_priority], all products of them occurring. Above N*1000
    prompt tokens the whole request is charged at that price (LiteLLM's own: `prompt_tokens > threshold`). A service
    tier is an offer of its own and becomes a quote with the tag batch, flex or priority, of what is stated for the tier
    and nothing else: LiteLLM itself falls back to the ordinary price for flex and priority and to half of it for
    batch, which is a way of reckoning and no statement of the provider. Of `input` and `output`, what is not stated
    is unknown.
    `tiered_pricing` lists the same by range of prompt length; its first range is the price outside conditions.

Oddities
    `sample_spec` is documentation, `fallback_generalizations` a list of rules; both have no mode. The entries without
    a mode that do have prices (`fireworks-ai-above-16b`) are size classes of one provider, no models: left out.
    `input_cost_per_token_cache_hit` is the older word for `cache_read_input_token_cost`; where both stand they agree.
    A 0 is unknown, except where the name ends in `:free`: zeros stand for local runtimes (ollama, lemonade), trials,
    subscriptions, cache writes copied from OpenRouter's "0", and for models that nobody has priced yet. A 0 above so
    many tokens beside a price below (`gemini-2.0-flash-exp`, forgotten when it was priced) is unknown above.
    Prices by the character, image or second beside prices by the token of the same measure one thing twice: only the
    latter are read.
    `*_dbu_cost_per_token` are Databricks units, the same price in another currency of account: not read. Prices by
    second of audio or video that goes in with text, by session, by size of a search, and factors for regions and speed
    have no meter: noted.
    `deprecation_date` may lie ahead; by its own description the model is deprecated from then on. A limit of 0 is not
    stated. `max_tokens` is either limit, depending on who wrote it: not read. Databricks prices
    are full of float tails.
    One offer may stand under two names (`fireworks_ai/gpt-oss-120b` and `fireworks_ai/accounts/...`).

History
    Hand-made slips of unit are the main kind of edit. The large ones, USD per 1M tokens: watsonx 4,000 for 0.15 until
    2025-10-17, novita 2,690 for 0.269 from 2026-01-09 to 01-13, wandb 15,000 for 0.15 since 2025-09-23.
    First seen: 2025-04-25 prices above 200k, `search_context_cost_per_query` the same month; 2025-05-10 some limits
    written as `10000000.0`; 2025-10-07 flex and priority, `tiered_pricing`, one-hour cache writes; 2026-02-06 one-hour
    cache writes above 200k; 2026-03-01 priority above 200k; 2026-04-09 batch cache reads; 2026-07-01
    `fallback_generalizations`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from collector.contract import Price, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.parse.catalogue import complete, conditions, count, named, price, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.facts import facts_of
from collector.parse.strict import Json, read_json
from store.records import Document, Facts, Finding

TEXT = ("chat", "completion", "responses", "realtime", "embedding", "rerank", "moderation", "ocr")
IMAGES = ("image_generation", "image_edit")
PIECES = {
    **dict.fromkeys(
        TEXT,
        frozenset(
            {"request", "query", "input_image", "output_image", "input_character", "output_character"}
            | {"input_page", "input_annotated_page"}
        ),
    ),
    **dict.fromkeys(IMAGES, frozenset({"input_image", "output_image"})),
    "audio_transcription": frozenset({"input_second"}),
    "audio_speech": frozenset({"input_character"}),
    "video_generation": frozenset({"output_second"}),
    "search": frozenset({"query"}),
    "vector_store": frozenset({"query"}),
}
"""Mode of an entry that is read -> meters by the piece that mean there what they say."""
MODES = tuple(PIECES)
IMAGE_TOKENS = 10
"""A price by the image that is at most so many times that of a token is perhaps one of an image token."""

METER_OF = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "input_cost_per_token_cache_hit": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_token_cost_per_audio_token": "cache_read_audio",
    "cache_creation_input_audio_token_cost": "cache_write_audio",
    "input_cost_per_image_token": "input_image_token",
    "output_cost_per_image_token": "output_image_token",
    "cache_read_input_image_token_cost": "cache_read_image",
    "output_cost_per_video_token": "output_video_token",
    "citation_cost_per_token": "citation",
    "input_cost_per_request": "request",
    "input_cost_per_query": "query",
    "input_cost_per_image": "input_image",
    "output_cost_per_image": "output_image",
    "input_cost_per_second": "input_second",
    "output_cost_per_second": "output_second",
    "output_cost_per_video_per_second": "output_second",
    "input_cost_per_character": "input_character",
    "output_cost_per_character": "output_character",
    "ocr_cost_per_page": "input_page",
    "annotation_cost_per_page": "input_annotated_page",
}
UNIT = "USD/token"
UNIT_OF = {
    "request": "USD/request",
    "query": "USD/query",
    "input_image": "USD/image",
    "output_image": "USD/image",
    "input_second": "USD/second",
    "output_second": "USD/second",
    "input_page": "USD/page",
    "input_annotated_page": "USD/page",
    "input_character": "USD/character",
    "output_character": "USD/character",
}
TAG_OF = {None: "", "batches": "batch", "batch_requests": "batch", "flex": "flex", "priority": "priority"}

_NAME = re.compile(
    r"(?P<base>.+?)(?:_above_(?P<thousands>[0-9]{1,6})k_tokens)?(?:_(?P<tier>batches|batch_requests|flex|priority))?",
    re.ASCII,
)
_MADE = ("output_cost_per_image", "output_cost_per_image_token")
_BY_TOKEN = {
    "input_cost_per_character": "input_cost_per_token",
    "output_cost_per_character": "output_cost_per_token",
    "input_cost_per_image": "input_cost_per_image_token",
    "output_cost_per_image": "output_cost_per_image_token",
    "output_cost_per_second": "output_cost_per_audio_token",
}
"""Price by the piece -> that of the same by the token."""
_OF_SIZE = re.compile(r"[0-9]+-x-[0-9]+|low|medium|high|standard|hd|(?:[0-9]+|max)-steps", re.ASCII)
_PRICE_WORDS = ("cost", "pricing", "multiplier", "provider_specific_entry")
_PASSED_OVER = frozenset(
    {"tiered_pricing", "input_dbu_cost_per_token", "output_dbu_cost_per_token", "output_db_cost_per_token"}
)
"""Read apart, or prices in Databricks units beside the same in USD."""


@dataclass(slots=True)
class _Offer:
    """One service tier of an entry, while it is read."""

    prices: dict[str, Price] = field(default_factory=dict)
    above: dict[int, dict[str, Price]] = field(default_factory=dict)
    """Prompt tokens -> prices of longer prompts."""
    doubts: list[Doubt] = field(default_factory=list)


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per entry and service tier.

    Units: USD per token; per single request, query, image, second or character where an entry is priced so.
    Raises: SourceChanged if the document is not an object or has no entry of the modes that are read.
    Not: identity of models, plausibility: the known slips of unit come out as published.
    """
    body = read_json(document)
    if not isinstance(body, Mapping):
        raise SourceChanged(f"{spec.id}: wanted an object keyed by model name, found {describe(body)}")
    found = quotes(body, spec)
    if not found:
        raise SourceChanged(f"{spec.id}: wanted entries of mode {', '.join(MODES)}, found none", code="empty")
    return found


def quotes(members: Mapping[str, Json], spec: SourceSpec) -> list[Quote]:
    """Quotes of some entries (see `collector.contract.EntryParser`)."""
    return [
        quote
        for name, entry in members.items()
        if name != "sample_spec" and isinstance(entry, Mapping) and entry.get("mode") in MODES
        for quote in _quotes(name, entry, spec)
    ]


def _quotes(key: str, entry: Mapping[str, object], spec: SourceSpec) -> Iterator[Quote]:
    locator = f'["{key}"]'
    free = key.endswith(":free")
    offers = {"": _Offer()}
    told = [word for word in entry if _is_money(word) and not _told_by_the_token(word, entry)]
    unread = [
        word
        for word in told
        if not (_is_understood(word, entry) and _read_price(word, entry[word], offers, free=free))
        and (_is_price(word) and entry[word] != 0)
    ]
    doubts: list[Doubt] = []
    try:
        unread += _read_ranges(entry, offers[""], free=free)
    except Doubt as doubt:
        doubts.append(doubt)
    name, of_size = _sized(key) if entry["mode"] in IMAGES else (key, "")
    model = named(name, "a model", doubts)
    if not model:
        raise SourceChanged(f"{spec.id}: {locator}: {doubts[-1]}")
    provider = named(entry.get("litellm_provider"), "litellm_provider", doubts)
    facts, notes = _facts(entry, locator)
    for tier, offer in offers.items():
        sells_tokens = tier or not offer.prices or not offer.prices.keys().isdisjoint(("input", "output"))
        held = (doubt.finding(locator) for doubt in doubts + offer.doubts)
        yield Quote(
            provider=provider,
            model=model,
            tag="/".join(filter(None, (of_size, tier))),
            prices=complete(offer.prices, UNIT) if sells_tokens else offer.prices,
            overrides=conditions(offer.above, offer.prices),
            facts=facts,
            declared_free=free,
            locator=locator,
            findings=(*held, *notes, *(() if tier else unmapped(unread, locator))),
        )


def _sized(key: str) -> tuple[str, str]:
    """(name, size of image) of `azure/hd/1024-x-1792/dall-e-3`; no size where none stands before the name."""
    *before, name = key.split("/")
    size = [part for part in before if _OF_SIZE.fullmatch(part)]
    return "/".join([*(part for part in before if part not in size), name]), "/".join(size)


def _told_by_the_token(key: str, entry: Mapping[str, object]) -> bool:
    """The key prices by the piece what another one prices by the token."""
    match = _name(key)
    return match is not None and _BY_TOKEN.get(match["base"]) in entry


def _is_understood(key: str, entry: Mapping[str, object]) -> bool:
    """Whether the key prices what its name says, in an entry of its mode."""
    match = _name(key)
    meter = METER_OF.get(match["base"]) if match else None
    if entry["mode"] in IMAGES and not any(entry.get(made) for made in _MADE):
        return False
    if meter not in UNIT_OF:
        return True
    if meter not in PIECES[str(entry["mode"])]:
        return False
    return meter not in ("input_image", "output_image") or _is_of_an_image(key, entry)


def _is_of_an_image(key: str, entry: Mapping[str, object]) -> bool:
    """Whether a price by the image can be no other: not that of an image token, nor one price under both names."""
    stated, made = entry[key], _MADE[0]
    if entry["mode"] in IMAGES and key != made:
        return stated != entry.get(made)
    token = entry.get(f"{key.partition('_')[0]}_cost_per_token") or 0
    if not isinstance(stated, int | Decimal) or not isinstance(token, int | Decimal):
        return True
    return stated == 0 or stated > IMAGE_TOKENS * token


@lru_cache(maxsize=4096)  # a few hundred names, in thousands of entries
def _is_price(key: str) -> bool:
    return key not in _PASSED_OVER and any(word in key for word in _PRICE_WORDS)


@lru_cache(maxsize=4096)
def _is_money(key: str) -> bool:
    """A price that is read, or one that is noted."""
    match = _name(key)
    return _is_price(key) or (match is not None and match["base"] in METER_OF)


@lru_cache(maxsize=4096)
def _name(key: str) -> re.Match[str] | None:
    return _NAME.fullmatch(key)


def _read_price(key: str, value: object, offers: dict[str, _Offer], *, free: bool) -> bool:
    """Put one price where it belongs; False if the key names no price that has a meter."""
    match = _name(key)
    if match is None or match["base"] not in METER_OF:
        return False
    if value is not None:
        offer = offers.setdefault(TAG_OF[match["tier"]], _Offer())
        above = int(match["thousands"]) * 1000 if match["thousands"] else 0
        try:
            _put(offer, above, key, match["base"], value, free=free)
        except Doubt as doubt:
            offer.doubts.append(doubt)
    return True


def _put(offer: _Offer, above: int, key: str, base: str, value: object, *, free: bool) -> None:
    """Raises: Doubt if the value is no number, or is not what another name says of the same meter."""
    meter = METER_OF[base]
    stated = price(value, key, UNIT_OF.get(meter, UNIT), free=free)
    if stated is None:
        return
    prices = offer.above.setdefault(above, {}) if above else offer.prices
    known = prices.setdefault(meter, stated)
    if not known.text:
        prices[meter] = stated
    elif stated.text and Decimal(known.text) != Decimal(stated.text):
        raise Doubt("contradiction", f"{key} is {stated.text}, another name says {known.text} for {meter}")


def _read_ranges(entry: Mapping[str, object], offer: _Offer, *, free: bool) -> list[str]:
    """Put the prices of `tiered_pricing` where they belong; returns the names of prices that have no meter.

    Shape: `[{"range": [0, 32000], <price>: ...}, {"range": [32000, 128000], ...}]`, each beginning where the one
        before ends.
    Raises: Doubt if it is not.
    """
    listed = entry.get("tiered_pricing")
    if listed is None:
        return []
    if entry["mode"] not in TEXT:
        return ["tiered_pricing"]
    if not isinstance(listed, list):
        raise Doubt("type", f"tiered_pricing is {describe(listed)}, not a list")
    unread: list[str] = []
    above = 0
    for tier in listed:
        bounds = tier.get("range") if isinstance(tier, Mapping) else None
        if not isinstance(tier, Mapping) or not isinstance(bounds, list) or len(bounds) != 2:
            raise Doubt("type", f"tiered_pricing holds {describe(tier)} without a range")
        start, end = (count(bound, "range") or 0 for bound in bounds)
        if start != above or end <= start:
            raise Doubt("ranges", f"a range of tiered_pricing goes from {start} to {end}, wanted it from {above} on")
        for key, value in tier.items():
            if key in METER_OF:
                _put(offer, start, key, key, value, free=free)
            elif _is_price(key):
                unread.append(key)
        above = end
    return unread


def _facts(entry: Mapping[str, object], locator: str) -> tuple[Facts, tuple[Finding, ...]]:
    return facts_of(
        {
            "context_length": entry.get("max_input_tokens") or None,
            "max_output_tokens": entry.get("max_output_tokens") or None,
            "features": [
                word.removeprefix("supports_")
                for word, value in entry.items()
                if value is True and word.startswith("supports_")
            ],
            "input_modalities": entry.get("supported_modalities"),
            "output_modalities": entry.get("supported_output_modalities"),
            "deprecated_on": entry.get("deprecation_date"),
            "regions": entry.get("supported_regions"),
        },
        locator,
    )
