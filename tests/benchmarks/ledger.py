"""Questions put to a ledger of ten million intervals, in process, against the bare statement in the same process.

*cheapest*: the 40 endpoints of a model, ranked; against its own statement fetched as tuples, then a loop that computes
and sorts 40 costs from a dict of amounts. *now*, *as of*: the price of a model at a provider, by their names; against a
statement by hand for just that, without evidence, gaps or a second clock. *history*: all intervals of one endpoint;
against a statement by hand, each over a connection of its own, with the file in the page cache and without. Both
stores have the same endpoints; one has a hundred times the intervals.
"""

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

from store import intervals
from store.belief import Coverage
from store.instants import from_millis, to_millis
from store.naming import find_model
from store.read import open_store
from store.routing import Constraints, Workload, rank
from tests.benchmarks.measure import note, spread
from tests.benchmarks.synthetic import END, Shape, build, model, provider

NOW = from_millis(END) + timedelta(minutes=20)
LOAD = Workload(input_tokens=3000, output_tokens=1000)
ANYWHERE = Constraints()
PRICE = """
    SELECT c.currency, c.input, c.output, c.cache_read, c.cache_write, i.first_seen, i.ended
      FROM model m
      JOIN endpoint e ON e.model_id = m.id
      JOIN provider p ON p.id = e.provider_id
      JOIN "interval" i ON i.endpoint_id = e.id AND i.known_to IS NULL AND (i.ended IS NULL OR i.ended > :at)
       AND i.first_seen = (SELECT x.first_seen FROM "interval" x
            WHERE x.endpoint_id = e.id AND x.known_to IS NULL AND x.first_seen <= :at
            ORDER BY x.first_seen DESC LIMIT 1)
      JOIN rate_card c ON c.id = i.card_id
     WHERE m.name = :model AND p.name = :provider
"""
"""By hand: the price of an endpoint at an instant."""
HISTORY = """
    SELECT i.*
      FROM model m
      JOIN endpoint e ON e.model_id = m.id
      JOIN provider p ON p.id = e.provider_id
      JOIN "interval" i ON i.endpoint_id = e.id
     WHERE m.name = :model AND p.name = :provider
     ORDER BY i.first_seen
"""
"""By hand: all that was ever believed of an endpoint."""
FLOOR = """
    CREATE TABLE floor (endpoint_id INT, source_id INT, valid_from INT, valid_to INT, input INT, output INT,
        cache_read INT, cache_write INT, context INT, PRIMARY KEY (endpoint_id, valid_from)) WITHOUT ROWID
"""
"""The plainest history there could be: one clock, four prices, no evidence."""
FILL = """
    INSERT OR IGNORE INTO floor
    SELECT i.endpoint_id, e.source_id, i.first_seen, i.ended, c.input, c.output, c.cache_read, c.cache_write,
           f.context_length
      FROM "interval" i JOIN endpoint e ON e.id = i.endpoint_id
      JOIN rate_card c ON c.id = i.card_id JOIN facts f ON f.id = i.facts_id
     ORDER BY i.endpoint_id, i.first_seen
"""
Ask = Callable[[str, str], int]


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="ledger", description=__doc__)
    options.add_argument("--many", type=Path, help="a store as `synthetic` makes it, instead of a new one")
    options.add_argument("--few", type=Path, help="one made with --intervals 5")
    options.add_argument("--repetitions", type=int, default=5)
    options.add_argument("--calls", type=int, default=2000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        many, few = given.many or Path(folder, "many.db"), given.few or Path(folder, "few.db")
        for path, shape in ((many, Shape()), (few, Shape(intervals=5))):
            if not path.exists():
                build(path, shape)
        report_size(many)
        p50 = {path: report(path, given.repetitions, given.calls) for path in (few, many)}
        for name, times in p50[many].items():
            print(f"{name}: {times / p50[few][name]:.2f}x as long with a hundred times the intervals")
        report_cold(many, 10 * given.repetitions)


def report_size(path: Path) -> None:
    """Bytes of an interval, against a row of the floor, both put in by the order of their keys."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, closing(sqlite3.connect(path)) as connection:
        connection.execute("ATTACH ? AS bare", (str(Path(folder, "floor.db")),))
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):
            connection.execute(f"PRAGMA bare.{pragma}")
        connection.execute(FLOOR.replace("floor", "bare.floor"))
        connection.execute(FILL.replace("floor", "bare.floor"))
        own, floor = (
            connection.execute("SELECT sum(pgsize) FROM dbstat(?) WHERE name = ?", what).fetchone()[0]
            for what in (("main", "span"), ("bare", "floor"))
        )
        rows = connection.execute("SELECT count(*) FROM span").fetchone()[0]
        bare = connection.execute("SELECT count(*) FROM bare.floor").fetchone()[0]
    size = path.stat().st_size
    print(f"{rows} intervals: {size / 1e6:.0f} MB, {size / rows:.1f} bytes an interval with everything around it")
    print(
        f"an interval {own / rows:.1f} bytes, a row of the floor {floor / bare:.1f}: {own / rows / (floor / bare):.2f}x"
    )


def report(path: Path, repetitions: int, calls: int) -> dict[str, float]:
    """p50 and p99 of every question and of its bare statement; returns the p50 of the questions, in us."""
    note(f"{path}: reading it once")
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    print(f"\n{path.name}")
    with open_store(str(path)) as reader, closing(sqlite3.connect(path)) as connection:
        coverage = Coverage(reader, NOW)
        amounts = {key: rest for key, *rest in connection.execute("SELECT id, input, output FROM rate_card")}
        for key in amounts:
            reader.card(key)
        values = coverage.values | {"provider": None, "source": None}
        described = connection.execute(intervals._OBSERVED_AT, values | {"model": ""}).description
        card = [name for name, *_ in described].index("card_id")
        ago = NOW - timedelta(days=365)

        def cheapest(name: str, _: str) -> int:
            rows = intervals.endpoints(reader, find_model(reader, name), NOW)
            return len(rank(rows, LOAD, NOW, ANYWHERE).routes)

        def bare_cheapest(name: str, _: str) -> int:
            costs = []
            for row in connection.execute(intervals._OBSERVED_AT, values | {"model": name}).fetchall():
                price, answer = amounts[row[card]]
                costs.append((3000 * price + 1000 * answer, row))
            costs.sort()
            return len(costs)

        def now(name: str, offered_by: str) -> int:
            return len(intervals.endpoints(reader, name, NOW, provider=offered_by))

        def as_of(name: str, offered_by: str) -> int:
            return len(intervals.endpoints(reader, name, ago, provider=offered_by))

        def bare_price(at: int, name: str, offered_by: str) -> int:
            return len(connection.execute(PRICE, {"at": at, "model": name, "provider": offered_by}).fetchall())

        sides: dict[str, Ask] = {
            "cheapest": cheapest,
            "cheapest, bare": bare_cheapest,
            "now": now,
            "now, bare": partial(bare_price, to_millis(NOW)),
            "as of": as_of,
            "as of, bare": partial(bare_price, to_millis(ago)),
        }
        found = timed(sides, calls, repetitions)
    return {name: statistics.median(p50 for p50, _ in found[name]) for name in ("cheapest", "now", "as of")}


def timed(sides: Mapping[str, Ask], calls: int, repetitions: int) -> dict[str, list[tuple[float, float]]]:
    """p50 and p99 in us of every side, in turn, of endpoints at random; prints them, and what they are of the bare."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    chance = random.Random(3)
    for repetition in range(repetitions):
        note(f"repetition {repetition + 1} of {repetitions}")
        asked = [(model(chance.randrange(500)), provider(chance.randrange(40))) for _ in range(calls)]
        for name, side in sides.items():
            times = []
            for one in asked:
                started = time.perf_counter()
                side(*one)
                times.append(1e6 * (time.perf_counter() - started))
            cuts = statistics.quantiles(times, n=100)
            found[name].append((cuts[49], cuts[98]))
    for name, pairs in found.items():
        p50, p99 = zip(*pairs, strict=True)
        line = f"{name:15} p50 {spread(p50, 'us')}  p99 {spread(p99, 'us')}"
        if bare := found.get(f"{name}, bare"):
            ratios = ([one[place] / other[place] for one, other in zip(pairs, bare, strict=True)] for place in (0, 1))
            line += "  to the bare: p50 {}, p99 {}".format(*(spread(ratio, "x") for ratio in ratios))
        print(line)
    return found


def report_cold(path: Path, calls: int) -> None:
    """The whole history of an endpoint over a new connection, with the file in the page cache and without."""

    def bare(name: str, offered_by: str) -> int:
        with closing(sqlite3.connect(path)) as connection:
            return len(connection.execute(HISTORY, {"model": name, "provider": offered_by}).fetchall())

    def history(name: str, offered_by: str) -> int:
        with open_store(str(path)) as reader:
            return sum(1 for _ in intervals.history(reader, name, NOW, provider=offered_by))

    print()
    chance = random.Random(5)
    for side in (history, bare):
        times: dict[str, list[float]] = {"cold": [], "warm": []}
        for _ in range(calls):
            one = (model(chance.randrange(500)), provider(chance.randrange(40)))
            forget(path)
            for took in times.values():
                started = time.perf_counter()
                side(*one)
                took.append(1e3 * (time.perf_counter() - started))
        ratios = [cold / warm for cold, warm in zip(*times.values(), strict=True)]
        told = ", ".join(f"{state} {spread(took, 'ms')}" for state, took in times.items())
        print(f"{side.__name__}: {told}, cold / warm {spread(ratios, 'x')}")


def forget(path: Path) -> None:
    """Let the system drop a file from its page cache."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
