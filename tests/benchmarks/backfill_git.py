"""`tokentape backfill git` of a price file's whole history, as a whole process; then again with nothing new.

Against a floor that does what cannot be left out: walk the history, read every version, parse each with the fastest
parser there is (orjson, which only this needs), compare entry by entry, write the prices that changed into one table.
With `--tree`, of folders of TOML files: walk, read each version of each file once, parse it, compare what each costs.
"""

import argparse
import importlib
import sqlite3
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable
from contextlib import closing, suppress
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import BIN, ROOT, Spent, compare, in_turn, report, spend

TREE = ("providers", "models")
METERS = ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost")
PEER = {
    "all": "one",
    "prices": "((key, one.get(key)) for key in ('input_cost_per_token', 'output_cost_per_token',"
    " 'cache_read_input_token_cost', 'cache_creation_input_token_cost', 'max_input_tokens', 'litellm_provider',"
    " 'mode'))",
}
"""What git-history is asked to keep of an entry."""
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from collector.cli import run; run()"
FLOOR = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from tests.benchmarks.backfill_git import {0}; {0}(*sys.argv[1:])"
)


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="backfill_git", description=__doc__)
    options.add_argument("repository", type=Path, help="a clone whose history holds the file")
    options.add_argument("--path", action="append", help="more than one: folders")
    options.add_argument("--tree", action="store_true", help="models.dev, one TOML file per offer")
    options.add_argument("--source")
    options.add_argument("--peer", type=Path, help="the command `git-history`, which keeps the versions of a file, too")
    options.add_argument("--since", default="1970-01-01", help="leave out versions before a date")
    options.add_argument("--repetitions", type=int, default=3)
    given = options.parse_args()
    given.path = given.path or (TREE if given.tree else ["model_prices_and_context_window.json"])
    given.source = given.source or ("models_dev" if given.tree else "litellm")
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(Path(folder), given)
        all_sides = {"floor": sides.floor, "backfill": sides.backfill, "again": sides.again, "git log": sides.log}
        if given.peer:
            sides.clone()
            all_sides |= {f"git-history, {name}": partial(sides.peer, kept) for name, kept in PEER.items()}
        found = in_turn(all_sides, given.repetitions)
    report(found)
    compare(found, "backfill", "floor")
    compare(found, "again", "git log")
    for name in found.keys() - {"floor", "backfill", "again", "git log"}:
        compare(found, name, "backfill")


class Sides:
    """What is run in turn, each into a store of its own."""

    def __init__(self, scratch: Path, given: argparse.Namespace) -> None:
        self._scratch, self._given = scratch, given
        self._number = count()
        self._store = scratch

    def floor(self) -> Spent:
        """The bare way."""
        store = self._scratch / f"{next(self._number)}.db"
        floor = FLOOR.format("tree_floor" if self._given.tree else "floor")
        return self._python(floor, self._given.repository.absolute(), store, *self._given.path)

    def backfill(self) -> Spent:
        """The command, into a fresh store."""
        self._store = self._scratch / f"{next(self._number)}.db"
        return self._command()

    def again(self) -> Spent:
        """The command, into the store that has it all."""
        spent = self._command()
        assert " 0 intervals new or corrected" in spent.output, spent.output
        return spent

    def clone(self) -> None:
        """A work tree of the repository, which the peer needs."""
        clone = ["git", "clone", "--quiet", "--no-local", str(self._given.repository.absolute()), "clone"]
        subprocess.run(clone, cwd=self._scratch, check=True)
        subprocess.run(["git", "checkout", "--quiet", "-B", "all"], cwd=self._scratch / "clone", check=True)

    def peer(self, kept: str) -> Spent:
        """The other program, into a fresh store; of each entry it keeps what an expression says."""
        (file,) = self._given.path
        entries = "((name, one) for name, one in json.loads(content).items() if isinstance(one, dict))"
        convert = f"[dict({kept}, model=name) for name, one in {entries} if name != 'sample_spec']"
        words = ("-n", "model", "--id", "model", "--wal", "--silent", "--branch", "all", "--convert", convert)
        store = self._scratch / f"{next(self._number)}.db"
        return spend([self._given.peer, "file", store, file, "--repo", "clone", *words], self._scratch)

    def log(self) -> Spent:
        """The versions, told by git alone."""
        return spend(["git", "-C", self._given.repository.absolute(), *_log(*self._given.path)], self._scratch)

    def _command(self) -> Spent:
        words = ("--store", self._store, "backfill", "git", self._given.repository.absolute())
        paths = (word for path in self._given.path for word in ("--path", path))
        return self._python(START, *words, *paths, "--source", self._given.source, "--since", self._given.since)

    def _python(self, program: str, *words: str | Path) -> Spent:
        return spend([BIN / "python", "-c", program, ROOT, *words], self._scratch)


