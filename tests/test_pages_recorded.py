"""Recorded pages of providers, read a second time in another way: by regular expressions over their lines.

The second reading knows nothing of tables, headings or units; it takes numbers where they stand in a line and compares
them with what the parsers say. Spot figures are written down by hand.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from collector.backfill.commands import backfill_folder
from collector.config import load, packaged
from collector.contract import Prices, Quote
from collector.errors import SourceChanged
from collector.normalise import observe
from collector.sources import parser_of
from store.records import Document, Observation

pytestmark = pytest.mark.recorded

SOURCES = load(packaged(), {}).sources
AT = datetime(2026, 8, 1, tzinfo=UTC)


def body_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def document(source: str, body: bytes, at: datetime = AT, part: str = "") -> Document:
    return Document(source=source, url=SOURCES[source].url, fetched_at=at, status=200, body=body, part=part)


def read(source: str, body: bytes, at: datetime = AT, part: str = "") -> list[Quote]:
    return parser_of(SOURCES[source]).parse(document(source, body, at, part), SOURCES[source])


def seen(source: str, body: bytes, at: datetime = AT, part: str = "") -> list[Observation]:
    one = document(source, body, at, part)
    return [
        observe(quote, one, SOURCES[source], at) for quote in parser_of(SOURCES[source]).parse(one, SOURCES[source])
    ]


def unheld(observations: list[Observation]) -> list[Observation]:
    return [one for one in observations if not any(finding.held for finding in one.findings)]


def texts(quote: Quote) -> dict[str, str]:
    return {meter: price.text for meter, price in quote.prices.items()}


def timeline(recorded: Path, name: str) -> list[tuple[datetime, bytes]]:
    """(instant, body) of a recorded timeline, oldest first."""
    return [
        (datetime.strptime(path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC), body_of(path))
        for path in sorted((recorded / "timeline" / name).glob("*.gz"))
    ]


# --- Anthropic --------------------------------------------------------------------------------------------------------

_CLAUDE = re.compile(r"^\| (Claude [A-Z][a-z]+ [0-9.]+)(.*?)\|(.*MTok.*)\|$", re.MULTILINE)


def claude_rows(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Name, what stands behind it, and the dollars of each row of one model that is not retired."""
    for name, more, cells in _CLAUDE.findall(re.sub(r" {2,}", " ", text)):
        numbers = re.findall(r"\\?\$([0-9.]+) / MTok", cells)
        if "retired" not in more and not more.strip().startswith("/") and "Input:" not in cells:
            yield name, more, numbers


def test_every_row_of_the_anthropic_timeline_is_read(recorded: Path) -> None:
    rows = 0
    for at, body in timeline(recorded, "anthropic-pricing"):
        text = body.decode()
        quotes = read("anthropic", body, at)
        standard = {quote.model: quote for quote in quotes if not quote.tag}
        batch = {quote.model: quote for quote in quotes if quote.tag == "batch"}
        by_width: dict[int, tuple[dict[str, Quote], tuple[str, ...]]] = {
            5: (standard, ("input", "cache_write", "cache_write_1h", "cache_read", "output")),
            2: (batch, ("input", "output")),
        }
        before_tools = text[: text.index("### Tool use pricing")]
        fast = before_tools.find("### Fast mode pricing"), before_tools.find("### Batch processing")
        before_tools = before_tools[: fast[0]] + before_tools[fast[1] :] if fast[0] >= 0 else before_tools
        found: dict[int, set[str]] = {5: set(), 2: set()}
        for name, more, numbers in claude_rows(before_tools):
            if len(numbers) not in by_width:
                continue
            quotes_by_model, meters = by_width[len(numbers)]
            found[len(numbers)].add(name)
            quote = quotes_by_model[name]
            said = [quote.prices, *(stated.prices for stated in quote.stated)]
            wanted = dict(zip(meters, numbers, strict=True))
            assert wanted in [{meter: price.text for meter, price in prices.items()} for prices in said], (at, name)
            assert ("deprecated" in more) == (quote.facts.status == "deprecated"), (at, name)
            rows += 1
        assert (found[5], found[2]) == (set(standard), set(batch)), at
        assert not [finding for one in seen("anthropic", body, at) for finding in one.findings], at
    assert rows == 946


