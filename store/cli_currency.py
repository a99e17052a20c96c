"""The `rates` command, and what other commands say of the rates by which they converted."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from store.doors import AT, FORMAT, KNOWN_AT, RAW, Doors, answer, done, question
from store.text import printable

if TYPE_CHECKING:
    from store.currency import Conversion, Unconverted

RATES_TOLD = 4
"""Conversions that are told of one by one: each row of an answer has its own in `rates`."""


@question(AT, KNOWN_AT, FORMAT, RAW)
def rates(doors: Doors, *, at: datetime | None, known_at: datetime | None, form: str, raw: bool) -> None:
    """Show the exchange rates on the tape: what one euro costs, of the latest day up to --at.

    They are collected like prices: `explain` shows their evidence, `history currency/cny --stated` the earlier ones.

    \b
    Examples:
      tokentape rates
      tokentape rates --at 2026-08-21 --format json
    """
    from store import columns, views
    from store.rates import rates as find_rates

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        found = list(find_rates(reader, instant, known=known))
    written = answer(form, found, columns.RATES, views.rates(), raw=raw)
    done(written, "no exchange rates then; `tokentape collect ecb` collects them")


def tell(conversions: "Iterable[Conversion | Unconverted | None]") -> None:
    """Tell by which rates prices were converted, and which were not, and why."""
    from store.currency import Unconverted

    found = [one for one in dict.fromkeys(conversions) if one is not None]
    told = [str(one) for one in found]
    for line in told[:RATES_TOLD]:
        click.echo(printable(line), err=True)
    if len(told) > RATES_TOLD:
        click.echo(f"and {len(told) - RATES_TOLD} more days and currencies: see `rates` of each row", err=True)
    if any(isinstance(one, Unconverted) for one in found):
        click.echo("`tokentape rates` shows which rates there are", err=True)
