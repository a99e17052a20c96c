"""genai-prices: the installed package and its published files, held against the package's own arithmetic."""

import gzip
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.data_units import unit_data
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices, calc_unit_price

from collector.contract import Prices, Quote, QuotedOverride
from collector.errors import SourceChanged
from collector.sources import genai_prices
from collector.sources.genai_prices import METERS, parse, read
from store.units import unit
from tests import catalogues
from tests.catalogues import document, rules, texts

SPEC = catalogues.spec("genai_prices")
AT = datetime(2026, 11, 21, 3, 30, tzinfo=UTC)
TICK = timedelta(milliseconds=1)


def quotes(models: list[dict[str, Any]]) -> list[Quote]:
    return parse(document("genai_prices", [{"id": "acme", "models": models}]), SPEC)


def by_tag(**fields: object) -> dict[str, Quote]:
    """Quotes of one model by tag."""
    return {quote.tag: quote for quote in quotes([{"id": "acme-1", **fields}])}


def one(prices: object, name: str = "acme-1") -> Quote:
    [quote] = quotes([{"id": name, "prices": prices}])
    return quote


def sampled(model: str, tag: str = "") -> Quote:
    found = parse(catalogues.sample("genai_prices"), SPEC)
    [quote] = [quote for quote in found if (quote.model, quote.tag) == (model, tag)]
    return quote


def dates(quote: Quote) -> list[tuple[str, str, dict[str, str]]]:
    def day(at: datetime | None) -> str:
        assert at is None or (at.hour, at.minute, at.tzinfo) == (0, 0, UTC)
        return f"{at:%Y-%m-%d}" if at else ""

    return [(day(entry.since), day(entry.until), texts(entry.prices)) for entry in quote.stated]


def in_force(quote: Quote, at: datetime, tokens: int = 0) -> dict[str, str] | None:
    """What a quote says is charged at an instant for a prompt of so many tokens; None where it says nothing."""
    prices: Prices = quote.prices
    overrides: tuple[QuotedOverride, ...] = quote.overrides
    if quote.stated:
        assert not quote.prices
        covering = [
            entry
            for entry in quote.stated
            if (entry.since is None or entry.since <= at) and (entry.until is None or at < entry.until)
        ]
        if not covering:
            return None
        [entry] = covering
        prices, overrides = entry.prices, entry.overrides
    found = texts(prices)
    minute = at.hour * 60 + at.minute
    for override in overrides:
        start, end = override.start_minute, override.end_minute
        hours = start is None or end is None or (start <= minute < end if start < end else not end <= minute < start)
        if hours and (override.above_tokens is None or tokens > override.above_tokens):
            found |= texts(override.prices)
    return found


def test_the_document_of_a_version_is_the_same_bytes_at_any_instant() -> None:
    first, second = read(SPEC, AT), read(SPEC, AT + timedelta(days=1))
    assert first.body == second.body
    assert first.url.startswith("package:genai-prices/")
    assert (first.status, first.content_type, first.fetched_at) == (200, "application/json", AT)


def test_every_offer_of_the_installed_package_is_quoted_without_a_doubt() -> None:
    found = parse(read(SPEC, AT), SPEC)
    assert [quote.findings for quote in found if quote.findings] == []
    names = [(quote.provider, quote.model, quote.tag) for quote in found]
    assert len(names) == len(set(names))
    standard = [(provider.id, model.id) for provider in providers for model in provider.models]
    assert [(provider, model) for provider, model, tag in names if not tag] == standard
    assert len(standard) > 2000
    facts = {(quote.provider, quote.model): quote.facts for quote in found}
    for provider in providers:
        for model in provider.models:
            stated = facts[provider.id, model.id]
            assert stated.context_length == model.context_window
            assert stated.status == ("deprecated" if model.deprecated else None)


def instants(model: ModelInfo) -> set[datetime]:
    """Around every date and hour at which a price of a model changes."""
    found = {AT, AT.replace(hour=12, minute=0), datetime(2025, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)}
    constraints = [entry.constraint for entry in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in model.price_variants or []]
    for constraint in constraints:
        day = getattr(constraint, "start_date", None)
        if day is not None:
            found.add(datetime(day.year, day.month, day.day, tzinfo=UTC))
        for clock in (getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)):
            if clock is not None:
                found.add(AT.replace(hour=clock.hour, minute=clock.minute))
    return found | {at - TICK for at in found}


