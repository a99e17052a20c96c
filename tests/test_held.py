"""What is held, and the verdict of a person or of a second source on it: recorded, and so wherever documents are read
again."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector import mend, verify
from collector.cli import main
from collector.config import Config, load
from collector.fetch import Fetcher
from collector.held_cli import decide
from collector.poll import Poller, Report
from collector.sighting import Received
from store.catalogue import HeldRow, held, verdicts
from store.doors import Doors
from store.http.settings import ServeSettings
from store.instants import iso, utc_now
from store.intervals import IntervalRow, history
from store.read import open_store
from store.records import Document, Verdict
from store.units import decimal_text
from store.write import Tape
from tests.serving import served
from tests.stores import run

T0 = datetime(2026, 8, 1, tzinfo=UTC)
NOW = T0 + timedelta(days=900)
MODEL = "openai/gpt-oss-120b"


def configuration(tmp_path: Path, url: str, **derives_from: list[str]) -> Path:
    """Three catalogues that price the same offers."""
    sources = {
        name: {
            "title": name,
            "parser": "json_list",
            "url": f"https://{name}.example/models",
            "provider": "deepinfra",
            "trust": "catalogue",
            "records": "data",
            "model": "id",
            "facts": {"context_length": "ctx"},
            "prices": {
                "input": {"at": "in", "unit": "USD/1M_token"},
                "output": {"at": "out", "unit": "USD/1M_token"},
                "cache_read": {"at": "cache", "unit": "USD/1M_token"},
            },
            "every": "1h",
            "expect": {"models": "2"},
            "derives_from": derives_from.get(name, []),
        }
        for name in ("first", "second", "third")
    }
    path = tmp_path / "tokentape.yaml"
    path.write_text(
        json.dumps({"inherit": "false", "store": url, "archive": str(tmp_path / "arc"), "sources": sources})
    )
    return path


class World:
    """A store, its configuration, and polls of what is written by hand."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self.url = path, url
        self.config: Config = load(path, {})

    @contextmanager
    def tape(self) -> Iterator[Tape]:
        tape = Tape(self.config.store, self.config.archive)
        try:
            yield tape
        finally:
            tape.close()

    def document(self, source: str, hour: float, **offer: object) -> Document:
        """One offer, and some that never change."""
        others = [{"id": f"{MODEL}-{n}", "in": "1", "out": "2", "cache": "0.5", "ctx": 1000} for n in range(3)]
        one = {"id": MODEL, "in": "2", "out": "4", "cache": "0.03", "ctx": 131072} | offer
        at = T0 + timedelta(hours=hour)
        body = json.dumps({"data": [one, *others]}).encode()
        return Document(source=source, url=self.config.sources[source].url, fetched_at=at, status=200, body=body)

    def see(self, source: str, hour: float, **offer: object) -> Report:
        """A poll of it."""
        document = self.document(source, hour, **offer)
        with self.tape() as tape:
            poller = Poller(self.config, tape, Fetcher(self.config.http, utc_now), clock=utc_now, environ={})
            received = Received(documents=(document,), failures={})
            report = poller.take(self.config.sources[source], document.fetched_at, received)
        assert report.outcome == "ok", report.line
        return report

    def held(self) -> list[HeldRow]:
        with open_store(self.url) as reader:
            return held(reader)

    def rows(self, known: datetime | None = None) -> list[IntervalRow]:
        """The intervals of the one offer, in every source."""
        with open_store(self.url) as reader:
            return list(history(reader, MODEL, NOW, known=known))

    def history(self, source: str, known: datetime | None = None) -> list[tuple[str, str, str | None]]:
        """Input price, first seen and ended, of what one source says."""
        return [
            (decimal_text(row.card.by_meter["input"]), iso(row.first_seen), iso(row.ended) if row.ended else None)
            for row in self.rows(known)
            if row.source == source
        ]

    def say(self, *words: str) -> Result:
        command = ["--config", str(self.path), "held", *words]
        result = CliRunner().invoke(main, command, prog_name="tokentape", catch_exceptions=False)
        assert "Traceback" not in result.output
        return result


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> World:
    return World(configuration(tmp_path, store_url), store_url)


def at(hour: float) -> str:
    return iso(T0 + timedelta(hours=hour))


def cut(world: World) -> None:
    """A cut to a fiftieth, seen twice, and a day later a small change."""
    world.see("first", 0)
    world.see("first", 1, **{"in": "0.04", "out": "0.08"})
    world.see("first", 2, **{"in": "0.04", "out": "0.08"})


