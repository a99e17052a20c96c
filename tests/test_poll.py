"""The whole pipe over real HTTP: the replay mirror as upstream, a store on disk, the clock in our hand."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collector.config import Config, load
from collector.contract import SourceSpec
from collector.fetch import Fetcher
from collector.poll import Poller, Report, receive
from collector.sighting import Received
from store.write import Tape
from tests.killed import killed_at
from tests.test_timeline import store_digest

pytestmark = pytest.mark.recorded
NOW = datetime(2026, 8, 22, 23, 30, tzinfo=UTC)
PACKAGED = load(None, {})
FAST: dict[str, Any] = {"attempts": 2, "connect_s": 10.0, "first_byte_s": 20.0}


@contextmanager
def mirror(recorded: Path, at: str = "2026-08-22T23:01:19Z", **options: Any) -> Iterator[Any]:
    assert (recorded / "replay.py").exists()
    from replay import Replay

    with Replay(at=at, **options) as running:
        yield running


def configured(running: Any, **deadlines: float) -> Config:
    config = at_mirror(running.url("https://x").removesuffix("/x").rstrip("/"))
    sources = {
        name: replace(spec, deadline_s=deadlines.get(name, spec.deadline_s)) for name, spec in config.sources.items()
    }
    return replace(config, sources=sources)


def at_mirror(base: str) -> Config:
    return replace(PACKAGED, http=replace(PACKAGED.http, mirror=base, **FAST))


def collect(config: Config, store: Path, *sources: str, at: datetime = NOW) -> list[Report]:
    async def run(tape: Tape) -> list[Report]:
        async with Fetcher(config.http, lambda: at) as fetcher:
            poller = Poller(config, tape, fetcher, clock=lambda: at, environ={"XAI_API_KEY": "k"})
            return [await poller.poll(config.sources[name]) for name in sources]

    tape = Tape(str(store))
    try:
        return asyncio.run(run(tape))
    finally:
        tape.close()


def rows(store: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(sql).fetchall()


def polled(store: Path) -> bool:
    made = store.exists() and rows(store, "SELECT 1 FROM sqlite_master WHERE name = 'poll'")
    return bool(made and rows(store, "SELECT 1 FROM poll"))


def counts(store: Path) -> dict[str, int]:
    tables = ("interval", "endpoint", "rate_card", "facts", "finding", "stated", "telemetry", "document", "poll")
    return {table: rows(store, f"SELECT count(*) FROM {table}")[0][0] for table in tables}


@pytest.fixture(scope="module")
def swept(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after one whole OpenRouter sweep and one poll of each catalogue."""
    store = tmp_path_factory.mktemp("swept") / "tape.db"
    with mirror(recorded) as running:
        reports = collect(
            configured(running), store, "openrouter", "litellm", "models_dev", "llm_prices", "deepinfra", "xai"
        )
    assert [report.outcome for report in reports] == ["ok"] * 6, [report.line for report in reports]
    return store


