"""Where a value stands in a JSON record: dotted paths such as `metadata.pricing.input_tokens`."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from collector.parse.doubt import Doubt, describe


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"

    def __str__(self) -> str:
        return self.value


MISSING: Final = Missing.MISSING
"""There is no such key; unlike null, which is a value."""


def value_at(record: object, path: str) -> object:
    """The value at a dotted path, or `MISSING`; the empty path is the record itself.

    A path that ends early, at a missing key or a null, is missing.
    Raises: Doubt if it leads through a value that has no keys (a list where an object used to be).
    """
    value = record
    if path:
        keys = path.split(".")
        for number, key in enumerate(keys):
            if value is None:
                return MISSING
            if not isinstance(value, Mapping):
                where = ".".join(keys[:number]) or "the record"
                raise Doubt("type", f"{where!r} is {describe(value)}, not an object")
            value = value.get(key, MISSING)
            if value is MISSING:
                return MISSING
    return value
