"""Polls of a daemon that come late, take long or end badly, over real sockets into a store of either engine."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from collector import schedule
from collector.contract import SourceSpec
from collector.fetch import Fetcher
from collector.mend import source_facts
from collector.poll import Poller, Report
from store.instants import utc_now
from store.leases import Claim, Held
from store.location import is_postgres
from store.write import Tape
from tests import polling
from tests.collecting import ask
from tests.fetching import NOW, Naps, settings, trust
from tests.raw_server import Answer, RawServer, answer, raw_server, silence
from tests.stores import connected, rows
from tests.test_daemon import scheduled

SPEC = polling.source()
HOUR = timedelta(hours=1)
SLOT = schedule.slot_at(SPEC.id, SPEC.every_s, NOW)
GOOD = answer(b'{"data": [{"id": "acme/one", "in": "1.5", "out": "6"}]}', "Content-Type: application/json")
REFUSED = answer(b"", "Retry-After: 7", status="429 Too Many Requests")


class Daemon:
    """What a daemon does in one slot after the other, by a clock in our hand."""

    def __init__(self, tape: Tape, spec: SourceSpec = SPEC) -> None:
        self.tape, self.spec = tape, spec
        self.now = SLOT
        self.takes = timedelta()
        """How far the clock goes on while an upstream is asked."""

    def clock(self) -> datetime:
        return self.now

    def poll(self, *answers: Answer) -> list[Report]:
        """One poll for each answer, wherever its slot has none yet, an hour apart."""

        async def work() -> list[Report]:
            reports = []
            for said in answers:
                async with raw_server(said) as server:
                    reports += await self.at_once(server)
                self.now += HOUR
            return reports

        return asyncio.run(work())

    async def at_once(self, server: RawServer) -> list[Report]:
        claim = self.claim()
        if claim is None:
            return []
        http = replace(settings(), mirror=server.url)
        async with Fetcher(http, self.clock, sleep=Naps(), tls=trust()) as fetcher:
            config = polling.configured(http, self.spec)
            poller = Poller(config, self.tape, fetcher, clock=self.clock, progress=self.go_on, environ={})
            return [await poller.poll(self.spec, claim)]

    def go_on(self, *_: object) -> None:
        self.now += self.takes

    def claim(self) -> Claim | None:
        slot = schedule.slot_at(self.spec.id, self.spec.every_s, self.now)
        claim = self.tape.claim(
            source_facts(self.spec),
            slot=slot,
            polled_since=schedule.served_since(slot, self.spec.every_s, self.tape.failures(self.spec.id)),
            until=self.now + 12 * HOUR,
            now=self.now,
            holder="here",
        )
        return claim if isinstance(claim, Claim) else None


@pytest.fixture
def tape(store_url: str) -> Iterator[Tape]:
    opened = Tape(store_url, busy_s=0.5)
    yield opened
    opened.close()


def said(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT outcome, code, message FROM poll ORDER BY at")


@pytest.mark.fault(152)
def test_after_five_slots_without_a_daemon_there_is_one_poll_and_it_tells_of_five(tape: Tape, store_url: str) -> None:
    daemon = Daemon(tape)
    daemon.poll(GOOD, GOOD)
    last = daemon.now - HOUR
    daemon.now += 5 * HOUR
    (late,) = daemon.poll(GOOD)
    daemon.now -= HOUR
    assert daemon.poll(GOOD) == [], "the slot has its poll"
    assert late.message == f"5 slots missed since {last:%Y-%m-%dT%H:%M:%SZ}"
    assert said(store_url) == [("ok", None, None)] * 2 + [("ok", "missed", late.message)]


@pytest.mark.fault(125)
def test_hours_asleep_are_missed_slots_and_no_price_was_seen_in_them(
    tape: Tape, store_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    daemon = Daemon(tape)
    daemon.poll(GOOD)
    last = daemon.now - HOUR
    daemon.now += 9 * HOUR
    (late,) = daemon.poll(GOOD)
    assert late.message.startswith("9 slots missed since ")
    asked = ask(
        tmp_path_factory.mktemp("home"),
        *("--store", store_url, "history", "acme/one", "--at", (last + 5 * HOUR).isoformat(), "--format", "csv"),
    )
    names, *lines = (line.split(",") for line in asked.stdout.splitlines())
    (row,) = (dict(zip(names, line, strict=False)) for line in lines)
    assert (row["last_seen"], row["stale"]) == (f"{last:%Y-%m-%dT%H:%M:%SZ}", "true")


@pytest.mark.fault(152)
def test_a_poll_that_fails_tells_as_well_of_slots_that_were_missed_and_how_long_it_was_asked_to_wait(
    tape: Tape, store_url: str
) -> None:
    daemon = Daemon(tape)
    daemon.poll(GOOD)
    daemon.now += 2 * HOUR
    (late,) = daemon.poll(REFUSED)
    ((*_,), (outcome, code, message)) = said(store_url)
    assert (outcome, code) == ("failed", "rate_limited")
    assert message.startswith("2 slots missed since ")
    assert message.endswith("got 429 Too Many Requests, asked to wait 7 s")
    assert late.code == "rate_limited"
    assert list(tape.refused()) == ["acme"]


@pytest.mark.fault(152)
def test_slots_that_a_failing_source_is_given_to_recover_are_not_missed(tape: Tape, store_url: str) -> None:
    daemon = Daemon(tape)
    daemon.poll(*[REFUSED] * 12, *[GOOD] * 7)
    codes = [code for _, code, _ in said(store_url)]
    assert set(codes) == {"rate_limited", None}
    assert codes.count("rate_limited") < 8


@pytest.mark.fault(153)
def test_slots_that_begin_while_a_poll_is_under_way_are_overrun_and_not_missed(tape: Tape, store_url: str) -> None:
    daemon = Daemon(tape)
    daemon.takes = 2 * HOUR + timedelta(minutes=1)
    (slow,) = daemon.poll(GOOD)
    daemon.takes = timedelta()
    assert slow.message == f"2 slots overrun, it was under way until {daemon.now - HOUR:%Y-%m-%dT%H:%M:%SZ}"
    (after,) = daemon.poll(GOOD)
    assert after.message == ""
    assert said(store_url) == [("ok", "overrun", slow.message), ("ok", None, None)]


@pytest.mark.fault(154)
@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (RuntimeError("a fault"), "bug", "RuntimeError: a fault"),
        (SystemExit(3), "bug", "SystemExit: 3"),
        (MemoryError(), "resources", "no memory is left"),
    ],
)
def test_whatever_ends_a_poll_is_told_and_the_next_slot_has_its_own(
    tape: Tape, store_url: str, fault: BaseException, code: str, message: str
) -> None:
    daemon = Daemon(tape)

    def fail(*_: object) -> None:
        raise fault

    daemon.go_on = fail  # type: ignore[method-assign]
    (ended,) = daemon.poll(GOOD)
    del daemon.go_on
    assert (ended.code, ended.message) == (code, message)
    (after,) = daemon.poll(GOOD)
    assert [outcome for outcome, *_ in said(store_url)] == ["failed", "ok"]
    assert after.changes == 1


@pytest.mark.fault(158)
def test_a_poll_that_a_stop_cancels_is_as_if_it_had_not_been(tape: Tape, store_url: str) -> None:
    daemon = Daemon(tape)
    daemon.poll(GOOD)
    before = said(store_url), rows(store_url, "SELECT * FROM span")
    asked = []

    async def hanging(_: SourceSpec, claim: Claim) -> None:
        async with raw_server(silence()) as server:
            http = replace(settings(first_byte_s=30), mirror=server.url)
            async with Fetcher(http, daemon.clock, tls=trust()) as fetcher:
                poller = Poller(polling.configured(http, SPEC), tape, fetcher, clock=daemon.clock, environ={})
                try:
                    await poller.poll(SPEC, claim)
                finally:
                    asked.extend(server.requests)

    assert scheduled([SPEC], hanging, 0.3, claim=lambda _: daemon.claim(), stop_within_s=0.2) < 5
    assert len(asked) == 1
    assert (said(store_url), rows(store_url, "SELECT * FROM span")) == before
    tape.expire_claims()
    (again,) = daemon.poll(GOOD)
    assert (again.outcome, again.changes) == ("ok", 0)


@pytest.mark.fault(157)
def test_where_39_of_40_upstreams_say_nothing_the_other_is_polled_and_written_in_its_time(
    tape: Tape, store_url: str
) -> None:
    hanging = [polling.source(f"hanging{number}", deadline_s=60.0) for number in range(39)]
    prompt = polling.source("prompt", every_s=1)
    began = utc_now()

    def claim(spec: SourceSpec) -> Claim | Held | None:
        now = utc_now()
        slot = schedule.slot_at(spec.id, spec.every_s, now)
        since = schedule.served_since(slot, spec.every_s, 0)
        return tape.claim(source_facts(spec), slot=slot, polled_since=since, until=now + HOUR, now=now, holder="here")

    async def poll(spec: SourceSpec, claim: Claim) -> None:
        async with raw_server(silence(), at={"/prompt.test/models": GOOD}) as server:
            http = replace(settings(first_byte_s=60), mirror=server.url)
            async with Fetcher(http, utc_now, tls=trust()) as fetcher:
                config = polling.configured(http, *hanging, prompt)
                await Poller(config, tape, fetcher, environ={}).poll(spec, claim)

    scheduled([*hanging, prompt], poll, 3.5, claim=claim, stop_within_s=0.1)
    polled = rows(store_url, "SELECT s.name, p.outcome, p.at FROM poll p JOIN source s ON s.id = p.source_id")
    assert {(name, outcome) for name, outcome, _ in polled} == {("prompt", "ok")}
    assert len(polled) >= 2
    assert min(at for *_, at in polled) / 1000 - began.timestamp() < 5


@contextmanager
def held_by_another(url: str) -> Iterator[None]:
    """Somebody writes, and does not come to an end."""
    with connected(url) as connection:
        connection.execute("LOCK TABLE poll IN EXCLUSIVE MODE" if is_postgres(url) else "BEGIN EXCLUSIVE")
        yield


@pytest.mark.fault(137)
def test_what_came_while_the_store_was_locked_is_taken_over_by_the_next_slot_and_not_asked_for_again(
    tape: Tape, store_url: str
) -> None:
    daemon, asked = Daemon(tape), []
    daemon.poll(GOOD)
    dearer = GOOD.replace(b'"6"', b'"7"')

    async def locked_out() -> list[Report]:
        async with raw_server(dearer) as server:
            let_go = threading.Event()
            daemon.go_on = lambda *_: hold(let_go)  # type: ignore[method-assign]
            reports = await daemon.at_once(server)
            let_go.set()
            asked.extend(server.requests)
            return reports

    holders: list[threading.Thread] = []

    def hold(let_go: threading.Event) -> None:
        held = threading.Event()

        def work() -> None:
            with held_by_another(store_url):
                held.set()
                let_go.wait(20)

        holders.append(threading.Thread(target=work))
        holders[-1].start()
        assert held.wait(20)

    (refused,) = asyncio.run(locked_out())
    for holder in holders:
        holder.join()
    del daemon.go_on
    locked_at = daemon.now
    assert (refused.outcome, refused.code, len(asked)) == ("failed", "db_locked", 1)
    assert len(said(store_url)) == 1
    daemon.now += 24 * HOUR
    daemon.poll(REFUSED)
    assert said(store_url)[-1][2].startswith("23 slots missed since ")
    taken = rows(store_url, f"SELECT outcome, code, changes FROM poll WHERE at = {int(locked_at.timestamp() * 1000)}")
    assert taken == [("ok", "taken_over", 1)], "though the upstream said nothing this time"
