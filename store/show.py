"""Answers for people: tables that fit the terminal.

Text from upstream is shown as printable text only. Where a table is too wide, its least important columns are
shortened, then left out; numbers are never shortened.
"""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Generic, Literal, TextIO, TypeVar, cast

from store.columns import Cell, Column
from store.export import Form, Written, cell_text, write
from store.text import ELLIPSIS, printable

R = TypeVar("R")

_GAP = "  "
_SHORTEST = 12
"""Columns are not shortened below this."""


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[R]):
    """A column of a table."""

    title: str
    of: Callable[[R], str]
    spare: int = 0
    """The higher, the sooner it is shortened or left out; 0: never left out."""
    cut: Literal["", "right", "left"] = ""
    """The side on which text is shortened; empty: it is never shortened."""
    right: bool = False
    """Aligned right."""


TableColumns = tuple[TableColumn[R], ...]


def terminal_width(out: TextIO) -> int | None:
    """Columns of the terminal, or as COLUMNS says; None where the output is not for a screen."""
    if out.isatty() or os.environ.get("COLUMNS"):
        import shutil  # compression libraries come with it

        return shutil.get_terminal_size().columns
    return None


def in_bold(out: TextIO) -> bool:
    """Whether a terminal is there to show it, and nobody asked for plain text."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[TableColumn[R]], rows: Iterable[R], *, width: int | None, bold: bool) -> Iterator[str]:
    """The lines of a table. Columns without any content are left out, as are the least important for want of room."""
    lines = [[printable(column.of(row)) for column in columns] for row in rows]
    filled = [place for place, column in enumerate(columns) if not column.spare or any(line[place] for line in lines)]
    needed = {
        place: max([display_width(columns[place].title), *(display_width(line[place]) for line in lines)])
        for place in filled
    }
    widths = needed if width is None else _fitted(columns, needed, width)
    head = _line([(columns[place].title, widths[place], columns[place]) for place in widths])
    yield _bold(head) if bold else head
    for line in lines:
        yield _line([(line[place], widths[place], columns[place]) for place in widths])


def _fitted(columns: Sequence[TableColumn[R]], needed: Mapping[int, int], width: int) -> dict[int, int]:
    """Widths of the columns that fit together, by place: what is spared first is shortened first, then left out."""
    widths = dict(needed)
    for spare in sorted({columns[place].spare for place in needed}, reverse=True):
        alike = [place for place in needed if columns[place].spare == spare]
        for place in alike:
            if columns[place].cut:
                least = max(_SHORTEST, display_width(columns[place].title))
                widths[place] = min(needed[place], max(least, needed[place] - max(0, _excess(widths, width))))
        for place in alike:
            if spare and _excess(widths, width) > 0:
                del widths[place]
    for place in sorted(needed, key=lambda place: columns[place].spare):  # back into the room that a wider one has left
        others = [taken for other, taken in widths.items() if other != place]
        room = width - sum(others) - len(_GAP) * len(others)
        if place in widths:
            widths[place] = min(needed[place], max(widths[place], room))
        elif needed[place] <= room:
            widths[place] = needed[place]
    return dict(sorted(widths.items()))


def _excess(widths: Mapping[int, int], width: int) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width


def _line(cells: Iterable[tuple[str, int, TableColumn[R]]]) -> str:
    padded = []
    for text, width, column in cells:
        short = _shortened(text, width, column.cut)
        space = " " * (width - display_width(short))
        padded.append(f"{space}{short}" if column.right else f"{short}{space}")
    return _GAP.join(padded).rstrip()


def _shortened(text: str, width: int, cut: str) -> str:
    if display_width(text) <= width:
        return text
    kept = text
    while kept and display_width(kept) >= width:
        kept = kept[1:] if cut == "left" else kept[:-1]
    return f"{ELLIPSIS}{kept}" if cut == "left" else f"{kept}{ELLIPSIS}"


def display_width(text: str) -> int:
    """Cells of a terminal that a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"


def answer(
    form: str,
    rows: Iterable[R],
    columns: Sequence[Column[R]],
    table_columns: Sequence[TableColumn[R]],
    *,
    raw: bool = False,
) -> Written:
    """Print rows on standard output: `table` for people, or any form of `store.export`."""
    if form != "table":
        return write(data_out(), cast("Form", form), columns, rows, raw=raw)
    shown = list(rows)
    if shown:
        print_lines(table(table_columns, shown, width=terminal_width(sys.stdout), bold=in_bold(sys.stdout)))
    return Written(rows=len(shown))


def fold(text: str, width: int | None) -> list[str]:
    """A printable text as lines that fit a terminal, broken between words; those after the first are indented."""
    if width is None or display_width(text) <= width:
        return [text]
    from textwrap import wrap

    return wrap(text, width, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)


def data_out() -> TextIO:
    """Standard output for programs: UTF-8 and line feeds, whatever the locale says."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout


def print_lines(lines: Iterable[str]) -> None:
    """Print lines for people, also where their terminal knows fewer characters than they have."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def print_fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, aligned, then an empty line; a value may have several lines, an empty one is left out."""
    shown = [(name, [printable(line) for line in value.splitlines()]) for name, value in pairs if value]
    longest = max((len(name) for name, _ in shown), default=0)
    bold = in_bold(sys.stdout)
    lines = []
    for name, texts in shown:
        title = name.ljust(longest)
        lines.append(f"{_bold(title) if bold else title}{_GAP}{texts[0]}")
        lines.extend(f"{' ' * longest}{_GAP}{text}" for text in texts[1:])
    print_lines([*lines, ""])


def rows(records: Sequence[Mapping[str, Cell]], form: str) -> None:
    """Print records that share their keys, which are the columns of every form."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    columns = [_column(key) for key in keys]
    table_columns = [_table_column(key, records) for key in keys]
    answer(form, records, columns, table_columns)


def _column(key: str) -> Column[Mapping[str, Cell]]:
    return Column(key, lambda record: record.get(key))


def _table_column(key: str, records: Sequence[Mapping[str, Cell]]) -> TableColumn[Mapping[str, Cell]]:
    numbers = all(isinstance(record.get(key), int | None) for record in records)
    return TableColumn(key, lambda record: cell_text(record.get(key)), cut="" if numbers else "right", right=numbers)
