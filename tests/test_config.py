"""Configuration: what is read, what is inherited, and every mistake told with its place."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import Config, load, packaged, ready, requests_for
from collector.contract import PriceSpec, SourceSpec, TierSpec
from collector.errors import ConfigError
from collector.parse.facts import FACTS
from collector.settings import CheckSettings, HttpSettings
from collector.sources import FAMILIES, parser_of, parsers
from collector.strict_yaml import NotYaml, plain, read_yaml
from store.policy import Policy
from store.records import Document
from store.units import METERS, unit

ACME = """
sources:
  acme:
    title: Acme
    parser: json_list
    url: https://acme.example/v1/models
    trust: first-party
    provider: acme
    records: data
    model: id
    prices:
      input: {at: pricing.in, unit: USD/1M_token}
      output: {at: pricing.out, unit: USD/1M_token, zero: unknown}
    every: 90m
    expect: {endpoints: 3}
"""


def written(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    return load(written(folder, text), environ or {})


def mistakes(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    return [mistake.replace(f"{path}:", "") for mistake in refused.value.mistakes]


def test_an_entry_becomes_a_spec(tmp_path: Path) -> None:
    spec = read(tmp_path, ACME).sources["acme"]
    assert (spec.title, spec.parser, spec.trust, spec.provider) == ("Acme", "json_list", "first-party", "acme")
    assert spec.every_s == 5400
    assert spec.prices == (
        PriceSpec(meter="input", at="pricing.in", unit="USD/1M_token"),
        PriceSpec(meter="output", at="pricing.out", unit="USD/1M_token", zero="unknown"),
    )
    assert dict(spec.expect) == {"endpoints": 3}


def test_every_key_of_an_entry_arrives(tmp_path: Path) -> None:
    text = (
        ACME
        + """
    enabled: false
    provider_at: owner
    tag_at: tag
    tiers:
      - above_at: threshold
        prices:
          input: {at: long.in, unit: USD/1M_token}
    facts: {context_length: ctx, features: caps}
    require: {unit: usd_per_1m}
    skip: {kind: [image, audio], ready: "false"}
    grid: "1e-6"
    varies: ["-1"]
    free: Free
    absent: ["-", N/A]
    key_env: ACME_API_KEY
    concurrency: 2
    pause: 500ms
    deadline: 2m
    card: What is read.
    options: {deep: {list: [a, b]}, word: c}
"""
    )
    spec = read(tmp_path, text).sources["acme"]
    assert not spec.enabled
    assert (spec.provider_at, spec.tag_at, spec.key_env, spec.card) == ("owner", "tag", "ACME_API_KEY", "What is read.")
    assert spec.tiers == (
        TierSpec(above_at="threshold", prices=(PriceSpec(meter="input", at="long.in", unit="USD/1M_token"),)),
    )
    assert dict(spec.facts) == {"context_length": "ctx", "features": "caps"}
    assert dict(spec.require) == {"unit": ("usd_per_1m",)}
    assert dict(spec.skip) == {"kind": ("image", "audio"), "ready": ("false",)}
    assert spec.grid_nano == 1000
    assert (spec.varies, spec.free, spec.absent) == (("-1",), ("Free",), ("-", "N/A"))
    assert (spec.concurrency, spec.pause_s, spec.deadline_s) == (2, 0.5, 120.0)
    assert dict(spec.options) == {"deep": {"list": ["a", "b"]}, "word": "c"}


def test_settings_of_fetching_and_checking_are_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
archive: /var/lib/tape
http: {mirror: "http://127.0.0.1:8080/", user_agent: me, proxy: "http://proxy:3128", connect: 1s, first_byte: 2s,
  attempts: 1, redirects: 0, body_limit: 1MiB, decoded_limit: 2048, allow_private: true}
checks: {above_usd: 500, ratio: 5, missing_share: 0.25, misses: 2, gap: 12h}
""",
    )
    assert config.archive == "/var/lib/tape"
    assert config.http == HttpSettings(
        mirror="http://127.0.0.1:8080",
        user_agent="me",
        proxy="http://proxy:3128",
        connect_s=1.0,
        first_byte_s=2.0,
        attempts=1,
        redirects=0,
        body_limit=2**20,
        decoded_limit=2048,
        allow_private=True,
    )
    assert config.checks == CheckSettings(above_usd=500, ratio=5, missing_share=Fraction(1, 4), misses=2, gap_s=43_200)


