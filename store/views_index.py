"""Columns and tables of `index`, `spread` and `volatility`."""

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from store.columns import Cell, Column
from store.index import PLACES
from store.instants import iso
from store.show import TableColumn
from store.units import decimal_text, hundredths

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.columns import Columns
    from store.index import Level
    from store.intervals import IntervalRow
    from store.show import TableColumns
    from store.spread import Spread
    from store.volatility import Move, Volatility


def _plain(value: Decimal | None) -> str | None:
    """A plain decimal without trailing zeros."""
    if value is None:
        return None
    text = f"{value.quantize(PLACES):f}".rstrip("0").rstrip(".")
    return text or "0"


def amount(value: Fraction) -> str:
    """A price as a plain decimal, rounded to whole units of the store."""
    return decimal_text(round(value))


def change_percent(level: "Level") -> str | None:
    """By how many percent a period moved the index, rounded to hundredths."""
    if level.link is None:
        return None
    return f"{((level.link - 1) * 100).quantize(Decimal('0.01')) + 0:f}"


def move_percent(move: "Move | None") -> str | None:
    """By how many percent a price moved; None from or to nothing."""
    return None if move is None or move.percent is None else hundredths(move.percent)


def mean_percent(one: "Volatility") -> str | None:
    """By how many percent a move goes on average; None: there is none to tell."""
    return None if one.mean_percent is None else hundredths(one.mean_percent)


INDEX: "Columns[Level]" = (
    Column("period", lambda level: level.period.name),
    Column("index", lambda level: _plain(level.index)),
    Column("matched", lambda level: level.matched),
    Column("entered", lambda level: level.entered),
    Column("left", lambda level: level.left),
    Column("stale", lambda level: level.stale),
    Column("models", lambda level: level.models),
    Column("free", lambda level: level.free),
    Column("unconverted", lambda level: level.unconverted),
    Column("change_percent", change_percent),
    Column("since", lambda level: level.period.since),
    Column("until", lambda level: level.period.until),
)

SPREAD: "Columns[Spread]" = (
    Column("model", lambda one: one.model),
    Column("endpoints", lambda one: one.endpoints),
    Column("providers", lambda one: one.providers),
    Column("cheapest", lambda one: amount(one.cheapest)),
    Column("median", lambda one: amount(one.median)),
    Column("dearest", lambda one: amount(one.dearest)),
    Column("ratio", lambda one: hundredths(one.ratio)),
    Column("first_quartile", lambda one: amount(one.quartile)),
    Column("third_quartile", lambda one: amount(one.third_quartile)),
    Column("ties", lambda one: one.ties),
    Column("currency", lambda one: one.currency),
    Column("cheapest_ref", lambda one: one.low.ref),
    Column("dearest_ref", lambda one: one.high.ref),
    Column("left_out", lambda one: one.left_out),
    Column("doubted", lambda one: one.doubted),
)


def _of_row(name: str, of: "Callable[[IntervalRow], Cell]") -> "Column[Volatility]":
    return Column(name, lambda one: None if one.row is None else of(one.row))


def _largest(one: "Volatility") -> "Move | None":
    return one.largest


def _last(one: "Volatility") -> "Move | None":
    return one.moves[-1] if one.moves else None


VOLATILITY: "Columns[Volatility]" = (
    Column("model", lambda one: one.model),
    _of_row("provider", lambda row: row.provider),
    _of_row("endpoint", lambda row: row.endpoint),
    _of_row("variant", lambda row: row.variant),
    _of_row("source", lambda row: row.source),
    Column("moves", lambda one: len(one.moves)),
    Column("largest_percent", lambda one: move_percent(one.largest)),
    Column("mean_percent", mean_percent),
    Column("mean_log", lambda one: _plain(one.mean_log)),
    Column("last_move", lambda one: None if not one.moves else one.moves[-1].row.first_seen),
    Column("last_percent", lambda one: move_percent(_last(one))),
    Column("endpoints", lambda one: one.endpoints),
    Column("moved", lambda one: one.moved),
    Column("of_free", lambda one: one.of_free),
    Column("price", lambda one: None if one.price is None else amount(one.price)),
    _of_row("currency", lambda row: row.card.currency),
    Column("largest_ref", lambda one: None if (move := _largest(one)) is None else move.row.ref),
    Column("last_ref", lambda one: None if (move := _last(one)) is None else move.row.ref),
    _of_row("ref", lambda row: row.ref),
    _of_row("stale", lambda row: row.stale),
    _of_row("disputed", lambda row: row.disputed),
)


