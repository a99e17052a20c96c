"""The store over HTTP: the answers of the commands, and what whoever asks may and may not."""

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import zstandard
from click.testing import CliRunner

from collector.cli import READING
from store import cli
from store.cli_breakeven import breakeven
from store.cli_calendar import calendar
from store.cli_compare import compare, model
from store.cli_cost import cost
from store.cli_index import index, spread, volatility
from store.doors import Doors
from store.errors import StoreError
from store.http.app import OPEN, create_app
from store.http.gate import Gate
from store.http.routes import DOORS
from store.http.settings import ServeSettings
from store.instants import iso
from tests.serving import Served, served
from tests.tape import Tape, hour, usd
from tests.test_cli_read import tape as _tape
from tests.test_query import MODEL

tape = _tape
NOW = hour(3)


@pytest.fixture
def doors(tape: Tape) -> Doors:
    tape.interval(tape.endpoint(1, "acme", "other/model"), hour(0), usd(input=1, output=1))
    return Doors(tape.url, now=lambda: NOW)


@pytest.fixture
def http(doors: Doors) -> Iterator[Served]:
    with served(doors) as running:
        yield running


def command(doors: Doors, *words: str) -> str:
    group = click.Group(commands={name: getattr(cli, name) for name in cli.__all__ if name != "Doors"})
    for one in (breakeven, calendar, compare, cost, index, model, spread, volatility):
        group.add_command(one)
    result = CliRunner().invoke(group, words, obj=doors, prog_name="tokentape")
    assert result.exit_code in {0, 3}, result.stderr
    return result.stdout


# --- answers ---

REF = f"openrouter:groq:{MODEL}@groq"
ASKED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("models", {"query": "gpt"}, ["models", "gpt"]),
    ("endpoints", {"model": MODEL}, ["endpoints", MODEL]),
    (
        "endpoints",
        {"model": MODEL, "provider": "groq", "at": "2026-07-31"},
        ["endpoints", MODEL, "--provider", "groq", "--at", "2026-07-31"],
    ),
    ("history", {"model": MODEL, "stated": "true"}, ["history", MODEL, "--stated"]),
    ("history", {"model": MODEL, "prices": "true", "since": "2h"}, ["history", MODEL, "--prices", "--since", "2h"]),
    ("changes", {"since": "7d"}, ["changes"]),
    ("cheapest", {"model": MODEL}, ["cheapest", MODEL]),
    (
        "cheapest",
        {"model": MODEL, "input": 500, "cache_hit": "0.5", "requests": 7, "current": "groq"},
        ["cheapest", MODEL, "--input", "500", "--cache-hit", "0.5", "--requests", "7", "--current", "groq"],
    ),
    ("cheapest/crossovers", {"model": MODEL}, ["cheapest", MODEL, "--crossovers"]),
    ("calendar", {"endpoint": REF}, ["calendar", REF]),
    ("explain", {"endpoint": REF}, ["explain", REF]),
    ("facts", {"model": MODEL}, ["facts", MODEL]),
    ("conflicts", {}, ["conflicts"]),
    ("held", {}, ["held"]),
    (
        "cost",
        {"model": MODEL, "provider": "groq", "input": 5000, "output": 70, "also": "reasoning=5"},
        ["cost", MODEL, "--provider", "groq", "--input", "5000", "--output", "70", "--also", "reasoning=5"],
    ),
    ("compare", {"model": [MODEL, "other/model"]}, ["compare", MODEL, "other/model"]),
    ("model", {"model": MODEL}, ["model", MODEL]),
    (
        "breakeven",
        {"model": MODEL, "gpu_rate": "1.99", "tokens_per_second": "500", "tokens_a_day": [1000]},
        ["breakeven", MODEL, "--gpu-rate", "1.99", "--tokens-per-second", "500", "--tokens-a-day", "1000"],
    ),
    ("index", {"every": "day", "since": "2026-07-31"}, ["index", "--every", "day", "--since", "2026-07-31"]),
    ("spread", {"model": MODEL}, ["spread", MODEL]),
    ("volatility", {}, ["volatility"]),
    ("volatility", {"model": MODEL, "since": "7d"}, ["volatility", MODEL, "--since", "7d"]),
    ("rates", {}, ["rates"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "parameters", "words"), ASKED, ids=[f"{one[0]}{len(one[1])}" for one in ASKED])
def test_a_route_answers_what_its_command_does(
    http: Served, doors: Doors, path: str, parameters: dict[str, Any], words: list[str]
) -> None:
    for form in ("json", "jsonl", "csv"):
        answer = http.get(f"/v1/{path}", params={**parameters, "format": form})
        assert answer.status_code == 200, answer.text
        assert answer.text == command(doors, *words, "--format", form)