def _log(*paths: str) -> list[str]:
    merges = "--diff-merges=first-parent"
    return [
        "log",
        "--reverse",
        "--format=%ct",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--first-parent",
        merges,
        "--",
        *paths,
    ]


def floor(repository: str, store: str, file: str) -> None:
    """Every version read, parsed and compared; prices that changed as rows of one table."""
    loads = importlib.import_module("orjson").loads
    git = ["git", "-C", repository]
    words = subprocess.run([*git, *_log(file)], capture_output=True, check=True, text=True).stdout.split("\n")
    times = [int(line) for line in words if line and not line.startswith(":")]
    blobs = [line.split(" ")[3] for line in words if line.startswith(":")]
    current: dict[str, tuple[int | None, ...]] = {}
    before: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{blob}\n" for blob in blobs).encode())
        asked.seek(0)
        with subprocess.Popen([*git, "cat-file", "--batch"], stdin=asked, stdout=subprocess.PIPE) as reading:
            assert reading.stdout is not None
            for at, _ in zip(times, blobs, strict=True):
                size = int(reading.stdout.readline().split()[2])
                document = loads(reading.stdout.read(size))
                reading.stdout.read(1)
                for name, entry in document.items():
                    if before.get(name) == entry or not isinstance(entry, dict):
                        continue
                    terms = tuple(_nano(entry.get(meter), 15) for meter in METERS)
                    if current.get(name) != terms:
                        current[name] = terms
                        rows.append((name, at, *terms))
                gone = [name for name in before.keys() - document.keys() if current.pop(name, None) is not None]
                rows += ((name, at, None, None, None) for name in gone)
                before = document
    _store(store, rows)


def tree_floor(repository: str, store: str, *folders: str) -> None:
    """Every version of every file read and parsed once, costs compared; costs that changed as rows of one table."""
    git = ["git", "-C", repository]
    words = subprocess.run([*git, *_log(*folders)], capture_output=True, check=True, text=True).stdout.split("\n")
    said: dict[str, Any] = {}
    changes: list[tuple[int, str, str]] = []
    at = 0
    for line in words:
        if not line.startswith(":"):
            at = int(line or at)
        elif line.endswith(".toml"):
            about, _, path = line.partition("\t")
            blob = about.split(" ")[3]
            changes.append((at, path, blob))
            if blob.strip("0"):
                said[blob] = None
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{blob}\n" for blob in said).encode())
        asked.seek(0)
        batch = [*git, "cat-file", "--batch", "--buffer"]
        with subprocess.Popen(batch, stdin=asked, stdout=subprocess.PIPE) as reading:
            assert reading.stdout is not None
            for blob in said:
                size = int(reading.stdout.readline().split()[2])
                with suppress(ValueError):  # a symbolic link
                    said[blob] = tomllib.loads(reading.stdout.read(size).decode()).get("cost")
                reading.stdout.read(1)
    before: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    for at, path, blob in changes:
        cost = said.get(blob)
        if before.get(path) != cost:
            before[path] = cost
            rows.append((path, at, *(_nano((cost or {}).get(meter), 9) for meter in ("input", "output", "cache_read"))))
    _store(store, rows)


def _store(store: str, rows: Iterable[tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("CREATE TABLE price (model, at INTEGER, input INTEGER, output INTEGER, cache_read INTEGER)")
        connection.executemany("INSERT INTO price VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("CREATE INDEX by_model ON price (model, at)")


def _nano(value: object, digits: int) -> int | None:
    return int(Decimal(str(value)) * 10**digits) if isinstance(value, int | float) else None


if __name__ == "__main__":
    main()
