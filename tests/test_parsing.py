"""Parsing in a process apart: what comes back, what is stopped, and what does not get in or out."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from collector import parsing
from collector.config import load, packaged
from collector.contract import PriceSpec, SourceSpec
from collector.errors import SourceChanged
from collector.sources import parser_of
from store.records import Document
from tests import polling
from tests.collecting import until
from tests.fetching import settings
from tests.raw_server import answer
from tests.stores import rows
from tests.test_sources_contract import SOURCES, sample, samples

GOOD = polling.table("acme-1 $1 $2", "acme-2 $3 $4").encode()
SLOW = b"<html><body>" + b"<h2><div>" * 8 + b"<p>x" * 1_000_000 + b"</body></html>"
"""A page that is none too deep and none too large, and which takes long: each heading is all that follows."""
EMPTY_LISTS = b'{"data":[' + b"[]," * 10_000_000 + b"[]]}"
"""30 MB, and near a gigabyte once parsed."""


def document(spec: SourceSpec, body: bytes) -> Document:
    return Document(source=spec.id, url=spec.url, fetched_at=datetime(2026, 8, 1, tzinfo=UTC), status=200, body=body)


def refused(spec: SourceSpec, body: bytes) -> SourceChanged:
    with pytest.raises(SourceChanged) as caught:
        parsing.quotes(document(spec, body), spec)
    return caught.value


def child() -> int:
    """The process that has just parsed a page."""
    page = polling.page()
    parsing.quotes(document(page, GOOD), page)
    running = parsing._child._running
    assert running is not None
    return running[0].pid


def test_what_a_child_reads_is_what_the_parser_reads() -> None:
    pages = [spec for spec in SOURCES.values() if spec.kind == "page"]
    assert len(pages) > 10
    for spec in pages:
        for path in samples(spec):
            found = sample(spec, path, path.read_bytes())
            assert parsing.quotes(found, spec) == parser_of(spec).parse(found, spec)


def test_small_json_is_parsed_here_and_large_json_apart() -> None:
    spec = polling.source()
    record = b'{"id": "acme-%d", "in": "1.5", "out": "6"}'
    small = b'{"data": [' + record % 1 + b"]}"
    large = b'{"data": [' + b", ".join(record % number for number in range(30_000)) + b"]}"
    parsing._child.close()
    assert parsing.quotes(document(spec, small), spec) == parser_of(spec).parse(document(spec, small), spec)
    assert parsing._child._running is None
    assert parsing.quotes(document(spec, large), spec) == parser_of(spec).parse(document(spec, large), spec)
    assert parsing._child._running is not None


def test_one_child_serves_many_documents() -> None:
    assert child() == child()


@pytest.mark.fault(41, 155)
def test_a_page_that_takes_too_long_is_refused_and_the_next_is_read() -> None:
    page = polling.page()
    child()
    started = time.process_time(), time.monotonic()
    error = refused(page, SLOW)
    assert (error.code, str(error)) == (
        "parse_limit",
        "acme: its document takes more than 5 s of processor time to read",
    )
    assert time.process_time() - started[0] < 1
    assert time.monotonic() - started[1] < 60
    assert [quote.model for quote in parsing.quotes(document(page, GOOD), page)] == ["acme-1", "acme-2"]


@pytest.mark.fault(155)
def test_a_document_that_takes_too_much_memory_is_refused_and_the_next_is_read() -> None:
    error = refused(polling.source(), EMPTY_LISTS)
    assert (error.code, str(error)) == ("parse_limit", "acme: its document takes more than 512 MiB to read")
    assert child()


@pytest.mark.fault(41)
def test_deep_pages_and_tags_without_end_are_refused_at_once_wherever_they_are_parsed() -> None:
    page = polling.page()
    attributes = b"<html><body><p " + b" ".join(b"a%d" % number for number in range(500_000)) + b"></body></html>"
    for body in (b"<html><body>" + b"<div>" * 200_000 + b"</body></html>", attributes, b"<html>" + b" " * 10_000_000):
        started = time.process_time()
        with pytest.raises(SourceChanged) as caught:
            parser_of(page).parse(document(page, body), page)
        assert caught.value.code == "parse_limit"
        assert time.process_time() - started < 5


@pytest.mark.fault(41, 155)
def test_a_source_that_cannot_be_parsed_fails_alone(store_url: str) -> None:
    specs = polling.page("slow"), polling.page("good"), polling.source("small")
    answers = {
        "slow.test": answer(SLOW),
        "good.test": answer(GOOD),
        "small.test": answer(b'{"data": [{"id": "m", "in": "1", "out": "2"}]}'),
    }
    http = settings(body_limit=1 << 24, decoded_limit=1 << 24)
    reports = polling.polled(store_url, *specs, answers=answers, http=http)
    assert [(one.outcome, one.code, one.quotes) for one in reports] == [
        ("failed", "parse_limit", 0),
        ("ok", "", 2),
        ("ok", "", 1),
    ]
    assert reports[2].duration_s < 2  # did not wait for the others
    assert rows(store_url, 'SELECT count(*) FROM "interval"') == [(3,)]


def test_a_child_that_was_killed_between_two_documents_is_no_fault_of_the_second() -> None:
    first = child()
    os.kill(first, signal.SIGKILL)
    until(lambda: "State:\tZ" in Path(f"/proc/{first}/status").read_text())
    assert child() != first


def test_a_mistake_in_a_parser_is_told_where_it_was_asked_for() -> None:
    page = polling.page()
    broken = replace(page, prices=(PriceSpec(meter="input", at="in", unit="no unit"), page.prices[1]))
    with pytest.raises(RuntimeError, match=r"^ValueError: .*no unit"):
        parsing.quotes(document(broken, GOOD), broken)
    assert child()


def test_a_child_knows_no_key_and_ends_with_the_one_who_asked(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.test_parsing import child; print(child(), flush=True); sys.stdin.read()"  # until killed
    )
    environ = {**os.environ, "ACME_API_KEY": "PLANTED"}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as asking:
        assert asking.stdout is not None
        there = Path("/proc", asking.stdout.readline().decode().strip())
        assert b"PLANTED" not in (there / "environ").read_bytes()
        assert b"PLANTED" in Path(f"/proc/{asking.pid}/environ").read_bytes()
        asking.kill()
    until(lambda: not there.exists() or "State:\tZ" in (there / "status").read_text())


class Anything:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.fault(197)
@pytest.mark.parametrize(
    "function", [os.system, eval, __import__, getattr, subprocess.Popen, parsing.quotes], ids=lambda one: one.__name__
)
def test_what_comes_back_can_name_our_records_and_nothing_else(function: Callable[..., Any]) -> None:
    sent = pickle.dumps(("value", [Anything(function, "true")], ""))
    here, there = socket.socketpair()
    with here, there:
        there.sendall(parsing._SIZE.pack(len(sent)) + sent)
        with pytest.raises(pickle.UnpicklingError, match="is no record"):
            parsing._received(here)


def test_what_is_passed_on_arrives_as_it_was() -> None:
    here, there = socket.socketpair()
    with here, there:
        for spec in load(packaged(), {}).sources.values():
            parsing._send(there, spec)
            arrived = parsing._received(here)
            assert arrived == spec
            assert isinstance(arrived.options, MappingProxyType)


def test_every_source_whose_parser_reads_markup_is_a_page() -> None:
    script = (
        "import sys; from collector.config import load, packaged; from collector.sources import TABLES, parser_of;"
        "apis = [one for one in load(packaged(), {}).sources.values() if one.kind == 'api'];"
        "names = {parser_of(one).__name__ for one in apis if one.parser not in TABLES};"
        "print(len(names), 'selectolax' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    count, loaded = done.stdout.split()
    assert int(count) > 10
    assert loaded == "False"
