"""Own GPUs, the cheapest host and a vendor's API: what a month costs, and where the lines cross."""

import csv
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from store import cli
from store.breakeven import GPU_RATE_USD, Gpus, Line, breakeven
from store.cli_breakeven import breakeven as command
from store.compare import Subject, cost_of
from store.currency import Converter
from store.intervals import IntervalRow, endpoints
from store.read import open_store
from store.records import Facts
from store.routing import Route, Workload
from tests.tape import Tape, hour, usd

MODEL, VENDOR = "openai/gpt-oss-120b", "openai/o4-mini"
THREE_TO_ONE = Workload(input_tokens=3000, output_tokens=1000)
NOW = hour(3)
CENT = 10_000_000
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """The prices of the figures that are checked."""
    tape = Tape(tmp_path_factory.mktemp("breakeven") / "tape.db")
    source = tape.source("openrouter")
    for at in (0, 1, 2):
        tape.poll(source, hour(at))
    weights = Facts(open_weights=True)
    tape.interval(tape.endpoint(source, "coreweave", MODEL), hour(0), usd(input=3 * CENT, output=17 * CENT), weights)
    tape.interval(tape.endpoint(source, "groq", MODEL), hour(0), usd(input=15 * CENT, output=60 * CENT), weights)
    tape.interval(tape.endpoint(source, "openai", VENDOR), hour(0), usd(input=110 * CENT, output=440 * CENT))
    tape.interval(tape.endpoint(source, "acme", "acme/nobody"), hour(0), usd(input=0, output=0))
    return tape


@pytest.fixture
def ask(tape: Tape) -> Ask:
    def run(*words: str, **env: str) -> Result:
        doors = cli.Doors(tape.url, now=lambda: NOW)
        return CliRunner().invoke(command, words, obj=doors, env=env, prog_name="tokentape", catch_exceptions=False)

    return run


def line(tape: Tape, provider: str, model: str = MODEL) -> Line:
    with open_store(tape.url) as reader:
        rows: list[IntervalRow] = endpoints(reader, model, NOW, provider=provider)
    one = Subject(model=model, offers=tuple(rows), facts=(), at=NOW, into=Converter())
    route: Route = one.ranking(THREE_TO_ONE).routes[0]
    return Line("hosted", route, cost_of(route, THREE_TO_ONE, 1))


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


# --- figures ---


def test_a_gpu_at_the_index_costs_1986_usd_a_mean_month_and_1958_of_30_days(ask: Ask) -> None:
    shown = ask(MODEL).stdout
    assert "$65.28 a day" in shown
    assert "$1958.4 a month of 30 days ($1985.6 of 730 h)" in shown


def test_hosted_open_weights_cost_two_dollars_where_a_gpu_costs_two_thousand(ask: Ask) -> None:
    found = {row["tokens_a_day"]: row for row in rows(ask(MODEL, "--format", "csv"))}
    assert (found["1000000"]["hosted"], found["10000000"]["hosted"]) == ("1.95", "19.5")
    assert (found["1000000"]["own"], found["1000000"]["cheapest"]) == ("1958.4", '["hosted"]')
    assert found["1000000"]["vendor"] == ""


@pytest.mark.parametrize(
    ("provider", "volume", "per_second"), [("coreweave", 1_004_307_692, 11_624), ("groq", 248_685_714, 2_878)]
)
def test_lines_cross_where_a_day_of_tokens_costs_a_day_of_the_gpu(
    tape: Tape, provider: str, volume: int, per_second: int
) -> None:
    found = breakeven(Gpus(rate=Fraction(GPU_RATE_USD)), [line(tape, provider)], ())
    (crossing,) = found.crossings
    assert crossing.volume is not None
    assert int(crossing.volume) == volume
    assert round(crossing.volume / 86_400) == per_second
    (point,) = found.points
    assert point.own == point.hosted == Fraction("1958.4")


def test_a_vendor_is_the_shop_of_the_author_that_is_asked_for(ask: Ask) -> None:
    (first, *_) = rows(ask(MODEL, "--against", "o4-mini", "--format", "csv"))
    assert (first["vendor_model"], first["vendor_place"], first["vendor"]) == (VENDOR, "openai", "57.75")
    assert first["own_equals_vendor"] == "33911689"


