"""`index`, `spread` and `volatility`: doors to the modules of these names, with no logic of their own."""

from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from store.cli_currency import tell
from store.doors import (
    AT,
    DARK,
    FORMAT,
    KNOWN_AT,
    PLOT,
    PROVIDER,
    RAW,
    SINCE,
    SOURCE,
    UNTIL,
    Doors,
    Doubts,
    answer,
    currency_option,
    done,
    drawn,
    question,
)

if TYPE_CHECKING:
    from store.blend import Volume
    from store.periods import Every

MANY = 5000
"""Periods that a series may have."""


def _blend(ctx: click.Context, param: click.Parameter, value: str) -> "Volume":
    """The mixture that an option names."""
    from store.blend import blend

    try:
        return blend(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


BLEND = click.option(
    "--blend",
    "mixture",
    callback=_blend,
    default="3:1",
    show_default=True,
    metavar="IN:OUT",
    help="Tokens read for each that is written.",
)
TOP = click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the first ones. [default: all]")


@question(
    click.argument("models", nargs=-1, metavar="[MODEL]..."),
    BLEND,
    click.option(
        "--weights",
        "weights_file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Volumes: a CSV of model or endpoint, and volume (or input and output), and since.",
    ),
    click.option(
        "--every", type=click.Choice(["day", "week", "month"]), default="month", show_default=True, help="In UTC."
    ),
    SINCE,
    UNTIL,
    AT,
    KNOWN_AT,
    PLOT,
    DARK,
    FORMAT,
    RAW,
)
def index(
    doors: Doors,
    *,
    models: tuple[str, ...],
    mixture: "Volume",
    weights_file: Path | None,
    every: "Every",
    since: datetime | None,
    until: datetime | None,
    at: datetime | None,
    known_at: datetime | None,
    plot: Path | None,
    dark: bool,
    form: str,
    raw: bool,
) -> None:
    """Show how prices moved: a chained index, 100 at the beginning of the first period.

    Of the models named, of those in a file of volumes, or of all. Each period holds the same endpoints against
    themselves; what comes or goes moves nothing. Without volumes, models count alike, in them providers, and in these
    distinct moves; with volumes, it is what the same tokens cost. `stale` endpoints were not polled in the period, and
    their last price is taken. README has the formula.

    \b
    Examples:
      tokentape index
      tokentape index openai/gpt-oss-120b deepseek/deepseek-v4-flash --every week --since 2026-06-01
      tokentape index --weights volumes.csv --format csv
      tokentape index --every day --since 2026-08-01 --plot index.svg
    """
    from store import views_index
    from store.index import index as find_index
    from store.periods import BACK, periods
    from store.weights import read_weights

    if at and until:
        raise click.UsageError("--at is where a series ends, as is --until: one of them")
    if models and weights_file:
        raise click.UsageError("--weights names the models: it goes without others")
    instant, known = doors.instants(at or until, known_at)
    instant = min(instant, known)
    asked = list(islice(periods(since or instant - BACK[every], instant, every), MANY + 1))
    if not asked or len(asked) > MANY:
        raise click.UsageError(f"--since and --until make no period, or more than {MANY}")
    weights = None if weights_file is None else read_weights(weights_file, mixture, known)
    with doors.open() as reader:
        into = None if weights is None else doors.converter(reader, "USD", known)
        found = find_index(reader, asked, known=known, models=models, mixture=mixture, weights=weights, into=into)
    written = answer(form, found, views_index.INDEX, views_index.index(), raw=raw)
    tell(() if into is None else into.used())
    if plot is not None and found:
        from store.plot import levels

        levels(
            plot,
            found,
            f"Index of prices: {', '.join(models) or ('volumes of a file' if weights else 'all')}",
            dark=dark,
        )
        drawn(plot)
    done(written, "nothing had a price at both ends of any of these periods; `tokentape sources` shows what was polled")


@question(
    click.argument("model", required=False),
    BLEND,
    click.option("--tier", "tiers", multiple=True, metavar="NAME", help="Also offers that answer later: batch; any."),
    TOP,
    AT,
    KNOWN_AT,
    currency_option("In this currency, by the rates on the tape. [default: USD]", default="USD"),
    FORMAT,
    RAW,
)
def spread(
    doors: Doors,
    *,
    model: str | None,
    mixture: "Volume",
    tiers: tuple[str, ...],
    top: int | None,
    at: datetime | None,
    known_at: datetime | None,
    currency: str,
    form: str,
    raw: bool,
) -> None:
    """Show how far apart the endpoints of a model are, or those of each model, the widest first.

    Compared are the routes that `cheapest` ranks for a request of 4,000 tokens in that blend: per 1M tokens, with fees
    for each request in it. Quartiles and median lie between two endpoints in proportion. What cannot be compared is
    counted as left out (unknown, free, another currency, answers later, listed no more).

    \b
    Examples:
      tokentape spread
      tokentape spread openai/gpt-oss-120b
      tokentape spread --top 20 --blend 10:1 --format csv
    """
    from store import views_index
    from store.disputes import in_force
    from store.naming import find_model
    from store.spread import spreads

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        name = None if model is None else find_model(reader, model)
        rows = in_force(reader, instant, known=known, model=name)
        into = doors.converter(reader, currency, known)
        found = spreads(rows, instant, mixture, into, tiers=frozenset(tiers))
    written = answer(form, found[:top], views_index.SPREAD, views_index.spread(currency), raw=raw)
    tell(into.used())
    done(written, "no endpoint then and there whose cost can be told; see `tokentape endpoints`")


@question(
    click.argument("model", required=False),
    BLEND,
    click.option("--by", type=click.Choice(["endpoint", "model"]), help="[default: endpoint of a MODEL, else model]"),
    TOP,
    PROVIDER,
    SOURCE,
    SINCE,
    UNTIL,
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def volatility(
    doors: Doors,
    *,
    model: str | None,
    mixture: "Volume",
    by: Literal["endpoint", "model"] | None,
    top: int | None,
    provider: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show how often and how far prices moved, most often first; since when is for --since to say, by default 90 days.

    A move is from one price of an endpoint to the next, in one source, without a break; a price is that of the blend.
    `largest` is the move by the largest factor, `mean` that of all moves in percent, up or down alike. Of a model, each
    provider counts by its most trusted source. Without a MODEL, only what moved is shown.

    \b
    Examples:
      tokentape volatility
      tokentape volatility openai/gpt-oss-120b --since 2026-07-01
      tokentape volatility --by endpoint --source openrouter --top 20 --format csv
    """
    from store import views_index
    from store.volatility import most_moved

    if at and until:
        raise click.UsageError("--at is where a stretch of time ends, as is --until: one of them")
    instant, known = doors.instants(at or until, known_at)
    doubts = Doubts()
    with doors.open() as reader:
        found = most_moved(
            reader, model, instant, mixture, since=since, known=known, provider=provider, source=source, by=by
        )[:top]
    rows = [one.row for one in found if one.row is not None]
    for _ in doubts.counted(rows):
        pass
    written = answer(form, found, views_index.VOLATILITY, views_index.volatility(by_model=not rows), raw=raw)
    doubts.tell(found[0].model if model and found else "")
    done(written, "no price moved then and there; `tokentape sources` shows when each source was last polled")