def test_the_packaged_file_says_what_the_defaults_are() -> None:
    config = load(packaged(), {})
    assert config.http == HttpSettings()
    assert config.checks == CheckSettings()
    assert config.store == "sqlite:///tokentape.db"
    assert all(parser_of(spec) for spec in config.sources.values())


# --- a file of one's own over the packaged one ------------------------------------------------------------------------


def test_a_file_without_sources_inherits_them_all(tmp_path: Path) -> None:
    config = read(tmp_path, "store: sqlite:///mine.db")
    assert config.store == "sqlite:///mine.db"
    assert dict(config.sources) == dict(load(packaged(), {}).sources)


def test_an_empty_file_inherits_everything(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n").sources == load(packaged(), {}).sources


def test_an_entry_changes_the_keys_it_names(tmp_path: Path) -> None:
    before = load(packaged(), {}).sources
    after = read(tmp_path, "sources: {openrouter: {enabled: false}, deepinfra: {expect: {models: 9}}}").sources
    assert not after["openrouter"].enabled
    assert after["openrouter"].url == before["openrouter"].url
    assert dict(after["deepinfra"].expect) == {**before["deepinfra"].expect, "models": 9}
    assert after["novita"] == before["novita"]


def test_a_new_entry_is_added_and_may_use_a_packaged_shape(tmp_path: Path) -> None:
    text = """
sources:
  acme:
    shape: openrouter_format
    url: https://acme.example/models
    provider: acme
    prices: {cache_read: {at: pricing.input_cache_reads, unit: USD/1M_token}}
    skip: {kind: image}
    expect: {endpoints: 1}
"""
    config = read(tmp_path, text)
    prices = {price.meter: price for price in config.sources["acme"].prices}
    assert prices["input"] == PriceSpec(meter="input", at="pricing.prompt", unit="USD/token")
    assert prices["cache_read"] == PriceSpec(meter="cache_read", at="pricing.input_cache_reads", unit="USD/1M_token")
    assert dict(config.sources["acme"].skip) == {"is_ready": ("false",), "kind": ("image",)}
    assert len(config.sources) == len(load(packaged(), {}).sources) + 1


def test_a_file_can_start_from_nothing(tmp_path: Path) -> None:
    assert list(read(tmp_path, "inherit: false" + ACME).sources) == ["acme"]


def test_settings_are_inherited_key_by_key(tmp_path: Path) -> None:
    assert read(tmp_path, "http: {attempts: 1}").http == HttpSettings(attempts=1)


# --- which file -------------------------------------------------------------------------------------------------------


def test_the_nearest_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path / "home")}
    assert load(None, environ).path == packaged()
    home = written(tmp_path, "store: home.db", "home/.config/tokentape/config.yaml")
    assert load(None, environ).path == home
    other = written(tmp_path, "store: xdg.db", "xdg/tokentape/config.yaml")
    assert load(None, {**environ, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}).path == other
    written(tmp_path, "store: here.db", "tokentape.yaml")
    assert load(None, environ).store == "here.db"
    named = written(tmp_path, "store: named.db", "named.yaml")
    assert load(None, {**environ, "TOKENTAPE_CONFIG": str(named)}).store == "named.db"
    assert load(home, {**environ, "TOKENTAPE_CONFIG": str(named)}).store == "home.db"


def test_a_config_yaml_of_another_program_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "unrelated: true", "config.yaml")
    assert load(None, {}).path == packaged()


def test_the_environment_names_the_store(tmp_path: Path) -> None:
    assert read(tmp_path, "store: file.db", {"TOKENTAPE_STORE": "environ.db"}).store == "environ.db"


