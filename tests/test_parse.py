"""The families and what they are built of: what is read, what is held, what is refused."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import load, packaged
from collector.contract import PriceSpec, Quote, SourceSpec, TierSpec
from collector.errors import SourceChanged
from collector.normalise import observe
from collector.parse import html_table, json_list
from collector.parse.doubt import Doubt
from collector.parse.facts import count_of, facts_of
from collector.parse.markup import require_sound
from collector.parse.openrouter_format import overrides
from collector.parse.paths import MISSING, value_at
from collector.parse.rows import name_of
from collector.parse.strict import read_json
from collector.sources import parser_of
from store.records import Document, Facts

AT = datetime(2026, 8, 1, 12, tzinfo=UTC)
SOURCES = load(packaged(), {}).sources


def document(body: bytes | str, content_type: str = "application/json") -> Document:
    raw = body.encode() if isinstance(body, str) else body
    return Document(
        source="acme", url="https://acme.example/", fetched_at=AT, status=200, body=raw, content_type=content_type
    )


def refusal(body: bytes | str) -> str:
    with pytest.raises(SourceChanged) as refused:
        read_json(document(body))
    return refused.value.code


# --- strict JSON ------------------------------------------------------------------------------------------------------


def test_numbers_keep_their_value_and_their_text() -> None:
    value = read_json(document("[0.1, 4.5e-05, 0.10, 12345678901234567890, -0, 1e400]"))
    assert isinstance(value, list)
    assert value[:4] == [Decimal("0.1"), Decimal("0.000045"), Decimal("0.1"), 12345678901234567890]
    assert [getattr(one, "text", one) for one in value] == ["0.1", "4.5e-05", "0.10", 12345678901234567890, 0, "1e400"]
    assert not any(isinstance(one, float) for one in value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(VALUES.filter(lambda value: isinstance(value, list) and bool(value)))
def test_sound_json_is_read_as_it_is(value: list[Any]) -> None:
    assert read_json(document(json.dumps(value, ensure_ascii=False))) == value
    assert read_json(document(json.dumps(value))) == value


@pytest.mark.fault(11)
@given(VALUES.filter(lambda value: isinstance(value, list) and bool(value)), st.data())
def test_json_cut_anywhere_is_refused(value: list[Any], data: st.DataObject) -> None:
    body = json.dumps(value)
    assert refusal(body[: data.draw(st.integers(1, len(body) - 1))]) in {"json", "empty"}


@pytest.mark.fault(25, 31, 32, 42, 43, 44, 45, 46)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"a": NaN}', "json"),
        ('{"a": Infinity}', "json"),
        ('{"a": 1, "a": 2}', "json"),
        ('[{"b": {"a": 1, "a": 1}}]', "json"),
        ("[1] [2]", "json"),
        ("[1]garbage", "json"),
        ("// comment\n[1]", "json"),
        ("callback([1])", "json"),
        ("[" * 65 + "1" + "]" * 65, "json"),
        ("[" * 100_000 + "]" * 100_000, "json"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "json"),
        ("[" + "1" * 41 + "]", "json"),
        ("[" + "1" * 5000 + "]", "json"),
        ("[1e99999999999999999999]", "json"),
        ('["\\ud800"]', "json"),
        ('{"\\udfff": 1}', "json"),
        ("['a']", "json"),
        ("<!doctype html><p>Just a moment", "content_type"),
        ("  \n<?xml version='1.0'?><a/>", "content_type"),
        ("", "empty"),
        (" \n ", "empty"),
        ("null", "empty"),
        ("[]", "empty"),
        ("{}", "empty"),
        ('{"error": "rate limited"}', "error_body"),
        ('{"error": {"code": 500}, "status": 500}', "error_body"),
        ('{"success": false, "errors": ["no"]}', "error_body"),
    ],
    ids=range(27),
)
def test_what_is_not_one_sound_document_is_refused(body: str, code: str) -> None:
    assert refusal(body) == code


def test_bytes_that_are_no_text_are_refused() -> None:
    assert refusal(b'["\xff\xfe\xfd"]') == "encoding"


def test_brackets_and_quotes_in_texts_are_no_nesting() -> None:
    body = json.dumps(["[" * 200, '"' * 3 + "{" * 200, "\\" * 5 + "[" * 100, {"[" * 70: 1}])
    assert read_json(document(body)) == json.loads(body)


def test_sixty_four_levels_are_read() -> None:
    assert read_json(document("[" * 64 + "1" + "]" * 64))


def test_a_surrogate_pair_is_one_character() -> None:
    assert read_json(document('["\\ud83d\\ude00"]')) == ["\N{GRINNING FACE}"]


def test_five_megabytes_take_no_longer_than_their_size() -> None:
    record = {"id": "example/model", "name": "x" * 60, "pricing": {"prompt": 0.0000015, "completion": "0.0000045"}}
    body = json.dumps({"data": [record] * 34_000})
    assert len(body) > 5_000_000

    def spent(read: Callable[[], object]) -> float:
        started = time.process_time()
        read()
        return time.process_time() - started

    assert spent(lambda: read_json(document(body))) < 50 * min(spent(lambda: json.loads(body)) for _ in range(3))


# --- paths, names, facts ----------------------------------------------------------------------------------------------


def test_a_path_leads_to_a_value_to_null_or_to_nothing() -> None:
    record = {"a": {"b": None, "c": 0}, "n": None}
    assert value_at(record, "") == record
    assert value_at(record, "a.c") == 0
    assert value_at(record, "a.b") is None
    assert value_at(record, "a.d") is MISSING
    assert value_at(record, "n.x.y") is MISSING


def test_a_path_through_a_list_is_doubted() -> None:
    with pytest.raises(Doubt, match="list"):
        value_at({"pricing": [{"prompt": 1}]}, "pricing.prompt")


@pytest.mark.fault(40, 48, 103)
@pytest.mark.parametrize("name", ["a\x00b", "a\u202eb", "a\u200bb", "x" * 600])
def test_a_name_that_cannot_be_shown_is_made_safe_and_doubted(name: str) -> None:
    safe, doubt = name_of(name, "id")
    assert safe.isprintable()
    assert len(safe) <= 512
    assert doubt is not None


@pytest.mark.parametrize("name", [None, MISSING, 3, "", "  ", ["a"]])
def test_no_name_at_all_is_refused(name: object) -> None:
    with pytest.raises(Doubt):
        name_of(name, "id")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (8192, 8192),
        ("8192", 8192),
        (Decimal("8192.0"), 8192),
        (0, None),
        (-1, None),
        (True, None),
        ("128K", None),
        ("1,000", None),
        (Decimal("0.5"), None),
        (2**53, None),
        ("٣", None),
        ([8192], None),
    ],
)
def test_a_count_is_a_positive_whole_number_or_not_stated(value: object, count: int | None) -> None:
    assert count_of(value) == count


def test_a_fact_that_is_not_as_it_should_be_is_noted_and_left_out() -> None:
    facts, notes = facts_of(
        {"context_length": 0, "quantization": "fp8", "features": ["b", "a", "a"], "max_output_tokens": None}, "data[0]"
    )
    assert facts == Facts(quantization="fp8", features=("a", "b"))
    assert [(note.rule, note.held, note.message) for note in notes] == [("fact", False, "context_length is 0")]


def test_features_are_a_list_of_texts_or_flags_that_are_true() -> None:
    assert facts_of({"features": {"tools": True, "vision": False, "quantization": "fp8"}}, "")[0].features == ("tools",)
    assert facts_of({"features": {}}, "") == (Facts(), ())
    for value in ({"tools": "yes"}, ["tools", 3], "tools"):
        facts, notes = facts_of({"features": value}, "")
        assert (facts, len(notes)) == (Facts(), 1)


# --- lists of records -------------------------------------------------------------------------------------------------

LIST = SourceSpec(
    id="acme",
    title="Acme",
    parser="json_list",
    url="https://acme.example/",
    trust="first-party",
    every_s=3600,
    provider="acme",
    records="data",
    model="id",
    prices=(
        PriceSpec(meter="input", at="price.in", unit="USD/1M_token"),
        PriceSpec(meter="output", at="price.out", unit="USD/1M_token"),
        PriceSpec(meter="cache_read", at="price.cached", unit="USD/1M_token"),
    ),
)


def record(name: str, price: object) -> dict[str, object]:
    return {"id": name, "price": price}


def listed(*records: object, spec: SourceSpec = LIST) -> list[Quote]:
    return json_list.parse(document(json.dumps({"data": records})), spec)


def texts(quote: Quote) -> dict[str, str]:
    return {meter: price.text for meter, price in quote.prices.items()}


GOOD = record("good", {"in": 1, "out": 2})


@pytest.mark.fault(53)
def test_texts_and_numbers_are_read_alike_and_exactly() -> None:
    body = '{"data": [{"id": "a", "price": {"in": "0.10", "out": 0.30}}, {"id": "b", "price": {"in": 1e-1, "out": 3}}]}'
    assert [texts(quote) for quote in json_list.parse(document(body), LIST)] == [
        {"input": "0.10", "output": "0.30"},
        {"input": "1e-1", "output": "3"},
    ]


def test_null_and_missing_prices_are_not_offered() -> None:
    assert texts(listed(record("a", {"in": 1, "out": 2, "cached": None}))[0]).keys() == {"input", "output"}


@pytest.mark.fault(44, 53)
@pytest.mark.parametrize("value", [[1], {"usd": 1}, True])
def test_a_price_of_another_type_holds_its_row(value: object) -> None:
    quote, other = listed(record("a", {"in": value, "out": 2}), GOOD)
    assert [(finding.rule, finding.held) for finding in quote.findings] == [("type", True)]
    assert texts(quote) == {"output": "2"}
    assert not other.findings


def test_records_without_a_price_are_left_out() -> None:
    assert [
        quote.model for quote in listed(GOOD, record("a", None), record("b", {}), record("c", {"per_image": 1}))
    ] == ["good"]


def test_records_can_be_the_values_of_an_object() -> None:
    spec = replace(LIST, model="$key")
    quotes = json_list.parse(document(json.dumps({"data": {"a/b": {"price": {"in": 1, "out": 2}}}})), spec)
    assert [(quote.model, quote.locator) for quote in quotes] == [("a/b", "data.a/b")]


def test_records_can_be_the_document() -> None:
    (quote,) = json_list.parse(document(json.dumps([GOOD])), replace(LIST, records=""))
    assert (quote.model, quote.locator) == ("good", "[0]")


def test_providers_and_tags_can_stand_in_the_record() -> None:
    spec = replace(LIST, provider="", provider_at="by", tag_at="tag")
    first, second = listed({**GOOD, "by": "Acme", "tag": "fp8"}, {**GOOD, "by": "Other", "tag": None}, spec=spec)
    assert (first.provider, first.tag) == ("Acme", "fp8")
    assert (second.provider, second.tag) == ("Other", "")


OFFERS = replace(LIST, offers="by", model="$record.id", provider="", provider_at="$key", tag_at="tag")
TWO = {"id": "a", "by": {"acme": {"price": {"in": 1, "out": 2}}, "other": {"price": {"in": 3, "out": 4}, "tag": "fp8"}}}


def test_a_record_may_hold_the_offers_of_several_providers() -> None:
    first, second = listed(TWO, {"id": "b", "by": {}}, {"id": "c", "by": None}, {"id": "d"}, spec=OFFERS)
    assert (first.provider, first.model, first.tag, texts(first)) == ("acme", "a", "", {"input": "1", "output": "2"})
    assert (second.provider, second.model, second.tag, texts(second)) == (
        *("other", "a", "fp8"),
        {"input": "3", "output": "4"},
    )
    assert second.locator == "data[0].by.other"


def test_offers_can_be_a_list() -> None:
    spec = replace(OFFERS, provider_at="name")
    (quote,) = listed({"id": "a", "by": [{"name": "acme", "price": {"in": 1, "out": 2}}]}, spec=spec)
    assert (quote.provider, quote.locator) == ("acme", "data[0].by[0]")


@pytest.mark.parametrize("offers", ["acme", 1, ["acme"], {"acme": 1}])
def test_offers_that_are_no_objects_are_refused(offers: object) -> None:
    with pytest.raises(SourceChanged):
        listed(TWO, {"id": "b", "by": offers}, spec=OFFERS)


@pytest.mark.fault(55)
@pytest.mark.parametrize("more", [{"more": True}, {}, {"more": [False]}, {"more": 0}, {"more": None}])
def test_a_document_that_does_not_say_that_it_is_whole_is_refused(more: dict[str, object]) -> None:
    spec = replace(LIST, whole={"more": ("false",)})
    assert json_list.parse(document(json.dumps({"data": [GOOD], "more": False})), spec)
    with pytest.raises(SourceChanged) as refused:
        json_list.parse(document(json.dumps({"data": [GOOD], **more})), spec)
    assert refused.value.code == "incomplete"


@pytest.mark.fault(56)
@pytest.mark.parametrize(
    "paging",
    [
        {"next": "https://acme.example/models?page=2"},
        {"next": "https://acme.example/models"},
        {"next": None, "total": 2},
        {"next": "https://acme.example/models?page=2", "total": 1},
    ],
    ids=["another page", "itself", "fewer than in all", "pages that overlap"],
)
def test_a_list_on_several_pages_is_never_taken_for_the_whole(paging: dict[str, object]) -> None:
    spec = replace(LIST, whole={"next": ("null", "missing"), "total": ("1", "missing")})
    assert json_list.parse(document(json.dumps({"data": [GOOD], "next": None, "total": 1})), spec)
    with pytest.raises(SourceChanged) as refused:
        json_list.parse(document(json.dumps({"data": [GOOD], **paging})), spec)
    assert refused.value.code == "incomplete"


def test_a_missing_mark_of_more_may_be_said_to_be_whole() -> None:
    spec = replace(LIST, whole={"page.next": ("null", "missing")})
    for body in ({"data": [GOOD]}, {"data": [GOOD], "page": {"next": None}}):
        assert json_list.parse(document(json.dumps(body)), spec)
    with pytest.raises(SourceChanged):
        json_list.parse(document(json.dumps({"data": [GOOD], "page": {"next": 2}})), spec)


def test_a_flag_of_free_makes_zeros_of_the_prices_that_are_required() -> None:
    spec = replace(LIST, free_at="gratis")
    given, charged, unsure = listed(
        {"id": "a", "price": None, "gratis": True}, {**GOOD, "gratis": False}, {**GOOD, "gratis": "true"}, spec=spec
    )
    assert (texts(given), given.declared_free) == ({"input": "0", "output": "0"}, True)
    assert not charged.declared_free
    assert not unsure.declared_free


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    ("published", "read"), [("$0.50", "0.50"), (" $ 0.50", "0.50"), ("€0.50", "€0.50"), ("$$1", "$1"), ("1$", "1$")]
)
def test_the_sign_of_the_declared_currency_is_no_part_of_the_number(published: str, read: str) -> None:
    assert texts(listed(record("a", {"in": published, "out": 2}))[0])["input"] == read


def test_skipped_records_are_left_out_by_text_number_truth_and_null() -> None:
    spec = replace(LIST, skip={"kind": ("image", "2", "false", "null")})
    kinds = ["image", 2, False, None, "chat", "imagery", True, 3]
    quotes = listed(*({**GOOD, "id": str(number), "kind": kind} for number, kind in enumerate(kinds)), GOOD, spec=spec)
    assert [quote.model for quote in quotes] == ["4", "5", "6", "7", "good"]


@pytest.mark.fault(73)
def test_a_stated_unit_that_is_not_understood_holds_its_row() -> None:
    spec = replace(LIST, require={"unit": ("usd_per_1m_tokens",)})
    quotes = listed(*({**GOOD, "unit": unit} for unit in ("usd_per_1m_tokens", "usd_per_1k_tokens", None)), spec=spec)
    assert [[finding.rule for finding in quote.findings] for quote in quotes] == [[], ["require"], ["require"]]


@pytest.mark.fault(31, 48, 52, 54)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"models": [GOOD]}, "schema"),
        ({"data": {"items": [GOOD]}}, "schema"),
        ({"data": []}, "empty"),
        ({"data": "none"}, "schema"),
        ({"data": ["a", "b"]}, "schema"),
        ({"data": [{"name": "a", "price": {"in": 1, "out": 2}}]}, "schema"),
        ({"data": [record("a", {"input": 1, "output": 2})]}, "schema"),
        ({"data": [record("a", {"in": 1, "output": 2}), record("b", {"in": 1, "output": 2})]}, "schema"),
        ({"data": [record("a", [1, 2]), record("b", [1, 2])]}, "schema"),
        ({"data": [{"id": str(number)} for number in range(50_001)]}, "row_limit"),
    ],
    ids=range(10),
)
def test_a_list_that_is_not_as_it_was_is_refused(body: Mapping[str, object], code: str) -> None:
    with pytest.raises(SourceChanged) as refused:
        json_list.parse(document(json.dumps(body)), LIST)
    assert refused.value.code == code
    assert str(refused.value).startswith("acme: ")


def test_a_few_offers_without_an_output_price_are_no_change() -> None:
    assert len(listed(GOOD, record("also", {"in": 1, "out": 2}), record("embedder", {"in": 1}))) == 3


def test_a_path_that_leads_through_a_list_refuses_the_list_and_holds_the_price_and_notes_the_fact() -> None:
    with pytest.raises(SourceChanged, match="not an object"):
        json_list.parse(document(json.dumps({"data": [GOOD]})), replace(LIST, records="data.models"))
    odd = {**record("a", {"in": 1, "out": 2, "cached": 3}), "limits": [8192]}
    spec = replace(LIST, facts={"context_length": "limits.context"})
    assert listed(odd, GOOD, spec=spec)[0].facts == Facts()


def test_a_tier_with_a_price_of_another_type_holds_its_row() -> None:
    tier = TierSpec(above_at="long", prices=(PriceSpec(meter="input", at="price.long", unit="USD/1M_token"),))
    odd = {**record("a", {"in": 1, "out": 2, "long": [3]}), "long": 200000}
    quote, other = listed(odd, {**GOOD, "long": 200000}, spec=replace(LIST, tiers=(tier,)))
    assert [(finding.rule, finding.held) for finding in quote.findings] == [("type", True)]
    assert (other.overrides, other.findings) == ((), ())


def test_a_list_of_which_nothing_is_for_sale_is_refused() -> None:
    spec = replace(LIST, prices=(PriceSpec(meter="request", at="price.each", unit="USD/request"),))
    with pytest.raises(SourceChanged, match="no record has a price"):
        listed(GOOD, spec=spec)


@given(st.integers(0, 2**64), st.integers(0, 18))
def test_a_price_in_a_record_keeps_its_text(digits: int, places: int) -> None:
    text = f"{digits}.{'1' * places}".rstrip(".")
    body = f'{{"data": [{{"id": "a", "price": {{"in": {text}, "out": "{text}"}}}}]}}'
    assert set(texts(json_list.parse(document(body), LIST)[0]).values()) == {text}


# --- the OpenRouter provider format -----------------------------------------------------------------------------------

METERS = {
    "prompt": PriceSpec(meter="input", at="pricing.prompt", unit="USD/token"),
    "completion": PriceSpec(meter="output", at="pricing.completion", unit="USD/token"),
}


def test_overrides_are_read_in_their_order() -> None:
    read = overrides(
        {
            "prompt": "1",
            "overrides": [
                {"min_prompt_tokens": 200000, "prompt": "2"},
                {"utc_start": 2230, "utc_end": 100, "prompt": "3", "completion": 4},
                {"utc_start": 1800, "utc_end": 2400, "min_prompt_tokens": Decimal("5.0"), "prompt": "6"},
            ],
        },
        METERS,
    )
    assert [(one.above_tokens, one.start_minute, one.end_minute) for one in read] == [
        (200000, None, None),
        (None, 1350, 60),
        (5, 1080, 0),
    ]
    assert [{meter: price.text for meter, price in one.prices.items()} for one in read] == [
        {"input": "2"},
        {"input": "3", "output": "4"},
        {"input": "6"},
    ]


def test_a_price_that_is_passed_over_on_top_is_passed_over_in_an_override() -> None:
    assert overrides({"audio": "1", "overrides": [{"min_prompt_tokens": 1, "audio": "2"}]}, METERS) == ()
    assert overrides({"prompt": "1"}, METERS) == ()
    assert overrides({"prompt": "1", "overrides": None}, METERS) == ()


@pytest.mark.parametrize(
    "listed_overrides",
    [
        {"min_prompt_tokens": 1},
        ["x"],
        [{"prompt": "1"}],
        [{"min_prompt_tokens": 1, "utc_days": [1], "prompt": "1"}],
        [{"utc_start": 100, "prompt": "1"}],
        [{"utc_start": 100, "utc_end": 100, "prompt": "1"}],
        [{"utc_start": 0, "utc_end": 2400, "prompt": "1"}],
        [{"utc_start": 160, "utc_end": 200, "prompt": "1"}],
        [{"utc_start": 100, "utc_end": 2430, "prompt": "1"}],
        [{"min_prompt_tokens": "200K", "prompt": "1"}],
        [{"min_prompt_tokens": -1, "prompt": "1"}],
        [{"min_prompt_tokens": 1, "prompt": ["1"]}],
    ],
    ids=range(12),
)
def test_a_condition_that_is_not_understood_is_doubted(listed_overrides: object) -> None:
    with pytest.raises(Doubt):
        overrides({"prompt": "1", "overrides": listed_overrides}, METERS)


def test_a_word_beside_is_free_is_overruled() -> None:
    spec = replace(LIST, parser="openrouter_format", records="data", free_at="is_free")
    given_away = {**record("a", {"in": "soon", "out": "0.0"}), "is_free": True}
    body = json.dumps({"data": [given_away, GOOD]})
    quote, _ = parser_of(spec).parse(document(body), spec)
    assert (texts(quote), quote.declared_free) == ({"input": "0", "output": "0"}, True)
    assert [(finding.rule, finding.held) for finding in quote.findings] == [("is_free", False)]


# --- HTML tables ------------------------------------------------------------------------------------------------------

TABLE = SourceSpec(
    id="acme",
    title="Acme",
    parser="html_table",
    url="https://acme.example/",
    trust="first-party",
    every_s=3600,
    provider="acme",
    model="Model",
    prices=(
        PriceSpec(meter="input", at="Input (per 1M tokens)", unit="USD/1M_token"),
        PriceSpec(meter="output", at="Output (per 1M tokens)", unit="USD/1M_token"),
    ),
    absent=("-",),
    free=("Free",),
)
HEAD = "<tr><th>Model</th><th>Input (per 1M tokens)</th><th>Output (per 1M tokens)</th></tr>"


def page(*rows: str, head: str = HEAD) -> str:
    return f"<!doctype html><html><body><table>{head}{''.join(rows)}</table></body></html>"


def row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def tabled(body: str, spec: SourceSpec = TABLE) -> list[Quote]:
    return html_table.parse(document(body, "text/html"), spec)


def table_refusal(body: str, spec: SourceSpec = TABLE) -> SourceChanged:
    with pytest.raises(SourceChanged) as refused:
        tabled(body, spec)
    return refused.value


@pytest.mark.fault(50, 57)
def test_columns_are_bound_by_heading_and_not_by_place() -> None:
    head = row("OUTPUT (per&nbsp;1M\n tokens)", "note", "Input (per 1M <b>tokens</b>)", "model")
    (quote,) = tabled(page(row("$2", "x", "$1", "a"), head=head))
    assert (quote.model, texts(quote)) == ("a", {"input": "1", "output": "2"})


@pytest.mark.fault(58, 59, 64)
def test_a_heading_that_says_another_unit_is_a_missing_column() -> None:
    refused = table_refusal(page(row("a", "$1", "$2"), head=HEAD.replace("Input (per 1M", "Input (per 1K")))
    assert refused.code == "columns"
    assert "wanted once each: Input (per 1M tokens)" in str(refused)
    assert "there: Model | Input (per 1K tokens) | Output (per 1M tokens)" in str(refused)


def test_a_heading_that_stands_twice_is_refused() -> None:
    head = HEAD.replace("</tr>", "<th>Model</th></tr>")
    assert table_refusal(page(row("a", "$1", "$2", "b"), head=head)).code == "columns"


@pytest.mark.fault(79, 80)
def test_struck_out_prices_footnotes_and_hidden_text_are_not_read() -> None:
    cells = ("<s>$9</s> $1<sup>2</sup>", '<del>$8</del><span hidden>7</span><b style="DISPLAY : none">6</b> $2')
    assert texts(tabled(page(row("a<sub>3</sub>", *cells)))[0]) == {"input": "1", "output": "2"}


@pytest.mark.fault(81)
def test_two_numbers_in_a_cell_never_become_one() -> None:
    for cell in ("$0.6$0.3", "$1<br>$2", "$0.2<span>5</span>", "$1 / $2", "$1<div>2</div>"):
        quote = tabled(page(row("a", cell, "$1"), row("b", "$1", "$1")))[0]
        assert [(finding.rule, finding.held) for finding in quote.findings] == [("amount", True)], cell
        assert "input" not in quote.prices


@pytest.mark.fault(77)
def test_another_currency_than_the_declared_one_holds_the_row() -> None:
    assert tabled(page(row("a", "€1", "$2")))[0].findings[0].held
    euros = replace(TABLE, prices=tuple(replace(price, unit="EUR/1M_token") for price in TABLE.prices))
    assert texts(tabled(page(row("a", "€1", "€2")), euros)[0]) == {"input": "1", "output": "2"}


def test_cents_have_no_dollar_sign() -> None:
    cents = replace(TABLE, prices=tuple(replace(price, unit="USDcent/1M_token") for price in TABLE.prices))
    assert texts(tabled(page(row("a", "15", "60")), cents)[0]) == {"input": "15", "output": "60"}
    assert tabled(page(row("a", "$15", "60")), cents)[0].findings[0].held


@pytest.mark.fault(40)
def test_a_nul_does_not_vanish_from_a_price() -> None:
    quote = tabled(page(row("a", "$1\0.5", "$2"), row("b", "$1", "$2")))[0]
    assert ("input" not in quote.prices, quote.findings[0].rule) == (True, "amount")


@pytest.mark.fault(82)
def test_declared_words_stay_words_and_empty_cells_say_nothing() -> None:
    assert texts(tabled(page(row("a", "Free", "-")))[0]) == {"input": "Free", "output": "-"}
    assert texts(tabled(page(row("a", "$1", "")))[0]) == {"input": "1", "output": ""}
    assert tabled(page(row("a", "Contact us", "$1")))[0].findings[0].rule == "amount"


def test_rows_can_be_skipped_and_tagged_by_their_columns() -> None:
    head = HEAD.replace("</tr>", "<th>Region</th><th>Kind</th></tr>")
    spec = replace(TABLE, tag_at="Region", skip={"Kind": ("image",)})
    rows = (row("a", "$1", "$2", "EU", "text"), row("b", "$1", "$2", "", "text"), row("c", "$1", "$2", "EU", "image"))
    assert [(quote.model, quote.tag) for quote in tabled(page(*rows, head=head), spec)] == [("a", "EU"), ("b", "")]


def test_a_row_of_another_width_is_held_and_no_price_is_read_from_it() -> None:
    for cells in (("a", "$1"), ("a", "$1", "$2", "$3")):
        quote = tabled(page(row(*cells), row("b", "$1", "$2")))[0]
        assert (quote.prices, [finding.rule for finding in quote.findings]) == ({}, ["cells"])


def test_spanning_cells_stand_in_every_place_they_cover() -> None:
    rows = (
        '<tr><td>a</td><td rowspan="2">$1</td><td>$2</td></tr>',
        "<tr><td>b</td><td>$3</td></tr>",
        '<tr><td>c</td><td colspan="2">$4</td></tr>',
        '<tr><td colspan="3">More models</td></tr>',
    )
    assert [(quote.model, texts(quote)) for quote in tabled(page(*rows))] == [
        ("a", {"input": "1", "output": "2"}),
        ("b", {"input": "1", "output": "3"}),
        ("c", {"input": "4", "output": "4"}),
    ]


def test_a_spanning_cell_that_finds_no_place_does_not_reach_the_row_after() -> None:
    rows = ('<tr><td>a</td><td>$1</td><td rowspan="3">$2</td></tr>', row("b"), row("c", "$3", "$4"))
    quotes = tabled(page(*rows))
    assert [bool(quote.findings) for quote in quotes] == [False, True, False]
    assert texts(quotes[2]) == {"input": "3", "output": "4"}


@pytest.mark.parametrize("span", ["0", "-1", "x", "99999", "1000"])
def test_spans_that_are_not_sound_are_refused(span: str) -> None:
    assert table_refusal(page(f'<tr><td colspan="{span}">a</td><td>$1</td></tr>')).code == "columns"


@pytest.mark.fault(60)
def test_a_table_of_another_kind_beside_it_is_passed_over() -> None:
    other = "<table><tr><th>Model</th><th>RPM</th></tr><tr><td>a</td><td>9</td></tr></table>"
    body = page(row("a", "$1", "$2")).replace("<table>", f"{other}<table>", 1)
    assert [quote.locator for quote in tabled(body)] == ["table 2 row 2"]


def test_equal_tables_are_read_together_and_others_refused() -> None:
    def two(first: str, second: str) -> str:
        return page(first).replace("</body>", f"<table>{second}</table></body>")

    assert [quote.model for quote in tabled(two(row("a", "$1", "$2"), HEAD + row("b", "$1", "$2")))] == ["a", "b"]
    assert table_refusal(two(row("a", "$1", "$2"), HEAD + row("a", "$9", "$9"))).code == "anchor"
    wider = HEAD.replace("</tr>", "<th>Region</th></tr>") + row("b", "$1", "$2", "EU")
    assert table_refusal(two(row("a", "$1", "$2"), wider)).code == "anchor"


def test_a_layout_table_around_it_is_no_table_of_prices() -> None:
    inner = f"<table>{HEAD}{row('a', '$1', '$2')}</table>"
    body = f"<html><body><table><tr><td>{inner}</td></tr></table></body></html>"
    assert [quote.model for quote in tabled(body)] == ["a"]


@pytest.mark.fault(11, 30, 41)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ('{"data": []}', "content_type"),
        ("Model | Input", "content_type"),
        ("<html><body><p>We moved.</p></body></html>", "anchor"),
        (page(), "empty"),
        (page(row("a", "$1", "$2")).removesuffix("</html>"), "truncated"),
        (f"<table>{HEAD}{row('a', '$1', '$2')}", "truncated"),
        (page(row("", "$1", "$2")), "schema"),
        (page(*(row(str(number), "$1", "$2") for number in range(5001))), "row_limit"),
        (page(row("a", "$1", "$2"), head=HEAD + "<tr>" + "<th>x</th>" * 65 + "</tr>"), "columns"),
        ("<html>" + "<div>" * 400_000 + "</html>", "parse_limit"),
        ("<html>" + "x" * (4 * 2**20) + "</html>", "parse_limit"),
        ("<html><div " + " ".join(f"a{number}" for number in range(300_000)) + "></div></html>", "parse_limit"),
    ],
    ids=range(14),
)
def test_a_page_that_is_not_the_price_page_is_refused_at_once(body: str, code: str) -> None:
    started = time.process_time()
    assert table_refusal(body).code == code
    assert time.process_time() - started < 5


BOMBS = {
    "closed comment": "<!-->" + "<div>" * 5_000,
    "closed comment with a bang": "<!-- --!>" + "<div>" * 5_000,
    "style in svg": "<svg><style>" + "<g>" * 5_000,
    "other ends": "<div></span>" * 5_000,
    "quoted ends": '<div a=">"' + " b" * 5_000 + ">",
    "ends that a table keeps out": "<table><tr><td></div>" * 5_000,
}


@pytest.mark.fault(41)
@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_disguised_nesting_is_seen(body: str) -> None:
    with pytest.raises(SourceChanged) as refused:
        require_sound(f"<html>{body}</html>", "acme")
    assert refused.value.code == "parse_limit"


def test_tags_in_scripts_comments_and_attributes_are_no_nesting() -> None:
    deep = "<div>" * 1000
    cells = "<td>1<p>2<li>3" * 500
    require_sound(f"<html><script>'{deep}'</script><!-- {deep} --><a title='{deep}'>x</a>{cells}</html>", "acme")


@given(st.text(alphabet="<>/!-\"'= abdivtrscpe\0é", max_size=200))
def test_any_markup_is_read_or_refused(text: str) -> None:
    with pytest.raises(SourceChanged):
        tabled(text)


# --- recorded documents -----------------------------------------------------------------------------------------------


def read_recorded(source: str, path: Path, **changes: Any) -> list[Quote]:
    spec = replace(SOURCES[source], **changes)
    one = Document(source=source, url=spec.url, fetched_at=AT, status=200, body=path.read_bytes())
    quotes = parser_of(spec).parse(one, spec)
    assert not [finding for quote in quotes for finding in observe(quote, one, spec, AT).findings]
    assert len(quotes) >= spec.expect["endpoints"]
    return quotes


@pytest.mark.recorded
@pytest.mark.parametrize(("day", "count"), [("2026-02-23", 78), ("2026-04-17", 88)])
def test_every_priced_row_of_recorded_deepinfra_lists_is_read(recorded: Path, day: str, count: int) -> None:
    path = recorded / "recorded" / "deepinfra" / f"{day}-v1-openai-models.json"
    quotes = read_recorded("deepinfra", path)
    assert len(quotes) == count
    rows = {one["id"]: one["metadata"] for one in json.loads(path.read_text(), parse_float=str, parse_int=str)["data"]}
    names = {"input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read_tokens"}
    for quote in quotes:
        pricing = rows[quote.model]["pricing"]
        assert texts(quote) == {meter: pricing[name] for meter, name in names.items() if name in pricing}
        assert quote.facts.context_length == int(rows[quote.model]["context_length"])


@pytest.mark.recorded
def test_recorded_xai_lists_are_read_where_they_state_prices_and_refused_where_not(recorded: Path) -> None:
    paths = sorted((recorded / "recorded" / "xai").glob("*-v1-models.json"))
    priced = [path for path in paths if "prompt_text_token_price" in path.read_text()]
    assert (len(paths), len(priced)) == (21, 10)
    for path in set(paths) - set(priced):
        with pytest.raises(SourceChanged, match="prompt_text_token_price"):
            read_recorded("xai", path)
    for path in priced:
        rows = {one["id"]: one for one in json.loads(path.read_text())["data"]}
        quotes = read_recorded("xai", path)
        assert {quote.model for quote in quotes} == {
            name for name, one in rows.items() if "prompt_text_token_price" in one or "image_price" in one
        }
        for quote in quotes:
            one = rows[quote.model]
            assert texts(quote).get("input", "") == str(one.get("prompt_text_token_price", ""))
            assert [str(override.above_tokens) for override in quote.overrides] == (
                [str(one["long_context_threshold"])] if "long_context_threshold" in one else []
            )


@pytest.mark.recorded
def test_the_price_cut_of_july_2026_at_xai_is_seen(recorded: Path) -> None:
    folder = recorded / "recorded" / "xai"
    days = ("2026-07-13", "2026-07-19")
    lists = [read_recorded("xai", folder / f"{day}-v1-models.json") for day in days]
    cached = [next(texts(quote)["cache_read"] for quote in quotes if quote.model == "grok-4.5") for quotes in lists]
    assert cached == ["5000", "3000"]


@pytest.mark.recorded
def test_the_blended_price_that_chutes_once_stated_is_refused(recorded: Path) -> None:
    with pytest.raises(SourceChanged, match=r"pricing\.prompt"):
        read_recorded("chutes", recorded / "recorded" / "chutes" / "2025-08-02-v1-models.json")


@pytest.mark.recorded
def test_recorded_novita_rows_are_read(recorded: Path) -> None:
    (path,) = (recorded / "recorded" / "_derived").glob("*-novita-openai-v1-models-near-raw.json")
    facts = {**SOURCES["novita"].facts, "context_length": "context_length"}
    assert len(read_recorded("novita", path, records="models", facts=facts)) == 104


@pytest.mark.recorded
@pytest.mark.parametrize("source", ["baseten", "crusoe", "tinfoil", "wafer", "stepfun"])
def test_the_recorded_shapes_are_read(recorded: Path, source: str) -> None:
    (path,) = (recorded / "recorded" / "_shapes" / source).iterdir()
    assert read_recorded(source, path)


@pytest.mark.recorded
@pytest.mark.parametrize(
    "name",
    [
        "openai/2026-05-08-challenge-page.html",
        "moonshot/2026-05-08-pricing-chat-without-prices.html",
        "tinfoil/2026-05-08-pricing-without-prices.md",
        "xai/2025-11-18-v1-models.json",
    ],
)
def test_recorded_pages_without_prices_are_refused(recorded: Path, name: str) -> None:
    body = (recorded / "recorded" / name).read_bytes()
    for source in ("stepfun", "deepinfra", "chutes"):
        with pytest.raises(SourceChanged):
            parser_of(SOURCES[source]).parse(document(body), SOURCES[source])
