"""Prices far from what others charge for the same model: held when they are new, until somebody says otherwise."""

import json
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import doubts, mend
from collector.mend import Arrival
from store.instants import utc_now
from store.records import RateCard
from store.sellers import Seller
from store.units import NANO
from tests.test_held import T0, World, at, configuration

FAR = {"in": "10", "out": "20"}
"""Five times what `sold` has others charge."""


def card(*usd: str, currency: str = "USD") -> RateCard:
    amounts = zip(("input", "output"), usd, strict=True)
    return RateCard(currency=currency, amounts=tuple((meter, int(Fraction(one) * NANO)) for meter, one in amounts))


def seller(provider: str, input_usd: str, output_usd: str, *, trusted_more: bool = True) -> Seller:
    first, second = (amount for _, amount in card(input_usd, output_usd).amounts)
    return Seller(provider, first, second, trusted_more)


THREE = [seller("a", "0.1", "0.5"), seller("b", "0.2", "0.4"), seller("c", "0.15", "0.5")]


@pytest.mark.parametrize(
    ("price", "sellers", "told"),
    [
        (card("5", "25"), THREE, "0.2 / 0.5 at the dearest of 3 other providers, here 5 / 25 USD per 1M tokens"),
        (card("0.8", "2"), THREE, "at the dearest of 3 other providers"),
        (card("0.79", "2"), THREE, None),
        (card("5", "1.9"), THREE, None),
        (card("0.005", "0.02"), THREE, "0.1 / 0.4 at the cheapest of 3 other providers"),
        (card("0.005", "0.021"), THREE, None),
        (card("5", "25"), THREE[:2] * 2, None),
        (card("5", "25", currency="CNY"), THREE, None),
        (card("5", "25"), [*THREE, seller("d", "4", "20")], None),
        (
            card("1", "1.5"),
            [seller("own", "0.17", "0.25")],
            "0.17 / 0.25 at most by sources trusted more",
        ),
        (card("1", "1.5"), [seller("own", "0.17", "0.25", trusted_more=False)], None),
        (card("0.001", "0.0015"), [seller("own", "1", "1.5")], None),
        (card("1", "1.5"), [], None),
    ],
)
def test_a_price_is_held_against_what_others_charge(price: RateCard, sellers: list[Seller], told: str | None) -> None:
    found = doubts.far_from_others(price, "own", sellers)
    assert found is None if told is None else found and told in found


PRICES = st.integers(1, 1000 * NANO)
SOLD = st.lists(st.builds(Seller, st.sampled_from("abcde"), PRICES, PRICES, st.booleans()), max_size=8)


@given(PRICES, PRICES, SOLD, st.sampled_from(["own", "other"]))
def test_what_is_charged_elsewhere_as_well_is_believed(
    first: int, second: int, sellers: list[Seller], provider: str
) -> None:
    price = RateCard(currency="USD", amounts=(("input", first), ("output", second)))
    same = Seller(provider, first, second, trusted_more=True)
    others = sellers[:2] if provider == "own" else sellers
    assert doubts.far_from_others(price, "own", [*others, same]) is None


@given(PRICES, PRICES, SOLD)
def test_a_price_is_far_only_if_it_is_so_in_input_and_output_alike(
    first: int, second: int, sellers: list[Seller]
) -> None:
    price = RateCard(currency="USD", amounts=(("input", first), ("output", second)))
    if doubts.far_from_others(price, "a", sellers) is not None:
        pairs = [((first, one.input), (second, one.output)) for one in sellers]
        assert any(
            all(new >= 4 * old for new, old in pair) or all(20 * new <= old for new, old in pair) for pair in pairs
        )


@pytest.mark.parametrize(
    ("now", "last", "new"),
    [
        (card("1", "2"), None, True),
        (card("2", "4"), card("1", "2"), True),
        (card("2", "3.9"), card("1", "2"), False),
        (card("0.5", "1"), card("1", "2"), True),
        (card("0.5", "1.1"), card("1", "2"), False),
        (card("1", "2"), card("1", "2", currency="CNY"), True),
        (RateCard(currency="USD", amounts=(("input", 1),)), None, False),
    ],
)
def test_others_are_asked_of_what_is_new_or_moved_much(now: RateCard, last: RateCard | None, *, new: bool) -> None:
    assert doubts.moved_much(now, last) is new


@pytest.fixture
def sold(tmp_path: Path, store_url: str) -> World:
    """Three providers that sell a model at 2 / 4, each by a source of its own, and two sources about a fourth."""
    path = configuration(tmp_path, store_url)
    settings = json.loads(path.read_text())
    one = settings["sources"]["first"]
    settings["sources"] = {name: one | {"title": name, "url": f"https://{name}.example/models"} for name in "abcde"}
    for name, provider in zip("abc", ("fireworks", "together", "novita"), strict=True):
        settings["sources"][name]["provider"] = provider
    path.write_text(json.dumps(settings))
    world = World(path, store_url)
    for hour, name in enumerate("abc"):
        world.see(name, hour)
    return world


def rules(world: World) -> list[tuple[str, str]]:
    return [(row.source, row.rule) for row in world.held() if not row.subject.endswith(("-0", "-1", "-2"))]


