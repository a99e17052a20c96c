"""A copy of a SQLite store and of its archive, made while both are written, and put back once it is proven whole.

A backup is a folder: `tape.db`, a snapshot of one moment; `archive`, with every document that it rests on; and
`SHA256SUMS`, which `sha256sum -c` reads too, of all that. The snapshot is taken first: what it rests on is in the
archive already, and nothing is dropped meanwhile.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import file_digest
from pathlib import Path

from store import seal
from store.archive import Archive, sync
from store.errors import StoreError, StoreForeign, StoreMissing, unwritten
from store.location import archive_folder, is_postgres, sqlite_path
from store.lock import only_daemon, only_pruner
from store.read import open_store

STORE, ARCHIVE, SUMS = "tape.db", "archive", "SHA256SUMS"

_PACKS = "SELECT DISTINCT pack FROM poll WHERE pack IS NOT NULL AND pruned IS NULL"


def back_up(url: str, archive: Path | None, folder: Path) -> int:
    """Write a backup into a new folder; how many files it has. Whole, or not there at all.

    `archive` None: beside the store.

    Raises: StoreMissing, StoreForeign, StoreError for a folder that is there already or cannot be written.
    """
    path, archive = _file(url), archive or archive_folder(url)
    with open_store(url):
        pass  # a store of this schema
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there already: name a new folder")
    aside = folder.with_name(f".{folder.name}.partial")
    with _told(folder):
        shutil.rmtree(aside, ignore_errors=True)
        (aside / ARCHIVE).mkdir(parents=True)
        try:
            with only_pruner(archive):
                _snapshot(path, aside / STORE)
                for file in _files(archive):
                    _copy(archive / file, aside / ARCHIVE / file)
            _missing(aside / STORE, Archive(aside / ARCHIVE))
            names = sorted(file.relative_to(aside).as_posix() for file in aside.rglob("*") if file.is_file())
            lines = [f"{_sum(aside / name)}  {name}\n" for name in names]
            with (aside / SUMS).open("w", encoding="utf-8") as sums:
                sums.writelines(lines)
                sums.flush()
                os.fsync(sums.fileno())
            _sync_folders(aside)
            with suppress(FileNotFoundError):
                folder.rmdir()
            aside.rename(folder)
            sync(folder.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return len(names)


def restore(folder: Path, url: str, archive: Path | None) -> int:
    """Put a backup back where no store is; how many files it has. The store appears last, and whole.

    An archive that is there stays: it lacks nothing then that it had, and what is missing comes back.

    Raises: StoreMissing if there is no such backup; StoreForeign if it is not what its sums say; StoreError if there is
    a store already, or nothing can be written.
    """
    path, archive = _file(url), archive or archive_folder(url)
    if path.exists():
        raise StoreError(f"{path} is there already: move it away first")
    sums = _sums(folder)
    for name in sums:
        if not (folder / name).is_file() or _sum(folder / name) != sums[name]:
            raise StoreForeign(f"{folder / name} is not what {SUMS} says: nothing was restored")
    _sealed(folder / STORE)
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.partial")
        with only_daemon(path):
            for log in ("-wal", "-shm"):  # of the store that was there: not of this one
                path.with_name(path.name + log).unlink(missing_ok=True)
            for name in sums:
                if name != STORE:
                    _copy(folder / name, archive / Path(name).relative_to(ARCHIVE))
            _missing(folder / STORE, Archive(archive))
            _sync_folders(archive)
            aside.unlink(missing_ok=True)  # of a run that was killed, of whatever backup
            _copy(folder / STORE, aside)
            aside.rename(path)
            sync(path.parent)
    return len(sums)


def _file(url: str) -> Path:
    if is_postgres(url):
        raise StoreError(
            f"a store in PostgreSQL is backed up by pg_dump, then its documents by a copy of {archive_folder(url)}"
        )
    return sqlite_path(url)


def _snapshot(path: Path, copy: Path) -> None:
    """The store as of one moment, by SQLite's own way: it is read like by any reader, and written to meanwhile."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    _sealed(copy)
    _sync_file(copy)


def _sealed(copy: Path) -> None:
    """Raises: StoreForeign if a store is not as it was written."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        for fault in seal.faults(connection):
            raise StoreForeign(f"{copy} is damaged: {fault}")


def _missing(store: Path, archive: Archive) -> None:
    """Raises: StoreForeign if a document is missing that a store rests on."""
    with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        for (key,) in connection.execute(_PACKS):
            if not archive.has(str(key)):
                raise StoreForeign(f"archived documents {str(key)[:12]} are missing: run `tokentape verify`")


def _files(archive: Path) -> list[Path]:
    """What an archive holds, without what lies aside."""
    found = sorted(path for path in archive.rglob("*") if path.is_file())
    return [path.relative_to(archive) for path in found if path.suffix in (".zst", ".jsonl")]


def _sums(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise StoreMissing(f"{folder} is no backup: it has no {SUMS}") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in sums:
        inside = name == STORE or (name.startswith(f"{ARCHIVE}/") and ".." not in Path(name).parts)
        if not inside:
            raise StoreForeign(f"{folder / SUMS} names {name!r}, which is no part of a backup: nothing was restored")
    if STORE not in sums:
        raise StoreForeign(f"{folder / SUMS} names no {STORE}: nothing was restored")
    return sums


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> None:
    """Put a copy under its name, durably, in one step, unless there is one."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{target.name}.tmp")
    shutil.copyfile(source, aside)
    _sync_file(aside)
    aside.rename(target)


def _sync_folders(root: Path) -> None:
    """Make sure that what was copied is listed on disk."""
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        sync(folder)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritten(place, error) from None
    except sqlite3.Error as error:
        raise StoreError(f"{place}: {error}") from None
