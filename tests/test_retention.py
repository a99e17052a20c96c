"""Documents dropped by policy: nothing that is stored changes, nothing that it rests on goes, and bytes come free."""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from collector import mend, verify
from collector.config import load
from collector.mend import Arrival
from collector.poll import Poller
from collector.settings import CheckSettings
from collector.sighting import Received
from store.archive import Archive
from store.errors import EvidenceDropped, StoreBusy
from store.policy import Policy, Then
from store.records import Document
from store.retention import Pruned
from store.write import Tape
from tests.test_archive import packs

START = datetime(2026, 6, 1, tzinfo=UTC)  # a Monday
SETTINGS = CheckSettings()
SPEC = replace(load(None, {}).sources["deepinfra"], expect={"endpoints": 1, "models": 1}, skip={})
THENS: tuple[Then, ...] = ("daily", "weekly", "evidence")
State = tuple[int | None, ...]
"""The input price of each model in cents, 0 for free; None: not listed."""


def document(at: datetime, state: State, number: int) -> Document:
    """A list in DeepInfra's shape, with something beside prices that no two documents share."""
    rows = [
        {
            "id": f"acme/{model}",
            "description": hashlib.shake_256(f"{number} {model}".encode()).hexdigest(3000),
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
    tape = Tape(str(path / "tape.db"))
    mend.backfill(SETTINGS, tape, SPEC, polls, known=START + timedelta(days=300))
    return tape


def prune(tape: Tape, then: Then = "daily", *, days: float = 0, **more: object) -> Pruned:
    """Drop all that is older than some days after the start."""
    now = START + timedelta(days=400)
    horizon = START + timedelta(days=days)
    return tape.prune(Policy(then=then), now=now, horizon=horizon, progress=mend.no_progress, **more)  # type: ignore[arg-type]


def believed(tape: Tape) -> list[str]:
    """All of the store but which polls are pruned."""
    with closing(sqlite3.connect(tape.path)) as connection:
        connection.execute("CREATE TEMP TABLE polls AS SELECT * FROM poll")
        connection.execute("UPDATE polls SET pruned = NULL")
        return [
            *(line for line in connection.iterdump() if not line.startswith('INSERT INTO "poll"')),
            *map(str, connection.execute("SELECT * FROM polls")),
        ]


def pruned_polls(tape: Tape) -> int:
    with closing(sqlite3.connect(tape.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM poll WHERE pruned IS NOT NULL").fetchone()[0])


def faults(tape: Tape) -> list[str]:
    return list(verify.faults(SETTINGS, tape, {SPEC.id: SPEC}, START + timedelta(days=500)))


def on_disk(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in packs(root))


quiet = [((100, 200),) * 3, ((100, None),) * 2]
DAYS = 12
STEADY = [(100, 200)] * (DAYS * 4)
"""Polls of twelve days, every six hours, that say the same in other documents."""


@settings(max_examples=60, deadline=None)
@given(
    states=st.lists(
        st.tuples(st.sampled_from([100, 100, 100, 150, None]), st.sampled_from([200, 200, None, 0, 9000])), max_size=40
    ),
    hours=st.sampled_from([2, 6, 20]),
    days=st.integers(0, 40),
    then=st.sampled_from(THENS),
)
def test_whatever_is_pruned_the_store_says_the_same_and_proves_it(
    tmp_path_factory: pytest.TempPathFactory, states: list[State], hours: int, days: int, then: Then
) -> None:
    tape = filled(tmp_path_factory.mktemp("store"), arrivals(states, hours))
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
