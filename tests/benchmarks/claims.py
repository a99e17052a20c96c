"""Three daemons on one PostgreSQL, one of them killed every few seconds: how often each due slot was polled."""

import argparse
import itertools
import subprocess
import sys
import time

from store.write import Tape
from tests.claiming import SOURCES
from tests.stores import Server, Stores, rows


def main() -> None:
    """Print how many slots were polled once; exit 1 if any was not, or was twice."""
    options = argparse.ArgumentParser(prog="claims", description=__doc__)
    options.add_argument("--slots", type=int, default=10_000)
    options.add_argument("--every", type=float, default=5.0, help="seconds between kills")
    given = options.parse_args()
    count = -(-given.slots // len(SOURCES))
    server = Server()
    try:
        with Stores(server).new() as url:
            Tape(url).close()
            kills = run(url, count, given.every)
            found = rows(url, "SELECT count(*), count(DISTINCT slot) FROM poll GROUP BY source_id")
    finally:
        server.stop()
    due = count * len(SOURCES)
    polls, slots = (sum(column) for column in zip(*found, strict=True))
    print(f"{due} due slots, {kills} kills: {slots} polled, {polls - slots} twice, {due - slots} never")
    raise SystemExit((polls, slots) != (due, due))


def run(url: str, count: int, every_s: float) -> int:
    """How many daemons were killed until the slots were all served."""
    names = map(str, itertools.count())

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "tests.claiming", url, next(names), str(count)])

    daemons, kills = [start() for _ in range(3)], 0
    while True:
        until = time.monotonic() + every_s
        while time.monotonic() < until:
            if all(daemon.poll() == 0 for daemon in daemons):
                return kills
            time.sleep(0.1)
        victim = kills % 3
        if daemons[victim].poll() is None:
            daemons[victim].kill()
            daemons[victim].wait()
            daemons[victim] = start()
            kills += 1


if __name__ == "__main__":
    main()
