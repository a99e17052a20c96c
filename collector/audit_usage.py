"""A usage file priced row by row, in bounded memory: what it adds up to, and what could not be priced."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TextIO

from collector.bill import Biller, Line, Unbilled
from collector.bill_routes import Route, Routes
from collector.bill_totals import Totals
from collector.causes import Cause, Causes
from collector.identify import Recorded
from collector.usage import BadRow, Invoiced, Misread, Reading, Rows, amount, instant, shown, text, usage
from collector.usage_forms import Form
from store.currency import Converter
from store.errors import QueryError
from store.read import Reader
from store.routing import Constraints
from store.stretches import Stretches

_LOOKED_EVERY = 4096
"""Rows between two looks at the clock."""


class Audited(NamedTuple):
    """A row that was priced."""

    line: Line
    cause: Cause | None
    """Why its invoice differs; None: it has none, or there is no difference."""
    route: Route | None


class Left(NamedTuple):
    """A row that was not."""

    line: int
    reason: str
    row: Unbilled | None
    """None: it could not even be read."""
    text: str


class Auditor:
    """Prices the rows of a file and adds them up."""

    def __init__(
        self,
        reader: Reader,
        into: Converter,
        form: Form,
        known: datetime,
        *,
        by: str,
        recorded: Recorded,
        source: str = "",
        provider: str = "",
        whole: bool = False,
        allowed: Constraints | None = None,
        on_row: Callable[[Audited], object] | None = None,
        on_unpriced: Callable[[Left], object] | None = None,
    ) -> None:
        """`whole`: an invoice of many rows is to be explained, in place of what each says; `allowed`: the cheapest
        route is looked for."""
        stretches = Stretches(reader, into, known)
        self._biller = Biller(stretches, into, form, known, recorded=recorded, source=source, provider=provider)
        self._causes = Causes(reader, self._biller, known)
        self._routes = None if allowed is None else Routes(self._biller, into, allowed)
        self._form, self._whole = form, whole
        self._on_row, self._on_unpriced = on_row, on_unpriced
        self.totals = Totals(by)

    def take(self, line: int, record: Mapping[str, Any] | Misread) -> None:
        """Add a row of the file."""
        if isinstance(record, Misread):
            self._unread(Left(line, record.reason, None, record.text))
            return
        try:
            for fields in self._form.fields(record):
                row = usage(line, fields, self._form.reading)
                found = self._biller.bill(row._replace(invoiced=None) if self._whole else row)
                if isinstance(found, Line):
                    self._add(found)
                else:
                    self.totals.leave_out(found)
                    if self._on_unpriced is not None:
                        self._on_unpriced(Left(line, found.reason, found, shown(dict(record))))
        except BadRow as error:
            self._unread(Left(line, str(error), None, shown(dict(record))))

    def _unread(self, left: Left) -> None:
        self.totals.whole.rows += 1
        self.totals.leave(left.reason)
        if self._on_unpriced is not None:
            self._on_unpriced(left)

    def _add(self, line: Line) -> None:
        row = line.offer.row
        differs = line.invoiced is not None and line.invoiced.femto != line.femto
        cause = self._causes.of(line) if differs else None
        otherwise = tuple(self._causes.hypotheses(line)) if self._whole else ()
        route = None if self._routes is None else self._routes.cheapest(line)
        for total in self.totals.of(line.usage, row.model, row.provider, row.ref):
            total.count(line.usage)
            total.charge(line, cause, otherwise, route)
        if self._on_row is not None:
            self._on_row(Audited(line, cause, route))


def watched(rows: Rows, file: TextIO, screen: TextIO, *, every_s: float = 0.5) -> Rows:
    """The rows, with a line on a terminal that says how far they have come."""
    if not screen.isatty():
        yield from rows
        return
    size = os.fstat(file.fileno()).st_size
    told = time.monotonic()
    count = 0
    for count, row in enumerate(rows, 1):
        yield row
        if count % _LOOKED_EVERY == 0 and time.monotonic() - told >= every_s:
            told = time.monotonic()
            share = f"{100 * file.buffer.tell() // size} %, " if size else ""
            screen.write(f"\r{share}{count:,} rows")
            screen.flush()
    screen.write(f"\r{' ' * 40}\r")


_AMOUNTS = ("amount_value", "amount", "cost", "total")
_CURRENCIES = ("amount_currency", "currency")
_GROUPS: Mapping[str, Sequence[str]] = {
    "day": ("day", "date", "start_time_iso", "start_time", "instant"),
    "month": ("month", "day", "date", "start_time_iso", "start_time", "instant"),
    "published": ("model",),
    "provider": ("provider",),
    "key": ("key", "api_key_id", "api_key"),
    "user": ("user", "user_id"),
    "project": ("project", "project_id"),
}


def invoices(
    columns: Sequence[str], rows: Rows, by: str, currency: str, reading: Reading
) -> dict[str | None, Invoiced]:
    """What an invoice says of each group, or, where it has no column that tells them apart, of the whole (None).

    Such as OpenAI's export of costs. Raises: QueryError.
    """
    amounts = next((name for name in _AMOUNTS if name in columns), None)
    if amounts is None:
        raise QueryError(f"the invoice has no column {' or '.join(_AMOUNTS)}; it has {', '.join(columns)}")
    quoted = next((name for name in _CURRENCIES if name in columns), "")
    group = next((name for name in _GROUPS.get(by, ()) if name in columns), None)
    found: dict[str | None, Invoiced] = {}
    for line, record in rows:
        if isinstance(record, Misread):
            raise QueryError(f"the invoice, line {line}: {record.reason}")
        try:
            said = text(record, amounts)
            if not said:
                continue
            one = amount(said, (text(record, quoted) or currency).upper(), reading)
            name = None if group is None else _group(record, group, by)
        except BadRow as error:
            raise QueryError(f"the invoice, line {line}: {error}") from None
        if one.currency != currency:
            raise QueryError(f"the invoice, line {line}: is in {one.currency}: --currency {one.currency}")
        before = found.get(name, Invoiced(0, 0, currency))
        found[name] = Invoiced(before.femto + one.femto, before.slack + one.slack, currency)
    return found


def _group(record: Mapping[str, Any], column: str, by: str) -> str:
    if by not in ("day", "month") or column == "month":
        return text(record, column)
    day = instant(record.get(column), utc=True)[0].date().isoformat()
    return day if by == "day" else day[:7]


def hold_against(totals: Totals, invoiced: Mapping[str | None, Invoiced]) -> None:
    """Hold totals against what was invoiced.

    Raises: QueryError for a group that the invoice has and the usage has not.
    """
    strange = [name for name in invoiced if name is not None and name not in totals.groups]
    if strange:
        raise QueryError(f"the invoice has {strange[0]!r}, of which the usage has no row")
    for name, one in invoiced.items():
        (totals.whole if name is None else totals.groups[name]).invoice(one)
    if None not in invoiced and invoiced:
        whole = totals.whole
        for total in totals.groups.values():
            for cause, femto in total.causes.items():
                whole.causes[cause] = whole.causes.get(cause, 0) + femto
        whole.compared = sum(total.compared for total in totals.groups.values())
        whole.invoiced = sum(one.femto for one in invoiced.values())
