"""Google: the price page of the Gemini API.

What is read
    https://ai.google.dev/gemini-api/docs/pricing.md.txt, the Markdown copy that the page publishes. A section for each
    model: its ids below the title, then a table for each tier under Standard, Batch, Flex and Priority. The unit stands
    in the heading `Paid Tier, per 1M tokens in USD`; tables per image, per second or per song are passed over. Batch,
    flex and priority are offers of their own, tagged so.

Oddities
    One cell holds several prices, each with what it is for: `$1.25, prompts <= 200k tokens $2.50, prompts > 200k
    tokens`; `$0.30 (text / image / video) $1.00 (audio)`; `$0.75 through December 31, 2026. $1.50 starting January 1,
    2027.`, dates at midnight UTC for want of a zone; `$3.00 or $0.005/min (audio)` and `(images) Equivalent to $0.045
    per 0.5K image`, where what follows is the same price said otherwise. Words that are none of these hold the offer.
    Storage of caches, at a price per hour, is not read; nor are grounding, tools and the free tier.
    One section can name several ids: each is sold at its prices. A rendering that lost the titles of its tiers has
    their names in one line of links, in the order of its tables; where they are not as many, the offers are held.

History
    2025-10     a rendering without ids: refused. 2026-05 sections as today, priority tier.
    2026-09     dated prices of Gemini 3.6 to 3.8 Flash.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from collector.contract import Price, Quote, QuotedOverride, SourceSpec, StatedQuote
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.doubt import Doubt
from collector.parse.grid import Grid, in_one_line
from collector.parse.lengths import ranged
from collector.parse.markdown_table import page_of
from collector.parse.tables import Table, find, require_end
from store.records import Document

PAID, UNIT = "Paid Tier, per 1M tokens in USD", "USD/1M_token"
TIERS = {"standard": "", "batch": "batch", "flex": "flex", "priority": "priority"}
METERS = {
    "input price": "input",
    "input price (text, image, video)": "input",
    "text input price": "input",
    "image input price": "input_image_token",
    "audio input price": "input_audio",
    "video input price": "input_video_token",
    "output price": "output",
    "output price (including thinking tokens)": "output",
    "context caching price": "cache_read",
}
"""Title of a row -> meter of its text tokens."""
OTHERWISE = {
    ("input", "audio"): "input_audio",
    ("input", "image"): "input_image_token",
    ("input", "video"): "input_video_token",
    ("output", "audio"): "output_audio",
    ("output", "image"): "output_image_token",
    ("output", "video"): "output_video_token",
    ("cache_read", "audio"): "cache_read_audio",
    ("cache_read", "image"): "cache_read_image",
}
"""Meter of text and what its tokens are of -> meter."""
KINDS = {"text", "thinking", "audio", "image", "images", "video"}

_IDS = re.compile(r"^[*_\[`][*_\[`]*`?[a-z0-9.-]+`.*$", re.MULTILINE)
_ID = re.compile(r"`([a-z0-9.-]+)`")
_TABS = re.compile(r"^\[Standard\].*$", re.MULTILINE)
_TAB = re.compile(r"\[([A-Z][a-z]+)\]")
_AMOUNT = re.compile(r"\$([0-9.]+)([^$]*)")
_SAID = re.compile(
    r"(?:/ 1,000,000 tokens ?)?(?:\((?P<listed>[a-z ,/]+)\))?(?P<prompts>, prompts [<>]=? ?[0-9]+k(?: tokens?)?)?"
    r"(?P<when>through|starting)?(?: (?P<date>[A-Z][a-z]+ \d\d?, \d{4})\.?)?"
)
_AS_STANDARD = re.compile(r"Same as Standard(?:, Batch pricing not yet implemented)? (?=\$)")
_STORAGE = re.compile(r"/ 1,000,000 tokens per hour(?: \(storage price\))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """One price of a cell and what it is for."""

    meter: str
    above_tokens: int | None
    since: datetime | None
    until: datetime | None
    price: Price


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model id and tier.

    Units: USD per 1M tokens.
    Raises: SourceChanged if no table has its unit in its heading, a section names no id, or an offer stands twice.
    """
    page = page_of(document)
    tables = find(page.grids, ["Free Tier", PAID], spec.id)
    require_end(page, tables[-1], spec.page.ends, spec.id)
    quotes: list[Quote] = []
    sections: dict[str, list[Table]] = {}
    for table in tables:
        if table.grid.titles:
            sections.setdefault(_section(table.grid), []).append(table)
    for title, found in sections.items():
        quotes += _in_section(title, found, page.grids, spec)
    offers = [(quote.model, quote.tag) for quote in quotes]
    if len(set(offers)) < len(offers):
        twice = next(offer for offer in offers if offers.count(offer) > 1)
        raise SourceChanged(f"{spec.id}: {' '.join(twice)} stands twice", code="anchor")
    if not quotes:
        raise SourceChanged(f"{spec.id}: no section has prices", code="empty")
    return quotes


