"""Numbers written as text: read exactly or refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.parse.amounts import NotAnAmount, money, number_text, read_amount

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=12)


@given(NUMBERS)
def test_a_number_survives_its_own_text(number: Decimal) -> None:
    assert read_amount(number_text(number)).as_tuple() == number.as_tuple()


@given(st.integers(min_value=-(10**40), max_value=10**40))
def test_a_whole_number_survives_its_own_text(number: int) -> None:
    assert read_amount(number_text(number)) == number


@given(st.text(max_size=80))
def test_any_other_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    try:
        number = read_amount(text)
    except NotAnAmount:
        return
    assert text.isascii()
    assert number == Decimal(text)
    assert number.is_finite()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.15", "0.15"),
        ("0.00000450", "0.00000450"),
        ("1e-7", "1E-7"),
        ("4.5E-05", "0.000045"),
        ("-1", "-1"),
        ("+2", "2"),
        (".5", "0.5"),
        ("3.", "3"),
        ("-0", "-0"),
    ],
)
def test_plain_numbers_are_read(text: str, number: str) -> None:
    assert read_amount(text) == Decimal(number)


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1_000",
        "1,000",
        "1.234,50",
        "1 234.50",
        "1'234.50",
        "NaN",
        "Infinity",
        "-inf",
        "0x10",
        "1e999999",
        "1e400",
        "１２",
        "٣",
        "½",
        "--1",
        "1e",
        ".",
        "1.2.3",
        "Free",
        "0." + "1" * 63,
        "$0.15",
        "1\n",
        "1\x00",
    ],
)
def test_what_is_not_a_plain_number_is_refused(text: str) -> None:
    with pytest.raises(NotAnAmount):
        read_amount(text)


@pytest.mark.parametrize(("text", "number"), [("$0.15", "0.15"), ("$ 3.30", "3.30"), ("0.4", "0.4"), (" $1 ", "1")])
def test_money_loses_its_declared_sign_only(text: str, number: str) -> None:
    assert money(text) == number


@pytest.mark.parametrize(
    "text", ["$$0.35", "€0.15", "$0.15/M tokens", "$1,000", "0.15$", "$", "", "$0.6$0.3", "from $0.10", "US$1", "＄1"]
)
def test_money_with_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotAnAmount):
        money(text)


def test_another_sign_is_read_only_where_it_is_declared() -> None:
    assert money("€0.15", "€") == "0.15"
    with pytest.raises(NotAnAmount):
        money("$0.15", "€")
