"""DeepSeek: the price page of its documentation, in USD (`deepseek`) and in CNY (`deepseek_cn`).

What is read
    https://api-docs.deepseek.com/quick_start/pricing and its sister under /zh-cn/, HTML; a Markdown rendering of either
    is read alike. One table in which a model has a column: MODEL, CONTEXT LENGTH, MAX OUTPUT, and rows for a million
    tokens of input on a cache hit, on a cache miss, and of output. The unit stands in the title of each row, the
    currency in each cell: `$0.14`, `0.05元`.

Oddities
    A discount is printed as `$0.435 (75% off)` beside the struck-out list price: the price in force is read, and
    0.75 is kept as the share already taken off. Footnote numbers stick to names and titles, as do `(1)` in Markdown.
    Since 2026-08-17 a row has an OFF-PEAK and a PEAK price: off-peak is the price, peak a condition with the hours that
    a footnote states, in UTC or in Beijing time. The page does not say which days are peak days until that footnote
    names them; then they are Monday to Friday or not understood, and refused. Holidays are not read: peak prices are
    stated for some days on which they are not charged; where the footnote excepts them, that is noted.
    Names are aliases: what stands behind `deepseek-v4-flash` changes with MODEL VERSION. Where that row gives another
    name, the prices are quoted twice: of the alias, and of the alias tagged with the version, which ends with it. So
    the alias keeps one history, and the version meets what other sources state of it by name.

Dates
    A second table may announce prices, from an instant that the words above it state: those are stated prices, with
    today's until then. Where words say until when a model is discounted, the list price is a stated one from then on:
    the one that the discount was taken off, which the page has struck out beside it. The minute named (15:59 UTC, so
    midnight in Beijing) is the last one; a discount that is still shown after its end is still given.

History
    2026-05     75 % off for v4-pro.
    2026-07-31  MODEL VERSION has names with a date, DeepSeek-V4-Flash-0731.
    2026-08-13  announces higher and peak prices for 08-16 16:00 UTC, in a second table; 2026-08-17 has them: rows
                OFF-PEAK and PEAK under each title.
    2026-08-23  Monday to Friday; in Chinese the days stand before the hours. 2026-09 except on public holidays; in
                Chinese the hours are named first, `... 为高峰时段`. Both as quoted by others: not recorded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from collector.contract import Price, Quote, QuotedOverride, SourceSpec, StatedQuote
from collector.decode import text_of
from collector.errors import SourceChanged
from collector.parse import html_table, markdown_table
from collector.parse.amounts import NotAnAmount, money
from collector.parse.doubt import note
from collector.parse.grid import Grid, Page, fold, in_one_line
from collector.parse.lengths import tokens_of
from collector.parse.tables import require_words
from store.records import Document, Facts

METERS = ("cache_read", "input", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tongue:
    """What the page says in one language; titles are compared without spaces and case."""

    unit: str
    sign: str
    mark: str
    """Behind the number."""
    model: str
    version: str
    context: str
    longest: str
    group: str
    """In front of the rows of prices."""
    titles: Mapping[str, str]
    """Title of a row of prices -> meter."""
    usual: str
    peak: str
    hours: re.Pattern[str]
    """Words before the hours, start and end of two windows, words behind them."""
    tz: str
    takes_effect: re.Pattern[str]
    """Says from when on the prices of a second table are charged."""
    written: str
    """How its groups write an instant, joined by spaces."""


_CLOCK = r"\s*(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})"
TONGUES = (
    _Tongue(
        unit="USD/1M_token",
        sign="$",
        mark="",
        model="model",
        version="modelversion",
        context="contextlength",
        longest="maxoutput",
        group="pricing",
        titles={
            "1minputtokens(cachehit)": "cache_read",
            "1minputtokens(cachemiss)": "input",
            "1moutputtokens": "output",
        },
        usual="off-peak",
        peak="peak",
        hours=re.compile(rf"Peak hours are([^.0-9]*){_CLOCK} and{_CLOCK} UTC([^.]*)\."),
        tz="UTC",
        takes_effect=re.compile(r"new prices take effect at (\d{1,2}:\d{2}) UTC on ([A-Z][a-z]+) (\d{1,2}), (\d{4})"),
        written="%H:%M %B %d %Y",
    ),
    _Tongue(
        unit="CNY/1M_token",
        sign="",
        mark="元",
        model="模型",
        version="模型版本",
        context="上下文长度",
        longest="输出长度",
        group="价格",
        titles={
            "百万tokens输入（缓存命中）": "cache_read",
            "百万tokens输入（缓存未命中）": "input",
            "百万tokens输出": "output",
        },
        usual="空闲时段",
        peak="高峰时段",
        hours=re.compile(
            rf"(?:高峰时段为北京时间|北京时间(?=[^。]*为高峰时段))([^。0-9]*){_CLOCK}、{_CLOCK}([^。]*)。"
        ),
        tz="Asia/Shanghai",
        takes_effect=re.compile(
            r"新价格将于北京时间\s*(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日\s*(\d{1,2}:\d{2})"
        ),
        written="%Y %m %d %H:%M",
    ),
)
WORKDAYS = re.compile(r"Monday (?:through|to) Friday|周一至周五")
_OF_DAYS = re.compile(r"day|week|周|工作日|假")
"""A footnote about hours that has one of these is about days, too."""
HOLIDAYS = re.compile(r"holiday|节假日", re.IGNORECASE)

_NOTE = re.compile(r"(?<=\S)\s*\(\d\)$")
_VERSION = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)
"""A version that is a name; `DeepSeek-V3.2 (Non-thinking Mode)` is one and more."""
_OFF_UNTIL = re.compile(
    r"The (?P<model>\S+) model is currently offered at a (?P<percent>\d{1,2})% discount, (?:extended )?until"
    r" (?P<until>\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d{2}) UTC"
)
_OFF = re.compile(r"(?P<price>\S+)\s*\((?P<percent>\d{1,2})% off\s*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hours:
    """When prices are at their peak; nothing where they never are."""

    windows: tuple[tuple[int, int], ...] = ()
    """Start and end, in minutes of the day."""
    days: tuple[int, ...] = ()
    """Weekdays, Monday 1; empty for all of them."""
    holidays: bool = False
    """Whether the page excepts public holidays."""


@dataclass(slots=True)
class _Column:
    """What the table says of one model."""

    model: str
    usual: dict[str, Price] = field(default_factory=dict)
    peak: dict[str, Price] = field(default_factory=dict)
    discounts: set[str] = field(default_factory=set)
    version: str = ""
    """What stands behind the model, where that is another name."""
    context_length: int | None = None
    max_output_tokens: int | None = None
    stated: list[StatedQuote] = field(default_factory=list)
    """Prices of the future, where the page announces any."""


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model and one per version that it stands for, with peak hours and announcements.

    Units: USD or CNY per 1M tokens, as the page has them.
    Options: `tag`, where the page is of one of several offers.
    Raises: SourceChanged if there is no such table in either language, a row of prices is missing or says another
        unit, a cell is no price of that currency, or there are peak prices without hours that are understood.
    """
    is_markup = text_of(document)[:4096].lstrip().startswith("<")
    page = html_table.page_of(document) if is_markup else markdown_table.page_of(document)
    require_words(page, spec.page.says, spec.id)
    grid, tongue = _table(page, spec)
    if fold(spec.page.ends) not in fold("\n".join([*(other.above for other in page.grids[1:]), page.below])):
        raise SourceChanged(f"{spec.id}: behind the table {spec.page.ends!r} wanted", code="truncated")
    columns = _columns(grid, tongue, spec)
    hours = _hours(page, tongue, spec) if any(column.peak for column in columns) else _Hours()
    _take_announcement(columns, page, tongue, spec)
    for column in columns:
        _take_end_of_discount(column, page, document.fetched_at)
    return [quote for column in columns for quote in _quotes(column, hours, tongue, spec)]


