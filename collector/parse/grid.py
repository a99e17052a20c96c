"""A page as its tables and the words around them, before anything in them is understood."""

from dataclasses import dataclass

ROWS = 5_000
COLUMNS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One table: the texts of its cells, and where it stands."""

    rows: tuple[tuple[str, ...], ...]
    """Top row first; the text of a spanning cell in every place that it covers. Lines of a cell end in a newline."""
    titles: tuple[str, ...] = ()
    """Of the sections that it stands in, outermost first."""
    above: str = ""
    """The words between it and the table before it."""

    def turned(self) -> "Grid":
        """The same table with its columns as rows; short rows are filled up with empty cells."""
        width = max(map(len, self.rows), default=0)
        filled = [(*row, *[""] * (width - len(row))) for row in self.rows]
        return Grid(rows=tuple(zip(*filled, strict=True)), titles=self.titles, above=self.above)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All tables of a page, in their order."""

    grids: tuple[Grid, ...]
    below: str
    """The words behind the last table."""

    @property
    def words(self) -> str:
        """Everything outside tables."""
        return "\n".join([*(grid.above for grid in self.grids), self.below])


class Titles:
    """The titles of the sections that are open, while a page is read from top to bottom."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}

    def add(self, level: int, title: str) -> None:
        """A heading of that level begins: those of its level and below end."""
        self._open = {other: text for other, text in self._open.items() if other < level} | {level: title}

    def path(self) -> tuple[str, ...]:
        """Outermost first."""
        return tuple(self._open.values())


def fold(text: str) -> str:
    """A text for comparison: markup within it leaves spaces where none are seen, so that none count; nor does case."""
    return "".join(text.split()).casefold()


def in_one_line(cell: str) -> str:
    """A cell whose lines mean nothing."""
    return " ".join(cell.split())
