"""The reading commands: doors to `store.query` and `store.routing`, with no logic of their own.

Exit codes: 0 answered, 2 a question that cannot be asked or a store that cannot be read, 3 nothing matched. Standard
output has the answer and nothing else. Only click is imported before a command runs: a question costs no more than its
answer.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import click

from store.cli_cheapest import cheapest
from store.cli_conflicts import conflicts
from store.cli_currency import rates, tell
from store.cli_export import export
from store.doors import (
    AT,
    CURRENCY,
    DARK,
    FORMAT,
    KNOWN_AT,
    MODEL,
    PLOT,
    PRICES,
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
    instant_option,
    question,
)

__all__ = [
    "Doors",
    "changes",
    "cheapest",
    "conflicts",
    "endpoints",
    "explain",
    "export",
    "facts",
    "held",
    "history",
    "models",
    "rates",
]


@question(click.argument("query", default=""), AT, KNOWN_AT, FORMAT, RAW)
def models(doors: Doors, *, query: str, at: datetime | None, known_at: datetime | None, form: str, raw: bool) -> None:
    """Search the models on offer by a part of their id.

    The lowest prices are over all sources and over endpoints that are not free, in USD per 1M tokens.

    \b
    Examples:
      tokentape models
      tokentape models gpt-oss
      tokentape models deepseek/ --format csv
    """
    from store import catalogue, columns, views

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        found = catalogue.models(reader, query, instant, known=known)
    written = answer(form, found, columns.MODELS, views.models(), raw=raw)
    done(written, "no model on offer has that in its id; `tokentape sources` shows what was collected")


@question(MODEL, AT, KNOWN_AT, PROVIDER, SOURCE, CURRENCY, FORMAT, RAW)
def endpoints(
    doors: Doors,
    *,
    model: str,
    at: datetime | None,
    known_at: datetime | None,
    provider: str | None,
    source: str | None,
    currency: str | None,
    form: str,
    raw: bool,
) -> None:
    """List every endpoint of a model: price, context, variant, source, age.

    MODEL is a canonical id, or its slug where only one model has it. Prices are USD per 1M tokens, or in the currency
    that stands beside them: `-` is not offered, `?` is unknown. For an instant before an endpoint was first observed,
    what its source states about that instant answers, marked as stated. --at is when it was true, --known-at when it
    was known: an answer that was given then is given again, whatever was learned later.

    \b
    Examples:
      tokentape endpoints openai/gpt-oss-120b
      tokentape endpoints gpt-oss-120b --provider deepinfra --format json
      tokentape endpoints openai/gpt-oss-120b --at 2026-08-22
      tokentape endpoints openai/gpt-oss-120b --at 2026-08-22 --known-at 2026-08-23
    """
    from store import columns, views
    from store.disputes import in_force
    from store.naming import find_model
    from store.rates import converted

    instant, known = doors.instants(at, known_at)
    doubts = Doubts()
    with doors.open() as reader:
        name = find_model(reader, model)
        offers = in_force(reader, instant, known=known, model=name, provider=provider, source=source)
        found = list(doubts.counted(offers))
        if currency is not None:
            into = doors.converter(reader, currency, known)
            found = [converted(row, into, instant) for row in found]
            tell(into.used())
    written = answer(form, found, columns.ENDPOINTS, views.endpoints(min(instant, known)), raw=raw)
    doubts.tell(name)
    done(written, f"no endpoint of {name} then and there; see `tokentape history {name}`")


@question(
    MODEL,
    PROVIDER,
    SOURCE,
    SINCE,
    UNTIL,
    AT,
    KNOWN_AT,
    click.option("--stated", is_flag=True, help="Also the prices that sources date themselves."),
    click.option("--superseded", is_flag=True, help="Also what was believed once and has been corrected."),
    currency_option("Prices in this currency, by the rates of the day on which each began. [default: as quoted]"),
    PRICES,
    PLOT,
    DARK,
    FORMAT,
    RAW,
)
def history(
    doors: Doors,
    *,
    model: str,
    provider: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
    at: datetime | None,
    known_at: datetime | None,
    stated: bool,
    superseded: bool,
    currency: str | None,
    prices: bool,
    plot: Path | None,
    dark: bool,
    form: str,
    raw: bool,
) -> None:
    """Show what a model cost, when: the intervals of its endpoints.

    An interval is [first_seen, ended); the true change lies between not_before and first_seen. With --since and
    --until, those that have any time in between; with --at, those in force at that instant; with --known-at, as they
    were known then. An interval begins with another price or another fact; with --prices, with another price alone.
    A picture (--plot) has no more than is known: a band where a price changed between two polls, dots where it may have
    been so and was not seen, a gap where nobody offered one.

    \b
    Examples:
      tokentape history openai/gpt-oss-120b
      tokentape history openai/gpt-oss-120b --provider deepinfra --since 30d
      tokentape history openai/gpt-oss-120b --at 2026-08-22T12:00:00Z --format csv
      tokentape history openai/gpt-oss-120b --superseded --plot gpt-oss-120b.svg --dark
    """
    from store import columns, intervals, views
    from store.disputes import in_force, marked
    from store.naming import find_model
    from store.rates import converted

    if at and (since or until or stated or superseded or prices):
        raise click.UsageError(
            "--at asks for one instant: it goes without --since, --until, --stated, --superseded and --prices"
        )
    instant, known = doors.instants(at, known_at)
    doubts = Doubts()
    with doors.open() as reader:
        name = find_model(reader, model)
        found: Iterable[intervals.IntervalRow]
        if at:
            found = in_force(reader, at, known=known, model=name, provider=provider, source=source)
        else:
            found = intervals.history(
                reader,
                name,
                instant,
                known=known,
                since=since,
                until=until,
                provider=provider,
                source=source,
                stated=stated,
                superseded=superseded,
            )
            found = marked(found, reader, instant, known=known)
        found = doubts.counted(intervals.prices_only(found) if prices else found)
        into = None if currency is None else doors.converter(reader, currency, known)
        if into is not None:
            found = (converted(row, into, at) for row in found)
        if plot is not None:
            found = list(found)
        written = answer(form, found, columns.HISTORY, views.history(), raw=raw)
    if plot is not None and written.rows:
        from store.plot import prices as draw

        shown, end = currency or "USD", min(instant, known, until or known)
        drawn(plot, draw(plot, list(found), name, end, since=since, currency=shown, dark=dark), currency=shown)
    tell(() if into is None else into.used())
    doubts.tell(name)
    done(written, f"no interval of {name} then and there; see `tokentape endpoints {name}`")


@question(
    instant_option("--since", "From this instant on. [default: 7d]", default="7d"),
    UNTIL,
    KNOWN_AT,
    click.option("--model", metavar="MODEL", help="Only this model."),
    PROVIDER,
    SOURCE,
    PRICES,
    FORMAT,
    RAW,
)
def changes(
    doors: Doors,
    *,
    since: datetime,
    until: datetime | None,
    known_at: datetime | None,
    model: str | None,
    provider: str | None,
    source: str | None,
    prices: bool,
    form: str,
    raw: bool,
) -> None:
    """Show what moved, by how much, and where it was seen: a row for each meter or fact, oldest first.

    The first poll of a source shows what was there, not what moved, and is no change. A correction is told when it
    became known, with the time that it is about; so is a price announced for later, and one that is announced no more.

    \b
    Examples:
      tokentape changes
      tokentape changes --since 24h --provider deepinfra --prices
      tokentape changes --since 2026-08-01 --model openai/gpt-oss-120b --format csv
    """
    from store import columns, views
    from store.changes import changes as find_changes
    from store.naming import find_model

    with doors.open() as reader:
        name = None if model is None else find_model(reader, model)
        found = find_changes(
            reader,
            known=doors.instants(None, known_at)[1],
            since=since,
            until=until,
            model=name,
            provider=provider,
            source=source,
            prices_only=prices,
        )
        written = answer(form, found, columns.CHANGES, views.changes(of_one=model is not None), raw=raw)
    done(written, "nothing moved then and there; `tokentape sources` shows when each source was last polled")


@question(click.argument("endpoint"), AT, KNOWN_AT, FORMAT, RAW)
def explain(
    doors: Doors, *, endpoint: str, at: datetime | None, known_at: datetime | None, form: str, raw: bool
) -> None:
    """Show the evidence for a price: source, URL, instant, SHA-256, and the record as published.

    ENDPOINT is SOURCE:PROVIDER:ENDPOINT, as those columns of `tokentape endpoints` and `cheapest` have it (or `ref`).

    \b
    Examples:
      tokentape explain openrouter:deepinfra:openai/gpt-oss-120b@deepinfra/turbo
      tokentape explain genai_prices:groq:openai/gpt-oss-120b --at 2026-08-22 --format json
    """
    from store import columns, views
    from store.evidence import explain as find_evidence
    from store.show import print_fields

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        found = find_evidence(reader, endpoint, instant, known=known, archive=doors.archive)
    if form == "table":
        for one in found:
            print_fields(views.evidence(one))
    else:
        answer(form, found, columns.EVIDENCE, (), raw=raw)


@question(MODEL, AT, KNOWN_AT, PROVIDER, SOURCE, FORMAT, RAW)
def facts(
    doors: Doors,
    *,
    model: str,
    at: datetime | None,
    known_at: datetime | None,
    provider: str | None,
    source: str | None,
    form: str,
    raw: bool,
) -> None:
    """Show what is said of a model beside its prices: by whom, since when, and where sources disagree.

    A row for each value of each fact: of the model itself (release date, knowledge cut-off, size, licence), then of
    each provider's endpoints (limits, quantization, features, regions, end, data policy, how they fare). What no source
    says is unknown and has no row. A value is disputed where another one that is said cannot be right beside it.

    \b
    Examples:
      tokentape facts openai/gpt-oss-120b
      tokentape facts gpt-oss-120b --provider deepinfra --format json
      tokentape facts openai/gpt-oss-120b --at 2026-08-22 --known-at 2026-08-23
    """
    from store import columns, views
    from store.facts import facts as find_facts
    from store.naming import find_model

    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        name = find_model(reader, model)
        found = find_facts(reader, name, instant, known=known, provider=provider, source=source)
    written = answer(form, found, columns.FACTS, views.facts(), raw=raw)
    done(written, f"no facts of {name} then and there; see `tokentape endpoints {name}`")


@question(SOURCE, KNOWN_AT, FORMAT, RAW)
def held(doors: Doors, *, source: str | None, known_at: datetime | None, form: str, raw: bool) -> None:
    """List what is kept out of the tape because it is not believed, and why.

    \b
    Examples:
      tokentape held
      tokentape held --source litellm --format csv
    """
    from store import catalogue, columns, views

    with doors.open() as reader:
        found = catalogue.held(reader, known=doors.instants(None, known_at)[1], source=source)
    written = answer(form, found, columns.HELD, views.held(), raw=raw)
    done(written, "nothing is held; `tokentape sources` shows how each source fares")
