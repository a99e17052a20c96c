"""The clock: when it is not believed, what is noted, and what no step of it can do."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import clock
from collector.config import Config, load
from collector.fetch import Fetcher
from collector.poll import Poller, Report
from collector.schedule import BACK_OFF_S, apart_s, next_due, served_since, slot_at
from collector.sighting import Received
from store.instants import to_millis, utc_now
from store.records import Document
from store.write import PollFacts, SourceFacts, Tape
from tests.changing import START, collect, configured, received
from tests.collecting import Upstreams, ask, own_sources, told
from tests.polling import polled, source
from tests.raw_server import answer
from tests.stores import rows, run

HOUR = timedelta(hours=1)


def poll(config: Config, url: str, at: datetime, number: int) -> Report:
    """One poll by a clock that says `at`."""
    tape = Tape(url, str(config.path.with_name("documents")))
    spec = config.sources["source0"]
    poller = Poller(config, tape, None, clock=lambda: at, environ={})  # type: ignore[arg-type]
    last = tape.last_polls(spec.id)
    report = poller.take(spec, at, received(spec, number, at), base=last.pack, note=clock.went_back(at, last.newest))
    tape.close()
    return report


@pytest.mark.fault(118)
@pytest.mark.parametrize(
    ("now", "newest", "why"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), None, "before this tokentape was released"),
        (datetime(2099, 1, 1, tzinfo=UTC), None, "over 20 years after"),
        (START, START + timedelta(days=1, seconds=1), "the last poll was at 2026-08-23T00:00:01Z: set the clock right"),
        (START, START + timedelta(days=1), None),
        (START, None, None),
    ],
)
def test_a_clock_that_cannot_be_right_is_told_apart(now: datetime, newest: datetime | None, why: str | None) -> None:
    found = clock.doubt(now, newest)
    assert found is None if why is None else found and why in found


@pytest.mark.fault(118)
def test_nothing_is_collected_by_a_clock_far_behind_the_newest_poll(store_url: str, tmp_path: Path) -> None:
    config = own_sources(tmp_path, mirror="http://127.0.0.1:59999", every={"acme": "1h"})
    tape, ahead = Tape(store_url), utc_now() + timedelta(days=30)
    source = SourceFacts(name="acme", trust=0, every_s=3600)
    tape.record_failure(source, PollFacts(at=ahead, outcome="failed", code="test"), known=ahead)
    tape.close()
    for command in ("collect", "daemon"):
        said = told(ask(tmp_path, "--config", config, "--store", store_url, command), 2)
        assert "the clock says" in said
        assert "set the clock right" in said
    assert rows(store_url, "SELECT count(*) FROM poll") == [(1,)]
    examined = ask(tmp_path, "--config", config, "--store", store_url, "doctor")
    assert "fault: clock: the clock says" in examined.stdout


@pytest.mark.fault(117)
def test_a_clock_set_back_by_an_hour_is_noted_and_leaves_intervals_in_their_order(
    store_url: str, tmp_path: Path
) -> None:
    config = configured(tmp_path, 1)
    for number, hours in enumerate([0, 2, 4, 3, 5, 6]):
        report = poll(config, store_url, START + hours * HOUR, number * 2)
        assert report.outcome in ("ok", "failed")
    said = rows(store_url, "SELECT at, code, message FROM poll ORDER BY id")
    back = [(at, message) for at, code, message in said if code == "clock_back"]
    assert back == [(to_millis(START + 3 * HOUR), "the clock went back: the poll before was at 2026-08-22T04:00:00Z")]
    believed = rows(
        store_url, 'SELECT endpoint_id, first_seen, ended FROM "interval" WHERE known_to IS NULL ORDER BY 1, 2'
    )
    assert all(ended is None or ended > first for _, first, ended in believed)
    assert all(one[0] != other[0] or one[2] <= other[1] for one, other in pairwise(believed))
    assert len(believed) > 3


@pytest.mark.fault(123)
def test_two_polls_in_the_same_moment_follow_each_other(store_url: str, tmp_path: Path) -> None:
    async def twice(config: Config, tape: Tape) -> list[Report]:
        async with Fetcher(config.http, lambda: START) as fetcher:
            poller = Poller(config, tape, fetcher, clock=lambda: START, environ={})
            return [await poller.poll(config.sources["acme"]) for _ in range(2)]

    with Upstreams() as upstreams:
        config = load(own_sources(tmp_path, mirror=upstreams.mirror, every={"acme": "1h"}), {})
        tape = Tape(store_url)
        reports = asyncio.run(twice(config, tape))
        tape.close()
    assert [report.outcome for report in reports] == ["ok"] * 2
    first = to_millis(START)
    assert rows(store_url, "SELECT at, changes FROM poll ORDER BY id") == [(first, 3), (first + 1, 0)]


@pytest.mark.fault(122)
def test_instants_that_an_upstream_states_order_nothing(store_url: str, tmp_path: Path) -> None:
    config = configured(tmp_path, 1)
    (spec,) = config.sources.values()
    created = ["2026-08-22T12:00:00", 1787356800000, "2099-01-01T00:00:00Z", 0, None]
    for number, one in enumerate(created):
        at = START + number * HOUR
        offers = [{"id": f"acme/{model}", "in": "1", "out": "2", "created": one} for model in ("one", "two")]
        document = Document(
            source=spec.id, url=spec.url, fetched_at=at, status=200, body=json.dumps({"data": offers}).encode()
        )
        tape = Tape(store_url, str(tmp_path / "documents"))
        poller = Poller(config, tape, None, clock=lambda at=at: at, environ={})  # type: ignore[arg-type, misc]
        assert poller.take(spec, at, Received(documents=(document,), failures={})).outcome == "ok"
        tape.close()
    assert rows(store_url, "SELECT at, changes FROM poll ORDER BY id") == [
        (to_millis(START + number * HOUR), 2 if number == 0 else 0) for number in range(len(created))
    ]


@pytest.mark.fault(119)
def test_an_upstream_by_whose_date_it_is_another_time_is_noted_and_the_date_orders_nothing(store_url: str) -> None:
    said = []
    for number, (hours, age) in enumerate([(0, 0), (-5, 0), (+30, 0), (0.05, 0), (-5, 5 * 3600), (-1, 10**12)]):
        at = START + number * HOUR
        headers = [f"Date: {format_datetime(at + hours * HOUR, usegmt=True)}", f"Age: {age}"]
        price = b'{"data": [{"id": "one", "in": "1.%d", "out": "6"}]}' % number
        answers = {"acme.test": answer(price, "Content-Type: application/json", *headers)}
        (report,) = polled(store_url, source(), answers=answers, at=at)
        assert (report.outcome, report.changes) == ("ok", 1)
        said.append(report.message)
    assert said == [
        "",
        "acme.test dates its answer 5h behind our clock",
        "acme.test dates its answer 30h ahead of our clock",
        "",
        "",
        "acme.test dates its answer 60m behind our clock",
    ]
    first_seen = rows(store_url, 'SELECT first_seen FROM "interval" ORDER BY 1')
    assert first_seen == [(to_millis(START + number * HOUR),) for number in range(len(said))]


@pytest.mark.fault(120)
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_where_clocks_change_for_summer_slots_are_as_far_apart_as_ever(day: str) -> None:
    local = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    instants = [local.astimezone(UTC) + timedelta(minutes=10 * number) for number in range(6 * 26)]
    slots = sorted({slot_at("acme", 3600, one) for one in instants})
    assert {later - earlier for earlier, later in pairwise(slots)} == {HOUR}


@pytest.mark.fault(152, 125)
def test_after_nine_hours_asleep_there_is_one_poll_and_the_gap_is_told_as_unobserved(
    store_url: str, tmp_path: Path
) -> None:
    config = own_sources(tmp_path, mirror="http://127.0.0.1:59999", every={"acme": "1h"})
    now = utc_now()
    slept = now - 10 * HOUR
    due = next_due("acme", slept, 3600, now)
    assert due == now, "at once"
    assert next_due("acme", now, 3600, now) > now, "and once"
    tape = Tape(store_url)
    source = SourceFacts(name="acme", trust=0, every_s=3600)
    for at in (slept - HOUR, slept, now):
        tape.record_failure(source, PollFacts(at=at, outcome="failed", code="test"), known=at)
    tape.close()
    run(store_url, "UPDATE poll SET outcome = 'ok'")
    examined = ask(tmp_path, "--config", config, "--store", store_url, "doctor", "--format", "csv")
    (line,) = [line for line in examined.stdout.splitlines() if "unobserved" in line]
    assert "acme: from " in line
    assert "(10h)" in line


# --- a source that fails again and again ---


@pytest.mark.fault(159)
def test_a_source_that_keeps_failing_is_asked_less_and_less_down_to_every_six_hours() -> None:
    assert [apart_s(300, failures) for failures in range(10)] == [
        300, 300, 300, 600, 1200, 2400, 4800, 9600, 19200, 21600,
    ]  # fmt: skip
    assert apart_s(300, 10**9) == BACK_OFF_S
    assert apart_s(86_400, 5) == 86_400, "one that is asked once a day anyway"


@pytest.mark.fault(159)
@given(every_s=st.integers(60, 90_000), failures=st.integers(0, 50), after_s=st.integers(0, 10**6))
def test_what_is_told_to_be_due_is_what_a_daemon_would_poll(every_s: int, failures: int, after_s: int) -> None:
    last = START
    now = last + timedelta(seconds=after_s)
    due = next_due("acme", last, every_s, now, failures)

    def served(at: datetime) -> bool:
        return last >= served_since(slot_at("acme", every_s, at), every_s, failures)

    assert not served(due)
    assert due == now or served(due - timedelta(milliseconds=1))
    assert due - last <= timedelta(seconds=max(after_s, apart_s(every_s, failures) + every_s))


@pytest.mark.fault(159)
def test_one_success_restores_the_interval(store_url: str, tmp_path: Path) -> None:
    config = configured(tmp_path, 1)
    tape = Tape(store_url, str(tmp_path / "documents"))
    source = SourceFacts(name="source0", trust=0, every_s=3600)
    for number in range(4):
        at = START - (4 - number) * HOUR
        tape.record_failure(source, PollFacts(at=at, outcome="failed", code="test"), known=at)
        assert tape.failures("source0") == number + 1
    tape.close()
    collect(config, store_url, str(tmp_path / "documents"), 1)
    tape = Tape(store_url, str(tmp_path / "documents"))
    assert tape.failures("source0") == 0
    tape.close()
