"""Usage files read row by row: CSV or JSON Lines of any size, in the form that another system exports.

A row that cannot be read is handed on as a `Misread`, with its line and the reason: it is never left out in silence.
What each form is called by its columns, and which column says what, is in `collector.usage_forms`.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TextIO, TypeAlias

from store.costing import ANSWER_PARTS, FEMTO_DIGITS, PROMPT_PARTS
from store.errors import QueryError
from store.instants import whole
from store.text import one_line

LONGEST_LINE = 1 << 26
"""Characters of a line, or of a cell: exports hold prompts and answers."""
NOISE_DIGITS = 15
"""Significant digits from which on a number comes from binary floating point, and its last ones count for nothing."""

Fields = Mapping[str, Any]
"""Field of ours -> the value as it stands in the file; what is missing, None or empty is not stated."""

MORE = (
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image_token",
    "output_image_token",
    "input_image",
    "output_image",
    "web_search",
)
"""Meters that a row may count beside `input`, `output` and `cached`, of which those of tokens are parts."""
UNCACHED = "uncached_input"
"""Stated instead of `input` by systems that leave out of it what was read from a cache, or written to it."""
NAMES = ("provider", "model", "endpoint", "quantization", "tier", "region")
LABELS = ("key", "user", "project")
_LONGEST = timedelta(days=366)
_WHOLE = ("input", UNCACHED, "output", "cached")
FIELDS = ("instant", "until", *NAMES, *_WHOLE, *MORE, "requests", "cost", "currency", *LABELS)
"""All that `--map` takes."""

_MORE = frozenset(MORE)
_OF_PROMPT, _OF_ANSWER = frozenset(PROMPT_PARTS), frozenset(ANSWER_PARTS)
_LONGEST_COUNT = 15
_COUNT = re.compile(r"([0-9]{1,15})(?:\.0{1,15})?", re.ASCII)
_SECONDS = re.compile(r"[0-9]{10}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_AMOUNT = re.compile(r"-?[0-9]{1,15}(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)
_FEMTO = 10**FEMTO_DIGITS
_NO_TIER = frozenset({"", "default", "standard", "auto", "none", "on-demand", "on_demand"})


class Name(NamedTuple):
    """Whose offer was used, in the words of the file."""

    provider: str
    model: str
    endpoint: str
    """The provider's tag, or the whole name of one endpoint; empty: not stated."""
    quantization: str
    tier: str
    """`batch`, `flex`, ...; empty: the standard one."""
    region: str


class Invoiced(NamedTuple):
    """What another system says that something cost."""

    femto: int
    """In 1e-15 currency units."""
    slack: int
    """What it may be off by, for it is rounded: in the same unit."""
    currency: str

    def explains(self, femto: int) -> bool:
        """Whether a cost, rounded as this is, is this."""
        return abs(self.femto - femto) <= self.slack


class Usage(NamedTuple):
    """A row of a usage file: one request, or several that are summed up."""

    line: int
    at: datetime
    until: datetime | None
    """End of the stretch of time that is summed up; None: it happened at `at`."""
    name: Name
    input_tokens: int
    """Whole prompts, as in `store.costing.Workload`, whose counts these are."""
    output_tokens: int
    cached_tokens: int
    more: tuple[tuple[str, int], ...]
    requests: int
    invoiced: Invoiced | None
    labels: tuple[str, ...]
    """In the order of `LABELS`."""


class Misread(NamedTuple):
    """A row of which nothing can be told but why."""

    line: int
    reason: str
    text: str
    """The row, shortened."""


Rows: TypeAlias = Iterator[tuple[int, Mapping[str, Any] | Misread]]
"""Lines, and what stands in them by column."""


class BadRow(ValueError):
    """A row is not what it should be; the message says in what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the cells of a file are to be taken."""

    utc: bool = True
    """An instant without an offset is UTC; otherwise it is none."""
    cost_digits: int | None = None
    """Decimals to which costs are rounded; None: as many as each shows."""
    exact: bool = False
    """Costs are not rounded but for what binary floating point does to them."""


