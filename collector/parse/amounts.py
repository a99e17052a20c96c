"""The one reader of numbers written as text, and the one writer of numbers as text.

`decimal.Decimal` alone reads `1_000`, digits of any script, `NaN`, `Infinity` and `1e999999`; none of them is a price.
"""

import re
from decimal import Decimal
from typing import Self

LENGTH = 64
"""No price anybody publishes is longer; what is longer is not a price."""

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥", "JPY": "¥"}
"""How documents write the currencies that units declare."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


class NotAnAmount(ValueError):
    """A text that is not a plain decimal number."""


def read_amount(text: str) -> Decimal:
    """The number a text states, exactly.

    Shape: ASCII digits with an optional sign, fraction and exponent (two digits at most).
    Raises: NotAnAmount for all else: separators, other digits, words, NaN, Infinity, more than 64 characters.
    """
    if len(text) > LENGTH:
        raise NotAnAmount(f"{len(text)} characters are too long for a number")
    if not text:
        raise NotAnAmount("an empty text is not a number")
    if _NUMBER.fullmatch(text) is None:
        raise NotAnAmount(f"{text!r} is not a plain decimal number")
    return Decimal(text)


class Number(Decimal):
    """A number that keeps the text it was read from: `4.5e-05` and `0.000045` are equal, and not the same."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """The number of a text that is known to be one."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return f"Number({self.text!r})"


def number_text(value: int | Decimal) -> str:
    """The text of a JSON number, as it stood."""
    return value.text if isinstance(value, Number) else str(value)


def money(text: str, sign: str = "$") -> str:
    """The number in a page cell such as `$0.15`, as text; a cell without the sign is a number already.

    Raises: NotAnAmount if anything but one leading `sign` and a plain number stands there.
    """
    number = text.strip().removeprefix(sign).lstrip(" ")
    read_amount(number)
    return number
