"""The columns of answers for programs: a contract, to which columns are only ever added at the end."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from store.costing import fraction_text
from store.currency import USD, Conversion, Rate, Unconverted
from store.instants import iso
from store.moves import percent_text
from store.records import TRUST_ORDER, Facts, Override, RateCard
from store.units import CORE_METERS, decimal_text

if TYPE_CHECKING:
    from store.catalogue import HeldRow, ModelRow, SourceRow
    from store.changes import ChangeRow
    from store.conflicts import Conflict
    from store.crossovers import Crossing
    from store.evidence import Evidence
    from store.facts import FactRow
    from store.intervals import IntervalRow
    from store.routing import Excluded, Route

R = TypeVar("R")
Cell = str | int | bool | datetime | Mapping[str, object] | Sequence[object] | None


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A named value of a row."""

    name: str
    of: Callable[[R], Cell]


Columns = tuple[Column[R], ...]


def amount_text(amount: int | None) -> str | None:
    """A price as a plain decimal."""
    return None if amount is None else decimal_text(amount)


def card_body(card: RateCard) -> dict[str, object]:
    """A whole rate card with its prices as plain decimals."""
    body: dict[str, object] = {"currency": card.currency, "prices": _prices(card.amounts)}
    if card.states:
        body["states"] = dict(card.states)
    if card.overrides:
        body["overrides"] = [_override_body(override) for override in card.overrides]
    return body


def _override_body(override: Override) -> dict[str, object]:
    conditions: dict[str, object] = {}
    if override.above_tokens is not None:
        conditions["above_tokens"] = override.above_tokens
    if override.start_minute is not None:
        conditions |= {"start_minute": override.start_minute, "end_minute": override.end_minute, "tz": override.tz}
    if override.days:
        conditions |= {"days": list(override.days), "tz": override.tz}
    unknown = {"states": dict.fromkeys(override.unknown, "unknown")} if override.unknown else {}
    return conditions | {"prices": _prices(override.amounts)} | unknown


def _prices(amounts: Iterable[tuple[str, int]]) -> dict[str, str]:
    return {meter: decimal_text(amount) for meter, amount in amounts}


def _price(meter: str) -> "Column[IntervalRow]":
    return Column(meter, lambda row: amount_text(row.card.amount(meter)))


def _state(meter: str) -> "Column[IntervalRow]":
    return Column(f"{meter}_state", lambda row: row.card.state(meter))


def _fact(name: str) -> "Column[IntervalRow]":
    value_of: Callable[[Facts], Cell] = attrgetter(name)

    def of(row: "IntervalRow") -> Cell:
        value = value_of(row.facts)
        return None if value == () else value  # no list is stated

    return Column(name, of)


_INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE = (_price(meter) for meter in CORE_METERS)
_STATES: "Columns[IntervalRow]" = tuple(_state(meter) for meter in CORE_METERS)
_NAMES: "Columns[IntervalRow]" = (
    Column("model", lambda row: row.model),
    Column("provider", lambda row: row.provider),
    Column("endpoint", lambda row: row.endpoint),
    Column("variant", lambda row: row.variant),
    Column("source", lambda row: row.source),
)
_NOT_BEFORE: "Column[IntervalRow]" = Column("not_before", lambda row: row.not_before)
_SEEN: "Columns[IntervalRow]" = (
    Column("first_seen", lambda row: row.first_seen),
    Column("last_seen", lambda row: row.last_seen),
)
_ENDED: "Columns[IntervalRow]" = (
    Column("ended", lambda row: row.ended),
    Column("end_reason", lambda row: row.end_reason),
)
_LIMITS: "Columns[IntervalRow]" = (
    Column("context_length", lambda row: row.context_length),
    Column("max_output_tokens", lambda row: row.max_output_tokens),
)
_QUANTIZATION: "Column[IntervalRow]" = Column("quantization", lambda row: row.quantization)
_PROOF: "Columns[IntervalRow]" = (
    Column("currency", lambda row: row.card.currency),
    Column("document", lambda row: row.document),
)
_BELIEF: "Columns[IntervalRow]" = (
    Column("basis", lambda row: row.basis),
    Column("stated_since", lambda row: row.stated_since),
    Column("stated_until", lambda row: row.stated_until),
    Column("stale", lambda row: row.stale),
    Column("disputed", lambda row: row.disputed),
    Column("unseen_since", lambda row: row.unseen_since),
    Column("rate_card", lambda row: card_body(row.card)),
    Column("locator", lambda row: row.locator),
    Column("ref", lambda row: row.ref),
)

