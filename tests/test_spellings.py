"""Any URL, however it is spelled, whatever its names resolve to and wherever it leads: what is connected to is allowed.

It is looked at on the socket. Public addresses lead to a server on loopback that redirects to the next URL; on every
address of this machine listens one that must not get a connection.
"""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.contract import Request
from collector.errors import FetchFailed
from tests import fetching
from tests.raw_server import answer, raw_server
from tests.test_fetch_gate import canary
from tests.test_invariants import examples

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:4700::1111")
PRIVATE = (
    "127.0.0.1", "127.0.0.2", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "168.63.129.16", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "fe80::1%lo",
)  # fmt: skip
ADDRESSES = st.sampled_from(PUBLIC) | st.sampled_from(PUBLIC) | st.sampled_from(PRIVATE) | st.ip_addresses().map(str)
NAMES = ("one.test", "two.test", "xn--bcher-kva.test")
HOLDERS = ("::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "::", "::ffff:0:0:0")
"""Networks of IPv6 in whose last 32 bits an address of IPv4 may stand."""


def spelled_v4(address: IPv4Address, way: int) -> str:
    """One of the ways to write an address that some resolver reads."""
    number = int(address)
    one, two, three, four = address.packed
    dotted = str(address)
    ways = (
        dotted, f"{number}", f"{number:#x}", f"{number:#X}", f"0{number:o}", f"{one}.{number & 0xFFFFFF}",
        f"{one}.{two}.{number & 0xFFFF}", f"{one:#x}.{two:#x}.{three:#x}.{four:#x}",
        f"0{one:o}.0{two:o}.0{three:o}.0{four:o}",
        f"0{one:o}.{two:#x}.{number & 0xFFFF}", f"{one:03}.{two:03}.{three:03}.{four:03}", f"{dotted}.",
        dotted.replace(".", "。"), dotted.replace(".", "%2e"), "".join(f"%{ord(char):02x}" for char in dotted),
        dotted.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
        dotted.translate({ord("0") + digit: 0x245F + digit for digit in range(1, 10)}), f"{dotted}%00",
        f"[::ffff:{dotted}]", f"[{dotted}]", f"{dotted}.nip.test",
    )  # fmt: skip
    return ways[way % len(ways)]


def spelled_v6(address: IPv6Address, way: int) -> str:
    ways = (f"{address}", address.exploded, str(address).upper(), f"{address}%25lo", f"{address}%lo", f"{address}%251")
    return f"[{ways[way % len(ways)]}]" if way % 7 else ways[way % len(ways)]


WAYS = st.integers(0, 41)
HOSTS = st.one_of(
    st.builds(spelled_v4, st.sampled_from([*map(ip_address, PUBLIC[:2] + PRIVATE[:11])]) | st.ip_addresses(v=4), WAYS),
    st.builds(
        lambda holder, inner, way: spelled_v6(IPv6Address(int(IPv6Address(holder)) | int(inner)), way),
        st.sampled_from(HOLDERS),
        st.sampled_from([*map(IPv4Address, PUBLIC[:2] + PRIVATE[:11])]),
        WAYS,
    ),
    st.builds(
        spelled_v6, st.sampled_from([*map(IPv6Address, PUBLIC[2:] + PRIVATE[11:-1])]) | st.ip_addresses(v=6), WAYS
    ),
    st.sampled_from(
        [*NAMES, "ONE.test", "one.test.", "one。test", "ｏｎｅ.test", "one%2etest", "bücher.test", "www.one.test"]
    ),
    st.sampled_from(
        ["localhost", "LOCALHOST", "localhost.", "ｌｏｃａｌｈｏｓｔ", "", "..", "a" * 70, "-", "one.test@127.0.0.1"]
    ),
)
SCHEMES = (
    "http://", "http://", "http://", "HTTP://", "hTTps://", "//", "", "/", "http:/", "http:", "ftp://", " http://",
    "http:\\\\",
)  # fmt: skip
BEFORE = (
    "", "", "", "", "me@", "me:pw@", "one.test@", "one.test%40", "93.184.216.34\\@", "@", "one.test#@", "one.test/@",
)  # fmt: skip
PATHS = (
    "/models", "/models", "", "/", "/../x", "//127.0.0.1/", "/a\\b", "/\t", "/\r\nHost: x", "?x=http://127.0.0.1/",
    "#", "/%00", ";",
)  # fmt: skip
URLS = st.builds(
    lambda scheme, before, host, port, path: f"{scheme}{before}{host}{port}{path}",
    st.sampled_from(SCHEMES),
    st.sampled_from(BEFORE),
    HOSTS,
    st.sampled_from(["", "", ":PORT", ":PORT", ":80", ":", ":0", ":65536", ":８０", ":-1"]),
    st.sampled_from(PATHS),
)
PLAIN = st.builds(
    lambda name, path: f"http://{name}{path}", st.sampled_from([*NAMES, *PUBLIC[:2]]), st.sampled_from(PATHS[:4])
)
DAMAGED = st.builds(
    lambda url, place, more: url[:place] + more + url[place:], PLAIN | URLS, st.integers(0, 40), st.text(max_size=3)
)
ANY = PLAIN | PLAIN | URLS | DAMAGED | st.text()
ANSWERS = st.lists(st.lists(ADDRESSES, min_size=1, max_size=3) | st.just([]), min_size=1, max_size=4)
"""What a name resolves to, each time it is asked for."""


@dataclass(frozen=True)
class Names:
    """A resolver that says something else each time; numbers are read as this machine reads them."""

    answers: list[list[str]]
    asked: Iterator[int]

    async def __call__(self, host: str, port: int) -> list[str]:
        name = host.rstrip(".").lower()
        if name == "localhost":
            return ["127.0.0.1", "::1"]
        if name.endswith(".test"):
            return self.answers[next(self.asked) % len(self.answers)]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(sockaddr[0]) for *_, sockaddr in found]