def test_every_question_of_the_command_line_has_a_route() -> None:
    paths = {door.path.strip("/") for door in DOORS}
    assert set(READING) - {"export"} <= paths
    assert {"calendar", "sources", "held"} <= paths


def test_the_form_is_asked_for_by_the_accept_header_too(http: Served) -> None:
    asked = {
        "application/x-ndjson": "application/x-ndjson",
        "text/csv": "text/csv; charset=utf-8",
        "*/*": "application/json",
    }
    for accepted, given in asked.items():
        assert http.get("/v1/models", headers={"Accept": accepted}).headers["content-type"] == given


def test_pages_follow_one_another_to_the_end_as_of_one_instant(http: Served, doors: Doors) -> None:
    whole = http.get("/v1/endpoints", params={"model": MODEL}).json()
    path, found, pages = "/v1/endpoints?limit=2&model=" + MODEL, [], 0
    while path:
        answer = http.get(path)
        found += answer.json()
        pages += 1
        assert answer.headers["tokentape-at"] == iso(NOW)
        path = answer.links.get("next", {}).get("url", "")
    assert (found, pages) == (whole, 3)


def test_an_answer_is_had_again_by_the_instants_that_it_names(http: Served, tape: Tape) -> None:
    first = http.get("/v1/history", params={"model": MODEL})
    tape.poll(1, hour(2.5))
    tape.interval(tape.endpoint(1, "new", MODEL), hour(2.5), usd(input=1, output=1), known=hour(2.9))
    instants = {"at": first.headers["tokentape-at"], "known_at": iso(hour(2.2))}
    assert http.get("/v1/history", params={"model": MODEL, **instants}).text == first.text
    assert http.get("/v1/history", params={"model": MODEL}).text != first.text


# --- caching ---


def test_nothing_is_sent_again_to_whoever_has_it(http: Served, tape: Tape) -> None:
    path = f"/v1/endpoints?model={MODEL}"
    first = http.get(path)
    again = http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    tape.poll(1, hour(2.5))
    newer = http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert newer.status_code == 200
    assert newer.headers["etag"] != first.headers["etag"]


def test_the_hour_of_a_tariff_is_not_answered_from_before(tape: Tape) -> None:
    clock = [hour(2) + timedelta(seconds=1)]
    with served(Doors(tape.url, now=lambda: clock[0])) as http:
        first = http.get(f"/v1/cheapest?model={MODEL}")
        clock[0] += timedelta(seconds=30)
        assert http.get(f"/v1/cheapest?model={MODEL}").headers["tokentape-at"] == first.headers["tokentape-at"]
        clock[0] += timedelta(seconds=30)
        assert http.get(f"/v1/cheapest?model={MODEL}").headers["tokentape-at"] == iso(clock[0])


def test_answers_are_compressed_for_whoever_can_read_that(http: Served) -> None:
    plain = http.get(f"/v1/endpoints?model={MODEL}", headers={"Accept-Encoding": "identity"})
    for coding in ("gzip", "zstd"):
        with http.client.stream("GET", f"/v1/endpoints?model={MODEL}", headers={"Accept-Encoding": coding}) as answer:
            sent = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == coding
        assert answer.headers["etag"] != plain.headers["etag"]
        decoded = (
            zstandard.ZstdDecompressor().decompress(sent) if coding == "zstd" else __import__("gzip").decompress(sent)
        )
        assert decoded == plain.content


# --- who may ask ---


@pytest.mark.fault(187)
def test_nothing_is_written_unless_that_is_turned_on_and_a_token_shown(doors: Doors) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE"):
        with served(doors) as http:
            assert http.client.request(method, "/v1/held").status_code == 405
    with served(doors, ServeSettings(writes=True, token="secret"), lambda *_: []) as http:
        assert http.client.post("/v1/held/1234abcd/release").status_code == 401
    with pytest.raises(StoreError, match="shows no token"):
        create_app(doors, ServeSettings(writes=True), lambda *_: [])
    with served(doors, ServeSettings(writes=True, token="secret")) as http:  # and there is nobody to take it
        shown = {"Authorization": "Bearer secret"}
        assert http.client.post("/v1/held/1234abcd/release", headers=shown).status_code == 405


@pytest.mark.fault(188)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "prices.example", "192.168.1.1"])
def test_nobody_else_is_served_without_a_token(doors: Doors, host: str) -> None:
    with pytest.raises(StoreError, match="set a token"):
        create_app(doors, ServeSettings(host=host))
    create_app(doors, ServeSettings(host=host, token="secret"))


