"""Pruning from the command line and by the daemon, and what the other commands say of what is pruned."""

import hashlib
import json
import os
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector import mend
from collector.commands import run_daemon
from collector.config import Config, load
from collector.mend import Arrival
from store.policy import Policy
from store.records import Document
from store.write import Tape
from tests.collecting import ask, own_sources, rows, told, until

START = datetime(2026, 6, 1, tzinfo=UTC)
PRUNED = "SELECT count(*) FROM poll WHERE pruned IS NOT NULL"


def body(number: int, price: int) -> bytes:
    """A list whose documents all differ, whatever their prices."""
    noise = hashlib.shake_256(str(number).encode()).hexdigest(3000)
    models = [{"id": f"acme/model-{n}", "in": str(price), "out": "6", "note": noise} for n in range(2)]
    return json.dumps({"data": models}).encode()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A store of sixty polls, six hours apart, and one change of price."""
    path = own_sources(tmp_path, mirror="http://127.0.0.1:59999", every={"acme": "6h"})
    path.rename(tmp_path / "tokentape.yaml")
    config = replace(load(tmp_path / "tokentape.yaml", {}), store=str(tmp_path / "tokentape.db"))
    spec = config.sources["acme"]
    tape = Tape(config.store)
    polls = []
    for number in range(60):
        at = START + timedelta(hours=6 * number)
        listed = Document(
            source="acme", url=spec.url, fetched_at=at, status=200, body=body(number, 1 if number < 30 else 2)
        )
        polls.append(Arrival(at=at, documents=(listed,)))
    mend.backfill(config.checks, tape, spec, polls, known=START + timedelta(days=20))
    tape.close()
    return config


def test_by_default_nothing_is_dropped(config: Config, tmp_path: Path) -> None:
    done = ask(tmp_path, "archive", "prune")
    assert (done.exit_code, done.stdout) == (0, "0 polls: documents dropped, 0 bytes freed\n")


def test_what_a_dry_run_tells_is_what_is_done_then(config: Config, tmp_path: Path) -> None:
    told_first = ask(tmp_path, "archive", "prune", "--full", "30d", "--then", "weekly", "--dry-run").stdout
    assert rows(tmp_path / "tokentape.db", PRUNED) == [(0,)]
    done = ask(tmp_path, "archive", "prune", "--full", "30d", "--then", "weekly")
    assert done.stdout == told_first.replace("would be ", "")
    # Of sixty: the first of each of three weeks, two that bound the change, and the newest.
    assert done.stdout.startswith("54 polls: documents dropped, ")
    assert rows(tmp_path / "tokentape.db", PRUNED) == [(54,)]


def test_what_is_pruned_is_no_fault_and_is_left_out_of_an_export(config: Config, tmp_path: Path) -> None:
    ask(tmp_path, "archive", "prune", "--full", "30d", "--then", "evidence")
    assert ask(tmp_path, "verify").exit_code == 0
    assert ask(tmp_path, "reparse", "acme").stdout == "acme: 4 polls, 0 intervals corrected\n"
    exported = ask(tmp_path, "archive", "export", "out")
    assert exported.stdout == "4 documents in out\n"
    assert exported.stderr == "tokentape: the documents of 56 polls were pruned: left out\n"


def test_evidence_is_dropped_only_after_a_yes(config: Config, tmp_path: Path) -> None:
    words = ("archive", "prune", "--full", "30d", "--drop-evidence-before", "2026-07-01")
    asked = ask(tmp_path, *words)
    assert asked.exit_code == 1
    assert "2 intervals would be left without theirs" in asked.stderr, "each day's first stays"
    assert rows(tmp_path / "tokentape.db", PRUNED) == [(0,)]
    done = ask(tmp_path, *words, "--then", "evidence", "--yes")
    assert done.stdout.endswith(", 4 intervals left without theirs\n")
    explained = ask(tmp_path, "explain", "acme:acme:acme/model-0", "--at", "2026-06-03")
    assert f"it was dropped from the archive on {datetime.now(UTC):%Y-%m-%d}, as asked for" in explained.stdout
    assert "were dropped on" in told(ask(tmp_path, "reparse", "acme"), 2)
    proven = ask(tmp_path, "verify")
    assert proven.exit_code == 0
    assert "tokentape: not proven: acme: documents up to" in proven.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--full", "soon"), "--full: 'soon' is not a span of time such as 45s, 30m, 12h or 1d"),
        (("--full", "1h"), "--full: 1h is not from 1d to 36500d"),
        (("--drop-evidence-before", "once"), "'once' is not an instant"),
    ],
)
def test_mistakes_are_told_in_one_line(config: Config, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    assert told(ask(tmp_path, "archive", "prune", *words), 2).startswith(message)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert "no store at" in told(ask(tmp_path, "archive", "prune"), 2)
    assert list(tmp_path.iterdir()) == []


def test_the_daemon_prunes_whole_months_where_a_policy_says_so(config: Config, tmp_path: Path) -> None:
    # So that the first of June is older than that and the first of July is not.
    full = datetime.now(UTC) - datetime(2026, 7, 1, tzinfo=UTC)
    config = replace(config, retention=Policy(full_s=int(full.total_seconds()) - 86_400, then="evidence"))

    def stop() -> None:
        until(lambda: rows(tmp_path / "tokentape.db", PRUNED) != [(0,)])
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    run_daemon(lambda: (config, []), lambda _: None)
    stopping.join()
    assert rows(tmp_path / "tokentape.db", PRUNED) == [(56,)]
