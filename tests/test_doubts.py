"""Reasons to doubt a price: what each rule holds, what it lets pass, and what must hold of any card."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import checks, doubts
from collector.config import load
from collector.settings import CheckSettings
from collector.sighting import Received, see
from store.records import Document, Facts, Observation, Override, RateCard, Sighting
from store.timeline import Opened
from store.units import NANO
from tests import timelines
from tests.worlds import DOCUMENTS, START, build, observation

SETTINGS = CheckSettings()
RULES = checks.rules(SETTINGS)
USD = NANO
AMOUNTS = st.integers(doubts.SMALLEST, 600 * USD)
"""From the cheapest to the dearest that text was ever sold for."""


def card(**usd: float | str) -> RateCard:
    """A card of amounts in USD per 1M tokens."""
    amounts = {meter: int(Fraction(str(amount)) * NANO) for meter, amount in usd.items()}
    return RateCard(currency="USD", amounts=tuple(sorted(amounts.items())))


def found(now: RateCard, last: RateCard | None = None) -> set[str]:
    """The rules that doubt a card."""
    moved = doubts.of_move(now, last, SETTINGS) if last is not None else ()
    return {one.finding.rule for one in (*doubts.of_card(now, SETTINGS), *moved)}


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    """Cards of text prices."""
    return RateCard(currency="USD", amounts=(("input", draw(AMOUNTS)), ("output", draw(AMOUNTS))))


def times(one: RateCard, by: int, over: int = 1) -> RateCard:
    return replace(one, amounts=tuple((meter, amount * by // over) for meter, amount in one.amounts))


LIST = card(input="0.3", output="1.2", cache_read="0.03", cache_write="0.375")


@pytest.mark.fault(69, 70, 72, 74)
@pytest.mark.parametrize("by", [100, 1_000, 8_000, 10_000, 100_000, 10**6])
@given(one=cards())
def test_every_unit_slip_upwards_is_held(by: int, one: RateCard) -> None:
    assert found(times(one, by), one) & {"bound", "unit"}


@pytest.mark.fault(71)
@pytest.mark.parametrize("over", [1_000, 10**5, 10**6])
@given(one=cards())
def test_every_unit_slip_downwards_is_held(over: int, one: RateCard) -> None:
    slipped = times(one, 1, over)
    assert found(slipped, one) & {"too_small", "unit", "ratio", "to_zero"}


@pytest.mark.fault(69, 71)
def test_a_newcomer_out_of_all_bounds_is_held_in_either_direction() -> None:
    assert found(card(input="300", output="1200")) == {"bound"}
    assert found(card(input="0.00000075", output="0.0000045")) == {"too_small"}
    assert not found(card(input="150", output="600"))


@pytest.mark.fault(72)
def test_what_comes_new_together_with_offers_out_of_all_bounds_is_held_with_them() -> None:
    prices = {"a": 2690, "b": 4000, "c": 5400, "d": 240}
    shown = [observation(name, price=card(input=str(usd), output=str(usd))) for name, usd in prices.items()]
    (step,) = build(
        [Sighting(at=START, complete=True, documents=DOCUMENTS, observations=tuple(shown))],
        RULES.judge,
        RULES.patience,
    )
    assert not any(isinstance(event, Opened) for event in step.events)
    assert {finding.rule for finding in step.state.findings} == {"bound", "company"}


@pytest.mark.fault(76)
@given(one=cards(), rate=st.integers(650, 740))
def test_dollars_that_became_yuan_or_yuan_dollars_are_held(one: RateCard, rate: int) -> None:
    assert "exchange" in found(times(one, rate, 100), one) | found(one, times(one, rate, 100))


@pytest.mark.fault(76)
def test_another_currency_is_held_and_its_numbers_are_held_against_nothing() -> None:
    assert found(replace(LIST, currency="CNY"), LIST) == {"currency"}


@pytest.mark.fault(88)
@given(cards())
def test_prices_that_change_places_are_held(one: RateCard) -> None:
    prompt, answer = one.by_meter["input"], one.by_meter["output"]
    swapped = replace(one, amounts=(("input", answer), ("output", prompt)))
    assert ("swap" in found(swapped, one)) == (prompt != answer)


@pytest.mark.fault(69, 70, 87)
@pytest.mark.parametrize(
    ("model", "usd", "held"),
    [
        ("ibm/granite-3-8b-instruct", "200", True),
        ("ibm/granite-3-8b-instruct", "25", False),
        ("mistralai/mixtral-8x22b-instruct", "176", False),
        ("mistralai/mixtral-8x22b-instruct", "177", True),
        ("Qwen/Qwen2.5-1.5B", "26", True),
        ("qwen/qwen3-235b-a22b-2507", "200", False),
        ("google/gemma-3n-e4b-it", "200", False),
        ("openai/o1-pro", "600", False),
    ],
)
def test_a_price_that_no_model_of_its_size_has_is_held_from_its_birth(model: str, usd: str, held: bool) -> None:
    dear = card(input="0.1", output=usd)
    assert [one.meter for one in doubts.too_dear_for_its_size(model, dear)] == ["output"] * held
    assert not [*doubts.too_dear_for_its_size(model, replace(dear, currency="CNY"))]
    shown = Sighting(at=START, complete=True, documents=DOCUMENTS, observations=(observation(model, price=dear),))
    (step,) = build([shown], RULES.judge, RULES.patience)
    assert any(isinstance(event, Opened) for event in step.events) != held


@pytest.mark.fault(90)
def test_a_cache_that_costs_more_to_read_than_the_prompt_is_held_from_its_birth() -> None:
    assert found(card(input="3", output="15", cache_read="3.75", cache_write="0.3")) == {"cache_order"}
    assert found(card(input="3", output="15", cache_read="0.3", cache_write="0.3")) == {"cache_order"}
    assert not found(LIST)


@pytest.mark.fault(91)
def test_a_batch_that_costs_more_than_no_batch_is_held_and_one_that_costs_less_is_not() -> None:
    usual = observation("m", price=card(input="1", output="4"))
    for price, dearer in (("0.5", False), ("2", True)):
        batch = observation("m", tag="batch", price=card(input=price, output="2"))
        assert [bool(one.findings) for one in doubts.among([usual, batch])] == [False, dearer]
    assert not doubts.among([observation("m", tag="batch", price=card(input="9", output="9"))])[0].findings


@pytest.mark.fault(83)
def test_a_price_that_falls_to_nothing_is_held() -> None:
    assert found(card(input="0", output="0"), card(input="1", output="2")) == {"to_zero"}
    assert not found(card(input="1", output="2"), card(input="0", output="0"))


@pytest.mark.fault(85)
def test_a_price_that_is_suddenly_said_to_vary_is_held() -> None:
    varies = RateCard(currency="USD", amounts=(), states=(("input", "varies"), ("output", "varies")))
    assert found(varies, card(input="1", output="2")) == {"to_varies"}
    assert not found(varies, varies)


@pytest.mark.fault(87)
@pytest.mark.parametrize("placeholder", ["99999", "999", "0.01"])
def test_a_placeholder_in_the_place_of_a_price_is_held(placeholder: str) -> None:
    assert found(card(input=placeholder, output=placeholder), card(input="1", output="4")) & {"bound", "ratio"}


@pytest.mark.fault(89)
def test_output_that_costs_less_than_input_is_no_reason_to_doubt() -> None:
    assert not found(card(input="2", output="0.5"))


@pytest.mark.fault(66)
def test_prices_of_long_prompts_that_appear_beside_what_was_are_no_reason_to_doubt() -> None:
    tiers = (Override(above_tokens=200_000, amounts=(("input", 2 * USD), ("output", 9 * USD))),)
    assert not found(replace(LIST, overrides=tiers), LIST)


@pytest.mark.parametrize(("old", "new"), [(131_072, 128), (131_072, 1_280_000), (16_384, 131_072)])
@pytest.mark.fault(98)
def test_a_context_that_moves_eight_times_is_held(old: int, new: int) -> None:
    assert [one.rule for one in doubts.of_context(Facts(context_length=new), Facts(context_length=old))] == ["context"]


def test_a_context_that_doubles_or_is_stated_for_the_first_time_is_believed() -> None:
    assert not [*doubts.of_context(Facts(context_length=2000), Facts(context_length=1000))]
    assert not [*doubts.of_context(Facts(context_length=2000), Facts())]


@given(cards())
def test_what_does_not_move_is_never_doubted(one: RateCard) -> None:
    assert not found(one, one)


@given(cards(), st.integers(50, 500).filter(lambda percent: not 610 <= percent <= 770))
def test_a_decision_to_change_all_prices_by_half_or_fivefold_is_believed(one: RateCard, percent: int) -> None:
    moved = times(one, percent, 100)
    within = all(doubts.SMALLEST <= amount <= 1000 * USD for _, amount in moved.amounts)
    assert not found(moved, one) - {"swap"} or not within


def sellers(model: str, prices: dict[str, tuple[float | str, float | str]], part: str = "a/x") -> list[Observation]:
    """Offers of a model by provider (and a fact that tells two of one apart)."""
    found = []
    for number, (name, (cost, answer)) in enumerate(prices.items()):
        one = observation(
            model, price=card(input=cost, output=answer), part=part, facts=Facts(context_length=1 + number)
        )
        key = one.key._replace(provider=name.partition(" ")[0])
        found.append(replace(one, key=key))
    return found


def doubted(offers: list[Observation]) -> list[str]:
    """The offers that are said to be copied."""
    names = [one.key.provider for one in doubts.copied(offers) if one.findings]
    assert all(found.held for one in doubts.copied(offers) for found in one.findings)
    return names


BLOCK: dict[str, tuple[float | str, float | str]] = {f"seller{number}": ("0.039", "0.19") for number in range(16)}


def test_a_price_that_many_have_is_doubted_where_its_provider_states_another_for_the_same_offer() -> None:
    pair = {"Cerebras": ("0.039", "0.19"), "Cerebras again": ("0.35", "0.75")}
    (copy,) = [one for one in doubts.copied(sellers("gpt-oss-120b", BLOCK | pair)) if one.findings]
    assert (copy.key.provider, copy.card) == ("Cerebras", card(input="0.039", output="0.19"))
    assert [one.message for one in copy.findings] == [
        "what 4 others charge or more; the provider itself says 0.35 and 0.75 for the same offer"
    ]


def test_a_price_that_many_share_is_no_doubt_without_a_contradiction_nor_is_one_between_offers() -> None:
    assert not doubted(sellers("gpt-oss-120b", BLOCK | {"Cerebras": ("0.35", "0.75")}))
    twice = sellers("gpt-oss-120b", BLOCK | {"Cerebras": ("0.039", "0.19"), "Cerebras again": ("0.35", "0.75")})
    other = replace(twice[-1], key=twice[-1].key._replace(tag="fast"))
    assert not doubted([*twice[:-1], other])
    quantized = replace(twice[-1], facts=replace(twice[-1].facts, quantization="fp4"))
    assert not doubted([*twice[:-1], quantized])


def test_two_prices_of_one_offer_are_no_doubt_where_few_others_have_either() -> None:
    few = dict([*BLOCK.items()][: doubts.SHARED - 1])
    pair = {"Cerebras": ("0.039", "0.19"), "Cerebras again": ("0.35", "0.75")}
    assert not doubted(sellers("gpt-oss-120b", few | pair))


@pytest.mark.recorded
def test_no_seller_in_the_recorded_answers_is_taken_for_a_copy(recorded: Path) -> None:
    spec = load(None, {}).sources["openrouter"]
    at, listed, answers = next(one for one in timelines.openrouter(recorded) if f"{one[0]:%F}" == "2026-08-08")
    bodies = {"": listed} | {part: body for part, body in answers.items() if body is not None}
    documents = tuple(
        Document(source=spec.id, url=f"{spec.url}/{part}", fetched_at=at, status=200, body=body, part=part)
        for part, body in bodies.items()
    )
    sighting, _ = see(Received(documents=documents, failures={}), spec, at)
    assert len(sighting.observations) > 1000
    assert not [one for one in sighting.observations for found in one.findings if found.rule == "copied"]
