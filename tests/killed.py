"""A collector that kills itself: `python -m tests.killed STORE MIRROR STEP` dies before its STEP-th durable step.

Steps are what reaches the disk: each write, sync and rename of the archive and each statement and commit of the store.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from collector.config import load

NAMES = ("fsync", "rename", "mkdir", "unlink")


def arm(limit: int) -> None:
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


def main() -> None:
    """Poll one source as the test does, armed."""
    from tests.test_poll import FAST, NOW, collect

    store, mirror, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    config = load(None, {})
    config = replace(config, http=replace(config.http, mirror=mirror, **FAST))
    arm(limit)
    collect(config, store, "xai", at=NOW)


if __name__ == "__main__":
    main()
