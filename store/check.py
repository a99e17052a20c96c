"""What can be checked inside a store: structure, beliefs that overlap, values stored once, evidence and archive."""

from collections.abc import Iterator
from hashlib import sha256

from sqlalchemy import Connection, text

from store import seal
from store.archive import Archive
from store.db import driver, on_sqlite
from store.errors import ArchiveDamaged, StoreForeign
from store.instants import from_millis
from store.records import Facts, RateCard
from store.touched import AT_REST
from store.units import CORE_METERS

_CARDS = text("SELECT id, digest, currency, input, output, cache_read, cache_write, body FROM rate_card")
_FACTS = text("SELECT id, digest, context_length, max_output_tokens, quantization, body FROM facts")
_EVIDENCE = text(
    """
    SELECT poll.id, poll.at, poll.pack, source.name, document.part, document.sha256, document.url
      FROM document JOIN poll ON poll.id = document.poll_id JOIN source ON source.id = poll.source_id
     ORDER BY poll.id
    """
)
_OVERLAPS = text(
    """
    SELECT source.name, endpoint.published_provider, endpoint.published_model, endpoint.tag, one.first_seen
      FROM (SELECT endpoint_id, first_seen, lasted,
                   lead(first_seen) OVER (PARTITION BY endpoint_id ORDER BY first_seen) AS next_seen
              FROM span WHERE known_to IS NULL) AS one
      JOIN endpoint ON endpoint.id = one.endpoint_id JOIN source ON source.id = endpoint.source_id
     WHERE one.lasted < 0 OR one.next_seen < one.first_seen + one.lasted
        OR (one.next_seen IS NOT NULL AND one.lasted IS NULL)
     ORDER BY one.endpoint_id, one.first_seen
    """
)
_AT_REST = text(
    """
    SELECT source.name, endpoint.published_provider, endpoint.published_model, endpoint.tag
      FROM endpoint JOIN source ON source.id = endpoint.source_id
     WHERE endpoint.mark = :rest AND EXISTS (
           SELECT 1 FROM span WHERE span.endpoint_id = endpoint.id AND span.known_to IS NULL AND span.lasted IS NULL)
     ORDER BY endpoint.id
    """
)


def structure(connection: Connection) -> Iterator[str]:
    """What SQLite itself finds, and its seal. PostgreSQL holds every row to its constraints when it is written."""
    if not on_sqlite(connection):
        return
    for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if line != "ok":
            yield f"store: {line}"
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"store: row {row[1]} of {row[0]} points to no {row[2]}"
    yield from seal.faults(driver(connection))


def overlaps(connection: Connection) -> Iterator[str]:
    """Intervals that are believed and go on after the next one of their endpoint has begun."""
    for source, provider, model, tag, first_seen in connection.execute(_OVERLAPS):
        began = f"{from_millis(first_seen):%Y-%m-%dT%H:%M:%SZ}"
        yield f"{source}: {provider} {model} {tag}: the interval from {began} overlaps the next one"


def marks(connection: Connection) -> Iterator[str]:
    """Endpoints that a poll would pass by although they have a price in force."""
    for source, provider, model, tag in connection.execute(_AT_REST, {"rest": AT_REST}):
        yield f"{source}: {provider} {model} {tag}: has a price in force and is marked as ended"


def values(connection: Connection) -> Iterator[str]:
    """Rate cards and facts that are not what their digest says, or whose columns are not what their text says."""
    for row in connection.execute(_CARDS):
        try:
            card = RateCard.from_text(row.body)
            whole = sha256(row.body.encode()).hexdigest() == row.digest and card.currency == row.currency
            whole = whole and all(card.amount(meter) == getattr(row, meter) for meter in CORE_METERS)
        except (StoreForeign, AttributeError):
            whole = False
        if not whole:
            yield f"store: rate card {row.id} is damaged"
    for row in connection.execute(_FACTS):
        try:
            facts = Facts.from_text(row.body)
            whole = sha256(row.body.encode()).hexdigest() == row.digest and (
                facts.context_length,
                facts.max_output_tokens,
                facts.quantization,
            ) == (row.context_length, row.max_output_tokens, row.quantization)
        except (StoreForeign, AttributeError):
            whole = False
        if not whole:
            yield f"store: facts {row.id} are damaged"


def evidence(connection: Connection, archive: Archive) -> Iterator[str]:
    """Documents named as evidence that are not those of their poll."""
    poll = None
    held: dict[str, tuple[str, str]] = {}
    for row in connection.execute(_EVIDENCE):
        if row.id != poll:
            poll, held = row.id, {}
            try:
                documents = archive.documents(row.pack, source=row.name, fetched_at=from_millis(row.at))
                held = {one.part: (one.sha256, one.url) for one in documents}
            except ArchiveDamaged:
                poll = row.id  # told where the archive is checked
                continue
        if held and held.get(row.part) != (row.sha256, row.url):
            polled = f"{from_millis(row.at):%Y-%m-%dT%H:%M:%SZ}"
            yield f"{row.name}: document {row.sha256[:12]} of the poll at {polled} is not there"
