"""Names -> canonical provider, model and variant: what joins, and above all what does not."""

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from genai_prices.data import providers as packaged_providers
from hypothesis import example, given
from hypothesis import strategies as st

import collector.identify
from collector.identify import identify, read
from collector.names import models, words

CASES = Path(__file__).parent / "identities.csv"
"""Checked by hand: as published, then as it must be read."""

# Names that come close and must never meet.
APART = """
    gpt-4-turbo gpt-4 gpt-4o gpt-4o-mini gpt-4.1 gpt-4.1-mini gpt-4-32k gpt-4-0613
    gpt-4o-2024-05-13 gpt-4o-2024-08-06 gpt-4o-2024-11-20 chatgpt-4o-latest gpt-4o
    gpt-5 gpt-5-mini gpt-5-pro gpt-5-chat gpt-5.1 gpt-5-codex gpt-5.1-codex-max
    gpt-oss-120b gpt-oss-20b gpt-oss-safeguard-120b gpt-oss-safeguard-20b
    o1 o1-mini o1-preview o1-pro o3 o3-mini o3-mini-high o3-pro o4-mini o4-mini-high
    qwen3-235b-a22b Qwen3-235B-A22B-Instruct-2507 Qwen3-235B-A22B-Thinking-2507 qwen3-235b-a22b-thinking
    qwen3-30b-a3b qwen3-30b-a3b-instruct-2507 qwen3-coder-30b-a3b-instruct qwen3-vl-30b-a3b-instruct
    qwen3-coder qwen3-coder-next qwen3-coder-plus qwen3-coder-flash qwen3-coder-30b-a3b
    deepseek-r1 DeepSeek-R1-0528 DeepSeek-R1-Distill-Llama-70B DeepSeek-R1-Distill-Qwen-32B deepseek-r1-zero
    DeepSeek-V3 DeepSeek-V3-0324 DeepSeek-V3-Base DeepSeek-V3.1 DeepSeek-V3.1-Terminus DeepSeek-V3.2
    deepseek-v3.2 deepseek-v3.2-exp deepseek-v3.2-speciale deepseek-v4-flash deepseek-v4-flash-0731
    claude-3-5-sonnet-20240620 claude-3-5-sonnet-20241022 claude-3-5-sonnet-latest claude-3-7-sonnet-20250219
    claude-opus-4 claude-opus-4-1 claude-opus-4-5 claude-opus-4-6 claude-opus-4.6-fast claude-sonnet-4
    claude-3-haiku-20240307 claude-3-5-haiku-20241022 claude-haiku-4-5-20251001 claude-haiku-latest
    kimi-k2-instruct kimi-k2-0905-preview kimi-k2-thinking kimi-k2.5 kimi-k2-turbo-preview kimi-k2.7-code
    glm-4.5 glm-4.5-air glm-4.5-airx glm-4.5-x glm-4.5v glm-4.5-flash glm-5 glm-5-turbo glm-5v-turbo
    gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-flash-lite-preview-09-2025 gemini-2.5-flash-image
    gemini-2.5-pro gemini-2.5-pro-preview-05-06 gemini-2.5-pro-preview-06-05 gemini-2.5-pro-exp-03-25
    llama-3.1-8b-instruct llama-3.1-8b llama-3-8b-instruct llama-3.1-70b-instruct llama-3.3-8b-instruct
    llama-3.1-405b llama-3.1-405b-instruct hermes-3-llama-3.1-405b llama-3.1-nemotron-70b-instruct
    codestral-2405 codestral-2501 codestral-2508 codestral-latest codestral-mamba
    mistral-large mistral-large-2402 mistral-large-2407 mistral-large-2411 mistral-large-2512 mistral-large-latest
    mistral-medium mistral-medium-3 mistral-medium-3.1 mistral-medium-3-5 mistral-medium-latest
    grok-4 grok-4-fast grok-4.1-fast grok-4.20 grok-4.20-multi-agent grok-4.3 grok-3-mini grok-3-mini-fast
    minimax-m2 minimax-m2.1 minimax-m2.5 minimax-m2-her minimax-m1 minimax-text-01
    nemotron-nano-9b-v2 nemotron-nano-12b-v2 nemotron-nano-12b-v2-vl nemotron-3.5-lightning nemotron-3-nano-30b-a3b
    morph-v3-fast morph-v3-large
    gemma-3-27b-it gemma-3-27b gemma-3-12b-it gemma-2-27b-it gemma-3n-e4b-it
    qwen-plus qwen-turbo qwen-max qwen-plus-2025-07-28 qwen-max-latest qwen3-max qwen3-max-thinking
"""


def _cases() -> list[dict[str, str]]:
    with CASES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", _cases(), ids=lambda case: f"{case['source']} {case['provider']} {case['model']}")
