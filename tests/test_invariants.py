"""What holds after any script of polls, faults, kills, retries, late arrivals and steps of the clock, on either engine.

A script is played to a store; so is the same script in its plain form: the polls that were whole, each once, in the
order of their instants. What must always hold is asked of both.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
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
from store.records import Document
from store.write import Tape
from tests.changing import START, configured
from tests.simulated import ROWS, WHOLE, Price, body, simulate
from tests.stores import Stores, rows
from tests.test_crash import faults

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

    def play(self, script: Sequence[Act], *, faulty: bool = True) -> None:
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
                self.polls.append(Poll(at, body(world), good=True))
                self.take(self.spec, self.polls[-1])
            elif faulty:
                made = WHOLE[act.fault](world, next(iter(world)))
                assert isinstance(made, bytes)
                self.take(self.spec, Poll(at, made, good=False))
            self.take(self.other, Poll(at, body(ANOTHER), good=True))
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
def played(stores: Stores, script: Sequence[Act], *, faulty: bool = True) -> Iterator[Played]:
    """A script, played to a store of its own."""
    with TemporaryDirectory() as folder, stores.new() as url:
        one = Played(configured(Path(folder), 2), url, f"{folder}/documents")
        one.play(script, faulty=faulty)
        yield one


examples = settings(
    max_examples=int(os.environ.get("TOKENTAPE_EXAMPLES", "10")), deadline=None, suppress_health_check=list(HealthCheck)
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
