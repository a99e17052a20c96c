"""The whole ledger for other engines: every belief on both clocks, as integers, a line of CSV for each.

Numbers stand as they are stored: instants are milliseconds since 1970 UTC, amounts 1e-9 currency units per 1M tokens or
per single thing. A line is made by the database and only written here, so that ten million take seconds; `STATEMENT` is
the same as a table, and `sqlite3 -csv -header`, or COPY of PostgreSQL, makes the very same bytes of it.
"""

from collections.abc import Iterator
from io import StringIO
from itertools import groupby, islice
from operator import itemgetter
from typing import TextIO

from store.columns import Cell
from store.errors import StoreForeign
from store.export import Written, csv_writer, make_safe
from store.read import Reader
from store.records import endpoint_reference

NAMES = ("model", "provider", "endpoint", "variant", "source")
ROWS_AT_ONCE = 1000

_COLUMNS = {
    "endpoint_id": "i.endpoint_id",
    "first_seen_ms": "i.first_seen",
    "known_from_ms": "i.known_from",
    "known_to_ms": "i.known_to",
    "not_before_ms": "i.not_before",
    "last_seen_ms": "i.last_seen",
    "ended_ms": "i.ended",
    "end_reason": "i.end_reason",
    "end_known_ms": "i.end_known",
    "card_id": "i.card_id",
    "currency": "c.currency",
    "input_nano": "c.input",
    "output_nano": "c.output",
    "cache_read_nano": "c.cache_read",
    "cache_write_nano": "c.cache_write",
    "facts_id": "i.facts_id",
    "context_length": "f.context_length",
    "max_output_tokens": "f.max_output_tokens",
    "document_id": "i.document_id",
}
"""Column -> where it stands: numbers and our own words, nothing that was published."""
_LEDGER = """
FROM "interval" i
JOIN rate_card c ON c.id = i.card_id
JOIN facts f ON f.id = i.facts_id
ORDER BY i.endpoint_id, i.first_seen, i.known_lag
"""
STATEMENT = f"SELECT {', '.join(f'{place} AS {name}' for name, place in _COLUMNS.items())}{_LEDGER}"
"""SQL: the ledger as a table."""
_ENDPOINTS = """
SELECT e.id, m.name, p.name, e.published_model, e.tag, e.sibling, e.variant, s.name
FROM endpoint e
JOIN model m ON m.id = e.model_id
JOIN provider p ON p.id = e.provider_id
JOIN source s ON s.id = e.source_id
ORDER BY e.id
"""


def write(out: TextIO, reader: Reader) -> Written:
    """Write the ledger, by endpoint and time, in constant memory."""
    out.write(f"{','.join(_COLUMNS)}\n")
    count = 0
    for lines in reader.csv(tuple(_COLUMNS.values()), _LEDGER):
        out.write(lines)
        count += lines.count("\n")
    out.flush()
    return Written(rows=count)


def write_named(out: TextIO, reader: Reader, *, raw: bool = False) -> Written:
    """The same with the names of each endpoint before its numbers, safe as all published text unless `raw`."""
    out.write(f"{','.join((*NAMES, *_COLUMNS))}\n")
    rows = reader.stream(f"SELECT i.endpoint_id, {reader.line(tuple(_COLUMNS.values()))}{_LEDGER}")
    endpoints = _named(reader, raw=raw)
    named = 0
    count = guarded = 0
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        for endpoint_id, group in groupby(batch, itemgetter(0)):
            while named != endpoint_id:  # both are in the order of endpoints
                found = next(endpoints, None)
                if found is None:
                    raise StoreForeign(f"store {reader.name} is damaged: endpoint {endpoint_id} is missing")
                named, names, cells = found
            lines = [f"{names},{line}" for _, line in group]
            out.write("".join(lines))
            count += len(lines)
            guarded += cells * len(lines)
    out.flush()
    return Written(rows=count, guarded=guarded)


def _named(reader: Reader, *, raw: bool) -> Iterator[tuple[int, str, int]]:
    """Every endpoint by its key, with its names as CSV and how many of them had to be guarded."""
    for endpoint_id, model, provider, published_model, tag, sibling, variant, source in reader.stream(_ENDPOINTS):
        cells: list[Cell] = [model, provider, endpoint_reference(published_model, tag, sibling), variant, source]
        guarded = make_safe(cells, raw=raw)
        line = StringIO(newline="")
        csv_writer(line)(cells)
        yield endpoint_id, line.getvalue().removesuffix("\n"), guarded
