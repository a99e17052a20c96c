"""A step over what a sighting touches is the step over everything: in memory, and through the store."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from collector import checks
from collector.settings import CheckSettings
from store.records import EndpointKey, Facts, Finding, Observation, RateCard, Sighting, Stated, Verdicts
from store.timeline import SourceState
from store.touched import AT_REST, Track, mark
from store.write import KeptPoll, PollFacts, Replayed, SourceFacts, Tape
from tests.test_timeline import store_digest
from tests.worlds import DOCUMENTS, MODELS, PARTS, START, build, card, observation

RULES = checks.rules(CheckSettings(), "1.0")
SOURCE = SourceFacts(name="s", trust=1, every_s=3600)
LATER = Stated(since=START + timedelta(days=90), until=None, card=card(9_000_000))
DEAR = 2_000 * 10**9
"""Above what any text token costs, in nano units."""


@st.composite
def offers(draw: st.DrawFn) -> Observation:
    """An offer with every reason there is not to leave it out of a step, each now and then."""
    model = draw(st.sampled_from(sorted(MODELS)))
    price = draw(st.sampled_from([None, 0, 1_000_000, 2_000_000, 40_000_000, DEAR]))
    rare = st.sampled_from([False, False, False, True])
    findings = []
    if draw(rare):
        findings.append(Finding(rule="note", message="odd", held=draw(st.booleans()), locator="x"))
    one = observation(
        model,
        tag=draw(st.sampled_from(["", "", "t"])),
        price=None if price is None else card(price),
        facts=Facts(context_length=draw(st.sampled_from([1000, 1000, 2000]))),
        part=MODELS[model],
        stated=(LATER,) if draw(rare) else (),
        findings=tuple(findings),
        uptime=draw(st.sampled_from([None, 98, 99])),
    )
    return replace(one, declared_free=draw(rare), locator=draw(st.sampled_from(["data[0]", "data[1]"])))


@st.composite
def timelines(draw: st.DrawFn, most: int = 14) -> list[Sighting]:
    """Sightings at growing hours; most of what one shows the next one shows again."""
    found: list[Sighting] = []
    shown: list[Observation] = []
    hour = 0
    for _ in range(draw(st.integers(1, most))):
        hour += draw(st.integers(1, 30))
        kept = draw(st.sets(st.integers(0, 5), max_size=2))
        shown = [one for place, one in enumerate(shown) if place not in kept] + draw(st.lists(offers(), max_size=3))
        failed = frozenset({draw(st.sampled_from(PARTS))}) if draw(st.integers(0, 4)) == 0 else frozenset[str]()
        found.append(
            Sighting(
                at=START + timedelta(hours=hour),
                complete=not failed,
                failed_parts=failed,
                documents=DOCUMENTS,
                observations=tuple(one for one in draw(st.permutations(shown)) if one.part not in failed),
            )
        )
    return found


@settings(max_examples=150)
@given(timelines())
def test_what_is_left_out_in_memory_changes_no_event(drawn: list[Sighting]) -> None:
    track = Track(SourceState(), RULES)
    for sighting, whole in zip(drawn, build(drawn, RULES.judge, RULES.patience), strict=True):
        taken = track.take(sighting)
        assert Counter(taken.events) == Counter(whole.events)
        assert (taken.complete, taken.held, taken.changes) == (whole.complete, whole.held, whole.changes)
        assert (taken.offers, taken.state.offered) == (whole.offers, whole.state.offered)
        assert taken.state.polls == whole.state.polls
        assert taken.state.endpoints.items() <= whole.state.endpoints.items()


def test_a_finding_about_an_offer_that_rests_ends_when_it_is_not_shown_any_more(tmp_path: Path) -> None:
    """Of a part that did not answer meanwhile, so that the finding outlived the poll that had it last."""
    priced, free, part = card(1_000_000), card(0), PARTS[0]
    other = observation("other", price=priced)
    shown = [
        [observation("one", price=priced, part=part)], [], [], [],
        [observation("one", price=free, part=part)], None, [], [],
    ]  # fmt: skip
    drawn = [
        Sighting(
            at=START + timedelta(days=number),
            complete=seen is not None,
            failed_parts=frozenset({part} if seen is None else ()),
            documents=DOCUMENTS,
            observations=(other, *(seen or ())),
        )
        for number, seen in enumerate(shown)
    ]
    whole = [step.held for step in build(drawn, RULES.judge, RULES.patience)]
    assert [count > 0 for count in whole[4:7]] == [True, True, False]
    track = Track(SourceState(), RULES)
    assert [track.take(one).held for one in drawn] == whole
    tape = Tape(str(tmp_path / "tape.db"))
    held = []
    for one in drawn:
        facts = PollFacts(at=one.at, outcome="ok", pack=tape.archive.keep(()))
        step = tape.record(SOURCE, facts, one, RULES, known=one.at)
        assert step is not None
        held.append(step.held)
    tape.close()
    assert held == whole


@settings(max_examples=60)
@given(timelines(), st.integers(0, 14))
def test_going_on_from_a_state_is_as_if_it_had_never_been_left(drawn: list[Sighting], place: int) -> None:
    steps = list(build(drawn, RULES.judge, RULES.patience))
    state = steps[place - 1].state if 0 < place <= len(steps) else SourceState()
    start = place if 0 < place <= len(steps) else 0
    track = Track(state, RULES)
    for sighting, whole in zip(drawn[start:], steps[start:], strict=True):
        assert Counter(track.take(sighting).events) == Counter(whole.events)


def contents(path: Path) -> list[tuple[object, ...]]:
    """All that the store says, marks and stated prices included."""
    with closing(sqlite3.connect(path)) as connection:
        marks = connection.execute("SELECT published_model, tag, sibling, part, mark FROM endpoint ORDER BY 1, 2, 3")
        stated = connection.execute(
            "SELECT e.published_model, e.tag, e.sibling, s.since, s.first_seen, s.ended FROM stated s"
            " JOIN endpoint e ON e.id = s.endpoint_id WHERE s.known_to IS NULL ORDER BY 1, 2, 3, 4, 5"
        )
        return [*marks.fetchall(), *stated.fetchall(), *store_digest(path)]


def polled(path: Path, drawn: Sequence[Sighting]) -> list[tuple[object, ...]]:
    """The store after each sighting came as a poll."""
    tape = Tape(str(path))
    for sighting in drawn:
        facts = PollFacts(at=sighting.at, outcome="ok", pack=tape.archive.keep(()), failed_parts=sighting.failed_parts)
        assert tape.record(SOURCE, facts, sighting, RULES, known=sighting.at) is not None
    tape.close()
    return contents(path)


def built(path: Path, drawn: Sequence[Sighting]) -> list[tuple[object, ...]]:
    """The store after all came late, step by step over everything."""
    tape = Tape(str(path))

    def whole(kept: Sequence[KeptPoll], _verdicts: Verdicts) -> Iterator[tuple[KeptPoll, Replayed]]:
        for poll, taken in zip(kept, build(drawn, RULES.judge, RULES.patience), strict=True):
            yield poll, Replayed(step=taken, outcome="ok", failed_parts=poll.failed_parts)

    pack = tape.archive.keep(())
    polls = [PollFacts(at=one.at, outcome="ok", pack=pack, failed_parts=one.failed_parts) for one in drawn]
    tape.rebuild(SOURCE, polls, whole, salt=RULES.salt, known=drawn[-1].at + timedelta(days=1))
    tape.close()
    return contents(path)


@settings(max_examples=40, deadline=None)
@given(timelines(most=8))
def test_what_a_poll_leaves_out_changes_nothing_in_the_store(drawn: list[Sighting]) -> None:
    with TemporaryDirectory() as folder:
        assert polled(Path(folder) / "a.db", drawn) == built(Path(folder) / "b.db", drawn)


def test_an_offer_that_had_stated_prices_only_is_remembered_when_it_comes_back_and_is_held(tmp_path: Path) -> None:
    other = observation("other", price=card(5_000_000))
    shown = [(other, observation("one", stated=(LATER,))), (other,), (other, observation("one", price=card(DEAR)))]
    drawn = [
        Sighting(at=START + timedelta(hours=number), complete=True, documents=DOCUMENTS, observations=seen)
        for number, seen in enumerate(shown)
    ]
    assert polled(tmp_path / "a.db", drawn) == built(tmp_path / "b.db", drawn)


def test_a_poll_that_shows_nothing_new_writes_its_row_and_nothing_else(tmp_path: Path) -> None:
    seen = tuple(observation(f"m{number}", price=card(5_000_000)) for number in range(50))
    tape = Tape(str(tmp_path / "tape.db"))
    dumps = []
    for hour in range(3):
        moved = tuple(replace(one, locator=f"data[{hour}]") for one in seen)
        at = START + timedelta(hours=hour)
        sighting = Sighting(at=at, complete=True, documents=DOCUMENTS, observations=moved)
        tape.record(SOURCE, PollFacts(at=at, outcome="ok", pack=tape.archive.keep(())), sighting, RULES, known=at)
        with closing(sqlite3.connect(tape.name)) as connection:
            own = ('INSERT INTO "poll"', """INSERT INTO "seal" VALUES('poll',""")
            dumps.append([line for line in connection.iterdump() if not line.startswith(own)])
    tape.close()
    assert dumps[0] == dumps[1] == dumps[2]


def marks(path: str) -> dict[str, bytes | None]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT published_model || sibling, mark FROM endpoint"))


def test_what_waits_for_time_is_visited_at_every_poll_and_what_has_ended_is_at_rest(tmp_path: Path) -> None:
    lasting = [observation(f"other{number}", price=card(5_000_000)) for number in range(9)]
    gone, newborn = observation("gone", price=card(5_000_000)), observation("newborn", price=card(0))
    siblings = [observation("twins", price=card(1_000_000), facts=Facts(context_length=size)) for size in (10, 20)]
    missing = observation("missing", price=card(5_000_000))
    tape = Tape(str(tmp_path / "tape.db"))
    for hour in (0, 1, 10, 26):
        shown = [*lasting, *siblings, newborn]
        shown += [gone, missing] if hour == 0 else [missing] if hour < 26 else []
        at = START + timedelta(hours=hour)
        sighting = Sighting(at=at, complete=True, documents=DOCUMENTS, observations=tuple(shown))
        tape.record(SOURCE, PollFacts(at=at, outcome="ok", pack=tape.archive.keep(())), sighting, RULES, known=at)
        if hour == 10:
            assert marks(tape.name)["newborn"] is None
    tape.close()
    found = marks(tape.name)
    assert found["other0"] == mark(lasting[0], RULES.salt)
    assert found["gone"] == AT_REST
    assert found["missing"] is None
    assert {value for name, value in found.items() if name.startswith("twins")} == {None}
    assert found["newborn"] == mark(newborn, RULES.salt)


def test_other_rules_look_at_everything_anew(tmp_path: Path) -> None:
    """What one setting holds, another lets pass, though the document is the same."""
    dear = observation("dear", price=card(DEAR))
    tape = Tape(str(tmp_path / "tape.db"))
    for hour, limit in enumerate((5000, 5000, 1000)):
        at = START + timedelta(hours=hour)
        sighting = Sighting(at=at, complete=True, documents=DOCUMENTS, observations=(dear,))
        rules = checks.rules(CheckSettings(above_usd=limit))
        step = tape.record(
            SOURCE, PollFacts(at=at, outcome="ok", pack=tape.archive.keep(())), sighting, rules, known=at
        )
        assert step is not None
        assert bool(step.held) == (limit == 1000)
    tape.close()


@given(offers(), offers())
def test_marks_are_equal_exactly_where_observations_are_apart_from_their_place(
    one: Observation, other: Observation
) -> None:
    def placeless(seen: Observation) -> Observation:
        return replace(seen, locator="", findings=tuple(replace(each, locator="") for each in seen.findings))

    assert (mark(one, b"") == mark(other, b"")) == (placeless(one) == placeless(other))
    assert mark(one, b"") != mark(one, b"other")


def test_a_mark_does_not_depend_on_what_objects_share() -> None:
    """A value read twice and a value shared are the same value."""
    text = "".join(["a", "uthor/model"])
    shared = Observation(key=EndpointKey(text, text), identity=observation().identity, card=card(7), facts=Facts())
    apart = Observation(
        key=EndpointKey("author/model", "author/model"[:]),
        identity=observation().identity,
        card=RateCard.from_text(card(7).text),
        facts=Facts.from_text(Facts().text),
    )
    assert mark(shared, b"s") == mark(apart, b"s")
