"""How far the recorded sources agree on a day, pair by pair, and on what they do not.

    python -m tests.benchmarks.agreement [DAY...]

Every source that has a recorded answer is collected into one store as of that day (its newest answer until then), and
each offer that two of them state under one canonical provider, model and variant is compared by `store.conflicts`, as
`tokentape conflicts` does. Answers that are only shapes, with values that may be invented, are left out.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from collector.config import Config, load
from collector.contract import SourceSpec
from collector.fetch import Fetcher
from collector.poll import Poller
from collector.sighting import Received
from store.conflicts import PRICES, compared, pairs
from store.intervals import IntervalRow, current
from store.read import open_store
from store.records import Document
from store.write import Tape
from tests import timelines
from tests.benchmarks.measure import recorded as recorded_folder

DAYS = ("2026-08-07", "2026-08-22")
PACKAGED = "genai_prices"
"""Its recorded answers are what the package was made of."""


@dataclass
class Agreement:
    """What two sources make of the offers that both state."""

    offers: int = 0
    same: int = 0
    """With no different price, whatever the length of the prompt and the hour."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Kind and meter of what differs -> offers."""


def agreement(rows: Iterable[IntervalRow], at: datetime) -> dict[tuple[str, str], Agreement]:
    """(more trusted source, other) -> how far they agree, in one currency; meters that only one names are no matter."""
    found: dict[tuple[str, str], Agreement] = {}
    for one, other in pairs(rows, at):
        if one.card.currency != other.card.currency or not one.card.by_meter.keys() & other.card.by_meter.keys():
            continue
        pair = found.setdefault((one.source, other.source), Agreement())
        differing = [difference for difference in compared(one, other, at) if difference.kind in PRICES]
        pair.offers += 1
        pair.same += not differing
        pair.kinds.update({f"{difference.kind} {difference.meter}" for difference in differing})
    return found


def collected(recorded: Path, at: datetime, store: Path, only: Sequence[str] = ()) -> list[str]:
    """Collect what was recorded until an instant, of some sources or of all; those that answered."""
    from replay import Replay

    with Replay(at=at.isoformat(), quiet=True) as running:
        config = load(None, {})
        base = running.url("https://x").removesuffix("/x").rstrip("/")
        wanted = {name: spec for name, spec in config.sources.items() if not only or name in only}
        config = replace(config, http=replace(config.http, mirror=base, attempts=1), sources=wanted)
        return asyncio.run(_collect(config, recorded, at, store, running))


async def _collect(config: Config, recorded: Path, at: datetime, store: Path, running: Any) -> list[str]:
    answered = []
    keys = {spec.key_env: "k" for spec in config.sources.values() if spec.key_env}
    tape = Tape(str(store))
    async with Fetcher(config.http, lambda: at) as fetcher:
        poller = Poller(config, tape, fetcher, clock=lambda: at, environ=keys)
        for spec in config.sources.values():
            if spec.id == PACKAGED:
                report = poller.take(spec, at, _packaged(recorded, spec, at))
            elif address := _newest(running, spec):
                report = await poller.poll(replace(spec, url=address, deadline_s=300))
            else:
                continue
            if report.outcome != "failed":
                answered.append(spec.id)
    tape.close()
    return answered


def _packaged(recorded: Path, spec: SourceSpec, at: datetime) -> Received:
    rows = [row for name in ("genai-prices", "genai-prices-v2") for row in timelines.rows(recorded, name)]
    newest = max((row for row in rows if timelines.instant(row) <= at), key=timelines.instant)
    body = timelines.body(recorded, newest)
    document = Document(source=spec.id, url=newest["url"], fetched_at=at, status=200, body=body)
    return Received(documents=(document,), failures={})


def _newest(running: Any, spec: SourceSpec) -> str:
    """Of a source's addresses the one with the newest recorded answer; none where there is no more than a shape."""
    found = []
    for url in (spec.url, *spec.also_at):
        answer = httpx.get(running.url(url), headers={"Host": "127.0.0.1"})
        if answer.status_code == httpx.codes.OK and "shape" not in answer.headers.get("x-replay-grade", ""):
            found.append((parsedate_to_datetime(answer.headers["last-modified"]), url))
    return max(found)[1] if found else ""


def measured(recorded: Path, day: str) -> tuple[list[str], dict[tuple[str, str], Agreement]]:
    """The sources that answered on a day, and how far each two agree."""
    at = datetime.fromisoformat(f"{day}T23:59:00").replace(tzinfo=UTC)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "tape.db")
        answered = collected(recorded, at, store)
        with open_store(str(store)) as reader:
            return answered, agreement(current(reader, at), at)


def report(day: str, answered: Sequence[str], found: dict[tuple[str, str], Agreement]) -> None:
    """Print the table of a day."""
    print(f"\n{day}: {len(answered)} sources: {', '.join(answered)}")
    print(f"{'source':18}{'other':18}{'offers':>8}{'same':>8}{'share':>8}  most frequent differences")
    for (one, other), pair in sorted(found.items(), key=lambda item: -item[1].offers):
        told = ", ".join(f"{kind} {count}" for kind, count in pair.kinds.most_common(3))
        print(f"{one:18}{other:18}{pair.offers:8}{pair.same:8}{pair.same / pair.offers:8.1%}  {told}")
    offers, same = (sum(getattr(pair, name) for pair in found.values()) for name in ("offers", "same"))
    kinds = sum((pair.kinds for pair in found.values()), Counter[str]())
    print(f"{'all pairs':36}{offers:8}{same:8}{same / offers:8.1%}")
    for kind, count in kinds.most_common(12):
        print(f"  {kind:30}{count:6}")


def main() -> None:
    """Measure the days named, or the default ones."""
    recorded = recorded_folder()
    sys.path.append(str(recorded))  # where the replay server lies
    for day in sys.argv[1:] or DAYS:
        report(day, *measured(recorded, day))


if __name__ == "__main__":
    main()
