"""A full poll of OpenRouter as a whole process: `tokentape collect openrouter` of the newest recorded sweep.

Into a fresh store, and again with nothing changed, each against the same requests made bare (`bare_fetch`).
"""

import argparse
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.benchmarks.measure import BIN, Spent, compare, config, in_turn, mirror, note, report, spend

BARE = Path(__file__).with_name("bare_fetch.py")


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="full_poll", description=__doc__)
    options.add_argument("--repetitions", type=int, default=7)
    options.add_argument("--as-served", action="store_true", help="with the 40 ms that the mirror keeps bodies back")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, mirror(Path(folder), at_once=not given.as_served) as base:
        sides = polls(Path(folder), base)
        for warm in sides.values():
            note(warm().output)
        found = in_turn(sides, given.repetitions)
    report(found)
    compare(found, "fresh store", "bare requests")
    compare(found, "nothing changed", "bare 304s")


def polls(scratch: Path, base: str) -> dict[str, Callable[[], Spent]]:
    """What is run in turn; a store is fresh once, and then the one in which nothing changes."""
    settings, tags = config(scratch, base), scratch / "tags.json"
    stores = (scratch / f"{number}.db" for number in count())
    store = scratch

    def collect() -> Spent:
        return spend([BIN / "tokentape", "--config", settings, "--store", store, "collect", "openrouter"], scratch)

    def bare_requests() -> Spent:
        tags.unlink(missing_ok=True)
        return spend([BIN / "python", BARE, base, tags], scratch)

    def bare_304s() -> Spent:
        return spend([BIN / "python", BARE, base, tags], scratch)

    def fresh_store() -> Spent:
        nonlocal store
        store = next(stores)
        spent = collect()
        assert "openrouter: ok" in spent.output, spent.output
        return spent

    def nothing_changed() -> Spent:
        spent = collect()
        assert " 0 changed" in spent.output, spent.output
        return spent

    return {
        "bare requests": bare_requests,
        "fresh store": fresh_store,
        "bare 304s": bare_304s,
        "nothing changed": nothing_changed,
    }


if __name__ == "__main__":
    main()
