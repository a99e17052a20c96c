"""The family of HTML tables: one row per model, each column named by its complete heading.

A column that is called something else tomorrow (per 1K where it was per 1M) is not found, and the page is refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from collector.contract import Price, PriceSpec, Quote, SourceSpec
from collector.decode import text_of
from collector.errors import SourceChanged
from collector.parse.amounts import SIGNS, NotAnAmount, money
from collector.parse.doubt import Doubt
from collector.parse.markup import require_sound
from collector.parse.rows import facts_of, name_of
from store.records import Document
from store.units import unit

ROWS = 5_000
COLUMNS = 64
HEADING_ROWS = 3
"""The headings stand in one of the first rows of a table."""
_UNSEEN = frozenset({"sup", "sub", "s", "del", "strike", "script", "style", "template", "noscript"})
"""Not part of what a cell says: footnotes, struck-out prices."""


@dataclass(frozen=True, slots=True)
class _Table:
    headings: tuple[str, ...]
    """Folded (see `_fold`), in the order of the columns."""
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Where each row stands, and its cells."""


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per row of every table that has all the configured headings.

    Units: as `spec` names them; nothing is converted here.
    Raises: SourceChanged if there is no table (`anchor`), none with all headings (`columns`), several with all of
        them and others that differ, a model in two tables (`anchor`), or if the page is not whole.
    """
    text = text_of(document)
    require_sound(text, document.source)
    root = LexborHTMLParser(text).root
    nodes = [node for node in root.css("table") if len(node.css("table")) == 1] if root is not None else []
    grids = [_grid(node, document.source) for node in nodes]
    wanted = _wanted(spec)
    tables = [
        table
        for number, grid in enumerate(grids, 1)
        if (table := _fitting(grid, wanted, f"table {number}")) is not None
    ]
    if not tables:
        raise _not_found(document.source, wanted, grids)
    if len({table.headings for table in tables}) > 1:
        raise SourceChanged(f"{document.source}: {len(tables)} different tables have the headings", code="anchor")
    by_table = [list(_quotes(table, spec, document.source)) for table in tables]
    names = Counter(name for quotes in by_table for name in {(quote.model, quote.tag) for quote in quotes})
    twice = [model for (model, _), times in names.items() if times > 1]
    if twice:
        raise SourceChanged(f"{document.source}: {twice[0]!r} stands in two tables", code="anchor")
    if not names:
        raise SourceChanged(f"{document.source}: the table has no rows", code="empty")
    return [quote for quotes in by_table for quote in quotes]


def _wanted(spec: SourceSpec) -> list[str]:
    """All the headings that a table must have, as configured."""
    optional = [spec.tag_at] if spec.tag_at else []
    named = [spec.model, *(price.at for price in spec.prices), *spec.facts.values(), *spec.require, *spec.skip]
    return list(dict.fromkeys([*named, *optional]))


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
    return " ".join(" ".join(_texts(node)).split()), spans[0], spans[1]


def _texts(node: LexborNode) -> Iterator[str]:
    """What a reader of the page sees: without footnote marks, struck-out prices and hidden text."""
    for child in node.iter(include_text=True):
        if child.is_text_node:
            yield child.text_content or ""
        elif child.tag not in _UNSEEN and not _hidden(child.attributes):
            yield from _texts(child)


def _hidden(attributes: Mapping[str, str | None]) -> bool:
    style = attributes.get("style") or ""
    return "hidden" in attributes or "display:none" in "".join(style.split()).lower()


def _fold(heading: str) -> str:
    """A heading for comparison: markup within it leaves spaces where none are seen, so that none count."""
    return "".join(heading.split()).casefold()


def _fitting(grid: list[list[str]], wanted: list[str], where: str) -> _Table | None:
    """The table of a grid, if one of its first rows has every heading that is wanted, each once."""
    for number, row in enumerate(grid[:HEADING_ROWS]):
        headings = tuple(map(_fold, row))
        if all(headings.count(_fold(heading)) == 1 for heading in wanted):
            rows = [
                (f"{where} row {place}", tuple(cells)) for place, cells in enumerate(grid[number + 1 :], number + 2)
            ]
            return _Table(headings, tuple(row for row in rows if not _says_nothing(row[1], headings)))
    return None


def _says_nothing(cells: tuple[str, ...], headings: tuple[str, ...]) -> bool:
    """An empty row, a title that spans all columns, or the headings once more."""
    return not any(cells) or (len(cells) > 1 and len(set(cells)) == 1) or tuple(map(_fold, cells)) == headings


def _not_found(source: str, wanted: list[str], grids: list[list[list[str]]]) -> SourceChanged:
    """What was wanted, and the headings of the table that comes nearest."""
    if not grids:
        return SourceChanged(
            f"{source}: a table with headings {', '.join(wanted)} wanted, no table there", code="anchor"
        )
    folded = {_fold(heading) for heading in wanted}
    heads = [row for grid in grids for row in grid[:HEADING_ROWS]]
    nearest = max(heads, key=lambda row: len(folded & set(map(_fold, row))), default=[])
    lacking = [heading for heading in wanted if list(map(_fold, nearest)).count(_fold(heading)) != 1]
    return SourceChanged(
        f"{source}: columns wanted once each: {' | '.join(lacking)}; there: {' | '.join(nearest)}", code="columns"
    )


def _quotes(table: _Table, spec: SourceSpec, source: str) -> Iterator[Quote]:
    for locator, cells in table.rows:
        by_heading = dict(zip(table.headings, cells, strict=False))
        if any(by_heading.get(_fold(heading)) in values for heading, values in spec.skip.items()):
            continue
        try:
            yield _quote(by_heading, _ragged(cells, table.headings), locator, spec)
        except Doubt as doubt:
            raise SourceChanged(f"{source}: {locator}: {doubt}") from None


def _ragged(cells: tuple[str, ...], headings: tuple[str, ...]) -> Doubt | None:
    """The doubt about a row whose cells may stand under any heading, because they are too few or too many."""
    if len(cells) == len(headings):
        return None
    return Doubt("cells", f"{len(cells)} cells under {len(headings)} headings")


def _quote(cells: Mapping[str, str], ragged: Doubt | None, locator: str, spec: SourceSpec) -> Quote:
    """The quote of one row; of a ragged one no price is read.

    Raises: Doubt if the row has no name; any other doubt is a finding on the quote.
    """
    model, misnamed = name_of(cells.get(_fold(spec.model)), spec.model)
    tag = cells.get(_fold(spec.tag_at), "") if spec.tag_at else ""
    doubts = [doubt for doubt in (misnamed, ragged) if doubt]
    if tag:
        tag, misnamed = name_of(tag, spec.tag_at)
        doubts += [misnamed] if misnamed else []
    doubts += [
        Doubt("require", f"{heading!r} is {cells.get(_fold(heading), '')!r}, not {' or '.join(values)}")
        for heading, values in spec.require.items()
        if cells.get(_fold(heading)) not in values
    ]
    prices: dict[str, Price] = {}
    for price in spec.prices if not ragged else ():
        try:
            prices[price.meter] = _price(cells[_fold(price.at)], price, spec)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{price.at}: {error}"))
    facts, notes = facts_of({name: cells.get(_fold(heading)) or None for name, heading in spec.facts.items()}, locator)
    return Quote(
        provider=spec.provider,
        model=model,
        tag=tag,
        prices=prices,
        facts=facts,
        locator=locator,
        findings=(*(doubt.finding(locator) for doubt in doubts), *notes),
    )


def _price(text: str, price: PriceSpec, spec: SourceSpec) -> Price:
    """A declared word as it is, an empty cell as not said, and else the number without its currency sign.

    Raises: NotAnAmount if it is neither.
    """
    if not text or text in (*spec.absent, *spec.free, *spec.varies):
        return Price(text=text, unit=price.unit)
    cents = "cent/" in price.unit
    return Price(text=money(text, "" if cents else SIGNS.get(unit(price.unit).currency, "")), unit=price.unit)
