"""OpenRouter: what its answers say, read by the parser and, for the recorded ones, a second time without it."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collector.contract import Price, Prices, Quote, QuotedOverride, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import read_amount
from collector.sources.openrouter import follow, parse
from store.records import Document, Telemetry
from store.units import METERS, unit
from tests.timelines import OPENROUTER_METERS

AT = datetime(2026, 8, 1, tzinfo=UTC)
SAMPLES = Path(__file__).parent / "sources" / "openrouter"
LIST = "https://openrouter.ai/api/v1/models"
SPEC = SourceSpec(
    id="openrouter", title="OpenRouter", parser="openrouter", url=LIST, trust="aggregator", every_s=900, varies=("-1",)
)


def document(body: object, part: str = "") -> Document:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{LIST}/{part}/endpoints" if part else LIST
    return Document(source="openrouter", url=url, fetched_at=AT, status=200, body=raw, part=part)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def quotes(name: str, part: str = "") -> dict[str, Quote]:
    """Quotes of a sample by tag; of equal tags, the last."""
    return {quote.tag: quote for quote in parse(document(sample(name), part), SPEC)}


def one(pricing: object, **changes: object) -> Quote:
    """The quote of a lone endpoint."""
    endpoint = {"provider_name": "Acme", "tag": "acme", "context_length": 8192, "pricing": pricing, **changes}
    [quote] = parse(document({"data": {"id": "acme/mill", "endpoints": [endpoint]}}, "acme/mill"), SPEC)
    return quote


def told(prices: Prices) -> dict[str, tuple[str, str]]:
    return {meter: (price.text, price.unit) for meter, price in prices.items()}


def doubts(quote: Quote) -> list[tuple[str, bool]]:
    return [(finding.rule, finding.held) for finding in quote.findings]


def test_every_model_of_the_list_is_asked_for_once_under_its_own_id() -> None:
    requests = follow(document(sample("list")), SPEC)
    assert [request.part for request in requests] == [
        "acme/mill-120b",
        "acme/mill-120b:free",
        "acme/mill-120b-preview",
        "~acme/mill-latest",
        "openrouter/auto",
    ]
    assert requests[1].url == "https://openrouter.ai/api/v1/models/acme/mill-120b:free/endpoints"


def test_the_list_is_checked_and_quotes_nothing() -> None:
    assert parse(document(sample("list")), SPEC) == []
    with pytest.raises(SourceChanged):
        parse(document({"data": []}), SPEC)


@pytest.mark.fault(55)
@pytest.mark.parametrize("lacking", [{"total_count": 7}, {"links": {"next": f"{LIST}?offset=1000"}}])
def test_a_list_that_is_not_whole_raises_incomplete(lacking: dict[str, object]) -> None:
    listed = document({**sample("list"), **lacking})
    for read in (follow, parse):
        with pytest.raises(SourceChanged) as raised:
            read(listed, SPEC)
        assert raised.value.code == "incomplete"


@pytest.mark.parametrize(
    "name",
    [
        *("", "mill", "acme/../auth", "../acme/mill", "acme/.mill", "acme//mill", "acme/mill/8b", "/mill", "acme/"),
        *(
            "acme/mill?x=1",
            "acme/mill#x",
            "acme/mill%2f",
            "acme/mi ll",
            "acme/mill\n",
            "acmé/mill",
            "acme/mill:",
            "@/x",
        ),
        *("https://acme/mill", "acme/" + "m" * 200, 7, None, ["acme/mill"]),
    ],
)
def test_an_id_that_could_lead_elsewhere_is_refused(name: object) -> None:
    with pytest.raises(SourceChanged):
        follow(document({"data": [{"id": name}]}), SPEC)


def test_endpoints_of_one_provider_stay_apart() -> None:
    found = parse(document(sample("sample-mill"), "acme/mill-120b"), SPEC)
    deepinfra = [quote for quote in found if quote.provider == "DeepInfra"]
    assert [(quote.tag, quote.prices["input"].text) for quote in deepinfra] == [
        ("deepinfra/bf16", "0.000000037"),
        ("deepinfra/turbo", "0.00000015"),
    ]
    together = [quote for quote in found if quote.tag == "together"]
    assert [(quote.locator, quote.facts.context_length, quote.prices["output"].text) for quote in together] == [
        ("data.endpoints[2]", 131072, "0.00000086"),
        ("data.endpoints[3]", 262144, "0.00000097"),
    ]


@pytest.mark.fault(65)
def test_every_known_price_has_its_meter_and_unit() -> None:
    assert told(quotes("sample-mill")["google-vertex/global"].prices) == {
        "input": ("0.00000125", "USD/token"),
        "output": ("0.00001", "USD/token"),
        "cache_read": ("0.000000125", "USD/token"),
        "cache_write": ("0.0000000833333333333333", "USD/token"),
        "cache_write_1h": ("0.000002", "USD/token"),
        "reasoning": ("0.00001", "USD/token"),
        "input_audio": ("0.00000125", "USD/token"),
        "output_audio": ("0.000064", "USD/token"),
        "cache_read_audio": ("0.000000125", "USD/token"),
        "input_image_token": ("0.00000125", "USD/token"),
        "output_image_token": ("0.00003", "USD/token"),
        "web_search": ("0.014", "USD/search"),
        "request": ("0.005", "USD/request"),
    }


def test_the_digits_of_a_price_are_kept_as_published() -> None:
    priority = quotes("sample-mill")["openai/priority"]
    assert priority.prices["input"].text == "0.00000100000000000000015"
    assert priority.prices["output"].text == "0.0000009499999999999999"


def test_an_image_is_priced_by_the_token_or_by_the_piece_and_never_by_a_guess() -> None:
    tokens = {"prompt": "0.0000002", "completion": "0", "image": "0.00000045"}
    assert told(one(tokens).prices)["input_image_token"] == ("0.00000045", "USD/token")
    piece = {"prompt": "0.0000001", "completion": "0.0000004", "image": "0.0000258"}
    assert told(one(piece).prices)["input_image"] == ("0.0000258", "USD/image")
    assert told(one({"prompt": "0", "completion": "0", "image": "0.003"}).prices)["input_image"] == (
        "0.003",
        "USD/image",
    )
    assert doubts(one({"prompt": "0.000001", "completion": "0.000002", "image": "0.00005"})) == [("unit", True)]


def test_a_zero_is_a_price_of_input_and_output_only() -> None:
    assert told(quotes("sample-2025")["google-ai-studio"].prices) == {
        "input": ("0.00000125", "USD/token"),
        "output": ("0.00001", "USD/token"),
    }
    assert set(quotes("sample-2025")["google-vertex"].prices) == {
        "input",
        "output",
        "cache_read",
        "cache_write",
        "input_image",
    }
    assert told(one({"prompt": "0", "completion": "0"}).prices) == {
        "input": ("0", "USD/token"),
        "output": ("0", "USD/token"),
    }


@pytest.mark.fault(113)
def test_only_an_id_that_says_free_declares_its_offers_free() -> None:
    assert quotes("sample-free")["chutes/fp4"].declared_free
    assert not one({"prompt": "0", "completion": "0"}).declared_free


@pytest.mark.fault(85)
def test_a_price_decided_at_run_time_keeps_its_word() -> None:
    prices = quotes("sample-mill")["run-time"].prices
    assert {price.text for price in prices.values()} == set(SPEC.varies)


def test_a_price_that_is_no_number_keeps_its_text() -> None:
    words = one({"prompt": "ask us", "completion": "0.000001", "image": "n/a"})
    assert told(words.prices) == {
        "input": ("ask us", "USD/token"),
        "output": ("0.000001", "USD/token"),
        "input_image": ("n/a", "USD/image"),
    }


def test_conditions_come_out_in_their_order_without_zeros_that_say_nothing() -> None:
    flex = quotes("sample-mill")["alibaba/us/flex"].overrides
    assert [(each.above_tokens, each.start_minute, each.end_minute) for each in flex] == [
        (None, 60, 870),
        (None, 870, 60),
        (256000, 0, 870),
    ]
    assert told(flex[2].prices) == {"input": ("0.000000704", "USD/token")}
    [long] = quotes("sample-mill")["google-vertex/global"].overrides
    assert (long.above_tokens, set(long.prices)) == (
        200000,
        {"input", "output", "cache_read", "input_audio", "cache_read_audio"},
    )


def test_a_condition_that_is_not_understood_holds_the_row() -> None:
    assert doubts(quotes("sample-mill")["weekend"]) == [("override", True)]
    no_number = one({"prompt": ["0.1"], "completion": "0.2"})
    assert doubts(no_number) == [("type", True)]


def test_pricing_without_prompt_and_completion_holds_the_row() -> None:
    assert doubts(one({"web_search": "0.01", "discount": 0})) == [("columns", True)]


@pytest.mark.fault(51, 65)
def test_a_price_under_a_new_name_is_noted_and_the_others_are_read() -> None:
    quote = quotes("sample-mill")["new-words"]
    assert doubts(quote) == [("unmapped_price", False)]
    assert "dream, image_token" in quote.findings[0].message
    assert quote.prices["output"].text == "0.000002"


@pytest.mark.fault(67)
def test_facts_are_those_of_the_offer() -> None:
    facts = quotes("sample-mill")["deepinfra/bf16"].facts
    assert (facts.context_length, facts.max_output_tokens, facts.max_prompt_tokens) == (131072, 131072, None)
    assert (facts.quantization, facts.discount) == ("bf16", None)
    assert facts.features == ("max_tokens", "temperature", "tools")
    assert (facts.input_modalities, facts.output_modalities) == (("image", "text"), ("text",))
    assert quotes("sample-mill")["deepinfra/turbo"].facts.max_prompt_tokens == 100000
    assert quotes("sample-mill")["together"].facts.quantization is None


@pytest.mark.fault(98)
def test_a_context_of_zero_is_not_stated_and_noted() -> None:
    quote = quotes("sample-mill")["alibaba/us/flex"]
    assert quote.facts.context_length is None
    assert doubts(quote) == [("fact", False)]


def test_a_discount_is_plain_digits_and_a_surcharge_is_negative() -> None:
    found = quotes("sample-mill")
    assert found["alibaba/us/flex"].facts.discount == "0.2"
    assert found["google-vertex/global"].facts.discount == "-0.2"
    tiny = document(
        b'{"data":{"id":"a/b","endpoints":[{"provider_name":"A","tag":"a","pricing":'
        b'{"prompt":"1","completion":"1","discount":1e-7}}]}}',
        "a/b",
    )
    assert parse(tiny, SPEC)[0].facts.discount == "0.0000001"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("deepinfra/bf16", Telemetry(status=0, uptime_percent=98)),
        ("deepinfra/turbo", Telemetry(status=-2, uptime_percent=98, first_token_ms=500, tokens_per_second=50)),
        ("openai/priority", Telemetry(status=0, uptime_percent=2)),
        ("google-vertex/global", Telemetry(status=0, uptime_percent=0)),
        ("new-words", Telemetry(status=0, uptime_percent=None)),
    ],
)
def test_health_is_telemetry_in_whole_percent_rounded_half_to_even(tag: str, expected: Telemetry) -> None:
    assert quotes("sample-mill")[tag].telemetry == expected


def test_an_old_id_is_kept_under_the_id_that_answered_with_a_note() -> None:
    [quote] = parse(document(sample("sample-free"), "acme/mill-old"), SPEC)
    assert quote.model == "acme/mill-120b:free"
    assert doubts(quote) == [("answered_by", False)]
    assert quote.findings[0].message == "asked for acme/mill-old, answered by acme/mill-120b:free"


def test_a_model_without_endpoints_has_no_quotes() -> None:
    assert parse(document(sample("sample-router"), "openrouter/auto"), SPEC) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("id"),
        lambda data: data.pop("endpoints"),
        lambda data: data.update(endpoints={}),
        lambda data: data["endpoints"].append(None),
        lambda data: data["endpoints"][0].pop("pricing"),
        lambda data: data["endpoints"][0].pop("provider_name"),
        lambda data: data["endpoints"][0].pop("tag"),
        lambda data: data["endpoints"][0].update(tag=""),
    ],
)
def test_an_answer_without_what_names_its_offers_raises(change: Callable[[dict[str, Any]], object]) -> None:
    body = sample("sample-free")
    change(body["data"])
    with pytest.raises(SourceChanged):
        parse(document(body, "acme/mill-120b:free"), SPEC)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"data": null}', b'{"error": {"code": 404}}', b"<html></html>"])
def test_a_body_that_is_no_answer_raises(body: bytes) -> None:
    for part in ("", "acme/mill"):
        with pytest.raises(SourceChanged):
            parse(document(body, part), SPEC)


def test_the_list_in_place_of_an_answer_raises() -> None:
    with pytest.raises(SourceChanged):
        parse(document(sample("list"), "acme/mill"), SPEC)


# -- recorded answers, read a second time ------------------------------------------------------------------------------


def bundles(recorded: Path) -> list[Path]:
    """Whole sweeps, and what changed between them in four dense windows: all that was recorded."""
    return sorted((recorded / "timeline" / "openrouter-endpoints").glob("*.json.gz"))


def answers(bundle: Path) -> Iterator[tuple[str, Any]]:
    yield from json.loads(gzip.decompress(bundle.read_bytes()))["models"].items()


def by_hand(pricing: dict[str, Any]) -> dict[str, Price]:
    return {
        OPENROUTER_METERS[key]: Price(text=text, unit="USD/search" if key == "web_search" else "USD/token")
        for key, text in pricing.items()
        if isinstance(text, str) and (key in ("prompt", "completion") or Decimal(text) != 0)
    }


def overrides_by_hand(pricing: dict[str, Any]) -> tuple[QuotedOverride, ...]:
    def minute(clock: int | None) -> int | None:
        return None if clock is None else int(f"{clock:04}"[:2]) * 60 + int(f"{clock:04}"[2:])

    return tuple(
        QuotedOverride(
            above_tokens=item.get("min_prompt_tokens"),
            start_minute=minute(item.get("utc_start")),
            end_minute=minute(item.get("utc_end")),
            prices=by_hand(item),
        )
        for item in pricing.get("overrides", [])
    )


@pytest.mark.recorded
def test_every_recorded_endpoint_is_quoted_exactly_as_it_was_published(recorded: Path) -> None:
    endpoints = 0
    texts: set[str] = set()
    for bundle in bundles(recorded):
        for asked, answer in answers(bundle):
            found = parse(document(answer, asked), SPEC)
            place = (bundle.name, asked)
            for quote, endpoint in zip(found, answer["data"]["endpoints"], strict=True):
                pricing = endpoint["pricing"]
                names = endpoint["provider_name"], endpoint["model_id"], endpoint["tag"]
                assert (quote.provider, quote.model, quote.tag) == names, place
                assert quote.prices == by_hand(pricing), (place, quote.tag)
                assert quote.overrides == overrides_by_hand(pricing), (place, quote.tag)
                facts = quote.facts
                limits = endpoint["context_length"] or None, endpoint["max_completion_tokens"]
                assert (facts.context_length, facts.max_output_tokens) == limits, (place, quote.tag)
                assert facts.max_prompt_tokens == endpoint["max_prompt_tokens"], (place, quote.tag)
                assert facts.quantization == {"unknown": None}.get(endpoint["quantization"], endpoint["quantization"])
                assert Decimal(facts.discount or 0) == Decimal(str(pricing["discount"])), (place, quote.tag)
                assert set(facts.features) == set(endpoint["supported_parameters"]), (place, quote.tag)
                assert set(facts.input_modalities) == set(answer["data"]["architecture"]["input_modalities"])
                assert {finding.rule for finding in quote.findings} <= {"fact", "answered_by"}, (place, quote.findings)
                assert quote.declared_free is asked.endswith(":free"), place
                texts.update(price.text for price in quote.prices.values())
                endpoints += 1
    assert endpoints == 77_968
    assert all(read_amount(text) >= 0 for text in texts)


@pytest.mark.recorded
def test_every_recorded_price_is_in_a_unit_of_its_meter(recorded: Path) -> None:
    for asked, answer in answers(bundles(recorded)[-1]):
        for quote in parse(document(answer, asked), SPEC):
            for prices in (quote.prices, *(override.prices for override in quote.overrides)):
                assert all(unit(price.unit).thing == METERS[meter].thing for meter, price in prices.items())


@pytest.mark.recorded
def test_the_endpoints_of_gpt_oss_120b_at_one_provider_are_recorded_apart(recorded: Path) -> None:
    body = (recorded / "recorded/openrouter/2026-08-22T2301Z-endpoints-openai__gpt-oss-120b.json").read_bytes()
    found = parse(document(body, "openai/gpt-oss-120b"), SPEC)
    assert len(found) == 20
    assert {quote.tag: quote.prices["input"].text for quote in found if quote.provider == "DeepInfra"} == {
        "deepinfra/bf16": "0.000000037",
        "deepinfra/turbo": "0.00000015",
    }


@pytest.mark.recorded
def test_recorded_answers_of_other_shapes_are_read(recorded: Path) -> None:
    folder = recorded / "recorded" / "openrouter"
    for name, count in (
        ("2025-05-23-endpoints-google__gemini-2.5-pro-preview", 2),
        ("2026-09-endpoints-deepseek__deepseek-v4.1-flash-excerpt", 2),
        ("2026-08-22T2301Z-endpoints-openrouter__auto", 0),
        ("2026-08-22T2301Z-endpoints-alias-anthropic__claude-opus-latest", 0),
    ):
        found = parse(document((folder / f"{name}.json").read_bytes(), "asked/for"), SPEC)
        assert len(found) == count
        assert not any(finding.held for quote in found for finding in quote.findings)


@pytest.mark.recorded
def test_every_recorded_list_of_two_years_is_followed_whole(recorded: Path) -> None:
    for path in sorted((recorded / "timeline" / "openrouter-models").glob("*.json.gz")):
        body = gzip.decompress(path.read_bytes())
        ids = [model["id"] for model in json.loads(body)["data"]]
        assert [request.part for request in follow(document(body), SPEC)] == ids, path.name


@pytest.mark.recorded
def test_an_image_was_priced_by_the_piece_until_2026_and_by_the_token_since(recorded: Path) -> None:
    """The headline prices of two years, as if they were those of endpoints."""
    for path in sorted((recorded / "timeline" / "openrouter-models").glob("*.json.gz")):
        for model in json.loads(gzip.decompress(path.read_bytes()))["data"]:
            pricing = {
                key: model["pricing"][key] for key in ("prompt", "completion", "image") if key in model["pricing"]
            }
            image, prompt = Decimal(pricing.get("image", "0")), Decimal(pricing["prompt"])
            if image > 0 and prompt > 0:
                quote = one(pricing)
                if image < prompt:  # two models of 2024, at a thousandth of a prompt token
                    assert doubts(quote) == [("unit", True)]
                    assert path.name < "2025"
                    continue
                meter = "input_image_token" if image == prompt else "input_image"
                assert meter in quote.prices, (path.name, model["id"])
                assert meter == "input_image_token" or path.name < "20260210", (path.name, model["id"])