def _table(page: Page, spec: SourceSpec) -> tuple[Grid, _Tongue]:
    """The first table, whose first row names the models."""
    if not page.grids:
        raise SourceChanged(f"{spec.id}: a table of models and prices wanted, no table there", code="anchor")
    grid = page.grids[0]
    first = next((row[0] for row in grid.rows if any(row)), "")
    for tongue in TONGUES:
        if _title(first) == tongue.model:
            return grid, tongue
    raise SourceChanged(f"{spec.id}: a first row of models wanted, there is {first!r}", code="columns")


def _title(cell: str) -> str:
    return fold(_NOTE.sub("", cell))


def _columns(grid: Grid, tongue: _Tongue, spec: SourceSpec) -> list[_Column]:
    """What the table says of each model; the titles of a row stand in front of the models' cells."""
    rows = [row for row in grid.rows if any(row)]
    names = [_NOTE.sub("", in_one_line(cell)) for cell in rows[0] if cell and _title(cell) != tongue.model]
    if not names:
        raise SourceChanged(f"{spec.id}: the first row names no model", code="empty")
    columns = [_Column(model=name) for name in names]
    meter = ""
    for number, row in enumerate(rows, 1):
        titles = {_title(cell) for cell in row[: -len(names)]} - {"", tongue.group}
        meters = titles & tongue.titles.keys()
        hours = titles & {tongue.usual, tongue.peak}
        where = f"{spec.id}: table 1 row {number}"
        if tongue.version in titles:
            _take_versions(columns, row[-len(names) :])
        elif tongue.context in titles or tongue.longest in titles:
            _take_facts(columns, row[-len(names) :], tongue.context in titles)
        elif meters or hours:
            meter = tongue.titles[meters.pop()] if len(meters) == 1 else meter
            if titles - tongue.titles.keys() - hours or not meter:
                raise SourceChanged(f"{where}: the title of a price wanted, there is {' | '.join(sorted(titles))}")
            _take_prices(columns, row[-len(names) :], meter, tongue, where, in_peak=tongue.peak in hours)
    for column in columns:
        missing = [name for name in METERS if name not in column.usual]
        if missing or (column.peak and column.peak.keys() != column.usual.keys()):
            raise SourceChanged(
                f"{spec.id}: {column.model}: rows of prices wanted for {', '.join(METERS)}, in all hours or in none",
                code="columns",
            )
    return columns


