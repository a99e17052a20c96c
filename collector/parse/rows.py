"""What all families do with one row: its price texts and its names."""

from decimal import Decimal

from collector.contract import Price, PriceSpec
from collector.parse.amounts import SIGNS, number_text
from collector.parse.doubt import Doubt, describe
from collector.parse.paths import MISSING
from store.text import printable
from store.units import unit

NAME_LENGTH = 512
"""Characters of a model, provider or tag name."""


def price_of(value: object, spec: PriceSpec) -> Price | None:
    """The price as published, text and number alike; None where there is none (no such key, or null).

    The sign of the currency that is declared is no part of the number: `$0.50`, in USD.

    Raises: Doubt if the value is neither a text nor a number.
    """
    if value is None or value is MISSING:
        return None
    if isinstance(value, str):
        sign = SIGNS.get(unit(spec.unit).currency, "")
        return Price(text=value.strip().removeprefix(sign).lstrip(), unit=spec.unit)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Price(text=number_text(value), unit=spec.unit)
    raise Doubt("type", f"{spec.meter} at {spec.at!r} is {describe(value)}, not a number")


def text_of_scalar(value: object) -> str | None:
    """A text, number, truth value or null as one text (`true`, `null`, `1`); None for lists, objects and `MISSING`."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, bool):
        return describe(value)
    if isinstance(value, int | Decimal):
        return number_text(value)
    return None


def name_of(value: object, what: str) -> tuple[str, Doubt | None]:
    """A name that can be stored and shown, and a doubt where it is not what was published.

    Raises: Doubt if it is no name at all.
    """
    if not isinstance(value, str) or not value.strip():
        raise Doubt("name", f"{what} is {'missing' if value is MISSING else describe(value)}")
    name = value.strip()
    shown = printable(name)[:NAME_LENGTH]
    if shown == name:
        return name, None
    return shown, Doubt("name", f"{what} has {len(name)} characters, some of which cannot be printed")
