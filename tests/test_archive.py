"""The archive: write-once, verified on the way out, whole or not at all."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.config import load
from store.archive import LONGEST_WAY, Archive
from store.archive_pack import PERIOD, Pack, compress, depth, parent, seal
from store.errors import ArchiveDamaged, StoreError
from store.records import Document
from tests import timelines

AT = datetime(2026, 8, 20, tzinfo=UTC)
DEEPEST = 21
SINGLE = {
    "litellm": ("litellm",),
    "models_dev": ("models-dev",),
    "llm_prices": ("llm-prices",),
    "genai_prices": ("genai-prices", "genai-prices-v2"),
}
"""Source -> the recorded timelines that its parser reads, a document each."""


def document(body: bytes, part: str = "", etag: str | None = '"e"') -> Document:
    return Document(
        source="acme", url=f"https://acme.example/{part}", fetched_at=AT, status=200, body=body, part=part, etag=etag
    )


def packs(root: Path) -> list[Path]:
    return sorted(root.rglob("*.zst"))


def records(numbers: Iterable[int]) -> bytes:
    """A body of records that have nothing in common."""
    return b"".join(hashlib.shake_256(str(number).encode()).digest(150) for number in numbers)


def read(root: Path, key: str) -> list[Document]:
    """The documents of a pack, as a process reads them that has seen none before."""
    return Archive(root).documents(key, source="acme", fetched_at=AT)


def way(archive: Archive, key: str) -> list[str]:
    """A pack, what it is a difference from, and so on."""
    bases = archive.bases()
    found: list[str] = []
    at: str | None = key
    while at:
        found.append(at)
        at = bases.get(at)
    return found


def keep_in_turn(archive: Archive, versions: Iterable[Sequence[Document]]) -> list[str]:
    """Each version as a difference from the one before."""
    keys: list[str] = []
    for version in versions:
        keys.append(archive.keep(version, keys[-1] if keys else None))
    return keys


def edited(count: int, size: int = 40) -> Iterator[list[Document]]:
    """Versions of two documents, one record changed each time."""
    chance = random.Random(1)
    numbers = list(range(size))
    for version in range(count):
        numbers[chance.randrange(size)] = size + version
        yield [document(records(numbers)), document(records(numbers[:3]), "p")]


def histories(folder: Path) -> Iterator[tuple[str, Iterator[list[Document]]]]:
    """(timeline, what each of its polls received) of every recorded timeline with a configured source."""
    sources = load(None, {}).sources

    def sweeps() -> Iterator[list[Document]]:
        url = sources["openrouter"].url
        for at, listed, answers in timelines.openrouter(folder):
            found = {"": listed} | {part: body for part, body in answers.items() if body is not None}
            yield [
                Document(
                    source="openrouter",
                    url=f"{url}/{part}/endpoints" if part else url,
                    fetched_at=at,
                    status=200,
                    content_type="application/json",
                    body=body,
                    part=part,
                )
                for part, body in found.items()
            ]

    def catalogue(source: str, upstream: str) -> Iterator[list[Document]]:
        for row in timelines.rows(folder, upstream):
            url, body = sources[source].url, timelines.body(folder, row)
            kind = row["content_type"]
            at = timelines.instant(row)
            yield [Document(source=source, url=url, fetched_at=at, status=200, content_type=kind, body=body)]

    for source, upstreams in SINGLE.items():
        for upstream in upstreams:
            yield upstream, catalogue(source, upstream)
    yield "openrouter", sweeps()


def test_documents_come_back_as_they_were(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    kept = [document(b'{"a": 1}'), document(b"\x00\xff", "x/y")]
    assert archive.documents(archive.keep(kept), source="acme", fetched_at=AT) == kept


def test_same_documents_make_one_pack_whatever_their_validators(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first = archive.keep([document(b"body", etag='"one"')])
    assert archive.keep([document(b"body", etag='"two"')]) == first
    assert len(packs(tmp_path)) == 1


def test_other_bytes_or_another_url_make_another_pack(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    keys = {
        archive.keep([document(b"body")]),
        archive.keep([document(b"body2")]),
        archive.keep([document(b"body", "p")]),
    }
    assert len(keys) == 3


@pytest.mark.fault(132)
def test_missing_pack_is_named(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(b"body")])
    packs(tmp_path)[0].unlink()
    with pytest.raises(ArchiveDamaged, match="missing"):
        archive.documents(key, source="acme", fetched_at=AT)


@pytest.mark.fault(132)
@pytest.mark.parametrize("left", [0, 20, 100])
def test_cut_pack_is_damaged(tmp_path: Path, left: int) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(records(range(3)))])
    (path,) = packs(tmp_path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ArchiveDamaged, match="damaged"):
        archive.documents(key, source="acme", fetched_at=AT)


@pytest.mark.parametrize("content", [b"no line", b"no documents\n", b'[{"part": ""}]\n', b"[]\n"])
def test_pack_that_holds_something_else_is_damaged(tmp_path: Path, content: bytes) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(b"body")])
    (path,) = packs(tmp_path)
    path.write_bytes(seal(Pack(frame=compress(content))))
    with pytest.raises(ArchiveDamaged, match="damaged"):
        archive.documents(key, source="acme", fetched_at=AT)


def test_body_that_is_not_what_its_hash_says_is_damaged(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    lying = replace(document(b"body"), sha256="0" * 64)
    with pytest.raises(ArchiveDamaged, match="damaged"):
        archive.documents(archive.keep([lying]), source="acme", fetched_at=AT)


def test_what_hardly_changes_is_kept_as_a_difference(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first, second = keep_in_turn(archive, edited(2))
    assert archive.bases() == {first: None, second: first}
    assert archive.path(second).stat().st_size < archive.path(first).stat().st_size / 10
    assert list(archive.keys()) == sorted([first, second])


def test_what_is_not_clearly_smaller_as_a_difference_stands_alone(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first = archive.keep([document(records(range(40)))])
    other = archive.keep([document(records(range(30, 100)))], first)
    assert archive.bases()[other] is None


@settings(max_examples=60)
@given(
    versions=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.lists(st.integers(0, 30), max_size=30)), max_size=3),
            st.integers(0, 8),
        ),
        max_size=10,
    )
)
def test_any_versions_after_any_other_come_back_under_the_keys_they_have_alone(
    tmp_path_factory: pytest.TempPathFactory, versions: list[tuple[list[tuple[str, list[int]]], int]]
) -> None:
    root = tmp_path_factory.mktemp("archive")
    archive, alone = Archive(root / "archive"), Archive(root / "alone")
    kept: list[tuple[str, list[Document]]] = []
    for parts, back in versions:
        documents = [document(records(numbers), part) for part, numbers in parts]
        base = kept[-back][0] if 0 < back <= len(kept) else None
        key = archive.keep(documents, base)
        assert key == alone.keep(documents)
        kept.append((key, documents))
    for key, documents in kept:
        assert read(archive.root, key) == documents
        assert archive.documents(key, source="acme", fetched_at=AT) == documents
    assert list(archive.check()) == []
    assert list(archive.keys()) == list(alone.keys())


def test_no_pack_rests_on_more_than_21_others_however_many_follow(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    versions = list(edited(PERIOD + 20, size=400))
    keys = keep_in_turn(archive, versions)
    depths = [len(way(archive, key)) - 1 for key in keys]
    assert max(depths) == DEEPEST
    assert [number for number, one in enumerate(depths) if one == 0] == [0, PERIOD]
    for number in (0, 7, 8, 64, PERIOD - 1, PERIOD, PERIOD + 19):
        assert read(tmp_path, keys[number]) == versions[number]
    assert list(archive.check()) == []


def test_each_place_rests_on_one_that_the_place_before_rests_on() -> None:
    def below(ordinal: int) -> set[int]:
        found = {ordinal}
        while ordinal:
            ordinal = parent(ordinal)
            found.add(ordinal)
        return found

    for ordinal in range(1, PERIOD):
        assert parent(ordinal) in below(ordinal - 1)
        assert depth(ordinal) == len(below(ordinal)) - 1 <= DEEPEST


def test_large_packs_rest_on_fewer_others(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    size = LONGEST_WAY // 6
    keys = keep_in_turn(archive, ([document(bytes([version]) + bytes(size - 1000))] for version in range(7)))
    assert [len(way(archive, key)) - 1 for key in keys] == [0, 1, 2, 3, 4, 5, 0]
    assert len(read(tmp_path, keys[5])[0].body) == size - 999


@pytest.mark.fault(132)
@pytest.mark.parametrize("place", [0, 1, 2])
@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_flipped_byte_is_noticed_and_its_file_named(
    tmp_path_factory: pytest.TempPathFactory, place: int, position: int, flip: int
) -> None:
    root = tmp_path_factory.mktemp("archive")
    keys = keep_in_turn(Archive(root), edited(3))
    path = Archive(root).path(keys[place])
    damaged = bytearray(path.read_bytes())
    damaged[position % len(damaged)] ^= flip
    path.write_bytes(damaged)
    with pytest.raises(ArchiveDamaged, match=f"{keys[place][:12]} are damaged"):
        read(root, keys[-1])
    (line,) = Archive(root).check()
    assert keys[place][:12] in line
    assert line.endswith(f"; {2 - place} more rest on it") or place == 2


def test_missing_base_is_named(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first, second, third = keep_in_turn(archive, edited(3))
    path = archive.path(first)
    path.unlink()
    for key in (second, third):
        with pytest.raises(ArchiveDamaged, match=f"{first[:12]} are missing"):
            read(tmp_path, key)
    assert list(archive.check()) == [
        f"archived documents {first[:12]} are missing: {path} is not there; 2 more rest on it"
    ]


@pytest.mark.fault(132)
@pytest.mark.parametrize("place", [0, 1])
def test_another_intact_pack_under_the_name_of_a_base_is_named(tmp_path: Path, place: int) -> None:
    archive = Archive(tmp_path)
    keys = keep_in_turn(archive, edited(4))
    shutil.copy(archive.path(archive.keep([document(records(range(500, 540)))])), archive.path(keys[place]))
    with pytest.raises(ArchiveDamaged, match=f"{keys[place][:12]} are damaged"):
        read(tmp_path, keys[-1])
    assert keys[place][:12] in next(archive.check())


def test_packs_in_a_circle_are_damaged(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first, second = keep_in_turn(archive, edited(2))
    shutil.copy(archive.path(second), archive.path(first))
    with pytest.raises(ArchiveDamaged, match=f"{first[:12]} are damaged"):
        read(tmp_path, second)


@pytest.mark.parametrize("missing", [True, False])
def test_documents_after_a_pack_that_cannot_be_read_are_kept_alone(tmp_path: Path, missing: bool) -> None:
    archive = Archive(tmp_path)
    first, second, third = edited(3)
    keys = keep_in_turn(archive, [first, second])
    path = archive.path(keys[0])
    if missing:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    key = Archive(tmp_path).keep(third, keys[1])
    assert archive.bases()[key] is None
    assert read(tmp_path, key) == third


def test_pack_of_the_first_version_is_read_and_built_on(tmp_path: Path) -> None:
    old, new = edited(2)
    archive = Archive(tmp_path)
    key = Archive(tmp_path / "other").keep(old)
    about = [
        {"part": one.part, "url": one.url, "status": 200, "sha256": one.sha256, "bytes": len(one.body)}
        | {"content_type": "", "etag": one.etag, "last_modified": None}
        for one in old
    ]
    whole = json.dumps(about).encode() + b"\n" + b"".join(one.body for one in old)
    path = archive.path(key)
    path.parent.mkdir()
    path.write_bytes(zstandard.ZstdCompressor(level=9, write_checksum=True).compress(whole))
    later = archive.keep(new, key)
    assert archive.bases()[later] == key
    assert read(tmp_path, key) == old
    assert read(tmp_path, later) == new
    assert list(archive.check()) == []


def test_too_large_documents_are_refused_and_not_read(tmp_path: Path) -> None:
    small = Archive(tmp_path, largest=1000)
    with pytest.raises(StoreError, match="too large"):
        small.keep([document(bytes(1000))])
    assert not packs(tmp_path)
    key = Archive(tmp_path).keep([document(bytes(1000))])
    with pytest.raises(ArchiveDamaged):
        small.documents(key, source="acme", fetched_at=AT)


def test_writer_waits_for_another_and_sweeps_what_it_left_when_killed(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(b"body")])
    (path,) = packs(tmp_path)
    path.unlink()
    left = path.with_suffix(".tmp")
    hold = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", hold, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
        ThreadPoolExecutor() as threads,
    ):
        assert other.stdout is not None
        other.stdout.readline()
        left.write_bytes(b"half")
        waiting = threads.submit(archive.keep, [document(b"body")])
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        assert left.read_bytes() == b"half"
        other.kill()
        assert waiting.result() == key
    assert not left.exists()
    assert read(tmp_path, key)[0].body == b"body"


def test_pack_that_others_rest_on_is_never_replaced(tmp_path: Path) -> None:
    first, second = edited(2)
    archive = Archive(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        kept = [[replace(one, etag=f'"{number}"') for one in first] for number in range(8)]
        (key,) = set(threads.map(archive.keep, kept))
    later = archive.keep(second, key)
    assert archive.bases()[later] == key
    assert read(tmp_path, key) in kept
    assert read(tmp_path, later) == second


@pytest.mark.recorded
def test_every_recorded_version_comes_back_and_none_rests_on_many_others(recorded: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for name, history in histories(recorded):
        hashes = {}
        before: str | None = None
        for documents in history:
            before = archive.keep(documents, before)
            hashes[before] = [one.sha256 for one in documents]
        deepest = max(hashes, key=lambda key: len(way(archive, key)))
        assert len(way(archive, deepest)) - 1 <= DEEPEST, name
        assert [one.sha256 for one in read(tmp_path, deepest)] == hashes[deepest]
    assert list(archive.check()) == []
