"""The collecting commands as a user meets them: what they print, where, how they end, and what they leave behind."""

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest

from collector.cli import SECTIONS, main
from collector.config import load, packaged, ready
from store.write import Tape
from tests import stores
from tests.collecting import (
    TOKENTAPE,
    Upstreams,
    ask,
    environ,
    locked,
    own_sources,
    polls,
    rows,
    settings,
    tokentape,
    told,
)
from tests.test_timeline import store_digest

ON = [name for name, spec in load(packaged(), {}).sources.items() if ready(spec, {})]
SECRET = "xai-0123456789-secret"
LINE = re.compile(
    r"genai_prices: ok, (\d+) endpoints, (\d+) changed, (\d+) held \(1 requests, \d+\.\d MB, \d+\.\d s\)\n"
)


@pytest.fixture
def nobody() -> Iterator[str]:
    """A mirror that nobody listens at."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    """Upstreams that answer as they should."""
    with Upstreams() as running:
        yield running


@pytest.fixture
def kept(tmp_path: Path, upstreams: Upstreams) -> Path:
    """A store after one poll of one source."""
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h"})
    assert ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", "collect").exit_code == 0
    return tmp_path / "tape.db"


# --- collect ---


def test_collecting_again_says_a_line_and_changes_nothing(tmp_path: Path) -> None:
    first = tokentape(tmp_path, "collect", "genai_prices")
    assert (first.returncode, first.stderr) == (0, "")
    found = LINE.fullmatch(first.stdout)
    assert found is not None, first.stdout
    assert int(found[1]) == int(found[2]) + int(found[3]) > 1500
    before = [row for row in store_digest(tmp_path / "tokentape.db") if len(row) != 4]
    packs = [path.name for path in (tmp_path / "tokentape.archive").rglob("*.zst")]
    second = tokentape(tmp_path, "collect", "genai_prices", "genai_prices")
    assert (second.returncode, second.stderr) == (0, "")
    found = LINE.fullmatch(second.stdout)
    assert found is not None, second.stdout
    assert found[2] == "0"
    assert [row for row in store_digest(tmp_path / "tokentape.db") if len(row) != 4] == before
    assert [path.name for path in (tmp_path / "tokentape.archive").rglob("*.zst")] == packs
    assert [(outcome, changes > 0) for *_, outcome, changes in polls(tmp_path / "tokentape.db", "genai_prices")] == [
        ("ok", True),
        ("ok", False),
    ]


def test_where_nothing_can_be_reached_each_source_says_so_in_a_line_and_what_came_is_kept(
    tmp_path: Path, nobody: str
) -> None:
    (tmp_path / "tokentape.yaml").write_text(f"http: {{mirror: '{nobody}', attempts: 1}}\n")
    done = tokentape(tmp_path, "collect")
    assert (done.returncode, done.stderr) == (1, "")
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert sorted(lines) == sorted(ON)
    assert lines.pop("genai_prices").startswith("ok, ")
    assert all(re.match(r"failed \(connect\): https://\S+: no connection: ", line) for line in lines.values())
    store = tmp_path / "tokentape.db"
    assert rows(store, "SELECT DISTINCT s.name FROM endpoint e JOIN source s ON s.id = e.source_id") == [
        ("genai_prices",)
    ]
    assert len(list((tmp_path / "tokentape.archive").rglob("*.zst"))) == 1
    assert rows(store, "SELECT count(*) FROM poll WHERE outcome = 'failed' AND pack IS NULL") == [(len(ON) - 1,)]


def test_a_source_that_fails_keeps_its_prices_and_does_not_stop_the_others(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h", "failing": "1h"})
    assert ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", "collect").exit_code == 0
    upstreams.status["failing"] = 500
    result = ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", "collect")
    assert (result.exit_code, result.stderr) == (1, "")
    assert sorted(line.partition(",")[0].partition(" (")[0] for line in result.stdout.splitlines()) == [
        "failing: failed",
        "steady: ok",
    ]
    assert rows(tmp_path / "tape.db", "SELECT count(*) FROM interval WHERE ended IS NULL") == [(6,)]


@pytest.mark.fault(116)
def test_a_source_that_is_configured_no_longer_is_not_watched_and_nothing_of_it_is_withdrawn(
    store_url: str, tmp_path: Path, upstreams: Upstreams
) -> None:
    def collected(*names: str) -> dict[str, tuple[str, int]]:
        config = own_sources(tmp_path, mirror=upstreams.mirror, every=dict.fromkeys(names, "1h"))
        assert ask(tmp_path, "--config", config, "--store", store_url, "collect").exit_code == 0
        said = ask(tmp_path, "--config", config, "--store", store_url, "sources", "--format", "json")
        return {row["source"]: (row["state"], row["endpoints"]) for row in json.loads(said.stdout)}

    offers = 'SELECT e.id, i.ended FROM endpoint e JOIN "interval" i ON i.endpoint_id = e.id ORDER BY e.id'
    assert collected("one", "two") == {"one": ("on", 3), "two": ("on", 3)}
    before = stores.rows(store_url, offers)
    assert collected("one") == {"one": ("on", 3), "two": ("not watched", 3)}
    assert collected("one", "two") == {"one": ("on", 3), "two": ("on", 3)}
    assert stores.rows(store_url, offers) == before


def test_several_collectors_at_once_make_one_store_and_all_go_well(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"one": "1h", "two": "1h"})
    command: list[str | Path] = [TOKENTAPE, "--config", config, "--store", "tape.db", "collect"]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, env=environ(tmp_path), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    for source in ("one", "two"):
        found = polls(tmp_path / "tape.db", source)
        assert ({outcome for *_, outcome, _ in found}, sum(changes for *_, changes in found)) == ({"ok"}, 3)
        assert 2 <= len(found) <= 4, "the same documents within one millisecond are one poll"
    assert rows(tmp_path / "tape.db", "PRAGMA integrity_check") == [("ok",)]


def test_interrupted_collect_stops_at_once_and_leaves_a_sound_store(tmp_path: Path, upstreams: Upstreams) -> None:
    upstreams.wait_s["hanging"] = 30
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"hanging": "1h", "steady": "1h"})
    process = subprocess.Popen(
        [TOKENTAPE, "--config", config, "--store", "tape.db", "collect"],
        cwd=tmp_path, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("steady: ok")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.strip() == "Aborted!"
    assert rows(tmp_path / "tape.db", "PRAGMA integrity_check") == [("ok",)]
    assert polls(tmp_path / "tape.db", "hanging") == []


# --- where the store is ---


@pytest.mark.parametrize(
    ("store", "file"),
    [
        ("tape.db", "tape.db"),
        ("sqlite:///tape.db", "tape.db"),
        ("new/folders/tape.db", "new/folders/tape.db"),
        ("~/tape.db", "tape.db"),
        ("sqlite:///~/tape.db", "tape.db"),
        (":memory:", ":memory:"),
        ("tape with space?mode=ro#.db", "tape with space?mode=ro#.db"),
    ],
)
def test_a_store_is_made_where_its_name_says(tmp_path: Path, store: str, file: str, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h"})
    assert ask(tmp_path, "--config", config, "--store", store, "collect").exit_code == 0
    assert (tmp_path / file).is_file()
    assert (tmp_path / file).with_suffix(".archive").is_dir()
    shown = ask(tmp_path, "--store", store, "models", "--format", "csv")
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 4)


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h"})
    place = {"store": str(tmp_path / "a.db"), "archive": "~/documents"}
    config.write_text(json.dumps(json.loads(config.read_text()) | place))
    second = {"TOKENTAPE_CONFIG": str(config), "TOKENTAPE_STORE": str(tmp_path / "b.db")}
    asked: list[tuple[list[str | Path], dict[str, str]]] = [
        (["--config", config], {}),
        ([], second),
        (["--store", tmp_path / "c.db"], second),
    ]
    for words, more in asked:
        assert ask(tmp_path, *words, "collect", **more).exit_code == 0
        assert ask(tmp_path, *words, "models", **more).exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["a.db", "b.db", "c.db"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["c.archive", "documents"]


def test_an_empty_file_becomes_a_store(tmp_path: Path, upstreams: Upstreams) -> None:
    (tmp_path / "tape.db").touch()
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h"})
    assert ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", "collect").exit_code == 0
    assert ask(tmp_path, "--store", tmp_path / "tape.db", "models").exit_code == 0


def other_program(path: Path, *, journal: str = "delete") -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.executescript(
            "CREATE TABLE bookmark (url TEXT); INSERT INTO bookmark VALUES ('https://acme.example');"
        )


def newer_schema(path: Path) -> None:
    Tape(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


FOREIGN = {
    "text": (lambda path: path.write_text("a shopping list\n" * 500), "not a "),
    "short text": (lambda path: path.write_text("milk"), "not a "),
    "another program's": (other_program, "is not a tokentape store"),
    "another program's, in WAL": (lambda path: other_program(path, journal="wal"), "is not a tokentape store"),
    "newer": (newer_schema, "99"),
    "folder": (lambda path: path.mkdir(), "is not a file, so not a store"),
}


@pytest.mark.fault(133, 148)
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_store_is_refused_in_a_line_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tape.db"
    make: Any
    make, message = FOREIGN[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else sorted(path.iterdir())
    for words in (["collect"], ["collect", "genai_prices"], ["daemon"], ["sources"], ["models"]):
        said = told(ask(tmp_path, "--store", path, *words), 2)
        assert message in said
        assert str(path) in said
    assert (path.read_bytes() if path.is_file() else sorted(path.iterdir())) == before
    assert [one.name for one in tmp_path.iterdir() if not one.name.startswith("tape.db-")] == ["tape.db"]


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("", "the store has no path: write sqlite:///PATH"),
        ("sqlite:///", "the store has no path: write sqlite:///PATH"),
        ("mysql://me:hunter2@db.example/tape", "mysql:// is not supported: a store is sqlite:///PATH or postgresql://"),
        ("postgresql://me:hunter2@127.0.0.1:1/tape", "postgresql://me@127.0.0.1:1/tape cannot be reached: "),
        ("postgresql://me:hun@ter2@db.example/tape", "the store's URL cannot be understood"),
        ("~nosuchuser/tape.db", "~nosuchuser/tape.db: there is no such home folder"),
        ("x" * 300, "File name too long"),
        ("/dev/null", "/dev/null is not a file, so not a store"),
    ],
)
def test_a_store_that_cannot_be_is_refused_in_a_line(tmp_path: Path, store: str, message: str) -> None:
    for words in (["collect", "genai_prices"], ["daemon"], ["sources"], ["models"]):
        said = told(ask(tmp_path, "--store", store, *words), 2)
        assert message in said
        assert "hun" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_store_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("milk")
    for words in (["collect", "genai_prices"], ["daemon"]):
        said = told(ask(tmp_path, "--store", tmp_path / "file" / "tape.db", *words), 2)
        assert said == f"{tmp_path}/file cannot be made: File exists"
    assert (tmp_path / "file").read_text() == "milk"


@pytest.mark.fault(137)
def test_a_store_that_another_program_holds_is_waited_for_and_then_refused(tmp_path: Path, kept: Path) -> None:
    before = store_digest(kept)
    packs = sorted(kept.with_suffix(".archive").rglob("*.zst"))
    with locked(kept):
        processes = [
            subprocess.Popen(
                [TOKENTAPE, "--config", tmp_path / "user.yaml", "--store", kept, command],
                cwd=tmp_path, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for command in ("collect", "daemon")
        ]  # fmt: skip
        assert ask(tmp_path, "--store", kept, "models").exit_code == 0, "reading goes on"
        for process in processes:
            stdout, stderr = process.communicate(timeout=30)
            assert (process.returncode, stdout) == (2, "")
            assert stderr == f"tokentape: {kept} is locked by another program: try again when it is done\n"
    assert store_digest(kept) == before
    assert sorted(kept.with_suffix(".archive").rglob("*.zst")) == packs
    assert ask(tmp_path, "--config", tmp_path / "user.yaml", "--store", kept, "collect").exit_code == 0


# --- mistakes ---


@pytest.mark.parametrize(
    ("words", "key", "message"),
    [
        (["collect", "nope"], "", "no source 'nope': `tokentape sources` lists them"),
        (["collect", "genai_prices", "nope"], "", "no source 'nope': `tokentape sources` lists them"),
        (["try", "nope"], "", "no source 'nope': `tokentape sources` lists them"),
        (["collect", "xai"], "", "xai: needs a key: set XAI_API_KEY"),
        (["collect", "genai_prices", "xai"], "  ", "xai: needs a key: set XAI_API_KEY"),
        (["try", "xai"], "", "xai: needs a key: set XAI_API_KEY"),
        (["collect", "xai"], f"{SECRET}ä", "xai: XAI_API_KEY holds characters that no key has"),
        (["try", "xai"], f"{SECRET} {SECRET}", "xai: XAI_API_KEY holds characters that no key has"),
    ],
)
def test_a_source_that_cannot_be_polled_is_refused_before_anything_is_done(
    tmp_path: Path, words: list[str], key: str, message: str
) -> None:
    assert told(ask(tmp_path, "--store", tmp_path / "tape.db", *words, XAI_API_KEY=key), 2) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["collect", "--nope"], ["daemon", "now"], ["try"], ["sources", "--format", "xml"], ["completion", "tcsh"]]
)
def test_mistakes_of_usage_show_the_usage(tmp_path: Path, words: list[str]) -> None:
    result = ask(tmp_path, "--store", tmp_path / "tape.db", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Usage: tokentape {words[0]} ")
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_in_the_configuration_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    config = tmp_path / "user.yaml"
    config.write_text(
        "http:\n  attempts: many\n  atempts: 3\nsources:\n  openrouter: {every: often}\n  acme: {url: ftp://acme.example}\n"
    )
    for words in (["collect"], ["daemon"], ["try", "genai_prices"], ["sources"], ["models"]):
        result = ask(tmp_path, "--config", config, *words)
        assert (result.exit_code, result.stdout) == (2, "")
        head, *lines = result.stderr.splitlines()
        assert re.fullmatch(r"tokentape: \d+ mistakes in the configuration:", head)
        for number, name in ((2, "http.attempts"), (3, "http.atempts"), (5, "openrouter.every"), (6, "acme.url")):
            assert [line for line in lines if line.startswith(f"  {config}:{number}: ") and name in line], lines
        assert all(line.startswith(f"  {config}:") for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["user.yaml"]


def test_a_configuration_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.yaml").write_text("a: [")
    for name, message in (
        ("none.yaml", "cannot be read: No such file"),
        ("", "Is a directory"),
        ("text.yaml", "text.yaml:2: not YAML"),
    ):
        for words in (["collect"], ["daemon"], ["sources"]):
            assert message in told(ask(tmp_path, "--config", tmp_path / name, *words), 2)
    assert "none.yaml" in told(ask(tmp_path, "sources", TOKENTAPE_CONFIG="none.yaml"), 2)


def test_a_configuration_with_no_source_on_is_a_mistake(tmp_path: Path, nobody: str) -> None:
    config = own_sources(tmp_path, mirror=nobody, every={})
    for words in (["collect"], ["daemon"]):
        assert told(ask(tmp_path, "--config", config, *words), 2) == "no source is on: `tokentape sources` lists them"


def test_an_archive_in_nobodys_home_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "user.yaml").write_text("archive: ~nosuchuser/documents\n")
    for words in (["collect"], ["daemon"], ["explain", "a:b:c"]):
        said = told(ask(tmp_path, "--config", tmp_path / "user.yaml", *words), 2)
        assert said == "~nosuchuser/documents: there is no such home folder"


@pytest.mark.recorded
@pytest.mark.parametrize("fault", ["", "401", "html", "redirect:https://elsewhere.example/", "truncate", "badgzip"])
def test_a_key_is_never_shown_nor_kept(recorded: Path, tmp_path: Path, fault: str) -> None:
    assert recorded
    from replay import Replay

    with Replay(at="2026-08-22T23:01:19Z", faults=[f"*={fault}"] if fault else []) as running:
        mirror = running.url("https://x").removesuffix("/x")
        config = settings(tmp_path, mirror=mirror, every={"xai": "1h"})
        said = ""
        for words in (["collect"], ["collect", "xai"], ["try", "xai"], ["record", "xai"], ["sources"]):
            result = ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", *words, XAI_API_KEY=SECRET)
            assert result.exit_code == (1 if fault and words[0] != "sources" else 0), result.output
            said += result.output
    assert "xai" in said
    assert SECRET not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


# --- try ---


def test_try_shows_what_a_source_says_and_stores_nothing(tmp_path: Path) -> None:
    result = ask(tmp_path, "--store", tmp_path / "tape.db", "try", "genai_prices", "--limit", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *offers, more = result.stdout.splitlines()
    assert re.fullmatch(r"genai_prices: \d+ offers of \d+ models", head)
    assert len(offers) == 3
    assert all(re.search(r"\w: .* USD per 1M tokens.*  \[.+\]$", line) for line in offers), offers
    assert re.fullmatch(r"\.\.\. and \d+ more \(--limit\)", more)
    assert list(tmp_path.iterdir()) == []


def test_try_of_a_source_that_does_not_answer_is_a_line_and_exits_1(
    tmp_path: Path, nobody: str, upstreams: Upstreams
) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h", "failing": "1h"})
    upstreams.status["failing"] = 503
    assert ask(tmp_path, "--config", config, "try", "steady").stdout.startswith("steady: 3 offers of 3 models\n")
    assert "503" in told(ask(tmp_path, "--config", config, "try", "failing"), 1)
    config = own_sources(tmp_path, mirror=nobody, every={"steady": "1h"})
    assert "no connection" in told(ask(tmp_path, "--config", config, "try", "steady"), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["user.yaml"]


# --- sources ---


def test_sources_are_listed_before_the_first_poll(tmp_path: Path) -> None:
    shown = ask(tmp_path, "--store", tmp_path / "tape.db", "sources", "--format", "csv")
    assert (shown.exit_code, shown.stderr) == (0, "")
    found = {row["source"]: row for row in csv.DictReader(io.StringIO(shown.stdout))}
    assert list(found) == list(load(packaged(), {}).sources)
    assert {found[name]["state"] for name in ON} == {"on"}
    assert (found["xai"]["state"], found["xai"]["next_due"]) == ("needs XAI_API_KEY", "")
    assert (found["stepfun"]["state"], found["stepfun"]["next_due"]) == ("off", "")
    assert {(row["last_success"], row["endpoints"], row["failures"]) for row in found.values()} == {("", "0", "0")}
    assert list(tmp_path.iterdir()) == []


def test_sources_tell_how_each_one_fares_in_every_form(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h", "failing": "2h"})
    upstreams.status["failing"] = 500
    base: list[str | Path] = ["--config", config, "--store", tmp_path / "tape.db"]
    for _ in range(2):
        ask(tmp_path, *base, "collect")
    listed = json.loads(ask(tmp_path, *base, "sources", "--format", "json").stdout)
    steady, failing = listed
    assert (steady["source"], steady["state"], steady["trust"], steady["endpoints"]) == (
        "steady",
        "on",
        "first-party",
        3,
    )
    assert (steady["changes"], steady["held"], steady["failures"], steady["error"]) == (3, 0, 0, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", steady["last_success"])
    assert (failing["last_success"], failing["failures"]) == (None, 2)
    assert "500" in failing["error"]
    assert min(failing["next_due"], steady["next_due"]) > steady["last_success"]
    lines = ask(tmp_path, *base, "sources", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["steady", "failing"]
    shown = list(csv.DictReader(io.StringIO(ask(tmp_path, *base, "sources", "--format", "csv").stdout)))
    assert [list(row) for row in shown] == [list(steady)] * 2
    table = ask(tmp_path, *base, "sources").stdout.splitlines()
    assert table[0].split()[:3] == ["source", "state", "trust"]
    assert {"last success (UTC)", "next due (UTC)"} <= set(re.split(" {2,}", table[0]))
    narrow = ask(tmp_path, *base, "sources", COLUMNS="80").stdout.splitlines()
    assert max(map(len, narrow)) <= 80
    assert not re.search(r"\d…", "".join(narrow))  # an instant is whole, or not there
    assert [line.split()[0] for line in table[1:]] == ["steady", "failing"]


# --- help and shells ---


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert re.fullmatch(r"tokentape, version \d+\.\d+\.\d+\n", tokentape(tmp_path, "--version").stdout)


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_every_command_has_help_with_examples(tmp_path: Path, command: str) -> None:
    for option in ("--help", "-h"):
        result = ask(tmp_path, command, option)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "\n    tokentape " in result.stdout.partition("Examples:")[2].replace('eval "$(', "")


def test_help_lists_every_command_once_by_what_it_is_for(tmp_path: Path) -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == main.list_commands(click.Context(main))
    lines = ask(tmp_path, "--help", COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines[lines.index("Collect:") :] if line.endswith("...")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(tmp_path: Path, shell: str) -> None:
    result = ask(tmp_path, "completion", shell)
    assert result.exit_code == 0
    assert f"_TOKENTAPE_COMPLETE={shell}_complete" in result.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=result.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("tokentape ch", ["changes", "cheapest"]),
        ("tokentape collect lit", ["litellm"]),
        ("tokentape collect litellm gen", ["genai_prices"]),
        ("tokentape try openr", ["openrouter"]),
        ("tokentape --config user.yaml try st", ["stepfun", "steady"]),
        ("tokentape --config none.yaml try st", []),
    ],
)
def test_shells_complete_commands_and_sources(tmp_path: Path, words: str, completed: list[str]) -> None:
    (tmp_path / "user.yaml").write_text(
        "sources: {steady: {title: s, parser: genai_prices, url: 'package:genai-prices', trust: catalogue, every: 1h,"
        " expect: {models: 1}}}\n"
    )
    asked = {"_TOKENTAPE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = tokentape(tmp_path, **asked)
    assert (done.stdout.split(), done.stderr) == ([f"plain,{name}" for name in completed], "")


# --- terminals and pipes ---


def on_terminal(home: Path, *words: str | Path, stream: str, **more: str) -> tuple[str, str]:
    """What a command writes with one of its streams on a terminal: there, and on the other one."""
    leader, follower = pty.openpty()
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    streams: dict[str, Any] = {stream: follower, other: subprocess.PIPE}
    done = subprocess.run([TOKENTAPE, *words], cwd=home, env=environ(home, **more), check=True, timeout=60, **streams)
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # nothing is left
        pass
    os.close(leader)
    return shown.decode(), getattr(done, other).decode()


def test_colours_are_for_a_terminal_that_wants_them(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h"})
    words: list[str | Path] = ["--config", config, "--store", tmp_path / "tape.db", "collect"]
    shown, rest = on_terminal(tmp_path, *words, stream="stdout")
    assert shown.startswith("\x1b[1msteady\x1b[0m: \x1b[32mok, 3 endpoints, 3 changed")
    assert rest == ""
    for more in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown, rest = on_terminal(tmp_path, *words, stream="stdout", **more)
        assert shown.startswith("steady: ok, 3 endpoints, 0 changed")
        assert "\x1b" not in shown
    done = tokentape(tmp_path, *words)
    assert done.stdout.startswith("steady: ok")
    assert "\x1b" not in done.stdout


def test_progress_is_for_a_terminal_on_standard_error_alone(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1h"})
    words: list[str | Path] = ["--config", config, "--store", tmp_path / "tape.db", "collect"]
    shown, rest = on_terminal(tmp_path, *words, stream="stderr")
    assert "\r\x1b[Ksteady: 1 of 1" in shown
    assert shown.endswith("\r\x1b[K")
    assert re.fullmatch(r"steady: ok, [^\x1b\r]+\n", rest)
    shown, rest = on_terminal(tmp_path, *words, stream="stdout")
    assert rest == ""


def test_collecting_goes_on_when_nobody_reads_the_lines_any_more(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={f"source{number}": "1h" for number in range(5)})
    command: list[str | Path] = [TOKENTAPE, "--config", config, "--store", "tape.db", "collect"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert rows(tmp_path / "tape.db", "SELECT count(*) FROM poll WHERE outcome = 'ok'") == [(5,)]


def test_lines_are_written_whatever_characters_the_terminal_knows(tmp_path: Path, nobody: str) -> None:
    config = settings(tmp_path, mirror=nobody, every={"venice": "1h"})
    words: list[str | Path] = ["--config", config, "--store", tmp_path / "tape.db", "collect"]
    done = tokentape(tmp_path, *words, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("venice: failed (connect): ")


def test_a_question_without_a_configuration_of_its_own_reads_none(tmp_path: Path, kept: Path) -> None:
    code = (
        "import sys; from collector.cli import main; main(['models'], standalone_mode=False);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent, env=environ(tmp_path, TOKENTAPE_STORE=str(kept)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "acme" in done.stdout
    assert set(done.stderr.split()) & {"yaml", "sqlalchemy", "httpx", "asyncio"} == set()
