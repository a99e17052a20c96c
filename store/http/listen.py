"""Listening: an application served in a thread and an event loop of its own, beside whatever its process does."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from store.errors import StoreError
from store.http.gate import App, Receive, Scope, Send
from store.http.settings import ServeSettings

GRACE_S = 1
"""Answers under way at a stop may finish within this. With the eight seconds of a poll it stays below the ten after
which container engines kill."""
AGAIN_S = 1.0
"""After a fault that ended the server, it listens again this much later."""
_log = logging.getLogger("tokentape.http")


class Renewable:
    """An application that another may take the place of, for all requests from then on; connections stay."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        await self.app(scope, receive, send)


@contextmanager
def listening(app: App, settings: ServeSettings) -> Iterator[str]:
    """Serve an application while the context lasts; the address that is listened on.

    A fault that ends the server is logged, and it begins again: neither it nor a stop ends anything else.
    Raises: StoreError if the address cannot be listened on.
    """
    with _socket(settings) as listener:
        server = _Server(app, settings, listener)
        thread = threading.Thread(target=server.keep_up, name="serve")
        thread.start()
        try:
            host, port, *_ = listener.getsockname()
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        finally:
            server.stop()
            thread.join()


def until_stopped(hang_up: Callable[[], object] | None = None) -> None:
    """Return at SIGTERM or SIGINT, and call `hang_up` at every SIGHUP; without it, that ends the process as usual."""

    async def wait() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopped.set)
        if hang_up is not None:
            loop.add_signal_handler(signal.SIGHUP, hang_up)
        await stopped.wait()

    asyncio.run(wait())


def _socket(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise StoreError(f"{settings.host}:{settings.port} cannot be listened on: {error}") from None
    # asyncio does so only for sockets that it made itself; without, the end of an answer waits for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Server:
    """What runs in the thread."""

    def __init__(self, app: App, settings: ServeSettings, listener: socket.socket) -> None:
        import uvicorn

        from store.http.patience import impatient

        self._config = uvicorn.Config(
            app,
            http=impatient(settings.idle_s),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(settings.idle_s),
            timeout_graceful_shutdown=GRACE_S,
            limit_concurrency=settings.connections,
            h11_max_incomplete_event_size=16_384,
        )
        self._listener = listener
        self._running = uvicorn.Server(self._config)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End it, from any thread."""
        self._stopped.set()
        self._running.should_exit = True

    def keep_up(self) -> None:
        """Serve until `stop`."""
        import uvicorn

        while True:
            self._running = uvicorn.Server(self._config)
            if self._stopped.is_set():
                return
            try:
                with self._listener.dup() as listener:  # it closes what it is given
                    asyncio.run(self._running.serve([listener]))
            except BaseException:  # noqa: BLE001 - whatever it is, also an exit, ends no more than this server
                _log.exception("serving was cut short, and begins again")
            self._stopped.wait(AGAIN_S)
