"""Answers as Parquet: a folder of files by source and month, with a manifest that says what each holds.

    DIR/manifest.json
    DIR/data/source=openrouter/month=2026-08/part-0.parquet

Prices are decimals, never floats; instants are UTC, to the millisecond; JSON is text, as in CSV. The source stands in
the name of its folder alone, as is usual for partitions: DuckDB, polars, pandas and Spark read it back as a column.
Rows are written as they come, so that an export of any size takes as much memory.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from store.columns import Column
from store.errors import QueryError, unwritten
from store.export import Written, cell_text
from store.instants import iso
from store.kinds import Kind, kind_of, month_of
from store.version import SCHEMA_VERSION

R = TypeVar("R")

LAYOUT = 1
"""Of folders, columns and manifest; another number is another contract."""
MANIFEST = "manifest.json"
DATA = "data"
"""By itself, for a reader of a whole folder takes every file in it for Parquet."""
ROWS_KEPT = 8192
"""Rows in memory before a part of them is written."""
FILES_OPEN = 32

_TYPES: Mapping[Kind, str] = {
    "amount": "decimal128(38, 9)",
    "percent": "decimal128(38, 2)",
    "instant": "timestamp[ms, tz=UTC]",
    "count": "int64",
    "flag": "bool",
    "text": "string",
}
"""As Arrow calls them. An amount of the store, 64 bits of 1e-9, has 19 digits at most; (38, 9) is NUMERIC elsewhere."""


@dataclass(slots=True)
class _Part:
    """The rows of a source and a month."""

    folder: Path
    rows: list[list[Any]] = field(default_factory=list)
    files: int = 0


def schema(columns: Sequence[Column[R]]) -> dict[str, str]:
    """The columns of a file in their order, with their types; `source` and `month` stand in the names of folders."""
    return {column.name: _TYPES[kind_of(column.name)] for column in columns if column.name != "source"}


def write_parquet(
    target: Path,
    columns: Sequence[Column[R]],
    rows: Iterable[R],
    *,
    by: str,
    about: Mapping[str, object],
    rows_kept: int = ROWS_KEPT,
) -> Written:
    """Write rows into a new folder, which appears whole or not at all.

    `by` is the column of instants whose month a row belongs to; `about` goes into the manifest.
    Raises: QueryError if the folder is there and holds anything; StoreError if it cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise QueryError(f"{target} is there already: name a new folder, or an empty one")
    aside = target.resolve().with_name(f".{target.resolve().name}.{os.getpid()}.tmp")
    try:
        aside.mkdir(parents=True)
        count = _write(aside, columns, rows, by, rows_kept)
        files = [_told(path, aside) for path in sorted(aside.rglob("*.parquet"))]
        manifest = {
            "layout": LAYOUT,
            "store_schema": SCHEMA_VERSION,
            **{key: iso(one) if isinstance(one, datetime) else one for key, one in about.items()},
            "partitioned_by": ["source", "month"],
            "month_of": by,
            "columns": schema(columns),
            "rows": count,
            "files": files,
        }
        _put(aside / MANIFEST, f"{json.dumps(manifest, indent=1)}\n")
        aside.replace(target)
    except OSError as error:
        raise unwritten(target, error) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Written(rows=count)


def _write(folder: Path, columns: Sequence[Column[R]], rows: Iterable[R], by: str, rows_kept: int) -> int:
    """Write the rows; how many there were."""
    names = [column.name for column in columns]
    source, month = names.index("source"), names.index(by)
    kept = [place for place in range(len(names)) if place != source]
    values = [column.of for column in columns]
    made = [_MADE[kind_of(column.name)] for column in columns]
    parts: dict[tuple[str, str], _Part] = {}
    count = held = 0
    with _Files(schema(columns)) as files:
        for row in rows:
            cells = [of(row) for of in values]
            key = (str(cells[source]), month_of(cells[month]))
            if key not in parts:
                name, when = (quote(text, safe="") for text in key)
                parts[key] = _Part(folder / DATA / f"source={name}" / f"month={when}")
            parts[key].rows.append([None if cells[place] is None else made[place](cells[place]) for place in kept])
            count, held = count + 1, held + 1
            if held >= rows_kept:
                fullest = max(parts.values(), key=lambda part: len(part.rows))
                held -= len(fullest.rows)
                files.write(fullest)
        for part in parts.values():
            if part.rows:
                files.write(part)
    return count


_MADE: Mapping[Kind, Callable[[Any], Any]] = {
    "amount": Decimal,
    "percent": Decimal,
    "instant": lambda cell: cell,
    "count": int,
    "flag": bool,
    "text": cell_text,
}


class _Files:
    """Files that are written a group of rows at a time; of many, those that were idle longest are closed."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        types: dict[str, pa.DataType] = {
            _TYPES["amount"]: pa.decimal128(38, 9),
            _TYPES["percent"]: pa.decimal128(38, 2),
            _TYPES["instant"]: pa.timestamp("ms", tz="UTC"),
            _TYPES["count"]: pa.int64(),
            _TYPES["flag"]: pa.bool_(),
            _TYPES["text"]: pa.string(),
        }
        self._schema = pa.schema([pa.field(name, types[kind]) for name, kind in columns.items()])
        self._table, self._writer = pa.Table, parquet.ParquetWriter
        self._open: dict[Path, Any] = {}

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as closing:
            for writer in self._open.values():
                closing.callback(writer.close)

    def write(self, part: _Part) -> None:
        """Write what is kept of a part, as one group of rows."""
        writer = self._open.pop(part.folder, None)
        if writer is None:
            if len(self._open) >= FILES_OPEN:
                self._open.pop(next(iter(self._open))).close()
            part.folder.mkdir(parents=True, exist_ok=True)
            path = part.folder / f"part-{part.files}.parquet"
            part.files += 1
            writer = self._writer(path, self._schema, compression="zstd")
        self._open[part.folder] = writer
        arrays = dict(zip(self._schema.names, zip(*part.rows, strict=True), strict=True))
        writer.write_table(self._table.from_pydict(arrays, schema=self._schema))
        part.rows.clear()


def _told(path: Path, folder: Path) -> dict[str, object]:
    """What the manifest says of a file."""
    from pyarrow import parquet

    with path.open("rb") as body:
        os.fsync(body.fileno())
        digest = file_digest(body, "sha256").hexdigest()
    return {
        "path": path.relative_to(folder).as_posix(),
        "rows": parquet.ParquetFile(path).metadata.num_rows,
        "bytes": path.stat().st_size,
        "sha256": digest,
    }


def _put(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