def _take_versions(columns: Sequence[_Column], cells: Sequence[str]) -> None:
    for column, cell in zip(columns, cells, strict=True):
        version = _NOTE.sub("", in_one_line(cell))
        if _VERSION.fullmatch(version) and version.casefold() != column.model.casefold():
            column.version = version


def _take_facts(columns: Sequence[_Column], cells: Sequence[str], is_context: bool) -> None:
    """A limit of each model, or one cell for all of them."""
    stated = [cell for cell in cells if cell]
    for column, cell in zip(columns, stated * len(columns) if len(stated) == 1 else cells, strict=False):
        tokens = tokens_of(re.sub(r"^(MAXIMUM:|最大)\s*", "", in_one_line(cell)))
        if is_context:
            column.context_length = tokens
        else:
            column.max_output_tokens = tokens


def _take_prices(
    columns: Sequence[_Column], cells: Sequence[str], meter: str, tongue: _Tongue, where: str, *, in_peak: bool = False
) -> None:
    for column, cell in zip(columns, cells, strict=True):
        text = in_one_line(cell)
        off = _OFF.fullmatch(text)
        prices = column.peak if in_peak else column.usual
        try:
            number = money((off["price"] if off else text).removesuffix(tongue.mark), tongue.sign)
        except NotAnAmount as error:
            raise SourceChanged(f"{where}: {column.model}: {error}") from None
        if not (off["price"] if off else text).startswith(tongue.sign) or not text.endswith(tongue.mark):
            raise SourceChanged(f"{where}: {column.model}: {tongue.sign or tongue.mark} wanted, there is {text!r}")
        if meter in prices:
            raise SourceChanged(f"{where}: {column.model}: a second price of {meter}")
        prices[meter] = Price(text=number, unit=tongue.unit)
        column.discounts.add(f"0.{int(off['percent']):02}" if off else "")


def _take_announcement(columns: Sequence[_Column], page: Page, tongue: _Tongue, spec: SourceSpec) -> None:
    """The prices of a second table, where words say from when on they are charged."""
    said = tongue.takes_effect.search(" ".join(page.words.split()))
    if said is None:
        return
    since = _instant(" ".join(said.groups()), tongue.written, tongue.tz, spec)
    tables = [grid for grid in page.grids[1:] if any(_title(cell) == tongue.model for row in grid.rows for cell in row)]
    if len(tables) != 1:
        raise SourceChanged(f"{spec.id}: a table of the prices from {since:%Y-%m-%d %H:%M} wanted", code="anchor")
    announced = _announced(tables[0], tongue, spec)
    if announced.keys() != {column.model for column in columns}:
        raise SourceChanged(f"{spec.id}: announced prices wanted for each model, there are {', '.join(announced)}")
    hours = _hours(page, tongue, spec)
    for column in columns:
        usual, peak = (announced[column.model][in_peak] for in_peak in (False, True))
        overrides = _overrides(peak, hours, tongue)
        column.stated.append(StatedQuote(since=since, until=None, prices=usual, overrides=overrides))


