"""Which of several daemons polls a source: each slot exactly once.

A claim is one statement, so that of several daemons one has it. It lasts until the poll must be over; a daemon that was
killed is taken over then. The poll is written only if its claim still is the newest, in the same transaction that
settles it: whoever was taken over, however long it slept, writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from store.errors import LeaseLost
from store.instants import from_millis, iso, to_millis

_CLAIM = text(
    """
    INSERT INTO lease (source_id, slot, fence, holder, until, done)
    VALUES (:source_id, :slot, 1, :holder, :until, :open)
    ON CONFLICT (source_id) DO UPDATE
       SET slot = excluded.slot, fence = lease.fence + 1, holder = excluded.holder, until = excluded.until,
           done = excluded.done
     WHERE (lease.slot < excluded.slot AND (lease.done OR lease.until <= :now))
        OR (lease.slot = excluded.slot AND NOT lease.done AND lease.until <= :now)
    RETURNING fence
    """
)
_LEASE = text("SELECT holder, until FROM lease WHERE source_id = :source_id AND NOT done")
_POLLED = text("SELECT 1 FROM poll WHERE source_id = :source_id AND at >= :since AND at <= :now LIMIT 1")
_SETTLE = text("UPDATE lease SET done = :done WHERE source_id = :source_id AND fence = :fence AND NOT done")
_EXPIRE = text("UPDATE lease SET until = 0 WHERE NOT done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write the poll of one slot."""

    slot: datetime
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Another daemon is at it."""

    holder: str
    until: datetime
    """When it may be taken over."""


def claim(
    connection: Connection,
    source_id: int,
    *,
    slot: datetime,
    polled_since: datetime,
    until: datetime,
    now: datetime,
    holder: str,
) -> Claim | Held | None:
    """The right to poll a source for a slot; None if there is nothing to do, since somebody did.

    A slot is served by any poll since `polled_since`, also by one that no daemon made.
    """
    looked = {"source_id": source_id, "since": to_millis(polled_since), "now": to_millis(now)}
    if connection.execute(_POLLED, looked).first() is not None:
        return None
    values = {
        "source_id": source_id,
        "slot": to_millis(slot),
        "holder": holder,
        "until": to_millis(until),
        "now": to_millis(now),
        "open": False,
    }
    fence = connection.execute(_CLAIM, values).scalar()
    if fence is not None:
        return Claim(slot=slot, fence=int(fence))
    row = connection.execute(_LEASE, {"source_id": source_id}).one_or_none()
    return None if row is None else Held(holder=row.holder, until=from_millis(row.until))


def settle(connection: Connection, source_id: int, claimed: Claim) -> None:
    """Write that the slot has its poll.

    Raises: LeaseLost if it is another daemon's by now.
    """
    values = {"source_id": source_id, "fence": claimed.fence, "done": True}
    if connection.execute(_SETTLE, values).rowcount != 1:
        raise LeaseLost(f"another daemon took over the poll of {iso(claimed.slot)}: this one is not kept")


def expire(connection: Connection) -> None:
    """Let whatever is under way be taken over at once: for who knows that no other daemon is alive."""
    connection.execute(_EXPIRE)
