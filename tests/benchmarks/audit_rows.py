"""`tokentape audit` of a million rows of usage, whole process, against a bare join of the same file with its prices.

The floor is DuckDB's ASOF join of two files, summed up by model in floating point: names taken as they are, one price
for each provider, no conditions, no evidence, one clock. It needs `pip install duckdb`, beside this interpreter or
elsewhere by `--floor PYTHON`.
"""

import argparse
import csv
import random
import sys
import tempfile
from datetime import timedelta
from functools import partial
from pathlib import Path

from store.instants import from_millis, iso
from tests.benchmarks.measure import ROOT, Spent, compare, in_turn, note, report, spend, spread
from tests.benchmarks.synthetic import END, Shape, build, model, provider

DAYS = 90
SHAPE = Shape(models=100, providers=20, intervals=12, sources=5, polls=17_520, cards=800, facts=100)
RUN = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from collector.cli import run; run()"
FLOOR = """
import duckdb, sys
found = duckdb.sql(f'''
    SELECT u.model, count(*), sum(u.input * p.input + u.output * p.output) / 1e15
    FROM read_csv('{sys.argv[1]}') u ASOF JOIN read_csv('{sys.argv[2]}') p
    ON u.model = p.model AND u.provider = p.provider AND u.instant >= p.first_seen
    GROUP BY u.model
''').fetchall()
print(sum(row[1] for row in found), sum(row[2] for row in found))
"""


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="audit_rows", description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--floor", type=Path, default=Path(sys.executable), metavar="PYTHON")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        store, usage, prices = scratch / "tape.db", scratch / "usage.csv", scratch / "prices.csv"
        build(store, SHAPE)
        write(usage, given.rows)
        listed(store, prices)
        asked: list[str | Path] = [sys.executable, "-c", RUN, "--store", store, "audit", usage, "--format", "csv"]
        sides = {
            "audit": partial(spend, asked, scratch),
            "audit --cheapest": partial(spend, [*asked, "--cheapest"], scratch),
            "floor": partial(spend, [given.floor, "-c", FLOOR, usage, prices], scratch),
        }
        found = in_turn(sides, given.repetitions)
        for name in ("audit", "floor"):
            note(found[name][0].output.splitlines()[-1])
        report(found)
        for name, runs in found.items():
            print(f"{name}: {spread([rate(run, given.rows) for run in runs], 'thousand rows a second of cpu')}")
        compare(found, "audit", "floor")


def rate(run: Spent, rows: int) -> float:
    """Thousands of rows in a second of processor time."""
    return rows / run.cpu_s / 1000


def write(path: Path, rows: int) -> None:
    """Usage of the last ninety days, in the order of time."""
    drawn = random.Random(1)
    start = from_millis(END) - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / rows
    with path.open("w", newline="") as file:
        add = csv.writer(file).writerow
        add(["instant", "provider", "model", "input", "output", "key"])
        for number in range(rows):
            at = iso((start + number * step).replace(microsecond=0))
            who, what = drawn.randrange(SHAPE.providers), drawn.randrange(SHAPE.models)
            tokens = drawn.randrange(100, 20_000), drawn.randrange(1, 2_000)
            add([at, provider(who), model(what), *tokens, f"key-{number % 7}"])


def listed(store: Path, path: Path) -> None:
    """The prices of a store as a plain table."""
    from store.read import open_store

    statement = """
        SELECT m.name, p.name, i.first_seen, c.input, c.output FROM "interval" i
        JOIN endpoint e ON e.id = i.endpoint_id JOIN model m ON m.id = e.model_id
        JOIN provider p ON p.id = e.provider_id JOIN rate_card c ON c.id = i.card_id
        WHERE i.known_to IS NULL ORDER BY 1, 2, 3
    """
    with open_store(str(store)) as reader, path.open("w", newline="") as file:
        add = csv.writer(file).writerow
        add(["model", "provider", "first_seen", "input", "output"])
        for name, seller, first_seen, *amounts in reader.rows(statement):
            add([name, seller, iso(from_millis(first_seen)), *amounts])


if __name__ == "__main__":
    main()