@pytest.mark.parametrize("make", ["missing", "folder", "latin"])
def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path, make: str) -> None:
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    elif make == "latin":
        path.write_bytes("store: caf\xe9.db".encode("latin-1"))
    with pytest.raises(ConfigError, match=make):
        load(path, {})


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """store: ""
colour: blue
http:
  atempts: 3
  connect: soon
sources:
  Bad-Id:
    parser: magic
    url: ftp://acme.example/
    trust: high
  acme:
    parser: json_list
    url: https://acme.example/
    trust: first-party
    every: 1 hour
    provider: acme
    model: id
    prices:
      input: {at: a.b, unit: USD/1G_token}
      tokens: {at: c, unit: USD/token}
      request: {at: d, unit: USD/token}
"""
    assert mistakes(tmp_path, text) == [
        "1: store: is empty",
        "2: colour: unknown key",
        "4: http.atempts: unknown key, perhaps attempts",
        "5: http.connect: 'soon' is not a span of time such as 45s, 30m, 12h or 1d",
        "7: sources.Bad-Id.every: is missing",
        "7: sources.Bad-Id.expect: names no least number of endpoints or models: fewer must be an error",
        "7: sources.Bad-Id: a source id has only a-z, 0-9 and _",
        f"8: sources.Bad-Id.parser: 'magic' is not one of {', '.join(parsers()[:12])} and {len(parsers()) - 12} more",
        "9: sources.Bad-Id.url: 'ftp://acme.example/' is not an https:// or http:// URL",
        "10: sources.Bad-Id.trust: 'high' is not one of first-party, aggregator, catalogue, scraped",
        "11: sources.acme.expect: names no least number of endpoints or models: fewer must be an error",
        "15: sources.acme.every: '1 hour' is not a span of time such as 45s, 30m, 12h or 1d",
        "19: sources.acme.prices.input.unit: unit 'USD/1G_token' is not of the form USD/1M_token",
        "20: sources.acme.prices.tokens: no such meter",
        "21: sources.acme.prices.request.unit: request is counted by the request, not in USD/token",
    ]


def test_the_message_has_a_line_for_each_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 1\nb: 2\n")
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    assert str(refused.value).splitlines() == [
        "2 mistakes in the configuration:",
        f"  {path}:1: a: unknown key",
        f"  {path}:2: b: unknown key",
    ]