def rows_of(file: TextIO) -> tuple[Sequence[str], Rows]:
    """The columns of a file (of JSON Lines, the keys of the first record), and its rows with their lines.

    Raises: QueryError if it is neither CSV nor JSON Lines.
    """
    first = file.readline(LONGEST_LINE)
    if first.lstrip()[:1] in ("{", "["):
        return _json_rows(file, first)
    return _csv_rows(file, first)


def _csv_rows(file: TextIO, first: str) -> tuple[Sequence[str], Rows]:
    csv.field_size_limit(LONGEST_LINE)
    delimiter = "\t" if "\t" in first and "," not in first else ","
    try:
        header = next(csv.reader([first], strict=True, delimiter=delimiter), [])
    except csv.Error as error:
        raise QueryError(f"line 1: not CSV: {error}") from None
    columns = [name.strip() for name in header]
    if len(set(columns)) != len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise QueryError(f"line 1: column {twice!r} stands twice")
    lines = csv.reader(file, strict=True, delimiter=delimiter)

    def found() -> Rows:
        while True:
            try:
                cells = next(lines, None)
            except csv.Error as error:
                yield lines.line_num + 1, Misread(lines.line_num + 1, f"not CSV: {error}", "")
                continue
            if cells is None:
                return
            if len(cells) == len(columns):
                yield lines.line_num + 1, dict(zip(columns, cells, strict=True))
            elif cells:
                told = f"has {len(cells)} cells, the header {len(columns)}"
                yield lines.line_num + 1, Misread(lines.line_num + 1, told, shown(cells))

    return columns, found()


def _json_rows(file: TextIO, first: str) -> tuple[Sequence[str], Rows]:
    record = _record(first)
    if isinstance(record, str):
        raise QueryError(f"line 1: {record}; one JSON document is made JSON Lines by `jq -c '.[]' FILE`")

    def found() -> Rows:
        line, number = first, 1
        while line:
            if len(line) >= LONGEST_LINE:
                raise QueryError(f"line {number}: longer than {LONGEST_LINE} characters")
            if line.strip():
                one = _record(line)
                yield number, Misread(number, one, one_line(line, 200)) if isinstance(one, str) else one
            line, number = file.readline(LONGEST_LINE), number + 1

    return list(record), found()


def _record(line: str) -> Mapping[str, Any] | str:
    """The record of a line, numbers with a fraction as their text; or why there is none."""
    try:
        record = json.loads(line, parse_float=str, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return "not a JSON record"
    return record if isinstance(record, dict) else "not a JSON record"


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def shown(value: object) -> str:
    """What stands somewhere, on one line and shortened."""
    if isinstance(value, str):
        return repr(one_line(value, 80))
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 200)


def usage(line: int, fields: Fields, reading: Reading) -> Usage:
    """A row, from what its fields say.

    Raises: BadRow if one says nothing that it could.
    """
    at, end = instant(fields.get("instant"), utc=reading.utc)
    stated_end = fields.get("until")
    until = instant(stated_end, utc=reading.utc)[0] if stated_end not in (None, "") else end
    if until is not None and not at <= until <= at + _LONGEST:
        raise BadRow("ends before it begins" if until < at else f"sums up more than {_LONGEST.days} days")
    cached = _count(fields, "cached")
    more = tuple(sorted((meter, count) for meter in fields.keys() & _MORE if (count := _count(fields, meter))))
    in_prompt = cached + sum(count for meter, count in more if meter in _OF_PROMPT)
    apart = fields.get(UNCACHED) not in (None, "")
    prompt = _count(fields, UNCACHED) + in_prompt if apart else _count(fields, "input")
    answer = _count(fields, "output")
    if in_prompt > prompt:
        raise BadRow("the parts of the prompt are more than the prompt")
    if more and sum(count for meter, count in more if meter in _OF_ANSWER) > answer:
        raise BadRow("the parts of the answer are more than the answer")
    if not (prompt or answer or more):
        raise BadRow("counts nothing")
    requests = 1 if fields.get("requests") in (None, "") else _count(fields, "requests")
    if not requests:
        raise BadRow("counts no requests")
    try:
        name, labels = _name(*map(fields.get, NAMES)), _labels(*map(fields.get, LABELS))
    except TypeError:
        raise BadRow("has a list or an object where a name should be") from None
    if not name.model:
        raise BadRow("names no model")
    return Usage(
        line,
        at,
        None if until is None or until <= at else until,
        name,
        prompt,
        answer,
        cached,
        more,
        requests,
        invoiced(fields, reading),
        labels,
    )


