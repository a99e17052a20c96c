"""The polls that kept documents: what an archive is worth without its database, and a database without its archive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from store.instants import from_millis
from store.read import Reader
from store.records import parts_from_text

_POLLS = """
SELECT s.name, p.at, p.pack, p.pruned, p.failed_parts
FROM poll p
JOIN source s ON s.id = p.source_id
WHERE p.pack IS NOT NULL AND {asked}
ORDER BY s.name, p.at, p.pack, p.outcome = 'failed', p.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The documents of one poll."""

    source: str
    at: datetime
    pack: str
    """Archive key."""
    pruned: bool
    """Dropped by policy: the archive need not have them."""
    failed_parts: frozenset[str]


def kept_polls(reader: Reader, sources: Sequence[str] | None = None) -> Iterator[Kept]:
    """Polls with documents, also those whose documents were refused, by source and instant; each once."""
    before = None
    values = {f"source_{number}": name for number, name in enumerate(sources or ())}
    asked = "1 = 1" if sources is None else f"s.name IN ({', '.join(f':{one}' for one in values)})"
    for name, at, pack, pruned, failed_parts in reader.stream(_POLLS.format(asked=asked), values):
        if (name, at, pack) != before:
            before = (name, at, pack)
            failed = parts_from_text(failed_parts)
            yield Kept(source=name, at=from_millis(at), pack=pack, pruned=pruned is not None, failed_parts=failed)
