"""The second clock: what was answered once is answered again, whatever is learned later."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from collector import checks
from collector.settings import CheckSettings
from store import catalogue, columns, export
from store import changes as changes_module
from store import intervals as intervals_module
from store.changes import ChangeRow, changes
from store.columns import Column, amount_text
from store.corrections import Stretch, Term, compare
from store.evidence import explain
from store.intervals import IntervalRow, current, endpoints, history
from store.read import Reader, open_store
from store.records import Facts, Sighting, Stated, Verdicts
from store.routing import Constraints, Workload, rank
from store.write import KeptPoll, PollFacts, Replayed, SourceFacts
from store.write import Tape as Written
from tests.stores import Stores
from tests.tape import T0, Tape, usd
from tests.tape import hour as at_hour
from tests.worlds import DOCUMENTS, START, Poll, build, card, observation, polls

RULES = checks.rules(CheckSettings())
SOURCE = SourceFacts(name="s", trust=1, every_s=3600)
MODEL = "openai/gpt-oss-120b"
CARD, DEARER = usd(input=1_000_000_000, output=0), usd(input=2_000_000_000, output=0)
WORKLOAD = Workload(input_tokens=1000, output_tokens=1000)


def hour(count: float) -> datetime:
    return START + timedelta(hours=count)


def test_where_a_clock_goes_back_what_is_learned_of_another_source_changes_no_answer_of_before(store_url: str) -> None:
    tape = Written(store_url)

    def polled(source: str, at: datetime, price: int) -> None:
        seen = Sighting(at=at, complete=True, documents=DOCUMENTS, observations=(observation("m", price=card(price)),))
        facts = PollFacts(at=at, outcome="ok", pack=tape.archive.keep(()))
        assert tape.record(replace(SOURCE, name=source), facts, seen, RULES, known=at)

    def asked() -> list[IntervalRow]:
        with open_store(store_url) as reader:
            return list(history(reader, None, hour(100), known=hour(9)))

    polled("one", hour(1), 5_000_000)
    polled("other", hour(9), 5_000_000)
    before = asked()
    polled("one", hour(6), 6_000_000)
    tape.close()
    assert asked() == before


# --- worlds in which documents arrive in any order; that PostgreSQL holds the same is shown in `test_engines` ---


def stating(poll: Poll) -> Sighting:
    """What a poll saw, where some offers announce another price, and some date the one they have."""

    def dated(price: int) -> tuple[Stated, ...]:
        announced = Stated(since=hour(60), until=None, card=card(9_000_000))
        past = Stated(since=hour(-50), until=hour(100), card=card(price * 1_000_000))
        return {1: (past,), 2: (announced,), 3: (past, announced)}.get(price, ())

    sighting = poll.sighting
    return replace(
        sighting,
        observations=tuple(
            replace(one, stated=dated((one.card.amount("input") or 0) // 1_000_000) if one.card else ())
            for one in sighting.observations
        ),
    )


def arrive(url: str, drawn: Sequence[Poll]) -> Iterator[datetime]:
    """Write polls in this order, each through the path that its instant asks for; the instant each became known."""
    tape = Written(url)
    sightings = {poll.sighting.at: stating(poll) for poll in drawn}

    def anew(kept: Sequence[KeptPoll], _verdicts: Verdicts) -> Iterable[tuple[KeptPoll, Replayed]]:
        for poll, taken in zip(
            kept, build((sightings[poll.at] for poll in kept), RULES.judge, RULES.patience), strict=True
        ):
            failed = sightings[poll.at].failed_parts
            yield poll, Replayed(step=taken, outcome="partial" if failed else "ok", failed_parts=failed)

    try:
        for number, poll in enumerate(drawn):
            seen, known = sightings[poll.sighting.at], hour(1000 + number)
            facts = PollFacts(
                at=seen.at,
                outcome="partial" if poll.failed else "ok",
                pack=tape.archive.keep(()),
                failed_parts=seen.failed_parts,
            )

            newest = tape.last_polls("s").newest_ok
            if newest is None or seen.at > newest:
                tape.record(SOURCE, facts, seen, RULES, known=known)
            else:
                tape.rebuild(SOURCE, [facts], anew, salt=RULES.salt, known=known)
            yield known
    finally:
        tape.close()


def csv(shown: Sequence[Column[Any]], rows: Iterable[Any]) -> str:
    out = io.StringIO()
    export.write(out, "csv", shown, rows)
    return out.getvalue()


INSTANTS = [hour(at) for at in (-20, 30, 61, 120, 1002.5)]


def answers(reader: Reader, known: datetime | None, now: datetime) -> dict[str, str]:
    """Every question, asked as of an instant of knowledge."""
    found = {
        "history": csv(columns.HISTORY, history(reader, None, now, known=known, stated=True)),
        "superseded": csv(columns.HISTORY, history(reader, None, now, known=known, superseded=True)),
        "changes": csv(columns.CHANGES, changes(reader, known=known)),
        "some changes": csv(columns.CHANGES, changes(reader, known=known, since=hour(24), until=hour(1003))),
        "held": csv(columns.HELD, catalogue.held(reader, known=known)),
    }
    for at in (*INSTANTS, known or now):
        rows = list(current(reader, at, known=known))
        found[f"current {at}"] = csv(columns.ENDPOINTS, rows)
        found[f"cheapest {at}"] = csv(columns.CHEAPEST, rank(rows, WORKLOAD, at, Constraints()).routes)
    found["models"] = csv(columns.MODELS, catalogue.models(reader, "", hour(120), known=known))
    evidence = (explain(reader, row.ref, hour(120), known=known) for row in current(reader, hour(120), known=known))
    found["explain"] = csv(columns.EVIDENCE, (one for several in evidence for one in several))
    return found


@settings(max_examples=30)
@given(drawn=polls(most=7))
def test_what_was_answered_once_is_answered_again_whatever_is_learned_later(drawn: list[Poll]) -> None:
    given_then: dict[datetime, dict[str, str]] = {}
    with Stores(None).new() as url:
        for now in arrive(url, drawn):
            with open_store(url) as reader:
                given_then[now] = answers(reader, now, now)
                assert answers(reader, None, now) == given_then[now]
                for known, before in given_then.items():
                    assert answers(reader, known, now) == before


def believed(rows: Iterable[IntervalRow]) -> list[IntervalRow]:
    """Rows without what differs with the order in which documents came."""
    return [row._replace(known_from=T0, endpoint_id=0, document_id=0, facts_id=0) for row in rows]


@settings(max_examples=25)
@given(drawn=polls(most=10))
def test_in_the_end_the_same_is_believed_in_whatever_order_documents_came(drawn: list[Poll]) -> None:
    found = []
    for order in (drawn, sorted(drawn, key=lambda poll: poll.hour)):
        with Stores(None).new() as url:
            list(arrive(url, order))
            with open_store(url) as reader:
                found.append(believed(history(reader, None, hour(2000))))
                found[-1] += [row for at in INSTANTS for row in believed(current(reader, at))]
    assert found[0] == found[1]


@settings(max_examples=60)
@given(drawn=polls(least=3, most=8))
def test_corrections_are_exactly_what_is_answered_otherwise_of_what_had_been_looked_at(drawn: list[Poll]) -> None:
    """Held against the answers themselves: the price at each instant before and after each arrival."""
    instants = sorted({poll.sighting.at + delay for poll in drawn for delay in (timedelta(), timedelta(minutes=30))})
    with Stores(None).new() as url:
        knowns = list(arrive(url, drawn))
        with open_store(url) as reader:
            told = list(changes(reader))
            for number, known in enumerate(knowns[1:], 1):
                looked = [poll.sighting.at for poll in drawn[:number]]
                for at in (one for one in instants if min(looked) <= one <= max(looked)):
                    corrected = {
                        (row.endpoint, row.old or row.old_state, row.new or row.new_state)
                        for row in told
                        if row.event == "correction" and row.meter == "input" and row.seen == row.known == known
                        if row.since and row.since <= at and (row.until is None or at < row.until)
                    }
                    assert corrected == answered_otherwise(reader, at, known)


def answered_otherwise(reader: Reader, at: datetime, known: datetime) -> set[tuple[str, str | None, str | None]]:
    """Endpoint, price before and after; what was open and is withdrawn now is left out."""
    before = observed(reader, at, known - timedelta(milliseconds=1))
    after, later = observed(reader, at, known), observed(reader, hour(5000), known)
    moved = [row for row in changes(reader, known=known) if row.known == known]
    withdrawn = [(row.endpoint, row.seen) for row in moved if row.event == "withdrawal"]
    prices = ((name, price(before.get(name)), price(after.get(name))) for name in before.keys() | after.keys())
    return {
        (name, old, new)
        for name, old, new in prices
        if old != new
        and not (
            name not in after
            and name not in later
            and before[name].ended is None
            and any(name == one and before[name].first_seen < seen <= at for one, seen in withdrawn)
        )
    }


def observed(reader: Reader, at: datetime, known: datetime) -> dict[str, IntervalRow]:
    return {row.endpoint: row for row in current(reader, at, known=known) if row.basis == "observed"}


def price(row: IntervalRow | None) -> str | None:
    """Of input."""
    if row is None:
        return None
    return amount_text(row.card.amount("input")) or row.card.state("input")


# --- one step at a time ---


@pytest.fixture
def tape(store_url: str) -> Tape:
    return Tape(store_url)


def polled(tape: Tape, *hours: float) -> tuple[int, int]:
    """A source that was polled every so often, and an endpoint of it."""
    source = tape.source("acme")
    for at in hours:
        tape.poll(source, at_hour(at))
    return source, tape.endpoint(source, "acme", MODEL)


def asked(tape: Tape, at: float, known: float | None = None) -> list[IntervalRow]:
    with open_store(tape.url) as reader:
        return endpoints(reader, MODEL, at_hour(at), known=None if known is None else at_hour(known))


def moved(tape: Tape, known: float | None = None, **narrowed: Any) -> list[ChangeRow]:
    with open_store(tape.url) as reader:
        return list(changes(reader, known=None if known is None else at_hour(known), **narrowed))


def test_an_end_counts_from_the_instant_at_which_it_became_known(tape: Tape) -> None:
    _, endpoint = polled(tape, 0, 1, 2, 3, 27)
    tape.interval(
        endpoint,
        at_hour(0),
        CARD,
        ended=at_hour(2),
        end_reason="withdrawn",
        last_seen=at_hour(1),
        end_known=at_hour(27),
    )
    tape.gap(endpoint, at_hour(2), at_hour(1), until=at_hour(27))
    (row,) = asked(tape, 3, known=26)
    assert (row.ended, row.end_reason, row.unseen_since, row.last_seen) == (None, None, at_hour(2), at_hour(1))
    assert asked(tape, 3, known=27) == asked(tape, 3) == []
    assert [one.ended for one in asked(tape, 1.5)] == [at_hour(2)]
    assert (moved(tape, 26), [row.known for row in moved(tape, 27)]) == ([], [at_hour(27)] * 2)


def test_known_instants_are_half_open(tape: Tape) -> None:
    _, endpoint = polled(tape, 0)
    tape.interval(endpoint, at_hour(0), CARD, known=at_hour(1), known_to=at_hour(5))
    tape.interval(endpoint, at_hour(0), DEARER, known=at_hour(5))
    moment = 1 / 3600
    found = [[row.card for row in asked(tape, 0, known)] for known in (1 - moment, 1, 5 - moment, 5)]
    assert found == [[], [CARD], [CARD], [DEARER]]


def test_a_belief_that_is_held_again_stands_once(tape: Tape) -> None:
    _, endpoint = polled(tape, 0)
    tape.interval(endpoint, at_hour(0), CARD, known_to=at_hour(5))
    tape.interval(endpoint, at_hour(0), CARD, known=at_hour(5))
    assert [len(asked(tape, 6, known)) for known in (0, 4, 5, 9)] == [1, 1, 1, 1]
    assert not moved(tape)
    with open_store(tape.url) as reader:
        both = list(history(reader, MODEL, at_hour(9), superseded=True))
        assert len(list(history(reader, MODEL, at_hour(9)))) == 1
    assert [(row.known_from, row.known_to) for row in both] == [(at_hour(0), at_hour(5)), (at_hour(5), None)]


def test_what_is_superseded_stands_as_it_was_last_believed(tape: Tape) -> None:
    source, endpoint = polled(tape, 0, 1, 2, 7)
    tape.interval(endpoint, at_hour(0), CARD, known_to=at_hour(5))
    tape.gap(endpoint, at_hour(2), at_hour(1), known_to=at_hour(5))
    tape.interval(endpoint, at_hour(0), DEARER, known=at_hour(5))
    tape.finding(source, at_hour(0), endpoint=endpoint)
    with open_store(tape.url) as reader:
        old, new = history(reader, MODEL, at_hour(900), superseded=True)
        (then,) = history(reader, MODEL, at_hour(900), known=at_hour(4), superseded=True)
    assert (old.last_seen, old.known_to, old.stale, old.disputed, old.unseen_since) == (
        at_hour(1), at_hour(5), False, False, None,
    )  # fmt: skip
    assert (new.last_seen, new.stale, new.disputed) == (at_hour(7), True, True)
    assert (then.known_to, then.unseen_since) == (None, at_hour(2))


def test_a_poll_that_arrived_late_was_not_seen_before(tape: Tape) -> None:
    source, endpoint = polled(tape, 0, 1)
    tape.poll(source, at_hour(2), known=at_hour(9))
    tape.poll(source, at_hour(3), "partial", failed_parts=["x"], known=at_hour(10))
    tape.interval(endpoint, at_hour(0), CARD)
    assert [asked(tape, 4, known)[0].last_seen for known in (8, 9, 10)] == [at_hour(one) for one in (1, 2, 3)]


def test_what_is_stale_is_judged_as_of_the_instant_of_knowledge(tape: Tape) -> None:
    _, endpoint = polled(tape, 0)
    tape.interval(endpoint, at_hour(0), CARD)
    assert [asked(tape, 500, known)[0].stale for known in (2, 3)] == [False, True]


def test_an_endpoint_is_unseen_from_its_first_miss_until_it_is_seen_again(tape: Tape) -> None:
    _, endpoint = polled(tape, 0, 1, 2, 3, 4)
    tape.interval(endpoint, at_hour(0), CARD)
    tape.gap(endpoint, at_hour(2), at_hour(1), until=at_hour(4))
    found = [asked(tape, at)[0] for at in (1.5, 2, 3.5, 4)]
    assert [row.unseen_since for row in found] == [None, at_hour(2), at_hour(2), None]
    assert [row.last_seen for row in found] == [at_hour(1), at_hour(1), at_hour(1), at_hour(4)]


def test_findings_and_statements_end_when_that_is_known(tape: Tape) -> None:
    source, endpoint = polled(tape, 0)
    other = tape.endpoint(source, "other", MODEL)
    tape.interval(endpoint, at_hour(0), CARD)
    tape.finding(source, at_hour(1), endpoint=endpoint, card=DEARER, ended=at_hour(2), end_known=at_hour(5))
    tape.stated(other, at_hour(-9), None, CARD, first_seen=at_hour(0), ended=at_hour(2), end_known=at_hour(5))
    with open_store(tape.url) as reader:
        assert [len(catalogue.held(reader, known=at_hour(known))) for known in (0, 1, 4, 5)] == [0, 1, 1, 0]
    assert [asked(tape, 3, known)[0].disputed for known in (4, 5)] == [True, False]
    assert [len(asked(tape, -1, known)) for known in (4, 5)] == [1, 0]


# --- corrections ---


def told(rows: Iterable[ChangeRow]) -> list[tuple[str, datetime, str | None, str | None, datetime | None]]:
    return [(row.event, row.seen, row.old, row.new, row.since) for row in rows if row.meter in ("input", "")]


def test_a_mended_price_is_a_correction_seen_when_it_became_known(tape: Tape) -> None:
    _, endpoint = polled(tape, 0, 1, 2)
    tape.interval(endpoint, at_hour(1), CARD, not_before=at_hour(0), known_to=at_hour(50))
    tape.interval(endpoint, at_hour(1), DEARER, not_before=at_hour(0), known=at_hour(50))
    assert told(moved(tape, 49)) == [("arrival", at_hour(1), None, "1", None)]
    assert told(moved(tape)) == [
        ("arrival", at_hour(1), None, "2", None),
        ("correction", at_hour(50), "1", "2", at_hour(1)),
    ]
    assert [row.event for row in moved(tape, since=at_hour(49))] == ["correction"]
    assert not moved(tape, since=at_hour(51))
    assert not moved(tape, since=at_hour(2), until=at_hour(50))
    correction = moved(tape)[-1]
    assert (correction.known, correction.until, correction.change_percent) == (at_hour(50), None, "100")


def test_a_dropped_belief_is_a_correction_to_nothing(tape: Tape) -> None:
    _, endpoint = polled(tape, 0, 1, 2)
    tape.interval(endpoint, at_hour(1), CARD, not_before=at_hour(0), known_to=at_hour(50))
    assert told(moved(tape)) == [("correction", at_hour(50), "1", None, at_hour(1))]
    assert moved(tape)[0].document is None


@pytest.mark.parametrize("late", [0.25, 500])
def test_a_past_interval_that_a_late_document_adds_is_a_correction(tape: Tape, late: float) -> None:
    """However late: also within the hour in which most polls are written."""
    source, endpoint = polled(tape, 0, 2)
    known = at_hour(2 + late)
    tape.poll(source, at_hour(1.9), known=known)
    tape.interval(
        endpoint, at_hour(0), CARD, ended=at_hour(1.9), end_reason="changed", last_seen=at_hour(0), end_known=known
    )
    tape.interval(
        endpoint, at_hour(1.9), DEARER, known=known, ended=at_hour(2), end_reason="changed", last_seen=at_hour(1.9),
        end_known=known,
    )  # fmt: skip
    tape.interval(endpoint, at_hour(2), CARD, not_before=at_hour(1.9), known=known)
    corrections = [row for row in moved(tape) if row.event == "correction"]
    assert told(corrections) == [("correction", known, "1", "2", at_hour(1.9))]
    assert corrections[0].until == at_hour(2)
    assert [row.event for row in moved(tape)] == ["change", "change", "correction"]


def test_history_from_before_the_first_poll_is_taken_over_and_corrects_nothing(tape: Tape) -> None:
    source, endpoint = polled(tape, 10)
    for at in (0, 5):
        tape.poll(source, at_hour(at), known=at_hour(90))
    tape.interval(endpoint, at_hour(10), CARD, known_to=at_hour(90))
    tape.interval(
        endpoint, at_hour(0), DEARER, known=at_hour(90), ended=at_hour(10), end_reason="changed", last_seen=at_hour(5),
        end_known=at_hour(90),
    )  # fmt: skip
    tape.interval(endpoint, at_hour(10), CARD, not_before=at_hour(5), known=at_hour(90))
    assert told(moved(tape)) == [("change", at_hour(10), "2", "1", None)]


def test_a_corrected_fact_is_told_like_a_price(tape: Tape) -> None:
    _, endpoint = polled(tape, 0, 1)
    tape.interval(endpoint, at_hour(0), CARD, Facts(context_length=1000), known_to=at_hour(50))
    tape.interval(endpoint, at_hour(0), CARD, Facts(context_length=2000), known=at_hour(50))
    assert [(row.event, row.meter, row.old, row.new) for row in moved(tape)] == [
        ("correction", "context_length", "1000", "2000")
    ]


ONE, TWO = Term(1, 1), Term(2, 1)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([(0, None, ONE)], [(0, None, ONE)], []),
        ([(0, None, ONE)], [(0, None, TWO)], [(0, None, ONE, TWO)]),
        ([(0, None, ONE)], [(0, 9, ONE), (9, None, TWO)], []),  # news: nobody had looked at 9
        ([(0, None, ONE)], [(0, 8, ONE), (8, None, TWO)], [(8, None, ONE, TWO)]),
        ([(0, None, ONE)], [(0, 3, ONE, "withdrawn")], []),
        ([(0, None, ONE)], [(0, 3, ONE, "withdrawn"), (5, None, ONE)], [(3, 5, ONE, None)]),
        ([(0, 3, ONE, "withdrawn")], [(0, 5, ONE, "withdrawn")], [(3, 5, None, ONE)]),
        ([(0, 3, ONE, "withdrawn")], [(0, None, ONE)], [(3, None, None, ONE)]),
        ([(0, 3, ONE), (3, None, TWO)], [(0, 3, ONE, "withdrawn")], [(3, None, TWO, None)]),
        ([(0, 3, ONE), (3, None, TWO)], [(0, 5, ONE), (5, None, TWO)], [(3, 5, TWO, ONE)]),
        ([(0, 3, ONE), (3, 6, ONE)], [(0, 6, TWO)], [(0, 6, ONE, TWO)]),
        ([(2, None, ONE)], [(-9, 2, TWO), (2, None, ONE)], [(0, 2, None, TWO)]),
    ],
)
def test_beliefs_are_compared_over_what_had_been_looked_at(
    before: list[Any], after: list[Any], expected: list[Any]
) -> None:
    def stretches(drawn: list[Any]) -> list[Stretch]:
        return [Stretch(first, end, bool(why), term, "d") for first, end, term, *why in drawn]

    found = compare(stretches(before), stretches(after), 0, 8)
    assert [(one.since, one.until, one.old, one.new) for one in found] == expected


# --- announcements ---


def test_a_rise_that_was_announced_and_cancelled_was_never_in_force(store_url: str) -> None:
    """A first party prices a model `through August 31, 2026` and dearer `starting September 1`; on 11 August the second
    row goes, and the low price stays."""
    low, high = usd(input=2_000_000_000, output=10_000_000_000), usd(input=3_000_000_000, output=15_000_000_000)
    september = datetime(2026, 9, 1, tzinfo=UTC)
    rise = (Stated(since=None, until=september, card=low), Stated(since=september, until=None, card=high))
    tape = Written(store_url)
    for day in range(40):
        at = datetime(2026, 8, 1, tzinfo=UTC) + timedelta(days=day)
        offer = observation("claude-sonnet-5", price=low, stated=rise if 3 <= day < 10 else ())
        seen = Sighting(at=at, complete=True, failed_parts=frozenset(), documents=DOCUMENTS, observations=(offer,))
        facts = PollFacts(at=at, outcome="ok", pack=tape.archive.keep(()))
        tape.record(SOURCE, facts, seen, RULES, known=at)
    tape.close()
    announced, cancelled = datetime(2026, 8, 4, tzinfo=UTC), datetime(2026, 8, 11, tzinfo=UTC)
    model = "author/claude-sonnet-5"
    with open_store(store_url) as reader:
        found = [(row.event, row.seen, row.meter, row.old, row.new, row.since) for row in changes(reader)]
        assert found == [
            ("announcement", announced, "input", "2", "3", september),
            ("announcement", announced, "output", "10", "15", september),
            ("announcement withdrawn", cancelled, "input", "3", "2", september),
            ("announcement withdrawn", cancelled, "output", "15", "10", september),
        ]
        as_known = list(changes(reader, known=cancelled - timedelta(days=1)))
        assert {(row.event, row.known, row.until) for row in as_known} == {("announcement", announced, None)}
        for known in (None, announced, cancelled):
            for at in (announced, cancelled, september, september + timedelta(days=5)):
                (row,) = endpoints(reader, model, at, known=known)
                assert (row.card, row.basis, row.ended) == (low, "observed", None)
        stated = [
            [(row.stated_since, row.card) for row in history(reader, model, at, known=at, stated=True)][1:]
            for at in (announced - timedelta(days=1), announced, cancelled - timedelta(days=1), cancelled)
        ]
        assert stated == [[], [(None, low), (september, high)], [(None, low), (september, high)], []]


def test_a_price_that_comes_as_announced_is_not_an_announcement_withdrawn(tape: Tape) -> None:
    _, endpoint = polled(tape, 0, 5, 6)
    tape.interval(endpoint, at_hour(0), CARD, ended=at_hour(6), end_reason="changed", last_seen=at_hour(5))
    tape.interval(endpoint, at_hour(6), DEARER, not_before=at_hour(5))
    tape.stated(endpoint, at_hour(6), None, DEARER, first_seen=at_hour(0), ended=at_hour(6))
    tape.stated(endpoint, at_hour(0), None, CARD, first_seen=at_hour(0))
    assert told(moved(tape)) == [
        ("announcement", at_hour(0), "1", "2", at_hour(6)),
        ("change", at_hour(6), "1", "2", None),
    ]


def test_an_announced_price_of_an_offer_that_nobody_has_seen_answers_from_its_time_on(tape: Tape) -> None:
    _, endpoint = polled(tape, 0)
    tape.stated(endpoint, at_hour(6), None, CARD, first_seen=at_hour(0))
    assert [[row.basis for row in asked(tape, at, 1)] for at in (1, 5, 6)] == [[], [], ["stated"]]
    assert told(moved(tape)) == [("announcement", at_hour(0), None, "1", at_hour(6))]


# --- how the store is read ---


@pytest.mark.parametrize(
    "statement",
    [
        intervals_module._OBSERVED_AT,
        intervals_module._STATED_AT,
        intervals_module._OBSERVED_IN,
        intervals_module._STATED_IN,
        changes_module._CHANGES,
        catalogue._MODELS,
        catalogue._HELD,
    ],
    ids=["endpoints", "stated", "history", "stated history", "changes", "models", "held"],
)
def test_no_question_goes_through_the_whole_history(tmp_path: Path, statement: str) -> None:
    values = dict.fromkeys(
        ("at", "seen", "known", "model", "provider", "source", "since", "until", "late_since", "superseded", "pattern")
    )
    with open_store(Tape(tmp_path / "tape.db").url) as reader:
        plan = [str(row[3]) for row in reader.rows(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not [step for step in plan if re.match(r"SCAN (i|o|w|x|c|u|t|b|span|gap|stated|poll)\b", step)], plan
    assert [step for step in plan if re.match(r"SEARCH (span|t)\b", step)], plan


def test_the_endpoints_of_a_model_are_found_by_indexes_alone(tmp_path: Path) -> None:
    values = dict.fromkeys(("at", "seen", "known", "model", "provider", "source"))
    with open_store(Tape(tmp_path / "tape.db").url) as reader:
        rows = reader.rows(f"EXPLAIN QUERY PLAN {intervals_module._OBSERVED_AT}", values)
        plan = [str(row[3]) for row in rows]
    assert not [step for step in plan if step.startswith("SCAN")], plan
    assert "SEARCH span USING PRIMARY KEY (endpoint_id=? AND first_seen=?)" in plan, plan
