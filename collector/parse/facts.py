"""The facts of an offer and how it fares, read from what stands in a document.

A value is checked here, once: what is not a fact of its kind, or is not plausible, is not stated, with a note that says
so. It never costs a price.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType

from collector.parse.doubt import describe, note
from collector.parse.paths import MISSING
from collector.parse.rows import NAME_LENGTH, text_of_scalar
from store.records import DATE_FACTS, Facts, Finding, Telemetry, is_day
from store.text import printable

COUNTS = ("context_length", "max_output_tokens", "max_prompt_tokens")
WORDS = ("quantization", "discount", "status", "licence", "successor", "data_policy")
LISTS = ("features", "input_modalities", "output_modalities", "regions")
SIZES = ("total_parameters", "active_parameters")
TRUTHS = ("open_weights", "trains_on_prompts")
FACTS = (*COUNTS, *WORDS, *LISTS, *DATE_FACTS, *SIZES, *TRUTHS)
"""The fields of `Facts` that a source may configure."""

YEARS = range(2015, 2050)
"""Language models have come out and will go within these; `2098-12-31` means never."""
FEWEST, MOST = 10**5, 10**14
"""Parameters of a model; a bare `24` is a count of billions, or of something else."""
SUPERSEDED = "superseded"

MEASURES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "uptime_percent": ("uptime_percent", 1),
        "uptime_share": ("uptime_percent", 100),
        "first_token_ms": ("first_token_ms", 1),
        "first_token_s": ("first_token_ms", 1000),
        "tokens_per_second": ("tokens_per_second", 1),
    }
)
"""What a source may configure, named with its unit -> field of `Telemetry`, and how many of its units that is."""
FASTEST = 10**7
"""Milliseconds, or tokens per second: beyond it nothing was measured."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_IN_WORDS = re.compile(r"([a-z]{3})[a-z]*\.?\s+(?:([0-9]{1,2}),?\s+)?([0-9]{4})", re.ASCII | re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(m|b|t|million|billion|trillion)", re.ASCII | re.IGNORECASE)
_SIZES = {"m": 10**6, "b": 10**9, "t": 10**12}
_SUPERSEDED = re.compile(r"(?:superseded|replaced) by\s+(.+)", re.IGNORECASE)


def facts_of(values: Mapping[str, object], locator: str) -> tuple[Facts, tuple[Finding, ...]]:
    """The facts of an offer, and a note for each that is not as it should be and therefore not stated.

    A status that names what has taken its place, such as `Superseded by GPT-5 Mini`, states the successor too.
    """
    stated: dict[str, object] = {}
    notes = []
    for name, value in values.items():
        if value is None or value is MISSING:
            continue
        read = _READERS[name](value)
        if read is None:
            notes.append(note("fact", f"{name} is {describe(value)}", locator))
        else:
            stated[name] = read
    named = _SUPERSEDED.fullmatch(str(stated.get("status", "")))
    if named is not None:
        stated = {"successor": named[1].strip()} | stated | {"status": SUPERSEDED}
    return Facts(**stated), tuple(notes)  # type: ignore[arg-type]


def count_of(value: object) -> int | None:
    """A positive whole number, as a number or as its digits; None for anything else."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) <= 15:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not 0 < value < 2**53 or value != int(value):
        return None
    return int(value)


def day_of(value: object) -> str | None:
    """A year, month or day as finely as it is stated; None for anything else, and for a year out of all reason.

    Shape: `2025-08`, `2025-06-01T15:00:00Z`, `August 2025`, `Aug 5, 2025`, or seconds since 1970 UTC.
    """
    if isinstance(value, str):
        text = value.strip()
        worded = _IN_WORDS.fullmatch(text)
        if worded is not None and worded[1].lower() in _MONTHS:
            text = f"{worded[3]}-{_MONTHS.index(worded[1].lower()) + 1:02}"
            text += f"-{int(worded[2]):02}" if worded[2] else ""
        elif len(text) > 10 and text[10] in "T ":
            text = text[:10]
    else:
        seconds = count_of(value)
        if seconds is None or seconds >= 2**33:
            return None
        text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
    return text if is_day(text) and int(text[:4]) in YEARS else None


def parameters_of(value: object) -> int | None:
    """A number of parameters, as a count or in words: `117B`, `3.8 billion`; None for anything else."""
    worded = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    count = count_of(Decimal(worded[1]) * _SIZES[worded[2][0].lower()] if worded else value)
    return count if count is not None and FEWEST <= count <= MOST else None


def telemetry_of(values: Mapping[str, object]) -> Telemetry | None:
    """How an offer fares, from measures by their names in `MEASURES`; None where nothing was measured.

    What is no measurement is not stated, and not noted: it would come and go with every poll.
    """
    measured: dict[str, int] = {}
    for name, value in values.items():
        field, factor = MEASURES[name]
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            continue
        scaled = Decimal(value) * factor
        if field == "uptime_percent":
            if 0 <= scaled <= 100:
                measured[field] = int(scaled.to_integral_value(rounding=ROUND_HALF_EVEN))
        elif 0 < scaled < FASTEST:
            measured[field] = coarse(scaled)
    return Telemetry(**measured) if measured else None


def coarse(value: Decimal) -> int:
    """The nearest of 1, 2, 5, 10, 20, 50, ... to a number above 0; 0 for what is less than one."""
    if value < 1:
        return 0
    power: int = 10 ** (len(str(int(value))) - 1)
    tenths = 10 * value / power
    return power * next((step for least, step in ((75, 10), (35, 5), (15, 2)) if tenths >= least), 1)


def _word(value: object) -> str | None:
    text = text_of_scalar(value)
    return printable(text)[:NAME_LENGTH] if text else None


def _truth(value: object) -> bool | None:
    return {"true": True, "yes": True, "false": False, "no": False}.get((text_of_scalar(value) or "").lower())


def _list(value: object) -> tuple[str, ...] | None:
    """Sorted texts of a list, or the keys whose value is true in an object of flags."""
    if isinstance(value, Mapping) and (not value or any(isinstance(flag, bool) for flag in value.values())):
        value = [key for key, flag in value.items() if flag is True]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(sorted({printable(item)[:NAME_LENGTH] for item in value}))


def _regions(value: object) -> tuple[str, ...] | None:
    """As a list, or one region alone."""
    return _list([value.strip()] if isinstance(value, str) and value.strip() else value)


_READERS: dict[str, Callable[[object], object]] = {
    **dict.fromkeys(COUNTS, count_of),
    **dict.fromkeys(WORDS, _word),
    **dict.fromkeys(LISTS, _list),
    **dict.fromkeys(DATE_FACTS, day_of),
    **dict.fromkeys(SIZES, parameters_of),
    **dict.fromkeys(TRUTHS, _truth),
    "regions": _regions,
}
