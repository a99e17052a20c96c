"""The page of one model: its endpoints, where its price stands, how it moved, and what else its author makes.

Words used here: a *blend* is what 1M tokens cost of which 75 % are prompt (`compare.WORKLOADS["balanced"]`). A
*percentile* is the share of the others that are cheaper: 0 is the cheapest. A *move* is one of `store.volatility`, of
the blend.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, groupby
from operator import itemgetter
from typing import NamedTuple

from store.belief import Coverage, believed, lasted, newest
from store.blend import BLEND
from store.compare import WORKLOADS, Property, Subject, cost_of, place, properties
from store.constraints import DEFERRED
from store.currency import USD
from store.disputes import in_force
from store.facts import Measured, measures
from store.intervals import IntervalRow, history, prices_only
from store.naming import CURRENCIES, literally
from store.read import Reader, Value
from store.records import Facts
from store.routing import Constraints, Cost, Unpriced, cost, rank
from store.units import NANO, decimal_text, hundredths
from store.volatility import Volatility, together, volatilities

BALANCED = WORKLOADS["balanced"]
WINDOWS_DAYS = (30, 90)
SERIES_DAYS, SERIES_STEP_DAYS = 90, 6
_OF_SIBLINGS = ("release_date", "context_length", "input_modalities", "output_modalities", "status")

# CROSS JOIN keeps SQLite from going through all endpoints, or the whole history, instead of from model to endpoint.
_BLENDS = f"""
SELECT m.name, MIN({BALANCED.input_tokens} * c.input + {BALANCED.output_tokens} * c.output)
FROM model m
JOIN endpoint e ON e.model_id = m.id
CROSS JOIN "interval" i
JOIN rate_card c ON c.id = i.card_id
WHERE m.name NOT LIKE '{CURRENCIES}%' AND i.endpoint_id = e.id
    AND {" AND ".join(f"'/' || e.variant || '/' NOT LIKE '%/{word}/%'" for word in sorted(DEFERRED))}
    AND i.first_seen = {newest("e.id", "<= :at")} AND {believed("i")} AND {lasted("i", ":at")}
    AND c.currency = '{USD}' AND c.input > 0 AND c.output > 0
GROUP BY m.name
"""  # noqa: S608 - put together from constants only

_SIBLINGS = f"""
SELECT m.name, p.name, CASE WHEN {lasted("i", ":at")} THEN 1 ELSE 0 END, f.id, f.body
FROM model m
CROSS JOIN endpoint e
JOIN provider p ON p.id = e.provider_id
CROSS JOIN "interval" i
JOIN facts f ON f.id = i.facts_id
WHERE LOWER(m.name) LIKE :pattern ESCAPE '!' AND m.name <> :model AND e.model_id = m.id
    AND i.endpoint_id = e.id AND i.first_seen = {newest("e.id", "<= :at")} AND {believed("i")}
ORDER BY m.name, f.id
"""  # noqa: S608 - put together from constants only


class Offer(NamedTuple):
    """An endpoint of the page."""

    row: IntervalRow
    cost: Cost | None
    """Of a balanced request; None: it cannot be told, or is no price to compare with."""
    note: str
    """Where it is from and what is in doubt; why it has no cost."""
    percentile: int | None
    """Among those of the page that have a cost."""
    measured: Measured
    series: tuple[int | None, ...]
    """What a balanced request cost there at each of `instants`, in a unit of its own; None: that is not known."""
    moves: int
    """How often it moved in the longest of the windows."""


class Sibling(NamedTuple):
    """Another model of the same author."""

    model: str
    on_offer: bool
    facts: dict[str, tuple[str, ...]]
    """What the author's own shop says, else what most endpoints do, by name; several values only of a list."""
    disputed: bool
    """Endpoints tell two release dates that cannot both be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page of a model shows."""

    properties: tuple[Property, ...]
    offers: tuple[Offer, ...]
    siblings: tuple[Sibling, ...]
    """Those that came out last first; those without a date last."""
    lowest: tuple[tuple[datetime, Property], ...]
    """The lowest blend at each instant."""


def page(reader: Reader, one: Subject, known: datetime, tokens_a_day: Sequence[int]) -> Page:
    """The page of a model as it was at an instant, as known at another."""
    steps = instants(one.at)
    moved = {days: _moved(reader, one, known, days) for days in WINDOWS_DAYS}
    more = (*_standing(reader, one, known), *_volatility(one, moved))
    return Page(
        properties=(*properties(one, BALANCED, tokens_a_day), *more),
        offers=tuple(_offers(reader, one, known, steps, moved[SERIES_DAYS])),
        siblings=tuple(_siblings(reader, one, known)),
        lowest=tuple((step, _lowest(reader, one, step, known)) for step in steps),
    )


def instants(at: datetime) -> tuple[datetime, ...]:
    """Every sixth day of ninety, the last of them that of the question."""
    return tuple(at - timedelta(days=days) for days in range(SERIES_DAYS, -1, -SERIES_STEP_DAYS))


def percentile(value: int, among: Sequence[int]) -> int | None:
    """The share of the others that are less, in whole percent; `among` holds the value itself. None: it is alone."""
    return 100 * sum(other < value for other in among) // (len(among) - 1) if len(among) > 1 else None


def _standing(reader: Reader, one: Subject, known: datetime) -> Iterator[Property]:
    """Where its lowest blend stands among those of all models, over all sources."""
    blends: dict[str, int] = dict(reader.rows(_BLENDS, Coverage(reader, one.at, known).values))
    own = blends.get(one.model)
    share = None if own is None else percentile(own, list(blends.values()))
    note = f"cheaper of {len(blends) - 1} other models with a price in USD, by the lowest of any source"
    yield Property(one.model, "price_percentile", None if share is None else str(share), "percent", note)


