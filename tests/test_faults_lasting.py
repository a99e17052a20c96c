"""Faults that several polls make together: offers that go and come back, tariffs, dated prices and names, in a store
of either engine."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from collector.config import load, packaged
from collector.contract import PriceSpec, SourceSpec
from collector.poll import Report
from store.intervals import IntervalRow, endpoints, history
from store.read import open_store
from tests import polling
from tests.fetching import settings
from tests.raw_server import answer, raw_server
from tests.stores import rows
from tests.test_crash import faults
from tests.test_faults_said import findings, later, told
from tests.test_sources_contract import FOLDER

SOURCES = load(packaged(), {}).sources
HOURS = (0, 5, 10, 29, 50, 74, 98)
"""When polls come: what is gone at 5 is withdrawn at 29, a day later."""


Span = tuple[int, int | None, str | None]
"""From and to, in hours, and why it ended."""


def offer(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "in": "2", "out": "8"} | more


def listed(number: int, names: Sequence[str]) -> bytes:
    """A list of offers that are alike but for their names, of `name@tag` the tag as well, and no list seen before."""
    found = [offer(name.partition("@")[0], tag=name.partition("@")[2]) for name in names]
    return json.dumps({"poll": number, "data": found}).encode()


def see(store: str, at: datetime, bodies: Mapping[str, tuple[SourceSpec, bytes]]) -> dict[str, Report]:
    """A poll of sources, all at once: of each its spec, and what is answered at its address."""

    async def work() -> list[Report]:
        paths = {f"/{spec.url.partition('://')[2]}": answer(body) for spec, body in bodies.values()}
        async with raw_server(polling.NOT_FOUND, at=paths) as server:
            specs = [spec for spec, _ in bodies.values()]
            return await polling.poll_all(store, specs, settings(mirror=server.url), at)

    return dict(zip(bodies, asyncio.run(work()), strict=True))


def intervals(store: str, source: str) -> list[IntervalRow]:
    with open_store(store) as reader:
        return [row for row in history(reader, None, later(1000)) if row.source == source]


def spans(store: str, source: str) -> dict[str, list[Span]]:
    """What there is of each offer."""
    found: dict[str, list[Span]] = {}
    for row in intervals(store, source):
        ended = None if row.ended is None else _hours(row.ended)
        found.setdefault(row.endpoint, []).append((_hours(row.first_seen), ended, row.end_reason))
    return found


def _hours(at: datetime) -> int:
    return (at - later(0)) // timedelta(hours=1)


STAYING = tuple(f"stay{number}" for number in range(27))
GROUP = tuple(f"{name}@batch" for name in STAYING[:3])
POLLS: dict[str, list[Sequence[str]]] = {
    "renamed": [("old", *STAYING), *[("new", *STAYING)] * 6],
    "back": [("away", *STAYING), *[STAYING] * 3, *[("away", *STAYING)] * 3],
    "twice": [("away", *STAYING), *[STAYING] * 2, *[("away", *STAYING)] * 4],
    "group": [(*STAYING, *GROUP), *[STAYING] * 6],
    "leaking": [STAYING[number:] for number in range(7)],
}
"""Source -> the offers of each of its polls."""
OPEN: list[Span] = [(0, None, None)]
ENDS: dict[str, dict[str, list[Span]]] = {
    "renamed": {"old": [(0, 5, "withdrawn")], "new": [(5, None, None)]},
    "back": {"away": [(0, 5, "withdrawn"), (50, None, None)]},
    "twice": {"away": OPEN},
    "group": dict.fromkeys(GROUP, OPEN),
    "leaking": {},
}
"""What becomes of those that do not stay, whose absence is believed or not; all others are on offer throughout."""


@pytest.mark.fault(101, 109, 110, 111, 112)
def test_offers_that_are_gone_are_withdrawn_once_it_lasts_and_never_a_tenth_of_them(store_url: str) -> None:
    specs = {name: polling.source(name, tag_at="tag") for name in POLLS}
    for number, hour in enumerate(HOURS):
        bodies = {name: (spec, listed(number, POLLS[name][number])) for name, spec in specs.items()}
        reports = see(store_url, later(hour), bodies)
        assert {one.outcome for one in reports.values()} == {"ok"}
    for name, ends in ENDS.items():
        staying = dict.fromkeys(STAYING, OPEN)
        assert spans(store_url, name) == staying | ends, name
    assert findings(store_url) == {"group": {"mass_absence"}, "leaking": {"mass_absence"}}
    assert faults(polling.configured(settings(), *specs.values()), store_url, "") == []


@pytest.mark.fault(106)
def test_two_offers_of_one_provider_that_change_places_are_what_they_were(store_url: str) -> None:
    spec = polling.source(facts={"context_length": "ctx"}, expect={})
    two = [offer("one", ctx=1000), offer("one", ctx=2000) | {"in": "3"}]
    for number in range(3):
        body = json.dumps({"poll": number, "data": two[:: 1 - 2 * (number % 2)]}).encode()
        (report,) = see(store_url, later(number), {"acme": (spec, body)}).values()
        assert (report.outcome, report.changes) == ("ok", 0 if number else 2)
    assert {(row.context_length, told(row.card), row.ended) for row in intervals(store_url, "acme")} == {
        (1000, "2/8/-/-", None),
        (2000, "3/8/-/-", None),
    }


DAY = ((1000, 100, "4"), (100, 400, "6"), (400, 1000, "4"))
"""From and to, as hours and minutes, and what input costs."""


@pytest.mark.fault(94)
def test_a_tariff_by_the_hour_is_one_price_at_whatever_hour_it_is_read(store_url: str) -> None:
    unit = "USD/1M_token"
    prices = tuple(PriceSpec(meter=meter, at=f"pricing.{meter}", unit=unit) for meter in ("input", "output"))
    spec = polling.source(parser="openrouter_format", prices=prices)
    for number, hour in enumerate((0, 14, 15, 26)):  # from noon on: at two and three o'clock the dearer hours
        at = later(hour)
        now = "6" if 1 <= at.hour < 4 else "4"
        windows = [{"utc_start": start, "utc_end": end, "input": cost} for start, end, cost in DAY]
        pricing = {"input": now, "output": "8", "overrides": windows}
        body = json.dumps({"data": [{"id": "one", "pricing": pricing}]}).encode()
        (report,) = see(store_url, at, {"acme": (spec, body)}).values()
        assert (report.outcome, report.changes, report.held) == ("ok", 0 if number else 1, 0)
    (row,) = intervals(store_url, "acme")
    assert told(replace(row.card, overrides=())) == "4/8/-/-"
    (dearer,) = row.card.overrides
    assert (dearer.start_minute, dearer.end_minute, dearer.amounts) == (60, 240, (("input", 6 * 10**9),))


@pytest.mark.fault(95)
def test_a_price_that_is_announced_is_not_in_force_before_its_date_and_may_be_called_off(store_url: str) -> None:
    spec = replace(SOURCES["llm_prices"], expect={})
    one = {"id": "gpt-5", "vendor": "openai", "name": "GPT-5", "input_cached": None}
    now = one | {"input": 2, "output": 8, "from_date": None, "to_date": "2026-12-01"}
    soon = one | {"input": 3, "output": 9, "from_date": "2026-12-01", "to_date": None}
    for hour, entries in ((0, [now | {"to_date": None}]), (1, [now, soon]), (2, [now | {"to_date": None}])):
        body = json.dumps({"poll": hour, "prices": entries}).encode()
        (report,) = see(store_url, later(hour), {"llm_prices": (spec, body)}).values()
        assert (report.outcome, report.held) == ("ok", 0), report.line
    (row,) = intervals(store_url, "llm_prices")
    assert (told(row.card), row.ended) == ("2/8/-/-", None)
    announced = "SELECT c.input, t.first_seen, t.ended FROM stated t JOIN rate_card c ON c.id = t.card_id ORDER BY 1, 2"
    begun, over = (int(later(hour).timestamp() * 1000) for hour in (1, 2))
    assert rows(store_url, announced) == [(2 * 10**9, begun, over), (3 * 10**9, begun, over)]


@pytest.mark.fault(102)
def test_a_model_that_takes_the_place_of_another_behind_an_alias_is_an_offer_of_its_own(store_url: str) -> None:
    page = (FOLDER / "deepseek" / "sample.html").read_text()
    spec = replace(SOURCES["deepseek"], expect={})
    for hour, model in ((0, "0731"), (1, "0920")):
        body = page.replace("Deep-Test-Flash-0731", f"Deep-Test-Flash-{model}").encode()
        (report,) = see(store_url, later(hour), {"deepseek": (spec, body)}).values()
        assert (report.outcome, report.held) == ("ok", 0), report.line
    found = {name: one for name, one in spans(store_url, "deepseek").items() if "flash@" in name.lower()}
    assert {name.partition("@")[2]: one[0][0] for name, one in found.items()} == {
        "Deep-Test-Flash-0731": 0,
        "Deep-Test-Flash-0920": 1,
    }


@pytest.mark.fault(51, 65)
def test_a_price_under_a_new_name_is_noted_and_those_that_are_known_are_stored(store_url: str) -> None:
    spec = replace(SOURCES["openrouter"], expect={})
    pricing = {"prompt": "0.000002", "completion": "0.000008", "input_cache_write_1h": "0.000004"}
    model = {"id": "acme/one", "endpoints": [{"provider_name": "Acme", "tag": "acme", "pricing": pricing}]}

    async def work(hour: int) -> Report:
        mirrored = f"/{spec.url.partition('://')[2]}"
        paths = {
            mirrored: answer(json.dumps({"data": [{"id": "acme/one"}]}).encode()),
            f"{mirrored}/acme/one/endpoints": answer(json.dumps({"data": model}).encode()),
        }
        async with raw_server(polling.NOT_FOUND, at=paths) as server:
            (report,) = await polling.poll_all(store_url, [spec], settings(mirror=server.url), later(hour))
            return report

    assert asyncio.run(work(0)).changes == 1
    pricing["dream"] = "0.01"
    report = asyncio.run(work(1))
    assert (report.outcome, report.changes, report.held) == ("ok", 0, 0)
    (row,) = intervals(store_url, "openrouter")
    assert (told(row.card), row.ended) == ("2/8/-/- cache_write_1h=4", None)
    assert rows(store_url, "SELECT rule, ended FROM finding") == [("unmapped_price", None)]


@pytest.mark.fault(115)
def test_a_provider_by_whatever_name_is_one_and_a_name_that_is_unknown_stays_by_itself(store_url: str) -> None:
    names = {"first": "Together AI", "second": "together", "third": "Nobody Knows, Inc."}
    spec = polling.source(provider="", provider_at="by", expect={})
    bodies = {
        name: (
            replace(spec, id=name, url=f"https://{name}.test/models"),
            json.dumps({"data": [offer("openai/gpt-oss-120b", by=by)]}).encode(),
        )
        for name, by in names.items()
    }
    assert {one.changes for one in see(store_url, later(0), bodies).values()} == {1}
    with open_store(store_url) as reader:
        found = {row.source: row.provider for row in endpoints(reader, "openai/gpt-oss-120b", later(0.5))}
    assert found["first"] == found["second"] == "together"
    assert found["third"] == "nobody-knows-inc"
