"""How the store is served."""

import ipaddress
from dataclasses import dataclass

from store.errors import StoreError

LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Where it listens, who may ask, and how much."""

    host: str = "127.0.0.1"
    port: int = 8787
    token: str = ""
    """What every request must show, but for those about health; empty: nobody need show anything."""
    hosts: tuple[str, ...] = ()
    """Names, beside that of the machine itself, under which it may be asked: `prices.example`."""
    origins: tuple[str, ...] = ()
    """Origins of pages of others that may read it: `https://app.example`."""
    writes: bool = False
    """Whether verdicts on what is held are taken; never without a token."""
    statement_s: float = 2.0
    """How long one question may read."""
    idle_s: float = 10.0
    """How long a client may neither take nor send anything."""
    connections: int = 1000
    """Open at once; more are turned away."""

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach it."""
        if self.host in LOCAL:
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    def refuse_open(self) -> None:
        """Let nobody else ask without a token.

        Raises: StoreError where it would listen for others than this machine without one.
        """
        if self.is_public and not self.token:
            raise StoreError(f"{self.host} is reached by others than this machine: set a token, or serve 127.0.0.1")

    @property
    def names(self) -> frozenset[str]:
        """Host names, in lower case and without port, under which it answers."""
        return frozenset(name.lower().strip("[]") for name in (*LOCAL, self.host, *self.hosts))
