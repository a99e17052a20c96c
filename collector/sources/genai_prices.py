"""genai-prices: the installed package, a maintained catalogue that needs no network.

What is read
    The providers of the installed `genai-prices`, written out in the shape its maintainers publish: a list of
    providers, each with a list of models, prices as JSON numbers. `parse` reads their published files as well
    (`prices/new_data/v2/data.json`, and the older `prices/data.json`, frozen since 2026-07-25).
    Source: https://github.com/pydantic/genai-prices (MIT).

Names
    Provider and model as published. A model stands for a family of names (`match`), not only for its id;
    `huggingface_{provider}` are copies of the Hugging Face router; some first-party entries were copied from OpenRouter
    and say so in `price_comments` only.
    A request that asks for a variant (`price_variants`: batch, a service tier, a faster mode, a route) is an offer of
    its own with the standard prices but for those the variant names. Its tag is the value of `processing`,
    `service_tier` or `speed` (`batch`, `flex`), and `key=value` for any other key (`route=mistral/eu`). A variant that
    names no price at all (`service_tier=default`) is the standard offer by another name: left out. Before the first
    date of a variant nothing is stated about it.

Prices
    USD per 1M tokens (`_mtok`) or characters (`_mchars`), per 1,000 requests, searches, messages (`_kcount`) or pages
    (`_kpages`), per hour of audio. `input_audio_hours` is a part of `audio_hours`, not added to it.
    Tiers move the whole request once its input is *longer* than `start`.
    A list of prices is tried last to first, as the package does: `start_date` (midnight UTC) gives stated history,
    `start_time` and `end_time` give hours that hold on whatever date, also on those before they were introduced: the
    format cannot say both.
    No price (`{}`) stands for free, included in a subscription, withdrawn and nobody knows: free if the id ends in
    `:free`, unknown otherwise. A 0, last seen in July 2025, says no more.

History
    2025-06-22 first published. 2025-07-05 tiers, prices per request, `context_window`. 2025-07-22 dates and hours.
    2026-02-17 `deprecated`. 2026-07-30 version 2: one-hour cache writes, searches, image and video tokens, reasoning,
    citations. 2026-10-12 `price_variants`, prices per hour, page, message and character (package 0.2).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from collector.contract import Price, Prices, Quote, QuotedOverride, SourceSpec, StatedQuote
from collector.errors import SourceChanged
from collector.parse.catalogue import conditions, count, price, unmapped
from collector.parse.doubt import Doubt, describe
from collector.parse.strict import Json, read_json
from store.records import Document, Facts
from store.text import printable

METERS = {
    "input_mtok": ("input", "USD/1M_token"),
    "output_mtok": ("output", "USD/1M_token"),
    "cache_read_mtok": ("cache_read", "USD/1M_token"),
    "cache_write_mtok": ("cache_write", "USD/1M_token"),
    "cache_write_1h_mtok": ("cache_write_1h", "USD/1M_token"),
    "output_reasoning_mtok": ("reasoning", "USD/1M_token"),
    "output_citation_mtok": ("citation", "USD/1M_token"),
    "input_audio_mtok": ("input_audio", "USD/1M_token"),
    "output_audio_mtok": ("output_audio", "USD/1M_token"),
    "cache_audio_read_mtok": ("cache_read_audio", "USD/1M_token"),
    "cache_audio_write_mtok": ("cache_write_audio", "USD/1M_token"),
    "input_image_mtok": ("input_image_token", "USD/1M_token"),
    "output_image_mtok": ("output_image_token", "USD/1M_token"),
    "cache_image_read_mtok": ("cache_read_image", "USD/1M_token"),
    "input_video_mtok": ("input_video_token", "USD/1M_token"),
    "output_video_mtok": ("output_video_token", "USD/1M_token"),
    "requests_kcount": ("request", "USD/1K_request"),
    "web_searches_kcount": ("web_search", "USD/1K_search"),
    "storage_searches_kcount": ("storage_search", "USD/1K_search"),
    "input_text_messages_kcount": ("text_message", "USD/1K_message"),
    "input_document_kpages": ("input_page", "USD/1K_page"),
    "input_annotated_document_kpages": ("input_annotated_page", "USD/1K_page"),
    "input_mchars": ("input_character", "USD/1M_character"),
    "audio_hours": ("audio_hour", "USD/hour"),
    "input_audio_hours": ("input_audio_hour", "USD/hour"),
}
"""Price key -> meter and unit."""
TIER_KEYS = frozenset({"processing", "service_tier", "speed"})
"""Keys of a variant whose value alone says what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Prices and when they hold."""

    since: datetime | None
    window: tuple[int, int] | None
    """Minutes of the day, UTC."""
    when: Mapping[str, Json]
    """What a request asks for; empty for the standard prices."""
    prices: Mapping[str, Json]

    def active(self, at: datetime | None) -> bool:
        """Whether the date has come; None is before all dates."""
        return self.since is None or (at is not None and self.since <= at)


def read(spec: SourceSpec, at: datetime) -> Document:
    """The installed package's prices in their published shape; the same bytes for the same version."""
    from importlib.metadata import version

    from genai_prices.data import providers

    return Document(
        source=spec.id,
        url=f"package:genai-prices/{version('genai-prices')}",
        fetched_at=at,
        status=200,
        body=_json_text(providers).encode(),
        content_type="application/json",
    )


