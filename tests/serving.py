"""The store served on loopback, as `tokentape serve` serves it, for tests that ask it over real HTTP."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx

from store.doors import Doors
from store.http.app import Decide, create_app
from store.http.listen import listening
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
    app = create_app(doors, settings, decide)
    with (
        listening(app, replace(settings, host="127.0.0.1", port=0)) as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        yield Served(client, client.base_url.port or 80)