def test_a_published_name_is_read_as_a_person_reads_it(case: dict[str, str]) -> None:
    published = (case["source"], case["provider"], case["model"], case["tag"], case["quantization"] or None)
    reading = read(*published)
    identity = reading.identity
    assert reading.confidence == case["confidence"], reading.why
    assert reading.why
    assert identity.provider == case["canonical_provider"]
    assert identity.model == case["canonical_model"]
    assert identity.variant == case["variant"]


@pytest.mark.parametrize("group", APART.strip().splitlines())
def test_names_that_come_close_stay_apart(group: str) -> None:
    names = group.split()
    models = [identify("models_dev", "some-gateway", name).model for name in names]
    assert len(set(models)) == len(names), models


def test_the_variant_does_not_depend_on_where_its_parts_stood() -> None:
    in_the_name = identify("a", "Gmi", "zai-org/GLM-5.2-FP8", "turbo")
    in_the_tag = identify("b", "GMICloud", "z-ai/glm-5.2-turbo", "gmicloud/fp8")
    stated = identify("c", "gmi", "glm-5.2", "turbo", "FP8")
    assert in_the_name == in_the_tag == stated
    assert in_the_name.variant == "fp8/turbo"
    assert identify("a", "azure", "gpt-5.4", "flex/global") == identify("a", "azure", "gpt-5.4", "global/flex")


def test_a_gateway_is_its_own_provider() -> None:
    for gateway in ("openrouter", "vercel", "requesty", "kilo", "poe", "nano-gpt"):
        assert identify("models_dev", gateway, "openai/gpt-4o").provider == gateway


@pytest.mark.parametrize(
    "disguised",
    [
        "openai/gpt-4o\x00",
        "openai/gpt\u200b-4o",
        "openai/gpt-4\u043e",
        "\u212aimi-k2.6",
        "openai/gpt-4o\n",
        "openai/gpt-4o\u202e",
        "openai/gpt*4o",
        "\ud800gpt-4o",
    ],
)
def test_a_disguised_name_joins_nothing(disguised: str) -> None:
    model = identify("litellm", "acme", disguised).model
    assert model not in {"openai/gpt-4o", "moonshotai/kimi-k2.6", "openai/gpt-4"}
    assert re.fullmatch(r"[a-z0-9._~:@/-]+~[0-9a-f]{8}", model)


TEXTS = st.text(max_size=300) | st.text(alphabet="abg4o-._~:@/ \x00é", max_size=60)
HOSTS = ("deepinfra", "some-gateway", "amazon-bedrock", "parasail", "openai", "vercel")
KNOWN = sorted("/".join(name) for name in models().known)


@given(st.sampled_from(KNOWN), st.sampled_from(HOSTS), st.data())
def test_another_size_version_or_date_is_another_model(name: str, host: str, data: st.DataObject) -> None:
    numbers = [*re.finditer("[0-9]+", name)]
    if not numbers:
        return
    place = data.draw(st.sampled_from(numbers))
    other = data.draw(st.integers(0, 20260999).map(str).filter(lambda number: int(number) != int(place[0])))
    changed = f"{name[: place.start()]}{other}{name[place.end() :]}"
    reviewed = {("/".join(key), "/".join(model)) for key, model in models().aliases.items()}
    one, two = read("x", host, name), read("x", host, changed)
    assert one.identity.model != two.identity.model or (changed, name) in reviewed


@given(st.sampled_from(KNOWN), st.sampled_from(KNOWN), st.sampled_from(HOSTS))
def test_two_models_of_the_canon_are_never_one(one: str, two: str, host: str) -> None:
    bare = [read("x", host, name.partition("/")[2]) for name in (one, two)]
    sure = [reading.identity.model for reading in bare if reading.confidence != "unsure"]
    authored = [read("x", host, name).identity.model for name in (one, two)]
    assert (authored[0] == authored[1]) == (one == two)
    if len(sure) == 2 and words(one.partition("/")[2]) != words(two.partition("/")[2]):
        assert sure[0] != sure[1]


@given(st.sampled_from(HOSTS), st.sampled_from(KNOWN) | TEXTS)
def test_what_is_read_is_read_again_as_itself(host: str, published: str) -> None:
    reading = read("x", host, published)
    if reading.confidence != "unsure":
        assert read("x", "some-gateway", reading.identity.model).identity.model == reading.identity.model


def test_every_name_of_the_canon_is_itself() -> None:
    wrong = {name for name in KNOWN if identify("x", "some-gateway", name).model != name}
    assert wrong == set()


