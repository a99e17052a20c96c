"""A chained index of prices: how far the prices of a basket moved, from period to period, 100 at its beginning.

Each link holds the same offers against themselves: those that had a price at both ends of a period. What comes or goes
never moves the index. Without volumes every model counts alike, in it every provider, and in that every distinct move,
so that an offer told twice counts once; the link is their geometric mean (Jevons). With volumes it is what the same
tokens cost at both ends: the geometric mean of what those of the beginning and those of the end come to (Fisher), which
are one and the same where volumes do not change (Laspeyres).

Prices are those outside all conditions. Ratios and sums are exact; roots and logarithms have `DIGITS` digits.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import groupby
from math import lcm
from operator import attrgetter, itemgetter
from typing import NamedTuple

from store.belief import Coverage, at_end, believed
from store.blend import BLEND, Volume
from store.currency import Conversion, Converter
from store.evidence import named
from store.instants import from_millis
from store.intervals import IntervalRow, history
from store.naming import find_model
from store.periods import Period
from store.read import Reader
from store.weights import Weights

DIGITS = 50
PLACES = Decimal("0.000001")
"""To which an index is told."""

_SEEN = f"""
SELECT e.id, e.source_id, e.part, u.since, u.last_seen, {at_end("u", "until").replace("u.end_known", "u.until_known")}
FROM model m
JOIN endpoint e ON e.model_id = m.id
LEFT JOIN gap u ON u.endpoint_id = e.id AND {believed("u")}
WHERE m.name = :model
ORDER BY e.id, u.since
"""  # noqa: S608 - put together from constants only


class Offer(NamedTuple):
    """An endpoint over time."""

    rows: tuple[IntervalRow, ...]
    """What it charged, by time; at least one."""
    seen: tuple[datetime | None, ...]
    """At each end of a period, the last poll so far that showed it or would have."""

    def at(self, instant: datetime) -> IntervalRow | None:
        """What was in force."""
        place = bisect_right(self.rows, instant, key=attrgetter("first_seen"))
        row = self.rows[place - 1] if place else None
        return row if row is not None and (row.ended is None or row.ended > instant) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How high prices stood at the end of a period."""

    period: Period
    index: Decimal | None
    """None: nothing of the basket was there at both ends and polled in between."""
    link: Decimal | None
    """What the period multiplied it by."""
    matched: int = 0
    """Endpoints that the link is made of."""
    models: int = 0
    """Of so many models."""
    entered: int = 0
    """Endpoints with a price at the end alone."""
    left: int = 0
    """Endpoints with a price at the beginning alone."""
    stale: int = 0
    """Of `matched`, those that no poll saw in the period: their last known price is taken to last."""
    free: int = 0
    """Endpoints that were free at either end: of them there is no ratio, while they count with volumes."""
    unconverted: int = 0
    """Endpoints left out because there is no rate for their currency."""


class _Pair(NamedTuple):
    """An endpoint at both ends of a period."""

    offer: Offer
    old: IntervalRow | None
    new: IntervalRow | None
    stale: bool


@dataclass(slots=True)
class _Link:
    """A period, added up over models."""

    ratios: dict[Fraction, Fraction] = field(default_factory=dict)
    """What a price was multiplied by -> in how many models, or which share of one."""
    sums: list[Fraction] = field(default_factory=lambda: [Fraction(0)] * 4)
    """What the old volumes cost before and after, and the new ones likewise."""
    matched: int = 0
    models: int = 0
    entered: int = 0
    left: int = 0
    stale: int = 0
    free: int = 0

    unconverted: int = 0

    def count(self, pair: _Pair) -> None:
        """An endpoint that is held against itself."""
        self.matched += 1
        self.stale += pair.stale

    def count_alone(self, old: object | None, new: object | None) -> None:
        """An endpoint with a price at one end, or at none."""
        self.entered += old is None and new is not None
        self.left += old is not None and new is None

    def add(self, pair: _Pair, volumes: tuple[Volume, Volume], period: Period, into: Converter) -> None:
        """What volumes cost there before and after."""
        costs = [
            (_cost(row, volume) or 0) * (_rate(row, period, into) or 0)
            for volume in volumes
            for row in (pair.old, pair.new)
        ]
        self.sums = [total + cost for total, cost in zip(self.sums, costs, strict=True)]

    def factor(self) -> Decimal | None:
        """The link: a geometric mean of ratios, or of sums; None without any."""
        old, new = self.sums[::2], self.sums[1::2]
        if all(old):
            laspeyres, paasche = (_decimal(after / before) for before, after in zip(old, new, strict=True))
            return laspeyres if laspeyres == paasche else (laspeyres * paasche).sqrt()
        if not self.ratios:
            return None
        logarithm = sum(
            _decimal(share / self.models) * _decimal(one).ln() for one, share in sorted(self.ratios.items())
        )
        return Decimal(logarithm).exp()


