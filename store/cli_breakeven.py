"""The `breakeven` command: own GPUs, hosted open weights, and a vendor's API."""

import re
import sys
from collections import deque
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import click

from store.cli_compare import REQUEST, request, volumes_option
from store.doors import AT, DARK, FORMAT, KNOWN_AT, MODEL, PLOT, RAW, Doors, Doubts, answer, drawn, question
from store.errors import NothingMatched

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def _decimal(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Fraction | None:
    """A plain decimal above zero."""
    if value is None:
        return None
    if _DECIMAL.fullmatch(value) is None or not Fraction(value):
        raise click.BadParameter(f"{value!r} is not a number above zero, such as 2.72")
    return Fraction(value)


@question(
    MODEL,
    click.option("--against", metavar="MODEL", help="The vendor's API: this model at its author's. [default: MODEL]"),
    volumes_option("1M", "10M", "100M", "1B"),
    *REQUEST,
    click.option(
        "--gpu-rate", callback=_decimal, metavar="USD", help="An hour of one GPU. [default: 2.72, an H100 SXM]"
    ),
    click.option("--gpus", type=click.IntRange(1, 10**6), default=1, show_default=True, help="How many there are."),
    click.option(
        "--tokens-per-second", callback=_decimal, metavar="N", help="What one GPU takes, in and out. [default: unknown]"
    ),
    click.option(
        "--utilisation", type=click.IntRange(1, 100), default=100, show_default=True, help="Percent of the time in use."
    ),
    PLOT,
    DARK,
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def breakeven(
    doors: Doors,
    *,
    model: str,
    against: str | None,
    tokens_a_day: tuple[int, ...],
    input_tokens: int,
    output_tokens: int,
    gpu_rate: Fraction | None,
    gpus: int,
    tokens_per_second: Fraction | None,
    utilisation: int,
    plot: Path | None,
    dark: bool,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Hold own GPUs against hosted open weights and a vendor's API: a month of a volume, and where the lines cross.

    Hosted is the cheapest offer of MODEL, vendor the offer of its author or, with --against, of another model's (where
    that author sells none, its cheapest). A GPU costs 2.72 USD an hour unless said otherwise (H100 SXM, ORNN index of
    2026-08-06), whatever it does; how many tokens it takes is for you to measure, and where --tokens-per-second says
    it, one more GPU is counted for each part of the volume that those there are cannot take. Months have 30 days.

    \b
    Examples:
      tokentape breakeven openai/gpt-oss-120b
      tokentape breakeven gpt-oss-120b --against openai/o4-mini --tokens-per-second 5000 --utilisation 60
      tokentape breakeven gpt-oss-120b --gpus 2 --gpu-rate 1.99 --tokens-a-day 500M --plot breakeven.svg
    """
    from store import views_breakeven as views
    from store.breakeven import GPU_RATE_USD, Gpus, lines
    from store.breakeven import breakeven as put_together
    from store.compare import place, subject
    from store.naming import find_model
    from store.plot import breakeven as draw
    from store.show import print_fields, terminal_width
    from store.views_compare import folded

    asked = request(input_tokens, output_tokens)
    own = Gpus(
        rate=gpu_rate or Fraction(GPU_RATE_USD),
        count=gpus,
        tokens_per_second=tokens_per_second,
        utilisation=Fraction(utilisation, 100),
    )
    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        into = doors.converter(reader, "USD", known)
        one, other = (
            subject(reader, find_model(reader, name), instant, known=known, into=into)
            for name in (model, against or model)
        )
    charged = lines(one, other, asked, anybody=against is not None)
    if not charged:
        raise NothingMatched(f"no offer of {one.model} with a price then; see `tokentape endpoints {one.model}`")
    found = put_together(own, charged, tokens_a_day)
    if form == "table":
        told = views.fields(found, asked, other.model, rate_is_given=gpu_rate is not None)
        print_fields(folded(told, terminal_width(sys.stdout)))
    answer(form, found.points, views.columns(found, asked, other.model), views.points(found), raw=raw)
    if plot is not None:
        names = {line.name: f"{line.route.row.model} at {place(line.route)}" for line in charged}
        draw(plot, found, f"{one.model}: a month of a volume", names, dark=dark)
        drawn(plot)
    if all(row.value != "true" for row in one.said("open_weights")[:1]):
        click.echo(f"nobody says that the weights of {one.model} are open", err=True)
    doubts = Doubts()
    deque(doubts.counted(line.route.row for line in charged), maxlen=0)
    doubts.tell(one.model)
