"""What there is to say of a store as a whole, whatever its schema."""

from collections.abc import Iterator
from pathlib import Path

from store.read import Reader
from store.version import SCHEMA_VERSION

_COUNTED = ("source", "endpoint", "poll", "interval", "rate_card", "document", "finding", "telemetry")


def status(reader: Reader, archive: Path) -> Iterator[tuple[str, str]]:
    """Names and values, to be shown: engine, place, schema, archive, bytes, rows."""
    yield "engine", reader.engine()
    yield "store", reader.name
    yield "archive", str(archive)
    behind = "" if reader.version == SCHEMA_VERSION else f", this tokentape needs {SCHEMA_VERSION}"
    yield "schema", f"{reader.version}{behind}"
    yield "bytes", str(reader.size())
    for table in _COUNTED:
        ((rows,),) = reader.rows(f'SELECT COUNT(*) FROM "{table}"')  # noqa: S608 - put together from constants only
        yield table, str(rows)
