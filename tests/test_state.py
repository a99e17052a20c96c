"""Whether a store still says what it said: what a server's answers are kept by, and what it says once they are none."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from store.doors import Doors
from store.http.state import AGAIN_S, state_of
from store.instants import to_millis
from store.location import is_postgres
from store.version import SCHEMA_VERSION, VERSION_TABLE
from tests.collecting import until
from tests.serving import Served, served
from tests.stores import Stores, run
from tests.tape import T0, Tape, hour, usd

MODEL = "acme/one"
OLD = f"schema {SCHEMA_VERSION - 1}, this tokentape needs {SCHEMA_VERSION}: run `tokentape db upgrade`"


@pytest.fixture
def tape(store_url: str) -> Tape:
    tape = Tape(store_url)
    source = tape.source("acme")
    tape.poll(source, hour(0))
    tape.interval(tape.endpoint(source, "acme", MODEL), hour(0), usd(input=1))
    return tape


def of_schema(url: str, version: int) -> None:
    """Make a store say that it is of another schema, as an upgrade by another tokentape does."""
    run(url, f"UPDATE {VERSION_TABLE} SET version_num = '{version:04}'")
    if not is_postgres(url):
        run(url, f"PRAGMA user_version = {version}")


def poll(tape: Tape) -> None:
    tape.poll(1, hour(1))


def correct(tape: Tape) -> None:
    run(tape.url, f"UPDATE span SET known_to = {to_millis(hour(1))}")


def decide(tape: Tape) -> None:
    values = f"1, 'acme/one', '{{}}', {'TRUE' if is_postgres(tape.url) else 1}, 'ann', '', 0, {to_millis(hour(1))}"
    run(
        tape.url,
        f'INSERT INTO verdict (source_id, subject, value, released, "by", note, since, known) VALUES ({values})',
    )


@pytest.mark.parametrize("write", [poll, correct, decide])
def test_the_state_is_the_same_until_something_becomes_known(tape: Tape, write: Callable[[Tape], None]) -> None:
    state = state_of(tape.url)
    before = state()
    time.sleep(AGAIN_S)
    assert state() == before
    write(tape)
    until(lambda: state() != before, within_s=10)
    assert state() == state()


def test_a_server_of_postgresql_is_not_asked_at_every_answer(tape: Tape) -> None:
    state = state_of(tape.url)
    before, began = state(), time.monotonic()
    poll(tape)
    at_once = state()
    if time.monotonic() - began < AGAIN_S:
        assert (at_once == before) == is_postgres(tape.url)
    until(lambda: state() != before, within_s=10)


def test_a_store_that_is_not_there_yet_has_no_state_until_it_is(stores: Stores) -> None:
    with stores.new() as url:
        if is_postgres(url):
            run(url, f"DROP TABLE {VERSION_TABLE}")
        else:
            assert not Path(url).exists()
        state = state_of(url)
        nothing = state()
        time.sleep(AGAIN_S)
        assert state() != nothing  # equal to nothing, itself of before included
        if not is_postgres(url):
            Tape(url).source("acme")
            assert state() == state()


def test_another_file_under_the_name_of_a_store_is_another_state(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape.db")
    state = state_of(tape.url)
    before = state()
    assert state() == before
    Tape(tmp_path / "other.db").source("acme")
    (tmp_path / "other.db").rename(tape.path)
    assert state() != before


# --- what a server says ---


def test_a_store_that_becomes_older_underneath_is_told_with_what_to_do(tape: Tape) -> None:
    with served(Doors(tape.url, now=lambda: hour(1))) as http:
        assert http.get("/v1/models").status_code == 200
        of_schema(tape.url, SCHEMA_VERSION - 1)
        until(lambda: http.get("/v1/models").status_code != 200, within_s=10)
        for path in ("/v1/models", f"/v1/endpoints?model={MODEL}", "/readyz", "/metrics"):
            refused(http, path, OLD)
        page = http.get("/")
        assert (page.status_code, "tokentape db upgrade" in page.text) == (503, True)
        of_schema(tape.url, SCHEMA_VERSION)
        until(lambda: http.get("/v1/models").status_code == 200, within_s=10)


def test_a_store_of_a_newer_tokentape_is_told_as_that(tape: Tape) -> None:
    of_schema(tape.url, 99)
    with served(Doors(tape.url, now=lambda: hour(1))) as http:
        refused(http, "/v1/models", "it is of a newer tokentape")


def test_what_is_no_store_any_more_is_told_with_what_tells_why(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape.db")
    with served(Doors(tape.url, now=lambda: T0)) as http:
        assert http.get("/v1/models").status_code == 200
        (tmp_path / "other").write_bytes(b"milk" * 1000)
        (tmp_path / "other").rename(tape.path)
        refused(http, "/v1/models", "`tokentape verify` tells why")


def refused(http: Served, path: str, detail: str) -> None:
    """A problem that asking again does not solve, and that says nothing of the machine."""
    answer = http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"].startswith("the store ")
    assert answer.json()["detail"].endswith(detail)
    assert "retry-after" not in answer.headers