@pytest.mark.fault(99)
def test_a_cut_to_a_fiftieth_that_a_person_releases_is_history_from_its_first_sighting(world: World) -> None:
    cut(world)
    assert world.history("first") == [("2", at(0), None)]
    before = utc_now()
    (ref,) = {row.held_ref for row in world.held()}
    done = world.say("release", ref, "--note", "on the page of the provider", "--by", "ann")
    assert done.exit_code == 0, done.output
    assert world.history("first") == [("2", at(0), at(1)), ("0.04", at(1), None)]
    assert world.history("first", before) == [("2", at(0), None)]
    assert not world.held()


@pytest.mark.fault(99)
def test_what_is_released_is_what_it_is_had_it_been_accepted_at_once_whatever_comes_late(world: World) -> None:
    cut(world)
    (ref,) = {row.held_ref for row in world.held()}
    assert world.say("release", ref).exit_code == 0
    world.see("first", 5, **{"in": "0.05", "out": "0.08"})
    world.see("first", 1.5, **{"in": "0.04", "out": "0.08"})  # comes late
    with world.tape() as tape:
        again = mend.reparse(world.config.checks, tape, world.config.sources["first"], known=utc_now())
    assert again.corrections == ()
    assert world.history("first") == [
        ("2", at(0), at(1)),
        ("0.04", at(1), at(5)),
        ("0.05", at(5), None),
    ]


@pytest.mark.fault(100)
def test_what_is_rejected_is_as_if_it_had_never_been_seen_and_comes_up_no_more(world: World) -> None:
    cut(world)
    (ref,) = {row.held_ref for row in world.held()}
    done = world.say("reject", ref[:5], "--note", "per 1K")
    assert done.exit_code == 0, done.output
    world.see("first", 3, **{"in": "0.04", "out": "0.08"})
    assert not world.held()
    assert world.history("first") == [("2", at(0), None)]
    world.see("first", 4, **{"in": "0.03", "out": "0.06"})
    assert {row.rule for row in world.held()} == {"ratio"}


def test_a_value_that_was_rejected_is_believed_where_no_rule_speaks_against_it_any_more(world: World) -> None:
    cut(world)
    (ref,) = {row.held_ref for row in world.held()}
    assert world.say("reject", ref).exit_code == 0
    for hour, (one, other) in enumerate((("0.4", "0.5"), ("0.09", "0.2"), ("0.04", "0.08")), 3):
        world.see("first", hour, ctx=130_000, **{"in": one, "out": other})
    assert not world.held()
    assert world.history("first")[-1] == ("0.04", at(5), None)


@pytest.mark.fault(99)
def test_a_second_source_that_states_the_same_releases_it_from_its_first_sighting(world: World) -> None:
    world.see("second", 0, **{"in": "2", "out": "4"})
    cut(world)
    assert world.held()
    world.see("second", 2.5, **{"in": "0.04", "out": "0.08"})  # held there too: no witness
    assert {row.source for row in world.held()} == {"first", "second"}
    world.see("third", 3, **{"in": "0.04", "out": "0.08"})
    assert not world.held()
    assert world.history("first") == [("2", at(0), at(1)), ("0.04", at(1), None)]
    assert world.history("second") == [("2", at(0), at(2.5)), ("0.04", at(2.5), None)]


def test_a_source_that_copies_from_another_is_no_witness_for_it(tmp_path: Path, store_url: str) -> None:
    world = World(configuration(tmp_path, store_url, third=["first"]), store_url)
    cut(world)
    world.see("third", 3, **{"in": "0.04", "out": "0.08"})
    assert {row.source for row in world.held()} == {"first"}


def test_a_copy_is_released_by_what_it_copies_from(tmp_path: Path, store_url: str) -> None:
    world = World(configuration(tmp_path, store_url, first=["third"]), store_url)
    cut(world)
    world.see("third", 3, **{"in": "0.04", "out": "0.08"})
    assert not world.held()


def test_two_that_copy_from_the_same_are_no_witnesses_for_each_other(tmp_path: Path, store_url: str) -> None:
    world = World(configuration(tmp_path, store_url, first=["second"], third=["second"]), store_url)
    cut(world)
    world.see("third", 3, **{"in": "0.04", "out": "0.08"})
    assert world.held()


def test_a_second_source_that_says_something_else_releases_nothing(world: World) -> None:
    cut(world)
    world.see("third", 3, **{"in": "0.04", "out": "0.09"})
    assert world.held()


@pytest.mark.fault(92, 100)
def test_an_amount_that_is_held_holds_up_neither_the_others_nor_other_offers(world: World) -> None:
    world.see("first", 0)
    world.see("first", 1, cache="0.0005")
    world.see("first", 2, cache="0.0005", **{"in": "1.9"})
    last = world.rows()[-1]
    assert (last.card.amount("input"), last.card.amount("cache_read")) == (1_900_000_000, 30_000_000)
    assert [row.rule for row in world.held()] == ["ratio"]


