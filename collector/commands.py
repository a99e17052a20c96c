"""What the collecting commands do, apart from their options: wiring, and nothing that decides anything."""

import asyncio
import os
import re
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import clock, mend, schedule, verify
from collector.alerts import Watch
from collector.config import Config, ready
from collector.contract import SourceSpec
from collector.errors import ConfigError
from collector.fetch import Fetcher
from collector.mend import source_facts
from collector.poll import WRITE_WITHIN, Poller, Progress, Report, no_progress, receive
from collector.record import KINDS, QUOTES, record, suffix_of
from collector.sighting import Received, see
from store.errors import StoreError, StoreMissing
from store.instants import age_text, utc_now
from store.leases import Claim, Held
from store.lock import daemon_of, only_daemon, reset_danger
from store.mounts import refuse_network
from store.policy import Policy
from store.read import open_store
from store.records import TRUST_ORDER, Document, Observation, RateCard, Trust, Verdict
from store.retention import Pruned
from store.text import one_line, printable
from store.units import CORE_METERS, decimal_text
from store.write import Tape

if TYPE_CHECKING:
    from store.catalogue import HeldRow, SourceRow
    from store.columns import Cell
    from store.show import TableColumns

TIDY_EVERY_S = 86_400

GONE = 3
"""Polls in a row that were told that there is nothing, after which a source may have moved."""

Show = Callable[[Report], None]


@asynccontextmanager
async def _poller(config: Config, tape: Tape) -> AsyncIterator[Poller]:
    async with Fetcher(config.http, utc_now) as fetcher:
        yield Poller(config, tape, fetcher, progress=_progress(), environ=os.environ)


def collect_once(config: Config, specs: Sequence[SourceSpec], show: Show) -> list[Report]:
    """Poll each source once, all at the same time; shown as they finish.

    Raises: StoreError if the store cannot be opened, or the clock cannot be right.
    """
    with _tape(config) as tape:
        return asyncio.run(_collect(config, tape, specs, show))


@contextmanager
def _tape(config: Config) -> Iterator[Tape]:
    """The store, to collect into.

    Raises: StoreError if it cannot be opened, or must not be written.
    """
    refuse_network(config.store, os.environ)
    tape = Tape(config.store, config.archive)
    try:
        if why := clock.doubt(utc_now(), tape.newest()):
            raise StoreError(f"{tape.name}: {why}")
        other = None if tape.path is None else daemon_of(tape.path)
        if other and (why := reset_danger()):
            _note(f"{why}, and process {other} is a daemon that keeps {tape.name}")
        yield tape
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


