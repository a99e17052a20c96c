"""`cheapest` on every model of a recorded sweep, against an exhaustive reading of the recorded answers themselves."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from store.intervals import endpoints
from store.read import open_store
from store.routing import Constraints, Workload, rank
from tests import timelines
from tests.test_poll import NOW, collect, configured, mirror

pytestmark = pytest.mark.recorded
WORKLOADS = (
    Workload(input_tokens=1000, output_tokens=1000),
    Workload(input_tokens=3000, output_tokens=100, cached_tokens=2500),
    Workload(input_tokens=250_000, output_tokens=4000),
    Workload(input_tokens=300_000, output_tokens=0, cached_tokens=300_000),
    Workload(input_tokens=0, output_tokens=777),
)
KEYS = ("prompt", "completion", "input_cache_read")
INSTANTS = (NOW, NOW.replace(hour=2, minute=0), NOW.replace(hour=4, minute=0), NOW.replace(hour=13, minute=59))


def offers(recorded: Path) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Model without suffix -> (`id@tag`, record) of every endpoint of the newest sweep."""
    row = timelines.rows(recorded, "openrouter-endpoints")[-1]
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    listed = json.loads(timelines.body(recorded, timelines.rows(recorded, "openrouter-models")[-1]))["data"]
    models = json.loads(timelines.body(recorded, row))["models"]
    answers = [models[one["id"]] for one in listed]
    for data in {answer["data"]["id"]: answer["data"] for answer in answers}.values():  # two ids may be answered by one
        for one in data["endpoints"]:
            name = data["id"].partition(":")[0]
            found.setdefault(name, []).append((f"{data['id']}@{one['tag']}", one))
    return found


def amount(text: str) -> Fraction:
    """USD per token, on the grid of 1e-9 USD per 1M."""
    return Fraction(round(Fraction(Decimal(text)) * 10**15), 10**15)


def in_force(pricing: dict[str, Any], prompt: int, at: datetime) -> dict[str, str]:
    """The texts of the prices that a request meets."""
    now: dict[str, str] = {key: pricing[key] for key in KEYS if key in pricing}
    for override in pricing.get("overrides", ()):
        if prompt <= override.get("min_prompt_tokens", -1):
            continue
        clock, start, end = at.hour * 100 + at.minute, override.get("utc_start"), override.get("utc_end")
        if start is not None and not (start <= clock < end if start < end else clock >= start or clock < end):
            continue
        now |= {key: override[key] for key in KEYS if key in override}
    return now


def cost(pricing: dict[str, Any], workload: Workload, at: datetime) -> Fraction | None:
    now = in_force(pricing, workload.input_tokens, at)
    if "-1" in now.values():
        return None
    cached = now.get("input_cache_read", "0")
    if Decimal(cached) == 0:  # a cache price of zero was never stated
        cached = now["prompt"]
    return (
        (workload.input_tokens - workload.cached_tokens) * amount(now["prompt"])
        + workload.cached_tokens * amount(cached)
        + workload.output_tokens * amount(now["completion"])
    )


def large_enough(one: dict[str, Any], workload: Workload) -> bool:
    return all(
        not one.get(limit) or one[limit] >= needed
        for limit, needed in (
            ("context_length", workload.input_tokens + workload.output_tokens),
            ("max_prompt_tokens", workload.input_tokens),
            ("max_completion_tokens", workload.output_tokens),
        )
    )


def expected(
    found: list[tuple[str, dict[str, Any]]], workload: Workload, at: datetime
) -> Iterator[tuple[int, str, Fraction]]:
    """(rank, endpoint, cost) of those that are not known to be too small, ties sharing a rank."""
    priced = [(cost(one["pricing"], workload, at), name) for name, one in found if large_enough(one, workload)]
    costs = sorted((one, name) for one, name in priced if one)
    for one, name in costs:
        yield 1 + sum(other < one for other, _ in costs), name, one


@pytest.fixture(scope="module")
def sweep(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("sweep") / "tape.db"
    with mirror(recorded) as running:
        (report,) = collect(configured(running), store, "openrouter")
    assert report.outcome == "ok"
    return store


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_cheapest_equals_the_exhaustive_answer_on_every_model(recorded: Path, sweep: Path, workload: Workload) -> None:
    compared = 0
    tied = 0
    with open_store(str(sweep)) as reader:
        for model, found in offers(recorded).items():
            rows = list(endpoints(reader, model, NOW))
            for at in INSTANTS:
                ranking = rank(rows, workload, at, Constraints(tiers=frozenset({"any"})))
                answered = [
                    (route.rank, route.row.endpoint.partition("#")[0], Fraction(Decimal(route.cost.text)))
                    for route in ranking.routes
                ]
                wanted = sorted(expected(found, workload, at))
                assert sorted(answered) == wanted, (model, at)
                assert [one[0] for one in answered] == [one[0] for one in wanted]
                compared += len(answered)
                tied += sum(route.tied for route in ranking.routes)
    assert compared > 1900
    assert tied > 300
