"""The data that a page carries in its scripts, for pages that show no table.

Next.js pushes it piece by piece, `self.__next_f.push([1,"5:{...}\\n"])`: rows of JSON with a number in front.
"""

import json
import re
from collections.abc import Iterator, Mapping

from collector.decode import text_of
from collector.errors import SourceChanged
from collector.parse.markup import require_sound
from collector.parse.strict import Json, read_json_text
from store.records import Document

_PUSHED = re.compile(r"self\.__next_f\.push\(\[1,\s*(\"(?:[^\"\\]|\\.)*\")\s*\]\)", re.DOTALL)
_ROW = re.compile(r"^(?:[0-9a-f]+:)?([\[{].*)$", re.MULTILINE)


def objects(document: Document, key: str) -> list[Mapping[str, Json]]:
    """Every object with that key in what a page pushes, in its order.

    Raises: SourceChanged if the page is not whole, pushes nothing (`anchor`) or what cannot be read (`json`), or has no
        such object (`columns`).
    """
    text = text_of(document)
    require_sound(text, document.source)
    try:
        pieces = [json.loads(piece) for piece in _PUSHED.findall(text)]
    except ValueError as error:
        raise SourceChanged(f"{document.source}: data in scripts: {error}", code="json") from None
    if not pieces:
        raise SourceChanged(f"{document.source}: data in scripts wanted, there is none", code="anchor")
    found = [one for row in _rows("".join(pieces), document.source) for one in _with_key(row, key)]
    if not found:
        raise SourceChanged(
            f"{document.source}: an object with {key!r} wanted in its scripts, none there", code="columns"
        )
    return found


def _rows(pushed: str, source: str) -> Iterator[Json]:
    """The rows that are JSON; others are code, or text in which anything may stand."""
    for row in _ROW.findall(pushed):
        try:
            yield read_json_text(row, source)
        except SourceChanged:
            continue


def _with_key(value: Json, key: str) -> Iterator[Mapping[str, Json]]:
    if isinstance(value, dict):
        if key in value:
            yield value
        for item in value.values():
            yield from _with_key(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _with_key(item, key)
