"""A page of tables as Markdown or HTML: what upstreams wrote stays text, whatever it says.

The HTML needs no network and runs nothing: one style, named by its hash in the page's own policy, light or dark as the
reader's screen is.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Literal, TypeAlias

from store.text import printable

Kind: TypeAlias = Literal["text", "number", "instant", "ref"]
"""`ref`: to be copied, to the letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, a table, and what is to be said of it."""

    title: str
    note: str = ""
    command: str = ""
    """What shows all of it."""
    heads: Sequence[tuple[str, Kind]] = ()
    rows: Sequence[Sequence[str]] = ()
    of: int = 0
    """How many rows there are in all, where these are the first."""

    @property
    def told(self) -> str:
        """The note, and how much of all this is."""
        if not self.rows:
            return f"{self.note} None.".strip()
        return (
            f"{self.note} The first {len(self.rows)} of {self.of}.".strip() if self.of > len(self.rows) else self.note
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A title, figures, and sections."""

    title: str
    figures: Sequence[tuple[str, str]]
    sections: Sequence[Section]


_SPECIAL = re.compile(r"([\\`*_\[\]<>|&~#!])|(?<=www)\.|:(?=//)")
_TICKS = re.compile(r"`+")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", printable(text))


def _code(text: str) -> str:
    """A span of code, fenced by more ticks than are in it."""
    safe = printable(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(found) for found in _TICKS.findall(safe)), default=0))
    return f"{fence} {safe} {fence}" if "`" in safe else f"{fence}{safe}{fence}"


def markdown(page: Page) -> Iterator[str]:
    """The lines of the page in GitHub's Markdown."""
    yield f"# {_escaped(page.title)}"
    yield ""
    for name, value in page.figures:
        yield f"- {_escaped(name)}: {_escaped(value)}"
    for section in page.sections:
        yield ""
        yield f"## {_escaped(section.title)}"
        if section.told:
            yield ""
            yield _escaped(section.told)
        if section.rows:
            yield ""
            yield f"| {' | '.join(_escaped(head) for head, _ in section.heads)} |"
            yield f"|{'|'.join('---:' if kind == 'number' else '---' for _, kind in section.heads)}|"
            for row in section.rows:
                cells = (_markdown_cell(cell, kind) for cell, (_, kind) in zip(row, section.heads, strict=True))
                yield f"| {' | '.join(cells)} |"
        if section.command:
            yield ""
            yield f"All of it: {_code(section.command)}"


def _markdown_cell(cell: str, kind: Kind) -> str:
    return _code(cell) if kind == "ref" and cell else _escaped(cell)


_STYLE = """
:root { color-scheme: light dark; --line: #d8d8d8; --quiet: #5c5c5c; --ground: #fff; --text: #1c1c1c; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a3a3a; --quiet: #a8a8a8; --ground: #161616; --text: #e8e8e8; }
}
body { background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto;
  max-width: 78rem; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: .15rem 1.2rem; } dt { color: var(--quiet); }
dd { margin: 0; } p { color: var(--quiet); margin: .3rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 600; white-space: nowrap; } .number { text-align: right; }
.number, .instant { white-space: nowrap; }
code { font: .8rem ui-monospace, monospace; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } }
"""


def html(page: Page) -> Iterator[str]:
    """The lines of the page in HTML."""
    style = b64encode(sha256(_STYLE.encode()).digest()).decode()
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'\">"
    )
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_safe(page.title)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield f"<h1>{_safe(page.title)}</h1>"
    yield "<dl>"
    for name, value in page.figures:
        yield f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>"
    yield "</dl>"
    for section in page.sections:
        yield from _section(section)
    yield "</body>"
    yield "</html>"


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{_safe(section.title)}</h2>"
    if section.told:
        yield f"<p>{_safe(section.told)}</p>"
    if section.rows:
        yield '<div class="wide">'
        yield "<table>"
        yield _html_row("th", [(head, "text" if kind == "ref" else kind) for head, kind in section.heads])
        for row in section.rows:
            yield _html_row("td", [(cell, kind) for cell, (_, kind) in zip(row, section.heads, strict=True)])
        yield "</table>"
        yield "</div>"
    if section.command:
        yield f"<p>All of it: <code>{_safe(section.command)}</code></p>"


def _html_row(tag: str, cells: Sequence[tuple[str, Kind]]) -> str:
    return f"<tr>{''.join(_html_cell(tag, cell, kind) for cell, kind in cells)}</tr>"


def _html_cell(tag: str, cell: str, kind: Kind) -> str:
    if kind == "ref":
        return f"<{tag}><code>{_safe(cell)}</code></{tag}>"
    looks = "" if kind == "text" else f' class="{kind}"'
    return f"<{tag}{looks}>{_safe(cell)}</{tag}>"


def _safe(text: str) -> str:
    return escape(printable(text))
