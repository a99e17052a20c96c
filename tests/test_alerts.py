"""What rules say of a ledger: each kind of news once, nothing of the past, whenever and however often it is judged."""

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.config import Config, load
from collector.poll import Poller
from collector.sighting import Received
from store.alert_rules import Kind, Rule
from store.alerts import Circumstances
from store.instants import to_millis
from store.outbox import Outbox
from store.records import Document, Facts, RateCard
from store.write import Tape as Written
from tests.collecting import own_sources
from tests.stores import rows
from tests.tape import Tape, hour, usd

CENT = 10_000_000
"""Of a dollar, in the units of the store."""
WATCHED = Circumstances(watched=frozenset({"acme", "list"}))


def rule(when: Kind, name: str = "r", **said: Any) -> Rule:
    return Rule(name=name, when=when, channels=("HOOK",), **said)


def judged(url: str, rules: Iterable[Rule], *ats: datetime, given: Circumstances = WATCHED) -> list[tuple[str, str]]:
    """Title and body of all that is to be told when rules are judged at these instants."""
    with closing(Outbox(url)) as outbox:
        for at in ats:
            outbox.judge([*rules], given, at)
    return [(title, body) for title, body in rows(url, "SELECT title, body FROM alert ORDER BY at, token")]


def titles(url: str, one: Rule, *ats: datetime, given: Circumstances = WATCHED) -> list[str]:
    """The titles alone, of a rule that began before anything was known unless it is said when."""
    return [title for title, _ in judged(url, [one], *(ats or (hour(-1), hour(100))), given=given)]


@pytest.fixture
def tape(store_url: str) -> Tape:
    return Tape(store_url)


def moved(tape: Tape, *cards: RateCard, source: str = "acme", provider: str = "acme", model: str = "a/x") -> int:
    """A source that is polled every hour, and an endpoint that has another card each time; the endpoint."""
    source_id = tape.source(source)
    endpoint = tape.endpoint(source_id, provider, model)
    for number, card in enumerate(cards):
        tape.poll(source_id, hour(number))
        last = number + 1 == len(cards)
        tape.interval(
            endpoint,
            hour(number),
            card,
            not_before=hour(number - 1) if number else None,
            last_seen=None if last else hour(number),
            ended=None if last else hour(number + 1),
            end_reason=None if last else "changed",
        )
    return endpoint


# --- prices ---


def test_a_price_that_moved_is_told_with_what_it_was_when_it_was_seen_and_where_to_look(tape: Tape) -> None:
    moved(tape, usd(input=10 * CENT, output=30 * CENT), usd(input=12 * CENT, output=30 * CENT))
    ((title, body),) = judged(tape.url, [rule("price")], hour(-1), hour(2))
    assert title == "a/x at acme: input 0.1 -> 0.12 USD per 1M tokens (+20 %)"
    document = rows(tape.url, "SELECT sha256 FROM document ORDER BY id DESC LIMIT 1")[0][0]
    *lines, identity = body.splitlines()
    assert lines == [
        "input 0.1 -> 0.12 USD per 1M tokens (+20 %)",
        "seen: 2026-08-01T01:00:00Z; not yet at 2026-08-01T00:00:00Z",
        f"document: {document}",
        "see: tokentape explain acme:acme:a/x",
        "rule: r",
    ]
    assert identity == f"id: {rows(tape.url, 'SELECT token FROM alert')[0][0]}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, True),
        ({"percent": Fraction(19)}, True),
        ({"percent": Fraction(20)}, False),
        ({"percent": Fraction(5), "direction": "up"}, True),
        ({"percent": Fraction(5), "direction": "down"}, False),
        ({"direction": "down"}, False),
        ({"meter": "input"}, True),
        ({"meter": "output"}, False),
        ({"model": ("a/*", "b/*")}, True),
        ({"model": ("A/*",)}, False),
        ({"provider": ("acm?",)}, True),
        ({"provider": ("groq",)}, False),
        ({"endpoint": ("a/x",)}, True),
        ({"endpoint": ("a/x@turbo",)}, False),
        ({"source": ("acme",)}, True),
        ({"source": ("list",)}, False),
    ],
)
def test_a_rule_on_prices_is_about_what_it_says(tmp_path: Path, said: dict[str, Any], told: bool) -> None:
    tape = Tape(tmp_path / "tape.db")
    moved(tape, usd(input=10 * CENT, output=30 * CENT), usd(input=12 * CENT, output=30 * CENT))
    assert bool(titles(tape.url, rule("price", **said))) == told


