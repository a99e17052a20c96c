"""A month of upstreams with faults, by a clock in our hand, against a world whose true prices are known.

Prints how many polls and faults there were, and every price in force that was not the true one, every offer told to be
gone that was not, and every fault that nothing told; exits 1 if there is any.
"""

import argparse
import tempfile
from datetime import timedelta
from pathlib import Path

from tests.changing import configured
from tests.simulated import simulate


def main() -> None:
    """Print what became of it."""
    options = argparse.ArgumentParser(prog="simulation", description=__doc__)
    options.add_argument("--sources", type=int, default=40)
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--every", type=int, default=60, help="minutes between polls")
    options.add_argument("--share", type=float, default=0.1, help="of polls that a fault befalls")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--store", default="", help="URL of an empty store [default: a SQLite file]")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = simulate(
            configured(Path(folder), given.sources),
            given.store or str(Path(folder, "tape.db")),
            str(Path(folder, "documents")),
            polls=given.days * 24 * 60 // given.every,
            every=timedelta(minutes=given.every),
            share=given.share,
            seed=given.seed,
        )
    print(f"{outcome.polls} polls, {outcome.faults.total()} faults of {len(outcome.faults)} kinds")
    print(
        f"{len(outcome.wrong)} wrong prices, {len(outcome.withdrawn)} false withdrawals, {len(outcome.unseen)} unseen"
    )
    wrong = [*outcome.wrong, *outcome.withdrawn, *outcome.unseen]
    for line in wrong:
        print(line)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
