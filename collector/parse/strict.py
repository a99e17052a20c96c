"""The one reader of JSON: what is not exactly one sound document is refused whole.

The standard reader takes `NaN`, lets the last of two equal keys win, turns `1e400` into infinity and gives up with a
`RecursionError` on deep nesting. A price list with any of these is not the list its source has always sent.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from itertools import accumulate
from typing import NoReturn, TypeAlias

from collector.decode import text_of
from collector.errors import SourceChanged
from collector.parse.amounts import Number
from collector.parse.doubt import describe
from store.records import Document

Json: TypeAlias = "bool | int | Decimal | str | list[Json] | dict[str, Json] | None"

DEPTH = 64
"""Levels of nesting."""
DIGITS = 40
"""Digits of a whole number."""

_DEEPER = bytes(range(256)).translate(None, b'[]{}"')
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ABOUT_ERRORS = {"error", "errors", "message", "msg", "code", "status", "success", "detail", "request_id", "type"}


def read_json(document: Document) -> Json:
    """The value of a JSON document; numbers are `int` or `Decimal` (a `Number`, with its own text), never `float`.

    Raises: SourceChanged for anything else than one whole JSON value that says something: HTML (`content_type`),
        nothing at all, `null`, `[]` or `{}` (`empty`), an error message (`error_body`), and for NaN, a key that stands
        twice, more than 64 levels, a number of more than 40 digits, half a surrogate pair, trailing bytes (`json`).
    """
    return read_json_text(text_of(document), document.source)


def read_json_text(text: str, source: str) -> Json:
    """As `read_json`, of text that is decoded already."""
    start = text[:4096].lstrip()
    if start.startswith("<"):
        raise SourceChanged(f"{source}: JSON wanted, markup there: {start[:80]}", code="content_type")
    if len(text) <= 4096 and not start:
        raise SourceChanged(f"{source}: the body is empty", code="empty")
    if text.count("{") + text.count("[") > DEPTH and _depth(text) > DEPTH:
        raise SourceChanged(f"{source}: JSON nested deeper than {DEPTH} levels", code="json")
    try:
        value: Json = _DECODER.decode(text)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise SourceChanged(f"{source}: not one sound JSON document: {error}", code="json") from None
    if _SURROGATE.search(text) is not None:
        _whole_characters(value, source)
    if value is None or value in ([], {}):
        raise SourceChanged(f"{source}: the body says nothing: {describe(value)}", code="empty")
    if isinstance(value, Mapping) and ("error" in value or "errors" in value) and value.keys() <= _ABOUT_ERRORS:
        said = value.get("error", value.get("errors"))
        raise SourceChanged(
            f"{source}: an error message in place of data: {json.dumps(said, default=str)}"[:400], code="error_body"
        )
    return value


def _depth(text: str) -> int:
    """Levels of nesting, at the speed of C: what is left of the text is its brackets outside strings."""
    marks = text.encode("utf-8", "surrogatepass").replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _DEEPER)
    brackets = b"".join(marks.split(b'"')[::2])
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {key!r} stands twice in one object")
    return value


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=_whole, parse_constant=_refuse, object_pairs_hook=_object)
"""Made once: of a long history thousands of small pieces are read."""


def _whole_characters(value: Json, source: str) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if any("\ud800" <= char <= "\udfff" for char in one):
                raise SourceChanged(f"{source}: half a surrogate pair in {one[:80]!r}", code="json")
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, Mapping):
            waiting.extend(one.keys())
            waiting.extend(one.values())