def _json_text(value: object) -> str:
    """Compact JSON of the package's own objects: decimals keep their digits, what is None is left out."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if value is None or isinstance(value, bool | int | str):
        return json.dumps(value)
    if isinstance(value, date | time):
        return json.dumps(value.isoformat().replace("+00:00", "Z"))
    if isinstance(value, Sequence):
        return f"[{','.join(map(_json_text, value))}]"
    if isinstance(value, Mapping):
        named = value
    elif is_dataclass(value):
        named = {field.name.rstrip("_"): getattr(value, field.name) for field in fields(value) if field.name[0] != "_"}
    else:
        named = vars(value)
    pairs = (f"{json.dumps(name)}:{_json_text(item)}" for name, item in named.items() if item is not None)
    return f"{{{','.join(pairs)}}}"


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per provider, model and variant.

    Units: USD, per what the name of the price says (see `METERS`).
    Raises: SourceChanged if the document is not a list of providers, each with an id and a list of models with ids.
    Not: which of the dated prices is in force, identity of models.
    """
    body = read_json(document)
    if not isinstance(body, list):
        raise SourceChanged(f"{spec.id}: wanted a list of providers, found {describe(body)}")
    quotes: list[Quote] = []
    for number, provider in enumerate(body):
        models = provider.get("models") if isinstance(provider, Mapping) else None
        if not isinstance(provider, Mapping) or not isinstance(models, list):
            raise SourceChanged(f"{spec.id}: [{number}].models: wanted a list of models, found {describe(models)}")
        name = _id(provider, f"{spec.id}: [{number}]")
        for place, model in enumerate(models):
            quotes += _quotes(name, model, f"[{number}].models[{place}]", spec)
    if not quotes:
        raise SourceChanged(f"{spec.id}: wanted models, found {len(body)} providers without one", code="empty")
    return quotes


def _id(value: Json, place: str) -> str:
    name = value.get("id") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or not name or printable(name) != name:
        raise SourceChanged(f"{place}.id: wanted a name, found {describe(name)}", code="columns")
    return name


