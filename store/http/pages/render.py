"""From what a page says to HTML. Text is printable and escaped wherever it stands; nothing in it is ever markup."""

import re
from datetime import datetime
from functools import cache
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from store.http.pages.assets import assets
from store.instants import iso
from store.text import printable

_INSTANT = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z", re.ASCII)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("store.http.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {"instant": instant, "lines": lines, "dated": dated, "soft": soft}
    environment.globals |= {"static": lambda name: assets()[name].path}
    return environment


def instant(at: datetime) -> Markup:
    """`<time datetime="2026-08-22T12:00:00Z">2026-08-22 12:00</time>`."""
    told = iso(at)
    return Markup('<time datetime="{}">{}</time>').format(told, told[:16].replace("T", " "))


def lines(text: str) -> Markup:
    """A text of several lines, for `pre`."""
    return Markup("\n").join(escape(printable(line)) for line in text.expandtabs(4).splitlines())


def soft(name: str) -> Markup:
    """A name that may be broken after its slashes."""
    return escape(printable(name)).replace("/", Markup("/<wbr>"))


def dated(text: str) -> Markup:
    """The same with the instants in it marked as such."""
    return Markup(_INSTANT.sub(r'<time datetime="\g<0>">\g<0></time>', lines(text)))  # noqa: S704 - it is escaped


def page(template: str, status: int = 200, headers: dict[str, str] | None = None, **said: Any) -> Response:
    """A page."""
    html = _templates().get_template(template).render(**said)
    return Response(
        html.encode("utf-8", "replace"),
        status,
        {"X-DNS-Prefetch-Control": "off", **(headers or {})},
        media_type="text/html; charset=utf-8",
    )
