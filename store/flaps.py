"""Prices that go away and come back: marked where it is repeated, for nobody should act on one of them alone.

Most have a reason, such as the hour of the day. They are no reason to doubt either price: nothing is held for it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

AWAY = timedelta(days=3)
"""A price that stays away for longer has changed, and changed back."""


class Span(NamedTuple):
    """How long an endpoint had a price."""

    card_id: int
    first_seen: datetime
    ended: datetime | None


def flaps(spans: Iterable[Span]) -> tuple[datetime, ...]:
    """When an endpoint's price came back after a short time of another one; empty if that was so once only.

    `spans` are its own, oldest first; where only facts moved, two that follow each other have the same price.
    """
    prices: list[Span] = []
    for one in spans:
        if prices and (prices[-1].card_id, prices[-1].ended) == (one.card_id, one.first_seen):
            prices[-1] = prices[-1]._replace(ended=one.ended)
        else:
            prices.append(one)
    found = tuple(
        now.first_seen
        for (before, other), (_, now) in pairwise(pairwise(prices))
        if before.card_id == now.card_id
        and (before.ended, other.ended) == (other.first_seen, now.first_seen)
        and now.first_seen - other.first_seen <= AWAY
    )
    return found if len(found) > 1 else ()
