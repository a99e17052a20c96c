"""Every recorded timeline into one store, and what the store and its archive then weigh.

Documents go through the whole pipe but the network (`Poller.take`), source after source, oldest first. Compared with
the same documents as they were recorded: one compressed file each, of OpenRouter's sweeps often only what changed.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from collector.config import load
from collector.contract import SourceSpec
from collector.errors import FetchFailed
from collector.fetch import Fetcher
from collector.poll import Poller
from collector.sighting import Received
from store.archive import archive_root
from store.instants import utc_now
from store.records import Document
from store.write import Tape
from tests import timelines
from tests.benchmarks.measure import note, recorded, spread

UPSTREAMS = {
    "openrouter": ("openrouter-models", "openrouter-endpoints"),
    "litellm": ("litellm",),
    "models_dev": ("models-dev",),
    "llm_prices": ("llm-prices",),
    "genai_prices": ("genai-prices-v2",),
}
"""Source -> timelines; of genai-prices the version that is alive, as published, not as packaged."""


@dataclass
class Played:
    """One source after its whole timeline."""

    took_ms: list[float] = field(default_factory=list)
    received: int = 0
    """Bytes of all bodies, also of those that had not changed."""
    archived: int = 0
    """Bytes that the archive grew by."""
    changes: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="store_size", description=__doc__)
    options.add_argument("--store", type=Path, help="keep the store here (a file that is not there yet)")
    options.add_argument("sources", nargs="*", help=f"of {', '.join(UPSTREAMS)}; default: all")
    given = options.parse_args()
    names = given.sources or list(UPSTREAMS)
    if unknown := set(names) - UPSTREAMS.keys():
        options.error(f"no timeline of {', '.join(sorted(unknown))}")
    if given.store and given.store.exists():
        sys.exit(f"{given.store} is there already")
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or Path(folder, "tape.db")
        report(store, {name: play(store, name) for name in names})


def play(store: Path, name: str) -> Played:
    """All polls of a source, into the store."""
    settings = load(None, {})
    spec = replace(settings.sources[name], expect={})  # that is expected of what is published today
    tape = Tape(str(store))
    played, before = Played(), archived_bytes(store)
    try:
        poller = Poller(settings, tape, Fetcher(settings.http, utc_now), environ={})
        for number, (at, received) in enumerate(polls(spec)):
            started = time.perf_counter()
            done = poller.take(spec, at, received, base=tape.last_polls(spec.id).pack)
            played.took_ms.append(1000 * (time.perf_counter() - started))
            played.received += sum(len(document.body) for document in received.documents)
            played.changes += done.changes
            played.outcomes[done.outcome] = played.outcomes.get(done.outcome, 0) + 1
            if done.outcome == "failed" or number % 20 == 0:
                note(f"{at:%Y-%m-%d %H:%M} {done.line}")
    finally:
        tape.close()
    played.archived = archived_bytes(store) - before
    return played


def polls(spec: SourceSpec) -> Iterator[tuple[datetime, Received]]:
    """What each recorded instant of a source would have given a poll."""
    folder = recorded()
    if spec.id == "openrouter":
        yield from sweeps(folder, spec)
        return
    for row in timelines.rows(folder, *UPSTREAMS[spec.id]):
        at = timelines.instant(row)
        yield at, Received(documents=(document(spec, at, timelines.body(folder, row)),), failures={})


def sweeps(folder: Path, spec: SourceSpec) -> Iterator[tuple[datetime, Received]]:
    """OpenRouter's sweeps; models that were not recorded did not answer."""
    for at, listed, answers in timelines.openrouter(folder):
        found = {part: answer for part, answer in answers.items() if answer is not None}
        failures = {part: FetchFailed("not recorded", code="http_501") for part in answers.keys() - found.keys()}
        documents = (document(spec, at, answer, part) for part, answer in found.items())
        yield at, Received(documents=(document(spec, at, listed), *documents), failures=failures)


def document(spec: SourceSpec, at: datetime, body: bytes, part: str = "") -> Document:
    """A body as it would have come from its upstream."""
    url = f"{spec.url}/{part}/endpoints" if part else spec.url
    return Document(source=spec.id, url=url, fetched_at=at, status=200, body=body, part=part)


def report(store: Path, played: dict[str, Played]) -> None:
    """The sizes, and what they come to."""
    with closing(sqlite3.connect(store)) as connection:
        intervals = dict(
            connection.execute(
                "SELECT s.name, count(*) FROM source s JOIN endpoint e ON e.source_id = s.id"
                ' JOIN "interval" i ON i.endpoint_id = e.id GROUP BY s.name'
            )
        )
        tables = sizes(connection)
    print("source        polls (ok)  changes  intervals  received  recorded  archive   a poll")
    for name, one in played.items():
        polls_ok = f"{len(one.took_ms)} ({one.outcomes.get('ok', 0)})"
        print(
            f"{name:12}  {polls_ok:>10}  {one.changes:7}  {intervals.get(name, 0):9}  {megabytes(one.received)}"
            f"  {megabytes(published_bytes(name))}  {megabytes(one.archived)}  {spread(one.took_ms, 'ms')}"
        )
    published, received = sum(map(published_bytes, played)), sum(one.received for one in played.values())
    archived, kept, count = archived_bytes(store), store.stat().st_size, sum(intervals.values())
    print(f"store: {megabytes(kept)}, {count} intervals, {kept / max(count, 1):.0f} bytes an interval, of them")
    print("  " + ", ".join(f"{name} {size / kept:.0%}" for name, size in tables if size > kept / 50))
    print(f"store / recorded documents: {kept / published:.2f} x")
    print(f"archive / recorded documents: {archived / published:.2f} x; / received: {archived / received:.3f} x")


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:5.2f} MB" if size < 1e8 else f"{size / 1e6:5.0f} MB"


def archived_bytes(store: Path) -> int:
    """Of all packs."""
    return sum(pack.stat().st_size for pack in archive_root(store).rglob("*.zst"))


def published_bytes(name: str) -> int:
    """Compressed size of the recorded documents of a source."""
    folder = recorded()
    rows = (row for upstream in UPSTREAMS[name] for row in timelines.rows(folder, upstream))
    return sum((folder / "timeline" / row["file"]).stat().st_size for row in rows)


def sizes(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Bytes by table and index, largest first; nothing where this SQLite cannot tell."""
    try:
        return connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC").fetchall()
    except sqlite3.OperationalError:
        return []


if __name__ == "__main__":
    main()
