"""What was in force when, of one model after another, for millions of questions about the past.

Between two instants at which anything about a model's offers changes (a price begins or ends, an offer goes unseen, a
source falls silent until it is stale or expires, or is heard again), every answer is the same. So the store is asked
once for each such stretch of time, by the question that all others ask (`store.intervals.endpoints`).
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from store.belief import EVER
from store.constraints import GONE
from store.costing import Unpriced
from store.currency import Converter
from store.instants import from_millis, to_millis
from store.intervals import GRACE_S, IntervalRow, endpoints
from store.offers import Wanted, choose
from store.read import Reader, Value
from store.ready import ReadyCard
from store.records import RateCard
from store.routing import EXPIRY, believed
from store.variants import told_apart

KEPT = 20_000
"""Stretches held in memory."""
_MILLISECOND = timedelta(milliseconds=1)

_CHANGES = """
SELECT i.first_seen FROM model m JOIN endpoint e ON e.model_id = m.id JOIN "interval" i ON i.endpoint_id = e.id
WHERE m.name = :model
UNION SELECT i.ended FROM model m JOIN endpoint e ON e.model_id = m.id JOIN "interval" i ON i.endpoint_id = e.id
WHERE m.name = :model AND i.ended IS NOT NULL
UNION SELECT t.since FROM model m JOIN endpoint e ON e.model_id = m.id JOIN stated t ON t.endpoint_id = e.id
WHERE m.name = :model AND t.since IS NOT NULL
UNION SELECT t.until FROM model m JOIN endpoint e ON e.model_id = m.id JOIN stated t ON t.endpoint_id = e.id
WHERE m.name = :model AND t.until IS NOT NULL
UNION SELECT u.since FROM model m JOIN endpoint e ON e.model_id = m.id JOIN gap u ON u.endpoint_id = e.id
WHERE m.name = :model
UNION SELECT u.until FROM model m JOIN endpoint e ON e.model_id = m.id JOIN gap u ON u.endpoint_id = e.id
WHERE m.name = :model AND u.until IS NOT NULL
UNION SELECT g.first_seen FROM model m JOIN endpoint e ON e.model_id = m.id JOIN finding g ON g.endpoint_id = e.id
WHERE m.name = :model
UNION SELECT g.ended FROM model m JOIN endpoint e ON e.model_id = m.id JOIN finding g ON g.endpoint_id = e.id
WHERE m.name = :model AND g.ended IS NOT NULL
UNION SELECT u.last_seen + 1000 * (2 * s.every_s + :grace) + 1 FROM model m JOIN endpoint e ON e.model_id = m.id
JOIN gap u ON u.endpoint_id = e.id JOIN source s ON s.id = e.source_id
WHERE m.name = :model
UNION SELECT u.last_seen + :expiry + 1 FROM model m JOIN endpoint e ON e.model_id = m.id
JOIN gap u ON u.endpoint_id = e.id
WHERE m.name = :model
UNION SELECT u.since + :gone + 1 FROM model m JOIN endpoint e ON e.model_id = m.id JOIN gap u ON u.endpoint_id = e.id
WHERE m.name = :model
"""
_SOURCES = """
SELECT DISTINCT s.id, s.every_s FROM model m JOIN endpoint e ON e.model_id = m.id JOIN source s ON s.id = e.source_id
WHERE m.name = :model
"""
_SILENCES = """
SELECT at, following FROM (
    SELECT at, LEAD(at) OVER (ORDER BY at) AS following FROM poll
    WHERE source_id = :source AND outcome = 'ok' AND known <= :known
) AS polls
WHERE following IS NULL OR following - at > :limit
ORDER BY at
"""
_FIRST = "SELECT MIN(at) FROM poll WHERE source_id = :source AND outcome = 'ok' AND known <= :known"
_PARTIAL = """
SELECT at FROM poll
WHERE source_id = :source AND outcome = 'partial' AND known <= :known AND at > :since AND at < :until
"""
_CURRENCIES = """
SELECT c.currency FROM model m JOIN endpoint e ON e.model_id = m.id JOIN "interval" i ON i.endpoint_id = e.id
JOIN rate_card c ON c.id = i.card_id WHERE m.name = :model AND c.currency <> :currency
UNION SELECT c.currency FROM model m JOIN endpoint e ON e.model_id = m.id JOIN stated t ON t.endpoint_id = e.id
JOIN rate_card c ON c.id = t.card_id WHERE m.name = :model AND c.currency <> :currency
"""


class Offer(NamedTuple):
    """An offer, ready to price requests."""

    row: IntervalRow
    ready: ReadyCard


class Stretch:
    """A model's offers in a stretch of time in which nothing about them changed."""

    __slots__ = ("_chosen", "_into", "_offers", "_others", "_ready", "at", "rows")

    def __init__(
        self, rows: list[IntervalRow], at: datetime, into: Converter, ready: Callable[[RateCard], ReadyCard]
    ) -> None:
        self.rows = rows
        """As of `at`: another instant of the stretch may be a little further from when they were last seen."""
        self.at = at
        self._into, self._ready = into, ready
        self._chosen: dict[Wanted, Offer | Unpriced] = {}
        self._others: dict[tuple[Wanted, re.Pattern[str]], list[Wanted]] = {}
        self._offers: list[Offer] | None = None

    def chosen(self, wanted: Wanted) -> Offer | Unpriced:
        """The offer that is meant; see `store.offers.choose`."""
        found = self._chosen.get(wanted)
        if found is None:
            row = choose(self.rows, wanted, self.at, self._into)
            found = self._chosen[wanted] = row if isinstance(row, Unpriced) else Offer(row, self._ready(row.card))
        return found

    def others(self, wanted: Wanted, kind: re.Pattern[str]) -> list[Wanted]:
        """Variants of the same provider that differ in parts of one kind only (`store.variants`)."""
        found = self._others.get((wanted, kind))
        if found is None:
            one = self.chosen(wanted)
            provider = wanted.provider if isinstance(one, Unpriced) else one.row.provider
            ours, rest = told_apart(wanted.variant if isinstance(one, Unpriced) else one.row.variant, kind)
            variants = {
                "/".join(sorted(theirs | rest))
                for row in self.rows
                if row.provider == provider
                for theirs, others in (told_apart(row.variant, kind),)
                if others == rest and theirs != ours
            }
            found = self._others[wanted, kind] = [
                wanted._replace(provider=provider, variant=variant, endpoint="", published="")
                for variant in sorted(variants)
            ]
        return found

    def believed(self) -> list[Offer]:
        """All offers that compete: for each provider those of its most trusted source that is fresh."""
        if self._offers is None:
            rows = believed(self.rows, self.at, self._into)
            self._offers = [Offer(row, self._ready(row.card)) for row in rows]
        return self._offers