@lru_cache(maxsize=1 << 14)
def _labels(*said: Any) -> tuple[str, ...]:
    # JSON can hold half a character, and no file can.
    return tuple("" if one is None else str(one).encode(errors="replace").decode() for one in said)


@lru_cache(maxsize=1 << 14)
def _name(*said: Any) -> Name:
    name = Name(*_labels(*said))
    tier = name.tier.strip().lower()
    return name._replace(tier="" if tier in _NO_TIER else tier)


def text(fields: Fields, name: str) -> str:
    """What a field says; empty: nothing.

    Raises: BadRow if that is no text.
    """
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    raise BadRow(f"{name} is {shown(value)}")


def _count(fields: Fields, name: str) -> int:
    """A count; 0 where nothing is stated.

    Raises: BadRow if it is none.
    """
    value = fields.get(name)
    if value is None or value == "":
        return 0
    if type(value) is int and value >= 0:
        return value
    if type(value) is str and len(value) <= _LONGEST_COUNT and value.isdecimal() and value.isascii():
        return int(value)  # as nearly all are
    match = _COUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadRow(f"{name} is {shown(value)}, not a count")
    return int(match[1])


def instant(value: Any, *, utc: bool) -> tuple[datetime, datetime | None]:
    """The instant of a text or of seconds since 1970, and the end of the day where it is one.

    Raises: BadRow if it is none.
    """
    try:
        if type(value) is int and value >= 0:
            return datetime.fromtimestamp(value, UTC), None
        if isinstance(value, str):
            if _SECONDS.fullmatch(value):
                return datetime.fromtimestamp(int(value), UTC), None
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None:
                return whole(at.astimezone(UTC)), None
            if utc or _DAY.fullmatch(value):
                at = whole(at.replace(tzinfo=UTC))
                return at, at + timedelta(days=1) if _DAY.fullmatch(value) else None
            raise BadRow(f"instant {shown(value)} has no offset: --utc takes it for UTC")
    except (OverflowError, OSError):
        pass
    except ValueError as error:
        if isinstance(error, BadRow):
            raise
    raise BadRow(f"instant is {shown(value)}")


def invoiced(fields: Fields, reading: Reading) -> Invoiced | None:
    """What the row says that it cost; None where it does not.

    Raises: BadRow if that is no amount.
    """
    value = fields.get("cost")
    if value is None or value == "":
        return None
    currency = (text(fields, "currency") or "USD").upper()
    return amount(value if isinstance(value, str) else str(value), currency, reading)


def amount(said: str, currency: str, reading: Reading) -> Invoiced:
    """An amount of money as another system writes it, and by how much it may be off.

    Raises: BadRow if it is none.
    """
    match = _AMOUNT.fullmatch(said)
    if match is None:
        raise BadRow(f"cost is {shown(said)}, not an amount")
    value = Decimal(said).scaleb(FEMTO_DIGITS)
    femto = int(value.to_integral_value())
    digits = len(match[1] or "") - int(match[2] or 0)
    if len(Decimal(said).normalize().as_tuple().digits) >= NOISE_DIGITS or reading.exact:
        slack = abs(femto) // 10 ** (NOISE_DIGITS - 1) + 1
    else:
        slack = _half_a_unit(digits if reading.cost_digits is None else reading.cost_digits)
    return Invoiced(femto, slack, currency)


def _half_a_unit(digits: int) -> int:
    """Half of the last of so many decimals, in 1e-15."""
    return _FEMTO // (2 * 10**digits) if digits < FEMTO_DIGITS else 1
