"""The Python API: every question that can be asked, each a method with its types.

Instants are aware `datetime`s in UTC. Of the two clocks, `at` is when it was true and `known_at` when it was known:
both are now unless named, and nothing is known of what is yet to come. Amounts are integers of 1e-9 currency units per
1M tokens, or per single other thing (`store.units`); costs are integers of 1e-15 currency units, and their `text` is a
plain decimal. Every method raises `store.errors.StoreError`: `NothingMatched` for a name that the store does not have.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from store.constraints import Constraints
from store.costing import Workload
from store.currency import USD, CurrencyPolicy
from store.instants import both_clocks, utc_now
from store.naming import find_model
from store.read import Reader
from store.read import open_store as open_reader
from store.records import require_utc
from store.traffic import Traffic

if TYPE_CHECKING:
    from store.book import PriceBook
    from store.calendar import Calendar
    from store.catalogue import HeldRow, ModelRow, SourceRow
    from store.changes import ChangeRow
    from store.choice import Choice
    from store.compare import Property, Subject
    from store.conflicts import Conflict
    from store.currency import Rate
    from store.evidence import Evidence
    from store.facts import FactRow
    from store.intervals import IntervalRow
    from store.priced import Priced

ANYTHING = Constraints()
BALANCED = Workload(input_tokens=3000, output_tokens=1000)


@contextmanager
def open_store(
    url: str = "tokentape.db",
    *,
    archive: str | Path | None = None,
    currencies: CurrencyPolicy | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Iterator["Tape"]:
    """A tape opened for reading: `sqlite:///PATH`, a path, or `postgresql://...`.

    All that is asked of it belongs to one moment of the store, whatever is collected meanwhile: open it anew for what
    came later. `archive` is the folder of documents, where it is not beside the store; `currencies` says which exchange
    rates may be used beside those on the tape; `now` is the clock.
    Raises: StoreMissing, StoreForeign, StoreBusy, StoreError.
    """
    with open_reader(url) as reader:
        yield Tape(reader, None if archive is None else Path(archive), currencies, now)


class Tape:
    """A store, open for reading. Answers that may be long are iterators, to be read while it is open."""

    def __init__(
        self, reader: Reader, archive: Path | None, currencies: CurrencyPolicy | None, now: Callable[[], datetime]
    ) -> None:
        self.reader = reader
        """What the functions of `store.query` take."""
        self._archive, self._currencies, self._now = archive, currencies, now

    def models(
        self, query: str = "", *, at: datetime | None = None, known_at: datetime | None = None
    ) -> "list[ModelRow]":
        """The models on offer with a text in their id: how many endpoints each has, and the lowest prices."""
        from store.catalogue import models

        at, known = self._instants(at, known_at)
        return models(self.reader, query, at, known=known)

    def endpoints(
        self,
        model: str,
        *,
        at: datetime | None = None,
        known_at: datetime | None = None,
        provider: str | None = None,
        source: str | None = None,
    ) -> "list[IntervalRow]":
        """Every endpoint of a model with a price in force, in every source, with those that state another price."""
        from store.disputes import in_force

        at, known = self._instants(at, known_at)
        name = find_model(self.reader, model)
        return list(in_force(self.reader, at, known=known, model=name, provider=provider, source=source))

    def history(
        self,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        known_at: datetime | None = None,
        provider: str | None = None,
        source: str | None = None,
        stated: bool = False,
        superseded: bool = False,
    ) -> "Iterator[IntervalRow]":
        """The intervals of a model that have any time in [since, until), by endpoint and time.

        With `stated`, the prices that sources date themselves too; with `superseded`, what was believed once.
        """
        from store.intervals import history

        at, known = self._instants(None, known_at)
        return history(
            self.reader,
            find_model(self.reader, model),
            at,
            known=known,
            since=since,
            until=until,
            provider=provider,
            source=source,
            stated=stated,
            superseded=superseded,
        )

    def changes(
        self,
        since: datetime,
        *,
        until: datetime | None = None,
        known_at: datetime | None = None,
        model: str | None = None,
        provider: str | None = None,
        source: str | None = None,
        prices_only: bool = False,
    ) -> "Iterator[ChangeRow]":
        """What moved, by how much and where it was seen: a row for each meter or fact, oldest first."""
        from store.changes import changes

        return iter(
            changes(
                self.reader,
                known=self._instants(None, known_at)[1],
                since=since,
                until=until,
                model=None if model is None else find_model(self.reader, model),
                provider=provider,
                source=source,
                prices_only=prices_only,
            )
        )

    def cheapest(
        self,
        *models: str,
        traffic: Traffic | Workload,
        constraints: Constraints = ANYTHING,
        currency: str = USD,
        sent_to: str | None = None,
        top: int | None = None,
        at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> "Choice":
        """Where traffic is cheapest: its routes, cheapest first, and what is left out with the reason.

        Without models, any that fits; `sent_to` is where it goes now, and each route says what it saves.
        """
        from store.choice import choose
        from store.rates import converter

        at, known = self._instants(at, known_at)
        into = converter(self.reader, currency, self._policy, known)
        wanted = traffic if isinstance(traffic, Traffic) else Traffic(loads=(traffic,))
        return choose(self.reader, models, wanted, constraints, at, into, known=known, sent_to=sent_to, top=top)

    def cost(
        self,
        model: str,
        workload: Workload,
        *,
        provider: str = "",
        variant: str = "",
        endpoint: str = "",
        source: str = "",
        currency: str = USD,
        at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> "Priced":
        """What a workload costs at one offer, meter by meter, with the offer and its evidence.

        Without a provider, at the model's own author; without a variant or an endpoint, the plain offer.
        Raises: NothingMatched if there is no such offer; QueryError if its price is not known.
        """
        from store.offers import Wanted
        from store.priced import priced
        from store.rates import converter

        at, known = self._instants(at, known_at)
        wanted = Wanted(find_model(self.reader, model), provider, variant, endpoint, source)
        into = converter(self.reader, currency, self._policy, known)
        return priced(self.reader, wanted, workload, at, into, known=known)

    def price_book(
        self, *, at: datetime | None = None, known_at: datetime | None = None, models: Collection[str] = ()
    ) -> "PriceBook":
        """Prices in memory, of all models or of some, to price requests as they come; it outlives the tape.

        Without `at`, prices that depend on the hour are those of the clock.
        """
        from store.book import PriceBook

        instant, known = self._instants(at, known_at)
        names = [find_model(self.reader, name) for name in models]
        live = at is None and known_at is None
        return PriceBook(self.reader, instant, known=known, models=names, now=self._now if live else None)

    def explain(self, ref: str, *, at: datetime | None = None, known_at: datetime | None = None) -> "list[Evidence]":
        """The evidence for a price (a row's `ref`): source, URL, instant, SHA-256, and the record as published."""
        from store.evidence import explain

        at, known = self._instants(at, known_at)
        return explain(self.reader, ref, at, known=known, archive=self._archive)

    def calendar(
        self,
        ref: str,
        *,
        prompt_tokens: int = 0,
        tz: str = "UTC",
        at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> "list[Calendar]":
        """What an endpoint (a row's `ref`) charges at each hour of a week, and when that changes next."""
        from store.calendar import calendar

        at, known = self._instants(at, known_at)
        return calendar(self.reader, ref, at, known=known, prompt_tokens=prompt_tokens, tz=tz)

    def subject(
        self, model: str, *, currency: str = USD, at: datetime | None = None, known_at: datetime | None = None
    ) -> "Subject":
        """A model with all that is in force and said of it: what `store.compare` and `store.breakeven` work on."""
        from store.compare import subject
        from store.rates import converter

        at, known = self._instants(at, known_at)
        into = converter(self.reader, currency, self._policy, known)
        return subject(self.reader, find_model(self.reader, model), at, known=known, into=into)

    def compare(
        self,
        *models: str,
        month: Workload = BALANCED,
        tokens_a_day: Sequence[int] = (1_000_000, 10_000_000),
        currency: str = USD,
        at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> "list[Property]":
        """All that is known of models side by side, and how they stand to each other.

        `month` is the request of which as many are made in each of 30 days as take `tokens_a_day`.
        """
        from store.compare import compare

        subjects = [self.subject(model, currency=currency, at=at, known_at=known_at) for model in models]
        return compare(subjects, month, tokens_a_day)

    def conflicts(
        self,
        model: str | None = None,
        *,
        at: datetime | None = None,
        known_at: datetime | None = None,
        provider: str | None = None,
    ) -> "Iterator[Conflict]":
        """Where two sources state different things of one offer: of a model, or of all."""
        from store.disputes import contradictions

        at, known = self._instants(at, known_at)
        return contradictions(self.reader, at, known=known, model=model, provider=provider)

    def facts(
        self,
        model: str,
        *,
        at: datetime | None = None,
        known_at: datetime | None = None,
        provider: str | None = None,
        source: str | None = None,
    ) -> "list[FactRow]":
        """What is said of a model beside its prices: by whom, since when, and whether others say otherwise."""
        from store.facts import facts

        at, known = self._instants(at, known_at)
        name = find_model(self.reader, model)
        return list(facts(self.reader, name, at, known=known, provider=provider, source=source))

    def held(self, *, known_at: datetime | None = None, source: str | None = None) -> "list[HeldRow]":
        """What is kept out of the tape because it is not believed, and why."""
        from store.catalogue import held

        return list(held(self.reader, known=self._instants(None, known_at)[1], source=source))

    def sources(self) -> "list[SourceRow]":
        """How each source of the store fares: last success, endpoints, changes, failures."""
        from store.catalogue import sources

        return list(sources(self.reader, self._now()))

    def rates(self, *, at: datetime | None = None, known_at: datetime | None = None) -> "list[Rate]":
        """What one euro costs in each currency, by the rate of the latest day up to that of an instant."""
        from store.rates import rates

        at, known = self._instants(at, known_at)
        return list(rates(self.reader, at, known=known))

    def _instants(self, at: datetime | None, known_at: datetime | None) -> tuple[datetime, datetime]:
        for one in (at, known_at):
            if one is not None:
                require_utc(one)
        return both_clocks(at, known_at, self._now())

    def _policy(self) -> CurrencyPolicy | None:
        return self._currencies
