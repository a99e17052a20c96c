"""Every recorded timeline in four orders, and that the store is the same each time.

In order; newest batch first; shuffled into batches; every document twice, from two places. Each batch is a backfill of
its own, so that all but the first find a store that has later documents already, or the same.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from collector import mend
from collector.config import load
from collector.contract import SourceSpec
from collector.mend import Arrival
from store.instants import utc_now
from store.write import Tape
from tests.benchmarks.measure import note
from tests.benchmarks.store_size import UPSTREAMS, polls
from tests.test_timeline import store_digest

BATCHES = 4


def main() -> None:
    """Print a line for each source and order."""
    options = argparse.ArgumentParser(prog="any_order", description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("sources", nargs="*", help=f"of {', '.join(UPSTREAMS)}; default: all")
    given = options.parse_args()
    settings = load(None, {})
    for name in given.sources or list(UPSTREAMS):
        spec = replace(settings.sources[name], expect={})
        arrivals = [
            Arrival(at=at, documents=received.documents, failed_parts=frozenset(received.failures))
            for at, received in polls(spec)
        ]
        shuffled = random.Random(given.seed).sample(arrivals, len(arrivals))
        orders: dict[str, Sequence[Sequence[Arrival]]] = {
            "in order": [arrivals],
            "in reverse": list(reversed(batches(arrivals))),
            "shuffled": batches(shuffled),
            "doubled": [*batches(arrivals), *batches(shuffled)],
        }
        digests = set()
        with tempfile.TemporaryDirectory() as folder:
            for order, taken in orders.items():
                started = time.perf_counter()
                store = Path(folder, f"{order}.db")
                fill(store, spec, taken)
                digests.add(frozenset(Counter(store_digest(store)).items()))
                note(f"{name}, {order}: {time.perf_counter() - started:.1f} s")
        same = "the same store" if len(digests) == 1 else f"{len(digests)} different stores"
        print(f"{name:12}  {len(arrivals):4} documents in {len(orders)} orders: {same}", flush=True)


def batches(arrivals: Sequence[Arrival]) -> list[Sequence[Arrival]]:
    """The documents in some parts, in their order."""
    size = -(-len(arrivals) // BATCHES)
    return [arrivals[start : start + size] for start in range(0, len(arrivals), size)]


def fill(store: Path, spec: SourceSpec, taken: Sequence[Sequence[Arrival]]) -> None:
    """A store of these batches, one backfill after the other."""
    tape = Tape(str(store))
    known = utc_now()
    try:
        for number, arrivals in enumerate(taken):
            mend.backfill(load(None, {}).checks, tape, spec, arrivals, known=known + timedelta(seconds=number))
    finally:
        tape.close()


if __name__ == "__main__":
    main()
