"""Google: the price page of generative models on Vertex AI (Agent Platform).

What is read
    https://cloud.google.com/vertex-ai/generative-ai/pricing, a page for people of some fifty tables in five units. Of
    these: the tables of Gemini's tokens, under the titles Standard, Priority and Flex/Batch, whose headings say what
    each column is (`Price (/1M tokens) > 200K cached input tokens with Priority`); those of partners' and open models,
    `Model | Pricing`, whose cells say it line by line (`Cache Hit: $0.06 / million tokens`); and those of Claude, one
    for each region, lines under headings with the unit. USD per 1M tokens. A price in front of both Flex and Batch is
    an offer of each.

Oddities
    Models stand under their display names; `(Deprecated)` behind one is its status. `$0.25 (Global) $0.275
    (Non-global)*` is two offers. A Gemini model has a row of its own with nothing but its name. A table of Claude whose
    rows have too few cells, or two texts in one, is common: such rows are held, as is every line that is not understood
    (`(or $0.0003/page)`). What a batch costs beyond 200K tokens is not said. Older Gemini models, by characters or
    otherwise, embeddings, images, video, music, tuning, storage of caches and provisioned throughput are other tables
    and not read.

History
    2026-05     as described; 2026-07 the same headings in another reader's sample.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from collector.contract import Price, Quote, QuotedOverride, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.doubt import Doubt
from collector.parse.grid import Grid, fold, in_one_line
from collector.parse.html_table import page_of
from collector.parse.tables import MARKS, model_name
from store.records import Document, Facts

UNIT, LONG = "USD/1M_token", 200_000
TIERS = {"standard": ("",), "priority": ("priority",), "flex/batch": ("flex", "batch")}
"""Title of a section -> tags of the offers in its table."""
TYPES = {
    "input (text, image, video, audio)": ("input",),
    "input (text, image, video)": ("input",),
    "input (text, image)": ("input",),
    "1m input text tokens": ("input",),
    "input (audio)": ("input_audio",),
    "audio input": ("input_audio",),
    "1m input audio tokens": ("input_audio",),
    "1m input video/image tokens": ("input_video_token", "input_image_token"),
    "text output (response and reasoning)": ("output",),
    "1m output text tokens": ("output",),
    "1m output audio tokens": ("output_audio",),
    "image output": ("output_image_token",),
}
"""What a row of Gemini's tables is about -> meters."""
CACHED = {"input": "cache_read", "input_audio": "cache_read_audio"}
LINES = {
    "Input": "input",
    "Output": "output",
    "Cache Hit": "cache_read",
    "Cache Write": "cache_write",
    "5m Cache Write": "cache_write",
    "1h Cache Write": "cache_write_1h",
}
"""What a line of a cell is about -> meter."""
DEPRECATED = "Deprecated"

