"""`identify` and `aliases` as a user meets them, from names in a log to a decision that moves prices on the tape."""

import csv
import io
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from collector import mend
from collector.aliases import Decision, read_decisions, record
from collector.cli import main
from collector.config import load
from collector.errors import ConfigError
from collector.identify import identify
from collector.mend import Arrival
from store.records import Document
from store.write import Tape
from tests.collecting import KEYS, ask, environ, rows, told
from tests.test_poll import collect, configured, mirror

AT = datetime(2026, 8, 1, tzinfo=UTC)
HEADER = "provider,model_id,canonical_provider,canonical_model,variant,confidence,why"


def piped(home: Path, text: str | bytes, *words: str) -> Result:
    """`identify` with something on standard input."""
    env: Mapping[str, str | None] = dict.fromkeys([*KEYS, "XDG_CONFIG_HOME"]) | environ(home)
    with chdir(home):
        return CliRunner().invoke(main, ["identify", *words], input=text, env=env, catch_exceptions=False)


def answers(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration of one source and a file for decisions."""
    price = {"input": {"at": "in", "unit": "USD/1M_token"}}
    acme = {
        "parser": "json_list",
        "url": "https://acme.example/models",
        "provider": "Acme",
        "trust": "first-party",
        "records": "data",
        "model": "id",
        "prices": price,
        "expect": {"models": "1"},
        "every": "1h",
    }
    configuration = {"inherit": "false", "aliases": "aliases.yaml", "sources": {"acme": acme}}
    (tmp_path / "tokentape.yaml").write_text(json.dumps(configuration))
    return tmp_path


def told_by_acme(home: Path, *lists: Mapping[str, str], hub: Mapping[str, str] | None = None) -> None:
    """A store of hourly polls, each with its model ids and prices."""
    with chdir(home):
        config, tape = load(Path("tokentape.yaml"), {}), Tape("tokentape.db")
        arrivals = []
        for hour, prices in enumerate(lists):
            weights = {name: {"hugging_face_id": weight} for name, weight in (hub or {}).items()}
            data = [{"id": name, "in": price, **weights.get(name, {})} for name, price in prices.items()]
            at, body = AT + timedelta(hours=hour), json.dumps({"data": data}).encode()
            document = Document(source="acme", url="https://acme.example/models", fetched_at=at, status=200, body=body)
            arrivals.append(Arrival(at=at, documents=(document,)))
        try:
            mend.backfill(config.checks, tape, config.sources["acme"], arrivals, known=AT + timedelta(days=9))
        finally:
            tape.close()


def proposed(home: Path) -> list[dict[str, Any]]:
    result = ask(home, "aliases", "--format", "jsonl")
    assert result.exit_code in (0, 3), result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_pairs_on_the_command_line_are_answered_in_their_order(tmp_path: Path) -> None:
    result = ask(tmp_path, "identify", "fireworks", "accounts/fireworks/models/kimi-k2p6", "aws,eu.meta.llama9-x")
    assert result.stdout.splitlines()[0] == HEADER
    assert [row["canonical_model"] for row in answers(result)] == ["moonshotai/kimi-k2.6", "unsure"]
    assert [row["variant"] for row in answers(result)] == ["", "eu"]


def test_a_header_names_the_columns_and_text_comes_back_exactly_as_it_was(tmp_path: Path) -> None:
    text = 'day,model_id,provider,tokens\n1,"@cf/openai/gpt-oss-120b",cloudflare,5\n\n2," =x",Acme,7\n'
    first, second = answers(piped(tmp_path, text))
    assert (first["model_id"], first["canonical_model"]) == ("@cf/openai/gpt-oss-120b", "openai/gpt-oss-120b")
    assert (second["model_id"], second["provider"], second["confidence"]) == (" =x", "Acme", "unsure")


def test_columns_for_source_tag_and_quantization_are_read_where_there_are_any(tmp_path: Path) -> None:
    text = "provider,model_id,source,tag,quantization\nGoogle,google/gemini-2.5-pro,openrouter,google-vertex/eu,fp8\n"
    (row,) = answers(piped(tmp_path, text))
    assert (row["canonical_provider"], row["variant"]) == ("google-vertex", "fp8/eu")
    (row,) = answers(piped(tmp_path, "Google,google/gemini-2.5-pro\n", "--source", "openrouter"))
    assert row["canonical_provider"] == "google-vertex"


def test_rows_are_answered_while_more_are_to_come(tmp_path: Path) -> None:
    many = "\n".join(f"acme,model-{number}" for number in range(30_000))
    assert len(answers(piped(tmp_path, many))) == 30_000
    assert len(answers(piped(tmp_path, b"\xef\xbb\xbfprovider,model_id\nacme,\xff\n"))) == 1


@pytest.mark.parametrize(
    ("text", "line"), [("acme,a\nb\n", "line 2: has no provider"), ('acme,"a\n', "line 1: not CSV")]
)
def test_what_is_no_pair_is_told_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    result = piped(tmp_path, text)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"standard input, {line}" in result.stderr


def test_half_a_pair_and_nothing_at_all_are_told_apart(tmp_path: Path) -> None:
    assert "has no model id" in told(ask(tmp_path, "identify", "acme"), 2)
    assert piped(tmp_path, "").exit_code == 3


def test_weights_that_a_record_names_are_proposed_for_a_name_that_no_rule_reads(home: Path) -> None:
    told_by_acme(home, {"big-one": "1", "openai/gpt-oss-20b": "2"}, hub={"big-one": "openai/gpt-oss-120b"})
    (one,) = proposed(home)
    assert (one["provider"], one["model_id"], one["confidence"]) == ("acme", "big-one", "unsure")
    assert (one["model"], one["link"]) == ("openai/gpt-oss-120b", "hugging_face")


def test_a_name_that_came_when_another_went_at_the_same_prices_is_proposed(home: Path) -> None:
    before, after = {"openai/gpt-oss-120b": "1", "other": "2"}, {"gob": "1", "other": "2"}
    told_by_acme(home, before, *[after] * 30)
    (one,) = proposed(home)
    assert (one["model_id"], one["model"], one["link"]) == ("gob", "openai/gpt-oss-120b", "renamed")


def test_names_of_which_two_came_at_the_same_prices_are_not_proposed(home: Path) -> None:
    before, after = {"openai/gpt-oss-120b": "1", "other": "2"}, {"gob": "1", "bog": "1", "other": "2"}
    told_by_acme(home, before, *[after] * 30)
    assert proposed(home) == []


def test_an_accepted_name_is_joined_on_the_tape_by_reparse_and_proposed_no_more(home: Path) -> None:
    told_by_acme(home, {"big-one": "1"}, hub={"big-one": "openai/gpt-oss-120b"})
    models = "SELECT DISTINCT m.name FROM model m JOIN endpoint e ON e.model_id = m.id"
    assert rows(home / "tokentape.db", models) == [("acme/big-one",)]
    assert ask(home, "aliases", "accept", "ACME", "big-one", "openai/gpt-oss-120b").exit_code == 0
    assert proposed(home) == []
    (row,) = answers(piped(home, "acme,big-one\n"))
    assert (row["canonical_model"], row["confidence"], row["why"]) == (
        "openai/gpt-oss-120b",
        "alias",
        "a recorded alias",
    )
    assert ask(home, "reparse", "acme").exit_code == 0
    shown = ask(home, "endpoints", "openai/gpt-oss-120b", "--format", "csv")
    assert [line.split(",")[1] for line in shown.stdout.splitlines()[1:]] == ["acme"]


def test_a_rejected_name_stays_apart_and_the_last_act_counts(home: Path) -> None:
    told_by_acme(home, {"big-one": "1"}, hub={"big-one": "openai/gpt-oss-120b"})
    words = ("acme", "big-one", "openai/gpt-oss-120b")
    for act, confidence in (("reject", "unsure"), ("accept", "alias"), ("reject", "unsure")):
        assert ask(home, "aliases", act, *words).exit_code == 0
        assert proposed(home) == []
        assert answers(piped(home, "acme,big-one\n"))[0]["confidence"] == confidence
    assert (home / "aliases.yaml").read_text().count("\n- {at: ") == 3


def test_a_decision_without_a_file_or_for_no_canonical_model_is_refused(home: Path, tmp_path: Path) -> None:
    told_one = told(ask(home, "aliases", "accept", "acme", "x", "gpt-oss-120b"), 2)
    assert told_one == "'gpt-oss-120b' is not a canonical id: it reads as 'openai/gpt-oss-120b'"
    (home / "tokentape.yaml").unlink()
    assert "no file to record it in" in told(ask(home, "aliases", "accept", "acme", "x", "openai/gpt-oss-120b"), 2)
    assert not (tmp_path / "aliases.yaml").exists()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("accept: yes\n", "aliases.yaml:1: must be a list"),
        ("- {act: join, at: x, provider: a, model_id: b, model: c/d}\n", "aliases.yaml:1: act: 'join' is not one of"),
        ("- &a {act: reject}\n", "aliases.yaml:1: anchors"),
    ],
)
def test_a_damaged_file_of_decisions_stops_what_would_read_by_it(home: Path, text: str, wanted: str) -> None:
    (home / "aliases.yaml").write_text(text)
    for words in (("aliases", "accept", "acme", "x", "openai/gpt-oss-120b"), ("identify", "a", "b")):
        result = ask(home, *words)
        assert result.exit_code == 2
        assert wanted in result.stderr
    assert (home / "aliases.yaml").read_text() == text


@given(st.text(min_size=1, max_size=40) | st.text(alphabet='\ud800"\\\n\x7fa: {', min_size=1))
def test_every_published_id_is_recorded_exactly_or_refused(model_id: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "aliases.yaml")
        decision = Decision(act="accept", provider="acme", model_id=model_id, model="openai/gpt-oss-120b")
        try:
            record(path, decision, AT)
        except ConfigError:
            assert not path.exists()
            return
        assert read_decisions(path, []).accepted == {("acme", model_id): "openai/gpt-oss-120b"}


@pytest.mark.recorded
def test_gpt_oss_120b_of_all_recorded_sources_is_one_model_with_every_provider_once(
    recorded: Path, tmp_path: Path
) -> None:
    at, store = datetime(2026, 8, 7, 18, tzinfo=UTC), tmp_path / "tape.db"
    with mirror(recorded, at="2026-08-07T18:00:00Z") as running:
        config = configured(running)
        reports = collect(config, store, *config.sources, at=at)
    found = rows(
        store,
        "SELECT s.name, p.name, e.published_provider, m.name, e.published_model, e.tag, e.sibling FROM endpoint e "
        "JOIN source s ON s.id = e.source_id JOIN provider p ON p.id = e.provider_id JOIN model m ON m.id = e.model_id",
    )
    alike = {row for row in found if "gptoss120b" in re.sub("[^a-z0-9]", "", row[4].lower())}
    ours = {row for row in found if row[3] == "openai/gpt-oss-120b"}
    assert sum(report.outcome == "ok" for report in reports) >= 9
    assert {row[4] for row in alike - ours} == {
        "lemonade/gpt-oss-120b-mxfp-GGUF",
        "ollama/gpt-oss:120b-cloud",
        "cerebras/gpt-oss-120b-cs",
    }
    assert ours <= alike
    assert len(ours) >= 120
    slugs = {row[1] for row in ours}
    assert len(slugs) >= 61
    assert {identify("", slug, "m").provider for slug in slugs} == slugs
    assert len({re.sub("[^a-z0-9]", "", slug) for slug in slugs}) == len(slugs)
    names = defaultdict(set)
    for row in ours:
        names[row[0], row[2]].add(row[1])
    assert {slug for one in names.values() for slug in one} == slugs
    assert all(len(one) == 1 for one in names.values())
    assert len({(row[0], row[2], *row[4:]) for row in ours}) == len(ours)
