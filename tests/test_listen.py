"""What listens: `tokentape serve`, and `tokentape daemon --serve`, as processes that are told things by signals."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from anyio.to_thread import run_sync

from collector.schedule import STOP_WITHIN_S
from store.http.gate import Receive, Scope, Send
from store.http.listen import GRACE_S, listening
from store.http.settings import ServeSettings
from tests.collecting import Upstreams, ask, environ, own_sources, polls, told, until
from tests.conftest import ROOT

DANGER = re.compile(r"tokentape: SQLite [0-9.]+ may damage a store .*")
LOCAL = ServeSettings(port=0)


class Process:
    """A command that listens."""

    def __init__(self, home: Path, *words: str | Path, **env: str) -> None:
        self.store = home / "tape.db"
        self._said = home / "said"
        command: list[str | Path] = [sys.executable, "-c", "from collector.cli import run; run()"]
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [*command, *words],
                cwd=home,
                env=environ(home, PYTHONPATH=str(ROOT), **env),
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    @property
    def lines(self) -> list[str]:
        """What it wrote to standard error so far."""
        text = self._said.read_text().splitlines()
        return [line for line in text if not DANGER.match(line)]

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
        until(lambda: [line for line in self.lines if line.startswith("serving ")])
        return next(line for line in self.lines if line.startswith("serving ")).removeprefix("serving ").rstrip("/")

    def stop(self, name: int = signal.SIGTERM) -> float:
        """Stop it; how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(name)
        assert self.process.wait(timeout=60) == 0, self.lines
        return time.monotonic() - began


@contextmanager
def started(home: Path, *words: str | Path, **env: str) -> Iterator[Process]:
    running = Process(home, *words, **env)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    with Upstreams() as running:
        yield running


def configured(home: Path, upstreams: Upstreams, every: Mapping[str, str], **more: object) -> Path:
    """A user's file with sources of its own, a store, and a section `serve`."""
    path = own_sources(home, mirror=upstreams.mirror, every=every)
    entries = {"store": str(home / "tape.db"), "serve": {"port": 0}} | more
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return path


# --- serve ---


def test_a_server_stops_at_once_and_cleanly_when_it_is_told(tmp_path: Path) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        with started(tmp_path, "serve", "--port", "0") as running:
            assert httpx.get(f"{running.url}/healthz", trust_env=False).status_code == 200
            assert running.stop(name) < 5
            assert len(running.lines) == 1


def test_tools_over_http_stop_likewise(tmp_path: Path) -> None:
    with started(tmp_path, "mcp", "--http", "--port", "0") as running:
        assert running.url.endswith("/mcp")
        assert httpx.delete(running.url, trust_env=False).status_code == 405
        assert running.stop() < 5
        assert len(running.lines) == 1


