"""What is wrong with a foreign price table, by the tape: pure.

A table's offer is held against what every source on the tape says of the same provider, model and variant. A variant
that names no quantization may be any of a provider's offers that differ in nothing else: it is held against the one
that it is most like.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias, get_args

from collector.doubts import TEXT_METERS
from collector.settings import CheckSettings
from store.conflicts import Difference, differences
from store.instants import iso
from store.intervals import IntervalRow
from store.records import TRUST_ORDER, Observation, RateCard
from store.text import one_line
from store.units import NANO, decimal_text
from store.variants import unquantized

Kind: TypeAlias = Literal[
    "unit", "swapped", "cache_order", "stale", "conflict", "unreadable", "unknown_offer", "unknown_model"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Worst first. `unit`: off by a unit or by a point. `stale`: right once. `unknown_*`: not on the tape."""

NEVER = 1000
"""Times that no price of one model ever moved, nor two sellers of it ever differed: the mark of a slip of unit."""
HARDLY = 100
"""The same, where the tape never had the price."""
_PAIRS = (("input", "output"), ("cache_read", "cache_write"))
AGGREGATOR = TRUST_ORDER.index("aggregator")
"""Rank of those that sell what they list."""


class Remark(NamedTuple):
    """Something wrong with one offer of the table, or that cannot be told."""

    kind: Kind
    offer: Observation
    message: str
    meter: str = ""
    case: str = ""
    """In which prompt length or hour, as in `store.conflicts`; empty outside all conditions."""
    value: int | None = None
    """The table's amount."""
    tape: IntervalRow | None = None
    """What it was held against: of the most trusted source that is fresh."""
    tape_value: int | None = None
    agreeing: tuple[str, ...] = ()
    """Sources that state `tape_value`."""
    dissenting: tuple[str, ...] = ()
    """Sources that state another one, the table's own or a third."""
    right: int | None = None
    """The right amount, where it is certain: see `certain`."""
    before: IntervalRow | None = None
    """Who stated the table's amount once."""
    until: datetime | None = None
    """And when that ended."""


Past = Callable[[], Iterable[IntervalRow]]
"""All intervals of the model at the offer's provider, asked for where they may explain something."""


Independent = Callable[[str, str], bool]
"""Whether neither of two sources copies from the other, or both from a third."""


def remarks(
    one: Observation,
    tape: Sequence[IntervalRow],
    past: Past,
    at: datetime,
    settings: CheckSettings,
    independent: Independent,
) -> list[Remark]:
    """What is wrong with an offer of a table; `tape` is what is in force of that model at every provider."""
    refused = [finding for finding in one.findings if finding.held]
    if refused or one.card is None:
        told = [finding.message for finding in refused] or ["has no price in force"]
        return [Remark("unreadable", one, message) for message in told]
    found = [*_impossible(one, one.card, settings)]
    told_of = {remark.meter for remark in found if remark.kind == "unit"}
    if not tape:
        return [*found, Remark("unknown_model", one, "no source on the tape has that model")]
    offers = same_offer(one, tape)
    if not offers:
        found += (remark for remark in _beyond(one, one.card, tape) if remark.meter not in told_of)
        return [*found, Remark("unknown_offer", one, _others(one, tape))]
    compared = [*_compared(one, one.card, offers, past, at, independent)]
    explained = {remark.meter for remark in compared}
    return [remark for remark in found if remark.kind != "unit" or remark.meter not in explained] + compared


def same_offer(one: Observation, tape: Iterable[IntervalRow]) -> list[IntervalRow]:
    """The rows of an offer, most trusted and fresh first; where none has its variant, those of any quantization."""
    at_provider = [row for row in tape if row.provider == one.identity.provider]
    named = [row for row in at_provider if row.variant == one.identity.variant]
    alike = named or [row for row in at_provider if unquantized(row.variant) == one.identity.variant]
    return sorted(alike, key=lambda row: (not _fresh(row), row.trust, row.source, row.endpoint))


def _fresh(row: IntervalRow) -> bool:
    return row.basis == "observed" and not row.stale


def _impossible(one: Observation, card: RateCard, settings: CheckSettings) -> Iterator[Remark]:
    """What no tape is needed for."""
    for meter, amount in card.amounts:
        if meter in TEXT_METERS and amount > settings.above_usd * NANO:
            said = f"{meter} at {decimal_text(amount)} {card.currency} per 1M tokens is above {settings.above_usd}"
            yield Remark("unit", one, said, meter=meter, value=amount)
    charged, read = card.amount("input"), card.amount("cache_read")
    if charged and read and read > charged:
        said = f"a cache read at {decimal_text(read)} is dearer than input at {decimal_text(charged)}"
        yield Remark("cache_order", one, said, meter="cache_read", value=read)


def _beyond(one: Observation, card: RateCard, tape: Sequence[IntervalRow]) -> Iterator[Remark]:
    """Prices a thousand times beyond those of all sellers of the model."""
    for meter, amount in card.amounts:
        sellers = [row for row in tape if row.card.currency == card.currency and row.card.amount(meter)]
        if not amount or not sellers or meter not in TEXT_METERS:
            continue
        by_price = sorted(sellers, key=lambda row: row.card.by_meter[meter])
        cheapest, dearest = by_price[0].card.by_meter[meter], by_price[-1].card.by_meter[meter]
        if amount >= NEVER * dearest or amount * NEVER <= cheapest:
            row = by_price[-1 if amount > dearest else 0]
            said = f"{meter} at {decimal_text(amount)} is {NEVER} times beyond every seller of the model"
            yield Remark("unit", one, said, meter=meter, value=amount, tape=row, tape_value=row.card.amount(meter))


