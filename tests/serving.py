"""The store served on loopback, as `tokentape serve` serves it, for tests that ask it over real HTTP."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from store.doors import Doors
from store.http.app import Decide, create_app
from store.http.settings import ServeSettings


@dataclass(frozen=True)
class Served:
    """A server that listens."""

    client: httpx.Client
    port: int

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask; parameters and headers as `httpx` takes them."""
        return self.client.get(path, **options)

    def raw(self, request: bytes, *, wait_s: float = 20) -> bytes:
        """What comes back for bytes that need not be a request; nothing where they are not read to their end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            connection.sendall(request)
            answer = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer


@contextmanager
def served(doors: Doors, settings: ServeSettings | None = None, decide: Decide | None = None) -> Iterator[Served]:
    """The store of some doors, served while the context lasts."""
    settings = settings or ServeSettings()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listening.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(doors, settings, decide),
            log_config=None,
            access_log=False,
            timeout_keep_alive=int(settings.idle_s),
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield Served(client, port)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