def test_a_price_that_becomes_free_or_unknown_moved_by_a_hundred_percent_or_by_none(tape: Tape) -> None:
    unknown = RateCard(currency="USD", amounts=(), states=(("input", "unknown"),))
    moved(tape, usd(input=CENT), usd(input=0), usd(input=CENT), unknown, usd(input=CENT))
    half = rule("price", percent=Fraction(50))
    assert titles(tape.url, half) == [
        "a/x at acme: input 0.01 -> 0 USD per 1M tokens (-100 %)",
        "a/x at acme: input 0 -> 0.01 USD per 1M tokens",
    ]
    assert len(titles(tape.url, rule("price", name="any"))) == 2 + 4


def test_a_price_is_below_a_value_when_it_gets_there_and_not_while_it_stays_there(tape: Tape) -> None:
    moved(tape, *(usd(input=cents * CENT) for cents in (50, 49, 48, 50, 40)))
    at_half = rule("below", meter="input", value=50 * CENT)
    assert titles(tape.url, at_half) == [
        "a/x at acme: input 0.49 USD, below 0.5",
        "a/x at acme: input 0.4 USD, below 0.5",
    ]


def test_another_currency_is_below_no_value_in_dollars(tape: Tape) -> None:
    yuan = RateCard(currency="CNY", amounts=(("input", CENT),))
    moved(tape, usd(input=90 * CENT), yuan)
    assert titles(tape.url, rule("below", meter="input", value=50 * CENT)) == []


# --- offers that come and go ---


def test_an_offer_is_new_gone_and_back_again_and_what_a_first_poll_shows_is_not_new(tape: Tape) -> None:
    source = tape.source("acme")
    for number in range(8):
        tape.poll(source, hour(number))
    tape.interval(tape.endpoint(source, "acme", "a/old"), hour(0), usd(input=CENT))
    one = tape.endpoint(source, "acme", "a/new", tag="turbo")
    tape.interval(
        one, hour(1), usd(input=CENT), not_before=hour(0), last_seen=hour(2), ended=hour(3), end_reason="withdrawn",
        end_known=hour(5),
    )  # fmt: skip
    tape.interval(one, hour(6), usd(input=CENT), not_before=hour(5))
    tape.interval(tape.endpoint(source, "acme", "a/old", tag="b"), hour(7), usd(input=CENT), not_before=hour(6))
    assert titles(tape.url, rule("new_endpoint")) == [
        "a/new at acme: offered",
        "a/new at acme: offered again",
        "a/old at acme: offered",
    ]
    run = judged(tape.url, [rule("withdrawn", name="gone"), rule("new_model", name="model")], hour(-1), hour(9))
    assert [title for title, _ in run if "offered" not in title] == [
        "new model a/new, at acme",
        "a/new at acme: withdrawn",
    ]
    gone = next(body for title, body in run if "withdrawn" in title)
    assert gone.startswith("last input 0.01 USD per 1M tokens\ngone: 2026-08-01T03:00:00Z; last seen 2026-08-01T02:00")


def test_a_model_is_new_once_however_many_offer_it(tape: Tape) -> None:
    for name in ("acme", "list"):
        source = tape.source(name)
        tape.poll(source, hour(0))
        tape.poll(source, hour(1))
        for tag in ("", "turbo"):
            endpoint = tape.endpoint(source, "acme", "a/x", tag=tag)
            tape.interval(endpoint, hour(1), usd(input=CENT), not_before=hour(0))
    assert titles(tape.url, rule("new_model")) == ["new model a/x, at acme"]


