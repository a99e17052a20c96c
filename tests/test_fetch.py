"""Fetching over real sockets: every way a transfer can fail, and how politely it is tried again."""

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from collector.contract import Request
from collector.errors import Blocked, FetchFailed
from collector.settings import HttpSettings
from store.records import Document
from tests.bombs import BOMBS
from tests.fetching import BODY, NOW, OK, Naps, everything_is_loopback, fetcher, run, settings, spec
from tests.raw_server import Answer, answer, drip, later, raw_server, reset, silence


async def fetched(*answers: Answer, given: HttpSettings | None = None, path: str = "/models") -> Document:
    async with raw_server(*answers) as server, fetcher(given or settings()) as source:
        return await source.get(Request(url=server.url + path), spec())


def failed(*answers: Answer, given: HttpSettings | None = None, path: str = "/models") -> FetchFailed:
    with pytest.raises(FetchFailed, match=r"^acme: ") as caught:
        run(fetched(*answers, given=given, path=path))
    return caught.value


def code(*answers: Answer, given: HttpSettings | None = None, path: str = "/models") -> str:
    return failed(*answers, given=given, path=path).code


# What a document says of itself


def test_a_document_holds_the_body_as_decoded_and_its_facts() -> None:
    head = ("Content-Type: application/json", 'ETag: W/"1"', "Last-Modified: Sat, 01 Aug 2026 10:00:00 GMT")

    async def work() -> tuple[Document, str, str]:
        packed = answer(gzip.compress(BODY), *head, "Content-Encoding: gzip")
        async with raw_server(packed) as server, fetcher(settings()) as source:
            request = Request(url=f"{server.url}/models?output=all", part="acme/m", headers={"X-Api-Key": "k1"})
            return await source.get(request, spec()), request.url, server.requests[0]

    document, url, asked = run(work())
    assert document == Document(
        source="acme",
        url=url,
        part="acme/m",
        fetched_at=NOW,
        status=200,
        body=BODY,
        content_type="application/json",
        etag='W/"1"',
        last_modified="Sat, 01 Aug 2026 10:00:00 GMT",
    )
    assert asked.startswith("GET /models?output=all HTTP/1.1\r\n")
    for line in ("accept-encoding: gzip, deflate, br, zstd", "x-api-key: k1", "accept: */*", "user-agent: tokentape"):
        assert f"\r\n{line}" in asked.lower()


def test_validators_that_could_not_be_sent_back_are_dropped() -> None:
    document = run(fetched(answer(BODY, 'ETag: "\xe9"', f"Last-Modified: {'x' * 2000}")))
    assert (document.etag, document.last_modified) == (None, None)


@pytest.mark.fault(68)
@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            "Sunset: Sat, 31 Oct 2026 23:59:59 GMT",
            "127.0.0.1 will answer this no longer from 2026-10-31T23:59:59Z on (Sunset)",
        ),
        ("Deprecation: @1785542400", "127.0.0.1 has deprecated this as of 2026-08-01T00:00:00Z (Deprecation)"),
        (
            "Deprecation: Sat, 01 Aug 2026 00:00:00 GMT",
            "127.0.0.1 has deprecated this as of 2026-08-01T00:00:00Z (Deprecation)",
        ),
        ("Deprecation: true", "127.0.0.1 has deprecated this (Deprecation)"),
    ],
)
def test_what_an_upstream_gives_up_is_noted_with_its_date(head: str, told: str) -> None:
    assert run(fetched(answer(BODY, head))).notes == (told,)


@pytest.mark.parametrize("head", ["Sunset: soon", "Deprecation: false", "Deprecation: @x", "Deprecation: @1e9"])
def test_a_date_that_is_none_gives_nothing_up(head: str) -> None:
    assert run(fetched(answer(BODY, head))).notes == ()


CODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": lambda body: bytes(brotli.compress(body)),
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.fault(33)
@pytest.mark.parametrize("coding", CODED)
def test_each_coding_is_undone_and_a_cut_body_of_the_length_it_announces_is_truncated(coding: str) -> None:
    packed, head = CODED[coding](BODY), f"Content-Encoding: {coding}"
    assert run(fetched(answer(packed, head))).body == BODY
    assert code(answer(packed[: len(packed) // 2], head)) == "truncated"
    assert code(answer(packed[: len(packed) // 2], head, sized=False)) == "truncated"


@pytest.mark.fault(34)
def test_every_member_of_a_gzip_body_counts() -> None:
    packed = gzip.compress(BODY[:99]) + gzip.compress(BODY[99:])
    assert run(fetched(answer(packed, "Content-Encoding: gzip"))).body == BODY


@pytest.mark.fault(35, 36)
def test_a_body_that_is_not_in_its_coding_or_in_an_unknown_one_is_refused() -> None:
    assert code(answer(BODY, "Content-Encoding: gzip")) == "decode"
    assert code(answer(gzip.compress(BODY) + b"more", "Content-Encoding: gzip")) == "decode"
    assert code(answer(BODY, "Content-Encoding: snappy")) == "coding"
    assert code(answer(BODY, "Content-Encoding: gzip, gzip", "Content-Encoding: gzip")) == "coding"


@pytest.mark.fault(37)
@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_is_refused_before_it_goes_off(name: str) -> None:
    coding, raw = BOMBS[name]()
    given = settings(body_limit=16 << 20)
    before = time.process_time()
    assert code(answer(raw, f"Content-Encoding: {coding}"), given=given) == "too_large"
    assert time.process_time() - before < 5


@pytest.mark.fault(38)
def test_a_body_above_the_limit_is_refused_and_with_a_length_not_even_read() -> None:
    given = settings(body_limit=len(BODY) - 1)
    assert code(OK, given=given) == "too_large"
    assert code(answer(BODY, sized=False), given=given) == "too_large"
    assert code(silence(answer(b"", length=len(BODY))), given=given) == "too_large"
    assert code(drip(answer(sized=False), b" " * 65536, 0.0)) == "too_large"
    assert run(fetched(OK, given=settings(body_limit=len(BODY)))).body == BODY


# Transfers that break


@pytest.mark.fault(10)
def test_a_body_shorter_than_its_length_or_without_its_last_chunk_is_truncated() -> None:
    assert code(answer(BODY, length=len(BODY) + 1)) == "truncated"
    chunked = answer(b"5\r\nhello\r\n", "Transfer-Encoding: chunked", sized=False)
    assert code(chunked) == "truncated"
    assert run(fetched(chunked + b"0\r\n\r\n")).body == b"hello"


@pytest.mark.fault(8, 9, 12)
@pytest.mark.parametrize(
    "raw",
    [
        answer(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        answer(b"{}", "Content-Length: 3"),
        answer(b"{}", length=-2),
        answer(b"{}", "Content-Length: " + "9" * 5000, sized=False),
        answer(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: gzip, chunked", sized=False),
        answer(b"zz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked", sized=False),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"",
        answer(b"{}", "no colon here"),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000,
    ],
    ids=["both", "two", "negative", "long", "coding", "chunk", "other", "nothing", "header", "endless"],
)
def test_an_answer_that_is_not_http_as_it_should_be_is_a_protocol_error(raw: bytes) -> None:
    assert code(raw) == "protocol"


@pytest.mark.fault(5)
def test_a_connection_that_breaks_is_a_read_error_wherever_it_breaks() -> None:
    assert code(reset()) == "read"
    assert code(reset(b"HTTP/1.1 200 OK\r\nConte")) == "read"
    assert code(reset(answer(BODY, length=len(BODY) + 9))) == "read"


@pytest.mark.fault(6)
def test_silence_is_told_apart_by_when_it_falls() -> None:
    assert code(silence()) == "first_byte_timeout"
    assert code(silence(answer(BODY, length=len(BODY) + 9))) == "read_timeout"


@pytest.mark.fault(1)
def test_a_port_that_refuses_is_a_connect_error() -> None:
    async def work() -> None:
        async with raw_server(OK) as server:
            url = server.url
        async with fetcher(settings()) as source:
            await source.get(Request(url=f"{url}/models"), spec())

    with pytest.raises(
        FetchFailed, match=r"^acme: http://127\.0\.0\.1:\d+/models: no connection: Connection refused"
    ) as caught:
        run(work())
    assert caught.value.code == "connect"


@pytest.mark.fault(2)
def test_a_connection_that_never_stands_is_a_connect_timeout() -> None:
    async def work(port: int) -> None:
        async with fetcher(settings()) as source:
            await source.get(Request(url=f"http://127.0.0.1:{port}/models"), spec())

    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # its queue holds one: after that, connections wait
        port = listener.getsockname()[1]
        for waiting in (one, two):
            waiting.settimeout(0)
            waiting.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        with pytest.raises(FetchFailed) as caught:
            run(work(port))
    assert caught.value.code == "connect_timeout"


@pytest.mark.fault(7, 8)
@pytest.mark.parametrize("piece", [b" ", b"X-More: yes\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_what_comes_drop_by_drop_for_ever_ends_at_the_deadline(piece: bytes) -> None:
    head = answer(sized=False) if piece == b" " else b"HTTP/1.1 200 OK\r\n" if piece.startswith(b"X") else b""

    async def work() -> float:
        async with raw_server(drip(head, piece, 0.05)) as server, fetcher(settings(attempts=3)) as source:
            before = time.monotonic()
            with pytest.raises(FetchFailed) as caught:
                await source.get(Request(url=f"{server.url}/models"), spec(), deadline=before + 0.6)
            assert caught.value.code == "deadline"
            return time.monotonic() - before

    assert 0.6 <= run(work()) < 5


def test_without_a_deadline_the_source_has_its_own() -> None:
    async def work() -> str:
        async with raw_server(silence()) as server, fetcher(settings(first_byte_s=9)) as source:
            with pytest.raises(FetchFailed) as caught:
                await source.get(Request(url=f"{server.url}/models"), spec(deadline_s=0.2))
            return caught.value.code

    assert run(work()) == "deadline"


# Statuses, retries, politeness


@pytest.mark.fault(20, 21, 22)
@pytest.mark.parametrize(
    ("status", "wanted", "asked"),
    [
        ("401 Unauthorized", "auth", 1),
        ("403 Forbidden", "auth", 1),
        ("404 Not Found", "gone", 1),
        ("410 Gone", "gone", 1),
        ("418 I'm a Teapot", "http_418", 1),
        ("204 No Content", "http_204", 1),
        ("206 Partial Content", "http_206", 1),
        ("300 Multiple Choices", "http_300", 1),
        ("501 Not Implemented", "http_501", 1),
        ("429 Too Many Requests", "rate_limited", 3),
        ("500 Internal Server Error", "http_500", 3),
        ("503 Service Unavailable", "http_503", 3),
        ("599 Unheard Of", "http_599", 3),
    ],
)
def test_a_status_other_than_200_fails_by_name_and_only_what_may_pass_is_asked_again(
    status: str, wanted: str, asked: int
) -> None:
    async def work() -> tuple[str, int, list[float]]:
        naps = Naps()
        async with raw_server(answer(b"", status=status)) as server, fetcher(settings(attempts=3), naps) as source:
            with pytest.raises(FetchFailed, match=f"wanted 200, got {status[:3]}") as caught:
                await source.get(Request(url=f"{server.url}/models"), spec())
            return caught.value.code, len(server.requests), naps.taken

    got, requests, naps = run(work())
    assert (got, requests, len(naps)) == (wanted, asked, asked - 1)
    assert all(0.5 <= nap <= 1.5 for nap in naps)


@pytest.mark.parametrize(
    "first",
    [answer(b"", status="503 Busy"), reset(), silence(), answer(b"[", length=2), b""],
    ids=["503", "reset", "silence", "short", "nothing"],
)
def test_a_fault_that_passes_leaves_no_trace(first: Answer) -> None:
    assert run(fetched(first, OK, given=settings(attempts=2))).body == BODY


@pytest.mark.parametrize("raw", [answer(b"xyz", "Content-Encoding: gzip"), answer(b" \n"), answer(b"", length=1 << 30)])
def test_a_body_that_is_wrong_is_not_asked_for_again(raw: bytes) -> None:
    with pytest.raises(FetchFailed):
        run(fetched(raw, OK, given=settings(attempts=3)))


DATED = "Date: Sat, 01 Aug 2026 09:00:00 GMT"


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        (("Retry-After: 2",), 2.0),
        (("Retry-After: Sat, 01 Aug 2026 12:00:03 GMT",), 3.0),
        ((DATED, "Retry-After: Sat, 01 Aug 2026 09:00:02 GMT"), 2.0),
        (("Retry-After: Sat, 01 Aug 2020 00:00:00 GMT",), 0.0),
        (("Retry-After: 0",), 0.0),
        (("Retry-After: -5",), None),
        (("Retry-After: soon",), None),
        (("Retry-After: 1e9",), None),
        ((), None),
    ],
)
def test_a_wait_that_the_upstream_asks_for_is_kept(headers: tuple[str, ...], wait_s: float | None) -> None:
    async def work() -> tuple[list[float], Document]:
        naps = Naps()
        refusal = answer(b"", *headers, status="429 Too Many Requests")
        async with raw_server(refusal, OK) as server, fetcher(settings(attempts=2), naps) as source:
            return naps.taken, await source.get(Request(url=f"{server.url}/models"), spec())

    naps, document = run(work())
    assert document.body == BODY
    if wait_s and wait_s >= 2:
        assert naps[0] == wait_s
    else:
        assert 0.5 <= naps[0] <= 1.0


@pytest.mark.fault(19)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("asked_s", [6, 10**9])
def test_a_wait_beyond_the_deadline_fails_at_once_and_holds_the_host(status: str, asked_s: int) -> None:
    async def work() -> None:
        refusal = answer(b"", f"Retry-After: {asked_s}", status=status)
        async with raw_server(refusal, OK) as server, fetcher(settings(attempts=3), asyncio.sleep) as source:
            before = time.monotonic()
            with pytest.raises(FetchFailed, match=f"asked to wait {asked_s} s") as caught:
                await source.get(Request(url=f"{server.url}/models"), spec())
            assert caught.value.code == ("rate_limited" if status.startswith("429") else "http_503")
            assert caught.value.retry_after_s == asked_s
            with pytest.raises(FetchFailed, match="wants to be left alone") as caught:
                await source.get(Request(url=f"{server.url}/other"), spec())
            assert caught.value.code == "rate_limited"
            assert caught.value.retry_after_s == pytest.approx(asked_s, abs=1)
            assert time.monotonic() - before < 5
            assert len(server.requests) == 1

    run(work())


@pytest.mark.fault(19)
def test_a_wait_that_one_request_was_asked_for_holds_all_of_that_host_and_no_other() -> None:
    async def work() -> None:
        refusal = answer(b"", "Retry-After: 1", status="429 Too Many Requests")
        async with (
            raw_server(refusal, OK) as server,
            fetcher(settings(attempts=2), asyncio.sleep) as source,
        ):
            first = asyncio.create_task(source.get(Request(url=f"{server.url}/0"), spec()))
            await asyncio.sleep(0.2)
            await asyncio.gather(first, *(source.get(Request(url=f"{server.url}/{i}"), spec()) for i in range(1, 4)))
            assert len(server.requests) == 5
            assert server.starts[1] - server.starts[0] >= 1
            async with asyncio.timeout(0.9):
                await source.get(Request(url=f"http://localhost:{server.port}/"), spec())

    run(work())


def test_no_more_requests_than_allowed_are_under_way_at_one_host() -> None:
    async def work() -> int:
        async with raw_server(later(OK, 0.05)) as server, fetcher(settings()) as source:
            await asyncio.gather(*(source.get(Request(url=f"{server.url}/{i}"), spec(concurrency=2)) for i in range(7)))
            return server.most_under_way

    assert run(work()) == 2


def test_requests_to_one_host_start_apart_by_the_pause_also_behind_a_mirror() -> None:
    async def work() -> list[float]:
        async with (
            raw_server(OK) as server,
            fetcher(settings(mirror=server.url), asyncio.sleep) as source,
        ):
            paced = spec(pause_s=0.1)
            began = time.monotonic()
            await asyncio.gather(*(source.get(Request(url=f"https://a.test/{i}"), paced) for i in range(4)))
            return [start - began for start in server.starts]

    # From the beginning: a request may reach a busy server late, and the next one in time.
    assert all(start >= 0.1 * place for place, start in enumerate(run(work())))


# Bodies that say nothing


@pytest.mark.fault(29, 31)
def test_an_empty_body_and_a_challenge_are_failures() -> None:
    assert code(answer(b"")) == "empty"
    assert code(answer(b" \r\n\t")) == "empty"
    assert code(answer(b"", "Content-Encoding: gzip")) == "empty"
    assert code(answer(gzip.compress(b"\n"), "Content-Encoding: gzip")) == "empty"
    assert code(answer(b"<html><head><TITLE> Just a moment...</title>")) == "challenge"
    assert code(answer(BODY, "cf-mitigated: challenge")) == "challenge"
    assert run(fetched(answer(b'{"note": "just a moment"}'))).body


# Validators


def held(url: str, *, etag: str | None = '"v1"', at: datetime = NOW - timedelta(days=1)) -> Document:
    modified = "Sat, 01 Aug 2026 10:00:00 GMT" if etag else None
    return Document(source="acme", url=url, fetched_at=at, status=200, body=BODY, etag=etag, last_modified=modified)


@pytest.mark.fault(23)
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd, deflate", "deflate, zstd"])
def test_a_304_gives_what_we_held_as_of_now_whatever_coding_it_names(coding: str) -> None:
    async def work() -> tuple[Document, str, str]:
        said = answer(b"", f"Content-Encoding: {coding}", status="304 Not Modified", sized=False)
        async with raw_server(said) as server, fetcher(settings()) as source:
            url = f"{server.url}/models"
            return await source.get(Request(url=url), spec(), held(url)), url, server.requests[0]

    document, url, asked = run(work())
    assert document.not_modified
    assert (document.url, document.body, document.fetched_at, document.etag) == (url, BODY, NOW, '"v1"')
    assert 'if-none-match: "v1"\r\n' in asked
    assert "if-modified-since: Sat, 01 Aug 2026 10:00:00 GMT\r\n" in asked


def test_a_changed_body_replaces_what_we_held() -> None:
    async def work() -> Document:
        async with raw_server(answer(b"[1]", 'ETag: "v2"')) as server, fetcher(settings()) as source:
            url = f"{server.url}/models"
            return await source.get(Request(url=url), spec(), held(url))

    document = run(work())
    assert (document.body, document.etag, document.not_modified) == (b"[1]", '"v2"', False)


@pytest.mark.fault(23)
@pytest.mark.parametrize("other", [None, "no validators", "other url"])
def test_a_304_to_a_request_without_validators_is_asked_again_once(other: str | None) -> None:
    async def work(*answers: Answer) -> tuple[Document, list[str]]:
        async with raw_server(*answers) as server, fetcher(settings()) as source:
            url = f"{server.url}/models"
            previous = held(url, etag=None) if other == "no validators" else held(f"{url}/x") if other else None
            return await source.get(Request(url=url), spec(), previous), server.requests

    not_modified = answer(status="304 Not Modified", sized=False)
    document, requests = run(work(not_modified, OK))
    assert document.body == BODY
    assert len(requests) == 2
    assert "if-" not in "".join(requests)
    with pytest.raises(FetchFailed) as caught:
        run(work(not_modified))
    assert caught.value.code == "http_304"


# Redirects


def moved(to: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {to}", status=status)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_within_the_host_is_followed_and_the_document_keeps_the_url_asked_for(status: str) -> None:
    async def work() -> tuple[Document, str, list[str]]:
        async with raw_server(moved("/v2/models?a=b", status), OK) as server, fetcher(settings()) as source:
            url = f"{server.url}/models"
            return await source.get(Request(url=url, headers={"X-Key": "k"}), spec()), url, server.requests

    document, url, requests = run(work())
    assert (document.url, document.body) == (url, BODY)
    assert requests[1].startswith("GET /v2/models?a=b ")
    assert all("x-key: k\r\n" in request for request in requests)


@pytest.mark.fault(14)
def test_a_move_for_good_is_noted_with_its_target_and_no_other_redirect() -> None:
    (note,) = run(fetched(moved("/v2/models?a=SECRET", "301 Moved"), OK)).notes
    assert note.endswith("/v2/models?…")
    assert "/models has moved for good, to http://127.0.0.1:" in note
    assert run(fetched(moved("/a", "308 Moved"), moved("/b", "301 Moved"), OK)).notes[0].endswith("/b")
    assert run(fetched(moved("/a", "301 Moved"), moved("/b"), OK)).notes == ()
    assert run(fetched(moved("/a"), moved("/b", "301 Moved"), OK)).notes == ()


@pytest.mark.fault(16)
def test_a_redirect_to_a_page_that_asks_for_a_password_is_a_login() -> None:
    login = answer(b"<html><form action=/in><input name=u><INPUT name=p type='password'></form></html>")
    assert code(moved("/login"), login) == "login"
    assert run(fetched(login)).notes == ()  # not where a redirect led: a page may have such a field


@pytest.mark.fault(13)
def test_redirects_end_after_three() -> None:
    assert run(fetched(moved("/a"), moved("/b"), moved("/c"), OK)).body == BODY
    assert code(moved("/a"), moved("/b"), moved("/c"), moved("/d"), OK) == "redirects"
    assert code(moved("/models")) == "redirects"
    assert code(answer(b"", status="302 Found")) == "redirects"


@pytest.mark.fault(15, 17, 18, 165, 167)
@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        ("/", "redirect_target"),
        ("http://[", "url"),
        ("http://127.0.0.2:{port}/models", "redirect_host"),
        ("//127.0.0.2/models", "redirect_host"),
        ("http://127.0.0.1:1/models", "redirect_host"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://127.0.0.1/models", "scheme"),
        ("data:text/plain,1", "scheme"),
        ("http://user:pw@127.0.0.1:{port}/models", "url"),
        ("http://127.0.0.2\\@127.0.0.1:{port}/models", "url"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed(to: str, wanted: str) -> None:
    async def work() -> tuple[FetchFailed, int]:
        async with raw_server(OK) as real:
            target = to.replace("{port}", str(real.port))
            async with raw_server(moved(target)) as server, fetcher(settings(attempts=3)) as source:
                with pytest.raises(FetchFailed) as caught:
                    await source.get(Request(url=f"{server.url}/models", headers={"X-Key": "k"}), spec())
                assert len(server.requests) == 1
                return caught.value, len(real.requests)

    error, reached = run(work())
    assert (error.code, reached) == (wanted, 0)
    assert isinstance(error, Blocked) == (wanted != "redirect_target")


@pytest.mark.fault(18, 175)
def test_headers_of_a_request_stay_with_its_origin() -> None:
    async def work() -> list[str]:
        there: list[str] = []

        async def redirect(writer: asyncio.StreamWriter) -> None:
            writer.write(moved(there[0]))
            await writer.drain()

        async with (
            raw_server(redirect, OK) as server,
            fetcher(settings(), resolve=everything_is_loopback) as source,
        ):
            there.append(f"http://www.catalogue.test:{server.port}/models")
            request = Request(url=f"http://catalogue.test:{server.port}/models", headers={"X-Key": "k"})
            await source.get(request, spec())
            return server.requests

    first, second = run(work())
    assert "x-key: k" in first
    assert "x-key" not in second
