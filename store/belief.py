"""What was believed at an instant, and how far polls had looked by then.

Statements of the read side are put together from the fragments here, so that every question means the same by *known*.
`:known` is the instant of knowledge; `:seen` is the last instant that could have been seen by then.
"""

import json
from datetime import datetime, timedelta

from store.instants import from_millis, to_millis
from store.read import Reader, Value

EVER = 2**63 - 1
"""Later than any instant: all that is known."""

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


def newest(endpoint: str, before: str) -> str:
    """SQL: the first instant of an endpoint's newest interval that meets a condition on `x.first_seen`.

    Intervals believed at one instant do not overlap: none but that one can hold the instant of the condition.
    """
    return f"""(
        SELECT x.first_seen FROM "interval" x
        WHERE x.endpoint_id = {endpoint} AND x.first_seen {before} AND {believed("x")}
        ORDER BY x.first_seen DESC LIMIT 1
    )"""  # noqa: S608 - put together from constants only


class Coverage:
    """When a part of a source was last covered, by polls up to an instant and known at another.

    That is the `last_seen` of what is open and seen. Most sources have whole polls only; of those that came in part,
    only what is newer than the last whole one counts.
    """

    def __init__(self, reader: Reader, at: datetime, known: datetime | None = None) -> None:
        self.at = at if known is None else min(at, known)
        """The last instant that could have been seen; what is told of freshness is told as of then."""
        self.known_millis = EVER if known is None else to_millis(known)
        self.values: dict[str, Value] = {"at": to_millis(at), "seen": to_millis(self.at), "known": self.known_millis}
        self._reader = reader
        self._whole: dict[int, int | None] = {}
        self._last: dict[tuple[int, str], datetime | None] = {}
        self._before: dict[datetime, Coverage] = {}

    def last(self, source_id: int, part: str) -> datetime | None:
        """The newest poll that covered a part; None if there is none."""
        key = (source_id, part)
        if key not in self._last:
            found = self._find(source_id, part)
            self._last[key] = None if found is None else from_millis(found)
        return self._last[key]

    def before(self, known_to: datetime) -> "Coverage":
        """The same as it was known just before an instant."""
        if known_to not in self._before:
            self._before[known_to] = Coverage(self._reader, self.at, known_to - timedelta(milliseconds=1))
        return self._before[known_to]

    def _find(self, source_id: int, part: str) -> int | None:
        values = self.values | {"source": source_id}
        if source_id not in self._whole:
            row = self._reader.row(_WHOLE_POLL, values)
            self._whole[source_id] = None if row is None else row[0]
        whole = self._whole[source_id]
        newer = self._reader.rows(_PARTIAL_POLLS, values | {"whole": -(2**63) if whole is None else whole})
        for at, failed_parts in newer:
            if part not in json.loads(failed_parts or "[]"):
                return int(at)
        return whole
