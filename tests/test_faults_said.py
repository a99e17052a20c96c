"""Faults of what a list says, each of a source of its own, in a poll between two good ones: what was answered, what is
held, and the prices in force, in a store of either engine.

Why each is doubted is seen in `test_doubts.py`, `test_parse.py` and `test_normalise.py`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from collector.contract import PriceSpec, SourceSpec, TierSpec
from collector.poll import Report
from store.intervals import history
from store.read import open_store
from store.records import RateCard
from store.units import decimal_text
from tests import polling
from tests.fetching import NOW, settings
from tests.raw_server import answer
from tests.stores import rows
from tests.test_crash import faults
from tests.test_faults_sent import made

Row = dict[str, Any]
Said = Mapping[str, Any] | Callable[[list[Row]], Sequence[Row] | bytes]
"""What is otherwise: fields of the first offer, or all offers, or the whole body."""

M = "USD/1M_token"
PRICES = (
    PriceSpec(meter="input", at="in", unit=M),
    PriceSpec(meter="output", at="out", unit=M),
    PriceSpec(meter="cache_read", at="cache", unit=M),
    PriceSpec(meter="cache_write", at="write", unit=M),
    PriceSpec(meter="cache_write_1h", at="write_1h", unit=M),
    PriceSpec(meter="input_second", at="second", unit="USD/second"),
)
LONG = tuple(PriceSpec(meter=meter, at=f"long.{at}", unit=M) for meter, at in (("input", "in"), ("output", "out")))
OFFER: Row = {"unit": "1M", "in": "2", "out": "8", "cache": "0.2", "write": "2.5", "limits": {"input": 100_000}}
CARD = "2/8/0.2/2.5"


def source(name: str) -> SourceSpec:
    return polling.source(
        name,
        prices=PRICES,
        tiers=(TierSpec(above_at="long.from", prices=LONG),),
        facts={"context_length": "limits.input", "max_output_tokens": "limits.output"},
        whole={"next": ("null", "missing"), "total": ("4", "missing")},
        require={"unit": ("1M",)},
        tag_at="tag",
        varies=("-1",),
        free=("Free",),
        absent=("-", "N/A"),
        unknown=("Contact us",),
    )


PLACES = ("one", "two", "three", "four")


def offers(name: str, **first: Any) -> list[Row]:
    """Four offers, of names that no other source has."""
    return [{"id": f"{name}/{place}"} | OFFER | (first if place == "one" else {}) for place in PLACES]


def body(listed: Sequence[Row], poll: int) -> bytes:
    return json.dumps({"poll": poll, "data": listed}).encode()


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a source says in the second of three polls."""

    fault: int
    said: Said
    code: str = ""
    """Of the poll, where the whole document is refused."""
    rules: frozenset[str] = frozenset()
    """By which something is held after it, until the third."""
    card: str = CARD
    """Of the first offer, in force after it: input/output/cache read/cache write, and what else there is."""
    new: Mapping[str, str] = field(default_factory=dict)
    """Offers that it brings, with their cards."""
    before: Mapping[str, Any] = field(default_factory=dict)
    """What the first offer has otherwise in the other polls."""
    stood: str = CARD
    """Its card then."""

    def bodies(self, name: str) -> list[bytes]:
        usual = offers(name, **self.before)
        if isinstance(self.said, Mapping):
            said: Sequence[Row] | bytes = [usual[0] | dict(self.said), *usual[1:]]
        else:
            said = self.said([dict(row) for row in usual])
        return [body(usual, 1), said if isinstance(said, bytes) else body(said, 2), body(usual, 3)]


def held(fault: int, *rules: str, **said: Any) -> Case:
    """The first offer says this, and the old prices stay."""
    return Case(fault=fault, said=said, rules=frozenset(rules))


def believed(fault: int, card: str, **said: Any) -> Case:
    """The first offer says this, and it is so."""
    return Case(fault=fault, said=said, card=card)


def refused(fault: int, code: str, said: Callable[[list[Row]], Sequence[Row] | bytes]) -> Case:
    return Case(fault=fault, said=said, code=code)


