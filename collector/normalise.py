"""Quote -> observation: the only conversion of units in the project.

A published number becomes an integer of 1e-9 currency units per 1M tokens (or per single other thing), rounded once,
here, to the grid of its source. What cannot be told becomes a finding and holds the row; nothing is guessed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

from collector.contract import Price, Prices, Quote, QuotedOverride, SourceSpec, StatedQuote
from collector.doubts import among
from collector.identify import identify
from collector.parse.amounts import NotAnAmount, read_amount
from store.records import Document, EndpointKey, Finding, Observation, Offer, Override, RateCard, State, Stated
from store.units import METERS, NANO, unit

_EXACT = Context(prec=100)
_PPM = Decimal("1e-6")
_DAY = 1440
LARGEST = 2**63 - 1
"""What an integer column holds."""


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class _Amounts:
    currency: str
    amounts: dict[str, int]
    states: dict[str, State]


def observe(quote: Quote, document: Document, spec: SourceSpec, at: datetime) -> Observation:
    """The quote in our units and under canonical names, as of the poll's instant.

    A quote that cannot be converted comes back without a card and with the finding that says why.
    """
    findings = [*quote.findings]
    card: RateCard | None = None
    stated: tuple[Stated, ...] = ()
    free = quote.declared_free or _free_by_word(quote.prices.values(), spec)
    if free:
        spec = replace(spec, prices=())  # where an offer is declared free, a zero is a price
    try:
        if quote.stated:
            stated, card = _dated(quote.stated, spec, at)
        else:
            card = _card(quote.prices, quote.overrides, spec, at)
    except _Refused as refused:
        findings.append(Finding(rule=refused.rule, message=refused.message, held=True, locator=quote.locator))
    return Observation(
        key=EndpointKey(provider=quote.provider, model=quote.model, tag=quote.tag),
        identity=identify(spec.id, quote.provider, quote.model, quote.tag, quote.facts.quantization, spec.recorded),
        card=card,
        facts=quote.facts,
        part=document.part,
        locator=quote.locator,
        declared_free=free,
        stated=stated,
        telemetry=quote.telemetry,
        findings=tuple(findings),
    )


def by_offer(
    quotes: Iterable[Quote], document: Document, spec: SourceSpec, at: datetime
) -> Mapping[Offer, tuple[Observation, ...]]:
    """Some quotes of a document observed, those of one offer together, with what they say against one another."""
    offers: dict[Offer, tuple[Observation, ...]] = {}
    for one in among(observe(quote, document, spec, at) for quote in quotes):
        offer = one.key.offer
        offers[offer] = (*offers.get(offer, ()), one)
    return offers


def timeless(quote: Quote) -> bool:
    """Whether a quote is observed alike at all times."""
    return not quote.stated and all(override.start_minute is None for override in quote.overrides)


def _free_by_word(prices: Iterable[Price], spec: SourceSpec) -> bool:
    return any(price.text in spec.free for price in prices)


def _dated(
    entries: tuple[StatedQuote, ...], spec: SourceSpec, at: datetime
) -> tuple[tuple[Stated, ...], RateCard | None]:
    """All dated cards, and the one in force at an instant (None where no entry covers it)."""
    stated = []
    in_force = None
    for entry in entries:
        card = _card(entry.prices, entry.overrides, spec, at)
        stated.append(Stated(since=entry.since, until=entry.until, card=card))
        if (entry.since is None or entry.since <= at) and (entry.until is None or at < entry.until):
            in_force = card
    if len(stated) == 1 and stated[0].since is None and stated[0].until is None:
        return (), in_force  # says nothing that the observation itself does not
    return tuple(stated), in_force


def _card(prices: Prices, overrides: tuple[QuotedOverride, ...], spec: SourceSpec, at: datetime) -> RateCard:
    base = _convert(prices, spec)
    converted = []
    for override in overrides:
        read = _convert(override.prices, spec)
        unknown = tuple(sorted(meter for meter, state in read.states.items() if state == "unknown"))
        if len(unknown) < len(read.states) or (unknown and override.start_minute is not None):
            raise _Refused("condition", f"a condition gives no amount for {', '.join(sorted(read.states))}")
        if read.currency != base.currency and read.amounts:
            raise _Refused("currency", f"a condition is in {read.currency}, the price in {base.currency}")
        if read.amounts or unknown:
            converted.append(
                Override(
                    above_tokens=override.above_tokens,
                    start_minute=override.start_minute,
                    end_minute=override.end_minute,
                    days=override.days,
                    tz=override.tz,
                    amounts=tuple(sorted(read.amounts.items())),
                    unknown=unknown,
                )
            )
    amounts, kept = _out_of_the_hour(base.amounts, converted, at)
    return RateCard(
        currency=base.currency,
        amounts=tuple(sorted(amounts.items())),
        states=tuple(sorted((meter, state) for meter, state in base.states.items() if meter not in amounts)),
        overrides=tuple(kept),
    )


def _convert(prices: Prices, spec: SourceSpec) -> _Amounts:
    zeros = {price.meter: price.zero for price in spec.prices}
    amounts: dict[str, int] = {}
    states: dict[str, State] = {}
    currencies = set()
    for meter, price in prices.items():
        quoted = unit(price.unit)
        if METERS[meter].thing != quoted.thing:
            raise _Refused("unit", f"{meter} is counted by the {METERS[meter].thing}, not in {price.unit}")
        currencies.add(quoted.currency)
        text = price.text.strip()
        if text in spec.absent and text:
            continue
        if text in spec.varies and text:
            states[meter] = "varies"
        elif not text or text in spec.unknown:
            states[meter] = "unknown"
        else:
            amount = 0 if text in spec.free else _amount(meter, text, price.unit, spec.grid_nano)
            zero = zeros.get(meter, "price") if amount == 0 and text not in spec.free else "price"
            if zero == "unknown":
                states[meter] = "unknown"
            elif zero == "price":
                amounts[meter] = amount
    if len(currencies) > 1:
        raise _Refused("currency", f"prices in {' and '.join(sorted(currencies))} in one offer")
    return _Amounts(currency=currencies.pop() if currencies else "USD", amounts=amounts, states=states)


@lru_cache(maxsize=1 << 14)  # the same amounts stand in thousands of rows
def _amount(meter: str, text: str, unit_name: str, grid_nano: int) -> int:
    """The published number on our grid.

    Raises: _Refused if it is no price, or if rounding would move it by more than one part in a million where the
    source has not said that its numbers are that coarse.
    """
    try:
        published = read_amount(text)
    except NotAnAmount as error:
        raise _Refused("number", f"{meter}: {error}") from None
    exact = _EXACT.multiply(_EXACT.multiply(published, unit(unit_name).per_amount), Decimal(NANO))
    if exact < 0:
        raise _Refused("negative", f"{meter} is {text}")
    if exact > LARGEST:
        raise _Refused("number", f"{meter} is {text}, more than any price")
    steps = (exact / grid_nano).to_integral_value(rounding=ROUND_HALF_EVEN)
    amount = int(steps) * grid_nano
    moved = abs(Decimal(amount) - exact)
    if (moved > exact * _PPM and grid_nano == 1) or (amount == 0 and exact != 0):
        raise _Refused("precision", f"{meter} at {text} {unit_name} is too fine for a grid of 1e-9")
    return amount


def _out_of_the_hour(
    base: dict[str, int], overrides: list[Override], at: datetime
) -> tuple[dict[str, int], list[Override]]:
    """Amounts that do not move with the clock, and the overrides that say what does.

    Where windows cover the whole day, the top-level price is only the price of the hour: the amounts in force for most
    of the day take its place, and only the windows that differ from them stay. Where they leave a gap and the document
    was fetched inside a window whose amounts it repeats on top, the price outside is not to be seen: refused.
    """
    windows = [one for one in overrides if one.start_minute is not None and one.above_tokens is None and not one.days]
    if not windows or any(one.tz != "UTC" for one in windows):
        return base, overrides
    by_minute: list[tuple[tuple[str, int], ...] | None] = [None] * _DAY
    for window in windows:
        for minute in _minutes(window):
            by_minute[minute] = window.amounts
    named = {meter for window in windows for meter, _ in window.amounts}
    alike = all(len(window.amounts) == len(named) for window in windows)
    if None not in by_minute and alike:
        most = Counter(amounts for amounts in by_minute if amounts is not None)
        usual = min(most, key=lambda amounts: (-most[amounts], amounts))
        kept = [one for one in overrides if one not in windows or one.amounts != usual]
        return {**{meter: amount for meter, amount in base.items() if meter not in named}, **dict(usual)}, kept
    now = by_minute[at.hour * 60 + at.minute]
    if now is not None and all(base.get(meter) == amount for meter, amount in now):
        raise _Refused("price_of_the_hour", "read inside a time window that repeats the top-level price")
    return base, overrides


def _minutes(window: Override) -> Iterable[int]:
    assert window.start_minute is not None
    assert window.end_minute is not None
    if window.start_minute < window.end_minute:
        return range(window.start_minute, window.end_minute)
    return [*range(window.start_minute, _DAY), *range(window.end_minute)]
