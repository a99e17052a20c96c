"""A store's archive as a folder that others can read, of the form of `collector.backfill.archive`.

Equal stores give equal bytes, and a store filled from such a folder gives that folder again. Documents that were
refused are in it too: whoever reads it may know better.
"""

import json
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from collector.backfill.archive import INDEX
from collector.errors import BackfillRefused
from store.archive import Archive
from store.export import file_put_in_place
from store.instants import iso
from store.kept import Kept
from store.records import Document

BODIES = "bodies"
GZIP = 31
"""For zlib: a gzip wrapper, without a time in it."""


def export(archive: Archive, polls: Iterable[Kept], folder: Path, progress: Callable[[Kept], None]) -> tuple[int, int]:
    """Write every document of every poll, equal bodies once; the index is written last.

    Returns: its number of lines, and that of polls whose documents were pruned.

    Raises: BackfillRefused if the folder is there and not empty, or cannot be written; ArchiveDamaged.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BackfillRefused(f"{folder}: is not empty")
        (folder / BODIES).mkdir()
    except OSError as error:
        raise BackfillRefused(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        return _write(archive, polls, folder, progress)
    except BaseException as error:
        shutil.rmtree(folder if made else folder / BODIES, ignore_errors=True)
        if isinstance(error, OSError):
            raise BackfillRefused(f"{folder}: cannot be written: {error.strerror}") from None
        raise


def _write(archive: Archive, polls: Iterable[Kept], folder: Path, progress: Callable[[Kept], None]) -> tuple[int, int]:
    written: set[str] = set()
    lines = left_out = 0
    before: tuple[str, list[dict[str, Any]]] = ("", [])
    with file_put_in_place(folder / INDEX) as index:
        for poll in polls:
            if poll.pruned and not archive.has(poll.pack):
                left_out += 1
                continue
            if before[0] != poll.pack:  # an upstream that has not changed has the same documents poll after poll
                documents = archive.documents(poll.pack, source=poll.source, fetched_at=poll.at)
                for document in documents:
                    if document.sha256 not in written:
                        _write_body(folder, document)
                        written.add(document.sha256)
                before = (poll.pack, [_line(document) for document in documents])
            not_recorded = sorted(poll.failed_parts - {line.get("part") for line in before[1]})
            for number, line in enumerate(before[1]):
                whole = {"upstream": poll.source, "source": poll.source, "observed_at": iso(poll.at), **line}
                if not_recorded and not number:
                    whole["not_recorded"] = not_recorded
                index.write(f"{json.dumps(whole)}\n")
            lines += len(before[1])
            progress(poll)
    return lines, left_out


def _file(sha256: str) -> str:
    return f"{BODIES}/{sha256[:2]}/{sha256}.gz"


def _write_body(folder: Path, document: Document) -> None:
    path = folder / _file(document.sha256)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(document.body, wbits=GZIP))


def _line(document: Document) -> dict[str, Any]:
    """What a line says of a document, whichever poll got it; what says nothing is left out."""
    facts = {
        "url": document.url,
        "part": document.part,
        "sha256": document.sha256,
        "bytes": len(document.body),
        "file": _file(document.sha256),
        "content_type": document.content_type,
        "status": document.status,
        "etag": document.etag,
        "last_modified": document.last_modified,
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}