# --- what is announced ---


def test_a_price_to_come_is_told_when_it_is_announced_beside_the_price_of_today(tape: Tape) -> None:
    endpoint = moved(tape, usd(input=10 * CENT))
    tape.stated(endpoint, hour(240), None, usd(input=12 * CENT), first_seen=hour(1))
    tape.stated(endpoint, hour(-240), None, usd(input=9 * CENT), first_seen=hour(1))
    assert titles(tape.url, rule("announced")) == [
        "a/x at acme: announced from 2026-08-11T00:00:00Z: input 0.1 -> 0.12 USD per 1M tokens (+20 %)"
    ]


def test_an_end_that_is_announced_is_told_once_and_again_when_its_day_moves(tape: Tape) -> None:
    source = tape.source("acme")
    endpoint = tape.endpoint(source, "acme", "a/x")
    stages = [
        Facts(),
        Facts(status="deprecated", successor="y"),
        Facts(status="deprecated", retires_on="2026-12-01"),
        Facts(status="deprecated", retires_on="2026-12-01", context_length=5),
        Facts(status="deprecated", retires_on="2027-01-01"),
    ]
    for number, facts in enumerate(stages):
        tape.poll(source, hour(number))
        last = number + 1 == len(stages)
        tape.interval(
            endpoint, hour(number), usd(input=CENT), facts, not_before=hour(number - 1) if number else None,
            ended=None if last else hour(number + 1), end_reason=None if last else "changed",
        )  # fmt: skip
    assert titles(tape.url, rule("retiring")) == [
        "a/x at acme: status deprecated, successor y",
        "a/x at acme: retires on 2026-12-01",
        "a/x at acme: retires on 2027-01-01",
    ]


# --- sources, and what is held ---


def test_a_source_fails_when_it_has_failed_so_often_in_a_row_and_once_for_each_such_row(tape: Tape) -> None:
    source = tape.source("acme")
    outcomes = ["ok", "failed", "failed", "ok", "failed", "failed", "failed", "failed", "partial", *["failed"] * 3]
    for number, outcome in enumerate(outcomes):
        tape.poll(source, hour(number), outcome, message="status 500" if outcome == "failed" else None)
    run = judged(tape.url, [rule("failing", times=3)], hour(-1), hour(20))
    assert [title for title, _ in run] == ["acme: failed 3 times in a row"] * 2
    assert ["at: 2026-08-01T06:00:00Z" in body for _, body in run] == [True, False]
    assert run[0][1].startswith("status 500\n")


def test_a_source_is_stale_when_it_was_not_heard_of_for_too_long_if_it_should_be(tape: Tape) -> None:
    for name in ("acme", "off"):
        source = tape.source(name)
        for number in (0, 1, 5):
            tape.poll(source, hour(number))
        tape.poll(source, hour(2), "failed")
    assert titles(tape.url, rule("stale"), hour(-1), hour(3)) == []
    told = titles(tape.url, rule("stale"), hour(4), hour(6), hour(20))
    assert told == [
        "acme: stale, no success since 2026-08-01T01:00:00Z",
        "acme: stale, no success since 2026-08-01T05:00:00Z",
    ]
    assert titles(tape.url, rule("stale", name="slow", after_s=11 * 3600), hour(-1), hour(20))[2:] == [
        "acme: stale, no success since 2026-08-01T05:00:00Z"
    ]


def test_what_is_held_is_told_with_the_reference_that_shows_it(tape: Tape) -> None:
    source = tape.source("acme")
    tape.poll(source, hour(1))
    tape.finding(source, hour(1), card=usd(input=CENT))
    tape.finding(source, hour(1), held=False)
    ((title, body),) = judged(tape.url, [rule("held")], hour(-1), hour(2))
    assert title == "acme: held: Acme model: ratio"
    assert "25 times the accepted amount" in body
    assert "see: tokentape held show " in body


# --- where it is cheapest ---