@pytest.mark.fault(72)
def test_a_new_offer_at_five_times_what_three_others_charge_is_held(sold: World) -> None:
    sold.see("d", 5, **FAR)
    assert rules(sold) == [("d", "apart")]
    assert sold.history("d") == []
    shown = sold.say("show", sold.held()[0].held_ref).stdout
    assert "2 / 4 at the dearest of 3 other providers, here 10 / 20 USD per 1M tokens" in shown
    assert "doubted by others: 2 / 4" in shown


@pytest.mark.fault(72)
def test_it_stays_held_whatever_others_charge_later_and_comes_out_the_same_when_read_again(sold: World) -> None:
    sold.see("d", 5, **FAR)
    sold.see("a", 6, **{"in": "9", "out": "18"})
    sold.see("d", 7, **FAR)
    assert rules(sold) == [("d", "apart")]
    with sold.tape() as tape:
        again = mend.reparse(sold.config.checks, tape, sold.config.sources["d"], known=utc_now())
    assert (again.corrections, rules(sold), sold.history("d")) == ((), [("d", "apart")], [])


def test_another_price_is_judged_anew(sold: World) -> None:
    sold.see("d", 5, **FAR)
    sold.see("d", 6, **{"in": "3", "out": "6"})
    assert (rules(sold), sold.history("d")) == ([], [("3", at(6), None)])


def test_a_price_that_rises_above_all_others_waits_while_the_old_one_stands(sold: World) -> None:
    sold.see("d", 5, **{"in": "2.5", "out": "5"})
    sold.see("d", 6, **FAR)
    assert (rules(sold), sold.history("d")) == ([("d", "apart")], [("2.5", at(5), None)])


def test_a_person_releases_it_from_its_first_sighting(sold: World) -> None:
    sold.see("d", 5, **FAR)
    assert sold.say("release", sold.held()[0].held_ref, "--note", "they are that dear").exit_code == 0
    assert (rules(sold), sold.history("d")) == ([], [("10", at(5), None)])
    sold.see("d", 6, **FAR)
    assert (rules(sold), sold.history("d")) == ([], [("10", at(5), None)])


@pytest.mark.fault(100)
def test_a_person_rejects_it_and_it_comes_up_no_more(sold: World) -> None:
    sold.see("d", 5, **FAR)
    assert sold.say("reject", sold.held()[0].held_ref).exit_code == 0
    sold.see("d", 6, **FAR)
    assert (rules(sold), sold.history("d")) == ([], [])
    with sold.tape() as tape:
        again = mend.reparse(sold.config.checks, tape, sold.config.sources["d"], known=utc_now())
    assert (again.corrections, sold.history("d")) == ((), [])


@pytest.mark.parametrize("name", ["others", "source e"])
def test_nobody_speaks_in_the_name_of_others(sold: World, name: str) -> None:
    sold.see("d", 5, **FAR)
    told = sold.say("release", sold.held()[0].held_ref, "--by", name)
    assert (told.exit_code, rules(sold)) == (2, [("d", "apart")])
    assert "name who says this one with --by" in told.output


@pytest.mark.fault(99)
def test_a_second_source_that_says_the_same_of_the_provider_releases_it(sold: World) -> None:
    sold.see("d", 5, **FAR)
    sold.see("e", 6, **FAR)
    assert (rules(sold), sold.history("d")) == ([], [("10", at(5), None)])


def test_a_second_source_that_copies_from_the_first_is_held_like_it(sold: World) -> None:
    settings = json.loads(sold.path.read_text())
    settings["sources"]["e"]["derives_from"] = ["d"]
    sold.path.write_text(json.dumps(settings))
    world = World(sold.path, sold.url)
    world.see("d", 5, **FAR)
    world.see("e", 6, **FAR)
    assert rules(world) == [("d", "apart"), ("e", "apart")]


@pytest.mark.parametrize(("trust", "held"), [("scraped", True), ("catalogue", False), ("first-party", False)])
def test_what_a_source_that_is_trusted_more_says_of_the_provider_itself_is_enough(
    tmp_path: Path, store_url: str, trust: str, *, held: bool
) -> None:
    path = configuration(tmp_path, store_url)
    settings = json.loads(path.read_text())
    settings["sources"]["second"]["trust"] = trust
    path.write_text(json.dumps(settings))
    world = World(path, store_url)
    world.see("first", 0)
    world.see("second", 1, **FAR)
    assert rules(world) == [("second", "apart")] * held
    assert world.history("second") == [("10", at(1), None)] * (not held)
    assert all("2 / 4 at most by sources trusted more" in row.message for row in world.held())


def test_documents_that_come_late_are_held_against_what_others_charged_then(sold: World) -> None:
    sold.see("d", 8, **{"in": "3", "out": "6"})
    sold.see("d", 4, **FAR)  # comes late
    assert sold.history("d") == [("3", at(8), None)]
    sold.see("e", 9)
    spec = sold.config.sources["e"]
    for hour, usd in ((3.5, 11), (0.5, 12)):  # when three others charged for it, and when one did
        document = sold.document("e", hour, **{"in": str(usd), "out": str(2 * usd)})
        arrival = Arrival(at=T0 + timedelta(hours=hour), documents=(document,))
        with sold.tape() as tape:
            mend.backfill(sold.config.checks, tape, spec, [arrival], known=utc_now())
    assert sold.history("e") == [("12", at(0.5), at(9)), ("2", at(9), None)]
