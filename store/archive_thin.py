"""Packs dropped from an archive, and the rest of it left as small and as readable as before.

What is dropped may be what others are differences from, or lie in one file with others. Those are written anew first,
many in a file; only when that is on disk are the old files removed. Both are readable in between, under the same keys:
whoever stops half way leaves an archive that is larger than it need be, and no other harm.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from store.archive import Archive
from store.archive_bulk import Table

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


def write_anew(
    archive: Archive, files: Iterable[Sequence[str]], put_in_place: Callable[[Path, str], None], progress: Progress
) -> int:
    """Write packs into files, each in the order given, and put them in place one by one; their bytes.

    Raises: ArchiveDamaged if one of them cannot be read; OSError.
    """
    wanted = [keys for keys in files if keys]
    size = done = 0
    for keys in wanted:
        thread = archive.start()
        try:
            for key in keys:
                thread.put(key, archive.content(key))
                done += 1
                progress(done, sum(map(len, wanted)))
        except BaseException:
            thread.abandon()
            raise

        def measured(aside: Path, name: str) -> None:
            nonlocal size
            size += aside.stat().st_size
            put_in_place(aside, name)

        thread.finish(measured)
    return size


def superfluous(archive: Archive, thin: Thinning, kept: Collection[str]) -> Iterator[Path]:
    """The files that can go now, those of packs written anew first.

    `kept` are packs that something has come to need since: they stay, with all that they rest on.
    """
    gone = thin.dropped.difference(kept)
    bases = archive.bases()
    elsewhere = {key for table in archive.tables() if table not in thin.tables for key, _ in table.packs()}
    removable = (gone | (thin.alone & elsewhere)) & bases.keys()
    needed = {below for key in bases.keys() - removable for below in _below(bases, key)}
    yield from map(archive.path, sorted(removable - needed, key=lambda key: (key in gone, key)))
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
