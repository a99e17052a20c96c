"""The static files: a fixed list, each under a name that holds its hash, so that nobody need ask for it twice."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

FOREVER = "public, max-age=31536000, immutable"
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
NAMES = ("style.css", "tables.js", "chart.js", "icon.svg", "uplot-1.6.32.js", "uplot-1.6.32.css")


class Asset(NamedTuple):
    """A file that is served."""

    path: str
    """`/static/style.0123456789ab.css`."""
    media_type: str
    body: bytes


@cache
def assets() -> dict[str, Asset]:
    """All of them, by the name of the file."""
    folder = files("store.http.pages") / "static"
    found = {}
    for name in NAMES:
        body = (folder / name).read_bytes()
        stem, _, kind = name.rpartition(".")
        path = f"/static/{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{kind}"
        found[name] = Asset(path, _TYPES[kind], body)
    return found


@cache
def by_path() -> dict[str, Asset]:
    """All of them, by the path they are asked for by."""
    return {asset.path: asset for asset in assets().values()}