@pytest.mark.fault(189)
def test_a_foreign_host_is_answered_on_no_route(http: Served) -> None:
    for path in (*(f"/v1{door.path}" for door in DOORS), *OPEN, "/v1/openapi.json", "/nothing", "/"):
        for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost:evil"):
            answer = http.get(path, headers={"Host": host})
            assert (answer.status_code, answer.content) == (421, b""), (path, host)
    assert http.get("/healthz", headers={"Host": "LOCALHOST:1"}).status_code == 200


@pytest.mark.fault(190)
def test_pages_of_others_read_nothing_unless_they_are_named(doors: Doors) -> None:
    settings = ServeSettings(origins=("https://app.example",), writes=True, token="secret")
    shown = {"Authorization": "Bearer secret"}
    with served(doors, settings, lambda *_: []) as http:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            answer = http.get("/v1/models", headers={"Origin": origin, **shown})
            assert "access-control-allow-origin" not in answer.headers
            preflight = http.client.request("OPTIONS", "/v1/models", headers={"Origin": origin})
            assert preflight.status_code in {401, 403}
        assert http.client.post("/v1/held", headers={"Origin": "https://evil.example", **shown}).status_code == 403
        named = http.get("/v1/models", headers={"Origin": "https://app.example", **shown})
        assert named.headers["access-control-allow-origin"] == "https://app.example"


def test_a_token_is_asked_for_on_every_route_but_those_of_health(doors: Doors) -> None:
    with served(doors, ServeSettings(token="secret")) as http:
        for path in (*(f"/v1{door.path}" for door in DOORS), "/v1/openapi.json", "/nothing"):
            for shown in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Basic ???"},
                {"Cookie": "token=secret"},
            ):
                assert http.get(path, headers=shown).status_code == 401, path
        assert all(http.get(path).status_code == 200 for path in OPEN)
        assert http.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200
        assert http.get("/v1/models", auth=httpx.BasicAuth("anybody", "secret")).status_code == 200


@pytest.mark.fault(195)
def test_every_route_needs_what_it_should_whatever_it_declares(doors: Doors) -> None:
    app = create_app(doors, ServeSettings())
    assert isinstance(app, Gate)
    routes = app._app._app.routes  # type: ignore[attr-defined]
    assert len(routes) > len(DOORS)
    for route in routes:
        for method in getattr(route, "methods", None) or {"GET"}:
            wanted = "write" if method not in {"GET", "HEAD"} else "open" if route.path in OPEN else "read"
            assert app.access(method, route.path) == wanted
            assert not route.path.startswith(OPEN) or route.path in OPEN


# --- what is no question ---


@pytest.mark.fault(191)
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("query=" + "x" * 2**20, 414),
        ("limit=1000000000", 400),
        ("limit=0", 400),
        ("query=" + "x" * 301, 400),
        ("at=0000-01-01", 400),
        ("at=0001-01-01", 400),
        ("at=9999-12-31", 400),
        ("known_at=yesterday", 400),
        ("cursor=nonsense", 400),
        ("cursor=WzEsMiwzXQ", 400),
        ("format=xml", 400),
        ("unknown=1", 400),
        ("query=%ff", 200),
        ("query=%00", 400),
        ("&".join("query=x" for _ in range(1000)), 200),
    ],
)
def test_a_question_that_is_none_is_told_so_at_once(http: Served, query: str, status: int) -> None:
    http.get("/v1/models")
    began = time.process_time()
    answer = http.raw(f"GET /v1/models?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert time.process_time() - began < 1
    if len(query) > 65536:  # so long a line is not read to its end
        assert not answer or int(answer.split()[1]) in {400, 414}
        return
    assert int(answer.split()[1]) == status
    if status == 400:
        told = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (told["status"], told["type"]) == (400, "about:blank")


@pytest.mark.fault(191)
def test_ten_thousand_filters_are_refused(http: Served) -> None:
    many = "&".join(f"where=provider!=p{number}" for number in range(300))
    answer = http.get(f"/v1/cheapest?model={MODEL}&{many}")
    assert answer.status_code == 400
    assert "where" in answer.json()["detail"]


@pytest.mark.fault(192)
def test_a_question_that_takes_too_long_is_broken_off(tape: Tape) -> None:
    with served(Doors(tape.url, now=lambda: NOW), ServeSettings(statement_s=0.0)) as http:
        for number in range(300):
            tape.interval(tape.endpoint(1, f"p{number}", f"m/{number}"), hour(0), usd(input=number, output=1))
        answer = http.get("/v1/models")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert http.get("/healthz").status_code == 200


@pytest.mark.fault(192)
@pytest.mark.parametrize("end", [b"\r\n", b"", b"Host"], ids=["a whole request", "half a head", "half a line"])
def test_a_client_that_sends_nothing_more_is_cut_off(doors: Doors, end: bytes) -> None:
    with served(doors, ServeSettings(idle_s=1.0)) as http:
        http.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + end, wait_s=15)  # and waits for more
        assert http.get("/healthz").status_code == 200


