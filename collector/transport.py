"""What stands between a request and the network: resolved names, judged addresses, named errors.

A name is resolved here, every address it has is judged, and the connection goes to a judged address and nowhere else:
neither a name with one public and one private address, nor an answer that changes between looking and connecting,
reaches this machine or its neighbours. TLS still verifies the name, not the address.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import httpcore
import httpx

from collector.address import forbidden
from collector.errors import Blocked, FetchFailed
from collector.settings import HttpSettings
from store.errors import NO_RESOURCES

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port -> addresses. Raises: OSError."""

# What these two have to say are URLs and headers: keys among them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, as this machine resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Connections to judged addresses only; `allowed` hosts with their ports (a mirror, a proxy) are the operator's."""

    def __init__(self, resolve: Resolve, *, allow_private: bool, allowed: Collection[tuple[str, int]]) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that accepts one.

        Raises: Blocked before the first byte if any address is forbidden; httpcore.ConnectError, ConnectTimeout.
        """
        now = asyncio.get_running_loop().time
        ends = now() + (timeout if timeout is not None else 60.0)
        addresses = await self._judged(host, port, ends)
        failure: Exception = httpcore.ConnectError("no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                share = max(0.0, ends - now()) / left
                return await self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _judged(self, host: str, port: int, ends: float) -> list[str]:
        try:
            async with asyncio.timeout_at(ends):
                addresses = list(dict.fromkeys(await self._resolve(host, port)))
                if not addresses:
                    raise socket.gaierror(socket.EAI_NONAME, "no address")
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("name not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("name not resolved") from error
        if not self._allow_private and (host, port) not in self._allowed:
            for address in addresses:
                if why := forbidden(address):
                    raise Blocked(f"{host} has the address {address}, which is {why}: not asked", code="address")
        return addresses


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport, which is a pool and nothing else, over connections to judged addresses."""

    def __init__(self, settings: HttpSettings, resolve: Resolve, tls: ssl.SSLContext | None) -> None:
        # `allowed` is compared with what httpcore connects to: the host in ASCII and the port, never None.
        own = [httpx.URL(url) for url in (settings.mirror, settings.proxy) if url]
        allowed = [(url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)) for url in own]
        network = JudgedNetwork(resolve, allow_private=settings.allow_private, allowed=allowed)
        tls = tls or httpx.create_ssl_context(trust_env=False)
        self._pool = (
            httpcore.AsyncHTTPProxy(
                proxy_url=str(httpx.URL(settings.proxy).copy_with(userinfo=b"")),
                proxy_auth=httpx.Proxy(settings.proxy).raw_auth,
                ssl_context=tls,
                max_connections=None,
                keepalive_expiry=5.0,
                network_backend=network,
            )
            if settings.proxy
            else httpcore.AsyncConnectionPool(
                ssl_context=tls, max_connections=None, keepalive_expiry=5.0, network_backend=network
            )
        )


@contextmanager
def named_errors(where: str, *, in_body: bool) -> Iterator[None]:
    """Turn what the transport raises into failures with a code.

    Its own words are dropped, for they may hold header values. Raises: FetchFailed, Blocked.
    """
    try:
        yield
    except Blocked as error:
        raise Blocked(f"{where}: {error}", code=error.code) from None
    except (httpx.LocalProtocolError, UnicodeError):
        raise Blocked(f"{where}: a header of this request cannot be sent", code="header") from None
    except (httpx.TransportError, OSError) as error:
        code, what = _failure(error, in_body=in_body)
        raise FetchFailed(f"{where}: {what}", code=code) from None


def _failure(error: Exception, *, in_body: bool) -> tuple[str, str]:
    """Code and words for an error of the transport."""
    causes = list(_causes(error))
    if lacking := next((one for one in causes if isinstance(one, OSError) and one.errno in NO_RESOURCES), None):
        return "resources", f"no connection: {os.strerror(lacking.errno or 0)}"
    if any(isinstance(cause, (socket.gaierror, UnicodeError)) for cause in causes):
        return "dns", "its host has no address here"
    if broken := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        reason = broken.verify_message if isinstance(broken, ssl.SSLCertVerificationError) else broken.reason
        return "tls", f"no trustworthy connection: {reason or 'handshake failed'}"
    numbers = (cause.errno for cause in reversed(causes) if isinstance(cause, OSError))
    detail = next((os.strerror(number) for number in numbers if number), "closed by the other side")
    match error:
        case httpx.ConnectTimeout():
            found = "connect_timeout", "no connection in time"
        case httpx.TimeoutException() if in_body:
            found = "read_timeout", "the body came to a halt"
        case httpx.TimeoutException():
            found = "first_byte_timeout", "no answer in time"
        case httpx.ProtocolError() if in_body and "peer closed" in str(error):
            found = "truncated", "wanted a whole body, got one that ends before its end"
        case httpx.ProtocolError():
            found = "protocol", "the answer is not HTTP as it should be"
        case httpx.ConnectError() | httpx.ProxyError():
            found = "connect", f"no connection: {detail}"
        case _:
            found = "read", f"the connection broke: {detail}"
    return found


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
