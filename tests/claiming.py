"""A daemon without a network: claims the slots of some sources one after the other, and writes a poll for each it has.

Run as `python -m tests.claiming STORE NAME COUNT`, by several processes at once, some of which are killed.
"""

import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from collector import checks
from collector.settings import CheckSettings
from store.errors import LeaseLost
from store.instants import utc_now
from store.leases import Claim, Held
from store.records import Sighting
from store.write import PollFacts, SourceFacts, Tape

SOURCES = ("one", "two", "three")
FIRST = datetime(2026, 8, 22, 12, tzinfo=UTC)
LIVES = timedelta(milliseconds=300)
RULES = checks.rules(CheckSettings())


def main() -> None:
    """Serve all slots of all sources."""
    store, name, count = sys.argv[1:]
    tape = Tape(store)
    newest = [tape.last_polls(source).newest or FIRST for source in SOURCES]
    for number in range((min(newest) - FIRST) // timedelta(minutes=1), int(count)):  # all before were served
        for source in SOURCES:
            serve(tape, name, SourceFacts(name=source, trust=0, every_s=60), FIRST + timedelta(minutes=number))
    tape.close()


def serve(tape: Tape, name: str, source: SourceFacts, slot: datetime) -> None:
    """Until a slot has its poll."""
    while True:
        now = utc_now()
        claimed = tape.claim(source, slot=slot, polled_since=slot, until=now + LIVES, now=now, holder=name)
        if isinstance(claimed, Claim):
            poll = PollFacts(at=slot + timedelta(seconds=1), outcome="ok", claim=claimed)
            sighting = Sighting(at=poll.at, complete=True)
            with suppress(LeaseLost):  # where this machine let it sleep for longer than its claim lives
                assert tape.record(source, poll, sighting, RULES, known=utc_now())
        elif claimed is None:
            return
        elif isinstance(claimed, Held):
            time.sleep(0.01)


if __name__ == "__main__":
    main()
