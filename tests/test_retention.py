"""Documents dropped by policy: nothing that is stored changes, nothing that it rests on goes, and bytes come free."""

import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from collector import checks, mend, verify
from collector.config import load
from collector.mend import Arrival
from collector.settings import CheckSettings
from store.errors import EvidenceDropped, StoreBusy, StoreError
from store.policy import Policy, Then
from store.records import Document, Verdicts
from store.retention import Pruned
from store.timeline import PollMark, SourceState
from store.touched import Track
from store.write import KeptPoll, PollFacts, Replayed, Tape
from tests import worlds
from tests.killed import killed_at
from tests.test_archive import packs

START = datetime(2026, 6, 1, tzinfo=UTC)  # a Monday
SETTINGS = CheckSettings()
SPEC = replace(load(None, {}).sources["deepinfra"], expect={"endpoints": 1, "models": 1}, skip={})
THENS: tuple[Then, ...] = ("daily", "weekly", "evidence")
State = tuple[int | None, ...]
"""The input price of each model in cents, 0 for free; None: not listed."""


def noise(size: int, seed: int) -> str:
    return hashlib.shake_256(str(seed).encode()).hexdigest(size)


def document(at: datetime, state: State, number: int) -> Document:
    """A list in DeepInfra's shape, with something beside prices that no two documents share."""
    rows = [
        {
            "id": f"acme/{model}",
            "description": noise(3000, model) + noise(500, number),
            "metadata": {"context_length": 1000, "pricing": {"input_tokens": cents / 100, "output_tokens": cents / 50}},
        }
        for model, cents in enumerate((*state, 700))
        if cents is not None
    ]
    return Document(source=SPEC.id, url=SPEC.url, fetched_at=at, status=200, body=json.dumps({"data": rows}).encode())


def arrivals(states: Sequence[State], hours: float) -> list[Arrival]:
    return [
        Arrival(at=START + timedelta(hours=hours * n), documents=(document(START, state, n),))
        for n, state in enumerate(states)
    ]


def filled(path: Path, polls: Sequence[Arrival]) -> Tape:
    """A store of polls that came one by one: each has its file."""
    tape = Tape(str(path / "tape.db"))
    pack: str | None = None
    for poll in polls:
        pack = tape.archive.keep(poll.documents, pack)
    mend.backfill(SETTINGS, tape, SPEC, polls, known=START + timedelta(days=300))
    return tape


def prune(tape: Tape, then: Then = "daily", *, days: float = 0, **more: object) -> Pruned:
    """Drop all that is older than some days after the start."""
    now = START + timedelta(days=400)
    horizon = START + timedelta(days=days)
    return tape.prune(Policy(then=then), now=now, horizon=horizon, progress=mend.no_progress, **more)  # type: ignore[arg-type]


def believed(tape: Tape) -> list[str]:
    """All of the store but which polls are pruned."""
    with closing(sqlite3.connect(tape.name)) as connection:
        connection.execute("CREATE TEMP TABLE polls AS SELECT * FROM poll")
        connection.execute("UPDATE polls SET pruned = NULL")
        of_polls = ('INSERT INTO "poll"', """INSERT INTO "seal" VALUES('poll',""")
        return [
            *(line for line in connection.iterdump() if not line.startswith(of_polls)),
            *map(str, connection.execute("SELECT * FROM polls")),
        ]


def pruned_polls(tape: Tape) -> int:
    with closing(sqlite3.connect(tape.name)) as connection:
        return int(connection.execute("SELECT count(*) FROM poll WHERE pruned IS NOT NULL").fetchone()[0])


def faults(tape: Tape) -> list[str]:
    return list(verify.faults(SETTINGS, tape, {SPEC.id: SPEC}, START + timedelta(days=500)))


def on_disk(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in packs(root))


STEADY: list[State] = [(100, 200)] * 48
"""Polls of twelve days, every six hours, that say the same in other documents."""


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(
        st.tuples(
            st.tuples(st.sampled_from([100, 100, 150, None]), st.sampled_from([200, 200, None, 0, 9000])),
            st.integers(1, 9),
        ),
        min_size=1,
        max_size=8,
    ),
    hours=st.sampled_from([2, 6, 20]),
    days=st.integers(0, 40),
    then=st.sampled_from(THENS),
)
def test_whatever_is_pruned_the_store_says_the_same_and_proves_it(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[State, int]], hours: int, days: int, then: Then
) -> None:
    tape = filled(
        tmp_path_factory.mktemp("store"), arrivals([state for state, count in runs for _ in range(count)], hours)
    )
    try:
        before, size = believed(tape), on_disk(tape.archive.root)
        done = prune(tape, then, days=days)
        assert believed(tape) == before
        assert faults(tape) == []
        assert pruned_polls(tape) == done.polls
        assert size - on_disk(tape.archive.root) == done.freed
        event(f"{min(done.polls, 5)} pruned")
        again = mend.reparse(SETTINGS, tape, SPEC, known=START + timedelta(days=600))
        assert again.corrections == ()
        assert believed(tape) == before
        assert prune(tape, then, days=days) == Pruned()
    finally:
        tape.close()


