"""How the `audit` of a usage file is shown, and what it writes beside its totals."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from collector.audit_usage import Audited, Left
from collector.bill_totals import Total, Totals, parts
from collector.causes import CAUSES, Cause
from store.columns import Cell, Column, Columns
from store.costing import FEMTO_DIGITS, femto_text
from store.export import csv_writer, file_put_in_place, make_safe
from store.instants import iso
from store.show import TableColumn, TableColumns
from store.text import one_line

R = TypeVar("R")

_SHOWN_DIGITS = 6
_REASONS_TOLD = 5


def _text(femto: int | None) -> str | None:
    return None if femto is None else femto_text(femto)


def _of_cause(cause: Cause) -> "Column[Total]":
    return Column(f"difference_{cause}", lambda total: _text(total.causes.get(cause, 0) if total.compared else None))


COLUMNS: Columns[Total] = (
    Column("group", lambda total: total.name),
    Column("rows", lambda total: total.rows),
    Column("requests", lambda total: total.requests),
    Column("input_tokens", lambda total: total.input_tokens),
    Column("output_tokens", lambda total: total.output_tokens),
    Column("cached_tokens", lambda total: total.cached_tokens),
    Column("priced_rows", lambda total: total.priced),
    Column("cost", lambda total: _text(total.femto if total.priced else None)),
    Column("compared_rows", lambda total: total.compared),
    Column("invoiced", lambda total: _text(total.invoiced if total.compared else None)),
    Column("difference", lambda total: _text(total.difference)),
    *map(_of_cause, CAUSES),
    Column("doubted_rows", lambda total: total.doubted),
    Column("routed_rows", lambda total: total.routed),
    Column("routed_cost", lambda total: _text(total.routed_femto if total.routed else None)),
    Column("cheapest_cost", lambda total: _text(total.cheapest if total.routed else None)),
    Column("unpriced_invoiced", lambda total: _text(total.unpriced_invoiced)),
)


def money(femto: int) -> str:
    """An amount for people: to the millionth, unless it is so small that all of it matters."""
    step = 10 ** (FEMTO_DIGITS - _SHOWN_DIGITS)
    return femto_text(femto if abs(femto) < 100 * step else round(Fraction(femto, step)) * step)


def _causes(total: Total) -> str:
    return ", ".join(f"{money(femto)} {cause}" for cause, femto in parts(total))


def table(by: str, currency: str) -> TableColumns[Total]:
    """Totals for people."""

    def count(number: int) -> str:
        return str(number) if number else ""

    return (
        TableColumn(by, lambda total: total.name or "(not said)", cut="left"),
        TableColumn("rows", lambda total: str(total.rows), right=True),
        TableColumn("input", lambda total: str(total.input_tokens), spare=4, right=True),
        TableColumn("cached", lambda total: count(total.cached_tokens), spare=6, right=True),
        TableColumn("output", lambda total: str(total.output_tokens), spare=5, right=True),
        TableColumn(currency, lambda total: money(total.femto) if total.priced else "?", right=True),
        TableColumn("invoiced", lambda total: money(total.invoiced) if total.compared else "", spare=1, right=True),
        TableColumn(
            "difference", lambda total: "" if total.difference is None else money(total.difference), spare=1, right=True
        ),
        TableColumn("because of", _causes, spare=3, cut="right"),
        TableColumn("cheapest", lambda total: money(total.cheapest) if total.routed else "", spare=2, right=True),
        TableColumn("not priced", lambda total: count(total.rows - total.priced), spare=1, right=True),
        TableColumn("in doubt", lambda total: count(total.doubted), spare=7, right=True),
    )


def told(usage: str, form: str, totals: Totals, currency: str, known: datetime) -> Iterator[str]:
    """What is to be said of a bill beside its totals."""
    whole = totals.whole
    cost = f": {money(whole.femto)} {currency}" if whole.priced else ""
    yield (
        f"tokentape: {usage}, as {form}, as known at {iso(known)}: "
        f"{whole.rows} rows, {whole.priced} of them priced{cost}"
    )
    if whole.difference is not None:
        because = f": {_causes(whole)}" if whole.causes else ""
        yield (
            f"invoiced: {money(whole.invoiced)} {currency} for {whole.compared} rows, "
            f"{money(whole.difference)} beyond what they cost{because}"
        )
    if whole.routed:
        yield (
            f"cheapest: {money(whole.cheapest)} {currency} for {whole.routed} rows that cost "
            f"{money(whole.routed_femto)}"
        )
    if totals.unpriced:
        count = sum(totals.unpriced.values())
        most = [f"{number} {one_line(reason, 160)}" for reason, number in totals.unpriced.most_common(_REASONS_TOLD)]
        more = "; ..." if len(totals.unpriced) > _REASONS_TOLD else ""
        said = f", invoiced at {money(whole.unpriced_invoiced)}" if whole.unpriced_invoiced else ""
        yield f"not priced: {count} rows{said} (--unpriced names them): {'; '.join(most)}{more}"
    if whole.doubted:
        yield f"in doubt: {whole.doubted} rows at prices that were stale, disputed, or stated and not seen"


def _said(one: Audited) -> int | None:
    return None if one.line.invoiced is None else one.line.invoiced.femto


ROWS: Columns[Audited] = (
    Column("line", lambda one: one.line.usage.line),
    Column("instant", lambda one: one.line.usage.at),
    Column("model", lambda one: one.line.offer.row.model),
    Column("provider", lambda one: one.line.offer.row.provider),
    Column("endpoint", lambda one: one.line.offer.row.endpoint),
    Column("variant", lambda one: one.line.offer.row.variant),
    Column("published_model", lambda one: one.line.usage.name.model),
    Column("requests", lambda one: one.line.usage.requests),
    Column("input_tokens", lambda one: one.line.usage.input_tokens),
    Column("output_tokens", lambda one: one.line.usage.output_tokens),
    Column("cached_tokens", lambda one: one.line.usage.cached_tokens),
    Column("more", lambda one: dict(one.line.usage.more)),
    Column("cost", lambda one: femto_text(one.line.femto)),
    Column("invoiced", lambda one: _text(_said(one))),
    Column("difference", lambda one: None if (said := _said(one)) is None else femto_text(said - one.line.femto)),
    Column("cause", lambda one: one.cause),
    Column("cheapest", lambda one: None if one.route is None else femto_text(one.route.femto)),
    Column("cheapest_ref", lambda one: None if one.route is None else one.route.row.ref),
    Column("source", lambda one: one.line.offer.row.source),
    Column("ref", lambda one: one.line.offer.row.ref),
    Column("document", lambda one: one.line.offer.row.document),
    Column("first_seen", lambda one: one.line.offer.row.first_seen),
    Column("basis", lambda one: one.line.offer.row.basis),
    Column("stale", lambda one: one.line.offer.row.stale),
    Column("disputed", lambda one: one.line.offer.row.disputed),
)


def _left_invoiced(one: Left) -> str | None:
    invoiced = None if one.row is None else one.row.usage.invoiced
    return None if invoiced is None else femto_text(invoiced.femto)


UNPRICED: Columns[Left] = (
    Column("line", lambda one: one.line),
    Column("reason", lambda one: one.reason),
    Column("instant", lambda one: one.row and one.row.usage.at),
    Column("model", lambda one: one.row and one.row.model),
    Column("provider", lambda one: one.row and one.row.provider),
    Column("published_model", lambda one: one.row and one.row.usage.name.model),
    Column("invoiced", _left_invoiced),
    Column("row", lambda one: one.text),
)


@contextmanager
def sink(path: Path | None, columns: Columns[R], *, raw: bool) -> Iterator[Callable[[R], object] | None]:
    """What writes rows of CSV as they come, into a file that appears under its name when all are written."""
    if path is None:
        yield None
        return
    with file_put_in_place(path) as out:
        write = csv_writer(out)
        write([column.name for column in columns])

        def add(row: R) -> None:
            cells: list[Cell] = [column.of(row) for column in columns]
            make_safe(cells, raw=raw)
            write(cells)

        yield add
