"""A store of as many intervals as wanted: made up, but of the shape of a real one, and in minutes.

The product makes the schema; rows go in by bare sqlite3, in the order of their keys. Every endpoint has the same number
of intervals, each from one poll of its source to a later one. Of a hundred one ends in a withdrawal, of a thousand one
was corrected; facts change with every tenth price. Some endpoints have gaps, statements and held prices. Equal shapes
make equal stores.
"""

import argparse
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TypeVar

from store import seal
from store.instants import to_millis
from store.records import END_REASONS, Facts, Override, RateCard
from store.units import CORE_METERS
from store.write import Tape
from tests.benchmarks.measure import note

END = to_millis(datetime(2026, 11, 1, tzinfo=UTC))
"""The last poll of every source; instants are milliseconds, as stored."""
KNOWN_AFTER = 700
"""From a poll to the instant at which it is written."""
CACHE_KB = 1_000_000
ENDPOINT = "variant, published_provider, published_model, tag, sibling, part"
POLL = "outcome, complete, pack, code, message, quotes, changes, held, requests, body_bytes, duration_ms"
FACTS = "context_length, max_output_tokens, quantization"
SPAN = "card_id, facts_id, document_id, locator_id, unseen, lasted, missed, reason, end_lag"
STATED = "card_id, document_id, locator, known_from, known_to, first_seen, ended, end_known"
FINDING = (
    "subject, rule, message, held, card_id, document_id, locator, known_from, known_to, first_seen, ended, end_known"
)
Row = tuple[int | str | None, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a store is."""

    models: int = 500
    providers: int = 40
    """Each offers every model once, as one source publishes it."""
    intervals: int = 500
    """Of each endpoint."""
    sources: int = 5
    polls: int = 17_520
    """Of each source; more than there are intervals of an endpoint."""
    every_s: int = 3600
    cards: int = 4000
    """Distinct rate cards."""
    facts: int = 400
    seed: int = 1

    @property
    def step(self) -> int:
        """From one poll of a source to the next."""
        return self.every_s * 1000

    def at(self, poll: int) -> int:
        """The instant of a source's poll, counted from 0."""
        return END - (self.polls - 1 - poll) * self.step

    def poll_id(self, source: int, poll: int) -> int:
        """The key of a poll, and of its document."""
        return poll * self.sources + source + 1


def main() -> None:
    """Make one."""
    options = argparse.ArgumentParser(prog="synthetic", description=__doc__)
    options.add_argument("store", type=Path, help="a file that is not there yet")
    for field in fields(Shape):
        options.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=getattr(Shape(), field.name))
    given = vars(options.parse_args())
    store: Path = given.pop("store")
    if store.exists():
        options.error(f"{store} is there already")
    started = time.perf_counter()
    build(store, Shape(**given))
    note(f"{store}: {store.stat().st_size / 1e6:.0f} MB in {time.perf_counter() - started:.0f} s")


def build(path: Path, shape: Shape) -> None:
    """A store at a path where there is none."""
    Tape(str(path)).close()
    random = Random(shape.seed)
    shown: set[int] = set()
    with closing(sqlite3.connect(path)) as connection, connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):
            connection.execute(f"PRAGMA {pragma}")
        seal.lift(connection)
        for table, rows in (
            ("source (id, name, trust, every_s)", _sources(shape)),
            ("provider (id, name)", ((number + 1, provider(number)) for number in range(shape.providers))),
            ("model (id, name)", ((number + 1, model(number)) for number in range(shape.models))),
            (f"endpoint (id, source_id, provider_id, model_id, {ENDPOINT})", _endpoints(shape)),
            (f"poll (id, source_id, at, known, {POLL})", _polls(shape, random)),
            (f"rate_card (id, digest, currency, {', '.join(CORE_METERS)}, body)", _cards(shape, random)),
            (f"facts (id, digest, {FACTS}, body)", _facts(shape, random)),
            ("locator (id, text)", ((number + 1, f"data.endpoints[{number}]") for number in range(shape.providers))),
            (f"span (endpoint_id, first_seen, known_lag, known_to, {SPAN})", _spans(shape, random, shown)),
            ("gap (endpoint_id, since, known_from, known_to, last_seen, until, until_known)", _gaps(shape)),
            (f"stated (id, endpoint_id, since, until, {STATED})", _stated(shape, shown)),
            (f"finding (id, source_id, endpoint_id, {FINDING})", _findings(shape, shown)),
            ("document (id, poll_id, part, sha256, url)", _documents(shape, shown)),
        ):
            marks = ", ".join("?" * (table.count(",") + 1))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        note("sealing it")
        seal.install(connection)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def provider(number: int) -> str:
    """Its canonical name."""
    return f"provider-{number}"


