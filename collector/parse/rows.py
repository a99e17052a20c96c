"""What all families do with one row: its price texts, its facts and its names."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from collector.contract import Price, PriceSpec
from collector.parse.amounts import SIGNS, number_text
from collector.parse.doubt import Doubt, describe, note
from collector.parse.paths import MISSING
from store.records import Facts, Finding
from store.text import printable
from store.units import unit

NAME_LENGTH = 512
"""Characters of a model, provider or tag name."""

COUNTS = ("context_length", "max_output_tokens", "max_prompt_tokens")
WORDS = ("quantization", "discount", "status")
LISTS = ("features", "input_modalities", "output_modalities")
FACTS = (*COUNTS, *WORDS, *LISTS)
"""The fields of `Facts` that a source may configure."""


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


def facts_of(values: Mapping[str, object], locator: str) -> tuple[Facts, tuple[Finding, ...]]:
    """The facts of an offer, and a note for each that is not as it should be and therefore not stated."""
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


def _word(value: object) -> str | None:
    text = text_of_scalar(value)
    return printable(text)[:NAME_LENGTH] if text else None


def _list(value: object) -> tuple[str, ...] | None:
    """Sorted texts of a list, or the keys whose value is true in an object of flags."""
    if isinstance(value, Mapping) and (not value or any(isinstance(flag, bool) for flag in value.values())):
        value = [key for key, flag in value.items() if flag is True]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(sorted({printable(item)[:NAME_LENGTH] for item in value}))


_READERS: dict[str, Callable[[object], object]] = {
    **dict.fromkeys(COUNTS, count_of),
    **dict.fromkeys(WORDS, _word),
    **dict.fromkeys(LISTS, _list),
}
