"""The `conflicts` command: where sources contradict each other."""

import re
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from store.doors import AT, FORMAT, KNOWN_AT, PROVIDER, RAW, SOURCE, Doors, answer, done, question

if TYPE_CHECKING:
    from store.conflicts import Conflict

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def _ratio(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Fraction | None:
    """A plain decimal of 1 or more."""
    if value is None:
        return None
    if _NUMBER.fullmatch(value) is None or Fraction(value) < 1:
        raise click.BadParameter(f"{value!r} is not a number from 1 on, such as 2 or 1.5")
    return Fraction(value)


@question(
    click.argument("model", required=False),
    PROVIDER,
    SOURCE,
    click.option(
        "--kind",
        "kinds",
        multiple=True,
        type=click.Choice(["price", "tier", "window", "context"]),
        help="Only this kind (repeatable).",
    ),
    click.option(
        "--min-ratio", callback=_ratio, metavar="N", help="Only where the larger is N times the smaller or more."
    ),
    click.option(
        "--sort",
        "order",
        type=click.Choice(["model", "ratio", "since"]),
        default="model",
        show_default=True,
        help="By name, the furthest apart first, or the newest first.",
    ),
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def conflicts(
    doors: Doors,
    *,
    model: str | None,
    provider: str | None,
    source: str | None,
    kinds: tuple[str, ...],
    min_ratio: Fraction | None,
    order: str,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show where two sources state different things of one offer: of a model, or of all.

    Compared are offers of one provider, model and variant, in one currency, and only what both sources say: the price,
    that of long prompts (tier), that at some hours of a week (window), and the context length. The source that is
    trusted more stands first, with the age of its last check; `agree` counts the sources that state each of the two.
    Other forms than the table also name both documents, the places in them, and a `ref` for `explain`.

    \b
    Examples:
      tokentape conflicts
      tokentape conflicts deepseek/deepseek-v4-pro --kind window
      tokentape conflicts --min-ratio 2 --sort ratio
      tokentape conflicts --source openrouter --format csv
    """
    from itertools import chain, groupby

    from store import columns, intervals, views
    from store.conflicts import ORDERS
    from store.conflicts import conflicts as find_conflicts
    from store.naming import find_model

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        name = None if model is None else find_model(reader, model)
        offers = intervals.current(reader, instant, known=known, model=name, provider=provider)
        found = chain.from_iterable(
            find_conflicts(rows, instant) for _, rows in groupby(offers, key=lambda row: row.model)
        )
        asked: Iterable[Conflict] = (
            one
            for one in found
            if source in (None, one.row.source, one.other.source)
            and (not kinds or one.difference.kind in kinds)
            and (min_ratio is None or one.difference.is_apart(min_ratio))
        )
        if order != "model":
            asked = sorted(asked, key=ORDERS[order])
        written = answer(form, asked, columns.CONFLICTS, views.conflicts(min(instant, known)), raw=raw)
    done(written, "no two sources contradict each other on that; `tokentape sources` shows what was collected")
