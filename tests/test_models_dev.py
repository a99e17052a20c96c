"""models.dev: tiers, modes, zeros and missing costs, and the recorded documents read a second way."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from collector.contract import Quote
from collector.errors import SourceChanged
from collector.sources.models_dev import READ, parse
from store.records import Facts
from tests import catalogues
from tests.catalogues import Place, amounts, document, rules, texts
from tests.timelines import told_day

SPEC = catalogues.spec("models_dev")
METERS = ("input", "output", "cache_read", "cache_write", "reasoning", "input_audio", "output_audio")


def quotes(model: object, name: str = "one") -> list[Quote]:
    return parse(document("models_dev", {"acme": {"id": "acme", "models": {name: model}}}), SPEC)


def one(named: str = "one", /, **fields: object) -> Quote:
    [quote] = quotes({"id": named, **fields}, named)
    return quote


def test_prices_come_out_in_usd_per_million_tokens_under_provider_and_model_keys() -> None:
    quote = one(cost={"input": 0.039, "output": 0.19, "cache_read": 0.01})
    assert (quote.provider, quote.model, quote.tag, quote.locator) == ("acme", "one", "", '["acme"].models["one"]')
    assert texts(quote.prices) == {"input": "0.039", "output": "0.19", "cache_read": "0.01"}
    assert {price.unit for price in quote.prices.values()} == {"USD/1M_token"}


def test_tiers_become_conditions_shortest_first_and_silence_the_older_word() -> None:
    quote = one(
        cost={
            "input": 1,
            "output": 2,
            "tiers": [
                {"input": 5, "output": 6, "tier": {"type": "context", "size": 512000}},
                {"input": 3, "output": 4, "tier": {"type": "context", "size": 32000}},
            ],
            "context_over_200k": {"input": 9, "output": 9},
        }
    )
    assert [(override.above_tokens, texts(override.prices)) for override in quote.overrides] == [
        (32_000, {"input": "3", "output": "4"}),
        (512_000, {"input": "5", "output": "6"}),
    ]


def test_the_older_word_counts_where_there_are_no_tiers() -> None:
    [override] = one(cost={"input": 1, "output": 2, "context_over_200k": {"input": 3, "output": 4}}).overrides
    assert (override.above_tokens, texts(override.prices)) == (200_000, {"input": "3", "output": "4"})


@pytest.mark.parametrize(
    "tiers",
    [
        {"input": 3},
        ["32k"],
        [{"input": 3}],
        [{"input": 3, "tier": {"type": "hour", "size": 8}}],
        [{"input": 3, "tier": {"type": "context"}}],
        [{"input": 3, "tier": {"type": "context", "size": 0}}],
        [{"input": 3, "tier": {"type": "context", "size": 0.5}}],
        [{"input": "3", "tier": {"type": "context", "size": 32000}}],
        [{"input": 3, "tier": {"type": "context", "size": 32000}}] * 2,
    ],
)
def test_a_tier_that_is_not_understood_holds_the_quote(tiers: object) -> None:
    assert any(held for _, held in rules(one(cost={"input": 1, "output": 2, "tiers": tiers})))


def test_a_mode_with_a_cost_is_an_offer_of_its_own() -> None:
    found = quotes(
        {
            "cost": {"input": 1, "output": 2, "cache_read": 0.1},
            "limit": {"context": 1000, "output": 10},
            "experimental": {
                "modes": {
                    "fast": {"cost": {"input": 2, "output": 4}, "provider": {"body": {"speed": "fast"}}},
                    "quiet": {"provider": {"body": {"verbosity": "low"}}},
                }
            },
        }
    )
    assert {quote.tag: texts(quote.prices) for quote in found} == {
        "": {"input": "1", "output": "2", "cache_read": "0.1"},
        "fast": {"input": "2", "output": "4"},
    }
    assert found[0].facts == found[1].facts


def test_an_experimental_model_without_modes_is_one_offer() -> None:
    assert one(experimental=True, cost={"input": 1, "output": 2}).tag == ""


def test_a_model_without_a_cost_is_an_offer_of_unknown_price_and_known_context() -> None:
    quote = one(limit={"context": 128000, "output": 4096})
    assert texts(quote.prices) == {"input": "", "output": ""}
    assert (quote.facts.context_length, quote.facts.max_output_tokens) == (128_000, 4096)
    assert not quote.findings


@pytest.mark.parametrize("name", ["plan", "named-free", "free"])
def test_zeros_are_unknown_prices_and_no_caches(name: str) -> None:
    quote = one(name, cost={"input": 0, "output": 0.0, "cache_read": 0, "cache_write": 0, "reasoning": 0})
    assert texts(quote.prices) == {"input": "", "output": ""}
    assert not quote.declared_free


def test_zeros_of_an_id_that_says_free_are_prices() -> None:
    quote = one("acme/gift:free", cost={"input": 0, "output": 0, "cache_read": 0})
    assert texts(quote.prices) == {"input": "0", "output": "0", "cache_read": "0"}
    assert quote.declared_free


def test_one_zero_beside_a_price_is_unknown() -> None:
    assert texts(one(cost={"input": 0.02, "output": 0}).prices) == {"input": "0.02", "output": ""}


@pytest.mark.parametrize("wrong", ["0.5", True, [0.5], {"usd": 0.5}])
def test_anything_but_a_number_where_a_price_belongs_holds_that_offer_only(wrong: object) -> None:
    modes = {"modes": {"fast": {"cost": {"input": 2, "output": 4}}}}
    base, fast = quotes({"cost": {"input": wrong, "output": 1}, "experimental": modes})
    assert rules(base) == [("type", True)]
    assert not fast.findings


@pytest.mark.parametrize(
    "model",
    [
        "moved",
        {"cost": 5},
        {"cost": {"input": 1, "output": 2}, "limit": 128000},
        {"cost": {"input": 1, "output": 2}, "modalities": ["text"]},
        {"cost": {"input": 1, "output": 2}, "experimental": {"modes": ["fast"]}},
        {"cost": {"input": 1, "output": 2}, "experimental": {"modes": {"fast": 2}}},
        {"cost": {"input": 1, "output": 2}, "experimental": {"modes": {"": {"cost": {"input": 1}}}}},
        {"cost": {"input": 1, "output": 2}, "experimental": {"modes": {"fa\u202est": {"cost": {"input": 1}}}}},
    ],
)
def test_a_model_of_another_shape_is_held_and_still_seen(model: object) -> None:
    [quote] = quotes(model)
    assert quote.model == "one"
    assert any(held for _, held in rules(quote))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"limit": {"context": "128k"}}, "context_length"),
        ({"limit": {"output": 0.5}}, "max_output_tokens"),
        ({"modalities": {"input": "text"}}, "input_modalities"),
        ({"status": ["beta"]}, "status"),
    ],
)
def test_a_fact_of_the_wrong_type_is_not_stated_and_noted(fields: dict[str, object], name: str) -> None:
    quote = one(cost={"input": 1, "output": 2}, **fields)
    assert quote.facts == Facts()
    [note] = quote.findings
    assert (note.rule, note.held, note.message.split()[0]) == ("fact", False, name)


def test_a_hostile_name_is_held_under_a_name_that_can_be_shown() -> None:
    quote = one("one\u202e", cost={"input": 1, "output": 2})
    assert (quote.model, rules(quote)) == ("one\\u202e", [("name", True)])


def test_a_price_without_a_meter_is_noted() -> None:
    [note] = one(cost={"input": 1, "output": 2, "minutes": 0.5}).findings
    assert (note.rule, note.held, note.message) == ("unmapped_price", False, "not read: minutes")


def test_facts_are_limits_status_features_and_modalities_of_both_shapes() -> None:
    fields: dict[str, object] = {"limit": {"context": 1000, "input": 900, "output": 0}, "status": "beta"}
    fields |= {"tool_call": True, "reasoning": False}
    nested = one(**fields, attachment=True, modalities={"input": ["text", "pdf"], "output": ["text"]})
    flat = one(**fields, attachment=True, input_modalities=["text", "pdf"], output_modalities=["text"])
    assert nested.facts == flat.facts
    facts = nested.facts
    assert (facts.context_length, facts.max_prompt_tokens, facts.max_output_tokens) == (1000, 900, None)
    assert (facts.status, facts.features) == ("beta", ("attachment", "tool_call"))
    assert (facts.input_modalities, facts.output_modalities) == (("pdf", "text"), ("text",))


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        [1],
        b"",
        b"<html>",
        {"acme": []},
        {"acme": {"id": "acme"}},
        {"acme": {"models": ["one"]}},
        {"acme": {"models": {}}},
        {"acme": {"models": {"": {"cost": {"input": 1, "output": 2}}}}},
        {" ": {"models": {"one": {"cost": {"input": 1, "output": 2}}}}},
    ],
)
def test_a_body_without_models_raises_source_changed(body: object) -> None:
    with pytest.raises(SourceChanged):
        parse(document("models_dev", body), SPEC)


def independent(body: bytes) -> dict[Place, Decimal | None]:
    """The document flattened: provider, model, mode, condition, meter."""
    found: dict[Place, Decimal | None] = {}
    for provider, entry in catalogues.read(body).items():
        for model, fields in entry["models"].items():
            costs = {"": fields.get("cost", {})}
            if isinstance(fields.get("experimental"), dict):
                costs |= {name: mode["cost"] for name, mode in fields["experimental"]["modes"].items()}
            for tag, cost in costs.items():
                layers = {0: cost}
                if "tiers" in cost:
                    layers |= {int(tier["tier"]["size"]): tier for tier in cost["tiers"]}
                elif "context_over_200k" in cost:
                    layers[200_000] = cost["context_over_200k"]
                for above, layer in layers.items():
                    for meter in METERS:
                        amount = layer.get(meter)
                        if amount or (amount is not None and model.endswith(":free")):
                            found[provider, model, tag, above, meter] = amount
                for meter in ("input", "output"):
                    found.setdefault((provider, model, tag, 0, meter), None)
    return found


@pytest.mark.recorded
def test_every_price_of_recorded_documents_equals_an_independent_reading(recorded: Path) -> None:
    for body in catalogues.first_middle_last(recorded, "models-dev"):
        found = parse(document("models_dev", body), SPEC)
        assert amounts(found) == independent(body)
        assert {(one.rule, one.held) for quote in found for one in quote.findings} <= {("fact", False)}


@pytest.mark.recorded
def test_every_date_of_recorded_documents_equals_an_independent_reading_and_one_that_cannot_be_is_noted(
    recorded: Path,
) -> None:
    noted: set[str] = set()
    for body in catalogues.first_middle_last(recorded, "models-dev"):
        catalogue = catalogues.read(body)
        for quote in parse(document("models_dev", body), SPEC):
            model = catalogue[quote.provider]["models"][quote.locator.rpartition('["')[2].removesuffix('"]')]
            assert quote.facts.release_date == told_day(model.get("release_date"))
            assert quote.facts.knowledge_cutoff == told_day(model.get("knowledge"))
            assert quote.facts.open_weights is model.get("open_weights")
            noted |= {one.message for one in quote.findings}
    assert noted == {
        "release_date is '1970-01-01'",
        "release_date is '2025-25-11'",
        "knowledge_cutoff is '2025-02-31'",
    }


@pytest.mark.recorded
def test_every_limit_of_recorded_documents_equals_an_independent_reading(recorded: Path) -> None:
    for body in catalogues.first_middle_last(recorded, "models-dev"):
        models = {
            (provider, name): model
            for provider, entry in catalogues.read(body).items()
            for name, model in entry["models"].items()
        }
        found = [quote for quote in parse(document("models_dev", body), SPEC) if not quote.tag]
        assert [(quote.provider, quote.model) for quote in found] == list(models)
        for quote in found:
            limit = models[quote.provider, quote.model]["limit"]
            assert (quote.facts.context_length or 0) == limit["context"]
            assert (quote.facts.max_output_tokens or 0) == limit["output"]


def assert_nothing_else_is_read(body: bytes) -> None:
    """What a file of the repository is not asked for has no say in quotes."""
    providers = json.loads(body)
    whole = parse(document("models_dev", providers), SPEC)
    for entry in providers.values():
        entry["models"] = {
            name: {key: model[key] for key in READ if key in model} if isinstance(model, dict) else model
            for name, model in entry["models"].items()
        }
    assert parse(document("models_dev", providers), SPEC) == whole


def test_what_a_file_is_not_asked_for_has_no_say_in_quotes() -> None:
    assert_nothing_else_is_read(catalogues.sample("models_dev").body)


@pytest.mark.recorded
def test_what_recorded_files_are_not_asked_for_has_no_say_in_quotes(recorded: Path) -> None:
    for body in catalogues.first_middle_last(recorded, "models-dev"):
        assert_nothing_else_is_read(body)


@pytest.mark.recorded
def test_every_recorded_body_is_read_whole_and_no_offer_stands_twice(recorded: Path) -> None:
    recordings = catalogues.bodies(recorded, "models-dev")
    assert len(recordings) == 56
    for instant, body in recordings:
        found = parse(document("models_dev", body), SPEC)
        offers = {(quote.provider, quote.model, quote.tag) for quote in found}
        assert len(offers) == len(found) > 150, instant


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("instant", "provider", "model", "meter", "published"),
    [
        ("20250620T000000Z", "anthropic", "claude-sonnet-4-20250514", "cache_read", "3.75"),
        ("20250624T000000Z", "anthropic", "claude-sonnet-4-20250514", "cache_read", "0.3"),
        (
            "20251217T000000Z",
            "cloudflare-ai-gateway",
            "workers-ai/llama-3.3-70b-instruct-fp8-fast",
            "output",
            "2250000",
        ),
        ("20251217T000000Z", "helicone", "mistral-small", "input", "75"),
        ("20260529T000000Z", "helicone", "mistral-small", "input", "0.075"),
        ("20260401T000000Z", "openrouter", "openai/gpt-5.4-mini", "input", "0.00000075"),
        ("20260426T000000Z", "openrouter", "openai/gpt-5.4-mini", "input", "0.75"),
    ],
)
def test_known_slips_come_out_as_published(
    recorded: Path, instant: str, provider: str, model: str, meter: str, published: str
) -> None:
    found = parse(document("models_dev", catalogues.current(recorded, "models-dev", instant)), SPEC)
    amount = amounts(found)[provider, model, "", 0, meter]
    assert amount == Decimal(published)