def model(number: int) -> str:
    """Its canonical name."""
    return f"author-{number % 25}/model-{number}-instruct"


def _sources(shape: Shape) -> Iterator[Row]:
    for source in range(shape.sources):
        yield source + 1, f"source_{source}", source % 3, shape.every_s


def _endpoints(shape: Shape) -> Iterator[Row]:
    """By model, then provider: the key of an endpoint tells both."""
    for number in range(shape.models * shape.providers):
        of_model, of_provider = divmod(number, shape.providers)
        published, tag = model(of_model).title(), f"{provider(of_provider)}/fp8"
        yield (
            *(number + 1, of_provider % shape.sources + 1, of_provider + 1, of_model + 1, "fp8"),
            *(provider(of_provider).title(), published, tag, "", ""),
        )


def _polls(shape: Shape, random: Random) -> Iterator[Row]:
    for poll in range(shape.polls):
        at = shape.at(poll)
        for source in range(shape.sources):
            failed = random.random() < 0.005 and poll < shape.polls - 1
            pack = None if failed else sha256(f"pack {source} {poll}".encode()).hexdigest()
            code, message = ("timeout", f"source_{source}: no answer within 60 s") if failed else (None, None)
            yield (
                *(shape.poll_id(source, poll), source + 1, at, at + KNOWN_AFTER, "failed" if failed else "ok"),
                *(not failed, pack, code, message, 0 if failed else 4000, 0, 0, 1, 1_500_000, 900),
            )


def _documents(shape: Shape, shown: set[int]) -> Iterator[Row]:
    """Of the polls that showed anything, each under the key of its poll."""
    for poll in sorted(shown):
        body = sha256(f"document {poll}".encode()).hexdigest()
        yield poll, poll, "", body, f"https://source-{(poll - 1) % shape.sources}.example/api/v1/models"


def _cards(shape: Shape, random: Random) -> Iterator[Row]:
    for key, one in enumerate(_distinct(_card, shape.cards, random), 1):
        core = (one.amount(meter) for meter in CORE_METERS)
        yield key, sha256(one.text.encode()).hexdigest(), one.currency, *core, one.text


def _card(random: Random) -> RateCard:
    """Most charge input and output, every second a cache read; of a hundred three have a condition."""
    price = random.randrange(1, 3000) * 1_000_000
    amounts = {"input": price, "output": price * random.randrange(2, 6)}
    if random.random() < 0.5:
        amounts["cache_read"] = price // 10
    longer = Override(above_tokens=200_000, amounts=(("input", 2 * price), ("output", 3 * price)))
    return RateCard(
        currency="USD",
        amounts=tuple(sorted(amounts.items())),
        states=(("reasoning", "unknown"),) if random.random() < 0.02 else (),
        overrides=(longer,) if random.random() < 0.03 else (),
    )


def _facts(shape: Shape, random: Random) -> Iterator[Row]:
    for key, one in enumerate(_distinct(_fact, shape.facts, random), 1):
        digest = sha256(one.text.encode()).hexdigest()
        yield key, digest, one.context_length, one.max_output_tokens, one.quantization, one.text