def times(factor: str) -> dict[str, str]:
    """All prices of the first offer times that."""
    return {at: f"{Decimal(OFFER[at]) * Decimal(factor):f}" for at in ("in", "out", "cache", "write")}


def in_other_words(key: str, other: str) -> Callable[[list[Row]], list[Row]]:
    return lambda listed: [{other if name == key else name: value for name, value in row.items()} for row in listed]


def beside(**more: Any) -> Callable[[list[Row]], list[Row]]:
    """One offer more, of the first one's model."""
    return lambda listed: [*listed, listed[0] | more]


NUMBERS = ["1,50", "1.234,50", "1'234.50", "1_000", "２", "٢", "0x2", "NaN"]
CURRENCIES = ["¥2", "＄2", "R$2", "US$2", "USD2"]
WORDS = {"—": "number", "Coming soon": "number", "Included": "number", "from $0.10": "number", "0.1-0.2": "number"}
CASES: dict[str, Case] = {
    # --- what a list looks like ---
    "a required key renamed": refused(52, "schema", in_other_words("in", "input")),
    "a list for a price": held(53, "type", **{"in": ["2"]}),
    "a number for a text": believed(53, CARD, **{"in": 2, "out": 8.0}),
    "a wrapper": refused(54, "schema", lambda listed: json.dumps({"data": {"items": listed}}).encode()),
    "no wrapper": refused(54, "schema", lambda listed: json.dumps(listed).encode()),
    "a next page": refused(55, "incomplete", lambda listed: json.dumps({"data": listed, "next": "?page=2"}).encode()),
    "more in all": refused(55, "incomplete", lambda listed: json.dumps({"data": listed, "total": 9}).encode()),
    "a next page that is itself": refused(
        56, "incomplete", lambda listed: json.dumps({"data": listed, "next": "https://acme.test/models"}).encode()
    ),
    "rows in another order": Case(fault=57, said=lambda listed: listed[::-1]),
    "no rows": refused(63, "empty", lambda _: b'{"data": []}'),
    "half the rows": Case(fault=63, said=lambda listed: listed[:1], rules=frozenset({"mass_absence"})),
    "another unit, stated": held(64, "require", unit="1K"),
    "a price of its own for an hour of cache": believed(65, f"{CARD} cache_write_1h=4", write_1h="4"),
    "long prompts": believed(
        66, f"{CARD} above 200000: 4/16", long={"from": 200_000, "in": "4", "out": "16"}
    ),
    "a limit of the same name": believed(67, CARD, limits={"input": 100_000, "output": 9}),
    # --- units ---
    "per million": held(69, "bound", "unit", "ratio", **times("1e6")),
    "per thousand": held(70, "bound", "unit", "ratio", **times("1000")),
    "a millionth": held(71, "too_small", "unit", "ratio", **times("1e-6")),
    "a thousandth": held(71, "unit", "ratio", **times("1e-3")),
    "times 8000": held(72, "bound", "unit", "ratio", **times("8000")),
    "times 10^4": held(72, "bound", "unit", "ratio", **times("1e4")),
    "times 10^5": held(72, "bound", "unit", "ratio", **times("1e5")),
    "no unit": held(73, "require", unit=None),
    "cents": held(74, "unit", "ratio", **times("100")),
    "per second": believed(75, f"{CARD} input_second=0.01", second="0.01"),
    "yuan": held(76, "exchange", **times("7.1")),
    **{f"currency {text}": held(77, "number", **{"in": text}) for text in CURRENCIES},
    "the sign that is meant": believed(77, CARD, **{"in": "$2"}),
    **{f"number {text}": held(78, "number", **{"in": text}) for text in NUMBERS},
    **{f"word {text}": held(82, rule, cache=text) for text, rule in WORDS.items()},
    "word Contact us": believed(82, "2/8/unknown/2.5", cache="Contact us"),
    "word N/A": believed(82, "2/8/-/2.5", cache="N/A"),
    "an empty word": believed(82, "2/8/unknown/2.5", cache=""),
    "a new offer that is free": Case(
        fault=82, said=beside(tag="free", **{"in": "Free", "out": "Free", "cache": "-", "write": "-"}),
        new={"one@free": "0/0/-/-"},
    ),
    "to nothing": held(83, "to_zero", **{"in": "0", "out": "0", "cache": "0", "write": "0"}),
    "a new offer for nothing": Case(
        fault=83, said=beside(tag="new", **{"in": "0", "out": "0", "cache": None, "write": None}),
        rules=frozenset({"zero_at_birth"}), new={"one@new": "unknown/unknown/-/-"},
    ),
    "a zero that is one": Case(
        fault=84, said={"out": "9"}, before={"in": "0"}, stood="0/8/0.2/2.5", card="0/9/0.2/2.5"
    ),
    "-1": held(85, "to_varies", **{"in": "-1", "out": "-1", "cache": "-1", "write": "-1"}),
    "-2": held(86, "negative", **{"in": "-2"}),
    "-0": Case(fault=86, said={"in": "-0"}, before={"in": "0"}, stood="0/8/0.2/2.5", card="0/8/0.2/2.5"),
    # --- values ---
    "99999": held(87, "bound", "ratio", **{"in": "99999"}),
    "999": held(87, "ratio", **{"in": "999"}),
    "0.01": held(87, "ratio", "cache_order", **{"in": "0.01"}),
    "in and out swapped": held(88, "swap", **{"in": "8", "out": "2"}),
    "out below in": believed(89, "2/1.5/0.2/2.5", out="1.5"),
    "a cache read above input": held(90, "cache_order", cache="2.1"),
    "a cache read as dear as a write": held(90, "cache_order", cache="2.5"),
    "a batch dearer than no batch": Case(
        fault=91, said=beside(tag="batch", **{"in": "4", "out": "16"}), rules=frozenset({"batch_order"})
    ),
    "noise of floats": believed(96, CARD, **{"in": "1.99999999999999998", "out": "8.000000000000000001"}),
    "another spelling": believed(96, CARD, **{"in": "20e-1", "out": "8.0", "cache": "2E-1"}),
    "too fine": held(97, "precision", cache="1.2345678912e-9"),
    # --- names ---
    "look-alikes": Case(
        fault=103,
        said=lambda listed: [*listed, *(listed[0] | {"id": listed[0]["id"] + more} for more in ("\u200b", "\u202e"))],
        rules=frozenset({"name"}),
    ),
    "another case": Case(fault=103, said=lambda listed: [*listed, listed[1] | {"id": listed[0]["id"].upper()}],
                         new={"ONE": CARD}),
    "a misspelt id": Case(fault=104, said=lambda listed: [*listed, listed[1] | {"id": listed[0]["id"] + "e"}],
                          new={"onee": CARD}),
    "two prices that nothing tells apart": Case(
        fault=107, said=beside(**{"in": "2.2"}), rules=frozenset({"ambiguous_key"})
    ),
    "the same twice": Case(fault=108, said=beside()),
    "gone for one poll": Case(fault=109, said=lambda listed: listed[1:]),
    "a free variant comes and goes": Case(
        fault=113,
        said=beside(id="x/one:free", **{"in": "Free", "out": "Free", "cache": None, "write": None}),
        new={"one:free": "0/0/-/-"},
    ),
}  # fmt: skip


