"""Which addresses may be asked: the gate between a name in the configuration and a connection.

A name is resolved here, every address it has is judged, and the connection goes to a judged address and nowhere else,
so that neither `127.1`, nor a name with one public and one private address, nor an answer that changes between looking
and connecting reaches this machine or its neighbours. TLS still verifies the name, not the address.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpcore

from collector.errors import Blocked

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port -> addresses. Raises: OSError."""

# https://www.iana.org/assignments/iana-ipv4-special-registry and its sister for IPv6. The properties of `ipaddress`
# do not serve: 100.64.0.1 is not `is_private`, 224.0.0.1 and 64:ff9b::7f00:1 are `is_global`.
_FORBIDDEN_IPV4 = {
    "this host": ("0.0.0.0/8",),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "shared by a carrier": ("100.64.0.0/10",),
    "loopback": ("127.0.0.0/8",),
    "link-local": ("169.254.0.0/16",),
    "a cloud's own": ("168.63.129.16/32",),
    "for documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
    "multicast": ("224.0.0.0/4",),
    "reserved": ("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
}
_FORBIDDEN_IPV6 = {
    "for documentation": ("2001:db8::/32", "3fff::/20"),
    "a tunnel": ("2001::/32", "2002::/16"),
    "reserved": ("2001::/23",),
}
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_HOLDS_IPV4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_IPV4 = [(IPv4Network(block), why) for why, blocks in _FORBIDDEN_IPV4.items() for block in blocks]
_IPV6 = [(IPv6Network(block), why) for why, blocks in _FORBIDDEN_IPV6.items() for block in blocks]


def forbidden(address: str) -> str | None:
    """Why an address may not be asked; None if it may."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if not any(ip in block for block in _HOLDS_IPV4):
            if ip not in _GLOBAL_IPV6:
                return "loopback" if ip.is_loopback else "not a global address"
            return next((why for block, why in _IPV6 if ip in block), None)
        ip = IPv4Address(int(ip) & 0xFFFF_FFFF)
    return next((why for block, why in _IPV4 if ip in block), None)


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
        timeout: float | None = None,
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
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("name not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("name not resolved") from error
        if not self._allow_private and (host, port) not in self._allowed:
            for address in addresses:
                if why := forbidden(address):
                    raise Blocked(f"{host} has the address {address}, which is {why}: not asked", code="address")
        return addresses
