"""Prices that go away and come back, as `explain` marks them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.cli import main
from store.evidence import explain
from store.instants import iso
from store.read import open_store
from tests.test_held import MODEL, NOW, World, at, configuration

REF = f"first:deepinfra:{MODEL}"


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> World:
    return World(configuration(tmp_path, store_url), store_url)


def see(world: World, prices: Sequence[tuple[int, str]]) -> None:
    """Polls of one price each, no two in the same document."""
    for hour, price in prices:
        world.see("first", hour, **{"in": price, "number": hour})


def marked(world: World) -> list[str]:
    with open_store(world.url) as reader:
        (found,) = explain(reader, REF, NOW)
    return [iso(one) for one in found.flaps]


def test_a_price_that_comes_back_twice_within_three_days_is_marked_with_when(world: World) -> None:
    see(world, [(0, "2"), (12, "3"), (24, "2"), (36, "2"), (48, "3"), (60, "3"), (120, "2")])
    assert marked(world) == [at(24), at(48), at(120)]
    command = ["--config", str(world.path), "explain", REF, "--at", iso(NOW)]
    shown = CliRunner().invoke(main, command, prog_name="tokentape", catch_exceptions=False)
    assert f"a price came back within three days 3 times, last at {at(120)}" in shown.output
    told = CliRunner().invoke(main, [*command, "--format", "json"], prog_name="tokentape", catch_exceptions=False)
    (row,) = json.loads(told.output)
    assert row["flaps"] == [at(24), at(48), at(120)]
    assert not world.held()


@pytest.mark.parametrize(
    "prices",
    [
        pytest.param([(0, "2"), (12, "3"), (24, "2")], id="once"),
        pytest.param([(0, "2"), (12, "3"), (100, "2"), (112, "4"), (200, "2")], id="after four days"),
        pytest.param([(0, "2"), (12, "3"), (24, "4"), (36, "5")], id="never the same"),
    ],
)
def test_prices_that_came_back_once_or_late_or_never_are_not_marked(
    world: World, prices: list[tuple[int, str]]
) -> None:
    see(world, prices)
    assert marked(world) == []


def test_a_fact_that_moves_meanwhile_is_no_other_price(world: World) -> None:
    for hour, (price, context) in enumerate([("2", 1000), ("3", 1000), ("3", 1001), ("2", 1001), ("3", 1001)]):
        world.see("first", hour, ctx=context, **{"in": price, "number": hour})
    assert marked(world) == [at(3), at(4)]
