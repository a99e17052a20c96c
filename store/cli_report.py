"""`report`: a door to `store.report`, with no logic of its own."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from store.doors import KNOWN_AT, Doors, question
from store.errors import NothingMatched, QueryError

if TYPE_CHECKING:
    from store.periods import Period

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)


def _start(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """The first instant of the month that an option names."""
    if value is None:
        return None
    match = _MONTH.fullmatch(value)
    if match is None or match[1] == "0000":
        raise click.BadParameter(f"{value!r} is not a month such as 2026-08", ctx, param)
    return datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)


@question(
    click.option("--month", "start", callback=_start, metavar="YYYY-MM", help="[default: the last whole one]"),
    click.option(
        "--format", "form", type=click.Choice(["markdown", "html"]), help="[default: by the name of -o, else markdown]"
    ),
    click.option("-o", "--output", default="-", metavar="FILE", help="Appears whole or not at all. [default: stdout]"),
    click.option("--top", type=click.IntRange(1, 1000), default=15, show_default=True, help="Rows of a section."),
    KNOWN_AT,
)
def report(
    doors: Doors, *, start: datetime | None, form: str | None, output: str, top: int, known_at: datetime | None
) -> None:
    """Write what moved in a month: a page in Markdown or HTML.

    Cuts and rises, new cheapest routes, models and endpoints that came or went, what was announced, the index,
    corrections, what is held, conflicts, and how sources fared; each figure with the ref that `explain` takes. The HTML
    is one file that needs no network and runs nothing.

    \b
    Examples:
      tokentape report
      tokentape report --month 2026-08 -o 2026-08.html
      tokentape report --month 2026-08 --known-at 2026-09-01 --top 50 -o 2026-08.md
    """
    from store.export import file_put_in_place
    from store.page import html, markdown
    from store.report import report as make
    from store.show import data_out
    from store.views_report import page

    known = doors.instants(None, known_at)[1]
    month = _month(start, known)
    with doors.open() as reader:
        found = make(reader, month, known=known, into=doors.converter(reader, "USD", known))
    if form is None:
        form = "html" if Path(output).suffix.lower() in {".html", ".htm"} else "markdown"
    lines = (f"{line}\n" for line in (html if form == "html" else markdown)(page(found, top)))
    if output == "-":
        data_out().writelines(lines)
        return
    try:
        with file_put_in_place(Path(output)) as out:
            out.writelines(lines)
    except OSError as error:
        raise QueryError(f"{output} cannot be written: {error.strerror}") from None


def _month(start: datetime | None, known: datetime) -> "Period":
    """The month that begins at an instant; without one, the last that was whole."""
    from datetime import timedelta

    from store.periods import begin, month

    asked = month(start or begin(begin(known, "month") - timedelta(days=1), "month"))
    if asked.since >= known:
        raise NothingMatched(f"nothing is known yet of {asked.name}")
    return asked
