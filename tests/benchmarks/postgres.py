"""A ledger in PostgreSQL: the endpoints of a model, and all of it as CSV, each against psycopg by itself.

The rows are those of `synthetic`, brought over table by table; the server is one of our own, on this machine. *read*
are the 40 endpoints of a model with all that an answer says of them; against the same statement, prepared and fetched
as tuples. *export ledger* is the whole command; against a process that writes what COPY sends into a file.
"""

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg

from store import intervals
from store.belief import Coverage
from store.bulk import STATEMENT
from store.naming import find_model
from store.postgres import _translated
from store.read import open_store
from tests.benchmarks.ledger import NOW, timed
from tests.benchmarks.measure import BIN, compare, in_turn, note, report, spend
from tests.benchmarks.synthetic import Shape, build
from tests.stores import Server, columns, tables

BARE_EXPORT = """
import sys, psycopg
url, statement, path = sys.argv[1:]
with psycopg.connect(url) as connection, open(path, "wb") as out:
    with connection.cursor().copy(f"COPY ({statement}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        for block in copy:
            out.write(block)
"""


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="postgres", description=__doc__)
    options.add_argument("--intervals", type=int, default=50, help="of each of 20,000 endpoints")
    options.add_argument("--repetitions", type=int, default=5)
    options.add_argument("--calls", type=int, default=1000)
    given = options.parse_args()
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder, server.database() as url:
            scratch = Path(folder)
            note("making the store")
            build(scratch / "tape.db", Shape(intervals=given.intervals))
            bring_over(scratch / "tape.db", url)
            read(url, given.calls, given.repetitions)
            export(scratch, url, given.repetitions)
    finally:
        server.stop()


def bring_over(path: Path, url: str) -> None:
    """Every row of a store into an empty one."""
    with closing(sqlite3.connect(path)) as file, psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # rows come in any order
        for table in tables(str(path)):
            note(f"bringing over {table}")
            connection.execute(f'DELETE FROM "{table}"'.encode())
            kinds = connection.execute(f'SELECT * FROM "{table}" LIMIT 0'.encode()).description or []
            boolean = {one.name for one in kinds if one.type_code == psycopg.adapters.types["bool"].oid}
            names = columns(str(path), table)
            quoted = ", ".join(f'"{name}"' for name in names)
            with connection.cursor().copy(f'COPY "{table}" ({quoted}) FROM STDIN'.encode()) as copy:
                for row in file.execute(f'SELECT {quoted} FROM "{table}"'):
                    copy.write_row(
                        [
                            bool(value) if name in boolean and value is not None else value
                            for name, value in zip(names, row, strict=True)
                        ]
                    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def read(url: str, calls: int, repetitions: int) -> None:
    """The endpoints of models at random."""
    with open_store(url) as reader, psycopg.connect(url) as connection:
        connection.prepare_threshold = 0
        connection.execute("SET jit = off")
        statement = _translated(intervals._OBSERVED_AT)
        values = Coverage(reader, NOW).values | {"provider": None, "source": None}

        def own(name: str, _: str) -> int:
            return len(intervals.endpoints(reader, find_model(reader, name), NOW))

        def bare(name: str, _: str) -> int:
            return len(connection.execute(statement, values | {"model": name}, prepare=True).fetchall())

        sides: dict[str, Callable[[str, str], int]] = {"read": own, "read, bare": bare}
        assert own("author-0/model-0-instruct", "") == bare("author-0/model-0-instruct", "") == 40
        timed(sides, calls, repetitions)


def export(scratch: Path, url: str, repetitions: int) -> None:
    """All of it as CSV."""
    out, copied = scratch / "ledger.csv", scratch / "copied.csv"
    bare: list[str | Path] = [sys.executable, "-c", BARE_EXPORT, url, STATEMENT, copied]
    own: list[str | Path] = [BIN / "tokentape", "--store", url, "export", "ledger", "-o", out]
    found = in_turn({"COPY": partial(spend, bare, scratch), "export ledger": partial(spend, own, scratch)}, repetitions)
    print(f"{copied.stat().st_size / 1e6:.0f} MB; the same bytes: {copied.read_bytes() == out.read_bytes()}")
    report(found)
    compare(found, "export ledger", "COPY")


if __name__ == "__main__":
    main()