def test_without_what_a_gpu_takes_own_ones_are_cheapest_with_a_question_mark(ask: Ask) -> None:
    result = ask(MODEL, "--tokens-a-day", "2B")
    assert "unknown (--tokens-per-second)" in result.stdout
    assert "1.004B tokens a day, 11.624K a second, if a GPU takes as many" in " ".join(result.stdout.split())
    assert "own?" in result.stdout
    assert rows(ask(MODEL, "--format", "csv"))[0]["gpu_tokens_a_day"] == ""


def test_above_what_the_gpus_take_more_of_them_are_counted(ask: Ask) -> None:
    found = rows(
        ask(MODEL, "--tokens-per-second", "1000", "--utilisation", "50", "--tokens-a-day", "1B", "--format", "csv")
    )
    full, asked = found
    assert (full["what"], full["tokens_a_day"], full["gpus"]) == ("full", "43200000", "1")
    assert (asked["gpus"], asked["own"]) == ("24", "47001.6")
    assert full["own_equals_hosted"] == ""
    shown = ask(MODEL, "--tokens-per-second", "1000", "--utilisation", "50").stdout
    assert "never: what a full GPU takes for $65.28 a day costs $2.81 there" in shown


def test_just_above_the_limit_own_gpus_are_dearer_again(ask: Ask) -> None:
    shown = " ".join(ask(MODEL, "--tokens-per-second", "12000").stdout.split())
    assert "dearer again from 1.037B to 2.009B, with one GPU more" in shown


def test_weights_that_nobody_calls_open_are_told(ask: Ask) -> None:
    assert f"nobody says that the weights of {VENDOR} are open" in ask(VENDOR).stderr
    assert "weights" not in ask(MODEL).stderr


def test_free_offers_are_nothing_to_break_even_with(ask: Ask) -> None:
    result = ask("acme/nobody")
    assert result.exit_code == 3
    assert result.stderr.startswith("tokentape: no offer of acme/nobody with a price then")


@pytest.mark.parametrize(
    "options",
    [
        ("--gpu-rate", "0"),
        ("--gpu-rate", "1e3"),
        ("--gpu-rate", "-2"),
        ("--tokens-per-second", "0.0"),
        ("--utilisation", "0"),
        ("--gpus", "0"),
    ],
)
def test_gpus_that_cannot_be_are_refused(ask: Ask, options: tuple[str, str]) -> None:
    assert ask(MODEL, *options).exit_code == 2


def test_the_first_columns_are_those_of_the_readme(ask: Ask) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    promised = next(line for line in readme.splitlines() if line.startswith("| `breakeven` | `")).split("`")[-2]
    assert ask(MODEL, "--format", "csv").stdout.startswith(f"{promised},")


def test_a_break_even_fits_a_terminal_of_80_columns(ask: Ask) -> None:
    result = ask(MODEL, "--against", VENDOR, "--tokens-per-second", "25000", COLUMNS="80")
    assert max(map(len, result.stdout.splitlines())) <= 80


# --- what always holds ---

rates = st.fractions(Fraction(1, 100), 100, max_denominator=1000)
limits = st.none() | st.fractions(1, 50_000, max_denominator=10)


@given(rates, st.integers(1, 20), limits, st.fractions(Fraction(1, 100), 1, max_denominator=100))
def test_own_gpus_cost_no_more_at_the_crossing_and_more_below_it(
    tape_line: Line, rate: Fraction, count: int, limit: Fraction | None, utilisation: Fraction
) -> None:
    gpus = Gpus(rate=rate, count=count, tokens_per_second=limit, utilisation=utilisation)
    (crossing,) = breakeven(gpus, [tape_line], ()).crossings

    def more(volume: Fraction) -> bool:
        return gpus.a_day * gpus.needed(volume) > tape_line.per_token * volume

    if crossing.volume is None:
        assert gpus.tokens_a_day is not None
        assert all(more(gpus.tokens_a_day * some) for some in range(1, 40 * count))
        return
    assert not more(crossing.volume)
    assert all(more(crossing.volume * Fraction(part, 100)) for part in range(1, 100))
    if crossing.again is not None:
        start, end = crossing.again
        assert not more(start)
        assert more(start + (end - start) / 1000)
        assert not more(end)


@pytest.fixture(scope="module")
def tape_line(tape: Tape) -> Line:
    return line(tape, "groq")


def test_a_picture_of_it_is_the_same_every_time(ask: Ask, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        result = ask(MODEL, "--against", VENDOR, "--tokens-per-second", "25000", "--plot", str(tmp_path / name))
        assert result.exit_code == 0
        assert f"drawn: {tmp_path / name}" in result.stderr
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
