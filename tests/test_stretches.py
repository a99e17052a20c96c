"""Stretches of time are a short cut, and nothing else: at every instant they answer as the question itself does."""

from datetime import datetime, timedelta

from hypothesis import given, settings

from store.costing import Unpriced
from store.currency import Converter
from store.intervals import endpoints
from store.offers import Wanted, choose
from store.read import open_store
from store.stretches import Stretches
from store.variants import TIER
from tests.stores import Stores
from tests.tape import Tape, hour, usd
from tests.test_known_at import arrive
from tests.test_known_at import hour as world_hour
from tests.worlds import MODELS, Poll, polls

CHEAP, DEAR = usd(input=1, output=1), usd(input=2, output=2)
WANTED = [Wanted(f"author/{model}", "p") for model in MODELS]


def told(found: object) -> object:
    """What matters of a choice."""
    return found.reason if isinstance(found, Unpriced) else (found.ref, found.card, found.stale, found.disputed)  # type: ignore[attr-defined]


@settings(max_examples=25)
@given(drawn=polls(most=7))
def test_at_every_instant_and_for_every_belief_the_choice_is_that_of_the_question_itself(drawn: list[Poll]) -> None:
    with Stores(None).new() as url:
        knowns: list[datetime | None] = [*arrive(url, drawn), None]
        into = Converter()
        with open_store(url) as reader:
            for known in knowns[-3:]:
                stretches = Stretches(reader, into, known)
                for quarter in range(-8, 4 * 130, 3):
                    at = world_hour(quarter / 4) + timedelta(minutes=7)
                    for wanted in WANTED:
                        rows = endpoints(reader, wanted.model, at, known=known)
                        found = stretches.at(wanted.model, at).chosen(wanted)
                        row = found if isinstance(found, Unpriced) else found.row
                        assert told(row) == told(choose(rows, wanted, at, into)), (at, known)


def test_a_source_that_falls_silent_gives_way_and_answers_again_as_it_does_for_the_question_itself(
    store_url: str,
) -> None:
    tape = Tape(store_url)
    page, router = tape.source("page", trust=0), tape.source("router", trust=1)
    for polled in (0, 1, 2, 12, 13):
        tape.poll(page, hour(polled))
    tape.poll(page, hour(7), "partial", failed_parts=["other"])
    for polled in (*range(16), *range(728, 740)):
        tape.poll(router, hour(polled))
    tape.interval(tape.endpoint(page, "acme", "a/m"), hour(0), DEAR)
    sold = tape.endpoint(router, "acme", "a/m")
    tape.interval(sold, hour(0), CHEAP, ended=hour(3), end_reason="changed", last_seen=hour(2))
    tape.interval(sold, hour(3), DEAR, not_before=hour(2))
    wanted = Wanted("a/m", "acme")
    with open_store(store_url) as reader:
        stretches = Stretches(reader, Converter())
        sources: list[str] = []
        for minute in (*range(0, 15 * 60, 5), *range(730 * 60, 736 * 60, 5)):
            at = hour(minute / 60)
            found = stretches.at("a/m", at).chosen(wanted)
            row = choose(endpoints(reader, "a/m", at), wanted, at, Converter())
            assert not isinstance(found, Unpriced)
            assert not isinstance(row, Unpriced)
            assert (found.row.source, found.row.card) == (row.source, row.card), at
            if not sources or sources[-1] != row.source:
                sources.append(row.source)
        # Stale two hours and a quarter after 02:00, when the other has seen a newer price; heard in part at 07:00;
        # and not heard of for thirty days after 13:00.
        assert sources == ["page", "router", "page", "router"]
        assert len(list(stretches.during("a/m", hour(3), hour(8)))) > 1
        assert len(list(stretches.during("a/m", hour(0.25), hour(0.5)))) == 1


def test_other_variants_are_those_that_differ_in_parts_of_one_kind_only(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("router")
    tape.poll(source, hour(0))
    for variant in ("", "batch", "fp8/flex", "us-east-1", "us-east-1/batch", "eu-west-1/batch"):
        tape.interval(tape.endpoint(source, "acme", "a/m", tag=variant, variant=variant), hour(0), CHEAP)
    with open_store(store_url) as reader:
        stretch = Stretches(reader, Converter()).at("a/m", hour(1))
        for variant, others in (("", ["batch", "flex"]), ("us-east-1", ["batch/us-east-1"]), ("eu-west-1/batch", [])):
            found = stretch.others(Wanted("a/m", "acme", variant), TIER)
            assert [one.variant for one in found] == others