@pytest.mark.fault(193)
@pytest.mark.parametrize("calls", [0, 1], ids=["before any route", "in a route"])
def test_a_fault_of_ours_is_told_by_an_id_alone(tape: Tape, calls: int) -> None:
    left = [NOW] * calls

    def broken() -> Any:
        if left:
            return left.pop()
        raise RuntimeError("a path /var/lib and a secret")

    with served(Doors(tape.url, now=broken)) as http:
        answer = http.get("/v1/models")
        assert answer.status_code == 500
        told = answer.json()
        assert set(told) == {"type", "title", "status", "detail", "id"}
        assert "secret" not in answer.text
        assert http.get("/healthz").status_code == 200


@pytest.mark.fault(193)
def test_what_was_sent_is_never_part_of_a_page(http: Served) -> None:
    evil = "<script>alert(1)</script>"
    for path in (f"/v1/endpoints?model={evil}", f"/v1/models?limit={evil}", f"/{evil}", f"/v1/models?at={evil}"):
        answer = http.get(path)
        assert answer.status_code in {400, 404}
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_store_that_is_missing_says_nothing_of_the_machine(tmp_path: Path) -> None:
    with served(Doors(str(tmp_path / "none.db"), now=lambda: NOW)) as http:
        for path in ("/readyz", "/v1/models"):
            answer = http.get(path)
            assert answer.status_code == 503
            assert str(tmp_path) not in answer.text
        assert http.get("/healthz").status_code == 200


@pytest.mark.fault(198)
def test_cookies_and_ranges_that_are_nonsense_change_no_answer(http: Served) -> None:
    plain = http.get("/v1/models")
    for headers in (
        {"Cookie": "x" * 4000},
        {"Range": "bytes=9-1"},
        {"If-None-Match": '"' + "x" * 3000},
        {"Cookie": "\x80=;;"},
    ):
        answer = http.get("/v1/models", headers={name: value.encode("latin-1") for name, value in headers.items()})
        assert (answer.status_code, answer.content) == (200, plain.content)


# --- the description ---


def test_the_description_names_every_route_and_its_parameters(http: Served) -> None:
    told = http.get("/v1/openapi.json").json()
    assert {f"/v1{door.path}" for door in DOORS} <= set(told["paths"])
    for door in DOORS:
        operation = told["paths"][f"/v1{door.path}"]["get"]
        assert {one["name"] for one in operation["parameters"]} == set(door.kind.model_fields)
        assert "422" not in operation["responses"]
    assert "secret" not in json.dumps(told)


def test_whatever_the_description_allows_is_answered_as_it_says(http: Served, tmp_path: Path) -> None:
    checks = (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{http.port}/v1/openapi.json"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--workers", "1"),
        *("--checks", ",".join(checks)),
    ]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False)
    assert found.returncode == 0, found.stdout[-4000:]
    assert re.search(rf"Tested: {len(DOORS) + 4}\b", found.stdout), found.stdout[-2000:]


@pytest.mark.parametrize("zone", ["x" * 300, "America", "../../etc/passwd", "Mars"])
def test_a_time_zone_that_is_none_is_told(http: Served, zone: str) -> None:
    answer = http.get("/v1/calendar", params={"endpoint": REF, "tz": zone})
    assert (answer.status_code, "time zone" in answer.text) == (400, True)
    answer = http.get("/v1/cheapest", params={"model": MODEL, "hours": "8-9", "tz": zone})
    assert answer.status_code == 400


def test_rows_of_csv_are_safe_for_a_spreadsheet(tape: Tape, doors: Doors) -> None:
    tape.interval(tape.endpoint(1, "=cmd()", MODEL), hour(0), usd(input=1, output=1))
    with served(doors) as http:
        text = http.get("/v1/endpoints", params={"model": MODEL, "format": "csv"}).text
        raw = http.get("/v1/endpoints", params={"model": MODEL, "format": "csv", "raw": "true"}).text
    assert "'=cmd()" in [row["provider"] for row in csv.DictReader(io.StringIO(text))]
    assert "=cmd()" in [row["provider"] for row in csv.DictReader(io.StringIO(raw))]
