"""Where a store is, from the URL or the path that names it."""

from pathlib import Path

from store.errors import StoreError

_PREFIX = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///tape.db`, `sqlite:////var/lib/tape.db` or a plain path; `~` is the home folder.

    Raises: StoreError for another engine, an empty path, or one that cannot be.
    """
    if "://" in url and not url.startswith(_PREFIX):
        raise StoreError(f"{url.partition('://')[0]}:// is not supported: a store is sqlite:///PATH")
    path = url.removeprefix(_PREFIX)
    if not path or "\0" in path:
        raise StoreError("the store has no path: write sqlite:///PATH")
    file = expanded(path)
    try:
        file.exists()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise StoreError(f"{path}: {error.strerror}") from None
    return file


def expanded(path: str) -> Path:
    """A path whose leading `~` is the home folder.

    Raises: StoreError if there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise StoreError(f"{path}: there is no such home folder") from None
