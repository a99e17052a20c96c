"""llm-prices: `historical-v1.json`, the dated first-party prices behind https://www.llm-prices.com.

What is read
    `prices`, a list of rows of one model and one stretch of time, USD per 1M tokens as JSON numbers. Provider is
    `vendor`, model is `id`. Rows of one model become one quote with dated prices: `from_date` is the first day of a
    price, `to_date` the first day without it, both at midnight UTC for want of a zone; null is not said.
    Source: `data/<vendor>.json` in https://github.com/simonw/llm-prices (no licence stated), eleven vendors.

Why the historical form
    `current-v1.json` is reckoned on the day it is built, and the site is built on a push only: an announced price
    shows there days late. Here the dates themselves are stated, changes of the future included.

Oddities
    Prompt lengths are models of their own (`gpt-5.5` up to 272k, `gpt-5.5-272k` above): published as separate ids and
    not joined here. One row may stand twice (`grok-4-fast` with two names at one price until 2025-10): read once.
    Rows of one model that give two prices for one instant contradict each other: held. A model whose last price has
    ended has none in force. `input_cached` null is not offered. Nothing is said of context or limits.
    A 0 has not been seen; it would be unknown. Slow to follow: some launch prices stand for months.

History
    2025-10-10 published. Dated changes so far: deepseek-chat (2025-02-08), claude-sonnet-5 (announced 2026-06-30 for
    2026-09-01), gpt-5.6-luna and gpt-5.6-terra (2026-07-30).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations

from collector.contract import Price, Quote, SourceSpec, StatedQuote
from collector.errors import SourceChanged
from collector.parse.catalogue import complete, named, price
from collector.parse.doubt import Doubt, describe
from collector.parse.strict import read_json
from store.records import Document

METER_OF = {"input": "input", "output": "output", "input_cached": "cache_read"}
UNIT = "USD/1M_token"

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_COLUMNS = frozenset({"id", "vendor", "from_date", "to_date", *METER_OF})


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per vendor and id, each with the prices that the source dates.

    Units: USD per 1M tokens.
    Raises: SourceChanged if there is no list of rows, or a row lacks a column or the name of its model.
    Not: which price is in force, identity of models, plausibility.
    """
    body = read_json(document)
    rows = body.get("prices") if isinstance(body, Mapping) else None
    if not isinstance(rows, list) or not rows:
        raise SourceChanged(f"{spec.id}: prices: wanted a list of rows, found {describe(rows)}")
    models: dict[tuple[str, str], list[tuple[int, Mapping[str, object]]]] = {}
    for number, listed in enumerate(rows):
        row, key = _row(listed, f"{spec.id}: prices[{number}]")
        models.setdefault(key, []).append((number, row))
    return [_quote(vendor, name, found, spec) for (vendor, name), found in models.items()]


def _row(row: object, place: str) -> tuple[Mapping[str, object], tuple[str, str]]:
    """A row and the vendor and id it is about."""
    if not isinstance(row, Mapping):
        raise SourceChanged(f"{place}: wanted a row, found {describe(row)}")
    lacking = _COLUMNS - row.keys()
    if lacking:
        raise SourceChanged(f"{place}: wanted {', '.join(sorted(lacking))}, found none", code="columns")
    vendor, name = row["vendor"], row["id"]
    if not isinstance(vendor, str) or not isinstance(name, str):
        raise SourceChanged(f"{place}: wanted a vendor and an id, found {describe(vendor)} and {describe(name)}")
    return row, (vendor, name)


def _quote(vendor: str, name: str, rows: Sequence[tuple[int, Mapping[str, object]]], spec: SourceSpec) -> Quote:
    locator = f"prices[{rows[0][0]}]"
    doubts: list[Doubt] = []
    provider, model = named(vendor, "a vendor", doubts), named(name, "an id", doubts)
    if not provider or not model:
        raise SourceChanged(f"{spec.id}: {locator}: {doubts[-1]}")
    stated: list[StatedQuote] = []
    findings = [doubt.finding(locator) for doubt in doubts]
    for number, row in rows:
        try:
            entry = _stated(row)
        except Doubt as doubt:
            findings.append(doubt.finding(f"prices[{number}]"))
            continue
        if not any((entry.since, entry.until) == (one.since, one.until) and _agree(entry, one) for one in stated):
            stated.append(entry)
    for one, other in combinations(stated, 2):
        if _overlap(one, other) and not _agree(one, other):
            findings.append(Doubt("contradiction", f"two prices {_when(one)} and {_when(other)}").finding(locator))
    return Quote(
        provider=provider,
        model=model,
        prices={},
        stated=tuple(sorted(stated, key=_since)),
        locator=locator,
        findings=tuple(findings),
    )


def _stated(row: Mapping[str, object]) -> StatedQuote:
    """Raises: Doubt if a price is no number, a date no date, or a price ends before it begins."""
    since, until = _midnight(row["from_date"], "from_date"), _midnight(row["to_date"], "to_date")
    if since is not None and until is not None and until <= since:
        raise Doubt("dates", f"to_date {describe(row['to_date'])} is not after from_date {describe(row['from_date'])}")
    prices: dict[str, Price] = {}
    for column, meter in METER_OF.items():
        stated = price(row[column], column, UNIT, free=False)
        if stated is not None:
            prices[meter] = stated
    return StatedQuote(since=since, until=until, prices=complete(prices, UNIT))


def _midnight(date: object, name: str) -> datetime | None:
    if date is None:
        return None
    if not isinstance(date, str) or _DATE.fullmatch(date) is None:
        raise Doubt("dates", f"{name} is {describe(date)}, not a date")
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC)
    except ValueError:
        raise Doubt("dates", f"{name} is {describe(date)}, a day that does not exist") from None


def _since(entry: StatedQuote) -> datetime:
    return entry.since or datetime.min.replace(tzinfo=UTC)


def _agree(one: StatedQuote, other: StatedQuote) -> bool:
    """The same prices, however they are written (`0.2`, `0.20`)."""
    return _amounts(one) == _amounts(other)


def _amounts(entry: StatedQuote) -> dict[str, Decimal | None]:
    return {meter: Decimal(price.text) if price.text else None for meter, price in entry.prices.items()}


def _overlap(one: StatedQuote, other: StatedQuote) -> bool:
    return (one.until is None or _since(other) < one.until) and (other.until is None or _since(one) < other.until)


def _when(entry: StatedQuote) -> str:
    since, until = (f"{at:%Y-%m-%d}" if at else "open" for at in (entry.since, entry.until))
    return f"from {since} to {until}"
