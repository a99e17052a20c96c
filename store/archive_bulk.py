"""Many packs in one file: what a backfill writes, and what is left of packs that were thinned.

A file is a row of *segments*, each a zstd frame over the strings of packs (`archive_pack.fold`) one after another, and
a table of where each is, in a frame that zstd itself skips. What hardly differs from what stands before it in its
segment takes next to nothing; a segment is bounded, so that the last pack in it is not slow to read. A file rests on
nothing outside itself. Every byte of it is under a check.

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
from typing import IO

import zstandard

from store.archive_pack import SKIPPABLE, fold
from store.records import Document

SEGMENT = 64 * 2**20
"""Bytes of packs in one segment, if it is more than one: 10 ms to read to its end, or 50 where little repeats."""
LEVEL = 7
LONG_MATCH = 2048
"""Bytes worth pointing to far back: what the pack before has as well. Shorter ones are found near, or not at all."""
SAMPLED = 6
"""Of every 2**6 places one is remembered for matches far back."""
LARGEST_WINDOW = 26
"""log2 of the bytes that a match may lie back."""
WAITING = 4
"""Polls that wait to be compressed before whoever brings more has to wait."""
CHUNK = 2**20
_HEAD = struct.Struct("<II")
_ENTRY = struct.Struct("<32sIQQ")
"""Key; segment; bytes before it in there; bytes of its own."""
_SEGMENT = struct.Struct("<QI")
"""Bytes, CRC-32."""
_FOOT = struct.Struct("<III")
"""Entries, segments, CRC-32 of the table and of these two."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pack lies in a file."""

    segment: int
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a file has, and where."""

    path: Path
    entries: bytes
    """Of `_ENTRY`, by key."""
    segments: tuple[tuple[int, int, int], ...]
    """Offset, bytes and CRC-32 of each."""

    def find(self, key: str) -> Place | None:
        """Where a pack lies, if it is here."""
        raw = bytes.fromhex(key)
        at = bisect_left(range(len(self.entries) // _ENTRY.size), raw, key=self._key)
        return self._place(at)[1] if at * _ENTRY.size < len(self.entries) and self._key(at) == raw else None

    def packs(self) -> list[tuple[str, Place]]:
        """Every pack, in the order in which they are written."""
        found = (self._place(number) for number in range(len(self.entries) // _ENTRY.size))
        return sorted(found, key=lambda one: (one[1].segment, one[1].start))

    def _key(self, number: int) -> bytes:
        return self.entries[number * _ENTRY.size : number * _ENTRY.size + 32]

    def _place(self, number: int) -> tuple[str, Place]:
        key, segment, start, size = _ENTRY.unpack_from(self.entries, number * _ENTRY.size)
        return key.hex(), Place(segment, start, size)


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
        entries, segments, check = _FOOT.unpack(foot)
        size = entries * _ENTRY.size + segments * _SEGMENT.size
        begins = end - _FOOT.size - size - _HEAD.size
        if begins < 0:
            raise ValueError("too short for its table")
        file.seek(begins)
        head, table = file.read(_HEAD.size), file.read(size)
    sizes = [_SEGMENT.unpack_from(table, entries * _ENTRY.size + n * _SEGMENT.size) for n in range(segments)]
    sound = zlib.crc32(foot[:-4], zlib.crc32(table)) == check and sum(one for one, _ in sizes) == begins
    if not sound or head != _HEAD.pack(SKIPPABLE, size + _FOOT.size):
        raise ValueError("not a table as it was written")
    offset, places = 0, []
    for length, crc in sizes:
        places.append((offset, length, crc))
        offset += length
    return Table(path=path, entries=table[: entries * _ENTRY.size], segments=tuple(places))


class Reader:
    """Reads packs out of a file; quickly, if in the order in which they were written."""

    def __init__(self) -> None:
        self._at: tuple[Path, int] | None = None
        self._stream: zstandard.ZstdDecompressionReader | None = None
        self._position = 0

    def read(self, table: Table, place: Place, largest: int) -> bytes:
        """The string of a pack.

        Raises: ValueError if the file is not as it was written, or holds more than `largest`; OSError.
        """
        if place.size > largest or place.segment >= len(table.segments):
            raise ValueError(f"a pack of {place.size} bytes")
        try:
            if self._at != (table.path, place.segment) or place.start < self._position:
                self._open(table, place.segment)
            while self._position < place.start:
                self._some(min(CHUNK, place.start - self._position))
            found = bytearray()
            while len(found) < place.size:
                found += self._some(min(CHUNK, place.size - len(found)))
        except zstandard.ZstdError as error:
            self._at = None
            raise ValueError(str(error)) from None
        except BaseException:
            self._at = None
            raise
        return bytes(found)

    def _open(self, table: Table, segment: int) -> None:
        offset, size, check = table.segments[segment]
        with table.path.open("rb") as file:
            file.seek(offset)
            frame = file.read(size)
        if zlib.crc32(frame) != check:
            raise ValueError("a segment is not as it was written")
        self._stream = zstandard.ZstdDecompressor(max_window_size=1 << LARGEST_WINDOW).stream_reader(frame)
        self._at, self._position = (table.path, segment), 0

    def _some(self, size: int) -> bytes:
        assert self._stream is not None
        found = self._stream.read(size)
        if not found:
            raise ValueError("a segment is shorter than its table says")
        self._position += len(found)
        return found


@dataclass(slots=True)
class Writer:
    """Packs on their way into one file."""

    file: IO[bytes]
    segment: int = SEGMENT
    """Bytes of packs in a segment, if it is more than one."""
    _entries: list[bytes] = field(default_factory=list)
    _segments: list[bytes] = field(default_factory=list)
    _frame: "zstandard.ZstdCompressionObj | None" = None
    _started: int = 0
    """Bytes of strings in the segment."""
    _size: int = 0
    _check: int = 0

    def add(self, key: str, whole: bytes) -> None:
        """One more pack, by the string that it is."""
        if self._frame is not None and self._started + len(whole) > self.segment:
            self._end_segment()
        if self._frame is None:
            self._frame = _compressor(len(whole)).compressobj()
        self._entries.append(_ENTRY.pack(bytes.fromhex(key), len(self._segments), self._started, len(whole)))
        self._started += len(whole)
        self._put(self._frame.compress(whole))

    def finish(self) -> str:
        """Write the table, and make sure that all is on disk; the name that the file is to have."""
        if self._frame is not None:
            self._end_segment()
        table = b"".join((*sorted(self._entries), *self._segments))
        counts = struct.pack("<II", len(self._entries), len(self._segments))
        check = zlib.crc32(counts, zlib.crc32(table))
        self.file.write(_HEAD.pack(SKIPPABLE, len(table) + _FOOT.size) + table + counts + struct.pack("<I", check))
        self.file.flush()
        os.fsync(self.file.fileno())
        return hashlib.sha256(table).hexdigest()

    def _end_segment(self) -> None:
        assert self._frame is not None
        self._put(self._frame.flush())
        self._segments.append(_SEGMENT.pack(self._size, self._check))
        self._frame = None
        self._started = self._size = self._check = 0

    def _put(self, data: bytes) -> None:
        self._size += len(data)
        self._check = zlib.crc32(data, self._check)
        self.file.write(data)


def _compressor(size: int) -> zstandard.ZstdCompressor:
    """One for packs of about that many bytes: those before must be in reach."""
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            LEVEL,
            window_log=min(LARGEST_WINDOW, max(20, (4 * size).bit_length())),
            enable_ldm=True,
            ldm_min_match=LONG_MATCH,
            ldm_hash_rate_log=SAMPLED,
        )
    )


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
        self._whole = True
        self._stop()
        try:
            if self._error is not None:
                raise self._error
            put_in_place(self.path, self._name)
        finally:
            self._discard()

    def abandon(self) -> None:
        """Leave nothing."""
        self._stop()
        self._discard()

    def _stop(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _discard(self) -> None:
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
            writer.add(key, what if isinstance(what, bytes) else fold(what))
        except Exception as error:  # noqa: BLE001 - raised again where the next pack is brought
            self._error = error


def sweep(folder: Path) -> None:
    """Remove what killed processes left aside: nobody holds it."""
    for path in folder.glob("*.tmp"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
