"""A card made ready gives what the card gives, to the last digit, whatever is asked of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.costing import ANSWER_PARTS, PROMPT_PARTS, Cost, Unpriced, Workload, cost
from store.ready import ReadyCard
from store.records import Override, RateCard, State
from tests.tape import T0, usd
from tests.test_costing import workloads

METERS = ("request", "input", "output", *PROMPT_PARTS, *ANSWER_PARTS, "web_search", "input_image")
AMOUNT = st.integers(0, 10**12)


@st.composite
def overrides(draw: st.DrawFn) -> Override:
    window = draw(
        st.sampled_from([{}, {"start_minute": 60, "end_minute": 240}, {"start_minute": 1320, "end_minute": 30}])
    )
    above = draw(st.sampled_from([None, 1000, 200_000])) if window else draw(st.sampled_from([1000, 200_000]))
    amounts = tuple(sorted((meter, draw(AMOUNT)) for meter in draw(st.sets(st.sampled_from(METERS), max_size=3))))
    unknown = tuple(sorted(draw(st.sets(st.sampled_from(METERS), max_size=1)) - dict(amounts).keys()))
    days = draw(st.sampled_from([(), (1, 2, 3, 4, 5)]))
    return Override(
        above_tokens=above,
        days=days if window else (),
        tz=draw(st.sampled_from(["UTC", "Asia/Shanghai"])),
        amounts=amounts,
        unknown=unknown,
        **window,
    )


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    amounts = tuple(sorted((meter, draw(AMOUNT)) for meter in draw(st.sets(st.sampled_from(METERS)))))
    left = sorted(set(METERS) - dict(amounts).keys())
    told: list[State] = [draw(st.sampled_from(["varies", "unknown"])) for _ in left[:2]]
    states = tuple(zip(left, told, strict=False))
    kept = states if draw(st.booleans()) else ()
    return RateCard(
        currency="USD", amounts=amounts, states=kept, overrides=tuple(draw(st.lists(overrides(), max_size=3)))
    )


def asked(ready: ReadyCard, load: Workload, at: datetime) -> int | Unpriced:
    return ready.femto(
        load.input_tokens, load.output_tokens, load.cached_tokens, load.more, load.requests, at, load.prompt_tokens
    )


@given(cards(), st.lists(st.tuples(workloads(), st.integers(0, 20_000)), min_size=1, max_size=4))
def test_a_tariff_gives_what_its_card_gives(card: RateCard, drawn: list[tuple[Workload, int]]) -> None:
    ready = ReadyCard(card)
    for load, minute in drawn * 2:  # what was asked once is remembered
        at = T0 + timedelta(minutes=minute)
        found = cost(card, load, at)
        assert asked(ready, load, at) == (found.femto if isinstance(found, Cost) else found)


@given(cards(), cards(), workloads())
def test_what_is_never_above_another_never_is(one: RateCard, other: RateCard, load: Workload) -> None:
    ours, theirs = ReadyCard(one), ReadyCard(other)
    if ours.never_above(theirs):
        there = cost(other, load, T0)
        here = cost(one, load, T0)
        assert isinstance(there, Unpriced) or (isinstance(here, Cost) and here.femto <= there.femto)


def test_a_cheaper_card_is_never_above_a_dearer_one_and_a_card_with_conditions_says_nothing() -> None:
    cheap, dear = ReadyCard(usd(input=1, output=2)), ReadyCard(usd(input=1, output=3))
    assert (cheap.never_above(dear), dear.never_above(cheap), cheap.never_above(cheap)) == (True, False, True)
    by_length = RateCard(
        currency="USD",
        amounts=(("input", 1), ("output", 2)),
        overrides=(Override(above_tokens=9, amounts=(("input", 5),)),),
    )
    assert not ReadyCard(by_length).never_above(dear)
    yuan = RateCard(currency="CNY", amounts=(("input", 9),))
    assert not ReadyCard(usd(input=1, output=2)).never_above(ReadyCard(yuan))


@pytest.mark.parametrize(
    "counts", [(-1, 1, 0, ()), (1, 1, 2, ()), (5, 1, 0, (("cache_write", 6),)), (1, 1, 0, (("reasoning", 2),))]
)
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int, tuple[tuple[str, int], ...]]) -> None:
    with pytest.raises(ValueError, match=r"more|negative"):
        ReadyCard(usd(input=1, output=1)).femto(*counts, 1, T0)


NIGHT = datetime(2026, 8, 3, 0, 30, tzinfo=UTC)
BY_HOUR = RateCard(
    currency="USD",
    amounts=(("input", 1),),
    overrides=(Override(start_minute=60, end_minute=240, days=(1, 2, 3, 4, 5), amounts=(("input", 2),)),),
)
BY_LENGTH = RateCard(
    currency="USD", amounts=(("input", 1),), overrides=(Override(above_tokens=1000, amounts=(("input", 2),)),)
)


@pytest.mark.parametrize(
    ("hours", "steady"), [(0.25, True), (0.5, True), (0.75, False), (24, False)], ids=["before", "until", "into", "day"]
)
def test_hours_that_have_different_prices_have_no_one_price(hours: float, *, steady: bool) -> None:
    doubt = ReadyCard(BY_HOUR).unsure(10, 1, NIGHT, NIGHT + timedelta(hours=hours))
    assert doubt == ("" if steady else "sums up hours that have different prices")


def test_a_weekend_without_the_window_is_one_price() -> None:
    saturday = datetime(2026, 8, 1, tzinfo=UTC)
    assert ReadyCard(BY_HOUR).unsure(10, 1, saturday, saturday + timedelta(days=2)) == ""
    assert ReadyCard(BY_HOUR).unsure(10, 1, saturday, saturday + timedelta(days=2, hours=2)) != ""


@pytest.mark.parametrize(("prompt", "requests", "steady"), [(1000, 5, True), (1001, 5, False), (5000, 1, True)])
def test_prompts_of_which_one_may_be_long_have_no_one_price(prompt: int, requests: int, *, steady: bool) -> None:
    doubt = ReadyCard(BY_LENGTH).unsure(prompt, requests, T0, None)
    assert (doubt == "") is steady
    assert steady or doubt == "sums up 5 prompts, and one above 1000 tokens has another price"
