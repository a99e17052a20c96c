"""The archive: every document received, write-once, addressed by what it holds.

One *pack* is one file: the documents of one poll (one, or all of a fan-out), compressed together. Its key is the
SHA-256 over part, URL, status and SHA-256 of each document, so the same answers make the same pack, stored once.
A pack appears under its name whole or not at all: written aside, synced, renamed. Whatever is read is verified first.

Documents that hardly change are kept as differences from those before them. What a pack rests on is bounded in number
and in bytes (`archive_pack.parent`), so that none is slow to read. Where many polls come at once, their packs lie
together in one file (`archive_bulk`), each under the key that it has alone.
"""

import fcntl
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from store.archive_bulk import Reader, Table, Thread, read_table
from store.archive_pack import (
    HEAD_SIZE,
    PERIOD,
    PLAINLY_SMALL,
    SHARE,
    Pack,
    base_in,
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
HANDFUL = 8
"""Polls that are too few for a file of their own, and are kept one by one."""
BULK = "bulk"
"""The folder of files with many packs."""
_KEY = re.compile("[0-9a-f]{64}")
_NEVER = datetime.min.replace(tzinfo=UTC)


class Archive:
    """A folder of packs."""

    def __init__(self, root: Path, *, largest: int = LARGEST) -> None:
        self.root = root
        self._largest = largest
        self._last: tuple[str, bytes] | None = None
        """Key and content of the pack used last."""
        self._tables: dict[Path, Table] = {}
        self._reader = Reader()
        self._reading = threading.Lock()

    def keep(self, documents: Sequence[Document], base: str | None = None) -> str:
        """The key of the pack of these documents, which is on disk when this returns.

        `base` is the key of the source's pack before it, if there is one: where little changed, only that is kept.

        Raises: OSError if it cannot be written; StoreError if it is too large.
        """
        key = key_of(documents)
        path = self.path(key)
        if self.has(key):
            return key
        whole = fold(documents).whole
        self.refuse_large(len(whole))
        pack = self._packed(whole, base)
        with only_writer(self.root):
            if pack.base is not None and not self.has(pack.base):
                pack = Pack(frame=compress(whole))  # it was dropped just now
            if _write(self.root, path, seal(pack)):
                self._remember(key, whole)
        return key

    @contextmanager
    def bulk(self, base: str | None = None) -> Iterator["Bulk"]:
        """Keep many polls, in the order in which they resemble one another: all are on disk when this ends.

        Compressed by a second thread, in the memory of a few polls; where this ends by an error, nothing is kept.
        `base` is the key of the pack before the first, for those that turn out to be a handful.

        Raises: OSError if it cannot be written; StoreError if documents are too large.
        """
        bulk = Bulk(self, base)
        try:
            yield bulk
        except BaseException:
            bulk.abandon()
            raise
        bulk.finish()

    def has(self, key: str) -> bool:
        """Whether documents are kept under a key."""
        return self.path(key).exists() or self._find(key) is not None

    def documents(self, key: str, *, source: str, fetched_at: datetime) -> list[Document]:
        """The documents of a pack, each verified against its hash, as fetched at an instant.

        Raises: ArchiveDamaged if the pack, or one that it rests on, is missing or is not what its key says.
        """
        if not _KEY.fullmatch(key):
            raise ArchiveDamaged(f"{key[:80]!r} is no key of archived documents: run `tokentape verify`")
        return self._content(key, source, fetched_at)[1]

    def keys(self) -> Iterator[str]:
        """The keys of all packs, in order."""
        bulk = {key for table in self.tables() for key, _ in table.packs()}
        yield from sorted(bulk.union(self.alone()))

    def alone(self) -> Iterator[str]:
        """The keys of packs that are a file each, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.glob("*.zst")):
                yield folder.name + path.stem

    def tables(self) -> list[Table]:
        """Of each file with many packs, by name; one that is damaged is left out (`check` names it)."""
        found: dict[Path, Table] = {}
        for path in sorted((self.root / BULK).glob("*.zst")):
            try:
                found[path] = self._tables.get(path) or read_table(path)
            except (OSError, ValueError):
                continue
        self._tables = found
        return list(found.values())

    def bases(self) -> dict[str, str | None]:
        """Of each pack that is a file of its own: the key of the one that it is a difference from.

        One that is damaged seems to stand alone; `check` names it.
        """
        found: dict[str, str | None] = {}
        for key in self.alone():
            with suppress(FileNotFoundError), self.path(key).open("rb") as file:
                found[key] = base_in(file.read(HEAD_SIZE))
        return found

    def places(self) -> Iterator[tuple[str, Path]]:
        """Each pack with its file, which may be that of many."""
        for key in self.alone():
            yield key, self.path(key)
        for table in self.tables():
            for key, _ in table.packs():
                yield key, table.path

    def content(self, key: str) -> bytes:
        """The string that a pack is (`archive_pack.fold`), verified.

        Raises: ArchiveDamaged.
        """
        return self._content(key, "", _NEVER)[0]

    def check(self) -> Iterator[str]:
        """A line for each pack that is damaged, or missing though others rest on it, in the memory of reading one."""
        resting: dict[str | None, list[tuple[int, str]]] = {}
        faults: dict[str, str] = {}
        yield from self._check_bulk()
        for key in self.alone():
            try:
                pack = self._read(key)
            except ArchiveDamaged as error:
                faults[key] = str(error)
                continue
            resting.setdefault(pack.base, []).append((pack.ordinal, key))
        faults |= {key: str(self._missing(key)) for key in resting if key and not self.has(key)}
        fresh = Archive(self.root, largest=self._largest)
        # Depth first, and the nearest difference first: what it is from was read just before.
        elsewhere = {key for key in resting if key and not self.path(key).exists()}
        below = (None, *sorted(elsewhere - faults.keys()))
        ahead = sorted((one for key in below for one in resting.get(key, ())), reverse=True)
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

    def refuse_large(self, size: int) -> None:
        """Raises: StoreError for more bytes than are kept under one key."""
        if size > self._largest:
            raise StoreError(f"documents of {size} bytes are too large to archive: at most {self._largest}")

    def start(self) -> Thread:
        """A thread that writes a file with many packs, aside."""
        with only_writer(self.root):
            return Thread(self.root / BULK)

    def put_in_place(self, aside: Path, name: str) -> None:
        """Give a file with many packs, which is on disk, its name."""
        with only_writer(self.root):
            aside.rename(self.root / BULK / f"{name}.zst")
            sync(self.root / BULK)
            sync(self.root)

    def _check_bulk(self) -> Iterator[str]:
        for path in sorted((self.root / BULK).glob("*.zst")):
            try:
                table, reader = read_table(path), Reader()
                for key, _ in table.packs():
                    if not _is(key, reader.read(table, key, self._largest)):
                        yield str(_damaged(key, path))
            except (OSError, ValueError) as error:
                yield f"archive: {path} is not as it was written: {error}"

    def _find(self, key: str) -> Table | None:
        """The table of a file in which a pack lies among many."""
        for fresh in (False, True):  # another process may have written a file since
            for table in self.tables() if fresh else self._tables.values():
                if table.find(key) is not None:
                    return table
        return None

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
        try:
            return self._followed(key, source, fetched_at)
        except ArchiveDamaged:
            if self._find(key) is None:
                raise
            # Packs that are thinned lie in two places for a while, the old one no longer whole.
            return self._rebuilt([(key, self._read_bulk(key))], None, source, fetched_at)

    def _followed(self, key: str, source: str, fetched_at: datetime) -> tuple[bytes, list[Document]]:
        """A pack as one string and as documents, by way of all that it rests on."""
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
                content = decompress(pack.frame, content, self._largest) if pack.content is None else pack.content
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
            return unseal(self.path(key).read_bytes())
        except FileNotFoundError:
            return self._read_bulk(key)
        except ValueError:
            raise self._damaged(key) from None

    def _read_bulk(self, key: str) -> Pack:
        """A pack among many, which stands alone there."""
        while table := self._find(key):
            try:
                with self._reading:
                    return Pack(content=self._reader.read(table, key, self._largest))
            except FileNotFoundError:
                del self._tables[table.path]  # what is still kept of it lies in another file by now
            except (OSError, ValueError):
                raise _damaged(key, table.path) from None
        raise self._missing(key)

    def _remember(self, key: str, whole: bytes) -> None:
        self._last = (key, whole) if len(whole) <= REMEMBERED else None

    def _missing(self, key: str) -> ArchiveDamaged:
        return ArchiveDamaged(f"archived documents {key[:12]} are missing: {self.path(key)} is not there")

    def _damaged(self, key: str) -> ArchiveDamaged:
        found = None if self.path(key).exists() else self._find(key)
        return _damaged(key, found.path if found else self.path(key))

    def path(self, key: str) -> Path:
        """The file of a pack that has one of its own."""
        return self.root / key[:2] / f"{key[2:]}.zst"


class _There:
    """What an archive had when it was first asked: each look at the disk answers for many keys."""

    def __init__(self, archive: Archive) -> None:
        self._root = archive.root
        self._tables = archive.tables()
        self._alone: dict[str, frozenset[str]] = {}
        """Names of files, by folder."""

    def __contains__(self, key: str) -> bool:
        folder = key[:2]
        if folder not in self._alone:
            self._alone[folder] = frozenset(path.name for path in (self._root / folder).glob("*.zst"))
        return f"{key[2:]}.zst" in self._alone[folder] or any(table.find(key) for table in self._tables)


class Bulk:
    """Many polls on their way into the archive (see `Archive.bulk`)."""

    def __init__(self, archive: Archive, base: str | None) -> None:
        self._archive = archive
        self._base = base
        self._keys: set[str] = set()
        self._there = _There(archive)
        self._few: list[Sequence[Document]] = []
        self._thread: Thread | None = None

    def keep(self, documents: Sequence[Document]) -> str:
        """The key of the pack of these documents, which is on disk when the bulk ends, and cannot be read before.

        Raises: as `Archive.bulk`, also for documents brought before.
        """
        key = key_of(documents)
        if key in self._keys or key in self._there:
            return key
        self._archive.refuse_large(sum(len(one.body) for one in documents))
        self._keys.add(key)
        if self._thread is None and len(self._few) < HANDFUL:
            self._few.append(documents)
            return key
        if self._thread is None:
            self._thread = self._archive.start()
            for one in self._few:
                self._thread.put(key_of(one), one)
            self._few.clear()
        self._thread.put(key, documents)
        return key

    def finish(self) -> None:
        """Wait until all is on disk."""
        if self._thread is not None:
            self._thread.finish(self._archive.put_in_place)
        for documents in self._few:
            self._base = self._archive.keep(documents, self._base)

    def abandon(self) -> None:
        """Keep nothing."""
        if self._thread is not None:
            self._thread.abandon()


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


def _is(key: str, whole: bytes) -> bool:
    """Whether a string is that of the documents of a key."""
    try:
        return key_of(unfold(whole, source="", fetched_at=_NEVER)) == key
    except (ValueError, TypeError, KeyError):
        return False


def _damaged(key: str, path: Path) -> ArchiveDamaged:
    return ArchiveDamaged(f"archived documents {key[:12]} are damaged: {path} is not what its name says")


def _write(root: Path, path: Path, data: bytes) -> bool:
    """Put a file under its name, durably, in one step; False if there is one by now, which stays as it is.

    By the only writer: others rest on the very bytes of a pack, so it is never replaced, and whatever lies aside was
    left by a killed process.
    """
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
    try:
        for folder in changed:
            sync(folder)
    except OSError:
        path.unlink()  # nothing rests on it yet: what is not known to be on disk is not there for the next one either
        raise
    return True


@contextmanager
def only_writer(root: Path) -> Iterator[None]:
    """Wait until no other process changes an archive, and let none do so meanwhile."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sync(folder: Path) -> None:
    """Make sure that what a folder lists is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
