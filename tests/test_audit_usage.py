"""What usage cost at the prices then in force, why an invoice says otherwise, and what is never made up."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from collector import audit_usage_cli, bill_totals, causes
from collector.audit_usage import watched
from collector.audit_usage_views import money
from collector.cli import CONFIG_PATH, main
from collector.usage import Invoiced
from store.costing import Cost, Workload, cost
from store.doors import Doors
from store.instants import iso
from store.intervals import endpoints
from store.read import open_store
from store.records import Facts, Override, RateCard
from store.routing import Constraints, rank
from tests.tape import Tape, hour, usd

Ask = Callable[..., Result]
USD = 10**9
GPT, OSS, DEEP = "openai/gpt-4o", "openai/gpt-oss-120b", "deepseek/deepseek-v4-pro"
PLAIN = usd(input=5 * USD // 2, output=10 * USD, cache_read=5 * USD // 4)
BATCH = usd(input=5 * USD // 4, output=5 * USD)
US = usd(input=11 * USD // 4, output=11 * USD)
OLD, NEW = usd(input=3 * USD // 20, output=3 * USD // 5), usd(input=USD // 10, output=USD // 2)
WRITTEN = usd(input=3 * USD, output=15 * USD, cache_read=3 * USD // 10, cache_write=15 * USD // 4)
PEAK = RateCard(
    currency="USD",
    amounts=(("input", 7 * USD // 25), ("output", 21 * USD // 50)),
    overrides=(
        Override(start_minute=60, end_minute=240, amounts=(("input", 14 * USD // 25), ("output", 21 * USD // 25))),
    ),
)
LONG = RateCard(
    currency="USD",
    amounts=(("input", 3 * USD), ("output", 15 * USD)),
    overrides=(Override(above_tokens=200_000, amounts=(("input", 6 * USD), ("output", 22 * USD))),),
)
NOW = hour(48)
HEADER = "instant,provider,model,tier,region,input,output,cached,cache_write,requests,cost,key\n"


def made(url: str | Path) -> Tape:
    """Providers and authors' own shops, with variants, windows, long prompts, a discount and a change of price."""
    tape = Tape(url)
    router, catalogue = (
        tape.source(name, trust=trust, every_s=86_400) for name, trust in (("openrouter", 1), ("catalogue", 2))
    )
    for source in (router, catalogue):
        for at in (0, 24, 48):
            tape.poll(source, hour(at))

    def sold(provider: str, model: str, card: RateCard, variant: str = "", source: int = router, **more: Any) -> int:
        one = tape.endpoint(source, provider, model, tag=variant, variant=variant)
        tape.interval(one, hour(0), card, **more)
        return one

    sold("openai", GPT, PLAIN)
    sold("openai", GPT, BATCH, "batch")
    sold("openai", GPT, US, "us")
    groq = sold("groq", OSS, OLD, ended=hour(10), end_reason="changed", last_seen=hour(9))
    tape.interval(groq, hour(10), NEW, not_before=hour(9))
    sold("groq", OSS, usd(input=7, output=7), source=catalogue)
    sold("deepinfra", OSS, usd(input=USD // 25, output=USD // 5), facts=Facts(context_length=8192))
    sold("chutes", OSS, usd(input=0, output=0))
    sold("deepseek", DEEP, PEAK)
    sold("anthropic", "anthropic/claude-sonnet-4", LONG, facts=Facts(discount="0.25"))
    sold("anthropic", "anthropic/claude-3.5-haiku", WRITTEN)
    return tape


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return made(tmp_path / "tape.db")


@pytest.fixture
def ask(tape: Tape) -> Ask:
    return lambda *words, **more: asked(tape.url, *words, **more)


def asked(url: str, *words: object, now: datetime = NOW, **more: Any) -> Result:
    """What the command answers to somebody without a configuration of their own."""
    parent = click.Context(main, obj=Doors(url, now=lambda: now))
    parent.meta[CONFIG_PATH] = None
    return CliRunner().invoke(
        audit_usage_cli.audit,
        [*map(str, words)],
        parent=parent,
        prog_name="audit",
        catch_exceptions=False,
        **more,
    )


def used(
    at: float,
    model: str,
    provider: str = "",
    tier: str = "",
    region: str = "",
    input_tokens: int = 1_000_000,
    output_tokens: int = 0,
    cached: int = 0,
    written: int = 0,
    requests: int = 1,
    cost: str = "",
    key: str = "",
) -> str:
    cells = (
        iso(hour(at)),
        provider,
        model,
        tier,
        region,
        input_tokens,
        output_tokens,
        cached,
        written,
        requests,
        cost,
        key,
    )
    return ",".join(map(str, cells)) + "\n"


@pytest.fixture
def usage(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    def write(rows: Iterable[str]) -> Path:
        path = tmp_path / "usage.csv"
        path.write_text(HEADER + "".join(rows), encoding="utf-8")
        return path

    return write


Write = Callable[[Iterable[str]], Path]


def groups(result: Result) -> dict[str, dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return {one["group"]: one for one in map(json.loads, result.stdout.splitlines())}


def written(path: Path) -> list[dict[str, str]]:
    """The rows of a file that the command wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- prices ---


@pytest.mark.parametrize(
    ("row", "dollars"),
    [
        (used(1, GPT), "2.5"),
        (used(1, "gpt-4o", "OpenAI", output_tokens=1000, cached=400_000), "2.01"),
        (used(1, "gpt-4o", tier="default"), "2.5"),
        (used(1, "gpt-4o", tier="batch"), "1.25"),
        (used(1, "gpt-4o", region="US"), "2.75"),
        (used(1, OSS, "groq"), "0.15"),
        (used(9.99, OSS, "groq"), "0.15"),
        (used(10, OSS, "groq"), "0.1"),
        (used(0.5, DEEP), "0.28"),
        (used(1, DEEP), "0.56"),
        (used(4, DEEP), "0.28"),
        (used(1, "claude-sonnet-4", input_tokens=200_000), "0.6"),
        (used(1, "claude-sonnet-4", input_tokens=200_001), "1.200006"),
        (used(1, "claude-3.5-haiku", cached=100_000, written=200_000), "2.88"),
    ],
)
def test_a_row_is_priced_at_the_offer_it_names_at_its_own_instant(
    ask: Ask, usage: Write, row: str, dollars: str
) -> None:
    (found,) = groups(ask(usage([row]), "--format", "jsonl")).values()
    assert found["cost"] == dollars
    assert (found["rows"], found["priced_rows"], found["invoiced"]) == (1, 1, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (used(1, OSS), "no offer of its own author is known then: name one of chutes, deepinfra, groq"),
        (used(1, "gpt-4o", tier="flex"), "no flex offer of openai is known then"),
        (used(1, "nobody/nothing", "groq"), "no offer of nobody/nothing is known then"),
        (used(1, "gpt-4o-latest"), "name of the model not certain"),
        (used(-1, OSS, "groq"), "is known then"),
        (used(49, OSS, "groq"), "is later than anything that is known"),
        (used(1, "claude-sonnet-4", requests=9, input_tokens=300_000), "sums up 9 prompts, and one above 200000"),
        (used(1, "gpt-4o", written=-1), "cache_write is '-1', not a count"),
        (used(1, "gpt-4o", cost="much"), "cost is 'much', not an amount"),
    ],
)
def test_a_row_that_cannot_be_priced_is_counted_and_named_and_never_zero(
    ask: Ask, usage: Write, tmp_path: Path, row: str, reason: str
) -> None:
    file = usage([used(1, GPT), row])
    result = ask(file, "--by", "key", "--unpriced", tmp_path / "left.csv", "--format", "jsonl")
    (found,) = groups(result).values()
    assert (found["priced_rows"], found["cost"]) == (1, "2.5")
    assert "2 rows, 1 of them priced: 2.5 USD" in result.stderr
    assert reason in result.stderr
    (left,) = written(tmp_path / "left.csv")
    assert left["line"] == "3"
    assert reason in left["reason"]


def test_where_nothing_is_priced_the_cost_is_not_known(ask: Ask, usage: Write) -> None:
    result = ask(usage([used(1, "nobody/nothing", "groq", cost="1.5")]), "--format", "jsonl")
    (found,) = groups(result).values()
    assert (found["cost"], found["difference"], found["unpriced_invoiced"]) == (None, None, "1.5")
    assert "invoiced at 1.5" in result.stderr
    assert ask(usage([used(1, "nobody/nothing", "groq")])).stdout.splitlines()[1].split()[-2:] == ["?", "1"]


def test_a_day_in_which_the_price_changed_is_not_priced_and_one_in_which_it_did_not_is(
    ask: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "days.csv"
    header = "instant,until,provider,model,input,output,requests\n"

    def day(since: float, until: float, provider: str, model: str) -> str:
        return f"{iso(hour(since))},{iso(hour(until))},{provider},{model},1000000,0,1\n"

    path.write_text(
        header
        + day(0, 24, "groq", OSS)
        + day(24, 48, "groq", OSS)
        + day(24, 48, "openai", GPT)
        + day(24, 48, "deepseek", DEEP)
        + day(28, 48, "deepseek", DEEP)
    )
    result = ask(path, "--rows", tmp_path / "rows.csv", "--format", "jsonl")
    assert [row["line"] for row in written(tmp_path / "rows.csv")] == ["3", "4", "6"]
    assert "1 the price changed in the time that the row sums up" in result.stderr
    assert "1 sums up hours that have different prices" in result.stderr


def test_every_priced_row_is_what_the_price_in_force_gives_and_names_its_evidence(
    ask: Ask, tape: Tape, usage: Write, tmp_path: Path
) -> None:
    rows = [used(at / 3, OSS, "groq", output_tokens=at, input_tokens=at + 1) for at in range(140)]
    ask(usage(rows), "--rows", tmp_path / "rows.csv")
    found = written(tmp_path / "rows.csv")
    assert len(found) == len(rows)
    with open_store(tape.url) as reader:
        for at, row in enumerate(found):
            (offer,) = endpoints(reader, OSS, hour(at / 3), provider="groq", source="openrouter")
            exact = cost(offer.card, Workload(input_tokens=at + 1, output_tokens=at), hour(at / 3))
            assert isinstance(exact, Cost)
            assert (row["cost"], row["document"], row["ref"]) == (exact.text, offer.document, offer.ref)


# --- the same bill again ---


def test_closed_periods_cost_what_they_cost_whatever_is_learned_later(ask: Ask, tape: Tape, usage: Write) -> None:
    # 3,569,920,867 tokens cost one thing by the table of July and another by that of August: here half
    # of them were used before the price fell, and the bill stays that of the time, by today's knowledge and by earlier.
    rows = [used(5, OSS, "groq", input_tokens=1_784_960_433), used(15, OSS, "groq", input_tokens=1_784_960_434)]
    file = usage(rows)
    before = ask(file, "--known-at", iso(hour(40)), "--format", "csv")
    assert groups(ask(file, "--format", "jsonl"))[OSS]["cost"] == "446.24010835"
    source = 1
    tape.poll(source, hour(60))
    cheap = usd(input=1, output=1)
    tape.interval(4, hour(60), cheap, not_before=hour(48), known=hour(60))  # the newest table
    tape.interval(
        4, hour(4), cheap, known=hour(61), ended=hour(10), end_reason="changed", last_seen=hour(9)
    )  # learned late
    after = ask(file, "--known-at", iso(hour(40)), "--format", "csv", now=hour(62))
    assert (before.stdout, before.stderr) == (after.stdout, after.stderr)
    assert "446.24010835" in after.stdout


# --- differences ---


@pytest.mark.parametrize(
    ("row", "cause", "difference"),
    [
        (used(1, GPT, cost="2.5"), None, "0"),
        (used(1, GPT, cost="2.50"), None, "0"),
        (used(1, GPT, cost="1.25"), "tier", "-1.25"),
        (used(1, GPT, tier="batch", cost="2.50"), "tier", "1.25"),
        (used(1, GPT, cost="2.75"), "region", "0.25"),
        (used(1, GPT, cached=500_000, cost="2.5"), "cache", "0.625"),
        (used(1, GPT, cached=500_000, cost="3.125"), "cache", "1.25"),
        (used(1, "claude-3.5-haiku", written=200_000, cost="3.00"), "cache", "-0.15"),
        (used(1, "claude-sonnet-4", input_tokens=100_000, cost="0.40"), "promotion", "0.1"),
        (used(1, DEEP, cost="0.28"), "conditions", "-0.28"),
        (used(4, DEEP, cost="0.56"), "conditions", "0.28"),
        (used(1, "claude-sonnet-4", input_tokens=300_000, cost="0.90"), "conditions", "-0.9"),
        (used(11, OSS, "groq", cost="0.15"), "date", "0.05"),
        (used(11, OSS, "groq", input_tokens=10**9, cost="0.000007"), "source", "-99.999993"),
        (used(1, GPT, cost="2.71"), "unknown", "0.21"),
        (used(1, GPT, input_tokens=1_000_001, cost="2.50"), "rounding", "-0.0000025"),
        (used(1, GPT, input_tokens=1, cached=1, cost="0.00"), "rounding", "-0.00000125"),
    ],
)
def test_a_cause_is_told_where_it_explains_the_invoice_exactly(
    ask: Ask, usage: Write, tmp_path: Path, row: str, cause: str | None, difference: str
) -> None:
    (found,) = groups(ask(usage([row]), "--rows", tmp_path / "rows.csv", "--format", "jsonl")).values()
    assert found["difference"] == difference
    told = {name: Decimal(found[f"difference_{name}"]) for name in causes.CAUSES}
    assert {name: value for name, value in told.items() if value} == ({cause: Decimal(difference)} if cause else {})
    (line,) = written(tmp_path / "rows.csv")
    assert line["cause"] == (cause or "")


def test_an_invoice_that_two_causes_explain_has_none(ask: Ask, usage: Write, tape: Tape) -> None:
    flex = usd(input=2 * USD, output=10 * USD)
    tape.interval(tape.endpoint(1, "openai", GPT, tag="flex", variant="flex"), hour(0), flex)
    tape.interval(tape.endpoint(1, "openai", GPT, tag="eu", variant="eu"), hour(0), flex)
    (found,) = groups(ask(usage([used(1, GPT, cost="2.00")]), "--format", "jsonl")).values()
    assert (found["difference_unknown"], found["difference_tier"], found["difference_region"]) == ("-0.5", "0", "0")


def test_differences_add_up_by_group_and_in_the_whole(ask: Ask, usage: Write) -> None:
    rows = [
        used(1, GPT, cost="1.25", key="a"),
        used(1, GPT, cost="2.71", key="b"),
        used(1, OSS, "groq", cost="0.15", key="b"),
        used(1, GPT, key="b"),
    ]
    result = ask(usage(rows), "--by", "key", "--format", "jsonl")
    found = groups(result)
    assert (found["a"]["difference"], found["b"]["difference"], found["b"]["compared_rows"]) == ("-1.25", "0.21", 2)
    assert found["b"]["cost"] == "5.15"
    assert "invoiced: 4.11 USD for 3 rows, -1.04 beyond what they cost: -1.25 tier, 0.21 unknown" in result.stderr


@pytest.mark.parametrize(
    ("amount", "cause"),
    [("5.00", None), ("2.50", "tier"), ("5.5", "region"), ("5.25", "unknown"), ("6.25", "unknown")],
)
def test_an_amount_for_the_whole_is_explained_as_one(ask: Ask, usage: Write, amount: str, cause: str | None) -> None:
    rows = [used(1, GPT), used(2, GPT, cost="999")]
    result = ask(usage(rows), "--invoice", amount)
    difference = Decimal(amount) - 5
    told = f"invoiced: {Decimal(amount).normalize():f} USD for 2 rows, {difference.normalize():f} beyond what they cost"
    assert told + (f": {difference.normalize():f} {cause}" if cause else "") in result.stderr.splitlines()
    (group,) = groups(ask(usage(rows), "--invoice", amount, "--format", "jsonl")).values()
    assert (group["invoiced"], group["difference"]) == (None, None)  # of the whole, not of a group


def test_an_invoice_by_day_is_held_against_each_day(ask: Ask, usage: Write, tmp_path: Path) -> None:
    invoice = tmp_path / "costs.csv"
    invoice.write_text(
        "start_time,start_time_iso,amount_value,amount_currency\n"
        "1785542400,2026-08-01T00:00:00+00:00,1.5000,usd\n"
        "1785542400,2026-08-01T00:00:00+00:00,1.0000,usd\n"
        "1785628800,2026-08-02T00:00:00+00:00,1.2500,usd\n"
        "1785715200,2026-08-03T00:00:00+00:00,,\n"
    )
    file = usage([used(1, GPT), used(25, GPT)])
    result = ask(file, "--by", "day", "--invoice", invoice, "--format", "jsonl")
    found = groups(result)
    assert [(day["invoiced"], day["difference"], day["difference_tier"]) for day in found.values()] == [
        ("2.5", "0", "0"),
        ("1.25", "-1.25", "-1.25"),
    ]
    assert "invoiced: 3.75 USD for 2 rows, -1.25 beyond what they cost: -1.25 tier" in result.stderr
    whole = ask(file, "--by", "model", "--invoice", invoice)
    assert "invoiced: 3.75 USD for 2 rows" in whole.stderr
    assert ask(usage([used(1, GPT)]), "--by", "day", "--invoice", invoice).exit_code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "the invoice has no column amount_value or amount or cost or total; it has a, b"),
        ("amount,currency\n1,EUR\n", "the invoice, line 2: is in EUR: --currency EUR"),
        ("amount\nmuch\n", "the invoice, line 2: cost is 'much', not an amount"),
        ("amount\n1,2\n", "the invoice, line 2: has 2 cells, the header 1"),
        ("amount,day\n1,never\n", "the invoice, line 2: instant is 'never'"),
    ],
)
def test_an_invoice_that_cannot_be_read_says_where(
    ask: Ask, usage: Write, tmp_path: Path, text: str, told: str
) -> None:
    invoice = tmp_path / "invoice.csv"
    invoice.write_text(text)
    result = ask(usage([used(1, GPT)]), "--by", "day", "--invoice", invoice)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr


def test_an_invoice_in_another_currency_is_converted_or_not_compared(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(f"instant,model,input,output,cost,currency\n{iso(hour(1))},gpt-4o,1000000,0,2.3,EUR\n")
    assert "1 invoiced in EUR: no rate" in ask(path).stderr


# --- routes ---


@pytest.mark.parametrize(
    ("words", "row", "dollars"),
    [
        ((), used(1, OSS, "groq", input_tokens=1000), "0.00004"),
        ((), used(1, OSS, "groq"), "0.15"),  # deepinfra takes 8,192 tokens
        (("--exclude", "deepinfra"), used(1, OSS, "groq", input_tokens=1000), "0.00015"),
        (("--allow", "groq"), used(1, OSS, "deepinfra", input_tokens=1000), "0.00015"),
        (("--allow", "nobody"), used(1, OSS, "groq"), None),
        ((), used(1, GPT), "2.5"),  # the batch is another tier
        ((), used(1, GPT, tier="batch"), "1.25"),
    ],
)
def test_the_cheapest_allowed_route_of_the_same_tier(
    ask: Ask, usage: Write, words: tuple[str, ...], row: str, dollars: str | None
) -> None:
    (found,) = groups(ask(usage([row]), "--cheapest", *words, "--format", "jsonl")).values()
    assert found["cheapest_cost"] == dollars
    assert found["routed_rows"] == (0 if dollars is None else 1)


def test_the_cheapest_route_of_each_row_is_the_first_of_the_ranking(
    ask: Ask, tape: Tape, usage: Write, tmp_path: Path
) -> None:
    for number, card in enumerate(
        (usd(input=USD, output=1), usd(input=1, output=USD), usd(input=USD // 9, output=USD // 9))
    ):
        tape.interval(tape.endpoint(1, f"p{number}", OSS), hour(0), card)
    by_request = usd(request=USD // 1000, input=1, output=1)
    tape.interval(tape.endpoint(1, "by-request", OSS), hour(0), by_request)
    counts = [(1, 1), (8000, 1), (1, 8000), (100_000, 100_000), (10**7, 3), (3, 10**7), (500, 500)]
    rows = [used(1, OSS, "groq", input_tokens=one, output_tokens=other) for one, other in counts]
    ask(usage(rows), "--cheapest", "--rows", tmp_path / "rows.csv")
    found = written(tmp_path / "rows.csv")
    with open_store(tape.url) as reader:
        offers = endpoints(reader, OSS, hour(1))
    for (one, other), row in zip(counts, found, strict=True):
        ranking = rank(offers, Workload(input_tokens=one, output_tokens=other), hour(1), Constraints())
        best = next(route for route in ranking.routes if route.fits is not False)
        assert (row["cheapest"], row["cheapest_ref"]) == (best.cost.text, best.row.ref)


# --- the file, and what is said of it ---


def test_a_usage_file_may_come_on_standard_input(ask: Ask) -> None:
    result = ask("-", input=HEADER + used(1, GPT))
    assert (
        "tokentape: -, as columns, as known at 2026-08-03T00:00:00Z: 1 rows, 1 of them priced: 2.5 USD" in result.stderr
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("missing.csv",), "missing.csv: cannot be read"),
        (("--map", "instant"), "is not FIELD=COLUMN"),
        (("--map", "moon=x"), "is not FIELD=COLUMN"),
        (("--by", "moon"), "is not one of"),
        (("--invoice", "missing.csv"), "missing.csv: cannot be read"),
        (("--currency", "dollars"), "not the code of a currency"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(ask: Ask, usage: Write, words: tuple[str, ...], told: str) -> None:
    file = () if words[0] == "missing.csv" else (usage([used(1, GPT)]),)
    result = ask(*file, *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_a_file_without_rows_matches_nothing(ask: Ask, usage: Write) -> None:
    result = ask(usage([]))
    assert result.exit_code == 3
    assert "has no rows that can be read" in result.stderr


def test_the_table_fits_its_terminal_and_ends_with_the_total(ask: Ask, usage: Write) -> None:
    file = usage([used(1, GPT, cost="1.25"), used(1, OSS, "groq", cached=10, cost="0.15"), used(1, "x/y", "groq")])
    for width in (80, 140):
        lines = ask(file, env={"COLUMNS": str(width)}).stdout.splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("model")
        assert lines[-1].split()[:3] == ["total", "3", "3000000"][: len(lines[-1].split()[:3])] or "total" in lines[-1]


def test_prices_in_doubt_are_counted(ask: Ask, usage: Write, tape: Tape) -> None:
    tape.finding(1, hour(2), endpoint=1, card=usd(input=1, output=1))
    result = ask(usage([used(1, GPT), used(3, GPT)]), "--format", "jsonl")
    (found,) = groups(result).values()
    assert found["doubted_rows"] == 1
    assert "in doubt: 1 rows at prices that were stale, disputed, or stated and not seen" in result.stderr


def test_groups_are_those_that_the_command_offers() -> None:
    assert tuple(bill_totals.BY) == audit_usage_cli.GROUPS


def test_an_invoice_is_explained_by_what_rounds_to_it() -> None:
    assert causes.explained(100, Invoiced(103, 3, "USD"), ()) == "rounding"
    assert causes.explained(100, Invoiced(104, 3, "USD"), ()) == "unknown"


def test_both_engines_give_the_same_bill(store_url: str, tmp_path: Path) -> None:
    made(store_url)
    file = tmp_path / "usage.csv"
    rows = [
        used(at / 2, model, provider, cost="0.15") for at in range(96) for model, provider in ((GPT, ""), (OSS, "groq"))
    ]
    file.write_text(HEADER + "".join(rows))
    result = asked(store_url, file, "--by", "day", "--cheapest", "--format", "csv")
    found = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["group"], row["priced_rows"], row["cost"], row["cheapest_cost"]) for row in found] == [
        ("2026-08-01", "96", "125.8", "125.8"),
        ("2026-08-02", "96", "124.8", "124.8"),
    ]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_is_told_how_far_the_file_is_read(tmp_path: Path) -> None:
    path, screen = tmp_path / "usage.csv", Screen()
    path.write_text("x\n" * 100_000)
    with path.open(encoding="utf-8") as file:
        rows = ((number, {"line": line}) for number, line in enumerate(iter(file.readline, ""), 1))
        assert sum(1 for _ in watched(rows, file, screen, every_s=0)) == 100_000
    assert re.search(r"\r[0-9]{1,2} %, 4,096 rows", screen.getvalue())
    assert screen.getvalue().endswith(f"\r{' ' * 40}\r")
    quiet = io.StringIO()
    assert list(watched(iter([(1, {})]), quiet, quiet)) == [(1, {})]
    assert quiet.getvalue() == ""


@pytest.mark.parametrize(
    ("femto", "text"),
    [
        (123_456_789_012_345, "0.123457"),
        (-123_456_789_012_345, "-0.123457"),
        (12_345, "0.000000000012345"),
        (10**22 + 5 * 10**8, "10000000"),
        (0, "0"),
    ],
)
def test_money_for_people_is_rounded_to_the_millionth_unless_all_of_it_matters(femto: int, text: str) -> None:
    assert money(femto) == text
