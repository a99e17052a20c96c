"""Documents of before others came: they change nothing at once, and are believed once they last."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import checks, mend, verify
from collector.settings import CheckSettings
from store.instants import utc_now
from store.records import Returned, Sighting
from store.returned import BEHIND, Sent
from tests.test_held import MODEL, World, at, configuration
from tests.test_timeline import OTHERS, card, hour, intervals, run, see, store_digest
from tests.worlds import observation

RULES = checks.rules(CheckSettings())
OLD, NEW = {"in": "2"}, {"in": "3"}


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> World:
    return World(configuration(tmp_path, store_url), store_url)


def rules(world: World) -> set[tuple[str, str]]:
    """What is held: about what, and by which rule."""
    return {(row.subject, row.rule) for row in world.held()}


HELD = {("", "rollback"), (f"deepinfra {MODEL}", "rollback")}


@pytest.mark.fault(24)
def test_an_old_price_that_comes_back_with_its_document_waits_and_is_believed_once_it_lasts(world: World) -> None:
    for number, offer in ((0, OLD), (1, NEW), (2, OLD), (14, OLD)):
        world.see("first", number, **offer)
    assert rules(world) == HELD
    assert world.history("first") == [("2", at(0), at(1)), ("3", at(1), None)]
    world.see("first", 26, **OLD)
    assert not world.held()
    assert world.history("first") == [("2", at(0), at(1)), ("3", at(1), at(26)), ("2", at(26), None)]


@pytest.mark.fault(24)
def test_copies_old_and_new_in_turn_change_nothing(world: World) -> None:
    for number in range(9):
        world.see("first", 12 * number, **(OLD, NEW)[number % 2])
    assert world.history("first") == [("2", at(0), at(12)), ("3", at(12), None)]
    assert rules(world) == HELD
    world.see("first", 100, **NEW)
    assert not world.held()


@pytest.mark.fault(24)
def test_an_old_price_in_a_new_document_is_believed_at_once(world: World) -> None:
    for number, offer in ((0, OLD), (1, NEW), (2, OLD), (3, OLD | {"out": "5"})):
        world.see("first", number, **offer)
    assert not world.held()
    assert [one[:2] for one in world.history("first")] == [("2", at(0)), ("3", at(1)), ("2", at(3))]


def test_what_came_back_is_believed_at_once_where_a_second_source_says_so(world: World) -> None:
    for number, offer in ((0, OLD), (1, NEW), (2, OLD)):
        world.see("first", number, **offer)
    world.see("third", 3, **OLD)
    assert not world.held()
    assert world.history("first")[-1] == ("2", at(2), None)


@pytest.mark.parametrize("verdict", ["release", "reject"])
def test_a_person_decides_on_all_that_came_back_at_once(world: World, verdict: str) -> None:
    for number, offer in ((0, OLD), (1, NEW), (2, OLD)):
        world.see("first", number, **offer)
    (ref,) = {row.held_ref for row in world.held() if not row.subject}
    assert world.say(verdict, ref).exit_code == 0
    assert not world.held()
    for number in (3, 30, 60):
        world.see("first", number, **OLD)
    released = [("2", at(0), at(1)), ("3", at(1), at(2)), ("2", at(2), None)]
    assert world.history("first") == (released if verdict == "release" else [("2", at(0), at(1)), ("3", at(1), None)])


def test_what_was_said_a_month_ago_is_said_anew(world: World) -> None:
    world.see("first", 0, **OLD)
    world.see("first", 1, **NEW)
    world.see("first", BEHIND / timedelta(hours=1) + 1, **OLD)
    assert not world.held()
    assert len(world.history("first")) == 3


def back(one: Sighting, since: float) -> Sighting:
    """The same, in documents that came back at an hour, last seen at hour 0."""
    return Sighting(
        at=one.at,
        complete=one.complete,
        documents=one.documents,
        observations=one.observations,
        returned=Returned(since=hour(since), of=hour(0)),
    )


def test_what_had_ended_does_not_come_back_with_an_old_document_and_absence_has_its_own_patience() -> None:
    ended, young = observation("ended", price=card(5)), observation("young", price=card(5))
    seen = [
        see(0, ended, *OTHERS),
        *(see(n, young, *OTHERS) for n in (1, 20, 40, 60)),
        *(back(see(n, ended, *OTHERS), 70) for n in (70, 80, 90)),
    ]
    steps = run(seen)
    found = intervals(steps)
    assert [one.end_reason for one in found[ended.key]] == ["withdrawn"]
    assert [(one.ended, one.unseen_since) for one in found[young.key]] == [(None, hour(70))]
    assert all(taken.complete for taken in steps)
    later = intervals(run([*seen, *(back(see(n, ended, *OTHERS), 70) for n in (95, 120))]))
    assert [one.first_seen for one in later[ended.key]] == [hour(0), hour(95)]
    assert [one.ended for one in later[young.key]] == [hour(70)]


def test_old_documents_that_say_the_same_as_new_ones_are_nothing_to_be_told() -> None:
    offers = [observation("one", price=card(5)), *OTHERS]
    steps = run([see(0, *offers), see(1, *offers), *(back(see(n, *offers), 2) for n in (2, 3))])
    assert not [event for taken in steps[1:] for event in taken.events]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_documents_are_old_only_where_others_came_between(packs: list[int]) -> None:
    sent = Sent()
    for number, pack in enumerate(packs):
        start = number
        while start and packs[start - 1] == pack:
            start -= 1
        before = [place for place in range(start) if packs[place] == pack]
        wanted = Returned(since=hour(start), of=hour(before[-1])) if before else None
        assert sent.take(hour(number), str(pack)) == wanted


STEPS = st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["2", "3", "90"])), min_size=2, max_size=8)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_whatever_comes_back_the_order_of_arrival_changes_nothing(
    drawn: Sequence[tuple[int, str]], random: object
) -> None:
    """Polled in order, polled in another order, and taken from an archive in two runs."""
    hours, polls = 0, []
    for wait, price in drawn:
        hours += wait
        polls.append((hours, price))
    shuffled = [*polls]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    half = len(polls) // 2
    digests = []
    with TemporaryDirectory() as folder:
        for name, order in (("in-order", polls), ("shuffled", shuffled), ("archive", None)):
            home = Path(folder, name)
            home.mkdir()
            world = World(configuration(home, f"{home}/tape.db"), f"{home}/tape.db")
            if order is not None:
                for number, price in order:
                    world.see("first", number, **{"in": price})
            else:
                for some in (polls[:half], polls[half:]):
                    documents = [world.document("first", number, **{"in": price}) for number, price in some]
                    arrivals = [mend.Arrival(at=one.fetched_at, documents=(one,)) for one in documents]
                    with world.tape() as tape:
                        spec = world.config.sources["first"]
                        mend.backfill(world.config.checks, tape, spec, arrivals, known=utc_now())
            with world.tape() as tape:
                assert not [*verify.faults(world.config.checks, tape, world.config.sources, utc_now())]
            digests.append(store_digest(home / "tape.db"))
    assert digests[0] == digests[1] == digests[2]
