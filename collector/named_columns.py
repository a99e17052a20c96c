"""CSV with named columns -> observations, row by row, of a file of any length.

Columns are `model`, `provider`, `tag`, `quantization`, `currency`, and meters by the names of `store.units`; any other
is passed over. An empty cell says nothing.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TextIO

from collector.contract import Price, Quote, SourceSpec
from collector.identify import NONE_RECORDED, Recorded
from collector.normalise import observe
from collector.parse.amounts import SIGNS
from collector.parse.catalogue import named
from collector.parse.doubt import Doubt
from store.errors import QueryError
from store.records import Document, Facts, Observation
from store.text import one_line
from store.units import METERS, unit

UNIT = "USD/1M_token"
_CURRENCY = re.compile(r"(?:1e-[0-9]{1,2}_)?[A-Z]{3}(?:cent)?", re.ASCII)
"""As units have it: `USD`, `USDcent`."""


def observations(
    file: TextIO, name: str, at: datetime, *, provider: str = "", quoted: str = UNIT, recorded: Recorded = NONE_RECORDED
) -> Iterator[Observation]:
    """The offers of a table, each as its row is read; `provider` sells them where no column says who does.

    Units: token meters as `quoted`, all others for one thing; in the currency of the row, or else that of `quoted`.
    Raises: QueryError, with the line: at once for a header without a model, a provider or a meter, and, while it is
        read, for what is no CSV.
    """
    rows = _rows(file, name)
    _, header = next(rows, (1, []))
    columns = [column.strip().lower() for column in header]
    known = {*columns} | ({"provider"} if provider else set())
    if not ({"model", "provider"} <= known and METERS.keys() & known):
        found = one_line(", ".join(header), 120) or "nothing"
        raise QueryError(
            f"{name}, line 1: wanted the columns model, provider (or --provider), and meters such as input and output;"
            f" found {found}"
        )
    if len({*columns}) < len(columns):
        raise QueryError(f"{name}, line 1: a column stands twice")
    spec = SourceSpec(id="", title=name, parser="", url="", trust="scraped", every_s=0, recorded=recorded)
    document = Document(source=name, url="", fetched_at=at, status=200, body=b"")
    sold_by = {"provider": provider} if provider else {}
    return (
        observe(_quote(columns, cells, sold_by, quoted, f"line {line}"), document, spec, at) for line, cells in rows
    )


def _rows(file: Iterable[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells)"""
    rows = csv.reader(file, strict=True)
    try:
        yield from ((rows.line_num, cells) for cells in rows if cells)
    except csv.Error as error:
        raise QueryError(f"{name}, line {rows.line_num}: not CSV: {error}") from None
    except UnicodeDecodeError:
        raise QueryError(f"{name}, after line {rows.line_num}: not UTF-8 text") from None


def _quote(
    columns: Sequence[str], cells: Sequence[str], sold_by: Mapping[str, str], quoted: str, locator: str
) -> Quote:
    row = {**dict(zip(columns, map(str.strip, cells), strict=False)), **sold_by}
    doubts: list[Doubt] = []
    if len(cells) != len(columns):
        doubts.append(Doubt("columns", f"{len(cells)} cells in a table of {len(columns)} columns"))
    provider, model = (named(row.get(what), what, doubts) for what in ("provider", "model"))
    tag = named(row["tag"], "tag", doubts) if row.get("tag") else ""
    currency = row.get("currency") or quoted.partition("/")[0]
    if _CURRENCY.fullmatch(currency) is None:
        doubts.append(Doubt("currency", f"{one_line(currency, 40)!r} is not the code of a currency"))
    prices = {} if doubts else {name: _price(name, row[name], currency, quoted) for name in METERS if row.get(name)}
    return Quote(
        provider=provider,
        model=model,
        tag=tag,
        prices=prices,
        facts=Facts(quantization=row.get("quantization") or None),
        locator=locator,
        findings=tuple(doubt.finding(locator) for doubt in doubts),
    )


def _price(meter: str, cell: str, currency: str, quoted: str) -> Price:
    """The number of a cell, without the sign of its currency."""
    thing = METERS[meter].thing
    per = quoted.partition("/")[2] if thing == unit(quoted).thing else thing
    return Price(text=cell.removeprefix(SIGNS.get(currency, "")).lstrip(), unit=f"{currency}/{per}")