def test_long_context_fast_mode_and_stated_prices_of_anthropic_are_those_of_their_days(recorded: Path) -> None:
    days = {f"{at:%Y-%m-%d}": read("anthropic", body, at) for at, body in timeline(recorded, "anthropic-pricing")}

    def longer(day: str) -> dict[str, dict[str, str]]:
        return {
            f"{quote.model} {quote.tag}".strip(): {meter: price.text for meter, price in override.prices.items()}
            for quote in days[day]
            for override in quote.overrides
            if override.above_tokens == 200_000
        }

    sonnet, opus = {"input": "6", "output": "22.50"}, {"input": "10", "output": "37.50"}
    assert longer("2025-10-20") == {"Claude Sonnet 4": sonnet, "Claude Sonnet 4.5": sonnet}
    assert longer("2026-02-07") == {
        "Claude Opus 4.6": opus,
        "Claude Sonnet 4.5": sonnet,
        "Claude Sonnet 4": sonnet,
        "Claude Opus 4.6 fast": {"input": "60", "output": "225"},
    }
    assert longer("2026-03-05").keys() == {
        "Claude Opus 4.6",
        "Claude Sonnet 4.6",
        "Claude Sonnet 4.5",
        "Claude Sonnet 4",
    }
    assert longer("2026-03-13") == {"Claude Sonnet 4.5": sonnet, "Claude Sonnet 4": sonnet}
    assert longer("2026-03-30") == {}

    def fast(day: str) -> dict[str, str]:
        return {quote.model: quote.prices["input"].text for quote in days[day] if quote.tag == "fast"}

    assert (fast("2025-12-20"), fast("2026-02-20")) == ({}, {"Claude Opus 4.6": "30"})
    assert fast("2026-07-20") == {"Claude Opus 4.8": "10", "Claude Opus 4.7": "30"}
    assert fast("2026-08-21") == {"Claude Opus 5": "10", "Claude Opus 4.8": "10"}
    (sonnet_5,) = [quote for quote in days["2026-08-08"] if quote.model == "Claude Sonnet 5" and not quote.tag]
    september = datetime(2026, 9, 1, tzinfo=UTC)
    assert [(one.since, one.until, one.prices["output"].text) for one in sonnet_5.stated] == [
        (None, september, "10"),
        (september, None, "15"),
    ]
    (taken_back,) = [quote for quote in days["2026-08-11"] if quote.model == "Claude Sonnet 5" and not quote.tag]
    assert (taken_back.stated, taken_back.prices["output"].text) == ((), "10")


# --- DeepSeek ---------------------------------------------------------------------------------------------------------


def today(quote: Quote) -> Quote:
    """The quote with the prices that the page shows beside those it announces."""
    if not quote.stated:
        return quote
    return replace(quote, prices=quote.stated[0].prices, overrides=quote.stated[0].overrides)


def numbers(prices: Prices) -> dict[str, Decimal]:
    """Amounts, whatever the zeros behind them."""
    return {meter: Decimal(price.text) for meter, price in prices.items()}