def index() -> "TableColumns[Level]":
    """A line for each period."""
    return (
        TableColumn("period", lambda level: level.period.name),
        TableColumn("index", lambda level: "?" if level.index is None else f"{level.index:.4f}", right=True),
        TableColumn("change %", lambda level: change_percent(level) or "", spare=1, right=True),
        TableColumn("matched", lambda level: str(level.matched), right=True),
        TableColumn("models", lambda level: str(level.models), spare=4, right=True),
        TableColumn("entered", lambda level: str(level.entered), right=True),
        TableColumn("left", lambda level: str(level.left), right=True),
        TableColumn("stale", lambda level: str(level.stale), right=True),
        TableColumn("free", lambda level: str(level.free), spare=3, right=True),
        TableColumn("no rate", lambda level: str(level.unconverted or ""), spare=2, right=True),
        TableColumn("to (UTC)", lambda level: _minute(iso(level.period.until)), spare=5),
    )


def spread(currency: str) -> "TableColumns[Spread]":
    """A line for each model."""
    sign = "$" if currency == "USD" else currency
    return (
        TableColumn("model", lambda one: one.model, cut="left"),
        TableColumn("endpoints", lambda one: str(one.endpoints), right=True),
        TableColumn("providers", lambda one: str(one.providers), spare=3, right=True),
        TableColumn(f"cheapest {sign}/M", lambda one: _short(one.cheapest), right=True),
        TableColumn("ties", lambda one: str(one.ties) if one.ties > 1 else "", spare=4, right=True),
        TableColumn("25 %", lambda one: _short(one.quartile), spare=5, right=True),
        TableColumn("median", lambda one: _short(one.median), right=True),
        TableColumn("75 %", lambda one: _short(one.third_quartile), spare=5, right=True),
        TableColumn("dearest", lambda one: _short(one.dearest), right=True),
        TableColumn("ratio", lambda one: _two(one.ratio), right=True),
        TableColumn("cheapest at", lambda one: one.low.provider, spare=2, cut="right"),
        TableColumn("dearest at", lambda one: one.high.provider, spare=6, cut="right"),
        TableColumn("left out", lambda one: str(one.left_out or ""), spare=7, right=True),
        TableColumn("in doubt", lambda one: str(one.doubted or ""), spare=3, right=True),
    )


def volatility(*, by_model: bool) -> "TableColumns[Volatility]":
    """A line for each endpoint or model."""

    def named(of: "Callable[[IntervalRow], str]") -> "Callable[[Volatility], str]":
        return lambda one: "" if one.row is None else of(one.row)

    return (
        TableColumn("model", lambda one: one.model if by_model else "", spare=1, cut="left"),
        TableColumn("provider", named(lambda row: row.provider), spare=1),
        TableColumn("variant", named(lambda row: row.variant), spare=3, cut="right"),
        TableColumn("source", named(lambda row: row.source), spare=2),
        TableColumn("moved", lambda one: f"{one.moved} of {one.endpoints}" if by_model else "", spare=3, right=True),
        TableColumn("moves", lambda one: str(len(one.moves)), right=True),
        TableColumn("of free", lambda one: str(one.of_free or ""), spare=4, right=True),
        TableColumn("largest %", lambda one: move_percent(one.largest) or "", right=True),
        TableColumn("mean %", lambda one: mean_percent(one) or "", right=True),
        TableColumn("last (UTC)", lambda one: _minute(iso(one.moves[-1].row.first_seen)) if one.moves else "", spare=1),
        TableColumn("last %", lambda one: move_percent(_last(one)) or "", spare=2, right=True),
        TableColumn("price $/M", _price, spare=3, right=True),
        TableColumn("endpoint", named(lambda row: row.endpoint), spare=5, cut="left"),
        TableColumn("notes", named(_notes), spare=3, cut="right"),
    )


def _notes(row: "IntervalRow") -> str:
    told = {"stale": row.stale, "disputed": row.disputed, row.end_reason or "ended": row.ended is not None}
    return ", ".join(word for word, holds in told.items() if holds)


def _price(one: "Volatility") -> str:
    if one.price is None or one.row is None:
        return ""
    return f"{_short(one.price)}{'' if one.row.card.currency == 'USD' else f' {one.row.card.currency}'}"


def _two(value: Fraction) -> str:
    return f"{Decimal(round(value * 100)) / 100:.2f}"


def _short(value: Fraction) -> str:
    """A price to a hundredth of a cent, or as exactly as it takes to tell a cheap one from nothing."""
    return decimal_text(int(round(value, -5)) if value >= 10**7 else round(value))


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")
