"""Many packs in one file: under the keys they have alone, verified on the way out, whole or not at all."""

import fcntl
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.archive import BULK, HANDFUL, LARGEST, Archive
from store.archive_bulk import _ENTRY, LONGEST_WAY, Writer
from store.archive_pack import (
    PLACES,
    Folded,
    Pack,
    compress,
    decompress,
    fold,
    folded,
    quick_difference,
    seal,
    unseal,
)
from store.errors import ArchiveDamaged, StoreError
from store.records import Document
from tests.test_archive import AT, document, edited, packs, read, records

COUNT = HANDFUL + 12


def kept(root: Path, versions: Iterable[Sequence[Document]], *, largest: int = LARGEST) -> list[str]:
    """The keys of versions kept together."""
    with Archive(root, largest=largest).bulk() as bulk:
        return [bulk.keep(version) for version in versions]


def files(root: Path) -> list[Path]:
    return sorted((root / BULK).iterdir()) if (root / BULK).exists() else []


@settings(max_examples=40)
@given(
    versions=st.lists(
        st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.lists(st.integers(0, 30), max_size=30)), max_size=3),
        max_size=30,
    ),
    before=st.integers(0, 10),
)
def test_any_versions_come_back_under_the_keys_they_have_alone(
    tmp_path_factory: pytest.TempPathFactory, versions: list[list[tuple[str, list[int]]]], before: int
) -> None:
    root = tmp_path_factory.mktemp("archive")
    wanted = [[document(records(numbers), part) for part, numbers in parts] for parts in versions]
    alone = [Archive(root / "alone").keep(documents) for documents in wanted]
    archive = Archive(root / "archive")
    for documents in wanted[:before]:
        archive.keep(documents)
    assert kept(archive.root, wanted) == alone
    for key, documents in zip(alone, wanted, strict=True):
        assert read(archive.root, key) == documents
        assert archive.documents(key, source="acme", fetched_at=AT) == documents
    assert list(archive.keys()) == sorted(set(alone))
    assert list(archive.check()) == []


def test_many_versions_are_one_small_file(tmp_path: Path) -> None:
    kept(tmp_path, list(edited(COUNT)))
    (path,) = packs(tmp_path)
    assert path.parent.name == BULK
    assert path.stat().st_size < COUNT * 43 * 150 / 8


def test_a_handful_is_kept_as_polls_are(tmp_path: Path) -> None:
    versions = list(edited(HANDFUL + 1))
    archive = Archive(tmp_path)
    first = archive.keep(versions[0])
    with archive.bulk(first) as bulk:
        keys = [bulk.keep(version) for version in versions[1:]]
    assert archive.bases()[keys[0]] == first
    assert not files(tmp_path)


def test_the_same_documents_are_kept_once_whatever_they_lie_in(tmp_path: Path) -> None:
    versions = list(edited(COUNT))
    archive = Archive(tmp_path)
    keys = [archive.keep(versions[3]), *kept(tmp_path, [*versions, *versions])]
    sizes = {path: path.stat().st_size for path in packs(tmp_path)}
    assert kept(tmp_path, versions) == keys[1 : COUNT + 1]
    assert [archive.keep(version) for version in versions] == keys[1 : COUNT + 1]
    assert {path: path.stat().st_size for path in packs(tmp_path)} == sizes
    assert len(list(archive.keys())) == COUNT


def test_later_packs_rest_on_one_among_many(tmp_path: Path) -> None:
    *versions, last = edited(COUNT + 1)
    keys = kept(tmp_path, versions)
    archive = Archive(tmp_path)
    later = archive.keep(last, keys[-1])
    assert archive.bases()[later] == keys[-1]
    assert read(tmp_path, later) == last
    assert list(archive.check()) == []


def test_packs_are_read_in_any_order(tmp_path: Path) -> None:
    versions = list(edited(COUNT))
    keys = kept(tmp_path, versions)
    archive = Archive(tmp_path)
    for number in (7, 3, 4, 19, 0, 19, 18):
        assert archive.documents(keys[number], source="acme", fetched_at=AT) == versions[number]


