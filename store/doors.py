"""What all reading commands share: where they stand, their options, how they answer and how they fail."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from store.errors import NothingMatched, QueryError, StoreError
from store.instants import both_clocks, parse_instant, utc_now
from store.text import printable

if TYPE_CHECKING:
    from store.columns import Columns
    from store.currency import Converter, CurrencyPolicy
    from store.export import Written
    from store.intervals import IntervalRow
    from store.read import Reader
    from store.show import TableColumns

R = TypeVar("R")
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


@dataclass(frozen=True, slots=True)
class Doors:
    """What every reading command stands on: the `obj` of its click context."""

    store_url: str
    """`sqlite:///PATH` or a path."""
    archive: Path | None = None
    """Folder of archived documents; None: beside the store."""
    now: Callable[[], datetime] = utc_now
    currencies: "Callable[[], CurrencyPolicy | None]" = lambda: None
    """Which exchange rates may be used, asked for where one is needed; None: what holds where nothing is configured."""

    def instants(self, at: datetime | None, known_at: datetime | None) -> tuple[datetime, datetime]:
        """When it was true, and when it was known: both now, unless a question names them."""
        return both_clocks(at, known_at, self.now())

    def open(self) -> "AbstractContextManager[Reader]":
        """The store, open for reading."""
        from store.read import open_store

        return open_store(self.store_url)

    def converter(self, reader: "Reader", currency: str, known: datetime) -> "Converter":
        """What converts into a currency, by rates as known at an instant."""
        from store.rates import converter

        return converter(reader, currency, self.currencies, known)


class Question(click.Command):
    """A command that answers an expected failure with one line and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StoreError as error:
            click.echo(f"tokentape: {error}", err=True)
            ctx.exit(3 if isinstance(error, NothingMatched) else 2)


def _instant(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """The instant that an option names, aware and in UTC."""
    try:
        return None if value is None else parse_instant(value, ctx.obj.now())
    except QueryError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def instant_option(name: str, text: str, default: str | None = None) -> Decorator:
    """An option that names an instant."""
    return click.option(name, callback=_instant, metavar="INSTANT", help=text, default=default)


def _picture(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A picture that can be made."""
    if value is not None:
        from store.plot import require

        try:
            require(value)
        except QueryError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return value


def drawn(path: Path, left_out: int = 0, *, currency: str = "USD") -> None:
    """Tell of a picture that was made, and of what is not on it."""
    endpoints = "1 endpoint has" if left_out == 1 else f"{left_out} endpoints have"
    more = f"; {endpoints} no price in {currency} and {'is' if left_out == 1 else 'are'} not on it" if left_out else ""
    click.echo(printable(f"drawn: {path}{more}"), err=True)


HELP = {"help_option_names": ["-h", "--help"]}
"""As of the whole: a command may be run by itself, and remembers how it is asked for help."""
COUNT = click.IntRange(min=0, max=10**12)


def question(*options: Decorator) -> Callable[[Callable[..., None]], click.Command]:
    """A command of that function's name, with its options."""

    def command(function: Callable[..., None]) -> click.Command:
        decorated = click.pass_obj(function)
        for option in reversed(options):
            decorated = option(decorated)
        return click.command(cls=Question, context_settings=HELP)(decorated)

    return command


MODEL = click.argument("model")
AT = instant_option("--at", "As of this instant. [default: that of --known-at]")
KNOWN_AT = instant_option("--known-at", "As it was known at this instant. [default: now]")
SINCE = instant_option("--since", "From this instant on.")
UNTIL = instant_option("--until", "Up to, and without, this instant.")
PROVIDER = click.option("--provider", metavar="NAME", help="Only this provider.")
SOURCE = click.option("--source", metavar="ID", help="Only what this source says.")
PLOT = click.option(
    "--plot",
    callback=_picture,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also draw it: .png or .svg, by the name of the file.",
)
DARK = click.option("--dark", is_flag=True, help="Of --plot, on a dark ground.")
PRICES = click.option("--prices", is_flag=True, help="Only prices: what moved is no fact beside them.")
CURRENCY_CODE = re.compile(r"[A-Za-z]{3}", re.ASCII)


def _currency(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """The code of a currency, in capitals."""
    if value is not None and CURRENCY_CODE.fullmatch(value) is None:
        raise click.BadParameter(f"{value!r} is not the code of a currency, such as USD, EUR or CNY")
    return value and value.upper()


def currency_option(text: str, default: str | None = None) -> Decorator:
    """An option that names a currency."""
    return click.option("--currency", callback=_currency, metavar="CODE", help=text, default=default)


CURRENCY = currency_option("Prices in this currency, by the rates on the tape. [default: as quoted]")
FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "jsonl"]), default="table", show_default=True
)
RAW = click.option(
    "--raw", is_flag=True, help="CSV text exactly as published, also where a spreadsheet takes it for a formula."
)


def answer(
    form: str, rows: "Iterable[R]", columns: "Columns[R]", table_columns: "TableColumns[R]", *, raw: bool
) -> "Written":
    """Print an answer in one of its forms."""
    from store.show import answer as show

    return show(form, rows, columns, table_columns, raw=raw)


def done(written: "Written", nothing: str) -> None:
    """Tell what must be told about an answer.

    Raises: NothingMatched if there is none.
    """
    if written.guarded:
        cells = "a cell begins" if written.guarded == 1 else f"{written.guarded} cells begin"
        click.echo(f"tokentape: {cells} like a formula and got an apostrophe: --raw leaves text as it is", err=True)
    if not written.rows:
        raise NothingMatched(nothing)


class Doubts:
    """Counts the prices of an answer that are to be doubted, as they go by."""

    def __init__(self) -> None:
        self._contradicted = self._disputed = self._stale = 0

    def counted(self, rows: "Iterable[IntervalRow]") -> "Iterator[IntervalRow]":
        """The rows."""
        for row in rows:
            self._contradicted += bool(row.contradicted_by)
            self._disputed += row.disputed
            self._stale += row.stale
            yield row

    def tell(self, model: str = "") -> None:
        """Say how many there are on standard error, and which command shows why; of one model, or of all."""
        told = [
            f"{count} {what} (`tokentape {command}`)"
            for count, what, command in (
                (self._contradicted, "contradicted by another source", f"conflicts {model}".rstrip()),
                (self._disputed, "with a newer one held", "held"),
                (self._stale, "stale", "sources"),
            )
            if count
        ]
        if told:
            click.echo(printable(f"in doubt: {', '.join(told)}"), err=True)