def chain(
    models: Iterable[tuple[str, Sequence[Offer]]],
    periods: Sequence[Period],
    *,
    mixture: Volume = BLEND,
    weights: Weights | None = None,
    into: Converter | None = None,
) -> list[Level]:
    """The index over periods that follow one another, of the endpoints of models.

    Of each provider and model, a link takes the endpoints of one source: of those with something to match, the one that
    was polled, is trusted most, and comes first by name. With weights, an endpoint that they name counts by itself;
    amounts in another currency than that of `into` are converted by the rates of the period's beginning at both ends.
    """
    links = [_Link() for _ in periods]
    for model, offers in models:
        costs = _Costs(mixture)
        for place, (period, link) in enumerate(zip(periods, links, strict=True)):
            pairs = [
                _Pair(
                    offer, offer.at(period.since), offer.at(period.until), not _is_within(offer.seen[place + 1], period)
                )
                for offer in offers
            ]
            if weights is None:
                _add_ratios(link, _of_one_source(pairs, costs), costs)
            else:
                _add_costs(link, pairs, model, period, weights, into or Converter())
    return list(_levels(periods, links))


def _is_within(seen: datetime | None, period: Period) -> bool:
    return seen is not None and seen > period.since


def _levels(periods: Sequence[Period], links: Sequence[_Link]) -> Iterator[Level]:
    level = Decimal(100)
    begun = False
    with localcontext(prec=DIGITS):
        for period, link in zip(periods, links, strict=True):
            factor = link.factor()
            begun = begun or factor is not None
            if not begun:
                continue
            level *= 1 if factor is None else factor
            told = factor is not None and link.matched > link.stale
            yield Level(
                period=period,
                index=level if told else None,
                link=factor if told else None,
                matched=link.matched,
                models=link.models,
                entered=link.entered,
                left=link.left,
                stale=link.stale,
                free=link.free,
                unconverted=link.unconverted,
            )


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


