"""`tokentape cheapest` as a whole process, against the peer that prices one request; then the query inside it.

The peer, `genai-prices calc`, prices the same request for one endpoint of the same model. It needs
`pip install 'genai-prices[cli]'`: beside this interpreter, or anywhere by `--peer`.
"""

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import BIN, compare, config, in_turn, mirror, note, report, spend, spread

MODEL = "openai/gpt-oss-120b"
ROUTE = f"groq:{MODEL}"
TOKENS = (3000, 1000)
SOURCES = ("genai_prices", "openrouter", "litellm", "models_dev", "llm_prices")
CALLS = 300
BY_HAND = """
    SELECT p.name, e.published_model, e.tag, c.input, c.output, f.context_length
      FROM model m JOIN endpoint e ON e.model_id = m.id JOIN provider p ON p.id = e.provider_id
      JOIN "interval" i ON i.endpoint_id = e.id JOIN rate_card c ON c.id = i.card_id JOIN facts f ON f.id = i.facts_id
     WHERE m.name = :model AND i.ended IS NULL AND c.input IS NOT NULL AND c.output IS NOT NULL
     ORDER BY 3000 * c.input + 1000 * c.output LIMIT 5
"""
"""The cheapest five by two columns: no conditions, no choice between sources, no evidence."""


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="cheapest_command", description=__doc__)
    options.add_argument("--repetitions", type=int, default=9)
    options.add_argument("--peer", type=Path, default=BIN / "genai-prices", help="the peer's console script")
    options.add_argument("--store", type=Path, help="a store to ask instead of one made of a poll of each catalogue")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        store = given.store.resolve() if given.store else collected(scratch)
        commands(scratch, store, given.peer, given.repetitions)
        queries(store, given.repetitions)


def collected(scratch: Path) -> Path:
    """A store after one poll of each catalogue."""
    store = scratch / "tokentape.db"
    with mirror(scratch) as base:
        settings = config(scratch, base)
        note(spend([BIN / "tokentape", "--config", settings, "--store", store, "collect", *SOURCES], scratch).output)
        settings.unlink()
    return store


def commands(scratch: Path, store: Path, peer: Path, repetitions: int) -> None:
    """Whole processes: as a user types it, and with everything that can be left out left out."""
    (scratch / "tokentape.yaml").write_text(f"store: {store}\n")
    tokens = [f"{number}" for number in TOKENS]
    cheapest = ["cheapest", MODEL, "--input", tokens[0], "--output", tokens[1]]
    sides: dict[str, list[str | Path]] = {
        "tokentape cheapest": [BIN / "tokentape", *cheapest],
        "tokentape --store": [BIN / "tokentape", "--store", store, *cheapest],
        "genai-prices calc": [peer, "calc", "--input-tokens", tokens[0], "--output-tokens", tokens[1], ROUTE],
        "python -c pass": [BIN / "python", "-c", "pass"],
    }
    for side in sides.values():
        note("\n".join(spend(side, scratch).output.splitlines()[:12]))
    found = in_turn({name: partial(spend, side, scratch) for name, side in sides.items()}, repetitions)
    report(found)
    compare(found, "tokentape cheapest", "genai-prices calc")
    compare(found, "tokentape --store", "genai-prices calc")
    compare(found, "tokentape --store", "python -c pass")


def queries(store: Path, repetitions: int) -> None:
    """The same question inside one process, against bare statements on the same file."""
    from store import intervals
    from store.instants import to_millis
    from store.naming import find_model
    from store.read import open_store
    from store.routing import Constraints, Workload, rank

    now = datetime.now(UTC)
    workload, anything = Workload(input_tokens=TOKENS[0], output_tokens=TOKENS[1]), Constraints()
    with open_store(str(store)) as reader, closing(sqlite3.connect(store)) as connection:
        models = [row[0] for row in connection.execute("SELECT name FROM model ORDER BY name")]
        random.Random(1).shuffle(models)

        def answer(model: str) -> int:
            rows = intervals.endpoints(reader, find_model(reader, model), now)
            return len(rank(rows, workload, now, anything).routes)

        def query(model: str) -> int:
            return len(intervals.endpoints(reader, model, now))

        def same_statement(model: str) -> int:
            at = to_millis(now)
            values = {"model": model, "provider": None, "source": None, "at": at, "known": at, "seen": at}
            return len(connection.execute(intervals._OBSERVED_AT, values).fetchall())

        def by_hand(model: str) -> int:
            return len(connection.execute(BY_HAND, {"model": model}).fetchall())

        sides = {"query + rank": answer, "query": query, "its statement": same_statement, "by hand": by_hand}
        print(f"\n{MODEL}: {query(MODEL)} endpoints, {answer(MODEL)} routes")
        timed(sides, [MODEL] * CALLS, repetitions)
        print(f"\n{CALLS} of the {len(models)} models of the store, in random order")
        timed(sides, models[:CALLS], repetitions)


def timed(sides: Mapping[str, Callable[[str], int]], models: Sequence[str], repetitions: int) -> None:
    """p50 and p99 of a call, in turn, and the p50 against the bare statements."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            times = []
            for model in models:
                started = time.perf_counter()
                side(model)
                times.append(1e6 * (time.perf_counter() - started))
            cuts = statistics.quantiles(times, n=100)
            found[name].append((cuts[49], cuts[98]))
    for name, pairs in found.items():
        p50, p99 = zip(*pairs, strict=True)
        ratios = [
            f"{spread([a[0] / b[0] for a, b in zip(pairs, found[other], strict=True)], 'x')} {other}"
            for other in ("its statement", "by hand")
            if name != other
        ]
        print(f"{name:14} p50 {spread(p50, 'us')}  p99 {spread(p99, 'us')}  p50 is {', '.join(ratios)}")


if __name__ == "__main__":
    main()
