"""What the families of tables share: columns are found by their complete headings, rows become quotes.

A column that is called something else tomorrow (per 1K where it was per 1M) is not found, and the page is refused; so
is one that no longer says beside a table what its numbers are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from collector.contract import Price, PriceSpec, Quote, QuotedOverride, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import SIGNS, NotAnAmount, money
from collector.parse.doubt import Doubt
from collector.parse.facts import COUNTS, LISTS, facts_of
from collector.parse.grid import Grid, Page, fold, in_one_line
from collector.parse.lengths import ranged, tokens_of
from collector.parse.rows import name_of
from store.units import unit

HEADING_ROWS = 3
"""The headings stand in one of the first rows of a table."""
MARKS = "*†‡§"
"""Footnote marks at the end of a name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table whose columns are known."""

    cells: Mapping[str, str]
    """By folded heading."""
    locator: str
    """`table 2 row 3`."""
    ragged: Doubt | None
    """Its cells are too few or too many, so that any may stand under any heading: no price is read from it."""

    def at(self, heading: str) -> str:
        """The cell under a heading, in its lines; empty where the row ends before it."""
        return self.cells.get(fold(heading), "")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that has all the headings that are wanted, each once."""

    number: int
    """Its place on the page, from 1."""
    grid: Grid
    headings: tuple[str, ...]
    """Folded, in the order of the columns."""
    rows: tuple[Row, ...]


def quotes(page: Page, spec: SourceSpec, source: str) -> list[Quote]:
    """Quotes as published, one per row and variant of every table that has all the configured headings.

    Units: as `spec` names them; nothing is converted here.
    Raises: SourceChanged if there is no table (`anchor`), none with all headings (`columns`), several with all of
        them and others that differ, where no sections are named (`anchor`), an offer in two tables (`anchor`), or if
        the page does not say what it must (`says`) or has not its end (`truncated`).
    """
    require_words(page, spec.page.says, source)
    wanted = _wanted(spec)
    turned = [grid.turned() for grid in page.grids] if spec.page.turned else page.grids
    tables = [table for table in find(turned, wanted, source) if _tag(table, spec) is not None]
    if not tables:
        raise SourceChanged(f"{source}: sections wanted: {' | '.join(spec.page.sections)}", code="anchor")
    if len({table.headings for table in tables}) > 1 and not spec.page.sections:
        raise SourceChanged(f"{source}: {len(tables)} different tables have the headings", code="anchor")
    for table in tables:
        require_above(table, spec.page.above, source)
    require_end(page, tables[-1], spec.page.ends, source)
    by_table = [_joined(_quotes(table, spec, source), spec) for table in tables]
    offers = Counter(offer for quotes in by_table for offer in {_offer(quote) for quote in quotes})
    twice = [model for (_, model, _), times in offers.items() if times > 1]
    if twice:
        raise SourceChanged(f"{source}: {twice[0]!r} stands in two tables", code="anchor")
    if not offers:
        raise SourceChanged(f"{source}: the table has no rows", code="empty")
    return [quote for quotes in by_table for quote in quotes]


def find(grids: Sequence[Grid], wanted: Sequence[str], source: str) -> list[Table]:
    """The tables that have every heading that is wanted, each once.

    Raises: SourceChanged if there is none, with the headings of the table that comes nearest.
    """
    found = [fitting(grid, wanted, number) for number, grid in enumerate(grids, 1)]
    tables = [table for table in found if table is not None]
    if not tables:
        raise _not_found(source, wanted, grids)
    return tables


def fitting(grid: Grid, wanted: Sequence[str], number: int) -> Table | None:
    """The table of a grid, if one of its first rows has every heading that is wanted, each once."""
    for first, row in enumerate(grid.rows[:HEADING_ROWS]):
        headings = tuple(map(fold, row))
        if all(headings.count(fold(heading)) == 1 for heading in wanted):
            rows = [
                Row(dict(zip(headings, cells, strict=False)), f"table {number} row {place}", _ragged(cells, headings))
                for place, cells in enumerate(grid.rows[first + 1 :], first + 2)
                if not _says_nothing(cells, headings)
            ]
            return Table(number, grid, headings, tuple(rows))
    return None


def require_words(page: Page, says: Iterable[str], source: str) -> None:
    """Raises: SourceChanged if words are not on the page, outside its tables."""
    _require(page.words, says, f"{source}: the page wanted to say", "says")


def require_above(table: Table, says: Iterable[str], source: str) -> None:
    """Raises: SourceChanged if words do not stand right above a table."""
    _require(table.grid.above, says, f"{source}: above table {table.number} wanted", "says")


