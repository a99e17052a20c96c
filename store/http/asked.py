"""What a request asks, and how it is answered: parameters in, rows out, in the forms of `store.export`."""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar, cast

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from store.columns import Columns
from store.doors import Doors
from store.errors import QueryError
from store.export import Form, write
from store.instants import iso, parse_instant
from store.read import Reader, open_store
from store.text import one_line

R = TypeVar("R")
PAGE, LONGEST_PAGE = 1000, 10_000
"""Rows of a page, unless asked for otherwise; and at most."""
MEDIA_TYPES: dict[str, str] = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
_NO_CURSOR = "cursor: not one that an answer gave"
_FURTHEST = timedelta(days=366 * 100)

TOKENS = 10**12
"""At most, in any count of a question."""
Count = Annotated[int, Field(ge=0, le=TOKENS)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["EUR"])]
Name = Annotated[str, Field(max_length=300)]
Instant = Annotated[str, Field(max_length=40, examples=["2026-08-22T12:00:00Z", "7d"])]
INSTANT_TEXT = "2026-08-22 (midnight UTC), 2026-08-22T12:00:00Z, or an age such as 36h or 7d"


class Question(BaseModel):
    """What every question may be given."""

    model_config = ConfigDict(extra="forbid")

    at: Instant | None = Field(None, description=f"When it was true: {INSTANT_TEXT}. Now, if left out.")
    known_at: Instant | None = Field(None, description="When it was known, likewise. Now, if left out.")
    format: Literal["json", "jsonl", "csv"] | None = Field(
        None, description="The form of the answer; else that of the Accept header, else json."
    )
    raw: bool = Field(
        default=False, description="CSV text exactly as published, also where a spreadsheet reads a formula."
    )


class Paged(Question):
    """A question that may have more rows than fit an answer."""

    limit: int = Field(PAGE, ge=1, le=LONGEST_PAGE, description="Rows of an answer.")
    cursor: Annotated[str, Field(max_length=300)] | None = Field(
        None, description="Where the page before ended: its `Tokentape-Next` header, or the link called `next`."
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it came, with its two instants settled."""

    doors: Doors
    statement_s: float
    request: Request
    at: datetime
    known: datetime
    form: Form
    raw: bool = False
    limit: int = LONGEST_PAGE
    offset: int = 0

    def open(self) -> Any:
        """The store, for a question that may take so long and no longer."""
        return open_store(self.doors.store_url, within_s=self.statement_s)

    def instant(self, text: str | None) -> datetime | None:
        """Any other instant that was asked for."""
        return None if text is None else _instant(text, self.doors.now())

    def answer(self, rows: Iterable[R], columns: Columns[R]) -> Response:
        """One page of rows; while there are more, with where the next begins."""
        page = list(islice(rows, self.offset, self.offset + self.limit + 1))
        more = len(page) > self.limit
        out = StringIO()
        write(out, self.form, columns, page[: self.limit], raw=self.raw)
        headers = self._headers()
        if more:
            cursor = cursor_at(self.offset + self.limit, self.at, self.known)
            there = self.request.url.include_query_params(cursor=cursor)
            headers |= {"Tokentape-Next": cursor, "Link": f'<{there.path}?{there.query}>; rel="next"'}
        return Response(out.getvalue().encode(), media_type=MEDIA_TYPES[self.form], headers=headers)

    def stream(self, reader: Iterator[Reader], rows: Iterable[R], columns: Columns[R]) -> Response:
        """All rows, written as they are read; `reader` is closed after the last."""
        headers = self._headers() | {"Cache-Control": "no-store"}
        chunks = _chunks(reader, rows, columns, self.form, raw=self.raw)
        return StreamingResponse(chunks, media_type=MEDIA_TYPES[self.form], headers=headers)

    def _headers(self) -> dict[str, str]:
        """The instants that were answered for: the same answer is had by asking for them."""
        return {"Tokentape-At": iso(self.at), "Tokentape-Known-At": iso(self.known)}


def asked(doors: Doors, statement_s: float, request: Request, question: Question) -> Asked:
    """A question with its instants.

    Raises: QueryError if an instant or a cursor is none.
    """
    now = doors.now()
    offset = 0
    at = now if question.at is None else _instant(question.at, now)
    known = now if question.known_at is None else min(now, _instant(question.known_at, now))
    limit = LONGEST_PAGE
    if isinstance(question, Paged):
        limit = question.limit
        if question.cursor is not None:
            offset, at, known = _place(question.cursor)
    return Asked(doors, statement_s, request, at, known, _form(question, request), question.raw, limit, offset)


def _form(question: Question, request: Request) -> Form:
    if question.format is not None:
        return question.format
    accepted = request.headers.get("accept", "")
    for form, media_type in MEDIA_TYPES.items():
        if media_type.partition(";")[0] in accepted:
            return cast("Form", form)
    return "json"


def _instant(text: str, now: datetime) -> datetime:
    found = parse_instant(text, now)
    if abs(found - now) > _FURTHEST:
        raise QueryError(f"instant {one_line(text, 40)!r} is further away than anything here")
    return found


def cursor_at(offset: int, at: datetime, known: datetime) -> str:
    """Where the next page begins."""
    told = json.dumps([offset, at.isoformat(), known.isoformat()], separators=(",", ":"))
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[int, datetime, datetime]:
    try:
        told: Sequence[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        offset, at, known = told
        found = (offset, datetime.fromisoformat(at), datetime.fromisoformat(known))
    except (binascii.Error, ValueError, TypeError):
        raise QueryError(_NO_CURSOR) from None
    if type(offset) is not int or not 0 <= offset <= 10**9 or None in (found[1].tzinfo, found[2].tzinfo):
        raise QueryError(_NO_CURSOR)
    return found


def _chunks(
    reader: Iterator[Reader], rows: Iterable[R], columns: Columns[R], form: Form, *, raw: bool
) -> Iterator[bytes]:
    """The rows in pieces of about the size of a packet's worth of rows."""
    out = StringIO()
    try:
        left = iter(rows)
        first = True
        while True:
            page = list(islice(left, 500))
            if form == "json" and page:
                raise QueryError("a stream has no form json: ask for jsonl or csv")
            if page or first:
                write(out, form, columns, page, raw=raw)
                text = out.getvalue()
                # Headings stand before the first piece only.
                yield (text if first or form != "csv" else text.partition("\n")[2]).encode()
                out.seek(0)
                out.truncate()
            first = False
            if not page:
                return
    finally:
        for _ in reader:
            pass
