"""A world of upstreams whose true prices are known, the faults that befall what they say, and what a tape makes of it.

The clock is in our hand, so that a month takes minutes. What is asked at the end: was a price ever in force that the
world had not, was an offer withdrawn that stayed, did a fault go unseen?
"""

import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.config import Config
from collector.contract import SourceSpec
from collector.errors import FetchFailed
from collector.mend import source_facts
from collector.poll import Poller, Report
from collector.settings import CheckSettings
from collector.sighting import Received
from store.instants import from_millis, to_millis
from store.records import Document
from store.units import NANO
from store.write import PollFacts, Tape
from tests.changing import START
from tests.stores import rows

Price = tuple[int, int]
"""Of input and output, in 1e-9 USD per 1M tokens."""
World = Mapping[str, Price]
"""What is on offer at an instant, by model."""


def _text(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09}".rstrip("0").rstrip(".")


def body(world: World) -> bytes:
    """What an upstream says when nothing goes wrong."""
    offers = [{"id": model, "in": _text(one), "out": _text(other)} for model, (one, other) in world.items()]
    return json.dumps({"data": offers}).encode()


def _times(world: World, model: str, up: int, down: int = 1) -> World:
    one, other = world[model]
    return {**world, model: (one * up // down, other * up // down)}


def _without(world: World, models: list[str]) -> World:
    return {model: price for model, price in world.items() if model not in models}


def _halved(world: World) -> World:
    return _without(world, sorted(world)[: len(world) // 2])


Fault = Callable[[World, str], bytes | World]
"""What comes instead, given the world and an offer in it."""

WHOLE: dict[str, Fault] = {
    "the body is cut": lambda world, _: body(world)[:-9],
    "the body is empty": lambda *_: b"",
    "a challenge page": lambda *_: b"<!doctype html><title>Just a moment...</title>",
    "an empty list": lambda *_: b'{"data": []}',
    "an error in place of the list": lambda *_: b'{"error": {"message": "overloaded"}}',
    "another name for the price": lambda world, _: body(world).replace(b'"in"', b'"input_price"'),
    "two answers in one": lambda world, _: body(world) * 2,
}
"""The whole document is refused."""
GAP = "an offer is missing"
"""Not told at once: it may be over at the next poll."""
ROWS: dict[str, Fault] = {
    "a thousand times too much": lambda world, model: _times(world, model, 1000),
    "a million times too much": lambda world, model: _times(world, model, 10**6),
    "a thousandth": lambda world, model: _times(world, model, 1, 1000),
    "a millionth": lambda world, model: _times(world, model, 1, 10**6),
    "to zero": lambda world, model: {**world, model: (0, 0)},
    "prices are text": lambda world, _: body(world).replace(b'"in": "', b'"in": "about '),
    "not a number": lambda world, _: body(world).replace(b'"in": "', b'"in": "NaN'),
    GAP: lambda world, model: _without(world, [model]),
    "half is missing": lambda world, _: _halved(world),
}
"""Some offers are not what they should be; the others are."""
HARMLESS: dict[str, Fault] = {
    "another order": lambda world, _: {model: world[model] for model in reversed(list(world))},
    "spaces": lambda world, _: json.dumps(json.loads(body(world)), indent=2).encode(),
    "zeros at the end": lambda world, _: (
        body(world).replace(b'", "out"', b'000", "out"') if _fractions(world) else world
    ),
    "an offer twice": lambda world, model: body({model: world[model], **world}),
    "another key": lambda world, _: body(world).replace(b'{"id"', b'{"new": null, "id"'),
}
"""It is the same that is said."""
DEAREST = CheckSettings().above_usd * NANO
BACK = "an older list"
"""A list of before the last ones, as a cache has it that is behind."""
TRANSPORT = ("connect", "http_500", "http_429", "truncated", "deadline", "first_byte_timeout", "tls", "dns")
"""Nothing came."""


def _fractions(world: World) -> bool:
    return all(one % 10**9 for one, _ in world.values())


@dataclass
class Upstream:
    """A source, and the truth about what it sells."""

    spec: SourceSpec
    chance: random.Random
    world: dict[str, Price] = field(default_factory=dict)
    shown: dict[str, list[tuple[int, Price | None]]] = field(default_factory=dict)
    """When each offer was last said to be what it is: instant in milliseconds, and price; None: not on offer."""
    said: list[World] = field(default_factory=list)
    """What was sent without a fault, each list once."""

    def __post_init__(self) -> None:
        for number in range(9):
            self.world[f"{self.spec.id}/model-{number}"] = self._price()

    def _price(self) -> Price:
        one = self.chance.randrange(1, 400) * 5 * 10**7
        return one, one * self.chance.randrange(1, 6)

    def go_on(self) -> None:
        """Some prices move, by less than is odd, and none beyond what any text costs.

        No list ever comes to be what it was: of one that does, nobody can tell at once that it is no old copy.
        """
        for model, (one, other) in self.world.items():
            if self.chance.random() < 0.004:
                up = self.chance.choice([6, 8, 12, 21, 39])
                if other * up // 10 <= DEAREST:
                    self.world[model] = (one * up // 10, other * up // 10)


@dataclass
class Outcome:
    """What went wrong with the tape, in words; empty where nothing did."""

    polls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def simulate(
    config: Config, url: str, archive: str, *, polls: int, every: timedelta, share: float, seed: int
) -> Outcome:
    """Poll every source that often, with that share of faults, and hold the tape against the truth."""
    outcome = Outcome()
    upstreams = [Upstream(spec, random.Random(f"{seed} {spec.id}")) for spec in config.sources.values()]
    tape = Tape(url, archive)
    for number in range(polls):
        at = START + number * every
        poller = Poller(config, tape, None, clock=lambda at=at: at, environ={})  # type: ignore[arg-type, misc]
        for one in upstreams:
            one.go_on()
            outcome.polls += 1
            if one.chance.random() < share and one.said:  # nothing can be told of the first list
                _faulty(poller, tape, one, at, outcome)
            else:
                _said(poller, tape, one, at, body(one.world))
                _show(one, at, one.world)
                if one.world not in one.said[-1:]:
                    one.said.append(dict(one.world))
    tape.close()
    for one in upstreams:
        outcome.wrong += _wrong(url, one)
        outcome.withdrawn += _withdrawn(url, one)
    return outcome


def _said(poller: Poller, tape: Tape, one: Upstream, at: datetime, whole: bytes) -> Report:
    document = Document(source=one.spec.id, url=one.spec.url, fetched_at=at, status=200, body=whole)
    base = tape.last_polls(one.spec.id).pack
    return poller.take(one.spec, at, Received(documents=(document,), failures={}), base=base)


def _show(one: Upstream, at: datetime, world: Mapping[str, Price | None]) -> None:
    for model, price in world.items():
        one.shown.setdefault(model, []).append((to_millis(at), price))


def _faulty(poller: Poller, tape: Tape, one: Upstream, at: datetime, outcome: Outcome) -> None:
    kinds = [*TRANSPORT, *WHOLE, *ROWS, *HARMLESS, *([BACK] if len(one.said) > 1 else [])]
    kind = one.chance.choice(kinds)
    model = one.chance.choice(sorted(one.world))
    outcome.faults[kind] += 1
    if kind in TRANSPORT:
        failure = FetchFailed(f"{one.spec.id}: as asked for", code=kind)
        facts = PollFacts(at=at, outcome="failed", code=failure.code, message=str(failure))
        tape.record_failure(source_facts(one.spec), facts, known=at)
        return
    if kind == BACK:
        old = one.chance.choice(one.said[:-1][-5:])
        if "older documents came back" not in _said(poller, tape, one, at, body(old)).message:
            outcome.unseen.append(f"{kind}: of {at}")
        _show(one, at, {name: price for name, price in one.world.items() if old.get(name) == price})
        return
    made = (WHOLE | ROWS | HARMLESS)[kind](one.world, model)
    report = _said(poller, tape, one, at, made if isinstance(made, bytes) else body(made))
    told = report.outcome == "failed" if kind in WHOLE else report.held > 0 or kind in HARMLESS or kind == GAP
    if not told:
        outcome.unseen.append(f"{kind}: {report.line}")
    if kind in ROWS:
        honest = {
            name: price for name, price in one.world.items() if not isinstance(made, bytes) and made.get(name) == price
        }
        _show(one, at, honest)
    if kind in HARMLESS:
        _show(one, at, one.world)


_BELIEVED = """
SELECT e.published_model, i.first_seen, i.ended, i.end_reason, c.input, c.output FROM "interval" i
JOIN endpoint e ON e.id = i.endpoint_id JOIN source s ON s.id = e.source_id JOIN rate_card c ON c.id = i.card_id
WHERE i.known_to IS NULL AND s.name = '{source}' ORDER BY 1, 2
"""


def _wrong(url: str, one: Upstream) -> Iterator[str]:
    """Prices in force that are not those that the upstream was last heard to have."""
    believed: dict[str, list[tuple[int, int | None, Price]]] = {}
    for model, first, ended, _, price_in, price_out in rows(url, _BELIEVED.format(source=one.spec.id)):
        believed.setdefault(model, []).append((first, ended, (price_in, price_out)))
    for model, said in one.shown.items():
        intervals = believed.get(model, [])
        starts = [first for first, _, _ in intervals]
        for at, price in said:
            place = bisect_right(starts, at) - 1
            found = None
            if place >= 0 and (intervals[place][1] is None or at < intervals[place][1]):  # type: ignore[operator]
                found = intervals[place][2]
            if found != price:
                yield f"{model} at {from_millis(at)}: {found} is in force, {price} is the price"
        truths = {price for _, price in said}
        for first, _, price in intervals:
            if price not in truths:
                yield f"{model} from {from_millis(first)}: {price} was never its price"


def _withdrawn(url: str, one: Upstream) -> Iterator[str]:
    """Offers that are told to be gone and are not: all stay in this world."""
    for model, _, ended, reason, *_ in rows(url, _BELIEVED.format(source=one.spec.id)):
        if reason == "withdrawn":
            yield f"{model}: withdrawn at {from_millis(ended)}"
