"""What requests cost: every count at its own price, the parts of a prompt and an answer counted once."""

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.costing import ANSWER_PARTS, PROMPT_PARTS, Cost, Unpriced, Workload, added, cost, femto_text
from store.records import Override, RateCard
from store.units import METERS
from tests.tape import T0, usd

NANO = 1_000_000_000
SINGLE = ("web_search", "input_image", "output_image")
_COUNT = st.integers(0, 10**7)
CARD: RateCard = usd(
    **dict.fromkeys(("request", "input", "output", "input_audio", "input_video_token", *ANSWER_PARTS, *SINGLE), 7)
)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    parts = {meter: draw(_COUNT) for meter in draw(st.sets(st.sampled_from(PROMPT_PARTS + ANSWER_PARTS)))}
    cached = parts.pop("cache_read", 0)
    single = {meter: draw(st.integers(0, 50)) for meter in draw(st.sets(st.sampled_from(SINGLE)))}
    return Workload(
        input_tokens=cached + sum(parts.get(one, 0) for one in PROMPT_PARTS) + draw(st.integers(1, 10**7)),
        output_tokens=sum(parts.get(one, 0) for one in ANSWER_PARTS) + draw(_COUNT),
        cached_tokens=cached,
        more=tuple(sorted((parts | single).items())),
        requests=draw(st.integers(1, 5)),
    )


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    priced = draw(st.sets(st.sampled_from(("request", "input", "output", *PROMPT_PARTS, *ANSWER_PARTS, *SINGLE))))
    return usd(**{meter: draw(st.integers(0, 10**12)) for meter in priced})


def bill(card: RateCard, load: Workload) -> Fraction | None:
    """The same in US dollars, from the definition: nothing is shared with what is tested but the card."""
    prices: Mapping[str, int] = card.by_meter
    wanted = {"cache_read": load.cached_tokens, **dict(load.more)}
    wanted["input"] = load.input_tokens - sum(wanted.get(part, 0) for part in PROMPT_PARTS)
    wanted["output"] = load.output_tokens - sum(wanted.get(part, 0) for part in ANSWER_PARTS)
    total = Fraction(prices.get("request", 0), NANO) * load.requests
    for meter, count in wanted.items():
        if not count:
            continue
        price = prices.get(meter)
        if price is None and meter in {"cache_read", "cache_write", "input_image_token"}:
            price = prices.get("input")
        if price is None and meter == "cache_write_1h" and "cache_write" not in prices:
            price = prices.get("input")
        if price is None and meter == "reasoning":
            price = prices.get("output")
        if price is None:
            return None
        total += Fraction(price, NANO) * Fraction(count, 1_000_000 if METERS[meter].thing == "token" else 1)
    return total


@given(cards(), workloads())
def test_every_count_is_charged_once_at_its_own_price_or_as_what_it_is_part_of(card: RateCard, load: Workload) -> None:
    found, wanted = cost(card, load, T0), bill(card, load)
    if wanted is None:
        assert isinstance(found, Unpriced)
        return
    assert isinstance(found, Cost)
    assert Fraction(found.femto, 10**15) == wanted == Fraction(found.text)
    assert found.femto == sum(charge.femto for charge in found.charges)
    assert len({charge.meter for charge in found.charges}) == len(found.charges)


@given(st.lists(st.builds(lambda load: cost(CARD, load, T0), workloads()), min_size=1))
def test_costs_added_are_the_sum_of_each(costs: list[Cost]) -> None:
    total = added(costs)
    assert total.femto == sum(one.femto for one in costs) == sum(charge.femto for charge in total.charges)


def test_several_requests_are_charged_in_the_tier_of_one_of_them() -> None:
    card = RateCard(
        currency="USD",
        amounts=(("input", 1), ("output", 1)),
        overrides=(Override(above_tokens=1000, amounts=(("input", 2),)),),
    )
    alike = Workload(input_tokens=5000, output_tokens=0, requests=10, prompt_tokens=500)
    long = Workload(input_tokens=15000, output_tokens=0, requests=10, prompt_tokens=1500)
    found, dear = cost(card, alike, T0), cost(card, long, T0)
    assert isinstance(found, Cost)
    assert isinstance(dear, Cost)
    assert (found.femto, dear.femto) == (5000, 30000)


def test_a_cache_kept_for_an_hour_is_not_had_for_the_price_of_a_shorter_one() -> None:
    load = Workload(input_tokens=10, output_tokens=0, more=(("cache_write_1h", 10),))
    assert cost(usd(input=1, cache_write=2), load, T0) == Unpriced(reason="cache write 1h not offered")


def test_costs_of_two_currencies_are_not_added() -> None:
    load = Workload(input_tokens=1, output_tokens=0)
    costs = [cost(RateCard(currency=code, amounts=(("input", 1),)), load, T0) for code in ("USD", "CNY")]
    with pytest.raises(ValueError, match="one currency"):
        added(one for one in costs if isinstance(one, Cost))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((("input", 1),), "no meter that a workload counts"),
        ((("nonsense", 1),), "no meter that a workload counts"),
        ((("cache_write", 6), ("input_audio", 5)), "parts of the prompt"),
        ((("reasoning", 11),), "parts of the answer"),
        ((("web_search", -1),), "negative"),
        ((("web_search", 1), ("web_search", 1)), "twice"),
    ],
)
def test_counts_that_cannot_be_are_refused(more: tuple[tuple[str, int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Workload(input_tokens=10, output_tokens=10, more=more)


def test_an_amount_below_zero_is_written_with_its_sign() -> None:
    assert femto_text(-1_500_000_000_000_000) == "-1.5"
