"""The documents say what the program does."""

import io
import re
from contextlib import chdir, redirect_stdout
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from collector import audit_usage_views
from collector.cli import READING, main
from collector.config import load, packaged
from collector.places import DEFAULT_STORE
from collector.strict_yaml import read_yaml
from collector.usage import FIELDS
from store import cli_cost, columns, views_compare
from store.alert_rules import KEYS
from store.doors import Doors
from store.http.settings import ServeSettings
from tests.serving import served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = main.list_commands(click.Context(main))


def block(name: str) -> str:
    """The shell block below a marker, as `.ci/run` takes it."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)\n```", README, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme_and_has_examples(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert f"`tokentape {name}" in README
    assert "Examples:" in (command.help or "")


def test_reading_commands_are_those_of_the_store() -> None:
    assert set(READING) < set(COMMANDS)


def test_first_and_test_commands_are_one_line_each_and_make_their_environment() -> None:
    for name in ("first-command", "test-command"):
        assert len(block(name).splitlines()) == 1
        assert block(name).startswith("python3 -m venv .venv && ")


@pytest.mark.parametrize("key", ["store", "archive", "aliases", "alerts", "inherit"])
def test_top_level_keys_stand_in_the_readme(key: str) -> None:
    assert f"| `{key}` |" in README


@pytest.mark.parametrize("section", ["http", "checks", "retention", "currencies"])
def test_every_key_of_the_packaged_configuration_stands_in_the_readme(section: str) -> None:
    root = read_yaml(packaged().read_text(), "config.yaml", [])
    assert isinstance(root.value, dict)
    keys = root.value[section].value
    assert isinstance(keys, dict)
    assert not [key for key in keys if f"`{section}.{key}`" not in README]


def test_every_rule_of_alerts_and_its_keys_stand_in_the_readme_whose_example_is_read(tmp_path: Path) -> None:
    section = README.partition("## Alerts\n")[2].partition("\n## ")[0]
    assert not [one for kind, keys in KEYS.items() for one in (kind, *keys) if f"`{one}`" not in section]
    (example,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (tmp_path / "tokentape.yaml").write_text(example)
    assert len(load(tmp_path / "tokentape.yaml", {}).alerts) == example.count("name:")


def test_default_store_is_what_the_packaged_configuration_says() -> None:
    assert load(packaged(), {}).store == DEFAULT_STORE


def test_number_of_sources_in_the_readme_is_that_of_the_configuration() -> None:
    count = len(load(None, {}).sources)
    assert f"{count} sources are configured" in README
    assert f"{count} configured sources" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("`history`", columns.HISTORY),
        ("`endpoints`, `export current`", columns.ENDPOINTS),
        ("`cheapest`", columns.CHEAPEST),
        ("`changes`", columns.CHANGES),
        ("`cost`", cli_cost.columns()),
        ("`audit`", audit_usage_views.COLUMNS),
        ("`compare`, `model`", views_compare.PROPERTIES),
    ],
)
def test_columns_in_the_readme_are_the_first_ones_of_the_answer(form: str, names: "columns.Columns[object]") -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| {form} | `"))
    promised = row.split("`")[-2].split(",")
    assert [column.name for column in names][: len(promised)] == promised


def test_python_in_the_readme_runs(tmp_path: Path) -> None:
    first, second, client = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with chdir(tmp_path):
        collected = CliRunner().invoke(main, ["--store", "tokentape.db", "collect", "genai_prices"])
        assert collected.exit_code == 0, collected.output
        assert "genai_prices:groq:openai/gpt-oss-120b" in printed(first)
        assert re.match(r"0\.[0-9]+ USD False 20", printed(second))
        with served(Doors("tokentape.db"), ServeSettings(token="...")) as http:
            told = printed(client.replace("8787", str(http.port)))
    assert re.match(r"[a-z]+ 0\.[0-9]+\n", told)


def printed(program: str) -> str:
    """What a program prints."""
    told = io.StringIO()
    with redirect_stdout(told):
        exec(program, {})
    return told.getvalue()


def test_fields_of_usage_files_in_the_readme_are_those_that_are_read() -> None:
    said = README[README.index("Fields of `--map` are ") :].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_0-9]+)`", said)) - {"map"} == set(FIELDS)
