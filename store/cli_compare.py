"""The `compare` and `model` commands: models side by side, and the page of one."""

import re
import sys
from collections import deque
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from store.cli_currency import tell
from store.doors import (
    AT,
    COUNT,
    DARK,
    FORMAT,
    KNOWN_AT,
    PLOT,
    RAW,
    Decorator,
    Doors,
    Doubts,
    answer,
    currency_option,
    drawn,
    question,
)
from store.errors import NothingMatched

if TYPE_CHECKING:
    from store.routing import Workload

_COUNT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))?([KMB]?)", re.ASCII)
_SIZES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_MOST = 10**15


def _count_of_tokens(text: str) -> int:
    match = _COUNT.fullmatch(text.upper())
    if match is not None:
        whole, part, letter = match.groups()
        thousandths = int(whole) * 1000 + int((part or "").ljust(3, "0"))
        count, rest = divmod(thousandths * _SIZES[letter], 1000)
        if rest == 0 and 0 < count <= _MOST:
            return count
    raise click.BadParameter(f"{text!r} is not a count of tokens, such as 250000, 10M or 1.5B")


def _volumes(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """Counts of tokens, each once, in order."""
    return tuple(sorted(set(map(_count_of_tokens, values))))


def volumes_option(*default: str) -> Decorator:
    """The option that names volumes."""
    return click.option(
        "--tokens-a-day",
        multiple=True,
        default=default,
        show_default=True,
        callback=_volumes,
        metavar="COUNT",
        help="Cost of a month of this volume (repeatable): 250000, 10M, 1.5B.",
    )


TOKENS_A_DAY = volumes_option("1M", "10M")
REQUEST: tuple[Decorator, ...] = (
    click.option(
        "--input", "input_tokens", type=COUNT, default=3000, show_default=True, help="Prompt tokens a request."
    ),
    click.option("--output", "output_tokens", type=COUNT, default=1000, show_default=True, help="Tokens answered."),
)
"""The request that such a volume is made of."""
CURRENCY = currency_option("Compare in this currency, by the rates on the tape.", "USD")


@question(
    click.argument("models", nargs=-1, required=True, metavar="MODEL..."),
    TOKENS_A_DAY,
    *REQUEST,
    CURRENCY,
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def compare(
    doors: Doors,
    *,
    models: tuple[str, ...],
    tokens_a_day: tuple[int, ...],
    input_tokens: int,
    output_tokens: int,
    currency: str,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Put models side by side: what they are, what they cost, and which of them is cheaper at what.

    `-` is unknown. The author's price is that of the author's own shop; the cheapest and the dearest are by requests of
    which 75 % are prompt, each with its provider, its variant and what is in doubt. Free offers, and those that answer
    when there is room (batch, flex), are no price to compare with: a model with open weights is not free. Of three
    workloads (90, 75, 25 % prompt) the cost of 1M tokens is shown where each model is cheapest, in units of the least.
    A month has 30 days; a page has 500 words of a token and a third. Other forms than the table have a row for each
    property, with who says so.

    \b
    Examples:
      tokentape compare openai/gpt-4o-mini openai/gpt-oss-120b
      tokentape compare gpt-4.1-mini gpt-oss-120b o4-mini --tokens-a-day 500M --format csv
      tokentape compare openai/gpt-oss-120b qwen/qwen3-32b --at 2026-08-22 --currency EUR
    """
    from store import views_compare as views
    from store.compare import compare as put_together
    from store.compare import subject
    from store.naming import find_model
    from store.show import terminal_width

    month = request(input_tokens, output_tokens)
    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        into = doors.converter(reader, currency, known)
        names = dict.fromkeys(find_model(reader, name) for name in models)
        subjects = [subject(reader, name, instant, known=known, into=into) for name in names]
        found = put_together(subjects, month, tokens_a_day)
        doubts = Doubts()
        deque(doubts.counted(row for one in subjects for row in one.believed), maxlen=0)
    if not any(one.offers for one in subjects):
        raise NothingMatched("none of them is on offer then; see `tokentape history`")
    if form == "table":
        told = [views.by_name([one for one in found if one.model == name]) for name in names]
        room = views.room(told, terminal_width(sys.stdout))
        answer(form, views.lines(told, room, currency=currency), (), views.compared(list(names), room), raw=raw)
    else:
        answer(form, found, views.PROPERTIES, (), raw=raw)
    tell(into.used())
    doubts.tell(next(iter(names)) if len(names) == 1 else "")


@question(
    click.argument("name", metavar="MODEL"),
    TOKENS_A_DAY,
    CURRENCY,
    PLOT,
    DARK,
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def model(
    doors: Doors,
    *,
    name: str,
    tokens_a_day: tuple[int, ...],
    currency: str,
    plot: Path | None,
    dark: bool,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show the page of a model: what it is, what it costs where, how prices moved, and what else its author makes.

    Endpoints are those of one source a provider, cheapest first: `pct` is how many percent of the others are cheaper,
    `up %`, `ms` and `tok/s` are what is measured (uptime, time to the first token, speed; coarsely), `90 days` is the
    course of the price (75 % prompt), each from its own least to its own most, with `·` where it is not known, and
    `moves` is how often that price became another in that time, as `tokentape volatility` counts. `price stands` is by
    the lowest price of a model in any source; `lowest` what the cheapest offer was, every sixth day.

    \b
    Examples:
      tokentape model openai/gpt-oss-120b
      tokentape model gpt-oss-120b --plot gpt-oss-120b.svg --dark
      tokentape model openai/gpt-oss-120b --at 2026-08-22 --format json
    """
    from store import views_compare, views_model
    from store.compare import subject
    from store.intervals import history
    from store.model_page import page as put_together
    from store.naming import find_model
    from store.plot import prices
    from store.rates import converted
    from store.show import print_fields, print_lines, terminal_width

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        into = doors.converter(reader, currency, known)
        one = subject(reader, find_model(reader, name), instant, known=known, into=into)
        if not one.offers:
            raise NothingMatched(f"no endpoint of {one.model} then; see `tokentape history {one.model}`")
        page = put_together(reader, one, known, tokens_a_day)
        end = instant + timedelta(milliseconds=1)
        past = history(reader, one.model, instant, known=known, until=end, superseded=True) if plot else ()
        rows = [converted(row, into) for row in past]
    if form == "table":
        print_fields(views_compare.folded(views_model.fields(page, one), terminal_width(sys.stdout)))
        answer(form, page.offers, (), views_model.offers(min(instant, known)), raw=raw)
        if page.siblings:
            print_lines([""])
            answer(form, page.siblings[: views_model.SIBLINGS_SHOWN], (), views_model.siblings(), raw=raw)
            more = len(page.siblings) - views_model.SIBLINGS_SHOWN
            print_lines([f"and {more} more: `tokentape models {one.author}/`"] if more > 0 else [])
    else:
        answer(form, views_model.long(page), views_compare.PROPERTIES, (), raw=raw)
    if plot is not None:
        drawn(plot, prices(plot, rows, one.model, min(instant, known), currency=currency, dark=dark), currency=currency)
    tell(into.used())
    doubts = Doubts()
    deque(doubts.counted(one.believed), maxlen=0)
    doubts.tell(one.model)


def request(input_tokens: int, output_tokens: int) -> "Workload":
    """A request of that many tokens.

    Raises: UsageError for one that has none.
    """
    from store.routing import Workload

    try:
        return Workload(input_tokens=input_tokens, output_tokens=output_tokens)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
