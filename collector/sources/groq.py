"""Groq: the list of models of its documentation, in Markdown.

What is read
    https://console.groq.com/docs/models.md: tables of production and preview models under the heading `PRICE PER 1M
    TOKENS`, with context and longest completion. A cell is `$0.15 input$0.60 output`. The id of a model stands behind
    its name in the same cell, `[OpenAI GPT-OSS 120B](/docs/model/openai/gpt-oss-120b)openai/gpt-oss-120b`.

Oddities
    The heading does not hold for speech, whose cells say what they count: `$0.111 per hour` of audio,
    `$22.00 per 1M characters`. `ContactSales` and `-` are no price: left out. Systems (compound) have no price. Cached
    input and batch at half the price are prose: not read. Ids in a cell that cannot be told from the name hold the row.

History
    2026-05     llama models at `ContactSales`; by autumn priced again.
"""

import re

from collector.contract import Price, Quote, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import NotAnAmount, money
from collector.parse.doubt import Doubt
from collector.parse.grid import in_one_line
from collector.parse.lengths import tokens_of
from collector.parse.markdown_table import page_of
from collector.parse.tables import Row, find, require_end
from store.records import Document, Facts

MODEL, PRICE = "MODEL ID", "PRICE PER 1M TOKENS"
CONTEXT, LONGEST = "CONTEXT WINDOW (TOKENS)", "MAX COMPLETION TOKENS"
UNPRICED = ("ContactSales", "Contact Sales", "-", "")

_ID = re.compile(r"(?:^|\s)([a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)?)$")
_TOKENS = re.compile(r"(?P<input>\$\S+?) ?input ?(?P<output>\$\S+?) ?output")
_OTHERWISE = {
    re.compile(r"(\$\S+) per hour"): ("input_audio_hour", "USD/hour"),
    re.compile(r"(\$\S+) per 1M characters"): ("input_character", "USD/1M_character"),
}


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes as published, one per model with a price.

    Units: USD per 1M tokens, per hour of audio or per 1M characters, as the cell says.
    Raises: SourceChanged if no table has the headings, or a model stands twice.
    """
    page = page_of(document)
    tables = find(page.grids, [MODEL, PRICE, CONTEXT, LONGEST], spec.id)
    require_end(page, tables[-1], spec.page.ends, spec.id)
    rows = [row for table in tables for row in table.rows]
    quotes = [_quote(row, spec) for row in rows if in_one_line(row.at(PRICE)) not in UNPRICED]
    models = [quote.model for quote in quotes]
    if len(set(models)) < len(models):
        twice = next(model for model in models if models.count(model) > 1)
        raise SourceChanged(f"{spec.id}: {twice} stands twice", code="anchor")
    if not quotes:
        raise SourceChanged(f"{spec.id}: no model has a price", code="empty")
    return quotes


def _quote(row: Row, spec: SourceSpec) -> Quote:
    named = in_one_line(row.at(MODEL))
    found = _ID.search(named)
    if not named:
        raise SourceChanged(f"{spec.id}: {row.locator}: {MODEL} is empty")
    doubts = [row.ragged] if row.ragged else []
    if found is None:
        doubts.append(Doubt("name", f"{named!r} does not end in an id"))
    prices: dict[str, Price] = {}
    try:
        prices = _prices(in_one_line(row.at(PRICE))) if not row.ragged else {}
    except NotAnAmount as error:
        doubts.append(Doubt("amount", f"{PRICE}: {error}"))
    return Quote(
        provider=spec.provider,
        model=found[1] if found else named[:200],
        prices=prices,
        facts=Facts(context_length=tokens_of(row.at(CONTEXT)), max_output_tokens=tokens_of(row.at(LONGEST))),
        locator=row.locator,
        findings=tuple(doubt.finding(row.locator) for doubt in doubts),
    )


def _prices(cell: str) -> dict[str, Price]:
    """Raises: NotAnAmount if a cell is neither prices of tokens nor says what else it counts."""
    tokens = _TOKENS.fullmatch(cell)
    if tokens is not None:
        return {meter: Price(text=money(text), unit="USD/1M_token") for meter, text in tokens.groupdict().items()}
    for said, (meter, unit) in _OTHERWISE.items():
        if (found := said.fullmatch(cell)) is not None:
            return {meter: Price(text=money(found[1]), unit=unit)}
    raise NotAnAmount(f"{cell!r} is not understood")
