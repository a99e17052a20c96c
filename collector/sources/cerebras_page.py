"""Cerebras: the price page, whose script has a table as data.

What is read
    https://www.cerebras.ai/pricing: objects with `cells`, the rows of one table: Model, Speed, Input, Output. A cell is
    `$$0.35/M tokens`, a name `[OPENAI]GPT OSS 120B`, its vendor in brackets.

Oddities
    The dollar is doubled, for the site's own templates. `*` and `**` behind a name point to a note that announces its
    removal: `announced` in its status. The public list (`cerebras`) goes before this page.

History
    2026-05     as described.
"""

import re

from collector.contract import Price, PriceSpec, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount
from collector.parse.doubt import Doubt
from collector.parse.grid import Grid
from collector.parse.page_data import objects
from collector.parse.tables import MARKS, Row, find, model_name, price_in
from store.records import Document, Facts

COLUMNS = tuple(
    PriceSpec(meter=meter, at=heading, unit="USD/1M_token", after="/M tokens")
    for meter, heading in (("input", "Input"), ("output", "Output"))
)
_VENDOR = re.compile(r"^\[[A-Z0-9 ]+\]\s*")


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per row.

    Units: USD per 1M tokens.
    Raises: SourceChanged if the page has no such data, or its columns are others.
    """
    rows = tuple(_cells(record.get("cells"), spec) for record in objects(document, "cells"))
    (table,) = find([Grid(rows=rows)], ["Model", *(column.at for column in COLUMNS)], spec.id)
    if not table.rows:
        raise SourceChanged(f"{spec.id}: the table has no rows", code="empty")
    return [_quote(row, spec) for row in table.rows]


def _cells(cells: object, spec: SourceSpec) -> tuple[str, ...]:
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        raise SourceChanged(f"{spec.id}: a row of texts wanted, there is {cells!r}")
    return tuple(" ".join(cell.replace("$$", "$").split()) for cell in cells)


def _quote(row: Row, spec: SourceSpec) -> Quote:
    named = _VENDOR.sub("", row.at("Model"))
    try:
        model, misnamed = model_name(named, "Model")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {row.locator}: {doubt}") from None
    doubts = [doubt for doubt in (misnamed, row.ragged) if doubt]
    prices: dict[str, Price] = {}
    for column in COLUMNS if not row.ragged else ():
        try:
            prices[column.meter] = price_in(row.at(column.at), column, spec)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{column.at}: {error}"))
    return Quote(
        provider=spec.provider,
        model=model,
        prices=prices,
        facts=Facts(status="removal announced" if named.rstrip()[-1:] in MARKS else None),
        locator=row.locator,
        findings=tuple(doubt.finding(row.locator) for doubt in doubts),
    )
