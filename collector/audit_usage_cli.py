"""The `audit` command: what usage cost at the prices then in force, and why an invoice says otherwise."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from collector.names_cli import recorded_names
from store.doors import FORMAT, KNOWN_AT, RAW, Doors, answer, currency_option, done, question
from store.errors import QueryError
from store.text import printable

if TYPE_CHECKING:
    from collector.usage import Invoiced

GROUPS = ("model", "provider", "endpoint", "published", "day", "month", "key", "user", "project")
"""Those of `collector.bill_totals`, which a help text need not wait for."""
_PATH = click.Path(path_type=Path, allow_dash=True)


def _mapped(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Field -> column of `FIELD=COLUMN,...`."""
    from collector.usage import FIELDS

    found: dict[str, str] = {}
    for pair in (one for value in values for one in value.split(",")):
        name, equals, column = pair.partition("=")
        if not equals or name not in FIELDS:
            raise click.BadParameter(f"{pair!r} is not FIELD=COLUMN with one of {', '.join(FIELDS)}")
        found[name] = column
    return found


@question(
    click.argument("usage", metavar="USAGE", type=_PATH),
    click.option("--by", type=click.Choice(GROUPS), default="model", show_default=True, help="What to add up by."),
    click.option("--map", "mapped", multiple=True, callback=_mapped, metavar="FIELD=COLUMN,...", help="Columns."),
    click.option("--utc", is_flag=True, help="Instants without an offset, in mapped columns, are UTC."),
    click.option("--provider", default="", metavar="NAME", help="Who sold it, where USAGE does not say."),
    click.option("--source", default="", metavar="ID", help="Priced by this source where it states the offer."),
    click.option("--invoice", metavar="FILE|AMOUNT", help="What was invoiced, instead of what rows say."),
    click.option(
        "--digits", type=click.IntRange(0, 15), help="Decimals that costs are rounded to. [default: as shown]"
    ),
    click.option("--cheapest", is_flag=True, help="Also what the cheapest allowed route would have cost."),
    click.option("--allow", multiple=True, metavar="PROVIDER", help="Of --cheapest: only this one (repeatable)."),
    click.option("--exclude", multiple=True, metavar="PROVIDER", help="Of --cheapest: not this one (repeatable)."),
    click.option("--quantization", multiple=True, metavar="NAME", help="Of --cheapest: only this one (repeatable)."),
    click.option("--rows", "rows_file", type=_PATH, metavar="FILE", help="Write each priced row with its evidence."),
    click.option("--unpriced", "unpriced_file", type=_PATH, metavar="FILE", help="Write each row without a price."),
    currency_option("Costs in this currency, by the rates of each day.", "USD"),
    KNOWN_AT,
    FORMAT,
    RAW,
)
def audit(
    doors: Doors,
    *,
    usage: Path,
    by: str,
    mapped: dict[str, str],
    utc: bool,
    provider: str,
    source: str,
    invoice: str | None,
    digits: int | None,
    cheapest: bool,
    allow: tuple[str, ...],
    exclude: tuple[str, ...],
    quantization: tuple[str, ...],
    rows_file: Path | None,
    unpriced_file: Path | None,
    currency: str,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Price a usage file at the terms in force at each row's instant, and hold it against what was invoiced.

    USAGE is CSV or JSON Lines (`-`: standard input): the usage export of OpenAI, spend logs of LiteLLM, observations of
    Langfuse, activity of OpenRouter, or columns that --map names (instant, model, input, output, cached, cost, ...).
    A row is priced at the offer that it names; without an endpoint, tier or region, at the provider's plain offer;
    without a provider, at the model's own author. A row that cannot be priced is counted, with the reason, and never
    zero. The same USAGE gives the same bill whenever it is run with the same --known-at.

    A difference to the invoice has a cause only where the row, priced anew, gives just what was invoiced: at another
    tier or region, cached tokens charged otherwise, before or after a discount (promotion), conditions of the price
    (prompt length, hours), at a price of another date, by another source; what nothing explains is unknown.

    \b
    Examples:
      tokentape audit activity.csv
      tokentape audit spend_logs.jsonl --by day --known-at 2026-09-01 --format csv
      tokentape audit completions_usage.csv --invoice 812.37 --unpriced left_out.csv
      tokentape audit usage.csv --map instant=ts,model=model,input=in,output=out,cost=usd --utc --cheapest
    """
    from collector.audit_usage import Auditor, hold_against, watched
    from collector.audit_usage_views import COLUMNS, ROWS, UNPRICED, sink, table, told
    from collector.usage import rows_of
    from collector.usage_forms import recognise
    from store.constraints import Constraints

    _, known = doors.instants(None, known_at)
    allowed = Constraints(
        providers=frozenset(allow), exclude_providers=frozenset(exclude), quantizations=frozenset(quantization)
    )
    with ExitStack() as open_for:
        file = _opened(open_for, usage)
        try:
            columns, rows = rows_of(file)
            kind = recognise(columns, mapped, utc=utc, cost_digits=digits)
            invoiced = None if invoice is None else _invoiced(open_for, invoice, by, currency, digits)
        except QueryError as error:
            raise QueryError(f"{usage}: {error}") from None
        reader = open_for.enter_context(doors.open())
        auditor = Auditor(
            reader,
            doors.converter(reader, currency, known),
            kind,
            known,
            by=by,
            recorded=recorded_names(click.get_current_context()),
            source=source,
            provider=provider,
            whole=invoiced is not None,
            allowed=allowed if cheapest else None,
            on_row=open_for.enter_context(sink(rows_file, ROWS, raw=raw)),
            on_unpriced=open_for.enter_context(sink(unpriced_file, UNPRICED, raw=raw)),
        )
        for line, row in watched(rows, file, sys.stderr):
            auditor.take(line, row)
    totals = auditor.totals
    if invoiced is not None:
        hold_against(totals, invoiced)
    groups = totals.by_name()
    shown = [*groups, totals.whole] if form == "table" and len(groups) > 1 else groups
    written = answer(form, shown, COLUMNS, table(by, currency), raw=raw)
    for text in told(str(usage), kind.name, totals, currency, known):
        click.echo(printable(text), err=True)
    done(written, f"{printable(str(usage))} has no rows that can be read")


def _opened(open_for: ExitStack, path: Path) -> TextIO:
    """A text file, or standard input."""
    from io import TextIOWrapper

    if str(path) == "-":
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace", newline="")
        return sys.stdin
    try:
        return open_for.enter_context(path.open(encoding="utf-8-sig", errors="replace", newline=""))
    except OSError as error:
        raise QueryError(f"{path}: cannot be read: {error.strerror}") from None


def _invoiced(
    open_for: ExitStack, invoice: str, by: str, currency: str, digits: int | None
) -> "Mapping[str | None, Invoiced]":
    """What was invoiced, by group; of an amount, as a whole."""
    from collector.audit_usage import invoices
    from collector.usage import BadRow, Reading, amount, rows_of

    reading = Reading(cost_digits=digits)
    try:
        return {None: amount(invoice, currency, reading)}
    except BadRow:
        columns, rows = rows_of(_opened(open_for, Path(invoice)))
        return invoices(columns, rows, by, currency, reading)
