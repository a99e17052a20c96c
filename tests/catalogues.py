"""Documents of the hand-kept catalogues: made up, samples, recorded; and their quotes in a form to compare."""

import gzip
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from collector.config import load
from collector.contract import Price, Quote, SourceSpec
from store.records import Document

SOURCES = Path(__file__).parent / "sources"
AT = datetime(2026, 8, 1, tzinfo=UTC)

Place = tuple[str, str, str, int, str]
"""Provider, model, tag, above so many prompt tokens, meter."""


def spec(source: str) -> SourceSpec:
    """The source as the packaged configuration has it."""
    return load(None).sources[source]


def document(source: str, body: object) -> Document:
    """A document of a body, which is bytes or becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Document(source=source, url="https://example.test/", fetched_at=AT, status=200, body=raw)


def sample(source: str) -> Document:
    return document(source, (SOURCES / source / "sample.json").read_bytes())


def bodies(recorded: Path, upstream: str) -> list[tuple[str, bytes]]:
    """(instant, body) of a recorded timeline, oldest first."""
    return [
        (path.name.removesuffix(".json.gz"), gzip.decompress(path.read_bytes()))
        for path in sorted((recorded / "timeline" / upstream).glob("*.json.gz"))
    ]


def first_middle_last(recorded: Path, upstream: str) -> list[bytes]:
    found = [body for _, body in bodies(recorded, upstream)]
    return [found[0], found[len(found) // 2], found[-1]]


def current(recorded: Path, upstream: str, instant: str) -> bytes:
    """The body that was current at an instant (`20251008T000000Z`)."""
    return [body for since, body in bodies(recorded, upstream) if since <= instant][-1]


def read(body: bytes) -> Any:
    """JSON with exact numbers, by the standard reader."""
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


def texts(prices: Mapping[str, Price]) -> dict[str, str]:
    return {meter: price.text for meter, price in prices.items()}


def amounts(quotes: Iterable[Quote]) -> dict[Place, Decimal | None]:
    """Every price of every quote by where it belongs; None where it is unknown."""
    found: dict[Place, Decimal | None] = {}
    for quote in quotes:
        layers = [(0, quote.prices), *((override.above_tokens or 0, override.prices) for override in quote.overrides)]
        for above, prices in layers:
            for meter, price in prices.items():
                place = (quote.provider, quote.model, quote.tag, above, meter)
                assert place not in found
                found[place] = Decimal(price.text) if price.text else None
    return found


def rules(quote: Quote) -> list[tuple[str, bool]]:
    return [(finding.rule, finding.held) for finding in quote.findings]