def test_another_cheapest_route_is_told_and_a_cheaper_price_of_the_same_one_is_not(tape: Tape) -> None:
    moved(tape, usd(input=40 * CENT, output=40 * CENT), usd(input=30 * CENT, output=30 * CENT))
    moved(
        tape,
        usd(input=50 * CENT, output=50 * CENT),
        usd(input=50 * CENT, output=50 * CENT),
        usd(input=10 * CENT, output=10 * CENT),
        source="list",
        provider="list",
    )
    to_list = rule("cheapest", model=("a/x",), input=1000, output=1000)
    run = judged(tape.url, [to_list], hour(0.5), hour(9))
    assert [title for title, _ in run] == ["a/x: cheapest is list, was acme"]
    assert "now: list:list:a/x at 0.0002 USD a request\nbefore: acme:acme:a/x at 0.0006 USD a request\n" in run[0][1]
    assert titles(tape.url, rule("cheapest", "other", model=("a/x",), provider=("acme",)), hour(0.5), hour(9)) == [
        "a/x: cheapest is list, was acme"
    ], "of another provider nothing is told"


def test_a_model_that_nobody_knows_has_no_cheapest_route(tape: Tape) -> None:
    moved(tape, usd(input=CENT))
    assert titles(tape.url, rule("cheapest", model=("no/model",))) == []


# --- when rules begin, and what is history ---


def test_a_rule_that_is_new_changed_or_back_again_tells_nothing_of_the_past(tape: Tape) -> None:
    moved(tape, *(usd(input=cents * CENT) for cents in (10, 12, 14, 16, 18)))
    assert titles(tape.url, rule("price"), hour(1.5), hour(2.5)) == [
        "a/x at acme: input 0.12 -> 0.14 USD per 1M tokens (+16.67 %)"
    ]
    changed = rule("price", percent=Fraction(1))
    assert len(titles(tape.url, changed, hour(3.5))) == 1, "what it says now holds from now on"
    judged(tape.url, [], hour(3.6))
    assert len(titles(tape.url, changed, hour(4.5))) == 1, "it was gone meanwhile"
    assert len(titles(tape.url, rule("price", name="r", percent=Fraction(1)), hour(5))) == 1


def test_the_channel_of_a_rule_is_not_what_it_says(tape: Tape) -> None:
    moved(tape, usd(input=10 * CENT), usd(input=12 * CENT), usd(input=14 * CENT))
    judged(tape.url, [Rule(name="r", when="price", channels=("ONE",))], hour(-1), hour(1.5))
    judged(tape.url, [Rule(name="r", when="price", channels=("ONE", "TWO"))], hour(3))
    told = rows(tape.url, "SELECT channel, count(*) FROM alert GROUP BY channel ORDER BY channel")
    assert told[0] == ("ONE", 2)
    assert told[1][0] == "TWO"


def test_what_is_known_late_is_history_and_corrections_are_told_to_who_asks(tape: Tape) -> None:
    endpoint = moved(tape, usd(input=10 * CENT))
    source = 1
    for number in range(1, 4):
        tape.poll(source, hour(number))
    tape.interval(
        endpoint, hour(0.5), usd(input=50 * CENT), known=hour(3.5), ended=hour(0.6), end_reason="changed",
        end_known=hour(3.5),
    )  # fmt: skip
    late = tape.endpoint(source, "acme", "a/late")
    tape.interval(
        late, hour(-50), usd(input=10 * CENT), not_before=hour(-51), known=hour(5), ended=hour(-40), end_known=hour(5)
    )
    tape.interval(late, hour(-40), usd(input=20 * CENT), not_before=hour(-41), known=hour(5))
    news = [rule("price"), rule("new_endpoint", "new")]
    assert judged(tape.url, news, hour(-1), hour(9)) == []
    told = titles(tape.url, rule("price", "all", corrections=True))
    assert told
    assert all(": corrected: " in title for title in told)


# --- it does not matter when it is judged ---

