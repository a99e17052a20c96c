"""`tokentape record`: what a contributor makes a sample after."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collecting import BODY, Upstreams, ask, own_sources, told
from tests.conftest import ROOT

SECRET = "sk-0123456789"


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    with Upstreams() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, upstreams: Upstreams) -> Path:
    return own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h", "failing": "1h"})


def with_key(config: Path) -> None:
    """Let the source `steady` need a key."""
    settings = json.loads(config.read_text())
    settings["sources"]["steady"]["key_env"] = "STEADY_API_KEY"
    config.write_text(json.dumps(settings, indent=1))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_bodies_facts_and_quotes_are_laid_down_and_the_next_step_is_told(tmp_path: Path, config: Path) -> None:
    result = ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", "record", "steady")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *steps = result.stdout.splitlines()
    assert head == f"steady: 1 document, {len(BODY)} bytes, 3 quotes in recorded/steady"
    assert any("tests/sources/steady/sample.json" in step for step in steps)
    folder = tmp_path / "recorded" / "steady"
    assert sorted(files(folder)) == ["document.json", "quotes.json", "record.json"]
    assert (folder / "document.json").read_bytes() == BODY
    facts = read(folder / "record.json")
    (document,) = facts["documents"]
    assert (facts["source"], facts["refused"], facts["failed"]) == ("steady", {}, {})
    assert (document["file"], document["url"]) == ("document.json", "https://steady.example/models")
    assert (document["sha256"], document["bytes"]) == (hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert document["fetched_at"].endswith("Z")
    assert set(document["headers"]) <= {"content-type", "etag", "last-modified"}
    quotes = read(folder / "quotes.json")["document.json"]
    assert [quote["model"] for quote in quotes] == ["acme/model-0", "acme/model-1", "acme/model-2"]
    assert quotes[0]["prices"]["input"] == {"text": "1.5", "unit": "USD/1M_token"}
    assert not (tmp_path / "tape.db").exists()


def test_quotes_are_written_as_the_expected_ones_of_a_sample_are(tmp_path: Path) -> None:
    folder = ROOT / "tests" / "sources" / "deepinfra"
    ask(tmp_path, "record", "deepinfra", "--file", folder / "sample.json", "--out", tmp_path / "record")
    (found,) = read(tmp_path / "record" / "quotes.json").values()
    assert found == read(folder / "expected.json")["sample.json"]


def test_a_record_is_not_written_over_unless_told_to(tmp_path: Path, config: Path) -> None:
    words = ("--config", config, "record", "steady", "--out", tmp_path / "here")
    ask(tmp_path, *words)
    (tmp_path / "here" / "document.json").write_text("kept")
    before = files(tmp_path / "here")
    assert "--force writes over it" in told(ask(tmp_path, *words), 2)
    assert files(tmp_path / "here") == before
    (tmp_path / "here" / "document-2.html").write_text("of an earlier record")
    (tmp_path / "here" / "sample.json").write_text("mine")
    assert ask(tmp_path, *words, "--force").exit_code == 0
    after = files(tmp_path / "here")
    assert sorted(after) == ["document.json", "quotes.json", "record.json", "sample.json"]
    assert (after["document.json"], after["sample.json"]) == (BODY, b"mine")


def test_a_folder_with_something_else_in_it_is_left_alone_whatever_is_told(tmp_path: Path, config: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "document.json").write_text("mine")
    said = told(ask(tmp_path, "--config", config, "record", "steady", "--out", tmp_path / "here", "--force"), 2)
    assert said == f"{tmp_path / 'here'}: has something in it that is no record"
    assert files(tmp_path / "here") == {"document.json": b"mine"}


def test_what_cannot_be_read_is_laid_down_all_the_same(tmp_path: Path, config: Path) -> None:
    (tmp_path / "saved.html").write_text("<!doctype html><title>Prices</title><p>None</p></html>")
    result = ask(tmp_path, "--config", config, "record", "steady", "--file", tmp_path / "saved.html")
    assert (result.exit_code, result.stdout) == (1, "")
    folder = tmp_path / "recorded" / "steady"
    assert (folder / "document.html").read_bytes() == (tmp_path / "saved.html").read_bytes()
    refused = read(folder / "record.json")["refused"]
    assert refused["document.html"] in result.stderr
    assert read(folder / "quotes.json") == {}


def test_a_source_that_does_not_answer_leaves_nothing(tmp_path: Path, config: Path, upstreams: Upstreams) -> None:
    upstreams.status["failing"] = 503
    assert "503" in told(ask(tmp_path, "--config", config, "record", "failing"), 1)
    assert not (tmp_path / "recorded").exists()


def test_a_file_that_is_not_there_and_a_place_that_cannot_be_written_are_a_line(tmp_path: Path, config: Path) -> None:
    for command in ("try", "record"):
        said = told(ask(tmp_path, "--config", config, command, "steady", "--file", tmp_path / "none"), 2)
        assert said == f"{tmp_path / 'none'}: cannot be read: No such file or directory"
    said = told(ask(tmp_path, "--config", config, "record", "steady", "--out", config), 2)
    assert said == f"{config}: cannot be written: File exists"


def test_a_file_needs_no_key_and_no_network(tmp_path: Path, config: Path) -> None:
    with_key(config)
    (tmp_path / "saved.json").write_bytes(BODY)
    assert "needs a key" in told(ask(tmp_path, "--config", config, "record", "steady"), 2)
    tried = ask(tmp_path, "--config", config, "try", "steady", "--file", tmp_path / "saved.json")
    assert tried.stdout.startswith("steady: 3 offers of 3 models\n")
    kept = ask(tmp_path, "--config", config, "record", "steady", "--file", tmp_path / "saved.json")
    assert (kept.exit_code, kept.stderr) == (0, "")


def test_a_key_is_never_written_not_even_where_the_upstream_says_it_back(tmp_path: Path, config: Path) -> None:
    with_key(config)
    assert ask(tmp_path, "--config", config, "record", "steady", STEADY_API_KEY=SECRET).exit_code == 0
    assert not [name for name, body in files(tmp_path / "recorded" / "steady").items() if SECRET.encode() in body]
    (tmp_path / "saved.json").write_bytes(BODY.replace(b"acme/model-0", SECRET.encode()))
    words = ("--config", config, "record", "steady", "--file", tmp_path / "saved.json", "--out", tmp_path / "here")
    said = told(ask(tmp_path, *words, STEADY_API_KEY=SECRET), 2)
    assert said == "steady: the value of STEADY_API_KEY stands in what came: nothing is written"
    assert not (tmp_path / "here").exists()


def test_many_documents_are_numbered(tmp_path: Path) -> None:
    from collector.config import load, packaged
    from collector.record import record
    from collector.sighting import Received
    from tests.test_sources_contract import document

    spec = load(packaged(), {}).sources["moonshot"]
    folder = ROOT / "tests" / "sources" / "moonshot"
    pages = [document(spec, (folder / "list.md").read_bytes(), ".md")]
    pages += [document(spec, path.read_bytes(), ".md", path.stem) for path in sorted(folder.glob("sample*"))]
    found = record(spec, Received(documents=tuple(pages), failures={}), tmp_path / "here", secret="", force=False)
    names = [one["file"] for one in read(tmp_path / "here" / "record.json")["documents"]]
    assert names == [f"document-{number}.md" for number in range(1, len(pages) + 1)]
    assert found == sum(map(len, read(tmp_path / "here" / "quotes.json").values())) > 0
