"""What usage cost at the prices that were in force, row by row.

Which price: that of the provider and the endpoint which the row names; of the provider's plain offer, where it names no
endpoint, tier or region; of the model's own author, where it names no provider. A gateway's export is priced as the
gateway's own source states. Of several sources, the most trusted that was fresh then answers, as for `cost`. What
cannot be told from another offer at another price, what nobody knew a price of, and a row over which the price changed
are not priced, with the reason: never zero.
"""

from datetime import datetime
from typing import NamedTuple

from collector.identify import NONE_RECORDED, Recorded, read
from collector.usage import Invoiced, Name, Usage
from collector.usage_forms import Form
from store.costing import Unpriced
from store.currency import Conversion, Converter
from store.offers import Wanted
from store.stretches import Offer, Stretch, Stretches
from store.text import one_line
from store.variants import parts

_KEPT = 20_000
"""Names held in memory."""


class Line(NamedTuple):
    """A row of usage with its price."""

    usage: Usage
    wanted: Wanted
    stretch: Stretch
    offer: Offer
    femto: int
    """What it cost, in 1e-15 units of the bill's currency."""
    invoiced: Invoiced | None
    """What it is said to have cost, in the same currency."""


class Unbilled(NamedTuple):
    """A row that has no price, and why."""

    usage: Usage
    model: str
    """Canonical; empty: that is not known."""
    provider: str
    reason: str


class Biller:
    """Prices rows of usage."""

    def __init__(
        self,
        stretches: Stretches,
        into: Converter,
        form: Form,
        known: datetime,
        *,
        recorded: Recorded = NONE_RECORDED,
        source: str = "",
        provider: str = "",
    ) -> None:
        """`source` and `provider`: whose prices, and who sold it, where the file does not say."""
        self._stretches, self._into, self._form, self._known = stretches, into, form, known
        self._recorded = recorded
        self._source, self._provider = source or form.source, provider or form.provider
        self._wanted: dict[Name, Wanted | str] = {}

    def bill(self, usage: Usage) -> Line | Unbilled:
        """What a row cost, or why that is not known."""
        wanted = self._wanted.get(usage.name)
        if wanted is None:
            if len(self._wanted) >= _KEPT:
                self._wanted.clear()
            wanted = self._wanted[usage.name] = self._identified(usage.name)
        if isinstance(wanted, str):
            return Unbilled(usage, "", usage.name.provider, wanted)
        if usage.at > self._known:
            return Unbilled(usage, wanted.model, wanted.provider, "is later than anything that is known")
        stretch = self._stretches.at(wanted.model, usage.at)
        offer = stretch.chosen(wanted)
        if isinstance(offer, Unpriced):
            return Unbilled(usage, wanted.model, wanted.provider, offer.reason)
        found = self._line(usage, wanted, stretch, offer)
        if isinstance(found, Unpriced):
            return Unbilled(usage, wanted.model, offer.row.provider, found.reason)
        return found

    def _line(self, usage: Usage, wanted: Wanted, stretch: Stretch, offer: Offer) -> Line | Unpriced:
        if doubt := self.unsteady(usage, wanted, offer):
            return Unpriced(reason=doubt)
        femto = self.femto(offer, usage, cached=usage.cached_tokens)
        invoiced = None if usage.invoiced is None else self._converted(usage.invoiced, usage.at)
        if isinstance(femto, Unpriced):
            return femto
        return invoiced if isinstance(invoiced, Unpriced) else Line(usage, wanted, stretch, offer, femto, invoiced)

    def femto(
        self,
        offer: Offer,
        usage: Usage,
        *,
        cached: int,
        more: tuple[tuple[str, int], ...] | None = None,
        input_tokens: int | None = None,
    ) -> int | Unpriced:
        """What a row costs at an offer, with some of its counts replaced, in 1e-15 units of the bill's currency."""
        found = offer.ready.femto(
            usage.input_tokens if input_tokens is None else input_tokens,
            usage.output_tokens,
            cached,
            usage.more if more is None else more,
            usage.requests,
            usage.at,
            usage.input_tokens,
        )
        quoted = offer.row.card.currency
        if isinstance(found, Unpriced) or quoted == self._into.currency:
            return found
        by = self._into.conversion(quoted, usage.at)
        return by.amount(found) if isinstance(by, Conversion) else Unpriced(reason=str(by))

    def _converted(self, invoiced: Invoiced, at: datetime) -> Invoiced | Unpriced:
        if invoiced.currency == self._into.currency:
            return invoiced
        by = self._into.conversion(invoiced.currency, at)
        if not isinstance(by, Conversion):
            return Unpriced(reason=f"invoiced in {one_line(invoiced.currency, 20)}: {by.why}")
        return Invoiced(by.amount(invoiced.femto), by.amount(invoiced.slack) + 1, by.currency)

    def unsteady(self, usage: Usage, wanted: Wanted, offer: Offer) -> str:
        """Why a row that sums up several requests has no one price; empty if it has."""
        if usage.requests == 1 and usage.until is None:
            return ""
        if usage.until is not None:
            for stretch in self._stretches.during(wanted.model, usage.at, usage.until):
                other = stretch.chosen(wanted)
                if isinstance(other, Unpriced) or other.row.card != offer.row.card:
                    return "the price changed in the time that the row sums up"
        return offer.ready.unsure(usage.input_tokens, usage.requests, usage.at, usage.until)

    def _identified(self, name: Name) -> Wanted | str:
        """Which offer is meant by the names in a row, or why that is not certain."""
        form, provider = self._form, name.provider or self._provider
        # A gateway's own ids of models need not be those of its list of models.
        reading = read("", provider, name.model, quantization=name.quantization or None, recorded=self._recorded)
        if reading.confidence == "unsure":
            return f"name of the model not certain: {reading.why}"
        model, variant = reading.identity.model, reading.identity.variant
        extra = [part.strip().lower() for part in (name.tier, name.region) if part]
        return Wanted(
            model=model,
            provider=read(form.names_of, provider, name.model).identity.provider if provider else "",
            variant="/".join(sorted({*parts(variant), *extra})),
            endpoint=name.endpoint,
            source=self._source,
            published=name.model,
        )
