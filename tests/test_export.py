"""Answers for programs: their columns are a contract, their text is safe, their files appear whole or not at all."""

import csv
import io
import json
import os
import threading
import tracemalloc
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import columns
from store.columns import Column, card_body
from store.export import Form, Written, file_put_in_place, write
from store.intervals import IntervalRow
from store.records import Facts, Override, RateCard
from store.routing import Constraints, Workload, rank
from tests.tape import T0, hour, usd
from tests.test_routing import offer

CONTRACT = {
    "HISTORY": "model,provider,endpoint,variant,source,not_before,first_seen,last_seen,ended,end_reason,input,output,"
    "cache_read,cache_write,context_length,max_output_tokens,currency,document",
    "ENDPOINTS": "model,provider,endpoint,variant,source,first_seen,last_seen,input,output,cache_read,cache_write,"
    "context_length,max_output_tokens,quantization,currency,document",
    "CHEAPEST": "rank,model,provider,endpoint,variant,cost_per_request_usd,input,output,cache_read,context_length,"
    "source,last_seen",
    "CHANGES": "seen,not_before,model,provider,endpoint,source,meter,old,new,change_percent",
}


def written(form: Form, shown: Sequence[Column[Any]], rows: Sequence[Any], *, raw: bool = False) -> tuple[str, Written]:
    out = io.StringIO(newline="")
    told = write(out, form, shown, rows, raw=raw)
    return out.getvalue(), told


def record(form: Form, shown: Sequence[Column[Any]], row: Any) -> dict[str, Any]:
    """One row, written and read again."""
    text, _ = written(form, shown, [row])
    if form == "csv":
        (read,) = csv.DictReader(io.StringIO(text))
        return dict(read)
    (read,) = json.loads(text) if form == "json" else [json.loads(text)]
    return dict(read)


@pytest.mark.parametrize("name", CONTRACT)
def test_columns_begin_as_scripts_know_them_and_none_stands_twice(name: str) -> None:
    names = [column.name for column in getattr(columns, name)]
    expected = CONTRACT[name].split(",")
    assert names[: len(expected)] == expected
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("shown", [columns.ENDPOINTS, columns.HISTORY])
def test_the_second_clock_the_other_facts_and_the_currency_stand_at_the_end_of_what_is_told_of_intervals(
    shown: "columns.Columns[IntervalRow]",
) -> None:
    names = [column.name for column in shown]
    told = names[names.index("known_from") :]
    assert told[:2] == ["known_from", "known_to"]
    facts, rest = told[2 : told.index("quoted_currency")], told[told.index("quoted_currency") :]
    assert {*facts, "context_length", "max_output_tokens", "quantization"} == set(Facts.__dataclass_fields__)
    assert rest[:3] == ["quoted_currency", "rates", "unconverted"]
    assert rest[3:] in ([], ["contradicted_by"])


ROW = offer(
    RateCard(
        currency="USD",
        amounts=(("input", 37_000_000), ("output", 0), ("web_search", 10_000_000_000)),
        states=(("cache_read", "unknown"), ("cache_write", "varies")),
        overrides=(
            Override(above_tokens=200_000, amounts=(("input", 74_000_001),), unknown=("web_search",)),
            Override(start_minute=60, end_minute=240, days=(1, 2), tz="Asia/Shanghai", amounts=(("output", 1),)),
        ),
    ),
    last_seen=hour(1) + timedelta(milliseconds=250),
    max_output_tokens=None,
)


def test_csv_holds_plain_decimals_and_instants_in_utc() -> None:
    found = record("csv", columns.ENDPOINTS, ROW)
    assert (found["input"], found["output"], found["cache_read"], found["cache_write"]) == ("0.037", "0", "", "")
    assert (found["first_seen"], found["last_seen"]) == ("2026-08-01T00:00:00Z", "2026-08-01T01:00:00.25Z")
    assert (found["context_length"], found["max_output_tokens"]) == ("131072", "")
    assert (found["stale"], found["ended"], found["currency"]) == ("false", "", "USD")


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_states_tell_free_from_unknown_from_varies_from_not_offered(form: Form) -> None:
    found = record(form, columns.ENDPOINTS, ROW)
    states = [found[f"{meter}_state"] for meter in ("input", "output", "cache_read", "cache_write")]
    assert states == ["priced", "free", "unknown", "varies"]
    bare = record(form, columns.HISTORY, ROW._replace(card=usd()))
    assert bare["input_state"] == "not_offered"


def test_json_keeps_types_and_never_a_float() -> None:
    found = record("json", columns.ENDPOINTS, ROW)
    assert (found["input"], found["context_length"], found["stale"]) == ("0.037", 131_072, False)
    assert found["cache_read"] is found["max_output_tokens"] is None
    assert list(found) == [column.name for column in columns.ENDPOINTS]


