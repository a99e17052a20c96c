"""The archive: every document received, write-once, addressed by what it holds.

One *pack* is one file: the documents of one poll (one, or all of a fan-out), compressed together. Its key is the
SHA-256 over part, URL, status and SHA-256 of each document, so the same answers make the same pack, stored once.
A pack appears under its name whole or not at all: written aside, synced, renamed. Whatever is read is verified first.

Documents that hardly change are kept as differences from those before them. What a pack rests on is bounded in number
and in bytes (`archive_pack.parent`), so that none is slow to read.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from store.archive_pack import (
    PERIOD,
    PLAINLY_SMALL,
    SHARE,
    Pack,
    compress,
    decompress,
    depth,
    difference,
    fold,
    key_of,
    parent,
    seal,
    unfold,
    unseal,
)
from store.errors import ArchiveDamaged, StoreError
from store.records import Document

LARGEST = 256 * 2**20
"""Bytes of an uncompressed pack that will be kept or read: more than any poll may receive."""
LONGEST_WAY = 128 * 2**20
"""Bytes to decompress for one pack, with all that it rests on: some 50 ms."""
REMEMBERED = 16 * 2**20
"""Bytes of an uncompressed pack that is remembered, for the next one is likely a difference from it."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class Archive:
    """A folder of packs."""

    def __init__(self, root: Path, *, largest: int = LARGEST) -> None:
        self.root = root
        self._largest = largest
        self._last: tuple[str, bytes] | None = None
        """Key and content of the pack used last."""

    def keep(self, documents: Sequence[Document], base: str | None = None) -> str:
        """The key of the pack of these documents, which is on disk when this returns.

        `base` is the key of the source's pack before it, if there is one: where little changed, only that is kept.

        Raises: OSError if it cannot be written; StoreError if it is too large.
        """
        key = key_of(documents)
        path = self._path(key)
        if path.exists():
            return key
        whole = fold(documents)
        if len(whole) > self._largest:
            raise StoreError(f"documents of {len(whole)} bytes are too large to archive: at most {self._largest}")
        if _write(self.root, path, seal(self._packed(whole, base))):
            self._remember(key, whole)
        return key

    def documents(self, key: str, *, source: str, fetched_at: datetime) -> list[Document]:
        """The documents of a pack, each verified against its hash, as fetched at an instant.

        Raises: ArchiveDamaged if the pack, or one that it rests on, is missing or is not what its key says.
        """
        return self._content(key, source, fetched_at)[1]

    def keys(self) -> Iterator[str]:
        """The keys of all packs, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.glob("*.zst")):
                yield folder.name + path.stem

    def base_of(self, key: str) -> str | None:
        """The key of the pack that one is kept as a difference from; None if it stands alone.

        Raises: ArchiveDamaged.
        """
        return self._read(key).base

    def check(self) -> Iterator[str]:
        """A line for each pack that is damaged, or missing though others rest on it, in the memory of reading one."""
        resting: dict[str | None, list[tuple[int, str]]] = {}
        faults: dict[str, str] = {}
        for key in self.keys():
            try:
                pack = self._read(key)
            except ArchiveDamaged as error:
                faults[key] = str(error)
                continue
            resting.setdefault(pack.base, []).append((pack.ordinal, key))
        faults |= {key: str(self._missing(key)) for key in resting if key and not self._path(key).exists()}
        fresh = Archive(self.root, largest=self._largest)
        # Depth first, and the nearest difference first: what it is from was read just before.
        ahead = sorted(resting.get(None, ()), reverse=True)
        while ahead:
            _, key = ahead.pop()
            try:
                fresh._content(key, "", _NEVER)
            except ArchiveDamaged as error:
                faults[key] = str(error)
            else:
                ahead += sorted(resting.get(key, ()), reverse=True)
        for key, fault in sorted(faults.items()):
            count = _count(resting, key)
            yield f"{fault}; {count} more rest on it" if count else fault

    def _packed(self, whole: bytes, base: str | None) -> Pack:
        """The string as a pack: as a difference if there is one to be made and it is clearly smaller."""
        found = self._foundation(base, len(whole)) if base else None
        if found is None:
            return Pack(frame=compress(whole))
        ordinal, below, content = found
        frame = difference(whole, content)
        if len(frame) * PLAINLY_SMALL > len(whole):
            alone = compress(whole)
            if len(frame) > SHARE * len(alone):
                return Pack(frame=alone)
        return Pack(ordinal=ordinal, base=below, frame=frame)

    def _foundation(self, before: str, size: int) -> tuple[int, str, bytes] | None:
        """For a pack of some bytes after another: its ordinal, and key and content of what it is a difference from."""
        try:
            pack = self._read(before)
            ordinal = pack.ordinal + 1
            if ordinal >= PERIOD or (depth(ordinal) + 1) * size > LONGEST_WAY:
                return None
            while pack.base and pack.ordinal > parent(ordinal):
                before = pack.base
                pack = self._read(before)
            if self._last and self._last[0] == before:
                return ordinal, before, self._last[1]
            return ordinal, before, self._content(before, "", _NEVER)[0]
        except ArchiveDamaged:
            # Nothing to build on: what is received now is kept whole, and what is damaged is told when it is read.
            return None

    def _content(self, key: str, source: str, fetched_at: datetime) -> tuple[bytes, list[Document]]:
        """A pack as one string and as documents, verified.

        Raises: ArchiveDamaged, naming the file that is missing or damaged.
        """
        way: list[tuple[str, Pack]] = []
        below: str | None = key
        last = self._last
        while below and not (way and last and last[0] == below):
            pack = self._read(below)
            if way and pack.ordinal >= way[-1][1].ordinal:
                raise self._damaged(below)  # it would lead in a circle
            way.append((below, pack))
            below = pack.base
        start = last[1] if below and last else None
        try:
            whole, documents = self._rebuilt(way, start, source, fetched_at)
        except ArchiveDamaged:
            for number in range(len(way) - 1, 0, -1):  # is one that it rests on another than its name says?
                self._rebuilt(way[number:], start, source, fetched_at)
            raise
        self._remember(key, whole)
        return whole, documents

    def _rebuilt(
        self, way: Sequence[tuple[str, Pack]], start: bytes | None, source: str, fetched_at: datetime
    ) -> tuple[bytes, list[Document]]:
        """The first pack of a way, from the content that the way ends at (None: nothing), verified.

        Raises: ArchiveDamaged, naming the pack at which it shows.
        """
        content = start
        for key, pack in reversed(way):
            try:
                content = decompress(pack.frame, content, self._largest)
            except ValueError:
                raise self._damaged(key) from None
        key = way[0][0]
        whole = content or b""
        try:
            documents = unfold(whole, source=source, fetched_at=fetched_at)
            intact = key_of(documents) == key
        except (ValueError, TypeError, KeyError):
            intact = False
        if not intact:
            raise self._damaged(key)
        return whole, documents

    def _read(self, key: str) -> Pack:
        try:
            return unseal(self._path(key).read_bytes())
        except FileNotFoundError:
            raise self._missing(key) from None
        except ValueError:
            raise self._damaged(key) from None

    def _remember(self, key: str, whole: bytes) -> None:
        self._last = (key, whole) if len(whole) <= REMEMBERED else None

    def _missing(self, key: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"archived documents {key[:12]} are missing: {self._path(key)} is not there")

    def _damaged(self, key: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"archived documents {key[:12]} are damaged: {self._path(key)} is not what its name says")

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key[2:]}.zst"


def archive_root(store_path: Path) -> Path:
    """Where the archive of a SQLite store lies: `tape.db` has `tape.archive` beside it."""
    return store_path.with_suffix(".archive")


def _count(resting: dict[str | None, list[tuple[int, str]]], key: str) -> int:
    """How many packs rest on one, near or far."""
    count, ahead = 0, [key]
    while ahead:
        above = [one for _, one in resting.get(ahead.pop(), ())]
        count += len(above)
        ahead += above
    return count


def _write(root: Path, path: Path, data: bytes) -> bool:
    """Put a file under its name, durably, in one step; False if there is one by now, which stays as it is.

    One process at a time: others rest on the very bytes of a pack, so it is never replaced, and whatever lies aside was
    left by a killed process.
    """
    with _only_writer(root):
        if path.exists():
            return False
        changed = [path.parent] if path.parent.is_dir() else [path.parent, root]
        path.parent.mkdir(exist_ok=True)
        for left in path.parent.glob("*.tmp"):
            left.unlink()
        aside = path.with_suffix(".tmp")
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        for folder in changed:
            _sync(folder)
    return True


@contextmanager
def _only_writer(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