def _section(grid: Grid) -> str:
    """The title of the model that a table is about: the innermost that is no tier."""
    return next((title for title in reversed(grid.titles) if title.casefold() not in TIERS), grid.titles[-1])


def _in_section(title: str, tables: Sequence[Table], grids: Sequence[Grid], spec: SourceSpec) -> Iterator[Quote]:
    above = tables[0].grid.above
    listed = _IDS.findall(above)
    rows = [row for table in tables for row in table.rows]
    if not any(_meter(row.at("")) and in_one_line(row.at(PAID)) not in spec.absent for row in rows):
        return
    if not listed:
        raise SourceChanged(f"{spec.id}: the section {title!r} names no model id", code="anchor")
    ids = _ID.findall(listed[-1])
    tabs = _TABS.findall(above)
    named = [tab.casefold() for tab in _TAB.findall(tabs[-1]) if tab.casefold() in TIERS] if tabs else ["standard"]
    in_titles = [table.grid.titles[-1].casefold() for table in tables]
    doubts: list[Doubt] = []
    alike = [grid for grid in grids if grid.titles and _section(grid) == title]
    if all(tier in TIERS for tier in in_titles):
        named = in_titles
    elif not len(named) == len(alike) == len(tables):
        doubts.append(Doubt("tier", f"{title}: {len(alike)} tables for {', '.join(named)}"))
        named = [*named, *(f"table {number}" for number in range(len(named) + 1, len(tables) + 1))]
    for table, tier in zip(tables, named, strict=False):
        for model in ids:
            quote = _quote(table, model, TIERS.get(tier, tier), doubts, spec)
            if quote.prices or quote.stated or quote.findings:
                yield quote


def _meter(title: str) -> str | None:
    return METERS.get(in_one_line(title).rstrip("*").strip().casefold())


def _quote(table: Table, model: str, tag: str, doubts: Sequence[Doubt], spec: SourceSpec) -> Quote:
    said: list[_Said] = []
    found = list(doubts)
    for row in table.rows:
        meter, cell = _meter(row.at("")), in_one_line(row.at(PAID))
        if cell in spec.absent:
            continue
        try:
            in_cell = list(_prices(cell, meter or "input", spec))
        except NotAnAmount as error:
            if meter is None:
                continue  # of tools, tuning, storage, images
            found.append(Doubt("amount", f"{row.at('')}: {error}"))
            continue
        if meter is None:
            doubt = Doubt("row", f"{in_one_line(row.at(''))!r} is not known, and has a price of tokens")
            found += [doubt] if in_cell else []
            continue
        if len({replace(one, price=in_cell[0].price) for one in in_cell}) < len(in_cell):
            found.append(Doubt("amount", f"{row.at('')}: {cell!r} has two prices for one thing"))
        said += in_cell
    where = f"table {table.number}"
    quote = Quote(
        provider=spec.provider,
        model=model,
        tag=tag,
        prices={},
        locator=where,
        findings=tuple(doubt.finding(where) for doubt in found if said or found != list(doubts)),
    )
    periods = sorted({(one.since, one.until) for one in said if one.since or one.until}, key=str)
    if not periods:
        prices, overrides = _at(said, None, None)
        return replace(quote, prices=prices, overrides=overrides)
    stated = []
    for since, until in periods:
        prices, overrides = _at(said, since, until)
        stated.append(StatedQuote(since=since, until=until, prices=prices, overrides=overrides))
    return replace(quote, stated=tuple(stated))


