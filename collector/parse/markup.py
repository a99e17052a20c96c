"""Whether a page may be handed to the HTML parser, and whether all of it is there.

The parser is C code that no timeout interrupts: 1 MB of nested `<div>` keeps it busy for 97 seconds. This is one
linear look at the tags, in which nothing is built; it rather counts too much than too little.
"""

import re
from collections import Counter

from collector.errors import SourceChanged

BYTES = 4 * 2**20
DEPTH = 256
"""Elements open at once."""
WORK = 20_000_000
"""Sum over all tags of the elements open at each."""
ATTRIBUTES = 1000
"""Of one tag."""

_TAG = re.compile(r"<(?:(!--)|(/?)([a-z][^\s/>]*))")
_IN_TAG = re.compile(r"""=\s*(?:"[^"]*"|'[^']*')|>""")
_RAW = ("script", "style")
_VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
_CLOSED_BY_THE_NEXT = ("p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot")
_NOT_NESTED = frozenset({*_VOID, *_CLOSED_BY_THE_NEXT, "html", "head", "body"})


def require_sound(text: str, source: str) -> None:
    """Nothing, if the page can be parsed quickly and has its end.

    Raises: SourceChanged for a page that is too large or nested too deeply (`parse_limit`), that is no markup
        (`content_type`), or that ends before `</html>` or, where it is a mere fragment, inside a table (`truncated`).
    """
    start = text[:4096].lstrip()
    if not start.startswith("<"):
        there = f"there is {start[:60]!r}" if start else "the body is empty"
        raise SourceChanged(f"{source}: HTML wanted, {there}", code="content_type" if start else "empty")
    if len(text) > BYTES:
        raise SourceChanged(f"{source}: a page of {len(text)} characters, more than {BYTES}", code="parse_limit")
    opened, closed, tables = _scan(text.lower(), source)
    if opened and not closed:
        raise SourceChanged(f"{source}: the page ends before </html>", code="truncated")
    if tables and not opened:
        raise SourceChanged(f"{source}: the page ends inside a table", code="truncated")


def _scan(text: str, source: str) -> tuple[bool, bool, int]:
    """Whether `html` was opened and closed, and how many tables are still open at the end."""
    opened: Counter[str] = Counter()
    seen_open = seen_closed = False
    depth = work = position = 0
    while (tag := _TAG.search(text, position)) is not None:
        position = tag.end()
        comment, slash, name = tag.groups()
        if comment:
            position = _after_comment(text, position)
            continue
        if not slash:
            position = _after_tag(text, position, source)
        seen_open |= name == "html" and not slash
        seen_closed |= name == "html" and bool(slash)
        if slash and opened[name]:
            opened[name] -= 1
            depth -= 1
        elif not slash and name not in _NOT_NESTED and text[position - 2 : position] != "/>":
            opened[name] += 1
            depth += 1
        if not slash and name in _RAW and not opened["svg"] and not opened["math"]:
            position = _index(text, f"</{name}", position)
        work += depth
        if depth > DEPTH or work > WORK:
            raise SourceChanged(f"{source}: a page nested deeper than {DEPTH} elements", code="parse_limit")
    return seen_open, seen_closed, opened["table"]


def _after_comment(text: str, position: int) -> int:
    if text.startswith((">", "->"), position):
        return position
    return min(_index(text, "-->", position), _index(text, "--!>", position))


def _after_tag(text: str, position: int, source: str) -> int:
    """The end of an opening tag, whose quoted values may hold anything."""
    attributes = 0
    while (part := _IN_TAG.search(text, position)) is not None:
        attributes += 1 + len(text[position : part.start()].replace("/", " ").split())
        position = part.end()
        if attributes > ATTRIBUTES:
            raise SourceChanged(f"{source}: a tag with more than {ATTRIBUTES} attributes", code="parse_limit")
        if part[0] == ">":
            return position
    return len(text)


def _index(text: str, what: str, position: int) -> int:
    found = text.find(what, position)
    return len(text) if found < 0 else found
