"""The store's share of a poll of 20,000 endpoints, of which none or a few changed.

Against a bare floor in the same run: what is in force is read from one narrow table, compared, and what changed written
by three statements over many rows, without a poll, evidence, findings or a second clock. Its offers are tuples that can
be compared; ours are observations, of which a mark is made first, before the store is locked. `poll` has all of it,
`marks` is that part timed once more by itself, and the ratio to the floor is shown with and without it. Times are
processor time of the thread.
"""

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector import checks
from collector.settings import CheckSettings
from store.records import EndpointKey, Facts, Identity, Observation, RateCard, Sighting
from store.touched import by_mark
from store.write import PollFacts, SourceFacts, Tape
from tests.benchmarks.measure import note, spread

ENDPOINTS = 20_000
MILL = 1_000_000
"""A thousandth of a dollar in nano units: what is cheaper by much is not believed, and looked at in every poll."""
START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = checks.rules(CheckSettings())
SOURCE = SourceFacts(name="source", trust=0, every_s=3600)


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="poll_20000", description=__doc__)
    options.add_argument("--repetitions", type=int, default=9)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "tape.db")
        floor = Floor(Path(folder) / "floor.db")
        for changed in (0, ENDPOINTS // 100):
            found: dict[str, list[float]] = {"floor": [], "poll": [], "marks": []}
            grown = []
            for number in range(given.repetitions + 1):
                note(f"{changed} changed, repetition {number} of {given.repetitions}")
                places = random.Random(number).sample(range(ENDPOINTS), changed)
                timed = {"floor": floor.cycle(places)}
                before = store.bytes_of_all_but_polls()
                timed["poll"], timed["marks"] = store.poll(places)
                grown.append(store.bytes_of_all_but_polls() - before)
                if number:
                    for name, took in timed.items():
                        found[name].append(1000 * took)
            figures = "; ".join(f"{name} {spread(each, 'ms')}" for name, each in found.items())
            print(f"{changed} changed: {figures}")
            whole = [poll / bare for poll, bare in zip(found["poll"], found["floor"], strict=True)]
            compared = zip(found["poll"], found["marks"], found["floor"], strict=True)
            share = [(poll - marks) / bare for poll, marks, bare in compared]
            print(f"  poll without marks / floor {spread(share, 'x')}; poll / floor {spread(whole, 'x')}")
            print(f"  bytes beyond the poll's row {statistics.median(grown):.0f}")


class Floor:
    """Endpoints in force as rows of one table, and their history as rows of another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now = 0
        self._offers = {number: (number + 1, 2 * number + 2, None, None, 128_000) for number in range(ENDPOINTS)}
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            terms = "input INTEGER, output INTEGER, cache_read INTEGER, cache_write INTEGER, context INTEGER"
            connection.execute(f"CREATE TABLE current (endpoint INTEGER PRIMARY KEY, source, since INTEGER, {terms})")
            connection.execute(f"CREATE TABLE history (id INTEGER PRIMARY KEY, endpoint, since, until, {terms})")
            connection.execute("CREATE INDEX by_endpoint ON history (endpoint, since)")
            rows = [(number, *offer) for number, offer in self._offers.items()]
            connection.executemany("INSERT INTO current VALUES (?, 1, 0, ?, ?, ?, ?, ?)", rows)
            connection.executemany("INSERT INTO history VALUES (NULL, ?, 0, NULL, ?, ?, ?, ?, ?)", rows)

    def cycle(self, places: list[int]) -> float:
        """Seconds for one poll in which these change."""
        self._now += 1
        for number in places:
            self._offers[number] = (self._offers[number][0] + 1000, *self._offers[number][1:])
        started = time.thread_time()
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            columns = "endpoint, input, output, cache_read, cache_write, context, since"
            known = {row[0]: row for row in connection.execute(f"SELECT {columns} FROM current")}
            changed = [(number, offer) for number, offer in self._offers.items() if known[number][1:6] != offer]
            with connection:
                ended = [(self._now, number, known[number][6]) for number, _ in changed]
                connection.executemany("UPDATE history SET until = ? WHERE endpoint = ? AND since = ?", ended)
                begun = [(number, self._now, *offer) for number, offer in changed]
                connection.executemany("INSERT INTO history VALUES (NULL, ?, ?, NULL, ?, ?, ?, ?, ?)", begun)
                terms = "since = ?, input = ?, output = ?, cache_read = ?, cache_write = ?, context = ?"
                updated = [(self._now, *offer, number) for number, offer in changed]
                connection.executemany(f"UPDATE current SET {terms} WHERE endpoint = ?", updated)
        assert len(changed) == len(places)
        return time.thread_time() - started


class Store:
    """A tape with one source."""

    def __init__(self, path: Path) -> None:
        self._tape = Tape(str(path))
        self._pack = self._tape.archive.keep(())
        self._polls = 0
        self._seen = [
            Observation(
                key=EndpointKey(f"provider-{number % 50}", f"author/model-{number // 50}"),
                identity=Identity(provider=f"provider-{number % 50}", model=f"author/model-{number // 50}"),
                card=_card((number + 1) * MILL, (2 * number + 2) * MILL),
                facts=Facts(context_length=128_000, features=("tools",)),
                locator=f"data[{number}]",
            )
            for number in range(ENDPOINTS)
        ]
        self.poll([])

    def poll(self, places: list[int]) -> tuple[float, float]:
        """Seconds for one poll in which these change, and those of them that go into marks alone."""
        for number in places:
            one = self._seen[number]
            assert one.card is not None
            (_, given), (_, taken) = one.card.amounts
            self._seen[number] = replace(one, card=_card(given + MILL, taken))
        at = START + timedelta(hours=self._polls)
        self._polls += 1
        documents = {"": (f"{self._polls:064x}", "https://upstream.example/models")}
        sighting = Sighting(at=at, complete=True, documents=documents, observations=tuple(self._seen))
        facts = PollFacts(at=at, outcome="ok", pack=self._pack, quotes=ENDPOINTS)
        took = _timed(lambda: self._tape.record(SOURCE, facts, sighting, RULES, known=at))
        return took, _timed(lambda: by_mark(sighting.observations, RULES.salt))

    def bytes_of_all_but_polls(self) -> int:
        """Of pages in use."""
        with closing(sqlite3.connect(self._tape.name)) as connection:
            sql = "SELECT sum(pgsize) FROM dbstat WHERE name NOT IN ('poll', 'poll_source_at')"
            return int(connection.execute(sql).fetchone()[0])


def _card(given: int, taken: int) -> RateCard:
    return RateCard(currency="USD", amounts=(("input", given), ("output", taken)))


def _timed(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


if __name__ == "__main__":
    main()
