"""From one currency to another, by named and dated rates: pure and exact, rounded once, and never without a rate.

A published rate says what one euro costs in a currency on a day; a fixed one, of the configuration, what one unit of a
currency is worth in USD from a day on, and goes before any that is published. So each currency hangs by one rate on
another, and two are converted over the first that they have in common: CNY and USD over EUR, or, where CNY is fixed,
without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from store.records import RateCard

USD, EUR = "USD", "EUR"
MAX_AGE_DAYS = 7
"""Reference rates are published on working days, with five days between two of them at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one unit of a currency costs in another, as somebody says for a day."""

    base: str
    currency: str
    text: str
    """Units of `currency` for one of `base`, as published."""
    day: date
    source: str
    """The id of a source, or what the configuration names."""
    document: str = ""
    """SHA-256 of the document that says so, hex; empty for a fixed rate."""

    @property
    def value(self) -> Fraction:
        """`text`, exactly."""
        return Fraction(Decimal(self.text))

    def __str__(self) -> str:
        return f"1 {self.base} = {self.text} {self.currency} ({self.source}, {self.day})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyPolicy:
    """Which rates may be used."""

    max_age_days: int = MAX_AGE_DAYS
    """A published rate of an earlier day than that, before the day asked about, is none."""
    fixed: Mapping[str, Rate] = field(default_factory=lambda: MappingProxyType({}))
    """Currency -> its worth in USD from a day on, for as long as it stands in the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How amounts of one currency become amounts of another."""

    quoted: str
    currency: str
    factor: Fraction
    rates: tuple[Rate, ...]

    def amount(self, amount: int) -> int:
        """An amount, rounded once, half to even. What is charged at all never becomes free of charge."""
        return round(amount * self.factor) or (1 if amount else 0)

    def card(self, card: RateCard) -> RateCard:
        """A rate card with all its amounts converted."""
        return replace(
            card,
            currency=self.currency,
            amounts=self._amounts(card.amounts),
            overrides=tuple(replace(one, amounts=self._amounts(one.amounts)) for one in card.overrides),
        )

    def _amounts(self, amounts: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        return tuple((meter, self.amount(amount)) for meter, amount in amounts)

    def __str__(self) -> str:
        return f"{self.quoted} in {self.currency} by {' and '.join(map(str, self.rates))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconverted:
    """There is no rate to be used: amounts stay as they are quoted."""

    quoted: str
    why: str

    def __str__(self) -> str:
        return f"quoted in {self.quoted}: {self.why}"


Published = Callable[[str, date], Rate | None]
"""What one euro costs in a currency: the rate of the latest day that is not after a given one."""


def no_rates(_currency: str, _day: date) -> None:
    """Nobody publishes any."""


class Converter:
    """Converts into one currency, by the rates of the day of each instant."""

    def __init__(
        self,
        currency: str = USD,
        policy: Callable[[], CurrencyPolicy | None] = lambda: None,
        published: Published = no_rates,
    ) -> None:
        """`policy` is asked once, where a rate is needed: to read a configuration takes longer than most answers."""
        self.currency = currency
        self._ask = policy
        self._policy: CurrencyPolicy | None = None
        self._published = published
        self._known: dict[tuple[str, date], Conversion | Unconverted] = {}

    def conversion(self, quoted: str, at: datetime) -> Conversion | Unconverted:
        """From the currency in which a price is quoted, by the rates of the (UTC) day of an instant."""
        day = at.date()
        found = self._known.get((quoted, day))
        if found is None:
            found = self._known[quoted, day] = self._find(quoted, day)
        return found

    def used(self) -> list["Conversion | Unconverted"]:
        """What was converted and how, and what was not, and why."""
        return [found for found in self._known.values() if found.quoted != self.currency]

    def _find(self, quoted: str, day: date) -> Conversion | Unconverted:
        if quoted == self.currency:
            return Conversion(quoted=quoted, currency=quoted, factor=Fraction(1), rates=())
        (there, lacking), (back, also) = self._ways(quoted, day), self._ways(self.currency, day)
        meeting = next((name for name in there if name in back), None)
        if meeting is None:
            return Unconverted(quoted=quoted, why=lacking or also)
        (out, by), (home, over) = there[meeting], back[meeting]
        return Conversion(quoted=quoted, currency=self.currency, factor=out / home, rates=(*by, *over[::-1]))

    def _ways(self, currency: str, day: date) -> tuple[dict[str, tuple[Fraction, tuple[Rate, ...]]], str]:
        """What a unit of a currency is worth in each of those that it hangs on, and what ended that."""
        ways: dict[str, tuple[Fraction, tuple[Rate, ...]]] = {currency: (Fraction(1), ())}
        here = currency
        while True:
            rate = self._rate(here, day)
            if rate is None or isinstance(rate, str):
                return ways, rate or ""
            worth, by = ways[here]
            worth, here = (worth * rate.value, rate.currency) if rate.base == here else (worth / rate.value, rate.base)
            ways[here] = (worth, (*by, rate))

    def _rate(self, currency: str, day: date) -> Rate | str | None:
        """The rate by which a currency hangs on another; None for the last one, a text where there should be one."""
        policy = self._policy = self._policy or self._ask() or CurrencyPolicy()
        fixed = {name: rate for name, rate in policy.fixed.items() if rate.day <= day}
        if currency in fixed:
            return fixed[currency]
        if currency == (USD if EUR in fixed else EUR):
            return None
        rate = self._published(currency, day)
        if rate is None:
            return f"no rate for {currency}"
        if (day - rate.day).days > policy.max_age_days:
            return f"the rate for {currency} is of {rate.day}"
        return rate
