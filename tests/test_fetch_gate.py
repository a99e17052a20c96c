"""What must never leave: requests to forbidden addresses, keys, and anything the environment would redirect."""

import asyncio
import logging
import socket
import ssl
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpcore
import httpx
import pytest

from collector.address import forbidden
from collector.contract import Request
from collector.errors import Blocked, FetchFailed
from collector.fetch import Fetcher
from collector.settings import HttpSettings
from collector.transport import JudgedNetwork
from store.records import Document
from tests.fetching import BODY, NOW, OK, everything_is_loopback, fetcher, run, settings, spec
from tests.raw_server import Answer, answer, raw_server, reset, silence

PEM = Path(__file__).with_name("loopback.pem")
EXPIRED = Path(__file__).with_name("expired.pem")


# Addresses


@contextmanager
def canary() -> Iterator[int]:
    """The port of a listener, on every address of this machine, that must not get a connection."""
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(0)
        yield listener.getsockname()[1]
        with pytest.raises(BlockingIOError):
            listener.accept()


SPELLINGS = """
    127.0.0.1 127.0.0.2 127.255.255.254 127.1 127.0.1 0x7f.1 0x7f.0.0.1 0x7f000001 0X7F000001 2130706433 017700000001
    0177.0.0.1 0177.1 0 0.0.0.0 0x0 00 000.000.000.000 127.0.0.1. 127.000.000.001 127.0.0.01 0x7f.0x0.0x0.0x1
    127。0。0。1 127．0．0．1 127｡0｡0｡1 １２７.0.0.1 ①②⑦.0.0.1 127.0.0.1%00 127%2e0%2e0%2e1 %31%32%37.0.0.1
    localhost LOCALHOST LocalHost localhost. ｌｏｃａｌｈｏｓｔ localhost.localdomain ip6-localhost ip6-loopback
    [::1] [0:0:0:0:0:0:0:1] [::0001] [0000::1] [::] [0::0] [::127.0.0.1] [::7f00:1] [::1%25lo] [::1%lo]
    [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:127.0.0.1] [0:0:0:0:0:ffff:7f00:1] [::ffff:0:0] [::ffff:0:127.0.0.1]
    [64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1]
    [2001:0:4136:e378:8000:63bf:80ff:fffe] [2001::1] [fe80::1] [fe80::1%25eth0] [febf::1] [fec0::1] [fc00::1] [fd00::1]
    [fd00:ec2::254] [ff02::1] [ff0e::1] [2001:db8::1] [3fff::1] [100::1] [5f00::1] [2001:2::1] [2001:10::1]
    169.254.169.254 169.254.170.2 2852039166 0xa9fea9fe 0251.0376.0251.0376 169.254.43518 [::ffff:169.254.169.254]
    [::ffff:a9fe:a9fe] [64:ff9b::a9fe:a9fe] 100.64.0.1 100.100.100.200 100.127.255.255 168.63.129.16
    10.0.0.1 10.1 0xa.1 012.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 192.168.257 0xc0a80101 3232235777
    192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250
    240.0.0.1 255.255.255.255 0.0.0.1 0.255.255.255
"""
"""Hosts that are this machine, its neighbours, its cloud or nobody, as they may be written."""


@pytest.mark.fault(161, 162)
def test_no_spelling_of_a_forbidden_address_gets_a_connection() -> None:
    hosts = SPELLINGS.split()
    assert len(set(hosts)) > 100

    async def work(port: int) -> dict[str, str]:
        async with fetcher(settings(allow_private=False, attempts=3)) as source:
            found = {}
            for host in hosts:
                with pytest.raises(FetchFailed) as caught:
                    await source.get(Request(url=f"http://{host}:{port}/models"), spec())
                found[host] = caught.value.code
            return found

    with canary() as port:
        codes = run(work(port))
    # Some spellings are no host at all to the parser or the resolver; what matters is that nothing was asked.
    assert set(codes.values()) <= {"address", "url", "dns"}, codes
    plain = ("127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost", "169.254.169.254", "100.64.0.1", "[::1]")
    assert {codes[host] for host in plain} == {"address"}


@pytest.mark.fault(163, 164)
@pytest.mark.parametrize(
    "script",
    [
        (["93.184.216.34"], ["127.0.0.1"]),
        (["127.0.0.1"], ["93.184.216.34"]),
        (["93.184.216.34", "127.0.0.1"],),
        (["2606:4700::1111", "::1"], ["93.184.216.34"]),
        ([], ["127.0.0.1"], ["93.184.216.34"]),
    ],
    ids=["turns private", "turns public", "mixed", "mixed families", "at the second try"],
)
def test_a_name_that_is_bound_anew_leads_to_no_forbidden_address_at_any_try(script: tuple[list[str], ...]) -> None:
    said = iter([*script, *script])

    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return next(said)

    async def tries() -> int:
        network = JudgedNetwork(resolve, allow_private=False, allowed=())
        blocked = 0
        for answered in [*script, *script]:
            ends = asyncio.get_running_loop().time() + 5
            try:
                addresses = await network._judged("catalogue.test", 443, ends)
            except (Blocked, httpcore.ConnectError):
                blocked += 1
            else:
                assert addresses == answered
                assert not any(map(forbidden, addresses))
        return blocked

    assert run(tries()) >= 2


