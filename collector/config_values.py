"""Values of config.yaml: each reader turns one text into what it must be, or says what is wrong with it.

A reader also says in JSON Schema what it takes, for editors (`collector.config_schema`). There a value is what other
readers of YAML make of it (`3` a number, `true` a truth value), and less can be said: no span of time is too long.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from collector.parse.amounts import NotAnAmount, read_amount
from collector.strict_yaml import Mistake, Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")

_SPANS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
_NO_WEB = frozenset(
    {
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109),
        *(110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526),
        *(530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659),
        *(4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
        *(1433, 1521, 2375, 2379, 3306, 3389, 5432, 5900, 6379, 9042, 9092, 9200, 11211, 27017),
    }
)
"""Ports of other services, which an HTTP request could reach: those that browsers refuse
(https://fetch.spec.whatwg.org/#port-blocking), and those of databases and the like."""
_KEYS = re.compile(r"(?:^|_)(?:key|apikey|token|secret|password|passwd|pwd|auth|authorization|sig|signature)$")
"""Names of parameters that hold a key."""
SPAN = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)"
"""A span of time, as a regular expression."""
_SIZES = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Wrong(ValueError):
    """What a value should have been."""


Schema = Mapping[str, Any]
"""A JSON Schema, or a part of one."""


@dataclass(frozen=True, slots=True)
class Reader(Generic[T_co]):
    """A function that reads a value, and what it takes."""

    read: Callable[[Node], T_co]
    schema: Schema

    def __call__(self, node: Node) -> T_co:
        """Raises: Wrong."""
        return self.read(node)


def reads(schema: Schema) -> Callable[[Callable[[Node], T]], Reader[T]]:
    """Makes a reader of a function."""
    return lambda read: Reader(read, schema)