def dropped(tape: Tape) -> list[float]:
    """Of the polls that are pruned, hours since the start."""
    with closing(sqlite3.connect(tape.name)) as connection:
        rows = connection.execute("SELECT at FROM poll WHERE pruned IS NOT NULL ORDER BY at").fetchall()
    return [(at - round(START.timestamp() * 1000)) / 3_600_000 for (at,) in rows]


@pytest.mark.parametrize(
    ("then", "kept"),
    [("daily", {0, 24, 48, 72, 96}), ("weekly", {0}), ("evidence", {0})],
)
def test_of_older_documents_the_first_of_each_period_stays_and_of_younger_ones_all(
    tmp_path: Path, then: Then, kept: set[int]
) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    prune(tape, then, days=5)
    assert dropped(tape) == [hour for hour in range(0, 120, 6) if hour not in kept]
    tape.close()


def test_a_week_begins_on_monday(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 24))
    prune(tape, "weekly", days=20)
    assert sorted({*range(0, 20 * 24, 24)} - {*dropped(tape)}) == [0, 7 * 24, 14 * 24]
    tape.close()


def test_what_bounds_a_price_stays(tmp_path: Path) -> None:
    states = [*STEADY[:10], *[(150, 200)] * 10, *[(150, None)] * 10, *[(150, 200)] * 20]
    tape = filled(tmp_path, arrivals(states, 6))
    prune(tape, "evidence", days=100)
    # First and last of each price; an absence is confirmed by the fifth miss, a day after the first.
    witnesses = {0, 9, 10, 19, 20, 24, 29, 30, len(states) - 1}
    assert {hour / 6 for hour in dropped(tape)} == {*range(len(states))} - witnesses
    assert faults(tape) == []
    tape.close()


