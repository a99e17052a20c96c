"""What may be asked: URLs by their spelling, addresses by what they are.

The properties of `ipaddress` do not serve: 100.64.0.1 is not `is_private`, 224.0.0.1 and 64:ff9b::7f00:1 are
`is_global`; nor does it read `127.1` or `0x7f.1`, which every resolver takes for loopback. So an address is judged once
it is resolved, against the list below.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from collector.errors import Blocked

_PATH_SHOWN = 160

# https://www.iana.org/assignments/iana-ipv4-special-registry and its sister for IPv6
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


def checked(text: str, source: str) -> httpx.URL:
    """`text` as the URL it is; no message repeats what may hold a password.

    Raises: Blocked.
    """
    if not text.isprintable() or " " in text or "\\" in text:
        raise Blocked(f"{source}: the URL holds white space, control characters or a backslash", code="url")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise Blocked(f"{source}: the URL cannot be read", code="url") from None
    if url.scheme not in ("http", "https"):
        raise Blocked(f"{source}: wanted a URL of http or https, got scheme {url.scheme!r}", code="scheme")
    if not url.host or url.userinfo:
        reason = "holds a user or password" if url.host else "names no host"
        raise Blocked(f"{source}: the URL {reason}", code="url")
    return url


def shown(url: httpx.URL) -> str:
    """`url` for messages: without user, password, query and fragment."""
    path = url.raw_path.decode("ascii").partition("?")[0]
    cut = path if len(path) <= _PATH_SHOWN else f"{path[:_PATH_SHOWN]}…"
    return f"{url.scheme}://{url.netloc.decode('ascii')}{cut}{'?…' if url.query else ''}"


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: what a key is sent to."""
    return url.scheme, url.host, url.port


def site(url: httpx.URL) -> tuple[str, int | None]:
    """Host and port; a leading `www.` makes no other host."""
    return url.host.removeprefix("www."), url.port
