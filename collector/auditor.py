"""A whole price table against a store: which rows of the tape each of its offers is held against."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from collector.audit import Independent, Remark, remarks
from collector.foreign import PriceTable
from collector.settings import CheckSettings
from store.intervals import IntervalRow, endpoints, history
from store.read import Reader

KEPT = 1024
"""Models whose offers are held in memory."""


class Auditor:
    """Goes through a price table, offer by offer, and counts what it meets."""

    def __init__(
        self,
        table: PriceTable,
        reader: Reader,
        at: datetime,
        *,
        known: datetime,
        settings: CheckSettings,
        independent: Independent,
    ) -> None:
        """As of an instant, as known at another; what the table's own source says on the tape proves nothing."""
        self.offers = 0
        self.sound = 0
        """Offers with nothing wrong."""
        self.wrong: Counter[str] = Counter()
        """Kind -> offers with something of that kind."""
        self._table = table
        self._reader = reader
        self._at = at
        self._known = known
        self._settings = settings
        self._independent = independent
        self._in_force = lru_cache(maxsize=KEPT)(self._find_in_force)
        self._past = lru_cache(maxsize=KEPT)(self._find_past)

    def remarks(self) -> Iterator[Remark]:
        """What is wrong, in the order of the table, as it is read."""
        for one in self._table.offers:
            self.offers += 1
            model, provider = one.identity.model, one.identity.provider

            def past(model: str = model, provider: str = provider) -> list[IntervalRow]:
                return self._past(model, provider)

            found = remarks(one, self._in_force(model), past, self._at, self._settings, self._independent)
            self.sound += not found
            self.wrong.update({remark.kind for remark in found})
            yield from found

    def _find_in_force(self, model: str) -> list[IntervalRow]:
        rows = endpoints(self._reader, model, self._at, known=self._known)
        return [row for row in rows if row.source != self._table.source]

    def _find_past(self, model: str, provider: str) -> list[IntervalRow]:
        rows = history(self._reader, model, self._at, known=self._known, provider=provider, stated=True)
        return [row for row in rows if row.source != self._table.source]