def _at(
    said: Sequence[_Said], since: datetime | None, until: datetime | None
) -> tuple[dict[str, Price], tuple[QuotedOverride, ...]]:
    """The prices of one period, those without dates among them."""
    now = [one for one in said if (one.since, one.until) in ((since, until), (None, None))]
    prices = {one.meter: one.price for one in now if one.above_tokens is None}
    longer = sorted({one.above_tokens for one in now if one.above_tokens is not None})
    return prices, tuple(
        QuotedOverride(above_tokens=above, prices={one.meter: one.price for one in now if one.above_tokens == above})
        for above in longer
    )


def _prices(cell: str, meter: str, spec: SourceSpec) -> Iterator[_Said]:
    """The prices in a cell.

    Raises: NotAnAmount if anything in it is not understood.
    """
    if cell in spec.free:
        yield _Said(meter=meter, above_tokens=None, since=None, until=None, price=Price(text=cell, unit=UNIT))
        return
    cell = _AS_STANDARD.sub("", cell)
    parts = [(number, " ".join(words.split())) for number, words in _AMOUNT.findall(cell)]
    if not parts or not cell.startswith("$"):
        raise NotAnAmount(f"{cell!r} does not begin with a price")
    place = 0
    while place < len(parts):
        number, words = parts[place]
        place += 1
        if _STORAGE.fullmatch(words):
            continue
        if words == "or" and place < len(parts) and (minute := re.fullmatch(r"/min (\(.*\))", parts[place][1])):
            words, place = minute[1], place + 1
        same = re.fullmatch(r"(\(.*\)),? equivalent to", words, re.IGNORECASE)
        if same is not None:
            words, place = same[1], len(parts)
        elif (
            words == "(" and place < len(parts) and re.fullmatch(r"per (image|second|frame|minute)\)", parts[place][1])
        ):
            words, place = "", place + 1
        yield from _said(number, words, meter)


def _said(number: str, words: str, meter: str) -> Iterator[_Said]:
    found = _SAID.fullmatch(words)
    if found is None or bool(found["when"]) != bool(found["date"]):
        raise NotAnAmount(f"${number} {words!r} is not understood")
    read_amount(number)
    above_tokens = ranged(found["prompts"]).above_tokens if found["prompts"] else None
    if (above_tokens is None) == (">" in (found["prompts"] or "")):
        raise NotAnAmount(f"${number} {words!r} is not understood")
    day = datetime.strptime(found["date"], "%B %d, %Y").replace(tzinfo=UTC) if found["date"] else None
    for one in _meters(found["listed"], meter):
        yield _Said(
            meter=one,
            above_tokens=above_tokens,
            since=day if found["when"] == "starting" else None,
            until=day + timedelta(days=1) if day and found["when"] == "through" else None,
            price=Price(text=number, unit=UNIT),
        )


def _meters(listed: str | None, meter: str) -> list[str]:
    """The meters of a list such as `text / image / video`: where text is in it, its meter covers the others."""
    if listed is None:
        return [meter]
    kinds = {kind.strip() for kind in re.split(r"/|,| and ", listed)}
    if not kinds <= KINDS:
        raise NotAnAmount(f"tokens of {listed!r} are not known")
    if "text" in kinds:
        return [meter]
    meters = [OTHERWISE.get((meter, kind.removesuffix("s"))) for kind in sorted(kinds)]
    if None in meters:
        raise NotAnAmount(f"no meter for {meter} of {listed}")
    return [one for one in meters if one is not None]