def test_no_pack_rests_on_more_than_its_bound(tmp_path: Path) -> None:
    size = LONGEST_WAY // 6
    versions = [[document(bytes([version]) + bytes(size - 1000))] for version in range(HANDFUL + 3)]
    keys = kept(tmp_path, versions)
    (table,) = Archive(tmp_path).tables()
    data = table.path.read_bytes()
    found = [unseal(data[place.offset : place.offset + place.size]) for _, place in table.packs()]
    assert [pack.ordinal for pack in found] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    assert read(tmp_path, keys[5]) == versions[5]


def test_packs_of_a_file_that_lead_in_a_circle_are_damaged(tmp_path: Path) -> None:
    (tmp_path / BULK).mkdir()
    keys = [f"{number:064x}" for number in range(2)]
    sealed = [seal(Pack(ordinal=1, base=keys[1 - number], frame=compress(b"x"))) for number in range(2)]
    size = len(sealed[0])
    entries = [_ENTRY.pack(bytes.fromhex(key), number * size, size) for number, key in enumerate(keys)]
    with (tmp_path / BULK / "circle.zst").open("wb") as file:
        file.write(b"".join(sealed))
        Writer(file, entries).finish()
    with pytest.raises(ArchiveDamaged, match="damaged"):
        read(tmp_path, keys[0])


@pytest.mark.fault(132)
@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_flipped_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, position: int, flip: int) -> None:
    root = tmp_path_factory.mktemp("archive")
    keys = kept(root, list(edited(COUNT)))
    (path,) = files(root)
    damaged = bytearray(path.read_bytes())
    damaged[position % len(damaged)] ^= flip
    path.write_bytes(damaged)
    for key, version in zip(keys, edited(COUNT), strict=True):
        with suppress(ArchiveDamaged):  # and those that do not rest on the damaged one are whole
            assert read(root, key) == version
    assert [str(path) in line for line in Archive(root).check()] == [True]


@pytest.mark.parametrize("left", [0, 11, 100, 3000])
def test_cut_file_is_noticed(tmp_path: Path, left: int) -> None:
    kept(tmp_path, list(edited(COUNT)))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:left])
    assert [str(path) in line for line in Archive(tmp_path).check()] == [True]


def test_a_file_that_came_or_went_since_is_noticed(tmp_path: Path) -> None:
    *versions, last = edited(COUNT + 1)
    archive = Archive(tmp_path)
    assert not archive.has(archive.keep([document(b"other")])[::-1])
    keys = kept(tmp_path, versions)
    assert archive.documents(keys[5], source="acme", fetched_at=AT) == versions[5]
    (path,) = files(tmp_path)
    again = kept(tmp_path / "elsewhere", [*versions, last])
    (other,) = files(tmp_path / "elsewhere")
    path.unlink()
    with pytest.raises(ArchiveDamaged, match="missing"):
        archive.documents(keys[9], source="acme", fetched_at=AT)
    other.rename(path.with_name(other.name))
    assert archive.documents(again[6], source="acme", fetched_at=AT) == versions[6]


def test_an_error_of_the_caller_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[list[Document]]:
        yield from edited(COUNT)
        raise KeyError

    with pytest.raises(KeyError):
        kept(tmp_path, broken())
    assert files(tmp_path) == []
    assert list(Archive(tmp_path).keys()) == []


def test_too_large_documents_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="too large"):
        kept(tmp_path, [*edited(COUNT), [document(bytes(10_001))]], largest=10_000)
    assert packs(tmp_path) == []


def test_what_goes_wrong_while_writing_is_raised_where_more_is_brought(tmp_path: Path) -> None:
    script = (
        "import pathlib, resource, sys\n"
        "from store.archive import Archive\n"
        "from tests.test_archive import document, records\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    with Archive(pathlib.Path(sys.argv[1])).bulk() as bulk:\n"
        "        for number in range(100): bulk.keep([document(records(range(number * 100, number * 100 + 100)))])\n"
        "except OSError as error: print(number, error.strerror)"
    )
    signals = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    done = subprocess.run(
        [sys.executable, "-c", signals + script, tmp_path], capture_output=True, text=True, check=True
    )
    number, _, why = done.stdout.partition(" ")
    assert why == "File too large\n"
    assert HANDFUL < int(number) < 99
    assert files(tmp_path) == []


