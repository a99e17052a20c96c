"""The `export` command: whole answers, and the ledger itself, for other programs."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from store.cli_currency import tell
from store.doors import (
    AT,
    KNOWN_AT,
    PRICES,
    PROVIDER,
    RAW,
    SINCE,
    SOURCE,
    UNTIL,
    Doors,
    Doubts,
    currency_option,
    done,
    question,
)
from store.errors import QueryError

if TYPE_CHECKING:
    from store.columns import Columns
    from store.currency import Converter
    from store.export import Form, Written
    from store.read import Reader

Write = Callable[[TextIO], "Written"]

_PACKAGES = {"parquet": "pyarrow", "xlsx": "xlsxwriter"}
"""What makes a form that needs more than we bring."""


@question(
    click.argument("what", type=click.Choice(["current", "history", "changes", "ledger"])),
    click.option(
        "--format", "form", type=click.Choice(["csv", "jsonl", "parquet", "xlsx"]), default="csv", show_default=True
    ),
    click.option(
        "-o",
        "--output",
        default="-",
        metavar="FILE",
        help="Appears whole or not at all; of parquet a new folder. [default: stdout]",
    ),
    click.option("--model", metavar="MODEL", help="Only this model."),
    PROVIDER,
    SOURCE,
    SINCE,
    UNTIL,
    AT,
    KNOWN_AT,
    currency_option("Prices in this currency, by the rates of --at, or of the day each began. [default: as quoted]"),
    click.option("--superseded", is_flag=True, help="Of `history`, also what has been corrected since."),
    PRICES,
    click.option("--names", is_flag=True, help="Of `ledger`, the names of each endpoint as well."),
    click.option("--show-sql", is_flag=True, help="Of `ledger`, the statement that makes the same bytes."),
    RAW,
)
def export(
    doors: Doors,
    *,
    what: str,
    form: str,
    output: str,
    model: str | None,
    provider: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
    at: datetime | None,
    known_at: datetime | None,
    currency: str | None,
    superseded: bool,
    prices: bool,
    names: bool,
    show_sql: bool,
    raw: bool,
) -> None:
    """Write everything for other programs, in constant memory.

    `current` is every price in force (at --at), `history` every interval, `changes` everything that moved (both with
    --since and --until), with the columns of `endpoints`, `history` and `changes`; each as known at --known-at.

    `ledger` is every belief on both clocks, at the speed of the database: integers as stored, with the unit in the name
    of their column. `sqlite3 -csv -header` makes the same bytes of the statement that --show-sql prints.

    `parquet` is a folder of files by source and month, with exact decimals, and a manifest with the SHA-256 of each. In
    `xlsx`, a price of at most 15 digits is a number, a longer one is text; nothing in it can be a formula.

    \b
    Examples:
      tokentape export current -o prices.csv
      tokentape export history --since 2026-08-01 --format jsonl -o history.jsonl
      tokentape export changes --since 7d
      tokentape export ledger --names -o ledger.csv
      tokentape export history --format parquet -o ./history
      tokentape export current --format xlsx -o prices.xlsx
    """
    if (at and what != "current") or ((since or until) and what in {"current", "ledger"}):
        raise click.UsageError("--at goes with `current`, --since and --until with `history` and `changes`")
    if currency and what not in {"current", "history"}:
        raise click.UsageError("--currency goes with `current` and `history`")
    if prices and what not in {"history", "changes"}:
        raise click.UsageError("--prices goes with `history` and `changes`")
    if superseded and what != "history":
        raise click.UsageError("--superseded goes with `history`")
    if (names or show_sql) and what != "ledger":
        raise click.UsageError("--names and --show-sql go with `ledger`")
    if what == "ledger" and (model or provider or source or known_at or form != "csv"):
        raise click.UsageError("`ledger` is all that is known, as CSV: it is not narrowed")
    if form in _PACKAGES and output == "-":
        raise click.UsageError(f"--format {form} needs -o {'FOLDER' if form == 'parquet' else 'FILE'}")
    if names and show_sql:
        raise click.UsageError("--show-sql goes without --names: names are made safe after the statement")
    if show_sql:
        from store.bulk import STATEMENT

        click.echo(STATEMENT.rstrip())
        return
    if form in _PACKAGES:
        from store.kinds import needs

        needs(form, _PACKAGES[form])
    into = None
    doubts = Doubts()
    with doors.open() as reader:
        if what == "ledger":
            written = _text(output, _ledger(reader, names=names, raw=raw))
        else:
            instants = doors.instants(at, known_at)
            into = None if currency is None else doors.converter(reader, currency, instants[1])
            columns, rows = _answer(
                reader,
                instants,
                into,
                doubts,
                what=what,
                model=model,
                provider=provider,
                source=source,
                since=since,
                until=until,
                superseded=superseded,
                prices=prices,
            )
            written = _written(output, form, what, columns, rows, instants, raw=raw)
    tell(() if into is None else into.used())
    doubts.tell(model or "")
    done(written, "nothing to export; `tokentape sources` shows what was collected")


def _ledger(reader: "Reader", *, names: bool, raw: bool) -> Write:
    from store import bulk

    return partial(bulk.write_named, reader=reader, raw=raw) if names else partial(bulk.write, reader=reader)


def _answer(
    reader: "Reader",
    instants: tuple[datetime, datetime],
    into: "Converter | None",
    doubts: Doubts,
    *,
    what: str,
    model: str | None,
    provider: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
    superseded: bool,
    prices: bool,
) -> "tuple[Columns[Any], Iterable[Any]]":
    from store import columns, disputes, intervals
    from store.changes import changes
    from store.naming import find_model
    from store.rates import converted

    at, known = instants
    name = None if model is None else find_model(reader, model)
    if what == "current":
        now = disputes.in_force(reader, at, known=known, model=name, provider=provider, source=source)
        if into is not None:
            now = (converted(row, into, at) for row in now)
        return columns.ENDPOINTS, doubts.counted(now)
    if what == "history":
        past = intervals.history(
            reader,
            name,
            at,
            known=known,
            since=since,
            until=until,
            provider=provider,
            source=source,
            superseded=superseded,
        )
        past = disputes.marked(past, reader, at, known=known)
        past = intervals.prices_only(past) if prices else past
        if into is not None:
            past = (converted(row, into) for row in past)
        return columns.HISTORY, doubts.counted(past)
    moved = changes(
        reader,
        known=known,
        since=since,
        until=until,
        model=name,
        provider=provider,
        source=source,
        prices_only=prices,
    )
    return columns.CHANGES, moved


def _written(
    output: str,
    form: str,
    what: str,
    columns: "Columns[Any]",
    rows: "Iterable[Any]",
    instants: tuple[datetime, datetime],
    *,
    raw: bool,
) -> "Written":
    """Write an answer in one of the forms."""
    at, known = instants
    if form == "parquet":
        from store.parquet import write_parquet

        by = "seen" if what == "changes" else "first_seen"
        about = {"what": what, "at": at, "known_at": known}
        return write_parquet(Path(output), columns, rows, by=by, about=about)
    if form == "xlsx":
        from store.sheet import write_sheet

        return write_sheet(Path(output), what, columns, rows, made=known)
    from store.export import write

    return _text(output, lambda out: write(out, cast("Form", form), columns, rows, raw=raw))


def _text(output: str, write: Write) -> "Written":
    from store.show import data_out

    return write(data_out()) if output == "-" else _to_file(Path(output), write)


def _to_file(path: Path, write: Write) -> "Written":
    from store.export import file_put_in_place

    try:
        with file_put_in_place(path) as out:
            return write(out)
    except OSError as error:
        raise QueryError(f"{path} cannot be written: {error.strerror}") from None
