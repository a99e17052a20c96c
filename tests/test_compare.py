"""Models side by side, and the page of one: what is computed, what stays unknown, and how it is shown."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime

import click
import pytest
from click.testing import CliRunner, Result

from collector import names
from store import cli, cli_compare, cli_index
from store.compare import Property, Subject, compare, input_share, months_between, subject
from store.currency import Converter
from store.model_page import instants, percentile
from store.read import open_store
from store.records import Facts, RateCard, Telemetry
from store.routing import Workload
from store.shops import SHOPS
from store.show import display_width
from store.views_compare import short
from store.views_model import spark
from tests.stores import Stores
from tests.tape import Tape, hour, usd

OPEN, CLOSED, OLD = "openai/gpt-oss-120b", "openai/gpt-4o-mini", "openai/gpt-3"
NOW = hour(100)
DOLLAR = 1_000_000_000
"""An amount of one USD per 1M tokens."""
MONTH = Workload(input_tokens=3000, output_tokens=1000)
Ask = Callable[..., Result]


def cents(input_: int, output: int, **more: int) -> RateCard:
    return usd(input=input_ * DOLLAR // 100, output=output * DOLLAR // 100, **more)


def write(url: str) -> Tape:
    """An open model that some sell and one gives away, one that its author sells, and one that is gone."""
    tape = Tape(url)
    gateway, catalogue = tape.source("openrouter", trust=1), tape.source("models_dev", trust=2)
    for source in (gateway, catalogue):
        for at in (*range(0, 100, 10), 99.5):
            tape.poll(source, hour(at))
    facts = Facts(
        context_length=131_072,
        release_date="2025-08-05",
        open_weights=True,
        total_parameters=116_829_156_672,
        input_modalities=("text",),
        features=("reasoning", "tools"),
        status="deprecated",
    )
    small = Facts(context_length=8_000, features=("tools",), input_modalities=("image", "text"))
    coreweave = tape.endpoint(gateway, "coreweave", OPEN, tag="coreweave/fp4", variant="fp4")
    tape.interval(coreweave, hour(0), cents(4, 17), facts, ended=hour(50), end_reason="changed", last_seen=hour(40))
    tape.interval(coreweave, hour(50), cents(3, 17), facts, not_before=hour(40))
    tape.interval(tape.endpoint(gateway, "groq", OPEN), hour(0), cents(15, 60), facts)
    came = tape.endpoint(gateway, "small", OPEN)
    tape.interval(came, hour(10), cents(10, 60), small, not_before=hour(0), known_to=hour(60))
    tape.interval(came, hour(10), cents(20, 60), small, not_before=hour(0), known=hour(60))
    tape.interval(tape.endpoint(gateway, "charity", OPEN, variant="free"), hour(0), usd(input=0, output=0), facts)
    tape.interval(tape.endpoint(gateway, "late", OPEN, variant="batch"), hour(0), cents(1, 1), facts)
    tape.interval(tape.endpoint(gateway, "whim", OPEN), hour(0), RateCard(currency="USD", amounts=()), facts)
    told_otherwise = tape.endpoint(catalogue, "groq", OPEN)
    tape.interval(told_otherwise, hour(0), cents(15, 75), Facts(release_date="2025-08-13", open_weights=False))
    mini = Facts(context_length=128_000, release_date="2024-07-18", status="legacy", max_prompt_tokens=100_000)
    tape.interval(tape.endpoint(gateway, "openai", CLOSED), hour(0), cents(15, 60), mini)
    tape.interval(tape.endpoint(gateway, "azure", CLOSED), hour(0), cents(17, 66), Facts(context_length=64_000))
    gone = tape.endpoint(gateway, "openai", OLD)
    tape.interval(gone, hour(0), cents(100, 200), Facts(), ended=hour(20), end_reason="withdrawn", last_seen=hour(10))
    tape.interval(tape.endpoint(gateway, "acme", "acme/tiny"), hour(0), cents(1, 1), Facts(context_length=1_000))
    tape.telemetry(coreweave, hour(1), Telemetry(status=0, uptime_percent=96, first_token_ms=200))
    return tape


@pytest.fixture(scope="module")
def tape(stores: Stores) -> Iterator[Tape]:
    """For tests that only read."""
    with stores.new() as url:
        yield write(url)


@pytest.fixture
def fresh(store_url: str) -> Tape:
    """For a test that writes."""
    return write(store_url)


def asking(tape: Tape) -> Ask:
    def run(*words: str, **env: str) -> Result:
        commands = (cli_compare.compare, cli_compare.model, cli_index.spread, cli_index.volatility)
        group = click.Group(commands={str(one.name): one for one in commands})
        doors = cli.Doors(tape.url, now=lambda: NOW)
        return CliRunner().invoke(group, words, obj=doors, env=env, prog_name="tokentape", catch_exceptions=False)

    return run


@pytest.fixture
def ask(tape: Tape) -> Ask:
    return asking(tape)


def of(tape: Tape, *models: str, at: datetime = NOW) -> dict[str, dict[str, Property]]:
    """Model -> property -> the first of that name."""
    with open_store(tape.url) as reader:
        subjects: list[Subject] = [subject(reader, one, at, known=at, into=Converter()) for one in models]
        found = compare(subjects, MONTH, (1_000_000, 10_000_000))
    told: dict[str, dict[str, Property]] = {one: {} for one in models}
    for one in found:
        told[one.model].setdefault(one.name, one)
    return told


def values(found: dict[str, Property], *names: str) -> list[str | None]:
    return [found[name].value for name in names]


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


# --- what is computed ---


def test_a_page_has_500_words_and_a_token_three_quarters_of_one(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert values(found[OPEN], "context_length", "context_pages", "context_ratio") == ["131072", "197", "1.02"]
    assert values(found[CLOSED], "context_length", "context_pages", "context_ratio") == ["128000", "192", "1"]


def test_a_model_with_open_weights_is_not_free_because_somebody_gives_it_away(tape: Tape) -> None:
    found = of(tape, OPEN)[OPEN]
    assert values(found, "cheapest_input", "cheapest_output") == ["0.03", "0.17"]
    assert found["cheapest_input"].place == "coreweave fp4"
    assert found["endpoints_left_out"].value == "3"
    assert found["endpoints_left_out"].note == "1 free, 1 input not offered, 1 tier batch not asked for"


def test_a_month_at_the_cheapest_host_costs_what_its_rates_say(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert values(found[OPEN], "month_at_1000000_tokens_a_day", "month_at_10000000_tokens_a_day") == ["1.95", "19.5"]
    assert found[OPEN]["month_at_1000000_tokens_a_day"].note == "75 % input, 30 days"
    assert values(found[CLOSED], "month_at_1000000_tokens_a_day") == ["7.875"]


def test_the_cheapest_at_each_workload_is_told_in_units_of_the_least(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert values(found[OPEN], "input_heavy_cost", "balanced_cost", "output_heavy_cost") == ["0.044", "0.065", "0.135"]
    assert values(found[CLOSED], "input_heavy_ratio", "balanced_ratio", "output_heavy_ratio") == [
        "4.43",
        "4.04",
        "3.61",
    ]
    assert values(found[OPEN], "balanced_ratio", "spread") == ["1", "4.62"]


def test_the_price_of_an_author_is_that_of_their_own_shop(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert values(found[CLOSED], "first_party_input", "first_party_output") == ["0.15", "0.6"]
    assert found[CLOSED]["first_party_input"].ref == f"openrouter:openai:{CLOSED}"
    assert values(found[OPEN], "first_party_input", "first_party_output") == [None, None]
    assert found[OPEN]["first_party_input"].note == "no such offer with a price"


def test_offers_that_cost_the_same_are_told_as_such(fresh: Tape) -> None:
    fresh.interval(fresh.endpoint(1, "aaa", OPEN), hour(0), cents(3, 17))
    found = of(fresh, OPEN)[OPEN]
    assert found["cheapest_input"].place == "aaa, 1 alike"
    assert found["balanced_cost"].place == "aaa, 1 alike"
    assert found["dearest_input"].place == "small"


def test_what_a_provider_says_of_its_own_offer_is_not_the_status_of_the_model(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert found[CLOSED]["status"].value == "legacy"
    assert found[OPEN]["status"].value is None
    assert found[OPEN]["status"].note.startswith("deprecated at ")


def test_what_nobody_says_is_unknown(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert (
        values(found[CLOSED], "licence", "total_parameters", "open_weights", "input_modalities", "successor")
        == [None] * 5
    )


def test_what_sources_disagree_on_is_disputed_with_what_others_say(tape: Tape) -> None:
    found = of(tape, OPEN)[OPEN]
    assert (found["release_date"].value, found["release_date"].disputed) == ("2025-08-05", True)
    assert found["release_date"].note == "others say 2025-08-13"
    assert found["open_weights"].disputed
    assert found["months_newer"].disputed


def test_the_largest_prompt_is_one_that_somebody_takes_for_a_price(tape: Tape) -> None:
    found = of(tape, OPEN, CLOSED)
    assert (found[OPEN]["largest_prompt"].value, found[OPEN]["largest_prompt"].note) == (
        "131072",
        "less what is answered",
    )
    assert (found[CLOSED]["largest_prompt"].value, found[CLOSED]["largest_prompt"].place) == ("100000", "openai")


@pytest.mark.parametrize(
    ("first", "later", "months"),
    [
        ("2024-07-18", "2025-08-05", 12),
        ("2024-07-18", "2025-08-18", 13),
        ("2024-07-18", "2025-08", 13),
        ("2024-12", "2025-01", 1),
        ("2025-08-05", "2025-08-05", 0),
        ("2024", "2025-08-05", None),
        ("2024-07", "2025", None),
    ],
)
def test_months_are_whole_ones_and_a_year_alone_has_none(first: str, later: str, months: int | None) -> None:
    assert months_between(first, later) == months


def test_a_share_of_input_is_told_to_a_tenth() -> None:
    assert input_share(MONTH) == "75 % input"
    assert input_share(Workload(input_tokens=2, output_tokens=1)) == "66.7 % input"


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999"), (1_000, "1K"), (10_000_000, "10M"), (1_004_307_693, "1.004B")]
)
def test_a_count_of_tokens_is_told_in_words(count: int, text: str) -> None:
    assert short(count) == text


def test_shops_are_providers_of_authors_by_their_canonical_names() -> None:
    for author, shops in SHOPS.items():
        assert names.models().authors[names.key(author)] == author
        for shop in shops:
            assert names.providers().slugs[names.key(shop)] == shop


# --- comparisons as shown ---


def test_two_models_fit_a_terminal_of_80_columns(fresh: Tape) -> None:
    ask, tape = asking(fresh), fresh
    long = "x" * 200
    gateway = 1
    tape.interval(
        tape.endpoint(gateway, "provider-of-some-length", OPEN, variant="of-a-length"),
        hour(1),
        cents(2, 2),
        Facts(licence=f"\x1b[31m{long}", features=(long, "日本語" * 40), context_length=10**6),
    )
    wide = f"openai/{'日本' * 30}"
    tape.interval(tape.endpoint(gateway, "acme", wide), hour(1), cents(2, 2), Facts(licence="日本語 " * 40))
    for other in (CLOSED, wide):
        result = ask("compare", OPEN, other, COLUMNS="80")
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
        assert max(map(display_width, result.stdout.splitlines())) <= 80
    assert ask("compare", OPEN, CLOSED).stdout.splitlines()[0].split() == ["gpt-oss-120b", "gpt-4o-mini"]


def test_every_cell_of_a_comparison_for_programs_has_its_model_and_property(ask: Ask) -> None:
    found = rows(ask("compare", OPEN, CLOSED, "--format", "csv"))
    assert list(found[0]) == ["model", "property", "value", "unit", "note", "sources", "disputed", "ref", "place"]
    assert {row["model"] for row in found} == {OPEN, CLOSED}
    features = [(row["value"], row["note"]) for row in found if row["property"] == "features"]
    assert features[:2] == [("tools", "6 of 6 providers"), ("reasoning", "5 of 6 providers")]
    asked = {row["property"]: row for row in found if row["model"] == OPEN}
    assert (asked["cheapest_input"]["unit"], asked["total_parameters"]["value"]) == ("USD/1M tokens", "116829156672")


def test_a_comparison_of_the_past_is_given_again(fresh: Tape) -> None:
    ask, tape = asking(fresh), fresh
    then = ("compare", OPEN, CLOSED, "--at", "2026-08-03", "--format", "json")
    before = ask(*then, "--known-at", "2026-08-03")
    assert json.loads(before.stdout)
    tape.interval(tape.endpoint(1, "newcomer", OPEN), hour(1), cents(1, 1), known=hour(90))
    assert ask(*then, "--known-at", "2026-08-03").stdout == before.stdout
    assert "newcomer" in ask(*then).stdout


def test_volumes_are_read_in_words_and_each_is_told_once(ask: Ask) -> None:
    volumes = ("--tokens-a-day", "1.5M", "--tokens-a-day", "1500000", "--tokens-a-day", "2k")
    found = rows(ask("compare", OPEN, *volumes, "--format", "csv"))
    assert [row["property"] for row in found if row["property"].startswith("month_at_")] == [
        "month_at_2000_tokens_a_day",
        "month_at_1500000_tokens_a_day",
    ]


@pytest.mark.parametrize("volume", ["0", "-1", "1.0001K", "1e6", "9999999999999B", "many"])
def test_what_is_no_volume_is_refused_in_one_line(ask: Ask, volume: str) -> None:
    result = ask("compare", OPEN, "--tokens-a-day", volume)
    assert result.exit_code == 2
    assert "is not a count of tokens" in result.stderr


def test_models_of_which_none_is_on_offer_are_no_answer(ask: Ask) -> None:
    assert ask("compare", OLD).exit_code == 3
    assert ask("compare", OLD, OPEN).exit_code == 0
    assert ask("compare", "nobody/nothing").exit_code == 3
    assert ask("compare", OPEN, "--input", "0", "--output", "0").exit_code == 2


# --- the page of a model ---


def test_the_page_shows_where_a_price_stands_and_how_it_moved(ask: Ask) -> None:
    found = rows(ask("model", OPEN, "--format", "csv"))
    told = {row["property"]: row for row in found if row["model"] == OPEN and not row["ref"]}
    assert (told["price_percentile"]["value"], told["price_percentile"]["unit"]) == ("50", "percent")
    assert told["price_percentile"]["note"].startswith("cheaper of 2 other models")
    assert (told["moves_30d"]["value"], told["moved_30d"]["value"]) == ("1", "1")
    assert (told["largest_fall_30d"]["value"], told["largest_rise_30d"]["value"]) == (
        "-10.34",
        "",
    )  # from 3 * 4 + 17 to 3 * 3 + 17


def test_the_page_and_volatility_count_the_same_moves(ask: Ask) -> None:
    page = rows(ask("model", OPEN, "--format", "csv"))
    told = {row["property"]: row for row in page if row["model"] == OPEN and not row["ref"]}
    for days in ("30", "90"):
        (model,) = rows(ask("volatility", OPEN, "--by", "model", "--since", f"{days}d", "--format", "csv"))
        assert model["moves"] != "0"
        assert (told[f"moves_{days}d"]["value"], told[f"moved_{days}d"]["value"]) == (model["moves"], model["moved"])
        assert told[f"moves_{days}d"]["note"] == f"of {model['endpoints']} endpoints"
        assert model["largest_percent"] in (told[f"largest_{way}_{days}d"]["value"] for way in ("rise", "fall"))
    by_ref = {row["ref"]: row["moves"] for row in rows(ask("volatility", OPEN, "--format", "csv"))}
    shown = {row["ref"]: row["value"] for row in page if row["property"] == "endpoint_moves_90d"}
    assert shown == {ref: by_ref.get(ref, "0") for ref in shown}
    assert set(shown.values()) == {"0", "1"}


def test_the_spread_of_a_comparison_is_that_of_spread(ask: Ask) -> None:
    (compared,) = (row for row in rows(ask("compare", OPEN, "--format", "csv")) if row["property"] == "spread")
    (found,) = rows(ask("spread", OPEN, "--format", "csv"))
    assert (compared["value"], compared["note"]) == (found["ratio"], f"dearest to cheapest of {found['endpoints']}")


def test_the_page_tells_each_endpoint_with_its_percentile_and_measures(ask: Ask) -> None:
    found = rows(ask("model", OPEN, "--format", "csv"))
    by_ref: dict[str, dict[str, str]] = {}
    for row in found:
        if row["property"].startswith("endpoint_") and row["ref"]:
            by_ref.setdefault(row["ref"], {})[row["property"]] = row["value"]
    coreweave = by_ref[f"openrouter:coreweave:{OPEN}@coreweave/fp4"]
    assert (coreweave["endpoint_price_percentile"], coreweave["endpoint_uptime_percent"]) == ("33", "96")
    assert (coreweave["endpoint_first_token_ms"], coreweave["endpoint_moves_90d"]) == ("200", "1")
    assert "endpoint_tokens_per_second" not in coreweave
    assert by_ref[f"openrouter:charity:{OPEN}"]["endpoint_price_percentile"] == ""
    assert by_ref[f"openrouter:late:{OPEN}"]["endpoint_price_percentile"] == "0"


def test_the_page_shows_siblings_and_which_of_them_is_gone(ask: Ask) -> None:
    found = rows(ask("model", OPEN, "--format", "csv"))
    siblings = [(row["model"], row["value"]) for row in found if row["property"] == "on_offer"]
    assert siblings == [(CLOSED, "true"), (OLD, "false")]
    status = [row["value"] for row in found if row["model"] == CLOSED and row["property"] == "status"]
    assert status == ["legacy"]
    assert "not on offer" in ask("model", OPEN).stdout


def test_the_page_of_an_instant_knows_no_sibling_of_later(fresh: Tape) -> None:
    ask, tape = asking(fresh), fresh
    tape.interval(tape.endpoint(1, "openai", "openai/gpt-next"), hour(90), cents(1, 1))
    found = rows(ask("model", OPEN, "--at", "2026-08-03", "--format", "csv"))
    assert "openai/gpt-next" not in {row["model"] for row in found}
    assert "openai/gpt-next" in {row["model"] for row in rows(ask("model", OPEN, "--format", "csv"))}


def test_the_page_fits_a_terminal_of_80_columns(ask: Ask) -> None:
    result = ask("model", OPEN, COLUMNS="80")
    assert max(map(display_width, result.stdout.splitlines())) <= 80
    assert "coreweave" in result.stdout


def test_a_model_that_is_not_on_offer_has_no_page(ask: Ask) -> None:
    assert ask("model", OLD).exit_code == 3


def test_a_spark_goes_from_the_least_to_the_most_with_dots_for_what_is_unknown() -> None:
    assert spark([None, 1, 2, 8]) == "·▁▂█"
    assert spark([5, 5]) == "▄▄"
    assert spark([None, None]) == ""


def test_a_percentile_is_the_share_of_the_others_that_are_cheaper() -> None:
    assert [percentile(one, [1, 2, 2, 3]) for one in (1, 2, 3)] == [0, 33, 100]
    assert percentile(1, [1]) is None


def test_the_series_ends_at_the_instant_and_goes_back_ninety_days() -> None:
    steps = instants(NOW)
    assert steps[-1] == NOW
    assert (steps[-1] - steps[0]).days == 90
    assert len(steps) == 16
