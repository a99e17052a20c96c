"""Prices in another currency: by a named and dated rate, exactly, and not at all without one."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from collector.config import load
from collector.errors import ConfigError, SourceChanged
from collector.mend import Arrival, backfill
from collector.settings import CheckSettings
from collector.sources.ecb import parse
from collector.verify import faults
from store import cli
from store.catalogue import models
from store.changes import changes
from store.currency import Conversion, Converter, CurrencyPolicy, Rate, Unconverted
from store.intervals import current
from store.rates import published, rates
from store.read import open_store
from store.records import Document, Override, RateCard
from store.routing import Constraints, believed, rank
from store.write import Tape as Writer
from tests.tape import T0, Tape, hour, usd
from tests.test_routing import offer, workload

DAY = date(2026, 8, 1)
ECB = {"USD": "1.25", "CNY": "8", "JPY": "180.5"}


def euro(currency: str, text: str, day: date = DAY) -> Rate:
    return Rate(base="EUR", currency=currency, text=text, day=day, source="ecb", document="d")


def fixed(currency: str, worth: str, day: date = DAY) -> Rate:
    return Rate(base=currency, currency="USD", text=worth, day=day, source="treasury")


def ecb(currency: str, _day: date) -> Rate | None:
    return euro(currency, ECB[currency]) if currency in ECB else None


def into(currency: str, *own: Rate, max_age_days: int = 7) -> Converter:
    policy = CurrencyPolicy(max_age_days=max_age_days, fixed={rate.base: rate for rate in own})
    return Converter(currency, lambda: policy, ecb)


def found(converter: Converter, quoted: str, at: datetime = T0) -> Conversion:
    conversion = converter.conversion(quoted, at)
    assert isinstance(conversion, Conversion), conversion
    return conversion


def eur(**amounts: int) -> RateCard:
    return RateCard(currency="EUR", amounts=tuple(sorted(amounts.items())))


# --- conversion ---


@pytest.mark.parametrize(
    ("quoted", "wanted", "factor", "by"),
    [
        ("USD", "USD", Fraction(1), []),
        ("EUR", "USD", Fraction(5, 4), ["USD"]),
        ("USD", "EUR", Fraction(4, 5), ["USD"]),
        ("CNY", "USD", Fraction(5, 32), ["CNY", "USD"]),
        ("CNY", "JPY", Fraction(361, 16), ["CNY", "JPY"]),
    ],
)
def test_two_currencies_are_converted_over_the_euro(quoted: str, wanted: str, factor: Fraction, by: list[str]) -> None:
    conversion = found(into(wanted), quoted)
    assert conversion.factor == factor
    assert [rate.currency for rate in conversion.rates] == by


def test_a_fixed_rate_goes_before_any_that_is_published() -> None:
    own = fixed("CNY", "0.14")
    assert found(into("USD", own), "CNY") == Conversion(
        quoted="CNY", currency="USD", factor=Fraction(14, 100), rates=(own,)
    )
    assert found(into("EUR", own), "CNY").factor == Fraction(14, 100) / Fraction(5, 4)
    assert found(into("CNY", own), "USD").factor == Fraction(100, 14)


def test_a_euro_that_is_fixed_is_so_for_all_that_hangs_on_it() -> None:
    own = fixed("EUR", "2")
    assert found(into("USD", own), "EUR").factor == 2
    assert found(into("USD", own), "CNY").factor == Fraction(2, 8)
    assert found(into("EUR", own), "USD").factor == Fraction(1, 2)


def test_a_fixed_rate_holds_from_its_day_on_and_does_not_age() -> None:
    converter = into("USD", fixed("CNY", "0.14", date(2026, 8, 2)))
    assert found(converter, "CNY", hour(23)).factor == Fraction(5, 32)
    assert found(converter, "CNY", hour(24)).factor == Fraction(14, 100)
    assert found(converter, "CNY", hour(24 * 1000)).factor == Fraction(14, 100)


@pytest.mark.parametrize(("days", "why"), [(7, None), (8, "the rate for CNY is of 2026-08-01")])
def test_a_published_rate_that_is_too_old_is_none(days: int, why: str | None) -> None:
    conversion = into("EUR").conversion("CNY", hour(24 * days))
    assert (conversion.why if isinstance(conversion, Unconverted) else None) == why


def test_without_a_rate_the_reason_is_told() -> None:
    assert str(into("USD").conversion("XAU", T0)) == "quoted in XAU: no rate for XAU"
    assert str(into("XAU").conversion("USD", T0)) == "quoted in USD: no rate for XAU"
    assert str(Converter().conversion("EUR", T0)) == "quoted in EUR: no rate for USD"


RATE = st.decimals("0.0001", "99999", places=4).map(str)
CODES = st.sampled_from(["USD", "EUR", "CNY", "JPY"])


@given(quoted=CODES, wanted=CODES, per=st.tuples(RATE, RATE, RATE), pinned=st.booleans(), amount=st.integers(0, 10**15))
def test_there_and_back_is_exact_and_each_way_is_rounded_once(
    quoted: str, wanted: str, per: tuple[str, str, str], pinned: bool, amount: int
) -> None:
    table = dict(zip(("USD", "CNY", "JPY"), per, strict=True))
    policy = CurrencyPolicy(fixed={"CNY": fixed("CNY", per[0])} if pinned else {})

    def way(source: str, target: str) -> Conversion:
        return found(Converter(target, lambda: policy, lambda code, day: euro(code, table[code])), source)

    there, back = way(quoted, wanted), way(wanted, quoted)
    assert there.factor * back.factor == 1
    assert there.factor == way(quoted, "EUR").factor * way("EUR", wanted).factor
    exact = amount * there.factor
    if amount == 0 or exact > 1:
        assert abs(there.amount(amount) - exact) <= Fraction(1, 2)
    assert (there.amount(amount) == 0) == (amount == 0)


def test_a_whole_card_is_converted_conditions_and_states_with_it() -> None:
    card = RateCard(
        currency="EUR",
        amounts=(("input", 100), ("output", 0)),
        states=(("cache_read", "unknown"),),
        overrides=(Override(above_tokens=10, amounts=(("input", 200),)),),
    )
    assert found(into("USD"), "EUR").card(card) == RateCard(
        currency="USD",
        amounts=(("input", 125), ("output", 0)),
        states=(("cache_read", "unknown"),),
        overrides=(Override(above_tokens=10, amounts=(("input", 250),)),),
    )


# --- ranking ---


def test_offers_in_several_currencies_are_ranked_by_what_they_cost_in_one() -> None:
    rows = [
        offer(usd(input=100, output=100), provider="dollar"),
        offer(eur(input=79, output=79), provider="euro"),
        offer(eur(input=81, output=81), provider="dear"),
        offer(RateCard(currency="XAU", amounts=(("input", 1), ("output", 1))), provider="gold"),
    ]
    for currency in ("USD", "EUR"):
        ranking = rank(rows, workload(), T0, Constraints(), into(currency))
        assert [route.row.provider for route in ranking.routes] == ["euro", "dollar", "dear"]
        assert {route.cost.currency for route in ranking.routes} == {currency}
        assert [(one.row.provider, one.reason) for one in ranking.excluded] == [
            ("gold", "quoted in XAU: no rate for XAU")
        ]


def test_a_cost_is_converted_exactly_and_shows_its_rates() -> None:
    (route,) = rank([offer(eur(input=3, output=1))], workload(1, 1), T0, Constraints(), into("USD")).routes
    assert route.cost.femto == 5
    assert (route.cost.input, route.cost.output, route.cost.cache_read) == (4, 1, None)
    assert route.cost.conversion is not None
    assert [str(rate) for rate in route.cost.conversion.rates] == ["1 EUR = 1.25 USD (ecb, 2026-08-01)"]


@pytest.mark.parametrize(
    ("wanted", "trust", "answers"),
    [("USD", 0, "com"), ("CNY", 0, "cn"), ("USD", 1, "cn"), ("XAU", 0, "cn")],
    ids=["own currency", "the other", "trust before currency", "neither"],
)
def test_of_two_price_lists_of_a_provider_the_one_in_the_currency_asked_for_answers(
    wanted: str, trust: int, answers: str
) -> None:
    rows = [
        offer(usd(input=1, output=1), source="com", trust=trust),
        offer(RateCard(currency="CNY", amounts=(("input", 8), ("output", 8))), source="cn", trust=0),
    ]
    assert [row.source for row in believed(rows, T0, into(wanted))] == [answers]


def test_a_list_that_cannot_be_converted_gives_way_to_one_that_can() -> None:
    rows = [
        offer(RateCard(currency="XAU", amounts=(("input", 1),)), source="own", trust=0),
        offer(usd(input=1), source="catalogue", trust=2),
    ]
    assert [row.source for row in believed(rows, T0, into("USD"))] == ["catalogue"]


# --- the bank's documents ---

SPEC = load(None, {}).sources["ecb"]
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<gesmes:Envelope xmlns:gesmes="g" xmlns="e"><Cube>'


def bank(*days: tuple[str, dict[str, str]], at: datetime = T0) -> Document:
    cubes = ""
    for day, table in days:
        inside = "".join(f"<Cube currency='{code}' rate='{rate}'/>" for code, rate in table.items())
        cubes += f"<Cube time='{day}'>{inside}</Cube>"
    body = f"{HEAD}{cubes}</Cube></gesmes:Envelope>".encode()
    return Document(source="ecb", url=SPEC.url, fetched_at=at, status=200, body=body, content_type="text/xml")


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ("<Cube time='2026-13-01'/>", "wanted a day"),
        ("<Cube time='2026-07-31'/><Cube time='2026-07-31'/>", "2026-07-31 stands twice"),
        ("<Cube currency='USD' rate='1'/>", "wanted a day or a rate"),
        ("<Cube time='2026-07-31'><Cube currency='usd' rate='1'/></Cube>", "the code of a currency"),
        ("<Cube time='2026-07-31'><Cube currency='USD' rate='1'/><Cube currency='USD' rate='2'/></Cube>", "USD stands"),
        ("<Cube time='2026-07-31'><Cube currency='USD' price='1'/></Cube>", "wanted a day or a rate"),
        ("<Cube time='2026-07-31'></Cube>", "no rates"),
    ],
)
def test_an_envelope_that_is_otherwise_is_refused(inside: str, why: str) -> None:
    body = f"{HEAD}{inside}</Cube></gesmes:Envelope>".encode()
    with pytest.raises(SourceChanged, match=why):
        parse(Document(source="ecb", url=SPEC.url, fetched_at=T0, status=200, body=body), SPEC)


def test_a_document_type_is_refused_before_anything_in_it_is_expanded() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
    with pytest.raises(SourceChanged, match="document type"):
        parse(Document(source="ecb", url=SPEC.url, fetched_at=T0, status=200, body=bomb), SPEC)


# --- on the tape ---

FRIDAY, MONDAY = "2026-07-31", "2026-08-03"
MANY = {f"A{chr(65 + number)}A": "2" for number in range(20)}


def collected(url: str | Path, *documents: Document) -> Writer:
    """A store with the bank's documents, each learned at its instant."""
    tape = Writer(str(url))
    for document in documents:
        backfill(
            CheckSettings(),
            tape,
            SPEC,
            [Arrival(at=document.fetched_at, documents=(document,))],
            known=document.fetched_at,
        )
    return tape


