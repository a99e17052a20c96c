"""`calendar`: what an endpoint charges at each hour of a week."""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

import click

from store.doors import AT, COUNT, FORMAT, KNOWN_AT, RAW, Doors, answer, done, question

if TYPE_CHECKING:
    from store.calendar import Calendar

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@question(
    click.argument("endpoint"),
    click.option("--prompt", "prompt_tokens", type=COUNT, default=0, help="Length of the prompts: prices of its tier."),
    click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help="Whose days and hours."),
    AT,
    KNOWN_AT,
    FORMAT,
    RAW,
)
def calendar(
    doors: Doors,
    *,
    endpoint: str,
    prompt_tokens: int,
    tz: str,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
) -> None:
    """Show what an endpoint charges at each hour of a week, and when that changes next.

    ENDPOINT is SOURCE:PROVIDER:ENDPOINT (`ref` of `tokentape endpoints`). The week begins at midnight of today, or of
    the day of --at. A row is an hour, or the part of one in which prices stay as they are; a change that the source
    announces for later is told beside them.

    \b
    Examples:
      tokentape calendar deepseek:deepseek:deepseek-v4-flash --tz Asia/Shanghai
      tokentape calendar openrouter:deepinfra:openai/gpt-oss-120b@deepinfra/turbo --prompt 300000 --format csv
    """
    from store.calendar import calendar as find_calendar
    from store.calendar import columns_of
    from store.conditions import zone
    from store.show import print_lines

    instant, known = doors.instants(at, known_at)
    try:
        where = zone(tz)
        with doors.open() as reader:
            found = find_calendar(reader, endpoint, instant, known=known, prompt_tokens=prompt_tokens, tz=tz)
    except (KeyError, ValueError):
        raise click.UsageError(f"nobody knows the time zone {tz!r}, or one of this endpoint's hours") from None
    if form == "table":
        for one in found:
            print_lines(_page(one, where))
        return
    rows = [(one, hour) for one in found for hour in one.hours]
    done(answer(form, rows, columns_of(rows), (), raw=raw), "no hours")


def _page(one: "Calendar", where: tzinfo) -> "Iterator[str]":
    """Names and values, then a line for each day with a letter for each hour, then what the letters mean."""
    from store.instants import iso

    currency = one.row.card.currency
    yield f"endpoint     {one.row.ref}"
    yield f"now          {_prices(one.now, currency)}"
    if one.next_change is None:
        yield "next change  none known"
    else:
        how = "announced" if one.announced else "by the hour"
        yield f"next change  {iso(one.next_change)} ({how}): {_prices(one.next_amounts, currency)}"
    kinds: dict[str, str] = {}
    for hour in one.hours:
        prices = _prices(hour.amounts, currency)
        if prices not in kinds:
            kinds[prices] = _LETTERS[len(kinds)] if len(kinds) < len(_LETTERS) else "?"
    if len(kinds) == 1:
        yield "hours        all alike"
        return
    yield ""
    yield f"{'':16}{'0':<6}{'6':<6}{'12':<6}18"
    days: dict[str, dict[int, str]] = {}
    for hour in one.hours:
        local = hour.since.astimezone(where)
        cells = days.setdefault(f"{local:%a %Y-%m-%d}", {})
        letter = kinds[_prices(hour.amounts, currency)]
        cells[local.hour] = letter if cells.get(local.hour, letter) == letter else "*"
    for day, cells in days.items():
        yield f"{day}  {''.join(cells.get(number, ' ') for number in range(24))}"
    yield ""
    for prices, letter in kinds.items():
        yield f"{letter}  {prices}"
    if any("*" in cells.values() for cells in days.values()):
        yield "*  changes within the hour"


def _prices(amounts: Mapping[str, int], currency: str) -> str:
    from store.units import METERS, decimal_text

    told = [f"{METERS[meter].title} {decimal_text(amounts[meter])}" for meter in METERS if meter in amounts]
    return f"{', '.join(told)} {currency}" if told else "no price known"
