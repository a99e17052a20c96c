"""LiteLLM's price map: the grammar of its names, its zeros, and the recorded documents read a second way."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collector.contract import Quote
from collector.errors import SourceChanged
from collector.sources.litellm import parse
from store.records import Facts
from tests import catalogues
from tests.catalogues import Place, amounts, document, rules, texts
from tests.litellm_entries import MODES, model_and_size, unread

SPEC = catalogues.spec("litellm")

INPUT_WORDS = {
    "input_cost_per_token": "input",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image_token",
    "input_cost_per_image": "input_image",
    "input_cost_per_second": "input_second",
    "input_cost_per_character": "input_character",
    "input_cost_per_request": "request",
    "input_cost_per_query": "query",
    "input_cost_per_token_cache_hit": "cache_read",
    "ocr_cost_per_page": "input_page",
    "annotation_cost_per_page": "input_annotated_page",
}
CACHE_WORDS = {
    "cache_read_input_token_cost": "cache_read",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_token_cost_per_audio_token": "cache_read_audio",
    "cache_read_input_image_token_cost": "cache_read_image",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_audio_token_cost": "cache_write_audio",
}
OUTPUT_WORDS = {
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image_token",
    "output_cost_per_video_token": "output_video_token",
    "output_cost_per_image": "output_image",
    "output_cost_per_second": "output_second",
    "output_cost_per_video_per_second": "output_second",
    "output_cost_per_character": "output_character",
    "citation_cost_per_token": "citation",
}
WORDS = INPUT_WORDS | CACHE_WORDS | OUTPUT_WORDS
NO_METER = re.compile(
    r"input_cost_per_(audio|video)_per_second(_above_(128k_tokens|[0-9]+s_interval))?|search_context_cost_per_query"
    r"|code_interpreter_cost_per_session|ocr_cost_per_credit|(in|out)put_cost_per_pixel|output_cost_per_second_1080p|regional_processing_uplift_multiplier_(eu|us)|provider_specific_entry"
)
OF_NO_PRICE = re.compile(
    r"litellm_provider|mode|max_.*|supports_.*|supported_.*|metadata|source|comment|deprecation_date|rp[md]|tpm"
    r"|tool_use_system_prompt_tokens|prompt_cache_min_tokens|display_name|model_vendor|model_version"
    r"|output_vector_size|bedrock_.*|gemini_.*|use_openai_responses_path|web_search_billing_unit|tiered_pricing"
    r"|.*_dbu?_cost_per_token|uses_embed_content|audio_transcription_config"
)


UNKNOWN = {"input": "", "output": ""}
RESERVED = ["input_cost_per_second", "output_cost_per_second"]


def quotes(entries: dict[str, Any]) -> list[Quote]:
    return parse(document("litellm", entries), SPEC)


def one(**fields: Any) -> Quote:
    """The quote of an entry of one tier."""
    [quote] = quotes({"acme/one": {"litellm_provider": "acme", "mode": "chat", **fields}})
    return quote


def by_tag(**fields: object) -> dict[str, Quote]:
    found = quotes({"acme/one": {"litellm_provider": "acme", "mode": "chat", **fields}})
    return {quote.tag: quote for quote in found}


def test_prices_come_out_in_usd_per_token_under_the_published_names() -> None:
    quote = one(input_cost_per_token=1.5e-07, output_cost_per_token=6e-07, cache_read_input_token_cost=7.5e-08)
    assert (quote.provider, quote.model, quote.tag) == ("acme", "acme/one", "")
    assert {meter: Decimal(price.text) for meter, price in quote.prices.items()} == {
        "input": Decimal("1.5e-07"),
        "output": Decimal("6e-07"),
        "cache_read": Decimal("7.5e-08"),
    }
    assert {price.unit for price in quote.prices.values()} == {"USD/token"}
    assert quote.locator == '["acme/one"]'
    assert not quote.findings


def test_prompt_lengths_become_conditions_shortest_first() -> None:
    quote = one(
        input_cost_per_token=1,
        output_cost_per_token=2,
        input_cost_per_token_above_256k_tokens=5,
        output_cost_per_token_above_256k_tokens=6,
        input_cost_per_token_above_128k_tokens=3,
    )
    assert [(override.above_tokens, texts(override.prices)) for override in quote.overrides] == [
        (128_000, {"input": "3"}),
        (256_000, {"input": "5", "output": "6"}),
    ]


def test_service_tiers_are_offers_of_their_own_with_their_own_conditions() -> None:
    found = by_tag(
        input_cost_per_token=10,
        output_cost_per_token=20,
        cache_read_input_token_cost=1,
        input_cost_per_token_batches=5,
        output_cost_per_token_batches=11,
        input_cost_per_token_flex=6,
        output_cost_per_token_flex=12,
        cache_read_input_token_cost_flex=0.5,
        input_cost_per_token_priority=18,
        output_cost_per_token_priority=36,
        input_cost_per_token_above_200k_tokens_priority=72,
    )
    assert {tag: texts(quote.prices) for tag, quote in found.items()} == {
        "": {"input": "10", "output": "20", "cache_read": "1"},
        "batch": {"input": "5", "output": "11"},
        "flex": {"input": "6", "output": "12", "cache_read": "0.5"},
        "priority": {"input": "18", "output": "36"},
    }
    assert [texts(override.prices) for override in found["priority"].overrides] == [{"input": "72"}]
    assert not found[""].overrides


def test_a_tier_inherits_nothing_and_its_missing_output_is_unknown() -> None:
    found = by_tag(input_cost_per_token=10, output_cost_per_token=20, input_cost_per_token_priority=18)
    assert texts(found["priority"].prices) == {"input": "18", "output": ""}


def test_one_hour_cache_writes_are_a_meter_and_no_condition() -> None:
    quote = one(
        input_cost_per_token=3,
        output_cost_per_token=15,
        cache_creation_input_token_cost_above_1hr=6,
        cache_creation_input_token_cost_above_1hr_above_200k_tokens=12,
    )
    assert texts(quote.prices)["cache_write_1h"] == "6"
    assert [texts(override.prices) for override in quote.overrides] == [{"cache_write_1h": "12"}]


def test_the_first_range_is_the_price_and_the_others_are_conditions() -> None:
    quote = one(
        tiered_pricing=[
            {"range": [0, 32000.0], "input_cost_per_token": 1, "output_cost_per_token": 2},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 3, "output_cost_per_token": 4},
        ]
    )
    assert texts(quote.prices) == {"input": "1", "output": "2"}
    assert [(override.above_tokens, texts(override.prices)) for override in quote.overrides] == [
        (32_000, {"input": "3", "output": "4"})
    ]


@pytest.mark.parametrize(
    "ranges",
    [
        "0-32000",
        ["0-32000"],
        [{"input_cost_per_token": 1}],
        [{"range": [0], "input_cost_per_token": 1}],
        [{"range": [0, "32k"], "input_cost_per_token": 1}],
        [{"range": [1000, 32000], "input_cost_per_token": 1}],
        [{"range": [0, 32000], "input_cost_per_token": 1}, {"range": [64000, 128000], "input_cost_per_token": 2}],
        [{"range": [0, 0], "input_cost_per_token": 1}],
        [{"range": [0, 32000], "input_cost_per_token": "cheap"}],
    ],
)
def test_ranges_that_do_not_cover_prompts_from_nothing_on_hold_the_quote(ranges: object) -> None:
    assert any(held for _, held in rules(one(tiered_pricing=ranges)))


def test_ranges_and_a_flat_price_that_disagree_hold_the_quote() -> None:
    ranges = [{"range": [0, 32000], "input_cost_per_token": 1, "output_cost_per_token": 2}]
    assert rules(one(input_cost_per_token=9, output_cost_per_token=2, tiered_pricing=ranges)) == [
        ("contradiction", True)
    ]


def test_two_words_for_one_meter_agree_or_hold_the_quote() -> None:
    agreeing = one(cache_read_input_token_cost=2e-8, input_cost_per_token_cache_hit=0.00000002)
    assert Decimal(agreeing.prices["cache_read"].text) == Decimal("2e-8")
    assert not agreeing.findings
    unknown_first = one(cache_read_input_token_cost=0, input_cost_per_token_cache_hit=3)
    assert texts(unknown_first.prices)["cache_read"] == "3"
    assert rules(one(cache_read_input_token_cost=2e-8, input_cost_per_token_cache_hit=1e-8)) == [
        ("contradiction", True)
    ]


@pytest.mark.parametrize("zero", [0, 0.0])
def test_a_zero_is_unknown(zero: float) -> None:
    quote = one(input_cost_per_token=zero, output_cost_per_token=zero, cache_read_input_token_cost=zero)
    assert texts(quote.prices) == {"input": "", "output": "", "cache_read": ""}
    assert not quote.declared_free


def test_a_zero_of_a_name_that_says_free_is_a_price() -> None:
    entry = {"litellm_provider": "openrouter", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0}
    [quote] = quotes({"openrouter/acme/gift:free": entry})
    assert texts(quote.prices) == {"input": "0", "output": "0"}
    assert quote.declared_free


def test_a_zero_under_a_condition_is_dropped_only_where_nothing_is_known_outside() -> None:
    fields = {"input_cost_per_token_above_128k_tokens": 0, "output_cost_per_token": 2}
    assert not one(input_cost_per_token=0, **fields).overrides
    [override] = one(input_cost_per_token=1, **fields).overrides
    assert texts(override.prices) == {"input": ""}


def test_an_offer_without_any_price_is_there_with_unknown_prices() -> None:
    quote = one(max_input_tokens=128000)
    assert texts(quote.prices) == {"input": "", "output": ""}
    assert quote.facts.context_length == 128_000


def test_what_is_sold_by_the_character_has_no_token_prices() -> None:
    quote = one(input_cost_per_character=2.5e-07, output_cost_per_character=5e-07)
    assert {meter: price.unit for meter, price in quote.prices.items()} == {
        "input_character": "USD/character",
        "output_character": "USD/character",
    }


def test_what_is_priced_by_token_and_by_character_is_read_by_the_token() -> None:
    quote = one(
        input_cost_per_token=1,
        input_cost_per_token_above_128k_tokens=2,
        output_cost_per_token=3,
        input_cost_per_character=3.125e-07,
        input_cost_per_character_above_128k_tokens=6.25e-07,
        output_cost_per_character=1.25e-06,
    )
    assert texts(quote.prices) == {"input": "1", "output": "3"}
    assert [texts(override.prices) for override in quote.overrides] == [{"input": "2"}]
    assert not quote.findings


def test_a_price_without_a_meter_is_noted_and_databricks_units_are_not() -> None:
    quote = one(
        input_cost_per_token=1,
        output_cost_per_token=2,
        input_dbu_cost_per_token=14,
        input_cost_per_video_per_second=0.1,
        search_context_cost_per_query={"search_context_size_low": 0.01},
        time_based_pricing={"rules": []},
    )
    [note] = quote.findings
    assert (note.rule, note.held) == ("unmapped_price", False)
    assert note.message == (
        "not read: input_cost_per_video_per_second, search_context_cost_per_query, time_based_pricing"
    )


def test_null_is_no_price_and_makes_no_tier() -> None:
    ranges = [{"range": [0, 32000], "input_cost_per_token": 1, "output_cost_per_token": None, "cost_per_thought": 2}]
    quote = one(cache_read_input_token_cost=None, input_cost_per_token_flex=None, tiered_pricing=ranges)
    assert texts(quote.prices) == {"input": "1", "output": ""}
    assert [finding.message for finding in quote.findings] == ["not read: cost_per_thought"]


@pytest.mark.parametrize("value", ["1e-06", True, [], {"usd": 1}])
def test_anything_but_a_number_where_a_price_belongs_holds_that_offer_only(value: object) -> None:
    found = by_tag(
        input_cost_per_token=value,
        output_cost_per_token=2,
        input_cost_per_token_batches=1,
        output_cost_per_token_batches=1,
    )
    assert rules(found[""]) == [("type", True)]
    assert not found["batch"].findings


@pytest.mark.parametrize("provider", ["", None, 7, "ac\x1b[2Jme"])
def test_a_provider_that_is_no_name_holds_every_offer_of_the_entry(provider: object) -> None:
    found = by_tag(
        input_cost_per_token=1, output_cost_per_token=2, input_cost_per_token_flex=1, litellm_provider=provider
    )
    assert [rules(quote) for quote in found.values()] == [[("name", True)], [("name", True)]]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"max_input_tokens": "set to max_tokens"}, "context_length"),
        ({"max_output_tokens": 0.5}, "max_output_tokens"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"supported_modalities": "text"}, "input_modalities"),
        ({"deprecation_date": ["2026-10-01"]}, "deprecated_on"),
        ({"deprecation_date": "soon"}, "deprecated_on"),
        ({"supported_regions": {"eu": "west"}}, "regions"),
    ],
)
def test_a_fact_of_the_wrong_type_is_not_stated_and_noted(fields: dict[str, object], name: str) -> None:
    quote = one(input_cost_per_token=1, output_cost_per_token=2, **fields)
    assert quote.facts == Facts()
    [note] = quote.findings
    assert (note.rule, note.held, note.message.split()[0]) == ("fact", False, name)


def test_a_hostile_model_name_is_held_under_a_name_that_can_be_shown() -> None:
    [quote] = quotes({"one\u202e": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 1}})
    assert (quote.model, rules(quote)) == ("one\\u202e", [("name", True)])


def test_facts_are_limits_the_end_features_and_modalities() -> None:
    quote = one(
        max_input_tokens=10000000.0,
        max_output_tokens=64000,
        max_tokens=4096,
        deprecation_date="2026-10-01",
        supports_vision=True,
        supports_reasoning=False,
        supports_function_calling=True,
        supported_modalities=["text", "image"],
        supported_output_modalities=["text"],
    )
    facts = quote.facts
    assert (facts.context_length, facts.max_output_tokens, facts.deprecated_on) == (
        10_000_000,
        64_000,
        "2026-10-01",
    )
    assert facts.features == ("function_calling", "vision")
    assert (facts.input_modalities, facts.output_modalities) == (("image", "text"), ("text",))


def test_a_limit_of_zero_or_only_in_max_tokens_is_not_stated() -> None:
    facts = one(max_input_tokens=0, max_tokens=4096).facts
    assert (facts.context_length, facts.max_output_tokens) == (None, None)


def test_documentation_rules_other_modes_and_size_classes_are_no_offers() -> None:
    priced = {"litellm_provider": "acme", "input_cost_per_token": 1, "output_cost_per_token": 1}
    found = quotes(
        {
            "sample_spec": {**priced, "mode": "chat"},
            "fallback_generalizations": {"rules": []},
            "a-mirror": "its own line",
            "fireworks-ai-above-16b": priced,
            "container": {**priced, "mode": "guardrail"},
            "acme/one": {**priced, "mode": "responses"},
            "acme/two": {**priced, "mode": "completion"},
        }
    )
    assert [quote.model for quote in found] == ["acme/one", "acme/two"]


def test_embeddings_rerankers_and_pages_have_the_meters_that_they_state() -> None:
    found = quotes(
        {
            "acme/embed": {"litellm_provider": "acme", "mode": "embedding", "input_cost_per_token": 1},
            "acme/rank": {"litellm_provider": "acme", "mode": "rerank", "input_cost_per_query": 2},
            "acme/ocr": {
                "litellm_provider": "acme",
                "mode": "ocr",
                "ocr_cost_per_page": 3,
                "annotation_cost_per_page": 4,
            },
        }
    )
    assert [{meter: (price.text, price.unit) for meter, price in quote.prices.items()} for quote in found] == [
        {"input": ("1", "USD/token"), "output": ("", "USD/token")},
        {"query": ("2", "USD/query")},
        {"input_page": ("3", "USD/page"), "input_annotated_page": ("4", "USD/page")},
    ]


@pytest.mark.parametrize(
    ("mode", "fields", "read", "noted"),
    [
        ("image_generation", {"output_cost_per_image": 4}, {"output_image": "4"}, []),
        (
            "image_edit",
            {"output_cost_per_image": 4, "input_cost_per_image": 1},
            {"output_image": "4", "input_image": "1"},
            [],
        ),
        (
            "image_edit",
            {"output_cost_per_image": 4, "input_cost_per_image": 4},
            {"output_image": "4"},
            ["input_cost_per_image"],
        ),
        ("image_generation", {"input_cost_per_image": 4}, UNKNOWN, ["input_cost_per_image"]),
        (
            "image_generation",
            {"input_cost_per_pixel": 4, "output_cost_per_pixel": 0},
            UNKNOWN,
            ["input_cost_per_pixel"],
        ),
        ("image_generation", {"input_cost_per_token": 4}, UNKNOWN, ["input_cost_per_token"]),
        (
            "image_generation",
            {"input_cost_per_token": 1, "output_cost_per_image": 5, "output_cost_per_image_token": 4},
            {"input": "1", "output": "", "output_image_token": "4"},
            [],
        ),
        (
            "audio_transcription",
            {"input_cost_per_second": 2, "output_cost_per_second": 2},
            {"input_second": "2"},
            ["output_cost_per_second"],
        ),
        ("audio_transcription", {"input_cost_per_second": 2, "output_cost_per_second": 0}, {"input_second": "2"}, []),
        ("audio_speech", {"input_cost_per_character": 3}, {"input_character": "3"}, []),
        ("audio_speech", {"output_cost_per_second": 3}, UNKNOWN, ["output_cost_per_second"]),
        (
            "audio_speech",
            {"input_cost_per_token": 1, "output_cost_per_audio_token": 2, "output_cost_per_second": 3},
            {"input": "1", "output": "", "output_audio": "2"},
            [],
        ),
        ("video_generation", {"output_cost_per_second": 5}, {"output_second": "5"}, []),
        ("video_generation", {"output_cost_per_video_per_second": 5}, {"output_second": "5"}, []),
        (
            "video_generation",
            {"output_cost_per_second": 5, "output_cost_per_second_1080p": 8},
            {"output_second": "5"},
            ["output_cost_per_second_1080p"],
        ),
        ("search", {"input_cost_per_query": 6}, {"query": "6"}, []),
        ("vector_store", {"input_cost_per_query": 6}, {"query": "6"}, []),
        ("search", {"tiered_pricing": [{"max_results_range": [0, 25]}]}, UNKNOWN, ["tiered_pricing"]),
        ("chat", {"input_cost_per_second": 7, "output_cost_per_second": 7}, UNKNOWN, RESERVED),
        (
            "realtime",
            {"input_cost_per_token": 4, "input_cost_per_image": 40},
            {"input": "4", "output": ""},
            ["input_cost_per_image"],
        ),
        (
            "chat",
            {"input_cost_per_token": 4, "input_cost_per_image": 41},
            {"input": "4", "output": "", "input_image": "41"},
            [],
        ),
    ],
)
def test_a_price_by_the_piece_is_read_where_the_mode_says_what_the_piece_is(
    mode: str, fields: dict[str, object], read: dict[str, str], noted: list[str]
) -> None:
    quote = one(mode=mode, **fields)
    assert texts(quote.prices) == read
    assert [finding.message for finding in quote.findings] == [f"not read: {', '.join(noted)}"] * bool(noted)


def test_what_stands_before_the_name_of_an_image_model_is_the_size_and_a_tag() -> None:
    entry = {"litellm_provider": "acme", "mode": "image_generation", "output_cost_per_image": 1}
    names = ("acme/high/64-x-32/draw-1", "64-x-32/max-steps/draw-1", "acme/high-art/draw-1", "acme/standard")
    assert [(quote.model, quote.tag) for quote in quotes(dict.fromkeys(names, entry))] == [
        ("acme/draw-1", "high/64-x-32"),
        ("draw-1", "64-x-32/max-steps"),
        ("acme/high-art/draw-1", ""),
        ("acme/standard", ""),
    ]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        [{"mode": "chat"}],
        {"sample_spec": {"mode": "chat"}},
        {"acme/one": {"mode": "talk", "input_cost_per_token": 1}},
        {"acme/one": {"mode": ["chat"], "input_cost_per_token": 1}},
        {"": {"mode": "chat", "litellm_provider": "acme", "input_cost_per_token": 1}},
        b"",
        b"404: Not Found",
        b"<html>",
        b'{"acme/one": {"mode": "chat", "input_cost_per_token": NaN}}',
    ],
)
def test_a_body_without_offers_raises_source_changed(body: object) -> None:
    with pytest.raises(SourceChanged):
        parse(document("litellm", body), SPEC)


def independent(body: bytes) -> dict[Place, Decimal | None]:
    """The document read by cutting suffixes off names, with the rule of zeros and of unstated tiers."""
    found: dict[Place, Decimal | None] = {}
    for name, entry in catalogues.read(body).items():
        if name == "sample_spec" or entry.get("mode") not in MODES:
            continue
        silent = unread(entry)
        model, size = model_and_size(name, entry["mode"])
        provider = entry["litellm_provider"]
        meters: dict[str, set[str]] = {"": set()}
        zeros = []
        rows = dict(entry)
        for tier in [] if "tiered_pricing" in silent else entry.get("tiered_pricing", []):
            start = int(tier["range"][0])
            longer = f"_above_{start // 1000}k_tokens" if start else ""
            rows |= {word + longer: value for word, value in tier.items() if word != "range"}
        for key, value in rows.items():
            word, tag = key, ""
            above = 0
            for suffix, tier in (
                ("_batches", "batch"),
                ("_batch_requests", "batch"),
                ("_flex", "flex"),
                ("_priority", "priority"),
            ):
                if word.endswith(suffix):
                    word, tag = word.removesuffix(suffix), tier
            if word.endswith("k_tokens"):
                word, _, thousands = word.removesuffix("k_tokens").rpartition("_above_")
                above = int(thousands) * 1000
            if key in silent:
                continue
            if word not in WORDS:
                assert NO_METER.fullmatch(key) or OF_NO_PRICE.fullmatch(key), key
                continue
            meters.setdefault(tag, set()).update([] if above else [WORDS[word]])
            offer = (provider, model, "/".join(filter(None, (size, tag))))
            if value or model.endswith(":free"):
                found[*offer, above, WORDS[word]] = value
            elif above:
                zeros.append((*offer, above, WORDS[word]))
            else:
                found.setdefault((*offer, 0, WORDS[word]), None)
        found |= {zero: None for zero in zeros if found.get((*zero[:3], 0, zero[4]))}
        for tier, told in meters.items():
            tag = "/".join(filter(None, (size, tier)))
            if tier or not told or told & {"input", "output"}:
                found.setdefault((provider, model, tag, 0, "input"), None)
                found.setdefault((provider, model, tag, 0, "output"), None)
    return found


@pytest.mark.recorded
def test_every_price_of_recorded_documents_equals_an_independent_reading(recorded: Path) -> None:
    for body in catalogues.first_middle_last(recorded, "litellm"):
        found = parse(document("litellm", body), SPEC)
        assert amounts(found) == independent(body)
        assert not [quote for quote in found if any(finding.held for finding in quote.findings)]


@pytest.mark.recorded
def test_every_limit_of_recorded_documents_equals_an_independent_reading(recorded: Path) -> None:
    for body in catalogues.first_middle_last(recorded, "litellm"):
        entries = {
            name: entry
            for name, entry in catalogues.read(body).items()
            if name != "sample_spec" and entry.get("mode") in MODES
        }
        tiers = ("batch", "flex", "priority")
        found = [quote for quote in parse(document("litellm", body), SPEC) if not quote.tag.endswith(tiers)]
        assert [quote.locator for quote in found] == [f'["{name}"]' for name in entries]
        for quote, entry in zip(found, entries.values(), strict=True):
            assert (quote.facts.context_length or 0) == entry.get("max_input_tokens", 0)
            assert (quote.facts.max_output_tokens or 0) == entry.get("max_output_tokens", 0)


@pytest.mark.recorded
def test_every_recorded_body_is_read_whole_and_no_offer_stands_twice(recorded: Path) -> None:
    recordings = catalogues.bodies(recorded, "litellm")
    assert len(recordings) == 62
    for instant, body in recordings:
        found = parse(document("litellm", body), SPEC)
        offers = {(quote.provider, quote.model, quote.tag) for quote in found}
        assert len(offers) == len(found) > 600, instant


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("instant", "model", "published"),
    [
        ("20251008T000000Z", "watsonx/openai/gpt-oss-120b", "0.004"),
        ("20251018T000000Z", "watsonx/openai/gpt-oss-120b", "1.5e-07"),
        ("20260110T000000Z", "novita/deepseek/deepseek-v3.2", "0.00269"),
        ("20260114T000000Z", "novita/deepseek/deepseek-v3.2", "2.69e-07"),
        ("20251203T000000Z", "wandb/moonshotai/Kimi-K2-Instruct", "0.135"),
        ("20260801T000000Z", "wandb/openai/gpt-oss-120b", "0.015"),
        ("20260801T000000Z", "azure_ai/jais-30b-chat", "0.0032"),
    ],
)
def test_known_slips_come_out_as_published(recorded: Path, instant: str, model: str, published: str) -> None:
    found = parse(document("litellm", catalogues.current(recorded, "litellm", instant)), SPEC)
    [price] = [quote.prices["input"].text for quote in found if quote.model == model and not quote.tag]
    assert Decimal(price) == Decimal(published)
