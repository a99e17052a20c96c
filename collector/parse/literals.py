"""Tables that documentation keeps as values of a script: `<DocTable columns={[...]} rows={[...]}/>`, `pricing: {...}`.

Only literals are read, nothing is evaluated: texts, numbers, lists, objects, `true`, `false`, `null`, a fragment such
as `<>{"$"}0.16</>` as the text it shows, and a call such as `html("$5")` as its argument. Anything else is refused.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from collector.errors import SourceChanged
from collector.parse.amounts import Number

Literal: TypeAlias = "Number | str | bool | list[Literal] | dict[str, Literal] | None"

DEPTH = 32

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?(?![\w.])", re.ASCII)
_WORD = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_FRAGMENT = re.compile(r"<>((?:\{\"[^\"\\{}]*\"\}|[^<>{}])*)</>")
_IN_FRAGMENT = re.compile(r"\{\"([^\"\\{}]*)\"\}")
_CODE = re.compile(r"u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "undefined": None}


class _Unread(ValueError):
    """What is no literal, and where."""


def attributes(text: str, component: str, source: str) -> Iterator[dict[str, Literal]]:
    """The attributes of every use of a component, as far as they are literals, in the order of the text.

    Raises: SourceChanged if one that is a list or an object has no end (`truncated`), or is none (`schema`).
    """
    for use in re.finditer(rf"<{component}\b", text):
        found: dict[str, Literal] = {}
        place = use.end()
        while (name := re.compile(r"\s*([\w:]+)(?:=)?").match(text, place)) is not None:
            place = name.end()
            if text[place - 1] != "=":
                continue
            braced = text.startswith("{", place)
            if braced and not text.startswith(("[", "{"), place + 1 + len(_space(text, place + 1))):
                place = _closing(text, place, source)  # a call or a name, which is no table
                continue
            found[name[1]], place = literal(text, place + braced, source)
            place += len(_space(text, place))
            if braced and not text.startswith("}", place):
                raise SourceChanged(f"{source}: <{component}> {name[1]}: the end of a value wanted", code="schema")
            place += braced
        if not re.compile(r"\s*/?>").match(text, place):
            raise SourceChanged(f"{source}: <{component}> has no end", code="truncated")
        yield found


def literal(text: str, place: int, source: str) -> tuple[Literal, int]:
    """The literal that begins at a place, and where it ends.

    Raises: SourceChanged if the text ends within it (`truncated`), or it is none (`schema`).
    """
    try:
        return _value(text, place, 0)
    except _Unread as unread:
        raise SourceChanged(f"{source}: a value in a script: {unread}", code="schema") from None
    except IndexError:
        raise SourceChanged(f"{source}: a value in a script has no end", code="truncated") from None


def _space(text: str, place: int) -> str:
    found = _SPACE.match(text, place)
    return found[0] if found else ""


def _value(text: str, place: int, depth: int) -> tuple[Literal, int]:
    if depth > DEPTH:
        raise _Unread(f"nested deeper than {DEPTH} levels")
    place += len(_space(text, place))
    if text[place] in "[{":
        return (_list if text[place] == "[" else _object)(text, place + 1, depth + 1)
    if text[place] in "\"'`":
        return _text(text, place)
    if (number := _NUMBER.match(text, place)) is not None:
        return Number(number[0]), number.end()
    if (fragment := _FRAGMENT.match(text, place)) is not None:
        return _IN_FRAGMENT.sub(r"\1", fragment[1]).strip(), fragment.end()
    return _word(text, place, depth)


def _word(text: str, place: int, depth: int) -> tuple[Literal, int]:
    """A word with a value, or a call with one argument, which is its value."""
    word = _WORD.match(text, place)
    if word is not None and word[0] in _WORDS:
        return _WORDS[word[0]], word.end()
    if word is None or text[word.end()] != "(":
        raise _Unread(f"no literal: {text[place : place + 40]!r}")
    value, place = _value(text, word.end() + 1, depth + 1)
    return value, _after(text, place, ")")


def _list(text: str, place: int, depth: int) -> tuple[list[Literal], int]:
    items: list[Literal] = []
    while text[place := place + len(_space(text, place))] != "]":
        item, place = _value(text, place, depth)
        items.append(item)
        place += len(_space(text, place))
        if text[place] == ",":
            place += 1
        elif text[place] != "]":
            raise _Unread(f"a comma wanted, there is {text[place : place + 40]!r}")
    return items, place + 1


def _object(text: str, place: int, depth: int) -> tuple[dict[str, Literal], int]:
    found: dict[str, Literal] = {}
    while text[place := place + len(_space(text, place))] != "}":
        word = _WORD.match(text, place)
        name, place = (word[0], word.end()) if word is not None else _text(text, place)
        if name in found:
            raise _Unread(f"{name!r} stands twice in one object")
        found[name], place = _value(text, _after(text, place, ":"), depth)
        place += len(_space(text, place))
        if text[place] == ",":
            place += 1
        elif text[place] != "}":
            raise _Unread(f"a comma wanted, there is {text[place : place + 40]!r}")
    return found, place + 1


def _text(text: str, place: int) -> tuple[str, int]:
    quote = text[place]
    if quote not in "\"'`":
        raise _Unread(f"a name wanted, there is {text[place : place + 40]!r}")
    parts: list[str] = []
    place += 1
    while (char := text[place]) != quote:
        if char == "\\":
            place += 1
            code = _CODE.match(text, place)
            parts.append(chr(int(code[1] or code[2], 16)) if code else _ESCAPES.get(text[place], text[place]))
            place = code.end() - 1 if code else place
        elif quote == "`" and text.startswith("${", place):
            raise _Unread("a text that is reckoned")
        else:
            parts.append(char)
        place += 1
    try:
        return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16"), place + 1
    except UnicodeDecodeError:
        raise _Unread("half a surrogate pair") from None


def _after(text: str, place: int, sign: str) -> int:
    place += len(_space(text, place))
    if text[place] == ",":  # behind the last argument
        place += 1 + len(_space(text, place + 1))
    if text[place] != sign:
        raise _Unread(f"{sign!r} wanted, there is {text[place : place + 40]!r}")
    return place + 1


def _closing(text: str, place: int, source: str) -> int:
    """Behind the brace that closes the one at a place; braces in texts count as well, and must be pairs."""
    depth = 0
    for found in re.compile(r"[{}]").finditer(text, place):
        depth += 1 if found[0] == "{" else -1
        if not depth:
            return found.end()
    raise SourceChanged(f"{source}: an attribute of a component has no end", code="truncated")
