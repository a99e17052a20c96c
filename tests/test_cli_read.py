"""The reading commands as a user meets them: what they print, where, and how they end."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from store import cli, show
from store.columns import Cell
from store.records import Facts, Override, RateCard
from store.show import TableColumn, display_width, fold, table
from tests.tape import T0, Tape, hour, usd
from tests.test_export import CONTRACT
from tests.test_query import MODEL, evidenced

ROOT = Path(__file__).parent.parent
COMMANDS = {name: getattr(cli, name) for name in cli.__all__ if name != "Doors"}
NOW = hour(3)
Ask = Callable[..., Result]


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    """Three providers of one model in two sources, and an hour of history."""
    tape = Tape(tmp_path / "tape.db")
    openrouter, catalogue = tape.source("openrouter", trust=1), tape.source("genai_prices", trust=2)
    for source in (openrouter, catalogue):
        for at in (0, 1, 2):
            tape.poll(source, hour(at))
    facts = Facts(context_length=131_072, max_output_tokens=32_768, quantization="fp8")
    groq = tape.endpoint(openrouter, "groq", MODEL, tag="groq")
    dearer, cheaper = (usd(input=amount, output=600_000_000) for amount in (150_000_000, 100_000_000))
    tape.interval(groq, hour(0), dearer, facts, ended=hour(1), end_reason="changed", last_seen=hour(0))
    tape.interval(groq, hour(1), cheaper, facts, not_before=hour(0))
    turbo = tape.endpoint(openrouter, "deepinfra", MODEL, tag="deepinfra/turbo", variant="turbo")
    tape.interval(turbo, hour(0), cheaper, facts)
    varies = RateCard(currency="USD", amounts=(("output", 1),), states=(("input", "varies"),))
    tape.interval(tape.endpoint(openrouter, "auto", MODEL), hour(0), varies)
    tape.interval(tape.endpoint(openrouter, "free", MODEL), hour(0), usd(input=0, output=0))
    stated = tape.endpoint(catalogue, "groq", MODEL)
    tape.interval(stated, hour(0), dearer)
    tape.stated(stated, hour(-240), None, dearer, first_seen=hour(0))
    tape.finding(openrouter, hour(2), endpoint=groq, card=usd(input=1, output=1))
    return tape


@pytest.fixture
def ask(tape: Tape) -> Ask:
    def run(*words: str, store: str = "", **env: str) -> Result:
        group = click.Group(commands=COMMANDS)
        doors = cli.Doors(store or tape.url, now=lambda: NOW)
        return CliRunner().invoke(group, words, obj=doors, env=env, prog_name="tokentape", catch_exceptions=False)

    return run


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


# --- answers ---


def test_cheapest_ranks_ties_as_ties_and_tells_what_is_left_out(ask: Ask) -> None:
    result = ask("cheapest", MODEL, "--input", "1000", "--output", "1000")
    lines = result.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["1=", "deepinfra", "turbo"], ["1=", "groq", "0.0007"]]
    assert "disputed" in lines[2]
    left_out, in_doubt = result.stderr.splitlines()
    assert left_out == "left out: 1 input price varies, 1 free (--why names them)"
    contradicted, held = in_doubt.split(", ")
    assert contradicted == f"in doubt: 1 contradicted by another source (`tokentape conflicts {MODEL}`)"
    assert held == "1 with a newer one held (`tokentape held`)"
    assert result.exit_code == 0


def test_cheapest_names_what_is_left_out_when_asked_why(ask: Ask) -> None:
    result = ask("cheapest", MODEL, "--why", "--min-context", "200000", "--format", "json")
    assert result.stderr.splitlines()[0] == f"left out: openrouter:auto:{MODEL}: context unknown"
    assert json.loads(result.stdout) == []
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("options", "providers"),
    [
        ([], ["deepinfra", "groq"]),
        (["--include-free"], ["free", "deepinfra", "groq"]),
        (["--provider", "groq"], ["groq"]),
        (["--provider", "groq", "--provider", "free", "--include-free"], ["free", "groq"]),
        (["--exclude-provider", "groq"], ["deepinfra"]),
        (["--source", "genai_prices"], ["groq"]),
        (["--source", "genai_prices", "--source", "openrouter"], ["deepinfra", "groq", "groq"]),
        (["--quantization", "fp8"], ["deepinfra", "groq"]),
        (["--max-output", "32768"], ["deepinfra", "groq"]),
        (["--at", "2026-08-01T00:30:00Z"], ["deepinfra", "groq"]),
        (["--at", "2026-07-31"], ["groq"]),
    ],
)
def test_cheapest_keeps_to_its_constraints(ask: Ask, options: list[str], providers: list[str]) -> None:
    assert [row["provider"] for row in rows(ask("cheapest", MODEL, *options, "--format", "csv"))] == providers


def test_several_models_are_ranked_together(ask: Ask, tape: Tape) -> None:
    tape.interval(tape.endpoint(1, "acme", "other/model"), hour(0), usd(input=1, output=1))
    found = rows(ask("cheapest", MODEL, "model", "--format", "csv"))
    assert [row["model"] for row in found] == ["other/model", MODEL, MODEL]
    assert "model" in ask("cheapest", MODEL, "model").stdout.splitlines()[0]


def test_an_endpoint_that_cannot_take_the_workload_is_no_route(ask: Ask) -> None:
    result = ask("cheapest", MODEL, "--input", "200000", "--output", "1")
    assert result.stderr.startswith("left out: 2 context of 131072 is too short")
    assert result.exit_code == 3


def test_endpoints_are_those_of_the_instant(ask: Ask) -> None:
    assert [row["provider"] for row in rows(ask("endpoints", MODEL, "--format", "csv"))] == [
        "auto", "deepinfra", "free", "groq", "groq",
    ]  # fmt: skip
    (stated,) = rows(ask("endpoints", MODEL, "--at", "2026-07-30", "--format", "csv"))
    assert (stated["basis"], stated["stated_since"]) == ("stated", "2026-07-22T00:00:00Z")
    assert "stated" in ask("history", MODEL, "--at", "2026-07-30").stdout


def test_history_and_changes_tell_the_same_move(ask: Ask) -> None:
    found = rows(ask("history", MODEL, "--provider", "groq", "--source", "openrouter", "--format", "csv"))
    assert [(row["first_seen"], row["ended"], row["input"]) for row in found] == [
        ("2026-08-01T00:00:00Z", "2026-08-01T01:00:00Z", "0.15"),
        ("2026-08-01T01:00:00Z", "", "0.1"),
    ]
    (move,) = rows(ask("changes", "--since", "24h", "--format", "csv"))
    assert (move["seen"], move["meter"], move["old"], move["new"], move["change_percent"]) == (
        "2026-08-01T01:00:00Z", "input", "0.15", "0.1", "-33.33",
    )  # fmt: skip
    assert "always" not in ask("history", MODEL, "--stated").stdout
    assert "2026-07-22 00:00" in ask("history", MODEL, "--stated").stdout


def test_explain_shows_the_record_as_published(ask: Ask, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "evidence.db")
    ref = evidenced(tape)
    shown = ask("explain", ref, store=tape.url).stdout
    assert '{"tag": "b", "pricing": {"prompt": 0.000000150000000000000012, "big": 1e400}}' in shown
    assert "input: 0.037 USD per 1M tokens" in shown
    (one,) = json.loads(ask("explain", ref, "--format", "json", store=tape.url).stdout)
    assert (one["ref"], one["facts"], one["record"][:8]) == (ref, {"context_length": 8192}, '{"tag": ')


def test_models_and_held_are_listed(ask: Ask) -> None:
    (row,) = rows(ask("models", "oss", "--format", "csv"))
    assert (row["model"], row["endpoints"], row["input"], row["free"]) == (MODEL, "5", "0.1", "1")
    assert row["disputed"] == "1"
    (row,) = rows(ask("held", "--format", "csv"))
    assert (row["provider"], row["input"], row["held_input"]) == ("groq", "0.1", "0.000000001")
    assert "ratio" in ask("held").stdout


@pytest.fixture
def mended(tape: Tape) -> Tape:
    """What was read in the first hour was mended two and a half hours later."""
    endpoint = tape.endpoint(1, "mended", "mended/model")
    tape.interval(endpoint, hour(0), usd(input=1_000_000_000, output=0), known_to=hour(2.5))
    tape.interval(endpoint, hour(0), usd(input=2_000_000_000, output=0), known=hour(2.5))
    tape.finding(1, hour(1), subject="gone", ended=hour(2), end_known=hour(2.5))
    return tape


BEFORE, AFTER = "2026-08-01T02:29:59Z", "2026-08-01T02:30:00Z"


@pytest.mark.parametrize(
    "words",
    [
        ["endpoints", "mended/model"],
        ["history", "mended/model"],
        ["history", "mended/model", "--at", "2026-08-01T01:00:00Z"],
        ["cheapest", "mended/model"],
        ["models", "mended"],
        ["explain", "openrouter:mended:mended/model"],
        ["export", "current", "--model", "mended/model"],
        ["export", "history", "--model", "mended/model"],
    ],
    ids=" ".join,
)
def test_every_question_is_answered_as_it_was_known(ask: Ask, mended: Tape, words: list[str]) -> None:
    def price(*options: str) -> str:
        (row,) = rows(ask(*words, *options, "--format", "csv"))
        return row["input"] if "input" in row else json.loads(row["rate_card"])["prices"]["input"]

    assert [price("--known-at", BEFORE), price("--known-at", AFTER), price()] == ["1", "2", "2"]


def test_corrections_and_findings_are_told_as_they_were_known(ask: Ask, mended: Tape) -> None:
    (row,) = rows(ask("changes", "--model", "mended/model", "--format", "csv"))
    assert (row["event"], row["known"], row["old"], row["new"]) == ("correction", AFTER, "1", "2")
    assert (row["since"], row["until"]) == ("2026-08-01T00:00:00Z", "")
    assert "from 2026-08-01 00:00" in ask("changes", "--model", "mended/model").stdout
    assert ask("changes", "--model", "mended/model", "--known-at", BEFORE).exit_code == 3
    assert rows(ask("export", "changes", "--model", "mended/model", "--known-at", AFTER)) == [row]
    assert len(rows(ask("export", "changes", "--known-at", BEFORE))) == 1
    subjects = [
        [one["subject"] for one in rows(ask("held", "--format", "csv", "--known-at", at))] for at in (BEFORE, AFTER)
    ]
    assert subjects == [["Acme model", "gone"], ["Acme model"]]


def test_what_was_superseded_is_shown_when_asked_for(ask: Ask, mended: Tape) -> None:
    for words in (["history", "mended/model", "--format", "csv"], ["export", "history", "--model", "mended/model"]):
        found = [(row["input"], row["known_from"], row["known_to"]) for row in rows(ask(*words, "--superseded"))]
        assert found == [("1", "2026-08-01T00:00:00Z", AFTER), ("2", AFTER, "")]
    assert "2026-08-01 02:30" in ask("history", "mended/model", "--superseded").stdout


def test_an_answer_is_about_the_instant_at_which_it_was_known_unless_another_is_named(ask: Ask) -> None:
    """So that it is the very one that was given then; nothing is known of the future."""
    (row,) = rows(
        ask("endpoints", MODEL, "--known-at", "2026-08-01T01:00:00Z", "--provider", "auto", "--format", "csv")
    )
    assert row["last_seen"] == "2026-08-01T01:00:00Z"
    later = ask("endpoints", MODEL, "--known-at", "2030-01-01", "--format", "csv").stdout
    assert later == ask("endpoints", MODEL, "--format", "csv").stdout


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["endpoints", MODEL], "ENDPOINTS"),
        (["history", MODEL], "HISTORY"),
        (["cheapest", MODEL], "CHEAPEST"),
        (["changes"], "CHANGES"),
        (["export", "current"], "ENDPOINTS"),
        (["export", "history"], "HISTORY"),
        (["export", "changes"], "CHANGES"),
    ],
    ids=" ".join,
)
def test_every_answer_as_csv_begins_with_the_columns_of_the_contract(ask: Ask, command: list[str], name: str) -> None:
    result = ask(*command, "--format", "csv")
    assert result.stdout.startswith(f"{CONTRACT[name]},")
    lines = [json.loads(line) for line in ask(*command, "--format", "jsonl").stdout.splitlines()]
    assert [list(line) for line in lines] == [result.stdout.partition("\n")[0].split(",")] * len(lines)
    assert lines


def test_exports_are_put_in_place_whole(ask: Ask, tmp_path: Path) -> None:
    target = tmp_path / "current.csv"
    result = ask("export", "current", "-o", str(target))
    assert (result.exit_code, result.stdout) == (0, "")
    assert target.read_text() == ask("export", "current").stdout
    result = ask("export", "current", "-o", str(tmp_path / "no" / "file"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"tokentape: {tmp_path}/no/file cannot be written: ")


def test_exports_are_narrowed(ask: Ask) -> None:
    assert len(rows(ask("export", "history", "--provider", "groq", "--since", "2026-08-01T01:00:00Z"))) == 2
    assert len(rows(ask("export", "history", "--model", "gpt-oss-120b", "--until", "2026-08-01T01:00:00Z"))) == 5
    assert len(rows(ask("export", "current", "--source", "genai_prices", "--at", "2026-07-30"))) == 1


# --- failures ---


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["endpoints", "gpt-oss"], 3, f"tokentape: no model 'gpt-oss' in this store; near: {MODEL}"),
        (["endpoints", MODEL, "--at", "2020-01-01"], 3, f"see `tokentape history {MODEL}`"),
        (["history", MODEL, "--provider", "nobody"], 3, "no interval"),
        (["changes", "--since", "5m"], 3, "nothing moved"),
        (["cheapest", MODEL, "--provider", "nobody"], 3, f"no route; see `tokentape endpoints {MODEL}`"),
        (["models", "nothing-like-it"], 3, "no model on offer"),
        (["held", "--source", "nobody"], 3, "nothing is held"),
        (["export", "changes", "--provider", "nobody"], 3, "nothing to export"),
        (["explain", "a:b:c"], 3, "no endpoint 'a:b:c'"),
        (["explain", "a"], 2, "expected SOURCE:PROVIDER:ENDPOINT"),
        (
            ["endpoints", MODEL, "--at", "2026-08-22T12:00"],
            2,
            "expected 2026-08-22 (midnight UTC), 2026-08-22T12:00:00Z",
        ),
        (["cheapest", MODEL, "--input", "1", "--cached", "2"], 2, "more cached tokens than input tokens"),
        (["cheapest", MODEL, "--input", "0", "--output", "0"], 2, "costs nothing anywhere"),
        (["cheapest", MODEL, "--input", "-1"], 2, "--input"),
        (["cheapest"], 2, "MODEL"),
        (["history", MODEL, "--at", "1d", "--since", "2d"], 2, "--at asks for one instant"),
        (["export", "current", "--since", "2d"], 2, "--at goes with `current`"),
        (["export", "changes", "--at", "2d"], 2, "--at goes with `current`"),
        (["history", MODEL, "--at", "1d", "--superseded"], 2, "--at asks for one instant"),
        (["export", "current", "--superseded"], 2, "--superseded goes with `history`"),
        (["endpoints", MODEL, "--known-at", "yesterday"], 2, "is not an instant"),
        (["export", "nothing"], 2, "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_failures_are_told_on_standard_error_with_their_code(
    ask: Ask, words: list[str], code: int, message: str
) -> None:
    result = ask(*words)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout.count("\n") <= ("export" in words)  # of an empty export, its header


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_store_every_command_says_what_to_do(ask: Ask, tmp_path: Path, command: str) -> None:
    words = {"models": [], "changes": [], "held": [], "rates": [], "export": ["current"]}.get(command, ["a:b:c"])
    result = ask(command, *words, store=str(tmp_path / "none.db"))
    assert result.exit_code == 2
    assert result.output == f"tokentape: no store at {tmp_path}/none.db: run `tokentape collect`\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_examples_that_can_be_asked(ask: Ask, command: str) -> None:
    shown = ask(command, "--help").stdout
    examples = [line.split() for line in shown.partition("Examples:")[2].partition("Options:")[0].splitlines()]
    asked = [words[1:] for words in examples if words]
    assert len(asked) >= 2
    for words in asked:
        assert words[0] == command
        COMMANDS[command].make_context(command, words[1:], obj=cli.Doors("", now=lambda: NOW))


# --- what reaches a terminal ---


@pytest.mark.fault(176, 178)
def test_hostile_text_is_shown_and_never_obeyed(ask: Ask, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "hostile.db")
    evil = "\x1b[2J=\u202eevil\n\x00"
    source = tape.source("openrouter")
    endpoint = tape.endpoint(source, "=cmd|calc", "acme/evil", published_model=evil, tag=evil, variant=evil)
    tape.interval(endpoint, hour(2), usd(input=5, output=5), Facts(quantization=evil), not_before=hour(1))
    tape.finding(source, hour(1), endpoint=endpoint, subject=evil, message=evil)
    for words in (
        ["endpoints", "evil"], ["history", "evil"], ["changes"], ["cheapest", "evil"], ["held"], ["models"],
        ["explain", f"openrouter:=cmd|calc:{evil}@{evil}"], ["explain", f"openrouter:=cmd|calc:{evil}"],
    ):  # fmt: skip
        for form in ("table", "csv", "json", "jsonl"):
            result = ask(*words, "--format", form, store=tape.url)
            assert not [char for char in result.output.replace("\n", "") if not char.isprintable()], words
    result = ask("endpoints", "evil", "--format", "csv", store=tape.url)
    assert rows(result)[0]["provider"] == "'=cmd|calc"
    assert "tokentape: a cell begins like a formula and got an apostrophe" in result.stderr
    result = ask("endpoints", "evil", "--format", "csv", "--raw", store=tape.url)
    assert rows(result)[0]["endpoint"] == f"{evil}@{evil}"
    assert "formula" not in result.stderr


@pytest.mark.parametrize("width", [72, 80, 100, 140])
def test_tables_fit_the_terminal_and_never_cut_a_number(ask: Ask, width: int) -> None:
    for words in (["endpoints", MODEL], ["history", MODEL], ["cheapest", MODEL], ["models"]):
        lines = ask(*words, COLUMNS=str(width)).stdout.splitlines()
        assert max(len(line) for line in lines) <= width
        if words[0] != "models":
            assert any("0.6" in line.split() for line in lines)


COLUMNS: tuple[TableColumn[tuple[str, str, str]], ...] = (
    TableColumn("name", lambda row: row[0], cut="right"),
    TableColumn("path", lambda row: row[1], spare=1, cut="left"),
    TableColumn("price", lambda row: row[2], right=True),
)


def lines(*shown: tuple[str, str, str], width: int | None = None) -> list[str]:
    return list(table(COLUMNS, shown, width=width, bold=False))


def test_a_table_shortens_what_matters_least_then_leaves_it_out() -> None:
    row = ("deepinfra", "openai/gpt-oss-120b@turbo", "123.456")
    assert lines(row)[1] == "deepinfra  openai/gpt-oss-120b@turbo  123.456"
    assert lines(row, width=40)[1] == "deepinfra  …/gpt-oss-120b@turbo  123.456"
    assert lines(row, width=32)[1] == "deepinfra  …-120b@turbo  123.456"
    assert lines(row, width=31)[1] == "deepinfra  123.456"
    long = ("a-provider-with-a-long-name", "b", "123.456")
    assert lines(long, width=30)[1] == "a-provider-with-a-lo…  123.456"
    assert lines(long, width=33)[1] == "a-provider-with-a-long-…  123.456"
    assert lines(long, width=5)[1] == "a-provider-…  123.456"


def test_a_narrow_column_comes_back_into_the_room_that_a_wide_one_has_left() -> None:
    columns: tuple[TableColumn[tuple[str, str, str]], ...] = (
        TableColumn("name", lambda row: row[0]),
        TableColumn("wide", lambda row: row[1], spare=1),
        TableColumn("age", lambda row: row[2], spare=2, right=True),
    )
    shown = [("acme", "wide" * 10, "3d")]
    assert list(table(columns, shown, width=30, bold=False)) == ["name  age", "acme   3d"]


def test_a_column_without_content_takes_no_room() -> None:
    assert lines(("a", "", "1")) == ["name  price", "a         1"]


def test_wide_characters_are_counted_as_they_are_shown() -> None:
    shown = lines(("深度求索模型", "e\u0301", "1"), ("acme", "x", "22"), width=24)
    assert len({display_width(line) for line in shown}) == 1
    assert [display_width(line) for line in lines(("深度求索模型提供商", "x", "1"), width=19)][1] <= 19


def test_a_sentence_is_broken_between_words_where_a_terminal_ends() -> None:
    told = "note: key: off for want of a key: xai (XAI_API_KEY), nebius (NEBIUS_API_KEY)"
    lines = fold(told, 40)
    assert max(map(len, lines)) <= 40 < len(told)
    assert " ".join(map(str.strip, lines)) == told
    assert fold(told, None) == fold(told, len(told)) == [told]


def test_records_are_shown_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    records: list[dict[str, Cell]] = [
        {"source": "acme", "last": T0, "failures": 0},
        {"source": "=x\x1b", "last": None, "failures": 12},
    ]
    show.rows(records, "table")
    assert capsys.readouterr().out.splitlines() == [
        "source  last                  failures",
        "acme    2026-08-01T00:00:00Z         0",
        f"=x\\x1b{' ' * 30}12",
    ]
    show.rows(records, "csv")
    assert capsys.readouterr().out.splitlines()[1:] == ["acme,2026-08-01T00:00:00Z,0", "'=x\\x1b,,12"]
    show.rows(records, "jsonl")
    assert json.loads(capsys.readouterr().out.splitlines()[1]) == {"source": "=x\x1b", "last": None, "failures": 12}


def test_the_head_is_bold_only_on_a_terminal_that_wants_it(ask: Ask) -> None:
    head, line = table(COLUMNS, [("a", "b", "1")], width=None, bold=True)
    assert head.startswith("\x1b[1m")
    assert "\x1b" not in line
    assert "\x1b" not in ask("models").stdout


def tokentape(tape: Tape, *words: str) -> list[str]:
    """A process of its own that runs a reading command."""
    code = (
        f"import click; from store import cli; commands = {{name: getattr(cli, name) for name in {[*COMMANDS]!r}}};"
        f"click.Group(commands=commands).main({[*words]!r}, obj=cli.Doors({tape.url!r}))"
    )
    return [sys.executable, "-c", code]


def test_a_terminal_gets_bold_and_its_own_width_unless_no_color_is_set(tape: Tape) -> None:
    pty = pytest.importorskip("pty")
    for no_color, bold in (("", True), ("1", False)):
        master, slave = pty.openpty()
        env = os.environ | {"NO_COLOR": no_color, "TERM": "xterm", "COLUMNS": "70"}
        done = subprocess.run(tokentape(tape, "endpoints", MODEL), cwd=ROOT, stdout=slave, env=env, check=True)
        os.close(slave)
        shown = os.read(master, 100_000).decode()
        os.close(master)
        assert done.returncode == 0
        assert shown.startswith("\x1b[1m") is bold
        assert max(len(line) for line in shown.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()) <= 70


# --- the process ---


def test_a_question_loads_nothing_that_only_collecting_needs(tape: Tape) -> None:
    code = (
        "import sys, click; from store import cli;"
        f"cli.cheapest.main([{MODEL!r}], obj=cli.Doors({tape.url!r}), standalone_mode=False);"
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "sqlite3" in loaded
    slow = {
        "sqlalchemy", "sqlmodel", "pydantic", "httpx", "apscheduler", "selectolax", "tenacity", "yaml", "zstandard",
        "genai_prices", "rich", "collector", "csv", "asyncio", "shutil", "difflib", "zoneinfo",
    }  # fmt: skip
    assert loaded & slow == set()


def test_a_reader_that_goes_away_ends_an_export_quietly(tape: Tape) -> None:
    source = tape.source("many")
    card = usd(input=1, output=1)
    card = RateCard(
        currency="USD",
        amounts=card.amounts,
        overrides=tuple(Override(above_tokens=above, amounts=card.amounts) for above in range(1, 400)),
    )
    for number in range(20):
        tape.interval(tape.endpoint(source, "acme", "many/model", tag=str(number)), T0, card)
    for words in (["export", "current"], ["endpoints", "many/model", "--format", "json"]):
        process = subprocess.Popen(
            tokentape(tape, *words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr.read() == ""
        process.stderr.close()


def test_data_is_utf_8_whatever_the_locale(tape: Tape) -> None:
    source = tape.source("acme")
    tape.interval(tape.endpoint(source, "acme", "acme/naïve"), T0, usd(input=1, output=1))
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    for form, expected in (("csv", "acme/naïve".encode()), ("table", b"acme/na?ve")):
        command = tokentape(tape, "models", "acme/", "--format", form)
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True)
        assert expected in done.stdout