def allowed(text: str) -> bool:
    """Whether anybody may be at an address, by the standard library and what it leaves out."""
    ip = ip_address(text)
    if isinstance(ip, IPv6Address):
        if ip in IPv6Network("64:ff9b::/96") or ip.ipv4_mapped:
            return allowed(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.sixtofour or ip.teredo:
            return False
    return ip.is_global and not ip.is_multicast and text != "168.63.129.16"


@contextmanager
def watched(port: int) -> Iterator[list[str]]:
    """Addresses that sockets were told to connect to; what is public leads to a port of this machine."""
    connect, found = socket.socket.connect, []

    def told(self: socket.socket, address: Any) -> None:
        if self.family not in (socket.AF_INET, socket.AF_INET6):
            connect(self, address)
            return
        found.append(address[0])
        if not allowed(address[0]):
            connect(self, address)  # where the other one listens
        elif self.family == socket.AF_INET:
            connect(self, ("127.0.0.1", port))
        else:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", told)
        yield found


def test_whatever_a_url_is_what_is_connected_to_may_be_asked() -> None:
    """Address gate: 24."""
    reached = 0

    @settings(parent=examples, max_examples=25 * examples.max_examples)
    @given(url=ANY, to=st.lists(ANY, max_size=2), answers=ANSWERS, attempts=st.integers(1, 2))
    def ask(url: str, to: list[str], answers: list[list[str]], attempts: int) -> None:
        nonlocal reached

        async def work() -> list[str]:
            leads = [answer(b"", f"Location: {location(one)}", status="302 Found") for one in to]
            async with raw_server(*leads, fetching.OK) as server:
                names = Names(answers, count())
                given_to = fetching.settings(allow_private=False, attempts=attempts)
                with watched(server.port) as found:
                    async with fetching.fetcher(given_to, resolve=names) as fetcher:
                        with suppress(FetchFailed):
                            await fetcher.get(Request(url=url.replace("PORT", str(port))), fetching.spec())
                return found

        found = asyncio.run(work())
        reached += bool(found)
        assert all(map(allowed, found)), found

    def location(url: str) -> str:
        """A URL as a header can hold it."""
        return url.replace("PORT", str(port)).encode("utf-8").decode("latin-1").replace("\r", "").replace("\n", "")

    with canary() as port:
        ask()
    assert reached, "nothing was ever asked: this would be no test"
