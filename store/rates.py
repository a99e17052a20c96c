"""Exchange rates on the tape: the price of a euro, collected like any other, with its day, its document and two clocks.

A source of rates states, day by day, what one euro costs in a currency: the stated prices of an endpoint whose model is
`currency/CODE`. A day that a source no longer lists is not taken back by that; of two rates for a day the later counts.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

from store.belief import EVER, believed
from store.currency import EUR, Conversion, Converter, CurrencyPolicy, Published, Rate
from store.instants import from_millis, to_millis
from store.intervals import IntervalRow
from store.naming import CURRENCIES
from store.read import Reader, Value
from store.units import decimal_text

METER = "euro"

_RATE = f"""
SELECT s.name, t.since, t.card_id, d.sha256
FROM model m
JOIN endpoint e ON e.model_id = m.id
JOIN source s ON s.id = e.source_id
JOIN stated t ON t.endpoint_id = e.id
JOIN document d ON d.id = t.document_id
WHERE m.name = :model AND t.since < :before AND {believed("t")}
ORDER BY t.since DESC, s.trust, t.first_seen DESC, s.name, t.id DESC LIMIT 1
"""  # noqa: S608 - put together from constants only
_CODES = "SELECT name FROM model WHERE name LIKE 'currency/%' ORDER BY name"


def published(reader: Reader, known: datetime | None = None) -> Published:
    """What the tape says of rates, as known at an instant (None: all that is known)."""

    def find(currency: str, day: date) -> Rate | None:
        values: dict[str, Value] = {
            "model": f"{CURRENCIES}{currency.lower()}",
            "before": to_millis(datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)),
            "known": EVER if known is None else to_millis(known),
        }
        row = reader.row(_RATE, values)
        if row is None:
            return None
        source, since, card_id, document = row
        amount = reader.card(card_id).amount(METER)
        if not amount:
            return None
        return Rate(
            base=EUR,
            currency=currency,
            text=decimal_text(amount),
            day=from_millis(since).date(),
            source=source,
            document=document,
        )

    return find


def converter(
    reader: Reader, currency: str, policy: Callable[[], CurrencyPolicy | None], known: datetime | None = None
) -> Converter:
    """What converts into a currency by the rates of a store and those that are fixed."""
    return Converter(currency, policy, published(reader, known))


def rates(reader: Reader, at: datetime, *, known: datetime | None = None) -> Iterator[Rate]:
    """What one euro costs in each currency, by the rate of the latest day up to that of an instant."""
    find = published(reader, known)
    for (name,) in reader.rows(_CODES):
        rate = find(name.removeprefix(CURRENCIES).upper(), at.date())
        if rate is not None:
            yield rate


def converted(row: IntervalRow, into: Converter, at: datetime | None = None) -> IntervalRow:
    """A row with its prices in another currency where there is a rate, and how, or why not.

    By the rate of the day of `at`; without it, of the day on which the price was first seen or is stated to begin.
    """
    day = at or row.stated_since or row.first_seen
    if row.card.currency == into.currency:
        return row
    found = into.conversion(row.card.currency, day)
    return row._replace(card=found.card(row.card) if isinstance(found, Conversion) else row.card, conversion=found)
