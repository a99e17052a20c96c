"""The one reader of TOML: numbers keep their text, and what is not one sound document is refused whole."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from collector.errors import SourceChanged
from collector.parse.amounts import Number

REMEMBERED = 1 << 12
"""Documents: of a tree of files, many are copied, renamed and put back as they were."""


def read_toml(text: str, place: str) -> Mapping[str, Any]:
    """The table of a TOML document; numbers are `int` or `Decimal` (a `Number`, with its own text), never `float`.

    `place` begins every message.
    Raises: SourceChanged for all else than one sound document, and for `inf` and `nan`.
    """
    try:
        return _table(text)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise SourceChanged(f"{place}: not sound TOML: {error}", code="toml") from None


@lru_cache(maxsize=REMEMBERED)
def _table(text: str) -> Mapping[str, Any]:
    return tomllib.loads(text, parse_float=_number)


def _number(text: str) -> Number:
    number = Number(text.replace("_", ""))
    if not number.is_finite():
        raise ValueError(f"{text} is not a number")
    return number
