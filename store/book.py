"""Prices in memory, for whoever prices requests as they come: a look-up and a sum, about a microsecond.

A book holds what was in force at one instant, as known at another, and says so: prices that change later are in a later
book. It gives exactly what `cost` gives, and never a default: an unknown name, an offer that is not told apart from
another, a price that is not known are errors.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from store.costing import FEMTO_DIGITS, Unpriced, femto_text
from store.currency import Converter
from store.errors import NothingMatched, QueryError
from store.intervals import IntervalRow, current
from store.naming import near_names
from store.offers import Wanted, choose
from store.read import Reader
from store.ready import ReadyCard
from store.text import one_line


class BookedCost(NamedTuple):
    """What a request costs, and by which offer."""

    femto: int
    """In 1e-15 units of the currency in which the offer is quoted."""
    row: IntervalRow
    """The offer as it was when the book was made: its evidence, when it was last seen, what there is to doubt."""

    @property
    def currency(self) -> str:
        """ISO 4217 code."""
        return self.row.card.currency

    @property
    def amount(self) -> Decimal:
        """In currency units, exactly."""
        return Decimal(self.femto).scaleb(-FEMTO_DIGITS)

    @property
    def text(self) -> str:
        """The same as a plain decimal."""
        return femto_text(self.femto)


class PriceBook:
    """What was in force at an instant, in memory."""

    def __init__(
        self,
        reader: Reader,
        at: datetime,
        *,
        known: datetime | None = None,
        models: Collection[str] = (),
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Reads all it needs. `models` empty: of every model; `now` tells the hour for prices that depend on it.

        Raises: StoreError.
        """
        self.at = at
        """The instant of which its prices are. Prices by the hour are those of the instant of a request."""
        self.known = known
        self._now = now or (lambda: at)
        self._rows: dict[str, list[IntervalRow]] = {name: [] for name in models}
        for name in models or (None,):
            for row in current(reader, at, known=known, model=name):
                self._rows.setdefault(row.model, []).append(row)
        self._offers: dict[tuple[str, str, str], tuple[ReadyCard, IntervalRow]] = {}

    def cost(
        self,
        model: str,
        provider: str = "",
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cached_tokens: int = 0,
        more: tuple[tuple[str, int], ...] = (),
        requests: int = 1,
        variant: str = "",
        at: datetime | None = None,
    ) -> BookedCost:
        """What a request costs; the counts are those of `store.costing.Workload`.

        `model` and `provider` are canonical; without a provider, the model's own author. `at` is the instant of the
        request, for prices that depend on the hour (None: that of the clock, or of the book if it is of the past).
        Raises: NothingMatched for a name or an offer that the book does not have; QueryError where the price is not
        known; ValueError for counts that cannot be.
        """
        found = self._offers.get((model, provider, variant)) or self._find(model, provider, variant)
        ready, row = found
        when = at or (self._now() if ready.by_the_hour else self.at)
        femto = ready.femto(input_tokens, output_tokens, cached_tokens, more, requests, when)
        if isinstance(femto, Unpriced):
            raise QueryError(f"what that costs at {row.ref} is not known: {femto.reason}")
        return BookedCost(femto, row)

    def offer(self, model: str, provider: str = "", *, variant: str = "") -> IntervalRow:
        """The offer by which a request would be priced: see `cost`, which raises the same."""
        return (self._offers.get((model, provider, variant)) or self._find(model, provider, variant))[1]

    def age(self, model: str, provider: str = "", *, variant: str = "") -> timedelta:
        """How long before the book's instant the price was last seen to be so; `offer` says whether it is stale."""
        return self.at - self.offer(model, provider, variant=variant).last_seen

    def __len__(self) -> int:
        """Endpoints in the book, in all sources."""
        return sum(map(len, self._rows.values()))

    def _find(self, model: str, provider: str, variant: str) -> tuple[ReadyCard, IntervalRow]:
        rows = self._rows.get(model)
        if not rows:
            near = near_names(model, list(self._rows))
            hint = f"; near: {', '.join(near)}" if near else ""
            raise NothingMatched(f"no model {one_line(model, 80)!r} in this book{hint}")
        row = choose(rows, Wanted(model, provider, variant), self.at, Converter())
        if isinstance(row, Unpriced):
            raise NothingMatched(f"{model}: {row.reason}")
        found = self._offers[model, provider, variant] = (ReadyCard(row.card), row)
        return found
