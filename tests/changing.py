"""Upstreams whose prices follow from the number of the poll alone, and a collector that can be killed at any time.

Whatever was killed on the way, who comes to the end leaves the same store.
"""

import json
import multiprocessing
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.config import Config, load
from collector.contract import SourceSpec
from collector.poll import Poller
from collector.sighting import Received
from store.records import Document
from store.write import Tape
from tests.collecting import own_sources

START = datetime(2026, 8, 22, tzinfo=UTC)
EVERY = timedelta(hours=1)
_FORK = multiprocessing.get_context("fork")


def configured(home: Path, count: int) -> Config:
    """So many sources."""
    names = {f"source{number}": "1h" for number in range(count)}
    return load(own_sources(home, mirror="http://127.0.0.1:59999", every=names), {})


def said(spec: SourceSpec, number: int) -> bytes:
    """What a source says at its n-th poll: mostly as before, sometimes another price, sometimes nothing usable."""
    chance = random.Random(f"{spec.id} {number // 2}")
    if chance.random() < 0.1:
        return b'{"data": []}'
    offers = [
        {"id": f"acme/model-{model}", "in": f"1.{chance.randrange(3)}", "out": f"{chance.randrange(4, 7)}"}
        for model in range(3)
    ]
    return json.dumps({"data": offers}).encode()


def received(spec: SourceSpec, number: int, at: datetime) -> Received:
    """The same, as it comes in."""
    document = Document(source=spec.id, url=spec.url, fetched_at=at, status=200, body=said(spec, number))
    return Received(documents=(document,), failures={})


def collect(config: Config, url: str, archive: str, count: int) -> None:
    """Go on where the store stands, until each source has that many polls."""
    tape = Tape(url, archive)
    done = {name: tape.last_polls(name).newest for name in config.sources}
    for number in range(count):
        at = START + number * EVERY
        poller = Poller(config, tape, None, clock=lambda at=at: at, environ={})  # type: ignore[arg-type, misc]
        for spec in config.sources.values():
            newest = done[spec.id]
            if newest is None or newest < at:
                poller.take(spec, at, received(spec, number, at), base=tape.last_polls(spec.id).pack)
    tape.close()


def collect_killed(config: Config, url: str, archive: str, count: int, waits_s: Sequence[float]) -> int:
    """The same by processes that are killed, one after each of these times, until one comes to the end.

    Returns: how many were killed before their end.
    """
    kills = 0
    for wait_s in waits_s:
        process = _FORK.Process(target=collect, args=(config, url, archive, count))
        process.start()
        time.sleep(wait_s)
        process.kill()
        process.join()
        kills += process.exitcode != 0
        if process.exitcode == 0:
            break
    collect(config, url, archive, count)
    return kills