def _announced(grid: Grid, tongue: _Tongue, spec: SourceSpec) -> dict[str, dict[bool, dict[str, Price]]]:
    """Model -> in peak hours or not -> prices; a model's name and hours stand in front of the cells of its prices."""
    rows = [row for row in grid.rows if any(row)]
    meters = [tongue.titles.get(_title(cell)) for cell in rows[0][-len(METERS) :]]
    if sorted(filter(None, meters)) != sorted(METERS):
        raise SourceChanged(f"{spec.id}: table of announced prices: titles wanted for {', '.join(METERS)}")
    found: dict[str, dict[bool, dict[str, Price]]] = {}
    model = ""
    for number, row in enumerate(rows[1:], 2):
        named = [in_one_line(cell) for cell in row[: -len(METERS)] if cell]
        hours = [name for name in named if fold(name) in (tongue.usual, tongue.peak)]
        model = next((_NOTE.sub("", name) for name in named if name not in hours), model)
        where = f"{spec.id}: table of announced prices, row {number}"
        if len(hours) != 1 or not model:
            raise SourceChanged(f"{where}: a model and its hours wanted, there is {' | '.join(named)}")
        prices = found.setdefault(model, {False: {}, True: {}})[fold(hours[0]) == tongue.peak]
        column = _Column(model=model, usual=prices)
        for meter, cell in zip(meters, row[-len(METERS) :], strict=True):
            _take_prices([column], [cell], str(meter), tongue, where)
    if any(prices.keys() != set(METERS) for both in found.values() for prices in both.values()):
        raise SourceChanged(f"{spec.id}: table of announced prices: rows wanted for all hours of each model")
    return found


def _take_end_of_discount(column: _Column, page: Page, at: datetime) -> None:
    """The list price, from the end of a discount on, where words state that end and it is yet to come."""
    for said in _OFF_UNTIL.finditer(" ".join(page.words.split())):
        share = Decimal(100 - int(said["percent"])) / 100
        until = datetime.strptime(said["until"], "%Y/%m/%d %H:%M").replace(tzinfo=UTC) + timedelta(minutes=1)
        if said["model"] == column.model and column.discounts == {f"0.{int(said['percent']):02}"} and at < until:
            listed = {
                meter: replace(price, text=f"{Decimal(price.text) / share:f}") for meter, price in column.usual.items()
            }
            column.stated.append(StatedQuote(since=until, until=None, prices=listed))


def _instant(text: str, written: str, tz: str, spec: SourceSpec) -> datetime:
    try:
        return datetime.strptime(text, written).replace(tzinfo=ZoneInfo(tz)).astimezone(UTC)
    except ValueError:
        raise SourceChanged(f"{spec.id}: the instant of an announcement is not understood: {text!r}") from None


def _hours(page: Page, tongue: _Tongue, spec: SourceSpec) -> _Hours:
    said = tongue.hours.search(page.words)
    if said is None:
        raise SourceChanged(f"{spec.id}: peak prices, and no word about their hours", code="says")
    before, *clock, behind = said.groups()
    words = f"{before} {behind}"
    workdays = WORKDAYS.search(words) is not None
    if _OF_DAYS.search(words) and not workdays:
        raise SourceChanged(f"{spec.id}: peak days are not understood: {in_one_line(words)!r}", code="says")
    minutes = [int(hour) * 60 + int(minute) for hour, minute in zip(clock[::2], clock[1::2], strict=True)]
    if max(minutes) >= 24 * 60:
        raise SourceChanged(f"{spec.id}: peak hours are not understood: {said[0]!r}", code="says")
    return _Hours(
        windows=tuple(zip(minutes[::2], minutes[1::2], strict=True)),
        days=(1, 2, 3, 4, 5) if workdays else (),
        holidays=HOLIDAYS.search(words) is not None,
    )


def _overrides(peak: Mapping[str, Price], hours: _Hours, tongue: _Tongue) -> tuple[QuotedOverride, ...]:
    return tuple(
        QuotedOverride(start_minute=start, end_minute=end, days=hours.days, tz=tongue.tz, prices=peak)
        for start, end in hours.windows
        if peak
    )


def _quotes(column: _Column, hours: _Hours, tongue: _Tongue, spec: SourceSpec) -> Iterator[Quote]:
    discount = column.discounts.pop() if len(column.discounts) == 1 else ""
    overrides = _overrides(column.peak, hours, tongue)
    today = StatedQuote(since=None, until=None, prices=column.usual, overrides=overrides)
    dated = [today, *sorted(column.stated, key=lambda one: str(one.since))]
    ends = [*(one.since for one in dated[1:]), None]
    stated = tuple(replace(one, until=end) for one, end in zip(dated, ends, strict=True))
    locator = f"table 1 {column.model}"
    told = "peak prices are stated for public holidays too, on which they are not charged"
    quote = Quote(
        provider=spec.provider,
        model=column.model,
        tag=str(spec.options.get("tag", "")),
        prices={} if column.stated else column.usual,
        overrides=() if column.stated else overrides,
        stated=stated if column.stated else (),
        facts=Facts(
            context_length=column.context_length,
            max_output_tokens=column.max_output_tokens,
            discount=discount or None,
        ),
        locator=locator,
        findings=(note("holidays", told, locator),) if overrides and hours.holidays else (),
    )
    yield quote
    if column.version:
        yield replace(quote, tag="/".join(filter(None, (quote.tag, column.version))))
