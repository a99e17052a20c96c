"""Upstream text made safe to show: it is hostile until proven otherwise."""

import unicodedata

ELLIPSIS = "…"


def printable(text: str) -> str:
    """`text` with control, format and surrogate characters shown as escapes (`\\x1b`, `\\u202e`)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if unicodedata.category(char)[0] != "C" and char not in "\u2028\u2029" else _escape(char) for char in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line: printable, white space folded, at most `limit` characters."""
    folded = printable(" ".join(text.split()))
    return folded if len(folded) <= limit else folded[: limit - 1] + ELLIPSIS
