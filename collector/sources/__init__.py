"""Where the parser of a source is: a family of `collector.parse`, or a module of this package."""

import importlib
import pkgutil
from functools import cache
from typing import cast

from collector.contract import Parser, SourceSpec

FAMILIES = ("html_table", "json_list", "markdown_table", "openrouter_format")
"""Modules of `collector.parse` that read what configuration describes."""
TABLES = ("html_table", "markdown_table")
"""Those of them that read pages."""


@cache
def parsers() -> tuple[str, ...]:
    """All names that `parser:` may have."""
    return (*FAMILIES, *sorted(module.name for module in pkgutil.iter_modules(__path__)))


def parser_of(spec: SourceSpec) -> Parser:
    """The module that reads the documents of a source.

    Raises: ValueError if there is none of that name; whatever a name says, only what lies here is imported.
    """
    if spec.parser not in parsers():
        raise ValueError(f"no parser {spec.parser!r}")
    package = "collector.parse" if spec.parser in FAMILIES else __name__
    return cast("Parser", importlib.import_module(f"{package}.{spec.parser}"))
