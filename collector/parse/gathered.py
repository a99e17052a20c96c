"""Offers of which every meter is a record of its own, as the price lists of clouds have them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from collector.contract import Price, Quote
from collector.parse.amounts import read_amount
from collector.parse.catalogue import named
from collector.parse.doubt import Doubt


@dataclass(slots=True)
class _Offer:
    locator: str
    prices: dict[str, Price] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)


class Gathered:
    """Meters put together to offers, by model and tag; nearness never counts."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._offers: dict[tuple[str, str], _Offer] = {}

    def put(self, model: str, tag: str, meter: str, price: Price, locator: str) -> None:
        """Add one record; a second one that says another price of the same meter is a doubt about the offer."""
        offer = self._offers.setdefault((model, tag), _Offer(locator))
        known = offer.prices.setdefault(meter, price)
        if (known.unit, read_amount(known.text)) != (price.unit, read_amount(price.text)):
            offer.doubts.append(
                Doubt(
                    "contradiction",
                    f"{meter} is {known.text} {known.unit} and, at {locator}, {price.text} {price.unit}",
                )
            )

    def doubt(self, model: str, tag: str, doubt: Doubt, locator: str) -> None:
        """Add a record that is not understood."""
        self._offers.setdefault((model, tag), _Offer(locator)).doubts.append(doubt)

    def quotes(self) -> Iterator[Quote]:
        """One quote per offer, located at the first of its records."""
        for (published, tag), offer in self._offers.items():
            model = named(published, "a model", offer.doubts)
            if not model:
                continue
            yield Quote(
                provider=self._provider,
                model=model,
                tag=named(tag, "a tag", offer.doubts) if tag else "",
                prices=offer.prices,
                locator=offer.locator,
                findings=tuple(doubt.finding(offer.locator) for doubt in offer.doubts),
            )
