"""Whether the clock of this machine can be believed, as far as a store can tell."""

from datetime import UTC, datetime, timedelta

from store.instants import iso

RELEASED = datetime(2026, 8, 1, tzinfo=UTC)
"""Before any release that does these checks: no right clock shows an earlier instant."""
LASTS = timedelta(days=20 * 366)
"""After its release, how long a program may be in use."""
SLACK = timedelta(days=1)
"""How far behind the newest poll a clock may be: several who collect need not agree to the hour."""


def doubt(now: datetime, newest: datetime | None) -> str | None:
    """What is wrong with a clock, given the newest poll in the store (None: there is none); None if nothing is.

    A poll at a wrong instant would say that a price was seen when nobody looked.
    """
    says = f"the clock says {iso(now)}"
    if newest is not None and now < newest - SLACK:
        return f"{says}, the last poll was at {iso(newest)}: set the clock right, or restore a backup from before that"
    if now < RELEASED:
        return f"{says}, which is before this tokentape was released: set the clock right"
    if now > RELEASED + LASTS:
        return f"{says}, over 20 years after this tokentape was released: set the clock right"
    return None


def went_back(now: datetime, newest: datetime | None) -> tuple[str, str] | None:
    """Code and words to be noted of a poll that, by the clock, is not after those before it; None if it is."""
    if newest is None or now > newest:
        return None
    return "clock_back", f"the clock went back: the poll before was at {iso(newest)}"
