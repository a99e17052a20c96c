"""How the page of a model is shown: fields, a table of its endpoints, and one of its siblings."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from store.compare import Property, Subject
from store.currency import USD
from store.instants import age_text, iso
from store.model_page import SERIES_DAYS, WINDOWS_DAYS, Offer, Page, Sibling
from store.show import TableColumn, TableColumns
from store.units import NANO, decimal_text
from store.views import price_text
from store.views_compare import Found, by_name, told

_BARS = "▁▂▃▄▅▆▇█"
_FLAT, _UNKNOWN = "▄", "·"
SIBLINGS_SHOWN = 12
"""In a table; other forms have all of them."""


def spark(series: Sequence[int | None]) -> str:
    """A line of bars from the least to the most of a series; `·` where nothing is known."""
    known = [value for value in series if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(
        _UNKNOWN if value is None else _BARS[(value - low) * (len(_BARS) - 1) // span] if span else _FLAT
        for value in series
    )


def fields(page: Page, one: Subject) -> Iterator[tuple[str, str]]:
    """Names and values of what is known of the model as a whole."""
    found = by_name(page.properties)
    yield from told(found, one.into.currency)
    yield "price stands", _standing(found)
    for days in WINDOWS_DAYS:
        yield f"moves in {days} days", _moves(found, days)
    yield f"lowest in {SERIES_DAYS} days", _lowest(page, one.into.currency)


def _value(found: Found, name: str) -> str:
    return found[name][0].value or ""


def _standing(found: Found) -> str:
    share = _value(found, "price_percentile")
    return f"{share} % are {found['price_percentile'][0].note}" if share else ""


def _moves(found: Found, days: int) -> str:
    count, moved = _value(found, f"moves_{days}d"), _value(found, f"moved_{days}d")
    if count == "0":
        return f"none {found[f'moves_{days}d'][0].note}"
    furthest = [
        f"{sign}{percent} %"
        for sign, name in (("+", "rise"), ("", "fall"))
        if (percent := _value(found, f"largest_{name}_{days}d"))
    ]
    of = found[f"moved_{days}d"][0].note
    return f"{count}, by {moved} {of}" + (f"; furthest {', '.join(furthest)}" if furthest else "")


def _lowest(page: Page, currency: str) -> str:
    """Bars of the lowest blend, with the least and the most of it."""
    amounts = [_nano(one) for _, one in page.lowest]
    known = [amount for amount in amounts if amount is not None]
    if not known:
        return ""
    sign = "$" if currency == USD else currency
    return f"{spark(amounts)}  {decimal_text(min(known))} to {decimal_text(max(known))} {sign}/M at 75 % input"


def _nano(one: Property) -> int | None:
    if one.value is None:
        return None
    whole, _, part = one.value.partition(".")
    return int(whole) * NANO + int(part.ljust(9, "0"))


def offers(now: datetime) -> "TableColumns[Offer]":
    """The endpoints of the page, cheapest first."""
    return (
        TableColumn("provider", lambda one: one.row.provider),
        TableColumn("variant", lambda one: one.row.variant, spare=1, cut="right"),
        TableColumn("input $/M", lambda one: price_text(one.row.card, "input"), right=True),
        TableColumn("output $/M", lambda one: price_text(one.row.card, "output"), right=True),
        TableColumn("cache read", lambda one: price_text(one.row.card, "cache_read"), spare=4, right=True),
        TableColumn("pct", lambda one: "" if one.percentile is None else str(one.percentile), spare=3, right=True),
        TableColumn("context", lambda one: _text(one.row.context_length), spare=3, right=True),
        TableColumn("up %", lambda one: _text(one.measured.uptime_percent), spare=4, right=True),
        TableColumn("ms", lambda one: _text(one.measured.first_token_ms), spare=6, right=True),
        TableColumn("tok/s", lambda one: _text(one.measured.tokens_per_second), spare=6, right=True),
        TableColumn(f"{SERIES_DAYS} days", lambda one: spark(one.series), spare=7),
        TableColumn("moves", lambda one: str(one.moves) if one.moves else "", spare=5, right=True),
        TableColumn("source", lambda one: one.row.source, spare=3),
        TableColumn("age", lambda one: age_text(now - one.row.last_seen), spare=5, right=True),
        TableColumn("notes", lambda one: one.note, spare=2, cut="right"),
    )


def _text(count: int | None) -> str:
    return "" if count is None else str(count)


def siblings() -> "TableColumns[Sibling]":
    """What else the author makes."""
    return (
        TableColumn("sibling", lambda one: one.model, cut="left"),
        TableColumn("released", lambda one: f"{_fact(one, 'release_date')}{'?' if one.disputed else ''}"),
        TableColumn("context", lambda one: _fact(one, "context_length"), right=True),
        TableColumn("takes", lambda one: _fact(one, "input_modalities"), spare=2, cut="right"),
        TableColumn("gives", lambda one: _fact(one, "output_modalities"), spare=3, cut="right"),
        TableColumn("status", lambda one: _fact(one, "status") if one.on_offer else "not on offer", spare=1),
    )


def _fact(one: Sibling, name: str) -> str:
    return ", ".join(one.facts.get(name, ()))


def long(page: Page) -> Iterator[Property]:
    """The whole page in rows, for programs: the model, each endpoint by its `ref`, each sibling by its name."""
    yield from page.properties
    for step, one in page.lowest:
        yield one._replace(note=iso(step))
    for offer in page.offers:
        yield from _of_offer(offer)
    for sibling in page.siblings:
        yield Property(sibling.model, "on_offer", "true" if sibling.on_offer else "false")
        for name, values in sibling.facts.items():
            disputed = sibling.disputed and name == "release_date"
            yield from (Property(sibling.model, name, value, disputed=disputed) for value in values)


def _of_offer(offer: Offer) -> Iterator[Property]:
    row, place = offer.row, f"{offer.row.provider} {offer.row.variant}".rstrip()
    unit = f"{row.card.currency}/1M tokens"
    prices = [
        (f"endpoint_{meter}", None if amount is None else decimal_text(amount), unit, row.card.state(meter))
        for meter in ("input", "output", "cache_read")
        for amount in (row.card.amount(meter),)
    ]
    percent = None if offer.percentile is None else str(offer.percentile)
    others = [
        ("endpoint_price_percentile", percent, "percent", "cheaper, of the other endpoints with a price"),
        ("endpoint_context_length", None if row.context_length is None else str(row.context_length), "tokens", ""),
        (f"endpoint_moves_{SERIES_DAYS}d", str(offer.moves), "moves", ""),
        *(
            (f"endpoint_{name}", str(value), "", "")
            for name, value in offer.measured._asdict().items()
            if value is not None
        ),
    ]
    for name, value, unit, note in (*prices, *others):
        yield Property(
            row.model, name, value, unit, note, (row.source,), row.disputed, row.ref, ", ".join((place, *row.doubts))
        )
