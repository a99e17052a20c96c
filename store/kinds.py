"""What the cells of each column are, for forms that have types: the same name is the same kind in every answer."""

from datetime import datetime
from importlib.util import find_spec
from typing import Literal, TypeAlias

from store.errors import QueryError
from store.records import COUNT_FACTS
from store.units import CORE_METERS

Kind: TypeAlias = Literal["amount", "percent", "instant", "count", "flag", "text"]
"""`amount` and `percent` are plain decimals; `text` is what CSV has, with JSON for what has parts."""

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(CORE_METERS, "amount"),
    **dict.fromkeys(COUNT_FACTS, "count"),
    **dict.fromkeys(("stale", "disputed", "open_weights", "trains_on_prompts"), "flag"),
    **dict.fromkeys(("first_seen", "last_seen", "not_before", "ended", "unseen_since"), "instant"),
    **dict.fromkeys(("stated_since", "stated_until", "known_from", "known_to"), "instant"),
    **dict.fromkeys(("seen", "known", "since", "until"), "instant"),
    "change_percent": "percent",
}


def kind_of(column: str) -> Kind:
    """The kind of a column of `export`."""
    return _KINDS.get(column, "text")


def needs(form: str, package: str) -> None:
    """Make sure that a package is there, before anything is asked.

    Raises: QueryError, naming how to get it.
    """
    if find_spec(package) is None:
        raise QueryError(f"{form} needs {package}: pip install 'tokentape[reports]'")


def month_of(cell: object) -> str:
    """The month of an instant, `2026-08`."""
    return f"{cell:%Y-%m}" if isinstance(cell, datetime) else "unknown"
