"""When sources are polled: APScheduler as a ticker inside one process, in UTC, and nothing else.

What is due is derived from the polls in the store, not from a job store: a restarted daemon goes on where the last one
stopped, and one missed stretch means one catch-up poll.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collector.contract import SourceSpec

JITTER_SHARE = 0.05
"""Of the interval, by which a poll may come late, so that not all sources are due at once."""
JITTER_MOST_S = 60
STOP_WITHIN_S = 8.0
"""A poll under way at a stop may finish within this; then it is cancelled, which leaves the store as it was. Below the
ten seconds after which container engines kill."""


def next_due(last: datetime | None, every_s: int, now: datetime) -> datetime:
    """When a source is due: an interval after its last poll, at once if that is past, and never later than an interval
    from now, whatever the clock said at that poll."""
    every = timedelta(seconds=every_s)
    return now if last is None else min(max(now, last + every), now + every)


async def run(
    specs: Iterable[SourceSpec],
    poll: Callable[[SourceSpec], Awaitable[None]],
    last_poll: Callable[[str], datetime | None],
    clock: Callable[[], datetime],
    stop_within_s: float = STOP_WITHIN_S,
) -> None:
    """Poll each source on its interval, never two of one source at once, until SIGTERM or SIGINT.

    Polls under way then have some seconds to finish; a second signal does not wait for them.
    """
    # That a poll outlasts its interval and the next one is skipped is how it should be, and worth no warning.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = AsyncIOScheduler(timezone=UTC)
    running: set[asyncio.Task[None]] = set()

    async def job(spec: SourceSpec) -> None:
        task = asyncio.ensure_future(poll(spec))
        running.add(task)
        task.add_done_callback(running.discard)
        with suppress(asyncio.CancelledError):  # at a stop
            await asyncio.shield(task)

    for spec in specs:
        jitter = max(1, min(JITTER_MOST_S, int(spec.every_s * JITTER_SHARE)))
        scheduler.add_job(
            job,
            IntervalTrigger(seconds=spec.every_s, jitter=jitter, timezone=UTC),
            args=[spec],
            id=spec.id,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=next_due(last_poll(spec.id), spec.every_s, clock()),
        )
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            _cancel(running)
        stopped.set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    scheduler.start()
    await stopped.wait()
    scheduler.shutdown(wait=False)
    under_way = set(running)
    loop.call_later(stop_within_s, _cancel, under_way)
    await asyncio.gather(*under_way, return_exceptions=True)


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
