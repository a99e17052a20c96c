"""Connections over which no whole request comes: cut after a time, however slowly its pieces drip in."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(idle_s: float) -> type[H11Protocol]:
    """HTTP as uvicorn speaks it, for which the head of a request must have come within so many seconds.

    uvicorn itself waits for ever for the end of one that has begun.
    """

    class Impatient(H11Protocol):
        _cut: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._wait()
            else:
                self._arrived()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._cut is None:
                self._cut = self.loop.call_later(idle_s, self.transport.close)

        def _arrived(self) -> None:
            if self._cut is not None:
                self._cut.cancel()
                self._cut = None

    return Impatient
