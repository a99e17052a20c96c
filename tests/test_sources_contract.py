"""What every configured source owes: a sample, its quotes, and refusal of what is not its document.

`tests/sources/<id>/sample*` are written by hand in the upstream's shape; `expected.json` holds their quotes. A source
with a first document of its own kind (a list of links to follow) has that as `list.json` or `list.md`.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.config import load, packaged
from collector.contract import Follower, Price, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.parse.json_list import REQUIRED
from collector.record import KINDS, as_json
from collector.sources import FAMILIES, parser_of
from store.records import Document
from store.units import METERS, unit

FOLDER = Path(__file__).parent / "sources"
AT = datetime(2026, 8, 1, 12, tzinfo=UTC)
SOURCES = load(packaged(), {}).sources

EMPTY = (b"", b"   \n", b"null", b"[]", b"{}", b'{"data": []}', b'{"data": null}', b'{"error": {"message": "no"}}')
PAGE = b"<!doctype html><html><head><title>Just a moment</title></head><body><p>Checking</p></body></html>"


@pytest.fixture(params=list(SOURCES.values()), ids=list(SOURCES))
def spec(request: pytest.FixtureRequest) -> SourceSpec:
    found: SourceSpec = request.param
    return found


def samples(spec: SourceSpec) -> list[Path]:
    return sorted(path for path in (FOLDER / spec.id).glob("sample*") if path.suffix in KINDS)


def document(spec: SourceSpec, body: bytes, kind: str = ".json", part: str = "") -> Document:
    return Document(
        source=spec.id, url=spec.url, fetched_at=AT, status=200, body=body, content_type=KINDS[kind], part=part
    )


def quotes_of(spec: SourceSpec, path: Path) -> list[Quote]:
    return parser_of(spec).parse(sample(spec, path, path.read_bytes()), spec)


def sample(spec: SourceSpec, path: Path, body: bytes) -> Document:
    """A sample, or a piece of it; where a source fans out, as a part of it, unless it names its model itself."""
    is_part = isinstance(parser_of(spec), Follower) and path.suffix != ".json"
    return document(spec, body, path.suffix, "sample" if is_part else "")


def prices_of(quote: Quote) -> Iterator[tuple[str, Price]]:
    yield from quote.prices.items()
    for override in quote.overrides:
        yield from override.prices.items()
    for stated in quote.stated:
        yield from stated.prices.items()
        for override in stated.overrides:
            yield from override.prices.items()


def test_it_has_a_sample_of_a_handful_of_records(spec: SourceSpec) -> None:
    assert samples(spec), f"no sample* in tests/sources/{spec.id}"
    assert all(path.stat().st_size < 40_000 for path in samples(spec))


def test_the_sample_gives_the_expected_quotes(spec: SourceSpec) -> None:
    found = {path.name: as_json(quotes_of(spec, path)) for path in samples(spec)}
    kept = FOLDER / spec.id / "expected.json"
    if not kept.exists():
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        pytest.fail(f"wrote {kept.relative_to(FOLDER.parent.parent)}: read it, then run again")
    assert found == json.loads(kept.read_text(encoding="utf-8"))


def test_meters_and_units_are_known_and_belong_together(spec: SourceSpec) -> None:
    for path in samples(spec):
        for quote in quotes_of(spec, path):
            for meter, price in prices_of(quote):
                assert unit(price.unit).thing == METERS[meter].thing, (path.name, quote.model)


def test_no_offer_stands_twice(spec: SourceSpec) -> None:
    for path in samples(spec):
        keys = [
            (quote.provider, quote.model, quote.tag, quote.facts.text)
            for quote in quotes_of(spec, path)
            if not any(finding.held for finding in quote.findings)
        ]
        assert len(keys) == len(set(keys)), path.name


def hit(spec: SourceSpec) -> set[str]:
    """The configured places that a source's samples fill."""
    quotes = [quote for path in samples(spec) for quote in quotes_of(spec, path)]
    meters = {meter for quote in quotes for meter in quote.prices}
    conditional = {meter for quote in quotes for override in quote.overrides for meter in override.prices}
    return {
        *(price.at for price in spec.prices if price.meter in meters),
        *(price.at for tier in spec.tiers for price in tier.prices if price.meter in conditional),
        *(place for name, place in spec.facts.items() if any(getattr(quote.facts, name) for quote in quotes)),
    }


