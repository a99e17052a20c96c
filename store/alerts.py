"""Alerts: what a rule says of what became known, each with a key that is the same whoever finds it, and when.

What is told is a function of the ledger: of news in (after, until], and no state of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from typing import NamedTuple

from store import alert_texts as say
from store.alert_news import Moved, News, Offer
from store.alert_rules import Rule, fits
from store.alert_texts import Text
from store.choice import choose
from store.constraints import Constraints
from store.costing import Workload
from store.currency import USD, CurrencyPolicy
from store.errors import QueryError
from store.instants import from_millis
from store.moves import Move, card_moves
from store.rates import converter
from store.records import RateCard
from store.routing import Route
from store.traffic import Traffic
from store.units import decimal_text


class Alert(NamedTuple):
    """Something to be told."""

    id: str
    """The same for the same event under the same rule, in every store that knows of it."""
    at: int
    """When it became known, or so; in milliseconds."""
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What judging needs beside rules and ledger."""

    watched: frozenset[str]
    """Sources that should be heard of: what is switched off is not stale."""
    currencies: Callable[[], CurrencyPolicy | None] = field(default=lambda: None)


def alerts(rule: Rule, news: News, given: Circumstances) -> Iterator[Alert]:
    """What a rule says of news, by time."""
    for at, key, (title, body) in _FOUND[rule.when](rule, news, given):
        id_ = blake2b("\n".join((rule.name, rule.when, *key)).encode(), digest_size=8).hexdigest()
        yield Alert(id_, at, title, f"{body}\nrule: {rule.name}\nid: {id_}")


Found = Iterator[tuple[int, tuple[str, ...], Text]]
"""When, what makes it itself, and what is said of it."""


def _concerned(rule: Rule, offer: Offer) -> bool:
    return rule.concerns(model=offer.model, provider=offer.provider, source=offer.source, endpoint=offer.endpoint)


def _key(one: Moved) -> tuple[str, ...]:
    return (one.event, one.offer.source, one.offer.published_provider, one.offer.endpoint, str(one.seen))


def _price(rule: Rule, news: News, _: Circumstances) -> Found:
    moved = [one for one in news.moved if one.event == "change"]
    for one in (*moved, *(news.corrected if rule.corrections else ())):
        if _concerned(rule, one.offer):
            moves = [move for move in card_moves(one.old, one.new) if _counts(rule, move)]
            if moves:
                known = (str(one.known),) if one.event == "correction" else ()
                yield one.known, (*_key(one), *known), say.moved(one, moves)


def _counts(rule: Rule, move: Move) -> bool:
    """Whether a move is one that a rule is about."""
    meter, old, new, *_ = move
    if rule.meter is not None and meter.partition(" ")[0] != rule.meter:
        return False
    if rule.percent is None and rule.direction == "any":
        return True
    if old is None or new is None:
        return False
    before, after = Fraction(old), Fraction(new)
    if before == after or (rule.direction != "any" and (after > before) != (rule.direction == "up")):
        return False
    return not rule.percent or abs(after - before) * 100 > rule.percent * before


def _below(rule: Rule, news: News, _: Circumstances) -> Found:
    assert rule.meter is not None
    assert rule.value is not None
    for one in news.moved:
        now = _in_usd(one.new, rule.meter)
        before = _in_usd(one.old, rule.meter)
        if now is None or now >= rule.value or (before is not None and before < rule.value):
            continue
        if _concerned(rule, one.offer):
            text = say.below(one, rule.meter, decimal_text(now), decimal_text(rule.value))
            yield one.known, _key(one), text


def _in_usd(card: RateCard | None, meter: str) -> int | None:
    return card.amount(meter) if card is not None and card.currency == USD else None


def _new_endpoint(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.moved:
        if one.event in ("arrival", "return") and _concerned(rule, one.offer):
            yield one.known, _key(one), say.offered(one, as_model=False)


def _new_model(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.moved:
        if one.event == "arrival" and one.new_model and _concerned(rule, one.offer):
            yield one.known, (one.offer.model,), say.offered(one, as_model=True)


def _withdrawn(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.withdrawn:
        if _concerned(rule, one.offer):
            yield one.known, _key(one), say.offered(one, as_model=False)


def _announced(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.announced:
        if _concerned(rule, one.offer):
            of = one.offer
            key = (of.source, of.published_provider, of.endpoint, str(one.since), str(one.until), one.new.text)
            yield one.known, key, say.announced(one)


def _retiring(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.moved:
        old, new = one.old_facts, one.new_facts
        facts = [
            (name, value)
            for name, before, value in (
                ("deprecated on", old.deprecated_on, new.deprecated_on),
                ("retires on", old.retires_on, new.retires_on),
                ("status", old.status, new.status if new.status and "deprecat" in new.status.lower() else None),
            )
            if value is not None and value != before
        ]
        if facts and _concerned(rule, one.offer):
            facts += [("successor", new.successor)] if new.successor else []
            yield one.known, _key(one), say.retiring(one, facts)


def _held(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.held:
        row = one.row
        if rule.concerns(model=row.model, provider=row.provider, source=row.source):
            yield one.known, (row.held_ref, row.rule, str(one.seen)), say.held(one)


def _failing(rule: Rule, news: News, _: Circumstances) -> Found:
    for one in news.failing(rule.times):
        if rule.concerns(model=None, provider=None, source=one.source):
            yield one.known, (one.source, str(one.at)), say.failing(one, rule.times)


def _stale(rule: Rule, news: News, given: Circumstances) -> Found:
    watched = [name for name in given.watched if rule.concerns(model=None, provider=None, source=name)]
    for one in news.stale(rule.after_s, watched):
        yield one.since, (one.source, str(one.last_success)), say.stale(one)


def _cheapest(rule: Rule, news: News, given: Circumstances) -> Found:
    load = Workload(input_tokens=rule.input, output_tokens=rule.output, cached_tokens=rule.cached)
    traffic = Traffic(loads=(load,))
    for model in rule.model:
        first, *instants = news.instants(model)
        before = _best(news, model, traffic, first, given) if instants else None
        for known in instants:
            now = _best(news, model, traffic, known, given)
            if (now and now.row.ref) != (before and before.row.ref) and _becomes(rule, now):
                key = (model, str(known), now.row.ref if now else "")
                yield known, key, say.cheapest(model, before, now, known)
            before = now


def _becomes(rule: Rule, now: Route | None) -> bool:
    """Whether the new cheapest route is one that a rule is about; of any provider, that there is none is told too."""
    return fits(None if now is None else now.row.provider, rule.provider)


def _best(news: News, model: str, traffic: Traffic, known: int, given: Circumstances) -> Route | None:
    """The cheapest route at an instant as known then; None: there is none."""
    at = from_millis(known)
    into = converter(news.reader, USD, given.currencies, at)
    try:
        choice = choose(news.reader, [model], traffic, Constraints(), at, into, known=at, top=1)
    except QueryError:
        return None
    return next(iter(choice.routes), None)


_FOUND: dict[str, Callable[[Rule, News, Circumstances], Found]] = {
    "price": _price,
    "below": _below,
    "cheapest": _cheapest,
    "new_endpoint": _new_endpoint,
    "new_model": _new_model,
    "withdrawn": _withdrawn,
    "announced": _announced,
    "retiring": _retiring,
    "failing": _failing,
    "stale": _stale,
    "held": _held,
}


def ordered(found: Iterable[Alert]) -> list[Alert]:
    """Each alert once, by time."""
    return sorted({one.id: one for one in found}.values(), key=lambda one: (one.at, one.id))
