"""Who may ask what: the first thing that a request meets, whatever route it is for."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Literal, TypeAlias

from store.http.problems import MEDIA_TYPE, body, fault
from store.http.settings import ServeSettings

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Access: TypeAlias = Literal["open", "read", "write"]
"""`open`: anybody; `read`: whoever shows the token, if there is one; `write`: turned on, and whoever shows it."""

LONGEST_TARGET = 8192
"""Bytes of a path with its query."""
LARGEST_BODY = 65_536
READING = frozenset({"GET", "HEAD"})
_POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        _POLICY,
    ),
)


class Gate:
    """Judges requests by host, size, method, origin and token, before anything else looks at them."""

    def __init__(
        self, app: App, settings: ServeSettings, open_paths: Iterable[str], reading: Iterable[str] = READING
    ) -> None:
        self._app = app
        self._settings = settings
        self._open = frozenset(open_paths)
        self._reading = frozenset(reading)

    def access(self, method: str, path: str) -> Access:
        """What a request needs; whatever nobody declared open needs the token."""
        if method not in self._reading:
            return "write"
        return "open" if path in self._open else "read"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        answer = _Answer(send, self._settings, self._allowed_origin(headers.get(b"origin")))
        refused = self._refused(scope, headers)
        if refused is not None:
            await answer.refuse(*refused)
            return
        try:
            await self._app(scope, _Asked(receive, self._settings), answer)
        except (asyncio.CancelledError, ConnectionError, TimeoutError):
            raise  # whoever asked went away, or took too long: there is nobody to tell
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told by an id and logged
            if not answer.started:  # else it was told where it was met
                await answer.refuse(*fault(error))

    def _refused(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, bytes] | None:
        """Status and body by which a request is refused here; None: it may pass."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_TARGET:
            return 414, body(414, f"a path and its query have at most {LONGEST_TARGET} bytes")
        if _host(headers.get(b"host", b"")) not in self._settings.names:
            return 421, b""
        needs = self.access(scope["method"], scope["path"])
        refused = None
        if needs == "write" and not self._settings.writes:
            refused = 405, body(405, "this store is read only")
        elif scope["method"] not in READING:
            refused = self._unsendable(headers)
        if refused is None and needs != "open" and not self._known(headers.get(b"authorization", b""), needs):
            refused = 401, body(401, "a token is asked for: Authorization: Bearer TOKEN")
        return refused

    def _unsendable(self, headers: dict[bytes, bytes]) -> tuple[int, bytes] | None:
        origin = headers.get(b"origin")
        if origin is not None and _host(origin.partition(b"//")[2]) not in self._settings.names:
            return 403, body(403, "asked for by a page of another origin")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return 413, body(413, f"a body has at most {LARGEST_BODY} bytes")
        return None

    def _known(self, shown: bytes, needs: Access) -> bool:
        wanted = self._settings.token.encode()
        if not wanted:
            return needs == "read"
        scheme, _, value = shown.partition(b" ")
        if scheme.lower() == b"basic":  # what a browser asks its user for: any name, and the token
            try:
                value = base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(value.strip(), wanted)

    def _allowed_origin(self, origin: bytes | None) -> bytes | None:
        return origin if origin is not None and origin.decode("latin-1") in self._settings.origins else None


class _Asked:
    """What a client sends, within a time and a size."""

    def __init__(self, receive: Receive, settings: ServeSettings) -> None:
        self._receive = receive
        self._settings = settings
        self._bytes = 0
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # what is still to come is that the client went away: nobody waits for that in vain
            return await self._receive()
        async with asyncio.timeout(self._settings.idle_s):
            message = await self._receive()
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > LARGEST_BODY:
            raise ConnectionError("the body is larger than it said")
        return message


class _Answer:
    """What a client gets, with the headers of every answer, as long as it takes it."""

    def __init__(self, send: Send, settings: ServeSettings, origin: bytes | None) -> None:
        self._send = send
        self._settings = settings
        self._origin = origin
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message.get("headers", ()), *_HEADERS]
            if self._origin is not None:
                headers += [(b"access-control-allow-origin", self._origin), (b"vary", b"Origin")]
            message = {**message, "headers": headers}
        async with asyncio.timeout(self._settings.idle_s):
            await self._send(message)

    async def refuse(self, status: int, told: bytes) -> None:
        """Answer with a problem."""
        headers = [(b"content-length", str(len(told)).encode()), (b"cache-control", b"no-store")]
        if told:
            headers.append((b"content-type", MEDIA_TYPE.encode()))
        if status == 401:
            headers.append((b"www-authenticate", b'Basic realm="tokentape", charset="UTF-8"'))
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": told})


def _host(header: bytes) -> str:
    """The name in a `Host` header, without port; empty for what is none."""
    text = header.decode("latin-1").strip().lower()
    if text.startswith("["):
        name, closed, port = text[1:].partition("]")
        return name if closed and (not port or port[1:].isdecimal()) else ""
    name, _, port = text.partition(":")
    return name if not port or port.isdecimal() else ""
