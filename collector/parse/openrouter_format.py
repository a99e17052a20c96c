"""The OpenRouter provider format: the list of models that OpenRouter asks every provider to publish.

A JSON list (see `collector.parse.json_list`) with three things of its own: prices under conditions, a flag that an
offer is free, and a discount. A dozen providers publish it, one shape with a unit for each.

Source: https://openrouter.ai/docs/guides/community/for-providers-legacy
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from collector.contract import Price, PriceSpec, Quote, QuotedOverride, SourceSpec
from collector.parse import json_list
from collector.parse.doubt import Doubt, describe
from collector.parse.facts import facts_of
from collector.parse.json_list import Record
from collector.parse.paths import MISSING
from collector.parse.rows import price_of, text_of_scalar
from store.records import Document, Finding

_CONDITIONS = frozenset({"min_prompt_tokens", "utc_start", "utc_end"})


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per record that is for sale.

    Units: as `spec` names them; providers that follow this format differ in the unit.
    Raises: SourceChanged as `collector.parse.json_list.parse` does.
    """
    return json_list.quotes(document, spec, _quote)


def _quote(record: Record, spec: SourceSpec) -> Quote:
    quote = json_list.quote_of(record, spec)
    facts, notes = facts_of({"regions": _countries(record)}, record.locator)
    findings: list[Finding] = []
    try:
        conditional = _conditional(record, spec)
        _undiscounted(record)
    except Doubt as doubt:
        conditional, findings = (), [doubt.finding(record.locator)]
    return replace(
        quote,
        overrides=() if quote.declared_free else conditional,
        facts=quote.facts.filled(facts),
        findings=(*quote.findings, *findings, *notes),
    )


def _countries(record: Record) -> object:
    """Where it is served: the country of each entry of `datacenters`."""
    listed = record.at("datacenters")
    if not isinstance(listed, list):
        return listed
    return [one.get("country_code") if isinstance(one, Mapping) else one for one in listed]


def _conditional(record: Record, spec: SourceSpec) -> tuple[QuotedOverride, ...]:
    """The overrides of the object that holds the configured prices."""
    parents = {price.at.rpartition(".")[0] for price in spec.prices}
    found: tuple[QuotedOverride, ...] = ()
    for parent in sorted(parents):
        pricing = record.at(parent)
        if isinstance(pricing, Mapping):
            keys = {price.at.rpartition(".")[2]: price for price in spec.prices if price.at.startswith(f"{parent}.")}
            found += overrides(pricing, keys)
    return found


def _undiscounted(record: Record) -> None:
    """A discount means that the customer pays another price than the one listed: how it is rounded is not said."""
    discount = record.at("discount_to_user")
    if discount not in (None, MISSING) and not json_list.is_zero(text_of_scalar(discount)):
        raise Doubt("discount", f"discount_to_user is {describe(discount)}: the price paid is not the price listed")


def overrides(pricing: Mapping[str, object], meters: Mapping[str, PriceSpec]) -> tuple[QuotedOverride, ...]:
    """The conditional prices of a `pricing` object, in its own order (of several that hold, the last wins).

    Shape: `pricing.overrides[]`, each with `min_prompt_tokens` or `utc_start` and `utc_end` (HHMM as a number: 100 is
        01:00) or both, and the prices it replaces; `meters` says which keys are prices. A price key that stands in
        `pricing` itself and is not among `meters` is passed over here as it is there.
    Raises: Doubt if a condition is not understood: a price may not hold at other times than its source says.
    """
    listed = pricing.get("overrides")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise Doubt("override", f"overrides is {describe(listed)}, not a list")
    found = [_override(item, pricing, meters) for item in listed]
    return tuple(override for override in found if override.prices)


def _override(item: object, pricing: Mapping[str, object], meters: Mapping[str, PriceSpec]) -> QuotedOverride:
    if not isinstance(item, Mapping):
        raise Doubt("override", f"an override is {describe(item)}, not an object")
    unknown = item.keys() - _CONDITIONS - meters.keys() - pricing.keys()
    if unknown:
        raise Doubt("override", f"override has an unknown condition {min(unknown)!r}")
    above = _count(item.get("min_prompt_tokens"))
    start, end = _minute(item.get("utc_start")), _minute(item.get("utc_end"))
    if (start is None) != (end is None) or (start is not None and start == end):
        raise Doubt("override", f"override window {item.get('utc_start')}-{item.get('utc_end')} is not a window")
    if above is None and start is None:
        raise Doubt("override", "override has no condition")
    prices: dict[str, Price] = {}
    for key, spec in meters.items():
        price = price_of(item.get(key), spec)
        if price is not None:
            prices[spec.meter] = price
    return QuotedOverride(above_tokens=above, start_minute=start, end_minute=end, prices=prices)


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value) or value < 0:
        raise Doubt("override", f"override condition is {describe(value)}, not a whole number")
    return int(value)


def _minute(value: object) -> int | None:
    """Minutes of the day of an HHMM number; 2400 is midnight."""
    clock = _count(value)
    if clock is None:
        return None
    hour, minute = divmod(clock, 100)
    if minute > 59 or hour > 24 or (hour == 24 and minute):
        raise Doubt("override", f"{clock} is not a time of day as HHMM")
    return (hour * 60 + minute) % 1440
