"""What was believed of the past and is not any more.

A correction is a stretch of time over which an endpoint's terms are believed to be others than they were before an
instant. It lies within what had been looked at by then, from the source's first poll to its newest: what a document
tells of the time after that is news, and what it tells of the time before is history that nobody had believed anything
of. Absence that is confirmed at last ends what was open, and is a withdrawal, no correction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from store.read import Reader

LATE_MILLIS = 3_600_000
"""What was shown by a poll longer ago than this is found by an index of its own (see `store.tables`)."""

_LOOKED_TO = """(
    SELECT b.at FROM poll b
    WHERE b.source_id = {source} AND b.at < {known} AND b.known < {known} AND b.outcome <> 'failed'
    ORDER BY b.at DESC LIMIT 1
)"""
"""The newest instant that had been looked at. No poll is known before it is made."""
_LOOKED_FROM = """(
    SELECT b.at FROM poll b
    WHERE b.source_id = {source} AND b.known < {known} AND b.outcome <> 'failed'
    ORDER BY b.at LIMIT 1
)"""

_LATE = f"""
    i.known_from >= :since AND i.known_from < :until AND i.known_from <= :known
    AND i.first_seen <= {_LOOKED_TO.format(source="e.source_id", known="i.known_from")}
"""
CORRECTED = f"""
    SELECT i.endpoint_id, i.known_to AS known
    FROM "interval" i
    WHERE i.known_to >= :since AND i.known_to < :until AND i.known_to <= :known
    UNION
    SELECT i.endpoint_id, i.known_from
    FROM "interval" i
    CROSS JOIN endpoint e
    WHERE e.id = i.endpoint_id AND i.known_lag > {LATE_MILLIS} AND {_LATE}
    UNION
    SELECT i.endpoint_id, i.known_from
    FROM offered e
    CROSS JOIN "interval" i
    WHERE i.endpoint_id = e.id AND i.first_seen >= :late_since AND i.first_seen < :until
        AND i.known_lag <= {LATE_MILLIS} AND {_LATE}
"""  # noqa: S608 - put together from constants only
"""SQL: endpoints, and instants in [:since, :until) at which a belief about them may have been corrected."""

_LOOKED = f"SELECT {_LOOKED_FROM}, {_LOOKED_TO}".format(source=":source", known=":known")
_BELIEFS = """
SELECT i.known_from, i.known_to, i.end_known, i.first_seen, i.ended, i.end_reason, i.card_id, i.facts_id, d.sha256
FROM "interval" i
JOIN document d ON d.id = i.document_id
WHERE i.endpoint_id = :endpoint AND i.known_from <= :known AND (i.known_to IS NULL OR i.known_to >= :known)
ORDER BY i.first_seen
"""


@dataclass(frozen=True, slots=True)
class Term:
    """What an endpoint charges and is, by the keys of the store."""

    card_id: int
    facts_id: int | None
    """None: nothing is said of facts."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A stretch of time, in milliseconds, of which something else is believed than before."""

    since: int
    until: int | None
    old: Term | None
    """None: no offer."""
    new: Term | None
    document: str | None
    """SHA-256 of the document that shows the new terms, hex."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """An interval as it was believed."""

    first: int
    end: int | None
    withdrawn: bool
    term: Term
    document: str

    def holds(self, at: int) -> bool:
        """Whether an instant lies in it."""
        return self.first <= at and (self.end is None or at < self.end)


class Witness:
    """Tells what was corrected when."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._looked: dict[tuple[int, int], tuple[int | None, int | None]] = {}

    def corrections(self, endpoint_id: int, source_id: int, known: int) -> list[Correction]:
        """What became known otherwise about an endpoint at an instant, by time."""
        first, last = self._looked_at(source_id, known)
        if first is None or last is None:
            return []
        before: list[Stretch] = []
        after: list[Stretch] = []
        for row in self._reader.rows(_BELIEFS, {"endpoint": endpoint_id, "known": known}):
            known_from, known_to, end_known, start, ended, reason, card_id, facts_id, document = row
            term = Term(card_id, facts_id)
            if known_from < known:
                end = ended if end_known is not None and end_known < known else None
                before.append(Stretch(start, end, reason == "withdrawn", term, document))
            if known_to is None or known_to > known:
                end = ended if end_known is not None and end_known <= known else None
                after.append(Stretch(start, end, reason == "withdrawn", term, document))
        return compare(before, after, first, last)

    def _looked_at(self, source_id: int, known: int) -> tuple[int | None, int | None]:
        key = (source_id, known)
        if key not in self._looked:
            row = self._reader.row(_LOOKED, {"source": source_id, "known": known})
            self._looked[key] = (None, None) if row is None else (row[0], row[1])
        return self._looked[key]


def compare(before: Sequence[Stretch], after: Sequence[Stretch], first: int, last: int) -> list[Correction]:
    """The stretches that begin within [first, last] and of which something else is believed."""
    edges = {first, *(one.first for one in (*before, *after)), *(one.end for one in (*before, *after) if one.end)}
    starts = sorted(edge for edge in edges if edge >= first)
    found: list[Correction] = []
    for since, until in pairwise([*starts, None]):
        assert since is not None
        old, new = _at(before, since), _at(after, since)
        terms = (old.term if old else None, new.term if new else None)
        if terms[0] == terms[1]:
            continue
        if found and (found[-1].until, found[-1].old, found[-1].new) == (since, *terms):
            found[-1] = replace(found[-1], until=until)
        elif since <= last and not (until is None and _was_cut(old, new, after, since)):
            found.append(Correction(since, until, *terms, new.document if new else None))
    return found


def _was_cut(old: Stretch | None, new: Stretch | None, after: Iterable[Stretch], since: int) -> bool:
    """Whether what was believed to last is now withdrawn from an instant on."""
    if old is None or new is not None or old.first >= since:
        return False
    return any(one.withdrawn and one.end == since for one in after)


def _at(stretches: Iterable[Stretch], at: int) -> Stretch | None:
    return next((one for one in stretches if one.holds(at)), None)
