"""SQLite and PostgreSQL say the same: every row and every answer, byte for byte, for the same sequence of polls."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings

from collector.fetch import Fetcher
from collector.poll import Poller
from store import catalogue, columns
from store.changes import changes
from store.evidence import explain
from store.facts import facts
from store.instants import utc_now
from store.intervals import current, history
from store.kept import kept_polls
from store.naming import find_model
from store.read import Reader, open_store
from store.routing import Constraints, rank
from store.write import Tape
from tests import tape as written
from tests.collecting import Upstreams, ask, own_sources
from tests.stores import Server, Stores, content
from tests.test_known_at import WORKLOAD, answers, arrive, csv, hour
from tests.test_timelines import CONFIG, SOURCES
from tests.worlds import Poll, polls


@contextmanager
def one_of_each(server: Server) -> Iterator[tuple[str, str]]:
    with Stores(None).new() as file, Stores(server).new() as database:
        yield file, database


def told(reader: Reader, known: datetime | None) -> dict[str, str]:
    """Every answer, without the folder in which the documents are that no such world has."""
    found = answers(reader, known, hour(3000))
    return {question: answer.replace(str(reader.archive), "ARCHIVE") for question, answer in found.items()}


@settings(max_examples=20)
@given(drawn=polls(most=6))
def test_whatever_is_polled_in_whatever_order_both_hold_and_answer_the_same(server: Server, drawn: list[Poll]) -> None:
    with one_of_each(server) as urls:
        knowns, _ = (list(arrive(url, drawn)) for url in urls)
        one, other = (content(url) for url in urls)
        assert one == other
        with open_store(urls[0]) as file, open_store(urls[1]) as database:
            for known in (None, knowns[len(knowns) // 2]):
                assert told(file, known) == told(database, known)


def play(source: str, folder: Path, count: int, url: str, archive: Path) -> None:
    """Poll recorded instants into a store, each known when it was made."""
    tape = Tape(url, str(archive))
    now = utc_now()
    poller = Poller(CONFIG, tape, Fetcher(CONFIG.http, utc_now), clock=lambda: now, environ={})
    for _, (poll, received) in zip(range(count), SOURCES[source](folder), strict=False):
        now = poll.at
        assert poller.take(CONFIG.sources[source], poll.at, received).outcome != "failed"
    tape.close()


def everything(reader: Reader, archive: Path) -> Iterator[tuple[str, object]]:
    """Every question, at several instants and as known at several."""
    instants = sorted(poll.at for poll in kept_polls(reader))
    first, last = instants[0], instants[-1]
    middle = first + (last - first) / 2
    for at in (first, middle, last):
        for known in (middle, last, None):
            rows = list(current(reader, at, known=known))
            yield f"endpoints {at} {known}", csv(columns.ENDPOINTS, rows)
            yield f"cheapest {at} {known}", csv(columns.CHEAPEST, rank(rows, WORKLOAD, at, Constraints()).routes)
            yield f"models {at} {known}", csv(columns.MODELS, catalogue.models(reader, "", at, known=known))
            some = (one for row in rows[::20] for one in explain(reader, row.ref, at, known=known, archive=archive))
            yield f"explain {at} {known}", csv(columns.EVIDENCE, some)
    for known in (middle, last, None):
        yield f"history {known}", csv(columns.HISTORY, history(reader, None, last, known=known, stated=True))
        late = history(reader, None, last, known=known, since=middle, until=last - timedelta(days=1), superseded=True)
        yield f"late history {known}", csv(columns.HISTORY, late)
        yield f"changes {known}", csv(columns.CHANGES, changes(reader, known=known, since=first))
        yield f"held {known}", csv(columns.HELD, catalogue.held(reader, known=known))
        for model in catalogue.models(reader, "", last, known=known)[::5]:
            yield f"facts {model.model} {known}", csv(columns.FACTS, facts(reader, model.model, last, known=known))
        yield f"changes of prices {known}", csv(columns.CHANGES, changes(reader, known=known, prices_only=True))
    yield "sources", catalogue.sources(reader, last)
    yield "kept", list(kept_polls(reader, ["openrouter", "models_dev"]))
    names = [row.model for row in catalogue.models(reader, "", last)]
    yield "named", [find_model(reader, name.upper()) for name in names[:20]]


@pytest.mark.recorded
@pytest.mark.parametrize(("source", "count"), [("models_dev", 14), ("openrouter", 4)])
def test_recorded_polls_leave_the_same_rows_and_the_same_answers(
    recorded: Path, server: Server, tmp_path: Path, source: str, count: int
) -> None:
    with one_of_each(server) as urls:
        archives = [tmp_path / "one", tmp_path / "other"]
        for url, archive in zip(urls, archives, strict=True):
            play(source, recorded, count, url, archive)
        one, other = (content(url) for url in urls)
        assert {name: len(rows) for name, rows in one.items()} == {name: len(rows) for name, rows in other.items()}
        assert one == other
        with open_store(urls[0]) as file, open_store(urls[1]) as database:
            for said, also in zip(everything(file, archives[0]), everything(database, archives[1]), strict=True):
                assert said == also
        assert len(one["span"]) > 300


def test_every_command_does_its_work_on_either_engine(store_url: str, tmp_path: Path) -> None:
    def told(*words: str, code: int = 0) -> str:
        done = ask(tmp_path, "--config", str(config), "--store", store_url, *words)
        assert (done.exit_code, "Traceback" in done.output) == (code, False), done.output
        return done.stdout

    with Upstreams() as upstreams:
        config = own_sources(tmp_path, mirror=upstreams.mirror, every={"one": "1h", "other": "1h"})
        assert told("collect").count(": ok, 3 endpoints, 3 changed") == 2
        assert told("collect", "one").startswith("one: ok, 3 endpoints, 0 changed")
        upstreams.status["one"] = 404
        assert "failed" in told("collect", "one", code=1)
    assert told("endpoints", "model-1", "--format", "csv").count("\n") == 3
    assert told("history", "acme/model-1", "--format", "jsonl").count("\n") == 2
    assert [line.split(",")[0] for line in told("models", "--format", "csv").splitlines()[1:]] == [
        f"acme/model-{number}" for number in range(3)
    ]
    assert "one.example" in told("explain", "one:one:acme/model-1")
    assert json.loads(told("sources", "--format", "json"))[0]["failures"] == 1
    assert told("export", "history").count("\n") == 7
    assert told("changes", code=3) == ""
    assert told("verify") == ""
    assert told("reparse", "one", "other").count("0 intervals corrected") == 2
    assert told("archive", "export", str(tmp_path / "out")).startswith("3 documents in")
    assert told("backfill", "archive", str(tmp_path / "out")).count("0 intervals new or corrected") == 2
    assert "interval   6\n" in told("db", "status")


def test_names_are_in_the_order_of_their_bytes_and_found_whatever_their_case(store_url: str) -> None:
    tape = written.Tape(store_url)
    source = tape.source("acme")
    names = ["a/B", "a/b", "a/a b", "a/a-b", "a/a_b", "a/Ä", "a/é", "a/𝄞", "a/%"]
    for name in names:
        tape.interval(tape.endpoint(source, "acme", name), hour(0), written.usd(input=1, output=1))
    with open_store(store_url) as reader:
        told = [row.model for row in catalogue.models(reader, "", hour(1))]
        assert told == sorted(names, key=str.encode)
        assert [row.model for row in catalogue.models(reader, "A_B", hour(1))] == ["a/a_b"]
        assert [row.model for row in catalogue.models(reader, "%", hour(1))] == ["a/%"]
        assert find_model(reader, "a b") == "a/a b"
