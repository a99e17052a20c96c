"""The `conflicts` command: where sources contradict each other."""

from datetime import datetime

import click

from store.doors import AT, FORMAT, KNOWN_AT, PROVIDER, RAW, SOURCE, Doors, answer, done, question


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
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show where two sources state different things of one offer: of a model, or of all.

    Compared are offers of one provider, model and variant, in one currency, and only what both sources say: the price,
    that of long prompts (tier), that at some hours of a week (window), and the context length. The source that is
    trusted more stands first. Both documents are named; `explain` shows them.

    \b
    Examples:
      tokentape conflicts
      tokentape conflicts deepseek/deepseek-v4-pro --kind window
      tokentape conflicts --source openrouter --format csv
    """
    from itertools import chain, groupby

    from store import columns, intervals, views
    from store.conflicts import conflicts as find_conflicts
    from store.naming import find_model

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        name = None if model is None else find_model(reader, model)
        offers = intervals.current(reader, instant, known=known, model=name, provider=provider)
        found = chain.from_iterable(
            find_conflicts(rows, instant) for _, rows in groupby(offers, key=lambda row: row.model)
        )
        asked = (
            one
            for one in found
            if source in (None, one.row.source, one.other.source) and (not kinds or one.difference.kind in kinds)
        )
        written = answer(form, asked, columns.CONFLICTS, views.conflicts(), raw=raw)
    done(written, "no two sources contradict each other on that; `tokentape sources` shows what was collected")
