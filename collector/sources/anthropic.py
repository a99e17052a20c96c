"""Anthropic: the Markdown form of the price page of its documentation.

What is read
    https://platform.claude.com/docs/en/about-claude/pricing.md (docs.claude.com until November 2025). Three tables, USD
    per million tokens, the unit in every cell (`$5 / MTok`): model pricing with cache writes of 5 minutes and 1 hour,
    batch processing, and fast mode; and, while there was one, long context pricing. Batch and fast are offers of their
    own, tagged so. A name is a display name: `Claude Opus 4.8`.

Oddities
    A name cell says more than a name: `(deprecated)`, `(limited availability)`: the status; `through August 31, 2026`
    and `starting September 1, 2026`: dates that the page states for a price, at midnight UTC for want of a zone;
    `Claude Opus 5 / Claude Opus 4.8` and `Claude Sonnet 4.6 / 4.5 / 4`: several models. A model that is `retired`, if
    only here and not at others, is not for sale here and left out.
    Long context: prompts of more than 200K tokens, charged whole. Only input and output are stated; that cache prices
    and batch prices rise likewise is prose, and not read. The first form names its models in prose.
    Prose only, not read: US-only inference at 1.1 times, web search at $10 per 1,000 searches, session hours.

History
    2025-11-19  dollars are no longer escaped as `\\$`.
    2026-02-05  long context has a column of models; 2026-02-07 fast mode, by prompt length until 2026-02-20.
    2026-03-13  long context surcharge for Sonnet 4.5 and 4 only, gone on 2026-03-30.
    2026-07-20  fast mode has a column of models. Claude Sonnet 5 stated $3 from 2026-09-01, taken back on 2026-08-11.
    2026-09     headings in small letters, `Cache hits and refreshes`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from collector.contract import Price, PriceSpec, Quote, QuotedOverride, SourceSpec, StatedQuote
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount
from collector.parse.doubt import Doubt
from collector.parse.grid import Page, in_one_line
from collector.parse.lengths import ranged
from collector.parse.markdown_table import page_of
from collector.parse.tables import (
    Row,
    Table,
    find,
    fitting,
    model_name,
    price_in,
    require_end,
    require_known,
    require_words,
)
from store.records import Document, Facts, Finding

UNIT, AFTER = "USD/1M_token", "/ MTok"


def _columns(**at: str) -> tuple[PriceSpec, ...]:
    return tuple(PriceSpec(meter=meter, at=heading, unit=UNIT, after=AFTER) for meter, heading in at.items())


_WRITES = {"cache_write": "5m Cache Writes", "cache_write_1h": "1h Cache Writes"}
STANDARD = tuple(
    _columns(input="Base Input Tokens", **_WRITES, cache_read=hits, output="Output Tokens")
    for hits in ("Cache Hits & Refreshes", "Cache hits and refreshes")
)
"""The headings of model pricing, as they have been."""
BATCH = _columns(input="Batch input", output="Batch output")
FAST = _columns(input="Input", output="Output")
FAST_SECTION = "Fast mode pricing"
LONG_SECTION = "Long context pricing"
LONG = "> 200K input tokens"
LONG_BY_METER = _columns(input=f"{LONG} Input", output=f"{LONG} Output")
LONG_TOKENS = 200_000

_NAME = re.compile(
    r"(?P<name>Claude [^()]+?)(?: \((?P<status>[^()]*)\))?"
    r"(?: (?P<when>through|starting) (?P<date>[A-Z][a-z]+ \d\d?, \d{4}))?"
)
_LONG_MODELS = re.compile(r"When using Claude (.+?) with the", re.DOTALL)
_FAST_MODELS = re.compile(r"Currently supported on (.+?):")
_LISTED = re.compile(r", or |, | or ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What a row says of one model."""

    model: str
    status: str
    since: datetime | None
    until: datetime | None
    prices: dict[str, Price]
    locator: str
    findings: tuple[Finding, ...]


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model and tier; of a model with dated prices, one with all of them.

    Units: USD per 1M tokens.
    Raises: SourceChanged if a table is missing or says another unit, or a row has no model.
    """
    page = page_of(document)
    require_words(page, spec.page.says, spec.id)
    standard, columns = _standard(page, spec.id)
    (batch,) = _one(find(page.grids, ["Model", *(price.at for price in BATCH)], spec.id), spec.id)
    require_end(page, batch, spec.page.ends, spec.id)
    if not standard.rows:
        raise SourceChanged(f"{spec.id}: the table of model pricing has no rows", code="empty")
    longer = _longer(page, spec)
    found = _quotes(_offers(standard, columns, spec), "", spec)
    quotes = [_lengthened(quote, longer.get(quote.model, {})) for quote in found]
    return [*quotes, *_quotes(_offers(batch, BATCH, spec), "batch", spec), *_fast(page, spec)]


def _standard(page: Page, source: str) -> tuple[Table, tuple[PriceSpec, ...]]:
    for columns in STANDARD:
        wanted = ["Model", *(price.at for price in columns)]
        tables = [table for number, grid in enumerate(page.grids, 1) if (table := fitting(grid, wanted, number))]
        if tables:
            return _one(tables, source)[0], columns
    find(page.grids, ["Model", *(price.at for price in STANDARD[0])], source)
    raise AssertionError("a table that was not found is found")


def _one(tables: list[Table], source: str) -> list[Table]:
    if len(tables) > 1:
        raise SourceChanged(f"{source}: {len(tables)} tables have the headings of one", code="anchor")
    return tables


def _offers(table: Table, columns: Sequence[PriceSpec], spec: SourceSpec) -> Iterator[_Offer]:
    """What a table says of each model that is for sale."""
    for row in table.rows:
        for offer in _in_row(row, _models(row.at("Model"), row.locator, spec), columns, spec):
            if not offer.status.startswith("retired"):
                yield offer


def _models(cell: str, locator: str, spec: SourceSpec) -> list[str]:
    """The names in a cell such as `Claude Opus 5 / Claude Opus 4.8` or `Claude Sonnet 4.6 / 4.5 / 4`."""
    try:
        names = model_name(cell, "Model")[0].split(" / ")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {locator}: {doubt}") from None
    family = names[0].rpartition(" ")[0]
    return [name if name.startswith("Claude ") else f"{family} {name}" for name in names]


def _in_row(row: Row, names: Sequence[str], columns: Sequence[PriceSpec], spec: SourceSpec) -> Iterator[_Offer]:
    doubts = [row.ragged] if row.ragged else []
    prices: dict[str, Price] = {}
    for column in columns if not row.ragged else ():
        try:
            prices[column.meter] = price_in(row.at(column.at), column, spec)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{column.at}: {error}"))
    for name in names:
        said = _NAME.fullmatch(name)
        if said is None:
            raise SourceChanged(f"{spec.id}: {row.locator}: the name of a Claude model wanted, there is {name!r}")
        day = _day(said["date"]) if said["date"] else None
        yield _Offer(
            model=said["name"],
            status=(said["status"] or "").strip(),
            since=day if said["when"] == "starting" else None,
            until=day + timedelta(days=1) if day and said["when"] == "through" else None,
            prices=prices,
            locator=row.locator,
            findings=tuple(doubt.finding(row.locator) for doubt in doubts),
        )


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%B %d, %Y").replace(tzinfo=UTC)


def _quotes(offers: Iterator[_Offer], tag: str, spec: SourceSpec) -> list[Quote]:
    """One quote per model; dated prices, or several of one model, are stated ones."""
    by_model: dict[str, list[_Offer]] = {}
    for offer in offers:
        by_model.setdefault(offer.model, []).append(offer)
    return [_quote(found, tag, spec) for found in by_model.values()]


def _quote(offers: Sequence[_Offer], tag: str, spec: SourceSpec) -> Quote:
    first = offers[0]
    dated = any(offer.since or offer.until for offer in offers)
    findings = tuple(finding for offer in offers for finding in offer.findings)
    if len(offers) > 1 and not all(offer.since or offer.until for offer in offers):
        findings += (Doubt("twice", f"{first.model} stands twice without dates").finding(first.locator),)
    return Quote(
        provider=spec.provider,
        model=first.model,
        tag=tag,
        prices={} if dated else first.prices,
        stated=tuple(StatedQuote(since=one.since, until=one.until, prices=one.prices) for one in offers)
        if dated
        else (),
        facts=Facts(status=first.status or None),
        locator=first.locator,
        findings=findings,
    )


def _fast(page: Page, spec: SourceSpec) -> list[Quote]:
    """Quotes of fast mode, if the page has a table of it."""
    headings = [price.at for price in FAST]
    for number, grid in enumerate(page.grids, 1):
        if FAST_SECTION in grid.titles:
            table = fitting(grid, headings, number) or find([grid], headings, spec.id)[0]
            require_known(table, ["Model", "Context window", *headings], spec.id)
            return _fast_quotes(table, spec)
    return []


def _fast_quotes(table: Table, spec: SourceSpec) -> list[Quote]:
    quotes: list[Quote] = []
    for row in table.rows:
        names = _models(row.at("Model"), row.locator, spec) if row.at("Model") else _in_prose(_FAST_MODELS, table, spec)
        above_tokens = ranged(row.at("Context window")).above_tokens
        found = _quotes(_in_row(row, names, FAST, spec), "fast", spec)
        if above_tokens is None:
            quotes += found
        else:
            longer = {quote.model: dict(quote.prices) for quote in found}
            quotes = [_lengthened(quote, longer.get(quote.model, {}), above_tokens) for quote in quotes]
    return quotes


def _longer(page: Page, spec: SourceSpec) -> dict[str, dict[str, Price]]:
    """Model -> its prices for long prompts, if the page has a table of them, in any of its three forms."""
    found: dict[str, dict[str, Price]] = {}
    names: list[str] = []
    for number, grid in enumerate(page.grids, 1):
        by_meter = fitting(grid, ["Model", *(price.at for price in LONG_BY_METER)], number)
        together = fitting(grid, [LONG], number)
        if LONG_SECTION in grid.titles and not by_meter and not together:
            find([grid], [LONG], spec.id)
        for row in by_meter.rows if by_meter else ():
            for offer in _in_row(row, _models(row.at("Model"), row.locator, spec), LONG_BY_METER, spec):
                found[offer.model] = offer.prices
        for row in together.rows if together else ():
            if row.at("Model"):
                names = _models(row.at("Model"), row.locator, spec)
            elif together and "model" not in together.headings:
                names = _in_prose(_LONG_MODELS, together, spec)
            meter, _, cell = in_one_line(row.at(LONG)).partition(": ")
            column = replace(FAST[0], meter=meter.lower(), at=LONG)
            try:
                price = price_in(cell, column, spec)
            except NotAnAmount as error:
                raise SourceChanged(f"{spec.id}: {row.locator}: {LONG}: {error}") from None
            if column.meter not in ("input", "output"):
                raise SourceChanged(f"{spec.id}: {row.locator}: input or output wanted, there is {meter!r}")
            for name in names:
                found.setdefault(name, {})[column.meter] = price
    return found


def _in_prose(sentence: re.Pattern[str], table: Table, spec: SourceSpec) -> list[str]:
    """The models that the words above a table name for it."""
    said = sentence.search(table.grid.above)
    if said is None:
        raise SourceChanged(f"{spec.id}: above table {table.number} the models that it is about wanted", code="says")
    return [f"Claude {name.removeprefix('Claude ')}" for name in _LISTED.split(said[1])]


def _lengthened(quote: Quote, prices: dict[str, Price], above_tokens: int = LONG_TOKENS) -> Quote:
    if not prices:
        return quote
    return replace(quote, overrides=(QuotedOverride(above_tokens=above_tokens, prices=prices),))
