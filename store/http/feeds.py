"""What moved, as feeds: Atom (RFC 4287) and JSON Feed 1.1, of everything, a model, a provider or a source.

Source: https://www.jsonfeed.org/version/1.1/. Text from upstream is escaped by the library that writes it, and is told
as plain text.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Literal
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from fastapi import Response
from pydantic import Field

from store.changes import ChangeRow, changes
from store.http.asked import Asked, Name, Question
from store.instants import iso
from store.naming import find_model
from store.text import one_line, printable

_ATOM = "http://www.w3.org/2005/Atom"
FORMS = ("application/atom+xml", "application/feed+json")
_MOST = 500
"""Entries of a feed: the newest."""


class Fed(Question):
    """What a feed is about."""

    form: Literal["atom", "json"] = Field("atom", description="Atom, or JSON Feed.")
    since: Name = Field("7d", description="From this instant on.")
    model: Name | None = None
    provider: Name | None = None
    source: Name | None = None
    prices: bool = Field(default=True, description="Prices only, no facts.")


def feed(ask: Asked, wanted: Fed) -> Response:
    """The newest changes first."""
    with ask.open() as reader:
        model = None if wanted.model is None else find_model(reader, wanted.model)
        found = changes(
            reader,
            known=ask.known,
            since=ask.instant(wanted.since),
            model=model,
            provider=wanted.provider,
            source=wanted.source,
            prices_only=wanted.prices,
        )
        rows = sorted(found, key=lambda row: (row.seen, id_of(row)), reverse=True)
    about = " ".join(filter(None, (model, wanted.provider, wanted.source))) or "everything"
    here, base = str(ask.request.url), str(ask.request.base_url).rstrip("/")
    newest = list(islice(rows, _MOST))
    if wanted.form == "json":
        return Response(_json(newest, about, here, base), media_type=FORMS[1])
    return Response(_atom(newest, about, here, base), media_type=FORMS[0])


def id_of(row: ChangeRow) -> str:
    """A name of a change that it keeps for ever: what moved, where, when and to what."""
    told = (iso(row.seen), row.event, row.source, row.provider, row.endpoint, row.meter, row.old or "", row.new or "")
    return f"urn:tokentape:change:{blake2b(chr(0).join(told).encode(), digest_size=16).hexdigest()}"


def title_of(row: ChangeRow) -> str:
    """A change in a line."""
    moved = f"{row.old or row.old_state or '-'} to {row.new or row.new_state or '-'}"
    percent = f" ({row.change_percent} %)" if row.change_percent else ""
    return printable(one_line(f"{row.model} at {row.provider}: {row.event}: {row.meter} {moved}{percent}", 300))


def _text(row: ChangeRow) -> str:
    told = [f"seen {iso(row.seen)}", f"by {row.source}", f"endpoint {row.source}:{row.provider}:{row.endpoint}"]
    if row.not_before is not None:
        told.insert(0, f"not before {iso(row.not_before)}")
    return printable(", ".join(told))


def _link(row: ChangeRow) -> str:
    return "/v1/history?" + urlencode({"model": row.model, "provider": row.provider})


def _json(rows: Iterable[ChangeRow], about: str, here: str, base: str) -> bytes:
    items = [
        {
            "id": id_of(row),
            "title": title_of(row),
            "content_text": _text(row),
            "date_published": iso(row.seen),
            "url": base + _link(row),
        }
        for row in rows
    ]
    return json.dumps(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": f"tokentape: {printable(about)}",
            "feed_url": here,
            "items": items,
        }
    ).encode()


def _atom(rows: list[ChangeRow], about: str, here: str, base: str) -> bytes:
    ET.register_namespace("", _ATOM)
    root = ET.Element(f"{{{_ATOM}}}feed")

    def add(to: ET.Element, name: str, text: str = "", **attributes: str) -> None:
        ET.SubElement(to, f"{{{_ATOM}}}{name}", attributes).text = text or None

    add(root, "id", f"urn:tokentape:feed:{blake2b(about.encode(), digest_size=16).hexdigest()}")
    add(root, "title", f"tokentape: {printable(about)}")
    add(root, "updated", iso(rows[0].seen) if rows else iso(_NEVER))
    add(root, "link", rel="self", href=here)
    author = ET.SubElement(root, f"{{{_ATOM}}}author")
    add(author, "name", "tokentape")
    for row in rows:
        entry = ET.SubElement(root, f"{{{_ATOM}}}entry")
        add(entry, "id", id_of(row))
        add(entry, "title", title_of(row))
        add(entry, "updated", iso(row.seen))
        add(entry, "link", href=base + _link(row))
        add(entry, "content", _text(row), type="text")
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


_NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
