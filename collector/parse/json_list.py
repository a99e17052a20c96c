"""The family of JSON lists: records in a list (or in an object, by key), a price at a dotted path each.

Where a record holds several offers (one model, many providers), paths are read in the offer, and those that begin with
`$record.` in the record around it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from collector.contract import Price, PriceSpec, Quote, QuotedOverride, SourceSpec, TierSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, read_amount
from collector.parse.doubt import Doubt, describe, note
from collector.parse.facts import count_of, facts_of, telemetry_of
from collector.parse.paths import MISSING, value_at
from collector.parse.rows import name_of, price_of, text_of_scalar
from collector.parse.strict import Json, read_json
from store.records import Document

ROWS = 50_000
"""Records of one document."""
REQUIRED = ("input", "output")
"""Meters that most records sold by the token must price; the others come and go."""
KEY = "$key"
"""The path that stands for the key of a record (or an offer), where they are the values of an object."""
RECORD = "$record."
"""A path that begins so is read in the record that holds the offer."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record and where it stands."""

    value: Json
    key: str
    """Its key in an object of records; empty in a list."""
    locator: str
    """`data[3]`, or `data.name`; of an offer `data[3].providers[0]`."""
    around: Json = None
    """Of an offer, the record that holds it."""

    def at(self, path: str) -> object:
        """The value at a path (see `collector.parse.paths`)."""
        if path.startswith(RECORD):
            return value_at(self.around, path.removeprefix(RECORD))
        return self.key if path == KEY else value_at(self.value, path)


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per record that is for sale.

    Units: as `spec` names them; nothing is converted here.
    Raises: SourceChanged if there is no list of records where it should be, the document is not whole, a record has no
        name, or most offers lack a price of input or of output.
    """
    return quotes(document, spec, quote_of)


def quotes(document: Document, spec: SourceSpec, read: Callable[[Record, SourceSpec], Quote]) -> list[Quote]:
    """What `read` makes of each record; records without any price, and those that `spec` skips, are left out."""
    found = []
    for record in records(read_json(document), spec, document.source):
        try:
            quote = None if skipped(record, spec) else read(record, spec)
        except Doubt as doubt:
            raise SourceChanged(f"{document.source}: {record.locator}: {doubt}") from None
        if quote is not None and (quote.prices or any(finding.held for finding in quote.findings)):
            found.append(quote)
    _require_prices(found, spec, document.source)
    return found


def _require_prices(found: list[Quote], spec: SourceSpec, source: str) -> None:
    """Raises: SourceChanged unless most offers that are sold by the token have a price of input and one of output."""
    by_token = [quote for quote in found if any(meter in quote.prices for meter in REQUIRED)]
    for price in spec.prices:
        there = sum(price.meter in quote.prices for quote in by_token)
        if price.meter in REQUIRED and (not there or there * 2 < len(by_token)):
            places = f"{there} of {len(by_token)} priced records" if by_token else "no record"
            raise SourceChanged(f"{source}: {price.meter} wanted at {price.at!r}, there in {places}")
    if not found:
        raise SourceChanged(f"{source}: no record has a price", code="empty")


def records(value: Json, spec: SourceSpec, source: str) -> Iterator[Record]:
    """The records of a document in its order; where they hold offers, those."""
    try:
        _require_whole(value, spec, source)
        listed = value_at(value, spec.records)
    except Doubt as doubt:
        raise SourceChanged(f"{source}: {doubt}") from None
    for record in _listed(listed, spec.records, source):
        if not spec.offers:
            yield record
            continue
        where = f"{record.locator}.{spec.offers}"
        try:
            offers = record.at(spec.offers)
        except Doubt as doubt:
            raise SourceChanged(f"{source}: {record.locator}: {doubt}") from None
        if offers not in (None, MISSING, [], {}):  # a model that nobody offers just now
            yield from (replace(offer, around=record.value) for offer in _listed(offers, where, source))


def _listed(listed: object, where: str, source: str) -> Iterator[Record]:
    """The items of a list, or the values of an object.

    Raises: SourceChanged if there is neither, or an item is no object.
    """
    if not isinstance(listed, list | dict):
        there = "nothing" if listed is MISSING else describe(listed)
        raise SourceChanged(f"{source}: a list wanted at {where or 'document'!r}, there is {there}")
    if not listed:
        raise SourceChanged(f"{source}: no records at {where or 'document'!r}", code="empty")
    if len(listed) > ROWS:
        raise SourceChanged(f"{source}: {len(listed)} records at {where!r}, more than {ROWS}", code="row_limit")
    by_key = isinstance(listed, dict)
    for key, item in listed.items() if isinstance(listed, dict) else enumerate(listed):
        locator = f"{where}.{key}".lstrip(".") if by_key else f"{where}[{key}]"
        if not isinstance(item, dict):
            raise SourceChanged(f"{source}: a record wanted at {locator}, there is {describe(item)}")
        yield Record(item, str(key) if by_key else "", locator)


def _require_whole(value: Json, spec: SourceSpec, source: str) -> None:
    """Raises: SourceChanged if the document says that it is one page of several."""
    for path, values in spec.whole.items():
        found = value_at(value, path)
        if (str(MISSING) if found is MISSING else text_of_scalar(found)) not in values:
            raise SourceChanged(
                f"{source}: {path!r} wanted at {' or '.join(values)}, there is {describe(found)}", code="incomplete"
            )


def skipped(record: Record, spec: SourceSpec) -> bool:
    """Whether a record is configured not to be for sale by the token."""
    return any(text_of_scalar(record.at(path)) in values for path, values in spec.skip.items())


def quote_of(record: Record, spec: SourceSpec) -> Quote:
    """The quote of one record.

    Raises: Doubt if the record has no name; any other doubt is a finding on the quote.
    """
    model, misnamed = name_of(record.at(spec.model), spec.model)
    findings = [misnamed.finding(record.locator)] if misnamed else []
    provider, tag = spec.provider, ""
    if spec.provider_at:
        provider, misnamed = name_of(record.at(spec.provider_at), spec.provider_at)
        findings += [misnamed.finding(record.locator)] if misnamed else []
    if spec.tag_at and record.at(spec.tag_at) not in (None, MISSING, ""):
        tag, misnamed = name_of(record.at(spec.tag_at), spec.tag_at)
        findings += [misnamed.finding(record.locator)] if misnamed else []
    prices, doubts = prices_of(record, spec.prices)
    doubts += _unmet(record, spec) if prices else []
    overrides: tuple[QuotedOverride, ...] = ()
    try:
        overrides = tuple(_tier(record, tier) for tier in spec.tiers if record.at(tier.above_at) not in (None, MISSING))
    except Doubt as doubt:
        doubts.append(doubt)
    facts, notes = facts_of({name: _fact(record, path) for name, path in spec.facts.items()}, record.locator)
    quote = Quote(
        provider=provider,
        model=model,
        tag=tag,
        prices=prices,
        overrides=tuple(override for override in overrides if override.prices),
        facts=facts,
        telemetry=telemetry_of({name: _fact(record, path) for name, path in spec.telemetry.items()}),
        locator=record.locator,
        findings=(*findings, *(doubt.finding(record.locator) for doubt in doubts), *notes),
    )
    return _free(quote, spec) if spec.free_at and record.at(spec.free_at) is True else quote


def _free(quote: Quote, spec: SourceSpec) -> Quote:
    """The flag overrules the numbers beside it."""
    stated = [f"{meter} {price.text}" for meter, price in quote.prices.items() if not is_zero(price.text)]
    overruled = f"{spec.free_at} overrules {', '.join(stated)}"
    notes = (note("is_free", overruled, quote.locator),) if stated else ()
    zeros = {
        price.meter: Price(text="0", unit=price.unit)
        for price in spec.prices
        if price.meter in REQUIRED or price.meter in quote.prices
    }
    return replace(quote, prices=zeros, overrides=(), declared_free=True, findings=(*quote.findings, *notes))


def is_zero(text: str | None) -> bool:
    """Whether a text is a number, and nothing."""
    try:
        return read_amount(text or "") == 0
    except NotAnAmount:
        return False


def prices_of(record: Record, specs: tuple[PriceSpec, ...]) -> tuple[dict[str, Price], list[Doubt]]:
    """The prices that stand in a record, and what is to be doubted about them, each once."""
    prices: dict[str, Price] = {}
    doubts: dict[str, Doubt] = {}
    for spec in specs:
        try:
            price = price_of(record.at(spec.at), spec)
        except Doubt as doubt:
            doubts.setdefault(str(doubt), doubt)
        else:
            if price is not None:
                prices[spec.meter] = price
    return prices, [*doubts.values()]


def _unmet(record: Record, spec: SourceSpec) -> list[Doubt]:
    """Doubts about values that must be as configured, such as a stated unit."""
    return [
        Doubt("require", f"{path!r} is {describe(record.at(path))}, not {' or '.join(values)}")
        for path, values in spec.require.items()
        if text_of_scalar(record.at(path)) not in values
    ]


def _tier(record: Record, tier: TierSpec) -> QuotedOverride:
    above = count_of(record.at(tier.above_at))
    if above is None:
        raise Doubt("tier", f"{tier.above_at!r} is {describe(record.at(tier.above_at))}, not a number of tokens")
    prices, doubts = prices_of(record, tier.prices)
    if doubts:
        raise doubts[0]
    return QuotedOverride(above_tokens=above, prices=prices)


def _fact(record: Record, path: str) -> object:
    try:
        return record.at(path)
    except Doubt:
        return MISSING