def require_end(page: Page, last: Table, ends: str, source: str) -> None:
    """Raises: SourceChanged if words do not stand behind the last table that is read."""
    behind = "\n".join([*(grid.above for grid in page.grids[last.number :]), page.below])
    _require(behind, [ends] if ends else [], f"{source}: behind table {last.number} wanted", "truncated")


def require_known(table: Table, known: Iterable[str], source: str) -> None:
    """Raises: SourceChanged if a table has a column that is not known: it may be one that had another heading."""
    named = list(known)
    folded = {fold(heading) for heading in named}
    strange = [
        cell for row in table.grid.rows[:HEADING_ROWS] if tuple(map(fold, row)) == table.headings for cell in row
    ]
    for cell in strange:
        if fold(cell) not in folded:
            wanted = f"columns wanted: {' | '.join(named)}; there: {in_one_line(cell)}"
            raise SourceChanged(f"{source}: table {table.number}: {wanted}", code="columns")


def _require(there: str, says: Iterable[str], what: str, code: str) -> None:
    folded = fold(there)
    for words in says:
        if fold(words) not in folded:
            raise SourceChanged(f"{what} {words!r}, there is {in_one_line(there)[-120:]!r}", code=code)


def model_name(text: str, what: str) -> tuple[str, Doubt | None]:
    """The name in a cell, without the marks of footnotes, and a doubt where it cannot be shown.

    Raises: Doubt if there is none.
    """
    return name_of(in_one_line(text).rstrip(f"{MARKS} "), what)


def price_in(text: str, price: PriceSpec, spec: SourceSpec) -> Price:
    """A declared word as it is, an empty cell as not said, and else the number without its currency sign and unit.

    Raises: NotAnAmount if it is neither, or without the words that must stand behind it.
    """
    text = in_one_line(text)
    if not text or text in (*spec.absent, *spec.free, *spec.varies, *spec.unknown):
        return Price(text=text, unit=price.unit)
    if price.part is not None:
        which, parts = price.part[0], [part.strip() for part in text.split("/")]
        if len(parts) != price.part[1]:
            raise NotAnAmount(f"{text!r} has {len(parts)} parts, not {price.part[1]}")
        text = parts[which - 1]
    number = text
    if price.after:
        number = text.removesuffix(price.after).rstrip()
        if number == text:
            raise NotAnAmount(f"{price.after!r} does not stand behind {text!r}")
    cents = "cent/" in price.unit
    return Price(text=money(number, "" if cents else SIGNS.get(unit(price.unit).currency, "")), unit=price.unit)


def _wanted(spec: SourceSpec) -> list[str]:
    """All the headings that a table must have, as configured."""
    prices = (*spec.prices, *(price for variant in spec.variants for price in variant.prices))
    names = [heading for heading in (spec.model, spec.provider_at, spec.tag_at) if heading]
    return list(
        dict.fromkeys([*names, *(price.at for price in prices), *spec.facts.values(), *spec.require, *spec.skip])
    )


def _tag(table: Table, spec: SourceSpec) -> str | None:
    """The tag of the section that a table stands in; None where that section is not read."""
    if not spec.page.sections:
        return ""
    tags = {fold(title): tag for title, tag in spec.page.sections.items()}
    return next((tags[fold(title)] for title in reversed(table.grid.titles) if fold(title) in tags), None)


def _says_nothing(cells: tuple[str, ...], headings: tuple[str, ...]) -> bool:
    """An empty row, a title that spans all columns, or the headings once more."""
    return not any(cells) or (len(cells) > 1 and len(set(cells)) == 1) or tuple(map(fold, cells)) == headings


def _ragged(cells: tuple[str, ...], headings: tuple[str, ...]) -> Doubt | None:
    if len(cells) == len(headings):
        return None
    return Doubt("cells", f"{len(cells)} cells under {len(headings)} headings")


def _not_found(source: str, wanted: Sequence[str], grids: Sequence[Grid]) -> SourceChanged:
    """What was wanted, and the headings of the table that comes nearest."""
    if not grids:
        return SourceChanged(
            f"{source}: a table with headings {', '.join(wanted)} wanted, no table there", code="anchor"
        )
    folded = {fold(heading) for heading in wanted}
    heads = [row for grid in grids for row in grid.rows[:HEADING_ROWS]]
    nearest = max(heads, key=lambda row: len(folded & set(map(fold, row))), default=())
    lacking = [heading for heading in wanted if list(map(fold, nearest)).count(fold(heading)) != 1]
    there = " | ".join(map(in_one_line, nearest))
    return SourceChanged(f"{source}: columns wanted once each: {' | '.join(lacking)}; there: {there}", code="columns")


