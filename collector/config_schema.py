"""The JSON Schema of a configuration, for editors: what the code that reads one asks for, noted down.

A configuration is mostly a part of one, merged over the packaged file. So nothing is required of an entry, but of one
that names its parser, and no shape: that is a whole one.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from collector.config import configuration
from collector.config_source import FAMILY_NEEDS, JSON_ONLY, TABLES_ONLY
from collector.config_values import Reader, Schema, Section
from collector.sources import FAMILIES, TABLES
from collector.strict_yaml import Node

T = TypeVar("T")
D = TypeVar("D")

_WHOLE: Schema = {"required": ["parser"], "not": {"required": ["shape"]}}
"""An entry that gets nothing from elsewhere."""


class Outline(Section):
    """A section that notes what it is asked for; every key of it is missing."""

    def __init__(self) -> None:
        super().__init__(Node({}, "", 0), "", [])
        self._keys: dict[str, Schema | Outline] = {}
        self._required: list[str] = []

    def take(self, key: str, read: Reader[T], default: D) -> T | D:
        """The default; what `read` takes is noted."""
        self._keys[key] = read.schema
        return default

    def need(self, key: str, read: Reader[T], default: D) -> T | D:
        """As `take`, of a key that must be there."""
        self._required.append(key)
        return self.take(key, read, default)

    def section(self, key: str) -> Section:
        """A mapping of its own."""
        self._keys[key] = inner = Outline()
        return inner

    def items(self, key: str) -> Iterator[Section]:
        """A single entry, which speaks for all."""
        inner = Outline()
        yield inner
        self._keys[key] = {"type": "array", "items": inner.schema()}

    def sections(self, key: str, read: Reader[str]) -> Iterator[tuple[str, Section]]:
        """An entry under each name that there can be; a single one where there is no list of them."""
        entries = {name: Outline() for name in read.schema.get("enum", ("any",))}
        yield from entries.items()
        inner = {name: entry.schema() for name, entry in entries.items()}
        rest = {"propertyNames": read.schema, "additionalProperties": inner["any"]} if "any" in inner else {}
        self._keys[key] = {"type": "object", **(rest or _closed(inner))}

    def each(self, key: str, read: Reader[T], names: Iterable[str] | None = None) -> dict[str, T]:
        """No values; of free names, what `read` takes is noted for all."""
        if names is not None:
            return super().each(key, read, names)
        self._keys[key] = {"type": "object", "additionalProperties": read.schema}
        return {}

    def schema(self) -> dict[str, Any]:
        """What has been noted."""
        keys = {key: found.schema() if isinstance(found, Outline) else found for key, found in self._keys.items()}
        required = {"required": self._required} if self._required else {}
        return {"type": "object", **_closed(keys), **required}


def config_schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) of a configuration file."""
    top = Outline()
    configuration(top, Path(), {}, [])
    whole = top.schema()
    properties = whole["properties"]
    source = properties["sources"]["additionalProperties"]
    of_all = {"if": _WHOLE, "then": {"required": [*source.pop("required"), "expect"]}}
    named = {"$ref": "#/$defs/source"}
    properties["shapes"] = {"type": "object", "additionalProperties": named}
    properties["sources"]["additionalProperties"] = {"allOf": [named, of_all, *_of_families()]}
    repeated = _repeated(source)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of tokentape",
        **whole,
        "$defs": {
            "source": _written(source, repeated),
            **{name: _written(json.loads(text), repeated, top=False) for text, name in repeated.items()},
        },
    }


def _of_families() -> Iterator[Schema]:
    """What a family cannot do without, and what is not for it."""
    lists = [family for family in FAMILIES if family not in TABLES]
    needs = [{"anyOf": [{"required": [key.partition(".")[0]]} for key in keys]} for keys in FAMILY_NEEDS]
    yield _if_parser(FAMILIES, {"allOf": needs})
    yield _if_parser(TABLES, {"properties": dict.fromkeys(JSON_ONLY, False)})
    yield _if_parser(lists, {"properties": dict.fromkeys(TABLES_ONLY, False)})


def _if_parser(names: Iterable[str], then: Schema) -> Schema:
    return {"if": {**_WHOLE, "properties": {"parser": {"enum": [*names]}}}, "then": then}


def _closed(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {"properties": dict(keys), "additionalProperties": False}


def _repeated(tree: Schema) -> dict[str, str]:
    """The mappings that stand in a schema several times, as JSON, and a name for each: the first key it stands at."""
    found = [(json.dumps(one), name) for name, one in _mappings(tree, "")]
    counts = Counter(text for text, _ in found)
    return {text: name for text, name in reversed(found) if counts[text] > 1}


def _mappings(tree: Any, name: str) -> Iterator[tuple[str, Schema]]:
    """Every mapping with keys of its own below a schema, and the key it stands at."""
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        inner = name if key in ("properties", "items") else str(key)
        if isinstance(item, dict) and "additionalProperties" in item and "properties" in item:
            yield inner, item
        yield from _mappings(item, inner)


def _written(tree: Any, repeated: Mapping[str, str], *, top: bool = True) -> Any:
    """A schema that refers to what is repeated in it."""
    if isinstance(tree, list):
        return [_written(item, repeated) for item in tree]
    if not isinstance(tree, dict):
        return tree
    name = repeated.get(json.dumps(tree)) if top else None
    return {"$ref": f"#/$defs/{name}"} if name else {key: _written(item, repeated) for key, item in tree.items()}