def _moved(reader: Reader, one: Subject, known: datetime, days: int) -> list[Volatility]:
    """How each endpoint moved in so many days: as `tokentape volatility MODEL`."""
    since = one.at - timedelta(days=days)
    return list(volatilities(reader, one.model, one.at, BLEND, since=since, known=known, by_model=False))


def _volatility(one: Subject, moved: Mapping[int, Sequence[Volatility]]) -> Iterator[Property]:
    """How often and how far prices moved: as `tokentape volatility MODEL --by model`."""
    for days, endpoints in moved.items():
        told = together(one.model, endpoints)
        of = f"of {told.endpoints} endpoints"
        yield Property(one.model, f"moves_{days}d", str(len(told.moves)), "moves", of)
        yield Property(one.model, f"moved_{days}d", str(told.moved), "endpoints", of)
        for name, furthest in (
            ("rise", max((percent for percent in told.percents if percent > 0), default=None)),
            ("fall", min((percent for percent in told.percents if percent < 0), default=None)),
        ):
            value = None if furthest is None else hundredths(furthest)
            yield Property(one.model, f"largest_{name}_{days}d", value, "percent", "" if value else "there was none")


def _lowest(reader: Reader, one: Subject, step: datetime, known: datetime) -> Property:
    """What `cheapest` would have said at an instant, as it is known now."""
    then = Subject(
        model=one.model,
        offers=tuple(in_force(reader, step, known=known, model=one.model)),
        facts=(),
        at=step,
        into=one.into,
    )
    unit = f"{one.into.currency}/1M tokens"
    routes = then.ranking(BALANCED).routes
    if not routes:
        return Property(one.model, "lowest_blend", None, unit)
    route = routes[0]
    amount = decimal_text(round(cost_of(route, BALANCED, 1_000_000) * NANO))
    return Property(
        one.model, "lowest_blend", amount, unit, "", (route.row.source,), ref=route.row.ref, place=place(route)
    )


def _offers(
    reader: Reader, one: Subject, known: datetime, steps: Sequence[datetime], moved: Iterable[Volatility]
) -> Iterator[Offer]:
    """The endpoints that are believed: those with a cost first, the cheapest first."""
    ranking = rank(one.offers, BALANCED, one.at, Constraints(tiers=frozenset({"any"})), one.into)
    costs = [route.cost.femto for route in ranking.routes]
    fared = measures(reader, one.at, known)
    stretches = _stretches(reader, one, known, steps)
    moves = {told.row.endpoint_id: len(told.moves) for told in moved if told.row is not None}

    def offer(row: IntervalRow, cost_: Cost | None, note: str) -> Offer:
        series = tuple(_blend_at(stretches.get(row.endpoint_id, ()), step) for step in steps)
        return Offer(
            row=row,
            cost=cost_,
            note=note,
            percentile=None if cost_ is None else percentile(cost_.femto, costs),
            measured=fared(row),
            series=series,
            moves=moves.get(row.endpoint_id, 0),
        )

    for route in ranking.routes:
        yield offer(route.row, route.cost, ", ".join((*route.cost.conditions, *route.row.doubts)))
    for left in ranking.excluded:
        yield offer(left.row, None, ", ".join((left.reason, *left.row.doubts)))


def _stretches(
    reader: Reader, one: Subject, known: datetime, steps: Sequence[datetime]
) -> dict[int, tuple[IntervalRow, ...]]:
    rows = prices_only(history(reader, one.model, steps[-1], known=known, since=steps[0]))
    return {key: tuple(found) for key, found in groupby(rows, key=lambda row: row.endpoint_id)}


def _blend_at(rows: Iterable[IntervalRow], step: datetime) -> int | None:
    """What a balanced request cost at an instant by the interval that holds it."""
    for row in rows:
        if row.first_seen <= step and (row.ended is None or step < row.ended):
            found = cost(row.card, BALANCED, step)
            return None if isinstance(found, Unpriced) else found.femto
    return None


def _siblings(reader: Reader, one: Subject, known: datetime) -> list[Sibling]:
    """What else its author makes, or made as far as the tape goes: newest first, those without a date last."""
    values = Coverage(reader, one.at, known).values
    named: dict[str, Value] = {"pattern": f"{literally(one.author.lower())}/%", "model": one.model}
    found = [
        _sibling(
            model, one.shops, [(provider, lasts, reader.facts(key, body)) for _, provider, lasts, key, body in rows]
        )
        for model, rows in groupby(reader.rows(_SIBLINGS, values | named), key=itemgetter(0))
    ]
    return sorted(found, key=lambda sibling: sibling.facts.get("release_date", ("",)), reverse=True)


def _sibling(model: str, shops: frozenset[str], rows: Sequence[tuple[str, int, Facts]]) -> Sibling:
    """Of a model that is on offer, what its offers say; of one that is not, what they said last."""
    on_offer = any(lasts for _, lasts, _ in rows)
    counted = [(provider, stated) for provider, lasts, stated in rows if lasts or not on_offer]
    facts: dict[str, tuple[str, ...]] = {}
    for name in _OF_SIBLINGS:
        saying = [(provider, value) for provider, stated in counted if (value := stated.stated.get(name)) is not None]
        of_own = [value for provider, value in saying if provider in shops]
        told = Counter(of_own if of_own or name == "status" else [value for _, value in saying])
        if told:
            value = min(told, key=lambda value: (-told[value], str(value)))
            facts[name] = value if isinstance(value, tuple) else (str(value),)
    dates = {stated.release_date for _, stated in counted if stated.release_date}
    unlike = any(not one.startswith(other) and not other.startswith(one) for one, other in combinations(dates, 2))
    return Sibling(model, on_offer, facts, unlike)