def test_a_recorded_decision_goes_before_every_rule() -> None:
    recorded = {("acme", "big/Model"): "openai/gpt-oss-120b"}
    reading = read("x", "Acme", "big/Model", "fp8", recorded=recorded)
    assert (reading.identity.model, reading.identity.variant, reading.confidence) == (
        "openai/gpt-oss-120b",
        "fp8",
        "alias",
    )
    assert identify("x", "Acme", "big/model", recorded=recorded).model == "big/model"
    assert identify("x", "other", "big/Model", recorded=recorded).model == "big/model"


def test_long_names_stay_short_and_apart() -> None:
    one, two = (identify("litellm", "p" * 500, f"openai/{'x' * 5000}{end}") for end in "ab")
    assert one.model != two.model
    assert len(one.model) <= 200
    assert len(one.provider) <= 64
    assert identify("litellm", "p" * 501, "x").provider != one.provider


def test_provider_names_in_other_scripts_stay_apart() -> None:
    slugs = {identify("s", name, "m").provider for name in ("智谱", "百度", "", "DeepInfra", "DeepInfr\u0430", "-")}
    assert len(slugs) == 6
    assert all(re.fullmatch(r"[a-z0-9-]+", slug) for slug in slugs)


@given(st.sampled_from(["openrouter", "litellm", "x"]), TEXTS, TEXTS, TEXTS, st.none() | TEXTS)
@example("openrouter", "", "", "", None)
@example("openrouter", "/", "/", "/", "/")
@example("openrouter", "", "/0/0", "", None)
@example("litellm", "huggingface_" * 50, "models/" * 60, "a/" * 100, "x" * 300)
@example("litellm", "bedrock", "bedrock/:0", "@", "")
@example("litellm", "p", "@default", ":free", "unknown")
@example("litellm", "p", "-free", "", "none")
@example("litellm", "-" * 3000 + "models", "-free" * 60, "", None)
def test_any_text_has_an_identity(source: str, provider: str, model: str, tag: str, quantization: str | None) -> None:
    identity = identify(source, provider, model, tag, quantization)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", identity.provider)
    assert re.fullmatch(r"[a-z0-9._~:@-][a-z0-9._~:@/-]*", identity.model)
    assert "/" in identity.model
    assert len(identity.model) <= 200
    assert re.fullmatch(r"[a-z0-9._~:@/-]*", identity.variant)
    assert len(identity.variant) <= 600
    collector.identify._read.cache_clear()
    collector.identify._model.cache_clear()
    collector.identify._provider.cache_clear()
    assert identify(source, provider, model, tag, quantization) == identity


def _data(name: str) -> Any:
    text = (Path(collector.identify.__file__).parent / name).read_text(encoding="utf-8")
    return yaml.safe_load(text)


def test_every_provider_name_means_one_provider_and_slugs_mean_themselves() -> None:
    providers = _data("providers.yaml")["providers"]
    assert list(providers) == sorted(providers)
    keys = [re.sub(r"[^a-z0-9]", "", name.lower()) for slug, names in providers.items() for name in (slug, *names)]
    assert len(keys) == len(set(keys))
    for slug, names in providers.items():
        assert {identify("any", name, "m").provider for name in (slug, *names)} == {slug}


def test_every_author_and_beginning_means_one_author() -> None:
    data = _data("models.yaml")
    for section in ("authors", "families", "aliases"):
        assert list(data[section]) == sorted(data[section]), section
    keys = [re.sub(r"[^a-z0-9]", "", name.lower()) for pair in data["authors"].items() for name in (pair[0], *pair[1])]
    assert sorted({key for key in keys if keys.count(key) > 1}) == ["xai", "zai"]
    beginnings = [name.rstrip("*") for names in data["families"].values() for name in names]
    assert len(beginnings) == len(set(beginnings))


@pytest.mark.fault(115)
def test_every_alias_is_reached_and_none_leads_on() -> None:
    for canonical, names in _data("models.yaml")["aliases"].items():
        author = canonical.split("/")[0]
        assert identify("any", "some-host", canonical).model == canonical
        for name in names:
            published = name if "/" in name else f"{author}/{name}"
            assert identify("any", "some-host", published).model == canonical, name


def test_the_packaged_catalogue_finds_gpt_oss_120b_at_many_providers() -> None:
    found = {
        identify("genai_prices", provider.id, model.id).provider
        for provider in packaged_providers
        for model in provider.models
        if identify("genai_prices", provider.id, model.id).model == "openai/gpt-oss-120b"
    }
    assert found >= {"cerebras", "fireworks", "groq", "novita", "ovhcloud", "together"}


# Recorded documents


def _newest(recorded: Path, upstream: str) -> Any:
    return json.loads(gzip.decompress(max((recorded / "timeline" / upstream).glob("*.json.gz")).read_bytes()))


