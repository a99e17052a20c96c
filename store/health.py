"""How collecting goes, in figures: the newest poll of every source, and the store itself."""

from typing import NamedTuple

from store.read import Reader

_NEWEST = """
SELECT s.name, b.outcome, b.at, b.duration_ms, b.body_bytes, b.requests, b.quotes, b.changes, b.held, (
        SELECT g.at FROM poll g WHERE g.source_id = s.id AND g.outcome <> 'failed' ORDER BY g.at DESC LIMIT 1
    ), s.every_s
FROM source s
JOIN poll b ON b.id = (SELECT p.id FROM poll p WHERE p.source_id = s.id ORDER BY p.at DESC, p.id DESC LIMIT 1)
ORDER BY s.name
"""


class PollRow(NamedTuple):
    """The newest poll of a source."""

    source: str
    outcome: str
    """`ok`, `partial` or `failed`."""
    at_ms: int
    """Milliseconds since 1970, as all instants here."""
    duration_ms: int
    body_bytes: int
    requests: int
    quotes: int
    changes: int
    held: int
    last_success_ms: int | None
    every_s: int


def newest_polls(reader: Reader) -> list[PollRow]:
    """Of every source that was ever polled, by name."""
    return [PollRow(*row) for row in reader.rows(_NEWEST)]