def run_daemon(
    configured: Callable[[], tuple[Config, list[SourceSpec]]],
    show: Show,
    beside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Poll on schedule until told to stop; what is configured is read again at SIGHUP.

    `beside`: what runs as long as it does, from when the store is its own until the last poll is done.
    Raises: StoreError if the store cannot be opened, or another daemon keeps it, or the clock cannot be right;
    ConfigError, unless it has begun.
    """
    chosen = configured()

    def reread() -> bool:
        nonlocal chosen
        try:
            chosen = configured()
        except (ConfigError, StoreError) as error:
            _note(f"the configuration stays as it was: {error}")
            return False
        return True

    with _tape(chosen[0]) as tape, ExitStack() as alone:
        if tape.path is not None:  # of several daemons on one server, each poll is claimed by one
            alone.enter_context(only_daemon(tape.path))
            tape.expire_claims()
            if why := reset_danger():
                _note(f"{why}: let this one be the only one")
        alone.enter_context(beside())
        while asyncio.run(_daemon(*chosen, tape, show, reread)):
            pass


async def _daemon(
    config: Config, specs: Sequence[SourceSpec], tape: Tape, show: Show, reread: Callable[[], bool]
) -> bool:
    _note(f"polling {', '.join(spec.id for spec in specs)} into {tape.name}; stop with SIGTERM or Ctrl-C")
    holder = f"{socket.gethostname()}:{os.getpid()}"
    async with _poller(config, tape) as poller:

        async def claim(spec: SourceSpec) -> Claim | Held | None:
            return await asyncio.to_thread(_claim, tape, spec, holder)

        async def poll(spec: SourceSpec, claimed: Claim) -> None:
            report = await poller.poll(spec, claimed)
            _clear()
            show(report)
            look()

        with _alerting(config) as look:
            async with _tidied(config, tape):
                return await schedule.run(specs, claim, poll, utc_now, reread)


@contextmanager
def _alerting(config: Config) -> Iterator[Callable[[], None]]:
    """Judge and deliver alerts, meanwhile; what is yielded says that there may be something new."""
    with Watch(config, _note, os.environ) as watch:
        yield watch.look


@asynccontextmanager
async def _tidied(config: Config, tape: Tape) -> AsyncIterator[None]:
    """Keep the archive as its policy says, meanwhile; a stop does not wait for it."""
    if config.retention.full_s is None:
        yield
        return
    stopping = threading.Event()
    task = asyncio.create_task(_tidy(tape, config.retention, timedelta(seconds=config.retention.full_s), stopping))
    try:
        yield
    finally:
        stopping.set()
        task.cancel()


async def _tidy(tape: Tape, policy: Policy, full: timedelta, stopping: threading.Event) -> None:
    def go_on(_done: int, _known: int) -> None:
        if stopping.is_set():
            raise StoreError("stopped")

    def prune(now: datetime) -> Pruned:
        # Whole months, so that what stays is written anew once a month, and lies together.
        horizon = (now - full).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return tape.prune(policy, now=now, horizon=horizon, progress=go_on)

    while True:
        try:
            pruned = await asyncio.to_thread(prune, utc_now())
            if pruned.polls:
                _note(f"archive: documents of {pruned.polls} polls dropped, {pruned.freed:,} bytes freed")
        except (StoreError, OSError) as error:
            _note(f"archive: not pruned: {error}")
        await asyncio.sleep(TIDY_EVERY_S)


def _claim(tape: Tape, spec: SourceSpec, holder: str) -> Claim | Held | None:
    now = utc_now()
    slot = schedule.slot_at(spec.id, spec.every_s, now)
    return tape.claim(
        source_facts(spec),
        slot=slot,
        polled_since=schedule.served_since(slot, spec.every_s, tape.failures(spec.id)),
        until=now + timedelta(seconds=spec.deadline_s) + WRITE_WITHIN,
        now=now,
        holder=holder,
    )


def try_source(config: Config, spec: SourceSpec, file: Path | None, limit: int) -> Iterator[str]:
    """Lines about what a source says now, or what a file with its body says.

    Raises: CollectorError.
    """
    received, at = _received(config, spec, file)
    sighting, failed = see(received, spec, at)
    for part, error in failed.items():
        _note(f"{part}: {error}")
    observations = sighting.observations
    yield f"{spec.id}: {len(observations)} offers of {len({one.identity.model for one in observations})} models"
    for one in observations[:limit]:
        yield from _described(one)
    if len(observations) > limit:
        yield f"... and {len(observations) - limit} more (--limit)"


def record_source(config: Config, spec: SourceSpec, file: Path | None, folder: Path, *, force: bool) -> Iterator[str]:
    """Lines about what was laid down of what a source says now, and what comes next.

    Raises: CollectorError.
    """
    received, _ = _received(config, spec, file)
    for part, error in received.failures.items():
        _note(f"{part}: {error}")
    secret = os.environ.get(spec.key_env, "").strip() if spec.key_env else ""
    quotes = record(spec, received, folder, secret=secret, force=force)
    bodies, size = received.documents, sum(len(document.body) for document in received.documents)
    yield f"{spec.id}: {len(bodies)} document{'s' * (len(bodies) != 1)}, {size:,} bytes, {quotes} quotes in {folder}"
    yield f"next: read {folder / QUOTES}, and compare two prices with the provider's page;"
    yield f"then: write tests/sources/{spec.id}/sample{suffix_of(bodies[-1])} by hand: a handful of records of this"
    yield "      form, names and values invented, every oddity in it;"
    yield f"then: pytest tests/test_sources_contract.py -k {spec.id}"


def _received(config: Config, spec: SourceSpec, file: Path | None) -> tuple[Received, datetime]:
    """What a source says now, and when that is; a file speaks for its first document."""
    at = utc_now()
    if file is None:
        received = asyncio.run(_asked(config, spec, at))
        _clear()
        return received, at
    try:
        body = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    kind = KINDS.get(file.suffix, "")
    document = Document(source=spec.id, url=spec.url, fetched_at=at, status=200, body=body, content_type=kind)
    return Received(documents=(document,), failures={}), at


async def _asked(config: Config, spec: SourceSpec, at: datetime) -> Received:
    async with Fetcher(config.http, utc_now) as fetcher:
        return await receive(spec, at, fetcher, environ=os.environ, progress=_progress())


def _described(one: Observation) -> Iterator[str]:
    name = f"{one.identity.provider} {one.identity.model}" + (
        f" ({one.identity.variant})" if one.identity.variant else ""
    )
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
    """Print every source that is configured, or was once, with what the store knows of it."""
    from store import catalogue, show

    known: dict[str, catalogue.SourceRow] = {}
    with suppress(StoreMissing), open_store(config.store) as reader:  # before the first poll there is no store
        known = {row.source: row for row in catalogue.sources(reader, now)}
    rows = [_source_row(spec, known.pop(spec.id, None), now) for spec in config.sources.values()]
    rows += [_told_of(row.source, "not watched", TRUST_ORDER[row.trust], row, None, now) for row in known.values()]
    if form == "table":
        show.answer(form, rows, (), _sources_table())
    else:
        show.rows(rows, form)
    if config.http.allow_private:
        click.secho(
            "tokentape: http.allow_private is on: sources can reach this machine and its network", fg="red", err=True
        )


def _sources_table() -> "TableColumns[Mapping[str, Cell]]":
    from store.show import TableColumn

    def minute(name: str) -> "Callable[[Mapping[str, Cell]], str]":
        return lambda row: f"{row[name]:%Y-%m-%d %H:%M}" if row[name] is not None else ""

    def text(name: str) -> "Callable[[Mapping[str, Cell]], str]":
        return lambda row: str(row[name] if row[name] is not None else "")

    return (
        TableColumn("source", text("source")),
        TableColumn("state", text("state"), cut="right"),
        TableColumn("trust", text("trust"), spare=6),
        TableColumn("last success (UTC)", minute("last_success"), spare=3),
        TableColumn("age", text("age"), right=True),
        TableColumn("endpoints", text("endpoints"), spare=1, right=True),
        TableColumn("changes", text("changes"), spare=5, right=True),
        TableColumn("held", text("held"), spare=1, right=True),
        TableColumn("failures", text("failures"), spare=2, right=True),
        TableColumn("next due (UTC)", minute("next_due"), spare=4),
        TableColumn("error", text("error"), spare=2, cut="right"),
    )


def _source_row(spec: SourceSpec, row: "SourceRow | None", now: datetime) -> dict[str, "Cell"]:
    on = ready(spec, os.environ)
    polled = (row.last_poll, row.failures) if row else (None, 0)
    due = schedule.next_due(spec.id, polled[0], spec.every_s, now, polled[1]) if on else None
    return _told_of(spec.id, _state(spec), spec.trust, row, due, now)


def _told_of(
    source: str, state: str, trust: Trust, row: "SourceRow | None", due: datetime | None, now: datetime
) -> dict[str, "Cell"]:
    return {
        "source": source,
        "state": state,
        "trust": trust,
        "last_success": row.last_success if row else None,
        "age": age_text(now - row.last_success) if row and row.last_success else None,
        "endpoints": row.endpoints if row else 0,
        "changes": row.changes if row else 0,
        "held": row.held if row else 0,
        "failures": row.failures if row else 0,
        "next_due": due,
        "error": _error(row) if row else None,
    }


def _error(row: "SourceRow") -> str | None:
    moved = row.failures >= GONE and row.last_error is not None and re.search(r"got 4(04|10)\b", row.last_error)
    return f"{row.last_error}; has the source moved?" if moved else row.last_error


def _state(spec: SourceSpec) -> str:
    if not spec.enabled:
        return "off"
    return "on" if ready(spec, os.environ) else f"needs {spec.key_env}"


def reparse_source(config: Config, spec: SourceSpec, now: datetime, *, dry_run: bool) -> Iterator[str]:
    """Lines about what replaying a source's documents corrects, or would correct.

    Raises: StoreError.
    """
    tape = Tape(config.store, config.archive)
    try:
        mended = mend.reparse(config.checks, tape, spec, known=now, progress=_counted(spec.id), dry_run=dry_run)
    finally:
        tape.close()
        _clear()
    for at, why in mended.refused:
        yield printable(f"{spec.id}: refused, as of {at:%Y-%m-%dT%H:%M:%SZ}: {why}")
    yield from (printable(verify.described(one)) for one in mended.corrections)
    would = "would be " if dry_run else ""
    yield f"{spec.id}: {mended.polls} polls, {len(mended.corrections)} intervals {would}corrected"


def decide_held(config: Config, row: "HeldRow", verdict: Verdict, now: datetime) -> Iterator[str]:
    """Lines about what a verdict on something that is held corrects.

    Raises: StoreError; ConfigError if its source is not configured any more.
    """
    spec = config.sources.get(row.source)
    if spec is None:
        raise ConfigError(f"{row.source}: not in the configuration, so that its documents cannot be read again")
    tape = Tape(config.store, config.archive)
    try:
        mended = mend.decide(config.checks, tape, spec, [verdict], known=now)
    finally:
        tape.close()
    yield from (printable(verify.described(one)) for one in mended.corrections)
    done = "released" if verdict.released else "rejected"
    yield f"{row.held_ref}: {done}, {len(mended.corrections)} intervals corrected"


def verify_store(config: Config, now: datetime) -> Iterator[str]:
    """Lines about what does not follow from the archive.

    Raises: StoreError.
    """
    with open_store(config.store):
        pass  # a store that is not there is not made by looking at it
    tape = Tape(config.store, config.archive)
    try:
        for fault in verify.faults(config.checks, tape, config.sources, now, _counted("verify"), _note):
            _clear()
            yield printable(fault)
    finally:
        tape.close()
        _clear()


def _counted(source: str) -> mend.Progress:
    shown = _progress()
    return lambda done, known: shown(source, done, known)


def _progress() -> Progress:
    if not sys.stderr.isatty():
        return no_progress

    def show(source: str, done: int, known: int) -> None:
        click.echo(f"\r\x1b[K{source}: {done} of {known}", nl=False, err=True)

    return show


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)


def _note(text: str) -> None:
    click.echo(f"tokentape: {one_line(text)}", err=True)
