"""Numbers of tokens in words: `262,144 tokens`, `1M`, `(< 200k prompt tokens)`."""

import re
import string
from dataclasses import dataclass
from decimal import Decimal

_SIZES = {"": 1, "k": 1_000, "m": 1_000_000}
_COUNT = re.compile(
    r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,12}(?:\.[0-9]{1,3})?)\s*([km]?)(?:\s*tokens?)?", re.ASCII | re.IGNORECASE
)
_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s{0,3}([km]?)"
_RANGE = re.compile(
    r"(?:(?:context|prompts?)\s{0,3})?"
    rf"(?:(<=|<|≤|>=|>|≥)\s{{0,3}}{_NUMBER}|{_NUMBER}\s{{0,3}}~\s{{0,3}}[0-9]{{1,12}}\s{{0,3}}[km])"
    r"(?:\s{0,3}(?:(?:prompt|input)\s{1,3})?tokens?|\s{0,3}context(?:\s{1,3}length)?)?\s{0,3}\)?$",
    re.ASCII | re.IGNORECASE,
)
"""Of a text without white space at its end; bounded, so that no text makes it try for long."""
_BEFORE = f"{string.whitespace},("


@dataclass(frozen=True, slots=True)
class Ranged:
    """A text without the prompt lengths that stood at its end."""

    text: str
    above_tokens: int | None = None
    """Its prices are for prompts longer than this; None: for those that are not, or for all."""
    up_to_tokens: int | None = None
    """Its prices are for prompts that are not longer than this; None: for those that are, or for all."""


def tokens_of(text: str) -> int | None:
    """A count of tokens as pages write it, `k` being a thousand; None for anything else.

    Shape: `131072`, `131,072`, `1M`, `262,144 tokens`, `1.5M`.
    """
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        return None
    count = Decimal(found[1].replace(",", "")) * _SIZES[found[2].lower()]
    return int(count) if count == int(count) and 0 < count < 2**53 else None


def ranged(text: str) -> Ranged:
    """The text, and the prompts that it is about.

    Shape: `name (< 200k prompt tokens)`, `name (≥ 200k prompt tokens)`, `name (<272K context length)`,
        `$2.50, prompts > 200k tokens`, `name Context 512K ~ 1M`.
    """
    found = _RANGE.search(text.rstrip())
    if found is None:
        return Ranged(text)
    sign, number, size, low, low_size = found.groups()
    tokens = int(Decimal(number or low) * _SIZES[(size if number else low_size).lower()])
    before = text[: found.start()].rstrip(_BEFORE).strip()
    least = tokens - 1 if sign in ("<", ">=", "≥") else tokens
    return Ranged(before, up_to_tokens=least) if sign in ("<", "<=", "≤") else Ranged(before, above_tokens=least)