def test_the_default_keeps_all(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    done = tape.prune(Policy(), now=START + timedelta(days=400), horizon=None, progress=mend.no_progress)
    assert done == Pruned()
    tape.close()


def test_dry_run_tells_what_would_be_and_changes_nothing(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    files = {path: path.read_bytes() for path in packs(tape.archive.root)}
    would = prune(tape, days=5, dry_run=True)
    assert (dropped(tape), {path: path.read_bytes() for path in packs(tape.archive.root)}) == ([], files)
    assert prune(tape, days=5) == would
    assert would.freed > 0
    tape.close()


def test_polls_go_on_where_the_archive_was_pruned(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    prune(tape, "evidence", days=100)
    polls = [
        Arrival(at=START + timedelta(days=20, hours=n), documents=(document(START, (100 + n // 3, 200), n + 100),))
        for n in range(9)
    ]
    mend.backfill(SETTINGS, tape, SPEC, polls, known=START + timedelta(days=410))
    assert prune(tape, "evidence", days=100).polls == 5
    assert faults(tape) == []
    tape.close()


def test_a_parser_that_reads_more_takes_nothing_that_was_dropped_for_a_witness(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals([(100, 200 + n) for n in range(6)] + [(100, 300)] * 12, 6))
    only_first = replace(SPEC, skip={"id": ("acme/1",)})
    mend.reparse(SETTINGS, tape, only_first, known=START + timedelta(days=310))
    prune(tape, days=100)
    lost = {*dropped(tape)}
    assert lost
    mended = mend.reparse(SETTINGS, tape, SPEC, known=START + timedelta(days=420))
    assert mended.corrections
    with closing(sqlite3.connect(tape.name)) as connection:
        witnesses = connection.execute(
            'SELECT first_seen, not_before, last_seen, ended FROM "interval" WHERE known_to IS NULL'
        ).fetchall()
    start = round(START.timestamp() * 1000)
    hours = {(at - start) / 3_600_000 for row in witnesses for at in row if at is not None}
    assert not hours & lost
    assert faults(tape) == []
    tape.close()


def test_a_late_document_has_a_place_only_where_it_is_known_what_came_next(tmp_path: Path) -> None:
    polls = arrivals(STEADY, 6)
    tape = filled(tmp_path, polls)
    prune(tape, days=5)
    before = believed(tape)

    def late(hours: float) -> mend.Mended:
        arrival = Arrival(at=START + timedelta(hours=hours), documents=(document(START, (130, 200), 1000),))
        return mend.backfill(SETTINGS, tape, SPEC, [arrival], known=START + timedelta(days=410))

    refused = late(25)
    assert [why for _, why in refused.refused] == ["the documents that came next were pruned: it has no certain place"]
    assert believed(tape) == before
    assert late(23).refused == ()
    assert faults(tape) == []
    tape.close()


def test_documents_that_come_back_are_there_again(tmp_path: Path) -> None:
    polls = arrivals(STEADY, 6)
    tape = filled(tmp_path, polls)
    prune(tape, days=5)
    assert pruned_polls(tape) == 15
    mend.backfill(SETTINGS, tape, SPEC, polls[:10], known=START + timedelta(days=410))
    assert pruned_polls(tape) == 8
    assert faults(tape) == []
    assert len(list(tape.archive.keys())) == len(polls) - 8
    tape.close()


def test_evidence_goes_only_where_it_is_asked_for_and_what_was_believed_stays(tmp_path: Path) -> None:
    states = [(100 + n, 200) for n in range(40)]
    tape = filled(tmp_path, arrivals(states, 6))
    assert prune(tape, days=100).polls == 0
    before = believed(tape)
    done = prune(tape, days=0, drop_before=START + timedelta(days=5))
    assert (done.polls, done.intervals) == (15, 15)
    assert believed(tape) == before
    with pytest.raises(EvidenceDropped, match="were dropped on 2027-07-06"):
        mend.reparse(SETTINGS, tape, SPEC, known=START + timedelta(days=420))
    with pytest.raises(EvidenceDropped):
        mend.backfill(SETTINGS, tape, SPEC, arrivals([(1, 2)], 1), known=START + timedelta(days=420))
    noted: list[str] = []
    assert list(verify.faults(SETTINGS, tape, {SPEC.id: SPEC}, START + timedelta(days=500), note=noted.append)) == []
    assert len(noted) == 1
    tape.close()


@pytest.mark.fault(129)
def test_what_a_killed_run_left_in_the_archive_goes_once_it_is_old(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    orphan = tape.archive.keep([document(START, (5, 6), 5000)])
    assert prune(tape, days=0) == Pruned()
    old = time.time() - 90_000
    os.utime(tape.archive.path(orphan), (old, old))
    assert prune(tape, days=0).freed > 0
    assert not tape.archive.has(orphan)
    assert faults(tape) == []
    tape.close()


def test_a_poll_whose_documents_go_before_it_is_written_is_not_written(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    at = START + timedelta(days=30)
    facts = PollFacts(at=at, outcome="failed", pack=tape.archive.keep([document(at, (1, 2), 77)]))
    tape.archive.path(facts.pack or "").unlink()
    with pytest.raises(StoreError, match="poll again"):
        tape.record_failure(mend.source_facts(SPEC), facts, known=at)
    tape.close()


def test_only_one_program_prunes_at_a_time(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))

    def at_once(_done: int, _known: int) -> None:
        prune(tape, days=5)

    now = START + timedelta(days=400)
    with pytest.raises(StoreBusy, match="another program is pruning it"):
        tape.prune(Policy(), now=now, horizon=START + timedelta(days=5), progress=at_once)
    assert list(tape.archive.root.rglob("*.tmp")) == []
    assert prune(tape, days=5).polls == 15
    tape.close()


def test_a_poll_written_meanwhile_keeps_its_documents_and_what_they_rest_on(tmp_path: Path) -> None:
    polls = arrivals(STEADY, 6)
    tape = filled(tmp_path, polls)
    same = polls[2].documents

    def take(done: int, known: int) -> None:
        if done == known:  # all is written anew, nothing is dropped yet
            base = tape.archive.keep(same, None)
            key = tape.archive.keep([document(START, (100, 200), 9000)], base)
            for number, pack in enumerate((base, key)):
                at = START + timedelta(days=30, hours=number)
                tape.record_failure(mend.source_facts(SPEC), PollFacts(at=at, outcome="failed", pack=pack), known=at)

    now = START + timedelta(days=400)
    done = tape.prune(Policy(), now=now, horizon=START + timedelta(days=5), progress=take)
    assert done.polls == 14
    assert tape.archive.documents(tape.archive.keep(same), source=SPEC.id, fetched_at=START) == list(same)
    assert list(tape.archive.check()) == []
    tape.close()


@settings(max_examples=40, deadline=None)
@given(drawn=worlds.polls(least=2, most=8), then=st.sampled_from(THENS))
def test_worlds_of_parts_siblings_findings_and_telemetry_read_the_same_when_pruned(
    drawn: list[worlds.Poll], then: Then
) -> None:
    with TemporaryDirectory() as folder:
        tape = Tape(f"{folder}/tape.db")
        seen = {
            at: replace(poll.sighting, at=at)
            for poll in drawn
            for at in (
                poll.sighting.at,
                poll.sighting.at + timedelta(minutes=20),
                poll.sighting.at + timedelta(minutes=40),
            )
        }
        rules = checks.rules(SETTINGS)

        def anew(kept: Sequence[KeptPoll], _verdicts: Verdicts) -> Iterator[tuple[KeptPoll, Replayed]]:
            track = Track(SourceState(), rules)
            for poll in kept:
                if poll.pruned:
                    mark = PollMark(at=poll.at, complete=poll.complete, failed_parts=poll.failed_parts, pruned=True)
                    track.pass_by(mark, poll.quotes)
                    continue
                taken, failed = track.take(seen[poll.at]), seen[poll.at].failed_parts
                yield poll, Replayed(step=taken, outcome="partial" if failed else "ok", failed_parts=failed)

        facts = [
            PollFacts(
                at=at,
                outcome="ok",
                pack=tape.archive.keep([document(START, (1, 2), number)]),
                failed_parts=seen[at].failed_parts,
            )
            for number, at in enumerate(sorted(seen))
        ]
        source = mend.source_facts(SPEC)
        tape.rebuild(source, facts, anew, salt=b"", known=START)
        before, fared = believed(tape), telemetry(tape)
        done = prune(tape, then, days=-100)
        event(f"{min(done.polls, 3)} pruned")
        again = tape.rebuild(source, [], anew, salt=b"", known=START + timedelta(days=1), only_if_new=False)
        assert again == []
        assert [line for line in believed(tape) if "telemetry" not in line] == [
            line for line in before if "telemetry" not in line
        ]
        assert telemetry(tape) == fared
        tape.close()


def telemetry(tape: Tape) -> list[tuple[object, ...]]:
    """What changed of telemetry, whether or not it is said twice."""
    with closing(sqlite3.connect(tape.name)) as connection:
        rows = connection.execute(
            "SELECT endpoint_id, at, status, uptime_percent, first_token_ms, tokens_per_second FROM telemetry"
            " ORDER BY 1, 2"
        )
        found: list[tuple[object, ...]] = []
        for row in rows:
            if not found or (found[-1][0], *found[-1][2:]) != (row[0], *row[2:]):
                found.append(row)
        return found


def prune_evidence(home: Path) -> None:
    tape = Tape(str(home / "tape.db"))
    prune(tape, "evidence", days=100)
    tape.close()


@pytest.mark.fault(128)
def test_a_run_killed_at_any_step_leaves_what_is_needed_and_the_next_does_the_rest(tmp_path: Path) -> None:
    tape = filled(tmp_path / "whole", arrivals(STEADY[:9], 6))
    tape.close()
    limit, died = 0, 0
    while True:
        home = tmp_path / str(limit)
        shutil.copytree(tmp_path / "whole", home)
        killed = killed_at(limit, prune_evidence, home)
        died += killed
        tape = Tape(str(home / "tape.db"))
        assert faults(tape) == []
        prune(tape, "evidence", days=100)
        assert (pruned_polls(tape), len(list(tape.archive.keys()))) == (7, 2)
        assert faults(tape) == []
        tape.close()
        shutil.rmtree(home)
        if not killed:
            break
        limit += 1
    assert died > 15


def test_what_is_polled_while_the_archive_is_pruned_is_kept(tmp_path: Path) -> None:
    tape = filled(tmp_path, arrivals(STEADY, 6))
    stop = threading.Event()

    def polls() -> int:
        own, count = Tape(str(tape.path)), 0
        while not stop.is_set() or count <= 3:
            at = START + timedelta(days=30, minutes=count)
            # Every other poll brings what was there long ago.
            number = count % 16 if count % 2 else 1000 + count
            arrival = Arrival(at=at, documents=(document(at, (100, 200), number),))
            # Where that went just now, it is told so, and is written the next time.
            with suppress(StoreError):
                mend.backfill(SETTINGS, own, SPEC, [arrival], known=at)
                count += 1
        own.close()
        return count

    with ThreadPoolExecutor() as threads:
        polling = threads.submit(polls)
        for days in (2, 4, 6):
            prune(tape, days=days)
        stop.set()
        assert polling.result() > 3
    assert pruned_polls(tape) > 8
    assert faults(tape) == []
    tape.close()
