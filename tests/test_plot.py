"""Pictures of prices: what is on them, that it is the same every time, and that hostile text is but text."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest
from click.testing import CliRunner, Result

from store import cli, cli_compare
from store.intervals import IntervalRow, history
from store.plot import prices, traces
from store.read import open_store
from store.records import RateCard
from tests.tape import Tape, hour, usd

MODEL = "openai/gpt-oss-120b"
HOSTILE = "_$\\frac{1$<script>&\x1b]0;日本"
NOW = hour(26)
PNG = b"\x89PNG\r\n\x1a\n"
Ask = Callable[..., Result]


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    tape = Tape(tmp_path / "tape.db")
    for at in (0, 1, 6, 7, 12, 20):
        tape.poll(tape_source(tape), hour(at))
    return tape


def tape_source(tape: Tape) -> int:
    return tape._one("source", name="openrouter") or tape.source("openrouter")


def offer(tape: Tape, provider: str = "acme") -> int:
    return tape.endpoint(tape_source(tape), provider, MODEL)


def intervals(tape: Tape) -> Sequence[IntervalRow]:
    with open_store(tape.url) as reader:
        return list(history(reader, MODEL, NOW, superseded=True, stated=True))


@pytest.fixture
def ask(tape: Tape) -> Ask:
    def run(*words: str) -> Result:
        group = click.Group(commands={"history": cli.history, "model": cli_compare.model})
        doors = cli.Doors(tape.url, now=lambda: NOW)
        return CliRunner().invoke(group, words, obj=doors, prog_name="tokentape", catch_exceptions=False)

    return run


# --- what is drawn ---


def test_between_the_last_poll_of_one_price_and_the_first_of_another_lies_a_band(tape: Tape) -> None:
    acme = offer(tape)
    tape.interval(acme, hour(0), usd(input=5), ended=hour(6), end_reason="changed", last_seen=hour(1))
    tape.interval(acme, hour(6), usd(input=3), not_before=hour(1))
    (trace,) = traces(intervals(tape), "input", NOW)
    assert trace.seen == [(hour(0), hour(1), 5), (hour(6), hour(20), 3)]
    assert trace.between == [(hour(1), hour(6), 5, 3)]
    assert trace.unseen == [(hour(20), NOW, 3)]


def test_what_nobody_offered_is_a_gap(tape: Tape) -> None:
    acme = offer(tape)
    tape.interval(acme, hour(0), usd(input=5), ended=hour(6), end_reason="withdrawn", last_seen=hour(1))
    tape.interval(acme, hour(20), usd(input=5), not_before=hour(12))
    (trace,) = traces(intervals(tape), "input", hour(20))
    assert trace.seen == [(hour(0), hour(1), 5), (hour(20), hour(20), 5)]
    assert trace.between == []
    assert trace.unseen == [(hour(12), hour(20), 5)]


def test_a_price_that_is_unknown_is_not_drawn_and_joins_nothing(tape: Tape) -> None:
    acme = offer(tape)
    unknown = RateCard(currency="USD", amounts=(), states=(("input", "unknown"),))
    tape.interval(acme, hour(0), usd(input=5), ended=hour(6), end_reason="changed", last_seen=hour(1))
    tape.interval(acme, hour(6), unknown, not_before=hour(1), ended=hour(12), end_reason="changed", last_seen=hour(7))
    tape.interval(acme, hour(12), usd(input=4), not_before=hour(7))
    (trace,) = traces(intervals(tape), "input", hour(20))
    assert trace.seen == [(hour(0), hour(1), 5), (hour(12), hour(20), 4)]
    assert trace.between == []
    assert traces(intervals(tape), "output", hour(20)) == []


def test_what_was_corrected_and_what_is_only_stated_are_told_apart_from_what_was_seen(tape: Tape) -> None:
    acme = offer(tape)
    tape.interval(acme, hour(0), usd(input=9), known_to=hour(10))
    tape.interval(acme, hour(0), usd(input=5), known=hour(10))
    tape.stated(acme, hour(12), hour(18), usd(input=4), first_seen=hour(7))
    tape.stated(acme, hour(30), None, usd(input=2), first_seen=hour(7))
    (trace,) = traces(intervals(tape), "input", hour(20))
    assert trace.seen == [(hour(0), hour(20), 5)]
    assert trace.corrected == [(hour(0), hour(20), 9)]
    assert trace.stated == [(hour(12), hour(18), 4)]


def test_a_free_offer_is_drawn_and_one_in_another_currency_is_counted(tape: Tape, tmp_path: Path) -> None:
    tape.interval(offer(tape, "charity"), hour(0), usd(input=0, output=0))
    tape.interval(offer(tape, "dear"), hour(0), usd(input=10**12, output=10**12))
    tape.interval(offer(tape, "cheap"), hour(0), usd(input=10**6, output=10**6))
    tape.interval(offer(tape, "yuan"), hour(0), RateCard(currency="CNY", amounts=(("input", 5),)))
    assert [trace.amounts[0] for trace in traces(intervals(tape), "input", NOW) if "charity" in trace.label] == [0]
    assert prices(tmp_path / "a.png", intervals(tape), MODEL, NOW) == 1
    assert prices(tmp_path / "b.png", intervals(tape), MODEL, NOW, currency="CNY") == 3


def test_more_endpoints_than_can_be_named_are_drawn_all_the_same(tape: Tape, tmp_path: Path) -> None:
    for number in range(30):
        tape.interval(offer(tape, f"p{number}"), hour(0), usd(input=1 + number, output=1))
    assert prices(tmp_path / "a.svg", intervals(tape), MODEL, NOW) == 0
    told = re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text())
    assert "6 more, dearer" in told
    assert "p23 (openrouter)" in told
    assert "p24 (openrouter)" not in told


def test_endpoints_of_one_name_are_told_apart_by_what_they_are_published_as(tape: Tape, tmp_path: Path) -> None:
    for published in ("one", "two"):
        endpoint = tape.endpoint(tape_source(tape), "acme", MODEL, published_model=published)
        tape.interval(endpoint, hour(0), usd(input=1, output=1))
    tape.interval(offer(tape, "other"), hour(0), usd(input=1, output=1))
    prices(tmp_path / "a.svg", intervals(tape), MODEL, NOW)
    told = re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text())
    assert {"acme (openrouter) one", "acme (openrouter) two", "other (openrouter)"} <= set(told)


# --- the same every time, whatever the text ---


def test_hostile_names_are_labels_and_nothing_else(tape: Tape, tmp_path: Path) -> None:
    acme = offer(tape, HOSTILE)
    tape.interval(acme, hour(0), usd(input=5, output=6), ended=hour(6), end_reason="changed", last_seen=hour(1))
    tape.interval(acme, hour(6), usd(input=3, output=6), not_before=hour(1))
    for name in ("a.svg", "a.png"):
        assert prices(tmp_path / name, intervals(tape), HOSTILE, NOW) == 0
    body = (tmp_path / "a.svg").read_text()
    assert not [one for one in ET.fromstring(body).iter() if "script" in str(one.tag)]
    assert "\x1b" not in body
    assert "_$" in body  # in a comment beside the outlines of its letters
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_picture_has_the_same_bytes_in_another_process(tape: Tape, tmp_path: Path, form: str) -> None:
    acme = offer(tape)
    tape.interval(acme, hour(0), usd(input=5, output=6), ended=hour(6), end_reason="changed", last_seen=hour(1))
    tape.interval(acme, hour(6), usd(input=3, output=6), not_before=hour(1))
    prices(tmp_path / f"here.{form}", intervals(tape), MODEL, NOW)
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\ntimezone: Asia/Shanghai\nfont.size: 20\n")
    program = (
        "import sys; from pathlib import Path; from store.intervals import history; from store.plot import prices\n"
        "from store.read import open_store; from tests.tape import hour\n"
        "with open_store(sys.argv[1]) as reader:\n"
        f"    rows = list(history(reader, {MODEL!r}, hour(26), superseded=True, stated=True))\n"
        f"prices(Path(sys.argv[2]), rows, {MODEL!r}, hour(26))"
    )
    there = tmp_path / f"there.{form}"
    path = ":".join(one for one in sys.path if one)
    done = subprocess.run(
        [sys.executable, "-c", program, tape.url, str(there)],
        env={"PYTHONPATH": path, "MATPLOTLIBRC": str(tmp_path), "HOME": str(tmp_path), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert there.read_bytes() == (tmp_path / f"here.{form}").read_bytes()


# --- at the doors ---


def test_history_draws_what_it_answers(ask: Ask, tape: Tape, tmp_path: Path) -> None:
    tape.interval(offer(tape), hour(0), usd(input=5, output=6))
    tape.interval(offer(tape, "yuan"), hour(0), RateCard(currency="CNY", amounts=(("input", 5),)))
    plain = ask("history", MODEL, "--format", "csv")
    result = ask("history", MODEL, "--format", "csv", "--plot", str(tmp_path / "light.png"))
    assert result.stdout == plain.stdout
    told = f"drawn: {tmp_path / 'light.png'}; 1 endpoint has no price in USD and is not on it"
    assert told in result.stderr.splitlines()
    ask(
        "history",
        MODEL,
        "--plot",
        str(tmp_path / "dark.png"),
        "--dark",
        "--since",
        "2026-08-01",
        "--until",
        "2026-08-02",
    )
    light, dark = ((tmp_path / f"{name}.png").read_bytes() for name in ("light", "dark"))
    assert light.startswith(PNG)
    assert dark.startswith(PNG)
    assert light != dark


def test_the_page_of_a_model_draws_its_history(ask: Ask, tape: Tape, tmp_path: Path) -> None:
    tape.interval(offer(tape), hour(0), usd(input=5, output=6))
    result = ask("model", MODEL, "--at", "2026-08-01T12:00:00Z", "--plot", str(tmp_path / "page.svg"))
    assert result.exit_code == 0
    assert "up to 2026-08-01T12:00:00Z" in (tmp_path / "page.svg").read_text()


def test_nothing_is_drawn_of_nothing(ask: Ask, tape: Tape, tmp_path: Path) -> None:
    tape.interval(offer(tape), hour(0), usd(input=5, output=6))
    result = ask("history", MODEL, "--provider", "nobody", "--plot", str(tmp_path / "a.png"))
    assert result.exit_code == 3
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.png.txt"])
def test_a_picture_is_png_or_svg(ask: Ask, tmp_path: Path, name: str) -> None:
    result = ask("history", MODEL, "--plot", str(tmp_path / name))
    assert result.exit_code == 2
    assert f"'{name}' is neither a .png nor a .svg" in result.stderr


def test_a_picture_that_cannot_be_written_is_told_in_one_line_and_leaves_nothing(
    ask: Ask, tape: Tape, tmp_path: Path
) -> None:
    tape.interval(offer(tape), hour(0), usd(input=5, output=6))
    (tmp_path / "folder.png").mkdir()
    for place in (tmp_path / "nowhere" / "a.png", tmp_path / "folder.png"):
        result = ask("history", MODEL, "--plot", str(place))
        assert result.exit_code == 2
        assert result.stderr.startswith("tokentape: ")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in {".png", ".tmp"}) == ["folder.png"]


def test_without_matplotlib_the_command_that_installs_it_is_named(tape: Tape, tmp_path: Path) -> None:
    program = "import sys; sys.modules['matplotlib'] = None; from collector.cli import run; run()"
    path = ":".join(one for one in sys.path if one)
    done = subprocess.run(
        [sys.executable, "-c", program, "--store", tape.url, "history", MODEL, "--plot", str(tmp_path / "a.png")],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'tokentape[plots]'" in done.stderr.splitlines()[-1]