def _others(one: Observation, tape: Iterable[IntervalRow]) -> str:
    variants = sorted({row.variant or "none" for row in tape if row.provider == one.identity.provider})
    if not variants:
        return "no source on the tape has that model at that provider"
    return one_line(f"no source on the tape has that variant: there are {', '.join(variants)}", 200)


def _compared(
    one: Observation,
    card: RateCard,
    offers: Sequence[IntervalRow],
    past: Past,
    at: datetime,
    independent: Independent,
) -> Iterator[Remark]:
    said = [(row, {told.meter: told for told in differences(card, row.card, at)}) for row in offers]
    first = offers[0].source
    # Of several offers of the source that is believed, the one that the table's is most like.
    row, differing = min((told for told in said if told[0].source == first), key=lambda told: len(told[1]))
    swapped = _swapped(card, row.card)
    for meter, difference in differing.items():
        stating = [
            (other, found[meter].other if meter in found else difference.value)
            for other, found in said
            if other.card.currency == card.currency and meter in other.card.by_meter
        ]
        sure = [(other, amount) for other, amount in stating if _fresh(other) and not other.disputed]
        before = _before(one, card, meter, past, at)
        kind = _kind(difference, before, swapped=meter in swapped)
        yield Remark(
            kind,
            one,
            _told(kind, difference, row, before),
            meter=meter,
            case=difference.case,
            value=difference.value,
            tape=row,
            tape_value=difference.other,
            agreeing=_sources(other for other, amount in stating if amount == difference.other),
            dissenting=_sources(other for other, amount in stating if amount != difference.other),
            right=certain(sure, independent),
            before=before if kind == "stale" else None,
            until=_end(before) if kind == "stale" and before is not None else None,
        )


def _sources(rows: Iterable[IntervalRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.source for row in rows))


def certain(stating: Sequence[tuple[IntervalRow, int]], independent: Independent) -> int | None:
    """The right amount, of fresh and undisputed rows of an offer with what each states; None: it is not certain.

    The provider itself says so, with one voice; or else two sources or more do that do not copy from one another, one
    that sells it among them, and none says otherwise.
    """
    own = {amount for row, amount in stating if row.trust == 0}
    if own:
        return own.pop() if len(own) == 1 else None
    amounts, sources = {amount for _, amount in stating}, {row.source for row, _ in stating}
    sold = any(row.trust <= AGGREGATOR for row, _ in stating)
    alone = not any(independent(*pair) for pair in combinations(sorted(sources), 2))
    return amounts.pop() if len(amounts) == 1 and sold and not alone else None


def _swapped(card: RateCard, other: RateCard) -> set[str]:
    found: set[str] = set()
    for pair in _PAIRS:
        ours, theirs = ([amounts.amount(meter) for meter in pair] for amounts in (card, other))
        if None not in ours and ours[0] != ours[1] and ours == theirs[::-1]:
            found |= {*pair}
    return found


def _kind(difference: Difference, before: IntervalRow | None, *, swapped: bool) -> Kind:
    if swapped:
        return "swapped"
    low, high = sorted((difference.value, difference.other))
    if low and high >= NEVER * low:
        return "unit"
    if before is not None:
        return "stale"
    return "unit" if low and (high >= HARDLY * low or _tens(Fraction(high, low))) else "conflict"


def _tens(ratio: Fraction) -> bool:
    """A power of ten, so that a point stands elsewhere."""
    return ratio.denominator == 1 and str(ratio.numerator).strip("0") == "1"


def _before(one: Observation, card: RateCard, meter: str, past: Past, at: datetime) -> IntervalRow | None:
    """The interval that ended last of those in which the table's price was stated."""
    stated = [
        row
        for row in same_offer(one, past())
        if (end := _end(row)) is not None
        and end <= at
        and row.card.currency == card.currency
        and meter in row.card.by_meter
        and all(told.meter != meter for told in differences(card, row.card, at))
    ]
    return max(stated, key=lambda row: (_end(row), -row.trust), default=None)


def _end(row: IntervalRow) -> datetime | None:
    return row.ended if row.basis == "observed" else row.stated_until


def _told(kind: Kind, difference: Difference, row: IntervalRow, before: IntervalRow | None) -> str:
    case = f" ({difference.case})" if difference.case else ""
    said = f"{difference.meter}{case}: {difference.text} in the table, {difference.other_text} by {row.source}"
    if kind == "unit":
        low, high = sorted((difference.value, difference.other))
        return f"{said}: {decimal_text(round(Fraction(high * NANO, low)))} times apart"
    if kind == "swapped":
        return f"{said}: two prices stand in each other's place"
    if kind == "stale" and before is not None and (end := _end(before)) is not None:
        return f"{said}: what {before.source} said until {iso(end)}"
    return said
