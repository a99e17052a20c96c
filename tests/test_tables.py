"""Tables in Markdown and what the families of tables share: cells, names, lengths, sections, variants."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.contract import NO_PAGE, PriceSpec, Quote, SourceSpec, VariantSpec
from collector.errors import SourceChanged
from collector.parse import html_table, markdown_table
from collector.parse.lengths import ranged, tokens_of
from collector.parse.markdown_table import shown
from store.records import Document

AT = datetime(2026, 8, 1, tzinfo=UTC)
PAGE = replace(NO_PAGE, ends="The end")
SPEC = SourceSpec(
    id="acme",
    title="Acme",
    parser="markdown_table",
    kind="page",
    url="https://acme.example/pricing.md",
    trust="first-party",
    every_s=3600,
    provider="acme",
    model="Model",
    prices=(
        PriceSpec(meter="input", at="Input (per 1M tokens)", unit="USD/1M_token"),
        PriceSpec(meter="output", at="Output (per 1M tokens)", unit="USD/1M_token"),
    ),
    absent=("-",),
    page=PAGE,
)
HEAD = "| Model | Input (per 1M tokens) | Output (per 1M tokens) |\n| --- | ---: | :-: |\n"


def document(body: str) -> Document:
    return Document(source="acme", url=SPEC.url, fetched_at=AT, status=200, body=body.encode())


def read(table: str, spec: SourceSpec = SPEC, above: str = "", end: str = "\n\nThe end.") -> list[Quote]:
    return markdown_table.parse(document(f"{above}\n\n{table}{end}"), spec)


def refusal(table: str, spec: SourceSpec = SPEC, above: str = "", end: str = "\n\nThe end.") -> SourceChanged:
    with pytest.raises(SourceChanged) as refused:
        read(table, spec, above, end)
    return refused.value


def texts(quote: Quote) -> dict[str, str]:
    return {meter: price.text for meter, price in quote.prices.items()}


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        (r"\$15", "$15"),
        ("**Acme** _Large_", "Acme Large"),
        ("`acme-large`", "acme-large"),
        ("acme_large_v1", "acme_large_v1"),
        ("[Acme](https://acme.example/a_b)", "Acme"),
        ("[![logo](https://acme.example/a.png)Acme Large](/models/acme)acme/large", "Acme Large acme/large"),
        ("Acme ([deprecated](/x))", "Acme (deprecated )"),
        ("$5<sup>1</sup>", "$5"),
        ("$5[^2]", "$5"),
        ("~~$9~~ $5", "$5"),
        ("<del>$9</del> <b>$5</b>", "$5"),
        ("a<br />b<br>c", "a\nb\nc"),
        ("&lt;= 200k &amp; more", "<= 200k & more"),
        (r"\- \~ \| \<", "- ~ | <"),
        ("2 * 3", "2 3"),
    ],
)
def test_a_cell_says_what_a_reader_sees(cell: str, seen: str) -> None:
    assert shown(cell) == seen


@given(st.text(alphabet="<>[]()!~*`_\\|$0123456789 abs/^", max_size=80))
def test_any_cell_is_shown_and_shows_no_number_that_is_not_there(cell: str) -> None:
    digits = [char for char in shown(cell) if char.isdigit()]
    assert len(digits) <= sum(char.isdigit() for char in cell)


@given(
    st.decimals(0, 1000, places=4), st.sampled_from(["{}", "**{}**", "`{}`", "~~$77~~ {}", "{}<sup>3</sup>", r"\{}"])
)
def test_a_price_comes_through_markup_as_it_is(amount: object, markup: str) -> None:
    (quote,) = read(f"{HEAD}| a | {markup.format(f'${amount}')} | $1 |")
    assert texts(quote) == {"input": str(amount), "output": "1"}


# --- tables -----------------------------------------------------------------------------------------------------------


def test_bars_at_the_ends_are_a_matter_of_taste() -> None:
    bare = "Model | Input (per 1M tokens) | Output (per 1M tokens)\n---|---|---\na | $1 | $2"
    assert [texts(quote) for quote in read(bare)] == [{"input": "1", "output": "2"}]


def test_an_escaped_bar_is_no_border() -> None:
    assert read(rf"{HEAD}| a\|b | $1 | $2 |")[0].model == "a|b"


def test_an_empty_last_cell_is_a_cell() -> None:
    assert texts(read(f"{HEAD}| a | $1 | |")[0]) == {"input": "1", "output": ""}


def test_a_row_of_another_width_is_held() -> None:
    for row in ("| a | $1 |", "| a | $1 | $2 | $3 |"):
        assert [finding.rule for finding in read(f"{HEAD}{row}")[0].findings] == ["cells"]


def test_tables_in_code_are_no_tables() -> None:
    assert [quote.model for quote in read(f"```\n{HEAD}| x | $9 | $9 |\n# no title\n```\n\n{HEAD}| a | $1 | $2 |")] == [
        "a"
    ]


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("no table", "anchor"),
        (HEAD, "empty"),
        (HEAD.replace("per 1M", "per 1K") + "| a | $1 | $2 |", "columns"),
        ("| Model | Input (per 1M tokens) | Output (per 1M tokens) |\n| a | $1 | $2 |", "anchor"),
        (HEAD + "| | $1 | $2 |", "schema"),
        (HEAD + "| a | $1 | $2 |\n" * 5002, "row_limit"),
        (HEAD + f"| {'a' * 9000} | $1 | $2 |", "parse_limit"),
        (HEAD + "| a | $1 " + "|" * 70, "columns"),
        (f"{HEAD}| a | $1 | $2 |\n\n{HEAD}| a | $3 | $4 |", "anchor"),
    ],
    ids=range(9),
)
def test_a_page_that_is_not_the_price_page_is_refused(table: str, code: str) -> None:
    assert refusal(table).code == code


@pytest.mark.fault(11, 47)
def test_a_page_without_its_end_is_refused() -> None:
    assert refusal(f"{HEAD}| a | $1 | $2 |", end="\n\nThe en").code == "truncated"
    assert refusal(f"{HEAD}| a | $1 | $2 |", above="The end", end="").code == "truncated"


@pytest.mark.parametrize(
    "body", ["", "  \n", "null", "[]", '{"a": 1}', "<!DOCTYPE html><html></html>", "<html>", "<!-- x --><html>"]
)
def test_another_kind_of_document_is_refused(body: str) -> None:
    with pytest.raises(SourceChanged) as refused:
        markdown_table.parse(document(body), SPEC)
    assert refused.value.code == ("empty" if not body.strip() else "content_type")


@given(st.text(alphabet="|-: \n$1aM#`", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(SourceChanged):
        markdown_table.parse(document(text), SPEC)


# --- what stands beside a table ---------------------------------------------------------------------------------------


def test_words_that_must_stand_on_the_page_or_above_a_table_are_wanted_there() -> None:
    says = replace(SPEC, page=replace(PAGE, says=("All prices are in USD",), above=("Prices per 1M tokens",)))
    row = f"{HEAD}| a | $1 | $2 |"
    words = "All prices are  in **USD**.\n\nPrices per 1M tokens."
    assert read(row, replace(says, page=replace(says.page, says=())), above=words)
    assert refusal(row, says, above=words).code == "says"  # bold within the words is not what was said
    assert read(row, says, above=words.replace("**", ""))
    second = f"{row}\n\nPrices per 1K tokens.\n\n{HEAD}| b | $1 | $2 |"
    refused = refusal(second, says, above=words.replace("**", ""))
    assert (refused.code, "above table 2 wanted 'Prices per 1M tokens'" in str(refused)) == ("says", True)


def test_sections_give_tags_and_others_are_passed_over() -> None:
    spec = replace(SPEC, page=replace(PAGE, sections={"Standard": "", "Batch": "batch"}))
    table = "\n\n".join(
        f"## {title}\n\n{HEAD}| a | ${price} | $2 |" for title, price in (("Standard", 2), ("Batch", 1), ("Old", 9))
    )
    assert [(quote.tag, texts(quote)["input"]) for quote in read(table, spec)] == [("", "2"), ("batch", "1")]
    assert refusal(table.replace("## Standard", "## A").replace("## Batch", "## B"), spec).code == "anchor"


def test_variants_are_offers_where_they_have_a_price() -> None:
    head = "| Model | Input (per 1M tokens) | Output (per 1M tokens) | Batch |\n|-|-|-|-|\n"
    batch = VariantSpec(tag="batch", prices=(PriceSpec(meter="input", at="Batch", unit="USD/1M_token"),))
    quotes = read(
        f"{head}| a | $2 | $4 | $1 |\n| b | $2 | $4 | - |\n| c | $2 | $4 | |\n", replace(SPEC, variants=(batch,))
    )
    assert [(quote.model, quote.tag) for quote in quotes] == [("a", ""), ("a", "batch"), ("b", ""), ("c", "")]
    _, odd = read(f"{head}| a | $2 | $4 | half |", replace(SPEC, variants=(batch,)))
    assert (odd.tag, odd.findings[0].rule) == ("batch", "amount")


def test_parts_and_units_of_a_cell_are_those_that_are_wanted() -> None:
    prices = tuple(
        PriceSpec(meter=meter, at="Price", unit="USD/1M_token", part=(part, 2), after="/ MTok")
        for part, meter in enumerate(("input", "output"), 1)
    )
    spec = replace(SPEC, prices=tuple(replace(price, after="") for price in prices))
    head = "| Model | Price |\n|-|-|\n"
    assert texts(read(f"{head}| a | $0.15 / $0.60 |", spec)[0]) == {"input": "0.15", "output": "0.60"}
    for cell in ("$0.15", "$0.15 / $0.60 / $1", "$0.15 or $0.60"):
        assert read(f"{head}| a | {cell} |", spec)[0].findings[0].rule == "amount"
    one = replace(SPEC, prices=(replace(prices[0], part=None),))
    assert texts(read(f"{head}| a | $5 / MTok |", one)[0]) == {"input": "5"}
    for cell in ("$5", "$5 / KTok", "$5 / MTok1"):
        assert read(f"{head}| a | {cell} |", one)[0].findings[0].rule == "amount"


def test_a_table_can_be_turned_and_a_cell_can_name_several_models() -> None:
    turned = "| Model | a | b |\n|-|-|-|\n| Input (per 1M tokens) | $1 | $3 |\n| Output (per 1M tokens) | $2 | - |\n"
    spec = replace(SPEC, page=replace(PAGE, turned=True))
    assert [(quote.model, texts(quote)) for quote in read(turned, spec)] == [
        ("a", {"input": "1", "output": "2"}),
        ("b", {"input": "3", "output": "-"}),
    ]
    by_line = replace(SPEC, page=replace(PAGE, by_line=True))
    assert [quote.model for quote in read(f"{HEAD}| `a`<br />`b`* | $1 | $2 |", by_line)] == ["a", "b"]
    (quote,) = read(f"{HEAD}| `a`<br />`b` | $1 | $2 |")
    assert quote.model == "a b"


def test_prices_of_long_prompts_become_conditions() -> None:
    spec = replace(SPEC, page=replace(PAGE, ranges=True))
    rows = "| a (≤ 200k tokens) | $1 | $2 |\n| a (> 200k tokens) | $2 | $3 |\n| b | $1 | $1 |\n"
    a, b = read(HEAD + rows, spec)
    assert (a.model, texts(a), b.model) == ("a", {"input": "1", "output": "2"}, "b")
    assert [(one.above_tokens, one.prices["input"].text) for one in a.overrides] == [(200_000, "2")]
    for alone in ("| a (> 200k tokens) | $2 | $3 |\n", rows + "| a (< 200k tokens) | $1 | $2 |\n"):
        assert [finding.rule for finding in read(HEAD + alone, spec)[0].findings] == ["tier"]


def test_unknown_words_are_no_price_and_no_absence() -> None:
    spec = replace(SPEC, unknown=("Not published",))
    assert texts(read(f"{HEAD}| a | $1 | Not published |", spec)[0]) == {"input": "1", "output": "Not published"}


def test_html_and_markdown_are_read_alike() -> None:
    page = replace(SPEC, parser="html_table", page=replace(PAGE, above=("per million",), sections={"Prices": ""}))
    body = (
        "<html><body><h1>Acme</h1><h2>Prices</h2><p>All per million.</p><table><tr><th>Model</th>"
        "<th>Input (per 1M tokens)</th><th>Output (per 1M tokens)</th></tr><tr><td>a*</td><td>$1</td><td>$2</td></tr>"
        "</table><p>The end</p></body></html>"
    )
    (quote,) = html_table.parse(document(body), page)
    (other,) = read(f"{HEAD}| a* | $1 | $2 |", page, above="# Acme\n\n## Prices\n\nAll per million.")
    assert quote == other
    assert quote.model == "a"


# --- lengths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("131072", 131_072),
        ("131,072", 131_072),
        ("262,144 tokens", 262_144),
        ("1M", 1_000_000),
        ("1.5m", 1_500_000),
        ("500k", 500_000),
        ("0", None),
        ("13,10", None),
        ("1.0005k", None),
        ("1M or 2M", None),
        ("", None),
        ("unlimited", None),
        ("-", None),
    ],
)
def test_counts_of_tokens_are_read_as_pages_write_them(text: str, tokens: int | None) -> None:
    assert tokens_of(text) == tokens


@pytest.mark.parametrize(
    ("text", "plain", "above"),
    [
        ("grok (< 200k prompt tokens)", "grok", None),
        ("grok (≥ 200k prompt tokens)", "grok", 199_999),
        ("grok (>= 200k prompt tokens)", "grok", 199_999),
        ("grok (> 200k prompt tokens)", "grok", 200_000),
        ("gpt (<272K context length)", "gpt", None),
        ("$2.50, prompts > 200k tokens", "$2.50", 200_000),
        ("$2.50, prompts > 200k token", "$2.50", 200_000),
        ("M3 Context <= 512K", "M3", None),
        ("M3 Context 512K ~ 1M", "M3", 512_000),
        ("> 200K input tokens", "", 200_000),
        ("gpt-5.4", "gpt-5.4", None),
        ("llama 70b", "llama 70b", None),
    ],
)
def test_prompt_lengths_in_words_are_understood(text: str, plain: str, above: int | None) -> None:
    found = ranged(text)
    assert (found.text, found.above_tokens) == (plain, above)