def test_what_a_killed_process_left_is_swept_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time; from store.archive import Archive; from tests.test_archive import edited\n"
        "with Archive(pathlib.Path(sys.argv[1])).bulk() as bulk:\n"
        f"    for version in edited({COUNT}): bulk.keep(version)\n"
        "    print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (half,) = files(tmp_path)
        with pytest.raises(BlockingIOError), half.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        kept(tmp_path, list(edited(COUNT, size=20)))
        assert half.exists()
        os.kill(other.pid, signal.SIGKILL)
    assert list(Archive(tmp_path).check()) == []
    keys = kept(tmp_path, list(edited(COUNT)))
    assert not half.exists()
    assert read(tmp_path, keys[-1]) == list(edited(COUNT))[-1]


# ---- Documents that two strings share --------------------------------------------------------------------------------


def many(edits: dict[int, str]) -> Folded:
    """A string of many documents, some of them edited; an empty one is left out."""
    bodies = {number: edits.get(number, f"{number:03} " * 400) for number in range(40)}
    return fold([document(body.encode(), f"part {number}") for number, body in bodies.items() if body])


@given(
    before=st.dictionaries(st.integers(0, 39), st.text(max_size=5)), now=st.dictionaries(st.integers(0, 39), st.text())
)
def test_any_string_of_documents_comes_back_from_a_quick_difference(
    before: dict[int, str], now: dict[int, str]
) -> None:
    base, whole = many(before), many(now)
    assert decompress(quick_difference(whole, base), base.whole, len(whole.whole)) == whole.whole


LONG = random.Random(7).randbytes(30_000).hex()


@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 9_000), st.text(max_size=9)), max_size=5),
    st.lists(st.sampled_from(["", "a", "b"]), min_size=1, max_size=4),
)
def test_any_edit_of_long_documents_comes_back_from_a_quick_difference(
    edits: list[tuple[int, int, str]], parts: list[str]
) -> None:
    edited = LONG
    for place, size, text in edits:
        edited = edited[:place] + text + edited[place + size :]
    base = fold([document(LONG.encode(), part) for part in ("", "a", "b")])
    whole = fold([document(edited.encode(), part) for part in parts])
    for one, other in ((whole, base), (base, whole)):
        assert decompress(quick_difference(one, other), other.whole, len(one.whole)) == one.whole


def test_what_is_left_of_a_long_document_is_what_was_edited() -> None:
    edited = LONG[:10_000] + "new" + LONG[10_000:40_000] + LONG[40_100:]
    base, whole = (fold([document(text.encode(), "part")]) for text in (LONG, edited))
    frame = quick_difference(whole, base)
    assert frame.startswith(PLACES.to_bytes(4, "little"))
    assert len(frame) < 400


@given(edits=st.dictionaries(st.integers(0, 39), st.text()))
def test_a_string_of_documents_is_cut_where_they_were_put_together(edits: dict[int, str]) -> None:
    assert folded(many(edits).whole) == many(edits)


def test_documents_that_both_have_are_left_out_of_a_quick_difference() -> None:
    base, whole = many({}), many({3: "new", 20: "", 30: "other"})
    frame = quick_difference(whole, base)
    assert frame.startswith(PLACES.to_bytes(4, "little"))
    assert len(frame) < 400
    with pytest.raises(ValueError, match="bytes"):
        decompress(frame, base.whole, len(whole.whole) - 1)


@given(place=st.integers(0, 80), change=st.integers(1, 255))
def test_a_damaged_list_of_places_gives_no_other_error_and_nothing_larger(place: int, change: int) -> None:
    base, whole = many({}), many({3: "new", 30: "other"})
    frame = bytearray(quick_difference(whole, base))
    frame[place] ^= change
    with suppress(ValueError):
        assert len(decompress(bytes(frame), base.whole, len(whole.whole))) <= len(whole.whole)
