"""Several daemons on one store: each slot of a source is polled for exactly once."""

import itertools
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import checks
from collector.schedule import served_since, slot_at
from collector.settings import CheckSettings
from store.errors import LeaseLost
from store.leases import Claim, Held
from store.records import Sighting
from store.write import PollFacts, SourceFacts, Tape
from tests.stores import rows

NOW = datetime(2026, 8, 22, 12, tzinfo=UTC)
EVERY_S = 3600
SOURCE = SourceFacts(name="acme", trust=0, every_s=EVERY_S)
SLOT = slot_at("acme", EVERY_S, NOW)
RULES = checks.rules(CheckSettings())
LIVES = timedelta(minutes=5)


@pytest.fixture
def tape(store_url: str) -> Tape:
    return Tape(store_url)


def claim(tape: Tape, holder: str, now: datetime) -> Claim | Held | None:
    slot = slot_at("acme", EVERY_S, now)
    return tape.claim(
        SOURCE, slot=slot, polled_since=served_since(slot, EVERY_S), until=now + LIVES, now=now, holder=holder
    )


def won(tape: Tape, holder: str, now: datetime) -> Claim:
    claimed = claim(tape, holder, now)
    assert isinstance(claimed, Claim)
    return claimed


def write(tape: Tape, claimed: Claim | None, at: datetime, *, failed: bool = False) -> None:
    if failed:
        tape.record_failure(SOURCE, PollFacts(at=at, outcome="failed", claim=claimed), known=at)
    else:
        sighting = Sighting(at=at, complete=True)
        assert tape.record(SOURCE, PollFacts(at=at, outcome="ok", claim=claimed), sighting, RULES, known=at)


@pytest.mark.parametrize("failed", [False, True])
def test_a_slot_is_claimed_once_and_a_poll_settles_it(tape: Tape, failed: bool) -> None:
    claimed = won(tape, "one", SLOT)
    assert claim(tape, "two", SLOT) == Held(holder="one", until=SLOT + LIVES)
    write(tape, claimed, SLOT, failed=failed)
    assert claim(tape, "two", SLOT) is None
    assert won(tape, "two", SLOT + timedelta(hours=1)).fence == claimed.fence + 1


def test_a_killed_daemon_is_taken_over_when_its_time_is_up_and_writes_nothing_should_it_wake(
    tape: Tape, store_url: str
) -> None:
    asleep = won(tape, "one", SLOT)
    assert isinstance(claim(tape, "two", SLOT + LIVES - timedelta(seconds=1)), Held)
    awake = won(tape, "two", SLOT + LIVES)
    for failed in (False, True):
        with pytest.raises(LeaseLost, match="another daemon took over"):
            write(tape, asleep, SLOT, failed=failed)
    write(tape, awake, SLOT + LIVES)
    with pytest.raises(LeaseLost):
        write(tape, asleep, SLOT + timedelta(minutes=6))
    assert rows(store_url, "SELECT count(*) FROM poll") == [(1,)]


@pytest.mark.fault(153)
def test_a_poll_that_outlasts_its_slot_is_not_joined_by_the_next(tape: Tape) -> None:
    slow = tape.claim(SOURCE, slot=SLOT, polled_since=SLOT, until=SLOT + timedelta(hours=2), now=SLOT, holder="one")
    assert isinstance(slow, Claim)
    assert isinstance(claim(tape, "two", SLOT + timedelta(hours=1)), Held)
    write(tape, slow, SLOT + timedelta(minutes=61))
    assert claim(tape, "two", SLOT + timedelta(minutes=62)) is None, "it came in time to serve this slot"
    assert won(tape, "two", SLOT + timedelta(hours=2)).slot == SLOT + timedelta(hours=2)


def test_a_poll_that_no_daemon_made_serves_the_slot(tape: Tape) -> None:
    write(tape, None, SLOT - timedelta(minutes=10))
    assert claim(tape, "one", SLOT + timedelta(minutes=1)) is None


