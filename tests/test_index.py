"""The index of prices: recomputed by hand, moved by nothing but prices, and silent about no gap."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from random import Random

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from store import cli_index
from store.blend import BLEND, Volume, blend
from store.currency import Converter, CurrencyPolicy, Rate
from store.doors import Doors
from store.errors import QueryError
from store.index import Level, Offer, chain
from store.instants import EPOCH
from store.periods import BACK, Every, Period, periods
from store.records import RateCard
from store.weights import Course, Weights, read_weights
from tests.tape import T0, Tape, usd
from tests.test_routing import offer

DAY = timedelta(days=1)
SPANS = 4
DAYS = list(periods(T0, T0 + SPANS * DAY, "day"))
ENDS = [T0 + step * DAY for step in range(SPANS + 1)]
MILLION = 1_000_000
Price = int | None


def course(
    prices: Sequence[Price],
    name: str = "one",
    *,
    provider: str = "acme",
    source: str = "openrouter",
    polled: Sequence[bool] | None = None,
    currency: str = "USD",
) -> Offer:
    """An endpoint with a price of its own at each end of a day (None: it is not there), alike for input and output."""
    rows = []
    place = 0
    for price, alike in groupby(prices):
        length = len(list(alike))
        if price is not None:
            card = RateCard(currency=currency, amounts=(("input", price), ("output", price)))
            ended = ENDS[place + length] if place + length < len(prices) else None
            facts = {"provider": provider, "source": source, "endpoint": name, "first_seen": ENDS[place]}
            rows.append(offer(card, ended=ended, **facts))
        place += length
    last: datetime | None = None
    seen = []
    for end, looked in zip(ENDS, polled or [True] * len(ENDS), strict=True):
        last = end if looked else last
        seen.append(last)
    return Offer(tuple(rows), tuple(seen))


def levels(*offers: Offer, weights: Weights | None = None, into: Converter | None = None) -> list[Level]:
    return chain([("a/model", offers)], DAYS, weights=weights, into=into)


def told(found: Sequence[Level]) -> list[str | None]:
    return [None if one.index is None else f"{one.index:.6f}" for one in found]


def decimals(value: Fraction) -> str:
    return f"{Decimal(value.numerator) / value.denominator:.6f}"


def always(read: int, written: int = 0) -> Course:
    return Course([T0 - DAY], [Volume(Fraction(read), Fraction(written))])


def by_ref(**volumes: int) -> Weights:
    return Weights({}, {f"openrouter:acme:{name}": always(tokens) for name, tokens in volumes.items()})


# --- by hand ---


def test_equal_weights_recomputed_by_hand() -> None:
    """Two models; of the first, two providers, of which one tells three offers, two of them alike."""
    cut, twin = course([80, 40, 40, 40, 40], "x"), course([80, 40, 40, 40, 40], "y")
    rise = course([10, 20, 20, 5, 5], "z")
    other = course([7, 7, 21, 21, 21], provider="beta")
    alone = course([3, 12, 12, 12, 6])
    found = chain([("a/one", (cut, twin, rise, other)), ("a/two", (alone,))], DAYS)
    # ln(link) = mean over models of the mean over providers of the mean over distinct moves of ln(new / old)
    one = [
        {Fraction(40, 80): Fraction(1, 8), Fraction(20, 10): Fraction(1, 8), Fraction(12, 3): Fraction(1, 2)},
        {Fraction(21, 7): Fraction(1, 4)},
        {Fraction(5, 20): Fraction(1, 8)},
        {Fraction(6, 12): Fraction(1, 2)},
    ]
    level = Fraction(1)  # to the eighth power
    for step, moves in zip(found, one, strict=True):
        for ratio, share in moves.items():
            level *= ratio ** int(share * 8)
        assert step.index is not None
        with localcontext(prec=60):
            assert abs((step.index / 100) ** 8 / (Decimal(level.numerator) / level.denominator) - 1) < Decimal("1e-45")
    assert [(step.matched, step.models) for step in found] == [(5, 2)] * 4
    assert told(found) == ["200.000000", "263.214803", "221.336384", "156.508458"]


def test_volumes_recomputed_by_hand() -> None:
    """10 tokens at one, 30 at the other: the same tokens cost 10 * 80 + 30 * 20 = 1400, then 10 * 40 + 30 * 20, ..."""
    found = levels(course([80, 40, 40, 60, 60], "x"), course([20, 20, 30, 30, 30], "y"), weights=by_ref(x=10, y=30))
    costs = [Fraction(10 * x + 30 * y) for x, y in ((80, 20), (40, 20), (40, 30), (60, 30), (60, 30))]
    assert told(found) == [decimals(100 * cost / costs[0]) for cost in costs[1:]]


def test_volumes_that_change_take_the_geometric_mean_of_what_both_cost() -> None:
    days = [T0, T0 + DAY]
    weights = Weights(
        {},
        {
            "openrouter:acme:x": Course(days, [Volume(Fraction(read), Fraction(0)) for read in (10, 2)]),
            "openrouter:acme:y": Course(days, [Volume(Fraction(read), Fraction(0)) for read in (30, 50)]),
        },
    )
    first, *_ = levels(course([80, 40] + [40] * 3, "x"), course([20, 25] + [25] * 3, "y"), weights=weights)
    laspeyres = Fraction(10 * 40 + 30 * 25, 10 * 80 + 30 * 20)
    paasche = Fraction(2 * 40 + 50 * 25, 2 * 80 + 50 * 20)
    assert first.index is not None
    square = laspeyres * paasche
    with localcontext(prec=60):
        assert abs((first.index / 100) ** 2 / (Decimal(square.numerator) / square.denominator) - 1) < Decimal("1e-45")


def test_input_and_output_are_weighed_as_the_file_says() -> None:
    row = offer(usd(input=10, output=100), endpoint="x", provider="acme", ended=T0 + DAY)
    after = row._replace(card=usd(input=10, output=50), first_seen=T0 + DAY, ended=None)
    moving = Offer((row, after), tuple(ENDS))
    found = levels(moving, weights=Weights({"a/model": always(30, 1)}, {}))
    assert told(found)[0] == f"{Decimal(100 * (300 + 50)) / (300 + 100):.6f}"
    assert told(levels(moving))[0] == f"{Decimal(100 * (30 + 50)) / (30 + 100):.6f}"


# --- what must always hold ---

PRICES = st.lists(st.one_of(st.none(), st.integers(1, 40)), min_size=SPANS + 1, max_size=SPANS + 1)
OFFERS = st.lists(
    st.tuples(PRICES, st.sampled_from("pq"), st.lists(st.booleans(), min_size=SPANS + 1, max_size=SPANS + 1)),
    min_size=1,
    max_size=5,
)
World = list[tuple[list[Price], str, list[bool]]]


def drawn(world: World, times: int = 1) -> list[Offer]:
    return [
        course([None if price is None else price * times for price in prices], f"e{place}", provider=who, polled=polled)
        for place, (prices, who, polled) in enumerate(world)
        if any(price is not None for price in prices)
    ]


def volumes_of(world: World) -> Weights:
    named = {f"openrouter:{who}:e{place}": always(place + 1, 2) for place, (_, who, _) in enumerate(world)}
    return Weights({}, named)


@given(OFFERS, st.booleans())
def test_an_endpoint_told_twice_moves_nothing(world: World, weighted: bool) -> None:
    """Split in two at the same price, its volume divided."""
    place = len(world) - 1
    prices, who, polled = world[place]
    split = [*world, (prices, who, polled)]
    before, after = (volumes_of(world), volumes_of(world)) if weighted else (None, None)
    if after is not None:
        whole = after.endpoints[f"openrouter:{who}:e{place}"].volumes[0]
        parts = {
            f"openrouter:{who}:e{place}": Course([T0 - DAY], [whole.times(Fraction(1, 3))]),
            f"openrouter:{who}:e{place + 1}": Course([T0 - DAY], [whole.times(Fraction(2, 3))]),
        }
        after = Weights({}, {**after.endpoints, **parts})
    assert told(levels(*drawn(split), weights=after)) == told(levels(*drawn(world), weights=before))


@given(OFFERS, st.sampled_from([7, 1000]), st.booleans())
def test_another_unit_or_currency_moves_nothing(world: World, times: int, weighted: bool) -> None:
    weights = volumes_of(world) if weighted else None
    expected = told(levels(*drawn(world), weights=weights))
    assert told(levels(*drawn(world, times), weights=weights)) == expected
    rate = Rate(base="XTS", currency="USD", text=str(times), day=date(2026, 1, 1), source="here")
    into = Converter(policy=lambda: CurrencyPolicy(fixed={"XTS": rate}))
    foreign = [
        one
        if one.rows[0].provider == "p"
        else Offer(
            tuple(
                row._replace(card=RateCard(currency="XTS", amounts=tuple((m, a // times) for m, a in row.card.amounts)))
                for row in one.rows
            ),
            one.seen,
        )
        for one in drawn(world, times)
    ]
    assert told(levels(*foreign, weights=weights, into=into)) == expected


@given(OFFERS, st.randoms(), st.booleans())
def test_the_order_of_offers_moves_nothing(world: World, random: Random, weighted: bool) -> None:
    offers = drawn(world)
    weights = volumes_of(world) if weighted else None
    expected = levels(*offers, weights=weights)
    random.shuffle(offers)
    assert levels(*offers, weights=weights) == expected


@given(OFFERS, PRICES, st.integers(0, SPANS))
def test_what_is_there_at_one_end_alone_moves_nothing(world: World, prices: list[Price], place: int) -> None:
    """A price that stands at a single end of a period."""
    lonely: list[Price] = [price if step == place else None for step, price in enumerate(prices)]
    alone = (lonely, "p", [True] * (SPANS + 1))
    assert told(levels(*drawn(world))) == told(levels(*drawn([*world, alone])))


@given(OFFERS)
def test_prices_that_stand_still_stay_at_a_hundred(world: World) -> None:
    still = [([prices[0]] * (SPANS + 1), who, polled) for prices, who, polled in world]
    assert set(told(levels(*drawn(still)))) <= {"100.000000", None}


# --- gaps ---


def test_what_no_poll_saw_is_counted_and_its_move_told_when_it_is_seen() -> None:
    slept = course([10, 10, 10, 20, 20], "x", polled=[True, False, False, True, True])
    other = course([10, 10, 5, 5, 5], "y")
    found = levels(slept, other)
    assert [(one.matched, one.stale) for one in found] == [(2, 1), (2, 1), (2, 0), (2, 0)]
    assert told(found) == ["100.000000", "70.710678", "100.000000", "100.000000"]


def test_a_period_in_which_nothing_was_polled_has_no_index() -> None:
    found = levels(course([10, 10, 10, 20, 20], polled=[True, False, False, True, True]))
    assert told(found) == [None, None, "200.000000", "200.000000"]
    assert [one.link for one in found][:2] == [None, None]


def test_entries_exits_and_what_is_free_are_counted() -> None:
    found = levels(
        course([10, 10, None, None, None], "x"), course([None, 9, 9, 9, 9], "y"), course([0, 0, 5, 5, 5], "z")
    )
    assert [(one.matched, one.entered, one.left, one.free) for one in found] == [
        (1, 1, 0, 1), (1, 0, 1, 1), (2, 0, 0, 0), (2, 0, 0, 0),
    ]  # fmt: skip


def test_it_begins_where_something_is_matched() -> None:
    found = levels(course([None, None, 4, 8, 8]))
    assert [one.period.since for one in found] == [T0 + 2 * DAY, T0 + 3 * DAY]
    assert told(found) == ["200.000000", "200.000000"]


def test_a_change_of_currency_is_another_offer() -> None:
    row = offer(usd(input=10, output=10), endpoint="x", ended=T0 + DAY)
    after = row._replace(card=RateCard(currency="EUR", amounts=(("input", 9), ("output", 9))), first_seen=T0 + DAY)
    moved = Offer((row, after._replace(ended=None)), tuple(ENDS))
    first, *_ = levels(moved, course([5] * 5, "y"))
    assert (first.matched, first.entered, first.left) == (1, 1, 1)
    weighted, *_ = levels(moved, course([5] * 5, "y"), weights=by_ref(x=1, y=1))
    assert (weighted.matched, weighted.unconverted, told([weighted])) == (1, 1, ["100.000000"])


def test_of_several_sources_the_polled_one_answers_then_the_trusted_one() -> None:
    first_hand, told_by = course([10] * 5, "x", source="own"), course([10, 20, 20, 20, 20], "x", source="other")
    first_hand = Offer(tuple(row._replace(trust=0) for row in first_hand.rows), first_hand.seen)
    assert told(levels(first_hand, told_by)) == ["100.000000"] * 4
    asleep = Offer(first_hand.rows, (T0, T0, *ENDS[2:]))
    assert told(levels(asleep, told_by)) == ["200.000000"] * 4


# --- volumes of a file ---


def read(tmp_path: Path, text: str) -> Weights:
    path = tmp_path / "volumes.csv"
    path.write_text(text)
    return read_weights(path, BLEND, T0)


def test_a_file_tells_volumes_by_model_and_by_endpoint_from_when_on(tmp_path: Path) -> None:
    found = read(tmp_path, "model,endpoint,volume,input,output,since\na/b,,8,,,\na/b,,4,,,2026-08-02\n,s:p:e,,5,1.5,\n")
    assert found.models["a/b"].at(T0) == Volume(Fraction(6), Fraction(2))
    assert found.models["a/b"].at(T0 + DAY) == Volume(Fraction(3), Fraction(1))
    assert found.endpoints["s:p:e"].at(T0) == Volume(Fraction(5), Fraction(3, 2))


def test_before_its_first_instant_a_volume_is_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "model,volume,since\na/b,8,2026-08-02\n")
    assert found.models["a/b"].at(T0) == Volume(Fraction(0), Fraction(0))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected headings"),
        ("what,volume\n", "expected headings"),
        ("model,volume,volume\n", "expected headings"),
        ("model,volume\n", "no line says"),
        ("model,volume\na/b,-1\n", "line 2: '-1' is not a number of tokens"),
        ("model,volume\na/b,1e9\n", "is not a number"),
        ("model,volume\na/b,٣\n", "is not a number"),
        ("model,volume\na/b\n", "as many cells"),
        ("model,volume\na/b,1,2\n", "as many cells"),
        ("model,volume\na/b,\n", "either a volume"),
        ("model,volume,input\na/b,1,1\n", "either a volume"),
        ("model,endpoint,volume\na/b,s:p:e,1\n", "either a model or an endpoint"),
        ("model,volume\na/b,1\na/b,2\n", "line 3: a/b stands twice"),
        ("model,volume,since\na/b,1,soon\n", "line 2: 'soon' is not an instant"),
        ('model,volume\n"a/b,1\n', "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        read(tmp_path, text)


@pytest.mark.parametrize("text", ["3", "3:", "0:0", "-1:1", "a:b", "3:1:1"])
def test_a_blend_is_a_ratio(text: str) -> None:
    with pytest.raises(ValueError, match="such as 3:1"):
        blend(text)
    assert blend("3:1") == BLEND


# --- periods ---


@given(st.integers(0, 100 * 365 * 24), st.integers(1, 800 * 24), st.sampled_from(tuple(BACK)))
def test_periods_follow_one_another_and_hold_all(start: int, hours: int, every: Every) -> None:
    since, length = EPOCH + timedelta(hours=start), timedelta(hours=hours)
    found = list(periods(since, since + length, every))
    assert found[0].since <= since < found[0].until
    assert found[-1].until == since + length
    assert all(one.until == after.since for one, after in pairwise(found))
    assert len({one.name for one in found}) == len(found)


def test_periods_have_the_names_of_the_calendar() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    names = {every: next(iter(periods(at, at + DAY, every))) for every in BACK}
    assert {every: one.name for every, one in names.items()} == {
        "day": "2026-01-01",
        "week": "2026-W01",
        "month": "2026-01",
    }
    assert names["week"] == Period("2026-W01", datetime(2025, 12, 29, tzinfo=UTC), at + DAY)


# --- on a store, and as a command ---

Ask = Callable[..., Result]


def filled(url: str) -> Tape:
    """Two models over three days in two sources, of which one stops after the first day."""
    tape = Tape(url)
    live, catalogue = tape.source("live", trust=1), tape.source("catalogue", trust=2)
    for day in range(4):
        tape.poll(live, T0 + day * DAY)
    tape.poll(catalogue, T0)
    moving, still = tape.endpoint(live, "acme", "a/one"), tape.endpoint(live, "beta", "a/two")
    before = usd(input=4 * MILLION, output=4 * MILLION)
    tape.interval(moving, T0, before, ended=T0 + DAY, last_seen=T0, end_reason="changed")
    tape.interval(moving, T0 + DAY, usd(input=MILLION, output=MILLION), not_before=T0)
    tape.interval(still, T0, usd(input=MILLION, output=2 * MILLION))
    tape.interval(tape.endpoint(catalogue, "gamma", "a/two"), T0, usd(input=MILLION, output=MILLION))
    tape.gap(still, T0 + 2 * DAY, T0 + DAY)
    # A belief of the past, corrected since.
    tape.interval(
        tape.endpoint(live, "delta", "a/one"), T0, usd(input=1, output=1), known_to=T0 + 2 * DAY, ended=T0 + DAY
    )
    return tape


@pytest.fixture
def ask(store_url: str) -> Ask:
    filled(store_url)

    def run(*words: str) -> Result:
        names = ("index", "spread", "volatility")
        group = click.Group(commands={name: getattr(cli_index, name) for name in names})
        doors = Doors(store_url, now=lambda: T0 + 3 * DAY + timedelta(hours=1))
        return CliRunner().invoke(group, words, obj=doors, prog_name="tokentape", catch_exceptions=False)

    return run


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_the_command_tells_index_and_counts(ask: Ask) -> None:
    found = rows(ask("index", "--every", "day", "--since", "2026-08-01", "--format", "csv"))
    assert [(one["period"], one["index"], one["matched"], one["stale"]) for one in found] == [
        ("2026-08-01", "50", "3", "1"),
        ("2026-08-02", "50", "3", "2"),
        ("2026-08-03", "50", "3", "2"),
        ("2026-08-04", "", "3", "3"),
    ]
    assert found[0]["change_percent"] == "-50.00"
    assert list(found[0])[:6] == ["period", "index", "matched", "entered", "left", "stale"]


def test_the_command_tells_it_as_it_was_known(ask: Ask) -> None:
    words = ("index", "a/one", "--every", "day", "--since", "2026-08-01", "--format", "csv")
    assert [one["left"] for one in rows(ask(*words))] == ["0", "0", "0", "0"]
    then = rows(ask(*words, "--at", "2026-08-02", "--known-at", "2026-08-02"))
    assert [(one["index"], one["left"]) for one in then] == [("25", "1")]


def test_the_command_takes_volumes_of_a_file(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text("model,endpoint,volume\na/two,,4\n,live:acme:a/one,1\n")
    words = ("--weights", str(path), "--every", "day", "--since", "2026-08-01", "--format", "json")
    first = json.loads(ask("index", *words).stdout)[0]
    # 1 token at 4, then at 1; 4 tokens of a/two: half at (3 * 1 + 2) / 4 and half at 1, all along
    before = Fraction(4) + 2 * Fraction(5, 4) + 2 * 1
    assert abs(Fraction(first["index"]) - 100 * (before - 3) / before) <= Fraction(1, 2 * MILLION)
    assert (first["matched"], first["stale"], first["models"]) == (3, 1, 2)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("index", "nobody/knows"), 3, "no model 'nobody/knows'"),
        (("index", "--at", "2026-08-02", "--until", "2026-08-02"), 2, "one of them"),
        (("index", "--since", "2026-09-01"), 2, "make no period"),
        (("index", "--since", "1900-01-01", "--every", "day"), 2, "more than 5000"),
        (("index", "--until", "2026-07-01"), 3, "nothing had a price at both ends"),
        (("index", "--blend", "cheap"), 2, "such as 3:1"),
        (("index", "--weights", "nowhere.csv"), 2, "does not exist"),
        (("spread", "nobody/knows"), 3, "no model"),
        (("spread", "--at", "2026-07-01"), 3, "no endpoint"),
        (("volatility", "--at", "2026-07-01"), 3, "no price moved"),
        (("volatility", "--at", "2026-08-02", "--until", "2026-08-02"), 2, "one of them"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_in_a_line(
    ask: Ask, words: Sequence[str], code: int, why: str
) -> None:
    result = ask(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert why in result.stderr.splitlines()[-1]


def test_weights_and_models_exclude_each_other_and_unknown_names_are_refused(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text("model,volume\none,4\na/one,1\n")
    assert "goes without others" in ask("index", "a/one", "--weights", str(path)).stderr
    assert "two models of the file are one" in ask("index", "--weights", str(path)).stderr
    path.write_text("endpoint,volume\nlive:acme:other,4\n")
    assert "no endpoint 'live:acme:other'" in ask("index", "--weights", str(path)).stderr


def test_the_index_is_drawn_the_same_every_time(ask: Ask, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg", "one.png"):
        result = ask("index", "--every", "day", "--since", "2026-08-01", "--plot", str(tmp_path / name))
        assert (result.exit_code, result.stderr) == (0, f"drawn: {tmp_path / name}\n")
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two
    assert b"2026-08-01 = 100" in one
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


# --- spread ---


def test_spread_is_recomputed_by_hand(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("live")
    tape.poll(source, T0)
    for place, price in enumerate((1, 1, 2, 4, 8)):
        amount = price * MILLION
        tape.interval(tape.endpoint(source, f"p{place}", "a/one", variant="x"), T0, usd(input=amount, output=amount))
    tape.interval(tape.endpoint(source, "later", "a/one", variant="batch"), T0, usd(input=1, output=1))
    tape.interval(tape.endpoint(source, "free", "a/one"), T0, usd(input=0, output=0))
    doors = Doors(store_url, now=lambda: T0)
    group = click.Group(commands={"spread": cli_index.spread})
    (found,) = rows(CliRunner().invoke(group, ["spread", "--format", "csv"], obj=doors))
    assert {name: found[name] for name in list(found)[:12]} == {
        "model": "a/one", "endpoints": "5", "providers": "5", "cheapest": "0.001", "median": "0.002",
        "dearest": "0.008", "ratio": "8", "first_quartile": "0.001", "third_quartile": "0.004", "ties": "2",
        "currency": "USD", "cheapest_ref": "live:p0:a/one",
    }  # fmt: skip
    assert (found["dearest_ref"], found["left_out"], found["doubted"]) == ("live:p4:a/one", "2", "0")
    (tiers,) = rows(CliRunner().invoke(group, ["spread", "--tier", "any", "--format", "csv"], obj=doors))
    assert (tiers["endpoints"], tiers["cheapest"]) == ("6", "0.000000001")


def test_spread_is_in_the_blend_asked_for_and_tells_doubts(ask: Ask) -> None:
    one, two = rows(ask("spread", "--blend", "1:3", "--at", "2026-08-01", "--format", "csv"))
    assert (one["model"], one["cheapest"], one["dearest"], one["ratio"]) == ("a/two", "0.001", "0.00175", "1.75")
    assert (two["model"], two["ratio"]) == ("a/one", "1")
    late = rows(ask("spread", "a/two", "--at", "2026-08-01T12:00:00Z", "--format", "csv"))
    assert late[0]["doubted"] == "2"


# --- volatility ---


def test_volatility_is_recomputed_by_hand(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("live")
    prices = [4, 8, 2, 2, 0, 5]
    for day in range(len(prices)):
        tape.poll(source, T0 + day * DAY)
    moving = tape.endpoint(source, "acme", "a/one")
    for day, price in enumerate(prices[:-1]):
        start, end = T0 + day * DAY, T0 + (day + 1) * DAY
        card = usd(input=price, output=price)
        tape.interval(moving, start, card, ended=end, end_reason="changed", last_seen=start)
    tape.interval(moving, T0 + 5 * DAY, usd(input=prices[-1], output=prices[-1]))
    back = tape.endpoint(source, "beta", "a/one")
    tape.interval(back, T0, usd(input=1, output=1), ended=T0 + DAY, end_reason="withdrawn", last_seen=T0)
    tape.interval(back, T0 + 2 * DAY, usd(input=9, output=9))
    doors = Doors(store_url, now=lambda: T0 + 6 * DAY)
    group = click.Group(commands={"volatility": cli_index.volatility})

    def asked(*words: str) -> list[dict[str, str]]:
        return rows(CliRunner().invoke(group, ["volatility", *words, "--format", "csv"], obj=doors))

    one, two = asked("a/one")
    assert (one["provider"], one["moves"], one["of_free"]) == ("acme", "4", "2")
    assert (one["largest_percent"], one["mean_percent"]) == ("-75", "87.5")  # +100 % and -75 %
    assert one["mean_log"] == "1.039721"  # (ln 2 + ln 4) / 2
    assert (one["last_move"], one["last_percent"], one["price"]) == ("2026-08-06T00:00:00Z", "", "0.000000005")
    assert (two["provider"], two["moves"], two["largest_percent"]) == ("beta", "0", "")
    (model,) = asked()
    assert (model["provider"], model["moves"], model["moved"], model["endpoints"]) == ("", "4", "1", "2")
    assert [row["moves"] for row in asked("a/one", "--since", "2026-08-03", "--until", "2026-08-04")] == ["1", "0"]


def test_of_a_model_each_provider_counts_by_one_source(store_url: str) -> None:
    tape = Tape(store_url)
    for name, trust in (("own", 0), ("other", 1)):
        source = tape.source(name, trust=trust)
        for day in (0, 1):
            tape.poll(source, T0 + day * DAY)
        endpoint = tape.endpoint(source, "acme", "a/one")
        tape.interval(endpoint, T0, usd(input=1, output=1), ended=T0 + DAY, end_reason="changed", last_seen=T0)
        tape.interval(endpoint, T0 + DAY, usd(input=2 + trust, output=2), not_before=T0)
    doors = Doors(store_url, now=lambda: T0 + 2 * DAY)
    group = click.Group(commands={"volatility": cli_index.volatility})
    (found,) = rows(CliRunner().invoke(group, ["volatility", "--format", "csv"], obj=doors))
    assert (found["moves"], found["largest_percent"], found["last_ref"]) == ("1", "100", "own:acme:a/one")
