"""How long archived documents are kept: apart from what does it, for a configuration is read without a database."""

from dataclasses import dataclass
from typing import Literal

Then = Literal["daily", "weekly", "evidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which archived documents are kept (see `store.retention`)."""

    full_s: int | None = None
    """Seconds for which all are kept; None: for ever."""
    then: Then = "daily"
    """Of older ones, what stays beside those that something rests on: the first of each day, or week, or nothing."""