def prices_by_package(prices: ModelPrice, tokens: int) -> dict[str, Decimal]:
    """Price key -> price in force, by the package's own function."""
    return {key: calc_unit_price(price, 1, tokens, 1) for key, price in vars(prices).items() if price is not None}


def lengths(prices: ModelPrice) -> set[int]:
    starts = {tier.start for price in vars(prices).values() if isinstance(price, TieredPrices) for tier in price.tiers}
    return {0, 10_000_000} | {start + step for start in starts for step in (0, 1)}


def test_every_price_is_the_one_that_the_package_itself_would_charge() -> None:
    found = {(quote.provider, quote.model, quote.tag): quote for quote in parse(read(SPEC, AT), SPEC)}
    compared = 0
    for provider in providers:
        for model in provider.models:
            tags: dict[str, Mapping[str, str]] = {"": {}}
            for variant in model.price_variants or []:
                [(key, value)] = variant.when.items()
                tags[value if key in ("processing", "service_tier", "speed") else f"{key}={value}"] = variant.when
            for tag, when in tags.items():
                quote = found.pop((provider.id, model.id, tag), None)
                asked = [variant for variant in model.price_variants or [] if variant.when == when]
                if quote is None:
                    assert all(not vars(variant.prices) for variant in asked)
                    continue
                for at in instants(model):
                    if when and not any(each.constraint is None or each.constraint.active(at) for each in asked):
                        assert in_force(quote, at) is None  # the package falls back to the standard price
                        continue
                    charged = model.get_prices(at, when)
                    for tokens in lengths(charged):
                        expected = {METERS[key][0]: price for key, price in prices_by_package(charged, tokens).items()}
                        told = in_force(quote, at, tokens)
                        assert told is not None
                        if not expected:
                            assert set(told.values()) == {"0" if quote.declared_free else ""}
                        else:
                            assert {meter: Decimal(text) for meter, text in told.items()} == expected, (quote, at)
                        compared += 1
    assert not found
    assert compared > 20_000


@pytest.mark.parametrize("key", sorted(METERS))
def test_a_unit_counts_what_the_package_counts(key: str) -> None:
    meter, name = METERS[key]
    [per] = [each["per"] for each in unit_data.values() if each["price_key"] == key]
    quoted = unit(name)
    per_thing = quoted.per_amount / (1_000_000 if quoted.thing == "token" else 1)
    usage = 3600 if quoted.thing == "hour" else 1  # the package counts seconds
    assert per_thing == Decimal(usage) / per
    assert genai_prices.METERS[key] == (meter, name)


def test_a_price_key_without_a_meter_is_noted_and_the_others_are_read() -> None:
    quote = sampled("acme-new-price")
    assert rules(quote) == [("unmapped_price", False)]
    assert texts(quote.prices) == {"input": "1", "output": "2"}


def test_a_tier_begins_above_its_start_for_each_meter_that_has_it() -> None:
    quote = sampled("acme-long")
    assert in_force(quote, AT, 32_000) == {"input": "0.2", "output": "1", "cache_read": "0.02"}
    assert in_force(quote, AT, 32_001) == {"input": "0.4", "output": "2", "cache_read": "0.02"}
    assert in_force(quote, AT, 128_001) == {"input": "0.8", "output": "2", "cache_read": "0.02"}


def test_dates_become_stated_prices_without_gaps() -> None:
    assert dates(sampled("acme-dated")) == [
        ("", "2025-06-10", {"input": "10", "output": "40"}),
        ("2025-06-10", "2026-01-05", {"input": "2", "output": "8"}),
        ("2026-01-05", "", {"input": "1", "output": "4", "cache_read": "0.1"}),
    ]


def test_of_prices_whose_dates_have_come_the_last_in_the_list_holds() -> None:
    assert dates(sampled("acme-shadowed")) == [
        ("", "2025-01-01", {"input": "3", "output": "3"}),
        ("2025-01-01", "", {"input": "2", "output": "2"}),
    ]


def test_hours_replace_the_prices_listed_before_them() -> None:
    quote = sampled("acme-hours")
    assert not quote.stated
    assert in_force(quote, AT.replace(hour=0, minute=29)) == {"input": "0.135", "output": "0.55"}
    assert in_force(quote, AT.replace(hour=0, minute=30)) == {"input": "0.27", "output": "1.1"}
    assert in_force(quote, AT.replace(hour=16, minute=30)) == {"input": "0.135", "output": "0.55"}


