"""What goes wrong, as `application/problem+json` (RFC 9457): never a stack trace, and nothing of the machine."""

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from store.errors import (
    NoResources,
    NothingMatched,
    OtherSchema,
    QueryError,
    StoreBusy,
    StoreError,
    StoreForeign,
    StoreMissing,
    StoreUnreachable,
    TooSlow,
)

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("tokentape.http")


def body(status: int, detail: str = "", **more: object) -> bytes:
    """A problem: `title` by its status, `detail` for whoever asked."""
    told: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        told["detail"] = detail
    return json.dumps(told | more).encode()


def fault(error: BaseException) -> tuple[int, bytes]:
    """A fault of ours: status and body, with an id under which the log has all of it."""
    return 500, body(500, "a fault of ours, noted under this id", id=noted(error))


def noted(error: BaseException) -> str:
    """The id under which the log has a fault of ours."""
    told = secrets.token_hex(8)
    _log.error("request %s failed", told, exc_info=error)
    return told


def status_of(error: StoreError) -> int:
    """The status by which an expected error is told."""
    if isinstance(error, NothingMatched):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, QueryError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, (StoreBusy, StoreForeign, StoreMissing, StoreUnreachable, NoResources, TooSlow)):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def told(error: StoreError) -> tuple[int, str]:
    """Status of an expected error, and what a command would say: no more of this machine than its caller may know."""
    status = status_of(error)
    if isinstance(error, OtherSchema):
        return status, f"the store {error.about}"
    if isinstance(error, StoreForeign):
        return status, "the store cannot be read: `tokentape verify` tells why"
    return status, str(error) if status in {400, 404} else _DETAILS.get(status, "the store cannot be read")


def mistakes(errors: Sequence[Mapping[str, Any]], skip: int = 0) -> str:
    """Parameters that are none: which, and what is wrong with each, without what was sent.

    `errors`: as pydantic has them; `skip`: parts of a place that are not the caller's.
    """
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'][skip:])[:100]}: {one['msg'][:200]}" for one in errors[:5]
    )


_DETAILS = {503: "the store is busy or not there, or the question takes too long: ask for less, or again"}
