"""Units, grids, words that are no numbers, time windows and dated prices."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contract import Price, Prices, PriceSpec, Quote, QuotedOverride, SourceSpec, StatedQuote
from collector.normalise import observe
from store.records import Document, Observation, RateCard
from store.units import NANO, decimal_text, unit

AT = datetime(2026, 8, 20, 2, 30, tzinfo=UTC)
DOCUMENT = Document(source="acme", url="https://acme.example/models", fetched_at=AT, status=200, body=b"{}")


def source(**fields: object) -> SourceSpec:
    values: dict[str, object] = {
        "id": "acme",
        "title": "Acme",
        "parser": "json_list",
        "url": "https://acme.example/models",
        "trust": "first-party",
        "every_s": 3600,
        "varies": ("-1",),
        "free": ("Free",),
        "absent": ("-", "N/A"),
    }
    return SourceSpec(**(values | fields))  # type: ignore[arg-type]


def seen(
    prices: Prices | None = None,
    overrides: tuple[QuotedOverride, ...] = (),
    stated: tuple[StatedQuote, ...] = (),
    spec: SourceSpec | None = None,
    at: datetime = AT,
) -> Observation:
    quote = Quote(provider="Acme", model="acme/one", prices=prices or {}, overrides=overrides, stated=stated)
    return observe(quote, DOCUMENT, spec or source(), at)


def card(*args: object, **kwargs: object) -> RateCard:
    found = seen(*args, **kwargs).card  # type: ignore[arg-type]
    assert found is not None
    return found


def rule(*args: object, **kwargs: object) -> str:
    found = seen(*args, **kwargs)  # type: ignore[arg-type]
    assert found.card is None
    (finding,) = found.findings
    assert finding.held
    return finding.rule


def per_token(text: str) -> Price:
    return Price(text=text, unit="USD/token")


@pytest.mark.parametrize(
    ("text", "name", "nano"),
    [
        ("0.00000015", "USD/token", 150_000_000),
        ("1.5e-07", "USD/token", 150_000_000),
        ("0.15", "USD/1M_token", 150_000_000),
        ("0.00015", "USD/1K_token", 150_000_000),
        ("0.000015", "USDcent/token", 150_000_000),
        ("1500", "1e-4_USD/1M_token", 150_000_000),
        ("150000", "1e-6_USD/1M_token", 150_000_000),
        ("15", "USDcent/1M_token", 150_000_000),
    ],
)
def test_every_unit_ends_in_nano_units_per_million_tokens(text: str, name: str, nano: int) -> None:
    assert card({"input": Price(text=text, unit=name)}).amount("input") == nano


@pytest.mark.fault(75)
def test_price_per_thousand_searches_is_kept_per_search() -> None:
    assert card({"web_search": Price(text="10", unit="USD/1K_search")}).amount("web_search") == NANO // 100


@pytest.mark.fault(96)
@pytest.mark.parametrize(
    "text", ["0.000000150000000000000012", "0.00000014999999999999999", "0.000000150000000000000000"]
)
def test_float_tails_are_rounded_before_anything_is_compared(text: str) -> None:
    assert card({"input": per_token(text)}) == card({"input": per_token("0.00000015")})


@pytest.mark.fault(96)
def test_source_with_binary_noise_is_rounded_to_its_own_grid() -> None:
    noisy = source(grid_nano=1000)
    for text in ("0.07999999929999999", "0.0799999993", "0.08000000000000002"):
        assert card({"input": Price(text=text, unit="USD/1M_token")}, spec=noisy).amount("input") == 80_000_000


@pytest.mark.fault(97)
@pytest.mark.parametrize("text", ["0.00000075e-6", "0.0000000000000004", "1.2345678912e-9"])
def test_number_finer_than_the_grid_by_more_than_a_millionth_is_refused(text: str) -> None:
    assert rule({"input": Price(text=text, unit="USD/1M_token")}) == "precision"


@pytest.mark.fault(78)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "1_000", "١٢", "0,15", "$0.15", "1e999", "0x10", "1 000", "--1"])
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    assert rule({"input": per_token(text)}) == "number"


@pytest.mark.fault(86)
def test_negative_other_than_a_declared_word_is_refused() -> None:
    assert rule({"input": per_token("-2")}) == "negative"
    assert rule({"input": per_token("-0.5")}) == "negative"


@pytest.mark.fault(86)
def test_negative_zero_is_zero() -> None:
    assert card({"input": per_token("-0")}).amount("input") == 0


@pytest.mark.fault(82)
def test_free_varies_unknown_and_not_offered_are_four_facts() -> None:
    found = card({"input": per_token("Free"), "output": per_token("-1"), "cache_read": per_token("")})
    assert [found.state(meter) for meter in ("input", "output", "cache_read", "cache_write")] == [
        "free",
        "varies",
        "unknown",
        "not_offered",
    ]


def test_word_for_no_such_meter_is_not_offered() -> None:
    assert card({"input": per_token("0.1"), "cache_read": per_token("N/A")}).state("cache_read") == "not_offered"


@pytest.mark.fault(83, 84)
@pytest.mark.parametrize(("zero", "state"), [("price", "free"), ("unknown", "unknown"), ("absent", "not_offered")])
def test_zero_means_what_its_source_says_it_means(zero: str, state: str) -> None:
    spec = source(prices=(PriceSpec(meter="input", at="x", unit="USD/token", zero=zero),))  # type: ignore[arg-type]
    assert card({"input": per_token("0.0")}, spec=spec).state("input") == state


def test_zero_of_an_offer_declared_free_is_a_price_whatever_zeros_mean_elsewhere() -> None:
    spec = source(prices=(PriceSpec(meter="input", at="x", unit="USD/token", zero="unknown"),))
    quote = Quote(provider="Acme", model="acme/one:free", prices={"input": per_token("0")}, declared_free=True)
    found = observe(quote, DOCUMENT, spec, AT).card
    assert found is not None
    assert found.state("input") == "free"


@pytest.mark.fault(75)
def test_unit_of_another_thing_is_refused() -> None:
    assert rule({"input": Price(text="1", unit="USD/image")}) == "unit"


def test_two_currencies_in_one_offer_are_refused() -> None:
    assert rule({"input": per_token("1e-6"), "output": Price(text="1", unit="CNY/1M_token")}) == "currency"


def window(start: int, end: int, text: str) -> QuotedOverride:
    return QuotedOverride(start_minute=start, end_minute=end, prices={"input": per_token(text)})


DAY = (window(600, 60, "2e-7"), window(60, 240, "4e-7"), window(240, 360, "2e-7"), window(360, 600, "4e-7"))


@pytest.mark.fault(94)
def test_windows_that_cover_the_day_make_the_hour_of_the_poll_irrelevant() -> None:
    off_peak = card({"input": per_token("2e-7"), "web_search": Price(text="0.01", unit="USD/search")}, DAY)
    peak = card({"input": per_token("4e-7"), "web_search": Price(text="0.01", unit="USD/search")}, DAY)
    assert off_peak == peak
    assert off_peak.amount("input") == 200_000_000
    assert [(one.start_minute, one.end_minute) for one in off_peak.overrides] == [(60, 240), (360, 600)]


def test_top_level_price_read_inside_a_window_that_repeats_it_is_refused() -> None:
    assert rule({"input": per_token("4e-7")}, (window(60, 240, "4e-7"),)) == "price_of_the_hour"


def test_window_that_differs_from_the_top_level_price_is_kept() -> None:
    assert card({"input": per_token("2e-7")}, (window(60, 240, "4e-7"),)).amount("input") == 200_000_000


@pytest.mark.fault(66)
def test_prompt_size_override_is_kept_with_its_own_amounts() -> None:
    large = QuotedOverride(above_tokens=200_000, prices={"input": per_token("2.5e-6")})
    (found,) = card({"input": per_token("1.25e-6")}, (large,)).overrides
    assert (found.above_tokens, found.amounts) == (200_000, (("input", 2_500_000_000),))


def test_a_price_that_is_not_known_under_its_condition_is_unknown_there() -> None:
    beyond = {"input": Price(text="", unit="USD/token"), "output": per_token("2e-6")}
    (found,) = card({"input": per_token("1e-6")}, (QuotedOverride(above_tokens=1000, prices=beyond),)).overrides
    assert (found.amounts, found.unknown) == ((("output", 2_000_000_000),), ("input",))


def test_a_price_that_varies_under_a_condition_or_is_unknown_at_an_hour_refuses_the_quote() -> None:
    varying = QuotedOverride(above_tokens=1000, prices={"input": per_token("-1")})
    assert rule({"input": per_token("1e-6")}, (varying,)) == "condition"
    hour = QuotedOverride(start_minute=0, end_minute=60, prices={"input": Price(text="", unit="USD/token")})
    assert rule({"input": per_token("1e-6")}, (hour,)) == "condition"


def dated(since: datetime | None, until: datetime | None, text: str) -> StatedQuote:
    return StatedQuote(since=since, until=until, prices={"input": per_token(text)})


NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.fault(95)
def test_dated_entry_that_covers_the_poll_is_in_force_and_all_are_kept_as_stated() -> None:
    entries = (dated(None, NEW_YEAR, "1e-6"), dated(NEW_YEAR, None, "2e-6"))
    now = seen(stated=entries)
    assert now.card is not None
    assert now.card.amount("input") == NANO
    assert [one.since for one in now.stated] == [None, NEW_YEAR]
    then = seen(stated=entries, at=NEW_YEAR).card
    assert then is not None
    assert then.amount("input") == 2 * NANO


def test_entry_that_has_run_out_leaves_no_price_in_force() -> None:
    gone = seen(stated=(dated(None, datetime(2026, 1, 1, tzinfo=UTC), "1e-6"),))
    assert gone.card is None
    assert not gone.findings
    assert len(gone.stated) == 1


def test_entry_without_any_date_states_nothing_beside_the_observation() -> None:
    assert seen(stated=(dated(None, None, "1e-6"),)).stated == ()


@given(st.integers(0, 10**15))
def test_amounts_survive_text_and_back_exactly(nano: int) -> None:
    text = decimal_text(nano)
    assert Decimal(text) * NANO == nano
    assert card({"input": Price(text=text, unit="USD/1M_token")}).amount("input") == nano


@given(
    st.decimals(min_value=0, max_value=9_000, places=9), st.sampled_from(["USD/token", "USD/1K_token", "EUR/1M_token"])
)
def test_conversion_is_exact_in_every_unit(number: Decimal, name: str) -> None:
    nano = number * unit(name).per_amount * NANO
    assert card({"input": Price(text=f"{number:f}", unit=name)}).amount("input") == nano


@given(st.text(max_size=80))
def test_any_text_for_a_price_is_a_card_or_a_finding(text: str) -> None:
    found = seen({"input": per_token(text)})
    assert (found.card is None) == any(finding.held for finding in found.findings)
