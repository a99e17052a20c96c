"""Objects that take from others what they do not say themselves."""

from collections.abc import Mapping
from typing import Any


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An object laid over another: objects in both key by key, everything else as its own."""
    both = dict(base)
    for key, value in own.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return both


def without(value: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """An object without what stands at a dotted path, nor the objects that would be left empty by that.

    The same object where nothing stands there.
    """
    key, _, rest = path.partition(".")
    if key not in value:
        return value
    left: Any = None
    if rest:
        inner = value[key]
        left = without(inner, rest) if isinstance(inner, Mapping) else inner
        if left is inner:
            return value
    return {name: left if name == key else one for name, one in value.items() if name != key or left}