def _fact(random: Random) -> Facts:
    words = ("max_tokens", "temperature", "top_p", "stop", "tools", "seed", "logprobs", "response_format", "reasoning")
    return Facts(
        context_length=random.choice((8_192, 32_768, 131_072, 200_000, 1_048_576)),
        max_output_tokens=random.choice((None, 8_192, 32_768)),
        quantization=random.choice((None, "fp8", "bf16", "fp4")),
        features=tuple(sorted(random.sample(words, 6))),
        input_modalities=("text",),
    )


def _distinct(make: Callable[[Random], T], count: int, random: Random) -> list[T]:
    found: dict[T, None] = {}
    while len(found) < count:
        found[make(random)] = None
    return list(found)


def _spans(shape: Shape, random: Random, shown: set[int]) -> Iterator[Row]:
    """Endpoint by endpoint, each from poll to poll; the last one is open."""
    for endpoint in range(shape.models * shape.providers):
        if endpoint % 2000 == 0:
            note(f"intervals of endpoint {endpoint} of {shape.models * shape.providers}")
        source, locator = endpoint % shape.providers % shape.sources, endpoint % shape.providers + 1
        first = sorted(random.sample(range(shape.polls - 1), shape.intervals))
        for number, (poll, later) in enumerate(pairwise([*first, shape.polls])):
            at = shape.at(poll)
            end: Row = (None, None, None, None)
            if later < shape.polls:
                withdrawn = later - poll > 1 and random.random() < 0.01
                ended = shape.at((poll + later) // 2 if withdrawn else later)
                end = (ended - at, shape.step, END_REASONS.index("withdrawn" if withdrawn else "changed"), KNOWN_AFTER)
            card = random.randrange(shape.cards) + 1
            if number == 0 or random.random() < 0.1:
                facts = random.randrange(shape.facts) + 1
            document = shape.poll_id(source, poll)
            shown.add(document)
            rest = (facts, document, locator, shape.step if number else None, *end)
            if later < shape.polls and random.random() < 0.001:
                mended = shape.at(later) + 30 * shape.step
                yield endpoint + 1, at, KNOWN_AFTER, mended, card % shape.cards + 1, *rest
                yield endpoint + 1, at, mended - at, None, card, *rest
            else:
                yield endpoint + 1, at, KNOWN_AFTER, None, card, *rest


def _gaps(shape: Shape) -> Iterator[Row]:
    """Every fiftieth endpoint was not seen for two polls; of them every tenth not since the last."""
    for endpoint in range(0, shape.models * shape.providers, 50):
        still = endpoint % 500 == 0
        since = shape.at(shape.polls - 1 if still else shape.polls // 2)
        until = None if still else since + 2 * shape.step
        seen = since - shape.step
        yield endpoint + 1, since, since + KNOWN_AFTER, None, seen, until, until and until + KNOWN_AFTER


def _stated(shape: Shape, shown: set[int]) -> Iterator[Row]:
    """Every fortieth endpoint has a price that was stated from the first poll on, for a day before it."""
    for key, endpoint in enumerate(range(0, shape.models * shape.providers, 40), 1):
        source, at = endpoint % shape.providers % shape.sources, shape.at(0)
        card, document = endpoint % shape.cards + 1, shape.poll_id(source, 0)
        shown.add(document)
        dates = (at - 86_400_000, at, card, document)
        yield key, endpoint + 1, *dates, "data", at + KNOWN_AFTER, None, at, None, None


def _findings(shape: Shape, shown: set[int]) -> Iterator[Row]:
    """Every hundredth endpoint has a price that is held, every second of them for a while only."""
    for key, endpoint in enumerate(range(0, shape.models * shape.providers, 100), 1):
        source, poll = endpoint % shape.providers % shape.sources, shape.polls // 3
        at, ended = shape.at(poll), None if endpoint % 200 else shape.at(poll + 5)
        document, known = shape.poll_id(source, poll), at + KNOWN_AFTER
        shown.add(document)
        about = (source + 1, endpoint + 1, f"Provider model-{endpoint}", "ratio", "25 times the accepted amount", True)
        stretch = (known, None, at, ended, ended and ended + KNOWN_AFTER)
        yield key, *about, endpoint % shape.cards + 1, document, "data", *stretch


if __name__ == "__main__":
    main()
