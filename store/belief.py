"""What was believed at an instant, and how far polls had looked by then.

Statements of the read side are put together from the fragments here, so that every question means the same by *known*.
`:known` is the instant of knowledge; `:seen` is the last instant that could have been seen by then.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import cache

from store.instants import from_millis, to_millis
from store.read import Reader, Value
from store.records import parts_from_text

EVER = 2**63 - 1
"""Later than any instant: all that is known."""

_NEWEST_POLL = """
SELECT * FROM (
    SELECT source_id, at, failed_parts FROM poll
    WHERE source_id = :source AND outcome <> 'failed' AND at <= :seen AND known <= :known
    ORDER BY at DESC LIMIT 1
) AS newest
"""
_WHOLE_POLL = """
SELECT at FROM poll
WHERE source_id = :source AND outcome = 'ok' AND at <= :seen AND known <= :known
ORDER BY at DESC LIMIT 1
"""
_PARTIAL_POLLS = """
SELECT at, failed_parts FROM poll
WHERE source_id = :source AND outcome = 'partial' AND at > :whole AND at <= :seen AND known <= :known
ORDER BY at DESC
"""


def believed(row: str, known: str = ":known") -> str:
    """SQL: a row was believed."""
    return f"{row}.known_from <= {known} AND ({row}.known_to IS NULL OR {row}.known_to > {known})"


def lasted(row: str, until: str, known: str = ":known", *, ended: str = "ended", end_known: str = "end_known") -> str:
    """SQL: no end of a row was known that lies at an instant or before it."""
    return f"({row}.{end_known} IS NULL OR {row}.{end_known} > {known} OR {row}.{ended} > {until})"


def at_end(row: str, column: str) -> str:
    """SQL: a value that is filled in with the end of a row; NULL as long as that was not known."""
    return f"CASE WHEN {row}.end_known <= :known THEN {row}.{column} END"


def newest(endpoint: str, before: str, known: str = ":known") -> str:
    """SQL: the first instant of an endpoint's newest interval that meets a condition on `x.first_seen`.

    Intervals believed at one instant do not overlap: none but that one can hold the instant of the condition.
    """
    return f"""(
        SELECT x.first_seen FROM "interval" x
        WHERE x.endpoint_id = {endpoint} AND x.first_seen {before} AND {believed("x", known)}
        ORDER BY x.first_seen DESC LIMIT 1
    )"""  # noqa: S608 - put together from constants only


def disputed(known: str = ":known") -> str:
    """SQL: something of endpoint `e` is held."""
    return f"""EXISTS (
        SELECT 1 FROM finding g WHERE g.endpoint_id = e.id AND g.held
            AND {believed("g", known)} AND g.first_seen <= :seen AND {lasted("g", ":seen", known)}
    )"""  # noqa: S608 - put together from constants only


class Coverage:
    """When a part of a source was last covered, by polls up to an instant and known at another.

    That is the `last_seen` of what is open and seen. Most sources have whole polls only; of those that came in part,
    only what is newer than the last whole one counts.
    """

    def __init__(self, reader: Reader, at: datetime, known: datetime | None = None) -> None:
        self.known_millis = EVER if known is None else to_millis(known)
        at_millis = to_millis(at)
        self.seen_millis = min(at_millis, self.known_millis)
        """The last instant that could have been seen; what is told of freshness is told as of then."""
        self.values: dict[str, Value] = {"at": at_millis, "seen": self.seen_millis, "known": self.known_millis}
        self._reader = reader
        self._newest: dict[int, tuple[int | None, frozenset[str]]] = {}
        self._whole: dict[int, int | None] = {}
        self._parts: dict[tuple[int, str], int | None] = {}
        self._before: dict[int, Coverage] = {}

    def last(self, source_id: int, part: str) -> int | None:
        """The stored instant of the newest poll that covered a part; None if there is none."""
        self.look_at((source_id,))
        at, failed = self._newest[source_id]
        if part not in failed:
            return at
        key = (source_id, part)
        if key not in self._parts:
            self._parts[key] = self._find(source_id, part)
        return self._parts[key]

    def look_at(self, source_ids: Iterable[int]) -> None:
        """Ask about several sources at once: every question on its own is a way to the server and back."""
        asked = dict.fromkeys(one for one in source_ids if one not in self._newest)
        if asked:
            named = {f"source{number}": one for number, one in enumerate(asked)}
            self._newest |= dict.fromkeys(asked, (None, frozenset()))
            for source_id, at, failed in self._reader.rows(_newest_polls(len(named)), self.values | named):
                self._newest[source_id] = (at, parts_from_text(failed))

    def before(self, known_to: int) -> "Coverage":
        """The same as it was known just before a stored instant."""
        if known_to not in self._before:
            at, known = from_millis(self.seen_millis), from_millis(known_to - 1)
            self._before[known_to] = Coverage(self._reader, at, known)
        return self._before[known_to]

    def _find(self, source_id: int, part: str) -> int | None:
        values = self.values | {"source": source_id}
        if source_id not in self._whole:
            row = self._reader.row(_WHOLE_POLL, values)
            self._whole[source_id] = None if row is None else row[0]
        whole = self._whole[source_id]
        newer = self._reader.rows(_PARTIAL_POLLS, values | {"whole": -(2**63) if whole is None else whole})
        for at, failed_parts in newer:
            if part not in parts_from_text(failed_parts):
                return int(at)
        return whole


@cache
def _newest_polls(count: int) -> str:
    return "UNION ALL".join(_NEWEST_POLL.replace(":source", f":source{number}") for number in range(count))
