"""One entry under `sources:` -> a `SourceSpec`."""

import re
from operator import attrgetter
from types import MappingProxyType
from typing import cast, get_args

from collector.config_values import (
    Reader,
    Section,
    Wrong,
    addresses,
    choice,
    grid,
    perhaps,
    reads,
    seconds,
    text,
    texts,
    truth,
    url,
    whole,
    word,
)
from collector.contract import (
    NO_PAGE,
    Kind,
    PageSpec,
    PriceSpec,
    SourceSpec,
    TierSpec,
    VariantSpec,
    Zero,
)
from collector.parse.facts import FACTS, MEASURES
from collector.sources import FAMILIES, TABLES, parsers
from collector.strict_yaml import Node, plain
from store.records import TRUST_ORDER, Trust
from store.units import METERS, unit_pattern
from store.units import unit as unit_of

_ID = r"[a-z0-9_]{1,64}"
_ZEROS: tuple[Zero, ...] = get_args(Zero)
_KINDS: tuple[Kind, ...] = get_args(Kind)
FAMILY_NEEDS = (("model", "page.model_is"), ("prices",), ("provider", "provider_at"))
"""What no family can do without; any of each will do."""
JSON_ONLY = ("records", "offers", "whole", "tiers", "free_at", "telemetry")
TABLES_ONLY = ("variants", "page")


@reads({"pattern": f"^{_ID}$"})
def source_id(node: Node) -> str:
    """The name of an entry."""
    name = word(node)
    if re.fullmatch(_ID, name, re.ASCII) is None:
        raise Wrong("a source id has only a-z, 0-9 and _")
    return name


@reads({"enum": list(METERS)})
def _meter(node: Node) -> str:
    name = word(node)
    if name not in METERS:
        raise Wrong(f"no such meter{perhaps(name, METERS)}")
    return name


def source_spec(name: str, section: Section) -> SourceSpec:
    """The spec of one source, its shape merged in already; what is wrong with it is reported to its section."""
    section.take("shape", word, "")
    parser = section.need("parser", choice(*parsers()), "")
    spec = SourceSpec(
        id=name,
        title=section.take("title", word, name),
        parser=parser,
        url=section.need("url", url, ""),
        trust=cast("Trust", section.need("trust", choice(*TRUST_ORDER), "scraped")),
        every_s=int(section.need("every", seconds("1s", "31d"), 86_400)),
        enabled=section.take("enabled", truth, default=True),
        kind=cast("Kind", section.take("kind", choice(*_KINDS), "page" if parser in TABLES else "api")),
        derives_from=section.take("derives_from", texts, ()),
        also_at=section.take("also_at", addresses, ()),
        provider=section.take("provider", word, ""),
        expect=MappingProxyType(section.each("expect", whole(), ("endpoints", "models"))),
        records=section.take("records", text, ""),
        offers=section.take("offers", word, ""),
        whole=MappingProxyType(section.each("whole", texts)),
        model=section.take("model", word, ""),
        provider_at=section.take("provider_at", word, ""),
        tag_at=section.take("tag_at", word, ""),
        prices=_prices(section),
        tiers=tuple(_tier(item) for item in section.items("tiers")),
        variants=tuple(_variant(item) for item in section.items("variants")),
        page=_page(section.section("page")),
        facts=MappingProxyType(section.each("facts", word, FACTS)),
        telemetry=MappingProxyType(section.each("telemetry", word, MEASURES)),
        require=MappingProxyType(section.each("require", texts)),
        skip=MappingProxyType(section.each("skip", texts)),
        grid_nano=section.take("grid", grid, 1),
        varies=section.take("varies", texts, ()),
        free=section.take("free", texts, ()),
        absent=section.take("absent", texts, ()),
        unknown=section.take("unknown", texts, ()),
        free_at=section.take("free_at", word, ""),
        key_env=section.take("key_env", _variable, ""),
        concurrency=section.take("concurrency", whole(1, 64), 6),
        pause_s=float(section.take("pause", seconds("0s", "1h"), 0)),
        deadline_s=float(section.take("deadline", seconds("1s", "1h"), 60)),
        card=section.take("card", text, ""),
        options=MappingProxyType({name: plain(node) for name, node in section.entries("options")}),
    )
    _check_family(spec, section)
    section.end()
    return spec


