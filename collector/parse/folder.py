"""A folder of a repository as one JSON document: each file under its path, with the mode and the text that git gives.

    {
      "providers/acme/models/one.toml": {
        "mode": "100644",
        "text": "name = \"One\"\n"
      }
    }

Mode `120000` is a symbolic link, whose text is where it leads. A byte that is no UTF-8 is written as half a surrogate
pair, which no sound document has: nothing is lost, and whoever reads it refuses it. One file stands below the other, so
that of two documents of a folder only the files that differ are read (`collector.parse.members`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from collector.errors import SourceChanged
from collector.parse.members import Cut, cut, differing
from collector.parse.strict import read_json_text
from store.records import Document

LINK = "120000"


class File(NamedTuple):
    """A file as git has it."""

    mode: str
    text: str


class Folder(NamedTuple):
    """A document of a folder, and what it holds."""

    sha256: str
    cut: Cut
    files: Mapping[str, File]
    """By their paths, from the top of the repository."""


def member(path: str, mode: str, body: bytes) -> str:
    """A file as it stands in the document of its folder."""
    text = body.decode("utf-8", "surrogateescape")
    return f'  {json.dumps(path)}: {{\n    "mode": {json.dumps(mode)},\n    "text": {json.dumps(text)}\n  }}'


def written(members: Iterable[str]) -> bytes:
    """The document of a folder, from its files in order."""
    return "".join(("{\n", ",\n".join(members), "\n}\n")).encode("ascii")


def read_folder(document: Document, before: Folder | None) -> Folder:
    """What the document of a folder holds; `before` is what is known of the same folder at another time.

    Raises: SourceChanged if it is not as `written` leaves it, or a text in it is no text.
    """
    if before is not None and before.sha256 == document.sha256:
        return before
    place = f"{document.source}: {document.part}"
    found = cut(document.body)
    if found is None or found.rest:
        raise SourceChanged(f"{place}: not a folder as it is archived", code="json")
    old, new = differing(before.cut if before else None, found)
    files = dict(before.files) if before else {}
    for path in _read(old, new, before.cut if before else found, place):
        del files[path]
    fresh = _read(new, old, found, place)
    if not files.keys().isdisjoint(fresh):
        raise SourceChanged(f"{place}: {min(files.keys() & fresh)} stands twice", code="json")
    return Folder(document.sha256, found, files | fresh)


def _read(pieces: Sequence[bytes], others: Sequence[bytes], found: Cut, place: str) -> dict[str, File]:
    """The files in those pieces that are not among others.

    Raises: SourceChanged.
    """
    files: dict[str, File] = {}
    for piece in set(pieces).difference(others):
        try:
            members = read_json_text(str(found.text(piece), "utf-8"), place)
        except UnicodeDecodeError:
            raise SourceChanged(f"{place}: not in UTF-8", code="json") from None
        if not isinstance(members, Mapping) or not files.keys().isdisjoint(members):
            raise SourceChanged(f"{place}: a file stands twice", code="json")
        files |= {path: _file(value, f"{place}: {path}") for path, value in members.items()}
    return files


def _file(value: object, place: str) -> File:
    if isinstance(value, Mapping) and value.keys() == {"mode", "text"}:
        mode, text = value["mode"], value["text"]
        if isinstance(mode, str) and isinstance(text, str):
            return File(mode, text)
    raise SourceChanged(f"{place}: wanted a mode and a text", code="json")
