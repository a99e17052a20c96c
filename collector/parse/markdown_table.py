"""The family of Markdown tables, as documentation sites publish their pages (`collector.parse.tables`).

A Markdown page has no end of its own: `page.ends` names the words that must stand behind its last table.
"""

import html
import re
from collections.abc import Iterator

from collector.contract import Quote, SourceSpec
from collector.decode import text_of
from collector.errors import SourceChanged
from collector.parse import tables
from collector.parse.grid import COLUMNS, ROWS, Grid, Page, Titles
from store.records import Document

BYTES = 4 * 2**20
LINE = 8_000
"""Characters of a row."""

_RULE = re.compile(r"\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*")
_TITLE = re.compile(r"(#{1,6})\s+(.+?)\s*#*")
_CUT = re.compile(r"(?<!\\)\|")
_GONE = (
    re.compile(r"<(sup|sub|s|del|strike)\b[^<>]*>[^<]*</\1>", re.IGNORECASE),
    re.compile(r"(?<!\\)~~[^~]*~~"),
    re.compile(r"\[\^[^\[\]]*\]"),
    re.compile(r"!\[[^\[\]]*\]\([^()\s]*\)"),
)
"""Not part of what a cell says: footnotes, struck-out prices, images."""
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")
_BREAK = re.compile(r"<(?:br|hr)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<!\\)(?:\*+|`+|(?<![A-Za-z0-9])_+|_+(?![A-Za-z0-9]))")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_MARKUP = re.compile(r"(?:<!--.*?-->\s*)*<(?:!doctype|html|\?xml)\b", re.IGNORECASE | re.DOTALL)


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published (see `collector.parse.tables.quotes`).

    Raises: SourceChanged as that does, and for HTML or JSON in its place (`content_type`).
    """
    return tables.quotes(page_of(document), spec, document.source)


def page_of(document: Document) -> Page:
    """The tables of a Markdown page, and the words around them.

    Raises: SourceChanged if it is no Markdown, or has a table without end.
    """
    lines = lines_of(document)
    grids: list[Grid] = []
    titles, words = Titles(), list[str]()
    place, in_code = 0, False
    while place < len(lines):
        line = lines[place].strip()
        in_code ^= line.startswith("```")
        title = _TITLE.fullmatch(line) if len(line) < LINE else None
        if title is not None and not in_code:
            titles.add(len(title[1]), shown(title[2]))
        if _begins_table(lines, place) and not in_code:
            rows = tuple(_rows(lines, place, document.source))
            grids.append(Grid(rows=rows, titles=titles.path(), above="\n".join(words)))
            place += len(rows) + 1  # the rule below the headings is no row
            words = []
        else:
            words.append(line)
            place += 1
    return Page(grids=tuple(grids), below="\n".join(words))


def lines_of(document: Document) -> list[str]:
    """The lines of a document in Markdown.

    Raises: SourceChanged for an empty one (`empty`), and for HTML or JSON in its place (`content_type`).
    """
    text = text_of(document)
    start = text[:4096].lstrip()
    if not start:
        raise SourceChanged(f"{document.source}: the body is empty", code="empty")
    if _MARKUP.match(start) or start[0] in "{[" or start == "null":
        raise SourceChanged(f"{document.source}: Markdown wanted, there is {start[:60]!r}", code="content_type")
    if len(text) > BYTES:
        raise SourceChanged(
            f"{document.source}: a page of {len(text)} characters, more than {BYTES}", code="parse_limit"
        )
    return text.splitlines()


def shown(text: str) -> str:
    """What a reader sees of a piece of Markdown, in its lines; footnotes, images and struck-out prices are gone."""
    for gone in _GONE:
        text = gone.sub("", text)
    while (unlinked := _LINK.sub(r"\1 ", text)) != text:
        text = unlinked
    text = _EMPHASIS.sub("", _TAG.sub("", _BREAK.sub("\n", text)))
    lines = html.unescape(_ESCAPE.sub(r"\1", text)).split("\n")
    return "\n".join(" ".join(line.split()) for line in lines if line.strip())


def _begins_table(lines: list[str], place: int) -> bool:
    """Whether a line is the headings of a table: one with bars, above a rule."""
    after = lines[place + 1].strip() if place + 1 < len(lines) else ""
    return "|" in lines[place] and "|" in after and len(after) <= LINE and _RULE.fullmatch(after) is not None


def _rows(lines: list[str], place: int, source: str) -> Iterator[tuple[str, ...]]:
    """The rows of the table that begins there, without the rule below its headings."""
    yield _cells(lines[place], source)
    for number, line in enumerate(lines[place + 2 :]):
        if "|" not in line:
            return
        if number == ROWS:
            raise SourceChanged(f"{source}: a table of more than {ROWS} rows", code="row_limit")
        yield _cells(line, source)


def _cells(line: str, source: str) -> tuple[str, ...]:
    if len(line) > LINE:
        raise SourceChanged(f"{source}: a row of {len(line)} characters, more than {LINE}", code="parse_limit")
    cells = _CUT.split(line.strip())
    cells = cells[1:] if not cells[0].strip() else cells
    cells = cells[:-1] if len(cells) > 1 and not cells[-1].strip() and line.rstrip().endswith("|") else cells
    if len(cells) > COLUMNS:
        raise SourceChanged(f"{source}: a table of more than {COLUMNS} columns", code="columns")
    return tuple(map(shown, cells))
