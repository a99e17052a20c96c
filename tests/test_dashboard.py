"""The dashboard in a real browser: every page loaded and used, with names in the store that are out to do harm."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from store.doors import Doors
from store.http.settings import ServeSettings
from tests.browsing import DESKTOP, PHONE, Visitor, chromium, visitor
from tests.hostile_tape import GROQ, HOSTILE, NOW, hostile_tape
from tests.serving import Served, served
from tests.test_query import MODEL

MODEL_PAGE = f"/model?model={MODEL}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Doors, str]:
    tape, sha256 = hostile_tape(tmp_path_factory.mktemp("dashboard") / "tape.db")
    return Doors(tape.url, now=lambda: NOW), sha256


@pytest.fixture(scope="module")
def site(stored: tuple[Doors, str]) -> Iterator[Served]:
    with served(stored[0]) as running:
        yield running


@pytest.fixture
def person(browser: Browser, site: Served) -> Iterator[Visitor]:
    with visitor(browser, site.port) as one:
        yield one
        one.check()


PATHS = {
    "overview": "/",
    "changes": "/changes?days=60&facts=true",
    "conflicts": "/conflicts",
    "held": "/held",
    "sources": "/sources",
    "models": "/models?sort=-input",
    "model": f"{MODEL_PAGE}&show=all&requests=100000&current=groq",
    "hostile model": f"/model?model={quote(f'evil/{HOSTILE[0]}')}",
    "compare": f"/compare?model={MODEL}&model={quote(f'evil/{HOSTILE[1]}')}",
    "provider": "/provider?provider=groq&show=all",
    "hostile provider": f"/provider?provider={quote(HOSTILE[2])}",
    "source": "/source?source=openrouter",
    "hostile source": f"/source?source={quote(HOSTILE[5])}",
    "endpoint": f"/endpoint?endpoint={quote(GROQ)}&at=2026-08-05",
    "hostile endpoint": f"/endpoint?endpoint={quote(f'{HOSTILE[6]}:{HOSTILE[6]}:{HOSTILE[6]}@{HOSTILE[6]}')}",
    "document": "/document/SHA256",
}
LIKE_CHANGES = ("conflicts", "held", "sources")
"""Lists that are made as that of changes is: looked at on a phone alone."""


@pytest.mark.fault(179)
@pytest.mark.parametrize("name", PATHS)
def test_pages_run_nothing_of_what_they_show_and_keep_nobody_out(
    browser: Browser, site: Served, stored: tuple[Doors, str], name: str
) -> None:
    path = PATHS[name].replace("SHA256", stored[1])
    sizes = ((DESKTOP, "light"), (PHONE, "dark"))
    for size, scheme in sizes[name.startswith("hostile") or name in LIKE_CHANGES :]:
        with visitor(browser, site.port, viewport=size, color_scheme=scheme) as one:
            page = one.go(path)
            if name.endswith("model"):
                _drawn(page)
            assert page.locator("h1").count() == 1
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            one.check()
            assert one.barriers() == []


def _query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def _column(page: Page, table: str, place: int) -> list[str]:
    rows = page.locator(f"#{table} tbody tr:not([hidden])")
    return [text.strip() for text in rows.locator(f":nth-child({place})").all_inner_texts()]


def _providers(page: Page) -> list[str]:
    return page.locator("#endpoints tbody tr:not([hidden]) > th").all_inner_texts()


def test_a_table_is_sorted_at_once_and_its_address_says_how(person: Visitor) -> None:
    page = person.go(MODEL_PAGE)
    head = page.locator("#endpoints thead").get_by_role("link", name="Output", exact=True)
    head.focus()
    page.keyboard.press("Enter")
    upward = _providers(page)
    assert page.locator('#endpoints th[aria-sort="ascending"]').inner_text() == "Output"
    head.click()
    assert page.locator('#endpoints th[aria-sort="descending"]').count() == 1
    assert _query(page)["sort"] == ["-output"]
    downward = _providers(page)
    assert upward != downward
    page.reload()
    assert _providers(page) == downward
    page.goto(page.url.replace("-output", "output"))
    assert _providers(page) == upward


def test_rows_are_found_while_somebody_types(person: Visitor) -> None:
    page = person.go(MODEL_PAGE)
    every = _providers(page)
    page.get_by_label("Rows with").fill("groq")
    assert _providers(page) == ["groq"]
    assert _query(page)["q"] == ["groq"]
    page.reload()
    assert _providers(page) == ["groq"]
    page.get_by_label("Rows with").fill("nobody")
    assert page.get_by_text("No row has all of these words.").is_visible()
    page.get_by_label("Rows with").fill("")
    assert _providers(page) == every
    assert "q" not in _query(page)


def _drawn(page: Page) -> None:
    page.locator("#chart[data-ready]").wait_for()


def _box(page: Page) -> Any:
    """Where the chart of the input prices is, on the screen."""
    over = page.locator('[data-meter="input"] .u-over')
    over.scroll_into_view_if_needed()
    return over.bounding_box()


def _colours(page: Page, meter: str) -> int:
    """How many different colours the chart of a meter has."""
    script = """(meter) => {
        const canvas = document.querySelector(`[data-meter="${meter}"] canvas`);
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const found = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 250) found.add(data.slice(at, at + 3).join());
        return found.size;
    }"""
    return int(page.evaluate(script, meter))


def test_a_chart_is_zoomed_and_its_address_says_where(person: Visitor) -> None:
    page = person.go(MODEL_PAGE)
    _drawn(page)
    assert _colours(page, "input") > 4
    box = _box(page)
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=4)
    page.mouse.up()
    page.wait_for_url("**since=**")
    since, until = _query(page)["since"][0], _query(page)["until"][0]
    assert "2026-08-0" < since < until < "2026-09-10"
    assert page.get_by_label("From", exact=True).input_value() == since
    page.reload()
    _drawn(page)
    assert (page.get_by_label("From", exact=True).input_value(), page.get_by_label("To", exact=True).input_value()) == (
        since,
        until,
    )
    assert since in page.locator("#chart").get_attribute("data-from").replace("%3A", ":")  # type: ignore[union-attr]
    page.get_by_role("button", name="show all of it").click()
    page.wait_for_url(lambda url: "since" not in url)


def test_a_chart_tells_the_prices_under_the_pointer(person: Visitor) -> None:
    page = person.go(MODEL_PAGE)
    _drawn(page)
    page.get_by_label("Rows with").fill("groq")
    expect(page.locator(".keys li")).to_have_count(1)
    box = _box(page)
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + 40)
    expect(page.locator(".keys output")).to_have_text("0.15 / 0.6")
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40)
    expect(page.locator(".keys output")).to_have_text("0.075 / 0.6")


def _calculated(page: Page, site: Served, **asked: Any) -> None:
    """The routes on a page are those that programs are answered."""
    told = site.get("/v1/cheapest", params={"model": MODEL, **asked}).json()
    assert [row["provider"] for row in told]
    names = [f"{row['provider']} {row['variant']}".strip()[:60] for row in told]
    shown = [name[:60] for name in page.locator("#routes tbody tr > td:nth-child(2)").all_inner_texts()]
    assert [name for name in shown if name.isascii()] == [name for name in names if name.isprintable()]


def test_the_cheapest_route_is_calculated_for_a_request(person: Visitor, site: Served) -> None:
    page = person.go(MODEL_PAGE)
    page.get_by_label("Rows with").fill("o")
    page.get_by_label("Prompt tokens").fill("5000")
    page.get_by_label("Tokens answered").fill("1000")
    page.get_by_label("Requests a month").fill("1000")
    page.get_by_text("What a route must be").click()
    page.get_by_label("Not these, 1").fill("deepinfra")
    with page.expect_navigation():
        page.get_by_role("button", name="Calculate").click()
    asked = _query(page)
    assert (asked["input"], asked["exclude_provider"], asked["q"]) == (["5000"], ["deepinfra"], ["o"])
    assert not {"cached", "since", "at"} & asked.keys()
    assert page.url.endswith("#calculator")
    _calculated(page, site, input=5000, output=1000, requests=1000, exclude_provider="deepinfra")
    assert page.get_by_label("Not these, 1").input_value() == "deepinfra"
    assert page.locator("#crossings tbody tr").count() > 0


def test_a_request_that_cannot_be_is_told_where_it_was_made(person: Visitor) -> None:
    page = person.go(f"{MODEL_PAGE}&input=10&cached=20")
    assert "more cached tokens than input tokens" in page.get_by_role("alert").inner_text()
    assert page.locator("#endpoints tbody tr").count() > 5


def test_models_are_suggested_and_compared(person: Visitor) -> None:
    page = person.go(f"/compare?model={MODEL}")
    page.get_by_label("Model 2").type("oss-20")
    page.locator('#m-2-names option[value="openai/gpt-oss-20b"]').wait_for(state="attached")
    page.get_by_label("Model 2").fill("openai/gpt-oss-20b")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    heads = page.locator("#compare thead th").all_inner_texts()
    assert heads == ["Property", MODEL, "openai/gpt-oss-20b"]


def test_everything_that_matters_works_without_a_script(browser: Browser, site: Served) -> None:
    with visitor(browser, site.port, java_script_enabled=False) as one:
        page = one.go(MODEL_PAGE)
        every = _providers(page)
        page.locator("#endpoints thead").get_by_role("link", name="Output", exact=True).click()
        assert sorted(_providers(page)) == sorted(every)
        assert _providers(page) != every
        page.get_by_label("Rows with").fill("groq")
        page.get_by_label("Tokens answered").fill("77")
        page.get_by_label("Tokens answered").press("Enter")
        asked = _query(page)
        assert (asked["sort"], asked["q"], asked["output"]) == (["output"], ["groq"], ["77"])
        assert _providers(page) == ["groq"]
        _calculated(page, site, output=77)
        page.get_by_text(re.compile("As a table")).click()
        assert page.locator("#history tbody tr:not([hidden])").count() == 2
        page.get_by_label("Search models").fill("oss-20")
        page.get_by_role("button", name="Search").click()
        assert page.locator("#models tbody th").all_inner_texts() == ["openai/gpt-oss-20b"]
        page.get_by_role("link", name="openai/gpt-oss-20b").click()
        page.get_by_role("link", name=re.compile("evidence for openrouter")).first.click()
        assert page.locator("h1").inner_text() == "groq"
        assert one.amiss == []


def test_a_price_is_followed_down_to_the_bytes_it_was_read_from(person: Visitor) -> None:
    page = person.go(f"{MODEL_PAGE}&at=2026-08-05")
    page.get_by_label("Rows with").fill("groq")
    page.get_by_role("link", name=re.compile("evidence for openrouter:groq")).first.click()
    page.locator(".proof a.code").click()
    assert "verified just now" in page.locator(".proof").inner_text()
    assert "<script>window.pwned=1</script>" in page.locator("pre.document").inner_text()
    assert "at=2026-08-05" in page.url
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Download")).click()
    assert Path(download.value.path()).read_bytes().startswith(b"<!doctype html>")


def test_a_browser_asks_its_user_for_the_token(browser: Browser, stored: tuple[Doors, str]) -> None:
    with served(stored[0], ServeSettings(token="secret")) as http:
        with visitor(browser, http.port, http_credentials={"username": "me", "password": "secret"}) as one:
            page = one.go(MODEL_PAGE)
            _drawn(page)
            one.check()
        with visitor(browser, http.port) as stranger:
            answer = stranger.page.request.get(f"http://127.0.0.1:{http.port}{MODEL_PAGE}")
            assert answer.status == 401
