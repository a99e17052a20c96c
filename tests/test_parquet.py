"""Parquet and sheets: what CSV has, exactly, in types; whole or not at all."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner, Result

from store import columns, parquet
from store.cli_export import export
from store.columns import Column
from store.doors import Doors
from store.errors import QueryError
from store.instants import iso
from store.kinds import kind_of
from store.records import Facts, Override, RateCard
from store.sheet import DIGITS, LONGEST_TEXT, write_sheet
from tests.stores import Stores
from tests.tape import T0, Tape, hour, usd
from tests.test_export import ROW
from tests.test_routing import offer

NOW = hour(24 * 45)
TYPES = {
    "model": "string",
    "provider": "string",
    "endpoint": "string",
    "variant": "string",
    "not_before": "timestamp[ms, tz=UTC]",
    "first_seen": "timestamp[ms, tz=UTC]",
    "last_seen": "timestamp[ms, tz=UTC]",
    "ended": "timestamp[ms, tz=UTC]",
    "end_reason": "string",
    "input": "decimal128(38, 9)",
    "output": "decimal128(38, 9)",
    "cache_read": "decimal128(38, 9)",
    "cache_write": "decimal128(38, 9)",
    "context_length": "int64",
    "max_output_tokens": "int64",
    "currency": "string",
    "document": "string",
    "input_state": "string",
    "output_state": "string",
    "cache_read_state": "string",
    "cache_write_state": "string",
    "quantization": "string",
    "basis": "string",
    "stated_since": "timestamp[ms, tz=UTC]",
    "stated_until": "timestamp[ms, tz=UTC]",
    "stale": "bool",
    "disputed": "bool",
    "unseen_since": "timestamp[ms, tz=UTC]",
    "rate_card": "string",
    "locator": "string",
    "ref": "string",
    "known_from": "timestamp[ms, tz=UTC]",
    "known_to": "timestamp[ms, tz=UTC]",
    "max_prompt_tokens": "int64",
    "discount": "string",
    "status": "string",
    "features": "string",
    "input_modalities": "string",
    "output_modalities": "string",
    "release_date": "string",
    "knowledge_cutoff": "string",
    "total_parameters": "int64",
    "active_parameters": "int64",
    "open_weights": "bool",
    "licence": "string",
    "successor": "string",
    "deprecated_on": "string",
    "retires_on": "string",
    "regions": "string",
    "trains_on_prompts": "bool",
    "data_policy": "string",
    "quoted_currency": "string",
    "rates": "string",
    "unconverted": "string",
    "contradicted_by": "string",
}
"""Of a history, layout 1. Another type, or another order, is another layout."""
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def tape(stores: Stores) -> Iterator[Tape]:
    """A store that tests only read."""
    with stores.new() as url:
        yield filled(url)


def filled(url: str) -> Tape:
    """Three sources over two months, with every kind of cell, and text that means harm."""
    tape = Tape(url)
    for number, name in enumerate(("alpha", "beta", "gamma_2")):
        source = tape.source(name, trust=number)
        for day in range(0, 45, 9):
            tape.poll(source, hour(24 * day))
        facts = Facts(
            context_length=2**53 - 1, features=("tools", '=cmd|"/c calc"!A1'), open_weights=True, regions=("eu",),
            release_date="2026-08", discount="0.2", total_parameters=120_000_000_000, licence='+1\x1b[31m\u202e,"\n',
        )  # fmt: skip
        card = RateCard(
            currency="USD",
            amounts=(("input", 37_000_001), ("output", 9_223_372_036_854_775_807), ("web_search", 1)),
            states=(("cache_read", "unknown"),),
            overrides=(Override(above_tokens=200_000, amounts=(("input", 74_000_001),)),),
        )
        endpoint = tape.endpoint(source, "acme", "a/one", published_model="=HYPERLINK(1)", tag="-x")
        first, second = hour(0.0001), hour(24 * 35)
        tape.interval(endpoint, first, card, facts, ended=second, end_reason="changed", last_seen=hour(24 * 27))
        tape.interval(endpoint, second, usd(input=number, output=0), not_before=hour(24 * 27))
        tape.interval(tape.endpoint(source, "beta", "a/two"), hour(24 * 36), usd(input=5, output=0))
        tape.stated(endpoint, hour(24 * 60), None, usd(input=8, output=8), first_seen=hour(24 * 9))
    return tape


@pytest.fixture
def ask(tape: Tape) -> Ask:
    def run(*words: object, now: datetime = NOW) -> Result:
        doors = Doors(tape.url, now=lambda: now)
        return CliRunner().invoke(export, [str(word) for word in words], obj=doors, catch_exceptions=False)

    return run


def exported(ask: Ask, what: str, folder: Path, *words: str) -> list[dict[str, str]]:
    """Both forms of one answer: the folder, and the rows of its CSV by source, instant and endpoint."""
    result = ask(what, "--format", "parquet", "-o", folder, *words)
    assert result.exit_code == 0, result.stderr
    text = ask(what, "--raw", *words)
    assert text.exit_code == 0
    return ordered(list(csv.DictReader(io.StringIO(text.stdout, newline=""))))


def ordered(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(rows, key=lambda row: sorted(row.items()))


def as_csv(row: dict[str, Any]) -> dict[str, str]:
    """A row that was read back, as CSV has it; what is of no type that was promised fails."""
    told = {}
    for name, cell in row.items():
        if name == "month":
            continue
        kind = kind_of(name)
        missing = cell is None or cell is pd.NaT or (type(cell) is float and cell != cell)
        if missing:
            told[name] = ""
        elif kind in {"amount", "percent"}:
            assert type(cell) is Decimal
            told[name] = f"{cell:f}".rstrip("0").rstrip(".")
        elif kind == "instant":
            assert isinstance(cell, datetime)
            told[name] = iso(cell.astimezone(UTC).replace(tzinfo=UTC))
        elif kind == "flag":
            told[name] = "true" if cell else "false"
        else:
            told[name] = str(int(cell)) if kind == "count" else str(cell)
    return told


def by_arrow(folder: Path) -> list[dict[str, Any]]:
    return list(ds.dataset(folder / "data", format="parquet", partitioning="hive").to_table().to_pylist())


def by_duckdb(folder: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        found = connection.read_parquet(f"{folder}/data/**/*.parquet", hive_partitioning=True)
        return list(found.to_arrow_table().to_pylist())


def by_polars(folder: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(folder / "data").to_dicts()


def by_pandas(folder: Path) -> list[dict[str, Any]]:
    found = pd.read_parquet(folder / "data", dtype_backend="pyarrow")
    return [
        {str(name): None if cell is pd.NA else cell for name, cell in row.items()} for row in found.to_dict("records")
    ]


READERS = {"arrow": by_arrow, "duckdb": by_duckdb, "pandas": by_pandas, "polars": by_polars}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", ["current", "history", "changes"])
def test_every_reader_finds_what_the_csv_has(ask: Ask, tmp_path: Path, what: str, reader: str) -> None:
    expected = exported(ask, what, tmp_path / "out")
    found = READERS[reader](tmp_path / "out")
    assert ordered([as_csv(row) for row in found]) == expected
    by = "seen" if what == "changes" else "first_seen"
    assert sorted(str(row["month"]) for row in found) == sorted(row[by][:7] for row in expected)


def test_columns_and_types_are_a_contract(ask: Ask, tmp_path: Path) -> None:
    exported(ask, "history", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["layout"], list(manifest["columns"].items())) == (1, list(TYPES.items()))
    for path in (tmp_path / "out").rglob("*.parquet"):
        found = ds.dataset(path, format="parquet").schema
        assert {name: str(kind) for name, kind in zip(found.names, found.types, strict=True)} == TYPES
    assert set(parquet.schema(columns.ENDPOINTS)) == set(TYPES)
    assert set(parquet.schema(columns.ENDPOINTS).items()) == set(TYPES.items())


def test_the_manifest_holds_every_file_to_its_sum(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    rows = exported(ask, "history", folder, "--known-at", "2026-09-14")
    manifest = json.loads((folder / "manifest.json").read_text())
    told = {one["path"]: one for one in manifest["files"]}
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}
    assert told.keys() == files.keys()
    assert all(told[name]["sha256"] == sha256(path.read_bytes()).hexdigest() for name, path in files.items())
    assert sum(one["rows"] for one in told.values()) == manifest["rows"] == len(rows)
    assert (manifest["what"], manifest["known_at"], manifest["at"]) == (
        "history", "2026-09-14T00:00:00Z", "2026-09-14T00:00:00Z",
    )  # fmt: skip
    assert "data/source=gamma_2/month=2026-09/part-0.parquet" in told


def test_the_same_answer_is_the_same_bytes(ask: Ask, tmp_path: Path) -> None:
    for name in ("one", "two"):
        exported(ask, "history", tmp_path / name)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("one", "two"))
    assert one == two


# --- how it is written ---


def offers(count: int, *, seen: Callable[[int], None] = lambda _: None) -> Iterator[Any]:
    for number in range(count):
        seen(number)
        yield ROW._replace(
            source=f"s{number % 40:02}", endpoint=str(number), first_seen=T0 + timedelta(days=number % 3)
        )


def written(folder: Path, rows: Iterator[Any], kept: int = 50) -> Any:
    return parquet.write_parquet(folder, columns.HISTORY, rows, by="first_seen", about={}, rows_kept=kept)


def test_rows_are_laid_aside_as_they_come(tmp_path: Path) -> None:
    def look(number: int) -> None:
        if number == 120:
            laid = sum(len(path.read_text().splitlines()) for path in tmp_path.rglob("spool/*"))
            assert laid == 100, "two times fifty rows are no longer in memory"

    assert written(tmp_path / "out", offers(200, seen=look)).rows == 200
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"data", "manifest.json"}


def test_a_partition_is_one_file_with_its_rows_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    assert written(tmp_path / "out", offers(1200)).rows == 1200
    files = sorted((tmp_path / "out").rglob("*.parquet"))
    assert len(files) == 40
    for path in files:
        numbers = [int(row["endpoint"]) for row in ds.dataset(path, format="parquet").to_table().to_pylist()]
        assert numbers == sorted(numbers)
    assert sorted(int(row["endpoint"]) for row in by_arrow(tmp_path / "out")) == list(range(1200))


def test_a_folder_that_holds_anything_is_left_alone(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for target in (tmp_path, tmp_path / "mine"):
        result = ask("current", "--format", "parquet", "-o", target)
        assert (result.exit_code, "is there already" in result.stderr) == (2, True)
    (tmp_path / "empty").mkdir()
    assert ask("current", "--format", "parquet", "-o", tmp_path / "empty").exit_code == 0


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        yield from offers(120)
        raise QueryError("the store went away")

    with pytest.raises(QueryError, match="went away"):
        written(tmp_path / "out", broken())
    with pytest.raises(QueryError, match="went away"):
        write_sheet(tmp_path / "out.xlsx", "one", columns.HISTORY, broken(), made=T0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_found_is_told(ask: Ask, tmp_path: Path) -> None:
    for form in ("parquet", "xlsx"):
        result = ask("current", "--at", "2020-01-01", "--format", form, "-o", tmp_path / form)
        assert result.exit_code == 3


@pytest.mark.parametrize("form", ["parquet", "xlsx"])
def test_it_needs_a_place_and_one_that_can_be_written(ask: Ask, tmp_path: Path, form: str) -> None:
    result = ask("current", "--format", form)
    assert (result.exit_code, f"--format {form} needs -o" in result.stderr) == (2, True)
    (tmp_path / "file").write_text("")
    result = ask("current", "--format", form, "-o", tmp_path / "file" / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize(("form", "package"), [("parquet", "pyarrow"), ("xlsx", "xlsxwriter")])
def test_without_its_package_it_says_how_to_get_it(tape: Tape, tmp_path: Path, form: str, package: str) -> None:
    """In an interpreter that finds none."""
    program = f"""
