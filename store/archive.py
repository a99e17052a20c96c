"""The archive: every document received, write-once, addressed by what it holds.

One *pack* is one file: the documents of one poll (one, or all of a fan-out), compressed together. Its key is the
SHA-256 over part, URL, status and SHA-256 of each document, so the same answers make the same pack, stored once.
A pack appears under its name whole or not at all: written aside, synced, renamed. Whatever is read is verified first.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import zstandard

from store.errors import ArchiveDamaged
from store.records import Document

LEVEL = 9
LARGEST = 256 * 2**20
"""Bytes of an uncompressed pack that will be read: more than any poll may receive."""


class Archive:
    """A folder of packs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep(self, documents: Sequence[Document]) -> str:
        """The key of the pack of these documents, which is on disk when this returns.

        Raises: OSError if it cannot be written.
        """
        header = [
            {
                "part": one.part,
                "url": one.url,
                "status": one.status,
                "sha256": one.sha256,
                "bytes": len(one.body),
                "content_type": one.content_type,
                "etag": one.etag,
                "last_modified": one.last_modified,
            }
            for one in documents
        ]
        key = _key(header)
        path = self._path(key)
        if not path.exists():
            first_line = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
            packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(
                first_line + b"".join(one.body for one in documents)
            )
            _write(path, packed)
        return key

    def documents(self, key: str, *, source: str, fetched_at: datetime) -> list[Document]:
        """The documents of a pack, each verified against its hash, as fetched at an instant.

        Raises: ArchiveDamaged if the pack is missing, or is not what its key says.
        """
        path = self._path(key)
        try:
            packed = path.read_bytes()
        except FileNotFoundError:
            raise ArchiveDamaged(f"archived documents {key[:12]} are missing: {path} is not there") from None
        try:
            whole = zstandard.ZstdDecompressor().decompress(packed, max_output_size=LARGEST)
            first_line, _, bodies = whole.partition(b"\n")
            header = json.loads(first_line)
            intact = _key(header) == key
        except (zstandard.ZstdError, ValueError, TypeError, KeyError):
            intact = False
        if not intact:
            raise ArchiveDamaged(f"archived documents {key[:12]} are damaged: {path} is not what its name says")
        documents = []
        start = 0
        for entry in header:
            body = bodies[start : start + entry["bytes"]]
            start += entry["bytes"]
            if hashlib.sha256(body).hexdigest() != entry["sha256"]:
                raise ArchiveDamaged(f"document {entry['sha256'][:12]} in {path} is damaged")
            documents.append(
                Document(
                    source=source,
                    url=entry["url"],
                    fetched_at=fetched_at,
                    status=entry["status"],
                    body=body,
                    content_type=entry["content_type"],
                    etag=entry["etag"],
                    last_modified=entry["last_modified"],
                    part=entry["part"],
                    sha256=entry["sha256"],
                )
            )
        return documents

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key[2:]}.zst"


def archive_root(store_path: Path) -> Path:
    """Where the archive of a SQLite store lies: `tape.db` has `tape.archive` beside it."""
    return store_path.with_suffix(".archive")


def _key(header: Sequence[Mapping[str, object]]) -> str:
    identity = [[one["part"], one["url"], one["status"], one["sha256"]] for one in header]
    return hashlib.sha256(json.dumps(identity, separators=(",", ":")).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Put a file under its name, durably, in one step; what a killed process left aside is swept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob("*.tmp"):
        if not _alive(left.suffixes[-2]):
            left.unlink(missing_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _alive(suffix: str) -> bool:
    """Whether the process that names a file left aside (`.1234`) is another one still running."""
    try:
        process = int(suffix.lstrip("."))
        os.kill(process, 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()