@pytest.mark.fault(166, 167, 168, 170, 174)
@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("every: 0s", "0s is not from 1s to 31d"),
        ("every: -5m", "'-5m' is not a span of time such as 45s, 30m, 12h or 1d"),
        ("every: 40d", "40d is not from 1s to 31d"),
        ("enabled: yes", "'yes' is not one of true, false"),
        ("grid: 1e-10", "1e-10 is not a multiple of 1e-9"),
        ("grid: coarse", "'coarse' is not a plain decimal number"),
        ("concurrency: 0", "'0' is not a whole number from 1 to 64"),
        ("concurrency: 1_0", "'1_0' is not a whole number from 1 to 64"),
        ("key_env: A-B", "names no variable for keys of sources"),
        ("key_env: AWS_SECRET_ACCESS_KEY", "names no variable for keys of sources"),
        ("key_env: HOME", "names no variable for keys of sources"),
        ("key_env: ${ACME_API_KEY}", "names no variable for keys of sources"),
        ("url: 'http://127.0.0.1\\\\@acme.example/'", "has characters that no URL has"),
        ("url: 'https://acme.example/#@evil.example'", "has a user name or a fragment, which a source has not"),
        ('url: "https://acme.example/\\r\\nHost: evil.example"', "has characters that no URL has"),
        ("url: https://acme.example:22/", "port 22 is that of another service than HTTP"),
        ("url: https://acme.example:25/", "port 25 is that of another service than HTTP"),
        ("url: https://acme.example:6379/", "port 6379 is that of another service than HTTP"),
        ("url: https://acme.example/?api-key=PLANTED", "a key is named by `key_env`, and sent in a header"),
        ("url: https://acme.example/?a=b&access_token=PLANTED", "a key is named by `key_env`, and sent in a header"),
        ("url: FILE:///etc/passwd", "is not an https:// or http:// URL"),
        ("url: ftp://acme.example/", "is not an https:// or http:// URL"),
        ("url: data:text/plain,1", "is not an https:// or http:// URL"),
        ("url: gopher://acme.example/", "is not an https:// or http:// URL"),
        ("url: source:file:///etc/passwd", "is not an https:// or http:// URL"),
        ("title: [a]", "must be a text"),
        ("prices: none", "must be a mapping"),
        ("tiers: {a: b}", "must be a list"),
        ("shape: nowhere", "no such shape, of openrouter_format"),
        ("url: https://user:secret@acme.example/", "has a user name or a fragment, which a source has not"),
        ("url: 'https://acme.example\\\\@evil.example/'", "has characters that no URL has"),
        ("url: https://acme.example:port/", "is not a URL"),
        ("url: file:///etc/passwd", "is not an https:// or http:// URL"),
        ("url: package:../x", "is not an https:// or http:// URL"),
        ("model: a..b", "'a..b' is not a dotted path"),
        ("provider: ''", "is empty"),
    ],
)
def test_a_wrong_value_is_told(tmp_path: Path, line: str, what: str) -> None:
    key = line.partition(":")[0]
    lines = [one for one in ACME.splitlines() if not one.startswith(f"    {key}:")]
    if key == "prices":
        lines = [one for one in lines if "unit:" not in one]
    found = mistakes(tmp_path, "\n".join([*lines, f"    {line}"]))
    assert any(what in mistake for mistake in found), found
    assert "PLANTED" not in "".join(found)


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("", "is missing"),
        ("    records: data\n", "records: is for JSON only"),
    ],
)
def test_a_family_says_what_it_needs_and_what_it_cannot_use(tmp_path: Path, extra: str, what: str) -> None:
    text = (
        "sources:\n  acme:\n    parser: html_table\n    url: https://acme.example/\n    trust: scraped\n    every: 1d\n"
        f"    expect: {{endpoints: 1}}\n{extra}"
    )
    found = mistakes(tmp_path, text)
    assert any(what in mistake for mistake in found)
    assert {mistake.split(":")[1].strip() for mistake in found} >= {"sources.acme.model", "sources.acme.prices"}


TABLE = """
sources:
  acme:
    parser: markdown_table
    url: https://acme.example/pricing.md
    trust: first-party
    provider: acme
    every: 12h
    expect: {endpoints: 1}
    model: Model
    prices:
      input: {at: Price, unit: USD/1M_token, part: 1/2, after: / MTok}
      output: {at: Price, unit: USD/1M_token, part: 2/2}
    variants:
      - tag: batch
        prices: {input: {at: Batch, unit: USD/1M_token}}
    unknown: [Ask us]
    page:
      says: in USD
      above: [per 1M tokens, "1M = 1,000,000"]
      ends: The end
      sections: {Standard: "", Fast: priority}
      ranges: true
"""


