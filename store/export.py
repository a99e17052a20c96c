"""Answers for programs: CSV, JSON and JSON Lines, written as they come.

Instants are ISO 8601 UTC, prices plain decimals in currency units per 1M tokens (or per single thing), never floats. An
empty price is not offered, varies or is unknown: the `*_state` columns say which. The columns are in `store.columns`.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TextIO, TypeVar

from store.columns import Cell, Column
from store.instants import iso
from store.text import printable

R = TypeVar("R")
Form = Literal["csv", "json", "jsonl"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would take for a formula."""
_COMPACT = json.JSONEncoder(separators=(",", ":"))
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of writing."""

    rows: int
    guarded: int = 0
    """Cells that begin like a formula and were given an apostrophe."""


def write(out: TextIO, form: Form, columns: Sequence[Column[R]], rows: Iterable[R], *, raw: bool = False) -> Written:
    """Write rows as they come, in constant memory.

    CSV is RFC 4180 with line feeds; text in it is made safe for terminals and spreadsheets unless `raw`. JSON escapes
    all but ASCII, so that it is as safe, and exact.
    """
    if form == "csv":
        written = _write_csv(out, columns, rows, raw=raw)
    else:
        written = _write_json(out, columns, rows, array=form == "json")
    out.flush()  # a reader who went away is met here, not when the program ends
    return written


def _write_json(out: TextIO, columns: Sequence[Column[R]], rows: Iterable[R], *, array: bool) -> Written:
    count = 0
    for row in rows:
        line = json.dumps({column.name: _value(column.of(row)) for column in columns})
        out.write(f"{',' if count else '['}\n{line}" if array else f"{line}\n")
        count += 1
    if array:
        out.write("\n]\n" if count else "[]\n")
    return Written(rows=count)


def _write_csv(out: TextIO, columns: Sequence[Column[R]], rows: Iterable[R], *, raw: bool) -> Written:
    write_row = csv_writer(out)
    write_row([column.name for column in columns])
    values = [column.of for column in columns]
    count = guarded = 0
    for row in rows:
        count += 1
        cells = [value(row) for value in values]
        guarded += make_safe(cells, raw=raw)
        write_row(cells)
    return Written(rows=count, guarded=guarded)


def csv_writer(out: TextIO) -> Callable[[list[Cell]], object]:
    """What writes a row of safe cells."""
    import csv  # JSON and tables need it not

    return csv.writer(_LineFeeds(out), lineterminator="\r\n").writerow


def make_safe(cells: list[Cell], *, raw: bool) -> int:
    """Replace cells by what CSV has for them; returns how many began like a formula and got an apostrophe."""
    guarded = 0
    for place, cell in enumerate(cells):
        if isinstance(cell, str):
            if raw:
                continue
            safe = printable(cell)
            # Also behind apostrophes of its own: so that whoever takes one off has the text that it was.
            if cell.lstrip("'").startswith(_FORMULA) and not _NUMBER.fullmatch(cell):
                guarded += 1
                safe = f"'{safe}"
            cells[place] = safe
        elif cell is not None and type(cell) is not int:  # a csv.writer knows these two itself
            cells[place] = cell_text(cell)
    return guarded


class _LineFeeds:
    """Rows that end in a line feed alone; a `csv.writer` quotes only the line ends that it writes itself."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, row: str) -> int:
        """Write a row that ends in CR LF."""
        return self._out.write(f"{row[:-2]}\n")


def cell_text(cell: Cell) -> str:
    """A cell as CSV has it: empty for None, ISO 8601 for an instant, JSON for all that is not text."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, datetime):
        return iso(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return _COMPACT.encode(cell)


def _value(cell: Cell) -> object:
    return iso(cell) if isinstance(cell, datetime) else cell


@contextmanager
def file_put_in_place(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name whole and on disk, or not at all.

    What is no ordinary file (a pipe, a terminal) is written to as it is.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", newline="") as out:
            yield out
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with aside.open("x", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
