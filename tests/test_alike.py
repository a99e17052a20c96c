"""Where two strings are alike is found as far as it is worth it, and never where they are not."""

import random

from hypothesis import given
from hypothesis import strategies as st

from store.alike import LEAST, REACH, Stretch, alike

BLOCKS = [random.Random(seed).randbytes(LEAST // 2) for seed in range(8)]
TEXT = random.Random(8).randbytes(400_000)


def of_blocks() -> st.SearchStrategy[bytes]:
    """Strings that have much in common, in any order."""
    block = st.one_of(st.sampled_from(BLOCKS), st.binary(max_size=3))
    return st.lists(block, max_size=30).map(b"".join)


@given(of_blocks(), of_blocks())
def test_what_is_found_is_alike_in_order_and_worth_it(one: bytes, other: bytes) -> None:
    start = old = 0
    for found in alike(one, other):
        assert found.start >= start
        assert found.old >= old
        assert found.size >= LEAST or one == other
        start, old = found.start + found.size, found.old + found.size
        assert one[found.start : start] == other[found.old : old]
    assert start <= len(one)
    assert old <= len(other)


def test_equal_strings_are_one_stretch_however_short() -> None:
    assert list(alike(b"a", b"a")) == [Stretch(0, 0, 1)]
    assert list(alike(TEXT, TEXT)) == [Stretch(0, 0, len(TEXT))]


def test_behind_what_was_changed_put_in_or_taken_out_both_go_on_alike() -> None:
    changed = TEXT[:100_000] + b"changed" + TEXT[100_007:]
    longer = TEXT[:100_000] + BLOCKS[0] * 9 + TEXT[100_000:]
    shorter = TEXT[:100_000] + TEXT[105_000:]
    for edited in (changed, longer, shorter):
        one, other = alike(edited, TEXT)
        assert (one.start, one.old, one.size) == (0, 0, 100_000)
        assert other.start + other.size == len(edited)
        assert other.old + other.size == len(TEXT)
        assert other.start < 110_000


def test_what_goes_on_out_of_reach_is_not_looked_for() -> None:
    apart = TEXT[:100_000] + random.Random(9).randbytes(3 * REACH) + TEXT[100_000:]
    assert list(alike(apart, TEXT)) == [Stretch(0, 0, 100_000)]
    assert list(alike(TEXT, apart)) == [Stretch(0, 0, 100_000)]


def test_what_has_nothing_in_common_has_no_stretch() -> None:
    assert list(alike(TEXT[:200_000], TEXT[200_000:])) == []
    assert list(alike(b"", TEXT)) == []
    assert list(alike(TEXT, b"")) == []
