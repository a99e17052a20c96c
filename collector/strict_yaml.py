"""The one reader of YAML: scalars stay text, and every node knows the line it stands on.

The standard loaders read `NO` as false, `1_000` as 1000 and `1e-6` as a text, let the last of two equal keys win and
follow aliases. Here a value is what is written; who asks for it says what it must be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import yaml

from collector.errors import ConfigError

LIMIT = 2**20
DEPTH = 16

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotYaml(ValueError):
    """A text that is not one document of mappings, lists and texts."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


class Mistake(NamedTuple):
    """Something wrong, and where; in the order of the files."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it is written."""

    value: "str | list[Node] | dict[str, Node]"
    file: str
    line: int
    """From 1; of a mapping's value, the line of its key."""


def read_file(path: Path, mistakes: list[Mistake], *, missing_ok: bool = False) -> Node:
    """The document of a file; with `missing_ok`, an empty one where there is no file.

    Raises: ConfigError, naming file and line, for what cannot be read or is not plain YAML.
    """
    try:
        with path.open("rb") as file:
            body = file.read(LIMIT + 1)
        return read_yaml(body.decode("utf-8-sig"), str(path), mistakes)
    except OSError as error:
        if missing_ok and isinstance(error, FileNotFoundError):
            return Node({}, str(path), 1)
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except NotYaml as error:
        raise ConfigError(f"{path}:{error.line}: {error}") from None


def read_yaml(text: str, file: str, mistakes: list[Mistake]) -> Node:
    """The document; a key that stands twice is added to `mistakes` (the first one counts).

    Raises: NotYaml for anything that is not plain YAML: a syntax error, an anchor, alias or tag, a second document,
        more than 1 MiB or more than 16 levels.
    """
    if len(text) > LIMIT:
        raise NotYaml(1, f"longer than {LIMIT} characters")
    try:
        events = yaml.parse(text, Loader=_Loader)
        body = iter([event for event in events if not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent)])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise NotYaml(mark.line + 1 if mark else 1, f"not YAML: {getattr(error, 'problem', None) or error}") from None
    if next(body, None) is None:
        return Node({}, file, 1)
    node = _node(next(body), body, file, mistakes, 0)
    next(body)
    if next(body, None) is not None:
        raise NotYaml(node.line, "more than one document")
    return node


def _node(event: yaml.Event, rest: Iterator[yaml.Event], file: str, mistakes: list[Mistake], depth: int) -> Node:
    line = event.start_mark.line + 1 if event.start_mark else 1
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise NotYaml(line, "anchors and aliases are not allowed")
    if getattr(event, "tag", None) is not None:
        raise NotYaml(line, "tags are not allowed")
    if depth > DEPTH:
        raise NotYaml(line, f"more than {DEPTH} levels")
    if isinstance(event, yaml.ScalarEvent):
        return Node(event.value, file, line)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := next(rest), yaml.SequenceEndEvent):
            items.append(_node(item, rest, file, mistakes, depth + 1))
        return Node(items, file, line)
    pairs: dict[str, Node] = {}
    while not isinstance(key := next(rest), yaml.MappingEndEvent):
        name = _node(key, rest, file, mistakes, depth + 1)
        value = _node(next(rest), rest, file, mistakes, depth + 1)
        if not isinstance(name.value, str):
            raise NotYaml(name.line, "a key must be a text")
        if name.value in pairs:
            what = f"{name.value}: stands twice, first in line {pairs[name.value].line}"
            mistakes.append(Mistake(file, name.line, what))
        pairs.setdefault(name.value, Node(value.value, file, name.line))
    return Node(pairs, file, line)


def merged(base: Node, over: Node, levels: int) -> Node:
    """`over` on top of `base`: mappings are merged key by key, `levels` deep; anything else is replaced."""
    if not isinstance(base.value, Mapping) or not isinstance(over.value, Mapping) or not levels:
        return over
    keys = dict.fromkeys(chain(base.value, over.value))
    both = {
        key: merged(base.value[key], over.value[key], levels - 1)
        if key in base.value and key in over.value
        else over.value.get(key) or base.value[key]
        for key in keys
    }
    return Node(both, over.file, over.line)


def plain(node: Node) -> object:
    """The value without its places: texts, lists and mappings."""
    if isinstance(node.value, Mapping):
        return {key: plain(item) for key, item in node.value.items()}
    if isinstance(node.value, Sequence) and not isinstance(node.value, str):
        return [plain(item) for item in node.value]
    return node.value
