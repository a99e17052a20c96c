"""The timeline as a pure function: intervals, absence, siblings, held quotes, and its fast path in the store."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import checks
from collector.settings import CheckSettings
from store.records import EndpointKey, Facts, RateCard, Said, Sighting, Stated, Verdicts
from store.timeline import Interval, Opened, SourceState, Step, Updated, step
from store.write import KeptPoll, PollFacts, Replayed, SourceFacts, Tape
from tests import worlds
from tests.worlds import DOCUMENTS, MODELS, START, Poll, build, observation, polls

RULES = checks.rules(CheckSettings())
JUDGE, PATIENCE = RULES.judge, RULES.patience
SOURCE = SourceFacts(name="s", trust=1, every_s=3600)


def card(price: int) -> RateCard:
    """A plain card, in thousandths of a USD per 1M tokens."""
    return worlds.card(price * 1_000_000)


def run(sightings: Iterable[Sighting]) -> list[Step]:
    return list(build(sorted(sightings, key=lambda one: one.at), JUDGE, PATIENCE))


def intervals(steps: Sequence[Step]) -> dict[EndpointKey, list[Interval]]:
    """Every interval as it stands after the last step."""
    found: dict[tuple[EndpointKey, datetime], Interval] = {}
    for taken in steps:
        for event in taken.events:
            if isinstance(event, Opened | Updated):
                found[event.key, event.interval.first_seen] = event.interval
    ordered: dict[EndpointKey, list[Interval]] = {}
    for (key, _), interval in sorted(found.items(), key=lambda item: item[0][1]):
        ordered.setdefault(key, []).append(interval)
    return ordered


def see(hour: float, *observations: object, failed: frozenset[str] = frozenset()) -> Sighting:
    return Sighting(
        at=START + timedelta(hours=hour),
        complete=not failed,
        failed_parts=failed,
        documents=DOCUMENTS,
        observations=observations,  # type: ignore[arg-type]
    )


def hour(value: float) -> datetime:
    return START + timedelta(hours=value)


OTHERS = tuple(observation(f"other{n}", price=card(5)) for n in range(9))


def test_unchanged_polls_leave_one_open_interval_and_no_events() -> None:
    steps = run(see(n, observation(price=card(5))) for n in range(4))
    (only,) = intervals(steps)[EndpointKey(provider="P", model="one")]
    assert (only.first_seen, only.not_before, only.ended) == (hour(0), None, None)
    assert all(not taken.events for taken in steps[1:])


def test_change_ends_one_interval_and_begins_another_between_two_polls() -> None:
    first, second = intervals(run([see(0, observation(price=card(5))), see(3, observation(price=card(6)))])).popitem()[
        1
    ]
    assert (first.last_seen, first.ended, first.end_reason) == (hour(0), hour(3), "changed")
    assert (second.not_before, second.first_seen) == (hour(0), hour(3))


def test_change_of_a_fact_alone_begins_a_new_interval() -> None:
    wider = replace(observation(price=card(5)), facts=Facts(context_length=2000))
    (found,) = intervals(run([see(0, observation(price=card(5))), see(1, wider)])).values()
    assert [one.facts.context_length for one in found] == [1000, 2000]


@pytest.mark.fault(112)
def test_small_losses_that_add_up_to_a_tenth_hold_the_absence() -> None:
    """Three of a hundred are gone from each poll, never to come back: twelve in the fourth, before any is believed."""
    offers = [observation(f"model{number}", price=card(5)) for number in range(100)]
    steps = run(see(hour, *offers[3 * hour :]) for hour in range(21))
    assert [taken.complete for taken in steps] == [True] * 4 + [False] * 17
    assert all(one[0].ended is None for one in intervals(steps).values())


@pytest.mark.fault(112)
@given(st.lists(st.integers(0, 2), min_size=5, max_size=60), st.integers(3, 30))
def test_however_slowly_an_upstream_leaks_no_tenth_of_its_offers_is_believed_to_be_gone(
    lost: list[int], hours: int
) -> None:
    """Of forty, which would be four: no poll loses more than two, and absence is believed after a day or more."""
    offers = [observation(f"model{number}", price=card(5)) for number in range(40)]
    left = [max(40 - sum(lost[:place]), 1) for place in range(len(lost) + 1)]
    within = [place for place in range(len(left)) if place * hours <= 24 * 29]
    steps = run(see(hours * place, *offers[: left[place]]) for place in within)
    assert sum(one[-1].ended is not None for one in intervals(steps).values()) <= 3
    held = [taken.complete for taken in steps]
    assert held == [left[place] > 36 for place in within]


@pytest.mark.fault(112)
def test_a_leak_is_held_until_what_is_gone_comes_back_and_time_alone_changes_nothing() -> None:
    offers = [observation(f"model{number}", price=card(5)) for number in range(40)]
    leaking = [see(24 * day, *offers[: max(40 - day // 2, 35)]) for day in range(100)]
    steps = run([*leaking, see(24 * 100, *offers[:38]), see(24 * 101, *offers[:38])])
    assert [taken.complete for taken in steps] == [True] * 8 + [False] * 92 + [True] * 2
    (told,) = {finding.message for taken in steps for finding in taken.state.findings}
    assert told == "at least 4 of the 40 offers of 2026-01-02 are gone: their absence does not count"


@pytest.mark.fault(112)
def test_a_leak_that_is_released_is_what_the_next_one_is_measured_against() -> None:
    offers = [observation(f"model{number}", price=card(5)) for number in range(40)]
    told = "at least 4 of the 40 offers of 2026-01-02 are gone: their absence does not count"
    state = SourceState(verdicts={("", told): Said(released=True)})
    counted = []
    for day in range(60):
        state = (taken := step(state, see(24 * day, *offers[: max(40 - day // 2, 20)]), JUDGE, PATIENCE)).state
        counted.append(taken.complete)
    assert counted == [True] * 16 + [False] * 44
    assert [finding.message for finding in state.findings] == [
        "at least 15 of the 36 offers of 2026-01-10 are gone: their absence does not count"
    ]


def test_offers_that_others_take_the_place_of_are_not_lost() -> None:
    offers = [observation(f"model{number}", price=card(5)) for number in range(100)]
    steps = run(see(24 * day, *offers[2 * day :][:40]) for day in range(30))
    assert all(taken.complete for taken in steps)


@pytest.mark.fault(101)
def test_another_id_at_the_same_price_is_another_endpoint_and_the_old_one_ends_by_absence() -> None:
    old, new = observation("old", price=card(5)), observation("new", price=card(5))
    found = intervals(run([see(0, old, *OTHERS), *(see(n, new, *OTHERS) for n in (5, 10, 29))]))
    assert [one.end_reason for one in found[old.key]] == ["withdrawn"]
    assert [one.ended for one in found[new.key]] == [None]


@pytest.mark.fault(109)
def test_gap_shorter_than_patience_leaves_no_trace_in_prices() -> None:
    one = observation(price=card(5))
    steps = run([see(0, one, *OTHERS), *(see(n, *OTHERS) for n in (1, 2, 3, 4)), see(20, one, *OTHERS)])
    (only,) = intervals(steps)[one.key]
    assert (only.first_seen, only.ended, only.unseen_since) == (hour(0), None, None)


def test_confirmed_absence_ends_the_interval_at_the_first_miss() -> None:
    one = observation(price=card(5))
    steps = run([see(0, one, *OTHERS), see(2, one, *OTHERS), *(see(n, *OTHERS) for n in (5, 10, 29))])
    (only,) = intervals(steps)[one.key]
    assert (only.last_seen, only.ended, only.end_reason) == (hour(2), hour(5), "withdrawn")


def test_two_misses_a_day_apart_are_not_enough() -> None:
    one = observation(price=card(5))
    steps = run([see(0, one, *OTHERS), see(5, *OTHERS), see(40, *OTHERS)])
    (only,) = intervals(steps)[one.key]
    assert only.ended is None
    assert only.unseen_since == hour(5)


@pytest.mark.fault(110)
def test_return_after_withdrawal_is_a_new_interval_of_the_same_endpoint() -> None:
    one = observation(price=card(5))
    steps = run([see(0, one, *OTHERS), *(see(n, *OTHERS) for n in (5, 10, 29)), see(50, one, *OTHERS)])
    first, second = intervals(steps)[one.key]
    assert (first.ended, second.not_before, second.first_seen) == (hour(5), hour(29), hour(50))


def test_absence_from_an_incomplete_poll_does_not_count() -> None:
    one, other = observation(price=card(5), part="a/x"), observation("far", price=card(5), part="b/y")
    late = [see(n, *OTHERS, failed=frozenset({"b/y"})) for n in range(1, 60, 6)]
    steps = run([see(0, one, other, *OTHERS), *late])
    found = intervals(steps)
    assert found[one.key][0].ended is None
    assert found[one.key][0].unseen_since == hour(1)
    assert found[other.key][0].unseen_since is None


def test_part_that_did_not_answer_is_not_proof_that_an_offer_was_not_there_before() -> None:
    far = observation("far", price=card(5), part="b/y")
    steps = run([see(0, *OTHERS), see(1, *OTHERS, failed=frozenset({"b/y"})), see(2, far, *OTHERS)])
    assert intervals(steps)[far.key][0].not_before == hour(0)


@pytest.mark.fault(63, 111)
def test_a_third_missing_at_once_holds_the_absence() -> None:
    steps = run([see(0, *OTHERS), *(see(n, *OTHERS[:5]) for n in (1, 20, 40, 60))])
    assert all(one[0].ended is None for one in intervals(steps).values())
    assert [finding.rule for finding in steps[-1].state.findings] == ["mass_absence"]
    assert not steps[-1].complete


def test_quote_ten_times_dearer_is_held_and_counts_as_seen() -> None:
    one = observation(price=card(5))
    steps = run([see(0, one), *(see(n, observation(price=card(50))) for n in (1, 30, 60))])
    (only,) = intervals(steps)[one.key]
    assert (only.card, only.ended, only.unseen_since) == (card(5), None, None)
    assert [finding.rule for finding in steps[-1].state.findings] == ["unit"]
    assert sum(len(taken.events) for taken in steps[2:]) == 0


def test_held_quote_back_within_bounds_ends_its_finding() -> None:
    steps = run(
        [see(0, observation(price=card(5))), see(1, observation(price=card(50))), see(2, observation(price=card(6)))]
    )
    (found,) = intervals(steps).values()
    assert [one.card for one in found] == [card(5), card(6)]
    assert not steps[-1].state.findings


@pytest.mark.fault(83)
def test_price_that_falls_to_zero_is_held() -> None:
    steps = run([see(0, observation(price=card(5))), see(1, observation(price=card(0)))])
    assert {finding.rule for finding in steps[-1].state.findings} == {"to_zero"}


@pytest.mark.fault(83)
def test_new_offer_at_zero_is_unknown_until_it_has_lasted() -> None:
    zero = observation(price=card(0))
    steps = run(see(n, zero) for n in (0, 10, 20, 30))
    (found,) = intervals(steps).values()
    assert [one.card.state("input") for one in found] == ["unknown", "free"]
    assert [one.first_seen for one in found] == [hour(0), hour(30)]


def test_new_offer_at_zero_that_gets_its_price_has_one_change() -> None:
    steps = run([see(0, observation(price=card(0))), see(0.5, observation(price=card(7)))])
    (found,) = intervals(steps).values()
    assert [one.card.state("input") for one in found] == ["unknown", "priced"]


def test_offer_declared_free_is_free_from_its_birth() -> None:
    free = replace(observation(price=card(0)), declared_free=True)
    (found,) = intervals(run([see(0, free)])).values()
    assert found[0].card.state("input") == "free"


def test_held_newcomer_is_not_on_the_tape_and_is_found() -> None:
    dear = observation(price=card(1_000_001))
    steps = run([see(0, dear)])
    assert not intervals(steps)
    assert {finding.rule for finding in steps[-1].state.findings} == {"bound"}


def siblings(*prices: tuple[int, int]) -> list[object]:
    return [observation(tag="t", price=card(price), facts=Facts(context_length=context)) for context, price in prices]


@pytest.mark.fault(106)
def test_siblings_never_swap_places_when_their_order_changes() -> None:
    steps = run([see(0, *siblings((1000, 5), (2000, 6))), see(1, *siblings((2000, 6), (1000, 5)))])
    assert not steps[1].events
    assert {key.sibling == "" for key in intervals(steps)} == {False}


def test_sibling_that_joins_later_leaves_the_first_as_it_is() -> None:
    steps = run([see(0, *siblings((1000, 5))), see(1, *siblings((2000, 6), (1000, 5)))])
    found = intervals(steps)
    assert found[EndpointKey(provider="P", model="one", tag="t")][0].ended is None
    assert len(found) == 2


def test_sibling_whose_facts_change_is_still_the_same_endpoint() -> None:
    steps = run([see(0, *siblings((1000, 5), (2000, 6))), see(1, *siblings((1000, 5), (3000, 6)))])
    found = intervals(steps)
    assert sorted(len(one) for one in found.values()) == [1, 2]


@pytest.mark.fault(107)
def test_two_prices_that_nothing_tells_apart_are_both_held() -> None:
    steps = run([see(0, *siblings((1000, 5), (1000, 6)))])
    assert not intervals(steps)
    assert {finding.rule for finding in steps[0].state.findings} == {"ambiguous_key"}


@pytest.mark.fault(108)
def test_exact_duplicates_are_one_offer() -> None:
    steps = run([see(0, *siblings((1000, 5), (1000, 5)))])
    assert list(intervals(steps)) == [EndpointKey(provider="P", model="one", tag="t")]


@pytest.mark.fault(95)
def test_stated_prices_come_and_go_beside_the_interval() -> None:
    later = Stated(since=hour(100), until=None, card=card(9))
    dated = observation(price=card(5), stated=(later,))
    steps = run([see(0, dated), see(1, observation(price=card(5)))])
    assert [type(event).__name__ for event in steps[0].events] == ["Named", "Opened", "StatedBegan"]
    assert [type(event).__name__ for event in steps[1].events] == ["StatedEnded"]


def test_held_newcomer_that_dates_its_prices_is_not_on_the_tape() -> None:
    dear = card(1_000_001)
    dated = observation(price=dear, stated=(Stated(since=hour(100), until=None, card=dear),))
    steps = run([see(0, dated)])
    assert {type(event).__name__ for event in steps[0].events} == {"FindingBegan"}


def test_telemetry_never_opens_an_interval() -> None:
    steps = run([see(0, observation(price=card(5), uptime=99)), see(1, observation(price=card(5), uptime=98))])
    assert [type(event).__name__ for event in steps[1].events] == ["Fared"]
    assert steps[1].changes == 0


@given(polls())
def test_intervals_of_an_endpoint_never_overlap_and_adjacent_ones_differ(drawn: list[Poll]) -> None:
    for found in intervals(run(poll.sighting for poll in drawn)).values():
        for before, after in pairwise(found):
            assert before.ended is not None
            assert before.ended <= after.first_seen
            assert before.first_seen <= (before.last_seen or before.first_seen) < before.ended
            if before.ended == after.first_seen:
                assert (before.card, before.facts) != (after.card, after.facts)
        for one in found:
            assert one.not_before is None or one.not_before < one.first_seen


@given(polls(), st.randoms(use_true_random=False))
def test_order_of_rows_in_a_document_changes_nothing(drawn: list[Poll], rng: object) -> None:
    def shuffled(poll: Poll) -> Sighting:
        rows = list(poll.sighting.observations)
        rng.shuffle(rows)  # type: ignore[attr-defined]
        return replace(poll.sighting, observations=tuple(rows))

    assert intervals(run(poll.sighting for poll in drawn)) == intervals(run(shuffled(poll) for poll in drawn))


@given(polls())
def test_the_same_documents_once_more_an_instant_later_add_no_interval(drawn: list[Poll]) -> None:
    twice = [
        replace(poll.sighting, at=poll.sighting.at + delay)
        for poll in drawn
        for delay in (timedelta(), timedelta(seconds=1))
    ]
    steps = run(twice)
    openings = [sum(isinstance(event, Opened) for event in taken.events) for taken in steps]
    assert not any(openings[1::2])


def store_digest(path: Path) -> list[tuple[object, ...]]:
    """Everything the timeline wrote, by names instead of row ids."""
    with sqlite3.connect(path) as connection:
        found = connection.execute(
            """
            SELECT e.published_provider, e.published_model, e.tag, e.sibling, i.first_seen, i.not_before, i.last_seen,
                   i.ended, i.end_reason, c.body, f.body
              FROM interval i JOIN endpoint e ON e.id = i.endpoint_id JOIN rate_card c ON c.id = i.card_id
              JOIN facts f ON f.id = i.facts_id WHERE i.known_to IS NULL ORDER BY 1, 2, 3, 4, 5
            """
        ).fetchall()
        found += connection.execute(
            """
            SELECT e.published_provider, e.published_model, e.tag, e.sibling, g.since, g.last_seen, g.until
              FROM gap g JOIN endpoint e ON e.id = g.endpoint_id WHERE g.known_to IS NULL ORDER BY 1, 2, 3, 4, 5
            """
        ).fetchall()
        found += connection.execute(
            """
            SELECT n.subject, n.rule, n.message, n.first_seen, n.ended, c.body FROM finding n
              LEFT JOIN rate_card c ON c.id = n.card_id WHERE n.known_to IS NULL ORDER BY 1, 2, 3, 4, 6
            """
        ).fetchall()
        found += connection.execute(
            """
            SELECT e.published_provider, e.published_model, e.tag, e.sibling, t.at, t.status, t.uptime_percent,
                   t.first_token_ms, t.tokens_per_second
              FROM telemetry t JOIN endpoint e ON e.id = t.endpoint_id ORDER BY 1, 2, 3, 4, 5
            """
        ).fetchall()
        found += connection.execute("SELECT at, complete, changes, held FROM poll ORDER BY at").fetchall()
    connection.close()
    return found


def write(path: Path, arrivals: Sequence[Poll]) -> list[tuple[object, ...]]:
    """The store after polls arrived in this order, each through the path that its instant asks for."""
    tape = Tape(f"sqlite:///{path}")
    sightings = {poll.sighting.at: poll.sighting for poll in arrivals}

    def anew(kept: Sequence[KeptPoll], _verdicts: Verdicts) -> Iterator[tuple[KeptPoll, Replayed]]:
        for poll, taken in zip(kept, build((sightings[poll.at] for poll in kept), JUDGE, PATIENCE), strict=True):
            failed = sightings[poll.at].failed_parts
            yield poll, Replayed(step=taken, outcome="partial" if failed else "ok", failed_parts=failed)

    for number, poll in enumerate(arrivals):
        sighting = poll.sighting
        known = hour(1000 + number)
        facts = PollFacts(
            at=sighting.at,
            outcome="partial" if poll.failed else "ok",
            pack=tape.archive.keep(()),
            failed_parts=sighting.failed_parts,
        )
        newest = tape.last_polls("s").newest_ok
        if newest is None or sighting.at > newest:
            tape.record(SOURCE, facts, sighting, RULES, known=known)
        else:
            tape.rebuild(SOURCE, [facts], anew, salt=RULES.salt, known=known)
    tape.close()
    return store_digest(path)


@pytest.mark.fault(117, 123)
@settings(max_examples=25)
@given(polls(most=10))
def test_polls_in_any_order_leave_the_same_store_as_in_order(drawn: list[Poll]) -> None:
    with TemporaryDirectory() as folder:
        in_order = write(Path(folder) / "a.db", sorted(drawn, key=lambda poll: poll.hour))
        as_drawn = write(Path(folder) / "b.db", drawn)
    assert in_order == as_drawn


@settings(max_examples=25)
@given(polls(most=10))
def test_fast_path_through_the_store_equals_the_fold_from_nothing(drawn: list[Poll]) -> None:
    ordered = sorted(drawn, key=lambda poll: poll.hour)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        write(path, ordered)
        with sqlite3.connect(path) as connection:
            rows = connection.execute(
                "SELECT e.published_model, e.sibling, i.first_seen, i.ended, c.body FROM interval i"
                " JOIN endpoint e ON e.id = i.endpoint_id JOIN rate_card c ON c.id = i.card_id"
            ).fetchall()
        connection.close()
    expected = {
        (
            key.model,
            key.sibling,
            round((one.first_seen - START).total_seconds()),
            None if one.ended is None else round((one.ended - START).total_seconds()),
            json.dumps(json.loads(one.card.text), sort_keys=True),
        )
        for key, found in intervals(run(poll.sighting for poll in ordered)).items()
        for one in found
    }
    start = round(START.timestamp()) * 10**3
    assert expected == {
        (
            model,
            sibling,
            (seen - start) // 10**3,
            None if ended is None else (ended - start) // 10**3,
            json.dumps(json.loads(body), sort_keys=True),
        )
        for model, sibling, seen, ended, body in rows
    }


def test_every_model_of_the_drawn_worlds_has_a_part() -> None:
    assert set(MODELS.values()) <= {"a/x", "b/y"}


def test_state_kept_between_steps_does_not_grow_with_the_number_of_polls() -> None:
    state = SourceState()
    for n in range(300):
        state = step(state, see(n, *OTHERS), JUDGE, PATIENCE).state
    assert len(state.polls) <= PATIENCE.polls
