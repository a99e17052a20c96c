"""What was asked of a source, and where the documents are that prices rest on."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from store.belief import EVER
from store.errors import ArchiveDamaged, NothingMatched
from store.instants import from_millis, to_millis
from store.read import Reader, Value
from store.records import Document
from store.text import one_line

_POLLS = """
SELECT b.id, b.at, b.known, b.outcome, b.code, b.message, b.quotes, b.changes, b.held, b.requests, b.body_bytes,
    b.pruned
FROM poll b JOIN source s ON s.id = b.source_id
WHERE s.name = :source AND b.at <= :at AND b.known <= :known
ORDER BY b.at DESC, b.id DESC LIMIT :most
"""
_EVIDENCE = "SELECT d.part, d.sha256, d.url FROM document d WHERE d.poll_id = :poll ORDER BY d.part LIMIT :most"
_HOLDING = """
SELECT s.name, b.at, b.pack, b.pruned, d.part, d.url
FROM document d JOIN poll b ON b.id = d.poll_id JOIN source s ON s.id = b.source_id
WHERE d.sha256 = :sha256 ORDER BY b.at, d.id
"""
_EXISTS = "SELECT 1 FROM source WHERE name = :source"
DOCUMENTS = 12
"""Documents that are told of one poll."""


class EvidenceRow(NamedTuple):
    """A document that something stored rests on."""

    part: str
    """Of a fan-out, what was asked for; empty for the first document."""
    sha256: str
    url: str


class PollRow(NamedTuple):
    """One attempt at a source."""

    at: datetime
    known: datetime
    """When it was written; later than `at` for a document that arrived late."""
    outcome: str
    """`ok`, `partial` or `failed`."""
    code: str | None
    message: str | None
    quotes: int
    changes: int
    held: int
    requests: int
    body_bytes: int
    pruned: datetime | None
    """When its documents were dropped, as asked for."""
    documents: tuple[EvidenceRow, ...]
    """Of those that something rests on, the first few by part; a poll that showed nothing new has none."""


class Kept(NamedTuple):
    """A document and where it was met first."""

    source: str
    polled_at: datetime
    part: str
    url: str
    polls: int
    """In how many polls it is evidence."""
    body: bytes | None
    missing: str | None
    """Why there is no body."""


def polls(reader: Reader, source: str, at: datetime, *, known: datetime | None = None, most: int = 25) -> list[PollRow]:
    """The newest polls of a source up to an instant, as known at another (None: all that is known), newest first.

    Raises: NothingMatched if no such source was ever polled.
    """
    if reader.row(_EXISTS, {"source": source}) is None:
        raise NothingMatched(f"no source {one_line(source, 80)!r} in this store; see `tokentape sources`")
    values: dict[str, Value] = {
        "source": source,
        "at": to_millis(at),
        "known": EVER if known is None else to_millis(known),
        "most": most,
    }
    found = []
    for key, when, written, *told, pruned in list(reader.rows(_POLLS, values)):
        kept = tuple(EvidenceRow(*row) for row in reader.rows(_EVIDENCE, {"poll": key, "most": DOCUMENTS}))
        dropped = None if pruned is None else from_millis(pruned)
        found.append(PollRow._make((from_millis(when), from_millis(written), *told, dropped, kept)))
    return found


def document(reader: Reader, sha256: str, *, archive: Path | None = None) -> Kept:
    """A document by the SHA-256 of its bytes, in hex: from the archive beside the store, or `archive`, verified.

    Raises: NothingMatched if nothing rests on such a document.
    """
    holding = list(reader.rows(_HOLDING, {"sha256": sha256}))
    if not holding:
        raise NothingMatched(f"nothing in this store rests on a document {one_line(sha256, 80)!r}")
    why = "no poll that met it kept its documents"
    for source, at, pack, pruned, part, _ in holding:
        if pack is None:
            continue
        found, why = _archived(archive or reader.archive, pack, (source, part, sha256), from_millis(at))
        if found is not None:
            return Kept(source, from_millis(at), part, found.url, len(holding), found.body, None)
        if pruned is not None:
            why = f"it was dropped from the archive on {from_millis(pruned):%Y-%m-%d}, as asked for"
    source, at, _, _, part, url = holding[0]
    return Kept(source, from_millis(at), part, url, len(holding), None, why)


def _archived(archive: Path, pack: str, name: tuple[str, str, str], at: datetime) -> tuple[Document | None, str]:
    from store.archive import Archive  # brings a decompressor

    source, part, sha256 = name
    try:
        documents = Archive(archive).documents(pack, source=source, fetched_at=at)
    except ArchiveDamaged as error:
        return None, str(error)
    found = next((one for one in documents if one.part == part and one.sha256 == sha256), None)
    return found, "the archived documents of that poll do not hold this one"
