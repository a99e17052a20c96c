"""Instants: aware UTC datetimes of whole milliseconds inside, integers of them in the store, ISO 8601 outside."""

import re
from datetime import UTC, datetime, timedelta

from store.errors import QueryError, StoreForeign
from store.text import one_line

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMS = "2026-08-22 (midnight UTC), 2026-08-22T12:00:00Z, or an age such as 36h or 7d"

_MILLISECOND = timedelta(milliseconds=1)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<time>T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_AGE = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def whole(at: datetime) -> datetime:
    """An instant without what is finer than a millisecond: so it comes in, from a clock, a user or a recording."""
    return at - timedelta(microseconds=at.microsecond % 1000)


def utc_now() -> datetime:
    """The clock."""
    return whole(datetime.now(UTC))


def both_clocks(at: datetime | None, known_at: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """When it was true, and when it was known: both now, unless a question names them.

    What is known is asked of as of then, and nothing is known of what is yet to come.
    """
    known = min(known_at or now, now)
    return at or known, known


def to_millis(at: datetime) -> int:
    """Milliseconds since 1970 of an aware instant."""
    return (at - EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    """The instant of a stored integer.

    Raises: StoreForeign if it is none.
    """
    try:
        return EPOCH + millis * _MILLISECOND
    except (OverflowError, TypeError):
        raise StoreForeign(f"the store is damaged: {millis!r} is no instant: run `tokentape verify`") from None


def iso(at: datetime) -> str:
    """`2026-08-22T23:01:19Z`, with a fraction only where there is one."""
    text = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()[: -len("+00:00")]
    return f"{text.rstrip('0') if at.microsecond else text}Z"


def parse_instant(text: str, now: datetime) -> datetime:
    """The instant that a user names: a date is its midnight UTC, a time needs its offset, an age is that long ago.

    Raises: QueryError for anything else.
    """
    try:
        if age := _AGE.fullmatch(text):
            return now - timedelta(seconds=int(age["count"]) * _SECONDS[age["unit"]])
        if named := _INSTANT.fullmatch(text):
            if named["time"] and not named["offset"]:
                raise QueryError(f"{text!r} has no offset: by the clocks here it is {_meant(text)}; expected {FORMS}")
            return whole(datetime.fromisoformat(text if named["time"] else f"{text}T00:00Z").astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    raise QueryError(f"{one_line(text, 60)!r} is not an instant: expected {FORMS}")


def _meant(text: str) -> str:
    """The instant that a local time is, or the two that it may be, where clocks are set back or forward."""
    local = datetime.fromisoformat(text)
    meant = {local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
    return " or ".join(iso(one) for one in sorted(meant))


def age_text(age: timedelta) -> str:
    """`45s`, `12m`, `7h`, `3d`: whole units, rounded down; nothing is younger than `0s`."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"