@pytest.fixture
def store(swept: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be spoiled."""
    for path in swept.parent.iterdir():
        if path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
        else:
            shutil.copy(path, tmp_path / path.name)
    return tmp_path / "tape.db"


def test_every_recorded_endpoint_of_a_model_stands_apart_with_its_own_price(recorded: Path, swept: Path) -> None:
    document = json.loads(
        (recorded / "recorded/openrouter/2026-08-22T2301Z-endpoints-openai__gpt-oss-120b.json").read_text()
    )
    published = sorted(
        (
            one["provider_name"],
            one["tag"],
            int(Decimal(one["pricing"]["prompt"]) * 10**15),
            int(Decimal(one["pricing"]["completion"]) * 10**15),
            one["context_length"],
            one["max_completion_tokens"],
        )
        for one in document["data"]["endpoints"]
    )
    kept = rows(
        swept,
        """
        SELECT e.published_provider, e.tag, c.input, c.output, f.context_length, f.max_output_tokens
          FROM endpoint e JOIN source s ON s.id = e.source_id JOIN model m ON m.id = e.model_id
          JOIN interval i ON i.endpoint_id = e.id JOIN rate_card c ON c.id = i.card_id JOIN facts f ON f.id = i.facts_id
         WHERE s.name = 'openrouter' AND m.name = 'openai/gpt-oss-120b' AND e.published_model = 'openai/gpt-oss-120b'
        """,
    )
    assert sorted(kept) == published
    assert len({(provider, tag) for provider, tag, *_ in kept}) == len(kept) == 20


def test_one_model_is_found_across_sources_under_its_canonical_id(swept: Path) -> None:
    found = {
        name
        for (name,) in rows(
            swept,
            "SELECT DISTINCT s.name FROM endpoint e JOIN source s ON s.id = e.source_id"
            " JOIN model m ON m.id = e.model_id WHERE m.name = 'openai/gpt-oss-120b'",
        )
    }
    assert found >= {"openrouter", "litellm", "models_dev", "deepinfra"}


def test_same_instant_again_writes_its_poll_row_only(recorded: Path, store: Path) -> None:
    before = counts(store)
    packs = sorted(store.with_suffix(".archive").rglob("*.zst"))
    with mirror(recorded) as running:
        sources = ("openrouter", "litellm", "models_dev", "llm_prices")
        reports = collect(configured(running), store, *sources, at=NOW + timedelta(hours=1))
        statuses = {row["status"] for row in running.log}
    assert [report.changes for report in reports] == [0] * 4
    assert counts(store) == before | {"poll": before["poll"] + 4}
    assert sorted(store.with_suffix(".archive").rglob("*.zst")) == packs
    assert statuses == {304}


def test_other_bytes_with_the_same_quotes_write_their_poll_row_only(recorded: Path, store: Path) -> None:
    before = counts(store)
    with mirror(recorded, faults=["litellm=scale:1"]) as running:
        (report,) = collect(configured(running), store, "litellm", at=NOW + timedelta(hours=1))
    assert (report.outcome, report.changes) == ("ok", 0)
    assert counts(store) == before | {"poll": before["poll"] + 1}


FAULTS = {
    "500": "http_500",
    "429": "rate_limited",
    "429:3600": "rate_limited",
    "truncate": "truncated",
    "cut": "json",
    "slow:30": "deadline",
    "hang:30": "first_byte_timeout",
    "reset": "read",
    "html": "auth",
    "html200": "challenge",
    "empty": "empty",
    "nothing": "empty",
    "badgzip": "decode",
    "redirect:https://elsewhere.example/": "redirect_host",
    "404": "gone",
}


@pytest.mark.parametrize("source", ["litellm", "openrouter"])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_changes_no_price_and_says_what_happened(recorded: Path, store: Path, source: str, fault: str) -> None:
    before = counts(store)
    digest = store_digest(store)
    upstream = {"litellm": "litellm", "openrouter": "openrouter-models"}[source]
    # At another instant, so that our validators do not turn a slow answer into a quick 304.
    with mirror(recorded, at="2026-07-20T00:00:00Z", faults=[f"{upstream}={fault}"]) as running:
        # Two limits far apart, so that the one that is meant comes first on a busy machine too.
        drips = fault.startswith("slow")
        config = configured(running, **{source: 2.0 if drips else 60.0})
        config = replace(config, http=replace(config.http, first_byte_s=20.0 if drips else 1.5))
        (report,) = collect(config, store, source, at=NOW + timedelta(hours=1))
    assert report.outcome == "failed"
    assert report.code == FAULTS[fault], report.line
    assert report.line.startswith(f"{source}: failed (")
    assert "\n" not in report.line
    assert counts(store) | {"poll": 0} == before | {"poll": 0}
    assert counts(store)["poll"] == before["poll"] + 1
    assert [row for row in store_digest(store) if len(row) != 4] == [row for row in digest if len(row) != 4]


def test_304_to_everything_changes_nothing(recorded: Path, store: Path) -> None:
    before = counts(store)
    with mirror(recorded, faults=["*=always304"]) as running:
        (report,) = collect(configured(running), store, "litellm", at=NOW + timedelta(hours=1))
    assert (report.outcome, report.changes) == ("ok", 0)
    assert counts(store) == before | {"poll": before["poll"] + 1}


def test_304_though_we_hold_nothing_is_a_failure(recorded: Path, tmp_path: Path) -> None:
    with mirror(recorded, faults=["*=always304"]) as running:
        (report,) = collect(configured(running), tmp_path / "tape.db", "litellm")
    assert (report.outcome, report.code) == ("failed", "http_304")


def test_half_of_the_catalogue_missing_holds_the_absence(recorded: Path, store: Path) -> None:
    before = rows(store, "SELECT count(*) FROM interval WHERE ended IS NULL")
    for hours in (1, 20, 40, 60):
        with mirror(recorded, faults=["litellm=half"]) as running:
            (report,) = collect(configured(running), store, "litellm", at=NOW + timedelta(hours=hours))
        assert report.held >= 1
    assert rows(store, "SELECT count(*) FROM interval WHERE ended IS NULL") == before
    assert ("mass_absence",) in rows(store, "SELECT rule FROM finding WHERE ended IS NULL")


@pytest.mark.parametrize("factor", ["1000", "0.001", "10"])
def test_unit_error_in_every_price_is_held(recorded: Path, store: Path, factor: str) -> None:
    prices = "SELECT i.endpoint_id, c.input, c.output FROM interval i JOIN rate_card c ON c.id = i.card_id"
    before = rows(store, f"{prices} WHERE c.input > 0 ORDER BY 1")
    with mirror(recorded, faults=[f"models-dev=scale:{factor}"]) as running:
        (report,) = collect(configured(running), store, "models_dev", at=NOW + timedelta(hours=1))
    assert report.held > 4000
    after = rows(store, f"{prices} WHERE c.input > 0 AND i.ended IS NULL ORDER BY 1")
    # One that was held from its beginning, far from what others charge, has no price that it could have moved from.
    assert [row for row in after if row[0] in {endpoint for endpoint, *_ in before}] == before
    assert len(after) - len(before) <= 3


def test_part_that_fails_is_named_and_what_succeeded_is_used(recorded: Path, tmp_path: Path) -> None:
    store = tmp_path / "tape.db"
    with mirror(recorded, faults=["openrouter-endpoints=500,p=0.05"], seed=7) as running:
        config = configured(running)
        (report,) = collect(replace(config, http=replace(config.http, attempts=1)), store, "openrouter")
    assert report.outcome == "partial"
    assert 1000 < report.quotes < 1204
    assert "did not answer" in report.line
    ((failed, complete),) = rows(store, "SELECT failed_parts, complete FROM poll")
    assert 1 <= len(json.loads(failed)) < 60
    assert not complete


def test_part_that_is_no_answer_is_a_failed_part_and_not_a_failed_poll(recorded: Path, store: Path) -> None:
    before = rows(store, "SELECT count(*) FROM interval WHERE ended IS NULL")
    with mirror(recorded, faults=["openrouter-endpoints=html200,times=3"]) as running:
        (report,) = collect(configured(running), store, "openrouter", at=NOW + timedelta(hours=1))
    assert (report.outcome, report.changes) == ("partial", 0)
    assert rows(store, "SELECT count(*) FROM interval WHERE ended IS NULL") == before


def test_unreachable_mirror_is_one_line_and_changes_nothing(store: Path, recorded: Path) -> None:
    before = counts(store)
    with mirror(recorded) as running:
        config = configured(running)
    (report,) = collect(config, store, "litellm", at=NOW + timedelta(hours=1))
    assert (report.outcome, report.code) == ("failed", "connect")
    assert counts(store) == before | {"poll": before["poll"] + 1}


@pytest.mark.fault(117)
def test_document_that_arrives_late_takes_its_place(recorded: Path, tmp_path: Path) -> None:
    instants = ["2026-01-06T00:00:00Z", "2026-01-10T00:00:00Z", "2026-03-12T22:00:00Z", "2026-05-01T00:00:00Z"]

    def tape(name: str, order: Iterable[int]) -> list[tuple[object, ...]]:
        store = tmp_path / name
        for number in order:
            with mirror(recorded, at=instants[number]) as running:
                # Late by less than the slack of the clock check, in the order given.
                at = NOW + timedelta(minutes=number)
                (report,) = collect(configured(running), store, "litellm", at=at)
            assert report.outcome == "ok", report.line
        return store_digest(store)

    assert tape("late.db", (0, 2, 3, 1)) == tape("in-order.db", range(4))


def test_clock_far_behind_the_last_poll_is_refused(recorded: Path, store: Path) -> None:
    with mirror(recorded) as running:
        (report,) = collect(configured(running), store, "litellm", at=datetime(1999, 1, 1, tzinfo=UTC))
    assert (report.outcome, report.code) == ("failed", "clock")


def collect_xai(base: str, store: Path) -> None:
    collect(at_mirror(base), store, "xai")


@pytest.mark.fault(127, 129)
@pytest.mark.parametrize("share", range(4))
def test_kill_at_any_durable_step_then_collect_again_leaves_the_same_store(
    recorded: Path, tmp_path: Path, share: int
) -> None:
    with mirror(recorded) as running:
        config = configured(running)
        control = tmp_path / "control.db"
        collect(config, control, "xai")
        wanted = (store_digest(control), counts(control))
        step, killed = share, True
        while killed:
            store = tmp_path / f"{step}" / "tape.db"
            killed = killed_at(step, collect_xai, config.http.mirror, store)
            if store.exists():
                assert rows(store, "PRAGMA integrity_check") == [("ok",)]
            # What happens after its transaction changes nothing of a poll any more.
            if not polled(store):
                collect(config, store, "xai", at=NOW)
            if killed:
                assert (store_digest(store), counts(store)) == wanted
                assert not list(store.parent.rglob("*.tmp"))
            step += 4
    assert step > 20


def test_poll_that_another_process_overtook_takes_its_place_in_the_timeline(recorded: Path, store: Path) -> None:
    """Two processes poll one source; the one that asked first writes last."""
    other = Tape(str(store))
    spec = PACKAGED.sources["litellm"]
    with mirror(recorded, at="2026-07-01T00:00:00Z") as running:
        collect(configured(running), store, "litellm", at=NOW + timedelta(hours=2))
    with mirror(recorded) as running:
        late = asyncio.run(received(configured(running), spec))
    poller = Poller(PACKAGED, other, None, environ={})  # type: ignore[arg-type]
    assert poller.take(spec, NOW + timedelta(hours=1), late).outcome == "ok"
    other.close()
    assert not rows(store, "SELECT 1 FROM interval WHERE ended <= first_seen")


async def received(config: Config, spec: SourceSpec) -> Received:
    async with Fetcher(config.http, lambda: NOW) as fetcher:
        return await receive(spec, NOW, fetcher, environ={})
