"""Values of scripts and data that pages push: literals are read as they are, everything else is refused."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import SourceChanged
from collector.parse.amounts import Number
from collector.parse.literals import Literal, attributes, literal
from collector.parse.page_data import objects
from store.records import Document


def value(text: str) -> Literal:
    return literal(text, 0, "acme")[0]


def refusal(text: str) -> str:
    with pytest.raises(SourceChanged) as refused:
        literal(text, 0, "acme")
    return refused.value.code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def plain(found: Literal) -> object:
    """Numbers as JSON has them."""
    if isinstance(found, list):
        return [plain(item) for item in found]
    if isinstance(found, dict):
        return {key: plain(item) for key, item in found.items()}
    return int(found) if isinstance(found, Number) else found


@given(JSON)
def test_json_is_read_as_it_is(wanted: object) -> None:
    for ensure_ascii in (True, False):
        assert plain(value(json.dumps(wanted, ensure_ascii=ensure_ascii))) == wanted


@given(JSON.filter(lambda one: isinstance(one, list | dict | str)), st.data())
def test_a_value_cut_anywhere_is_refused(wanted: object, data: st.DataObject) -> None:
    text = json.dumps(wanted, ensure_ascii=False)
    with pytest.raises(SourceChanged):
        literal(text[: data.draw(st.integers(0, len(text) - 1))], 0, "acme")


def test_scripts_write_more_than_json() -> None:
    found = value(
        """{ name: 'it\\'s', "price": 0.10, list: [1, .5, -2e-3,], /* no */ html: `two
lines`, // no
 on: true, none: undefined, cell: <>{"$"}0.16</>, call: html("$5"), }"""
    )
    assert isinstance(found, dict)
    assert {key: item for key, item in found.items() if key not in ("list", "price")} == {
        "name": "it's",
        "html": "two\nlines",
        "on": True,
        "none": None,
        "cell": "$0.16",
        "call": "$5",
    }
    price = found["price"]
    assert isinstance(price, Number)
    assert price.text == "0.10"


@pytest.mark.parametrize(
    "text",
    [
        "price",
        "1 + 1",
        "a.b",
        "() => 1",
        "`${price}`",
        "{a: 1, a: 2}",
        "[1 2]",
        "{a 1}",
        "[" * 40,
        "<b>1</b>",
        "1_000",
        "0x10",
        "@",
        r"'\ud83d'",
    ],
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    assert refusal(f"[{text}]") == "schema"


def test_attributes_that_are_no_tables_are_passed_over() -> None:
    text = """<Table client:load big tier="standard" note={fn('a {b} c', {d: 1})} rows={[["a", 1]]} label={null} />"""
    (found,) = attributes(text, "Table", "acme")
    assert {key: item for key, item in found.items() if key != "rows"} == {"tier": "standard"}
    rows = found["rows"]
    assert isinstance(rows, list)
    assert rows[0] == ["a", 1]


@pytest.mark.parametrize(
    "text",
    ["<Table rows={[[1]]}", "<Table rows={[[1]", "<Table note={fn(", '<Table tier="a', "<Table rows={[1] + 2} />"],
)
def test_a_component_without_its_end_is_refused(text: str) -> None:
    with pytest.raises(SourceChanged):
        list(attributes(text, "Table", "acme"))


def pushed(*pieces: str) -> Document:
    scripts = "".join(f"<script>self.__next_f.push([1,{json.dumps(piece)}])</script>" for piece in pieces)
    body = f"<html><body>{scripts}</body></html>".encode()
    return Document(
        source="acme", url="https://acme.example/", fetched_at=datetime(2026, 8, 1, tzinfo=UTC), status=200, body=body
    )


def test_pushed_rows_are_joined_before_they_are_read() -> None:
    found = objects(pushed('1:I["x"]\n2:{"a":[{"price"', ':"0.10"},{"b":{"price":2}}]}\n', '3:T5,{"pri'), "price")
    assert [one["price"] for one in found] == ["0.10", 2]


@pytest.mark.parametrize(
    ("document", "code"), [(pushed(), "anchor"), (pushed("1:{}\n"), "columns"), (pushed('1:{"price":'), "columns")]
)
def test_a_page_without_the_data_is_refused(document: Document, code: str) -> None:
    with pytest.raises(SourceChanged) as refused:
        objects(document, "price")
    assert refused.value.code == code
