"""Collectors killed (`kill -9`) at random times, again and again, until one comes to the end: what is lost, or doubled.

The store is held against that of a collector that nobody killed, poll by poll and belief by belief, and proven.
"""

import argparse
import random
import tempfile
from pathlib import Path

from tests.changing import collect, collect_killed, configured
from tests.stores import Server, Stores
from tests.test_crash import answers, faults


def main() -> None:
    """Print what became of it; exit 1 if the two stores differ."""
    options = argparse.ArgumentParser(prog="kills", description=__doc__)
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--sources", type=int, default=40)
    options.add_argument("--polls", type=int, default=400, help="of each source, at most")
    options.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = random.Random(given.seed)
    server = Server() if given.engine == "postgresql" else None
    stores = Stores(server)
    try:
        with tempfile.TemporaryDirectory() as home, stores.new() as control, stores.new() as url:
            config = configured(Path(home), given.sources)
            waits_s = [chance.uniform(0.02, 0.15) for _ in range(given.kills)]
            kills = collect_killed(config, url, f"{home}/killed", given.polls, waits_s)
            collect(config, control, f"{home}/control", given.polls)
            found, wanted = answers(url), answers(control)
            unproven = faults(config, url, f"{home}/killed")
    finally:
        if server is not None:
            server.stop()
    for what, one, other in zip(("polls", "beliefs"), found, wanted, strict=True):
        lost, more = len(set(other) - set(one)), len(one) - len(set(one) & set(other))
        print(f"{what}: {len(other)}, lost: {lost}, doubled or others: {more}")
    print(f"{kills} kills; verify: {len(unproven)} faults")
    raise SystemExit(found != wanted or bool(unproven))


if __name__ == "__main__":
    main()