class _Costs:
    """What a volume costs by the cards of a model, in whole numbers: of use for ratios alone."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume.times(lcm(volume.input.denominator, volume.output.denominator))
        self._known: dict[int, int | None] = {}

    def of(self, row: IntervalRow | None) -> int | None:
        """None: there is no offer, or its price is not known."""
        if row is None:
            return None
        key = id(row.card)  # the rows of a model outlive this, and their cards are shared
        if key not in self._known:
            found = self._volume.cost(row.card)
            self._known[key] = None if found is None else int(found)
        return self._known[key]


def _of_one_source(pairs: Iterable[_Pair], costs: _Costs) -> list[list[_Pair]]:
    """For each provider the endpoints of one source."""
    offered: dict[str, dict[str, list[_Pair]]] = {}
    for pair in pairs:
        row = pair.offer.rows[0]
        offered.setdefault(row.provider, {}).setdefault(row.source, []).append(pair)

    def doubt(told: Sequence[_Pair]) -> tuple[bool, bool, int, str]:
        matched = [one for one in told if None not in (costs.of(one.old), costs.of(one.new))]
        first = told[0].offer.rows[0]
        return not matched, all(one.stale for one in matched), first.trust, first.source

    return [min(by_source.values(), key=doubt) for by_source in offered.values()]


def _cost(row: IntervalRow | None, volume: Volume) -> Fraction | None:
    return None if row is None else volume.cost(row.card)


def _rate(row: IntervalRow | None, period: Period, into: Converter) -> Fraction | None:
    """What an amount is multiplied by; None: there is no rate."""
    found = None if row is None else into.conversion(row.card.currency, period.since)
    return found.factor if isinstance(found, Conversion) else None


def _add_ratios(link: _Link, by_provider: Iterable[Iterable[_Pair]], costs: _Costs) -> None:
    """Add what the prices of a model were multiplied by."""
    moved: list[set[tuple[str, int, int]]] = []
    for pairs in by_provider:
        moves = set()
        for pair in pairs:
            old, new = costs.of(pair.old), costs.of(pair.new)
            if pair.old is None or pair.new is None or old is None or new is None:
                link.count_alone(old, new)
            elif pair.old.card.currency != pair.new.card.currency:
                link.count_alone(old, None)
                link.count_alone(None, new)
            elif not old or not new:
                link.free += 1
            else:
                link.count(pair)
                moves.add((pair.old.card.currency, old, new))
        if moves:
            moved.append(moves)
    link.models += bool(moved)
    for moves in moved:
        for ratio, times in Counter(Fraction(new, old) for _, old, new in moves).items():
            share = Fraction(times, len(moved) * len(moves))
            link.ratios[ratio] = link.ratios.get(ratio, Fraction(0)) + share


def _add_costs(
    link: _Link, pairs: Sequence[_Pair], model: str, period: Period, weights: Weights, into: Converter
) -> None:
    """Add what the volumes of a model and its endpoints cost."""
    matched = link.matched
    rest: list[_Pair] = []
    for pair in pairs:
        course = weights.endpoints.get(pair.offer.rows[0].ref)
        if course is None:
            rest.append(pair)
        elif _is_matched(link, pair, (volumes := course.over(period)), period, into):
            link.add(pair, volumes, period, into)
    if model in weights.models:
        volumes = weights.models[model].over(period)
        shared: list[dict[tuple[object, ...], _Pair]] = []
        for offered in _of_one_source(rest, _Costs(volumes[0].plus(volumes[1]))):
            found = [pair for pair in offered if _is_matched(link, pair, volumes, period, into)]
            if found:
                shared.append({_prices(pair): pair for pair in found})
        for alike in shared:
            share = Fraction(1, len(shared) * len(alike))
            for pair in alike.values():
                link.add(pair, (volumes[0].times(share), volumes[1].times(share)), period, into)
    link.models += link.matched > matched


def _prices(pair: _Pair) -> tuple[object, ...]:
    return tuple(
        (row.card.currency, row.card.amount("input"), row.card.amount("output"))
        for row in (pair.old, pair.new)
        if row is not None
    )


def _is_matched(link: _Link, pair: _Pair, volumes: tuple[Volume, Volume], period: Period, into: Converter) -> bool:
    """Whether an endpoint can be held against itself, counted either way."""
    tokens = volumes[0].plus(volumes[1])
    if not any(tokens):
        return False
    old, new = _cost(pair.old, tokens), _cost(pair.new, tokens)
    if pair.old is None or pair.new is None or old is None or new is None:
        link.count_alone(old, new)
        return False
    if _rate(pair.old, period, into) is None or _rate(pair.new, period, into) is None:
        link.unconverted += 1
        return False
    link.count(pair)
    link.free += not old or not new
    return True


def index(
    reader: Reader,
    periods: Sequence[Period],
    *,
    known: datetime,
    models: Sequence[str] = (),
    mixture: Volume = BLEND,
    weights: Weights | None = None,
    into: Converter | None = None,
) -> list[Level]:
    """The index over periods that follow one another, as known at an instant: see `chain`.

    Of models, by any of their names; without any and without weights, of all.
    Raises: NothingMatched, QueryError if a model or an endpoint is not one.
    """
    basket = [find_model(reader, name) for name in models]
    if weights is not None:
        weights = weights.renamed(lambda name: find_model(reader, name))
        basket += weights.models
        for ref in weights.endpoints:
            basket += [row.model for row in named(reader, ref, periods[-1].until, known=known)]
    ends = [periods[0].since, *(period.until for period in periods)]
    covered = [Coverage(reader, end, known) for end in ends]
    return chain(_offers(reader, basket, ends, covered), periods, mixture=mixture, weights=weights, into=into)


def _offers(
    reader: Reader, basket: Sequence[str], ends: Sequence[datetime], covered: Sequence[Coverage]
) -> Iterator[tuple[str, list[Offer]]]:
    """The endpoints of each model, with what polls saw of them at each end."""
    whole = covered[-1]
    for name in sorted(set(basket)) or (None,):
        rows = history(
            reader,
            name,
            ends[-1],
            known=from_millis(whole.known_millis),
            since=ends[0],
            until=ends[-1] + timedelta(milliseconds=1),
        )
        for model, found in groupby(rows, key=attrgetter("model")):
            seen = _seen(reader, model, covered)
            yield model, [Offer(tuple(told), seen[key]) for key, told in groupby(found, key=attrgetter("endpoint_id"))]


def _seen(reader: Reader, model: str, covered: Sequence[Coverage]) -> dict[int, tuple[datetime | None, ...]]:
    """Of each endpoint of a model, the last poll up to each end that showed it or would have."""
    found: dict[int, tuple[datetime | None, ...]] = {}
    values = covered[-1].values | {"model": model}
    for endpoint_id, gaps in groupby(reader.rows(_SEEN, values), key=itemgetter(0)):
        missed = list(gaps)
        _, source_id, part, *_ = missed[0]
        polled = [coverage.last(source_id, part) for coverage in covered]
        for *_, since, last_seen, until in missed:
            if since is not None:
                polled = [
                    last_seen
                    if since <= coverage.seen_millis and (until is None or until > coverage.seen_millis)
                    else at
                    for at, coverage in zip(polled, covered, strict=True)
                ]
        found[endpoint_id] = tuple(None if at is None else from_millis(at) for at in polled)
    return found