class Section:
    """A mapping whose keys are taken one by one; what is left at the end is unknown."""

    def __init__(self, node: Node, path: str, mistakes: list[Mistake]) -> None:
        self._node = node
        self._path = path
        self._mistakes = mistakes
        self._known: list[str] = []
        self._all: Mapping[str, Node] = node.value if isinstance(node.value, Mapping) else {}
        self._left = dict(self._all)
        if not isinstance(node.value, Mapping) and node.value != "":
            self.wrong("must be a mapping")

    def take(self, key: str, read: Reader[T], default: D) -> T | D:
        """The value of a key as `read` understands it; `default` where it is missing or wrong."""
        self._known.append(key)
        node = self._left.pop(key, None)
        if node is None:
            return default
        try:
            return read(node)
        except Wrong as wrong:
            self.wrong(str(wrong), key)
            return default

    def need(self, key: str, read: Reader[T], default: D) -> T | D:
        """As `take`, of a key that must be there."""
        if key not in self._left:
            self.wrong("is missing", key)
        return self.take(key, read, default)

    def sections(self, key: str, read: Reader[str]) -> Iterator[tuple[str, "Section"]]:
        """The entries of a mapping of mappings, under names that `read` understands."""
        for name, node in self.entries(key):
            entry = Section(node, f"{self._dotted(key)}.{name}", self._mistakes)
            try:
                read(Node(name, node.file, node.line))
            except Wrong as wrong:
                entry.wrong(str(wrong))
            yield name, entry

    def items(self, key: str) -> Iterator["Section"]:
        """The entries of a list of mappings."""
        for number, node in enumerate(self.take(key, _list, ())):
            yield Section(node, f"{self._dotted(key)}[{number}]", self._mistakes)

    def section(self, key: str) -> "Section":
        """A mapping of its own; empty where it is missing."""
        node = self.take(key, anything, Node("", self._node.file, self._node.line))
        return Section(node, self._dotted(key), self._mistakes)

    def entries(self, key: str) -> Iterable[tuple[str, Node]]:
        """The entries of a mapping."""
        return self.take(key, _mapping, {}).items()

    def each(self, key: str, read: Reader[T], names: Iterable[str] | None = None) -> dict[str, T]:
        """A mapping of values of one kind, with names from a list."""
        section = self.section(key)
        read_ones = {name: section.take(name, read, None) for name in names or section.keys()}
        section.end()
        return {name: value for name, value in read_ones.items() if value is not None}

    def keys(self) -> list[str]:
        """The keys that are there and have not been taken."""
        return list(self._left)

    def is_of_this_file(self, key: str) -> bool:
        """Whether a key stands in the file of this entry, and not in the one below it."""
        return key in self._all and self._all[key].file == self._node.file

    def wrong(self, what: str, key: str = "") -> None:
        """Report a mistake, of a key where one is named."""
        node = self._all.get(key, self._node)
        self._mistakes.append(Mistake(node.file, node.line, f"{self._dotted(key)}: {what}"))

    def end(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self._left:
            self.wrong(f"unknown key{perhaps(key, self._known)}", key)

    def _dotted(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part) or "configuration"


def perhaps(name: str, known: Iterable[str]) -> str:
    """`, perhaps attempts`, where a known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", perhaps {near[0]}" if near else ""


@reads({})
def anything(node: Node) -> Node:
    """Whatever stands there."""
    return node


@reads({"type": "array"})
def _list(node: Node) -> tuple[Node, ...]:
    if not isinstance(node.value, list):
        raise Wrong("must be a list")
    return tuple(node.value)


@reads({"type": "object"})
def _mapping(node: Node) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise Wrong("must be a mapping")
    return node.value


_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}


@reads(_SCALAR)
def text(node: Node) -> str:
    """Any text, which may be empty."""
    if not isinstance(node.value, str):
        raise Wrong("must be a text")
    return node.value.strip()


@reads({"type": ["string", "number", "boolean"], "pattern": r"\S"})
def word(node: Node) -> str:
    """A text that is not empty."""
    value = text(node)
    if not value:
        raise Wrong("is empty")
    return value


@reads({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]})
def texts(node: Node) -> tuple[str, ...]:
    """One text, or a list of them."""
    if isinstance(node.value, list):
        return tuple(text(item) for item in node.value)
    return (text(node),)


SHOWN = 12
"""Words that a mistake names, of those that would have been right."""


def choice(*allowed: str) -> Reader[str]:
    """A reader of one of some words."""

    @reads({"enum": list(allowed)})
    def read(node: Node) -> str:
        value = word(node)
        if value not in allowed:
            more = f" and {len(allowed) - SHOWN} more" if len(allowed) > SHOWN else ""
            raise Wrong(f"{value!r} is not one of {', '.join(allowed[:SHOWN])}{more}{perhaps(value, allowed)}")
        return value

    return read


@reads({"enum": [True, False, "true", "false"]})
def truth(node: Node) -> bool:
    """`true` or `false`."""
    return choice("true", "false")(node) == "true"


def whole(least: int = 0, most: int = 2**53) -> Reader[int]:
    """A reader of whole numbers within bounds."""

    @reads({"type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^[0-9]{1,16}$"})
    def read(node: Node) -> int:
        value = word(node)
        if not (value.isascii() and value.isdigit() and len(value) < 17 and least <= int(value) <= most):
            raise Wrong(f"{value!r} is not a whole number from {least} to {most}")
        return int(value)

    return read


def seconds(least: str = "1s", most: str = "366d") -> Reader[Decimal]:
    """A reader of spans of time such as `45s`, `30m`, `12h` or `1d`, in seconds."""

    @reads({"type": "string", "pattern": f"^{SPAN}$"})
    def read(node: Node) -> Decimal:
        value = word(node)
        span = _span(value)
        if span is None:
            raise Wrong(f"{value!r} is not a span of time such as 45s, 30m, 12h or 1d")
        if not (_span(least) or 0) <= span <= (_span(most) or 0):
            raise Wrong(f"{value} is not from {least} to {most}")
        return span

    return read


def _span(value: str) -> Decimal | None:
    match = re.fullmatch(SPAN, value, re.ASCII)
    return Decimal(match[1]) * _SPANS[match[2]] if match else None


_SIZE = r"([0-9]{1,12})\s?(KiB|MiB|GiB|)"


@reads({"type": ["integer", "string"], "minimum": 1, "pattern": f"^{_SIZE}$"})
def size(node: Node) -> int:
    """Bytes, as `16MiB` or a plain number."""
    value = word(node)
    match = re.fullmatch(_SIZE, value, re.ASCII)
    if match is None or not int(match[1]):
        raise Wrong(f"{value!r} is not a size such as 16MiB")
    return int(match[1]) * _SIZES[match[2]]


_SHARE = r"[0-9]{1,6}/[1-9][0-9]{0,5}|0?\.[0-9]{1,6}|[01]"


@reads({"type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": f"^(?:{_SHARE})$"})
def share(node: Node) -> Fraction:
    """A part of the whole, as `1/3` or `0.25`."""
    value = word(node)
    if re.fullmatch(_SHARE, value, re.ASCII) is None or Fraction(value) > 1:
        raise Wrong(f"{value!r} is not a share such as 1/3")
    return Fraction(value)


@reads({"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": r"^[0-9.]+(?:[eE]-?[0-9]{1,2})?$"})
def grid(node: Node) -> int:
    """A step of amounts in USD per 1M tokens (`1e-6`), in nano units."""
    try:
        steps = read_amount(word(node)) * 10**9
    except NotAnAmount as error:
        raise Wrong(str(error)) from None
    if steps < 1 or steps != int(steps):
        raise Wrong(f"{node.value} is not a multiple of 1e-9")
    return int(steps)


@reads({"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": r"^[0-9.]+(?:[eE]-?[0-9]{1,2})?$"})
def positive(node: Node) -> str:
    """A number above zero, as it is written."""
    try:
        if read_amount(word(node)) > 0:
            return word(node)
    except NotAnAmount as error:
        raise Wrong(str(error)) from None
    raise Wrong(f"{word(node)!r} is not above 0")


@reads({"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
def day(node: Node) -> date:
    """A day such as 2026-08-01."""
    value = word(node)
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise Wrong(f"{value!r} is not a day such as 2026-08-01") from None


_PACKAGE = r"package:[a-z0-9_-]+"
_ADDRESS: Schema = {"type": "string", "pattern": r"^https?://[!-\[\]-~]+$"}


@reads({"type": "string", "pattern": rf"^{_PACKAGE}$|{_ADDRESS['pattern']}"})
def url(node: Node) -> str:
    """An `https` or `http` address with a host, or `package:NAME`."""
    value = word(node)
    if re.fullmatch(_PACKAGE, value, re.ASCII):
        return value
    return address(node)


@reads({"anyOf": [_ADDRESS, {"type": "array", "items": _ADDRESS}]})
def addresses(node: Node) -> tuple[str, ...]:
    """One address as `address` reads it, or a list of them."""
    return tuple(map(address, node.value)) if isinstance(node.value, list) else (address(node),)


@reads(_ADDRESS)
def address(node: Node) -> str:
    """An `https` or `http` address with a host and nothing hidden in it."""
    value = word(node)
    # Before an @ or behind these may stand a password, or a key.
    shown = "the URL" if re.search("[@?#]", value) else repr(value)
    if re.search(r"[\x00-\x20\x7f-\U0010ffff\\]", value):
        raise Wrong(f"{shown} has characters that no URL has")
    try:
        parts = urlsplit(value)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:  # whose words repeat what may be a password
        raise Wrong(f"{shown} is not a URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not port_is_number:
        raise Wrong(f"{shown} is not an https:// or http:// URL")
    if parts.port in _NO_WEB:
        raise Wrong(f"port {parts.port} is that of another service than HTTP")
    if parts.username is not None or parts.fragment:
        raise Wrong(f"{shown} has a user name or a fragment, which a source has not")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _KEYS.search(name.lower().replace("-", "_")):
            raise Wrong(f"{shown} has a parameter {name!r}: a key is named by `key_env`, and sent in a header")
    return value