def test_every_configured_place_is_hit(spec: SourceSpec) -> None:
    """A place that a shape names for all its sources may be hit by any of them."""
    if spec.parser not in FAMILIES:
        pytest.skip("reads its places itself")
    places = {price.at for price in (*spec.prices, *(price for tier in spec.tiers for price in tier.prices))}
    shared = [one for one in SOURCES.values() if one.parser == spec.parser == "openrouter_format"]
    assert places | set(spec.facts.values()) <= hit(spec).union(*(hit(one) for one in shared))
    assert {price.at for price in spec.prices if price.meter in REQUIRED} <= hit(spec)


def test_every_required_and_skipped_place_is_hit(spec: SourceSpec) -> None:
    bodies = "\n".join(path.read_text(encoding="utf-8") for path in samples(spec))
    for places in (spec.require, spec.skip):
        for place, values in places.items():
            assert place.rpartition(".")[2] in bodies
            assert any(value in bodies for value in values)


@pytest.mark.fault(31, 32, 63)
@pytest.mark.parametrize("body", EMPTY, ids=lambda body: body.decode().strip() or "nothing")
def test_a_body_that_says_nothing_is_refused(spec: SourceSpec, body: bytes) -> None:
    with pytest.raises(SourceChanged):
        parser_of(spec).parse(document(spec, body, part="sample"), spec)


@pytest.mark.fault(30)
def test_a_page_without_prices_is_refused(spec: SourceSpec) -> None:
    with pytest.raises(SourceChanged):
        parser_of(spec).parse(document(spec, PAGE, ".html", "sample"), spec)


@pytest.mark.fault(25, 61)
def test_the_other_kind_of_body_is_refused(spec: SourceSpec) -> None:
    body = b'{"data": [{"id": "a", "price": 1}]}' if samples(spec)[0].suffix == ".html" else PAGE
    with pytest.raises(SourceChanged) as refused:
        parser_of(spec).parse(document(spec, body, part="sample"), spec)
    assert refused.value.code == "content_type"


@pytest.mark.fault(11)
def test_a_sample_cut_anywhere_is_refused(spec: SourceSpec) -> None:
    for path in samples(spec):
        body = path.read_bytes().rstrip()
        for end in range(1, len(body), max(1, len(body) // 20)):
            with pytest.raises(SourceChanged):
                parser_of(spec).parse(sample(spec, path, body[:end]), spec)


def test_parsing_a_sample_takes_no_time_to_speak_of(spec: SourceSpec) -> None:
    started = time.process_time()
    for path in samples(spec):
        quotes_of(spec, path)
    assert time.process_time() - started < 2


def test_it_says_what_it_is(spec: SourceSpec) -> None:
    assert spec.title != spec.id
    assert spec.every_s >= 1800
    assert spec.expect.keys() == {"endpoints", "models"}


def test_its_card_says_how_sure_it_is_what_the_terms_say_and_why_it_is_gentle(spec: SourceSpec) -> None:
    told = re.fullmatch(r".{20,} (?:Not s|S)ure: (.+) Terms: (.+) Gentle: (.+)", spec.card)
    assert told is not None, "a card ends with `Sure: ... Terms: ... Gentle: ...`"
    assert all(len(part) > 3 and part.endswith(".") for part in told.groups())


def test_what_its_terms_forbid_or_nobody_has_looked_at_is_off(spec: SourceSpec) -> None:
    terms = spec.card.partition("Terms: ")[2].partition(" Gentle: ")[0]
    assert not (spec.enabled and re.search(r"forbid to extract|not looked at|^not known", terms))
