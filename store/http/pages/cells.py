"""Tables of pages: cells that say what they are, in an order that an address can name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from store.text import one_line
from store.units import decimal_text

R = TypeVar("R")
Key: TypeAlias = int | Fraction | str | None
LONGEST = 90
"""Characters of a name in a table."""
LONGEST_TEXT = 300
"""And of a sentence."""
_PLACES = 4
"""Digits behind the point that are lined up."""
_LONG = 20
"""Rows of a table that are looked at without another scroll bar."""


class Mark(NamedTuple):
    """A word beside a cell: something to be doubted, or to know."""

    word: str
    href: str
    tone: str = "doubt"
    """Or `note`, `good`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in one place of a table."""

    text: str = ""
    href: str = ""
    label: str = ""
    """What a link is called by those who do not see its row."""
    at: datetime | None = None
    """An instant, which is shown instead of a text."""
    key: Key = None
    """What it is sorted by; None: last, either way."""
    places: int | None = None
    """Digits behind the point of a number; None: it is none that is lined up with others."""
    tone: str = ""
    """`up`, `down`, `faint`, `code`, `wide` (a sentence), `pair` (of prices)."""
    marks: tuple[Mark, ...] = ()

    def pad(self, places: int) -> str:
        """Digits that stand unseen behind it, so that points are one below the other."""
        if self.places is None or self.places >= places:
            return ""
        return ("" if self.places else ".") + "0" * (places - self.places)

    @property
    def sort(self) -> str:
        """The key as a page holds it."""
        return "" if self.key is None else str(round(self.key)) if isinstance(self.key, Fraction) else str(self.key)


def text(value: str | None, href: str = "", *, tone: str = "", label: str = "") -> Cell:
    """A name."""
    shown = one_line(value or "", LONGEST_TEXT if tone == "wide" else LONGEST)
    return Cell(text=shown, href=href if shown else "", key=shown.casefold() or None, tone=tone, label=label)


def count(value: int | None) -> Cell:
    """A count, in groups of three digits; nothing where it is unknown."""
    return Cell(text="" if value is None else f"{value:,}", key=value)


def amount(value: int | None, shown: str = "") -> Cell:
    """An amount in 1e-9 currency units, or what is shown in its place."""
    told = shown or ("" if value is None else decimal_text(value))
    if value is None:
        return Cell(text=told or "–", tone="faint")
    plain = told.replace(".", "", 1).isdecimal()
    return Cell(text=told, key=value, places=len(told.partition(".")[2]) if plain else None)


def instant(value: datetime | None, href: str = "") -> Cell:
    """An instant."""
    return Cell(at=value, key=None if value is None else int(value.timestamp()), href=href)


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column of rows."""

    name: str
    """By which it is sorted."""
    title: str
    of: Callable[[R], Cell]
    number: bool = False


class Head(NamedTuple):
    """The head of a column."""

    title: str
    number: bool
    places: int
    """Digits behind the point that are lined up."""
    href: str
    """The page sorted by it, or the other way round if it is; empty where the order is what the table says."""
    sorted: str
    """`ascending`, `descending` or empty."""


class Line(NamedTuple):
    """A row as it is shown."""

    ref: str
    """A name that scripts know it by."""
    hidden: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it is shown."""

    id: str
    caption: str
    heads: tuple[Head, ...]
    rows: tuple[Line, ...]
    total: int
    """Rows that were asked for, which may be more than are here."""
    nothing: str
    long: bool
    """Whether it is to have its own scroll bar."""
    live: bool
    """Whether all rows are here, those that were not asked for hidden, so that a script can look through them."""


def table(
    name: str,
    caption: str,
    columns: Iterable[Column[R]],
    rows: Iterable[R],
    *,
    again: Callable[..., str] | None = None,
    sort: str = "",
    query: str | None = None,
    most: int | None = None,
    nothing: str = "Nothing.",
    ref: Callable[[R], str] = lambda _: "",
    shown: Callable[[R], bool] = lambda _: True,
) -> Table:
    """Rows as a table.

    `again`: the page with another `sort`; without it the order stays. `sort`: the name of a column, with `-` the other
    way round. `query`: only rows in which all of its words stand. `most`: so many rows at most.
    `shown`: others are there, and hidden.
    """
    made_of = list(columns)
    asked = [row for row in rows if most is None or shown(row)]
    by, downward = sort.removeprefix("-"), sort.startswith("-")
    places = [number for number, column in enumerate(made_of) if column.name == by and again is not None]
    first = asked if query or places else asked[:most]  # of what is not shown, nothing need be made
    made = [Line(ref(row), hidden=not shown(row), cells=tuple(column.of(row) for column in made_of)) for row in first]
    if query:
        words = query.casefold().split()
        made = [one._replace(hidden=not all(word in _words(one.cells) for word in words)) for one in made]
    total = len(asked) - sum(one.hidden for one in made)
    for place in places:
        made = _sorted(made, place, downward=downward)
    if most is not None:
        made = [one for one in made if not one.hidden][:most]
    heads = tuple(
        Head(
            column.title,
            column.number,
            min(_PLACES, max((one.cells[at].places or 0 for one in made), default=0)),
            "" if again is None else again(sort=f"-{column.name}" if sort == column.name else column.name),
            "" if column.name != by or again is None else "descending" if downward else "ascending",
        )
        for at, column in enumerate(made_of)
    )
    return Table(
        id=name,
        caption=caption,
        heads=heads,
        rows=tuple(made),
        total=total,
        nothing=nothing,
        long=len(made) > _LONG,
        live=most is None and query is not None,
    )


def _sorted(lines: list[Line], place: int, *, downward: bool) -> list[Line]:
    """By one of their cells, those without a key last."""
    keys: list[tuple[Any, Line]] = [(one.cells[place].key, one) for one in lines]
    known = sorted((one for one in keys if one[0] is not None), key=itemgetter(0), reverse=downward)
    return [one for _, one in (*known, *(one for one in keys if one[0] is None))]


def _words(cells: Iterable[Cell]) -> str:
    return " ".join(" ".join((cell.text, *(mark.word for mark in cell.marks))) for cell in cells).casefold()