@pytest.mark.fault(156)
def test_a_poll_that_a_wrong_clock_put_into_the_future_serves_no_slot(tape: Tape) -> None:
    write(tape, None, SLOT + timedelta(days=3650))
    assert isinstance(claim(tape, "one", SLOT), Claim)


@pytest.mark.fault(120)
@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_where_clocks_change_for_summer_each_hour_of_the_day_has_one_poll(
    tape: Tape, store_url: str, day: str, hours: int
) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    for number in range(6 * hours):
        at = midnight + timedelta(minutes=10 * number)
        claimed = claim(tape, "one", at)
        if isinstance(claimed, Claim):
            write(tape, claimed, at)
    slots = [slot for (slot,) in rows(store_url, "SELECT slot FROM poll ORDER BY at")]
    assert {later - earlier for earlier, later in pairwise(slots)} == {3_600_000}
    assert len(slots) in {hours, hours + 1}, "midnight need not be where a slot begins"


def test_who_is_alone_takes_over_at_once(tape: Tape) -> None:
    won(tape, "one", SLOT)
    tape.expire_claims()
    assert isinstance(claim(tape, "two", SLOT + timedelta(seconds=1)), Claim)


@pytest.mark.fault(140, 160)
@settings(deadline=None, max_examples=40)
@given(
    acts=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["claim", "write", "fail", "die"]), st.integers(0, 40)),
        max_size=60,
    )
)
def test_whatever_daemons_do_no_slot_has_two_polls_and_no_free_slot_is_refused(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, str, int]]
) -> None:
    """Three daemons; minutes pass between acts; a daemon that dies forgets its claim, one that is late still writes."""
    store = tmp_path_factory.mktemp("leases") / "tape.db"
    tape = Tape(str(store))
    now = SLOT
    claims: dict[int, tuple[Claim, datetime]] = {}
    newest: datetime | None = None
    for daemon, act, minutes in acts:
        now += timedelta(minutes=minutes)
        held = claims.get(daemon)
        if act == "claim" and held is None:
            claimed = claim(tape, str(daemon), now)
            alive = [until for _, until in claims.values() if until > now]
            served = newest is not None and newest >= served_since(slot_at("acme", EVERY_S, now), EVERY_S)
            if isinstance(claimed, Claim):
                assert not served
                claims[daemon] = (claimed, now + LIVES)
            elif claimed is None:
                assert served
            else:
                assert claimed.until > now
                assert alive or claimed.until <= now + LIVES
        elif act == "die":
            claims.pop(daemon, None)
        elif held is not None and act in ("write", "fail"):
            del claims[daemon]
            now += timedelta(milliseconds=1)
            try:
                write(tape, held[0], now, failed=act == "fail")
            except LeaseLost:
                assert held[1] <= now, "only who was late is taken over"
            else:
                newest = now
    slots = [slot for (slot,) in rows(str(store), "SELECT slot FROM poll")]
    assert len(set(slots)) == len(slots)
    tape.close()


@pytest.mark.fault(140, 160)
def test_with_daemons_killed_again_and_again_each_slot_has_exactly_one_poll(store_url: str) -> None:
    Tape(store_url).close()
    count = 40
    names = (str(number) for number in itertools.count())

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.claiming", store_url, next(names), str(count)], stderr=subprocess.PIPE
        )

    daemons = [start() for _ in range(3)]
    try:
        kills = 0
        while any(daemon.poll() is None for daemon in daemons):
            time.sleep(0.4)
            if kills < 8:
                victim = daemons[kills % 3]
                if rows(store_url, "SELECT count(*) FROM poll") != [(0,)]:
                    victim.kill()
                    victim.communicate()
                    daemons[kills % 3] = start()
                    kills += 1
        said = [(daemon.returncode, daemon.communicate()[1].decode()[-300:]) for daemon in daemons]
    finally:
        for daemon in daemons:
            if daemon.poll() is None:
                daemon.kill()
                daemon.communicate()
    assert kills > 2
    assert said == [(0, "")] * 3
    assert rows(store_url, "SELECT count(*), count(DISTINCT slot) FROM poll GROUP BY source_id") == [(count, count)] * 3
