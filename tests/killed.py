"""What is killed before its n-th durable step: each sync and rename of the archive, each statement and commit."""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

NAMES = ("fsync", "rename", "mkdir", "unlink")
# A process that has everything imported and no thread is forked for each step: a new one takes a second to begin.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.test_alerts_sent", "tests.test_care", "tests.test_poll", "tests.test_retention"]
)


def killed_at(step: int, act: Callable[..., object], *arguments: object) -> bool:
    """Whether `act(*arguments)`, in a process of its own, was killed before that durable step, rather than done."""
    process = PROCESSES.Process(target=_armed, args=(step, act, *arguments))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _armed(limit: int, act: Callable[..., object], *arguments: object) -> None:
    """Count durable steps from here on, and die at the limit."""
    steps = itertools.count()

    def count(*_: object, **__: object) -> None:
        if next(steps) == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count()
            return real(*args, **kwargs)

        return call

    for name in NAMES:
        setattr(os, name, counted(getattr(os, name)))
    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    act(*arguments)
