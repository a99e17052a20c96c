"""A JSON document that is one object of many members, cut into pieces that can be read one by one.

The text between the outer braces is cut at commas that look like the end of a member. An object is its members between
braces, with commas between them; so where each piece alone, put in braces, is a sound object that has members, the
whole is one, and its members are those of all pieces, whichever commas it was cut at. A cut at a wrong place (in a
text, in a deeper object) can only leave a piece that does not stand alone. What remains to be seen to is that no key
stands in two pieces.
"""

import re
from dataclasses import dataclass

_SPACE = b" \t\r\n"
_OPENING = re.compile(rb'[ \t\r\n]*\{(?=[ \t\r\n]*\n([ \t]+)")')


@dataclass(frozen=True, slots=True)
class Cut:
    """An object, and where its members end."""

    members: bytes
    """Without the end of the last."""
    end: bytes
    """What each of them ends with: a line break, the space before a member, and a closing brace."""
    rest: bytes
    """What follows, which ends otherwise; empty if there is none."""

    def pieces(self) -> list[bytes]:
        """The members, each without its end."""
        return self.members.split(self.end + b",")

    def text(self, piece: bytes) -> bytes:
        """A piece as an object of its own."""
        return b"".join((b"{", piece, self.end, b"}"))


def cut(body: bytes) -> Cut | None:
    """A document that is written one member below the other; else None."""
    opening = _OPENING.match(body)
    closing = body.rfind(b"}")
    if opening is None or body[closing + 1 :].strip(_SPACE):
        return None
    end = b"".join((b"\n", opening[1], b"}"))
    inner = body[opening.end() : closing].rstrip(_SPACE)
    last = inner.rfind(end)
    comma, rest = inner[last + len(end) :][:1], inner[last + len(end) + 1 :]
    if last < 0 or comma not in (b"", b",") or bool(comma) != bool(rest):
        return None
    return Cut(inner[:last], end, rest)


def differing(before: Cut | None, now: Cut) -> tuple[list[bytes], list[bytes]]:
    """The pieces between those with which both begin and those with which both end.

    Finding them so is quicker than cutting it all: mostly, little is between.
    """
    if before is None or before.end != now.end:
        return ([] if before is None else before.pieces()), now.pieces()
    separator = now.end + b","
    alike = now.members.rfind(separator, 0, _alike_at_first(before.members, now.members))
    start = 0 if alike < 0 else alike + len(separator)
    old, new = before.members[start:], now.members[start:]
    alike = new.find(separator, len(new) - _alike_at_last(old, new))
    if alike >= 0:
        old, new = old[: alike - len(new)], new[:alike]
    return old.split(separator), new.split(separator)


def _alike_at_first(one: bytes, other: bytes) -> int:
    """With how many bytes both begin."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _alike_at_last(one: bytes, other: bytes) -> int:
    """With how many bytes both end."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[len(one) - middle : len(one) - least] == other[len(other) - middle : len(other) - least]:
            least = middle
        else:
            most = middle - 1
    return least
