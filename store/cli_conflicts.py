"""The `conflicts` command: where sources contradict each other."""

import re
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from store.doors import AT, FORMAT, KNOWN_AT, PROVIDER, RAW, SOURCE, Doors, answer, done, question

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def _ratio(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Fraction | None:
    """A plain decimal of 1 or more."""
    if value is None:
        return None
    if _NUMBER.fullmatch(value) is None or Fraction(value) < 1:
        raise click.BadParameter(f"{value!r} is not a number from 1 on, such as 2 or 1.5")
    return Fraction(value)


if TYPE_CHECKING:
    from store.conflicts import Kind


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
    kinds: "tuple[Kind, ...]",
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
    from store import columns, views
    from store.disputes import ONE, contradictions

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        asked = contradictions(
            reader,
            instant,
            known=known,
            model=model,
            provider=provider,
            source=source,
            kinds=kinds,
            min_ratio=ONE if min_ratio is None else min_ratio,
            order=order,
        )
        shown = views.conflicts(min(instant, known), of_one=model is not None)
        written = answer(form, asked, columns.CONFLICTS, shown, raw=raw)
    done(written, "no two sources contradict each other on that; `tokentape sources` shows what was collected")
