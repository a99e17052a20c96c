"""The JSON sources: what changes upstream is refused or held and never read as another number, and what they follow."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.config import load, packaged
from collector.contract import Follower, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.normalise import observe
from collector.parse.strict import read_json
from collector.sources import parser_of
from store.records import Document, RateCard
from tests.catalogues import document

SOURCES = load(packaged(), {}).sources
FOLDER = Path(__file__).parent / "sources"
FILES = {
    (spec.id, path.name): (spec, path.read_text(encoding="utf-8"))
    for spec in SOURCES.values()
    for path in sorted((FOLDER / spec.id).glob("sample*.json"))
}
PRICED = {
    key: (spec, body) for key, (spec, body) in FILES.items() if spec.prices and spec.parser not in ("zenmux", "aimlapi")
}
"""Sources that configure where their prices stand."""


def quotes(spec: SourceSpec, body: str) -> list[Quote]:
    return parser_of(spec).parse(document(spec.id, body.encode()), spec)


def cards(spec: SourceSpec, read: Document) -> dict[tuple[str, str, str, str], RateCard]:
    """Provider, model, tag and facts -> card of what is believed."""
    found = {}
    for quote in parser_of(spec).parse(read, spec):
        observed = observe(quote, read, spec, read.fetched_at)
        if observed.card is not None and not any(finding.held for finding in observed.findings):
            found[quote.provider, quote.model, quote.tag, quote.facts.text] = observed.card
    return found


def sample(source: str, name: str = "sample.json") -> Any:
    return json.loads(FILES[source, name][1])


def cards_of(source: str, body: object) -> dict[str, RateCard]:
    """Model and tag -> card."""
    read = cards(SOURCES[source], document(source, body))
    return {f"{model} {tag}".strip(): card for (_, model, tag, _), card in read.items()}


def amounts(card: RateCard) -> dict[str, int]:
    return dict(card.amounts)


# --- what changes upstream --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "body"), PRICED.values(), ids=[" ".join(key) for key in PRICED])
def test_a_price_that_is_called_something_else_tomorrow_is_refused(spec: SourceSpec, body: str) -> None:
    for price in spec.prices:
        if price.meter in ("input", "output"):
            leaf = price.at.rpartition(".")[2]
            renamed = re.sub(rf'"{leaf}"\s*:', f'"{leaf}_per_thousand":', body)
            assert renamed != body, price.at
            try:
                read = cards(spec, document(spec.id, renamed.encode()))
            except SourceChanged:
                continue
            # A module may have another place for the same meter: of that one the numbers are as before.
            before = cards(spec, document(spec.id, body.encode()))
            assert spec.parser in ("gmicloud", "vercel_gateway", "helicone", "openrouter_format"), spec.id
            assert all(amounts(card).items() <= amounts(before[key]).items() for key, card in read.items())


@pytest.mark.parametrize(("spec", "body"), PRICED.values(), ids=[" ".join(key) for key in PRICED])
def test_records_that_became_texts_are_refused(spec: SourceSpec, body: str) -> None:
    whole = json.loads(body)
    listed = whole
    for part in filter(None, spec.records.split(".")):
        listed = listed[part]
    listed[:] = [str(record) for record in listed]
    with pytest.raises(SourceChanged):
        quotes(spec, json.dumps(whole))


@pytest.mark.parametrize(
    ("source", "path", "unit"),
    [
        ("nanogpt", "pricing.unit", "per_thousand_tokens"),
        ("perplexity_api", "pricing.unit", "usd_per_1k_tokens"),
        ("telnyx_api", "pricing.unit", "1K_tokens"),
        ("cortecs", "pricing.currency", "USD"),
        ("merge_gateway", "pricing.currency", "EUR"),
    ],
)
def test_a_stated_unit_that_changes_holds_every_row(source: str, path: str, unit: str) -> None:
    spec, body = FILES[source, "sample.json"]
    leaf = path.rpartition(".")[2]
    changed = re.sub(rf'"{leaf}": "[^"]*"', f'"{leaf}": "{unit}"', body)
    assert cards(spec, document(source, changed.encode())) == {}


@pytest.mark.parametrize(
    ("source", "key", "value"),
    [
        ("merge_gateway", "has_more", True),
        ("together_api", "next_cursor", "abc"),
        ("azure_retail", "NextPageLink", "https://prices.azure.com/api/retail/prices?$skip=1000"),
        ("cloudflare_workers_ai", "result_info", {"page": 1, "total_pages": 2}),
    ],
)
def test_one_page_of_several_is_refused(source: str, key: str, value: object) -> None:
    spec, body = FILES[source, "sample.json"]
    assert quotes(spec, body)
    with pytest.raises(SourceChanged) as refused:
        quotes(spec, json.dumps(json.loads(body) | {key: value}))
    assert refused.value.code == "incomplete"


def test_a_friendli_list_of_the_older_form_is_refused() -> None:
    body = sample("friendli")
    for model in body["data"]:
        model["pricing"] |= {"unit_type": "TOKEN", "response_time": 0}
    with pytest.raises(SourceChanged, match="no record"):
        quotes(SOURCES["friendli"], json.dumps(body))


ODD: tuple[object, ...] = (
    None,
    True,
    "",
    "x",
    "-1",
    "NaN",
    "²",
    "a\x00b",
    -1,
    0,
    10**30,
    Decimal("1e-9"),
    [],
    {},
    [1],
    {"a": 1},
    "z" * 700,
)


def odd_texts() -> list[str]:
    return [json.dumps(float(value) if isinstance(value, Decimal) else value) for value in ODD]


@pytest.mark.parametrize(("spec", "body"), FILES.values(), ids=[" ".join(key) for key in FILES])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_value_that_turns_odd_is_refused_held_or_read_and_never_a_fault(
    spec: SourceSpec, body: str, data: st.DataObject
) -> None:
    whole = json.loads(body)
    holder = whole
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(holder[key], dict | list) and holder[key]) or data.draw(st.integers(0, 9)) == 0:
            break
        holder = holder[key]
    holder[key] = json.loads(data.draw(st.sampled_from(odd_texts())))
    read = document(spec.id, whole)
    try:
        found = parser_of(spec).parse(read, spec)
    except SourceChanged:
        return
    for quote in found:
        observed = observe(quote, read, spec, read.fetched_at)
        assert all(value.isprintable() for value in (quote.provider, quote.model, quote.tag))
        if observed.card is None:
            assert any(finding.held for finding in observed.findings) or quote.stated


# --- ranges of prompt length ------------------------------------------------------------------------------------------

RANGES = st.lists(
    st.tuples(st.integers(1, 900), st.integers(1, 9_999)), min_size=1, max_size=4, unique_by=lambda one: one[0]
).map(lambda listed: sorted([(0, 5), *listed]))
"""From so many thousand tokens on, so many cents per 1M."""


def charged(card: RateCard, tokens: int) -> int:
    """The input price of a prompt, as the card has it: the last condition that holds wins."""
    price = amounts(card)["input"]
    for override in card.overrides:
        if override.above_tokens is not None and tokens > override.above_tokens:
            price = dict(override.amounts).get("input", price)
    return price


def published(ranges: list[tuple[int, int]], tokens: int) -> int:
    """The same, as the ranges have it."""
    return [cents for thousands, cents in ranges if thousands * 1000 <= tokens][-1] * 10**7


def in_zenmux(ranges: list[tuple[int, int]]) -> object:
    listed = [
        {"unit": "perMTokens", "currency": "USD", "value": cents / 100}
        | {"conditions": {"prompt_tokens": {"gte": start, "unit": "kTokens"}}}
        for start, cents in ranges
    ]
    return {"data": [{"id": "a/b", "pricings": {"prompt": listed, "completion": listed}}]}


def in_vercel(ranges: list[tuple[int, int]]) -> object:
    tiers = [{"min": start * 1000, "cost": f"{Decimal(cents) / 10**8:f}"} for start, cents in ranges]
    pricing = {f"{meter}_tiers": tiers for meter in ("input", "output")}
    return {
        "data": [{"id": "a/b", "type": "language", "pricing": pricing | {"input": tiers[0]["cost"], "output": "1e-7"}}]
    }


def in_gmi(ranges: list[tuple[int, int]]) -> object:
    tiers = [
        {"threshold": start * 1000, "inputPrice": cents * 10_000, "outputPrice": cents * 10_000}
        for start, cents in reversed(ranges)
    ]
    prices = {"pricePer1mPromptToken": 1, "pricePer1mCompletionToken": 1}
    return {"modelPrices": [{"billingType": "llm", "modelName": "a/b", "tiers": tiers, **prices}]}


@given(RANGES, st.integers(0, 1_000_000))
def test_a_prompt_of_any_length_costs_what_its_published_range_says(ranges: list[tuple[int, int]], tokens: int) -> None:
    edges = [max(0, thousands * 1000 + step) for thousands, _ in ranges for step in (-1, 0, 1)]
    for source, body in (("zenmux", in_zenmux(ranges)), ("gmicloud", in_gmi(ranges))):
        card = cards_of(source, body)["a/b"]
        assert [charged(card, length) for length in (tokens, *edges)] == [
            published(ranges, length) for length in (tokens, *edges)
        ], source


@given(RANGES, st.integers(0, 1_000_000))
def test_a_vercel_range_that_begins_with_another_price_is_never_read(
    ranges: list[tuple[int, int]], tokens: int
) -> None:
    assert cards_of("vercel_gateway", in_vercel(ranges)) == {}  # `output` says another price than its first range
    body: Any = in_vercel(ranges)
    body["data"][0]["pricing"]["output"] = body["data"][0]["pricing"]["input"]
    card = cards_of("vercel_gateway", body)["a/b"]
    assert charged(card, tokens) == published(ranges, tokens)


# --- one module each --------------------------------------------------------------------------------------------------


def test_a_zenmux_price_in_another_currency_or_of_another_range_is_held() -> None:
    for change in ({"currency": "CNY"}, {"conditions": {"hour": {"gte": 1}}}, {"value": "1.25"}):
        body = sample("zenmux")
        body["data"][0]["pricings"]["prompt"][0] |= change
        assert "acme/anvil-pro" not in cards_of("zenmux", body)


def test_a_zenmux_range_from_so_many_on_holds_for_the_prompt_of_that_length() -> None:
    card = cards_of("zenmux", sample("zenmux"))["acme/anvil-mini"]
    assert [(override.above_tokens, dict(override.amounts)) for override in card.overrides] == [
        (31_999, {"input": 582_300_000})
    ]


def test_several_zenmux_prices_of_one_range_are_unknown_in_that_range() -> None:
    body = sample("zenmux")
    listed = body["data"][0]["pricings"]["prompt"]
    card = cards_of("zenmux", body)["acme/anvil-of-two"]
    assert (amounts(card), card.states) == ({"output": 2_000_000_000}, (("input", "unknown"),))
    listed.append(listed[1] | {"value": 3})
    longer = [one for one in cards_of("zenmux", body)["acme/anvil-pro"].overrides if one.unknown]
    assert [one.unknown for one in longer] == [("input",)]


def test_portkey_asks_for_every_provider_but_the_first_once() -> None:
    spec = SOURCES["portkey"]
    parser = parser_of(spec)
    assert isinstance(parser, Follower)
    links = parser.follow(document("portkey", sample("portkey")), spec)
    assert len(links) == len(spec.options["providers"]) - 1 == len({link.url for link in links})
    assert (links[0].part, links[0].url) == ("ai21", "https://configs.portkey.ai/pricing/ai21.json")
    with pytest.raises(SourceChanged):
        parser.follow(document("portkey", {"error": "no"}), spec)


def test_portkey_books_on_the_provider_whose_file_it_is() -> None:
    spec = SOURCES["portkey"]
    first = document("portkey", sample("portkey"))
    other = Document(source="portkey", url="x", fetched_at=first.fetched_at, status=200, body=first.body, part="x-ai")
    assert {quote.provider for quote in parser_of(spec).parse(first, spec)} == {"openai"}
    assert {quote.provider for quote in parser_of(spec).parse(other, spec)} == {"x-ai"}


def test_portkey_prices_in_another_currency_are_refused() -> None:
    body = sample("portkey")
    body["default"]["pricing_config"]["currency"] = "EUR"
    with pytest.raises(SourceChanged):
        quotes(SOURCES["portkey"], json.dumps(body))


def test_azure_asks_for_every_product_of_its_region() -> None:
    spec = SOURCES["azure_retail"]
    parser = parser_of(spec)
    assert isinstance(parser, Follower)
    links = parser.follow(document("azure_retail", sample("azure_retail")), spec)
    assert [link.part for link in links] == spec.options["products"][1:]
    assert links[3].url == spec.url.replace("Azure%20OpenAI%27", "Azure%20Deepseek%20Models%27")
    with pytest.raises(SourceChanged):
        parser.follow(document("azure_retail", {"Items": None, "NextPageLink": None}), spec)


def test_azure_meters_with_a_word_more_are_another_model() -> None:
    read = cards_of("azure_retail", sample("azure_retail"))
    names = {name for name in read if name.startswith("Azure OpenAI anvil 4.1 mini")}
    assert names == {
        "Azure OpenAI anvil 4.1 mini global",
        "Azure OpenAI anvil 4.1 mini datazone",
        "Azure OpenAI anvil 4.1 mini batch/global",
        "Azure OpenAI anvil 4.1 mini priority/global",
        "Azure OpenAI anvil 4.1 mini 0414 global",
        "Azure OpenAI anvil 4.1 mini l global",
    }
    assert amounts(read["Azure OpenAI anvil 4.1 mini datazone"]) == {"input": 440_000_000, "output": 1_760_000_000}


@pytest.mark.parametrize("source", ["azure_retail", "bedrock_price_list"])
def test_meters_count_the_same_in_any_order(source: str) -> None:
    body = sample(source)
    turned = json.loads(json.dumps(body))
    if source == "azure_retail":
        turned["Items"] = [item for item in body["Items"] if "anvil 3" not in item["skuName"]][::-1]
        body["Items"] = turned["Items"][::-1]
    else:
        turned["products"] = dict(reversed(body["products"].items()))
    assert cards_of(source, turned) == cards_of(source, body)


def test_bedrock_follows_to_the_marketplace_offer() -> None:
    spec = SOURCES["bedrock_price_list"]
    parser = parser_of(spec)
    assert isinstance(parser, Follower)
    (link,) = parser.follow(document("bedrock_price_list", sample("bedrock_price_list")), spec)
    assert link.url.endswith("/aws/AmazonBedrockFoundationModels/current/us-east-1/index.json")
    with pytest.raises(SourceChanged):
        parser.follow(document("bedrock_price_list", {"products": [], "terms": {}}), spec)


@pytest.mark.parametrize(
    ("usage", "tag", "meter"),
    [
        ("USE1-Anvil-input-tokens", "us-east-1", "input"),
        ("USE1-Anvil-output-tokens-cross-region-global", "global", "output"),
        ("USE1-Anvil-output-tokens-cross-region-eu-batch", "eu/batch", "output"),
        ("USE1-Anvil-cache-read-input-token-count", "us-east-1", "cache_read"),
        ("USE1-Anvil-cache-write-input-token-count-flex", "us-east-1/flex", "cache_write"),
        ("USE1-acme.anvil-mantle-cache-write-tokens-1h-priority", "us-east-1/mantle/priority", "cache_write_1h"),
        ("USE1-MP:USE1_MillionBatchInputTokens-Units", "us-east-1/batch", "input"),
        ("USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units", "global", "cache_write_1h"),
        ("USE1-MP:USE1_cache_write_tokens_5m_global_standard-Units", "global", "cache_write"),
        ("USE1-MP:USE1_input_tokens_long_ctx_standard-Units", None, None),
        ("USE1-MP:USE1_InputTokenCount_LCtx_Global-Units", None, None),
        ("USE1-Anvil-input-tokens-latency-optimized", None, None),
        ("USE1-Anvil-input-image-tokens", None, None),
        ("USE1-Anvil-input-tokens-batch-flex", None, None),
        ("USE1-MP:USE1_Reserved_InputTokenCount-Units", None, None),
        ("USE1-Anvil-ModelUnit-no-commit", None, None),
    ],
)
def test_a_bedrock_usage_type_says_what_it_charges_or_is_left_out(
    usage: str, tag: str | None, meter: str | None
) -> None:
    body = {
        "products": {"A": {"attributes": {"regionCode": "us-east-1", "usagetype": usage, "model": "Anvil"}}},
        "terms": {"OnDemand": {"A": {"A.B": {"priceDimensions": {"A.B.C": _price("1M tokens", "3.00", "")}}}}},
    }
    spec = SOURCES["bedrock_price_list"]
    if tag is None:
        with pytest.raises(SourceChanged, match="no SKU"):
            quotes(spec, json.dumps(body))
        return
    (quote,) = quotes(spec, json.dumps(body))
    assert (quote.tag, {name: price.text for name, price in quote.prices.items()}) == (tag, {meter: "3.00"})


def _price(unit: str, usd: str, description: str) -> Mapping[str, object]:
    return {"unit": unit, "description": description, "pricePerUnit": {"USD": usd}}


def test_bedrock_units_of_the_marketplace_are_a_million_only_where_it_says_so() -> None:
    body = sample("bedrock_price_list", "sample-marketplace.json")
    read = cards_of("bedrock_price_list", body)
    assert amounts(read["Anvil Opus 5 us-east-1"]) == {"input": 5_500_000_000, "output": 27_500_000_000}
    assert not [name for name in read if name.startswith("Odd")]


def test_helicone_states_the_price_above_a_threshold_with_its_factors() -> None:
    card = cards_of("helicone", sample("helicone"))["anvil-opus vertex"]
    assert [(one.above_tokens, dict(one.amounts)) for one in card.overrides] == [
        (
            200_000,
            {"input": 6_000_000_000, "output": 22_500_000_000, "cache_read": 600_000_000, "cache_write": 7_500_000_000},
        )
    ]


def test_helicone_rows_whose_two_units_disagree_are_held() -> None:
    assert "anvil-opus bedrock" not in cards_of("helicone", sample("helicone"))


def test_deepinfra_factors_are_reckoned_out_and_noise_is_rounded() -> None:
    read = cards_of("deepinfra_models", sample("deepinfra_models"))
    assert amounts(read["acme/Anvil-5"]) == {"input": 450_000_000, "output": 2_250_000_000, "cache_read": 70_000_000}
    assert amounts(read["acme/Anvil-5 priority"]) == {"input": 675_000_000, "output": 3_375_000_000}
    assert amounts(read["acme/Anvil-5 flex"]) == {"input": 360_000_000, "output": 1_800_000_000}
    assert read.keys() & {"acme/Anvil-max", "acme/Anvil-sale", "acme/Anvil-3", "acme/Private"} == set()


def test_opper_surcharges_reprice_the_whole_request() -> None:
    card = cards_of("opper", sample("opper"))["anvil-5 azure-zdr/global"]
    (override,) = card.overrides
    assert (override.above_tokens, dict(override.amounts)["output"]) == (272_000, 2_475_000_000)


def test_two_units_in_one_near_ai_record_come_out_alike() -> None:
    card = cards_of("near_ai", sample("near_ai"))["acme/Anvil-5"]
    assert amounts(card) == {"input": 1_400_000_000, "output": 4_400_000_000, "cache_read": 260_000_000}


def test_a_hugging_face_offer_in_trouble_keeps_its_price() -> None:
    body = json.dumps(sample("huggingface_router"))
    by_provider = {quote.provider: quote for quote in quotes(SOURCES["huggingface_router"], body)}
    states = {provider: quote.telemetry.status for provider, quote in by_provider.items() if quote.telemetry}
    assert states == {"together": 0, "fireworks-ai": -1, "novita": 0, "publicai": 0}


def test_every_sample_is_sound_json() -> None:
    for (source, _), (_, body) in FILES.items():
        assert read_json(document(source, body.encode()))
