"""What is kept and shown, whatever was collected: backups, proofs, health, names; and bytes off the wire."""

import asyncio
import csv
import gzip
import re
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from collector.errors import FetchFailed, SourceChanged
from collector.poll import Poller, receive
from collector.sighting import Received, see
from store.backup import back_up, restore
from store.columns import ENDPOINTS, Column
from store.doors import Doors
from store.errors import StoreError
from store.export import write
from store.instants import from_millis
from store.intervals import GRACE_S, current, history
from store.read import open_store
from store.text import printable
from store.write import Tape
from tests import fetching, polling
from tests.changing import START
from tests.raw_server import answer, raw_server
from tests.serving import served
from tests.simulated import body
from tests.stores import Stores, connected, content, rows, tables
from tests.test_crash import faults
from tests.test_hostile import asked, unprinted
from tests.test_invariants import MODELS, PRICES, SCRIPTS, Act, examples, played

# --- backups ---


@examples
@given(script=SCRIPTS)
def test_what_is_restored_answers_in_the_same_bytes_and_is_restored_once(script: list[Act]) -> None:
    """Export and import: 18. A store of SQLite has a backup of ours; PostgreSQL has its own."""
    with played(Stores(None), script) as one, TemporaryDirectory() as folder:
        url, there = f"{folder}/anew/tape.db", Path(folder, "backup")
        back_up(one.url, Path(one.archive), there)
        restore(there, url, None)
        assert content(url) == content(one.url)
        assert exported(url) == exported(one.url)
        with pytest.raises(StoreError, match="is there already"):
            restore(there, url, None)
        assert exported(url) == exported(one.url)
        again = Path(folder, "again")
        back_up(url, None, again)
        files = {path.relative_to(there) for path in there.rglob("*.zst")}
        assert files == {path.relative_to(again) for path in again.rglob("*.zst")}
        assert all((there / file).read_bytes() == (again / file).read_bytes() for file in files)


def exported(url: str) -> list[str]:
    """All that there is to be exported."""
    out = []
    with open_store(url) as reader:
        for found in (current(reader, START + timedelta(days=9)), history(reader, None, START + timedelta(days=9))):
            out.append(StringIO())
            write(out[-1], "jsonl", ENDPOINTS, found)
    return [one.getvalue() for one in out]


# --- proofs ---

OF_BELIEFS = 'FROM "interval" i JOIN rate_card c ON c.id = i.card_id JOIN document d ON d.id = i.document_id'
CELLS = (
    ("rate_card", "input", "c.input"), ("rate_card", "output", "c.output"), ("rate_card", "body", "c.body"),
    ("rate_card", "currency", "c.currency"), ("document", "sha256", "d.sha256"), ("document", "url", "d.url"),
    ("document", "part", "d.part"), ("span", "first_seen", "i.first_seen"), ("span", "card_id", "i.card_id"),
    ("span", "document_id", "i.document_id"), ("span", "endpoint_id", "i.endpoint_id"),
)  # fmt: skip
"""What a price rests on: table, column, and where a belief has it."""


@examples
@given(script=SCRIPTS, data=st.data())
def test_a_bit_of_a_price_or_of_a_link_to_its_document_that_is_turned_is_told(
    stores: Stores, script: list[Act], data: st.DataObject
) -> None:
    """Verify is complete: 25."""
    with played(stores, script) as one:
        table, column, place = data.draw(st.sampled_from(CELLS))
        found = rows(one.url, f"SELECT DISTINCT {place} {OF_BELIEFS} WHERE i.known_to IS NULL AND {place} IS NOT NULL")
        assume(found)
        ((value,),) = [data.draw(st.sampled_from(sorted(found)))]
        other = turned(value, data.draw(st.integers(0, 10**6)))
        try:
            with connected(one.url) as connection:
                mark = "%s" if isinstance(connection, psycopg.Connection) else "?"
                sql = f'UPDATE "{table}" SET "{column}" = {mark} WHERE "{column}" = {mark}'
                connection.execute(sql, (other, value))
        except psycopg.Error:
            assume(False)  # noqa: FBT003 - the database does not take it
        assert faults(one.config, one.url, one.archive), (table, column, value, other)


@examples
@given(script=SCRIPTS, data=st.data())
def test_a_bit_of_a_document_that_is_turned_is_told(stores: Stores, script: list[Act], data: st.DataObject) -> None:
    """Verify is complete: 25."""
    with played(stores, script) as one:
        files = sorted(path for path in Path(one.archive).rglob("*.zst"))
        file = data.draw(st.sampled_from(files))
        whole = bytearray(file.read_bytes())
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        file.chmod(0o600)
        file.write_bytes(whole)
        assert faults(one.config, one.url, one.archive)


def turned(value: Any, number: int) -> Any:
    """A value with one bit turned; of a text, one that leaves it a text."""
    if isinstance(value, int):
        return value ^ 1 << number % 48
    if not value:
        return "\x01"
    place = number % len(value)
    return f"{value[:place]}{chr(ord(value[place]) ^ 1 << number % 5)}{value[place + 1 :]}"


# --- health ---


