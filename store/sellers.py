"""What a model is sold for, by whom, by other sources: what a new price is held against."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias


class Seller(NamedTuple):
    """A provider's price of a model, as another source states it."""

    provider: str
    input: int
    """Nano USD per 1M tokens, above zero, like the next."""
    output: int
    trusted_more: bool
    """The other source is, than the one that asks."""


Model: TypeAlias = tuple[str, str]
"""Canonical name and variant."""
Sellers: TypeAlias = Callable[[Iterable[Model], datetime], Mapping[Model, Sequence[Seller]]]
"""Models and an instant -> who sells each of them then."""


def nobody(_models: Iterable[Model], _at: datetime) -> Mapping[Model, Sequence[Seller]]:
    """Nobody is asked: what was found when prices were new is recorded."""
    return {}
