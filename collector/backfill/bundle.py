"""A bundle of answers, taken apart without touching a letter of them."""

import json
from collections.abc import Iterator, Mapping

_DECODER = json.JSONDecoder()


def read_bundle(body: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """(id -> its answer to the letter, alias -> id).

    Raises: ValueError, IndexError, RecursionError if it is no bundle.
    """
    text = body.decode()
    whole = dict(_members(text, 0))
    aliases = json.loads(whole["aliases"]) if "aliases" in whole else {}
    if not isinstance(aliases, Mapping) or not all(isinstance(one, str) for one in aliases.values()):
        raise ValueError("aliases: wanted an object of texts")
    if "models" not in whole:
        raise ValueError("models: is not there")
    return {name: answer.encode() for name, answer in _members(whole["models"], 0)}, dict(aliases)


def _members(text: str, start: int) -> Iterator[tuple[str, str]]:
    """The members of a JSON object, each value as it stands there: a number read and written again may be another."""
    at = _skip(text, start)
    if text[at] != "{":
        raise ValueError("wanted an object")
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not isinstance(name, str) or text[at] != ":":
            raise ValueError(f"wanted a name and its value at character {at}")
        begins = _skip(text, at + 1)
        _, ends = _DECODER.raw_decode(text, begins)
        yield name, text[begins:ends]
        at = _skip(text, ends)
        if text[at] == ",":
            at = _skip(text, at + 1)
        elif text[at] != "}":
            raise ValueError(f"wanted a comma at character {at}")


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at
