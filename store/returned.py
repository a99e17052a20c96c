"""Documents that come back: those of a poll before others came, sent again.

A cache that is behind sends them, and so does an upstream that takes back what it said. Nothing tells the two apart but
time and what comes next, so what they say otherwise than those after them waits (`collector.checks`).
"""

from datetime import datetime, timedelta

from store.records import Returned

ROLLBACK = "rollback"
"""The finding that stands as long as documents that came back are not believed."""


BEHIND = timedelta(days=30)
"""No cache is further behind: what was said longer ago, and is said again, is said anew."""


class Sent:
    """The documents that a source sent, by their archive keys, poll by poll in the order of their instants."""

    def __init__(self) -> None:
        self._last: dict[str, datetime] = {}
        self._pack = ""
        self._returned: Returned | None = None

    def take(self, at: datetime, pack: str) -> Returned | None:
        """Go on to the next poll that was read; what came back with it, if its documents are old ones."""
        if pack != self._pack:
            of = self._last.get(pack)
            self._returned = None if of is None or at - of > BEHIND else Returned(since=at, of=of)
            self._pack = pack
        self._last[pack] = at
        return self._returned