RULES = (
    rule("price", "p", percent=Fraction(5)),
    rule("price", "c", corrections=True),
    rule("below", "b", meter="input", value=120 * CENT),
    rule("new_endpoint", "n"),
    rule("new_model", "m"),
    rule("withdrawn", "w"),
    rule("failing", "f", times=2),
    rule("held", "h"),
    rule("stale", "s"),
    rule("cheapest", "x", model=("acme/model-0",), input=1000, output=1000),
)
STEP = timedelta(hours=5)
BEGIN = hour(0)

_offers = st.dictionaries(st.sampled_from(["model-0", "model-1"]), st.sampled_from(["1", "1.5", "1.9", "90"]))
_polls = st.lists(
    st.tuples(
        st.sampled_from(["one", "two"]),
        st.sampled_from([0, 0, 0, 1, 3, 9]),
        st.one_of(st.just(None), _offers, _offers, _offers),
        st.booleans(),
    ),
    min_size=4,
    max_size=14,
)
"""Whose poll, how many steps late it comes, what it says (None: nothing usable), and whether rules are judged then."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    home = tmp_path_factory.mktemp("home")
    return load(own_sources(home, mirror="http://127.0.0.1:59999", every={"one": "5h", "two": "5h"}), {})


def told_of(config: Config, polls: Sequence[tuple[str, int, dict[str, str] | None, bool]], *, often: bool) -> set[Any]:
    """Every alert of a ledger whose rules are judged often, or at its end alone."""
    with TemporaryDirectory() as folder:
        url = str(Path(folder, "tape.db"))
        tape = Written(url)
        outbox, given = Outbox(url), Circumstances(watched=frozenset(config.sources))
        outbox.judge(RULES, given, BEGIN)
        for number, (name, late, offers, now) in enumerate(polls, 1):
            clock = BEGIN + number * STEP
            poller = Poller(config, tape, None, clock=lambda clock=clock: clock, environ={})  # type: ignore[arg-type, misc]
            spec = config.sources[name]
            data = [{"id": f"acme/{model}", "in": price, "out": "4"} for model, price in (offers or {}).items()]
            body = (
                b"{" if offers is None else json.dumps({"data": [*data, {"id": "z", "in": "1", "out": "2"}]}).encode()
            )
            at = clock - late * STEP
            document = Document(source=name, url=spec.url, fetched_at=at, status=200, body=body)
            poller.take(spec, at, Received(documents=(document,), failures={}))
            if often and now:
                outbox.judge(RULES, given, clock + timedelta(minutes=number))
        outbox.judge(RULES, given, BEGIN + 20 * STEP)
        outbox.close()
        tape.close()
        return set(rows(url, "SELECT token, rule, at, title, body FROM alert"))


@settings(max_examples=30)
@given(polls=_polls)
def test_what_is_told_does_not_depend_on_when_and_how_often_it_is_judged(config: Config, polls: Any) -> None:
    assert told_of(config, polls, often=True) == told_of(config, polls, often=False)


def test_a_drawn_ledger_can_have_every_kind_of_news(config: Config) -> None:
    """That the property above is about something."""
    whole = {"model-0": "1", "model-1": "1"}
    polls = [
        ("one", 0, whole, True), ("two", 0, {"model-0": "1.5"}, True), ("one", 0, whole | {"model-0": "1.9"}, True),
        ("two", 0, {"model-0": "1.5", "model-1": "1"}, True), ("one", 0, None, True), ("one", 0, None, True),
        ("one", 0, whole | {"model-0": "90"}, True), ("one", 9, {"model-0": "1.5"}, False),
        *[("one", 0, {"model-1": "1"}, True)] * 6,
    ]  # fmt: skip
    assert {one[1] for one in told_of(config, polls, often=True)} >= {"p", "c", "b", "n", "w", "f", "h", "x"}


def test_alerts_are_dated_by_when_they_became_known(tape: Tape) -> None:
    moved(tape, usd(input=CENT), usd(input=2 * CENT))
    judged(tape.url, [rule("price")], hour(-1), hour(9))
    assert rows(tape.url, "SELECT at, made FROM alert") == [(to_millis(hour(1)), to_millis(hour(9)))]
