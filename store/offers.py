"""Which offer a request was priced at, from what is told of it: pure, and never a guess.

Asked for are provider and model, perhaps a variant (`batch`, `us-east-1`), an endpoint or a source. Where no variant is
named, the plain offer is meant: no other tier. What is not told must not matter: of a quantization or a region that
nobody named, offers count as one only as long as all of them have the same prices.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from store.costing import Unpriced
from store.currency import Converter
from store.intervals import IntervalRow
from store.routing import believed
from store.shops import shops
from store.text import one_line
from store.variants import QUANTIZATION, REGION, parts

_TOLD = 6
"""Names told in a reason."""


class Wanted(NamedTuple):
    """An offer, as far as it is told which."""

    model: str
    """Canonical, as is the provider."""
    provider: str = ""
    """Empty: the model's own author, as its own shop."""
    variant: str = ""
    """Empty: the plain one."""
    endpoint: str = ""
    """The name of one endpoint, or its tag."""
    source: str = ""
    """Whose prices, where it states any for this provider; empty: those of the most trusted one."""
    published: str = ""
    """What whoever tells of the request calls the model: of two offers, that of this name is meant."""


def choose(rows: Sequence[IntervalRow], wanted: Wanted, at: datetime, into: Converter) -> IntervalRow | Unpriced:
    """The offer that is meant, of those in force at an instant; or why that cannot be told.

    Of several sources that state it, the most trusted one that is fresh (`store.routing.believed`).
    """
    there = sorted({row.provider for row in rows})
    if not there:
        return Unpriced(reason=f"no offer of {one_line(wanted.model, 120)} is known then")
    own = (wanted.provider,) if wanted.provider else shops(wanted.model.partition("/")[0])
    seller = next((name for name in own if name in there), None)
    if seller is None:
        what = f"no offer of {one_line(wanted.provider, 60)}" if wanted.provider else "no offer of its own author"
        return Unpriced(reason=f"{what} is known then: name one of {_some(there)}")
    offers = [row for row in rows if row.provider == seller]
    if wanted.source:
        offers = [row for row in offers if row.source == wanted.source] or offers
    meant = _named(offers, wanted.endpoint) if wanted.endpoint else _variants(offers, wanted.variant)
    if not meant:
        what = one_line(wanted.endpoint or wanted.variant or "plain", 60)
        return Unpriced(reason=f"no {what} offer of {seller} is known then: there is {_names(offers)}")
    return _one(believed(meant, at, into), wanted)


def _named(offers: Sequence[IntervalRow], endpoint: str) -> list[IntervalRow]:
    """Those of that name, or else of that tag."""
    exact = [row for row in offers if row.endpoint == endpoint]
    return exact or [row for row in offers if row.endpoint.partition("@")[2].partition("#")[0] == endpoint]


def _variants(offers: Sequence[IntervalRow], variant: str) -> list[IntervalRow]:
    """Those of a variant, whatever their quantization where it names none; or else whatever their region too."""
    wanted = parts(variant)
    named = any(map(QUANTIZATION.fullmatch, wanted))
    of_variant, elsewhere = [], []
    for row in offers:
        more = [part for part in parts(row.variant) - wanted if named or not QUANTIZATION.fullmatch(part)]
        if wanted <= parts(row.variant) and not more:
            of_variant.append(row)
        elif wanted <= parts(row.variant) and all(map(REGION.fullmatch, more)):
            elsewhere.append(row)
    return of_variant or elsewhere


def _one(offers: Sequence[IntervalRow], wanted: Wanted) -> IntervalRow | Unpriced:
    """The one of them that is meant, or any where all have the same prices."""
    exact = [row for row in offers if parts(row.variant) == parts(wanted.variant)] or offers
    seen = [row for row in exact if row.unseen_since is None] or exact
    called = [row for row in seen if wanted.published and _is_called(row.endpoint, wanted.published)] or seen
    if len({row.card for row in called}) > 1:
        return Unpriced(reason=f"{len(called)} offers of {called[0].provider} at different prices: {_names(called)}")
    return min(called, key=lambda row: row.endpoint)


def _is_called(endpoint: str, published: str) -> bool:
    return endpoint == published or endpoint.startswith((f"{published}@", f"{published}#"))


def _names(offers: Sequence[IntervalRow]) -> str:
    return _some(sorted({f"{row.endpoint} ({row.variant or 'plain'})" for row in offers}))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return one_line(", ".join(names[:_TOLD]) + more, 400)
