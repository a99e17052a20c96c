"""A pruning that kills itself: `python -m tests.pruned_until_killed STORE STEP` dies before that durable step."""

import sys

from store.write import Tape
from tests.killed import arm
from tests.test_retention import prune


def main() -> None:
    """Prune as the test does, armed."""
    tape = Tape(sys.argv[1])
    arm(int(sys.argv[2]))
    prune(tape, "evidence", days=100)


if __name__ == "__main__":
    main()
