"""A document read member by member is the document read as a whole, however it was edited and however it is written."""

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import checks
from collector.config import load
from collector.contract import EntryParser
from collector.entries import Entries
from collector.errors import SourceChanged
from collector.parse.members import Cut, cut, differing
from collector.settings import CheckSettings
from collector.sighting import Received, Seer, see
from collector.sources import litellm, parser_of
from store.alike import LEAST
from store.records import Document, Sighting
from store.timeline import SourceState, Step, step
from store.touched import Track

START = datetime(2026, 8, 1, tzinfo=UTC)
SPEC = replace(load(None, {}).sources["litellm"], expect={"endpoints": 2, "models": 2})
RULES = checks.rules(CheckSettings())
NAMES = ["gpt-4o", "gpt-4o ", "azure/gpt-4o", "claude-sonnet-4-5", "o3", 'quo"te', "ü—", "sample_spec", "error", "}"]


def document(body: bytes, at: datetime = START, content_type: str = "") -> Document:
    return Document(source=SPEC.id, url=SPEC.url, fetched_at=at, status=200, body=body, content_type=content_type)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "litellm_provider": draw(st.sampled_from(["openai", "azure", "anthropic", None])),
        "mode": draw(st.sampled_from(["chat", "chat", "responses", "embedding"])),
        "input_cost_per_token": draw(st.sampled_from([0, 1e-06, 2e-06, "1", None])),
        "output_cost_per_token": draw(st.sampled_from([4e-06, 5e-06, 0.002])),
    }
    if draw(st.booleans()):
        entry["output_cost_per_token_batches"] = 1e-06
    if draw(st.integers(0, 3)) == 0:
        entry["note"] = draw(st.sampled_from(["\n  },\n", "},", "\\", "\ud83d", "a\n    }", {"deep": [{"x": {}}]}]))
    if draw(st.booleans()):
        entry["text"] = draw(st.sampled_from(["long " * 300, "},\n  " * 300]))  # that stretches are found in
    return entry


