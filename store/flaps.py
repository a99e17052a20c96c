"""Prices that go away and come back: marked where it is repeated, for nobody should act on one of them alone.

Most have a reason, such as the hour of the day. They are no reason to doubt either price: nothing is held for it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from store.intervals import IntervalRow, prices_only

AWAY = timedelta(days=3)
"""A price that stays away for longer has changed, and changed back."""


def flaps(intervals: Iterable[IntervalRow]) -> tuple[datetime, ...]:
    """When an endpoint's price came back after a short time of another one; empty if that was so once only.

    `intervals` are its own, oldest first.
    """
    prices = [*prices_only(intervals)]
    found = tuple(
        now.first_seen
        for (before, other), (_, now) in pairwise(pairwise(prices))
        if before.card == now.card
        and (before.ended, other.ended) == (other.first_seen, now.first_seen)
        and now.first_seen - other.first_seen <= AWAY
    )
    return found if len(found) > 1 else ()
