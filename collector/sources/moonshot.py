"""Moonshot AI: the price pages of its platform, a page for each family of models.

What is read
    https://platform.kimi.ai/docs/llms.txt, an index of the documentation, and from it every page under
    `/docs/pricing/chat-` in Markdown (the batch page under `/docs/pricing/batch` too). Each has a table as a component,
    `<DocTable columns={[{title: "Model"}, ...]} rows={[[...]]} />`: columns are found by their titles, the unit is a
    column (`1M tokens`), prices are in dollars, `<>{"$"}0.16</>`.

Oddities
    Cache hit stands before cache miss. The v1 family has one input price and no cache; Kimi K3 states cache writes of
    5 minutes and 1 hour. The page `/docs/pricing/chat` has no table and is not asked. Batch has names such as
    `kimi-k2.6 (Batch)`: offers of their own, tagged so. China's platform (platform.kimi.com) has the same form in ¥,
    prices of its own: not read.

History
    2026-05     four pages. 2026-08 Kimi K3: other titles, `Cached Input Price` and `Cache Write Price (TTL 5min)`.
"""

import re
from collections.abc import Mapping
from urllib.parse import urljoin

from collector.contract import Price, PriceSpec, Quote, Request, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, Number
from collector.parse.doubt import Doubt
from collector.parse.grid import Grid, fold
from collector.parse.lengths import tokens_of
from collector.parse.literals import Literal, attributes
from collector.parse.markdown_table import lines_of
from collector.parse.tables import Row, fitting, model_name, price_in
from store.records import Document, Facts

COMPONENT, UNIT = "DocTable", "1M tokens"
TITLES = {
    "Input Price": "input",
    "Input Price (Cache Miss)": "input",
    "Input Price (Cache Hit)": "cache_read",
    "Cached Input Price": "cache_read",
    "Cache Write Price (TTL 5min)": "cache_write",
    "Cache Write Price (TTL 1h)": "cache_write_1h",
    "Output Price": "output",
}
"""Title of a column -> meter; every column of prices must have one of these."""
BESIDE = ("Model", "Unit", "Context Window")
BATCH = re.compile(r"\s*[(（]Batch[)）]$")
LISTED = re.compile(r"\([^()\s]*(?P<path>/docs/pricing/(?:chat-[a-z0-9.-]+?|batch[a-z0-9-]*))(?:\.md)?\)")


def follow(document: Document, spec: SourceSpec) -> list[Request]:
    """The price pages that the index names, in Markdown.

    Raises: SourceChanged if it names none.
    """
    if document.part:
        return []
    links = LISTED.finditer("\n".join(lines_of(document)))
    names = dict.fromkeys(link["path"] for link in links)
    if not names:
        raise SourceChanged(f"{spec.id}: pages under /docs/pricing/ wanted, the index names none", code="anchor")
    return [Request(url=f"{urljoin(spec.url, name)}.md", part=name.rpartition("/")[2]) for name in names]


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model; of the index, none.

    Units: USD per 1M tokens.
    Raises: SourceChanged if a page has no table, or one with a column or a unit that is not known.
    """
    if not document.part:
        follow(document, spec)
        return []
    text = "\n".join(lines_of(document))
    quotes: list[Quote] = []
    for number, found in enumerate(attributes(text, COMPONENT, spec.id), 1):
        grid = Grid(rows=(_titles(found.get("columns"), spec), *_rows(found.get("rows"), spec)))
        table = fitting(grid, BESIDE, number)
        if table is None:
            raise SourceChanged(
                f"{spec.id}: {document.part}: columns wanted: {' | '.join(BESIDE)}; there: {' | '.join(grid.rows[0])}",
                code="columns",
            )
        columns = _columns(grid.rows[0], spec)
        quotes += [_quote(row, columns, spec) for row in table.rows]
    if not quotes:
        raise SourceChanged(f"{spec.id}: {document.part}: a <{COMPONENT}> with rows wanted, none there", code="anchor")
    return quotes


def _titles(columns: Literal, spec: SourceSpec) -> tuple[str, ...]:
    listed = columns if isinstance(columns, list) else []
    titles = [column.get("title") if isinstance(column, Mapping) else None for column in listed]
    if not titles or not all(isinstance(title, str) for title in titles):
        raise SourceChanged(
            f"{spec.id}: <{COMPONENT}> columns with titles wanted, there is {columns!r}", code="columns"
        )
    return tuple(map(str, titles))


def _rows(rows: Literal, spec: SourceSpec) -> list[tuple[str, ...]]:
    listed = rows if isinstance(rows, list) else []
    if not all(isinstance(row, list) and all(isinstance(cell, str | Number) for cell in row) for row in listed):
        raise SourceChanged(f"{spec.id}: <{COMPONENT}> rows of texts wanted, there is {rows!r}")
    return [
        tuple(cell.text if isinstance(cell, Number) else str(cell) for cell in row)
        for row in listed
        if isinstance(row, list)
    ]


def _columns(titles: tuple[str, ...], spec: SourceSpec) -> list[PriceSpec]:
    known = {fold(title): meter for title, meter in TITLES.items()}
    columns = []
    for title in titles:
        if fold(title) in known:
            columns.append(PriceSpec(meter=known[fold(title)], at=title, unit="USD/1M_token"))
        elif fold(title) not in map(fold, BESIDE):
            wanted = " | ".join((*BESIDE, *TITLES))
            raise SourceChanged(f"{spec.id}: of columns {wanted} wanted; there: {title}", code="columns")
    missing = {"input", "output"} - {column.meter for column in columns}
    if missing or len({column.meter for column in columns}) < len(columns):
        raise SourceChanged(
            f"{spec.id}: one price each of input and output wanted: {' | '.join(titles)}", code="columns"
        )
    return columns


def _quote(row: Row, columns: list[PriceSpec], spec: SourceSpec) -> Quote:
    try:
        name, misnamed = model_name(row.at("Model"), "Model")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {row.locator}: {doubt}") from None
    doubts = [doubt for doubt in (misnamed, row.ragged) if doubt]
    if row.at("Unit") != UNIT:
        doubts.append(Doubt("require", f"the unit is {row.at('Unit')!r}, not {UNIT}"))
    prices: dict[str, Price] = {}
    for column in columns if not doubts else ():
        try:
            prices[column.meter] = price_in(row.at(column.at), column, spec)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{column.at}: {error}"))
    return Quote(
        provider=spec.provider,
        model=BATCH.sub("", name),
        tag="batch" if BATCH.search(name) else "",
        prices=prices,
        facts=Facts(context_length=tokens_of(row.at("Context Window"))),
        locator=row.locator,
        findings=tuple(doubt.finding(row.locator) for doubt in doubts),
    )
