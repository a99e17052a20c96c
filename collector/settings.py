"""Settings that are no source's own: how bodies are fetched and when a price is doubted."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How every body is fetched."""

    mirror: str = ""
    """`http://host:port`: every `https://HOST/PATH` is read from `MIRROR/HOST/PATH`; empty asks the upstream."""
    user_agent: str = ""
    """What we call ourselves; empty means `tokentape/<version>` with the address of the project."""
    proxy: str = ""
    """`http://host:port` of a proxy; empty means none, whatever the environment says."""
    connect_s: float = 5.0
    """Seconds until a connection stands."""
    first_byte_s: float = 10.0
    """Seconds until the first byte of an answer, and between two."""
    attempts: int = 3
    """Tries of one request, the first included."""
    redirects: int = 3
    """Redirects followed by one request."""
    body_limit: int = 16 * 2**20
    """Bytes of a body as sent."""
    decoded_limit: int = 32 * 2**20
    """Bytes of a body after its content coding is undone."""
    allow_private: bool = False
    """Addresses of private networks may be asked; the mirror and the proxy always may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """When a price, or an absence, is held."""

    above_usd: int = 1000
    """USD per 1M text tokens above which no price is believed."""
    ratio: int = 30
    """A change to this many times the accepted amount, or to this fraction of it, is held."""
    missing_share: Fraction = Fraction(1, 10)
    """Share of a source's offers whose absence, at once or within a month, is held."""
    misses: int = 3
    """Complete polls in a row that must miss an endpoint before it is withdrawn ..."""
    gap_s: int = 86_400
    """... and seconds that must have passed since the first of them."""
