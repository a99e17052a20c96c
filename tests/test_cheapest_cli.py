"""`cheapest` for a described workload and `calendar`, as a user meets them."""

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from store import cli
from store.cli_calendar import calendar
from store.records import Facts, Override, RateCard, Telemetry
from tests.tape import Tape, hour, usd

MODEL, OTHER = "qwen/qwen3-32b", "meta/llama-4"
NOW = hour(3)
M = 1_000_000_000
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """A gateway's offers of two models, a first party that is cheap by night, and a catalogue that knows names."""
    tape = Tape(tmp_path_factory.mktemp("routes") / "tape.db")
    gateway, first, names = tape.source("openrouter", trust=1), tape.source("acme"), tape.source("litellm", trust=2)
    for source in (gateway, first, names):
        for at in (0, 1, 2):
            tape.poll(source, hour(at))
    large = Facts(context_length=131_072, features=("tools",), input_modalities=("image", "text"), regions=("eu",))
    small = Facts(context_length=8_000, quantization="fp4")
    cheap = tape.endpoint(gateway, "cheap", MODEL, tag="cheap/fp4", variant="fp4")
    tape.interval(cheap, hour(0), usd(input=1 * M, output=4 * M), small)
    cached = tape.endpoint(gateway, "cached", MODEL, tag="cached")
    tape.interval(cached, hour(0), usd(input=2 * M, output=4 * M, cache_read=M // 10), large)
    batch = tape.endpoint(gateway, "cached", MODEL, published_model=f"{MODEL}:batch", tag="cached", variant="batch")
    tape.interval(batch, hour(0), usd(input=M // 2, output=M // 2), large)
    night = Override(start_minute=0, end_minute=360, amounts=(("input", M), ("output", M)))
    own = RateCard(currency="USD", amounts=(("input", 3 * M), ("output", 3 * M)), overrides=(night,))
    acme = tape.endpoint(first, "acme", MODEL, published_model="qwen3-32b")
    tape.interval(acme, hour(0), own, Facts(trains_on_prompts=False))
    named = tape.endpoint(names, "acme", MODEL, published_model="acme_ai/qwen3-32b")
    tape.interval(named, hour(0), own, Facts(open_weights=True))
    tape.interval(tape.endpoint(gateway, "cheap", OTHER, tag="cheap"), hour(0), usd(input=9 * M, output=9 * M), large)
    tape.interval(tape.endpoint(first, "nameless", OTHER), hour(0), usd(input=1 * M, output=1 * M))
    tape.telemetry(cached, hour(1), Telemetry(status=0, uptime_percent=99, first_token_ms=400, tokens_per_second=80))
    return tape


@pytest.fixture
def ask(tape: Tape) -> Ask:
    def run(*words: str) -> Result:
        group = click.Group(commands={"cheapest": cli.cheapest, "calendar": calendar})
        doors = cli.Doors(tape.url, now=lambda: NOW)
        return CliRunner().invoke(group, words, obj=doors, prog_name="tokentape", catch_exceptions=False)

    return run


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


def providers(result: Result) -> list[str]:
    return [row["provider"] for row in rows(result)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["acme", "cheap", "cached"]),
        (["--tier", "batch"], ["cached", "acme", "cheap", "cached"]),
        (["--tier", "any"], ["cached", "acme", "cheap", "cached"]),
        (["--input", "9000"], ["acme", "cached"]),
        (["--cache-hit", "100%"], ["acme", "cached", "cheap"]),
        (["--region", "eu"], ["cached"]),
        (["--feature", "tools", "--modality", "image"], ["cached"]),
        (["--min-bits", "4"], ["cheap"]),
        (["--no-training"], ["acme"]),
        (["--min-uptime", "99"], ["cached"]),
        (["--max-latency", "400", "--min-throughput", "80"], ["cached"]),
        (["--where", "open_weights=true"], ["acme", "cheap", "cached"]),
        (["--where", "context_length<=8k"], ["cheap"]),
        (["--where", "provider!=cheap"], ["acme", "cached"]),
        (["--max-age", "0"], []),
        (["--at", "2026-08-01T12:00:00Z"], ["cheap", "cached", "acme"]),
    ],
)
def test_a_route_is_what_was_asked_for(ask: Ask, options: list[str], expected: list[str]) -> None:
    words = ["cheapest", MODEL, "--input", "3000", "--output", "1000", "--format", "csv", *options]
    result = ask(*words)
    assert [row["provider"] for row in csv.DictReader(io.StringIO(result.stdout))] == expected
    assert result.exit_code == (0 if expected else 3)


def test_any_model_that_fits_may_be_the_route(ask: Ask) -> None:
    found = rows(ask("cheapest", "--where", "features=tools", "--format", "csv"))
    assert [(row["model"], row["provider"]) for row in found] == [(MODEL, "cached"), (OTHER, "cheap")]


def test_a_month_is_split_by_meter_and_held_against_what_is_paid_now(ask: Ask) -> None:
    words = ["--input", "1000", "--cached", "500", "--output", "100", "--requests", "1000000", "--current", "cheap"]
    found = {row["provider"]: row for row in rows(ask("cheapest", MODEL, *words, "--format", "csv"))}
    assert found["cached"]["cost_per_request"] == "0.00145"
    assert found["cached"]["cost_per_month"] == "1450"
    assert json.loads(found["cached"]["meters"]) == {"input": "0.001", "cache_read": "0.00005", "output": "0.0004"}
    assert (found["cheap"]["saving_per_request"], found["cheap"]["saving_percent"]) == ("0", "0.0")
    assert (found["cached"]["saving_per_request"], found["cached"]["saving_percent"]) == ("-0.00005", "-3.6")
    # By night a dollar, by day three: over the week two and a half.
    assert Decimal(found["acme"]["cost_per_request"]) == Decimal("0.0025") * 1100 / 1000
    told = ask("cheapest", MODEL, *words).stdout
    assert "1450.00" in told
    assert "-3.6" in told


def test_hours_weigh_the_prices_of_the_week(ask: Ask) -> None:
    words = ["--input", "1000", "--output", "0", "--provider", "acme", "--format", "csv"]
    costs = [
        rows(ask("cheapest", MODEL, *words, "--hours", hours, "--tz", zone))[0]["cost_per_request"]
        for hours, zone in (("0-6", "UTC"), ("Mon-Fri 8-14", "Asia/Shanghai"), ("6-24", "UTC"), ("5-7", "UTC"))
    ]
    assert costs == ["0.001", "0.001", "0.003", "0.002"]


def test_kinds_of_requests_come_from_a_file(ask: Ask, tmp_path: Path) -> None:
    kinds = tmp_path / "kinds.csv"
    kinds.write_text("requests,input,output,cached\n3,1000,0,\n1,5000,1000,5000\n")
    found = {row["provider"]: row for row in rows(ask("cheapest", MODEL, "--mix", str(kinds), "--format", "csv"))}
    assert Decimal(found["cached"]["cost_per_request"]) == Decimal("0.0105") / 4
    assert found["cheap"]["fits"] == "true"


def test_crossovers_tell_where_another_is_cheapest(ask: Ask) -> None:
    words = ["cheapest", MODEL, "--input", "3000", "--output", "0", "--crossovers", "--at", "2026-08-01T12:00:00Z"]
    found = rows(ask(*words, "--format", "csv"))
    by = {(row["by"], row["provider"]): (row["since"], row["until"]) for row in found}
    assert by["cache hits", "cheap"] == ("0", "0.526316")
    assert by["cache hits", "cached"] == ("0.526316", "1")
    assert by["prompt", "cheap"] == ("1", "8000")
    assert by["prompt", "cached"] == ("8001", "131072")
    assert [row["provider"] for row in found if row["by"] == "hour"].count("cheap") >= 7
    table = ask(*words).stdout
    assert "52.6 %" in table
    told = ask(*[word for word in words if word != "--crossovers"]).stderr
    assert "another is cheapest at other cache hits, prompt lengths, hours (--crossovers shows at which)" in told


def test_litellm_is_told_its_own_names_in_the_order_of_cost(ask: Ask) -> None:
    result = ask("cheapest", MODEL, "--format", "litellm")
    assert result.exit_code == 0
    found = yaml.safe_load(result.stdout)["model_list"]
    assert [(one["model_name"], one["litellm_params"]["model"]) for one in found] == [
        (MODEL, "acme_ai/qwen3-32b"),
        (MODEL, f"openrouter/{MODEL}"),
        (MODEL, f"openrouter/{MODEL}"),
    ]
    assert [one["litellm_params"]["order"] for one in found] == [1, 2, 3]
    assert "input_cost_per_token: 0.000001\n" in result.stdout
    pinned = found[1]["litellm_params"]["extra_body"]["provider"]
    assert pinned == {"order": ["cheap/fp4"], "allow_fallbacks": False}


def test_a_route_without_a_name_at_litellm_is_left_out_and_told(ask: Ask) -> None:
    result = ask("cheapest", OTHER, "--format", "litellm", "--why")
    assert [one["litellm_params"]["model"] for one in yaml.safe_load(result.stdout)["model_list"]] == [
        f"openrouter/{OTHER}"
    ]
    assert result.stderr == f"left out: acme:nameless:{OTHER}: LiteLLM's price list does not name it\n"


def test_openrouter_is_told_its_own_endpoints_in_the_order_of_cost(ask: Ask) -> None:
    result = ask("cheapest", MODEL, "--tier", "any", "--format", "openrouter")
    assert json.loads(result.stdout) == {"order": ["cheap/fp4", "cached"], "allow_fallbacks": False}
    both = ask("cheapest", MODEL, OTHER, "--format", "openrouter")
    assert (both.exit_code, "of one model" in both.stderr) == (2, True)


def test_nothing_is_written_for_a_gateway_where_there_is_no_route(ask: Ask) -> None:
    for form in ("litellm", "openrouter"):
        result = ask("cheapest", MODEL, "--provider", "nobody", "--format", form)
        assert (result.exit_code, result.stdout) == (3, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cheapest"], "name a model, or what it must be by --where"),
        (["cheapest", MODEL, "--cache-hit", "2"], "is not between 0 and 1"),
        (["cheapest", MODEL, "--cache-hit", "much"], "is not a share"),
        (["cheapest", MODEL, "--cache-hit", "0.5", "--cached", "1"], "one of them"),
        (["cheapest", MODEL, "--also", "web_search"], "is not of the form METER=N"),
        (["cheapest", MODEL, "--also", "nonsense=1"], "no meter that a workload counts"),
        (["cheapest", MODEL, "--hours", "Someday 8-9"], "are no days"),
        (["cheapest", MODEL, "--hours", "8-25"], "are no hours"),
        (["cheapest", MODEL, "--hours", "a b c"], "is not of the form"),
        (["cheapest", MODEL, "--hours", "8-9", "--tz", "Mars"], "Mars"),
        (["cheapest", MODEL, "--where", "size>1"], "is none of"),
        (["cheapest", MODEL, "--where", "features"], "is not of the form NAME=VALUE"),
        (["cheapest", MODEL, "--where", "features>tools"], "is no number and no date"),
        (["cheapest", MODEL, "--where", "open_weights=yes"], "is true or false"),
        (["cheapest", MODEL, "--where", "context_length=big"], "is a count"),
        (["cheapest", MODEL, "--where", "release_date>=soon"], "is a year, a month or a day"),
        (["cheapest", MODEL, "--current", "nobody"], "no such provider or endpoint"),
        (["calendar", "nonsense"], "does not name an endpoint"),
        (["calendar", "acme:acme:qwen3-32b", "--tz", "Mars"], "nobody knows the time zone"),
    ],
)
def test_a_mistake_is_told_in_a_line(ask: Ask, words: list[str], message: str) -> None:
    result = ask(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no line of headings"),
        ("input,input\n1,2\n", "no line of headings"),
        ("input,output\n1,-2\n", "line 2: output is '-2', not a count"),
        ("input,output\n1\n", "line 2: as many cells as headings"),
        ("input,output,nonsense\n1,2,3\n", "line 2: nonsense is no meter"),
        ("input,output\n0,0\n", "line 2: a workload without tokens"),
    ],
)
def test_a_file_of_kinds_that_cannot_be_read_is_told_by_its_line(
    ask: Ask, tmp_path: Path, body: str, message: str
) -> None:
    kinds = tmp_path / "kinds.csv"
    kinds.write_text(body)
    result = ask("cheapest", MODEL, "--mix", str(kinds))
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_a_calendar_has_every_hour_of_a_week_and_the_next_change(ask: Ask) -> None:
    found = rows(ask("calendar", "acme:acme:qwen3-32b", "--format", "csv"))
    assert len(found) == 168
    assert [row["input"] for row in found[:24]] == ["1"] * 6 + ["3"] * 18
    assert {row["next_change"] for row in found} == {"2026-08-01T06:00:00Z"}
    page = ask("calendar", "acme:acme:qwen3-32b", "--tz", "Asia/Kolkata").stdout
    assert "next change  2026-08-01T06:00:00Z (by the hour): input 3, output 3 USD" in page
    assert "Sun 2026-08-02  aaaaa*bbbbb*aaaaaaaaaaaa" in page
    assert "*  changes within the hour" in page


def test_a_calendar_of_prices_that_do_not_change_says_so(ask: Ask) -> None:
    page = ask("calendar", f"openrouter:cached:{MODEL}@cached").stdout
    assert "next change  none known" in page
    assert "hours        all alike" in page
