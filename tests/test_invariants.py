"""What holds after any script of polls, faults, kills, retries, late arrivals and steps of the clock, on either engine.

A script is played to a store; so is the same script in its plain form: the polls that were whole, each once, in the
order of their instants. What must always hold is asked of both.

What must hold has numbers, and the docstrings of properties name what they show: here 1 to 17, 19 and, of bodies, 21;
`test_routing.py` has the rest of 17. 18 export and import, 21 any bytes from the socket on, 23 names as text, 25 that
`verify` is complete and 26 health are in `test_kept.py`, 20 exactly once in `test_once.py`, 22 secrets in
`test_planted.py`, 24 the gate of addresses in `test_spellings.py`.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector import mend
from collector.config import Config
from collector.contract import SourceSpec
from collector.mend import Arrival
from collector.poll import Poller
from collector.sighting import Received
from store.catalogue import HeldRow, held
from store.columns import ENDPOINTS
from store.constraints import GONE
from store.export import write
from store.instants import from_millis, to_millis
from store.intervals import GRACE_S, IntervalRow, current, history
from store.read import open_store
from store.records import Document, Verdict
from store.routing import Constraints, Workload, rank
from store.write import Tape
from tests.changing import START, configured
from tests.simulated import ROWS, WHOLE, Price, body, simulate
from tests.stores import Server, Stores, content, rows
from tests.test_crash import faults

Notation = Callable[[bytes], bytes]
"""A body, with its amounts written in another way."""
MODELS = ("one", "two", "three", "four")
PRICES: tuple[Price, ...] = ((10**9, 2 * 10**9), (15 * 10**8, 2 * 10**9), (3 * 10**9, 9 * 10**9))
ANOTHER = dict.fromkeys(MODELS, PRICES[0])
"""What the other source always says."""


@dataclass(frozen=True)
class Act:
    """One thing that happens."""

    kind: str
    """`poll`, `fault`, `killed` (archived, and not written), `again` (the poll before, once more)."""
    hours: int
    """Since the act before, by the clock; less than none where it was set back."""
    offers: tuple[tuple[str, int], ...]
    """Model and number of its price."""
    fault: str


OFFERS = st.lists(
    st.tuples(st.sampled_from(MODELS), st.integers(0, 2)), min_size=2, max_size=4, unique_by=lambda o: o[0]
)
ACTS = st.builds(
    Act,
    kind=st.sampled_from(["poll", "poll", "poll", "fault", "killed", "again"]),
    hours=st.sampled_from([1, 1, 6, 12, 30, -3]),
    offers=OFFERS.map(tuple),
    fault=st.sampled_from(sorted(WHOLE)),
)
SCRIPTS = st.lists(ACTS, min_size=1, max_size=8)


@dataclass(frozen=True)
class Poll:
    """What was said at an instant."""

    at: datetime
    said: bytes
    good: bool


class Played:
    """A script, played to a store."""

    def __init__(self, config: Config, url: str, archive: str) -> None:
        self.config, self.url, self.archive = config, url, archive
        self.polls: list[Poll] = []
        """That are in the store."""
        self.spec, self.other = config.sources.values()
        self._tape = Tape(url, archive)

    def play(
        self,
        script: Sequence[Act],
        *,
        faulty: bool = True,
        notation: Notation = bytes,
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        """All of it; without its faults, if that is asked for."""
        at = START
        for act in script:
            at += timedelta(hours=act.hours)
            while at in {poll.at for poll in self.polls} and act.kind != "again":
                at += timedelta(seconds=1)
            world = {model: PRICES[number] for model, number in act.offers}
            if act.kind == "again":
                if self.polls:
                    self.take(self.spec, self.polls[-1])
            elif act.kind == "killed":
                self._tape.archive.keep(self._documents(self.spec, at, body(world)))
            elif act.kind == "poll":
                self.polls.append(Poll(at, notation(body(world)), good=True))
                self.take(self.spec, self.polls[-1])
            elif faulty:
                made = WHOLE[act.fault](world, next(iter(world)))
                assert isinstance(made, bytes)
                self.take(self.spec, Poll(at, made, good=False))
            self.take(self.other, Poll(at, body(ANOTHER), good=True))
            after_each()
        self._tape.close()

    def take(self, spec: SourceSpec, poll: Poll) -> None:
        """As polled at its instant."""
        poller = Poller(self.config, self._tape, None, clock=lambda: poll.at, environ={})  # type: ignore[arg-type]
        report = poller.take(spec, poll.at, Received(documents=self._documents(spec, poll.at, poll.said), failures={}))
        assert (report.outcome == "ok") == poll.good, report

    def _documents(self, spec: SourceSpec, at: datetime, said: bytes) -> tuple[Document, ...]:
        return (Document(source=spec.id, url=spec.url, fetched_at=at, status=200, body=said),)

    def beliefs(self, source: str = "source0") -> list[tuple[Any, ...]]:
        """Intervals that are believed, by endpoint and instant."""
        return rows(
            self.url,
            "SELECT e.published_model, i.first_seen, i.ended, i.end_reason, i.not_before, c.input, c.output"
            ' FROM "interval" i'
            " JOIN endpoint e ON e.id = i.endpoint_id JOIN source s ON s.id = e.source_id"
            f" JOIN rate_card c ON c.id = i.card_id WHERE i.known_to IS NULL AND s.name = '{source}' ORDER BY 1, 2",
        )


@contextmanager
def played(
    stores: Stores, script: Sequence[Act], *, faulty: bool = True, notation: Notation = bytes
) -> Iterator[Played]:
    """A script, played to a store of its own."""
    with TemporaryDirectory() as folder, stores.new() as url:
        one = Played(configured(Path(folder), 2), url, f"{folder}/documents")
        one.play(script, faulty=faulty, notation=notation)
        yield one


examples = settings(
    max_examples=int(os.environ.get("TOKENTAPE_EXAMPLES", "4")), deadline=None, suppress_health_check=list(HealthCheck)
)
"""A few scripts with every run of the tests, for each takes stores of its own; thousands before a release."""


@examples
@given(script=SCRIPTS)
def test_whatever_happens_what_is_stored_follows_from_the_documents_and_no_other_source_is_touched(
    stores: Stores, script: list[Act]
) -> None:
    """No overlap, no hole; provenance; rebuilding; no invention; local effect: 3, 5, 6, 8, 14, 25."""
    with played(stores, script) as one:
        assert faults(one.config, one.url, one.archive) == []
        for earlier, later in pairwise(one.beliefs()):
            if earlier[0] == later[0]:
                assert earlier[2] is not None
                assert earlier[1] < earlier[2] <= later[1]
                assert earlier[2] < later[1] or earlier[5:] != later[5:]
        believed = one.beliefs("source1")
        assert [(model, ended, price_in) for model, _, ended, _, _, price_in, _ in believed] == [
            (model, None, PRICES[0][0]) for model in sorted(MODELS)
        ]
        assert len({first for _, first, *_ in believed}) == 1


@examples
@given(script=SCRIPTS)
def test_faults_kills_retries_and_the_order_of_arrival_change_no_price(stores: Stores, script: list[Act]) -> None:
    """Idempotence, order and retry, and that a refusal is silent: 1, 2, 10, 15."""
    with played(stores, script) as one, played(stores, [], faulty=False) as plain:
        tape = Tape(plain.url, plain.archive)
        for poll in sorted(one.polls, key=lambda poll: poll.at):
            plain._tape = tape
            plain.take(plain.spec, poll)
        tape.close()
        assert one.beliefs() == plain.beliefs()


@examples
@given(script=SCRIPTS, hours=st.integers(-1000, 1000))
def test_shifting_every_clock_shifts_every_instant_and_nothing_else(
    stores: Stores, script: list[Act], hours: int
) -> None:
    """Clock freedom: 15."""
    shift = timedelta(hours=hours) // timedelta(milliseconds=1)
    shifted = [replace(script[0], hours=script[0].hours + hours), *script[1:]]
    with played(stores, script) as one, played(stores, shifted) as other:
        moved = [
            (model, first + shift, ended and ended + shift, reason, before and before + shift, *price)
            for model, first, ended, reason, before, *price in one.beliefs()
        ]
        assert other.beliefs() == moved


@examples
@given(script=SCRIPTS)
def test_documents_that_are_all_that_is_left_give_the_same_store(stores: Stores, script: list[Act]) -> None:
    """Rebuild: 6."""
    with played(stores, script) as one, stores.new() as url, TemporaryDirectory() as folder:
        tape = Tape(url, str(Path(shutil.copytree(one.archive, f"{folder}/documents"))))
        arrivals = [
            Arrival(at=poll.at, documents=one._documents(one.spec, poll.at, poll.said))
            for poll in sorted(one.polls, key=lambda poll: poll.at)
        ]
        mend.backfill(one.config.checks, tape, one.spec, arrivals, known=START + timedelta(days=1000))
        tape.close()
        anew = Played(one.config, url, f"{folder}/documents")
        assert anew.beliefs() == one.beliefs()
        anew._tape.close()


@examples
@given(script=SCRIPTS)
def test_answers_as_of_any_poll_are_what_it_said_and_absence_ends_a_price_only_where_it_lasted(
    stores: Stores, script: list[Act]
) -> None:
    """As-of is the body; absence; cheapest is honest; health: 4, 12, 17, 26. No document comes back."""
    with played(stores, script, notation=numbered()) as one, open_store(one.url) as reader:
        polls = sorted(one.polls, key=lambda poll: poll.at)
        for poll in polls:
            offers = {offer["id"]: offer for offer in json.loads(poll.said)["data"]}
            found = {row.endpoint: row for row in current(reader, poll.at, source=one.spec.id)}
            seen = {name: row for name, row in found.items() if row.unseen_since is None}
            assert {name: prices_of(row) for name, row in seen.items()} == {
                name: (Decimal(offer["in"]), Decimal(offer["out"])) for name, offer in offers.items()
            }
            assert all(found[name].last_seen < poll.at for name in found.keys() - seen.keys())
            for later in (poll.at + timedelta(minutes=minutes) for minutes in (0, 134, 136, 6000)):
                before = max(other.at for other in polls if other.at <= later)
                fresh = later - before <= 2 * timedelta(seconds=one.spec.every_s) + timedelta(seconds=GRACE_S)
                in_force = list(current(reader, later, source=one.spec.id))
                assert all(fresh for row in in_force if not row.stale)
                ranking = rank(in_force, Workload(input_tokens=3, output_tokens=1), later, Constraints())
                listed = [row for row in in_force if row.unseen_since is None or later - row.unseen_since <= GONE]
                costs = sorted(3 * price_in + price_out for price_in, price_out in map(prices_of, listed))
                assert [Decimal(route.cost.text) * 10**6 for route in ranking.routes] == costs
        assert sorted(lasting_absences(one, polls)) == sorted(
            (name, ended) for name, _, ended, reason, *_ in one.beliefs() if reason == "withdrawn"
        )


def numbered() -> Notation:
    """The same, with a number that no other body has."""
    numbers = count()
    return lambda said: said.replace(b'{"id"', b'{"serial": %d, "id"' % next(numbers))


def prices_of(row: IntervalRow) -> tuple[Decimal, Decimal]:
    """Of input and output, in USD per 1M tokens."""
    amounts = row.card.by_meter
    return Decimal(amounts["input"]).scaleb(-9), Decimal(amounts["output"]).scaleb(-9)


def lasting_absences(one: Played, polls: Sequence[Poll]) -> Iterator[tuple[str, int]]:
    """Each offer with the poll that missed it first, where as many did as must, for as long as they must."""
    sql = "SELECT p.at FROM poll p JOIN source s ON s.id = p.source_id WHERE s.name = 'source0' AND p.complete"
    complete = {at for (at,) in rows(one.url, sql)}
    checks = one.config.checks
    for name in MODELS:
        misses: list[datetime] = []
        known = told = False
        for poll in polls:
            if f'"id": "{name}"'.encode() in poll.said:
                misses, known, told = [], True, False
            elif known and to_millis(poll.at) in complete:
                misses.append(poll.at)
                lasted = misses[-1] - misses[0] >= timedelta(seconds=checks.gap_s)
                if len(misses) >= checks.misses and lasted and not told:
                    told = True
                    yield name, to_millis(misses[0])


@examples
@given(script=SCRIPTS)
def test_what_was_known_is_never_told_otherwise_later(stores: Stores, script: list[Act]) -> None:
    """Monotone knowledge: 13."""
    with TemporaryDirectory() as folder, stores.new() as url:
        one = Played(configured(Path(folder), 2), url, f"{folder}/documents")
        told: dict[int, list[IntervalRow]] = {}

        def ask(known: int) -> list[IntervalRow]:
            with open_store(url) as reader:
                return list(history(reader, None, START + timedelta(days=100), known=from_millis(known)))

        def look() -> None:
            ((known,),) = rows(url, "SELECT max(known) FROM poll")
            if known is not None:
                told[known] = ask(known)

        one.play(script, after_each=look)
        for known, answer in told.items():
            assert ask(known) == answer


@examples
@given(script=SCRIPTS)
def test_offers_in_another_order_and_amounts_in_another_notation_are_the_same(
    stores: Stores, script: list[Act]
) -> None:
    """Idempotence for equal twins; order freedom: 1, 16. No document comes back."""
    turned, anew = [replace(act, offers=act.offers[::-1]) for act in script], numbered()
    otherwise: Notation = lambda said: in_exponents(anew(said))  # noqa: E731 - one after the other
    with played(stores, script, notation=numbered()) as one, played(stores, turned, notation=otherwise) as other:
        assert other.beliefs() == one.beliefs()
        for poll in one.polls[-1:]:
            one._tape = Tape(one.url, one.archive)
            again = poll.at + timedelta(seconds=1)
            one.take(one.spec, Poll(again, in_exponents(poll.said), good=True))
            one._tape.close()
            assert to_millis(again) not in {first for _, first, *_ in one.beliefs()}


def in_exponents(said: bytes) -> bytes:
    """The same amounts in other digits: `1.5` is `15000e-4`."""
    return re.sub(
        rb'"(in|out)": "([0-9.]+)"',
        lambda found: b'"%s": "%de-4"' % (found[1], Decimal(found[2].decode()).scaleb(4)),
        said,
    )


SAID = ("1.5", "0", "-1", "free", "n/a", "", "NaN", "1e400", None)
"""What may stand where a price should."""
GUESSES = st.lists(
    st.fixed_dictionaries({model: st.tuples(st.sampled_from(SAID), st.sampled_from(SAID)) for model in MODELS}),
    min_size=1,
    max_size=5,
)


@examples
@given(told=GUESSES)
def test_no_number_is_shown_that_was_not_said_and_what_is_no_number_never_becomes_one(
    stores: Stores, told: list[dict[str, tuple[str | None, str | None]]]
) -> None:
    """No guess: 9."""
    with played(stores, []) as one:
        tape = Tape(one.url, one.archive)
        for number, offers in enumerate(told):
            at = START + timedelta(hours=30 * number)
            data = [{"id": name, "in": price_in, "out": price_out} for name, (price_in, price_out) in offers.items()]
            poller = Poller(one.config, tape, None, clock=lambda at=at: at, environ={})  # type: ignore[arg-type, misc]
            said = json.dumps({"data": data}).encode()
            report = poller.take(one.spec, at, Received(documents=one._documents(one.spec, at, said), failures={}))
            assert report.code != "bug", report.line
        tape.close()
        with open_store(one.url) as reader:
            shown = [*history(reader, None, START + timedelta(days=100))]
        for row in shown:
            for place, meter in enumerate(("input", "output")):
                amount = row.card.amount(meter)
                assert amount is None or plain(Decimal(amount).scaleb(-9)) in {
                    offers[row.endpoint][place] for offers in told
                }, row
                assert (amount is None) == (row.card.state(meter) not in ("priced", "free"))


DOUBTED = st.lists(
    st.tuples(st.sampled_from([1, 2, 90, 4000, 250_000]), st.sampled_from([1, 3, 100])), min_size=2, max_size=6
)


@examples
@given(drawn=DOUBTED)
def test_what_is_released_was_always_believed_and_what_is_rejected_was_never_seen(
    stores: Stores, drawn: list[tuple[int, int]]
) -> None:
    """Hold is safe: 11."""
    assert decided_at_once(stores, drawn, released=True) == [
        (to_millis(START + timedelta(hours=number)), cost * 10**8, answer * 10**8)
        for number, (cost, answer) in enumerate(drawn)
        if number == 0 or drawn[number - 1] != (cost, answer)
    ]
    assert decided_at_once(stores, drawn, released=False) == decided_at_once(stores, drawn, released=None)


def decided_at_once(
    stores: Stores, drawn: Sequence[tuple[int, int]], *, released: bool | None
) -> list[tuple[int, int, int]]:
    """When each price of an offer began, where a person says so of all that is held as soon as it is; None: nobody.

    Prices are in tenths of a dollar, and stand beside others that stay.
    """
    notation = numbered()
    with played(stores, []) as one:
        one._tape = Tape(one.url, one.archive)
        for number, (cost, answer) in enumerate(drawn):
            offers = {"one": (cost * 10**8, answer * 10**8)} | {f"other{place}": PRICES[0] for place in range(4)}
            one.take(one.spec, Poll(START + timedelta(hours=number), notation(body(offers)), good=True))
            while released is not None and (doubted := undecided(one)):
                verdicts = [
                    Verdict(
                        subject=row.subject, value=row.value, released=released, by="a", note="", since=row.first_seen
                    )
                    for row in doubted
                ]
                mend.decide(one.config.checks, one._tape, one.spec, verdicts, known=START + timedelta(days=99))
        one._tape.close()
        return [(first, *prices) for name, first, _, _, _, *prices in one.beliefs() if name == "one"]


def undecided(one: Played) -> list[HeldRow]:
    """What is held of the source that is played."""
    with open_store(one.url) as reader:
        return held(reader, source=one.spec.id)


@examples
@given(script=SCRIPTS)
def test_both_engines_hold_the_same_rows(server: Server, script: list[Act]) -> None:
    """Twin stores: 19."""
    with played(Stores(None), script) as one, played(Stores(server), script) as other:
        assert content(one.url) == content(other.url)


def test_whatever_bytes_come_they_are_read_or_refused_for_a_reason(stores: Stores) -> None:
    """Bounds: 21."""
    good = body(dict.fromkeys(MODELS, PRICES[0]))
    places = st.integers(0, len(good) - 1)
    cut_in = st.builds(lambda place, more: good[:place] + more + good[place + 1 :], places, st.binary(max_size=5))
    with TemporaryDirectory() as folder, stores.new() as url:
        one, hours = Played(configured(Path(folder), 2), url, f"{folder}/documents"), count()

        @settings(parent=examples, max_examples=10 * examples.max_examples)
        @given(said=st.binary() | cut_in)
        def take(said: bytes) -> None:
            at = START + timedelta(hours=next(hours))
            poller = Poller(one.config, one._tape, None, clock=lambda: at, environ={})  # type: ignore[arg-type]
            received = Received(documents=one._documents(one.spec, at, said), failures={})
            report = poller.take(one.spec, at, received)
            assert report.outcome == "ok" or (report.code != "bug" and report.message), report

        take()
        one._tape.close()


def test_every_amount_comes_back_digit_for_digit(stores: Stores) -> None:
    """Exactness: 7."""
    amounts = st.decimals(min_value=Decimal("0.0001"), max_value=999, places=9)  # within all bounds

    @examples
    @given(prices=st.lists(st.tuples(amounts, amounts), min_size=2, max_size=20))
    def come_back(prices: list[tuple[Decimal, Decimal]]) -> None:
        said = [{"id": f"m{number}", "in": str(one), "out": str(two)} for number, (one, two) in enumerate(prices)]
        with TemporaryDirectory() as folder, stores.new() as url:
            one = Played(configured(Path(folder), 2), url, f"{folder}/documents")
            one.take(one.spec, Poll(START, json.dumps({"data": said}).encode(), good=True))
            one._tape.close()
            out = StringIO()
            with open_store(url) as reader:
                write(out, "jsonl", ENDPOINTS, current(reader, START))
            found = {row["endpoint"]: row for row in map(json.loads, out.getvalue().splitlines())}
            assert {name: (row["input"], row["output"]) for name, row in found.items()} == {
                f"m{number}": (plain(one), plain(two)) for number, (one, two) in enumerate(prices)
            }

    come_back()


def plain(amount: Decimal) -> str:
    """A decimal without an exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@pytest.mark.fault(117, 127, 151)
def test_in_three_days_of_faults_no_price_is_wrong_none_is_withdrawn_and_no_fault_goes_unseen(
    store_url: str, tmp_path: Path
) -> None:
    config = configured(tmp_path, 3)
    outcome = simulate(
        config, store_url, str(tmp_path / "documents"), polls=72, every=timedelta(hours=1), share=0.3, seed=5
    )
    assert (outcome.wrong, outcome.withdrawn, outcome.unseen) == ([], [], [])
    assert outcome.polls == 216
    assert len(outcome.faults) > 20
    assert set(outcome.faults) & set(ROWS)