@pytest.mark.parametrize(
    ("source", "name", "amount"),
    [("deepseek", "deepseek-pricing", r"\$([0-9.]+)"), ("deepseek_cn", "deepseek-pricing-zh", r"([0-9.]+)元")],
)
def test_every_price_of_the_deepseek_timelines_is_read(recorded: Path, source: str, name: str, amount: str) -> None:
    for at, body in timeline(recorded, name):
        table = body.decode().partition("\n(1)")[0]
        numbers = re.findall(amount, table)
        quotes = [today(quote) for quote in read(source, body, at)]
        flash, pro = (quote for quote in quotes if "V4" not in quote.tag)
        assert (flash.model, pro.model) == ("deepseek-v4-flash", "deepseek-v4-pro")
        width = 4 if flash.overrides else 2
        by_meter = [numbers[place : place + width] for place in range(0, len(numbers), width)]
        said = [
            [quote.prices[meter].text for quote in (flash, pro)]
            + [quote.overrides[0].prices[meter].text for quote in (flash, pro) if quote.overrides]
            for meter in ("cache_read", "input", "output")
        ]
        assert said == by_meter, at
        assert (flash.facts.context_length, flash.facts.max_output_tokens) == (1_000_000, 384_000)
        if not flash.overrides:
            continue
        assert all(
            Decimal(peak) == 2 * Decimal(usual)
            for row in by_meter
            for usual, peak in zip(row[:2], row[2:], strict=True)
        )
        windows = [(one.start_minute, one.end_minute, one.tz) for one in flash.overrides]
        assert windows == (
            [(60, 240, "UTC"), (360, 600, "UTC")]
            if source == "deepseek"
            else [(540, 720, "Asia/Shanghai"), (840, 1080, "Asia/Shanghai")]
        )


@pytest.mark.parametrize(
    ("source", "name", "variant"), [("deepseek", "deepseek-pricing", ""), ("deepseek_cn", "deepseek-pricing-zh", "cn")]
)
def test_what_stands_behind_an_alias_of_deepseek_is_quoted_by_its_own_name(
    recorded: Path, source: str, name: str, variant: str
) -> None:
    for at, body in timeline(recorded, name):
        row = re.search(r"^\| (?:MODEL VERSION|模型版本) (?:\| )+(\S+) \| (\S+) \|$", body.decode(), re.MULTILINE)
        assert row
        aliases = ["deepseek-v4-flash", "deepseek-v4-pro"]
        known = {f"deepseek/{one}" for one in [*aliases, *map(str.lower, row.groups())]}
        observed = {(one.identity.model, one.identity.variant): one for one in seen(source, body, at)}
        assert observed.keys() == {(one, variant) for one in known}
        for alias, version in zip(aliases, map(str.lower, row.groups()), strict=True):
            one, other = (observed[f"deepseek/{found}", variant] for found in (alias, version))
            assert (one.card, one.facts, one.key.model) == (other.card, other.facts, other.key.model)


def test_the_whole_deepseek_page_has_its_discount_and_no_struck_out_price(recorded: Path) -> None:
    flash, pro = read("deepseek", body_of(recorded / "recorded" / "deepseek" / "2026-05-08-quick_start-pricing.html"))
    assert texts(flash) == {"cache_read": "0.0028", "input": "0.14", "output": "0.28"}
    assert texts(today(pro)) == {"cache_read": "0.003625", "input": "0.435", "output": "0.87"}
    assert (flash.facts.discount, pro.facts.discount) == (None, "0.75")


def test_the_end_of_a_discount_of_deepseek_brings_back_the_struck_out_list_price(recorded: Path) -> None:
    body = body_of(recorded / "recorded" / "deepseek" / "2026-05-08-quick_start-pricing.html")
    _, pro = read("deepseek", body, datetime(2026, 5, 8, tzinfo=UTC))
    _, listed = pro.stated
    assert (listed.since, listed.until) == (datetime(2026, 5, 31, 16, tzinfo=UTC), None)
    amounts = {meter: price.text for meter, price in listed.prices.items()}
    assert amounts == {"cache_read": "0.0145", "input": "1.74", "output": "3.48"}
    assert all(f"${amount}" in re.sub(r"<[^>]*>", "", body.decode()) for amount in amounts.values())
    for at in (datetime(2026, 5, 31, 16, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)):
        assert [quote.stated for quote in read("deepseek", body, at)] == [(), ()]


