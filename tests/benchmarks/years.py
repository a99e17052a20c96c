"""A store after ten years of polls every five minutes: ten sources of a hundred, so a tenth of such a store.

A question about a source reads the polls of that source alone, and of those a source has here as many as it would have
there. Sizes are told by table, with what a hundred sources come to; times are those of questions in process.
"""

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from store import catalogue, intervals
from store.changes import changes
from store.instants import from_millis
from store.naming import find_model
from store.read import Reader, open_store
from store.routing import Constraints, Workload, rank
from store.statements import LAST_POLLS
from tests.benchmarks.measure import spread
from tests.benchmarks.store_size import sizes
from tests.benchmarks.synthetic import END, Shape, build, model, provider

SHAPE = Shape(
    models=200, providers=50, intervals=100, sources=10, polls=10 * 365 * 288, every_s=300, cards=4000, facts=400
)
NOW = from_millis(END) + timedelta(minutes=3)
SOURCES = 100


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="years", description=__doc__)
    options.add_argument("--store", type=Path, help="keep the store here, or ask the one that is there")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.store or Path(folder, "years.db")
        if not path.exists():
            build(path, SHAPE)
        with closing(sqlite3.connect(path)) as connection:
            report_sizes(connection)
            took(lambda: connection.execute(str(LAST_POLLS), {"name": "source_1"}).fetchall(), 20, "newest poll")
        with open_store(str(path)) as reader:
            ask(reader)


def report_sizes(connection: sqlite3.Connection) -> None:
    """Bytes by table, and of a row of those that grow with time."""
    for name, size in sizes(connection)[:5]:
        print(f"{name}: {size / 1e6:.0f} MB, of {SOURCES} sources {size / 1e9 * SOURCES / SHAPE.sources:.1f} GB")
    for name in ("poll", "span"):
        (rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        (size,) = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE ?", (f"{name}%",)).fetchone()
        print(f"{name}: {rows} rows, {size / rows:.0f} bytes each with its indexes")


def ask(reader: Reader) -> None:
    """The questions of every day, and those about long ago."""
    chance = random.Random(1)
    long_ago = NOW - timedelta(days=5 * 365)
    load = Workload(input_tokens=3000, output_tokens=1000)

    def any_model() -> str:
        return find_model(reader, model(chance.randrange(SHAPE.models)))

    def cheapest(at: datetime, known: datetime) -> object:
        return rank(intervals.endpoints(reader, any_model(), at, known=known), load, at, Constraints())

    def changed(days: int) -> Iterable[object]:
        return list(changes(reader, since=NOW - timedelta(days=days)))

    took(lambda: cheapest(NOW, NOW), 200, "cheapest of 50 endpoints")
    took(lambda: cheapest(long_ago, NOW), 200, "the same five years ago")
    took(lambda: cheapest(long_ago, long_ago), 200, "the same as known then")
    took(lambda: intervals.endpoints(reader, any_model(), NOW, provider=provider(3)), 200, "price of an endpoint")
    took(lambda: list(intervals.history(reader, any_model(), NOW, provider=provider(3))), 50, "its 100 intervals")
    took(lambda: changed(1), 5, "changes of a day")
    took(lambda: changed(7), 5, "changes of a week")
    took(lambda: catalogue.sources(reader, NOW), 5, "sources")
    took(lambda: catalogue.models(reader, "", NOW), 5, "models")


def took(question: Callable[[], object], calls: int, name: str) -> None:
    """Median time of a question, once it has been asked."""
    question()
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        question()
        times.append(1e3 * (time.perf_counter() - started))
    print(f"{name}: {spread(times, 'ms')}")


if __name__ == "__main__":
    main()
