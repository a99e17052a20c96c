"""The daemon: what is polled when, what stops it, and what it leaves behind."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import load, packaged
from collector.contract import SourceSpec
from collector.schedule import STOP_WITHIN_S, next_due, run, slot_at
from store.leases import Claim, Held
from tests.collecting import TOKENTAPE, Upstreams, ask, environ, own_sources, polls, rows, settings, until
from tests.conftest import ROOT

NOW = datetime(2026, 8, 22, 12, tzinfo=UTC)
DANGER = r"tokentape: SQLite [0-9.]+ may damage a store .*: let this one be the only one\n"
CLAIM = Claim(slot=NOW, fence=1)
LIST = next(iter(load(packaged(), {}).sources.values()))


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    """Upstreams that answer as they should."""
    with Upstreams() as running:
        yield running


# --- the schedule ---


@pytest.mark.fault(120, 156)
@given(source=st.text(), every_s=st.integers(1, 10**6), after_s=st.integers(0, 10**9))
def test_the_slots_of_a_source_follow_each_other_without_a_gap(source: str, every_s: int, after_s: int) -> None:
    every, now = timedelta(seconds=every_s), NOW + timedelta(seconds=after_s)
    slot = slot_at(source, every_s, now)
    assert slot <= now < slot + every
    assert slot_at(source, every_s, slot) == slot
    assert slot_at(source, every_s, slot + every) == slot + every
    assert slot_at(source, every_s, slot - timedelta(milliseconds=1)) == slot - every


def test_sources_are_not_all_due_at_once() -> None:
    assert len({slot_at(str(number), 3600, NOW) for number in range(40)}) > 35


def test_a_source_is_due_in_each_slot_that_no_poll_has_served() -> None:
    slot = slot_at("acme", 3600, NOW)
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    now = slot + 20 * minute
    assert next_due("acme", None, 3600, now) == now
    assert next_due("acme", slot - hour, 3600, now) == now
    assert next_due("acme", slot, 3600, now) == slot + hour
    assert next_due("acme", slot + 20 * minute, 3600, now) == slot + hour
    assert next_due("acme", slot + 50 * minute, 3600, slot + 50 * minute) == slot + 2 * hour, "just before it will do"


@pytest.mark.fault(156)
def test_a_poll_that_a_wrong_clock_put_into_the_future_does_not_stop_a_source() -> None:
    assert next_due("acme", NOW + timedelta(days=3650), 3600, NOW) == NOW


class Polls:
    """A poll that notes when it ran, and takes as long as it is told."""

    def __init__(self, **takes_s: float) -> None:
        self.takes_s = takes_s
        self.began: dict[str, list[float]] = defaultdict(list)
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.under_way: dict[str, int] = defaultdict(int)
        self.most_at_once: dict[str, int] = defaultdict(int)

    async def __call__(self, spec: SourceSpec, _: Claim) -> None:
        self.began[spec.id].append(time.monotonic())
        self.under_way[spec.id] += 1
        self.most_at_once[spec.id] = max(self.most_at_once[spec.id], self.under_way[spec.id])
        try:
            await asyncio.sleep(self.takes_s.get(spec.id, 0))
        except asyncio.CancelledError:
            self.cancelled.append(spec.id)
            raise
        finally:
            self.under_way[spec.id] -= 1
        self.ended.append(spec.id)


def every(seconds: int, *names: str) -> list[SourceSpec]:
    return [replace(LIST, id=name, every_s=seconds) for name in names]


def scheduled(
    specs: list[SourceSpec],
    polls: Callable[[SourceSpec, Claim], Coroutine[object, object, None]],
    *stops_s: float,
    claim: Callable[[SourceSpec], Claim | Held | None] = lambda _: CLAIM,
    stop_within_s: float = STOP_WITHIN_S,
) -> float:
    """Run the schedule and send a signal at each of these times; how long it took to end after the first."""

    async def claims(spec: SourceSpec) -> Claim | Held | None:
        return claim(spec)

    async def work() -> float:
        loop = asyncio.get_running_loop()
        for number, stop_s in enumerate(stops_s):
            loop.call_later(stop_s, os.kill, os.getpid(), (signal.SIGTERM, signal.SIGINT)[number % 2])
        began = loop.time()
        await run(specs, claims, polls, lambda: datetime.now(UTC), lambda: False, stop_within_s)
        return loop.time() - began - stops_s[0]

    return asyncio.run(work())


@pytest.mark.fault(153)
def test_each_source_is_polled_at_once_then_again_and_again_and_never_early(
    caplog: pytest.LogCaptureFixture,
) -> None:
    polls = Polls(slow=2.5)
    scheduled(every(1, "quick", "slow"), polls, 5)
    assert len(polls.began["quick"]) >= 3
    waits = [after - before for before, after in pairwise(polls.began["quick"])]
    assert all(0.9 < wait < 4 for wait in waits), waits
    assert polls.most_at_once == {"quick": 1, "slow": 1}
    assert len(polls.began["slow"]) == 2
    assert caplog.text == ""


def test_what_is_not_due_is_not_polled() -> None:
    polls = Polls()
    scheduled(every(3600, "a", "b"), polls, 0.3, claim=lambda _: None)
    assert polls.began == {}


def test_what_another_daemon_polls_is_waited_for_and_taken_over_when_its_time_is_up() -> None:
    polls = Polls()
    until = datetime.now(UTC) + timedelta(seconds=0.6)

    def claim(_: SourceSpec) -> Claim | Held:
        return CLAIM if datetime.now(UTC) >= until else Held(holder="elsewhere:1", until=until)

    began = time.monotonic()
    scheduled(every(3600, "a"), polls, 2.5, claim=claim)
    assert [at - began > 0.5 for at in polls.began["a"]] == [True]


@pytest.mark.fault(154)
def test_a_poll_that_fails_unforeseen_stops_neither_its_source_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    polls = Polls()

    async def poll(spec: SourceSpec, claim: Claim) -> None:
        await polls(spec, claim)
        if spec.id == "faulty":
            raise RuntimeError("a fault of ours")

    scheduled(every(1, "faulty", "sound"), poll, 2.5)
    assert len(polls.began["faulty"]) >= 2
    assert len(polls.began["sound"]) >= 2
    assert "a fault of ours" in caplog.text, "a bug is to be seen"


def test_a_poll_under_way_at_a_stop_finishes(caplog: pytest.LogCaptureFixture) -> None:
    polls = Polls(slow=1)
    took_s = scheduled(every(1, "slow", "idle"), polls, 0.2)
    assert (polls.ended, polls.cancelled) == (["idle", "slow"], [])
    assert 0.7 < took_s < 2
    assert caplog.text == ""


@pytest.mark.fault(154, 158)
def test_a_poll_that_does_not_finish_in_time_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    polls = Polls(hanging=60)
    took_s = scheduled(every(1, "hanging"), polls, 0.2, stop_within_s=0.5)
    assert polls.cancelled == ["hanging"]
    assert 0.4 < took_s < 2
    assert caplog.text == ""


def test_a_second_signal_does_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    polls = Polls(hanging=60)
    took_s = scheduled(every(1, "hanging"), polls, 0.2, 0.5)
    assert polls.cancelled == ["hanging"]
    assert took_s < 2
    assert caplog.text == ""


def test_a_stop_takes_less_than_the_ten_seconds_after_which_others_kill() -> None:
    assert STOP_WITHIN_S < 10


# --- the process ---


class Daemon:
    """A daemon under way."""

    def __init__(self, home: Path, config: Path, *words: str) -> None:
        self.store = home / "tape.db"
        command: list[str | Path] = [TOKENTAPE, "--config", config, "--store", self.store, "daemon", *words]
        self.process = subprocess.Popen(
            command, cwd=home, env=environ(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def polled(self, source: str) -> list[tuple[str, int]]:
        """Outcome and changes of the polls of a source."""
        return [(outcome, changes) for *_, outcome, changes in polls(self.store, source)]

    def stop(self, *signals: int, within_s: float = 60) -> list[str]:
        """Stop it as a service manager does; the lines that it has written."""
        for name in signals:
            self.process.send_signal(name)
            time.sleep(0.3)
        stdout: str
        stdout, stderr = self.process.communicate(timeout=within_s)
        assert self.process.returncode == 0, stderr
        note = rf"({DANGER})?tokentape: polling [\w, ]+ into {self.store}; stop with SIGTERM or Ctrl-C\n"
        assert re.fullmatch(note, stderr), stderr
        assert rows(self.store, "PRAGMA integrity_check") == [("ok",)]
        assert rows(self.store, "PRAGMA foreign_key_check") == []
        lines = [line.partition(" ") for line in stdout.splitlines()]
        assert all(datetime.fromisoformat(at).tzinfo for at, _, _ in lines)
        return [line for _, _, line in lines]


@contextmanager
def daemon(home: Path, config: Path, *words: str) -> Iterator[Daemon]:
    running = Daemon(home, config, *words)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


@pytest.mark.fault(185)
def test_polls_are_logged_as_json_where_that_is_asked_for_one_a_line(tmp_path: Path, upstreams: Upstreams) -> None:
    upstreams.status["failing"] = 500
    config = own_sources(tmp_path, mirror=upstreams.mirror, every=dict.fromkeys(("steady", "failing"), "1s"))
    with daemon(tmp_path, config, "--log", "json") as running:
        until(lambda: all(polls(running.store, name) for name in ("steady", "failing")))
        running.process.send_signal(signal.SIGTERM)
        stdout, _ = running.process.communicate(timeout=60)
    told = [json.loads(line) for line in stdout.splitlines()]
    steady, failing = (next(one for one in told if one["source"] == name) for name in ("steady", "failing"))
    assert (steady["outcome"], steady["changes"], failing["outcome"]) == ("ok", 3, "failed")
    assert "500" in failing["message"]
    assert all(datetime.fromisoformat(one["at"]).tzinfo for one in told)


def test_a_daemon_polls_every_source_in_its_own_time_whatever_happens_to_the_others(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    upstreams.status["failing"] = 500
    upstreams.wait_s["slow"] = 2
    config = own_sources(tmp_path, mirror=upstreams.mirror, every=dict.fromkeys(("steady", "failing", "slow"), "1s"))
    with daemon(tmp_path, config) as running:
        until(lambda: len(polls(running.store, "slow")) >= 2 and len(polls(running.store, "failing")) >= 2)
        lines = running.stop(signal.SIGTERM)
    steady, failing, slow = (running.polled(name) for name in ("steady", "failing", "slow"))
    assert steady == [("ok", 3)] + [("ok", 0)] * (len(steady) - 1)
    assert slow[0] == ("ok", 3)
    assert len(steady) > len(slow)
    assert set(failing) == {("failed", 0)}
    assert upstreams.most_at_once == {"steady": 1, "failing": 1, "slow": 1}
    began = polls(running.store, "slow")
    assert all(at + took < later for (at, took, *_), (later, *_) in pairwise(began))
    assert rows(running.store, "SELECT count(*) FROM interval") == [(6,)]
    assert len(lines) == len(steady) + len(failing) + len(slow)
    for name, said in (("steady", "ok, 3 endpoints"), ("failing", "failed (http_500)"), ("slow", "ok, 3 endpoints")):
        assert [line for line in lines if line.startswith(f"{name}: {said}")]


@pytest.mark.fault(152)
def test_a_restarted_daemon_polls_what_is_due_and_nothing_else(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"rare": "1h", "often": "1s"})
    with daemon(tmp_path, config) as running:
        until(lambda: polls(running.store, "rare") and polls(running.store, "often"))
        running.stop(signal.SIGINT)
    often = len(running.polled("often"))
    with daemon(tmp_path, config) as running:
        until(lambda: len(polls(running.store, "often")) > often)
        running.stop(signal.SIGTERM)
    assert running.polled("rare") == [("ok", 3)]
    assert upstreams.asked["rare"] == 1


@pytest.mark.fault(158)
@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_poll_under_way_when_the_daemon_is_stopped_is_finished_and_kept(
    tmp_path: Path, upstreams: Upstreams, name: int
) -> None:
    upstreams.wait_s["slow"] = 1.5
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"slow": "1s"})
    with daemon(tmp_path, config) as running:
        until(lambda: upstreams.asked["slow"])
        (line,) = running.stop(name)
    assert line.startswith("slow: ok, 3 endpoints, 3 changed")
    assert running.polled("slow") == [("ok", 3)]


@pytest.mark.fault(158)
def test_a_daemon_that_is_told_twice_leaves_a_hanging_poll_as_if_it_had_not_been(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    upstreams.wait_s["hanging"] = 60
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"hanging": "1h"})
    with daemon(tmp_path, config) as running:
        until(lambda: upstreams.asked["hanging"])
        assert running.stop(signal.SIGTERM, signal.SIGTERM, within_s=30) == []
    assert running.polled("hanging") == []
    upstreams.wait_s.clear()
    again = ask(tmp_path, "--config", config, "--store", running.store, "collect")
    assert again.exit_code == 0, again.output


def test_a_daemon_goes_on_when_nobody_reads_its_lines_any_more(tmp_path: Path, upstreams: Upstreams) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"steady": "1s"})
    with daemon(tmp_path, config) as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        until(lambda: len(polls(running.store, "steady")) >= 3)
        running.process.stdout = None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) == 0
        assert running.process.stderr is not None
        said = running.process.stderr.read().splitlines()
        assert [line for line in said if "may damage a store" not in line] == [said[-1]]
    assert running.polled("steady")[0] == ("ok", 3)


@pytest.mark.recorded
def test_a_daemon_follows_recorded_upstreams_through_their_faults(recorded: Path, tmp_path: Path) -> None:
    assert recorded
    from replay import Replay

    with Replay(at="2026-07-20T00:00:00Z", faults=["recorded=reset"]) as running_mirror:
        mirror = running_mirror.url("https://x").removesuffix("/x")
        config = settings(tmp_path, mirror=mirror, every={"llm_prices": "1s", "tinfoil": "1s"})
        with daemon(tmp_path, config) as running:
            until(lambda: running.polled("llm_prices") and running.polled("tinfoil"))
            assert running.polled("tinfoil")[0] == ("failed", 0)
            running_mirror.clear_faults()
            running_mirror.set_now("2026-08-22T23:01:19Z")
            until(lambda: ("ok", 3) in running.polled("tinfoil"))
            until(lambda: [outcome for outcome, _ in running.polled("llm_prices")].count("ok") >= 3)
            running_mirror.fault("*=slow:3")
            running_mirror.set_now("2026-07-20T00:00:00Z")
            asked = len(running_mirror.log)
            until(lambda: len(running_mirror.log) >= asked + 2)
            running.stop(signal.SIGTERM)
    assert {outcome for outcome, _ in running.polled("llm_prices")} == {"ok"}


# --- SIGHUP ---


@pytest.mark.fault(158)
def test_a_daemon_reads_its_configuration_again_when_told_and_keeps_the_old_one_if_the_new_has_a_mistake(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    store, every = tmp_path / "tape.db", {"steady": "1s"}
    config = own_sources(tmp_path, mirror=upstreams.mirror, every=every)
    command: list[str | Path] = [
        sys.executable,
        "-c",
        "from collector.cli import run; run()",
        "--config",
        config,
        "--store",
        store,
    ]
    environment = environ(tmp_path) | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "daemon"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            until(lambda: polls(store, "steady"))
            config.write_text("sources: {steady: {every: never}}")
            process.send_signal(signal.SIGHUP)
            before = len(polls(store, "steady"))
            until(lambda: len(polls(store, "steady")) > before + 1)
            own_sources(tmp_path, mirror=upstreams.mirror, every=every | {"another": "1s"})
            process.send_signal(signal.SIGHUP)
            until(lambda: polls(store, "another"))
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, stderr
    first, refused, anew = re.sub(f"^{DANGER}", "", stderr).splitlines()
    assert first.startswith("tokentape: polling steady into ")
    assert refused.startswith("tokentape: the configuration stays as it was: ")
    assert "user.yaml:1: " in refused
    assert anew.startswith("tokentape: polling steady, another into ")


@pytest.mark.fault(157)
def test_where_39_of_40_sources_hang_the_other_is_polled_in_its_time() -> None:
    names = [f"hanging{number}" for number in range(39)]
    polls = Polls(**dict.fromkeys(names, 60.0))
    began = time.monotonic()
    scheduled(every(1, *names, "prompt"), polls, 4.3, stop_within_s=0.1)
    assert len(polls.began["prompt"]) >= 3
    assert polls.began["prompt"][0] - began < 2
    assert max(polls.most_at_once.values()) == 1
