"""Pages as they are sent: what they say, where they lead, who gets them, and what is never in them."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from store.course import course
from store.doors import Doors
from store.errors import NothingMatched
from store.http.pages.assets import assets
from store.http.pages.cells import Cell, Column, table
from store.http.pages.doors import PAGES
from store.http.pages.render import _templates, lines
from store.http.settings import ServeSettings
from store.intervals import history
from store.polls import document, polls
from store.read import open_store
from store.records import Document
from store.text import printable
from tests.hostile_tape import GROQ, NOW, PAGE, hostile_tape
from tests.serving import Served, served
from tests.tape import Tape, hour
from tests.test_query import MODEL

ROOT = Path(__file__).parent.parent
Stored = tuple[Tape, str]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return hostile_tape(tmp_path_factory.mktemp("pages") / "tape.db")


@pytest.fixture(scope="module")
def site(stored: Stored) -> Iterator[Served]:
    with served(Doors(stored[0].url, now=lambda: NOW)) as running:
        yield running


PATHS = (
    "/",
    "/changes?days=60",
    "/conflicts",
    "/held",
    "/sources",
    "/models?q=oss",
    f"/model?model={MODEL}",
    f"/compare?model={MODEL}&model=openai/gpt-oss-20b",
    "/provider?provider=groq",
    "/source?source=openrouter",
    f"/endpoint?endpoint={GROQ}",
    "/document/SHA256",
)


def test_every_page_is_among_those_that_are_tested() -> None:
    tested = {urlsplit(path).path.replace("SHA256", "{sha256}") for path in PATHS}
    assert tested == {page.path for page in PAGES} - {"/document/{sha256}/raw"}


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_whole_and_holds_no_style_and_no_script(site: Served, stored: Stored, path: str) -> None:
    answer = site.get(path.replace("SHA256", stored[1]))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    tree = LexborHTMLParser(answer.text)
    assert not tree.css("style, [style], iframe, object, embed, base, meta[http-equiv]")
    assert not [
        one for one in tree.css("script") if one.text() or not (one.attributes["src"] or "").startswith("/static/")
    ]
    assert not [name for one in tree.css("body *") for name in one.attributes if name.startswith("on")]
    places = [one.attributes["href"] or "" for one in tree.css("a")]
    assert not [place for place in places if urlsplit(place).scheme not in {"", "https", "http"}]
    ids = [one.attributes["id"] for one in tree.css("[id]")]
    assert len(ids) == len(set(ids))
    assert {one.attributes["for"] for one in tree.css("label")} <= set(ids)


@pytest.mark.parametrize("path", PATHS)
def test_every_link_of_a_page_keeps_its_instants(site: Served, stored: Stored, path: str) -> None:
    path = path.replace("SHA256", stored[1])
    asked = {"at": "2026-08-20T06:00:00Z", "known_at": "2026-09-08"}
    answer = site.get(path, params={**parse_qs(urlsplit(path).query), **asked})
    assert answer.status_code == 200
    tree = LexborHTMLParser(answer.text)
    links = [one for one in tree.css("a") if (one.attributes["href"] or "").startswith("/")]
    kept = [parse_qs(urlsplit(one.attributes["href"] or "").query) for one in links]
    lost = [
        one.text()
        for one, query in zip(links, kept, strict=True)
        if (query.get("at"), query.get("known_at")) != ([asked["at"]], [asked["known_at"]])
    ]
    assert lost == ["Back to now", "HTTP API"]
    for form in tree.css("form"):
        fields = {
            one.attributes["name"]: one.attributes["value"]
            for one in form.css("input[name]")
            if one.attributes.get("value")
        }
        assert asked.items() <= fields.items()


@pytest.mark.parametrize("path", PATHS)
def test_every_link_of_a_page_leads_somewhere(site: Served, stored: Stored, path: str) -> None:
    answer = site.get(path.replace("SHA256", stored[1]))
    places = {one.attributes["href"] or "" for one in LexborHTMLParser(answer.text).css("a")}
    inside = sorted(place for place in places if place.startswith("/") and "xxxx" not in place)
    assert len(inside) > 8
    for place in inside[:: max(1, len(inside) // 25)]:
        assert site.get(place).status_code == 200, place


def _only(tree: LexborHTMLParser, selector: str) -> LexborNode:
    (found,) = tree.css(selector)
    return found


def _rows(site: Served, path: str, name: str) -> list[list[str]]:
    tree = LexborHTMLParser(site.get(path).text)
    return [
        [cell.text(strip=True) for cell in row.css("th, td")] for row in tree.css(f"#{name} tbody tr:not([hidden])")
    ]


def test_the_figures_of_a_page_are_those_of_the_answer_for_programs(site: Served) -> None:
    told = site.get("/v1/endpoints", params={"model": MODEL, "provider": "groq"}).json()
    shown = _rows(site, f"/model?model={MODEL}&show=all&q=groq&sort=source", "endpoints")
    assert sorted([row[1], row[2], row[9].replace(" ", "T")] for row in shown) == sorted(
        [row["input"], row["output"], row["last_seen"][:16]] for row in told
    )


def test_prices_that_are_no_amounts_are_words(site: Served) -> None:
    rows = {row[0]: row for row in _rows(site, f"/model?model={MODEL}&show=all", "endpoints")}
    assert (rows["kilo free"][1], rows["auto"][1], rows["auto"][3]) == ("free", "varies", "–")


def test_every_doubt_is_shown_and_leads_to_its_reason(site: Served) -> None:
    tree = LexborHTMLParser(site.get(f"/model?model={MODEL}&show=all").text)
    found = {one.text(): one.attributes["href"] or "" for one in tree.css("#endpoints a.mark")}
    assert found.keys() >= {"stale", "disputed", "contradicted", "stated", "unseen", "conditions"}
    assert {word: urlsplit(place).path for word, place in found.items()} == {
        "stale": "/source",
        "disputed": "/held",
        "contradicted": "/conflicts",
        "stated": "/endpoint",
        "unseen": "/endpoint",
        "conditions": "/endpoint",
    }


def test_a_page_is_as_it_was_known(site: Served) -> None:
    path = f"/model?model={MODEL}&q=groq+openrouter&at=2026-08-25"
    assert _rows(site, path, "endpoints")[0][1] == "0.075"
    assert _rows(site, f"{path}&known_at=2026-08-10", "endpoints")[0][1] == "0.15"


def test_what_a_form_leaves_empty_is_not_asked(site: Served) -> None:
    plain = site.get(f"/model?model={MODEL}").text
    empty = site.get(f"/model?at=&known_at=&model={MODEL}&cached=&provider=&provider=&where=&current=").text
    assert empty == plain


def test_rows_can_be_sorted_either_way_and_what_has_no_key_stays_last() -> None:
    columns: list[Column[int | None]] = [Column("size", "Size", lambda one: Cell(text=str(one), key=one), number=True)]

    def shown(sort: str) -> list[str]:
        made = table("t", "T", columns, [3, None, 20, 1], again=lambda **_: "/x", sort=sort)
        return [line.cells[0].text for line in made.rows]

    assert shown("size") == ["1", "3", "20", "None"]
    assert shown("-size") == ["20", "3", "1", "None"]
    assert shown("colour") == ["3", "None", "20", "1"]


def test_rows_that_were_not_asked_for_are_hidden_while_all_are_there_and_left_out_where_they_are_not() -> None:
    columns: list[Column[str]] = [Column("name", "Name", lambda one: Cell(text=one, key=one))]
    every = ["one", "two", "one two", "three"]
    whole = table("t", "T", columns, every, query="TWO")
    assert [(line.cells[0].text, line.hidden) for line in whole.rows] == list(
        zip(every, (True, False, False, True), strict=True)
    )
    assert (whole.live, whole.total) == (True, 2)
    part = table("t", "T", columns, every, query="two", most=1)
    assert [line.cells[0].text for line in part.rows] == ["two"]
    assert (part.live, part.total) == (False, 2)


# --- text ---


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_whatever_a_name_is_it_is_one_text_and_nothing_else(name: str) -> None:
    source = (
        '{% import "parts.html" as parts %}<p id=a title="{{ name }}">{{ name }}</p><i>{{ parts.inside(cell) }}</i>'
    )
    html = _templates().from_string(source).render(name=name, cell=Cell(text=name, href=f"/x?{name}", label=name))
    tree = LexborHTMLParser(html)
    (said,) = tree.css("#a")
    assert (said.text(), said.attributes["title"] or "") == (printable(name), printable(name))
    (link,) = tree.css("i")
    assert link.text() == printable(name)
    assert not tree.css("script, img, svg, #a > *, i > :not(a), a > :not(wbr)")


@given(st.text(max_size=200))
def test_lines_stay_lines_and_nothing_in_them_is_markup(text: str) -> None:
    (pre,) = LexborHTMLParser(f"<pre>|{lines(text).encode('utf-8', 'replace').decode()}</pre>").css("pre")
    assert pre.text() == "|" + "\n".join(map(printable, text.expandtabs(4).splitlines()))
    assert not pre.css("pre *")


@pytest.mark.fault(193)
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/model?model=nope", 404),
        ("/model", 400),
        ("/model?model=a&model=b", 400),
        ("/provider?provider=%3Cscript%3E", 404),
        ("/provider", 400),
        ("/source?source=%3Cscript%3E", 404),
        ("/endpoint?endpoint=%3Cscript%3E", 400),
        ("/endpoint?endpoint=a:b:%3Cscript%3E", 404),
        (f"/document/{'0' * 64}", 404),
        ("/document/%3Cscript%3E", 404),
        (f"/document/{'0' * 64}/raw", 404),
        ("/?at=%3Cscript%3E", 400),
        ("/?unknown=1", 400),
        ("/models?q=" + "x" * 301, 400),
        ("/changes?days=0", 400),
        ("/compare?model=" + "&model=".join("abcdefg"), 400),
    ],
)
def test_what_cannot_be_asked_is_told_on_a_page(site: Served, path: str, status: int) -> None:
    answer = site.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
    tree = LexborHTMLParser(answer.text)
    assert _only(tree, "h1").text()
    assert "<script>" not in answer.text.partition("</head>")[2]
    assert "Traceback" not in answer.text


def test_a_store_that_cannot_be_read_is_told_without_its_place(tmp_path: Path) -> None:
    with served(Doors(str(tmp_path / "none.db"), now=lambda: NOW)) as http:
        for path in PATHS:
            answer = http.get(path.replace("SHA256", "0" * 64))
            assert answer.status_code == 503
            assert "Not just now" in answer.text
            assert str(tmp_path) not in answer.text


# --- documents ---


def test_a_document_is_never_anything_but_text(site: Served, stored: Stored) -> None:
    answer = site.get(f"/document/{stored[1]}/raw")
    assert answer.content == PAGE
    told = {name: answer.headers[name] for name in ("content-type", "x-content-type-options", "cache-control")}
    assert told == {
        "content-type": "text/plain; charset=utf-8",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    tree = LexborHTMLParser(site.get(f"/document/{stored[1]}").text)
    shown = _only(tree, "pre.document")
    assert shown.text() == "\n".join(map(printable, PAGE.decode("utf-8", "replace").splitlines()))
    assert not shown.css("pre *")


def test_a_document_that_is_gone_is_told_with_where_it_was(site: Served) -> None:
    rows = _rows(site, f"/endpoint?endpoint={GROQ}", "history")
    gone = site.get(f"/endpoint?endpoint={GROQ}")
    sha256 = _only(LexborHTMLParser(gone.text), ".proof a.code").text()
    page = site.get(f"/document/{sha256}")
    assert page.status_code == 200
    assert "It cannot be shown" in page.text
    assert site.get(f"/document/{sha256}/raw").status_code == 404
    assert len(rows) == 2


def test_documents_and_polls_are_found_on_any_engine(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("acme")
    kept = Document(source="acme", url="https://acme.example/a", fetched_at=hour(0), status=200, body=b"{}", part="a")
    first = tape.poll(source, hour(0), pack=tape.archive.keep([kept]))
    tape.poll(source, hour(1), "failed", message="timeout")
    tape.poll(source, hour(2), known=hour(5))
    tape.document(first, part="a", body=b"{}", url="https://acme.example/a")
    with open_store(store_url) as reader:
        newest, late, oldest = polls(reader, "acme", hour(9))
        assert (newest.at, late.outcome, late.message) == (hour(2), "failed", "timeout")
        assert [one.sha256 for one in oldest.documents] == [kept.sha256]
        assert [one.at for one in polls(reader, "acme", hour(9), known=hour(3))] == [hour(1), hour(0)]
        found = document(reader, kept.sha256)
        assert (found.source, found.body, found.polls, found.missing) == ("acme", b"{}", 1, None)
        with pytest.raises(NothingMatched):
            document(reader, "0" * 64)
        with pytest.raises(NothingMatched):
            polls(reader, "nobody", hour(9))


# --- charts ---


def test_a_course_tells_what_was_seen_and_what_lies_between(stored: Stored) -> None:
    with open_store(stored[0].url) as reader:
        rows = list(history(reader, MODEL, NOW, provider="groq", source="openrouter"))
    found = list(course(rows, NOW, "USD"))
    assert [(one.kind, one.since, one.until, one.amount, one.other) for one in found if one.meter == "input"] == [
        ("seen", hour(0), hour(456), 150_000_000, None),
        ("seen", hour(480), hour(936), 75_000_000, None),
        ("unseen", hour(936), NOW, 75_000_000, None),
        ("between", hour(456), hour(480), 150_000_000, 75_000_000),
    ]
    then = list(course(rows, hour(460), "USD"))
    assert max(one.until for one in then) == hour(460)
    assert list(course(rows, NOW, "EUR")) == []


def test_a_course_is_an_answer_like_any_other(site: Served) -> None:
    asked = {"model": MODEL, "provider": "groq", "source": "openrouter"}
    rows = site.get("/v1/course", params=asked).json()
    assert {row["ref"] for row in rows} == {GROQ}
    assert {row["amount"] for row in rows if row["meter"] == "input"} == {"0.15", "0.075"}
    assert site.get("/v1/course", params={**asked, "format": "csv"}).text.startswith("ref,label,meter,kind,since")


# --- who gets them, and how ---


def test_a_page_is_not_sent_again_to_whoever_has_it(stored: Stored) -> None:
    clock = [NOW]
    with served(Doors(stored[0].url, now=lambda: clock[0])) as http:
        first = http.get("/models")
        again = http.get("/models", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["cache-control"] == "no-cache"
        clock[0] += timedelta(minutes=1)
        assert http.get("/models").headers["etag"] == first.headers["etag"]


def test_static_files_are_kept_for_good_under_a_name_that_changes_with_them(site: Served) -> None:
    for asset in assets().values():
        answer = site.get(asset.path)
        assert (answer.content, answer.headers["content-type"]) == (asset.body, asset.media_type)
        assert "immutable" in answer.headers["cache-control"]
    sources = LexborHTMLParser(site.get(f"/model?model={MODEL}").text).css(
        "script[src], link[rel=stylesheet], link[rel=icon]"
    )
    assert {one.attributes.get("src") or one.attributes["href"] for one in sources} == {
        asset.path for asset in assets().values()
    }


@pytest.mark.fault(194)
@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/style.css",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/%252e%252e%252fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/uplot-LICENSE.txt%00.css",
        "/static/STYLE",
    ],
)
def test_there_is_no_way_out_of_the_static_files(site: Served, path: str) -> None:
    styled = assets()["style.css"].path
    path = path.replace("STYLE", "%" + f"{ord('s'):x}" + styled.removeprefix("/static/s"))
    answer = site.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] == b"404"


def test_pages_and_their_files_need_the_token(stored: Stored) -> None:
    with served(Doors(stored[0].url, now=lambda: NOW), ServeSettings(token="secret")) as http:
        for path in (*PATHS, assets()["style.css"].path, f"/document/{stored[1]}/raw"):
            answer = http.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")


def test_serving_without_its_packages_names_the_command_that_brings_them(tmp_path: Path) -> None:
    code = "import sys; sys.modules['jinja2'] = None; sys.argv[0] = 'tokentape'; from collector.cli import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--store", str(tmp_path / "no.db"), "serve"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("tokentape: serving needs what is not installed")
    assert done.stderr.endswith("pip install 'tokentape[serve]'\n")
    assert "jinja2" in done.stderr
