"""Where a store is, and the archive of its documents, from the URL or the path that names it."""

import os
from pathlib import Path
from urllib.parse import quote

from store.errors import StoreError

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def is_postgres(url: str) -> bool:
    """Whether a URL names a store in PostgreSQL."""
    return url.startswith(_POSTGRES)


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///tape.db`, `sqlite:////var/lib/tape.db` or a plain path; `~` is the home folder.

    Raises: StoreError for another engine, an empty path, or one that cannot be.
    """
    if "://" in url and not url.startswith(_SQLITE):
        scheme = url.partition("://")[0]
        raise StoreError(f"{scheme}:// is not supported: a store is sqlite:///PATH or postgresql://USER@HOST/DATABASE")
    path = url.removeprefix(_SQLITE)
    if not path or "\0" in path:
        raise StoreError("the store has no path: write sqlite:///PATH")
    file = expanded(path)
    try:
        file.exists()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise StoreError(f"{path}: {error.strerror}") from None
    return file


def archive_folder(url: str, configured: str = "") -> Path:
    """The folder of the documents of a store: as configured, or else beside it.

    Beside `tape.db` that is `tape.archive`. A database has nothing beside it: its documents are kept on this machine,
    in `$XDG_DATA_HOME/tokentape/DATABASE.archive` (`~/.local/share/tokentape/DATABASE.archive`). Where several machines
    share a store, configure a folder that they share as well.

    Raises: StoreError for a URL or a path that cannot be.
    """
    if configured:
        return expanded(configured)
    if not is_postgres(url):
        from store.archive import archive_root  # brings a decompressor

        return archive_root(sqlite_path(url))
    from store.postgres import database_of

    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return expanded(data) / "tokentape" / f"{quote(database_of(url), safe='')}.archive"


def expanded(path: str) -> Path:
    """A path whose leading `~` is the home folder.

    Raises: StoreError if there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise StoreError(f"{path}: there is no such home folder") from None