@pytest.mark.fault(163)
def test_a_name_with_one_forbidden_address_among_its_own_is_not_asked() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        del host, port
        return ["93.184.216.34", "127.0.0.1"]

    async def work(port: int) -> None:
        async with fetcher(settings(allow_private=False), resolve=mixed) as source:
            await source.get(Request(url=f"http://catalogue.test:{port}/"), spec())

    with canary() as port, pytest.raises(Blocked, match=r"catalogue\.test has the address 127\.0\.0\.1") as caught:
        run(work(port))
    assert caught.value.code == "address"


@pytest.mark.fault(164)
def test_a_name_is_resolved_once_for_judging_and_connecting() -> None:
    looked_up: list[str] = []

    async def changing(host: str, port: int) -> list[str]:
        del port
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["127.0.0.2"]

    async def work() -> bytes:
        async with raw_server(OK) as server, fetcher(settings(), resolve=changing) as source:
            return (await source.get(Request(url=f"http://catalogue.test:{server.port}/"), spec())).body

    assert run(work()) == BODY
    assert looked_up == ["catalogue.test"]


def test_the_next_address_is_tried_when_one_refuses() -> None:
    async def two(host: str, port: int) -> list[str]:
        del host, port
        return ["127.0.0.9", "127.0.0.1"]

    async def work() -> bytes:
        async with raw_server(OK) as server, fetcher(settings(), resolve=two) as source:
            return (await source.get(Request(url=f"http://catalogue.test:{server.port}/"), spec())).body

    assert run(work()) == BODY


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    "trouble",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        UnicodeError("label too long"),
        None,
    ],
    ids=repr,
)
def test_a_name_without_an_address_is_a_dns_error_and_tried_again(trouble: Exception | None) -> None:
    looked_up: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        del port
        looked_up.append(host)
        if trouble is not None:
            raise trouble
        return []

    async def work() -> None:
        async with fetcher(settings(attempts=3), resolve=resolve) as source:
            await source.get(Request(url="https://catalogue.test/models"), spec())

    with pytest.raises(FetchFailed, match=r"acme: https://catalogue\.test/models: ") as caught:
        run(work())
    assert caught.value.code == "dns"
    assert len(looked_up) == 3


def test_a_resolver_that_does_not_answer_is_a_connect_timeout() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        await asyncio.sleep(30)
        return []

    async def work() -> None:
        async with fetcher(settings(), resolve=resolve) as source:
            await source.get(Request(url="https://catalogue.test/models"), spec())

    with pytest.raises(FetchFailed) as caught:
        run(work())
    assert caught.value.code == "connect_timeout"


@pytest.mark.fault(161, 162)
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("8.8.8.8", None),
        ("100.63.255.255", None),
        ("100.128.0.0", None),
        ("172.32.0.1", None),
        ("2606:4700::1111", None),
        ("64:ff9b::808:808", None),
        ("::ffff:8.8.8.8", None),
        ("100.127.255.255", "shared by a carrier"),
        ("168.63.129.16", "a cloud's own"),
        ("198.19.0.1", "reserved"),
        ("239.255.255.250", "multicast"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("::ffff:10.0.0.1", "private"),
        ("::127.0.0.1", "not a global address"),
        ("64:ff9b:1::1", "not a global address"),
        ("fd00:ec2::254", "not a global address"),
        ("fe80::1%eth0", "not a global address"),
        ("ff02::1", "not a global address"),
        ("2001:0:4136:e378::1", "a tunnel"),
        ("2001:db8::1", "for documentation"),
    ],
)
def test_an_address_is_judged_by_what_it_is(address: str, why: str | None) -> None:
    assert forbidden(address) == why


