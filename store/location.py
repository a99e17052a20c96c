"""Where a store is, from the URL or the path that names it."""

from pathlib import Path

from store.errors import StoreError

_PREFIX = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///tape.db`, `sqlite:////var/lib/tape.db` or a plain path; `~` is the home folder.

    Raises: StoreError for another engine or an empty path.
    """
    if "://" in url and not url.startswith(_PREFIX):
        raise StoreError(f"{url.partition('://')[0]}:// is not supported: a store is sqlite:///PATH")
    path = url.removeprefix(_PREFIX)
    if not path or "\0" in path:
        raise StoreError("the store has no path: write sqlite:///PATH")
    return Path(path).expanduser()
