"""Down to the evidence: a source and its polls, an endpoint and its record, a document and its bytes."""

import re
from hashlib import sha256 as hashed

from fastapi import Response
from pydantic import Field

from store import catalogue, intervals, views
from store import polls as stored
from store.errors import NothingMatched, QueryError
from store.evidence import Evidence, explain
from store.http.asked import Name, Question
from store.http.pages import views as tables
from store.http.pages.cells import table
from store.http.pages.overview import DAYS, moved
from store.http.pages.render import page
from store.http.pages.visit import Visit
from store.http.routes import Ref
from store.text import one_line

SHOWN = 200_000
"""Characters of a document that a page shows."""
LARGEST = 32 << 20
"""Bytes of one that is handed out."""
FRESH = {"Cache-Control": "no-store"}
"""The archive may change where the store does not."""
_SHA256 = re.compile("[0-9a-f]{64}")
_BLOCKS = frozenset({"record", "facts"})


class OneSource(Question):
    """The page of a source."""

    source: Name = Field(min_length=1)


class OneEndpoint(Question):
    """The evidence for an endpoint."""

    endpoint: Ref


def source(visit: Visit, wanted: OneSource) -> Response:
    """How a source fares, when it was asked, and the documents that its prices rest on."""
    ask = visit.ask
    with ask.open() as reader:
        found = stored.polls(reader, wanted.source, ask.at, known=ask.known)
        row = next(one for one in catalogue.sources(reader, ask.doors.now()) if one.source == wanted.source)
        held = catalogue.held(reader, known=ask.known, source=wanted.source)
        moves = moved(visit, reader, DAYS, source=wanted.source)
    return page(
        "source.html",
        visit=visit,
        row=row,
        health=tables.health(visit, row),
        trust=tables.trust(row.trust),
        period=tables.period(row.every_s),
        polls=table("polls", "The latest polls", tables.polls(visit), found, nothing="It was not polled yet, then."),
        held=table("held", "Held of it", tables.held(visit), held, most=50, nothing="Nothing of it is held."),
        moves=table(
            "moves",
            f"What moved in it in {DAYS} days, the furthest first",
            tables.moves(visit),
            moves,
            most=40,
            nothing="Nothing moved.",
        ),
    )


def endpoint(visit: Visit, wanted: OneEndpoint) -> Response:
    """The evidence for what an endpoint charges."""
    ask = visit.ask
    with ask.open() as reader:
        found = explain(reader, wanted.endpoint, ask.at, known=ask.known, archive=ask.doors.archive)
        row = found[0].row
        past = [
            one
            for one in intervals.history(
                reader, row.model, ask.at, known=ask.known, provider=row.provider, source=row.source,
                stated=True, superseded=True,
            )
            if one.endpoint == row.endpoint
        ]  # fmt: skip
    return page(
        "endpoint.html",
        headers=FRESH,
        visit=visit,
        ref=wanted.endpoint,
        row=row,
        marks=tables.marks(visit, row),
        proofs=[(one, _parts(one)) for one in found],
        past=table("history", "What it charged, when", tables.intervals(visit), past),
        data=visit.data("explain", endpoint=wanted.endpoint),
    )


def _parts(one: Evidence) -> list[tuple[str, str, bool]]:
    """Names and values of the evidence, and whether a value is a block of its own."""
    return [(name, value, name in _BLOCKS) for name, value in views.evidence(one) if value]


def _kept(visit: Visit) -> stored.Kept:
    """The document that an address names.

    Raises: NothingMatched if there is none.
    """
    named = visit.path.split("/")[2]
    if not _SHA256.fullmatch(named):
        raise NothingMatched(f"{one_line(named, 80)!r} is not the SHA-256 of a document, in hex")
    with visit.ask.open() as reader:
        return stored.document(reader, named, archive=visit.ask.doors.archive)


def document(visit: Visit, _wanted: Question) -> Response:
    """A document as text, whatever it is, with where it is from."""
    kept = _kept(visit)
    shown = "" if kept.body is None else kept.body[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN]
    sha256 = visit.path.split("/")[2]
    return page(
        "document.html",
        headers=FRESH,
        visit=visit,
        sha256=sha256,
        kept=kept,
        size=None if kept.body is None else len(kept.body),
        intact=kept.body is not None and hashed(kept.body).hexdigest() == sha256,
        shown=shown,
        cut=kept.body is not None and len(shown.encode()) < len(kept.body),
    )


def raw(visit: Visit, _wanted: Question) -> Response:
    """The bytes of a document, to be kept and not to be looked at: they are somebody else's."""
    kept = _kept(visit)
    if kept.body is None:
        raise NothingMatched(f"it cannot be shown: {kept.missing}")
    if len(kept.body) > LARGEST:
        raise QueryError(f"it has {len(kept.body)} bytes, and at most {LARGEST} are handed out")
    name = visit.path.split("/")[2]
    disposition = {"Content-Disposition": f'attachment; filename="{name}.txt"'}
    return Response(kept.body, media_type="text/plain; charset=utf-8", headers=disposition | FRESH)