@pytest.mark.parametrize(("source", "name"), [("deepseek", "deepseek-pricing"), ("deepseek_cn", "deepseek-pricing-zh")])
def test_what_deepseek_announced_is_what_it_charged_then(recorded: Path, source: str, name: str) -> None:
    bodies = timeline(recorded, name)
    announced = [read(source, body, at) for at, body in bodies if at.date().isoformat() in ("2026-08-13", "2026-08-16")]
    (charged,) = [read(source, body, at) for at, body in bodies if at.date().isoformat() == "2026-08-17"]
    assert announced
    for quotes in announced:
        for before, after in zip(quotes, charged, strict=True):
            assert before.stated[0].until == before.stated[1].since == datetime(2026, 8, 16, 16, tzinfo=UTC)
            assert numbers(before.stated[1].prices) == numbers(after.prices)
            assert [
                (one.start_minute, one.end_minute, one.days, one.tz, numbers(one.prices))
                for one in before.stated[1].overrides
            ] == [(one.start_minute, one.end_minute, one.days, one.tz, numbers(one.prices)) for one in after.overrides]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("anthropic", "anthropic-pricing"),
        ("deepseek", "deepseek-pricing"),
        ("deepseek_cn", "deepseek-pricing-zh"),
    ],
)
def test_recorded_timelines_of_pages_are_taken_over(recorded: Path, tmp_path: Path, source: str, name: str) -> None:
    config = replace(load(packaged(), {}), store=str(tmp_path / "tape.db"))
    (line,) = backfill_folder(config, recorded / "timeline", [SOURCES[source]], datetime(2026, 11, 1, tzinfo=UTC))
    count = len(timeline(recorded, name))
    assert line.startswith(f"{source}: {count} polls read, {count} in all, 0 refused")


# --- the others -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "count"), [("2026-04-03", 103), ("2026-05-29", 110), ("2026-07-06", 110), ("2026-07-15", 122)]
)
def test_every_row_of_recorded_openai_pages_is_read(recorded: Path, day: str, count: int) -> None:
    body = body_of(recorded / "recorded" / "openai" / f"{day}-docs-pricing.md")
    quotes = read("openai", body)
    tiers = re.split(r'<TextTokenPricingTables\s+client:load\s+tier="', body.decode())[1:]
    found = [
        (tier.partition('"')[0], *(cell.strip().strip('"') for cell in row.split(", ")))
        for tier in tiers
        for row in re.findall(r'^ +\[("[^\n]*)\],$', tier.partition("/>")[0], re.MULTILINE)
    ]
    assert len(quotes) == len(found) == count
    for quote, (tier, name, *values) in zip(quotes, found, strict=True):
        meters = (
            ("input", "cache_read", "cache_write", "output") if len(values) == 4 else ("input", "cache_read", "output")
        )
        wanted = {meter: value for meter, value in zip(meters, values, strict=True) if value not in ("-", "null", "")}
        tag = "" if tier == "standard" else tier
        assert (quote.model, quote.tag, texts(quote)) == (name.partition(" (")[0], tag, wanted)
        bounds = [(one.above_tokens, {price.text for price in one.prices.values()}) for one in quote.overrides]
        assert bounds == ([(271_999, {""})] if name.endswith("(<272K context length)") else [])
    longest = [one.card for one in seen("openai", body) if one.key.model == "gpt-5.4"]
    assert {override.unknown for card in longest if card for override in card.overrides} == {
        ("cache_read", "input", "output")
    }


def test_openai_pages_of_another_form_are_refused(recorded: Path) -> None:
    for name in ("2025-10-15-platform-pricing.md", "2026-02-26-docs-pricing.md", "2026-05-08-challenge-page.html"):
        with pytest.raises(SourceChanged):
            read("openai", body_of(recorded / "recorded" / "openai" / name))