def written(members: list[tuple[str, Any]], indent: int | None, mess: int, newline: str) -> bytes:
    """A document with these members; `mess` is one of the ways in which a writer may go wrong, or 0."""
    pad = " " * indent if indent else ""
    lines = [
        f"{pad}{json.dumps(name, ensure_ascii=False)}: "
        + json.dumps(value, indent=indent, ensure_ascii=indent == 2).replace("\n", f"\n{pad}")
        for name, value in members
    ]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    text = {
        1: text.replace("\n}\n", ",\n}\n"),
        2: text.replace("},\n", "},,\n", 1),
        3: text.replace("},\n", "}\n", 1),
        4: text + "x",
        5: text.replace("1e-06", "NaN", 1),
        6: "\ufeff" + text,
        7: text[: len(text) // 2],
        8: text.replace(": {", ': {"mode": "chat", ', 1),
        9: text + " \t\n",
        10: "[" + text + "]",
        11: text.replace("},\n", "},\n\n", 1),
        12: text.replace("},\n", "} ,\n", 1),
        13: json.dumps(dict(members)),
        14: text.replace("{\n", "{\n\n", 1),
    }.get(mess, text)
    return text.replace("\n", newline).encode("utf-8", "surrogatepass")


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Versions of a document, each a few edits away from the one before."""
    members: list[tuple[str, Any]] = [(name, draw(entries())) for name in NAMES[2:5]]
    found, past = [], [[*members]]
    rare = st.sampled_from([0] * 30 + list(range(1, 15)))
    for _ in range(draw(st.integers(2, 7))):
        for _ in range(draw(st.integers(0, 3))):
            place, name = draw(st.integers(0, len(members))), draw(st.sampled_from(NAMES))
            match draw(st.sampled_from(["add", "drop", "change", "twice", "swap", "tail", "back"])):
                case "add" if name not in dict(members):
                    members.insert(place, (name, draw(entries())))
                case "drop" if place < len(members):
                    del members[place]
                case "change" if place < len(members):
                    members[place] = (members[place][0], draw(entries()))
                case "twice" if place < len(members) and draw(st.integers(0, 4)) == 0:
                    members.append(members[place])
                case "swap":
                    members.reverse()
                case "tail":
                    members = [one for one in members if one[0] != "last_updated"]
                    members.append(("last_updated", draw(st.sampled_from(["1", "2", 3]))))
                case "back":
                    members = [*draw(st.sampled_from(past))]
                case _:
                    pass
        past.append([*members])
        indent = draw(st.sampled_from([2, 2, 2, 2, 4, None]))
        found.append(written(members, indent, draw(rare), draw(st.sampled_from(["\n"] * 9 + ["\r\n"]))))
    return found


def content(taken: Step) -> tuple[object, ...]:
    return sorted(map(repr, taken.events)), taken.complete, taken.held, taken.state.polls


def as_a_whole(received: Received, at: datetime) -> Sighting | str:
    """The sighting, or why there is none."""
    try:
        whole, _ = see(received, SPEC, at)
        checks.expected(checks.counted(whole.observations), SPEC)
    except SourceChanged as error:
        return str(error)
    return whole


@settings(max_examples=150, deadline=None)
@given(histories())
def test_what_is_read_member_by_member_is_what_is_read_as_a_whole(bodies: list[bytes]) -> None:
    seer, track, state = Seer(SPEC), Track(SourceState(), RULES), SourceState()
    for number, body in enumerate(bodies):
        at = START + timedelta(hours=number)
        received = Received(documents=(document(body, at),), failures={})
        whole = as_a_whole(received, at)
        if isinstance(whole, str):
            with pytest.raises(SourceChanged) as refused:
                seer.see(received, at)
            assert str(refused.value) == whole
            continue
        seen = seer.see(received, at)
        assert seen.sighting.documents == whole.documents
        taken, expected = seen.step(track), step(state, whole, RULES.judge, RULES.patience)
        state = expected.state
        assert taken.offers == expected.offers == len(whole.observations)
        assert content(taken) == content(expected)


def test_only_what_changed_is_read_and_not_again_what_comes_back() -> None:
    read: list[str] = []

    class Counting:
        def parse(self, document: Document, spec: Any) -> Any:
            raise AssertionError("as a whole")

        def quotes(self, members: Any, spec: Any) -> Any:
            read.extend(members)
            return litellm.quotes(members, spec)

    def entry(price: float) -> dict[str, Any]:
        return {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": price}

    members = [(f"model-{number}", entry(1e-06)) for number in range(9)]
    reader = Entries(Counting(), SPEC)
    reader.read(document(written(members, 2, 0, "\n")), START)
    assert read == [name for name, _ in members]
    read.clear()
    members[4] = ("model-4", entry(2e-06))
    changed = reader.read(document(written([*members, ("last_updated", 1)], 2, 0, "\n")), START)
    assert read == ["model-4", "last_updated"]
    assert changed is not None
    assert [model for _, model, _ in changed] == ["model-4"]
    read.clear()
    members[4] = ("model-4", entry(1e-06))
    changed = reader.read(document(written(members, 2, 0, "\n")), START)
    assert read == []
    assert changed is not None
    assert [model for _, model, _ in changed] == ["model-4"]


def object_of(names: list[str], size: int) -> Cut:
    members = [(name * 3, {"x": random.Random(name).randbytes(size).hex()}) for name in names]
    found = cut(written(members, 2, 0, "\n"))
    assert found is not None
    return found


@given(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=12),
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=12),
    st.sampled_from([1, LEAST // 4, LEAST]),
)
def test_what_is_left_out_of_two_documents_is_the_same_in_both(old: list[str], new: list[str], size: int) -> None:
    before, now = object_of(old, size), object_of(new, size)
    was, is_ = map(Counter, differing(before, now))
    assert was <= Counter(before.pieces())
    assert is_ <= Counter(now.pieces())
    assert Counter(before.pieces()) - was == Counter(now.pieces()) - is_


def test_of_two_long_documents_only_what_is_near_an_edit_is_compared() -> None:
    names = [str(number) for number in range(100)]
    before, now = object_of(names, 500), object_of([*names[:20], "new", *names[20:70], *names[71:]], 500)
    was, is_ = differing(before, now)
    assert set(before.pieces()) - set(now.pieces()) == set(was) - set(is_) != set()
    assert set(now.pieces()) - set(before.pieces()) == set(is_) - set(was) != set()
    assert max(len(was), len(is_)) < 10


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"{\n}",
        b'{"a": {}}',
        b'{\n  "a": 1\n}',
        b'{\n  "a": {\n  },\n}',
        b'\xef\xbb\xbf{\n  "a": {\n  }\n}',
        b"[\n  {\n  }\n]",
    ],
)
def test_what_is_not_written_member_below_member_is_not_cut(body: bytes) -> None:
    assert cut(body) is None


def test_a_document_in_another_charset_is_read_as_a_whole() -> None:
    body = written([(name, {"mode": "chat"}) for name in ("a", "b", "c")], 2, 0, "\n")
    for charset, plain in (("utf-8", True), ("iso-8859-1", False)):
        reader = Entries(_parser(), SPEC)
        read = reader.read(document(body, content_type=f"text/plain; charset={charset}"), START)
        assert (read is not None) == plain


def _parser() -> EntryParser:
    parser = parser_of(SPEC)
    assert isinstance(parser, EntryParser)
    return parser


def test_a_source_whose_parser_reads_whole_documents_is_seen_as_ever() -> None:
    spec = replace(load(None, {}).sources["deepinfra"], expect={})
    rows = [{"id": "acme/one", "metadata": {"pricing": {"input_tokens": 1.0, "output_tokens": 2.0}}}]
    body = json.dumps({"data": rows}).encode()
    received = Received(
        documents=(Document(source=spec.id, url=spec.url, fetched_at=START, status=200, body=body),), failures={}
    )
    seen = Seer(spec).see(received, START)
    assert isinstance(seen.sighting, Sighting)
    assert seen.offers is None
    assert seen.sighting == see(received, spec, START)[0]


@pytest.mark.parametrize("mode", ["chat", "embedding"])
def test_a_key_that_comes_to_stand_twice_is_refused(mode: str) -> None:
    """Also where the one is long known and the other new, and whether or not either is for sale."""
    members = [(name, {"litellm_provider": "x", "mode": "chat", "input_cost_per_token": 1}) for name in "abcd"]
    members.insert(1, ("twice", {"litellm_provider": "x", "mode": mode}))
    seer = Seer(SPEC)
    for number, added in enumerate(([], [("twice", {"litellm_provider": "y", "mode": mode})], [])):
        received = Received(documents=(document(written([*members, *added], 2, 0, "\n")),), failures={})
        if added:
            with pytest.raises(SourceChanged, match="'twice' stands twice"):
                seer.see(received, START)
        else:
            assert seer.see(received, START).offers == (None if number == 0 else {})