def test_the_whole_rate_card_is_there_in_every_form() -> None:
    expected = {
        "currency": "USD",
        "prices": {"input": "0.037", "output": "0", "web_search": "10"},
        "states": {"cache_read": "unknown", "cache_write": "varies"},
        "overrides": [
            {"above_tokens": 200_000, "prices": {"input": "0.074000001"}, "states": {"web_search": "unknown"}},
            {
                "start_minute": 60,
                "end_minute": 240,
                "tz": "Asia/Shanghai",
                "days": [1, 2],
                "prices": {"output": "0.000000001"},
            },
        ],
    }
    assert card_body(ROW.card) == expected
    assert record("jsonl", columns.ENDPOINTS, ROW)["rate_card"] == expected
    assert json.loads(record("csv", columns.HISTORY, ROW)["rate_card"]) == expected


def test_routes_show_the_prices_that_apply_to_the_workload() -> None:
    rows = [ROW._replace(provider=name, context_length=300_000) for name in ("b", "a")]
    ranking = rank(rows, Workload(input_tokens=200_001, output_tokens=1), T0, Constraints())
    found = [record("csv", columns.CHEAPEST, route) for route in ranking.routes]
    assert [(one["rank"], one["tied"], one["provider"]) for one in found] == [("1", "true", "a"), ("1", "true", "b")]
    assert (found[0]["input"], found[0]["conditions"], found[0]["fits"]) == ("0.074000001", "above 200000", "true")
    assert found[0]["cost_per_request_usd"] == "0.014800074200001"


# --- hostile text ---

TEXT: tuple[Column[str], ...] = (Column("text", lambda text: text),)
HOSTILE = "\x1b]0;owned\x07\u202e,\"\r\n\t\x00'"


@pytest.mark.fault(176)
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_begins_like_a_formula_gets_an_apostrophe(start: str) -> None:
    text, told = written("csv", TEXT, [f"{start}cmd|' /C calc'!A0"])
    assert told == Written(rows=1, guarded=1)
    (cell,) = list(csv.reader(io.StringIO(text)))[1]
    assert cell.startswith("'")
    text, told = written("csv", TEXT, [f"{start}cmd"], raw=True)
    assert told == Written(rows=1)
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [f"{start}cmd"]


@pytest.mark.fault(176)
@pytest.mark.parametrize("number", ["-12.5", "0.15", "-3"])
def test_numbers_are_no_formulas(number: str) -> None:
    assert written("csv", TEXT, [number])[1].guarded == 0
    assert written("csv", TEXT, [f"{number}+1"])[1].guarded == number.startswith("-")


@pytest.mark.fault(178)
def test_control_characters_never_reach_a_terminal() -> None:
    for form in ("csv", "json", "jsonl"):
        text, _ = written(form, TEXT, [HOSTILE])
        assert not [char for char in text.replace("\n", "") if not char.isprintable()]


@pytest.mark.fault(177)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_text_comes_back_from_json_and_raw_csv_as_it_was(texts: list[str]) -> None:
    assert [one["text"] for one in json.loads(written("json", TEXT, texts)[0])] == texts
    lines = written("jsonl", TEXT, texts)[0].splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts
    raw = csv.reader(io.StringIO(written("csv", TEXT, texts, raw=True)[0], newline=""))
    assert [row[0] for row in raw] == ["text", *texts]


def test_an_answer_without_rows_is_still_of_its_form() -> None:
    assert written("csv", TEXT, []) == ("text\n", Written(rows=0))
    assert written("json", TEXT, []) == ("[]\n", Written(rows=0))
    assert written("jsonl", TEXT, []) == ("", Written(rows=0))


def test_memory_does_not_grow_with_rows() -> None:
    class Nowhere(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    def peak(count: int, form: Form) -> int:
        tracemalloc.start()
        try:
            write(Nowhere(), form, columns.HISTORY, (ROW for _ in range(count)))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    for form in ("csv", "jsonl"):
        peak(10, form)
        assert peak(5000, form) < peak(10, form) + 100_000


# --- files ---


@pytest.mark.fault(128)
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "prices.csv"
    target.write_text("before")
    with file_put_in_place(target) as out:
        out.write("after\n")
        out.flush()
        assert target.read_text() == "before"
    assert target.read_text() == "after\n"

    def fail() -> None:
        with file_put_in_place(target) as out:
            out.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "after\n"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.fault(183)
def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("before")
    link.symlink_to(real)
    with file_put_in_place(link) as out:
        out.write("after")
    assert link.is_symlink()
    assert real.read_text() == "after"


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with file_put_in_place(pipe) as out:
        out.write("data")
    reader.join()
    assert read == ["data"]
    assert pipe.is_fifo()
