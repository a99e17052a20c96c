"""Where two strings of bytes are alike: what versions of a document have in common is long, and in the same order.

Whoever compares two versions gets through what is alike at the speed of memory, and looks behind a change for where
both go on. What is found is alike byte for byte; what is not found may be alike all the same, and is not made use of.
"""

from collections.abc import Iterator
from typing import NamedTuple

LEAST = 1 << 10
"""Bytes of a stretch: as many are looked for behind a change, and so many seldom stand there twice."""
REACH = 1 << 17
"""Bytes behind a change in which both have to go on alike."""
_STEP = 1 << 14
"""Bytes compared at once: slices are copies, and such ones stay in the cache."""


class Stretch(NamedTuple):
    """Bytes that both strings have."""

    start: int
    """In the one."""
    old: int
    """In the other."""
    size: int


def alike(one: bytes, other: bytes) -> Iterator[Stretch]:
    """Stretches that both have, of `LEAST` bytes or more or all there is, each behind the one before in both."""
    if one == other:
        yield Stretch(0, 0, len(one))
        return
    start, old = 0, 0
    while True:
        size = _alike_from(one, start, other, old)
        if size >= LEAST:
            yield Stretch(start, old, size)
        start, old = start + size, old + size
        found, passed = -1, LEAST // 2
        while found < 0:
            passed *= 2
            if passed > REACH or start + passed + LEAST > len(one):
                return
            wanted = one[start + passed : start + passed + LEAST]
            found = other.find(wanted, old, old + passed + REACH)
        start, old = start + passed, found


def _alike_from(one: bytes, start: int, other: bytes, old: int) -> int:
    """How many bytes are alike from there on."""
    least, most = 0, min(len(one) - start, len(other) - old)
    while least < most and one[start + least : start + least + _STEP] == other[old + least : old + least + _STEP]:
        least += _STEP
    most = min(most, least + _STEP)
    while least < most:
        middle = (least + most + 1) // 2
        if one[start + least : start + middle] == other[old + least : old + middle]:
            least = middle
        else:
            most = middle - 1
    return most
