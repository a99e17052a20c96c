"""What the collecting commands do, apart from their options: wiring, and nothing that decides anything."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from collector import schedule
from collector.config import Config, ready
from collector.contract import SourceSpec
from collector.errors import ConfigError
from collector.fetch import Fetcher
from collector.poll import Poller, Report, utc_now
from store.errors import StoreMissing
from store.instants import iso
from store.read import open_store
from store.records import Observation, RateCard
from store.text import printable
from store.units import CORE_METERS, decimal_text
from store.write import Tape

Show = Callable[[Report], None]


@asynccontextmanager
async def _poller(config: Config, tape: Tape) -> AsyncIterator[Poller]:
    async with Fetcher(config.http, utc_now) as fetcher:
        yield Poller(config, tape, fetcher, progress=_progress(), environ=os.environ)


def collect_once(config: Config, specs: Sequence[SourceSpec], show: Show) -> list[Report]:
    """Poll each source once, all at the same time; shown as they finish.

    Raises: StoreError if the store cannot be opened.
    """
    tape = Tape(config.store)
    try:
        return asyncio.run(_collect(config, tape, specs, show))
    finally:
        tape.close()


async def _collect(config: Config, tape: Tape, specs: Sequence[SourceSpec], show: Show) -> list[Report]:
    reports = []
    async with _poller(config, tape) as poller:
        for done in asyncio.as_completed([poller.poll(spec) for spec in specs]):
            report = await done
            _clear()
            show(report)
            reports.append(report)
    return reports


def run_daemon(config: Config, specs: Sequence[SourceSpec], show: Show) -> None:
    """Poll on schedule until told to stop.

    Raises: StoreError if the store cannot be opened; ConfigError if no source is on.
    """
    if not specs:
        raise ConfigError("no source is on: turn one on in the configuration")
    tape = Tape(config.store)
    try:
        asyncio.run(_daemon(config, tape, specs, show))
    finally:
        tape.close()


async def _daemon(config: Config, tape: Tape, specs: Sequence[SourceSpec], show: Show) -> None:
    print(f"tokentape: {len(specs)} sources into {tape.path}; stop with SIGTERM or Ctrl-C", file=sys.stderr)  # noqa: T201
    async with _poller(config, tape) as poller:

        async def poll(spec: SourceSpec) -> None:
            report = await poller.poll(spec)
            _clear()
            show(report)

        await schedule.run(specs, poll, lambda source: tape.last_polls(source).newest, utc_now)


def try_source(config: Config, spec: SourceSpec, limit: int) -> Iterator[str]:
    """Lines about what a source says now.

    Raises: CollectorError.
    """
    observations = asyncio.run(_try(config, spec))
    _clear()
    yield f"{spec.id}: {len(observations)} offers of {len({one.identity.model for one in observations})} models"
    for one in observations[:limit]:
        yield from _described(one)
    if len(observations) > limit:
        yield f"... and {len(observations) - limit} more (--limit)"


async def _try(config: Config, spec: SourceSpec) -> list[Observation]:
    async with Fetcher(config.http, utc_now) as fetcher:
        poller = Poller(config, None, fetcher, progress=_progress(), environ=os.environ)
        return await poller.try_out(spec)


def _described(one: Observation) -> Iterator[str]:
    name = f"{one.identity.provider} {one.identity.model}" + (f" ({one.identity.variant})" if one.identity.variant else "")
    context = f", context {one.facts.context_length}" if one.facts.context_length else ""
    yield printable(f"{name}: {_prices(one.card) if one.card else 'held'}{context}  [{one.locator}]")
    for finding in one.findings:
        yield printable(f"    {'held' if finding.held else 'note'}: {finding.rule}: {finding.message}")


def _prices(card: RateCard) -> str:
    parts = []
    for meter in CORE_METERS:
        amount = card.amount(meter)
        state = card.state(meter)
        if state != "not_offered":
            parts.append(f"{meter} {decimal_text(amount) if amount is not None else state}")
    conditions = f" (+{len(card.overrides)} conditions)" if card.overrides else ""
    return f"{', '.join(parts) or 'no token price'} {card.currency} per 1M tokens{conditions}"


def list_sources(config: Config, form: str, now: datetime) -> None:
    """Print every configured source with what the store knows of it."""
    from store import show
    from store.query import sources

    known = {}
    try:
        with open_store(config.store) as reader:
            known = {row.source: row for row in sources(reader, now)}
    except StoreMissing:
        pass  # nothing collected yet: every source is still to be polled
    rows = [_source_row(spec, known.get(spec.id), now) for spec in config.sources.values()]
    show.rows(rows, form)


def _source_row(spec: SourceSpec, row: object, now: datetime) -> dict[str, object]:
    raise NotImplementedError


def _state(spec: SourceSpec) -> str:
    if not spec.enabled:
        return "off"
    return "on" if ready(spec, os.environ) else f"needs {spec.key_env}"


def _progress() -> Callable[[str, int, int], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(source: str, done: int, known: int) -> None:
        print(f"\r\x1b[K{source}: {done} of {known}", end="", file=sys.stderr, flush=True)  # noqa: T201

    return show


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201
