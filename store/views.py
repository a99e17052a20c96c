"""The tables that answers are shown in: which columns, and which matter most where room is short."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from store.columns import saving_percent
from store.conditions import condition_text
from store.costing import FEMTO_DIGITS, femto_text
from store.currency import USD, Conversion, Rate
from store.instants import age_text, iso
from store.moves import percent_text
from store.records import BY_OTHERS, TRUST_ORDER, RateCard
from store.show import TableColumn, TableColumns
from store.text import ELLIPSIS
from store.units import METERS, decimal_text

if TYPE_CHECKING:
    from store.catalogue import HeldRow, ModelRow, VerdictRow
    from store.changes import ChangeRow
    from store.conflicts import Conflict
    from store.crossovers import Crossing
    from store.evidence import Evidence
    from store.facts import FactRow
    from store.intervals import IntervalRow
    from store.routing import Route

_LONGEST_FACT = 12
"""Characters of a fact in a table of changes: lists of features would leave no room for anything else."""
_STATES = {"free": "free", "varies": "varies", "unknown": "?", "not_offered": "-"}


def price_text(card: RateCard, meter: str) -> str:
    """`0.15`, `free`, `varies`, `?` for unknown, `-` for not offered; with the currency where that is not USD."""
    amount = card.amount(meter)
    if not amount:
        return _STATES[card.state(meter)]
    return decimal_text(amount) if card.currency == "USD" else f"{decimal_text(amount)} {card.currency}"


def _amount(amount: int | None) -> str:
    return "-" if amount is None else decimal_text(amount)


def _count(count: int | None) -> str:
    return "" if count is None else str(count)


def _minute(at: datetime) -> str:
    return iso(at)[:16].replace("T", " ")


def _price(meter: str, title: str, spare: int = 0) -> "TableColumn[IntervalRow]":
    return TableColumn(title, lambda row: price_text(row.card, meter), spare=spare, right=True)


def _notes(row: "IntervalRow") -> str:
    notes = [
        *row.doubts,
        *(["conditions"] if row.card.overrides else ()),
        *([f"from {row.conversion.quoted}"] if isinstance(row.conversion, Conversion) else ()),
    ]
    return ", ".join(notes)


def endpoints(now: datetime) -> "TableColumns[IntervalRow]":
    """Every endpoint of a model."""
    return (
        TableColumn("provider", lambda row: row.provider),
        TableColumn("variant", lambda row: row.variant, spare=2, cut="right"),
        _price("input", "input $/M"),
        _price("output", "output $/M"),
        _price("cache_read", "cache read", spare=4),
        _price("cache_write", "cache write", spare=8),
        TableColumn("context", lambda row: _count(row.context_length), spare=3, right=True),
        TableColumn("max output", lambda row: _count(row.max_output_tokens), spare=7, right=True),
        TableColumn("quant", lambda row: row.quantization or "", spare=6),
        TableColumn("source", lambda row: row.source, spare=1),
        TableColumn("age", lambda row: age_text(now - row.last_seen), spare=3, right=True),
        TableColumn("endpoint", lambda row: row.endpoint, spare=5, cut="left"),
        TableColumn("notes", _notes, spare=2, cut="right"),
    )


def history() -> "TableColumns[IntervalRow]":
    """Intervals, one below the other."""
    return (
        TableColumn("provider", lambda row: row.provider),
        TableColumn("variant", lambda row: row.variant, spare=2, cut="right"),
        TableColumn("from (UTC)", _from),
        TableColumn("to (UTC)", _to),
        TableColumn("ended", lambda row: row.end_reason or "", spare=5),
        _price("input", "input $/M"),
        _price("output", "output $/M"),
        _price("cache_read", "cache read", spare=4),
        _price("cache_write", "cache write", spare=8),
        TableColumn("context", lambda row: _count(row.context_length), spare=3, right=True),
        TableColumn("source", lambda row: row.source, spare=1),
        TableColumn("endpoint", lambda row: row.endpoint, spare=6, cut="left"),
        TableColumn("superseded (UTC)", lambda row: _minute(row.known_to) if row.known_to else "", spare=3),
        TableColumn("notes", _notes, spare=2, cut="right"),
    )


def _from(row: "IntervalRow") -> str:
    if row.basis == "stated":
        return "not said" if row.stated_since is None else _minute(row.stated_since)
    return _minute(row.first_seen)


def _to(row: "IntervalRow") -> str:
    if row.basis == "stated":
        return "open" if row.stated_until is None else _minute(row.stated_until)
    return "now" if row.ended is None else _minute(row.ended)


def cheapest(now: datetime, *, models: int, currency: str = USD) -> "TableColumns[Route]":
    """Routes, cheapest first."""
    sign = "$" if currency == USD else currency
    return (
        TableColumn("rank", lambda route: f"{route.rank}{'=' if route.tied else ''}"),
        TableColumn("model", lambda route: route.row.model if models > 1 else "", spare=1, cut="left"),
        TableColumn("provider", lambda route: route.row.provider),
        TableColumn("variant", lambda route: route.row.variant, spare=1, cut="right"),
        TableColumn(f"{sign}/request", lambda route: short_cost(route.spend.request), right=True),
        TableColumn(f"{sign}/month", month_text, spare=1, right=True),
        TableColumn("saves %", lambda route: saving_percent(route) or "", spare=1, right=True),
        TableColumn(f"input {sign}/M", lambda route: _amount(route.cost.input), right=True),
        TableColumn(f"output {sign}/M", lambda route: _amount(route.cost.output), right=True),
        TableColumn("cache read", lambda route: _amount(route.cost.cache_read), spare=4, right=True),
        TableColumn("context", lambda route: _count(route.row.context_length), spare=3, right=True),
        TableColumn("source", lambda route: route.row.source, spare=2),
        TableColumn("age", lambda route: age_text(now - route.row.last_seen), spare=3, right=True),
        TableColumn("endpoint", lambda route: route.row.endpoint, spare=5, cut="left"),
        TableColumn("notes", _route_notes, spare=1, cut="right"),
    )


_DIGITS = 6
"""Digits of a mean, which may have no end."""


def short_cost(femto: Fraction | int) -> str:
    """An exact amount, or the digits that tell it from others."""
    if femto.denominator == 1:
        return femto_text(int(femto))
    least = FEMTO_DIGITS - len(str(int(femto))) + _DIGITS
    rounded = round(Decimal(femto.numerator) / femto.denominator / 10**FEMTO_DIGITS, max(0, least))
    return f"{rounded:f}".rstrip("0").rstrip(".")


def month_text(route: "Route") -> str:
    """What a month costs, to the cent; empty where nobody said how many requests there are."""
    return "" if route.month is None else f"{Decimal(round(Fraction(route.month, 10 ** (FEMTO_DIGITS - 2)))) / 100:.2f}"


def crossovers() -> "TableColumns[Crossing]":
    """Who is cheapest, from where to where."""
    return (
        TableColumn("by", lambda one: f"{one.by} (UTC)" if isinstance(one.since, datetime) else one.by),
        TableColumn("from", lambda one: crossing_place(one.since), right=True),
        TableColumn("to", lambda one: crossing_place(one.until), right=True),
        TableColumn("cheapest", lambda one: f"{one.row.provider}{'=' if one.tied else ''}"),
        TableColumn("variant", lambda one: one.row.variant, spare=1, cut="right"),
        TableColumn("request from", lambda one: f"{short_cost(one.cost_since)} {one.currency}", spare=1, right=True),
        TableColumn("request to", lambda one: f"{short_cost(one.cost_until)} {one.currency}", spare=1, right=True),
        TableColumn("model", lambda one: one.row.model, spare=4, cut="left"),
        TableColumn("source", lambda one: one.row.source, spare=2),
        TableColumn("endpoint", lambda one: one.row.endpoint, spare=3, cut="left"),
    )


def crossing_place(place: "Fraction | int | datetime") -> str:
    """A share of cache hits, the length of a prompt, or an instant."""
    if isinstance(place, Fraction):
        return f"{Decimal(round(place * 1000)) / 10:.1f} %"
    return str(place) if isinstance(place, int) else f"{place:%a} {_minute(place)}"


def _route_notes(route: "Route") -> str:
    notes = [
        *route.cost.conditions,
        *route.row.doubts,
        *([f"from {route.row.card.currency}"] if route.cost.conversion else ()),
    ]
    return ", ".join(notes)


def conflicts(now: datetime, *, of_one: bool) -> "TableColumns[Conflict]":
    """What two sources state differently; of one model, without saying again which."""
    model: TableColumns[Conflict] = () if of_one else (TableColumn("model", lambda one: one.row.model, cut="left"),)

    def age(row: "IntervalRow") -> str:
        return f"{age_text(now - row.last_seen)}{' stale' if row.stale else ''}"

    def percent(one: "Conflict") -> str:
        return percent_text(one.difference.value, one.difference.other) or ""

    def trust(row: "IntervalRow") -> str:
        return TRUST_ORDER[row.trust] if row.trust < len(TRUST_ORDER) else str(row.trust)

    return (
        *model,
        TableColumn("provider", lambda one: one.row.provider, cut="right"),
        TableColumn("variant", lambda one: one.row.variant, spare=1, cut="right"),
        TableColumn("meter", lambda one: one.difference.meter),
        TableColumn("case", lambda one: one.difference.case, spare=1, cut="right"),
        TableColumn("source", lambda one: one.row.source),
        TableColumn("says", lambda one: one.difference.text, right=True),
        TableColumn("other", lambda one: one.other.source),
        TableColumn("says", lambda one: one.difference.other_text, right=True),
        TableColumn("%", percent, spare=2, right=True),
        TableColumn("agree", lambda one: f"{1 + len(one.agreeing)}:{1 + len(one.other_agreeing)}", spare=3),
        TableColumn("checked", lambda one: age(one.row), spare=4, right=True),
        TableColumn("checked", lambda one: age(one.other), spare=4, right=True),
        TableColumn("trust", lambda one: trust(one.row), spare=6),
        TableColumn("trust", lambda one: trust(one.other), spare=6),
        TableColumn("since (UTC)", lambda one: _minute(one.since), spare=5),
        TableColumn("kind", lambda one: one.difference.kind, spare=7),
    )


def rates() -> "TableColumns[Rate]":
    """What a euro costs."""
    return (
        TableColumn("currency", lambda rate: rate.currency),
        TableColumn("one EUR is", lambda rate: rate.text, right=True),
        TableColumn("day", lambda rate: rate.day.isoformat()),
        TableColumn("source", lambda rate: rate.source),
    )


def changes(*, of_one: bool) -> "TableColumns[ChangeRow]":
    """What moved, oldest first; of one model, without saying again which."""
    model: TableColumns[ChangeRow] = () if of_one else (TableColumn("model", lambda row: row.model, cut="left"),)
    return (
        TableColumn("seen (UTC)", lambda row: _minute(row.seen)),
        TableColumn("event", lambda row: row.event, spare=1),
        TableColumn("about (UTC)", _about, spare=4),
        *model,
        TableColumn("provider", lambda row: row.provider, cut="right"),
        TableColumn("variant", lambda row: row.variant, spare=3, cut="right"),
        TableColumn("meter", lambda row: row.meter, cut="right"),
        TableColumn("old", lambda row: _moved(row.old, row.old_state), right=True),
        TableColumn("new", lambda row: _moved(row.new, row.new_state), right=True),
        TableColumn("%", lambda row: row.change_percent or "", spare=2, right=True),
        TableColumn("source", lambda row: row.source, spare=5),
        TableColumn("endpoint", lambda row: row.endpoint, spare=6, cut="left"),
    )


def _about(row: "ChangeRow") -> str:
    """The time that a correction or an announcement is about."""
    if row.since is None:
        return ""
    return f"{_minute(row.since)} to {_minute(row.until)}" if row.until else f"from {_minute(row.since)}"


def _moved(value: str | None, state: str | None) -> str:
    if state in _STATES:
        return _STATES[state]
    text = value or ""
    return text if len(text) <= _LONGEST_FACT else f"{text[: _LONGEST_FACT - 1]}{ELLIPSIS}"


def facts() -> "TableColumns[FactRow]":
    """What is said of a model beside its prices."""
    return (
        TableColumn("fact", lambda row: row.fact),
        TableColumn("provider", lambda row: row.provider, spare=1, cut="right"),
        TableColumn("value", lambda row: row.value, cut="right"),
        TableColumn("endpoints", lambda row: str(row.endpoints), spare=4, right=True),
        TableColumn("sources", lambda row: ", ".join(row.sources), spare=2, cut="right"),
        TableColumn("since (UTC)", lambda row: _minute(row.since), spare=3),
        TableColumn("notes", lambda row: "disputed" if row.disputed else "", spare=1),
    )


def models() -> "TableColumns[ModelRow]":
    """Models on offer."""
    return (
        TableColumn("model", lambda row: row.model, cut="right"),
        TableColumn("endpoints", lambda row: str(row.endpoints), right=True),
        TableColumn("providers", lambda row: str(row.providers), spare=3, right=True),
        TableColumn("sources", lambda row: str(row.sources), spare=4, right=True),
        TableColumn("input from $/M", lambda row: _amount(row.input), right=True),
        TableColumn("output from $/M", lambda row: _amount(row.output), right=True),
        TableColumn("free", lambda row: _count(row.free or None), spare=2, right=True),
        TableColumn("context to", lambda row: _count(row.context_length), spare=1, right=True),
        TableColumn("disputed", lambda row: _count(row.disputed or None), right=True),
    )


def held() -> "TableColumns[HeldRow]":
    """What is kept out of the tape."""
    return (
        TableColumn("held", lambda row: row.held_ref),
        TableColumn("source", lambda row: row.source),
        TableColumn("subject", lambda row: row.subject, cut="right"),
        TableColumn("rule", lambda row: row.rule),
        TableColumn("on the tape", lambda row: _in_and_out(row.accepted), spare=2, right=True),
        TableColumn("it says", lambda row: _in_and_out(row.card), spare=1, right=True),
        TableColumn("since (UTC)", lambda row: _minute(row.first_seen), spare=4),
        TableColumn("message", lambda row: row.message, spare=3, cut="right"),
    )


def held_in_full(rows: "Sequence[HeldRow]", said: "Iterable[VerdictRow]") -> Iterator[tuple[str, str]]:
    """Names and values of all that is held under one reference, and of what was said of its offer."""
    row = rows[0]
    yield "held", row.held_ref
    yield "source", row.source
    yield "subject", row.subject
    yield "endpoint", row.ref or ""
    yield "why", "\n".join(f"{one.rule}: {one.message}" for one in rows)
    yield "on the tape", "\n".join(_card_lines(row.accepted)) if row.accepted else ""
    yield "it says", "\n".join(_card_lines(row.card)) if row.card else ""
    yield "since", iso(min(one.first_seen for one in rows))
    yield "url", row.url or ""
    yield "sha256", row.document or ""
    yield "locator", row.locator
    yield "verdicts", "\n".join(map(_verdict, said))


def _verdict(one: "VerdictRow") -> str:
    done = "released" if one.released else "doubted" if one.by == BY_OTHERS else "rejected"
    return f"{iso(one.known)} {done} by {one.by}{f': {one.note}' if one.note else ''}"


def _in_and_out(card: RateCard | None) -> str:
    return "" if card is None else " / ".join(price_text(card, meter) for meter in ("input", "output"))


def evidence(one: "Evidence") -> Iterator[tuple[str, str]]:
    """Names and values of the evidence for a price."""
    row = one.row
    yield "endpoint", row.ref
    yield "model", row.model + (f" ({row.variant})" if row.variant else "")
    yield "prices", "\n".join(_card_lines(row.card))
    yield "list prices", "\n".join(_card_lines(one.list_card)) if one.list_card else ""
    yield "basis", row.basis
    yield "not before", iso(row.not_before) if row.not_before else "the first poll that looked"
    yield "first seen", iso(row.first_seen)
    yield "last seen", f"{iso(row.last_seen)}{' (stale)' if row.stale else ''}"
    yield "unseen since", iso(row.unseen_since) if row.unseen_since else ""
    yield "ended", f"{iso(row.ended)} {row.end_reason}" if row.ended else ""
    yield "stated", _stated(row) if row.basis == "stated" else ""
    yield "known from", iso(row.known_from)
    yield "source", row.source
    yield "url", one.url
    yield "polled at", iso(one.polled_at)
    yield "sha256", row.document
    yield "pack", one.pack or ""
    yield "part", one.part
    yield "locator", row.locator
    yield "held back", "\n".join(one.held)
    yield "flaps", _flaps(one.flaps)
    yield "contradicted", "\n".join(map(_contradiction, one.conflicts))
    yield "facts", one.facts or ""
    yield "record", one.record or f"not shown: {one.record_missing}"


def _flaps(back: Sequence[datetime]) -> str:
    """How often a price went away and came back."""
    return f"a price came back within three days {len(back)} times, last at {iso(back[-1])}" if back else ""


def _contradiction(one: "Conflict") -> str:
    """What another source says, from the side of the row that is explained."""
    told = one.difference
    case = f" ({told.case})" if told.case else ""
    return f"{told.meter}{case}: {told.text} here, {told.other_text} by {one.other.ref}"


def _card_lines(card: RateCard) -> Iterator[str]:
    """Every meter of a card with its unit, then its conditions."""
    for meter, amount in card.amounts:
        yield f"{meter}: {decimal_text(amount)} {card.currency} per {_unit(meter)}"
    for meter, state in card.states:
        yield f"{meter}: {state}"
    for override in card.overrides:
        prices = [f"{meter} {decimal_text(amount)}" for meter, amount in override.amounts]
        prices += [f"{meter} unknown" for meter in override.unknown]
        yield f"{condition_text(override)}: {', '.join(prices)}"


def _unit(meter: str) -> str:
    thing = METERS[meter].thing
    return "1M tokens" if thing == "token" else thing


def _stated(row: "IntervalRow") -> str:
    since = "always" if row.stated_since is None else iso(row.stated_since)
    return f"from {since}" + (f" until {iso(row.stated_until)}" if row.stated_until else "")
