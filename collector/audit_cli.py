"""The `audit-catalogue` command: what is wrong with somebody else's price table."""

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector.cli import CONFIG_PATH
from store.doors import AT, FORMAT, KNOWN_AT, RAW, Doors, answer, done, question
from store.errors import QueryError
from store.text import printable

if TYPE_CHECKING:
    from collector.audit import Remark
    from collector.config import Config
    from collector.foreign import PriceTable
    from store.columns import Columns
    from store.read import Reader
    from store.show import TableColumns

CSV = "csv"
KINDS = ("unit", "swapped", "cache_order", "stale", "conflict", "unreadable", "unknown_offer", "unknown_model")
"""Those of `collector.audit`, which a help text need not wait for; worst first."""


@question(
    click.argument("table", metavar="FILE|SOURCE"),
    click.option("--as", "like", metavar="FORM", help="`csv`, or the source in whose form FILE is. [default: found]"),
    click.option("--provider", default="", metavar="NAME", help="Who sells what FILE lists, where FILE does not say."),
    click.option(
        "--unit", "quoted", default="USD/1M_token", metavar="UNIT", show_default=True, help="Of token prices in CSV."
    ),
    click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind (repeatable)."),
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def audit_catalogue(
    doors: Doors,
    *,
    table: str,
    like: str | None,
    provider: str,
    quoted: str,
    kinds: tuple[str, ...],
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show what is wrong with somebody else's price table, by what the tape knows.

    FILE is JSON in the form of LiteLLM, models.dev, Portkey, genai-prices or llm-prices (--as names any other source),
    or CSV with the columns model, provider, and input, output, cache_read and other meters; perhaps tag, quantization
    and currency. SOURCE is one of ours: what it sent last is held against all others.

    Told are slips of unit or point (unit), prices in each other's place (swapped), cache reads dearer than input
    (cache_order), prices that were right once (stale, with until when), prices that another source states otherwise
    (conflict), rows that cannot be read, and offers and models that the tape does not know. Each names its evidence
    (`ref`, for `explain`). `right` is filled in where it is certain: the provider itself says so, or two sources do,
    one that sells it among them, and none says otherwise. The table has the worst first, other forms the order of FILE.

    \b
    Examples:
      tokentape audit-catalogue model_prices_and_context_window.json
      tokentape audit-catalogue together-ai.json --kind unit --format csv
      tokentape audit-catalogue prices.csv --unit USD/token
      tokentape audit-catalogue litellm --kind stale --kind unit
    """
    from collector.auditor import Auditor
    from collector.config import load
    from collector.witnesses import independent

    instant, known = doors.instants(at, known_at)
    config = load(click.get_current_context().meta[CONFIG_PATH])
    with ExitStack() as open_for, doors.open() as reader:
        audited = _table(doors, reader, open_for, table, config, instant, like=like, provider=provider, quoted=quoted)
        among = partial(independent, sources=config.sources)
        auditor = Auditor(audited, reader, instant, known=known, settings=config.checks, independent=among)
        found: Iterable[Remark] = (one for one in auditor.remarks() if not kinds or one.kind in kinds)
        if form == "table":
            found = sorted(found, key=lambda one: KINDS.index(one.kind))
        written = answer(form, found, _columns(audited), _shown(), raw=raw)
    wrong = ", ".join(f"{auditor.wrong[kind]} {kind.replace('_', ' ')}" for kind in KINDS if auditor.wrong[kind])
    counted = f"{auditor.offers} offers, {auditor.sound} of them sound" + (f"; {wrong}" if wrong else "")
    click.echo(f"tokentape: {printable(table)}, as {audited.form}: {counted}", err=True)
    done(written, "nothing is wrong with it, as far as the tape knows")


def _table(
    doors: Doors,
    reader: "Reader",
    open_for: ExitStack,
    table: str,
    config: "Config",
    at: datetime,
    *,
    like: str | None,
    provider: str,
    quoted: str,
) -> "PriceTable":
    """What is to be audited.

    Raises: QueryError, CollectorError, StoreError.
    """
    from collector.foreign import PriceTable, of_file, of_source
    from store.units import unit

    if table in config.sources and like is None:
        return of_source(config.sources[table], reader, doors.archive or reader.archive, at)
    path = Path(table)
    if like not in (None, CSV) and like not in config.sources:
        raise QueryError(f"--as {like}: neither {CSV} nor a source: `tokentape sources` lists them")
    if not (like == CSV or (like is None and path.suffix.lower() == f".{CSV}")):
        return of_file(path, config, at, form=like or "", provider=provider)
    from collector.named_columns import observations

    try:
        if unit(quoted).thing != "token":
            raise QueryError(f"--unit: {quoted} is not a unit of tokens, such as USD/1M_token")
        file = open_for.enter_context(path.open(encoding="utf-8-sig", newline=""))
    except ValueError as error:
        raise QueryError(f"--unit: {error}") from None
    except OSError as error:
        raise QueryError(f"{path}: cannot be read: {error.strerror}") from None
    recorded = config.decisions.accepted
    offers = observations(file, table, at, provider=provider, quoted=quoted, recorded=recorded)
    return PriceTable(form=CSV, offers=offers)


def _columns(audited: "PriceTable") -> "Columns[Remark]":
    from store.columns import Column, amount_text
    from store.moves import percent_text

    return (
        Column("kind", lambda one: one.kind),
        Column("model", lambda one: one.offer.identity.model),
        Column("provider", lambda one: one.offer.identity.provider),
        Column("variant", lambda one: one.offer.identity.variant),
        Column("published_provider", lambda one: one.offer.key.provider),
        Column("published_model", lambda one: one.offer.key.model),
        Column("published_tag", lambda one: one.offer.key.tag),
        Column("locator", lambda one: one.offer.locator),
        Column("meter", lambda one: one.meter),
        Column("case", lambda one: one.case),
        Column("value", lambda one: amount_text(one.value)),
        Column("tape_value", lambda one: amount_text(one.tape_value)),
        Column("right", lambda one: amount_text(one.right)),
        Column("currency", lambda one: one.offer.card.currency if one.offer.card else None),
        Column("difference_percent", lambda one: percent_text(one.tape_value, one.value)),
        Column("source", lambda one: one.tape and one.tape.source),
        Column("trust", lambda one: one.tape and one.tape.trust),
        Column("ref", lambda one: one.tape and one.tape.ref),
        Column("document", lambda one: one.tape and one.tape.document),
        Column("first_seen", lambda one: one.tape and one.tape.first_seen),
        Column("last_seen", lambda one: one.tape and one.tape.last_seen),
        Column("agreeing", lambda one: list(one.agreeing)),
        Column("dissenting", lambda one: list(one.dissenting)),
        Column("stated_by", lambda one: one.before and one.before.ref),
        Column("stated_until", lambda one: one.until),
        Column("stated_document", lambda one: one.before and one.before.document),
        Column("message", lambda one: one.message),
        Column("audited_document", lambda one: audited.documents.get(one.offer.part)),
    )


def _shown() -> "TableColumns[Remark]":
    from store.show import TableColumn
    from store.units import decimal_text

    def number(amount: int | None) -> str:
        return "" if amount is None else decimal_text(amount)

    return (
        TableColumn("kind", lambda one: one.kind),
        TableColumn("provider", lambda one: one.offer.identity.provider),
        TableColumn("published as", lambda one: one.offer.key.model, cut="left"),
        TableColumn("tag", lambda one: one.offer.key.tag, spare=4, cut="right"),
        TableColumn("meter", lambda one: one.meter, spare=1),
        TableColumn("case", lambda one: one.case, spare=6, cut="right"),
        TableColumn("table", lambda one: number(one.value), right=True),
        TableColumn("tape", lambda one: number(one.tape_value), right=True),
        TableColumn("right", lambda one: number(one.right), right=True),
        TableColumn("by", lambda one: one.tape.source if one.tape else "", spare=3),
        TableColumn("until (UTC)", lambda one: f"{one.until:%Y-%m-%d}" if one.until else "", spare=2),
        TableColumn("message", lambda one: one.message, spare=5, cut="right"),
    )
