"""What the tests of the collecting commands share: the console command, a user's file, and upstreams on loopback."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from collector.cli import main
from collector.config import load, packaged

TOKENTAPE = Path(sys.executable).with_name("tokentape")
KEYS = [spec.key_env for spec in load(packaged(), {}).sources.values() if spec.key_env]
BODY = json.dumps({"data": [{"id": f"acme/model-{number}", "in": "1.5", "out": "6"} for number in range(3)]}).encode()


def environ(home: Path, **more: str) -> dict[str, str]:
    """An environment that has nothing of whoever runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm", **more}


def tokentape(home: Path, *words: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The console command as a process of its own, run in a folder."""
    command = [TOKENTAPE, *words]
    done = subprocess.run(
        command, cwd=home, env=environ(home, **more), capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def ask(home: Path, *words: str | Path, **more: str) -> Result:
    """The console command inside this process, which is quicker; what it does not expect is raised."""
    env: Mapping[str, str | None] = dict.fromkeys([*KEYS, "XDG_CONFIG_HOME"]) | environ(home, **more)
    with chdir(home):
        return CliRunner().invoke(main, [*map(str, words)], env=env, prog_name="tokentape", catch_exceptions=False)


def told(result: "Result | subprocess.CompletedProcess[str]", status: int) -> str:
    """The one line on standard error of a command that did nothing else."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert (code, result.stdout) == (status, ""), result.stderr
    assert result.stderr.startswith("tokentape: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("\n")
    return result.stderr.removeprefix("tokentape: ").rstrip()


def settings(home: Path, *, mirror: str, every: Mapping[str, str]) -> Path:
    """A user's file that leaves some of the packaged sources on, polled that often."""
    sources = {name: {"enabled": "false"} for name in load(packaged(), {}).sources if name not in every}
    sources |= {name: {"every": often} for name, often in every.items()}
    return _written(home, {"http": _http(mirror), "sources": sources})


def own_sources(home: Path, *, mirror: str, every: Mapping[str, str]) -> Path:
    """A user's file with sources of its own alone, which `Upstreams` serves."""
    amounts = {"input": {"at": "in", "unit": "USD/1M_token"}, "output": {"at": "out", "unit": "USD/1M_token"}}
    sources = {
        name: {
            "title": name,
            "parser": "json_list",
            "url": f"https://{name}.example/models",
            "provider": name,
            "trust": "first-party",
            "records": "data",
            "model": "id",
            "prices": amounts,
            "expect": {"models": "2"},
            "every": often,
        }
        for name, often in every.items()
    }
    return _written(home, {"inherit": "false", "http": _http(mirror), "sources": sources})


def _http(mirror: str) -> dict[str, str]:
    return {"mirror": mirror, "attempts": "1", "connect": "2s", "first_byte": "20s"}


def _written(home: Path, configuration: Mapping[str, object]) -> Path:
    path = home / "user.yaml"
    path.write_text(json.dumps(configuration, indent=1))
    return path


class Upstreams:
    """A mirror of `https://NAME.example/models`: what each upstream answers is set, what it was asked is known."""

    def __init__(self) -> None:
        self.status: dict[str, int] = {}
        self.wait_s: dict[str, float] = {}
        self.asked: dict[str, int] = defaultdict(int)
        self.most_at_once: dict[str, int] = defaultdict(int)
        self.stopping = threading.Event()
        self._under_way: dict[str, int] = defaultdict(int)
        self._counting = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())

    @property
    def mirror(self) -> str:
        """What `http.mirror` must say."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, name: str) -> int:
        """Wait as long as this upstream is slow; the status it answers with."""
        with self._counting:
            self.asked[name] += 1
            self._under_way[name] += 1
            self.most_at_once[name] = max(self.most_at_once[name], self._under_way[name])
        self.stopping.wait(self.wait_s.get(name, 0))
        with self._counting:
            self._under_way[name] -= 1
        return self.status.get(name, 200)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstreams = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status = upstreams.answer(self.path.split("/")[1].removesuffix(".example"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def __enter__(self) -> "Upstreams":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with five, forty sources at once wait for the next try of the kernel, a second or more

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Another process holds the store."""
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.communicate("")


def rows(store: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a query of the store finds."""
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(sql).fetchall()


def polls(store: Path, source: str) -> list[tuple[Any, ...]]:
    """Start and duration in milliseconds, outcome and changes of a source's polls; none without a store."""
    if not store.exists() or not rows(store, "SELECT 1 FROM sqlite_master WHERE name = 'poll'"):
        return []
    return rows(
        store,
        "SELECT p.at, p.duration_ms, p.outcome, p.changes FROM poll p JOIN source s ON s.id = p.source_id"
        f" WHERE s.name = '{source}' ORDER BY p.at",
    )


def until(condition: Callable[[], object], within_s: float = 60) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