def _published(recorded: Path) -> Iterator[tuple[str, str, str]]:
    """(source, provider, id) of everything that the recorded catalogues and lists name."""
    for provider, entry in _newest(recorded, "models-dev").items():
        yield from (("models_dev", provider, model) for model in entry["models"])
    for key, entry in _newest(recorded, "litellm").items():
        if entry.get("mode") in ("chat", "completion", "responses"):
            yield "litellm", entry["litellm_provider"], key
    for provider in _newest(recorded, "genai-prices-v2"):
        yield from (("genai_prices", provider["id"], model["id"]) for model in provider["models"])
    yield from (("llm_prices", price["vendor"], price["id"]) for price in _newest(recorded, "llm-prices")["prices"])
    for model, answer in _newest(recorded, "openrouter-endpoints")["models"].items():
        yield from (("openrouter", endpoint["provider_name"], model) for endpoint in answer["data"]["endpoints"])
    for folder, name, provider in (
        ("deepinfra", "2026-04-17-v1-openai-models.json", "DeepInfra"),
        ("chutes", "2025-08-02-v1-models.json", "Chutes"),
        ("xai", "2026-08-17-v1-models.json", "xAI"),
    ):
        listed = json.loads((recorded / "recorded" / folder / name).read_bytes())["data"]
        yield from ((folder, provider, model["id"]) for model in listed)
    for row in json.loads((recorded / "recorded/parasail/2025-12-29-serverless-deployments.json").read_bytes()):
        yield "parasail", "Parasail", row["modelName"]


def _canon(recorded: Path) -> set[str]:
    """OpenRouter's ids of the newest list, without suffix."""
    return {model["id"].partition(":")[0] for model in _newest(recorded, "openrouter-models")["data"]}


@pytest.mark.recorded
def test_recorded_openrouter_ids_and_providers_are_the_canon(recorded: Path) -> None:
    for model in _canon(recorded):
        for provider in ("DeepInfra", model.split("/")[0]):
            assert identify("openrouter", provider, model).model == model
    for _, provider, model in (row for row in _published(recorded) if row[0] == "openrouter"):
        assert identify("openrouter", provider, model).model == model.partition(":")[0]
    for provider in _newest(recorded, "openrouter-providers")["data"]:
        assert identify("openrouter", provider["name"], "a/b", provider["slug"]).provider == provider["slug"]
        assert identify("openrouter", provider["name"], "a/b", f"{provider['slug']}/fp8").variant == "fp8"


@pytest.mark.recorded
def test_recorded_openrouter_ids_mean_themselves_at_any_gateway(recorded: Path) -> None:
    changed = {model for model in _canon(recorded) if identify("models_dev", "some-gateway", model).model != model}
    assert changed == set()


@pytest.mark.recorded
def test_recorded_gpt_oss_120b_is_found_everywhere_and_nothing_else_is(recorded: Path) -> None:
    alike = {row for row in _published(recorded) if "gptoss120b" in re.sub(r"[^a-z0-9]", "", row[2].lower())}
    found = {row for row in _published(recorded) if identify(*row).model == "openai/gpt-oss-120b"}
    assert found <= alike
    assert alike - found == {
        ("litellm", "lemonade", "lemonade/gpt-oss-120b-mxfp-GGUF"),
        ("litellm", "ollama", "ollama/gpt-oss:120b-cloud"),
        ("models_dev", "poe", "cerebras/gpt-oss-120b-cs"),
    }
    assert len(found) >= 100
    assert len({identify(*row).provider for row in found}) >= 60


@pytest.mark.recorded
def test_recorded_catalogues_meet_the_canon_as_often_as_measured(recorded: Path) -> None:
    canon = _canon(recorded)
    met: dict[str, tuple[int, int]] = {}
    for row in set(_published(recorded)):
        hits, rows = met.get(row[0], (0, 0))
        met[row[0]] = (hits + (identify(*row).model in canon), rows + 1)
    floors = {
        "models_dev": 3550,
        "litellm": 1300,
        "genai_prices": 770,
        "llm_prices": 69,
        "deepinfra": 70,
        "chutes": 33,
        "parasail": 16,
        "xai": 5,
    }
    assert {source: met[source][0] for source in floors if met[source][0] < floors[source]} == {}


@pytest.mark.recorded
def test_recorded_weights_lead_to_the_id_openrouter_gives_them(recorded: Path) -> None:
    wrong = {}
    listed = [model for model in _newest(recorded, "openrouter-models")["data"] if model.get("hugging_face_id")]
    for model in listed:
        canonical, found = model["id"].partition(":")[0], identify("hub", "some-host", model["hugging_face_id"]).model
        if found != canonical:
            wrong[canonical] = found
    assert not set(wrong.values()) & _canon(recorded)
    assert len(wrong) <= 0.12 * len(listed), wrong