@pytest.mark.fault(98)
def test_a_context_that_jumps_is_held_alone_and_may_be_released(world: World) -> None:
    world.see("first", 0)
    world.see("first", 1, ctx=128, **{"in": "1.9"})
    (row,) = world.held()
    assert (row.rule, row.card) == ("context", None)
    assert [one[0] for one in world.history("first")] == ["2", "1.9"]
    assert world.say("release", row.held_ref).exit_code == 0
    assert not world.held()
    last = world.rows()[-1]
    assert last.context_length == 128


def test_show_tells_what_is_held_and_an_unknown_reference_is_a_line(world: World) -> None:
    cut(world)
    ref = world.held()[0].held_ref
    shown = world.say("show", ref)
    assert shown.exit_code == 0
    assert "input: 0.04 USD" in shown.output
    assert "on the tape" in shown.output
    missing = world.say("show", "zzzz")
    assert missing.exit_code == 3
    assert missing.output.count("\n") == 1


def test_held_lists_when_nothing_else_is_asked_for(world: World) -> None:
    cut(world)
    listed: Callable[..., str] = lambda *words: world.say(*words).output  # noqa: E731 - the same words, three ways
    assert listed("--format", "csv") == listed("list", "--format", "csv") != ""
    assert "ratio" in listed()


def test_what_a_source_confirms_twice_is_said_once_and_verified_documents_bear_it_out(world: World) -> None:
    cut(world)
    row = next(one for one in world.held() if one.rule == "ratio")
    said = Verdict(
        subject=row.subject, value=row.value, released=True, by="source third", note="", since=row.first_seen
    )
    spec = world.config.sources["first"]
    with world.tape() as tape:
        for _ in range(2):
            mend.decide(world.config.checks, tape, spec, [said], known=utc_now())
        assert not [*verify.faults(world.config.checks, tape, world.config.sources, utc_now())]
    with open_store(world.url) as reader:
        assert [one.by for one in verdicts(reader, row)] == ["source third"]
    assert world.history("first") == [("2", at(0), at(1)), ("0.04", at(1), None)]


def test_recorded_documents_that_go_on_from_a_verdict_are_read_in_its_light(world: World) -> None:
    cut(world)
    (ref,) = {row.held_ref for row in world.held()}
    assert world.say("reject", ref).exit_code == 0
    with world.tape() as tape:
        spec = world.config.sources["first"]
        found = [world.document("first", hour, **{"in": "0.04", "out": "0.08"}) for hour in (4, 5)]
        arrivals = [mend.Arrival(at=one.fetched_at, documents=(one,)) for one in found]
        mend.backfill(world.config.checks, tape, spec, arrivals, known=utc_now())
    assert not world.held()
    assert world.history("first") == [("2", at(0), None)]


def test_what_was_held_before_findings_had_names_is_confirmed_once_it_is_read_again(world: World) -> None:
    cut(world)
    run(world.url, "UPDATE finding SET provider = NULL, model = NULL, variant = NULL")
    world.see("third", 3, **{"in": "0.04", "out": "0.08"})
    assert world.held()
    with world.tape() as tape:
        mend.reparse(world.config.checks, tape, world.config.sources["first"], known=utc_now())
    world.see("third", 4, **{"in": "0.04", "out": "0.08"})
    assert not world.held()


@pytest.mark.fault(187)
def test_a_verdict_over_http_is_the_same_act(world: World) -> None:
    cut(world)
    (ref,) = {row.held_ref for row in world.held()}
    archive = Path(world.config.archive) if world.config.archive else None
    doors = Doors(world.url, archive)

    def decided(ref: str, released: bool, note: str, by: str) -> list[str]:
        return list(decide(world.path, doors, ref, released=released, note=note, by=by))

    settings = ServeSettings(writes=True, token="secret")
    with served(doors, settings, decided) as http:
        shown = {"Authorization": "Bearer secret"}
        for path, body in (
            (f"/v1/held/{ref}/release", {"note": "who?"}),
            (f"/v1/held/{ref}/release", {"by": "ann", "more": 1}),
            (f"/v1/held/{ref}/forget", {"by": "ann"}),
            ("/v1/held/nothing/release", {"by": "ann"}),
        ):
            assert http.client.post(path, json=body, headers=shown).status_code == 400, path
        assert http.client.post("/v1/held/00000000/release", json={"by": "ann"}, headers=shown).status_code == 404
        assert http.client.post(f"/v1/held/{ref}/release", json={"by": "ann"}).status_code == 401
        assert world.held()
        answer = http.client.post(f"/v1/held/{ref}/release", json={"by": "ann", "note": "seen"}, headers=shown)
    assert answer.status_code == 200, answer.text
    assert "released" in answer.json()["lines"][-1]
    assert world.history("first") == [("2", at(0), at(1)), ("0.04", at(1), None)]
