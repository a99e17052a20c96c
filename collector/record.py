"""What a source answered, laid down for whoever writes its sample: bodies, facts about them, and the quotes in them."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from collector import parsing
from collector.contract import SourceSpec
from collector.errors import ConfigError, SourceChanged
from collector.sighting import Received
from store.export import file_put_in_place
from store.instants import iso
from store.records import Document

RECORD, QUOTES = "record.json", "quotes.json"

KINDS = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".xml": "text/xml",
}
"""Suffix of a file with a body -> content type."""


def as_json(value: Any) -> Any:
    """A quote as JSON values, without what has its default."""
    if is_dataclass(value) and not isinstance(value, type):
        listed = {one.name: (getattr(value, one.name), one.default) for one in fields(value)}
        return {name: as_json(item) for name, (item, default) in listed.items() if item not in (default, None, (), {})}
    if isinstance(value, Mapping):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def record(spec: SourceSpec, received: Received, folder: Path, *, secret: str, force: bool) -> int:
    """Write what was received into a folder; number of quotes in it.

    Shape: `document.*`, or `document-*.*` of several, as they were after decoding; `quotes.json`, the quotes of each as
    `expected.json` of a sample has them; `record.json`, written last: of each its URL, instant, SHA-256 and the headers
    that are kept.

    Raises: ConfigError if the folder has something in it, unless that is a record and `force`, or if `secret` stands in
        what came; SourceChanged, with all written, if a document is not what it should be.
    """
    _require_without(secret, received, spec)
    names = _names(received.documents)
    try:
        _make_room(folder, force=force)
        for name, document in names.items():
            (folder / name).write_bytes(document.body)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None
    quotes, refused = _quotes(spec, names)
    _write(folder / QUOTES, {name: as_json(found) for name, found in quotes.items()})
    failed = {part: str(error) for part, error in received.failures.items()}
    lines = [_facts(name, document) for name, document in names.items()]
    told = {name: str(error) for name, error in refused.items()}
    _write(folder / RECORD, {"source": spec.id, "documents": lines, "refused": told, "failed": failed})
    if refused:
        raise next(iter(refused.values()))
    return sum(map(len, quotes.values()))


def suffix_of(document: Document) -> str:
    """What a file with its body is called by."""
    kind = document.content_type.partition(";")[0].strip().lower()
    known = {content_type.partition(";")[0]: suffix for suffix, content_type in KINDS.items() if suffix != ".ts"}
    begins = document.body.lstrip()[:1]
    return known.get(kind) or (".json" if begins in (b"{", b"[") else ".html" if begins == b"<" else ".md")


def _require_without(secret: str, received: Received, spec: SourceSpec) -> None:
    told = [document.body + document.url.encode() for document in received.documents]
    if secret and any(secret.encode() in one for one in told):
        raise ConfigError(f"{spec.id}: the value of {spec.key_env} stands in what came: nothing is written", code="key")


def _names(documents: tuple[Document, ...]) -> dict[str, Document]:
    if len(documents) == 1:
        return {f"document{suffix_of(documents[0])}": documents[0]}
    width = len(str(len(documents)))
    return {f"document-{number:0{width}}{suffix_of(one)}": one for number, one in enumerate(documents, 1)}


def _make_room(folder: Path, *, force: bool) -> None:
    """An empty place for a record: nothing but an earlier one is taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        return
    if not (folder / RECORD).is_file():
        raise ConfigError(f"{folder}: has something in it that is no record")
    if not force:
        raise ConfigError(f"{folder}: has a record already: --force writes over it")
    for path in (folder / RECORD, folder / QUOTES, *folder.glob("document*")):
        path.unlink(missing_ok=True)


def _quotes(spec: SourceSpec, names: Mapping[str, Document]) -> tuple[dict[str, Any], dict[str, SourceChanged]]:
    quotes: dict[str, Any] = {}
    refused: dict[str, SourceChanged] = {}
    for name, document in names.items():
        try:
            quotes[name] = parsing.quotes(document, spec)
        except SourceChanged as error:
            refused[name] = error
    return quotes, refused


def _facts(name: str, document: Document) -> dict[str, Any]:
    headers = {
        "content-type": document.content_type,
        "etag": document.etag,
        "last-modified": document.last_modified,
    }
    return {
        "file": name,
        "url": document.url,
        "part": document.part,
        "fetched_at": iso(document.fetched_at),
        "status": document.status,
        "sha256": document.sha256,
        "bytes": len(document.body),
        "headers": {header: value for header, value in headers.items() if value},
    }


def _write(path: Path, value: Any) -> None:
    try:
        with file_put_in_place(path) as out:
            out.write(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