@pytest.mark.fault(166, 167)
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///etc/passwd", "scheme"),
        ("FILE:///etc/passwd", "scheme"),
        ("ftp://catalogue.test/", "scheme"),
        ("gopher://catalogue.test/", "scheme"),
        ("source:file:///etc/passwd", "scheme"),
        ("data:text/plain,1", "scheme"),
        ("/models", "scheme"),
        ("http://user:pw@catalogue.test/", "url"),
        ("http://catalogue.test\\@127.0.0.1/", "url"),
        ("http://catalogue.test/a b", "url"),
        ("http://catalogue.test/a\\\\b", "url"),
        ("http://catalogue.test/\r\nX: y", "url"),
        ("http://catalogue.test/\x00", "url"),
        ("http:///models", "url"),
        ("http://catalogue.test:port/", "url"),
        ("http://[::1/", "url"),
    ],
)
def test_a_url_that_is_not_plain_http_is_not_asked(url: str, code: str) -> None:
    async def work() -> None:
        async with fetcher(settings()) as source:
            await source.get(Request(url=url), spec())

    with pytest.raises(Blocked, match=r"^acme: ") as caught:
        run(work())
    assert caught.value.code == code
    assert "pw" not in str(caught.value)


# TLS


async def over_tls(trusted: bool, host: str, pem: Path = PEM, newest: ssl.TLSVersion | None = None) -> bytes:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(pem)
    if newest is not None:
        with warnings.catch_warnings(action="ignore"):  # it is told that this is old, which is the point
            serving.maximum_version = newest
    asking = ssl.create_default_context(cafile=str(pem) if trusted else None)
    async with (
        raw_server(OK, tls=serving) as server,
        Fetcher(settings(attempts=3), lambda: NOW, resolve=everything_is_loopback, tls=asking) as source,
    ):
        document = await source.get(Request(url=f"https://{host}:{server.port}/models"), spec())
        return document.body


def test_tls_verifies_the_name_that_was_asked_for_not_the_address() -> None:
    assert run(over_tls(trusted=True, host="catalogue.test")) == BODY


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    ("trusted", "host", "why"),
    [
        (False, "catalogue.test", "self-signed certificate"),
        (True, "other.test", "not valid for 'other.test'"),
        (True, "127.0.0.1", "not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_proves_nothing_is_a_tls_error(trusted: bool, host: str, why: str) -> None:
    with pytest.raises(FetchFailed, match=why) as caught:
        run(over_tls(trusted, host))
    assert caught.value.code == "tls"


@pytest.mark.fault(4)
def test_an_expired_certificate_and_an_old_version_are_tls_errors() -> None:
    for pem, newest, why in ((EXPIRED, None, "certificate has expired"), (PEM, ssl.TLSVersion.TLSv1_1, "no trust")):
        with pytest.raises(FetchFailed, match=why) as caught:
            run(over_tls(trusted=True, host="catalogue.test", pem=pem, newest=newest))
        assert caught.value.code == "tls"


@pytest.mark.fault(17)
def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    async def work() -> None:
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(PEM)
        asking = ssl.create_default_context(cafile=str(PEM))
        there: list[str] = []

        async def redirect(writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"", f"Location: {there[0]}", status="301 Moved"))
            await writer.drain()

        async with (
            raw_server(redirect, tls=serving) as server,
            Fetcher(settings(), lambda: NOW, resolve=everything_is_loopback, tls=asking) as source,
        ):
            there.append(f"http://catalogue.test:{server.port}/models")
            await source.get(Request(url=f"https://catalogue.test:{server.port}/models"), spec())

    with pytest.raises(Blocked) as caught:
        run(work())
    assert caught.value.code == "downgrade"


# Secrets

SECRETS = {"query": "SECRETQUERY", "header": "SECRETHEADER", "etag": "SECRETETAG", "proxy": "SECRETPROXY"}


@pytest.mark.fault(170, 171)
@pytest.mark.parametrize(
    "raw",
    [
        OK,
        reset(),
        silence(),
        b"not http SECRETHEADER\r\n\r\n",
        answer(b"", "Retry-After: 9", "X-Echo: SECRETHEADER", status="429 SECRETHEADER"),
        answer(b"SECRETHEADER", status="401 Unauthorized"),
        answer(b"SECRETHEADER", "Content-Encoding: gzip"),
        answer(b"", "Location: http://other.test/?key=SECRETQUERY", status="302 Found"),
        answer(b"", "Location: http://u:SECRETQUERY@other.test/", status="302 Found"),
        answer(b"", "Location: /?key=SECRETQUERY#SECRETQUERY", status="302 Found"),
        answer(b"{}", "Content-Length: 9"),
        answer(BODY, "Set-Cookie: session=SECRETHEADER", length=99_999),
    ],
    ids=["fine", "reset", "silence", "not http", "429", "401", "gzip", "host", "user", "home", "lengths", "short"],
)
def test_no_message_log_line_or_cause_holds_a_secret(raw: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def work() -> None:
        async with raw_server(raw) as server, fetcher(settings(attempts=2)) as source:
            url = f"{server.url}/models?key={SECRETS['query']}#{SECRETS['query']}"
            request = Request(url=url, headers={"Authorization": f"Bearer {SECRETS['header']}"})
            previous = Document(
                source="acme", url=url, fetched_at=NOW, status=200, body=b"{}", etag=f'"{SECRETS["etag"]}"'
            )
            await source.get(request, spec(), previous)

    if raw is OK:
        run(work())
    else:
        with pytest.raises(FetchFailed) as caught:
            run(work())
        shown = "".join(traceback.format_exception(caught.value))
        assert "SECRET" not in shown
    assert "SECRET" not in caplog.text
    assert "127.0.0.1" not in caplog.text


@pytest.mark.parametrize("value", ["SECRET\r\nX-Injected: yes", "SECRET\x00", "SECRET€"])
def test_a_header_that_cannot_be_sent_is_blocked_without_being_shown(value: str) -> None:
    async def work() -> int:
        async with raw_server(OK) as server, fetcher(settings(attempts=3)) as source:
            with pytest.raises(Blocked) as caught:
                await source.get(Request(url=server.url, headers={"X-Key": value}), spec())
            assert caught.value.code == "header"
            assert "SECRET" not in str(caught.value)
            return len(server.requests)

    assert run(work()) == 0


@pytest.mark.fault(172)
def test_cookies_are_not_kept() -> None:
    async def work() -> list[str]:
        async with raw_server(answer(BODY, "Set-Cookie: session=1; Path=/")) as server, fetcher(settings()) as source:
            for _ in range(2):
                await source.get(Request(url=server.url), spec())
            return server.requests

    assert all("cookie" not in request.lower() for request in run(work()))


# The environment, the proxy, the mirror


@pytest.mark.fault(26)
def test_proxies_and_certificates_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password SECRET\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))

    async def work() -> tuple[bytes, list[str]]:
        async with raw_server(answer(b"proxied")) as proxy, raw_server(OK) as server:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            async with fetcher(settings()) as source:
                document = await source.get(Request(url=server.url), spec())
            assert proxy.requests == []
            return document.body, server.requests

    body, requests = run(work())
    assert body == BODY
    assert "authorization" not in requests[0].lower()


