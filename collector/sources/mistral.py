"""Mistral: the source files from which its documentation is built, one for each model.

What is read
    https://github.com/mistralai/platform-docs-public, `src/schema/models/models/*.ts`: the listing of that folder by
    GitHub's API, then every file in it. Of a file: `pricing` (lists of `price` and `denominator` for input and output,
    USD), `identifiers.apiNames`, `status`, `contextLength`, dates of release, deprecation and retirement, what replaces
    it, and of `weights` licence and size, as far as all sets of them agree. `priceEur`, where it stands, is a price of
    its own and not read. Only literals are read, nothing is evaluated.

Oddities
    `denominator` says what is counted: `/M Tokens`, `/M Chars`, `/Min`, `/1000 Pages`, `/1000 Annotated Pages`; another
    one holds the offer. A model may have several prices of input: by the minute and by the token, or one that is
    labelled `Cached input`. Each API name is an offer, except `...-latest`, which moves between models. Retired models,
    free ones and those without a price or a name are not for sale: left out.

History
    2025-10     recorded since; `priceEur` comes and goes.
"""

import re
from collections.abc import Mapping, Sequence

from collector.contract import Price, Quote, Request, SourceSpec
from collector.errors import SourceChanged
from collector.parse.amounts import Number
from collector.parse.doubt import Doubt, note
from collector.parse.facts import facts_of
from collector.parse.lengths import tokens_of
from collector.parse.literals import Literal, literal
from collector.parse.markdown_table import lines_of
from collector.parse.strict import read_json
from store.records import Document, Facts, Finding

METERS = {
    ("input", "/M Tokens"): ("input", "USD/1M_token"),
    ("output", "/M Tokens"): ("output", "USD/1M_token"),
    ("input", "/M Chars"): ("input_character", "USD/1M_character"),
    ("output", "/M Chars"): ("output_character", "USD/1M_character"),
    ("input", "/Min"): ("input_second", "USD/60_second"),
    ("output", "/Min"): ("output_second", "USD/60_second"),
    ("input", "/1000 Pages"): ("input_page", "USD/1K_page"),
    ("input", "/1000 Annotated Pages"): ("input_annotated_page", "USD/1K_page"),
}
"""Side and denominator -> meter and unit."""
CACHED = "Cached input"
FACTS = ("contextLength", "status", "releaseDate", "metadata", "weights")
LABELS = (None, "Input", "Output", CACHED)
FILES = "https://raw.githubusercontent.com/mistralai/"
NOT_SOLD = ("Retired", "Free")


def follow(document: Document, spec: SourceSpec) -> list[Request]:
    """A request for each file that the listing names.

    Raises: SourceChanged if it is no listing of files of models.
    """
    if document.part:
        return []
    listed = read_json(document)
    files = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    found = []
    for entry in files:
        name, url = entry.get("name"), entry.get("download_url")
        if not isinstance(name, str) or not isinstance(url, str) or not url.startswith(FILES):
            continue
        if name.endswith(".ts") and name != "index.ts":
            found.append(Request(url=url, part=name.removesuffix(".ts")))
    if not found:
        raise SourceChanged(f"{spec.id}: a listing of files of models wanted, there is none", code="anchor")
    return found


def parse(document: Document, spec: SourceSpec) -> list[Quote]:
    """Quotes of one file, one per API name; of the listing, none.

    Raises: SourceChanged if a file has no prices where they should be, or has no end.
    """
    if not document.part:
        follow(document, spec)
        return []
    text = "\n".join(lines_of(document))
    if not text.rstrip().endswith(";"):
        raise SourceChanged(f"{spec.id}: {document.part}: the file ends before its end", code="truncated")
    pricing, identifiers = _value(text, "pricing", spec), _value(text, "identifiers", spec)
    status = _value(text, "status", spec) if _has(text, "status") else None
    if not isinstance(pricing, dict) or not isinstance(identifiers, dict):
        raise SourceChanged(f"{spec.id}: {document.part}: objects pricing and identifiers wanted")
    names = identifiers.get("apiNames")
    if pricing.get("free") is True or status in NOT_SOLD or not isinstance(names, list):
        return []
    prices, findings = _prices(pricing, document.part)
    if not prices and not findings:
        return []
    facts, notes = _facts(text, document.part, spec)
    return [
        Quote(
            provider=spec.provider,
            model=name,
            prices=prices,
            facts=facts,
            locator=f"{document.part}.ts",
            findings=(*findings, *notes),
        )
        for name in names
        if isinstance(name, str) and name and not name.endswith("-latest")
    ]


