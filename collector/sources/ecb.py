"""European Central Bank: what one euro costs in thirty currencies, on each working day.

What is read
    The euro foreign exchange reference rates of the last 90 days, so that what was missed meanwhile is there. No key.
    Source: https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates/html/index.en.html

Shape
    A gesmes `Envelope`: a `Cube` for each day (`time="2026-08-21"`) that holds a `Cube` for each currency
    (`currency="USD" rate="1.1585"`), latest day first. The file of the latest day and that of all days since 1999 are
    of the same shape.

Meaning
    Units of a currency for one euro, as of about 14:15 CET and published about 16:00 CET. Each rate is kept as a price
    that is stated from its day on (see `store.rates`); currencies come and go with the euro (BGN until 2025-12-31).
"""

import re
from datetime import UTC, datetime
from xml.parsers import expat

from collector.contract import Price, Quote, SourceSpec, StatedQuote
from collector.errors import SourceChanged
from collector.parse.doubt import describe
from store.records import Document

_CODE = re.compile(r"[A-Z]{3}", re.ASCII)


class _Envelope:
    """The rates of a document, collected as its elements begin."""

    def __init__(self, spec: SourceSpec) -> None:
        self.rates: dict[str, list[tuple[datetime, str]]] = {}
        self._spec = spec
        self._day: datetime | None = None
        self._days: set[datetime] = set()

    def begins(self, name: str, values: dict[str, str]) -> None:
        """Take an element."""
        if name != "Cube" or not values:
            return
        if values.keys() == {"time"}:
            self._day = self._day_of(values["time"])
        elif values.keys() == {"currency", "rate"} and self._day is not None:
            code = values["currency"]
            if _CODE.fullmatch(code) is None:
                raise self._changed(f"wanted the code of a currency, found {code[:20]!r}")
            dated = self.rates.setdefault(code, [])
            if any(day == self._day for day, _ in dated[-1:]):
                raise self._changed(f"{code} stands twice on {self._day:%Y-%m-%d}")
            dated.append((self._day, values["rate"]))
        else:
            raise self._changed(f"wanted a day or a rate, found a Cube of {', '.join(sorted(values))[:80]}")

    def _day_of(self, text: str) -> datetime:
        try:
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise self._changed(f"wanted a day, found {text[:20]!r}") from None
        if day in self._days:
            raise self._changed(f"{text} stands twice")
        self._days.add(day)
        return day

    def _changed(self, what: str) -> SourceChanged:
        return SourceChanged(f"{self._spec.id}: {what}")

    def no_type(self, *_: object) -> None:
        """Refuse a document type: there is none in these documents, and what it may declare has no end."""
        raise self._changed("wanted no document type")


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """One quote per currency, with a stated price for each day.

    Units: a currency for one euro, as published; nothing is converted here.
    Raises: SourceChanged if the document is not whole, or an element of it is not a day or a rate.
    """
    if not document.body.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"<?xml"):
        found = describe(document.body[:40].decode("ascii", "replace"))
        raise SourceChanged(f"{spec.id}: wanted XML, found {found}", code="content_type")
    envelope = _Envelope(spec)
    reader = expat.ParserCreate()
    reader.StartElementHandler = envelope.begins
    reader.StartDoctypeDeclHandler = envelope.no_type
    try:
        reader.Parse(document.body, True)  # noqa: FBT003 - it takes no keywords
    except expat.ExpatError as error:
        raise SourceChanged(f"{spec.id}: wanted a whole XML document: {error}", code="incomplete") from None
    if not envelope.rates:
        raise SourceChanged(f"{spec.id}: no rates", code="empty")
    return [
        Quote(
            provider=spec.provider,
            model=f"currency/{code}",
            prices={},
            stated=tuple(
                StatedQuote(since=day, until=None, prices={"euro": Price(text=text, unit=f"{code}/euro")})
                for day, text in sorted(dated)
            ),
            locator=f"Cube {code}",
        )
        for code, dated in sorted(envelope.rates.items())
    ]
