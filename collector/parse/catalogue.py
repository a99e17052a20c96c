"""What the hand-kept catalogues share: a price is a JSON number or a mistake, and a zero says nothing.

LiteLLM, models.dev and llm-prices are kept by people. In all three a 0 stands for "nobody filled this in", "part of a
subscription" or "runs on your own machine" far more often than for a price of nothing, so that only an offer declared
free has zeros that are prices.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from collector.contract import Price, Prices, QuotedOverride
from collector.parse.amounts import NotAnAmount, number_text, read_amount
from collector.parse.doubt import Doubt, describe, note
from collector.parse.rows import name_of
from store.records import Finding

LARGEST_COUNT = 2**53


def number(value: object, name: str) -> int | Decimal | None:
    """A JSON number; None where there is none (no such key, or null).

    Raises: Doubt for a text, a boolean, a list or an object.
    """
    if value is None or (isinstance(value, int | Decimal) and not isinstance(value, bool)):
        return value
    raise Doubt("type", f"{name} is {describe(value)}, not a number")


def price(value: object, name: str, unit: str, *, free: bool) -> Price | None:
    """The price as published; None where there is none, without a text (unknown) where it is a 0 that says nothing.

    Raises: Doubt if the value is not a number.
    """
    published = number(value, name)
    if published is None:
        return None
    return Price(text="" if published == 0 and not free else number_text(published), unit=unit)


def amount(price: Price, name: str) -> Decimal:
    """The number of a price, to reckon with where a price is published as a factor of another.

    Raises: Doubt if it is not a number.
    """
    try:
        return read_amount(price.text)
    except NotAnAmount as error:
        raise Doubt("number", f"{name}: {error}") from None


def complete(prices: Prices, unit: str) -> dict[str, Price]:
    """The prices, with `input` and `output` unknown where they are not stated: who sells tokens charges for both."""
    return {"input": Price(text="", unit=unit), "output": Price(text="", unit=unit), **prices}


def conditions(above: Mapping[int, Prices], outside: Prices) -> tuple[QuotedOverride, ...]:
    """The prices of prompts longer than so many tokens; shortest first, as the last one that holds is the right one.

    A price that is unknown under its condition is left out where it is unknown or absent outside, too.
    """
    found = []
    for above_tokens, prices in sorted(above.items()):
        told = {
            meter: price for meter, price in prices.items() if price.text or (meter in outside and outside[meter].text)
        }
        if told:
            found.append(QuotedOverride(above_tokens=above_tokens, prices=told))
    return tuple(found)


def count(value: object, name: str) -> int | None:
    """A count of tokens; None where there is none or it is 0, which no limit is.

    Shape: `128000`, or `128000.0` as some documents were written.
    Raises: Doubt if the value is not a whole number of tokens.
    """
    published = number(value, name)
    if published is None or published == 0:
        return None
    if not 0 < published < LARGEST_COUNT or published != int(published):
        raise Doubt("type", f"{name} is {describe(value)}, not a count of tokens")
    return int(published)


def named(value: object, what: str, doubts: list[Doubt]) -> str:
    """A name that can be stored and shown, empty where there is none; what is wrong with it is added to `doubts`."""
    try:
        name, doubt = name_of(value, what)
    except Doubt as nameless:
        name, doubt = "", nameless
    if doubt is not None:
        doubts.append(doubt)
    return name


def printed(value: object, what: str) -> str:
    """A name that can be stored and shown as it was published.

    Raises: Doubt if it is not one.
    """
    name, misnamed = name_of(value, what)
    if misnamed is not None:
        raise misnamed
    return name


def unmapped(names: Iterable[str], locator: str) -> tuple[Finding, ...]:
    """One note that names the prices of a record which no meter stands for; none where there are none."""
    listed = ", ".join(sorted(set(names)))
    return (note("unmapped_price", f"not read: {listed}", locator),) if listed else ()