def _facts(text: str, part: str, spec: SourceSpec) -> tuple[Facts, tuple[Finding, ...]]:
    """What stands beside the prices. Of several sets of weights, what all of them say."""
    told: dict[str, Literal] = {}
    notes: list[Finding] = []
    for key in FACTS:
        try:
            told[key] = _value(text, key, spec) if _has(text, key) else None
        except SourceChanged as error:
            notes.append(note("fact", str(error), f"{part}.ts"))
    metadata, context, weights = told.get("metadata"), told.get("contextLength"), told.get("weights")
    life = metadata if isinstance(metadata, Mapping) else {}
    sets = [one for one in weights if isinstance(one, Mapping)] if isinstance(weights, list) else []
    facts, doubtful = facts_of(
        {
            "context_length": tokens_of(context) if isinstance(context, str) else None,
            "status": told.get("status"),
            "release_date": told.get("releaseDate"),
            "deprecated_on": life.get("deprecationDate"),
            "retires_on": life.get("retirementDate"),
            "successor": life.get("replacement"),
            "open_weights": True if sets else None,
            "licence": _same(sets, "license"),
            "total_parameters": _billions(_same(sets, "parameters")),
            "active_parameters": _billions(_same(sets, "active")),
        },
        f"{part}.ts",
    )
    return facts, (*notes, *doubtful)


def _same(sets: Sequence[Mapping[str, Literal]], key: str) -> Literal:
    values = [one.get(key) for one in sets]
    return values[0] if values and all(value == values[0] for value in values) else None


def _billions(value: Literal) -> str | None:
    """A size is a number of billions, as text."""
    return f"{value}B" if isinstance(value, str) else None


def _has(text: str, key: str) -> bool:
    return _key(key).search(text) is not None


def _value(text: str, key: str, spec: SourceSpec) -> Literal:
    """The value of a key of the model itself, which is indented by two spaces."""
    found = list(_key(key).finditer(text))
    if len(found) != 1:
        raise SourceChanged(f"{spec.id}: one {key} wanted, there are {len(found)}")
    return literal(text, found[0].end(), spec.id)[0]


def _key(name: str) -> re.Pattern[str]:
    return re.compile(rf'^  "?{name}"?:\s*', re.MULTILINE)


def _prices(pricing: Mapping[str, Literal], part: str) -> tuple[dict[str, Price], list[Finding]]:
    prices: dict[str, Price] = {}
    findings = []
    for side in ("input", "output"):
        listed = pricing.get(side)
        for entry in listed if isinstance(listed, list) else []:
            price = entry.get("price") if isinstance(entry, Mapping) else None
            counted = entry.get("denominator") if isinstance(entry, Mapping) else None
            label = entry.get("label") if isinstance(entry, Mapping) else None
            known = METERS.get((side, str(counted))) if label in LABELS else None
            known = ("cache_read", known[1]) if known and known[0] == "input" and label == CACHED else known
            if known is None or known[0] in prices or not isinstance(price, Number):
                doubt = Doubt("amount", f"{side} at {str(price)!r} {counted!r}")
                findings.append(doubt.finding(f"{part}.ts"))
            else:
                prices[known[0]] = Price(text=price.text, unit=known[1])
    return prices, findings