class Stretches:
    """The stretches of every model that is asked about, in the belief of one instant."""

    def __init__(self, reader: Reader, into: Converter, known: datetime | None = None) -> None:
        self._reader, self._into, self._known = reader, into, known
        self._changes: dict[str, list[int]] = {}
        self._silences: dict[int, list[int]] = {}
        self._foreign: dict[str, bool] = {}
        self._made_ready: dict[int, ReadyCard] = {}
        self._kept: dict[tuple[str, int, date | None], Stretch] = {}

    def at(self, model: str, at: datetime) -> Stretch:
        """The stretch in which an instant lies."""
        changes = self._changes.get(model)
        if changes is None:
            changes = self._changes[model] = self._found(model)
        place = bisect_right(changes, to_millis(at))
        # What a foreign price is worth, and whether that is known, is a matter of the day.
        key = (model, place, at.date() if self._foreign[model] else None)
        stretch = self._kept.get(key)
        if stretch is None:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            rows = endpoints(self._reader, model, at, known=self._known)
            stretch = self._kept[key] = Stretch(rows, at, self._into, self._ready)
        return stretch

    def _ready(self, card: RateCard) -> ReadyCard:
        """A card made ready once: a reader hands out one object for it again and again."""
        ready = self._made_ready.get(id(card))
        if ready is None:
            if len(self._made_ready) >= KEPT:
                self._made_ready.clear()
            ready = self._made_ready[id(card)] = ReadyCard(card)
        return ready

    def during(self, model: str, since: datetime, until: datetime) -> Iterator[Stretch]:
        """Those that have any time in [since, until)."""
        yield self.at(model, since)
        last = to_millis(until)
        for change in self._changes[model][bisect_right(self._changes[model], to_millis(since)) :]:
            if change >= last:
                return
            yield self.at(model, from_millis(change))

    def _found(self, model: str) -> list[int]:
        """The instants at which anything may change, in order."""
        values: dict[str, Value] = {
            "model": model,
            "grace": GRACE_S,
            "expiry": EXPIRY // _MILLISECOND,
            "gone": GONE // _MILLISECOND,
        }
        found = {int(at) for (at,) in self._reader.rows(_CHANGES, values)}
        for source, every_s in self._reader.rows(_SOURCES, {"model": model}):
            if source not in self._silences:
                self._silences[source] = list(self._heard(source, 1000 * (2 * every_s + GRACE_S)))
            found.update(self._silences[source])
        if self._known is not None:
            found.add(to_millis(self._known))
        currencies = self._reader.rows(_CURRENCIES, {"model": model, "currency": self._into.currency})
        self._foreign[model] = next(currencies, None) is not None
        return sorted(found)

    def _heard(self, source: int, limit: int) -> Iterator[int]:
        """When a source, or a part of it, may have become stale, expired, or fresh again.

        Of whole polls that follow each other closely enough none does: so these are the ends of longer silences, and
        the polls in them that came in part.
        """
        values = {"source": source, "known": EVER if self._known is None else to_millis(self._known)}
        silences = [(int(at), following) for at, following in self._reader.rows(_SILENCES, values | {"limit": limit})]
        first = self._reader.row(_FIRST, values)
        if first is not None and first[0] is not None:
            silences.append((-EVER, first[0]))
        for at, following in silences or [(-EVER, None)]:
            until = EVER if following is None else int(following)
            heard = [int(one) for (one,) in self._reader.rows(_PARTIAL, values | {"since": at, "until": until})]
            yield from _ends([at, *heard, until], limit)


def _ends(heard: Iterable[int], limit: int) -> Iterator[int]:
    for at in heard:
        if abs(at) != EVER:
            yield at
            yield at + limit + 1
            yield at + EXPIRY // _MILLISECOND + 1
