"""A line of an `index.jsonl`, read with care: whoever wrote it may have erred, or mean harm."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from store.instants import whole
from store.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of an index."""

    line: int
    """Its number, from 1."""
    upstream: str
    url: str
    at: datetime
    sha256: str
    size: int
    """Bytes of the decoded body."""
    file: str
    content_type: str
    bundle: bool
    scope: tuple[str, ...] | None
    """Of a bundle, the ids that it covers; None: all."""
    not_recorded: tuple[str, ...]
    source: str
    """Empty: its address says."""
    part: str
    status: int
    etag: str | None
    last_modified: str | None


def read_row(value: object, line: int) -> Row:
    """The line of that number.

    Raises: ValueError, naming the field.
    """
    if not isinstance(value, Mapping):
        raise ValueError("a line is a JSON object")  # noqa: TRY004 - one kind of error for whatever is wrong with a line
    scope = value.get("scope", "all")
    exported = "source" in value  # `part` says other things elsewhere
    row = Row(
        line=line,
        upstream=_text(value, "upstream"),
        url=_text(value, "url"),
        at=_instant(_text(value, "observed_at")),
        sha256=_text(value, "sha256"),
        size=_whole(value, "bytes"),
        file=_text(value, "file"),
        content_type=_text(value, "content_type", ""),
        bundle=value.get("bundle") is True,
        scope=None if scope == "all" else read_texts(value, "scope"),
        not_recorded=read_texts(value, "not_recorded"),
        source=_text(value, "source") if exported else "",
        part=_text(value, "part", "") if exported else "",
        status=_whole(value, "status", 200),
        etag=_text(value, "etag") if value.get("etag") is not None else None,
        last_modified=_text(value, "last_modified") if value.get("last_modified") is not None else None,
    )
    if exported and not row.source:
        raise ValueError("source: is empty")
    return row


def _text(value: Mapping[str, object], name: str, default: str | None = None) -> str:
    found = value.get(name, default)
    if not isinstance(found, str) or not found.isprintable():
        raise ValueError(f"{name}: wanted printable text, got {one_line(repr(found), 60)}")
    return found


def read_texts(value: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A list of texts, empty where there is none.

    Raises: ValueError, naming the field.
    """
    found = value.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one.isprintable() for one in found):
        raise ValueError(f"{name}: wanted a list of printable texts, got {one_line(repr(found), 60)}")
    return tuple(found)


def _whole(value: Mapping[str, object], name: str, default: int | None = None) -> int:
    found = value.get(name, default)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"{name}: wanted a whole number, got {one_line(repr(found), 60)}")
    return found


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return whole(at.astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"observed_at: {one_line(text, 60)!r} is not an instant with its offset")
