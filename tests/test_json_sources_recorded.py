"""The JSON sources against recorded documents: an independent reading of each gives the same offers and amounts."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collector.config import load, packaged
from collector.normalise import observe
from collector.sources import parser_of
from store.records import TELLING_FACTS, Document, Observation, Telemetry

pytestmark = pytest.mark.recorded

SOURCES = load(packaged(), {}).sources
AT = datetime(2026, 9, 1, tzinfo=UTC)
MILLION = Decimal(1_000_000)

Offers = dict[tuple[str, str, str], dict[str, Decimal]]
"""Provider, model, tag -> meter -> currency units per 1M tokens, or per piece."""


def body(recorded: Path, name: str, frame: str = "{}") -> bytes:
    """A recorded body, in the frame that it had upstream."""
    raw = (recorded / "recorded" / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
    return frame.replace("{}", text, 1).encode() if frame != "{}" else text.encode()


def observed(source: str, raw: bytes, part: str = "") -> list[Observation]:
    spec = SOURCES[source]
    document = Document(source=source, url=spec.url, fetched_at=AT, status=200, body=raw, part=part)
    return [observe(quote, document, spec, AT) for quote in parser_of(spec).parse(document, spec)]


def offers(found: list[Observation]) -> Offers:
    """What is believed, in units of money."""
    return {
        (one.key.provider, one.key.model, one.key.tag): {
            meter: Decimal(amount) / 10**9 for meter, amount in one.card.amounts
        }
        for one in found
        if one.card is not None and not held(one)
    }


def held(one: Observation) -> list[str]:
    return [finding.rule for finding in one.findings if finding.held]


def read(raw: bytes) -> Any:
    """JSON with exact numbers, by the standard reader."""
    return json.loads(raw, parse_float=Decimal, parse_int=Decimal)


def above_zero(prices: Mapping[str, object], per: Decimal = MILLION) -> dict[str, Decimal]:
    """The prices that say something, per 1M."""
    return {
        meter: Decimal(str(value)) * per for meter, value in prices.items() if value is not None and Decimal(str(value))
    }


# --- whole documents --------------------------------------------------------------------------------------------------


def test_the_vercel_list_gives_every_price_of_tokens_and_images(recorded: Path) -> None:
    raw = body(recorded, "vercel-ai-gateway/2026-02-22-models-data-array-stripped.json", '{"data": {}}')
    expected: Offers = {}
    for model in read(raw)["data"]:
        pricing, kind = model["pricing"], model["type"]
        names = {
            "input": "input",
            "output": "output",
            "cache_read": "input_cache_read",
            "cache_write": "input_cache_write",
        }
        prices = above_zero({meter: pricing.get(name) for meter, name in names.items()})
        prices |= above_zero({"web_search": pricing.get("web_search")}, Decimal("0.001"))
        if kind == "image":
            prices = above_zero({"output_image": pricing["image"]}, Decimal(1))
        if kind in ("language", "embedding", "image") and any(key != "image" or kind == "image" for key in pricing):
            expected["vercel", model["id"], ""] = prices
    found = observed("vercel_gateway", raw)
    assert offers(found) == expected
    assert len(expected) == 194
    assert not [one for one in found if held(one)]
    tiered = {one.key.model: one.card for one in found if one.card and one.card.overrides}
    assert len(tiered) == sum("input_tiers" in model["pricing"] for model in read(raw)["data"]) == 18
    coder = tiered["alibaba/qwen3-coder-plus"]
    assert [(one.above_tokens, dict(one.amounts)) for one in coder.overrides] == [
        (32_000, {"input": 1_800_000_000, "output": 9_000_000_000, "cache_read": 360_000_000}),
        (128_000, {"input": 3_000_000_000, "output": 15_000_000_000, "cache_read": 600_000_000}),
        (256_000, {"input": 6_000_000_000, "output": 60_000_000_000, "cache_read": 1_200_000_000}),
    ]


def test_the_zenmux_list_gives_every_price_without_a_doubt(recorded: Path) -> None:
    raw = body(recorded, "zenmux/2026-08-22T0138Z-models.json.gz")
    meters = {"prompt": "input", "completion": "output", "input_cache_read": "cache_read"}
    expected: Offers = {}
    unknown, by_answer = set(), set()
    for model in read(raw)["data"]:
        prices = {}
        for name, entries in model.get("pricings", {}).items():
            if any("completion_tokens" in entry.get("conditions", {}) for entry in entries):
                by_answer.add(model["id"])
            lengths = [entry.get("conditions", {}).get("prompt_tokens", {}) for entry in entries]
            first = [
                entry["value"]
                for entry, length in zip(entries, lengths, strict=True)
                if not length.get("gt") and not length.get("gte")
            ]
            if name in meters and len(set(first)) == 1 and (first[0] or model["id"].endswith("-free")):
                prices[meters[name]] = first[0]
            elif name in meters and len(set(first)) > 1:
                unknown.add((model["id"], meters[name]))
        if "pricings" in model:
            expected["zenmux", model["id"], ""] = prices
    found = observed("zenmux", raw)
    believed = offers(found)
    assert {one.key.model for one in found if held(one)} == by_answer
    assert len(by_answer) == 4
    unknown = {(model, meter) for model, meter in unknown if model not in by_answer}
    assert {(one.key.model, meter) for one in found if one.card for meter, _ in one.card.states} >= unknown
    assert len(unknown) == 22
    assert {key: {m: p for m, p in prices.items() if m in meters.values()} for key, prices in believed.items()} == {
        key: prices for key, prices in expected.items() if key[1] not in by_answer
    }
    assert len(found) == len(expected) == 161
    gemini = next(one.card for one in found if one.key.model == "google/gemini-2.5-pro")
    assert gemini is not None
    assert [(one.above_tokens, dict(one.amounts)["input"]) for one in gemini.overrides] == [(200_000, 2_500_000_000)]


PORTKEY = {
    "cerebras": 13,
    "deepinfra": 180,
    "fireworks-ai": 50,
    "groq": 21,
    "nebius": 33,
    "novita-ai": 62,
    "openrouter": 570,
    "together-ai": 140,
    "vertex-ai": 426,
}


@pytest.mark.parametrize(("provider", "count"), PORTKEY.items())
def test_a_portkey_file_gives_every_price_that_is_paid_as_one_goes(recorded: Path, provider: str, count: int) -> None:
    packed = ".gz" if provider in ("openrouter", "vertex-ai") else ""
    raw = body(recorded, f"portkey/2026-08-21-pricing-{provider}.json{packed}")
    names = {
        "input": "request_token",
        "output": "response_token",
        "cache_read": "cache_read_input_token",
        "cache_write": "cache_write_input_token",
    }
    expected: Offers = {}
    for model, entry in read(raw).items():
        config = entry["pricing_config"]
        for tag, key in (("", "pay_as_you_go"), ("batch", "batch_config")):
            listed = config.get(key, {})
            prices = above_zero(
                {meter: listed.get(name, {}).get("price") for meter, name in names.items()}, MILLION / 100
            )
            if prices and model != "default":
                expected[provider, model, tag] = prices
    found = observed("portkey", raw, provider)
    assert len(found) == count
    believed = offers(found)
    read_ones = {key: {m: p for m, p in prices.items() if m in names} for key, prices in believed.items()}
    grid = Decimal("1e-9")
    assert {key: prices for key, prices in read_ones.items() if key in expected} == {
        key: {meter: price.quantize(grid) for meter, price in prices.items()} for key, prices in expected.items()
    }
    assert all(tag for _, _, tag in read_ones.keys() - expected.keys())  # regions and modes


def test_the_parasail_deployments_give_every_price_of_tokens(recorded: Path) -> None:
    raw = body(recorded, "parasail/2025-12-29-serverless-deployments.json")
    rows = [row for row in read(raw) if row["inputCost"] is not None]
    found = observed("parasail", raw)
    assert Counter((one.key.model, one.facts.context_length) for one in found) == Counter(
        (row["modelName"], int(row["contextLength"])) for row in rows
    )
    assert len(found) == 32
    by_model = offers(found)
    assert by_model["parasail", "deepseek-ai/DeepSeek-V3.2", ""] == {
        "input": Decimal("0.28"),
        "output": Decimal("0.45"),
    }
    for row in rows:
        if row["modelName"] != "moonshotai/Kimi-K2-Instruct-0905":  # twice, which facts tell apart
            expected = above_zero({"input": row["inputCost"], "output": row["outputCost"]}, Decimal(1))
            assert by_model["parasail", row["modelName"], ""] == expected


def test_the_cloudflare_gateway_gives_every_row(recorded: Path) -> None:
    raw = body(recorded, "cloudflare/2025-12-23-ai-gateway-compat-models.json")
    rows = read(raw)["data"]
    expected = {
        ("cloudflare-ai-gateway", row["id"], row["owned_by"]): above_zero(
            {"input": row["cost_in"], "output": row["cost_out"]}
        )
        for row in rows
        if row["cost_in"] != -1
    }
    found = observed("cloudflare_ai_gateway", raw)
    grid = Decimal("1e-9")
    believed = offers(found)
    router = believed.pop(("cloudflare-ai-gateway", "openrouter/openrouter/auto", "openrouter"))
    assert router == {}
    assert believed == {key: {m: p.quantize(grid) for m, p in prices.items()} for key, prices in expected.items()}
    assert len(found) == len(rows) == 1498


# --- excerpts and single records --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("huggingface-router/2026-08-models-excerpt.json", "{}"),
        ("huggingface-router/2026-docs-example-model.json", '{"data": [{}]}'),
    ],
)
def test_the_hugging_face_router_gives_every_offer_with_a_price(recorded: Path, name: str, frame: str) -> None:
    raw = body(recorded, name, frame)
    expected = {
        (offer["provider"], model["id"], ""): above_zero(offer["pricing"], Decimal(1))
        for model in read(raw)["data"]
        for offer in model["providers"]
        if "pricing" in offer
    }
    found = observed("huggingface_router", raw)
    assert offers(found) == expected
    assert all(
        one.card and (one.card.amounts or dict(one.card.states) == {"input": "unknown", "output": "unknown"})
        for one in found
    )


def test_the_cortecs_excerpt_gives_euros_per_provider(recorded: Path) -> None:
    raw = body(recorded, "cortecs/2026-09-24-models-extended-EUR-excerpt.json")
    found = observed("cortecs", raw)
    (model,) = read(raw)["data"]
    assert offers(found) == {
        ("cortecs", model["id"], provider): {
            "input": details["pricing"]["input_token"],
            "output": details["pricing"]["output_token"],
            "cache_read": details["pricing"]["cache_read_cost"],
        }
        for provider, details in model["providers_details"].items()
    }
    assert {one.card.currency for one in found if one.card} == {"EUR"}
    assert {one.identity.model for one in found} == {"z-ai/glm-5.3"}


SINGLE: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("requesty", "requesty/2026-05-models-one-record.json", '{"data": [{}]}',
     {"input": "2.5", "output": "7.5", "cache_read": "0.25", "cache_write": "3.125"}),
    ("poe", "poe/2026-05-models-one-record.json", '{"data": [{}]}', {"input": "2.5253", "output": "7.5758"}),
    ("kilo", "kilo/2026-05-models-one-record.json", '{"data": [{}]}',
     {"input": "1.25", "output": "3.75", "cache_read": "0.125", "cache_write": "1.5625"}),
    ("vercel_gateway", "vercel-ai-gateway/2026-05-models-one-record.json", '{"data": [{}]}',
     {"input": "1.25", "output": "3.75", "cache_read": "0.25", "cache_write": "1.5625"}),
    ("vercel_gateway", "vercel-ai-gateway/2026-08-31-models-one-record.json", '{"data": [{}]}',
     {"input": "0.12", "output": "0.24"}),
    ("helicone", "helicone/2026-model-registry-excerpt.json", "{}",
     {"input": "15", "output": "75", "cache_read": "1.5", "cache_write": "18.75"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "name", "frame", "prices"), SINGLE, ids=[f"{one[0]} {one[1][-30:]}" for one in SINGLE]
)
def test_a_single_recorded_record_gives_the_price_on_the_page(
    recorded: Path, source: str, name: str, frame: str, prices: dict[str, str]
) -> None:
    (one,) = observed(source, body(recorded, name, frame))
    assert not held(one)
    assert one.card is not None
    assert {meter: Decimal(amount) / 10**9 for meter, amount in one.card.amounts} == {
        meter: Decimal(price) for meter, price in prices.items()
    }


# --- reduced forms, whose values may be invented ---------------------------------------------------------------------


def names_of(found: list[Observation]) -> set[str]:
    return {f"{one.key.model} {one.key.tag}".strip() for one in found}


def test_facts_of_single_recorded_records_are_those_on_the_page(recorded: Path) -> None:
    records = {
        ("vercel_gateway", "vercel-ai-gateway/2026-05-models-one-record.json"): {"release_date": "2026-05-21"},
        ("vercel_gateway", "vercel-ai-gateway/2026-08-31-models-one-record.json"): {
            "release_date": "2025-04-28",
            "knowledge_cutoff": "2025-04",
            "trains_on_prompts": False,
            "data_policy": "zdr: all",
        },
        ("kilo", "kilo/2026-05-models-one-record.json"): {"trains_on_prompts": False},
        ("requesty", "requesty/2026-05-models-one-record.json"): {"regions": ("global",)},
    }
    for (source, name), expected in records.items():
        (one,) = observed(source, body(recorded, name, '{"data": [{}]}'))
        found = {fact: value for fact, value in one.facts.stated.items() if fact not in TELLING_FACTS}
        assert found == expected, name


def test_recorded_speeds_are_kept_coarsely(recorded: Path) -> None:
    raw = body(recorded, "cortecs/2026-09-24-models-extended-EUR-excerpt.json")
    fared = {one.key.tag: one.telemetry for one in observed("cortecs", raw)}
    assert fared == {
        "tensorix": Telemetry(uptime_percent=100, first_token_ms=5000, tokens_per_second=200),
        "inceptron": Telemetry(uptime_percent=99, first_token_ms=1000, tokens_per_second=100),
        "aki": Telemetry(uptime_percent=95, first_token_ms=20_000, tokens_per_second=200),
        "mistral": Telemetry(uptime_percent=99, first_token_ms=2000, tokens_per_second=200),
    }
    raw = body(recorded, "huggingface-router/2026-docs-example-model.json", '{"data": [{}]}')
    (model,) = read(raw)["data"]
    fared = {one.key.provider: one.telemetry for one in observed("huggingface_router", raw)}
    for offer in (one for one in model["providers"] if "pricing" in one):
        telemetry = fared[offer["provider"]]
        assert telemetry is not None
        assert telemetry.status == 0
        for kept, measured in (
            (telemetry.first_token_ms, offer["first_token_latency_ms"]),
            (telemetry.tokens_per_second, offer["throughput"]),
        ):
            assert kept is not None
            assert Decimal("0.57") <= kept / measured <= Decimal("1.5")


def test_reduced_forms_of_other_projects_are_read(recorded: Path) -> None:
    shapes: dict[str, tuple[str, Callable[[bytes], bytes], set[str]]] = {
        "azure_retail": ("azure/2026-08-retail-prices-deepseek-v4-flash.json", bytes, {
            "Azure Deepseek Models v4 flash global",
            "Azure Deepseek Models v4 flash datazone",
            "Azure Deepseek Models v4 flash 0731 global",
        }),
        "bedrock_price_list": ("aws-bedrock/2026-07-24-bedrock.json", offer_file, {"Claude Haiku 4.5 us-east-1"}),
        "deepinfra_models": ("deepinfra/2026-05-12-models-list.json", bytes, {"moonshotai/Kimi-K2.5"}),
        "friendli": ("friendli/2026-07-serverless-v1-models.json", bytes, {
            "zai-org/GLM-5.2", "meta-llama-3.3-70b-instruct"
        }),
        "gmicloud": ("gmi/2026-08-billing-model_prices.json", bytes, {"moonshotai/kimi-k3", "zai-org/GLM-5.2-FP8"}),
        "telnyx_api": ("telnyx/2026-07-v2-ai-openai-models.json", bytes, {"zai-org/GLM-5.2", "moonshotai/Kimi-K3"}),
        "vercel_gateway": ("vercel/2026-07-24-pricing.json", bytes, {
            "acme/text-1", "acme/text-1 flex", "acme/embed-1", "acme/image-1"
        }),
        "huggingface_router": ("huggingface/2026-07-24-pricing.json", bytes, {"org/model-1", "org/free-model"}),
    }  # fmt: skip
    for source, (name, frame, names) in shapes.items():
        found = observed(source, frame(body(recorded, f"_shapes/{name}")))
        assert names_of(found) == names, source
        assert not [one for one in found if held(one)], source


def offer_file(raw: bytes) -> bytes:
    """The offer file within a reduced form of several documents."""
    found: str = json.loads(raw)["documents"][-1]["body"]
    return found.encode()


def test_azure_meters_are_booked_under_the_models_that_were_reviewed(recorded: Path) -> None:
    found = observed("azure_retail", body(recorded, "_shapes/azure/2026-08-retail-prices-deepseek-v4-flash.json"))
    assert {(one.identity.model, one.identity.variant) for one in found} == {
        ("deepseek/deepseek-v4-flash", "global"),
        ("deepseek/deepseek-v4-flash", "datazone"),
        ("deepseek/deepseek-v4-flash-0731", "global"),
    }
    price = {f"{one.key.model} {one.key.tag}": one.card for one in found}["Azure Deepseek Models v4 flash global"]
    assert price is not None
    assert dict(price.amounts) == {"input": 190_000_000, "output": 510_000_000, "cache_read": 28_000_000}


def test_an_older_document_read_twice_gives_the_same_offers(recorded: Path) -> None:
    raw = body(recorded, "zenmux/2026-08-22T0138Z-models.json.gz")
    assert list(without_places(observed("zenmux", raw))) == list(without_places(observed("zenmux", raw)))


def without_places(found: list[Observation]) -> Iterator[Observation]:
    yield from (replace(one, locator="") for one in found)
