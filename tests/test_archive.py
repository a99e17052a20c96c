"""The archive: write-once, verified on the way out, whole or not at all."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.archive import Archive
from store.errors import ArchiveDamaged
from store.records import Document

AT = datetime(2026, 8, 20, tzinfo=UTC)


def document(body: bytes, part: str = "", etag: str | None = '"e"') -> Document:
    return Document(
        source="acme", url=f"https://acme.example/{part}", fetched_at=AT, status=200, body=body, part=part, etag=etag
    )


def packs(root: Path) -> list[Path]:
    return sorted(root.rglob("*.zst"))


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


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_flipped_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, position: int, flip: int) -> None:
    root = tmp_path_factory.mktemp("archive")
    archive = Archive(root)
    key = archive.keep([document(bytes(range(256)) * 4), document(b"other", "p")])
    (path,) = packs(root)
    damaged = bytearray(path.read_bytes())
    damaged[position % len(damaged)] ^= flip
    path.write_bytes(damaged)
    try:
        found = archive.documents(key, source="acme", fetched_at=AT)
    except ArchiveDamaged:
        return
    # A flip in what is not identity (a validator) may go unnoticed; bodies, URLs and parts may not.
    assert [(one.url, one.part, one.sha256, one.body) for one in found] == [
        (one.url, one.part, one.sha256, one.body) for one in (document(bytes(range(256)) * 4), document(b"other", "p"))
    ]


def test_missing_pack_is_named(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(b"body")])
    packs(tmp_path)[0].unlink()
    with pytest.raises(ArchiveDamaged, match="missing"):
        archive.documents(key, source="acme", fetched_at=AT)


def test_cut_pack_is_damaged(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(b"body" * 1000)])
    (path,) = packs(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArchiveDamaged, match="damaged"):
        archive.documents(key, source="acme", fetched_at=AT)


def test_file_left_aside_by_a_killed_process_is_swept(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    key = archive.keep([document(b"body")])
    (path,) = packs(tmp_path)
    path.unlink()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = path.with_suffix(f".{int(dead.stdout)}.tmp")
    left.write_bytes(b"half")
    alive = path.with_suffix(f".{os.getppid()}.tmp")
    alive.write_bytes(b"half")
    assert archive.keep([document(b"body")]) == key
    assert not left.exists()
    assert alive.exists()
    assert archive.documents(key, source="acme", fetched_at=AT)[0].body == b"body"


def test_body_that_is_not_what_its_hash_says_is_damaged(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    lying = replace(document(b"body"), sha256="0" * 64)
    with pytest.raises(ArchiveDamaged, match="damaged"):
        archive.documents(archive.keep([lying]), source="acme", fetched_at=AT)
