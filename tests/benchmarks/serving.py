"""Requests a second that `tokentape serve` answers, against a bare FastAPI route that returns the same bytes.

    python -m tests.benchmarks.serving STORE [--model MODEL] [--seconds 5] [--connections 64]

`wrk` (a Debian package) asks; each server is a process of its own, and they are asked in turn. `cheapest` and `history`
as they are, where nothing is kept of an answer, and where whoever asks has it already (304).
"""

import argparse
import asyncio
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

ROUNDS = 3


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="serving", description=__doc__)
    options.add_argument("store")
    options.add_argument("--model", default="openai/gpt-oss-120b")
    options.add_argument("--at", default="")
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--connections", type=int, default=64)
    asked = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    for path in (f"/v1/cheapest?model={asked.model}{asked.at}", f"/v1/history?limit=100&model={asked.model}{asked.at}"):
        with server("store", asked.store) as ours:
            body, etag = fetch(ours + path)
            with tempfile.NamedTemporaryFile(suffix=".json") as kept:
                kept.write(body)
                kept.flush()
                with server("bare", kept.name) as bare:
                    found: dict[str, list[tuple[float, float]]] = {}
                    for _ in range(ROUNDS):
                        for name, url, more in (
                            ("bare", f"{bare}/", ()),
                            ("ours", ours + path, ()),
                            ("bare 304", f"{bare}/", ("-H", 'If-None-Match: "bare"')),
                            ("ours 304", ours + path, ("-H", f"If-None-Match: {etag}")),
                        ):
                            found.setdefault(name, []).append(ask(url, asked.seconds, asked.connections, more))
        print(f"{path}: {len(body)} bytes, {asked.connections} connections")
        best = {name: max(rates) for name, rates in found.items()}
        for name, (rate, p99) in best.items():
            print(f"  {name:10} {rate:8.0f} requests a second, p99 {p99:6.1f} ms")
        for name in ("", " 304"):
            print(f"  ours{name} takes {best[f'bare{name}'][0] / best[f'ours{name}'][0]:.2f}x the time of bare{name}")


def fetch(url: str) -> tuple[bytes, str]:
    """A body and its ETag."""
    with urlopen(Request(url)) as answer:
        return answer.read(), answer.headers.get("etag", "")


def ask(url: str, seconds: int, connections: int, more: tuple[str, ...]) -> tuple[float, float]:
    """Requests a second and p99 in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *more, url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", told)
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)", told)
    if rate is None or p99 is None or "Socket errors" in told:
        raise RuntimeError(told)
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


@contextmanager
def server(kind: str, of: str) -> Iterator[str]:
    """A server in a process of its own, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.serving", f"--{kind}", of, str(port)])
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            try:
                fetch(f"{address}/healthz")
                break
            except OSError:
                time.sleep(0.05)
        yield address
    finally:
        running.terminate()
        running.wait(20)


def run(kind: str, of: str, port: int) -> None:
    """One of the two servers."""
    import uvicorn
    from fastapi import FastAPI, Response
    from fastapi import Request as Asked

    if kind == "--store":
        from store.doors import Doors
        from store.http.app import create_app
        from store.http.listen import listening, until_stopped
        from store.http.settings import ServeSettings

        settings = ServeSettings(port=port)
        with listening(create_app(Doors(of), settings), settings):
            until_stopped()
        return
    app, body = FastAPI(), Path(of).read_bytes()

    @app.get("/")
    async def same(request: Asked) -> Response:
        if request.headers.get("if-none-match") == '"bare"':
            return Response(status_code=304, headers={"ETag": '"bare"'})
        return Response(body, media_type="application/json", headers={"ETag": '"bare"'})

    @app.get("/healthz")
    async def health() -> Response:
        return Response(headers={"ETag": '""'})

    config = uvicorn.Config(app, port=port, log_config=None, access_log=False)
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    if sys.argv[1:2] in (["--store"], ["--bare"]):
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
