"""Pages that change: whatever a page does, the answer is a refusal that says what was there, never a wrong number.

Every source that reads a page goes through the same mishaps, made from its own sample.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import load, packaged
from collector.contract import Follower, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.normalise import observe
from collector.sources import parser_of
from store.records import Document
from tests.test_sources_contract import AT, FOLDER, samples
from tests.test_sources_contract import sample as document_of

SOURCES = load(packaged(), {}).sources

HEADING = {
    "anthropic": ("Output Tokens", "Output"),
    "appaca": ("Output Cost", "Price"),
    "benchable": ("<th>Output", "<th>Price"),
    "cerebras_page": ("Output", "Price"),
    "cohere": ("modelName", "name"),
    "deepseek": ("OUTPUT", "ANSWER"),
    "deepseek_cn": ("tokens输出", "tokens回答"),
    "fireworks": ("| Standard |", "| Usual |"),
    "google": ("Paid Tier, per 1M tokens in USD", "Price in USD"),
    "groq": ("PRICE PER 1M TOKENS", "PRICE"),
    "lumichats": ("Output price", "Price"),
    "minimax": ("| Output |", "| Answer |"),
    "mistral": ("pricing:", "prices:"),
    "moonshot": ("Output Price", "Answer Price"),
    "openai": ("Short context output", "Output"),
    "perplexity": ("Output Tokens", "Answer Tokens"),
    "stepfun": ("Output Price", "Price"),
    "voyage": ("Price per million tokens", "Price"),
    "xai_page": ("Output / 1M tokens", "Output"),
    "zai": ("| Output |", "| Answer |"),
}
"""Source -> a heading of its sample, and what it might be called tomorrow."""
UNIT = {
    "anthropic": ("MTok", "KTok"),
    "appaca": ("per 1M tokens", "per 1K tokens"),
    "benchable": ("per 1M tokens", "per 1K tokens"),
    "cerebras_page": ("/M tokens", "/K tokens"),
    "cohere": ("1M tokens", "1K tokens"),
    "deepseek": ("1M ", "1K "),
    "deepseek_cn": ("百万tokens", "千tokens"),
    "fireworks": ("per 1 million tokens", "per 1 thousand tokens"),
    "google": ("per 1M tokens in USD", "per 1K tokens in USD"),
    "groq": ("PER 1M TOKENS", "PER 1K TOKENS"),
    "lumichats": ("per 1M tokens", "per 1K tokens"),
    "minimax": ("/ M tokens", "/ K tokens"),
    "mistral": ("/M Tokens", "/K Tokens"),
    "moonshot": ('"1M tokens"', '"1K tokens"'),
    "openai": ("Prices per 1M tokens", "Prices per 1K tokens"),
    "perplexity": ("$/1M", "$/1K"),
    "stepfun": ("1M tokens", "1K tokens"),
    "voyage": ("per million tokens", "per billion tokens"),
    "xai_page": ("1M tokens", "1K tokens"),
    "zai": ("Prices per 1M tokens", "Prices per 1K tokens"),
}
"""Source -> how its sample says its unit, and another one."""
FOREIGN = {
    "Model": "Modell",
    "MODEL": "MODELL",
    "模型": "Modell",
    "Input": "Eingabe",
    "input": "eingabe",
    "INPUT": "EINGABE",
    "输入": "Eingabe",
    "Standard": "Gewöhnlich",
    "Price": "Preis",
    "PRICE": "PREIS",
    "price": "preis",
    "pricing": "preise",
    "cells": "zellen",
    "Tier": "Stufe",
    "Spec": "Angabe",
}
CHALLENGE = "<!DOCTYPE html><html><head><title>One moment</title></head><body><p>Are you human?</p></body></html>"


@pytest.fixture(params=sorted(HEADING))
def spec(request: pytest.FixtureRequest) -> SourceSpec:
    found: SourceSpec = SOURCES[request.param]
    return found


def read(spec: SourceSpec, path: Path, text: str) -> list[Quote]:
    return parser_of(spec).parse(document_of(spec, path, text.encode()), spec)


def believed(quotes: list[Quote]) -> list[Quote]:
    """Quotes with prices of tokens that nothing holds."""
    return [
        quote
        for quote in quotes
        if not any(finding.held for finding in quote.findings)
        and any(price.unit.endswith("_token") for price in quote.prices.values())
    ]


def test_every_source_that_reads_a_page_goes_through_the_mishaps() -> None:
    pages = {name for name, one in SOURCES.items() if one.kind == "page" or name == "mistral"}
    assert pages == HEADING.keys() == UNIT.keys()


def test_a_changed_heading_is_refused(spec: SourceSpec) -> None:
    before, after = HEADING[spec.id]
    path = next(path for path in samples(spec) if before in path.read_text(encoding="utf-8"))
    with pytest.raises(SourceChanged):
        read(spec, path, path.read_text(encoding="utf-8").replace(before, after))


def test_a_changed_unit_is_refused_or_held(spec: SourceSpec) -> None:
    before, after = UNIT[spec.id]
    path = next(path for path in samples(spec) if before in path.read_text(encoding="utf-8"))
    try:
        quotes = read(spec, path, path.read_text(encoding="utf-8").replace(before, after))
    except SourceChanged:
        return
    assert not believed(quotes)


def test_a_challenge_in_its_place_is_refused(spec: SourceSpec) -> None:
    for path in samples(spec):
        with pytest.raises(SourceChanged):
            read(spec, path, CHALLENGE)


def test_a_page_in_another_language_is_refused(spec: SourceSpec) -> None:
    for path in samples(spec):
        text = path.read_text(encoding="utf-8")
        for word, foreign in FOREIGN.items():
            text = text.replace(word, foreign)
        with pytest.raises(SourceChanged):
            read(spec, path, text)


def test_a_table_without_rows_is_refused(spec: SourceSpec) -> None:
    for path in samples(spec):
        text = path.read_text(encoding="utf-8")
        without = emptied(text)
        assert without != text
        if spec.id == "mistral":  # a model without prices is not sold; that all are is seen by `expect`
            assert read(spec, path, without) == []
            continue
        with pytest.raises(SourceChanged):
            read(spec, path, without)


def emptied(text: str) -> str:
    """A page with its words and headings, and no row below any of them."""
    text = re.sub(r"(^\|[ :|-]+\|$)(\n\|.*$)+", r"\1", text, flags=re.MULTILINE)  # Markdown
    text = re.sub(r"(<tr>.*?</tr>)(\s*(?:</thead>)?\s*(?:<tbody>)?)(<tr>.*</tr>)", r"\1\2", text, flags=re.DOTALL)
    text = re.sub(r"rows=\{\[\s*\[.*?\]\s*,?\s*\]\}", "rows={[]}", text, flags=re.DOTALL)  # components
    text = re.sub(r'(pricings\\":)\[.*?\]', r"\1[]", text)  # data in scripts
    text = re.sub(r'(tableRow\\",\\"cells\\":\[[^\]]*\]\}),.*?\]\}\]', r"\1]", text)
    return re.sub(r"((?:input|output): )\[.*?\]", r"\1[]", text, flags=re.DOTALL)


MOVED = {
    "| Model | Input | Cached Input | Cached Input Storage | Output |": (4, 1),
    "| Model | Context | Input / 1M tokens | Cached input / 1M tokens | Output / 1M tokens |": (4, 2),
    "| Model | Base Input Tokens | 5m Cache Writes | 1h Cache Writes | Cache Hits & Refreshes | Output Tokens |": (
        5,
        1,
    ),
}
"""Headings of samples -> two columns that change places."""


@pytest.mark.parametrize("source", ["zai", "xai_page", "anthropic"])
def test_columns_that_change_places_keep_their_meaning(source: str) -> None:
    spec, path = SOURCES[source], next(path for path in samples(SOURCES[source]) if path.name == "sample.md")
    text = path.read_text(encoding="utf-8")
    head = next(head for head in MOVED if head in text)
    lines, in_table = [], False
    for line in text.splitlines():
        in_table = line == head or (in_table and line.startswith("|"))
        cells = line.strip("|").split("|")
        if in_table and len(cells) == head.count("|") - 1:
            first, second = MOVED[head]
            cells[first], cells[second] = cells[second], cells[first]
        lines.append(f"|{'|'.join(cells)}|" if line.startswith("|") else line)
    moved = "\n".join(lines)
    assert moved != text
    assert read(spec, path, moved) == read(spec, path, text)


def test_prices_without_their_numbers_beside_are_still_refused_where_a_page_has_no_end() -> None:
    for name in ("zai", "voyage", "fireworks", "xai_page", "minimax", "perplexity", "anthropic", "google", "groq"):
        spec = SOURCES[name]
        path = next(path for path in samples(spec) if path.name == "sample.md")
        text = path.read_text(encoding="utf-8").rstrip()
        with pytest.raises(SourceChanged) as refused:
            read(spec, path, text[: -len(spec.page.ends)])
        assert refused.value.code == "truncated"


@pytest.mark.parametrize("source", ["moonshot", "mistral"])
def test_a_listing_leads_to_its_pages_and_one_that_names_none_is_refused(source: str) -> None:
    spec, parser = SOURCES[source], parser_of(SOURCES[source])
    assert isinstance(parser, Follower)
    (path,) = (Path(__file__).parent / "sources" / source).glob("list.*")

    def listing(body: bytes) -> Document:
        return Document(source=source, url=spec.url, fetched_at=AT, status=200, body=body)

    links = parser.follow(listing(path.read_bytes()), spec)
    assert [link.part for link in links] == {"moonshot": ["chat-test", "batch"], "mistral": ["test-large-9"]}[source]
    assert all(link.url.startswith("https://") for link in links)
    assert parser.parse(listing(path.read_bytes()), spec) == []
    assert not parser.follow(document_of(spec, samples(spec)[0], samples(spec)[0].read_bytes()), spec)
    for body in (b"# Nothing here\n", b"[]", b'[{"name": "README.md"}]'):
        with pytest.raises(SourceChanged):
            parser.parse(listing(body), spec)


@given(st.data())
def test_a_page_with_pieces_lost_moved_or_doubled_is_read_or_refused(data: st.DataObject) -> None:
    spec = SOURCES[data.draw(st.sampled_from(sorted(HEADING)))]
    path = data.draw(st.sampled_from(samples(spec)))
    text = path.read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        piece = text[start : min(end, start + data.draw(st.integers(0, 40)))]
        put = data.draw(
            st.sampled_from(["", piece * 2, "$", "|", "\\", '"', "{", "]", "\0", "٣", "1e99", "\n\n", "[["])
        )
        text = text[:start] + put + text[start + len(piece) :]
    try:
        quotes = read(spec, path, text)
    except SourceChanged:
        return
    one = document_of(spec, path, text.encode())
    for quote in quotes:
        observe(quote, one, spec, AT)


# --- prices that a page dates ---


def test_announced_prices_and_the_end_of_a_discount_follow_one_another() -> None:
    spec = SOURCES["deepseek"]
    path = FOLDER / "deepseek" / "sample_dated.md"
    flash, pro = read(spec, path, path.read_text())
    discounted, rise = datetime(2026, 8, 5, 16, tzinfo=UTC), datetime(2026, 8, 16, 16, tzinfo=UTC)
    assert [(one.since, one.until, one.prices["input"].text) for one in flash.stated] == [
        (None, rise, "0.1"),
        (rise, None, "0.2"),
    ]
    assert [(one.since, one.until, one.prices["input"].text) for one in pro.stated] == [
        (None, discounted, "0.4"),
        (discounted, rise, "1.6"),
        (rise, None, "2"),
    ]
    assert [len(one.overrides) for one in pro.stated] == [0, 0, 2]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("August 16, 2026", "Smarch 16, 2026"),
        ("| deep-test-pro | OFF-PEAK | $0.02 | $2 | $4 |\n| PEAK | $0.04 | $4 | $8 |\n", ""),
        ("| PEAK | $0.008 | $0.4 | $0.8 |\n", ""),
        ("| deep-test-flash | OFF-PEAK |", "| deep-test-flash | HALF |"),
        ("| $0.004 |", "| 0.004 |"),
        ("CACHE HIT) | 1M INPUT TOKENS (CACHE MISS)", "CACHE HIT) | 1K INPUT TOKENS (CACHE MISS)"),
        ("Peak hours are", "Peaks are"),
    ],
)
def test_an_announcement_that_is_not_understood_is_refused(before: str, after: str) -> None:
    path = FOLDER / "deepseek" / "sample_dated.md"
    text = path.read_text()
    assert before in text
    with pytest.raises(SourceChanged):
        read(SOURCES["deepseek"], path, text.replace(before, after))
