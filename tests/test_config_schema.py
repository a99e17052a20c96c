"""The JSON Schema of the configuration says to an editor what the program says when it reads one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from collector.cli import main
from collector.config import load, packaged
from collector.config_schema import config_schema
from collector.errors import ConfigError
from tests.conftest import ROOT
from tests.test_config import ACME

SCHEMA = config_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
PACKAGED = packaged().read_text(encoding="utf-8")
README = (ROOT / "collector" / "sources" / "README.md").read_text(encoding="utf-8")

WHOLE = f"inherit: false{ACME}"
BROKEN = {
    "a key that there is not": ("    every: 90m", "    evry: 90m", 14),
    "no address": ("    url: https://acme.example/v1/models\n", "", 3),
    "no trust": ("    trust: first-party\n", "", 3),
    "no model": ("    model: id\n", "", 3),
    "no provider": ("    provider: acme\n", "", 3),
    "no least number": ("    expect: {endpoints: 3}\n", "", 3),
    "an address without a scheme": ("https://acme", "acme", 6),
    "an address of another kind": ("https://acme", "ftp://acme", 6),
    "a parser that there is not": ("parser: json_list", "parser: json", 5),
    "a trust that there is not": ("first-party", "believed", 7),
    "a span without its unit": ("90m", "90", 14),
    "a span in words": ("90m", "hourly", 14),
    "a meter that there is not": ("output: {at", "outputs: {at", 13),
    "a unit of something else": ("unit: USD/1M_token}", "unit: USD/image}", 12),
    "a unit without its currency": ("unit: USD/1M_token}", "unit: 1M_token}", 12),
    "a price without its unit": (", unit: USD/1M_token}", "}", 12),
    "a price without its place": ("at: pricing.in, ", "", 12),
    "a zero that means something else": ("zero: unknown", "zero: free", 13),
    "a number that is a word": ("endpoints: 3", "endpoints: many", 15),
    "a number below nothing": ("endpoints: 3", "endpoints: -3", 15),
    "a thing that is not counted": ("endpoints: 3", "providers: 3", 15),
    "a list for a text": ("provider: acme", "provider: [acme]", 8),
    "a text for a mapping": ("expect: {endpoints: 3}", "expect: 3", 15),
    "a page of a list": ("    every: 90m", "    page: {ends: End}\n    every: 90m", 14),
    "records of a page": ("parser: json_list", "parser: html_table", 9),
    "an id in capitals": ("  acme:", "  Acme:", 3),
    "a variable that is none": ("    every: 90m", "    key_env: ACME-KEY\n    every: 90m", 14),
    "a fact that there is not": ("    every: 90m", "    facts: {colour: c}\n    every: 90m", 14),
    "more requests at once than may be": ("    every: 90m", "    concurrency: 65\n    every: 90m", 14),
    "a switch that is neither": ("    every: 90m", "    enabled: maybe\n    every: 90m", 14),
    "a setting that there is not": ("inherit: false", "http: {retries: 3}", 1),
    "a number out of its bounds": ("inherit: false", "http: {attempts: 11}", 1),
    "a size that is none": ("inherit: false", "http: {body_limit: big}", 1),
    "a share above all": ("inherit: false", "checks: {missing_share: 2}", 1),
    "a rule without a name": ("inherit: false", "alerts: [{when: held, url_env: A}]", 1),
    "a rule on what there is not": ("inherit: false", "alerts: [{name: a, when: hold, url_env: A}]", 1),
    "a channel that is an address": ("inherit: false", "alerts: [{name: a, when: held, url_env: json://a}]", 1),
    "no channel": ("inherit: false", "alerts: [{name: a, when: held, url_env: []}]", 1),
    "a percentage in words": ("inherit: false", "alerts: [{name: a, when: price, url_env: A, percent: some}]", 1),
    "a section that there is not": ("inherit: false", "source: {}", 1),
}
"""What is wrong -> what is replaced in a whole entry, by what, and the line that the program names."""


def faults(text: str) -> list[str]:
    """What an editor would mark."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(yaml.safe_load(text) or {})]


def refusal(folder: Path, text: str) -> list[str]:
    """The mistakes that the program tells, without the file's name."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path, {})
    except ConfigError as error:
        return [mistake.removeprefix(f"{path}:") for mistake in error.mistakes]
    return []


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_file_beside_the_configuration_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(main, ["config", "schema"]).stdout
    assert json.loads(printed) == SCHEMA
    told = "tokentape config schema > collector/config.schema.json"
    assert (ROOT / "collector" / "config.schema.json").read_text(encoding="utf-8") == printed, told
    assert PACKAGED.startswith("# yaml-language-server: $schema=collector/config.schema.json\n")


def test_the_packaged_configuration_has_no_fault() -> None:
    assert faults(PACKAGED) == []


def test_a_whole_entry_has_no_fault(tmp_path: Path) -> None:
    assert (faults(WHOLE), refusal(tmp_path, WHOLE)) == ([], [])


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_refused_by_schema_and_program_which_names_its_line(tmp_path: Path, what: str) -> None:
    before, after, line = BROKEN[what]
    assert before in WHOLE
    text = WHOLE.replace(before, after, 1)
    assert faults(text)
    assert f"{line}" in {mistake.partition(":")[0] for mistake in refusal(tmp_path, text)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sources: {openrouter: {enabled: false}}",
        "sources: {deepinfra: {every: 1h, expect: {models: 10}}}",
        "sources: {cerebras: {prices: {input: {at: pricing.prompt, unit: USD/1M_token}}}}",
        "store: postgresql://tape@db.example/tape",
        "http: {mirror: '', attempts: '2', body_limit: 2048, decoded_limit: 1 GiB, allow_private: true}",
        "checks: {missing_share: 0.25, misses: 2, gap: 12h}",
        "retention: {full: 90d, then: weekly}",
        "alerts: [{name: a, when: price, model: [x/*, y], percent: 0.5, corrections: true, url_env: [A, B]}]",
        "alerts: [{name: a, when: below, meter: input, value: '0.25', url_env: A}]",
        "alerts: [{name: b, when: stale, after: 6h, url_env: A}]",
    ],
)
def test_a_part_of_a_configuration_has_no_fault_either(tmp_path: Path, text: str) -> None:
    assert (faults(text), refusal(tmp_path, text)) == ([], [])


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(sources:.*?)```", README, re.DOTALL))
def test_the_entries_that_the_readme_shows_have_no_fault(tmp_path: Path, block: str) -> None:
    assert (faults(block), refusal(tmp_path, block)) == ([], [])


ENTRIES: dict[str, Any] = yaml.safe_load(PACKAGED)["sources"]
SHAPES: dict[str, Any] = yaml.safe_load(PACKAGED)["shapes"]


@given(data=st.data())
def test_what_the_program_takes_the_schema_takes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ENTRIES)))
    entry = dict(ENTRIES[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(entry)), max_size=2, unique=True)):
        del entry[key]
    other = ENTRIES[data.draw(st.sampled_from(sorted(ENTRIES)))]
    entry |= {key: other[key] for key in data.draw(st.lists(st.sampled_from(sorted(other)), max_size=2))}
    text = json.dumps({"inherit": False, "shapes": SHAPES, "sources": {name: entry}}, indent=1)
    if not refusal(tmp_path_factory.getbasetemp(), text):
        assert not faults(text)
