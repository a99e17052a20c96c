"""How every statement of the read side finds its rows: by the index that was meant, not by going through the ledger."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import TextClause, create_engine

from store import (
    belief,
    bulk,
    catalogue,
    changes,
    corrections,
    evidence,
    index,
    intervals,
    model_page,
    naming,
    read,
    report,
    stretches,
)
from store.instants import from_millis
from store.read import Reader, SqliteReader, open_store
from store.routing import Constraints, Workload, rank
from store.statements import CONFIRMABLE, CONFIRMABLE_BY_DOUBTED, LAST_POLLS, SELLERS
from tests.benchmarks.synthetic import END, Shape, build, model

FRAGMENTS = {"CORRECTED", "_STATED"}
"""Parts of statements, that are none themselves."""
LARGE = "span|interval|poll|gap|stated|finding|telemetry|document|locator|[bcdginotuwx]"
"""Tables that grow with time, and what statements call them."""
MEANT = {
    "belief._NEWEST_POLL": ["poll USING INDEX poll_source_at (source_id=? AND at<?)"],
    "belief._WHOLE_POLL": ["poll USING INDEX poll_source_at (source_id=? AND at<?)"],
    "belief._PARTIAL_POLLS": ["poll USING INDEX poll_source_at (source_id=? AND at>? AND at<?)"],
    "catalogue._MODELS": ["e USING INDEX endpoint_model", "span USING PRIMARY KEY (endpoint_id=? AND first_seen=?)"],
    "catalogue._SOURCES": ["b USING INDEX poll_source_at (source_id=? AND at>?)", "g USING INDEX finding_source"],
    "changes._CHANGES": [
        "span USING PRIMARY KEY (endpoint_id=? AND first_seen>? AND first_seen<?)",
        "span USING COVERING INDEX span_superseded (known_to>? AND known_to<?)",
        "span USING COVERING INDEX span_late",
        "t USING INDEX stated_endpoint",
    ],
    "corrections._BELIEFS": ["span USING PRIMARY KEY (endpoint_id=?)"],
    "corrections._LOOKED": ["b USING INDEX poll_source_at (source_id=? AND at<?)"],
    "evidence._ENDPOINTS": ["e USING INDEX endpoint_mark (source_id=?)"],
    "index._SEEN": ["e USING INDEX endpoint_model", "u USING PRIMARY KEY (endpoint_id=?)"],
    "report._POLLS": ["b USING INDEX poll_source_at (source_id=? AND at>? AND at<?)"],
    "report._SOURCES": ["b USING INDEX poll_source_at (source_id=? AND at<?)"],
    "intervals._OBSERVED_AT": [
        "e USING INDEX endpoint_model",
        "span USING PRIMARY KEY (endpoint_id=? AND first_seen=?)",
        "span USING PRIMARY KEY (endpoint_id=? AND first_seen<?)",
        "u USING PRIMARY KEY (endpoint_id=? AND since<?)",
        "g USING INDEX finding_endpoint",
    ],
    "intervals._OBSERVED_IN": ["e USING INDEX endpoint_model", "span USING PRIMARY KEY (endpoint_id=?)"],
    "intervals._STATED_AT": [
        "t USING INDEX stated_endpoint",
        "span USING PRIMARY KEY (endpoint_id=? AND first_seen<?)",
    ],
    "intervals._STATED_IN": ["t USING INDEX stated_endpoint"],
    "intervals._SHARED": ["e USING INDEX endpoint_model (model_id=?)"],
    "model_page._BLENDS": ["e USING INDEX endpoint_model", "span USING PRIMARY KEY (endpoint_id=? AND first_seen=?)"],
    "model_page._SIBLINGS": ["e USING INDEX endpoint_model", "span USING PRIMARY KEY (endpoint_id=? AND first_seen=?)"],
}
"""Statement -> steps that its plan must have."""
SCANNED = {
    "catalogue._HELD": ["SCAN g"],  # findings that ended long ago are passed over; there are few beside the polls
    "changes._CHANGES": ["SCAN n"],  # all that moved in the time asked about
}
WHOLE = {"bulk.STATEMENT"}
"""Statements that are to read all of the ledger, in its own order."""


def statements() -> Iterator[tuple[str, str]]:
    """Every statement of the read side by name."""
    modules: tuple[ModuleType, ...] = (
        *(belief, bulk, catalogue, changes, corrections, evidence, index, intervals, model_page, naming, read),
        *(report, stretches),
    )
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, str) and re.match(r"\s*(SELECT|WITH)\b", value) and name not in FRAGMENTS:
                yield f"{module.__name__.removeprefix('store.')}.{name}", value


STATEMENTS = dict(statements())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "tape.db"
    build(path, Shape(models=8, providers=20, intervals=20, sources=4, polls=200, cards=40, facts=8))
    return path


def plan(store: Path, statement: str) -> list[str]:
    values = dict.fromkeys(re.findall(r":(\w+)", statement))
    with open_store(str(store)) as reader:
        return [str(row[3]) for row in reader.rows(f"EXPLAIN QUERY PLAN {statement}", values)]


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WHOLE))
def test_no_question_goes_through_what_grows_with_time(store: Path, name: str) -> None:
    steps = plan(store, STATEMENTS[name])
    assert steps
    scanned = [step for step in steps if re.match(rf"SCAN ({LARGE})\b", step)]
    assert scanned == SCANNED.get(name, []), steps


@pytest.mark.parametrize("name", sorted(MEANT))
def test_every_statement_uses_the_index_that_was_meant(store: Path, name: str) -> None:
    steps = plan(store, STATEMENTS[name])
    assert [meant for meant in MEANT[name] if not any(meant in step for step in steps)] == [], steps


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_the_ledger_is_read_in_its_own_order_without_sorting(store: Path, name: str) -> None:
    steps = plan(store, STATEMENTS[name])
    assert steps[0] == "SCAN span"
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


def test_a_question_takes_as_many_statements_however_many_endpoints_answer(store: Path) -> None:
    asked: list[str] = []
    with open_store(str(store)) as reader, closing(sqlite3.connect(store)) as connection:
        offered = connection.execute("SELECT count(*) FROM endpoint WHERE model_id = 1").fetchone()[0]
        cheapest(reader)  # rate cards are read once
        assert isinstance(reader, SqliteReader)
        reader._connection.set_trace_callback(asked.append)
        assert cheapest(reader) == offered
    assert len(asked) == 3, asked  # what is observed, what is stated, and the newest poll of every source


@pytest.mark.parametrize("name", ["belief._NEWEST_POLL", "belief._WHOLE_POLL", "statements.LAST_POLLS"])
def test_the_newest_poll_is_found_as_fast_after_years_of_polls(tmp_path: Path, name: str) -> None:
    statement = {**STATEMENTS, "statements.LAST_POLLS": str(LAST_POLLS)}[name]

    def work(polls: int) -> int:
        path = tmp_path / f"{polls}.db"
        build(path, Shape(models=1, providers=2, intervals=1, sources=2, polls=polls, cards=2, facts=2))
        values = {"source": 1, "name": "source_0", "seen": END, "known": END + 1000}
        done = count()
        with closing(sqlite3.connect(path)) as connection:
            connection.set_progress_handler(lambda: next(done) * 0, 1)  # called at every step of the machine
            assert END in connection.execute(statement, values).fetchone()
        return next(done)

    assert work(3000) == work(30)


ASKED = {"models": [model(0)], "source": "none", "trust": 9, "at": END}


@pytest.mark.parametrize(("statement", "values"), [(CONFIRMABLE, {}), (CONFIRMABLE_BY_DOUBTED, {}), (SELLERS, ASKED)])
def test_what_a_poll_asks_of_other_sources_takes_as_long_however_many_endpoints_there_are(
    tmp_path: Path, statement: TextClause, values: dict[str, Any]
) -> None:
    def work(models: int) -> int:
        path = tmp_path / f"{models}.db"
        build(path, Shape(models=models, providers=2, intervals=3, sources=2, polls=5, cards=2, facts=2))
        done = count()
        with create_engine(f"sqlite:///{path}").connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.set_progress_handler(lambda: next(done) * 0, 1)
            assert bool(connection.execute(statement, values).all()) == bool(values)
        return next(done)

    assert work(300) <= 1.1 * work(3)


def cheapest(reader: Reader) -> int:
    now = from_millis(END)
    rows = intervals.endpoints(reader, model(0), now)
    return len(rank(rows, Workload(input_tokens=1, output_tokens=1), now, Constraints()).routes)
