"""Exactly once: whatever daemons do, die of or sleep through, no slot has two polls, and none goes untold."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector import schedule
from collector.config import Config
from collector.contract import SourceSpec
from collector.fetch import Fetcher
from collector.mend import source_facts
from collector.poll import WRITE_WITHIN, Poller, Report
from store.instants import from_millis
from store.leases import Claim, Held
from store.write import Tape
from tests import polling
from tests.fetching import NOW, Naps, settings, trust
from tests.raw_server import answer, raw_server
from tests.stores import Stores, rows
from tests.test_invariants import examples

EVERY = timedelta(hours=1)
SPECS = tuple(polling.source(name, every_s=int(EVERY.total_seconds()), deadline_s=60.0) for name in ("one", "two"))
LIVES = timedelta(seconds=SPECS[0].deadline_s) + WRITE_WITHIN
GOOD = answer(b'{"data": [{"id": "acme/one", "in": "1.5", "out": "6"}]}', "Content-Type: application/json")
BAD = answer(b"", status="404 Not Found")
DAEMONS = 3
EVEN = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Act:
    """One thing that happens to a daemon."""

    kind: str
    """`look` (and poll, if it has the claim), `good` or `bad` (an upstream answers one of those that wait), `kill`,
    `alone` (all others are killed, and it knows), `step` (its clock is set forward)."""
    daemon: int
    source: int
    minutes: int
    """Since the act before; of `step`, seconds by which the clock is set, less than 30."""


ACTS = st.builds(
    Act,
    kind=st.sampled_from(["look", "look", "look", "good", "good", "bad", "kill", "alone", "step"]),
    daemon=st.integers(0, DAEMONS - 1),
    source=st.sampled_from([0, 0, 0, 1]),
    minutes=st.sampled_from([0, 0, 1, 1, 3, 3, 20, 40, 61, 130, 700]),
)


class World:
    """A clock, upstreams that answer when they are told to, and what daemons reported."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.now = schedule.slot_at("one", SPECS[0].every_s, NOW)
        self.ended: dict[datetime, list[Report]] = {}
        """What was reported, by when that was on the clock of who reported it."""
        self.skew = EVEN
        """How far clocks are apart at most."""
        self.asked: asyncio.Future[asyncio.Future[bytes]]

    async def upstream(self, writer: asyncio.StreamWriter) -> None:
        said = asyncio.get_running_loop().create_future()
        self.asked.set_result(said)
        writer.write(await said)
        await writer.drain()


class Daemon:
    """What a daemon does, and what it has under way."""

    def __init__(self, world: World, tape: Tape, fetcher: Fetcher, name: str) -> None:
        self._world, self._tape, self._fetcher, self._name = world, tape, fetcher, name
        self.ahead = timedelta()
        self.under_way: dict[str, tuple[asyncio.Task[Report], asyncio.Future[bytes]]] = {}
        self.kill()

    def clock(self) -> datetime:
        return self._world.now + self.ahead

    async def look(self, spec: SourceSpec) -> Claim | Held | None:
        """Poll a source, if it is due and nobody is at it, until its upstream is asked."""
        now = self.clock()
        slot = schedule.slot_at(spec.id, spec.every_s, now)
        claimed = self._tape.claim(
            source_facts(spec),
            slot=slot,
            polled_since=schedule.served_since(slot, spec.every_s, self._tape.failures(spec.id)),
            until=now + LIVES,
            now=now,
            holder=self._name,
        )
        if isinstance(claimed, Claim):
            self._world.asked = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._poller.poll(spec, claimed))
            either: list[asyncio.Future[Any]] = [task, self._world.asked]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            self.under_way[spec.id] = (task, self._world.asked.result())
        return claimed

    async def end(self, spec: SourceSpec, said: bytes) -> None:
        """Its upstream answers."""
        task, asked = self.under_way.pop(spec.id)
        asked.set_result(said)
        self._world.ended[self.clock()] = [*self._world.ended.get(self.clock(), []), await task]

    def kill(self) -> None:
        """It is gone, and another is in its place."""
        for task, asked in self.under_way.values():
            task.cancel()
            asked.cancel()
        self.under_way.clear()
        self._poller = Poller(self._world.config, self._tape, self._fetcher, clock=self.clock, environ={})


@contextmanager
def opened(url: str) -> Iterator[list[Tape]]:
    tapes = [Tape(url) for _ in range(DAEMONS)]
    try:
        yield tapes
    finally:
        for tape in tapes:
            tape.close()