def _quotes(provider: str, model: Json, locator: str, spec: SourceSpec) -> Iterator[Quote]:
    """The standard offer of a model, and one for each of its variants."""
    name = _id(model, f"{spec.id}: {locator}")
    bare = Quote(provider=provider, model=name, prices={}, declared_free=name.endswith(":free"), locator=locator)
    try:
        values = _object(model, "the model")
        facts = Facts(
            context_length=count(values.get("context_window"), "context_window"),
            status="deprecated" if values.get("deprecated") is True else None,
        )
        entries = _entries(values.get("prices"), "prices")
        variants = _entries(values.get("price_variants", []), "price_variants")
    except Doubt as doubt:
        yield replace(bare, findings=(doubt.finding(locator),))
        return
    keys = {key for entry in (*entries, *variants) for key in entry.prices}
    bare = replace(bare, facts=facts, findings=unmapped(keys - METERS.keys(), locator))
    for tag, when in {"": {}, **_tags(variants)}.items():
        quote = replace(bare, tag=tag, findings=bare.findings if not tag else ())
        try:
            stated = _stated(entries, variants, when, free=bare.declared_free)
        except Doubt as doubt:
            yield replace(quote, findings=(*quote.findings, doubt.finding(locator)))
            continue
        if len(stated) == 1 and stated[0].since is None:
            yield replace(quote, prices=stated[0].prices, overrides=stated[0].overrides)
        else:
            yield replace(quote, stated=stated)


def _object(value: Json, name: str) -> Mapping[str, Json]:
    """Raises: Doubt if the value is not an object."""
    if not isinstance(value, Mapping):
        raise Doubt("type", f"{name} is {describe(value)}, not an object")
    return value


def _entries(value: Json, name: str) -> list[_Entry]:
    """Price sets with their conditions, in the order of the document.

    Shape: one object of prices, or a list of `{"constraint"?, "when"?, "prices"}`.
    Raises: Doubt if it is neither, or a condition is not understood.
    """
    variants = name == "price_variants"
    listed: Json = [{"prices": value}] if isinstance(value, dict) else value
    if not isinstance(listed, list) or not (listed or variants):
        raise Doubt("type", f"{name} is {describe(value)}, neither prices nor a list")
    entries = []
    for number, item in enumerate(listed):
        place = f"{name}[{number}]"
        entry = _object(item, place)
        prices = {key: one for key, one in _object(entry.get("prices"), f"{place}.prices").items() if one is not None}
        when = _object(entry.get("when", {}), f"{place}.when")
        if bool(when) is not variants or not all(isinstance(asked, str) for asked in when.values()):
            raise Doubt("constraint", f"{place}.when is {describe(entry.get('when'))}, not what a request asks for")
        since, window = _constraint(_object(entry.get("constraint", {}), f"{place}.constraint"))
        entries.append(_Entry(since=since, window=window, when=when, prices=prices))
    return entries


def _constraint(constraint: Mapping[str, Json]) -> tuple[datetime | None, tuple[int, int] | None]:
    """The first instant, or the minutes of the day.

    Raises: Doubt if it is neither a date nor hours.
    """
    if constraint.keys() == {"start_date"}:
        return _midnight(constraint["start_date"]), None
    if constraint.keys() == {"start_time", "end_time"}:
        return None, (_minute(constraint["start_time"]), _minute(constraint["end_time"]))
    if constraint:
        raise Doubt("constraint", f"a constraint has {', '.join(sorted(constraint))}")
    return None, None


def _midnight(value: Json) -> datetime:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None:
        raise Doubt("constraint", f"start_date is {describe(value)}, not a date")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _minute(value: Json) -> int:
    """Minute of the day, UTC, of a time such as `16:30:00Z`."""
    try:
        clock = time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        clock = None
    if clock is None or clock.second or clock.microsecond:
        raise Doubt("constraint", f"a time of day is {describe(value)}, not a whole minute")
    offset = (clock.utcoffset() or timedelta()) // timedelta(minutes=1)
    return (clock.hour * 60 + clock.minute - offset) % (24 * 60)


def _tags(variants: Iterable[_Entry]) -> dict[str, Mapping[str, Json]]:
    """Tag -> what a request asks for, of each variant that names a price."""
    tags: dict[str, Mapping[str, Json]] = {}
    for variant in variants:
        if variant.prices and variant.when not in tags.values():
            pairs = [(key, f"{key}={value}") for key, value in sorted(variant.when.items())]
            short = "/".join(str(variant.when[key]) if key in TIER_KEYS else pair for key, pair in pairs)
            tags["/".join(pair for _, pair in pairs) if short in tags else short] = variant.when
    return tags