_KNOWN: "Columns[IntervalRow]" = (
    Column("known_from", lambda row: row.known_from),
    Column("known_to", lambda row: row.known_to),
)

_FACTS: "Columns[IntervalRow]" = tuple(
    _fact(name)
    for name in Facts.__dataclass_fields__
    if name not in ("context_length", "max_output_tokens", "quantization")
)
"""Those that have no place above; a list is JSON."""
_CONVERTED: "Columns[IntervalRow]" = (
    Column("quoted_currency", lambda row: row.conversion.quoted if row.conversion else row.card.currency),
    Column("rates", lambda row: rates_told(row.conversion)),
    Column("unconverted", lambda row: row.conversion.why if isinstance(row.conversion, Unconverted) else None),
)

_CONTRADICTED: "Column[IntervalRow]" = Column(
    "contradicted_by", lambda row: None if row.contradicted_by is None else list(row.contradicted_by)
)
_CORE = (_INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE)

ENDPOINTS: "Columns[IntervalRow]" = (
    *_NAMES,
    *_SEEN,
    *_CORE,
    *_LIMITS,
    _QUANTIZATION,
    *_PROOF,
    *_STATES,
    _NOT_BEFORE,
    *_ENDED,
    *_BELIEF,
    *_KNOWN,
    *_FACTS,
    *_CONVERTED,
    _CONTRADICTED,
)
HISTORY: "Columns[IntervalRow]" = (
    *_NAMES,
    _NOT_BEFORE,
    *_SEEN,
    *_ENDED,
    *_CORE,
    *_LIMITS,
    *_PROOF,
    *_STATES,
    _QUANTIZATION,
    *_BELIEF,
    *_KNOWN,
    *_FACTS,
    *_CONVERTED,
    _CONTRADICTED,
)


def saving_percent(route: "Route") -> str | None:
    """What is saved, in percent of what is paid now, with one digit; None where nobody said what that is."""
    if route.saving is None or not route.spend.request + route.saving:
        return None
    return f"{Decimal(round(Fraction(route.saving, route.spend.request + route.saving) * 1000)) / 10:.1f}"


CHEAPEST: "Columns[Route]" = (
    Column("rank", lambda route: route.rank),
    Column("model", lambda route: route.row.model),
    Column("provider", lambda route: route.row.provider),
    Column("endpoint", lambda route: route.row.endpoint),
    Column("variant", lambda route: route.row.variant),
    Column("cost_per_request_usd", lambda route: route.cost.text if route.cost.currency == USD else None),
    Column("input", lambda route: amount_text(route.cost.input)),
    Column("output", lambda route: amount_text(route.cost.output)),
    Column("cache_read", lambda route: amount_text(route.cost.cache_read)),
    Column("context_length", lambda route: route.row.context_length),
    Column("source", lambda route: route.row.source),
    Column("last_seen", lambda route: route.row.last_seen),
    Column("tied", lambda route: route.tied),
    Column("conditions", lambda route: "; ".join(route.cost.conditions)),
    Column("fits", lambda route: route.fits),
    Column("max_output_tokens", lambda route: route.row.max_output_tokens),
    Column("quantization", lambda route: route.row.quantization),
    Column("cache_read_state", lambda route: route.row.card.state("cache_read")),
    Column("basis", lambda route: route.row.basis),
    Column("stale", lambda route: route.row.stale),
    Column("disputed", lambda route: route.row.disputed),
    Column("document", lambda route: route.row.document),
    Column("ref", lambda route: route.row.ref),
    Column("currency", lambda route: route.cost.currency),
    Column("cost_per_request", lambda route: route.cost.text),
    Column("quoted_currency", lambda route: route.row.card.currency),
    Column("rates", lambda route: rates_told(route.cost.conversion)),
    Column("contradicted_by", lambda route: list(route.row.contradicted_by or ())),
    Column("cost_per_month", lambda route: None if route.month is None else fraction_text(route.month)),
    Column("meters", lambda route: {meter: fraction_text(femto) for meter, femto in route.spend.meters}),
    Column("saving_per_request", lambda route: None if route.saving is None else fraction_text(route.saving)),
    Column("saving_percent", saving_percent),
)