def told(card: RateCard) -> str:
    """The prices of text, and what else there is."""
    core = ("input", "output", "cache_read", "cache_write")
    more = [f" {meter}={decimal_text(amount)}" for meter, amount in card.amounts if meter not in core]
    more += [
        f" above {tier.above_tokens}: {'/'.join(decimal_text(amount) for _, amount in tier.amounts)}"
        for tier in card.overrides
    ]
    return "/".join(_text(card, meter) for meter in core) + "".join(more)


def _text(card: RateCard, meter: str) -> str:
    amount = card.amount(meter)
    if amount is not None:
        return decimal_text(amount)
    state = card.state(meter)
    return "-" if state == "not_offered" else state


def later(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def in_force(store: str, at: datetime) -> dict[str, dict[str, str]]:
    """Source -> offer -> card, as answered."""
    found: dict[str, dict[str, str]] = {}
    with open_store(store) as reader:
        for row in history(reader, None, later(1000)):
            if row.first_seen <= at and (row.ended is None or at < row.ended):
                offer = row.endpoint.partition("/")[2]
                assert found.setdefault(row.source, {}).setdefault(offer, told(row.card)) == told(row.card), offer
    return found


def findings(store: str) -> dict[str, set[str]]:
    """Source -> the rules by which something is held."""
    found: dict[str, set[str]] = {}
    for name, rule in rows(
        store,
        "SELECT s.name, f.rule FROM finding f JOIN source s ON s.id = f.source_id"
        f" WHERE f.ended IS NULL AND f.known_to IS NULL AND f.held = {'true' if 'postgres' in store else 1}",
    ):
        found.setdefault(name, set()).add(rule)
    return found


@pytest.mark.fault(
    52, 53, 54, 55, 56, 57, 63, 64, 65, 66, 67, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 82, 83, 84, 85, 86, 87,
    88, 89, 90, 91, 96, 97, 103, 104, 107, 108, 109, 113,
)  # fmt: skip
def test_whatever_a_list_says_no_price_is_in_force_that_is_doubted(
    store_url: str, request: pytest.FixtureRequest
) -> None:
    assert {case.fault for case in CASES.values()} == made(request)
    names = {f"s{number}": name for number, name in enumerate(CASES)}
    specs = [source(one) for one in names]
    cases = {one: CASES[name] for one, name in names.items()}
    standing = {one: dict.fromkeys(PLACES, CARD) | {"one": case.stood} for one, case in cases.items()}

    def poll(number: int) -> dict[str, Report]:
        answers = {f"{one}.test": answer(case.bodies(one)[number]) for one, case in cases.items()}
        return {one.source: one for one in polling.polled(store_url, *specs, answers=answers, at=later(number))}

    def named(found: Mapping[str, Any]) -> dict[str, Any]:
        return {name: found.get(one) for one, name in names.items()}

    assert {one.outcome for one in poll(0).values()} == {"ok"}
    assert (in_force(store_url, later(0.5)), findings(store_url)) == (standing, {})
    second = poll(1)
    assert named({one: report.code for one, report in second.items()}) == named(
        {one: case.code for one, case in cases.items()}
    )
    assert named(findings(store_url)) == named({one: set(case.rules) or None for one, case in cases.items()})
    wanted = {one: standing[one] | dict(case.new) | {"one": case.card} for one, case in cases.items()}
    assert named(in_force(store_url, later(1.5))) == named(wanted)
    assert {one.outcome for one in poll(2).values()} == {"ok"}
    assert findings(store_url) == {}
    assert named(in_force(store_url, later(2.5))) == named(
        {one: standing[one] | dict(case.new) for one, case in cases.items()}
    )
    assert faults(polling.configured(settings(), *specs), store_url, "") == []


# --- pages ---

HEAD = ("Model & context", "In (per 1M)", "Out (per 1M)")
TABLED = ("$1.5", "$6"), ("$2", "$8"), ("$3", "$9")


def tabled(name: str, first: Sequence[str] = TABLED[0], *, head: Sequence[str] = HEAD, tail: str = "") -> str:
    """A page with a table of three offers."""
    cells = [(f"{name}/{place}", *prices) for place, prices in zip(PLACES, (first, *TABLED[1:]), strict=False)]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}{tail}</tr>\n" for row in cells)
    heading = "".join(f"<th>{one}</th>" for one in head)
    return f"<!doctype html><html><body>\n<table><tr>{heading}</tr>\n{body}</table></body></html>"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page shows in the second of three polls."""

    fault: int
    page: Callable[[str], str]
    """From the name of the source."""
    code: str = ""
    rules: frozenset[str] = frozenset()


OTHER_TABLE = "<table><tr><th>Batch</th><th>In</th></tr><tr><td>a</td><td>$9</td></tr></table>"
SHOWN: dict[str, Shown] = {
    "columns in another order": Shown(
        fault=57,
        page=lambda name: (
            tabled(name)
            .replace("<th>In (per 1M)</th><th>Out (per 1M)</th>", "<th>Out (per 1M)</th><th>In (per 1M)</th>")
            .replace("<td>$1.5</td><td>$6</td>", "<td>$6</td><td>$1.5</td>")
            .replace("<td>$2</td><td>$8</td>", "<td>$8</td><td>$2</td>")
            .replace("<td>$3</td><td>$9</td>", "<td>$9</td><td>$3</td>")
        ),
    ),
    "case and spaces": Shown(
        fault=58, page=lambda name: tabled(name, head=("MODEL  &amp;\ncontext", "in (PER 1m)", "Out&nbsp;(per 1M)"))
    ),
    "a word for a sign": Shown(
        fault=58, code="columns", page=lambda name: tabled(name, head=("Model and context", *HEAD[1:]))
    ),
    "a column less": Shown(fault=59, code="columns", page=lambda name: tabled(name, ("$1.5",), head=HEAD[:2])),
    "a column more": Shown(fault=59, page=lambda name: tabled(name, head=(*HEAD, "New"), tail="<td>$99</td>")),
    "another table first": Shown(fault=60, page=lambda name: tabled(name).replace("<table>", OTHER_TABLE + "<table>")),
    "one line": Shown(fault=61, page=lambda name: tabled(name).replace("\n", "")),
    "data in a script": Shown(
        fault=61,
        code="anchor",
        page=lambda name: "<!doctype html><html><script>var prices = [[1.5, 6], [2, 8]]</script><body></body></html>",
    ),
    "the first model gone": Shown(
        fault=62, page=lambda name: "\n".join(line for line in tabled(name).splitlines() if f"{name}/one" not in line)
    ),
    "another unit": Shown(
        fault=64, code="columns", page=lambda name: tabled(name, head=(HEAD[0], "In (per 1K)", HEAD[2]))
    ),
    "footnotes": Shown(fault=79, page=lambda name: tabled(name, ("$1.5<sup>1</sup>", "$6<sub>2</sub>"))),
    "a struck out price beside it": Shown(
        fault=80, page=lambda name: tabled(name, ("<s>$9</s> $1.5", "<del>$8</del> $6"))
    ),
    "two prices in a cell": Shown(
        fault=81, rules=frozenset({"amount"}), page=lambda name: tabled(name, ("$1.5 / $2", "$6"))
    ),
    "from a price on": Shown(
        fault=81, rules=frozenset({"amount"}), page=lambda name: tabled(name, ("from $1.5", "$6"))
    ),
    "a price up to a length": Shown(
        fault=81, rules=frozenset({"amount"}), page=lambda name: tabled(name, ("≤512k: $1.5", "$6"))
    ),
}


@pytest.mark.fault(57, 58, 59, 60, 61, 62, 64, 79, 80, 81)
def test_however_a_page_shows_its_prices_they_are_those_or_the_old_ones_stay(
    store_url: str, request: pytest.FixtureRequest
) -> None:
    assert {case.fault for case in SHOWN.values()} == made(request)
    prices = tuple(
        PriceSpec(meter=meter, at=at, unit=M) for meter, at in zip(("input", "output"), HEAD[1:], strict=True)
    )
    cases = {f"p{number}": case for number, case in enumerate(SHOWN.values())}
    specs = [polling.page(name, model=HEAD[0], prices=prices) for name in cases]
    wanted = {
        name: {place: "/".join(one).replace("$", "") + "/-/-" for place, one in zip(PLACES, TABLED, strict=False)}
        for name in cases
    }
    reports = []
    for number in range(3):
        pages = {name: case.page(name) if number == 1 else tabled(name) for name, case in cases.items()}
        answers = {f"{name}.test": answer(page.encode()) for name, page in pages.items()}
        reports.append(
            {one.source: one for one in polling.polled(store_url, *specs, answers=answers, at=later(number))}
        )
        if number == 1:
            assert dict(zip(SHOWN, map(findings(store_url).get, cases), strict=True)) == {
                name: set(case.rules) or None for name, case in SHOWN.items()
            }
        assert in_force(store_url, later(number + 0.5)) == wanted
    assert dict(zip(SHOWN, [one.code for one in reports[1].values()], strict=True)) == {
        name: case.code for name, case in SHOWN.items()
    }
    assert {(one.outcome, one.changes, one.held) for one in reports[2].values()} == {("ok", 0, 0)}
    assert rows(store_url, 'SELECT count(*) FROM "interval"') == [(3 * len(cases),)]
    assert faults(polling.configured(settings(), *specs), store_url, "") == []