def test_an_entry_of_a_page_becomes_a_spec(tmp_path: Path) -> None:
    spec = read(tmp_path, TABLE).sources["acme"]
    assert (spec.kind, spec.unknown, spec.variants[0].tag) == ("page", ("Ask us",), "batch")
    assert [(price.part, price.after) for price in spec.prices] == [((1, 2), "/ MTok"), ((2, 2), "")]
    assert (spec.page.says, spec.page.above) == (("in USD",), ("per 1M tokens", "1M = 1,000,000"))
    assert (dict(spec.page.sections), spec.page.ranges) == ({"Standard": "", "Fast": "priority"}, True)
    assert read(tmp_path, TABLE.replace("    page:", "    kind: api\n    page:")).sources["acme"].kind == "api"
    assert read(tmp_path, ACME).sources["acme"].kind == "api"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (TABLE.replace("      ends: The end\n", ""), "page.ends: names no words behind the last table"),
        (TABLE.replace("1/2", "3/2"), "'3/2' is not a part such as 2/3"),
        (TABLE.replace("2/2", "1/2"), "two meters are read at 'Price'"),
        (TABLE.replace("tag: batch", "tag: ''"), "variants[0].tag: is empty"),
        (TABLE.replace("says:", "say:"), "page.say: unknown key, perhaps says"),
        (TABLE.replace("markdown_table", "json_list"), "page: has what is for tables only"),
        (ACME.replace("unit: USD/1M_token}", "unit: USD/1M_token, after: x}"), "prices: has what is for tables only"),
        (ACME + "    kind: site\n", "'site' is not one of api, page"),
    ],
)
def test_mistakes_about_pages_are_told(tmp_path: Path, text: str, what: str) -> None:
    found = mistakes(tmp_path, text)
    assert any(what in mistake for mistake in found), found


def test_two_meters_at_one_place_are_a_mistake(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, ACME.replace("pricing.out", "pricing.in"))
    assert mistake == "11: sources.acme.prices: two meters are read at 'pricing.in'"


def test_mistakes_in_what_is_merged_name_the_file_they_stand_in(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, "sources:\n  openrouter:\n    enabled: maybe\n")
    assert mistake == "3: sources.openrouter.enabled: 'maybe' is not one of true, false"


# --- strict YAML ------------------------------------------------------------------------------------------------------


@pytest.mark.fault(196)
@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: &x 1\nb: *x", 1, "anchors"),
        ("a: 1\nb: *x", 2, "not YAML|anchors"),
        ("a: !!python/object/apply:os.system [true]", 1, "tags"),
        ("a: !x b", 1, "tags"),
        ("a: 1\n---\nb: 2", 1, "more than one document"),
        ("a: [1", 2, "not YAML"),
        ("a: 1\n b: 2", 2, "not YAML"),
        ("\ta: 1", 1, "not YAML"),
        ("? [a]\n: b", 1, "a key must be a text"),
        ("[" * 20 + "]" * 20, 1, "more than 16 levels"),
        ("a: " + "x" * 2**20, 1, "longer than"),
    ],
    ids=range(11),
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(NotYaml, match=what):
        read_yaml(text, "x.yaml", [])
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=what) as refused:
        load(path, {})
    assert f"{path}:" in str(refused.value)
    assert len(text) > 1000 or f":{line}:" in str(refused.value)


@pytest.mark.fault(196)
def test_a_key_that_stands_twice_is_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "store: a.db\nhttp: {}\nstore: b.db\n") == ["3: store: stands twice, first in line 1"]


@pytest.mark.fault(196)
def test_scalars_are_what_is_written() -> None:
    node = read_yaml("a: NO\nb: 1_000\nc: 1e-6\nd: ~\ne:\nf: '7'\ng: 2026-01-01\n", "x.yaml", [])
    assert plain(node) == {"a": "NO", "b": "1_000", "c": "1e-6", "d": "~", "e": "", "f": "7", "g": "2026-01-01"}


@pytest.mark.fault(196)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_yaml(text, "x.yaml", [])
    except NotYaml:
        return


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("http: {body_limit: many}", "'many' is not a size such as 16MiB"),
        ("http: {body_limit: 0}", "'0' is not a size such as 16MiB"),
        ("http: {mirror: example}", "'example' is not an https:// or http:// URL"),
        ("http: off", "http: must be a mapping"),
        ("checks: {missing_share: 3/2}", "'3/2' is not a share such as 1/3"),
        ("checks: {missing_share: half}", "'half' is not a share such as 1/3"),
        ("sources: [a]", "sources: must be a mapping"),
        ("sources: {acme: x}", "sources.acme: must be a mapping"),
        ("inherit: never", "'never' is not one of true, false"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, text: str, what: str) -> None:
    assert any(what in mistake for mistake in mistakes(tmp_path, text))


