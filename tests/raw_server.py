"""A loopback server that answers with exactly the bytes it is given, well-formed or not."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What one connection gets before it is closed: bytes, or a function that writes them."""


@dataclass(kw_only=True)
class RawServer:
    """What is known of a running server."""

    port: int = 0
    requests: list[str] = field(default_factory=list)
    """Heads of the requests, as received."""
    starts: list[float] = field(default_factory=list)
    """When each came, in the time of the event loop."""
    under_way: int = 0
    most_under_way: int = 0

    @property
    def url(self) -> str:
        """The server's root, without the last slash."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def raw_server(
    *answers: Answer, tls: ssl.SSLContext | None = None, at: Mapping[str, Answer] | None = None
) -> AsyncIterator[RawServer]:
    """Serve one answer per connection, in turn; the last one again and again.

    What stands in `at` by its path is answered so each time.
    """
    server = RawServer()
    left = list(answers)

    def next_answer(path: str) -> Answer:
        if at and path in at:
            return at[path]
        return left.pop(0) if len(left) > 1 else left[0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            server.requests.append(head)
            server.starts.append(asyncio.get_running_loop().time())
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            answer = next_answer(head.split(" ")[1])
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
            server.under_way -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = running.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        running.close()


def answer(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None, sized: bool = True
) -> bytes:
    """An HTTP answer; `length` overrides the true Content-Length, `sized=False` leaves it out."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    if sized:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reset(after: bytes = b"") -> Answer:
    """Send `after`, then break the connection."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        await asyncio.sleep(0.05)
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return write


def drip(head: bytes, piece: bytes, every_s: float) -> Answer:
    """Send `head`, then `piece` for ever, one every `every_s` seconds."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            await writer.drain()
            await asyncio.sleep(every_s)
            writer.write(piece)

    return write


def silence(after: bytes = b"", for_s: float = 30.0) -> Answer:
    """Send `after`, then nothing, and keep the connection."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        await asyncio.sleep(for_s)

    return write


def later(answer: bytes, after_s: float) -> Answer:
    """Send `answer`, only some time after it was asked for."""

    async def write(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after_s)
        writer.write(answer)
        await writer.drain()

    return write
