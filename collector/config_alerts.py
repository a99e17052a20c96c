"""The section `alerts` of config.yaml: rules, each of which says of what, and where, somebody is to be told."""

import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast, get_args

from collector.config_values import (
    SPAN,
    Reader,
    Schema,
    Section,
    Wrong,
    choice,
    grid,
    reads,
    seconds,
    truth,
    whole,
    word,
)
from collector.strict_yaml import Node
from store.alert_rules import KEYS, Direction, Kind, Rule
from store.units import METERS

_NAME = r"[a-z0-9][a-z0-9_-]{0,59}"
_VARIABLE = r"[A-Z][A-Z0-9_]{0,99}"
_PERCENT = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_NEEDED: dict[str, tuple[str, ...]] = {"below": ("meter", "value"), "cheapest": ("model",)}
"""Keys without which a kind says nothing."""


def rules(top: Section) -> tuple[Rule, ...]:
    """The rules of a configuration, in the order of the file."""
    found: dict[str, Rule] = {}
    for section in top.items("alerts"):
        rule = _rule(section)
        if rule.name in found:
            section.wrong(f"{rule.name!r} is the name of another rule", "name")
        found[rule.name] = rule
    return tuple(found.values())


def _rule(section: Section) -> Rule:
    kind = cast("Kind", section.need("when", choice(*get_args(Kind)), "price"))
    unwanted = {key for keys in KEYS.values() for key in keys} - set(KEYS[kind])
    for key in sorted(unwanted & set(section.keys())):
        section.wrong(f"is not for {kind!r}, which takes {', '.join(KEYS[kind])}", key)
    for key in _NEEDED.get(kind, ()):
        if key not in section.keys():  # noqa: SIM118 - a method of ours
            section.wrong(f"is missing, of a rule `when: {kind}`", key)
    default = Rule(name="", when=kind, channels=())
    rule = Rule(
        name=section.need("name", _name, ""),
        when=kind,
        channels=section.need("url_env", _several(_variable), ()),
        model=section.take("model", _patterns, ()),
        provider=section.take("provider", _patterns, ()),
        endpoint=section.take("endpoint", _patterns, ()),
        source=section.take("source", _patterns, ()),
        meter=section.take("meter", choice(*METERS), None),
        percent=section.take("percent", _percent, None),
        direction=cast("Direction", section.take("direction", choice(*get_args(Direction)), default.direction)),
        value=section.take("value", grid, None),
        input=section.take("input", whole(0, 10**9), default.input),
        output=section.take("output", whole(0, 10**9), default.output),
        cached=section.take("cached", whole(0, 10**9), default.cached),
        times=section.take("times", whole(1, 1000), default.times),
        after_s=section.take("after", _after, None),
        corrections=section.take("corrections", truth, default.corrections),
    )
    if rule.cached > rule.input:
        section.wrong("is more than `input`, of which it is a part", "cached")
    section.end()
    return rule


@reads({"type": "string", "pattern": f"^{_NAME}$"})
def _name(node: Node) -> str:
    value = word(node)
    if re.fullmatch(_NAME, value, re.ASCII) is None:
        raise Wrong(f"{value!r} is not a name of small letters, digits, - and _")
    return value


@reads({"type": "string", "pattern": f"^{_VARIABLE}$"})
def _variable(node: Node) -> str:
    value = word(node)
    if re.fullmatch(_VARIABLE, value, re.ASCII) is None:  # which may be an address: it is not told
        raise Wrong("names a variable of the environment that holds the address, such as TOKENTAPE_ALERT_OPS")
    return value


def _several(read: Reader[str]) -> Reader[tuple[str, ...]]:
    """A reader of one such value, or of a list of them."""
    one_or_more: Schema = {"anyOf": [read.schema, {"type": "array", "items": read.schema, "minItems": 1}]}

    @reads(one_or_more)
    def read_all(node: Node) -> tuple[str, ...]:
        given: Iterable[Any] = node.value if isinstance(node.value, list) else [node]
        values = tuple(dict.fromkeys(read(one) for one in given))
        if not values:
            raise Wrong("is empty")
        return values

    return read_all


_patterns = _several(word)


@reads({"type": ["number", "string"], "minimum": 0, "pattern": f"^{_PERCENT}$"})
def _percent(node: Node) -> Fraction:
    """A number of percent, as `5` or `0.5`."""
    value = word(node)
    if re.fullmatch(_PERCENT, value, re.ASCII) is None:
        raise Wrong(f"{value!r} is not a number of percent such as 5")
    return Fraction(Decimal(value))


@reads({"type": "string", "pattern": f"^{SPAN}$"})
def _after(node: Node) -> int:
    """A span of time, in seconds."""
    return int(seconds("1m", "366d")(node))
