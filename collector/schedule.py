"""When sources are polled: APScheduler as a ticker inside one process, in UTC, and nothing else.

What is due is derived from the polls in the store, not from a job store: a restarted daemon goes on where the last one
stopped, and one missed stretch means one catch-up poll.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collector.contract import SourceSpec

JITTER_SHARE = 0.05
"""Of the interval, by which a poll may come late, so that not all sources are due at once."""
JITTER_MOST_S = 60
STOP_WITHIN_S = 10.0
"""A poll under way at a stop may finish within this; then it is cancelled, which leaves the store as it was."""


def next_due(last: datetime | None, every_s: int, now: datetime) -> datetime:
    """When a source is due: an interval after its last poll, and at once if that is past."""
    return now if last is None else max(now, last + timedelta(seconds=every_s))


async def run(
    specs: Iterable[SourceSpec],
    poll: Callable[[SourceSpec], Awaitable[None]],
    last_poll: Callable[[str], datetime | None],
    clock: Callable[[], datetime],
) -> None:
    """Poll each source on its interval, never two of one source at once, until SIGTERM or SIGINT."""
    scheduler = AsyncIOScheduler(timezone=UTC)
    running: set[asyncio.Task[None]] = set()

    async def job(spec: SourceSpec) -> None:
        task = asyncio.ensure_future(poll(spec))
        running.add(task)
        try:
            await asyncio.shield(task)
        finally:
            running.discard(task)

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
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    scheduler.start()
    await stopped.wait()
    pending = set(running)
    scheduler.shutdown(wait=False)
    if pending:
        _, late = await asyncio.wait(pending, timeout=STOP_WITHIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
