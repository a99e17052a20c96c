"""OpenAI: the Markdown form of the price page of its documentation.

What is read
    https://developers.openai.com/api/docs/pricing.md (platform.openai.com before). Text tokens in USD per million,
    which the page says above its tables (`Prices per 1M tokens.`), a table for each tier: standard, batch, flex and
    priority, lately also called fast. Every tier but standard is an offer of its own, tagged so.
    Today's form is a table under a title such as `Standard pricing data`, with columns for short and long context.
    Before that it was a component, `<TextTokenPricingTables tier="standard" rows={[...]} />`, whose rows have no
    headings: of five values (name, input, cached input, cache writes, output) or of four, without cache writes.

Oddities
    Values are numbers without a sign, `"-"`, `""` or null for no such meter. A name may end in `(<272K context
    length)`: what it costs above is left out of the old form, so unknown, and stands in columns of the new one; there
    the threshold is in a sentence. Some exports of the page have lost their tables (2026-02 to 2026-05): refused.
    Regional processing (+10 %) is prose, fine-tuning and tools are other tables: not read. A plain client is now and
    then given a challenge page, which fails as one.

History
    2026-02     component without rows; 2026-07-06 rows of text models; 2026-07 cache writes.
    2026-08     tables in Markdown, with long context.
"""

import re
from collections.abc import Iterator, Sequence

from collector.contract import Price, Prices, PriceSpec, Quote, QuotedOverride, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, Number
from collector.parse.doubt import Doubt
from collector.parse.grid import Grid, fold
from collector.parse.lengths import ranged
from collector.parse.literals import Literal, attributes
from collector.parse.markdown_table import lines_of, page_of
from collector.parse.tables import Row, fitting, model_name, price_in, require_end, require_known, require_words
from store.records import Document, Finding

UNIT, UNIT_SAID = "USD/1M_token", "Prices per 1M tokens."
TIERS = {"standard": "", "batch": "batch", "flex": "flex", "priority": "priority", "fast": "priority"}
"""What the page calls a tier -> tag; `fast` is the newer name of priority processing."""
COMPONENT = "TextTokenPricingTables"
IN_ROW = {5: ("input", "cache_read", "cache_write", "output"), 4: ("input", "cache_read", "output")}
"""Values of a row -> the meters behind its name."""
SECTION = " pricing data"
THRESHOLD = re.compile(r"Long context: >\s*[0-9]+\s*K input tokens", re.IGNORECASE)


def _columns(length: str) -> tuple[PriceSpec, ...]:
    named = {"input": "input", "cache_read": "cached input", "cache_write": "cache writes", "output": "output"}
    return tuple(PriceSpec(meter=meter, at=f"{length} context {name}", unit=UNIT) for meter, name in named.items())


