"""Meters and units: the registry from which everything else that names a price derives.

A *meter* is what is charged (input tokens, a cache read, an image); a *unit* is how a document quotes it
(`USD/1M_token`). Amounts in the project are integers of 1e-9 currency units per 1,000,000 tokens, or per single
other thing; `collector.normalise` is the only place that converts into them.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache

NANO = 1_000_000_000
"""Amounts are integers of one billionth of a currency unit."""

TOKENS_PER_AMOUNT = 1_000_000
"""An amount of a token meter is the price of this many tokens; of any other meter, of a single thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Something an endpoint charges for."""

    name: str
    thing: str
    """What is counted: `token`, or a single `request`, `image`, `search`, ..."""
    title: str


METERS: dict[str, Meter] = {
    name: Meter(name=name, thing=thing, title=title)
    for name, thing, title in (
        ("input", "token", "input"),
        ("output", "token", "output"),
        ("cache_read", "token", "cache read"),
        ("cache_write", "token", "cache write (shortest TTL)"),
        ("cache_write_1h", "token", "cache write kept 1 h"),
        ("reasoning", "token", "reasoning output"),
        ("input_audio", "token", "audio input"),
        ("output_audio", "token", "audio output"),
        ("cache_read_audio", "token", "audio cache read"),
        ("cache_write_audio", "token", "audio cache write"),
        ("input_image_token", "token", "image input, by token"),
        ("output_image_token", "token", "image output, by token"),
        ("cache_read_image", "token", "image cache read"),
        ("input_video_token", "token", "video input, by token"),
        ("output_video_token", "token", "video output, by token"),
        ("citation", "token", "citation tokens"),
        ("request", "request", "per request"),
        ("input_image", "image", "per image in"),
        ("output_image", "image", "per image out"),
        ("web_search", "search", "per web search"),
        ("storage_search", "search", "per storage search"),
        ("query", "query", "per query"),
        ("input_second", "second", "per second in"),
        ("output_second", "second", "per second out"),
        ("input_character", "character", "per character in"),
        ("output_character", "character", "per character out"),
        ("input_page", "page", "per page in"),
        ("input_annotated_page", "page", "per annotated page in"),
        ("text_message", "message", "per text message in"),
        ("audio_hour", "hour", "per hour of audio"),
        ("input_audio_hour", "hour", "per hour of audio in"),
        ("euro", "euro", "one euro, of a source of exchange rates"),
    )
}

CORE_METERS = ("input", "output", "cache_read", "cache_write")
"""Meters with a column of their own in tables and CSV."""

_QUOTED = r"(?:(1e-[0-9]{1,2})_)?([A-Z]{3})(cent)?/(?:(1M|1K|1B|[0-9]{1,9})_)?"
"""Factor, currency, cent and count of a unit: all but the thing."""
_UNIT = re.compile(f"{_QUOTED}([a-z]+)", re.ASCII)
_COUNTS = {"1B": 1_000_000_000, "1M": 1_000_000, "1K": 1_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How a document quotes a price."""

    name: str
    currency: str
    """ISO 4217 code."""
    thing: str
    per_amount: Decimal
    """Multiply a published number by this to get currency units per 1M tokens (or per single other thing)."""


@cache
def unit(name: str) -> Unit:
    """The unit of a name such as `USD/token`, `USD/1M_token`, `USDcent/token`, `1e-4_USD/1M_token` or `USD/1K_search`.

    Raises: ValueError if the name does not follow that grammar or counts a thing no meter counts.
    """
    match = _UNIT.fullmatch(name)
    if match is None:
        raise ValueError(f"unit {name!r} is not of the form USD/1M_token")
    quoted_factor, currency, cent, count, thing = match.groups()
    if thing not in {meter.thing for meter in METERS.values()}:
        raise ValueError(f"unit {name!r} counts {thing!r}, which no meter does")
    counted = 1 if count is None else _COUNTS.get(count) or int(count)
    if counted == 0:
        raise ValueError(f"unit {name!r} counts nothing")
    factor = Decimal(quoted_factor or 1) / (100 if cent else 1)
    base = TOKENS_PER_AMOUNT if thing == "token" else 1
    return Unit(name=name, currency=currency, thing=thing, per_amount=factor * Decimal(base) / Decimal(counted))


def unit_pattern(thing: str) -> str:
    """A regular expression of the names of units that count a thing, in the grammar that JSON Schema has too."""
    return f"^{_QUOTED}{thing}$"


@lru_cache(maxsize=16_384)  # the same amounts stand in thousands of rows
def decimal_text(amount_nano: int) -> str:
    """A plain decimal for an amount, without exponent or trailing zeros: 150000000 is `0.15`."""
    sign = "-" if amount_nano < 0 else ""
    whole, fraction = divmod(abs(amount_nano), NANO)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def hundredths(value: Fraction) -> str:
    """A plain decimal of at most two digits behind the point, rounded half to even: of percents and ratios."""
    return decimal_text(round(value * 100) * (NANO // 100))