def _stated(
    entries: Sequence[_Entry], variants: Sequence[_Entry], when: Mapping[str, Json], *, free: bool
) -> tuple[StatedQuote, ...]:
    """The prices of a request that asks for `when`, from date to date; equal neighbours are one.

    Raises: Doubt if a price cannot be told.
    """
    chosen = [variant for variant in variants if variant.when.items() <= when.items()]
    dates = sorted({entry.since for entry in (*entries, *chosen) if entry.since is not None})
    stated: list[StatedQuote] = []
    for since, until in zip((None, *dates), (*dates, None), strict=True):
        if when and not any(variant.when == when and variant.active(since) for variant in chosen):
            continue
        prices, overrides = _terms(entries, _named(chosen, since), since, free=free)
        if stated and (stated[-1].prices, stated[-1].overrides) == (prices, overrides):
            stated[-1] = replace(stated[-1], until=until)
        else:
            stated.append(StatedQuote(since=since, until=until, prices=prices, overrides=overrides))
    return tuple(stated)


def _named(chosen: Sequence[_Entry], at: datetime | None) -> dict[str, Json]:
    """The prices that variants name on a date; the first one that names a price decides it."""
    named: dict[str, Json] = {}
    for variant in chosen:
        if variant.window is not None:
            raise Doubt("constraint", "a variant holds at hours of the day")
        if variant.active(at):
            named = {**variant.prices, **named}
    return named


def _terms(
    entries: Sequence[_Entry], named: Mapping[str, Json], at: datetime | None, *, free: bool
) -> tuple[Prices, tuple[QuotedOverride, ...]]:
    """Prices on a date, and the tiers and hours that replace them; the last entry that holds decides."""
    dated = [number for number, entry in enumerate(entries) if entry.window is None and entry.active(at)]
    first = dated[-1] if dated else 0
    standard = {**entries[first].prices, **named}
    prices, overrides = _priced(standard, free=free)
    for entry in entries[first + 1 if dated else 0 :]:
        if entry.window is None or entry.window[0] == entry.window[1]:
            continue
        start, end = entry.window
        hourly = {**entry.prices, **named}
        if hourly.keys() != standard.keys():
            raise Doubt("constraint", "other meters are charged at some hours of the day")
        outside, tiers = _priced(hourly, free=free)
        overrides += tuple(
            replace(override, start_minute=start, end_minute=end)
            for override in (QuotedOverride(prices=outside), *tiers)
        )
    return prices, overrides


def _priced(values: Mapping[str, Json], *, free: bool) -> tuple[Prices, tuple[QuotedOverride, ...]]:
    """The prices of one set, and those of long prompts.

    Raises: Doubt if a price is no number.
    """
    prices: dict[str, Price] = {}
    above: dict[int, dict[str, Price]] = {}
    for key, (meter, unit) in METERS.items():
        value = values.get(key)
        if value is None:
            continue
        base, tiers = (value.get("base"), value.get("tiers")) if isinstance(value, dict) else (value, [])
        stated = price(base, key, unit, free=free)
        if stated is None or not isinstance(tiers, list):
            raise Doubt("type", f"{key} is {describe(value)}, neither a price nor tiers")
        prices[meter] = stated
        for tier in tiers:
            start, stated = _tier(tier, key, unit, free=free)
            above.setdefault(start, {})[meter] = stated
    if not values:
        text = "0" if free else ""
        prices = {meter: Price(text=text, unit=METERS["input_mtok"][1]) for meter in ("input", "output")}
    return prices, conditions(above, prices)


def _tier(tier: Json, key: str, unit: str, *, free: bool) -> tuple[int, Price]:
    values = _object(tier, f"a tier of {key}")
    start, stated = values.get("start"), price(values.get("price"), f"a tier of {key}", unit, free=free)
    if stated is None or not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise Doubt("type", f"a tier of {key} starts at {describe(start)}, or has no price")
    return start, stated
