"""Faults of a transfer, each in a poll after a good one: what the poll's row says of it, and that prices stand.

How each is told apart is seen in `test_fetch.py` and `test_fetch_gate.py`; here is what becomes of the store.
"""

import asyncio
import gzip
import json
import socket
import ssl
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from collector.poll import Report
from collector.transport import Resolve, system_addresses
from store.health import newest_polls
from store.read import open_store
from tests import polling
from tests.bombs import BOMBS
from tests.fetching import NOW, everything_is_loopback, settings
from tests.raw_server import Answer, answer, drip, raw_server, reset, silence
from tests.stores import content, rows
from tests.test_crash import faults
from tests.test_fetch_gate import EXPIRED, PEM

BODY = json.dumps({"data": [{"id": f"acme/m{n}", "in": "1.5", "out": "6"} for n in range(9)]}).encode()
OK = answer(BODY, "Content-Type: application/json", 'ETag: "v1"')
SPEC = polling.source(deadline_s=2.0)
HOST = "/acme.test"
"""What a mirror has of the source lies below this path."""


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def moved(to: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {to}", status=status)


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


async def nobody(host: str, port: int) -> list[str]:
    """A resolver that knows no name."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def no_answer(host: str, port: int) -> list[str]:
    """A resolver that knows the name, and no address of it."""
    return []


async def mixed(host: str, port: int) -> list[str]:
    """A resolver of an upstream that would like to be this machine too."""
    return ["93.184.216.34", "127.0.0.1"]


def serving(pem: Path, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a server shows that it is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    if newest is not None:
        with warnings.catch_warnings(action="ignore"):  # it is told that this is old, which is the point
            context.maximum_version = newest
    return context


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What befalls a poll."""

    fault: int
    code: str
    """Of the poll's row; empty where the poll is a good one."""
    answers: tuple[Answer, ...] = (OK,)
    url: str = ""
    """Where there is no mirror; `{port}` is the port of the server."""
    deadline_s: float = 2.0
    http: Mapping[str, Any] = field(default_factory=dict)
    resolve: Resolve = system_addresses
    tls: ssl.SSLContext | None = None
    trusted: Path | None = None

    async def poll(self, store: str, at: datetime) -> Report:
        """The one poll."""
        async with raw_server(*self.answers, tls=self.tls) as server:
            spec, http = replace(SPEC, deadline_s=self.deadline_s), settings(first_byte_s=0.1)
            if self.url:
                spec = replace(spec, url=self.url.replace("{port}", str(server.port)))
            else:
                http = replace(http, mirror=server.url)
            trust = ssl.create_default_context(cafile=str(self.trusted)) if self.trusted else None
            http = replace(http, **self.http)
            (report,) = await polling.poll_all(store, [spec], http, at, resolve=self.resolve, tls=trust)
            return report


USUAL = Sent(fault=0, code="")
"""What comes when nothing befalls it."""


def broken(fault: int, code: str, *answers: Answer, **more: Any) -> Sent:
    return Sent(fault=fault, code=code, answers=answers, **more)


def chunked(body: bytes, *headers: str) -> bytes:
    return answer(body, "Transfer-Encoding: chunked", *headers, sized=False)


def elsewhere(fault: int, host: str, **more: Any) -> Sent:
    """A source at an address that is not to be asked."""
    return Sent(
        fault=fault, code="address", url=f"http://{host}:{{port}}/models", http={"allow_private": False}, **more
    )


CODED = {
    "gzip": gzip.compress(BODY),
    "br": brotli.compress(BODY),
    "deflate": zlib.compress(BODY),
    "zstd": zstandard.ZstdCompressor().compress(BODY),
}
CUT = {
    f"cut {coding}, {'of that length' if sized else 'no length'}": broken(
        33, "truncated", answer(cut(body), f"Content-Encoding: {coding}", sized=sized)
    )
    for coding, body in CODED.items()
    for sized in (True, False)
}
GONE_OFF = {
    f"bomb of {name}": broken(37, "too_large", answer(raw, f"Content-Encoding: {coding}"), http={"body_limit": 1 << 24})
    for name, make in BOMBS.items()
    for coding, raw in [make()]
}
STATUSES = {
    f"status {status[:3]}": broken(fault, code, answer(b"", status=status), http={"attempts": 3})
    for fault, code, status in (
        (20, "http_500", "500 Internal Server Error"),
        (20, "http_502", "502 Bad Gateway"),
        (20, "http_503", "503 Service Unavailable"),
        (20, "http_504", "504 Gateway Timeout"),
        (21, "auth", "401 Unauthorized"),
        (21, "auth", "403 Forbidden"),
    )
}
FORBIDDEN = {
    f"address {host}": elsewhere(fault, host)
    for fault, hosts in (
        (161, "127.0.0.1 localhost [::1] 10.0.0.1 169.254.169.254 100.64.0.1 224.0.0.1 240.0.0.1"),
        (162, "127.1 0x7f.1 2130706433 0 017700000001 [::ffff:127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]"),
    )
    for host in hosts.split()
}
BY_TLS: dict[str, Any] = {"url": "https://acme.test:{port}/models", "resolve": everything_is_loopback}
REFUSED: dict[str, Sent] = {
    "name not found": Sent(fault=3, code="dns", url="https://acme.test/models", resolve=nobody),
    "no address": Sent(fault=3, code="dns", url="https://acme.test/models", resolve=no_answer),
    "self-signed": Sent(fault=4, code="tls", tls=serving(PEM), url="https://catalogue.test:{port}/models",
                        resolve=everything_is_loopback),
    "of another name": Sent(fault=4, code="tls", tls=serving(PEM), trusted=PEM, **BY_TLS),
    "expired": Sent(fault=4, code="tls", tls=serving(EXPIRED), trusted=EXPIRED, **BY_TLS),
    "old TLS": Sent(fault=4, code="tls", tls=serving(PEM, ssl.TLSVersion.TLSv1_1), trusted=PEM, **BY_TLS),
    "reset at once": broken(5, "read", reset()),
    "reset in headers": broken(5, "read", reset(b"HTTP/1.1 200 OK\r\nConte")),
    "reset in the body": broken(5, "read", reset(answer(BODY, length=len(BODY) + 9))),
    "silence": broken(6, "first_byte_timeout", silence()),
    "drip": broken(7, "deadline", drip(answer(sized=False), b" ", 0.02), deadline_s=0.3),
    "endless 1xx": broken(8, "deadline", drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.02), deadline_s=0.3),
    "endless headers": broken(8, "protocol", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000),
    "not HTTP": broken(9, "protocol", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "nothing": broken(9, "protocol", b""),
    "no header": broken(9, "protocol", answer(BODY, "no colon here")),
    "shorter than its length": broken(10, "truncated", answer(BODY, length=len(BODY) + 1)),
    "without its last chunk": broken(10, "truncated", chunked(b"%x\r\n%s\r\n" % (len(BODY), BODY))),
    "two lengths": broken(12, "protocol", answer(BODY, f"Content-Length: {len(BODY) - 1}")),
    "negative length": broken(12, "protocol", answer(BODY, length=-2)),
    "length and chunks": broken(12, "protocol", answer(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
    "redirect loop": broken(13, "redirects", moved(f"{HOST}/models")),
    "four redirects": broken(13, "redirects", *(moved(f"{HOST}/{n}") for n in range(4)), OK),
    "redirect nowhere": broken(13, "redirects", answer(b"", status="302 Found")),
    "home page": broken(15, "redirect_target", moved(f"{HOST}/"), OK),
    "login": broken(16, "login", moved(f"{HOST}/login"), answer(b"<form><input type=password></form>")),
    "https to http": broken(17, "downgrade", moved("http://acme.test/models"), OK),
    "another host": broken(17, "redirect_host", moved("https://other.test/models"), OK),
    **STATUSES,
    **CUT,
    "wrong check sum": broken(35, "decode", answer(CODED["gzip"][:-8] + b"\0" * 8, "Content-Encoding: gzip")),
    "plain, said to be gzip": broken(35, "decode", answer(BODY, "Content-Encoding: gzip")),
    "unknown coding": broken(35, "coding", answer(BODY, "Content-Encoding: snappy")),
    "three codings": broken(36, "coding", answer(BODY, "Content-Encoding: gzip, gzip, gzip")),
    **GONE_OFF,
    "stream without end": broken(38, "too_large", drip(answer(sized=False), b" " * 65536, 0.0)),
    "too long by its length": broken(38, "too_large", silence(answer(b"", length=10 << 30))),
    **FORBIDDEN,
    "a private address among others": elsewhere(163, "acme.test", resolve=mixed),
    "private to metadata": broken(165, "redirect_host", moved("http://169.254.169.254/models"), OK),
    "private at the second hop": broken(165, "redirect_host", moved(f"{HOST}/a"), moved("http://127.0.0.1:1/"), OK),
    "user info": broken(166, "url", moved("https://user:pw@acme.test/models"), OK),
    "backslash": broken(166, "url", moved("https://127.0.0.1\\@acme.test/models"), OK),
    "file": broken(167, "scheme", moved("file:///etc/passwd"), OK),
    "data": broken(167, "scheme", moved("data:text/plain,1"), OK),
    "gopher": broken(167, "scheme", moved("gopher://acme.test/models"), OK),
}  # fmt: skip


def believed(store: str) -> dict[str, Any]:
    """All that a store holds but its polls."""
    return {table: found for table, found in content(store).items() if table != "poll"}


def stands(store: str, before: dict[str, Any]) -> None:
    """Assert that nothing but polls was written since, and that all follows from the documents."""
    assert believed(store) == before
    assert faults(polling.configured(settings(), SPEC), store, "") == []


def made(request: pytest.FixtureRequest) -> set[int]:
    """The faults that the test says it makes."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None
    return set(marker.args)


@pytest.mark.fault(
    3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 20, 21, 33, 35, 36, 37, 38, 161, 162, 163, 165, 166, 167
)  # fmt: skip
def test_whatever_breaks_on_the_way_is_a_poll_that_failed_and_changes_nothing(
    store_url: str, request: pytest.FixtureRequest
) -> None:
    assert {case.fault for case in REFUSED.values()} == made(request)

    async def work() -> None:
        assert (await USUAL.poll(store_url, NOW)).changes == 9
        before = await asyncio.to_thread(believed, store_url)
        told = {}
        for minute, (name, case) in enumerate(REFUSED.items(), 1):
            report = await case.poll(store_url, later(minute))
            told[name] = report.code
            assert (report.outcome, "\n" in report.line) == ("failed", False), report.line
        assert told == {name: case.code for name, case in REFUSED.items()}
        await asyncio.to_thread(stands, store_url, before)
        again = await USUAL.poll(store_url, later(len(REFUSED) + 1))
        assert (again.outcome, again.changes, again.held) == ("ok", 0, 0)

    asyncio.run(work())
    kept = [("ok", None), *(("failed", case.code) for case in REFUSED.values()), ("ok", None)]
    assert rows(store_url, "SELECT outcome, code FROM poll ORDER BY at") == kept


@contextmanager
def unreachable() -> Iterator[dict[str, int]]:
    """Ports of this machine by what becomes of a connection to them."""
    with socket.socket() as closed, socket.socket() as full, socket.socket() as one, socket.socket() as two:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # its queue holds one: after that, connections wait
        for waiting in (one, two):
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield {"connect": closed.getsockname()[1], "connect_timeout": full.getsockname()[1]}


@pytest.mark.fault(1, 2)
def test_an_upstream_that_cannot_be_reached_is_down_within_one_poll_and_its_prices_stand(store_url: str) -> None:
    async def work(minute: int, case: Sent) -> Report:
        return await case.poll(store_url, later(minute))

    def up() -> list[bool]:
        with open_store(store_url) as reader:
            return [one.outcome != "failed" for one in newest_polls(reader)]

    asyncio.run(work(0, USUAL))
    before = believed(store_url)
    assert up() == [True]
    with unreachable() as ports:
        for minute, (code, port) in enumerate(ports.items(), 1):
            url = f"http://127.0.0.1:{port}/models"
            report = asyncio.run(work(minute, Sent(fault=minute, code=code, url=url, http={"connect_s": 0.2})))
            assert (report.outcome, report.code) == ("failed", code)
            assert up() == [False]
    stands(store_url, before)
    assert asyncio.run(work(3, USUAL)).changes == 0
    assert up() == [True]


def good(fault: int, told: str, *answers: Answer, **more: Any) -> tuple[Sent, str]:
    """A poll that is as good as any, and what its row says all the same."""
    return Sent(fault=fault, code="", answers=answers, **more), told


NOT_MODIFIED = answer(status="304 Not Modified", sized=False)
DONE: dict[str, tuple[Sent, str]] = {
    "moved for good": good(
        14, "https://acme.test/models has moved for good, to https://acme.test/v2", moved(f"{HOST}/v2", "301 Moved"), OK
    ),
    "304 to what is held": good(23, "", NOT_MODIFIED),
    "a proxy in the environment": good(26, "", OK),
    "two members": good(34, "", answer(gzip.compress(BODY[:99]) + gzip.compress(BODY[99:]), "Content-Encoding: gzip")),
    "sunset": good(
        68,
        "acme.test will answer this no longer from 2026-10-31T23:59:59Z on (Sunset)",
        answer(BODY, "Sunset: Sat, 31 Oct 2026 23:59:59 GMT"),
    ),
    "deprecation": good(
        68,
        "acme.test has deprecated this as of 2026-08-01T00:00:00Z (Deprecation)",
        answer(BODY, "Deprecation: @1785542400"),
    ),
}


@pytest.mark.fault(14, 23, 26, 34, 68)
def test_what_is_odd_on_the_way_and_harms_nobody_is_noted_and_changes_nothing(
    store_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert {case.fault for case, _ in DONE.values()} == made(request)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))

    async def work() -> None:
        first = await Sent(fault=23, code="", answers=(NOT_MODIFIED, OK)).poll(store_url, NOW)
        assert (first.outcome, first.changes) == ("ok", 9), "what is not held is asked for once more"
        before = await asyncio.to_thread(believed, store_url)
        for minute, (case, _) in enumerate(DONE.values(), 1):
            report = await case.poll(store_url, later(minute))
            assert (report.outcome, report.changes, report.quotes) == ("ok", 0, 9), report.line
        await asyncio.to_thread(stands, store_url, before)

    asyncio.run(work())
    told = rows(store_url, "SELECT outcome, code, message FROM poll ORDER BY at")
    assert told == [("ok", None, note or None) for note in ("", *(note for _, note in DONE.values()))]


@pytest.mark.fault(164)
def test_a_name_that_is_bound_anew_leads_to_the_address_that_was_judged_or_nowhere(store_url: str) -> None:
    looked_up: list[str] = []

    async def changing(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["127.0.0.2"]

    async def work() -> None:
        judged = Sent(fault=164, code="", url="http://acme.test:{port}/models", resolve=changing)
        assert (await judged.poll(store_url, NOW)).changes == 9
        assert looked_up == ["acme.test"]
        before = await asyncio.to_thread(believed, store_url)
        said = iter([[], ["127.0.0.1"]])

        async def at_the_second_try(host: str, port: int) -> list[str]:
            return next(said)

        anew = elsewhere(164, "acme.test", resolve=at_the_second_try)
        report = await replace(anew, http={**anew.http, "attempts": 2}).poll(store_url, later(1))
        assert (report.outcome, report.code, next(said, None)) == ("failed", "address", None)
        await asyncio.to_thread(stands, store_url, before)

    asyncio.run(work())


@pytest.mark.fault(18)
def test_a_key_goes_to_no_other_host_and_into_no_store(store_url: str) -> None:
    spec, key = replace(SPEC, key_env="ACME_API_KEY"), {"ACME_API_KEY": "planted-key"}

    async def work() -> None:
        async with raw_server(OK) as other:
            away = moved(f"http://127.0.0.1:{other.port}/models")
            for minute, answers in enumerate([(OK,), (away, OK)]):
                async with raw_server(*answers) as server:
                    http = settings(mirror=server.url)
                    (report,) = await polling.poll_all(store_url, [spec], http, later(minute), environ=key)
                    assert "planted-key" in server.requests[0]
                    assert (report.code, len(server.requests)) == (("", "redirect_host")[minute], 1)
            assert other.requests == []

    asyncio.run(work())
    assert "planted-key" not in repr(content(store_url))


PAGE = polling.table("acme-1 $1.5 $6", "acme-2 $2 $8").encode()


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("status", "rules", "code"),
    [("200 OK", b"User-agent: *\nDisallow: /", "robots"), ("503 Busy", b"no", "robots_unknown")],
)
def test_a_page_that_may_not_be_asked_keeps_its_prices(store_url: str, status: str, rules: bytes, code: str) -> None:
    async def work(minute: int, robots: bytes) -> tuple[Report, list[str]]:
        paths = {f"{HOST}/robots.txt": robots, f"{HOST}/models": answer(PAGE)}
        async with raw_server(polling.NOT_FOUND, at=paths) as server:
            (report,) = await polling.poll_all(store_url, [polling.page()], settings(mirror=server.url), later(minute))
            return report, [head.split(" ")[1] for head in server.requests]

    first, _ = asyncio.run(work(0, polling.NOT_FOUND))
    before = believed(store_url)
    refused, asked = asyncio.run(work(1, answer(rules, status=status)))
    assert (first.changes, refused.outcome, refused.code, asked) == (2, "failed", code, [f"{HOST}/robots.txt"])
    assert believed(store_url) == before
    again, _ = asyncio.run(work(2, polling.NOT_FOUND))
    assert (again.outcome, again.changes) == ("ok", 0)
