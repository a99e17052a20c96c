"""What somebody wants to be told of: rules, apart from what judges them, for a configuration is read without that."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from fractions import Fraction
from hashlib import blake2b
from typing import Literal

Kind = Literal[
    "price",
    "below",
    "cheapest",
    "new_endpoint",
    "new_model",
    "withdrawn",
    "announced",
    "retiring",
    "failing",
    "stale",
    "held",
]
Direction = Literal["any", "up", "down"]

OFFER = ("model", "provider", "endpoint", "source")
"""Keys that say of which offers; each holds patterns, `*` and `?`, of which one must fit."""
KEYS: dict[Kind, tuple[str, ...]] = {
    "price": (*OFFER, "meter", "percent", "direction", "corrections"),
    "below": (*OFFER, "meter", "value"),
    "cheapest": ("model", "provider", "input", "output", "cached"),
    "new_endpoint": OFFER,
    "new_model": OFFER,
    "withdrawn": OFFER,
    "announced": OFFER,
    "retiring": OFFER,
    "failing": ("source", "times"),
    "stale": ("source", "after"),
    "held": ("model", "provider", "source"),
}
"""What is said of each kind, beside its name and where to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing to be told of, and where to."""

    name: str
    when: Kind
    channels: tuple[str, ...]
    """Names of variables of the environment, each of which holds the URL of a channel."""
    model: tuple[str, ...] = ()
    """Patterns, as are the next three; none: any. Of `cheapest`, ids."""
    provider: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    meter: str | None = None
    """None: any, with those under a condition."""
    percent: Fraction | None = None
    """A price moved by more than that of the old one; None: any move, also from or to none."""
    direction: Direction = "any"
    value: int | None = None
    """In 1e-9 USD per 1M tokens or single other thing."""
    input: int = 3000
    """Tokens of a prompt."""
    output: int = 1000
    cached: int = 0
    """Tokens of the prompt that are read from a cache."""
    times: int = 3
    """Failed polls in a row."""
    after_s: int | None = None
    """Seconds without a success; None: two of the source's intervals, and a while."""
    corrections: bool = False
    """Whether what is believed otherwise of the past counts as a move."""

    @property
    def definition(self) -> str:
        """What it is about, as a digest: the same however it is called and wherever it is told."""
        said = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("name", "channels") and getattr(self, field.name) != field.default
        }
        return blake2b(json.dumps(said, default=str).encode(), digest_size=8).hexdigest()

    def concerns(self, *, model: str | None, provider: str | None, source: str, endpoint: str | None = None) -> bool:
        """Whether an offer, or a source, is one of those that it is about."""
        return (
            fits(model, self.model)
            and fits(provider, self.provider)
            and fits(endpoint, self.endpoint)
            and fits(source, self.source)
        )


def fits(name: str | None, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of some patterns; where there is none, any does, also none."""
    wanted = tuple(patterns)
    return not wanted or (name is not None and any(fnmatchcase(name, one) for one in wanted))
