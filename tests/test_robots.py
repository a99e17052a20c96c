"""robots.txt over real sockets: asked before a page, believed for a day, and never overruled."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from collector import robots
from collector.config import load, packaged
from collector.contract import PageSpec, PriceSpec, Request, SourceSpec
from collector.errors import Blocked, FetchFailed
from collector.fetch import Fetcher
from collector.poll import Poller, Report, receive
from store.write import Tape
from tests.fetching import NOW, Naps, fetcher, run, settings, spec, trust
from tests.raw_server import Answer, answer, raw_server

PAGE_BODY = b"<html><body><table></table></body></html>"
PAGE = answer(PAGE_BODY, "Content-Type: text/html")


def page(**changes: object) -> SourceSpec:
    return replace(spec(), **{"kind": "page", "parser": "html_table", **changes})  # type: ignore[arg-type]


def rules(text: str) -> robots.Rules:
    return robots.rules(text.encode(), "tokentape")


async def asked(*answers: Answer, path: str = "/pricing", attempts: int = 1) -> list[str]:
    """The paths that were asked for, the page the last of them."""
    async with raw_server(*answers) as server, fetcher(settings(attempts=attempts)) as source:
        try:
            await source.get(Request(url=server.url + path), page())
        finally:
            paths = [head.split(" ")[1] for head in server.requests]
        return paths


def refused(*answers: Answer, path: str = "/pricing") -> tuple[str, int]:
    """What is said of a page that is not asked, and how many requests were made."""

    async def work() -> tuple[str, int]:
        async with raw_server(*answers) as server, fetcher(settings()) as source:
            with pytest.raises(Blocked) as caught:
                await source.get(Request(url=server.url + path), page())
            assert caught.value.code == "robots"
            assert f"acme: {server.url}{path}: not asked, its robots.txt" in str(caught.value)
            return str(caught.value), len(server.requests)

    return run(work())


def txt(text: str) -> bytes:
    return answer(text.encode(), "Content-Type: text/plain")


def test_a_page_is_asked_after_its_robots_txt() -> None:
    assert run(asked(txt("User-agent: *\nDisallow: /private"), PAGE)) == ["/robots.txt", "/pricing"]


def test_a_forbidden_page_is_not_asked() -> None:
    said, requests = refused(txt("User-agent: *\nDisallow: /pri"), PAGE)
    assert (said.endswith("its robots.txt forbids it"), requests) == (True, 1)


def test_an_api_is_asked_without_looking_at_robots_txt() -> None:
    async def work() -> list[str]:
        async with raw_server(txt("User-agent: *\nDisallow: /")) as server, fetcher(settings()) as source:
            await source.get(Request(url=f"{server.url}/models"), spec())
            return [head.split(" ")[1] for head in server.requests]

    assert run(work()) == ["/models"]


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_a_missing_robots_txt_forbids_nothing(status: str) -> None:
    assert len(run(asked(answer(b"nothing here", status=status), PAGE))) == 2


def test_an_empty_robots_txt_forbids_nothing() -> None:
    assert len(run(asked(txt(""), PAGE))) == 2


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    "status", ["500 Internal Server Error", "503 Service Unavailable", "403 Forbidden", "429 Slow"]
)
def test_a_robots_txt_that_cannot_be_read_is_no_permission(status: str) -> None:
    async def work() -> tuple[str, int]:
        async with raw_server(answer(b"no", status=status), PAGE) as server, fetcher(settings()) as source:
            with pytest.raises(FetchFailed, match=r"/robots\.txt: wanted 200, got ") as caught:
                await source.get(Request(url=f"{server.url}/pricing"), page())
            return caught.value.code, len(server.requests)

    codes = {"500": "robots_unknown", "503": "robots_unknown", "403": "auth", "429": "rate_limited"}
    assert run(work()) == (codes[status[:3]], 1)


def test_a_robots_txt_that_failed_is_asked_anew_next_time() -> None:
    async def work() -> int:
        answers = (answer(b"no", status="500 Internal Server Error"), txt("User-agent: *\nAllow: /"), PAGE)
        async with raw_server(*answers) as server, fetcher(settings()) as source:
            request = Request(url=f"{server.url}/pricing")
            with pytest.raises(FetchFailed):
                await source.get(request, page())
            await source.get(request, page())
            return len(server.requests)

    assert run(work()) == 3


def test_it_is_asked_once_for_all_pages_of_an_origin_even_at_once() -> None:
    async def work() -> list[str]:
        async with raw_server(txt("User-agent: *\nDisallow: /private"), PAGE) as server, fetcher(settings()) as source:
            links = [Request(url=f"{server.url}/pricing/{number}") for number in range(5)]
            await asyncio.gather(*(source.get(link, page(concurrency=1)) for link in links))
            return [head.split(" ")[1] for head in server.requests]

    assert run(work()).count("/robots.txt") == 1


def test_a_redirect_into_a_forbidden_part_is_not_followed() -> None:
    moved = answer(b"", "Location: /private/pricing", status="302 Found")

    async def work() -> int:
        async with raw_server(txt("User-agent: *\nDisallow: /private"), moved, PAGE) as server:
            async with fetcher(settings()) as source:
                with pytest.raises(Blocked) as caught:
                    await source.get(Request(url=f"{server.url}/pricing"), page())
                assert caught.value.code == "robots"
            return len(server.requests)

    assert run(work()) == 2


@pytest.mark.fault(27)
def test_crawl_delay_is_kept_between_two_requests_of_a_host() -> None:
    naps = Naps()

    async def work() -> None:
        async with raw_server(txt("User-agent: *\nCrawl-delay: 7"), PAGE) as server:
            source = Fetcher(settings(), lambda: NOW, sleep=naps, tls=trust())
            async with source:
                for number in range(2):
                    await source.get(Request(url=f"{server.url}/{number}"), page())

    run(work())
    assert naps.taken
    assert all(6 < nap <= 7 for nap in naps.taken)


def test_it_counts_as_a_request_of_the_poll_that_needed_it() -> None:
    async def work() -> list[int]:
        async with raw_server(txt("User-agent: *\nAllow: /"), PAGE) as server, fetcher(settings()) as source:
            one = page(url=f"{server.url}/pricing")
            return [(await receive(one, NOW, source, environ={})).robots for _ in range(2)]

    assert run(work()) == [1, 0]


def test_the_longest_rule_wins_and_stars_are_understood() -> None:
    found = rules("User-agent: *\nDisallow: /\nAllow: /docs/\nDisallow: /docs/*.pdf$")
    wanted = {"/": False, "/docs/pricing": True, "/docs/a.pdf": False, "/docs/a.pdf.md": True}
    assert {path: found.allows(f"https://acme.test{path}") for path in wanted} == wanted


def test_rules_for_us_go_before_those_for_all() -> None:
    found = rules("User-agent: *\nDisallow: /\n\nUser-agent: tokentape\nDisallow: /private")
    assert found.allows("https://acme.test/pricing")
    assert not found.allows("https://acme.test/private")


@pytest.mark.parametrize(
    ("text", "delay_s"), [("5", 5), ("0.5", 0.5), ("-1", 0), ("soon", 0), ("1e9", 600), ("nan", 0)]
)
def test_a_crawl_delay_is_a_number_within_reason(text: str, delay_s: float) -> None:
    assert rules(f"User-agent: *\nCrawl-delay: {text}").delay_s == delay_s


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"<html>not found</html>", b"\xef\xbb\xbfUser-agent: *\nAllow: /"])
def test_what_cannot_be_read_forbids_nothing(body: bytes) -> None:
    assert robots.rules(body, "tokentape").allows("https://acme.test/pricing")


def test_a_byte_order_mark_hides_no_rule() -> None:
    assert not robots.rules(b"\xef\xbb\xbfUser-agent: *\nDisallow: /", "tokentape").allows("https://acme.test/a")


def polled(
    tmp_path: Path, robots_txt: bytes, url: str = "https://docs.acme.test/pricing.md"
) -> tuple[Report, list[str]]:
    """One poll of a page behind a mirror, and the paths that were asked for."""
    table = "| Model | Input | Output |\n|-|-|-|\n| acme-1 | $1 | $2 |\n\nThe end"
    unit = "USD/1M_token"
    prices = (PriceSpec(meter="input", at="Input", unit=unit), PriceSpec(meter="output", at="Output", unit=unit))
    one = page(
        url=url,
        parser="markdown_table",
        provider="acme",
        model="Model",
        prices=prices,
        page=PageSpec(ends="The end"),
        expect={"endpoints": 1, "models": 1},
    )

    async def work() -> tuple[Report, list[str]]:
        async with raw_server(robots_txt, answer(table.encode(), "Content-Type: text/markdown")) as server:
            http = settings(mirror=server.url)
            tape = Tape(str(tmp_path / "tape.db"))
            try:
                async with fetcher(http) as source:
                    config = replace(load(packaged(), {}), http=http, sources={one.id: one})
                    report = await Poller(config, tape, source, clock=lambda: NOW, environ={}).poll(one)
            finally:
                tape.close()
            return report, [head.split(" ")[1] for head in server.requests]

    return run(work())


@pytest.mark.fault(28)
def test_a_forbidden_page_is_a_failed_poll_of_one_line(tmp_path: Path) -> None:
    report, paths = polled(tmp_path, txt("User-agent: tokentape\nDisallow: /"))
    assert (report.outcome, report.code, paths) == ("failed", "robots", ["/docs.acme.test/robots.txt"])
    assert report.line == (
        "acme: failed (robots): https://docs.acme.test/pricing.md: not asked, its robots.txt forbids it"
    )


def test_an_allowed_page_is_polled_with_one_request_more(tmp_path: Path) -> None:
    report, paths = polled(tmp_path, answer(b"no such file", status="404 Not Found"))
    assert (report.outcome, report.quotes, report.requests) == ("ok", 1, 2)
    assert paths == ["/docs.acme.test/robots.txt", "/docs.acme.test/pricing.md"]