def _quotes(table: Table, spec: SourceSpec, source: str) -> Iterator[Quote]:
    """The quotes of each row: one for each name in it, and of that one for each variant that it prices."""
    section = _tag(table, spec) or ""
    for row in table.rows:
        if any(in_one_line(row.at(heading)) in values for heading, values in spec.skip.items()):
            continue
        named = row.at(spec.model) if spec.model else spec.page.model_is
        try:
            for name in named.split("\n") if spec.page.by_line else [named]:
                yield _quote(row, name, section, spec.prices, spec)
                for variant in spec.variants:
                    quote = _quote(row, name, variant.tag, variant.prices, spec)
                    offered = any(price.text and price.text not in spec.absent for price in quote.prices.values())
                    if offered or any(finding.rule == "amount" for finding in quote.findings):
                        yield quote
        except Doubt as doubt:
            raise SourceChanged(f"{source}: {row.locator}: {doubt}") from None


def _quote(row: Row, name: str, tag: str, specs: tuple[PriceSpec, ...], spec: SourceSpec) -> Quote:
    """The quote of one row; of a ragged one no price is read.

    Raises: Doubt if the row has no name; any other doubt is a finding on the quote.
    """
    model, misnamed = model_name(name, spec.model)
    doubts = [doubt for doubt in (misnamed, row.ragged) if doubt]
    provider = spec.provider
    if spec.provider_at:
        provider, misnamed = name_of(in_one_line(row.at(spec.provider_at)), spec.provider_at)
        doubts += [misnamed] if misnamed else []
    if spec.tag_at and row.at(spec.tag_at):
        tag, misnamed = name_of(in_one_line(row.at(spec.tag_at)), spec.tag_at)
        doubts += [misnamed] if misnamed else []
    doubts += [
        Doubt("require", f"{heading!r} is {row.at(heading)!r}, not {' or '.join(values)}")
        for heading, values in spec.require.items()
        if in_one_line(row.at(heading)) not in values
    ]
    prices: dict[str, Price] = {}
    for price in specs if not row.ragged else ():
        try:
            prices[price.meter] = price_in(row.at(price.at), price, spec)
        except NotAnAmount as error:
            doubts.append(Doubt("amount", f"{price.at}: {error}"))
    facts, notes = facts_of({fact: _fact(fact, row.at(at)) for fact, at in spec.facts.items()}, row.locator)
    return Quote(
        provider=provider,
        model=model,
        tag=tag,
        prices=prices,
        facts=facts,
        locator=row.locator,
        findings=(*(doubt.finding(row.locator) for doubt in doubts), *notes),
    )


def _fact(name: str, cell: str) -> object:
    """What a cell states about a fact, in the type of that fact; None where it is empty."""
    text = in_one_line(cell)
    if name in COUNTS:
        return tokens_of(text) or text or None
    if name in LISTS and text:
        return [part.strip() for part in text.split(",")]
    return text or None


def _joined(quotes: Iterable[Quote], spec: SourceSpec) -> list[Quote]:
    """The quotes of a table, those of longer prompts as conditions of the others."""
    return joined(quotes) if spec.page.ranges else list(quotes)


def joined(quotes: Iterable[Quote]) -> list[Quote]:
    """Quotes whose names end with the prompts that they are for, as one with conditions for each model.

    A model of which only the prices of longer prompts are stated is held.
    """
    found: dict[tuple[str, str, str], Quote] = {}
    for quote in quotes:
        named = ranged(quote.model)
        offer = (quote.provider, named.text, quote.tag)
        before = found.get(offer)
        if named.above_tokens is None and before is None:
            found[offer] = replace(quote, model=named.text)
        elif named.above_tokens is None or before is None:
            why = "stands twice" if before is not None else "has prices of long prompts only"
            doubt = Doubt("tier", f"{named.text} {why}")
            held = replace(before or quote, model=named.text, findings=(*quote.findings, doubt.finding(quote.locator)))
            found[offer] = held
        else:
            longer = QuotedOverride(above_tokens=named.above_tokens, prices=quote.prices)
            found[offer] = replace(
                before, overrides=(*before.overrides, longer), findings=(*before.findings, *quote.findings)
            )
    return list(found.values())


def _offer(quote: Quote) -> tuple[str, str, str]:
    return quote.provider, quote.model, quote.tag