_COLUMN = re.compile(r"price\(/1mtokens\)(<=|>)200k(cached)?inputtokens(?:with(priority|flex/batch))?")
_CLAUDE = re.compile(r"price\(/1mtokens\)(=<|>)200kinputtokens")
_REGION = re.compile(r"(global)|[^()]+\(([a-z]+)\)|([a-z]+-[a-z]+[0-9]+)", re.IGNORECASE)
_UNIFORM = "Models with uniform pricing across all regions"
_LINE = re.compile(r"([^:]+): \$([0-9.]+)( / million tokens)?")
_PAIR = re.compile(r"\$([0-9.]+) \(Global\) \$([0-9.]+) \(Non-global\)\*?")


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model, tier and region.

    Units: USD per 1M tokens.
    Raises: SourceChanged if a section of prices has other headings, none is there, or an offer stands twice.
    """
    page = page_of(document)
    found = list(chain.from_iterable(_in_grid(grid, number, spec) for number, grid in enumerate(page.grids, 1)))
    read = {quote.locator.partition(" ")[0] for quote in found}
    for kind in ("gemini", "lines", "claude"):
        if kind not in read:
            raise SourceChanged(f"{spec.id}: a table of {kind} wanted, there is none with its headings", code="columns")
    offers = [(quote.model, quote.tag) for quote in found]
    if len(set(offers)) < len(offers):
        twice = next(offer for offer in offers if offers.count(offer) > 1)
        raise SourceChanged(f"{spec.id}: {' '.join(twice)} stands twice", code="anchor")
    return found


def _in_grid(grid: Grid, number: int, spec: SourceSpec) -> Iterator[Quote]:
    """The quotes of a table; none where it is none of those that are read."""
    head = [fold(cell) for cell in grid.rows[0]] if grid.rows else []
    title = grid.titles[-1] if grid.titles else ""
    if fold(title) in TIERS and head != ["feature", "pricing"]:  # grounding and other tools, in the same section
        yield from _gemini(grid, head, TIERS[fold(title)], f"gemini table {number}", spec)
    elif head == ["model", "pricing"]:
        for row in grid.rows[1:]:
            yield from _lines(row, "", f"lines table {number}", spec, unit_in_line=True)
    elif head[:1] == ["model"] and [_CLAUDE.fullmatch(cell) is not None for cell in head[1:]] == [True, True]:
        region = _REGION.fullmatch(title)
        if region is None and fold(title) != fold(_UNIFORM):
            raise SourceChanged(
                f"{spec.id}: a region wanted as the title of a table, there is {title!r}", code="anchor"
            )
        tag = next(filter(None, region.groups())).lower() if region else ""
        for row in grid.rows[1:]:
            yield from _lines(row, tag, f"claude table {number}", spec, unit_in_line=False)


def _gemini(grid: Grid, head: Sequence[str], tags: Sequence[str], where: str, spec: SourceSpec) -> Iterator[Quote]:
    """Quotes of a table with a row for each kind of token of each model."""
    columns = [_COLUMN.fullmatch(cell) for cell in head[2:]]
    tiers = {match[3] or "standard" for match in columns if match}
    if head[:2] != ["model", "type"] or None in columns or len(columns) not in (2, 4) or len(tiers) != 1:
        there = " | ".join(map(in_one_line, grid.rows[0] if grid.rows else ()))
        wanted = "Model | Type | Price (/1M tokens) <= 200K input tokens ..."
        raise SourceChanged(f"{spec.id}: columns wanted: {wanted}; there: {there}", code="columns")
    if (TIERS[tiers.pop()]) != tuple(tags):
        raise SourceChanged(f"{spec.id}: {where}: a title of another tier than its headings", code="anchor")
    long = [match[1] == ">" for match in columns if match]
    cached = [match[2] is not None for match in columns if match]
    models: dict[str, list[tuple[str, ...]]] = {}
    for row in grid.rows[1:]:
        if len(row) > 1:
            models.setdefault(in_one_line(row[0]), []).append(row)
    for model, rows in models.items():
        for region, texts in _by_region(rows):
            prices: dict[str, Price] = {}
            longer: dict[str, Price] = {}
            doubts: list[Doubt] = []
            for kind, cells in texts:
                meters = TYPES.get(kind.rstrip(MARKS).strip().casefold())
                if meters is None or len(cells) != len(columns):
                    doubts.append(Doubt("cells", f"{kind!r} is not understood, or has not {len(columns)} cells"))
                    continue
                for cell, is_long, is_cached in zip(cells, long, cached, strict=True):
                    for meter in meters:
                        name = CACHED.get(meter) if is_cached else meter
                        _put(longer if is_long else prices, name, cell, doubts, spec)
            yield from _offers(model, tags, region, prices, longer, doubts, where, spec)


def _by_region(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """(tag of a region, kind of token and cells of each row); one without a tag where all regions cost the same."""
    texts = [(in_one_line(row[1]), [in_one_line(cell) for cell in row[2:]]) for row in rows]
    if not any(_PAIR.fullmatch(cell) for _, cells in texts for cell in cells):
        yield "", texts
        return
    for group, region in ((1, "global"), (2, "regional")):
        yield region, [(kind, [_of_pair(cell, group) for cell in cells]) for kind, cells in texts]


def _of_pair(cell: str, group: int) -> str:
    pair = _PAIR.fullmatch(cell)
    return f"${pair[group]}" if pair else cell


def _put(prices: dict[str, Price], meter: str | None, cell: str, doubts: list[Doubt], spec: SourceSpec) -> None:
    """The price in a cell, unless it says that there is none."""
    if cell in spec.absent:
        return
    number = cell.removeprefix("$")
    try:
        read_amount(number)
    except NotAnAmount as error:
        doubts.append(Doubt("amount", str(error)))
        return
    if meter is None or number == cell:
        doubts.append(Doubt("amount", f"{cell!r} is not understood where it stands"))
    else:
        prices[meter] = Price(text=number, unit=UNIT)


def _lines(row: Sequence[str], region: str, where: str, spec: SourceSpec, *, unit_in_line: bool) -> Iterator[Quote]:
    """The offers of a row whose cells say line by line what they price: at once, and in batches."""
    name, cells = row[0], [cell for cell in row[1:] if in_one_line(cell) not in spec.absent]
    doubts = [] if len(row) == (2 if unit_in_line else 3) else [Doubt("cells", f"{len(row)} cells")]
    found: list[dict[str, Price]] = []
    for cell in cells:
        prices: dict[str, Price] = {}
        for line in cell.split("\n"):
            match = _LINE.fullmatch(line.strip())
            batch = match is not None and "Batch " in match[1]
            meter = LINES.get(match[1].replace("Batch ", "")) if match else None
            key = f"batch {meter}" if batch else meter
            if match is None or meter is None or key in prices or bool(match[3]) != unit_in_line:
                doubts.append(Doubt("amount", f"{line!r} is not understood"))
            else:
                prices[str(key)] = Price(text=match[2], unit=UNIT)
        found.append(prices)
    base, longer = (found[0] if found else {}), (found[1] if len(found) > 1 else {})
    at_once = _but(base, batch=False)
    yield from _offers(name, [""], region, at_once, _but(longer, batch=False), doubts, where, spec)
    in_batches = _but(base, batch=True)
    beyond = {meter: Price(text="", unit=UNIT) for meter in in_batches} if _changed(longer, base) else {}
    yield from _offers(name, ["batch"], region, in_batches, beyond, doubts if in_batches else [], where, spec)


def _but(prices: Mapping[str, Price], *, batch: bool) -> dict[str, Price]:
    """The prices at once, or those in batches."""
    return {
        meter.removeprefix("batch "): price for meter, price in prices.items() if meter.startswith("batch ") == batch
    }


def _changed(longer: Mapping[str, Price], base: Mapping[str, Price]) -> dict[str, Price]:
    """What costs otherwise beyond 200K tokens."""
    return {meter: price for meter, price in longer.items() if price != base.get(meter)}


def _offers(
    model: str,
    tags: Iterable[str],
    region: str,
    prices: Mapping[str, Price],
    longer: Mapping[str, Price],
    doubts: Sequence[Doubt],
    where: str,
    spec: SourceSpec,
) -> Iterator[Quote]:
    """An offer for each tag, unless it has neither a price nor a doubt."""
    if not prices and not doubts:
        return
    try:
        name, misnamed = model_name(model, "Model")
    except Doubt as doubt:
        raise SourceChanged(f"{spec.id}: {where}: {doubt}") from None
    found = [*doubts, *([misnamed] if misnamed else [])]
    named = name.removesuffix(f" ({DEPRECATED})")
    beyond = _changed(longer, prices)
    for tag in tags:
        yield Quote(
            provider=spec.provider,
            model=named,
            tag="/".join(filter(None, (region, tag))),
            prices=prices,
            overrides=(QuotedOverride(above_tokens=LONG, prices=beyond),) if beyond else (),
            facts=Facts(status=DEPRECATED if named != name else None),
            locator=where,
            findings=tuple(doubt.finding(where) for doubt in found),
        )