EXCLUDED: "Columns[Excluded]" = (
    Column("ref", lambda one: one.row.ref),
    Column("model", lambda one: one.row.model),
    Column("provider", lambda one: one.row.provider),
    Column("endpoint", lambda one: one.row.endpoint),
    Column("variant", lambda one: one.row.variant),
    Column("source", lambda one: one.row.source),
    Column("reason", lambda one: one.reason),
)
CROSSOVERS: "Columns[Crossing]" = (
    Column("by", lambda one: one.by),
    Column("since", lambda one: _place(one.since)),
    Column("until", lambda one: _place(one.until)),
    Column("model", lambda one: one.row.model),
    Column("provider", lambda one: one.row.provider),
    Column("endpoint", lambda one: one.row.endpoint),
    Column("variant", lambda one: one.row.variant),
    Column("source", lambda one: one.row.source),
    Column("tied", lambda one: one.tied),
    Column("cost_since", lambda one: fraction_text(one.cost_since)),
    Column("cost_until", lambda one: fraction_text(one.cost_until)),
    Column("currency", lambda one: one.currency),
    Column("ref", lambda one: one.row.ref),
)


def _place(place: "Fraction | int | datetime") -> Cell:
    """A share as a plain decimal of at most six digits."""
    if isinstance(place, Fraction):
        return f"{Decimal(round(place * 10**6)) / 10**6:f}"
    return place


CHANGES: "Columns[ChangeRow]" = (
    Column("seen", lambda row: row.seen),
    Column("not_before", lambda row: row.not_before),
    Column("model", lambda row: row.model),
    Column("provider", lambda row: row.provider),
    Column("endpoint", lambda row: row.endpoint),
    Column("source", lambda row: row.source),
    Column("meter", lambda row: row.meter),
    Column("old", lambda row: row.old),
    Column("new", lambda row: row.new),
    Column("change_percent", lambda row: row.change_percent),
    Column("event", lambda row: row.event),
    Column("variant", lambda row: row.variant),
    Column("old_state", lambda row: row.old_state),
    Column("new_state", lambda row: row.new_state),
    Column("document", lambda row: row.document),
    Column("known", lambda row: row.known),
    Column("since", lambda row: row.since),
    Column("until", lambda row: row.until),
    Column("kind", lambda row: row.kind),
)

FACTS: "Columns[FactRow]" = (
    Column("model", lambda row: row.model),
    Column("fact", lambda row: row.fact),
    Column("provider", lambda row: row.provider),
    Column("value", lambda row: row.value),
    Column("sources", lambda row: row.sources),
    Column("endpoints", lambda row: row.endpoints),
    Column("since", lambda row: row.since),
    Column("disputed", lambda row: row.disputed),
)

MODELS: "Columns[ModelRow]" = (
    Column("model", lambda row: row.model),
    Column("endpoints", lambda row: row.endpoints),
    Column("providers", lambda row: row.providers),
    Column("sources", lambda row: row.sources),
    Column("input", lambda row: amount_text(row.input)),
    Column("output", lambda row: amount_text(row.output)),
    Column("free", lambda row: row.free),
    Column("context_length", lambda row: row.context_length),
    Column("disputed", lambda row: row.disputed),
)

HELD: "Columns[HeldRow]" = (
    Column("source", lambda row: row.source),
    Column("subject", lambda row: row.subject),
    Column("rule", lambda row: row.rule),
    Column("message", lambda row: row.message),
    Column("first_seen", lambda row: row.first_seen),
    Column("model", lambda row: row.model),
    Column("provider", lambda row: row.provider),
    Column("endpoint", lambda row: row.endpoint),
    Column("input", lambda row: _of(row.accepted, "input")),
    Column("output", lambda row: _of(row.accepted, "output")),
    Column("held_input", lambda row: _of(row.card, "input")),
    Column("held_output", lambda row: _of(row.card, "output")),
    Column("rate_card", lambda row: _body(row.accepted)),
    Column("held_rate_card", lambda row: _body(row.card)),
    Column("url", lambda row: row.url),
    Column("document", lambda row: row.document),
    Column("locator", lambda row: row.locator),
    Column("ref", lambda row: row.ref),
    Column("held_ref", lambda row: row.held_ref),
)