def at_day(day: int, hour_of_day: int = 17) -> datetime:
    return datetime(2026, 8, day, hour_of_day, tzinfo=UTC)


def test_a_rate_is_that_of_the_latest_day_and_as_it_was_known(store_url: str) -> None:
    collected(
        store_url,
        bank((FRIDAY, {"USD": "1.25", **MANY}), at=at_day(1)),
        bank((MONDAY, {"USD": "1.5", **MANY}), (FRIDAY, {"USD": "1.25", **MANY}), at=at_day(3)),
        bank((MONDAY, {"USD": "1.6", **MANY}), at=at_day(4)),
    ).close()
    with open_store(store_url) as reader:

        def rate(day: int, known: datetime | None = None) -> tuple[str, str] | None:
            one = published(reader, known)("USD", date(2026, 8, day))
            return None if one is None else (one.text, one.day.isoformat())

        assert rate(2) == ("1.25", FRIDAY)
        assert rate(3, at_day(3, 9)) == ("1.25", FRIDAY)
        assert rate(3, at_day(3)) == ("1.5", MONDAY)
        assert rate(3) == ("1.6", MONDAY)
        assert rate(2, at_day(1, 16)) is None
        assert published(reader)("USD", date(2026, 7, 30)) is None
        assert [one.currency for one in rates(reader, at_day(4))] == sorted([*MANY, "USD"])