import sys
from importlib.machinery import PathFinder
class Without:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "{package}" else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without()
from collector.cli import run
run()
"""
    words = ("--store", tape.url, "export", "current", "--format", form, "-o", str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"tokentape: {form} needs {package}: pip install 'tokentape[reports]'\n"


# --- sheets ---


def sheet_of(path: Path) -> list[list[Any]]:
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        return [list(row) for row in book.active.iter_rows(values_only=True)]
    finally:
        book.close()


def test_a_sheet_holds_what_the_csv_has(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "prices.xlsx"
    assert ask("history", "--format", "xlsx", "-o", path).exit_code == 0
    head, *found = sheet_of(path)
    expected = list(csv.DictReader(io.StringIO(ask("history", "--raw").stdout, newline="")))
    assert head == list(expected[0])
    for cells, row in zip(found, expected, strict=True):
        told = dict(zip(head, cells, strict=False))
        assert (told["input"], told["context_length"]) == (
            None if row["input"] == "" else pytest.approx(float(row["input"]), rel=1e-15),
            None if row["context_length"] == "" else row["context_length"],  # more digits than a number there has
        )
        assert told["first_seen"] == row["first_seen"]
        assert json.loads(told["rate_card"]) == json.loads(row["rate_card"])


def test_amounts_of_a_sheet_are_written_from_their_digits(tmp_path: Path) -> None:
    exact, long = 123_456_789_012_345, 1_234_567_890_123_456
    rows = [offer(usd(input=exact, output=long))]
    write_sheet(tmp_path / "one.xlsx", "one", columns.ENDPOINTS, rows, made=T0)
    with zipfile.ZipFile(tmp_path / "one.xlsx") as book:
        body = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<v>123456.789012345</v>" in body
    assert "<t>1234567.890123456</t>" in body
    assert len(str(long)) > DIGITS


def test_nothing_in_a_sheet_is_a_formula_or_a_link(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "prices.xlsx"
    ask("history", "--format", "xlsx", "-o", path)
    with zipfile.ZipFile(path) as book:
        body = book.read("xl/worksheets/sheet1.xml").decode()
        assert not [name for name in book.namelist() if "rels" in name and "sheet" in name]
    assert "=HYPERLINK(1)" in body
    assert "<f" not in body
    assert "hyperlink" not in body
    assert "\\x1b[31m\\u202e" in body


LONG: tuple[Column[str], ...] = (Column("text", lambda text: text),)


def test_a_sheet_that_is_full_is_told_and_not_cut(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="more than 3 rows, which is all that a sheet holds: narrow it"):
        write_sheet(tmp_path / "full.xlsx", "one", LONG, ["x"] * 4, made=T0, most=3)
    assert write_sheet(tmp_path / "full.xlsx", "one", LONG, ["x"] * 3, made=T0, most=3).rows == 3


def test_text_too_long_for_a_cell_says_so(tmp_path: Path) -> None:
    write_sheet(tmp_path / "long.xlsx", "one", LONG, ["y" * 40_000], made=T0)
    ((_,), (cell,)) = sheet_of(tmp_path / "long.xlsx")
    assert (len(cell), cell[-1]) == (LONGEST_TEXT, "…")


def test_the_same_sheet_is_the_same_bytes(ask: Ask, tmp_path: Path) -> None:
    for name in ("one.xlsx", "two.xlsx"):
        ask("current", "--format", "xlsx", "-o", tmp_path / name)
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()
