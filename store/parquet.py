"""Answers as Parquet: a folder of files by source and month, with a manifest that says what each holds.

    DIR/manifest.json
    DIR/data/source=openrouter/month=2026-08/part-0.parquet

Prices are decimals, never floats; instants are UTC, to the millisecond; JSON is text, as in CSV. The source stands in
the name of its folder alone, as is usual for partitions: DuckDB, polars, pandas and Spark read it back as a column.
Rows come by model and go to files by source and month: they are laid aside by file as they come, then each file is
written, a group of rows at a time, so that an export of any size takes as much memory.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from store.columns import Column
from store.errors import QueryError, unwritten
from store.export import Written, cell_text
from store.instants import iso, to_millis
from store.kinds import Kind, kind_of, month_of
from store.version import SCHEMA_VERSION

R = TypeVar("R")

LAYOUT = 1
"""Of folders, columns and manifest; another number is another contract."""
MANIFEST = "manifest.json"
DATA = "data"
"""By itself, for a reader of a whole folder takes every file in it for Parquet."""
ROWS_KEPT = 16_384
"""Rows in memory before they are laid aside."""
ROWS_GROUPED = 8192
"""Rows of a group in a file."""

_TYPES: Mapping[Kind, str] = {
    "amount": "decimal128(38, 9)",
    "percent": "decimal128(38, 2)",
    "instant": "timestamp[ms, tz=UTC]",
    "count": "int64",
    "flag": "bool",
    "text": "string",
}
"""As Arrow calls them. An amount of the store, 64 bits of 1e-9, has 19 digits at most; (38, 9) is NUMERIC elsewhere."""


class _Part:
    """The rows of a source and a month, as lines of JSON: in memory, and before these in a file of their own."""

    def __init__(self, folder: Path, aside: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self._aside = aside

    def lay_aside(self) -> None:
        """Move what is in memory into the file."""
        if self.lines:
            with self._aside.open("a", encoding="utf-8") as out:
                out.writelines(f"{line}\n" for line in self.lines)
            self.lines.clear()

    def rows(self) -> Iterator[list[Any]]:
        """All rows, in the order in which they came."""
        if self._aside.exists():
            with self._aside.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)
        yield from map(json.loads, self.lines)


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
    values = [column.of for column in columns]
    plain = [_PLAIN[kind_of(name)] for name in names]
    parts: dict[tuple[str, str], _Part] = {}
    spool = folder / "spool"
    spool.mkdir()
    count = kept = 0
    for row in rows:
        cells = [of(row) for of in values]
        key = (str(cells[source]), month_of(cells[month]))
        if key not in parts:
            name, when = (quote(text, safe="") for text in key)
            parts[key] = _Part(folder / DATA / f"source={name}" / f"month={when}", spool / str(len(parts)))
        told = [None if cell is None else make(cell) for cell, make in zip(cells, plain, strict=True)]
        del told[source]
        parts[key].lines.append(json.dumps(told))
        count, kept = count + 1, kept + 1
        if kept >= rows_kept:
            for part in parts.values():
                part.lay_aside()
            kept = 0
    writer = _Writer(schema(columns))
    for part in parts.values():
        writer.write(part)
    shutil.rmtree(spool)
    return count


_PLAIN: Mapping[Kind, Callable[[Any], Any]] = {
    "amount": str,
    "percent": str,
    "instant": to_millis,
    "count": int,
    "flag": bool,
    "text": cell_text,
}
"""What a cell is laid aside as."""


class _Writer:
    """Writes a file of a part."""

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
        self._decimals = [pa.types.is_decimal(field.type) for field in self._schema]
        self._table, self._parquet = pa.Table, parquet

    def write(self, part: _Part) -> None:
        """One file, a group of rows at a time."""
        part.folder.mkdir(parents=True)
        rows = part.rows()
        with self._parquet.ParquetWriter(part.folder / "part-0.parquet", self._schema, compression="zstd") as writer:
            while group := list(islice(rows, ROWS_GROUPED)):
                columns = [
                    [None if cell is None else Decimal(cell) for cell in cells] if decimal else cells
                    for cells, decimal in zip(zip(*group, strict=True), self._decimals, strict=True)
                ]
                table = dict(zip(self._schema.names, columns, strict=True))
                writer.write_table(self._table.from_pydict(table, schema=self._schema))


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
