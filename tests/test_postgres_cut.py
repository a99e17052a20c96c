"""A PostgreSQL that stops, a connection that is cut, a transaction that is taken back: what is left of a poll."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from collector.poll import AGAIN, Poller, Report
from store.errors import StoreConflict, StoreError
from store.write import SourceFacts, Tape
from tests.changing import START, configured, received
from tests.stores import Server, connected, rows, run
from tests.test_crash import answers, faults
from tests.test_postgres import after, saw
from tests.test_timeline import RULES
from tests.worlds import card, observation

SOURCE = SourceFacts(name="acme", trust=0, every_s=3600)
COUNT = 8


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that may be stopped, and keeps what it has confirmed."""
    started = Server()
    for setting in ("fsync = on", "synchronous_commit = on"):
        started.run(f"ALTER SYSTEM SET {setting}")
    started.run("SELECT pg_reload_conf()")
    yield started
    started.stop()


@pytest.fixture
def url(own_server: Server) -> Iterator[str]:
    with own_server.database() as made:
        yield made


def polled(url: str, folder: Path, number: int) -> Report:
    """The n-th poll of a source whose prices change, by whatever way leads to its store."""
    config = configured(folder, 1)
    (spec,) = config.sources.values()
    at = START + timedelta(hours=number)
    tape = Tape(url, str(folder / "documents"))
    poller = Poller(config, tape, None, clock=lambda: at, environ={})  # type: ignore[arg-type]
    try:
        return poller.take(spec, at, received(spec, number, at))
    finally:
        tape.close()


@pytest.mark.fault(141, 143)
def test_of_a_poll_during_which_the_server_stops_nothing_is_there_and_it_is_written_once_the_server_is_back(
    own_server: Server, url: str
) -> None:
    tape = Tape(url)
    facts, seen = saw(observation(price=card(5_000_000)))
    with pytest.raises(StoreError):
        tape.record(SOURCE, facts, seen, after(own_server.quit), known=START)
    with pytest.raises(StoreError, match=r"cannot be reached|is busy"):
        tape.record(SOURCE, facts, seen, RULES, known=START)
    own_server.start()
    assert rows(url, "SELECT count(*) FROM poll") == [(0,)]
    assert tape.record(SOURCE, facts, seen, RULES, known=START)
    assert rows(url, "SELECT count(*) FROM span") == [(1,)]
    tape.close()


class Cut:
    """A way to the server that is cut as soon as a COMMIT was sent: done, and nobody says so."""

    def __init__(self, folder: Path, server: Path, commit: int) -> None:
        self.left = commit
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, closing(socket.socket(socket.AF_UNIX)) as server:
            server.connect(str(self._server))
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(65536):
                if b"COMMIT\0" in data:
                    self.left -= 1
                    if self.left == 0:
                        client.shutdown(socket.SHUT_RDWR)  # before it is sent on: the answer cannot come back
                        server.sendall(data)
                        server.recv(65536)
                        return
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        """Accept no more."""
        self._listening.close()


@contextmanager
def cut(url: str, folder: Path, commit: int) -> Iterator[str]:
    """The URL of the same database by a way that is cut at the n-th COMMIT."""
    database, _, host = url.partition("?host=")
    way = Cut(folder, Path(host, ".s.PGSQL.5432"), commit)
    try:
        yield f"{database}?host={folder}"
    finally:
        assert way.left <= 0, "it was cut"
        way.close()


@pytest.mark.fault(142)
def test_a_connection_cut_after_commit_loses_nothing_doubles_nothing_and_calls_nothing_a_failure(
    own_server: Server, url: str, tmp_path: Path
) -> None:
    config = configured(tmp_path, 1)
    with own_server.database() as control:
        for number in range(COUNT):
            polled(control, tmp_path, number)
            with TemporaryDirectory(prefix="cut") as folder, cut(url, Path(folder), commit=2) as way:
                report = polled(way, tmp_path, number)
            assert not report.code.startswith(("store", "db_")), report
        assert answers(url) == answers(control)
    assert faults(config, url, str(tmp_path / "documents")) == []


@pytest.mark.fault(144)
@pytest.mark.parametrize("state", ["40001", "40P01", "57014"])
def test_what_the_database_takes_back_is_written_again_three_times_at_most(
    url: str, tmp_path: Path, state: str
) -> None:
    run(
        url,
        f"""
        CREATE SEQUENCE tries;
        CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') <= {AGAIN} THEN RAISE EXCEPTION 'taken back' USING ERRCODE = '{state}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER conflict BEFORE INSERT ON poll FOR EACH ROW EXECUTE FUNCTION conflict()
        """,
    )
    report = polled(url, tmp_path, 0)
    assert (report.outcome, report.changes) == ("ok", 3)
    assert rows(url, "SELECT count(*) FROM poll") == [(1,)]
    run(url, f"ALTER SEQUENCE tries RESTART WITH {-(10**6)} MINVALUE {-(10**6)}")
    with pytest.raises(StoreConflict, match="broke it off: taken back") as refused:
        polled(url, tmp_path, 2)
    assert refused.value.code == "db_busy"
    assert rows(url, "SELECT count(*) FROM poll") == [(1,)]


@pytest.mark.fault(144)
def test_a_statement_that_takes_too_long_is_a_conflict_and_leaves_nothing(url: str) -> None:
    tape = Tape(f"{url}&options=-c%20statement_timeout%3D50")
    facts, seen = saw(observation(price=card(5_000_000)))
    with connected(url) as other:
        other.execute("LOCK TABLE poll IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreConflict, match="statement timeout"):
            tape.record(SOURCE, facts, seen, RULES, known=START)
    tape.close()
    assert rows(url, "SELECT count(*) FROM poll") == [(0,)]
