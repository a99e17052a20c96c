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
from collections.abc import Iterable, Mapping
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
    pieces: Mapping[bytes, Mapping[str, File]]
    """What each piece of it holds, mostly one file."""
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
    pieces, files = (dict(before.pieces), dict(before.files)) if before else ({}, {})
    for piece in set(old).difference(new):
        for path in pieces.pop(piece):
            del files[path]
    for piece in set(new).difference(old):
        pieces[piece] = _read(found.text(piece), place)
        if not files.keys().isdisjoint(pieces[piece]):
            raise SourceChanged(f"{place}: {min(files.keys() & pieces[piece])} stands twice", code="json")
        files |= pieces[piece]
    return Folder(document.sha256, found, pieces, files)


def _read(text: bytes, place: str) -> dict[str, File]:
    """The files in a piece.

    Raises: SourceChanged.
    """
    try:
        members = read_json_text(str(text, "utf-8"), place)
    except UnicodeDecodeError:
        raise SourceChanged(f"{place}: not in UTF-8", code="json") from None
    if not isinstance(members, Mapping):
        raise SourceChanged(f"{place}: wanted files", code="json")
    return {path: _file(value, f"{place}: {path}") for path, value in members.items()}


def _file(value: object, place: str) -> File:
    if isinstance(value, Mapping) and value.keys() == {"mode", "text"}:
        mode, text = value["mode"], value["text"]
        if isinstance(mode, str) and isinstance(text, str):
            return File(mode, text)
    raise SourceChanged(f"{place}: wanted a mode and a text", code="json")
