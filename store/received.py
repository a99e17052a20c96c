"""When documents came: a line of `received.jsonl` in the archive for each poll that brought others than the one before.

Documents do not say when they came, and the database, which does, may be lost or come back from a backup of before. A
line is on disk before the poll is written: what the archive has and the store has not can be taken over.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from store.archive import only_writer
from store.instants import from_millis, to_millis

NAME = "received.jsonl"
TAIL = 64 * 2**10
"""Bytes at the end that are read first: of some hundred polls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What a poll brought."""

    source: str
    at: datetime
    pack: str
    failed_parts: frozenset[str] = frozenset()
    """Of a fan-out, what did not answer."""

    @property
    def line(self) -> str:
        """As it is written: JSON that ends with a digest of what stands before it."""
        values = [self.source, to_millis(self.at), self.pack, sorted(self.failed_parts)]
        return json.dumps([*values, _digest(values)]) + "\n"


def note(root: Path, arrived: Arrived) -> None:
    """Write a line, durably.

    Raises: OSError.
    """
    with only_writer(root), (root / NAME).open("ab+") as file:
        cut = file.tell() > 0 and _last_byte(file.fileno(), file.tell()) != b"\n"  # by a process that was killed
        file.write(b"\n" * cut + arrived.line.encode())
        file.flush()
        os.fsync(file.fileno())


def noted(root: Path, source: str, since: datetime | None) -> list[Arrived]:
    """The polls of a source that lines say of, newer ones last: all that are newer than `since`, and some before.

    A line that is not as it was written says nothing.
    """
    try:
        with (root / NAME).open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL)
            file.seek(start)
            found = list(_read(file.read()))
            if start and (since is None or not found or found[0].at > since):
                file.seek(0)
                found = list(_read(file.read()))
    except FileNotFoundError:
        return []
    return [one for one in found if one.source == source]


def _read(data: bytes) -> Iterator[Arrived]:
    for line in data.splitlines():
        try:
            *values, digest = json.loads(line)
            source, at, pack, failed_parts = values
            if digest == _digest(values):
                yield Arrived(source=source, at=from_millis(at), pack=pack, failed_parts=frozenset(failed_parts))
        except (ValueError, TypeError):
            continue


def _digest(values: list[object]) -> str:
    return sha256(json.dumps(values).encode()).hexdigest()[:16]


def _last_byte(handle: int, size: int) -> bytes:
    return os.pread(handle, 1, size - 1)