@pytest.mark.parametrize(
    ("day", "count", "held"), [("2026-05-08", 62, 6), ("2026-06-05", 63, 6), ("2026-07-21", 64, 7)]
)
def test_recorded_gemini_pages_are_read_where_they_are_understood(
    recorded: Path, day: str, count: int, held: int
) -> None:
    body = body_of(recorded / "recorded" / "google" / f"{day}-gemini-api-pricing.md")
    observations = seen("google", body)
    assert (len(observations), len(observations) - len(unheld(observations))) == (count, held)
    pro = {one.key.tag: one.card for one in unheld(observations) if one.key.model == "gemini-2.5-pro"}
    standard = pro[""]
    assert standard is not None
    assert dict(standard.amounts) == {"input": 1_250_000_000, "output": 10_000_000_000, "cache_read": 125_000_000}
    (longer,) = standard.overrides
    assert (longer.above_tokens, dict(longer.amounts)["output"]) == (200_000, 15_000_000_000)
    batch = pro["batch"]
    assert batch is not None
    assert dict(batch.amounts)["input"] == 625_000_000
    cells = re.findall(r"^\| (?:Text )?[Ii]nput price[^|]*\|[^|]*\| \$([0-9.]+)", body.decode(), re.MULTILINE)
    firsts = {
        f"{one.key.model} {one.key.tag}": dict(one.card.amounts).get("input")
        for one in unheld(observations)
        if one.card is not None and "input" in dict(one.card.amounts)
    }
    assert {amount for amount in firsts.values() if amount} <= {int(Decimal(cell) * 10**9) for cell in cells}


def test_a_gemini_page_without_ids_is_refused(recorded: Path) -> None:
    with pytest.raises(SourceChanged):
        read("google", body_of(recorded / "recorded" / "google" / "2025-10-08-gemini-api-pricing.md"))


def test_every_model_of_the_recorded_z_ai_page_is_read(recorded: Path) -> None:
    body = body_of(recorded / "recorded" / "z-ai" / "2026-05-08-pricing.md")
    rows = re.findall(r"^\| (GLM-\S+) \| (\S+) \| (\S+) \| [^|]+ \| (\S+) \|$", body.decode(), re.MULTILINE)
    quotes = read("zai", body)
    assert [quote.model for quote in quotes] == [name for name, *_ in rows]
    assert len(rows) == 19
    for quote, (_, *cells) in zip(quotes, rows, strict=True):
        assert [quote.prices[meter].text for meter in ("input", "cache_read", "output")] == [
            cell.lstrip("$") for cell in cells
        ]
    assert not [finding for one in seen("zai", body) for finding in one.findings]


def test_the_recorded_voyage_page_is_read_by_the_million(recorded: Path) -> None:
    quotes = read("voyage", body_of(recorded / "recorded" / "voyage" / "2026-07-15-pricing.md"))
    assert len(quotes) == 11
    found = {quote.model: quote.prices["input"].text for quote in quotes}
    assert found["voyage-4-large"] == "0.12"
    assert found["voyage-finance-2"] == found["voyage-law-2"] == found["voyage-code-2"] == "0.12"
    assert found["rerank-2"] == "0.05"


def test_the_recorded_perplexity_page_has_five_meters_for_deep_research(recorded: Path) -> None:
    body = body_of(recorded / "recorded" / "perplexity" / "2025-10-15-pricing.md")
    found = {one.key.model: one.card for one in seen("perplexity", body)}
    research, sonar = found["Sonar Deep Research"], found["Sonar Pro"]
    assert research is not None
    assert sonar is not None
    assert dict(research.amounts) == {
        "input": 2_000_000_000,
        "output": 8_000_000_000,
        "citation": 2_000_000_000,
        "reasoning": 3_000_000_000,
        "web_search": 5_000_000,
    }
    assert (dict(sonar.amounts), sonar.states) == (
        {"input": 3_000_000_000, "output": 15_000_000_000},
        (("request", "varies"),),
    )


