"""When the conditions of a rate card hold, and what it charges then: pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from store.records import Override, RateCard

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def holds(override: Override, prompt_tokens: int, at: datetime) -> bool:
    """Whether the conditions of an override hold for a prompt of that length at that instant.

    Of a window that wraps midnight, the days are those on which it starts. A window that ends where it starts is a day.
    Raises: KeyError or ValueError if nobody knows the time zone.
    """
    if override.above_tokens is not None and prompt_tokens <= override.above_tokens:
        return False
    local = at.astimezone(zone(override.tz))
    day = local
    if override.start_minute is not None and override.end_minute is not None:
        minute = local.hour * 60 + local.minute
        if override.start_minute < override.end_minute:
            within = override.start_minute <= minute < override.end_minute
        else:
            within = minute >= override.start_minute or minute < override.end_minute
            if minute < override.start_minute:
                day = local - timedelta(days=1)
        if not within:
            return False
    return not override.days or day.isoweekday() in override.days


def zone(name: str) -> tzinfo:
    """A time zone by its name.

    Raises: KeyError or ValueError if nobody knows it.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # most windows are in UTC

    try:
        return ZoneInfo(name)
    except OSError:  # it is looked for as a file: a folder of zones, a name that is too long
        raise KeyError(f"no time zone found with key {name!r}") from None


def condition_text(override: Override) -> str:
    """The conditions in words: `above 200000`, `01:00-04:00 UTC`, `Mon Tue 22:00-06:00 Asia/Shanghai`."""
    words = []
    if override.above_tokens is not None:
        words.append(f"above {override.above_tokens}")
    words.extend(_DAYS[day - 1] for day in override.days)
    if override.start_minute is not None and override.end_minute is not None:
        words.append(f"{_clock(override.start_minute)}-{_clock(override.end_minute)} {override.tz}")
    return " ".join(words)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def in_force(card: RateCard, prompt_tokens: int, at: datetime) -> tuple[Mapping[str, int], Sequence[Override]]:
    """Meter -> amount for a prompt of that length at that instant, where one is known; and the overrides that hold.

    Raises: KeyError or ValueError if nobody knows the time zone of one.
    """
    if not card.overrides:
        return card.by_meter, ()
    held = [override for override in card.overrides if holds(override, prompt_tokens, at)]
    amounts = dict(card.amounts)
    for override in held:
        amounts.update(override.amounts)
        for meter in override.unknown:
            amounts.pop(meter, None)
    return amounts, held