def test_a_configured_proxy_is_asked_though_its_address_is_private() -> None:
    async def work() -> tuple[bytes, str]:
        async with raw_server(OK) as proxy:
            given = settings(proxy=f"http://me:{SECRETS['proxy']}@127.0.0.1:{proxy.port}", allow_private=False)
            async with fetcher(given) as source:
                document = await source.get(Request(url="http://catalogue.test/models?a=b"), spec())
            return document.body, proxy.requests[0]

    body, asked = run(work())
    assert body == BODY
    assert asked.startswith("GET http://catalogue.test/models?a=b HTTP/1.1\r\n")
    assert "proxy-authorization: basic " in asked.lower()


def test_a_proxy_that_refuses_is_a_connect_error_without_its_password() -> None:
    async def work() -> None:
        async with raw_server(answer(b"", status="407 Proxy Authentication Required")) as proxy:
            given = settings(proxy=f"http://me:{SECRETS['proxy']}@127.0.0.1:{proxy.port}")
            async with fetcher(given) as source:
                await source.get(Request(url="https://catalogue.test/models"), spec())

    with pytest.raises(FetchFailed) as caught:
        run(work())
    assert caught.value.code == "connect"
    assert "SECRET" not in str(caught.value)


def test_a_mirror_is_allowed_at_its_own_port_and_nowhere_else() -> None:
    async def work() -> None:
        async with raw_server(OK) as server:
            given = settings(mirror=f"{server.url}/prefix/", allow_private=False)
            async with fetcher(given) as source:
                document = await source.get(Request(url="https://catalogue.test/models?a=b"), spec())
                assert document.url == "https://catalogue.test/models?a=b"
                assert document.body == BODY
            assert server.requests[0].startswith("GET /prefix/catalogue.test/models?a=b ")
        async with raw_server(OK) as server, raw_server(OK) as other:
            async with fetcher(settings(mirror=f"http://localhost:{server.port}", allow_private=False)) as source:
                await source.get(Request(url="https://catalogue.test/models"), spec())
                # whatever the URL says, only the mirror is connected to
                await source.get(Request(url=f"{other.url}/models"), spec())
            assert len(server.requests) == 2
            assert other.requests == []

    run(work())


def test_a_transport_can_be_passed_in() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=str(request.url).encode())

    async def work() -> Document:
        async with Fetcher(HttpSettings(), lambda: NOW, httpx.MockTransport(reply)) as source:
            return await source.get(Request(url="https://catalogue.test/a%2Fb?c=%20"), spec())

    assert run(work()).body == b"https://catalogue.test/a%2Fb?c=%20"


def test_only_the_rooms_of_fetching_load_the_http_library() -> None:
    script = "import sys, collector.decode, collector.contract, collector.errors, collector.settings, store.records\n"
    script += "print(sorted(name for name in sys.modules if name in ('httpx', 'httpcore', 'tenacity')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == "[]"
