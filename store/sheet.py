"""An answer as a sheet of a spreadsheet (XLSX), written as its rows come, in constant memory.

A spreadsheet counts in floats of 15 digits. An amount of at most 15 digits stands as a number, written from its decimal
digits; one of more stands as text, exactly. All other text is text and nothing else: no formula, no link.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from store.columns import Cell, Column
from store.errors import QueryError, unwritten
from store.export import Written, cell_text
from store.kinds import Kind, kind_of
from store.text import ELLIPSIS, printable

R = TypeVar("R")

ROWS = 1_048_575
"""Below the line of headings."""
LONGEST_TEXT = 32_767
"""Characters of a cell."""
DIGITS = 15
_WIDTH = 18


def write_sheet(
    target: Path, title: str, columns: Sequence[Column[R]], rows: Iterable[R], *, made: datetime, most: int = ROWS
) -> Written:
    """Write rows into a new file of one sheet, which appears whole or not at all; `made` is when, as the file says.

    Raises: QueryError if there are more rows than a sheet has; StoreError if it cannot be written.
    """
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import FileCreateError

    whole = target.resolve()
    aside = whole.with_name(f".{whole.name}.{os.getpid()}.tmp")
    try:
        with aside.open("xb") as out:
            # Closed whatever happens, for it keeps its rows in a file of its own.
            with Workbook(
                out, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
            ) as book:
                book.set_properties({"created": made.replace(tzinfo=None)})
                sheet = book.add_worksheet(title)
                count = _fill(sheet, book.add_format({"bold": True}), columns, rows, most)
            out.flush()
            os.fsync(out.fileno())
        aside.replace(whole)
    except FileCreateError as error:
        raise unwritten(target, OSError(0, str(error))) from None
    except OSError as error:
        raise unwritten(target, error) from None
    finally:
        with suppress(OSError):
            aside.unlink()
    return Written(rows=count)


def _fill(sheet: Any, bold: Any, columns: Sequence[Column[R]], rows: Iterable[R], most: int) -> int:
    sheet.set_column(0, len(columns) - 1, _WIDTH)
    sheet.freeze_panes(1, 0)
    for place, column in enumerate(columns):
        sheet.write_string(0, place, column.name, bold)
    values = [(column.of, kind_of(column.name)) for column in columns]
    line = 0
    for line, row in enumerate(rows, 1):
        if line > most:
            raise QueryError(
                f"more than {most} rows, which is all that a sheet holds: narrow it with --since, --source or --model, "
                "or take csv or parquet"
            )
        for place, (of, kind) in enumerate(values):
            _write(sheet, line, place, of(row), kind)
    return line


def _write(sheet: Any, line: int, place: int, cell: Cell, kind: Kind) -> None:
    if cell is None:
        return
    if kind == "flag":
        sheet.write_boolean(line, place, cell)
        return
    if kind in {"amount", "percent", "count"}:
        number = Decimal(str(cell))
        if len(number.as_tuple().digits) <= DIGITS:
            sheet.write_number(line, place, number)
            return
    text = printable(cell_text(cell))
    sheet.write_string(line, place, text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + ELLIPSIS)