def test_the_recorded_kimi_pages_are_read(recorded: Path) -> None:
    pages = (
        body_of(recorded / "recorded" / "moonshot" / "2026-05-08-pricing-pages.md").decode().split("--- PAGE BREAK ---")
    )
    quotes = [quote for page in pages if page.strip() for quote in read("moonshot", page.encode(), part="chat")]
    rows = re.findall(r'^\["([^"]+)", "1M tokens", (.*)"([0-9,]+) tokens"\],$', "\n".join(pages), re.MULTILINE)
    assert len(quotes) == len(rows) == 13
    for quote, (name, cells, context) in zip(quotes, rows, strict=True):
        numbers = re.findall(r'<>\{"\$"\}([0-9.]+)</>', cells)
        meters = ("cache_read", "input", "output") if len(numbers) == 3 else ("input", "output")
        assert (quote.model, texts(quote)) == (name, dict(zip(meters, numbers, strict=True)))
        assert quote.facts.context_length == int(context.replace(",", ""))


def test_the_recorded_cerebras_page_is_read(recorded: Path) -> None:
    body = body_of(recorded / "recorded" / "cerebras" / "2026-05-08-cerebras.ai-pricing.html")
    assert [(quote.model, texts(quote)) for quote in read("cerebras_page", body)] == [
        ("ZAI GLM 4.7", {"input": "2.25", "output": "2.75"}),
        ("GPT OSS 120B", {"input": "0.35", "output": "0.75"}),
        ("Llama 3.1 8B", {"input": "0.10", "output": "0.10"}),
        ("Qwen 3 235B Instruct", {"input": "0.60", "output": "1.20"}),
    ]


def test_the_recorded_cohere_group_is_read(recorded: Path) -> None:
    body = body_of(recorded / "recorded" / "cohere" / "2026-07-15-pricing-next_f.html")
    assert [(quote.model, texts(quote)) for quote in read("cohere", body)] == [
        ("Embed 4", {"input": "0.12", "input_image_token": "0.47"})
    ]


@pytest.mark.parametrize("day", ["2025-10-20", "2026-03-26", "2026-08-13"])
def test_every_priced_file_of_mistral_is_read(recorded: Path, day: str) -> None:
    models = json.loads(body_of(recorded / "recorded" / "mistral" / f"{day}-docs-model-schema.json"))
    for slug, model in models.items():
        file = f"export default {json.dumps(model, indent=2, ensure_ascii=False)} as const;\n"
        quotes = read("mistral", file.encode(), part=slug)
        priced = [*model["pricing"].get("input", ()), *model["pricing"].get("output", ())]
        sold = priced and model["status"] != "Retired" and not model["pricing"].get("free")
        names = [name for name in model["identifiers"].get("apiNames", ()) if not name.endswith("-latest")]
        assert [quote.model for quote in quotes] == (names if sold else []), slug
        for quote in quotes:
            assert sorted(texts(quote).values()) == sorted(str(entry["price"]) for entry in priced), slug


def day_in_words(text: str | None) -> str | None:
    """A date in either of the forms that Mistral has had."""
    if text is None or re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return text
    return f"{datetime.strptime(text, '%B %d, %Y'):%Y-%m-%d}"  # noqa: DTZ007 - a day