def _prices(section: Section) -> tuple[PriceSpec, ...]:
    prices = []
    for meter, entry in section.sections("prices", _meter):
        prices.append(
            PriceSpec(
                meter=meter,
                at=entry.need("at", word, ""),
                unit=entry.need("unit", _unit_for(meter), ""),
                zero=cast("Zero", entry.take("zero", choice(*_ZEROS), "price")),
                after=entry.take("after", word, ""),
                part=entry.take("part", _part, None),
            )
        )
        entry.end()
    places = [(price.at, price.part) for price in prices]
    twice = sorted({at for at, part in places if at and places.count((at, part)) > 1})
    if twice:
        section.wrong(f"two meters are read at {twice[0]!r}", "prices")
    return tuple(prices)


def _tier(entry: Section) -> TierSpec:
    tier = TierSpec(above_at=entry.need("above_at", word, ""), prices=_prices(entry))
    entry.end()
    return tier


def _variant(entry: Section) -> VariantSpec:
    variant = VariantSpec(tag=entry.need("tag", word, ""), prices=_prices(entry))
    entry.end()
    return variant


def _page(section: Section) -> PageSpec:
    page = PageSpec(
        says=section.take("says", texts, ()),
        above=section.take("above", texts, ()),
        ends=section.take("ends", word, ""),
        sections=MappingProxyType(section.each("sections", text)),
        turned=section.take("turned", truth, default=False),
        by_line=section.take("by_line", truth, default=False),
        ranges=section.take("ranges", truth, default=False),
        model_is=section.take("model_is", word, ""),
    )
    section.end()
    return page


_PART = r"([1-9])/([2-9])"


@reads({"type": "string", "pattern": f"^{_PART}$"})
def _part(node: Node) -> tuple[int, int]:
    found = re.fullmatch(_PART, word(node), re.ASCII)
    if found is None or found[1] > found[2]:
        raise Wrong(f"{node.value!r} is not a part such as 2/3")
    return int(found[1]), int(found[2])


def _unit_for(meter: str) -> Reader[str]:
    thing = METERS[meter].thing if meter in METERS else "[a-z]+"

    @reads({"type": "string", "pattern": unit_pattern(thing)})
    def read(node: Node) -> str:
        name = word(node)
        try:
            quoted = unit_of(name)
        except ValueError as error:
            raise Wrong(str(error)) from None
        if meter in METERS and quoted.thing != thing:
            raise Wrong(f"{meter} is counted by the {thing}, not in {name}")
        return name

    return read


_VARIABLE = r"(?:TOKENTAPE_[A-Z0-9_]+|[A-Z][A-Z0-9_]*_API_(?:KEY|TOKEN))"
"""Variables that a source may have sent to its host: a file of sources that is passed on can name no other secret."""


@reads({"type": "string", "pattern": f"^(?:{_VARIABLE})?$"})
def _variable(node: Node) -> str:
    """Such a variable; empty for none."""
    name = text(node)
    if name and re.fullmatch(_VARIABLE, name, re.ASCII) is None:
        # What stands there may be the key itself.
        raise Wrong("names no variable for keys of sources: NAME_API_KEY, NAME_API_TOKEN or TOKENTAPE_NAME")
    return name


def _check_family(spec: SourceSpec, section: Section) -> None:
    """Report what a family cannot do without, and what it would pass over."""
    if spec.key_env and section.is_of_this_file("url") and not section.is_of_this_file("key_env"):
        section.wrong(f"is another than that which gets {spec.key_env}: say in key_env whose key this one gets", "url")
    if not spec.expect:
        section.wrong("names no least number of endpoints or models: fewer must be an error", "expect")
    if spec.parser not in FAMILIES:
        return
    for keys in FAMILY_NEEDS:
        if not any(attrgetter(key)(spec) for key in keys):
            section.wrong("is missing", keys[0])
    if spec.parser in TABLES:
        for key in JSON_ONLY:
            if getattr(spec, key):
                section.wrong("is for JSON only", key)
        if spec.parser == "markdown_table" and not spec.page.ends:
            section.wrong("names no words behind the last table: a text has no other end", "page.ends")
        return
    prices = (*spec.prices, *(price for tier in spec.tiers for price in tier.prices))
    cells = any(price.after or price.part for price in prices)
    there = [key for key in TABLES_ONLY if getattr(spec, key) not in ((), NO_PAGE)]
    for key in [*there, *(["prices"] if cells else [])]:
        section.wrong("has what is for tables only", key)
    named = [spec.records, spec.offers, spec.model, spec.provider_at, spec.tag_at, spec.free_at]
    paths = [*named, *spec.facts.values(), *spec.telemetry.values(), *spec.require, *spec.skip, *spec.whole]
    for path in [*paths, *(price.at for price in prices), *(tier.above_at for tier in spec.tiers)]:
        if path and not all(path.split(".")):
            section.wrong(f"{path!r} is not a dotted path")
