"""The `cost` command: what a request, or several, cost at one offer."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from store.doors import (
    AT,
    COUNT,
    FORMAT,
    KNOWN_AT,
    MODEL,
    RAW,
    Doors,
    Doubts,
    answer,
    currency_option,
    done,
    question,
)

if TYPE_CHECKING:
    from store.columns import Columns
    from store.costing import Charge
    from store.priced import Priced
    from store.show import TableColumns


@question(
    MODEL,
    click.option("--provider", default="", metavar="NAME", help="Who sells it. [default: the model's own author]"),
    click.option("--input", "input_tokens", type=COUNT, default=0, help="Prompt tokens, cached ones included."),
    click.option("--output", "output_tokens", type=COUNT, default=0, help="Tokens answered, reasoning included."),
    click.option("--cached", "cached_tokens", type=COUNT, default=0, help="Of --input, read from a cache."),
    click.option(
        "--also",
        "more",
        multiple=True,
        metavar="METER=N",
        help="Also used: cache_write, cache_write_1h, reasoning, input_audio, web_search, ... (repeatable).",
    ),
    click.option("--requests", type=click.IntRange(min=1, max=10**12), default=1, help="Requests that is the sum of."),
    click.option(
        "--variant", default="", metavar="NAME", help="Such as batch, priority or us-east-1. [default: the plain offer]"
    ),
    click.option("--endpoint", default="", metavar="NAME", help="One endpoint, by its name or its tag."),
    click.option(
        "--source", default="", metavar="ID", help="By the prices of this source. [default: the most trusted fresh one]"
    ),
    currency_option("The cost in this currency, by the rates on the tape.", "USD"),
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def cost(
    doors: Doors,
    *,
    model: str,
    provider: str,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int,
    more: tuple[str, ...],
    requests: int,
    variant: str,
    endpoint: str,
    source: str,
    currency: str,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show what a request costs at one offer: each meter with its quantity and price, the conditions, the evidence.

    Of the provider, the plain offer is meant unless --variant or --endpoint names another; where several are left that
    nothing tells apart, they must have the same prices. The most trusted source that is fresh says what it costs.

    \b
    Examples:
      tokentape cost openai/gpt-oss-120b --provider groq --input 3000 --output 1000
      tokentape cost claude-sonnet-4.5 --input 20000 --cached 15000 --also cache_write=2000 --output 500
      tokentape cost gpt-4o --variant batch --input 1000000 --output 50000 --requests 400 --at 2026-08-01 --format json
    """
    from store.cli_currency import tell
    from store.costing import Workload
    from store.mix import counts_of
    from store.naming import find_model
    from store.offers import Wanted
    from store.priced import priced
    from store.show import print_fields

    try:
        workload = Workload(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            more=tuple(sorted(counts_of(more).items())),
            requests=requests,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        wanted = Wanted(find_model(reader, model), provider, variant, endpoint, source)
        found = priced(reader, wanted, workload, instant, doors.converter(reader, currency, known), known=known)
    if form == "table":
        print_fields(_fields(found))
    lines = [(found, charge) for charge in found.cost.charges]
    done(answer(form, lines, columns(), _shown(currency), raw=raw), "it charges for nothing of that")
    tell([found.cost.conversion])
    doubts = Doubts()
    list(doubts.counted([found.row]))
    doubts.tell(found.row.model)


def _fields(found: "Priced") -> list[tuple[str, str]]:
    from store.instants import iso

    row = found.row
    return [
        ("model", row.model),
        ("offer", f"{row.provider} {row.endpoint}" + (f" ({row.variant})" if row.variant else "")),
        ("as of", f"{iso(found.at)}{' (stated)' if row.basis == 'stated' else ''}"),
        ("conditions", ", ".join(found.cost.conditions)),
        ("evidence", row.ref),
        ("cost", f"{found.cost.text} {found.cost.currency}"),
    ]


def columns() -> "Columns[tuple[Priced, Charge]]":
    from store.columns import Column, amount_text, rates_told

    return (
        Column("meter", lambda line: line[1].meter),
        Column("quantity", lambda line: line[1].quantity),
        Column("price", lambda line: amount_text(line[1].amount)),
        Column("cost", lambda line: line[1].text),
        Column("total", lambda line: line[0].cost.text),
        Column("currency", lambda line: line[0].cost.currency),
        Column("conditions", lambda line: "; ".join(line[0].cost.conditions)),
        Column("model", lambda line: line[0].row.model),
        Column("provider", lambda line: line[0].row.provider),
        Column("endpoint", lambda line: line[0].row.endpoint),
        Column("variant", lambda line: line[0].row.variant),
        Column("source", lambda line: line[0].row.source),
        Column("at", lambda line: line[0].at),
        Column("ref", lambda line: line[0].row.ref),
        Column("document", lambda line: line[0].row.document),
        Column("basis", lambda line: line[0].row.basis),
        Column("stale", lambda line: line[0].row.stale),
        Column("disputed", lambda line: line[0].row.disputed),
        Column("contradicted_by", lambda line: list(line[0].row.contradicted_by or ())),
        Column("quoted_currency", lambda line: line[0].row.card.currency),
        Column("rates", lambda line: rates_told(line[0].cost.conversion)),
    )


def _shown(currency: str) -> "TableColumns[tuple[Priced, Charge]]":
    from store.show import TableColumn
    from store.units import METERS, decimal_text

    def per(charge: "Charge") -> str:
        thing = METERS[charge.meter].thing
        return f"{decimal_text(charge.amount)} / {'1M' if thing == 'token' else thing}"

    return (
        TableColumn("meter", lambda line: METERS[line[1].meter].title),
        TableColumn("quantity", lambda line: str(line[1].quantity), right=True),
        TableColumn("price", lambda line: per(line[1]), right=True),
        TableColumn(currency, lambda line: line[1].text, right=True),
    )
