"""SiliconFlow: the price page, a grid of loose texts.

What is read
    https://www.siliconflow.com/pricing: no table, but texts in the order of one. Behind the six words Model Name,
    Context Length, Input, Cached Input, Output, Actions come the models of a family: name, `1049K`, and `$` and a
    number, apart, for input, perhaps cached input, and output; then Details. `Prices shown are per 1 million tokens.`
    ends each family.

Oddities
    Of two numbers the second is the output, of three the middle one is cached input. Contexts are rounded to thousands,
    upwards too, and not read. The page may show each family several times, for screens of several widths. `Load More`
    hides the rest of a family: what it hides is not read. Images, video and speech are other grids.

History
    2026-05     as described.
"""

import re
from collections.abc import Iterator

from collector.contract import Price, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.doubt import Doubt
from collector.parse.grid import in_one_line
from collector.parse.html_table import page_of
from collector.parse.tables import model_name
from store.records import Document

HEAD = "Model Name Context Length Input Cached Input Output Actions"
ENDS, MORE, LAST = "Prices shown are per 1 million tokens.", "Load More", "Details"
METERS = {2: ("input", "output"), 3: ("input", "cache_read", "output")}
"""How many numbers a model has -> what they are."""
UNIT = "USD/1M_token"

_MODEL = re.compile(r"(?P<name>[^$]+?) [0-9]+K(?P<prices>(?: \$ ?[^$ ]+)*)")


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model.

    Units: USD per 1M tokens.
    Raises: SourceChanged if no grid has its headings, one does not end with its unit or has something else in it, or a
        model stands twice at different prices.
    """
    _, *families = in_one_line(page_of(document).words).split(HEAD)
    if not families:
        raise SourceChanged(f"{spec.id}: the words {HEAD!r} wanted, they are not there", code="columns")
    quotes: dict[str, Quote] = {}
    for number, family in enumerate(families, 1):
        for quote in _models(family, f"family {number}", spec):
            kept = quotes.setdefault(quote.model, quote)
            if kept.prices != quote.prices:
                raise SourceChanged(f"{spec.id}: {quote.model} stands twice, with other prices", code="anchor")
    if not quotes:
        raise SourceChanged(f"{spec.id}: models wanted, there is none", code="empty")
    return list(quotes.values())


def _models(family: str, where: str, spec: SourceSpec) -> Iterator[Quote]:
    listed, unit, _ = family.partition(ENDS)
    if not unit:
        raise SourceChanged(f"{spec.id}: {where}: {ENDS!r} wanted, there is {family[-80:]!r}", code="says")
    *rows, rest = listed.split(LAST)
    if rest.strip() not in ("", MORE):
        raise SourceChanged(
            f"{spec.id}: {where}: {LAST!r} wanted behind a model, there is {rest[:80]!r}", code="columns"
        )
    for place, row in enumerate(rows, 1):
        found = _MODEL.fullmatch(row.strip())
        if found is None:
            there = f"a name, a context and prices wanted, there is {row.strip()[:80]!r}"
            raise SourceChanged(f"{spec.id}: {where}: {there}", code="columns")
        yield _quote(found, f"{where} row {place}", spec)


def _quote(found: re.Match[str], locator: str, spec: SourceSpec) -> Quote:
    try:
        model, misnamed = model_name(found["name"], "Model Name")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {locator}: {doubt}") from None
    doubts = [misnamed] if misnamed else []
    numbers = found["prices"].replace("$", " ").split()
    meters = METERS.get(len(numbers), ())
    if not meters:
        doubts.append(Doubt("amount", f"{len(numbers)} prices, not two or three"))
    prices: dict[str, Price] = {}
    for meter, number in zip(meters, numbers, strict=False):
        try:
            read_amount(number)
            prices[meter] = Price(text=number, unit=UNIT)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{meter}: {error}"))
    return Quote(
        provider=spec.provider,
        model=model,
        prices=prices,
        locator=locator,
        findings=tuple(doubt.finding(locator) for doubt in doubts),
    )