async def play(url: str, config: Config, script: list[Act]) -> World:
    """All that happens; and at the end, when nobody can be at it any more, one of them looks."""
    world = World(config)
    with opened(url) as tapes:
        async with raw_server(world.upstream) as server:
            http = replace(settings(first_byte_s=60.0), mirror=server.url)
            async with Fetcher(http, lambda: world.now, sleep=Naps(), tls=trust()) as fetcher:
                daemons = [Daemon(world, tape, fetcher, str(number)) for number, tape in enumerate(tapes)]
                for act in script:
                    await happen(world, daemons, act)
                world.now += LIVES + world.skew
                for daemon in daemons:
                    daemon.ahead = timedelta()
                    daemon.kill()
                for spec in SPECS:
                    claimed = await daemons[0].look(spec)
                    assert not isinstance(claimed, Held), "whose time was up"
                    if claimed is not None:
                        await daemons[0].end(spec, GOOD)
    return world


async def happen(world: World, daemons: list[Daemon], act: Act) -> None:
    daemon, spec = daemons[act.daemon], SPECS[act.source]
    if act.kind == "step":
        daemon.ahead += timedelta(seconds=act.minutes % 30)
        world.skew = max(world.skew, daemon.ahead + EVEN)
        return
    world.now += timedelta(minutes=act.minutes, milliseconds=1)
    if act.kind == "look" and spec.id not in daemon.under_way:
        await daemon.look(spec)
    elif act.kind in ("good", "bad"):
        waiting = [(one, spec) for one in daemons for spec in SPECS if spec.id in one.under_way]
        if waiting:
            one, spec = waiting[act.daemon % len(waiting)]
            await one.end(spec, GOOD if act.kind == "good" else BAD)
    elif act.kind in ("kill", "alone"):
        for one in daemons if act.kind == "alone" else [daemon]:
            one.kill()
        if act.kind == "alone":
            daemon._tape.expire_claims()


@pytest.fixture(scope="module")
def config() -> Config:
    return polling.configured(settings(), *SPECS)


def two_after_another(minutes: int) -> list[Act]:
    """Two daemons ask for one slot, one so long after the other, and both get an answer."""
    return [Act("look", 0, 0, 0), Act("look", 1, 0, minutes), Act("good", 0, 0, 0), Act("good", 0, 0, 0)]


@examples
@example(script=two_after_another(minutes=1))
@example(script=two_after_another(minutes=3))
@given(script=st.lists(ACTS, min_size=6, max_size=24))
def test_whatever_daemons_do_each_slot_has_one_poll_at_most_and_every_other_is_accounted_for(
    stores: Stores, config: Config, script: list[Act]
) -> None:
    """Exactly once: 20."""
    with stores.new() as url:
        world = asyncio.run(play(url, config, script))
        for spec in SPECS:
            polls = list(of_slots(url, spec))
            slots = [poll.slot for poll in polls]
            assert sorted(set(slots)) == slots
            mine = [(report, at) for at, some in world.ended.items() for report in some if report.source == spec.id]
            ended = {report.at: at for report, at in mine if written(report)}
            assert ended.keys() == {poll.at for poll in polls}
            late = [at - report.at for report, at in mine if not written(report)]
            assert all(took >= LIVES - world.skew for took in late), "only who is late is taken over"
            for poll, after in pairwise(polls):
                accounted_for(spec, poll, ended[poll.at], after, world.skew)


def written(report: Report) -> bool:
    """Whether a daemon still had its claim at the end."""
    return "another daemon took over" not in report.message


@dataclass(frozen=True)
class Row:
    """A poll for a slot, as it is in the store."""

    slot: datetime
    at: datetime
    known: datetime
    message: str
    failures: int
    """In a row, this one included."""


def of_slots(url: str, spec: SourceSpec) -> Iterator[Row]:
    """Of a source, in the order of their instants; what was taken over from a daemon that was killed has no slot."""
    failures = 0
    for slot, at, known, outcome, message in rows(
        url,
        "SELECT p.slot, p.at, p.known, p.outcome, p.message FROM poll p JOIN source s ON s.id = p.source_id"
        f" WHERE s.name = '{spec.id}' ORDER BY p.at",
    ):
        failures = failures + 1 if outcome == "failed" else 0
        if slot is not None:
            yield Row(from_millis(slot), from_millis(at), from_millis(known), message or "", failures)


def accounted_for(spec: SourceSpec, poll: Row, ended: datetime, after: Row, skew: timedelta) -> None:
    """Each slot between two polls was overrun by the one, is told to be missed by the other, or needed none."""
    between = [poll.slot + number * EVERY for number in range(1, (after.slot - poll.slot) // EVERY)]
    missed = [
        slot
        for slot in between
        if slot > poll.known and poll.at < schedule.served_since(slot, spec.every_s, poll.failures)
    ]
    assert number_of("overrun", poll.message) == (ended - poll.slot) // EVERY
    assert number_of("missed", after.message) == len(missed), (poll, after)
    # Knowledge only grows: it ends later than by the clock of a daemon that is behind those of others.
    assert timedelta() <= poll.known - ended <= skew


def number_of(what: str, message: str) -> int:
    """How many slots a message says to have been overrun or missed."""
    found = re.search(rf"([0-9]+) slots? {what}", message)
    return int(found[1]) if found else 0
