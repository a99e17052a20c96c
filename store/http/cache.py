"""Answers that were given before: as long as the store says the same, and the minute lasts.

An answer depends on what was asked, on what the store says, and on the instant that is now: hours of a tariff begin and
announced prices come into force with a minute. Its ETag is the hash of its bytes: one that is the same a minute later
has the same.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from store.http.gate import App, Message, Receive, Scope, Send

LARGEST = 1 << 20
"""Bytes of an answer that is kept; larger ones are streamed as they are read."""
ROOM = 64 << 20
"""Bytes of all that are kept."""
SMALLEST = 512
"""Bytes below which nothing is compressed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer."""

    of: tuple[object, ...]
    """The state of the store, and the minute, in which it was given."""
    etag: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Cache:
    """Gives answers again, and tells whoever has them already that nothing is new."""

    def __init__(
        self, app: App, state: Callable[[], object], now: Callable[[], datetime], fresh: Iterable[str]
    ) -> None:
        self._app = app
        self._fresh = frozenset(fresh)
        """Paths that are answered anew each time, whatever the store does."""
        self._state = state
        self._now = now
        self._kept: OrderedDict[tuple[bytes, ...], Kept] = OrderedDict()
        self._making: WeakValueDictionary[tuple[bytes, ...], asyncio.Lock] = WeakValueDictionary()
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET from memory where that is the answer still; else have it made, and keep it."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"} or scope["path"] in self._fresh:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        coding = _coding(headers.get(b"accept-encoding", b""))
        key = (scope["raw_path"], scope["query_string"], headers.get(b"accept", b""), coding)
        of = (self._state(), self._now().replace(second=0, microsecond=0))
        # Of many that ask the same at once, one has it made, and the others wait.
        async with self._making.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or kept.of != of:
                made = _Made(send)
                await self._app({**scope, "method": "GET"}, receive, made)
                if made.start is None:
                    return  # it was too large, or no answer to keep, and is sent already
                kept = _kept(of, made, coding)
                self._keep(key, kept)
            else:
                self._kept.move_to_end(key)
        await _give(kept, send, headers.get(b"if-none-match", b""), empty=scope["method"] == "HEAD")

    def _keep(self, key: tuple[bytes, ...], kept: Kept) -> None:
        before = self._kept.pop(key, None)
        self._bytes += len(kept.body) - (len(before.body) if before else 0)
        self._kept[key] = kept
        while self._bytes > ROOM:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)


class _Made:
    """Holds an answer back while it may be kept; one that may not is passed on as it comes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._passing = False
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if self._passing:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            self.start = message
            if message["status"] == 200 and _header(message, b"cache-control") != b"no-store":
                return
        elif not message.get("more_body", False) and len(self.body) + len(message.get("body", b"")) <= LARGEST:
            self.body += message.get("body", b"")
            return
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        self._passing = True
        start, self.start = self.start, None
        if start is not None and message is not start:
            await self._send(start)
        await self._send(message)


def _kept(of: tuple[object, ...], made: _Made, coding: bytes) -> Kept:
    start: Any = made.start
    body = made.body
    headers = [one for one in start["headers"] if one[0] not in {b"content-length", b"etag"}]
    headers.append((b"vary", b"Accept, Accept-Encoding"))
    if not _header(start, b"cache-control"):
        headers.append((b"cache-control", b"no-cache"))
    if coding and len(body) >= SMALLEST:
        body = _compressed(body, coding)
        headers.append((b"content-encoding", coding))
    etag = b'"' + hashlib.blake2b(body, digest_size=16, person=coding).hexdigest().encode() + b'"'
    return Kept(of, etag, (*headers, (b"etag", etag)), body)


async def _give(kept: Kept, send: Send, known: bytes, *, empty: bool) -> None:
    same = known.strip() == b"*" or kept.etag in {one.strip().removeprefix(b"W/") for one in known.split(b",")}
    if same:
        told = [one for one in kept.headers if one[0] not in {b"content-type", b"content-encoding"}]
        await send({"type": "http.response.start", "status": 304, "headers": told})
        await send({"type": "http.response.body", "body": b""})
        return
    length = (b"content-length", str(len(kept.body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*kept.headers, length]})
    await send({"type": "http.response.body", "body": b"" if empty else kept.body})


def _coding(accepted: bytes) -> bytes:
    """The content coding to answer in: the first of zstd and gzip that is not refused; empty for none."""
    told = {}
    for one in accepted.lower().split(b","):
        name, _, rest = one.strip().partition(b";")
        told[name.strip()] = not rest.replace(b" ", b"").startswith((b"q=0;", b"q=0.0")) and rest.strip() != b"q=0"
    return next((name for name in (b"zstd", b"gzip") if told.get(name)), b"")


def _compressed(body: bytes, coding: bytes) -> bytes:
    if coding == b"zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compress(body)
    import gzip

    return gzip.compress(body, compresslevel=5, mtime=0)


def _header(message: Message, name: bytes) -> bytes:
    return next((value for key, value in message.get("headers", ()) if key.lower() == name), b"")