def test_rates_are_proven_by_their_documents_and_are_no_models_and_no_news(store_url: str) -> None:
    tape = collected(
        store_url,
        bank((FRIDAY, {"USD": "1.25", **MANY}), at=at_day(1)),
        bank((MONDAY, {"USD": "1.5", **MANY}), at=at_day(3)),
    )
    assert list(faults(CheckSettings(), tape, {"ecb": SPEC}, at_day(5))) == []
    tape.close()
    with open_store(store_url) as reader:
        assert models(reader, "", at_day(4)) == []
        assert list(current(reader, at_day(4))) == []
        assert list(changes(reader, since=T0)) == []
        assert [row.new for row in changes(reader, since=T0, model="currency/usd")] == ["1.5"]


def test_a_rate_ten_times_the_last_one_is_held_and_not_used(tmp_path: Path) -> None:
    collected(
        tmp_path / "t.db",
        bank((FRIDAY, {"USD": "1.25", **MANY}), at=at_day(1)),
        bank((MONDAY, {"USD": "12.5", **MANY}), at=at_day(3)),
    ).close()
    with open_store(str(tmp_path / "t.db")) as reader:
        rate = published(reader)("USD", date(2026, 8, 3))
        assert rate is not None
        assert rate.text == "1.25"


Ask = Callable[..., Result]
SUNDAY = at_day(2)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A model at 1 EUR and at 1.2 USD, and the bank's rate of a Friday."""
    url = str(tmp_path / "tape.db")
    collected(url, bank((FRIDAY, {"USD": "1.25", **MANY}), at=at_day(1))).close()
    tape = Tape(url)
    for name, card in (("euro", eur(input=10**9, output=10**9)), ("dollar", usd(input=12 * 10**8, output=12 * 10**8))):
        source = tape.source(name)
        tape.poll(source, at_day(1))
        tape.interval(tape.endpoint(source, name, "acme/one"), at_day(1), card)

    def run(*words: str, policy: CurrencyPolicy | None = None, now: datetime = SUNDAY) -> Result:
        group = click.Group(commands={name: getattr(cli, name) for name in cli.__all__ if name != "Doors"})
        doors = cli.Doors(url, now=lambda: now, currencies=lambda: policy)
        return CliRunner().invoke(group, words, obj=doors, prog_name="tokentape", catch_exceptions=False)

    return run


