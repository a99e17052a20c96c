"""When sources are polled: APScheduler as a ticker inside one process, in UTC, and nothing else.

Time is cut into slots, for each source its own, one after the other; each slot is polled for once, by whichever daemon
claims it (`store.leases`). What is done is in the store, not in a job store: a restarted daemon goes on where the last
one stopped, and one missed stretch means one catch-up poll.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collector.contract import SourceSpec
from store.instants import EPOCH
from store.leases import Claim, Held

TURN_S = 0.2
"""Between two looks at a claim that has just run out."""
BACK_OFF_S = 6 * 3600
"""A source that keeps failing is still asked this often."""
STOP_WITHIN_S = 8.0
"""A poll under way at a stop may finish within this; then it is cancelled, which leaves the store as it was. Below the
ten seconds after which container engines kill."""


def slot_at(source: str, every_s: int, now: datetime) -> datetime:
    """The start of the slot that an instant lies in.

    A source's slots begin at an offset of its own, the same for every daemon, so that not all sources are due at once.
    """
    offset = int.from_bytes(sha256(source.encode()).digest()[:8]) % every_s
    return now - (now - EPOCH - timedelta(seconds=offset)) % timedelta(seconds=every_s)


def apart_s(every_s: int, failures: int) -> int:
    """Seconds between polls of a source that failed that often in a row: its interval, and from the third failure on
    twice as long each time, up to six hours; one success restores."""
    return max(every_s, min(every_s << min(max(0, failures - 2), 20), BACK_OFF_S))


def served_since(slot: datetime, every_s: int, failures: int = 0) -> datetime:
    """A poll from then on does for a slot: one that was made up for just before it need not be followed at once, and
    one of a source that fails again and again serves the slots after it."""
    return slot - timedelta(seconds=apart_s(every_s, failures)) + timedelta(seconds=every_s) / 2


def next_due(source: str, last: datetime | None, every_s: int, now: datetime, failures: int = 0) -> datetime:
    """When a source is due: now, unless a poll has served this slot; then at the next that it has not served.

    A poll that a wrong clock put into the future serves none.
    """
    slot, every = slot_at(source, every_s, now), timedelta(seconds=every_s)
    if last is None or not served_since(slot, every_s, failures) <= last <= now:
        return now
    served = last - served_since(slot, every_s, failures)
    return slot + (served // every + 1) * every


def unserved(source: str, polled: datetime, over: datetime, every_s: int, slot: datetime, failures: int = 0) -> int:
    """How many slots before this one were due after a poll and had none: nobody was there to poll for them.

    Not: those that began before that poll was over, however long ago it had been asked for.
    """
    every = timedelta(seconds=every_s)
    first = max(next_due(source, polled, every_s, polled, failures), slot_at(source, every_s, over) + every)
    return max(0, (slot - first) // every)


async def run(
    specs: Iterable[SourceSpec],
    claim: Callable[[SourceSpec], Awaitable[Claim | Held | None]],
    poll: Callable[[SourceSpec, Claim], Awaitable[None]],
    clock: Callable[[], datetime],
    reread: Callable[[], bool],
    stop_within_s: float = STOP_WITHIN_S,
) -> bool:
    """Poll each source once in each of its slots, never two of one source at once, until SIGTERM or SIGINT.

    Returns: whether to begin anew: at SIGHUP, if `reread` says that there is something new.

    Where another daemon is at it, this one waits until that must be over, and polls if it was killed. What is under way
    at a stop has some seconds to finish; a second signal does not wait for it.
    """
    # That a poll outlasts its interval and the next one is skipped is how it should be, and worth no warning.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = AsyncIOScheduler(timezone=UTC)
    running: set[asyncio.Task[None]] = set()

    async def job(spec: SourceSpec) -> None:
        with suppress(asyncio.CancelledError):  # at a stop
            claimed = await claim(spec)
            while isinstance(claimed, Held):
                await asyncio.sleep(max(TURN_S, (claimed.until - clock()).total_seconds()))
                claimed = await claim(spec)
            if claimed is not None:
                task = asyncio.ensure_future(poll(spec, claimed))
                running.add(task)
                task.add_done_callback(running.discard)
                await asyncio.shield(task)

    for spec in specs:
        now = clock()
        scheduler.add_job(
            job,
            IntervalTrigger(seconds=spec.every_s, start_date=slot_at(spec.id, spec.every_s, now), timezone=UTC),
            args=[spec],
            id=spec.id,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=now,
        )
    stopped, anew = asyncio.Event(), False

    def hang_up() -> None:
        nonlocal anew
        if reread():
            anew = True
            stopped.set()

    def stop() -> None:
        nonlocal anew
        anew = False
        if stopped.is_set():
            _cancel(running)
        stopped.set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    scheduler.start()
    await stopped.wait()
    scheduler.shutdown(wait=False)
    under_way = set(running)
    loop.call_later(stop_within_s, _cancel, under_way)
    await asyncio.gather(*under_way, return_exceptions=True)
    return anew


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
