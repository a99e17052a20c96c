"""What is wrong with somebody else's price table: seeded faults, whole tables, and the catalogues of a recorded day."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from collector import audit, audit_cli
from collector.audit import KINDS, Remark, certain, remarks
from collector.cli import CONFIG_PATH, main
from collector.named_columns import observations
from collector.settings import CheckSettings
from store.doors import Doors
from store.intervals import IntervalRow
from store.records import Document, EndpointKey, Facts, Finding, Identity, Observation, RateCard
from tests.benchmarks.agreement import collected
from tests.tape import T0, Tape, hour, usd
from tests.test_routing import offer

USD = 10**9
SETTINGS = CheckSettings()
SOURCES = Path(__file__).parent / "sources"


def listed(card: RateCard | None, variant: str = "", **more: Any) -> Observation:
    """An offer of a table."""
    one = Observation(
        key=EndpointKey(provider="Acme", model="one"),
        identity=Identity(provider="acme", model="acme/one", variant=variant),
        card=card,
        facts=Facts(),
    )
    return replace(one, **more)


def row(card: RateCard, source: str = "router", trust: int = 1, **more: Any) -> IntervalRow:
    """The same offer on the tape."""
    return offer(card, source=source, trust=trust, model="acme/one", **more)


def apart(one: str, other: str) -> bool:
    """Whether neither source is the copy."""
    return "copy" not in one + other


def found(
    card: RateCard | None, tape: Sequence[IntervalRow], past: Iterable[IntervalRow] = (), **more: Any
) -> list[Remark]:
    return remarks(listed(card, **more), tape, lambda: past, T0, SETTINGS, apart)


def kinds(card: RateCard | None, *tape: IntervalRow, past: Iterable[IntervalRow] = (), **more: Any) -> list[str]:
    return [one.kind for one in found(card, tape, past, **more)]


# --- one offer ---


@given(
    st.sampled_from([10**3, 10**5, 10**6]),
    st.booleans(),
    st.integers(20_000_000, 100 * USD),
    st.integers(20_000_000, 100 * USD),
)
def test_a_slip_of_unit_is_found_in_every_meter_and_the_right_amount_is_told(
    factor: int, up: bool, prompt: int, answer: int
) -> None:
    right, wrong = usd(input=prompt, output=answer), usd(input=prompt * factor, output=answer * factor)
    if not up:
        right, wrong = wrong, right
    told = found(wrong, [row(right, trust=0)])
    assert [(one.kind, one.meter, one.right) for one in told] == [
        ("unit", meter, amount) for meter, amount in right.amounts
    ]


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_what_the_tape_says_too_is_sound(prompt: int, answer: int) -> None:
    card = usd(input=min(prompt, 1000 * USD), output=min(answer, 1000 * USD))
    assert not kinds(card, row(card), row(card, "catalogue", 2))


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (usd(input=5 * USD, output=1 * USD), ["swapped", "swapped"]),
        (usd(input=10 * USD, output=5 * USD), ["unit"]),
        (usd(input=120 * USD, output=5 * USD), ["unit"]),
        (usd(input=3 * USD, output=5 * USD), ["conflict"]),
        (usd(input=0, output=5 * USD), ["conflict"]),
        (usd(input=1 * USD, output=5 * USD, cache_read=2 * USD), ["cache_order"]),
        (usd(input=2001 * USD, output=5 * USD), ["unit"]),
        (usd(input=1 * USD), []),
        (RateCard(currency="CNY", amounts=(("input", 7 * USD),)), []),
        (None, ["unreadable"]),
    ],
)
def test_each_kind_of_fault(card: RateCard | None, expected: list[str]) -> None:
    assert kinds(card, row(usd(input=1 * USD, output=5 * USD))) == expected


def test_an_offer_that_cannot_be_read_says_why_and_is_held_against_nothing() -> None:
    refused = Finding(rule="number", message="input: 'x' is not a plain decimal number", held=True)
    (told,) = found(usd(input=9), [row(usd(input=1))], findings=(refused,))
    assert (told.kind, told.message) == ("unreadable", refused.message)


def test_what_the_tape_does_not_know_is_unknown_and_wrong_only_beyond_all_sellers() -> None:
    assert kinds(usd(input=1)) == ["unknown_model"]
    elsewhere = row(usd(input=1 * USD), provider="another")
    assert kinds(usd(input=3 * USD), elsewhere) == ["unknown_offer"]
    assert kinds(usd(input=999 * USD), elsewhere) == ["unknown_offer"]
    assert kinds(usd(input=1_000_000), elsewhere) == ["unit", "unknown_offer"]
    assert kinds(usd(input=3 * USD), row(usd(input=1 * USD), variant="flex")) == ["unknown_offer"]


def test_a_table_without_quantizations_is_held_against_the_offer_that_it_is_most_like() -> None:
    tape = [row(usd(input=1), variant="fp8", endpoint="a"), row(usd(input=2), variant="fp4", endpoint="b")]
    assert not kinds(usd(input=2), *tape)
    (told,) = found(usd(input=3), tape)
    assert (told.kind, told.right) == ("conflict", None)
    assert kinds(usd(input=2), *tape, variant="fp16") == ["unknown_offer"]


def test_a_price_that_was_right_once_is_stale_and_says_until_when() -> None:
    past = [
        row(usd(input=3), first_seen=hour(-9), ended=hour(-5), end_reason="changed"),
        row(usd(input=3), "page", first_seen=hour(-9), ended=hour(-3), end_reason="changed"),
        row(usd(input=4), first_seen=hour(-9), ended=hour(-1), end_reason="changed"),
        row(usd(input=3), "dated", basis="stated", stated_until=hour(5)),
    ]
    (told,) = found(usd(input=3), [row(usd(input=2))], past)
    assert (told.kind, told.until, told.before) == ("stale", hour(-3), past[1])
    assert told.message.endswith("in the table, 0.000000002 by router: what page said until 2026-07-31T21:00:00Z")
    assert kinds(usd(input=5), row(usd(input=2)), past=past) == ["conflict"]


def test_an_amount_a_thousand_times_off_is_a_slip_of_unit_though_somebody_said_so_once() -> None:
    past = [row(usd(input=3000), ended=hour(-5), end_reason="changed")]
    assert kinds(usd(input=3000), row(usd(input=3)), past=past) == ["unit"]


def test_the_most_trusted_fresh_source_is_the_evidence_and_all_others_are_named() -> None:
    tape = [
        row(usd(input=1), "stale page", 0, stale=True),
        row(usd(input=2), "router", 1),
        row(usd(input=2), "catalogue", 2),
        row(usd(input=5), "other catalogue", 2),
    ]
    (told,) = found(usd(input=5), tape)
    assert told.tape == tape[1]
    assert (told.agreeing, told.dissenting) == (("router", "catalogue"), ("other catalogue", "stale page"))
    assert told.right is None


@pytest.mark.parametrize(
    ("stating", "right"),
    [
        ([(0, "page", 1)], 1),
        ([(0, "page", 1), (1, "router", 2), (2, "catalogue", 2)], 1),
        ([(0, "page", 1), (0, "api", 2)], None),
        ([(1, "router", 1)], None),
        ([(1, "router", 1), (2, "catalogue", 1)], 1),
        ([(1, "router", 1), (2, "catalogue", 1), (2, "other", 2)], None),
        ([(2, "catalogue", 1), (2, "other", 1)], None),
        ([(1, "router", 1), (2, "copy of it", 1)], None),
        ([(1, "router", 1), (2, "copy of it", 1), (2, "catalogue", 1)], 1),
        ([(1, "router", 1), (2, "copy of it", 2), (2, "catalogue", 1)], None),
        ([(1, "router", 1), (1, "router", 1)], None),
        ([], None),
    ],
)
def test_right_is_what_the_provider_says_or_a_seller_and_another_without_contradiction(
    stating: list[tuple[int, str, int]], right: int | None
) -> None:
    said = [(row(usd(input=amount), source, trust), amount) for trust, source, amount in stating]
    assert certain(said, apart) == right


# --- tables ---

Ask = Callable[..., Result]


def made(url: str | Path) -> Tape:
    """One model at one provider: its own page and a router agree, and the page cut the price an hour ago."""
    tape = Tape(url)
    for trust, name in enumerate(("page", "router")):
        source = tape.source(name, trust=trust, every_s=86_400)
        endpoint = tape.endpoint(source, "openai", "openai/gpt-5.4")
        tape.poll(source, hour(5))
        tape.interval(endpoint, hour(0), usd(input=4 * USD, output=9 * USD), ended=hour(4), end_reason="changed")
        tape.interval(endpoint, hour(4), usd(input=2 * USD, output=9 * USD), not_before=hour(3))
    return tape


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """The command, on such a tape."""
    tape = made(tmp_path / "tape.db")
    return lambda *words: asked(Doors(tape.url, now=lambda: hour(5)), *words)


def asked(doors: Doors, *words: object) -> Result:
    """What the command answers to somebody without a configuration of their own."""
    parent = click.Context(main, obj=doors)
    parent.meta[CONFIG_PATH] = None
    return CliRunner().invoke(
        audit_cli.audit_catalogue,
        [*map(str, words)],
        parent=parent,
        prog_name="audit-catalogue",
        catch_exceptions=False,
    )


def table(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def told(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_row_names_the_evidence_on_both_sides(ask: Ask, tmp_path: Path) -> None:
    path = table(tmp_path, "provider,model,input,output\nOpenAI,gpt-5.4,$4.00,9\n")
    result = ask(path, "--format", "jsonl")
    (one,) = told(result)
    assert result.exit_code == 0
    assert (one["kind"], one["locator"], one["value"], one["tape_value"], one["right"]) == (
        "stale",
        "line 2",
        "4",
        "2",
        "2",
    )
    assert (one["source"], one["ref"], one["agreeing"]) == ("page", "page:openai:openai/gpt-5.4", ["page", "router"])
    assert (one["stated_by"], one["stated_until"]) == ("page:openai:openai/gpt-5.4", "2026-08-01T04:00:00Z")
    assert one["document"] != one["stated_document"]
    assert result.stderr == f"tokentape: {path}, as csv: 1 offers, 0 of them sound; 1 stale\n"


def test_a_sound_table_ends_as_a_question_without_an_answer(ask: Ask, tmp_path: Path) -> None:
    result = ask(table(tmp_path, "provider,model,input\nopenai,gpt-5.4,2\n"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "1 offers, 1 of them sound" in result.stderr


def test_units_providers_and_currencies_are_told_from_outside_or_by_the_row(ask: Ask, tmp_path: Path) -> None:
    path = table(tmp_path, "model,input,request,currency\ngpt-5.4,0.000002,1,\ngpt-5.4,0.000002,1,CNY\n")
    result = ask(path, "--provider", "openai", "--unit", "USD/token")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "2 offers, 2 of them sound" in result.stderr
    assert ask(path, "--provider", "openai", "--unit", "USD/1K_token").exit_code == 0
    for wrong in ("USD/pound", "USD/image", "dollars"):
        refused = ask(path, "--provider", "openai", "--unit", wrong)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_a_table_shows_the_worst_first_and_other_forms_keep_the_order_of_the_file(ask: Ask, tmp_path: Path) -> None:
    path = table(tmp_path, "provider,model,input\nopenai,gpt-5.4,3\nopenai,gpt-5.4,2000000\nopenai,nobody-9,1\n")
    in_order = [one["kind"] for one in told(ask(path, "--format", "jsonl"))]
    assert in_order == ["conflict", "unit", "unknown_model"]
    shown = ask(path).stdout.splitlines()[1:]
    assert [line.split()[0] for line in shown] == ["unit", "conflict", "unknown_model"]
    assert [one["kind"] for one in told(ask(path, "--kind", "unit", "--format", "jsonl"))] == ["unit"]


@pytest.mark.fault(184)
@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1: wanted the columns model, provider"),
        ("provider,model\nopenai,gpt-5.4\n", "line 1: wanted the columns"),
        ("model,input\ngpt-5.4,1\n", "line 1: wanted the columns"),
        ("provider,model,input,input\n", "line 1: a column stands twice"),
        ('provider,model,input\nopenai,"gpt-5.4,1\n', "line 2: not CSV: "),
        ("provider,model,input\nopenai,gpt-5.4," + "9" * 200_000, "line 2: not CSV: "),
        ("\udcff", "not UTF-8 text"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(ask: Ask, tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    result = ask(path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"tokentape: {path}, ")
    assert where in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.fault(184)
@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("openai,gpt-5.4,1,2", "4 cells in a table of 3 columns"),
        ("openai,gpt-5.4", "2 cells in a table of 3 columns"),
        ("openai,,1", "model is"),
        (",gpt-5.4,1", "provider is"),
        ("openai,gpt-5.4,1e999999", "not a plain decimal number"),
        ("openai,gpt-5.4,-1", "input is -1"),
        ("openai,gpt-5.4,NaN", "not a plain decimal number"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_and_the_others_are_read(
    ask: Ask, tmp_path: Path, cells: str, message: str
) -> None:
    path = table(tmp_path, f"provider,model,input\n{cells}\nopenai,gpt-5.4,3\n")
    first, second = told(ask(path, "--format", "jsonl"))
    assert (first["kind"], first["locator"], second["kind"]) == ("unreadable", "line 2", "conflict")
    assert message in first["message"]


@pytest.mark.fault(184)
def test_a_file_that_is_too_large_or_like_none_or_not_there_is_refused_in_a_line(ask: Ask, tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(10 * 2**30)  # takes no room on the disk
    for path, why in (
        (large, "http.decoded_limit"),
        (table(tmp_path, "[]", "none.json"), "is like none of litellm, models_dev"),
        (table(tmp_path, "[" * 100_000, "deep.json"), "is like none of"),
        (tmp_path / "no.json", "cannot be read: No such file"),
        (tmp_path / "no.csv", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        result = ask(path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert why in result.stderr
        assert result.stderr.count("\n") == 1
    assert "nested deeper" in ask(tmp_path / "deep.json", "--as", "litellm").stderr
    assert "neither csv nor a source" in ask(large, "--as", "nobody").stderr


def test_a_csv_of_any_length_is_read_row_by_row() -> None:
    def endless() -> Iterable[str]:
        yield "provider,model,input\n"
        while True:
            yield "openai,gpt-5.4,3\n"

    rows = observations(endless(), "endless", T0)  # type: ignore[arg-type]
    assert [next(rows).locator for _ in range(3)] == ["line 2", "line 3", "line 4"]


@pytest.mark.parametrize("source", ["litellm", "models_dev", "portkey", "genai_prices", "llm_prices"])
def test_a_catalogue_is_known_by_what_it_holds(ask: Ask, source: str) -> None:
    result = ask(SOURCES / source / "sample.json", "--format", "jsonl")
    assert f"as {source}: " in result.stderr
    assert {one["kind"] for one in told(result)} <= {*KINDS}


def test_a_source_is_held_against_all_others_but_itself(store_url: str) -> None:
    tape = made(store_url)

    def ask(*words: str) -> Result:
        return asked(Doors(tape.url, now=lambda: hour(5)), *words)

    body = json.dumps(
        {"gpt-5.4": {"mode": "chat", "litellm_provider": "openai", "input_cost_per_token": 3e-06}}
    ).encode()
    document = Document(source="litellm", url="https://x.example/", fetched_at=hour(5), status=200, body=body)
    source = tape.source("litellm", trust=2)
    tape.poll(source, hour(5), pack=tape.archive.keep([document]))
    own = tape.endpoint(source, "openai", "openai/gpt-5.4", tag="own")
    tape.interval(own, hour(5), usd(input=3 * USD))
    (one,) = told(ask("litellm", "--format", "jsonl"))
    assert (one["kind"], one["value"], one["right"], one["source"]) == ("conflict", "3", "2", "page")
    assert one["dissenting"] == []
    assert one["audited_document"] == document.sha256
    assert "has sent nothing" in ask("models_dev").stderr
    assert "has sent nothing" in ask("litellm", "--at", "2026-07-31").stderr


def test_help_names_the_kinds_there_are() -> None:
    assert audit_cli.KINDS == audit.KINDS


@pytest.mark.fault(176, 178)
def test_hostile_text_of_a_table_is_shown_and_never_obeyed(ask: Ask, tmp_path: Path) -> None:
    evil = "=cmd|'/C calc'\x1b]0;owned\x07\u202e"
    with (tmp_path / "evil.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["provider", "model", "input"], [evil, evil, "1"], ["openai", evil, evil]])
    for form in ("table", "csv", "json", "jsonl"):
        result = ask(tmp_path / "evil.csv", "--format", form)
        assert result.exit_code == 0
        assert not [char for char in result.output.replace("\n", "") if not char.isprintable()], form
    rows = list(csv.DictReader(io.StringIO(ask(tmp_path / "evil.csv", "--format", "csv").stdout)))
    assert all(one["published_model"].startswith("'=") for one in rows)


# --- recorded ---


@pytest.mark.recorded
def test_the_catalogues_of_a_recorded_day_are_wrong_where_they_are_known_to_be(recorded: Path, tmp_path: Path) -> None:
    at = datetime(2026, 8, 22, 23, 59, tzinfo=UTC)
    store = tmp_path / "tape.db"
    collected(recorded, at, store, only=("litellm", "models_dev", "genai_prices"))

    def faults(name: str, provider: str = "") -> dict[tuple[str, str], tuple[str, str | None]]:
        words = ("--provider", provider, "--format", "jsonl", "--kind", "unit", "--kind", "conflict")
        # A moment later: of polls at one instant, each is known after the one before.
        doors = Doors(str(store), now=lambda: at + timedelta(seconds=1))
        result = asked(doors, recorded / "recorded" / name, *words)
        return {(one["published_model"], one["meter"]): (one["kind"], one["tape_value"]) for one in told(result)}

    portkey = faults("portkey/2026-08-21-pricing-together-ai.json", "together-ai")
    assert portkey["MiniMaxAI/MiniMax-M2.5", "input"] == ("unit", "0.3")
    assert portkey["MiniMaxAI/MiniMax-M2.5", "output"] == ("unit", "1.2")
    assert portkey["Qwen/Qwen3.5-397B-A17B", "input"] == ("unit", "0.6")
    assert portkey["Qwen/Qwen3.5-9B", "input"] == ("conflict", "0.17")
