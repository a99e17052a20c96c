"""The family of HTML tables: a row per model, each column named by its complete heading (`collector.parse.tables`)."""

from collections.abc import Iterator, Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

from collector.contract import Quote, SourceSpec
from collector.decode import text_of
from collector.errors import SourceChanged
from collector.parse import tables
from collector.parse.grid import COLUMNS, ROWS, Grid, Page, Titles
from collector.parse.markup import require_sound
from store.records import Document

_UNSEEN = frozenset({"sup", "sub", "s", "del", "strike", "script", "style", "template", "noscript"})
"""Not part of what a page says: footnotes, struck-out prices."""
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_BREAKS = frozenset({"br", "p", "div", "li"})


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published (see `collector.parse.tables.quotes`).

    Raises: SourceChanged as that does, and if the page is not whole.
    """
    return tables.quotes(page_of(document), spec, document.source)


def page_of(document: Document) -> Page:
    """The tables of a page that hold no other table, and the words around them.

    Raises: SourceChanged for a page that is not whole, or cannot be read quickly.
    """
    text = text_of(document).replace("\0", "\ufffd")  # a NUL would vanish, from a price too
    require_sound(text, document.source)
    reading = _Reading(document.source)
    root = LexborHTMLParser(text).root
    if root is not None:
        reading.read(root)
    return Page(grids=tuple(reading.grids), below=" ".join(reading.words))


class _Reading:
    """What has been read of a page so far, from top to bottom."""

    def __init__(self, source: str) -> None:
        self.grids: list[Grid] = []
        self.words: list[str] = []
        self._source = source
        self._titles = Titles()

    def read(self, node: LexborNode) -> None:
        """Everything below a node."""
        for child in node.iter(include_text=True):
            if child.is_text_node:
                self.words.append(child.text_content or "")
            elif child.tag == "table" and len(child.css("table")) == 1:
                rows = tuple(map(tuple, _grid(child, self._source)))
                self.grids.append(Grid(rows=rows, titles=self._titles.path(), above=" ".join(self.words)))
                self.words = []
            elif child.tag not in _UNSEEN:
                if child.tag in _LEVELS:
                    self._titles.add(_LEVELS[child.tag], " ".join(" ".join(_texts(child)).split()))
                self.read(child)


def _grid(table: LexborNode, source: str) -> list[list[str]]:
    """The texts of all cells by row, the text of a spanning cell in every place that it covers."""
    rows: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}
    for row in table.css("tr"):
        if len(rows) == ROWS:
            raise SourceChanged(f"{source}: a table of more than {ROWS} rows", code="row_limit")
        above, below = below, {}
        texts: list[str] = []
        cells = [_cell(node, source) for node in row.iter() if node.tag in ("td", "th")]
        for text, across, down in [*cells, ("", 0, 0)]:
            while len(texts) in above:
                left, spanning = above.pop(len(texts))
                _place(texts, spanning, left, below, source)
            for _ in range(across):
                _place(texts, text, down, below, source)
        rows.append(texts)
    return rows


def _place(texts: list[str], text: str, down: int, below: dict[int, tuple[int, str]], source: str) -> None:
    if len(texts) == COLUMNS:
        raise SourceChanged(f"{source}: a table of more than {COLUMNS} columns", code="columns")
    if down > 1:
        below[len(texts)] = (down - 1, text)
    texts.append(text)


def _cell(node: LexborNode, source: str) -> tuple[str, int, int]:
    """Text, columns and rows of a cell."""
    spans = []
    for name in ("colspan", "rowspan"):
        stated = (node.attributes.get(name) or "1").strip()
        if not (stated.isascii() and stated.isdigit() and len(stated) <= 4 and int(stated)):
            raise SourceChanged(f"{source}: a cell with {name} {stated!r}", code="columns")
        spans.append(int(stated))
    lines = (" ".join(line.split(" ")).strip() for line in " ".join(_texts(node)).split("\n"))
    return "\n".join(" ".join(line.split()) for line in lines if line), spans[0], spans[1]


def _texts(node: LexborNode) -> Iterator[str]:
    """What a reader of the page sees: without footnote marks, struck-out prices and hidden text."""
    for child in node.iter(include_text=True):
        if child.is_text_node:
            yield " ".join((child.text_content or "").split())
        elif child.tag not in _UNSEEN and not _hidden(child.attributes):
            if child.tag in _BREAKS:
                yield "\n"
            yield from _texts(child)


def _hidden(attributes: Mapping[str, str | None]) -> bool:
    style = attributes.get("style") or ""
    return "hidden" in attributes or "display:none" in "".join(style.split()).lower()