@pytest.mark.parametrize("text", ["just a text", "- a\n- b"])
def test_a_configuration_is_a_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is a mapping with keys"):
        read(tmp_path, text)


# --- keys and parsers -------------------------------------------------------------------------------------------------


def test_a_source_with_a_key_is_off_until_it_is_set() -> None:
    spec = load(packaged(), {}).sources["xai"]
    assert not ready(spec, {})
    assert not ready(spec, {"XAI_API_KEY": "  "})
    assert ready(spec, {"XAI_API_KEY": "secret"})
    with pytest.raises(ConfigError, match="set XAI_API_KEY"):
        requests_for(spec, {})


def test_a_key_travels_as_a_bearer_token() -> None:
    spec = load(packaged(), {}).sources["xai"]
    (request,) = requests_for(spec, {"XAI_API_KEY": " secret\n"})
    assert (request.url, dict(request.headers)) == (spec.url, {"Authorization": "Bearer secret"})


@pytest.mark.parametrize("key", ["se cret", "se\ncret", "se\x00cret", "s\u00e9cret"])
def test_a_key_that_is_no_key_is_not_sent_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        requests_for(load(packaged(), {}).sources["xai"], {"XAI_API_KEY": key})
    assert "cret" not in str(refused.value)


def test_a_source_without_a_key_is_asked_plainly() -> None:
    spec = load(packaged(), {}).sources["deepinfra"]
    assert ready(spec, {})
    (request,) = requests_for(spec, {"XAI_API_KEY": "secret"})
    assert dict(request.headers) == {}


def test_a_disabled_source_is_off(tmp_path: Path) -> None:
    assert not ready(read(tmp_path, "sources: {deepinfra: {enabled: false}}").sources["deepinfra"], {})


@pytest.mark.fault(197)
def test_parsers_are_the_families_and_the_modules_that_lie_there() -> None:
    folder = Path(parser_of.__code__.co_filename).parent
    assert set(parsers()) == {*FAMILIES, *(path.stem for path in folder.glob("[a-z]*.py"))}


# --- what the documentation says --------------------------------------------------------------------------------------

README = (Path(__file__).parent.parent / "collector" / "sources" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_every_example_of_the_guide_is_sound(tmp_path: Path, block: str) -> None:
    assert len(read(tmp_path, block).sources) == len(load(packaged(), {}).sources) + 1


def test_the_guide_names_every_key_of_an_entry() -> None:
    keys = {re.sub(r"_(s|nano)$", "", one.name) for one in fields(SourceSpec)} - {"id", "recorded"} | {
        "shape",
        "at",
        "unit",
        "zero",
    }
    assert not [key for key in keys if f"`{key}`" not in README]


def test_the_guide_names_every_fact_meter_and_parser() -> None:
    rows = {meter.thing: {one.name for one in METERS.values() if one.thing == meter.thing} for meter in METERS.values()}
    table = {
        counted: set(re.findall(r"`([a-z0-9_]+)`", meters))
        for counted, meters in re.findall(r"^\| `([a-z]+)` \| (`[a-z].*) \|$", README, re.MULTILINE)
    }
    assert {thing: table.get(thing) for thing in rows} == rows
    assert not [name for name in (*FACTS, *FAMILIES) if f"`{name}`" not in README]


def test_every_unit_in_the_guide_is_one() -> None:
    named = re.findall(r"`([^`]*/[^`]*)`", README.partition("## Units")[2].partition("A unit must")[0])
    assert len(named) > 8
    for name in named[1:]:
        assert unit(name).name == name


def test_every_key_of_the_packaged_file_is_explained_beside_it_or_in_the_guide() -> None:
    text = packaged().read_text(encoding="utf-8")
    for settings in (HttpSettings, CheckSettings):
        for one in fields(settings):
            assert re.search(rf"^  {re.sub('_s$', '', one.name)}: ", text, re.MULTILINE), one.name


def test_the_module_in_the_guide_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    room: dict[str, Any] = {"__name__": "acme"}
    exec(compile(code, "acme.py", "exec"), room)
    prices = {"prompt": 1, "completion": 2}
    body = json.dumps({"data": [{"id": "a", "pricing": prices}, {"id": "b", "kind": "legacy", "pricing": prices}]})
    at = datetime(2026, 8, 1, tzinfo=UTC)
    document = Document(source="acme", url="https://acme.example/", fetched_at=at, status=200, body=body.encode())
    first, second = room["parse"](document, load(packaged(), {}).sources["chutes"])
    assert (first.prices["input"].unit, second.prices["input"].unit) == ("USD/1M_token", "USD/1K_token")


def test_retention_keeps_all_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, ACME).retention == Policy()
    assert load(packaged(), {}).retention == Policy()
    said = read(tmp_path, ACME + "\nretention: {full: 90d, then: weekly}\n")
    assert said.retention == Policy(full_s=90 * 86_400, then="weekly")