@pytest.mark.parametrize("day", ["2025-10-20", "2026-03-26", "2026-08-13"])
def test_every_date_licence_and_size_of_mistral_is_read(recorded: Path, day: str) -> None:
    models = json.loads(body_of(recorded / "recorded" / "mistral" / f"{day}-docs-model-schema.json"))
    told = 0
    for slug, model in models.items():
        file = f"export default {json.dumps(model, indent=2, ensure_ascii=False)} as const;\n"
        weights, life = model.get("weights") or [], model.get("metadata") or {}
        licence, size, active = (
            found.pop() if len(found) == 1 else None
            for found in ({one.get(key) for one in weights} for key in ("license", "parameters", "active"))
        )
        for quote in read("mistral", file.encode(), part=slug):
            facts = quote.facts
            assert facts.release_date == day_in_words(model.get("releaseDate"))
            assert facts.deprecated_on == day_in_words(life.get("deprecationDate"))
            assert facts.retires_on == day_in_words(life.get("retirementDate"))
            assert facts.successor == life.get("replacement")
            assert facts.open_weights is (True if weights else None)
            assert facts.licence == licence
            assert facts.total_parameters == (size and int(Decimal(size) * 10**9))
            assert facts.active_parameters == (active and int(Decimal(active) * 10**9))
            told += facts.total_parameters is not None
    assert told >= 3


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("groq", "groq/undated-2026-docs-models-tables.md"),  # its end is cut off
        ("xai_page", "xai/2026-05-08-docs-models.md"),  # other headings
        ("zai", "z-ai/2026-05-08-docs-shell-without-prices.html.gz"),
        ("moonshot", "moonshot/2026-05-08-pricing-chat-without-prices.html"),
        ("deepseek", "xai/2026-05-08-docs-models.md"),
        ("cohere", "cohere/2025-10-15-pricing.md"),
        ("cerebras_page", "cohere/2026-07-15-pricing-next_f.html"),
    ],
)
def test_recorded_pages_of_another_form_are_refused(recorded: Path, source: str, name: str) -> None:
    with pytest.raises(SourceChanged):
        read(source, body_of(recorded / "recorded" / name), part="chat" if source == "moonshot" else "")


# --- Vertex AI --------------------------------------------------------------------------------------------------------

_PER_MILLION = re.compile(r"(Input|Output): \$([0-9.]+) / million tokens(?! \(or)")


def test_the_recorded_vertex_page_is_read_as_its_lines_say(recorded: Path) -> None:
    body = body_of(recorded / "recorded" / "google-vertex" / "2026-05-08-generative-ai-pricing.html.gz")
    quotes = read("google_vertex", body)
    assert (len(quotes), len({quote.model for quote in quotes})) == (136, 50)
    observed = unheld(seen("google_vertex", body))
    assert len(observed) == 114
    beyond = [one for one in observed if one.card and any(override.unknown for override in one.card.overrides)]
    assert len(beyond) == 4
    assert all(one.key.tag.endswith("/batch") for one in beyond)
    text = re.sub(r"<(?!=)[^>]*>", " ", body.decode())
    by_line = sorted(number for _, number in _PER_MILLION.findall(re.sub(r"\s+", " ", text)))
    of_lines = [quote for quote in quotes if quote.locator.startswith("lines") and "batch" not in quote.tag]
    found = sorted(texts(quote)[meter] for quote in of_lines for meter in ("input", "output") if meter in quote.prices)
    in_batches = [quote for quote in quotes if quote.locator.startswith("lines") and quote.tag == "batch"]
    found_in_batches = [texts(quote)[meter] for quote in in_batches for meter in ("input", "output")]
    assert sorted([*found, *found_in_batches]) == by_line
    said = {(quote.model, quote.tag): quote for quote in quotes}
    pro = said["Gemini 2.5 Pro", ""]
    assert texts(pro) == {"input": "1.25", "cache_read": "0.13", "output": "10"}
    assert [(one.above_tokens, one.prices["output"].text) for one in pro.overrides] == [(200_000, "15")]
    assert (
        texts(said["Gemini 2.5 Pro", "batch"])
        == texts(said["Gemini 2.5 Pro", "flex"])
        == {"input": "0.625", "output": "5"}
    )
    assert texts(said["Gemini 3.1 Flash-Lite", "regional/priority"])["output"] == "2.97"
    assert texts(said["gpt-oss-120b", ""]) == {"input": "0.09", "output": "0.36"}
    assert texts(said["Claude Opus 4.7", "us/batch"])["cache_write"] == "3.438"
    assert {one.identity.model for one in observed} >= {
        "google/gemini-2.5-pro",
        "anthropic/claude-opus-4.7",
        "z-ai/glm-5",
    }
