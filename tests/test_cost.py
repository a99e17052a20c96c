"""What one request costs at one offer: by the command, by the Python API, and from a book in memory."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import store
from store import Constraints, Traffic, Workload, open_store
from store.cli_cost import cost as cost_command
from store.costing import Cost
from store.doors import Doors
from store.errors import NothingMatched, QueryError
from store.intervals import endpoints
from store.records import Facts
from store.tape import Tape as Opened
from tests.tape import Tape, hour, usd
from tests.test_audit_usage import DEEP, GPT, OSS, made

ROOT = Path(__file__).parent.parent
LOAD = Workload(input_tokens=3000, output_tokens=1000)
SLOW = ("sqlalchemy", "sqlmodel", "psycopg", "pydantic", "httpx")
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("cost") / "tape.db").path


@pytest.fixture
def tape(path: Path) -> Iterator[Opened]:
    with open_store(str(path), now=lambda: hour(48)) as opened:
        yield opened


@pytest.fixture
def ask(path: Path) -> Ask:
    def run(*words: str, **env: str) -> Result:
        group = click.Group(commands={"cost": cost_command})
        doors = Doors(str(path), now=lambda: hour(48))
        return CliRunner().invoke(group, ["cost", *words], obj=doors, env=env, catch_exceptions=False)

    return run


def lines(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


# --- the command ---


def test_each_meter_stands_with_its_quantity_its_price_and_what_it_comes_to(ask: Ask) -> None:
    words = (
        "claude-3.5-haiku",
        "--input",
        "20000",
        "--cached",
        "15000",
        "--also",
        "cache_write=2000",
        "--output",
        "500",
    )
    found = lines(ask(*words, "--format", "csv"))
    assert [(line["meter"], line["quantity"], line["price"], line["cost"]) for line in found] == [
        ("input", "3000", "3", "0.009"),
        ("cache_read", "15000", "0.3", "0.0045"),
        ("cache_write", "2000", "3.75", "0.0075"),
        ("output", "500", "15", "0.0075"),
    ]
    assert {(line["total"], line["provider"], line["ref"]) for line in found} == {
        ("0.0285", "anthropic", "openrouter:anthropic:anthropic/claude-3.5-haiku")
    }


def test_the_table_says_which_offer_under_which_conditions_and_where_the_evidence_is(ask: Ask) -> None:
    result = ask(DEEP, "--input", "1000000", "--at", "2026-08-01T02:00:00Z", COLUMNS="80")
    assert result.stdout.splitlines() == [
        "model       deepseek/deepseek-v4-pro",
        "offer       deepseek deepseek/deepseek-v4-pro",
        "as of       2026-08-01T02:00:00Z",
        "conditions  01:00-04:00 UTC",
        "evidence    openrouter:deepseek:deepseek/deepseek-v4-pro",
        "cost        0.56 USD",
        "",
        "meter  quantity      price   USD",
        "input   1000000  0.56 / 1M  0.56",
    ]


def test_a_price_that_another_source_contradicts_is_told(ask: Ask) -> None:
    assert "in doubt: 1 contradicted" in ask(OSS, "--provider", "groq", "--input", "10").stderr


@pytest.mark.parametrize(
    ("words", "total"),
    [
        (("gpt-4o", "--variant", "batch"), "1.25"),
        (("gpt-4o", "--endpoint", "us"), "2.75"),
        ((OSS, "--provider", "groq"), "0.1"),
        ((OSS, "--provider", "groq", "--at", "2026-08-01T09:59:59Z"), "0.15"),
        ((OSS, "--provider", "groq", "--source", "catalogue"), "0.000000007"),
    ],
)
def test_variant_endpoint_source_and_instant_say_which_price(ask: Ask, words: tuple[str, ...], total: str) -> None:
    (line,) = lines(ask(*words, "--input", "1000000", "--format", "csv"))
    assert line["total"] == total


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((OSS,), 3, "no offer of its own author is known then: name one of chutes, deepinfra, groq"),
        ((OSS, "--provider", "grok"), 3, "no offer of grok is known then"),
        (("gpt-5",), 3, "no model 'gpt-5' in this store"),
        ((OSS, "--provider", "groq", "--also", "input_audio=1"), 2, "input audio not offered"),
        ((OSS, "--provider", "groq", "--also", "moon=1"), 2, "no meter that a workload counts"),
        ((OSS, "--provider", "groq", "--also", "reasoning"), 2, "is not of the form METER=N"),
        ((OSS, "--provider", "groq", "--cached", "11"), 2, "more cached tokens than input tokens"),
        ((OSS, "--provider", "groq", "--currency", "EUR"), 2, "in EUR is not known"),
        ((OSS, "--provider", "groq", "--at", "2026-07-01"), 3, "is known then"),
    ],
)
def test_what_is_not_known_is_told_in_a_line_and_is_no_number(
    ask: Ask, words: tuple[str, ...], code: int, told: str
) -> None:
    result = ask(*words, "--input", "10")
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr


def test_a_free_offer_charges_for_nothing_and_says_so(ask: Ask) -> None:
    (line,) = lines(ask(OSS, "--provider", "chutes", "--input", "10", "--format", "csv"))
    assert (line["price"], line["total"]) == ("0", "0")


def test_the_command_reads_a_file_without_the_packages_that_write_one(path: Path) -> None:
    code = (
        "import sys; from collector.cli import main\n"
        f"words = ['--store', {str(path)!r}, 'cost', 'gpt-4o', '--input', '9', '--at', '2026-08-02']\n"
        "main(words, standalone_mode=False)\n"
        f"print([one for one in {SLOW} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# --- the Python API ---


def test_every_question_is_a_method(tape: Opened) -> None:
    assert [row.model for row in tape.models("gpt")] == [GPT, OSS]
    assert {row.provider for row in tape.endpoints("gpt-oss-120b")} == {"chutes", "deepinfra", "groq"}
    assert [row.ended for row in tape.history(OSS, provider="groq", source="openrouter")] == [hour(10), None]
    assert [row.meter for row in tape.changes(hour(1), model=OSS)] == ["input", "output"]
    only = Constraints(providers=frozenset({"groq"}))
    choice = tape.cheapest(OSS, traffic=LOAD, constraints=only, sent_to="deepinfra")
    assert [(route.cost.text, route.saving) for route in choice.routes] == [("0.0008", -480_000_000_000)]
    assert tape.cheapest(OSS, traffic=Traffic(loads=(LOAD,))).routes[0].row.provider == "deepinfra"
    assert tape.cost(OSS, LOAD, provider="groq").cost.text == "0.0008"
    assert [one.row.source for one in tape.explain("openrouter:groq:openai/gpt-oss-120b")] == ["openrouter"]
    assert {one.difference.meter for one in tape.conflicts(OSS)} == {"input", "output"}
    assert next(one.value for one in tape.facts(OSS) if one.fact == "context_length") == "8192"
    assert [row.source for row in tape.sources()] == ["catalogue", "openrouter"]
    assert (tape.held(), tape.rates()) == ([], [])
    (week,) = tape.calendar(f"openrouter:deepseek:{DEEP}")
    assert week.next_change == hour(49)
    assert tape.subject(OSS).model == OSS
    found = {(one.model, one.name): one.value for one in tape.compare(OSS, GPT)}
    assert (found[OSS, "context_length"], found[GPT, "author"]) == ("8192", "openai")


def test_both_clocks_are_asked_as_on_the_command_line(tape: Opened, path: Path) -> None:
    assert tape.cost(OSS, LOAD, provider="groq", at=hour(5)).cost.text == "0.00105"
    assert tape.cost(OSS, LOAD, provider="groq", known_at=hour(5)).cost.text == "0.00105"
    with pytest.raises(ValueError, match="not in UTC"):
        tape.endpoints(OSS, at=datetime(2026, 8, 1))  # noqa: DTZ001 - that is what is wrong with it
    with pytest.raises(NothingMatched, match="no model"):
        tape.history("nothing")


def test_importing_the_library_imports_nothing_else_and_it_has_what_it_says() -> None:
    code = "import sys; import store; print([one for one in sys.modules if one.startswith(('store', 'sqlite3'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['store']"
    assert all(getattr(store, name) for name in store.__all__)
    with pytest.raises(AttributeError, match="no attribute 'moon'"):
        _ = store.moon


def test_a_library_that_reads_a_file_needs_no_package_at_all(path: Path) -> None:
    code = (
        f"import sys; from store import open_store\n"
        f"with open_store({str(path)!r}) as tape: book = tape.price_book()\n"
        f"print([one for one in {(*SLOW, 'click')} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the book ---


def test_a_book_outlives_its_tape_and_says_of_when_its_prices_are(path: Path) -> None:
    with open_store(str(path), now=lambda: hour(50)) as tape:
        book = tape.price_book()
    found = book.cost(OSS, "groq", input_tokens=3000, output_tokens=1000)
    assert (found.text, found.currency, found.amount) == ("0.0008", "USD", Decimal("0.0008"))
    assert (book.at, book.age(OSS, "groq"), len(book)) == (hour(50), timedelta(hours=2), 10)
    assert not book.offer(OSS, "groq").stale
    assert found.row.ref == "openrouter:groq:openai/gpt-oss-120b"


def test_a_book_of_an_earlier_instant_has_the_prices_of_then(tape: Opened) -> None:
    assert tape.price_book(at=hour(5)).cost(OSS, "groq", input_tokens=10**6).text == "0.15"
    assert tape.price_book(known_at=hour(5)).cost(OSS, "groq", input_tokens=10**6).text == "0.15"
    assert tape.price_book(models=["gpt-oss-120b"]).cost(OSS, "groq", input_tokens=10**6).text == "0.1"


def test_prices_by_the_hour_are_those_of_the_request_or_of_the_clock(path: Path) -> None:
    now = hour(48)
    with open_store(str(path), now=lambda: now) as tape:
        book, past = tape.price_book(), tape.price_book(at=hour(26))
    assert book.cost(DEEP, input_tokens=10**6).text == "0.28"
    assert book.cost(DEEP, input_tokens=10**6, at=hour(49)).text == "0.56"
    now = hour(50)
    assert book.cost(DEEP, input_tokens=10**6).text == "0.56"
    now = hour(60)
    assert (book.cost(DEEP, input_tokens=10**6).text, past.cost(DEEP, input_tokens=10**6).text) == ("0.28", "0.56")


@pytest.mark.parametrize(
    ("names", "error", "told"),
    [
        (("openai/gpt-4", ""), NothingMatched, "no model 'openai/gpt-4' in this book; near: openai/gpt-4o"),
        (("gpt-4o", ""), NothingMatched, "near: openai/gpt-4o"),
        ((OSS, "grok"), NothingMatched, "no offer of grok is known then: name one of chutes, deepinfra, groq"),
        ((OSS, ""), NothingMatched, "no offer of its own author"),
    ],
)
def test_a_miss_is_an_error_and_never_a_default(
    tape: Opened, names: tuple[str, str], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        tape.price_book().cost(*names, input_tokens=1)


def test_a_price_that_is_not_known_is_an_error_and_so_are_counts_that_cannot_be(tape: Opened) -> None:
    book = tape.price_book()
    with pytest.raises(QueryError, match="input audio not offered"):
        book.cost(OSS, "groq", input_tokens=5, more=(("input_audio", 5),))
    with pytest.raises(QueryError, match="no flex offer"):
        book.cost(GPT, input_tokens=5, variant="flex")
    with pytest.raises(ValueError, match="more cached tokens"):
        book.cost(GPT, input_tokens=5, cached_tokens=6)
    with pytest.raises(ValueError, match="costs nothing"):
        book.cost(GPT)


@given(
    st.sampled_from(
        [
            (OSS, "groq", ""),
            (GPT, "", ""),
            (GPT, "openai", "batch"),
            (DEEP, "", ""),
            ("anthropic/claude-sonnet-4", "", ""),
        ]
    ),
    st.integers(0, 400_000),
    st.integers(0, 100_000),
    st.integers(0, 48 * 60),
    st.data(),
)
def test_a_book_gives_what_the_question_gives(
    path: Path, offer: tuple[str, str, str], prompt: int, answer: int, minute: int, data: st.DataObject
) -> None:
    cached = data.draw(st.integers(0, prompt))
    if prompt + answer == 0:
        return
    load = Workload(input_tokens=prompt, output_tokens=answer, cached_tokens=cached)
    at = hour(minute / 60)
    model, provider, variant = offer
    with open_store(str(path), now=lambda: hour(48)) as tape:
        asked = tape.cost(model, load, provider=provider, variant=variant, at=at)
        booked = tape.price_book(at=at, models=[model]).cost(
            model, provider, variant=variant, input_tokens=prompt, output_tokens=answer, cached_tokens=cached
        )
    assert isinstance(asked.cost, Cost)
    assert (booked.femto, booked.row.ref, booked.currency) == (asked.cost.femto, asked.row.ref, asked.cost.currency)


def test_both_engines_price_alike(store_url: str) -> None:
    tape = Tape(store_url)
    source = tape.source("router")
    tape.poll(source, hour(0))
    tape.interval(tape.endpoint(source, "acme", "a/m"), hour(0), usd(input=7, output=9), Facts(context_length=10))
    with open_store(store_url, now=lambda: hour(1)) as opened:
        assert opened.cost("m", LOAD, provider="acme").cost.femto == 3000 * 7 + 1000 * 9
        assert opened.price_book().cost("a/m", "acme", input_tokens=2).femto == 14
        assert endpoints(opened.reader, "a/m", hour(1)) == [
            row._replace(contradicted_by=None) for row in opened.endpoints("m")
        ]


def test_forms_other_than_the_table_have_nothing_but_rows(ask: Ask) -> None:
    found: Any = json.loads(ask("gpt-4o", "--input", "10", "--output", "1", "--format", "json").stdout)
    assert [line["meter"] for line in found] == ["input", "output"]