def test_mistakes_in_retention_are_told_with_their_place(tmp_path: Path) -> None:
    found = mistakes(tmp_path, ACME + "\nretention: {full: 1h, then: monthly, keep: all}\n")
    assert [what.partition(": ")[2] for what in found] == [
        "retention.full: 1h is not from 1d to 36500d",
        "retention.keep: unknown key",
        "retention.then: 'monthly' is not one of daily, weekly, evidence",
    ]


def test_a_source_may_name_further_addresses_of_its_documents(tmp_path: Path) -> None:
    old = "https://acme.example/v0/models"
    assert read(tmp_path, ACME + f"    also_at: {old}\n").sources["acme"].also_at == (old,)
    assert read(tmp_path, ACME + f"    also_at: [{old}, {old}.json]\n").sources["acme"].also_at == (old, f"{old}.json")
    (line,) = mistakes(tmp_path, ACME + "    also_at: [ftp://acme.example]\n")
    assert line.endswith("sources.acme.also_at: 'ftp://acme.example' is not an https:// or http:// URL")


# --- alerts ---


def test_rules_of_alerts_are_read_in_their_order_and_take_the_place_of_the_packaged_ones(tmp_path: Path) -> None:
    text = """
alerts:
  - {name: up, when: price, model: [a/*, b/*], percent: 2.5, direction: up, url_env: [ONE, TWO, ONE]}
  - {name: route, when: cheapest, model: a/x, input: 100, cached: 50, url_env: ONE}
  - {name: low, when: below, meter: input, value: "0.25", url_env: ONE}
  - {name: quiet, when: stale, after: 90m, url_env: ONE}
"""
    up, route, low, quiet = read(tmp_path, text).alerts
    assert (up.model, up.percent, up.direction, up.channels) == (("a/*", "b/*"), Fraction(5, 2), "up", ("ONE", "TWO"))
    assert (route.model, route.input, route.output, route.cached) == (("a/x",), 100, 1000, 50)
    assert (low.meter, low.value) == ("input", 250_000_000)
    assert quiet.after_s == 5400
    assert read(tmp_path, "").alerts == ()


def test_a_rule_is_told_what_it_lacks_and_what_is_not_for_it_and_never_shows_an_address(tmp_path: Path) -> None:
    text = """
alerts:
  - {name: a, when: below, url_env: json://s3cr3t}
  - {name: a, when: held, endpoint: x, url_env: A}
  - {name: B, when: cheapest, model: x, input: 5, cached: 6, url_env: A}
"""
    assert mistakes(tmp_path, text) == [
        "3: alerts[0].meter: is missing, of a rule `when: below`",
        "3: alerts[0].url_env: names a variable of the environment that holds the address, such as TOKENTAPE_ALERT_OPS",
        "3: alerts[0].value: is missing, of a rule `when: below`",
        "4: alerts[1].endpoint: is not for 'held', which takes model, provider, source",
        "4: alerts[1].name: 'a' is the name of another rule",
        "5: alerts[2].cached: is more than `input`, of which it is a part",
        "5: alerts[2].name: 'B' is not a name of small letters, digits, - and _",
    ]
