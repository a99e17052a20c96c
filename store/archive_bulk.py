"""Many packs in one file: what a backfill writes, and what is left of packs that were thinned.

A file is one sealed pack after another (`archive_pack`), each a difference from one before it in the same file or
standing alone, and a table of where each is, in a frame that zstd itself skips. What a pack rests on is bounded as for
packs that are a file each; a file rests on nothing outside itself. Every byte of it is under a check.

It is written aside, compressed by a thread of its own, and appears under its name whole or not at all. While it is
written it is locked: one that is not was left by a killed process.
"""

import fcntl
import hashlib
import os
import queue
import struct
import tempfile
import threading
import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Generic, TypeVar

from store.archive_pack import (
    PERIOD,
    PLAINLY_SMALL,
    SHARE,
    SKIPPABLE,
    Folded,
    Pack,
    compress,
    decompress,
    depth,
    fold,
    folded,
    parent,
    quick_difference,
    seal,
    unseal,
)
from store.records import Document

LONGEST_WAY = 64 * 2**20
"""Bytes to decompress for one pack with all that it rests on, and at most as many are held to write the next."""
WAITING = 4
"""Polls that wait to be compressed before whoever brings more has to wait."""
W = TypeVar("W")
"""A string of documents, whole or in pieces."""
_HEAD = struct.Struct("<II")
_ENTRY = struct.Struct("<32sQI")
"""Key, offset, bytes."""
_FOOT = struct.Struct("<II")
"""Entries, CRC-32 of the table and of their number."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pack lies in a file."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a file has, and where."""

    path: Path
    entries: bytes
    """Of `_ENTRY`, by key."""

    def find(self, key: str) -> Place | None:
        """Where a pack lies, if it is here."""
        try:
            raw = bytes.fromhex(key)
        except ValueError:
            return None  # a damaged store may ask for anything
        at = bisect_left(range(len(self.entries) // _ENTRY.size), raw, key=self._key)
        return self._place(at)[1] if at * _ENTRY.size < len(self.entries) and self._key(at) == raw else None

    def packs(self) -> list[tuple[str, Place]]:
        """Every pack, in the order in which they are written."""
        found = (self._place(number) for number in range(len(self.entries) // _ENTRY.size))
        return sorted(found, key=lambda one: one[1].offset)

    def _key(self, number: int) -> bytes:
        return self.entries[number * _ENTRY.size : number * _ENTRY.size + 32]

    def _place(self, number: int) -> tuple[str, Place]:
        key, offset, size = _ENTRY.unpack_from(self.entries, number * _ENTRY.size)
        return key.hex(), Place(offset, size)


def read_table(path: Path) -> Table:
    """The table of a file.

    Raises: ValueError if it is not as it was written; OSError.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if end < _FOOT.size:
            raise ValueError("too short for packs")
        file.seek(end - _FOOT.size)
        foot = file.read(_FOOT.size)
        count, check = _FOOT.unpack(foot)
        size = count * _ENTRY.size
        begins = end - _FOOT.size - size - _HEAD.size
        if begins < 0:
            raise ValueError("too short for its table")
        file.seek(begins)
        head, entries = file.read(_HEAD.size), file.read(size)
    table = Table(path=path, entries=entries)
    sound = zlib.crc32(foot[:4], zlib.crc32(entries)) == check and head == _HEAD.pack(SKIPPABLE, size + _FOOT.size)
    if not sound or sum(place.size for _, place in table.packs()) != begins:
        raise ValueError("not a table as it was written")
    return table


@dataclass(slots=True)
class Chain(Generic[W]):
    """The strings that the next pack of a file may be a difference from: of the one before, and of what it rests on."""

    _held: list[tuple[str, int, W]] = field(default_factory=list)
    """Key, ordinal and string of each, that which stands alone first."""

    def reach(self, key: str) -> W | None:
        """The string of a pack, which is the last from now on; None if it is not held."""
        place = next((number for number, one in enumerate(self._held) if one[0] == key), None)
        if place is None:
            return None
        del self._held[place + 1 :]
        return self._held[-1][2]

    def add(self, key: str, pack: Pack, whole: W) -> None:
        """One more, a difference from the last or standing alone."""
        if pack.base is None:
            self._held.clear()
        self._held.append((key, pack.ordinal, whole))

    def before(self, size: int) -> tuple[str, int, W] | None:
        """For a next pack of some bytes: key, ordinal and string of what it is a difference from, if of any."""
        if not self._held:
            return None
        ordinal = self._held[-1][1] + 1
        if ordinal >= PERIOD or (depth(ordinal) + 1) * size > LONGEST_WAY:
            return None
        while self._held[-1][1] > parent(ordinal):
            self._held.pop()
        key, _, whole = self._held[-1]
        return key, ordinal, whole


class Reader:
    """Reads packs out of files; quickly, if in the order in which they were written."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._chain = Chain[bytes]()

    def read(self, table: Table, key: str, largest: int) -> bytes:
        """The string of a pack.

        Raises: ValueError if the file is not as it was written, or a pack holds more than `largest`; OSError.
        """
        if self._path != table.path:
            self._path, self._chain = table.path, Chain[bytes]()
        if (whole := self._chain.reach(key)) is not None:
            return whole
        way: list[tuple[str, Pack]] = []
        below: str | None = key
        content: bytes | None = None
        with table.path.open("rb") as file:
            while below is not None and (content := self._chain.reach(below)) is None:
                place = table.find(below)
                if place is None:
                    raise ValueError(f"{below[:12]} is not there")
                file.seek(place.offset)
                pack = unseal(file.read(place.size))
                if way and pack.ordinal >= way[-1][1].ordinal:
                    raise ValueError("packs that rest on one another")
                way.append((below, pack))
                below = pack.base
        whole = content or b""
        for one, pack in reversed(way):
            whole = decompress(pack.frame, content, largest)
            self._chain.add(one, pack, whole)
            content = whole
        return whole


@dataclass(slots=True)
class Writer:
    """Packs on their way into one file."""

    file: IO[bytes]
    _entries: list[bytes] = field(default_factory=list)
    _offset: int = 0
    _chain: Chain[Folded] = field(default_factory=Chain)

    def add(self, key: str, whole: Folded) -> None:
        """One more pack, by the string that it is."""
        pack = self._packed(whole)
        sealed = seal(pack)
        self._entries.append(_ENTRY.pack(bytes.fromhex(key), self._offset, len(sealed)))
        self._offset += len(sealed)
        self.file.write(sealed)
        self._chain.add(key, pack, whole)

    def _packed(self, whole: Folded) -> Pack:
        found = self._chain.before(whole.size)
        if found is None:
            return Pack(frame=compress(whole.whole, quick=True))
        base, ordinal, content = found
        frame = quick_difference(whole, content)
        if len(frame) * PLAINLY_SMALL > whole.size:
            alone = compress(whole.whole, quick=True)
            if len(frame) > SHARE * len(alone):
                return Pack(frame=alone)
        return Pack(ordinal=ordinal, base=base, frame=frame)

    def finish(self) -> str:
        """Write the table, and make sure that all is on disk; the name that the file is to have."""
        table = b"".join(sorted(self._entries))
        count = struct.pack("<I", len(self._entries))
        check = zlib.crc32(count, zlib.crc32(table))
        self.file.write(_HEAD.pack(SKIPPABLE, len(table) + _FOOT.size) + table + count + struct.pack("<I", check))
        self.file.flush()
        os.fsync(self.file.fileno())
        return hashlib.sha256(table).hexdigest()


class Thread:
    """A writer in a thread of its own, which holds up nobody until some polls wait for it.

    It is made by one process at a time: another could take what is not yet locked for something left behind.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        handle, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(handle, "wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._waiting: queue.Queue[tuple[str, bytes | Sequence[Document]] | None] = queue.Queue(WAITING)
        self._error: Exception | None = None
        self._name = ""
        self._whole = False
        """All was brought that is to be in the file."""
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()

    def put(self, key: str, what: bytes | Sequence[Document]) -> None:
        """One more pack, as documents or as the string that it is.

        Raises: what went wrong with one before.
        """
        if self._error is not None:
            raise self._error
        self._waiting.put((key, what))

    def finish(self, put_in_place: Callable[[Path, str], None]) -> None:
        """Wait for all of it, and put the file under its name.

        Raises: what went wrong with any of it, with nothing left.
        """
        try:
            self.wait()
            put_in_place(self.path, self._name)
        finally:
            self.abandon()

    def wait(self) -> None:
        """Wait until all of it is on disk, aside.

        Raises: what went wrong with any of it.
        """
        self._whole = True
        self._stop()
        if self._error is not None:
            raise self._error

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def abandon(self) -> None:
        """Leave nothing, but for what is in place."""
        self._stop()
        with suppress(FileNotFoundError):
            self.path.unlink()
        with suppress(OSError):  # it was told already that it cannot be written
            self._file.close()

    def _run(self) -> None:
        writer = Writer(self._file)
        while (one := self._waiting.get()) is not None:
            if self._error is None:
                self._add(writer, *one)
        if self._whole and self._error is None:
            try:
                self._name = writer.finish()
            except OSError as error:
                self._error = error

    def _add(self, writer: Writer, key: str, what: bytes | Sequence[Document]) -> None:
        try:
            writer.add(key, folded(what) if isinstance(what, bytes) else fold(what))
        except Exception as error:  # noqa: BLE001 - raised again where the next pack is brought
            self._error = error


def sweep(folder: Path) -> None:
    """Remove what killed processes left aside: nobody holds it."""
    for path in folder.glob("*.tmp"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
