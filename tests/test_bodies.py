"""What comes of a poll, whatever body it gets: on both engines, after a good one whose prices must stand."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collector.config import load, packaged
from collector.contract import SourceSpec
from collector.poll import Report
from tests import polling
from tests.collecting import ask
from tests.fetching import NOW, settings
from tests.raw_server import answer, raw_server
from tests.stores import rows

LIST = load(packaged(), {}).sources["deepinfra"]
GOOD = b'{"data": [{"id": "acme-1", "in": "1.5", "out": "6"}, {"id": "acme-2", "in": "2", "out": "8"}]}'
GOOD_PAGE = polling.table("acme-1 $1.5 $6", "acme-2 $2 $8").encode()
HTML = b"<!doctype html><html><head><title>%s</title></head><body>%s</body></html>"
STANDING = 'SELECT first_seen, ended FROM "interval" ORDER BY endpoint_id, first_seen'


def record(price: bytes, name: bytes = b'"acme-2"') -> bytes:
    """The good list, its second record otherwise."""
    return GOOD.replace(b'"2"', price).replace(b'"acme-2"', name)


def later(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def polls(store: str, spec: SourceSpec, *bodies: bytes) -> list[Report]:
    """One poll after another, an hour apart, that get these bodies, whose length is not said."""

    async def work() -> list[Report]:
        reports = []
        for number, body in enumerate(bodies):
            one = answer(body, sized=False)
            async with raw_server(polling.NOT_FOUND, at={f"/{spec.id}.test/models": one}) as server:
                http = settings(mirror=server.url, body_limit=1 << 24, decoded_limit=1 << 25)
                reports += await polling.poll_all(store, [spec], http, later(number))
        return reports

    return asyncio.run(work())


REFUSED_JSON: dict[str, tuple[bytes, str]] = {
    "cut": (GOOD[:-20], "json"),
    "cut after a record": (GOOD[:57], "json"),
    "html": (HTML % (b"Models", b"<p>Models"), "content_type"),
    "challenge": (HTML % (b"Just a moment...", b""), "challenge"),
    "maintenance": (HTML % (b"Maintenance", b"<h1>Back soon</h1>"), "content_type"),
    "nothing": (b"", "empty"),
    "spaces": (b" \r\n\t ", "empty"),
    "null": (b"null", "empty"),
    "list": (b"[]", "empty"),
    "object": (b"{}", "empty"),
    "no records": (b'{"data": []}', "empty"),
    "null records": (b'{"data": null}', "schema"),
    "error": (b'{"error": {"message": "no"}}', "error_body"),
    "latin-1": (GOOD.replace(b"acme-2", b"acm\xe9"), "encoding"),
    "utf-16 without a mark": (GOOD.decode().encode("utf-16-le"), "json"),
    "deep": (b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json"),
    "many digits": (record(b"1" * 5000), "json"),
    "NaN": (record(b"NaN"), "json"),
    "-Infinity": (record(b"-Infinity"), "json"),
    "twice on top": (GOOD[:-1] + b', "data": []}', "json"),
    "twice in a record": (record(b'"2", "in": "1"'), "json"),
    "two documents": (GOOD + GOOD, "json"),
    "trailing": (GOOD + b";", "json"),
    "comment": (b"// models\n" + GOOD, "json"),
    "JSONP": (b"f(" + GOOD + b");", "json"),
    "lines": (b'{"id": "acme-1", "in": "1", "out": "2"}\n' * 2, "json"),
    "rows": (b'{"data": [' + b",".join([b'{"id":"a"}'] * 200_000) + b"]}", "row_limit"),
    "xml": (b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "b">]><d>&a;</d>', "content_type"),
    "moved": (b'{"models": ' + GOOD[9:], "schema"),
}


@pytest.mark.fault(11, 25, 29, 30, 31, 32, 39, 42, 43, 44, 45, 46, 47, 48, 49, 50)
def test_a_list_that_is_not_what_it_was_is_refused_and_changes_nothing(store_url: str) -> None:
    spec = polling.source()
    good, *bad, again = polls(store_url, spec, GOOD, *(body for body, _ in REFUSED_JSON.values()), GOOD)
    assert {name: one.code for name, one in zip(REFUSED_JSON, bad, strict=True)} == {
        name: code for name, (_, code) in REFUSED_JSON.items()
    }
    assert all(one.outcome == "failed" and "\n" not in one.line for one in bad)
    assert ((good.outcome, good.changes), (again.outcome, again.changes)) == (("ok", 2), ("ok", 0))
    first = int(NOW.timestamp() * 1000)
    assert rows(store_url, STANDING) == [(first, None)] * 2
    assert rows(store_url, "SELECT count(*) FROM finding") == [(0,)]


REFUSED_PAGES: dict[str, tuple[bytes, str]] = {
    "cut": (GOOD_PAGE[:-30], "truncated"),
    "cut after a row": (GOOD_PAGE[: GOOD_PAGE.index(b"<tr><td>acme-2")], "truncated"),
    "shell": (HTML % (b"Pricing", b"<div id=root></div><script src=/app.js></script>"), "anchor"),
    "consent": (HTML % (b"Before you continue", b"<form><button>Accept all</button></form>"), "anchor"),
    "challenge": (HTML % (b"Just a moment...", b""), "challenge"),
    "json": (GOOD, "content_type"),
    "deep": (GOOD_PAGE.replace(b"<table", b"<div>" * 200_000 + b"<table"), "parse_limit"),
    "attributes": (GOOD_PAGE.replace(b"<table", b"<table " + b"a " * 1_500_000), "parse_limit"),
    "large": (GOOD_PAGE.replace(b"<table", b" " * 10_000_000 + b"<table"), "parse_limit"),
    "other layout": (GOOD_PAGE.replace(b"<th>in</th>", b"<th>in per 1K</th>"), "columns"),
    "utf-7": (GOOD_PAGE.replace(b"$1.5", b"\xff"), "encoding"),
}


@pytest.mark.fault(11, 25, 29, 30, 39, 41, 50)
def test_a_page_that_is_not_what_it_was_is_refused_and_changes_nothing(store_url: str) -> None:
    spec = polling.page()
    good, *bad, again = polls(store_url, spec, GOOD_PAGE, *(body for body, _ in REFUSED_PAGES.values()), GOOD_PAGE)
    assert {name: one.code for name, one in zip(REFUSED_PAGES, bad, strict=True)} == {
        name: code for name, (_, code) in REFUSED_PAGES.items()
    }
    assert ((good.outcome, good.changes), (again.outcome, again.changes)) == (("ok", 2), ("ok", 0))
    assert rows(store_url, STANDING) == [(int(NOW.timestamp() * 1000), None)] * 2


ROWS = {
    "1e400": record(b"1e400"),
    "1e999999": record(b"1e999999"),
    "in a text": record(b'"1e999999"'),
    "true": record(b"true"),
    "null in a text": record(b'"null"'),
    "NaN in a text": record(b'"NaN"'),
    "infinity in a text": record(b'"Infinity"'),
    "NUL": record(b'"2\\u0000"'),
    "full width": record('"２"'.encode()),
}


@pytest.mark.fault(40, 43, 44)
def test_a_number_that_is_none_holds_its_row_and_the_old_price_stays(store_url: str) -> None:
    good, *bad = polls(store_url, polling.source(), GOOD, *ROWS.values())
    assert good.outcome == "ok"
    assert {name: (one.outcome, one.changes) for name, one in zip(ROWS, bad, strict=True)} == dict.fromkeys(
        ROWS, ("ok", 0)
    )
    assert all(one.held for one in bad)
    assert rows(store_url, STANDING) == [(int(NOW.timestamp() * 1000), None)] * 2


@pytest.mark.fault(40, 48)
@pytest.mark.parametrize(
    "name",
    [b'"ac\\u0000me"', b'"ac\\u001b[31mme"', b'"\\u202eme"', b'"' + b"x" * 10_000_000 + b'"'],
    ids=["NUL", "escape", "right to left", "10 MB"],
)
def test_a_name_that_cannot_be_shown_is_held_and_no_such_character_is_stored(store_url: str, name: bytes) -> None:
    good, bad = polls(store_url, polling.source(), GOOD, record(b'"2"', name))
    assert (good.outcome, bad.outcome, bad.held) == ("ok", "ok", 1)
    stored = "".join(text for (text,) in rows(store_url, "SELECT subject FROM finding"))
    assert stored.isprintable()
    assert len(stored) < 2000
    assert rows(store_url, 'SELECT count(*) FROM "interval"') == [(2,)]


@pytest.mark.fault(50)
def test_two_layouts_that_are_both_understood_are_the_same_prices(store_url: str) -> None:
    other = (
        GOOD_PAGE.replace(b"<th>in</th><th>out</th>", b"<th>out</th><th>in</th>")
        .replace(b"<td>$1.5</td><td>$6</td>", b"<td>$6</td><td>$1.5</td>")
        .replace(b"<td>$2</td><td>$8</td>", b"<td>$8</td><td>$2</td>")
    )
    reports = polls(store_url, polling.page(), GOOD_PAGE, other, GOOD_PAGE, other)
    assert [(one.outcome, one.changes) for one in reports] == [("ok", 2), ("ok", 0), ("ok", 0), ("ok", 0)]


@pytest.mark.fault(49)
def test_entities_that_a_page_declares_are_not_expanded(store_url: str) -> None:
    declared = b'<!DOCTYPE html [<!ENTITY p "$1"> <!ENTITY f SYSTEM "file:///etc/hostname">]><html>'
    body = GOOD_PAGE.replace(b"<!doctype html><html>", declared).replace(b"$1.5", b"&p;").replace(b"$2", b"&f;")
    good, bad = polls(store_url, polling.page(), GOOD_PAGE, body)
    assert (good.outcome, bad.outcome, bad.changes, bad.held) == ("ok", "ok", 0, 2)


@pytest.mark.fault(24)
def test_the_poll_says_that_older_documents_came_back(store_url: str) -> None:
    a, b = GOOD, GOOD.replace(b'"6"', b'"7"')
    reports = polls(store_url, polling.source(), a, b, a, a, b)
    notes = [report.message for report in reports]
    assert notes == [
        "",
        "",
        f"older documents came back, those of {NOW:%Y-%m-%dT%H:%M:%SZ}",
        "",
        f"older documents came back, those of {later(1):%Y-%m-%dT%H:%M:%SZ}",
    ]
    assert [message for (message,) in rows(store_url, "SELECT message FROM poll ORDER BY at")] == [
        note or None for note in notes
    ]


@pytest.mark.fault(27)
def test_upstreams_that_are_all_down_and_come_back_end_no_price(store_url: str) -> None:
    specs = [polling.source(f"acme{number}") for number in range(10)]
    up = {f"{spec.id}.test": answer(GOOD) for spec in specs}
    down = {host: answer(b"", status="503 Service Unavailable") for host in up}
    outcomes = []
    for hour, answers in enumerate((up, down, down, down, down, up)):
        reports = polling.polled(store_url, *specs, answers=answers, at=later(20 * hour))
        outcomes.append({one.outcome for one in reports})
    assert outcomes == [{"ok"}, *[{"failed"}] * 4, {"ok"}]
    assert rows(store_url, 'SELECT count(*) FROM "interval"') == [(20,)]
    assert rows(store_url, 'SELECT count(*) FROM "interval" WHERE ended IS NOT NULL') == [(0,)]


@pytest.mark.fault(19)
def test_a_wait_is_kept_by_the_runs_after_and_by_every_source_of_that_host(store_url: str) -> None:
    def at(minutes: float, *specs: SourceSpec) -> tuple[list[str], int]:
        async def work() -> tuple[list[str], int]:
            busy = answer(b"", "Retry-After: 3600", status="429 Too Many Requests")
            async with raw_server(busy if minutes == 0 else answer(GOOD)) as server:
                http = settings(mirror=server.url)
                reports = await polling.poll_all(store_url, specs, http, NOW + timedelta(minutes=minutes))
                return [one.code for one in reports], len(server.requests)

        return asyncio.run(work())

    first = polling.source("first", url="https://acme.test/models")
    second, other = polling.source("second", url="https://acme.test/prices"), polling.source("other")
    assert at(0, first) == (["rate_limited"], 1)
    assert at(5, first, second, other) == (["rate_limited", "rate_limited", ""], 1)
    assert at(59, second) == (["rate_limited"], 0)
    assert at(61, first, second) == (["", ""], 2)


@pytest.mark.fault(22)
def test_a_source_that_is_gone_three_times_may_have_moved(store_url: str, tmp_path: Path) -> None:
    said = []
    for number in range(3):
        (report,) = polling.polled(store_url, LIST, answers={}, at=later(number))
        assert (report.outcome, report.code) == ("failed", "gone")
        shown = json.loads(ask(tmp_path, "--store", store_url, "sources", "--format", "json").stdout)
        said += [one["error"].endswith("; has the source moved?") for one in shown if one["source"] == LIST.id]
    assert said == [False, False, True]


@pytest.mark.fault(169)
@pytest.mark.parametrize("on", [False, True])
def test_private_addresses_that_may_be_asked_are_told(tmp_path: Path, on: bool) -> None:
    config = tmp_path / "tokentape.yaml"
    config.write_text(f"http: {{allow_private: {str(on).lower()}}}\n")
    told = ask(tmp_path, "--config", config, "sources").stderr
    assert told == ("tokentape: http.allow_private is on: sources can reach this machine and its network\n" * on)