def test_hours_listed_before_a_date_end_with_it_and_those_after_it_go_on() -> None:
    quote = sampled("acme-dates-and-hours")
    before, after = datetime(2026, 8, 16, 12, 30, tzinfo=UTC), datetime(2026, 8, 17, 12, 30, tzinfo=UTC)
    assert in_force(quote, before) == {"input": "9", "output": "9"}
    assert in_force(quote, after) == {"input": "0.22", "output": "0.66"}
    assert in_force(quote, after, 100_001) == {"input": "0.44", "output": "0.66"}
    night = {"input": "0.11", "output": "0.6"}
    assert in_force(quote, before.replace(hour=22, minute=0)) == night
    assert in_force(quote, after.replace(hour=0, minute=59)) == night
    assert in_force(quote, after.replace(hour=0, minute=59), 100_001) == {**night, "input": "0.33"}
    assert in_force(quote, after.replace(hour=1, minute=0)) == {"input": "0.22", "output": "0.66"}


@pytest.mark.parametrize("model", ["acme-other-meters-by-night", "acme-no-number", "acme-weekend"])
def test_what_is_not_understood_holds_the_row(model: str) -> None:
    assert [held for _, held in rules(sampled(model))] == [True]


def test_no_price_is_free_for_an_id_that_says_so_and_unknown_otherwise() -> None:
    free, unknown = sampled("acme/gift:free"), sampled("acme-unknown")
    assert (texts(free.prices), free.declared_free) == ({"input": "0", "output": "0"}, True)
    assert (texts(unknown.prices), unknown.declared_free) == ({"input": "", "output": ""}, False)
    assert texts(sampled("acme-zero").prices) == {"input": "", "output": ""}


def test_a_variant_is_an_offer_of_its_own_from_its_first_date_on() -> None:
    assert dates(sampled("org/Variants-1B", "flex")) == [
        ("2026-10-12", "2026-11-01", {"input": "1.25", "output": "5", "cache_read": "1.25", "web_search": "10"}),
        ("2026-11-01", "", {"input": "1.25", "output": "5", "cache_read": "1", "web_search": "10"}),
    ]
    assert dates(sampled("org/Variants-1B", "batch")) == [
        ("2026-10-14", "2026-11-01", {"input": "1.25", "output": "5", "cache_read": "1.25", "web_search": "10"}),
        ("2026-11-01", "", {"input": "1", "output": "4", "cache_read": "0.5", "web_search": "10"}),
    ]


def test_variants_are_told_apart_by_their_tags() -> None:
    found = parse(catalogues.sample("genai_prices"), SPEC)
    assert [quote.tag for quote in found if quote.model == "org/Variants-1B"] == [
        "",
        "flex",
        "batch",
        "route=acme/eu",
        "speed=flex",
        "batch/flex",
    ]


def test_a_request_that_asks_for_two_things_pays_the_first_variant_that_names_a_price() -> None:
    assert in_force(sampled("org/Variants-1B", "batch/flex"), AT) == {
        "input": "1.25",
        "output": "5",
        "cache_read": "0.5",
        "web_search": "10",
    }


def test_a_variant_in_doubt_leaves_the_standard_offer_alone() -> None:
    assert texts(sampled("org/Hourly-Variant").prices) == {"input": "1", "output": "2"}
    assert rules(sampled("org/Hourly-Variant", "fast")) == [("constraint", True)]


@pytest.mark.parametrize(
    "prices",
    [
        None,
        [],
        "1",
        [{"constraint": None, "prices": {"input_mtok": 1}}],
        [{"prices": None}],
        [{"when": {"speed": "fast"}, "prices": {"input_mtok": 1}}],
        [{"constraint": {"start_date": "2026-02-30"}, "prices": {"input_mtok": 1}}],
        [{"constraint": {"start_date": 20260201}, "prices": {"input_mtok": 1}}],
        [{"constraint": {"start_date": "2026-02-01", "end_date": "2026-03-01"}, "prices": {"input_mtok": 1}}],
        [{"constraint": {"start_time": "00:00:30Z", "end_time": "01:00:00Z"}, "prices": {"input_mtok": 1}}],
        [{"constraint": {"start_time": "noon", "end_time": "13:00:00Z"}, "prices": {"input_mtok": 1}}],
        {"input_mtok": {"tiers": []}},
        {"input_mtok": {"base": 1, "tiers": None}},
        {"input_mtok": {"base": 1, "tiers": [2]}},
        {"input_mtok": {"base": 1, "tiers": [{"start": "32000", "price": 2}]}},
        {"input_mtok": {"base": 1, "tiers": [{"start": -1, "price": 2}]}},
        {"input_mtok": {"base": 1, "tiers": [{"start": 32000}]}},
        {"input_mtok": True},
    ],
)
def test_prices_of_another_shape_hold_the_row(prices: object) -> None:
    assert [held for _, held in rules(one(prices))] == [True]