def test_a_server_reads_its_configuration_again_when_told_and_keeps_its_connections(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    config = configured(tmp_path, upstreams, {"steady": "1h"})
    with started(tmp_path, "--config", config, "serve") as running:
        port = httpx.URL(running.url).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.connect()
        kept = connection.sock

        def status(host: str) -> int:
            connection.request("GET", "/healthz", headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert (status("localhost"), status("prices.example")) == (200, 421)
        every = {"steady": "1h"}
        for reason, entries in (
            ("port", {"serve": {"port": "never"}}),
            ("another store or archive needs a restart", {"store": str(tmp_path / "another.db")}),
            ("another store or archive needs a restart", {"archive": str(tmp_path / "another")}),
            ("another address to listen on needs a restart", {"serve": {"port": 1}}),
            ("shows no token", {"serve": {"port": 0, "writes": True}}),
        ):
            said = len(running.lines)
            configured(tmp_path, upstreams, every, **entries)
            running.process.send_signal(signal.SIGHUP)
            until(lambda said=said: len(running.lines) > said)  # type: ignore[misc]
            assert running.lines[said].startswith("tokentape: the configuration stays as it was: ")
            assert reason in " ".join(running.lines[said:])
            assert status("localhost") == 200
        configured(tmp_path, upstreams, every, serve={"port": 0, "hosts": ["prices.example"]})
        running.process.send_signal(signal.SIGHUP)
        until(lambda: status("prices.example") == 200)
        assert connection.sock is kept
        connection.close()
        running.stop()


def test_an_address_that_is_taken_is_told_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot be listened on" in told(ask(tmp_path, "serve", "--port", port), 2)


def test_host_and_port_may_stand_in_the_environment(tmp_path: Path) -> None:
    assert "set a token" in told(ask(tmp_path, "serve", TOKENTAPE_HOST="0.0.0.0"), 2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f":{port} cannot be listened on" in told(ask(tmp_path, "serve", TOKENTAPE_PORT=port), 2)


# --- faults of the server ---


class Faulty:
    """An application that fails to start so often, and answers from then on."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.failures -= 1
            await send({"type": f"lifespan.startup.{'failed' if self.failures >= 0 else 'complete'}"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/slow":
            await run_sync(time.sleep, 6)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_an_answer_that_takes_long_does_not_hold_up_a_stop() -> None:
    with listening(Faulty(0), LOCAL) as url:
        port = httpx.URL(url).port or 0
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert httpx.get(url, trust_env=False).status_code == 204
            time.sleep(0.3)
            began = time.monotonic()
    assert time.monotonic() - began < GRACE_S + 2


def test_a_fault_that_ends_the_server_ends_nothing_else_and_it_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    with listening(Faulty(2), LOCAL) as url:
        assert httpx.get(url, trust_env=False, timeout=30).status_code == 204
    assert caplog.text.count("serving was cut short, and begins again") == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


# --- beside a daemon ---


@pytest.mark.fault(158, 192)
def test_a_daemon_answers_questions_while_it_polls_whatever_becomes_of_a_poll(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    upstreams.status["failing"] = 500
    upstreams.wait_s["hanging"] = 60
    config = configured(tmp_path, upstreams, dict.fromkeys(("steady", "failing", "hanging"), "1s"))
    with started(tmp_path, "--config", config, "daemon", "--serve") as running, httpx.Client(trust_env=False) as client:
        url = running.url
        until(lambda: polls(running.store, "steady") and polls(running.store, "failing"))
        assert upstreams.asked["hanging"] == 1
        fares = {row["source"]: row for row in client.get(f"{url}/v1/sources").json()}
        assert fares["steady"]["endpoints"] == 3
        assert fares["failing"]["failures"] > 0
        slowest = max(client.get(f"{url}/v1/models?limit={number}").elapsed.total_seconds() for number in range(1, 60))
        assert slowest < 2
        address = (httpx.URL(url).host, httpx.URL(url).port or 0)
        with ExitStack() as clients:  # that connect, and say nothing
            for _ in range(300):
                clients.enter_context(socket.create_connection(address))
            before = len(polls(running.store, "steady"))
            until(lambda: len(polls(running.store, "steady")) > before + 2, within_s=20)
            assert client.get(f"{url}/v1/models").status_code == 200
        # The poll that hangs has its eight seconds, in which questions are answered still.
        running.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert client.get(f"{url}/readyz").status_code == 200
        began = time.monotonic()
        assert running.process.wait(timeout=30) == 0, running.lines
        assert time.monotonic() - began < 9
    assert polls(running.store, "hanging") == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_a_daemon_and_its_server_go_on_by_a_new_configuration_together(tmp_path: Path, upstreams: Upstreams) -> None:
    config = configured(tmp_path, upstreams, {"steady": "1s"})
    with started(tmp_path, "--config", config, "daemon", "--serve", TOKENTAPE_TOKEN="secret") as running:
        url = running.url
        until(lambda: polls(running.store, "steady"))
        configured(
            tmp_path, upstreams, {"steady": "1s", "another": "1s"}, serve={"port": 0, "hosts": ["prices.example"]}
        )
        running.process.send_signal(signal.SIGHUP)
        until(lambda: polls(running.store, "another"))
        with httpx.Client(trust_env=False, headers={"Host": "prices.example"}) as client:
            assert client.get(f"{url}/v1/sources").status_code == 401
            shown = client.get(f"{url}/v1/sources", headers={"Authorization": "Bearer secret"})
            assert {row["source"] for row in shown.json()} == {"steady", "another"}
        running.stop()


def test_a_daemon_that_may_not_begin_does_not_serve(tmp_path: Path, upstreams: Upstreams) -> None:
    config = configured(tmp_path, upstreams, {"steady": "1s"})
    with started(tmp_path, "--config", config, "daemon", "--serve") as running:
        until(lambda: polls(running.store, "steady"))
        second = ask(tmp_path, "--config", config, "daemon", "--serve")
        assert second.exit_code == 2
        assert "serving" not in second.output
        running.stop()
    public = ask(tmp_path, "--config", config, "daemon", "--serve", "--host", "0.0.0.0")
    assert "set a token" in told(public, 2)
    alone = ask(tmp_path, "--config", config, "daemon", "--port", "80")
    assert (alone.exit_code, "--serve" in alone.stderr) == (2, True)


def test_poll_and_server_stop_within_the_ten_seconds_after_which_others_kill() -> None:
    assert STOP_WITHIN_S + GRACE_S < 9.5