def test_cheapest_ranks_across_currencies_and_says_by_which_rate(ask: Ask) -> None:
    result = ask("cheapest", "one", "--format", "json")
    routes = json.loads(result.stdout)
    assert [(one["provider"], one["cost_per_request_usd"], one["quoted_currency"]) for one in routes] == [
        ("dollar", "0.0048", "USD"),
        ("euro", "0.005", "EUR"),
    ]
    assert routes[0]["rates"] == []
    assert [(one["rate"], one["day"], one["source"]) for one in routes[1]["rates"]] == [("1.25", FRIDAY, "ecb")]
    assert len(routes[1]["rates"][0]["document"]) == 64
    assert result.stderr.startswith(f"EUR in USD by 1 EUR = 1.25 USD (ecb, {FRIDAY})\n")


def test_cheapest_in_euros_has_no_cost_in_dollars(ask: Ask) -> None:
    routes = json.loads(ask("cheapest", "one", "--currency", "eur", "--format", "json").stdout)
    assert [(one["cost_per_request"], one["currency"], one["cost_per_request_usd"]) for one in routes] == [
        ("0.00384", "EUR", None),
        ("0.004", "EUR", None),
    ]
    assert "EUR/request" in ask("cheapest", "one", "--currency", "EUR").stdout


def test_a_price_without_a_usable_rate_is_left_out_of_the_ranking_and_shown_as_quoted(ask: Ask) -> None:
    late = at_day(20)
    result = ask("cheapest", "one", "--format", "json", now=late)
    assert [one["provider"] for one in json.loads(result.stdout)] == ["dollar"]
    assert f"quoted in EUR: the rate for USD is of {FRIDAY}" in result.stderr
    rows = json.loads(ask("endpoints", "one", "--currency", "USD", "--format", "json", now=late).stdout)
    assert [(row["input"], row["currency"], row["unconverted"]) for row in rows] == [
        ("1.2", "USD", None),
        ("1", "EUR", f"the rate for USD is of {FRIDAY}"),
    ]