@pytest.mark.parametrize(
    "fields",
    [
        {"context_window": "128k"},
        {"price_variants": {"prices": {"input_mtok": 1}}},
        {"price_variants": [{"prices": {"input_mtok": 1}}]},
        {"price_variants": [{"when": {"speed": 2}, "prices": {"input_mtok": 1}}]},
    ],
)
def test_facts_or_variants_of_another_shape_hold_the_row(fields: dict[str, object]) -> None:
    found = by_tag(prices={"input_mtok": 1}, **fields)
    assert [[held for _, held in rules(quote)] for quote in found.values()] == [[True]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        {"providers": []},
        [{"id": "acme"}],
        [{"models": []}],
        [None],
        [{"id": "acme", "models": []}],
        [{"id": "acme", "models": [None]}],
        [{"id": "acme", "models": [{"prices": {}}]}],
        [{"id": "", "models": [{"id": "acme-1", "prices": {}}]}],
    ],
)
def test_a_document_of_another_shape_raises(body: object) -> None:
    with pytest.raises(SourceChanged):
        parse(document("genai_prices", body), SPEC)


# -- published files, read a second time -------------------------------------------------------------------------------


def active(constraint: dict[str, str], at: datetime) -> bool:
    if "start_date" in constraint:
        return f"{at:%Y-%m-%d}" >= constraint["start_date"]
    if "start_time" in constraint:
        return constraint["start_time"] <= f"{at:%H:%M:%SZ}" < constraint["end_time"]
    return True


def charged_by_hand(prices: Any, at: datetime, tokens: int) -> dict[str, Decimal]:
    if isinstance(prices, list):
        prices = next(entry["prices"] for entry in reversed(prices) if active(entry.get("constraint", {}), at))
    found = {}
    for key, price in prices.items():
        if isinstance(price, dict):
            above = [tier["price"] for tier in price["tiers"] if tokens > tier["start"]]
            price = above[-1] if above else price["base"]  # noqa: PLW2901
        if price is not None:
            found[METERS[key][0]] = Decimal(price)
    return found


def published(recorded: Path) -> Iterator[tuple[str, bytes]]:
    for upstream in ("genai-prices", "genai-prices-v2"):
        yield from catalogues.bodies(recorded, upstream)


@pytest.mark.recorded
def test_every_recorded_price_is_quoted_as_published(recorded: Path) -> None:
    for name, body in published(recorded):
        found = iter(parse(document("genai_prices", body), SPEC))
        for provider in catalogues.read(body):
            for model in provider["models"]:
                quote = next(found)
                assert (quote.provider, quote.model, quote.tag) == (provider["id"], model["id"], "")
                assert quote.findings == ()
                assert quote.facts.context_length == model.get("context_window")
                for at in (AT, AT.replace(hour=12), datetime(2025, 6, 9, 23, 59, tzinfo=UTC)):
                    for tokens in (0, 128_000, 128_001, 200_000, 200_001, 1_000_000):
                        expected = charged_by_hand(model["prices"], at, tokens)
                        told = in_force(quote, at, tokens)
                        assert told is not None
                        if not any(expected.values()):  # nothing stated; in the first weeks, zeros
                            assert set(told.values()) == {"0" if quote.declared_free else ""}, (name, quote)
                        else:
                            assert {meter: Decimal(text) for meter, text in told.items()} == expected, (name, quote)
        assert next(found, None) is None


@pytest.mark.recorded
def test_the_installed_package_is_written_out_in_its_published_shape(recorded: Path) -> None:
    body = gzip.decompress((recorded / "recorded/genai-prices/2026-08-21-v2-data.json.gz").read_bytes())
    ours, theirs = catalogues.read(read(SPEC, AT).body), catalogues.read(body)
    assert {key for provider in theirs for key in provider} <= {key for provider in ours for key in provider}
    models = {(provider["id"], model["id"]): model for provider in ours for model in provider["models"]}
    same = [
        (provider["id"], model["id"])
        for provider in theirs
        for model in provider["models"]
        if models.get((provider["id"], model["id"])) == model
    ]
    assert len(same) > 300, "entries that nobody touched since are equal, whole"
