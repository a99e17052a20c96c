"""The report of a month: what it tells, that each figure can be asked after, and that hostile names are but names."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from selectolax.lexbor import LexborHTMLParser

from collector.cli import main
from store.cli_index import index
from store.cli_report import report
from store.doors import Doors
from store.evidence import named
from store.page import Page, Section, html, markdown
from store.read import open_store
from tests.stores import Stores
from tests.tape import T0, Tape, hour, usd

DAY = timedelta(days=1)
NOW = T0 + 45 * DAY
HOSTILE = "<script>alert(1)</script>\"'&|`[x](javascript:1)![y](z) https://evil.example www.evil.example\x1b[31m\u202e"
MILLION = 1_000_000
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def tape(stores: Stores) -> Iterator[Tape]:
    """A store that tests only read."""
    with stores.new() as url:
        yield filled(url)


def filled(url: str) -> Tape:
    """A month in which everything happens: two sources, of which one is silent for two weeks."""
    tape = Tape(url)
    live, other = tape.source("live", every_s=86_400), tape.source("other", trust=1, every_s=86_400)
    for day in range(-40, 45):
        tape.poll(live, T0 + day * DAY, "failed" if day == 5 else "ok")
        if not 3 < day < 17:
            tape.poll(other, T0 + day * DAY)

    def moves(endpoint: int, *steps: tuple[int, int]) -> None:
        """Prices by day."""
        for place, (day, price) in enumerate(steps):
            start = T0 + day * DAY
            end = T0 + steps[place + 1][0] * DAY if place + 1 < len(steps) else None
            tape.interval(
                endpoint,
                start,
                usd(input=price * MILLION, output=price * MILLION),
                not_before=start - DAY,
                ended=end,
                end_reason="changed" if end else None,
                last_seen=end and end - DAY,
            )

    moves(tape.endpoint(live, "acme", "a/one"), (-30, 8), (2, 4))
    moves(tape.endpoint(other, "acme", "a/one"), (-30, 8), (17, 4))
    moves(tape.endpoint(live, "beta", "a/one"), (-30, 6), (3, 9))
    moves(tape.endpoint(live, "beta", HOSTILE, published_model=HOSTILE, tag="`|`"), (-30, 10), (9, 5))
    moves(tape.endpoint(live, "gamma", "a/new"), (6, 3))
    gone = tape.endpoint(live, "acme", "a/gone")
    tape.interval(
        gone, hour(-24 * 30), usd(input=1, output=1), ended=T0 + 8 * DAY, end_reason="withdrawn", last_seen=T0
    )
    announced = tape.endpoint(live, "acme", "a/one", tag="later")
    moves(announced, (-30, 7))
    tape.stated(announced, T0 + 60 * DAY, None, usd(input=9, output=9), first_seen=T0 + 4 * DAY)
    mended = tape.endpoint(live, "delta", "a/one")
    tape.interval(mended, hour(-24 * 20), usd(input=700, output=700), known_to=T0 + 10 * DAY)
    tape.interval(mended, hour(-24 * 20), usd(input=7 * MILLION, output=7 * MILLION), known=T0 + 10 * DAY)
    tape.finding(live, T0 + 11 * DAY, endpoint=mended, card=usd(input=1, output=1), subject=HOSTILE)
    return tape


@pytest.fixture
def ask(tape: Tape) -> Ask:
    def run(*words: object) -> Result:
        doors = Doors(tape.url, now=lambda: NOW)
        return CliRunner().invoke(report, [str(word) for word in words], obj=doors, catch_exceptions=False)

    return run


def text_of(page: LexborHTMLParser, selector: str) -> str:
    """The text of an element that is there."""
    node = page.css_first(selector)
    assert node is not None, selector
    return str(node.text())


def section(text: str, title: str) -> list[list[str]]:
    """The rows of a table, cell by cell; of text that holds no bars."""
    (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    lines = [line for line in body.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_it_tells_what_moved(ask: Ask) -> None:
    result = ask("--month", "2026-08")
    assert result.exit_code == 0, result.stderr
    text = result.stdout
    cuts = section(text, "Biggest cuts")
    assert [row[0] for row in cuts] == ["-50"] * 4
    assert cuts[0] == ["-50", "input", "0.008", "0.004", "a/one", "acme", "2026-08-03 00:00", "live:acme:a/one"]
    assert [row[0] for row in section(text, "Biggest rises")] == ["50", "50"]
    assert section(text, "New cheapest routes") == [
        ["a/one", "-33.33", "0.006", "beta", "0.004", "acme", "live:acme:a/one"]
    ]
    assert section(text, "New models, and models that are gone") == [
        ["new", "a/new", "1", "2026-08-07 00:00", "live:gamma:a/new"],
        ["gone", "a/gone", "", "", ""],
    ]
    (arrived,) = section(text, "New endpoints")
    assert arrived == ["a/new", "gamma", "", "0.003", "0.003", "2026-08-07 00:00", "live:gamma:a/new"]
    (withdrawn,) = section(text, "Withdrawn endpoints")
    assert withdrawn[0::6] == ["a/gone", "live:acme:a/gone"]
    announced = section(text, "Announced")
    assert announced[0][:5] == ["announcement", "input", "0.007", "0.000000009", "2026-09-30 00:00"]
    corrected = section(text, "Corrections")
    assert corrected[0][3:5] == ["0.0000007", "0.007"]
    (kept,) = section(text, "Held")
    assert (kept[1], kept[3]) == ("live", "ratio")
    assert section(text, "Conflicts") == []
    assert section(text, "Sources") == [
        ["live", "31", "0", "1", "2026-08-31 00:00", "2d", ""],
        ["other", "18", "0", "0", "2026-08-31 00:00", "14d", "gap"],
    ]


def test_the_index_of_the_report_is_that_of_the_command_it_names(ask: Ask, tape: Tape) -> None:
    text = ask("--month", "2026-08").stdout
    told = {row[0]: row[1:] for row in section(text, "Index")}
    assert "tokentape index --since 2026-08-01T00:00:00Z --until 2026-09-01T00:00:00Z" in text
    words = ["--since", "2026-08-01", "--until", "2026-09-01", "--format", "csv"]
    doors = Doors(tape.url, now=lambda: NOW)
    lines = CliRunner().invoke(index, words, obj=doors).stdout.splitlines()[1:]
    assert {line.split(",")[0]: line.split(",")[2] for line in lines} == {name: row[2] for name, row in told.items()}
    assert [f"{float(line.split(',')[1]):.4f}" for line in lines] == [row[0] for row in told.values()]


def test_every_ref_can_be_explained(ask: Ask, tape: Tape) -> None:
    page = LexborHTMLParser(ask("--month", "2026-08", "--format", "html").stdout)
    refs = {node.text() for node in page.css("td code")}
    refs = {one for one in refs if one.count(":") >= 2 and "\\" not in one}
    assert len(refs) == 6
    with open_store(tape.url) as reader:
        for one in refs:
            assert named(reader, one, NOW)


def test_the_same_month_known_at_the_same_instant_is_the_same_page(ask: Ask) -> None:
    words = ("--month", "2026-08", "--known-at", "2026-08-11", "--format", "html")
    assert ask(*words).stdout == ask(*words).stdout
    early = ask("--month", "2026-08", "--known-at", "2026-08-02").stdout
    assert "2026-08-01T00:00:00Z to 2026-08-02T00:00:00Z" in early
    assert section(early, "Biggest cuts") == []


def test_without_a_month_it_is_the_last_whole_one(ask: Ask) -> None:
    assert ask().stdout.startswith("# Prices of inference, 2026-08\n")


def test_top_limits_every_table_and_says_of_how_many(ask: Ask) -> None:
    text = ask("--month", "2026-08", "--top", "1").stdout
    assert len(section(text, "Biggest cuts")) == 1
    assert "The first 1 of 4." in text


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("--month", "2026-13"), 2, "is not a month such as 2026-08"),
        (("--month", "0000-01"), 2, "is not a month"),
        (("--month", "august"), 2, "is not a month"),
        (("--month", "2026-10"), 3, "nothing is known yet of 2026-10"),
        (("--month", "2020-01"), 3, "no source had been polled by the end of 2020-01"),
        (("-o", "/nowhere/at/all.md"), 2, "cannot be written"),
    ],
)
def test_a_month_that_cannot_be_told_is_refused_in_a_line(
    ask: Ask, words: tuple[str, ...], code: int, why: str
) -> None:
    result = ask(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert why in result.stderr.splitlines()[-1]


# --- forms ---


def test_the_form_goes_by_the_name_of_the_file(ask: Ask, tmp_path: Path) -> None:
    for name in ("one.html", "one.htm", "one.md"):
        assert ask("-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "one.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "one.htm").read_text().startswith("<!doctype html>")
    assert (tmp_path / "one.md").read_text().startswith("# Prices")
    assert len(list(tmp_path.iterdir())) == 3


def test_no_name_is_anything_but_text_in_the_html(ask: Ask) -> None:
    text = ask("--month", "2026-08", "--format", "html").stdout
    page = LexborHTMLParser(text)
    assert "<script>alert(1)</script>" in text_of(page, "body")
    tags = {node.tag for node in page.css("*")}
    assert tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "dl", "dt", "dd", "p", "div", "table"),
        *("tbody", "tr", "th", "td", "code"),
    }
    attributes = {(node.tag, name) for node in page.css("body *") for name in node.attributes}
    assert attributes <= {("div", "class"), ("td", "class"), ("th", "class")}
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_html_allows_itself_nothing_but_its_own_style(ask: Ask) -> None:
    page = LexborHTMLParser(ask("--month", "2026-08", "--format", "html").stdout)
    (meta,) = page.css("meta[http-equiv]")
    policy = meta.attributes["content"]
    style = b64encode(sha256(text_of(page, "style").encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    assert "prefers-color-scheme: dark" in text_of(page, "style")
    assert not page.css("[src], [href], link")


NASTY = Page(
    title="# <b>",
    figures=(("a", "*b*"),),
    sections=(Section(title="t", heads=(("h|", "text"), ("r", "ref")), rows=((HOSTILE, "x`|``y"),), of=1),),
)


def test_no_name_is_anything_but_text_in_the_markdown() -> None:
    lines = list(markdown(NASTY))
    assert lines[0] == r"# \# \<b\>"
    (row,) = (line for line in lines if "alert" in line)
    plain = re.sub(r"\\.", "", row.partition(" ``` ")[0].removesuffix(" ```"))  # without what is escaped
    cell = plain.split("|")[1]
    assert not set(cell) & set("<>[]*_`&!"), cell
    assert "https:/" not in cell.replace(" ", "")
    assert "www." not in cell
    assert row.endswith(r"| ``` x`\|``y ``` |")
    assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_a_page_without_rows_says_none() -> None:
    empty = Page(title="t", figures=(), sections=(Section(title="s", note="Why."),))
    assert "Why. None." in list(markdown(empty))
    assert "<p>Why. None.</p>" in list(html(empty))


def test_it_is_a_command_of_the_whole() -> None:
    assert main.get_command(click.Context(main), "report") is report
