"""Packs dropped from an archive, and the rest of it left as small and as readable as before.

What is dropped may be what others are differences from, or lie in one file with others. Those are written anew first,
many in a file; only when that is on disk are the old files removed. Both are readable in between, under the same keys:
whoever stops half way leaves an archive that is larger than it need be, and no other harm.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store.archive import Archive, only_writer, sync
from store.archive_bulk import Table, Thread

Progress = Callable[[int, int], None]
"""Called with the packs written anew and those to be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinning:
    """What dropping packs takes."""

    dropped: frozenset[str]
    alone: frozenset[str]
    """Packs that stay and rest on one that does not."""
    tables: tuple[Table, ...]
    """Files with many packs, some of which do not stay."""

    @property
    def moved(self) -> frozenset[str]:
        """Packs that are to be written anew."""
        together = {key for table in self.tables for key, _ in table.packs()}
        return self.alone.union(together) - self.dropped


def thinning(archive: Archive, dropped: Collection[str]) -> Thinning:
    """What dropping packs takes."""
    gone = frozenset(dropped)
    bases = archive.bases()
    return Thinning(
        dropped=gone,
        alone=frozenset(key for key in bases if key not in gone and not gone.isdisjoint(_below(bases, key))),
        tables=tuple(table for table in archive.tables() if any(key in gone for key, _ in table.packs())),
    )


@contextmanager
def written_anew(
    archive: Archive, files: Iterable[Sequence[str]], progress: Progress
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Packs in files aside, each in the order given: their bytes, and what puts them in place; else nothing is left.

    Raises: ArchiveDamaged if one of them cannot be read; OSError.
    """
    wanted = [keys for keys in files if keys]
    count = sum(map(len, wanted))
    threads: list[Thread] = []
    done = 0

    def put_in_place() -> None:
        for thread in threads:
            thread.finish(archive.put_in_place)

    try:
        for keys in wanted:
            threads.append(archive.start())
            for key in keys:
                threads[-1].put(key, archive.content(key))
                done += 1
                progress(done, count)
            threads[-1].wait()
        yield sum(on_disk(thread.path) for thread in threads), put_in_place
    finally:
        for thread in threads:
            thread.abandon()


def freed_by(archive: Archive, thin: Thinning) -> int:
    """Bytes of the files that can go once all that is moved lies elsewhere."""
    return sum(
        on_disk(path) for path in _superfluous(archive, thin, thin.dropped, _elsewhere(archive, thin) | thin.moved)
    )


def remove(archive: Archive, thin: Thinning, kept: Collection[str]) -> int:
    """Remove the files that nobody needs any more; their bytes.

    `kept` are packs that something has come to need since: they stay, with all that they rest on.
    """
    freed = 0
    with only_writer(archive.root):
        paths = list(_superfluous(archive, thin, thin.dropped.difference(kept), _elsewhere(archive, thin)))
        for path in paths:
            freed += on_disk(path)
            path.unlink()
        for folder in {path.parent for path in paths}:
            sync(folder)
    return freed


def on_disk(path: Path) -> int:
    """Bytes that a file takes, in whole blocks."""
    return path.stat().st_blocks * 512


def _elsewhere(archive: Archive, thin: Thinning) -> frozenset[str]:
    """Packs in files that stay."""
    going = {table.path for table in thin.tables}
    return frozenset(key for table in archive.tables() if table.path not in going for key, _ in table.packs())


def _superfluous(archive: Archive, thin: Thinning, gone: frozenset[str], elsewhere: frozenset[str]) -> Iterator[Path]:
    """The files that can go; whatever rests on another before that."""
    bases = archive.bases()
    removable = (gone | (thin.alone & elsewhere)) & bases.keys()
    needed = {below for key in bases.keys() - removable for below in _below(bases, key)}
    depths = {key: sum(1 for _ in _below(bases, key)) for key in removable - needed}
    yield from map(archive.path, sorted(depths, key=lambda key: (-depths[key], key)))
    for table in thin.tables:
        if all(key in gone or key in elsewhere or key in bases for key, _ in table.packs()):
            yield table.path


def _below(bases: dict[str, str | None], key: str) -> Iterator[str]:
    """What a pack rests on, near or far."""
    seen = {key}
    below = bases.get(key)
    while below is not None and below not in seen:
        yield below
        seen.add(below)
        below = bases.get(below)
