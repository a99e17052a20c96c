"""A JSON document that is one object of many members, cut into pieces that can be read one by one.

The text between the outer braces is cut at commas that look like the end of a member. An object is its members between
braces, with commas between them; so where each piece alone, put in braces, is a sound object that has members, the
whole is one, and its members are those of all pieces, whichever commas it was cut at. A cut at a wrong place (in a
text, in a deeper object) can only leave a piece that does not stand alone. What remains to be seen to is that no key
stands in two pieces.
"""

import re
from dataclasses import dataclass

from store.alike import alike

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
    last = body.rfind(end, opening.end(), closing)
    behind = body[last + len(end) : closing].rstrip(_SPACE)
    comma, rest = behind[:1], behind[1:]
    if last < 0 or comma not in (b"", b",") or bool(comma) != bool(rest):
        return None
    return Cut(body[opening.end() : last], end, rest)


def differing(before: Cut | None, now: Cut) -> tuple[list[bytes], list[bytes]]:
    """The pieces of each but for those in long stretches that both have.

    Finding them so is quicker than cutting it all: mostly, little is between.
    """
    if before is None or before.end != now.end:
        return ([] if before is None else before.pieces()), now.pieces()
    separator = now.end + b","
    old: list[bytes] = []
    new: list[bytes] = []
    start = old_start = 0
    for one in alike(now.members, before.members):
        first = now.members.find(separator, one.start, one.start + one.size)
        if first < 0:
            continue
        last = now.members.rfind(separator, one.start, one.start + one.size) + len(separator)
        new += now.members[start:first].split(separator)
        old += before.members[old_start : first + one.old - one.start].split(separator)
        start, old_start = last, last + one.old - one.start
    new += now.members[start:].split(separator)
    old += before.members[old_start:].split(separator)
    return old, new