EVIDENCE: "Columns[Evidence]" = (
    Column("ref", lambda one: one.row.ref),
    Column("model", lambda one: one.row.model),
    Column("provider", lambda one: one.row.provider),
    Column("endpoint", lambda one: one.row.endpoint),
    Column("variant", lambda one: one.row.variant),
    Column("source", lambda one: one.row.source),
    Column("url", lambda one: one.url),
    Column("polled_at", lambda one: one.polled_at),
    Column("document", lambda one: one.row.document),
    Column("pack", lambda one: one.pack),
    Column("part", lambda one: one.part),
    Column("locator", lambda one: one.row.locator),
    Column("not_before", lambda one: one.row.not_before),
    Column("first_seen", lambda one: one.row.first_seen),
    Column("last_seen", lambda one: one.row.last_seen),
    Column("ended", lambda one: one.row.ended),
    Column("end_reason", lambda one: one.row.end_reason),
    Column("unseen_since", lambda one: one.row.unseen_since),
    Column("basis", lambda one: one.row.basis),
    Column("stated_since", lambda one: one.row.stated_since),
    Column("stated_until", lambda one: one.row.stated_until),
    Column("stale", lambda one: one.row.stale),
    Column("disputed", lambda one: one.row.disputed),
    Column("rate_card", lambda one: card_body(one.row.card)),
    Column("facts", lambda one: None if one.facts is None else json.loads(one.facts)),
    Column("held", lambda one: list(one.held)),
    Column("record", lambda one: one.record),
    Column("record_missing", lambda one: one.record_missing),
    Column("known_from", lambda one: one.row.known_from),
    Column("known_to", lambda one: one.row.known_to),
    Column("conflicts", lambda one: _contradictions(one.conflicts)),
    Column("list_rate_card", lambda one: _body(one.list_card)),
    Column("flaps", lambda one: [iso(at) for at in one.flaps]),
)


CONFLICTS: "Columns[Conflict]" = (
    Column("model", lambda one: one.row.model),
    Column("provider", lambda one: one.row.provider),
    Column("variant", lambda one: one.row.variant),
    Column("kind", lambda one: one.difference.kind),
    Column("meter", lambda one: one.difference.meter),
    Column("case", lambda one: one.difference.case),
    Column("source", lambda one: one.row.source),
    Column("value", lambda one: one.difference.text),
    Column("other_source", lambda one: one.other.source),
    Column("other_value", lambda one: one.difference.other_text),
    Column("currency", lambda one: one.row.card.currency),
    Column("difference_percent", lambda one: percent_text(one.difference.value, one.difference.other)),
    Column("since", lambda one: one.since),
    Column("trust", lambda one: one.row.trust),
    Column("other_trust", lambda one: one.other.trust),
    Column("first_seen", lambda one: one.row.first_seen),
    Column("other_first_seen", lambda one: one.other.first_seen),
    Column("last_seen", lambda one: one.row.last_seen),
    Column("other_last_seen", lambda one: one.other.last_seen),
    Column("stale", lambda one: one.row.stale),
    Column("other_stale", lambda one: one.other.stale),
    Column("document", lambda one: one.row.document),
    Column("other_document", lambda one: one.other.document),
    Column("ref", lambda one: one.row.ref),
    Column("other_ref", lambda one: one.other.ref),
    Column("agreeing", lambda one: list(one.agreeing)),
    Column("other_agreeing", lambda one: list(one.other_agreeing)),
    Column("disputed", lambda one: one.row.disputed),
    Column("other_disputed", lambda one: one.other.disputed),
    Column("locator", lambda one: one.row.locator),
    Column("other_locator", lambda one: one.other.locator),
)

RATES: "Columns[Rate]" = (
    Column("currency", lambda rate: rate.currency),
    Column("base", lambda rate: rate.base),
    Column("rate", lambda rate: rate.text),
    Column("day", lambda rate: rate.day.isoformat()),
    Column("source", lambda rate: rate.source),
    Column("document", lambda rate: rate.document),
)


_CONTRADICTION = ("kind", "meter", "case", "value", "other_value", "other_ref", "other_document", "since")


def _contradictions(conflicts: "Iterable[Conflict]") -> list[object]:
    """What others say of a row, without the row itself."""
    told = [column for column in CONFLICTS if column.name in _CONTRADICTION]
    return [
        {column.name: iso(cell) if isinstance(cell := column.of(one), datetime) else cell for column in told}
        for one in conflicts
    ]


def rates_told(conversion: "Conversion | Unconverted | None") -> list[object]:
    """The rates by which amounts were converted."""
    used = conversion.rates if isinstance(conversion, Conversion) else ()
    return [{column.name: column.of(rate) for column in RATES} for rate in used]


def _of(card: RateCard | None, meter: str) -> str | None:
    return None if card is None else amount_text(card.amount(meter))


def _body(card: RateCard | None) -> dict[str, object] | None:
    return None if card is None else card_body(card)


SOURCES: "Columns[SourceRow]" = (
    Column("source", lambda row: row.source),
    Column("trust", lambda row: TRUST_ORDER[row.trust] if row.trust < len(TRUST_ORDER) else str(row.trust)),
    Column("every_s", lambda row: row.every_s),
    Column("last_poll", lambda row: row.last_poll),
    Column("last_success", lambda row: row.last_success),
    Column("endpoints", lambda row: row.endpoints),
    Column("changes", lambda row: row.changes),
    Column("held", lambda row: row.held),
    Column("failures", lambda row: row.failures),
    Column("error", lambda row: row.last_error),
)
