"""Keys in what comes back: how an answer may write what we sent, and taking it out.

Any character may stand as it is, percent-encoded, or as JSON or markup has it, in UTF-8 or UTF-16; a key may also stand
in base64, on its own or after other bytes.
"""

import base64
import re
from collections.abc import Iterable

_LENGTH = 8
"""Characters of the shortest key that is looked for: a shorter one is found in any text."""
_GONE = b"[key removed]"
_NAMED = {'"': b"quot", "&": b"amp", "'": b"apos", "<": b"lt", ">": b"gt"}
_OTHERWISE = {"+": b"-", "/": b"_"}
"""Characters of base64, and what stands for them where it is to be part of a URL."""


class Keys:
    """What must be in no answer: the words of headers."""

    def __init__(self, headers: Iterable[str]) -> None:
        words = {word for value in headers for word in value.split() if len(word) >= _LENGTH}
        self._forms = [form for word in sorted(words, key=len, reverse=True) for form in _forms(word)]

    def in_text(self, text: str) -> bool:
        """Whether a text repeats one."""
        return any(form.search(text.encode()) for form in self._forms)

    def removed(self, body: bytes) -> bytes:
        """A body without them; itself if it repeats none."""
        for form in self._forms:
            body = form.sub(_GONE, body)
        return body


def _forms(key: str) -> list[re.Pattern[bytes]]:
    raw = key.encode()
    inside = []
    for before in range(3):  # bytes of a group of three that come before it
        coded = base64.b64encode(bytes(before) + raw).decode()
        # Characters that depend on nothing but the key.
        inside.append(coded[-(-8 * before // 6) : 8 * (before + len(raw)) // 6])
    characters = [[_written(char) for char in key]]
    characters += [[_written(char, _OTHERWISE.get(char, b"")) for char in coded] for coded in inside]
    return [re.compile(rb"\0*".join(every)) for every in characters]


def _written(char: str, otherwise: bytes = b"") -> bytes:
    """A pattern of the ways to write a character."""
    code = ord(char)
    ways = [
        re.escape(char.encode()),
        rb"(?i:%%%02x)" % code,
        rb"\\(?:%b|(?i:u%04x))" % (re.escape(char.encode()) if not char.isalnum() else rb"(?!)", code),
        rb"&(?:#0*%d|#[xX]0*(?i:%x)%b);" % (code, code, b"|" + _NAMED[char] if char in _NAMED else b""),
        *([re.escape(otherwise)] if otherwise else []),
    ]
    return b"(?:" + b"|".join(ways) + b")"
