"""Whole recorded timelines, instant after instant, against a second reading of the same files (`tests.timelines`).

Every endpoint of every poll is compared, none is sampled: the bounds of each interval, its prices and its context.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from collector.config import load
from collector.contract import SourceSpec
from collector.errors import FetchFailed
from collector.fetch import Fetcher
from collector.poll import Poller
from collector.sighting import Received
from store.instants import from_millis, utc_now
from store.records import Document
from store.write import Tape
from tests import timelines
from tests.test_timeline import store_digest
from tests.timelines import Expected, Key, Poll

pytestmark = [pytest.mark.recorded, pytest.mark.timeout(1200)]  # 330 sweeps: minutes, where others use the machine
CONFIG = load(None, {})

INTERVALS = """
    SELECT e.published_provider, e.published_model, e.tag, e.sibling, i.first_seen, i.not_before,
           coalesce(i.last_seen, g.last_seen), i.ended, i.end_reason, g.since, c.body, f.body
      FROM interval i JOIN endpoint e ON e.id = i.endpoint_id JOIN rate_card c ON c.id = i.card_id
      JOIN facts f ON f.id = i.facts_id
      LEFT JOIN gap g ON g.endpoint_id = i.endpoint_id AND i.ended IS NULL AND g.until IS NULL AND g.known_to IS NULL
     WHERE i.known_to IS NULL ORDER BY i.first_seen
"""


def document(spec: SourceSpec, at: datetime, body: bytes, part: str = "") -> Document:
    url = f"{spec.url}/{part}/endpoints" if part else spec.url
    return Document(source=spec.id, url=url, fetched_at=at, status=200, body=body, part=part)


def openrouter(folder: Path) -> Iterator[tuple[Poll, Received]]:
    spec = CONFIG.sources["openrouter"]
    for at, listed, answers in timelines.openrouter(folder):
        found = [document(spec, at, answer, part) for part, answer in answers.items() if answer is not None]
        failures = {
            part: FetchFailed("not recorded", code="http_501") for part, answer in answers.items() if answer is None
        }
        yield (
            timelines.read_openrouter(at, listed, answers),
            Received(documents=(document(spec, at, listed), *found), failures=failures),
        )


def catalogue(
    source: str, upstream: str, read: Callable[[datetime, bytes], Poll]
) -> Callable[[Path], Iterator[tuple[Poll, Received]]]:
    def polls(folder: Path) -> Iterator[tuple[Poll, Received]]:
        spec = CONFIG.sources[source]
        for row in timelines.rows(folder, upstream):
            at, body = timelines.instant(row), timelines.body(folder, row)
            yield read(at, body), Received(documents=(document(spec, at, body),), failures={})

    return polls


SOURCES = {
    "openrouter": openrouter,
    "litellm": catalogue("litellm", "litellm", timelines.read_litellm),
    "models_dev": catalogue("models_dev", "models-dev", timelines.read_models_dev),
}


def play(source: str, polls: Iterable[tuple[Poll, Received]], store: Path) -> list[Poll]:
    """Poll instant after instant into a store; what the second reading saw at each."""
    tape = Tape(str(store))
    poller = Poller(CONFIG, tape, Fetcher(CONFIG.http, utc_now), environ={})
    seen = []
    for poll, received in polls:
        report = poller.take(CONFIG.sources[source], poll.at, received)
        assert report.outcome == ("ok" if poll.complete else "partial"), report.line
        seen.append(poll)
    tape.close()
    return seen


def kept(store: Path) -> dict[Key, list[tuple[Any, ...]]]:
    """The intervals in the store as bounds, amounts and context."""
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute(INTERVALS).fetchall()
    found: dict[Key, list[tuple[Any, ...]]] = {}
    for provider, model, tag, sibling, *bounds, reason, unseen, card, facts in (
        (*row[:4], *row[4:8], *row[8:]) for row in rows
    ):
        first, not_before, last, ended = (None if one is None else from_millis(one) for one in bounds)
        key = (provider, model, tag, " ".join(json.loads(facts).get("features", ())) if sibling else "")
        seen_until = last if ended is not None or unseen is not None else None
        found.setdefault(key, []).append(
            (
                first,
                not_before,
                seen_until,
                ended,
                reason,
                amounts(json.loads(card)),
                json.loads(facts).get("context_length"),
            )
        )
    return found


def amounts(card: dict[str, Any]) -> dict[str, int]:
    found = dict(card["amounts"])
    for override in card.get("overrides", ()):
        if "above_tokens" in override:
            found |= {f"{meter} above {override['above_tokens']}": one for meter, one in override["amounts"].items()}
    return found


def wanted(
    expected: dict[Key, list[Expected]], context: Callable[[Expected], int | None]
) -> dict[Key, list[tuple[Any, ...]]]:
    return {
        key: [
            (
                one.first_seen,
                one.not_before,
                one.last_seen if one.ended is not None or one.unseen else None,
                one.ended,
                one.reason,
                one.amounts,
                context(one),
            )
            for one in intervals
        ]
        for key, intervals in expected.items()
    }


def context_of(one: Expected) -> int | None:
    value = one.value[1] if one.value[0] == "unpriced" else one.value
    found = value[-1][0]
    return found or None


@pytest.mark.parametrize("source", SOURCES)
def test_every_interval_is_what_a_second_reading_of_the_files_gives(
    recorded: Path, tmp_path: Path, source: str
) -> None:
    polls = play(source, SOURCES[source](recorded), tmp_path / "tape.db")
    found, expected = kept(tmp_path / "tape.db"), wanted(timelines.expected(polls), context_of)
    assert found.keys() == expected.keys()
    differing = [(key, found[key], expected[key]) for key in found if found[key] != expected[key]]
    assert not differing, f"{len(differing)} of {len(found)} endpoints: {differing[0]}"
    assert len(polls) > 50


def test_documents_in_any_order_give_the_same_store(recorded: Path, tmp_path: Path) -> None:
    polls = [entry for _, entry in zip(range(7), SOURCES["models_dev"](recorded), strict=False)]
    play("models_dev", polls, tmp_path / "in-order.db")
    play("models_dev", [polls[number] for number in (3, 0, 6, 1, 5, 2, 4)], tmp_path / "shuffled.db")
    assert store_digest(tmp_path / "in-order.db") == store_digest(tmp_path / "shuffled.db")