SHORT, LONG = _columns("Short"), _columns("Long")


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model and tier.

    Units: USD per 1M tokens.
    Raises: SourceChanged if the page has no tables in either form, one says another unit, or a row is no row of prices.
    """
    text = "\n".join(lines_of(document))
    quotes = list(_in_components(text, spec)) or list(_in_tables(document, spec))
    if not quotes:
        raise SourceChanged(f"{spec.id}: the tables have no rows", code="empty")
    offers = [(quote.model, quote.tag) for quote in quotes]
    if len(set(offers)) < len(offers):
        twice = next(offer for offer in offers if offers.count(offer) > 1)
        raise SourceChanged(f"{spec.id}: {' '.join(twice)} stands twice", code="anchor")
    return quotes


def _in_components(text: str, spec: SourceSpec) -> Iterator[Quote]:
    """The quotes of the older form."""
    before, _, first = text.partition(f"<{COMPONENT}")
    if not first:
        return
    if fold(UNIT_SAID) not in fold(before):
        raise SourceChanged(f"{spec.id}: above the first table {UNIT_SAID!r} wanted", code="says")
    for number, found in enumerate(attributes(text, COMPONENT, spec.id), 1):
        tier, rows = found.get("tier"), found.get("rows")
        if tier not in TIERS or not isinstance(rows, list) or not rows:
            raise SourceChanged(f"{spec.id}: <{COMPONENT}> {number}: a known tier and rows wanted, there is {tier!r}")
        for place, row in enumerate(rows, 1):
            yield _in_list(row, TIERS[str(tier)], f"{tier} row {place}", spec)
    if fold(spec.page.ends) not in fold(text.rpartition(f"<{COMPONENT}")[2]):
        raise SourceChanged(f"{spec.id}: behind the last table {spec.page.ends!r} wanted", code="truncated")


def _in_list(row: Literal, tag: str, locator: str, spec: SourceSpec) -> Quote:
    meters = IN_ROW.get(len(row)) if isinstance(row, list) else None
    if not isinstance(row, list) or meters is None or not isinstance(row[0], str):
        raise SourceChanged(f"{spec.id}: {locator}: a name and three or four prices wanted, there is {row!r}")
    prices: dict[str, Price] = {}
    findings: list[Finding] = []
    for meter, value in zip(meters, row[1:], strict=True):
        if isinstance(value, Number):
            prices[meter] = Price(text=value.text, unit=UNIT)
        elif value not in (None, "-", ""):
            findings.append(Doubt("amount", f"{meter} is {value!r}").finding(locator))
    named = ranged(row[0])
    return Quote(
        provider=spec.provider,
        model=named.text,
        tag=tag,
        prices=prices,
        overrides=_unknown_above(named.up_to_tokens, prices),
        locator=locator,
        findings=tuple(findings),
    )


def _unknown_above(up_to_tokens: int | None, prices: Prices) -> tuple[QuotedOverride, ...]:
    """Of a name with a longest prompt: what is beyond it, of which the page says nothing."""
    if up_to_tokens is None:
        return ()
    return (QuotedOverride(above_tokens=up_to_tokens, prices=dict.fromkeys(prices, Price(text="", unit=UNIT))),)


def _in_tables(document: Document, spec: SourceSpec) -> Iterator[Quote]:
    """The quotes of today's form."""
    page = page_of(document)
    require_words(page, [UNIT_SAID], spec.id)
    said = THRESHOLD.search(page.words)
    above_tokens = ranged(said[0].partition(":")[2]).above_tokens if said else None
    last = None
    for number, grid in enumerate(page.grids, 1):
        tier = _tier(grid)
        table = fitting(grid, ["Model", *(price.at for price in SHORT)], number) if tier is not None else None
        if table is not None and tier is not None:
            last = table
            require_known(table, ["Model", *(price.at for price in (*SHORT, *LONG))], spec.id)
            for row in table.rows:
                yield _in_row(row, tier, above_tokens, spec)
    if last is None:
        wanted = " | ".join(["Model", *(price.at for price in SHORT)])
        raise SourceChanged(f"{spec.id}: no table of text tokens: columns wanted: {wanted}", code="columns")
    require_end(page, last, spec.page.ends, spec.id)


def _tier(grid: Grid) -> str | None:
    """The tag of the tier whose data a table has; None for another table."""
    title = grid.titles[-1].casefold() if grid.titles else ""
    return TIERS.get(title.removesuffix(SECTION)) if title.endswith(SECTION) else None


def _in_row(row: Row, tag: str, above_tokens: int | None, spec: SourceSpec) -> Quote:
    try:
        model, misnamed = model_name(row.at("Model"), "Model")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {row.locator}: {doubt}") from None
    doubts = [doubt for doubt in (misnamed, row.ragged) if doubt]
    short = {} if row.ragged else _prices(row, SHORT, doubts, spec)
    long = {} if row.ragged else _prices(row, LONG, doubts, spec)
    if long and above_tokens is None:
        doubts.append(Doubt("tier", "prices of long context, and no word about how long that is"))
    named = ranged(model)
    overrides = (QuotedOverride(above_tokens=above_tokens, prices=long),) if long and above_tokens is not None else ()
    return Quote(
        provider=spec.provider,
        model=named.text,
        tag=tag,
        prices=short,
        overrides=overrides or _unknown_above(named.up_to_tokens, short),
        locator=row.locator,
        findings=tuple(doubt.finding(row.locator) for doubt in doubts),
    )


def _prices(row: Row, columns: Sequence[PriceSpec], doubts: list[Doubt], spec: SourceSpec) -> dict[str, Price]:
    """The prices of a row; what cannot be read is added to `doubts`, `-` is no such meter."""
    prices: dict[str, Price] = {}
    for column in columns:
        try:
            if row.at(column.at) not in ("-", ""):
                prices[column.meter] = price_in(row.at(column.at), column, spec)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{column.at}: {error}"))
    return prices