@examples
@given(script=SCRIPTS, later=st.lists(st.integers(-60, 300), min_size=1, max_size=4))
def test_a_source_is_only_fresh_for_two_intervals_after_a_complete_poll(
    stores: Stores, script: list[Act], later: list[int]
) -> None:
    """Health: 26."""
    with played(stores, script) as one:
        last = max(at for (at,) in rows(one.url, "SELECT at FROM poll"))
        now = [from_millis(last)]
        good = [
            from_millis(at)
            for (at,) in rows(
                one.url,
                "SELECT p.at FROM poll p JOIN source s ON s.id = p.source_id"
                " WHERE s.name = 'source0' AND p.outcome = 'ok' AND p.complete",
            )
        ]
        lasts = timedelta(seconds=2 * one.spec.every_s + GRACE_S)
        with served(Doors(one.url, now=lambda: now[0])) as http:
            for minutes in later:
                now[0] = from_millis(last) + timedelta(minutes=minutes)
                page = http.get("/source?source=source0")
                said = {mark.text() for mark in LexborHTMLParser(page.text).css(".mark")} & {
                    "fresh",
                    "stale",
                    "failing",
                }
                assert "fresh" not in said or any(now[0] - at <= lasts for at in good), (now[0], said)


# --- names ---

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip)
TEXT: tuple[Column[str], ...] = (Column("place", lambda _: "x"), Column("text", lambda text: text))
STARTS = ("", "'", "''", "=", "'=", "+", "-", "-1", "'-1", "@")
PRINTED = st.text(st.characters(codec="utf-8").filter(str.isprintable))
GUARDED = re.compile("'+[=+@-]")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
QUESTIONS = (
    ("models",), ("changes",), ("held",), ("endpoints", "NAME"), ("models", "NAME"), ("explain", "NAME"),
    ("export", "current", "--format", "csv"), ("export", "history", "--format", "jsonl"),
)  # fmt: skip


@examples
@given(names=st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_whatever_a_name_is_no_output_obeys_it_and_it_stays_the_text_it_is(stores: Stores, names: list[str]) -> None:
    """Text safety: 23."""
    with played(stores, []) as one:
        one._tape = Tape(one.url, one.archive)
        before = tables(one.url)
        poller = Poller(one.config, one._tape, None, clock=lambda: START, environ={})  # type: ignore[arg-type]
        world = dict.fromkeys([*MODELS, *names], PRICES[0])
        received = Received(documents=one._documents(one.spec, START, body(world)), failures={})
        report = poller.take(one.spec, START, received)
        one._tape.close()
        assert report.code != "bug", report.line
        assert not unprinted(report.line)
        assert tables(one.url) == before
        folder = Path(one.archive)
        assert all(re.fullmatch("[a-z0-9./-]+", str(path.relative_to(folder))) for path in folder.rglob("*"))
        for words in QUESTIONS:
            for name in names[:2] if "NAME" in words else [""]:
                result = asked(one.url, *(word for word in words if word != "NAME"), *(["--", name] if name else []))
                assert result.exit_code in {0, 2, 3}, (words, name)
                assert not unprinted(result.output), (words, name)
        stored = [name for (name,) in rows(one.url, "SELECT published_model FROM endpoint")]
        assert all(printable(name) == name for name in stored)
        with served(Doors(one.url, now=lambda: START)) as http:
            for path in ("/", "/source?source=source0"):
                page = LexborHTMLParser(http.get(path).text)
                assert not [one for one in page.css("script") if not one.attributes.get("src")]
                assert not [name for node in page.css("body *") for name in node.attributes if name.startswith("on")]


@given(st.lists(st.builds(lambda start, text: f"{start}{text}", st.sampled_from(STARTS), PRINTED)))
def test_an_apostrophe_that_keeps_a_text_from_being_a_formula_can_be_taken_off_again(texts: list[str]) -> None:
    """Export and import: 18."""
    out = StringIO()
    write(out, "csv", TEXT, texts)
    cells = [cell for _, cell in csv.reader(StringIO(out.getvalue(), newline=""))][1:]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@")) and not NUMBER.fullmatch(cell)]
    assert [cell[1:] if GUARDED.match(cell) else cell for cell in cells] == texts


# --- bytes off the wire ---

GOOD = body(dict.fromkeys(MODELS, PRICES[0]))
HEADERS = st.sampled_from(
    [
        "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: zstd", "Content-Encoding: deflate, gzip",
        "Content-Encoding: x", "Transfer-Encoding: chunked", "Content-Type: application/json; charset=utf-16",
        "Content-Length: 3", "Content-Length: -1", "Retry-After: 9", "Location: /", "Set-Cookie: a=b", ": x",
    ]
)  # fmt: skip
WIRE = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda headers, status, said: answer(said, *headers, status=status),
        st.lists(HEADERS, max_size=3),
        st.sampled_from(
            ["200 OK", "200 OK", "200 OK", "204 No", "206 Part", "301 Moved", "304 Same", "500 Oh", "999 ?"]
        ),
        st.binary(max_size=100) | st.just(GOOD) | st.sampled_from([GOOD]).map(gzip.compress),
    ),
    st.builds(
        lambda place, more: answer(GOOD)[:place] + more + answer(GOOD)[place + len(more) :],
        st.integers(0, len(answer(GOOD))),
        st.binary(max_size=4),
    ),
)


def test_whatever_bytes_an_upstream_sends_a_poll_ends_in_time_and_says_why() -> None:
    """Bounds: 21. From the socket on; whatever a body is, `test_invariants.py` asks."""
    codes = set()

    @settings(parent=examples, max_examples=10 * examples.max_examples)
    @given(sent=WIRE)
    def poll(sent: bytes) -> None:
        async def work() -> str:
            async with raw_server(sent) as server:
                given_to = replace(fetching.settings(), mirror=server.url)
                async with fetching.fetcher(given_to) as fetcher:
                    began = asyncio.get_running_loop().time()
                    try:
                        received = await receive(polling.source(deadline_s=2.0), START, fetcher, environ={})
                        see(received, polling.source(), START)
                    except (FetchFailed, SourceChanged) as error:
                        return error.code
                    finally:
                        assert asyncio.get_running_loop().time() - began < 5
                    return "ok"

        codes.add(asyncio.run(work()))

    poll()
    assert len(codes) > 1