@pytest.mark.parametrize(
    "words", [["endpoints", "one"], ["history", "one"], ["export", "current"], ["export", "history"]]
)
def test_prices_are_shown_as_quoted_unless_a_currency_is_asked_for(ask: Ask, words: list[str]) -> None:
    as_quoted = [json.loads(line) for line in ask(*words, "--format", "jsonl").stdout.splitlines()]
    assert [(row["input"], row["currency"], row["rates"]) for row in as_quoted] == [
        ("1.2", "USD", []),
        ("1", "EUR", []),
    ]
    result = ask(*words, "--format", "jsonl", "--currency", "EUR")
    in_euros = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["input"], row["quoted_currency"], row["rate_card"]["currency"]) for row in in_euros] == [
        ("0.96", "USD", "EUR"),
        ("1", "EUR", "EUR"),
    ]
    assert result.stderr.startswith(f"USD in EUR by 1 EUR = 1.25 USD (ecb, {FRIDAY})\n")


def test_a_fixed_rate_of_the_configuration_is_named(ask: Ask) -> None:
    policy = CurrencyPolicy(fixed={"EUR": fixed("EUR", "1.1", date(2026, 8, 2))})
    result = ask("cheapest", "one", policy=policy)
    assert result.stdout.index("euro") < result.stdout.index("dollar")
    assert result.stderr.startswith("EUR in USD by 1 EUR = 1.1 USD (treasury, 2026-08-02)\n")


def test_a_code_that_is_none_is_a_mistake_in_usage(ask: Ask) -> None:
    for command in (["cheapest", "one"], ["endpoints", "one"], ["history", "one"], ["export", "current"]):
        result = ask(*command, "--currency", "euros")
        assert result.exit_code == 2
        assert "'euros' is not the code of a currency" in result.stderr
    assert ask("export", "changes", "--currency", "EUR").exit_code == 2


def test_rates_are_listed_and_explained_like_prices(ask: Ask) -> None:
    listed = json.loads(ask("rates", "--format", "json").stdout)
    assert [(one["currency"], one["rate"], one["day"]) for one in listed][-1] == ("USD", "1.25", FRIDAY)
    told = ask("explain", "ecb:ecb:currency/USD").stdout
    assert "euro: 1.25 USD per euro" in told
    assert ask("rates", "--at", "2026-07-01").exit_code == 3


# --- configuration ---


def test_fixed_rates_are_read_and_mistakes_in_them_told(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        'currencies:\n  max_age: 3d\n  fixed:\n    CNY: {usd: "0.14", as_of: 2026-08-01, source: treasury}\n'
    )
    policy = load(path, {}).currencies
    assert policy == CurrencyPolicy(max_age_days=3, fixed={"CNY": fixed("CNY", "0.14")})
    path.write_text(
        'currencies:\n  max_age: 3h\n  fixed:\n    USD: {usd: "1", as_of: 2026-08-01, source: a}\n'
        "    EUR: {usd: 0, as_of: today, day: x}\n"
    )
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    told = "\n".join(refused.value.mistakes)
    for part in (
        "max_age: 3h is not from 1d",
        "'USD' is not the code",
        "usd: '0' is not above 0",
        "as_of: 'today' is not a day",
        "source: is missing",
        "unknown key",
    ):
        assert part in told
    assert len(refused.value.mistakes) == 6
