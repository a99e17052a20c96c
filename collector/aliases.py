"""What the user has decided about names: a file of acts, of which the last one for a name counts.

It is strict YAML, a list with an entry for each act, and only ever added to:

    - {at: "2026-08-07T12:00:00Z", act: accept, provider: acme, model_id: gpt-oss-big, model: openai/gpt-oss-120b}
    - {at: "2026-08-09T08:00:00Z", act: reject, provider: acme, model_id: llama-lite, model: meta-llama/llama-3-8b}

`provider` is the canonical name, `model_id` the id as published, `model` the canonical id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from collector.config_values import Section, Wrong, choice, reads, word
from collector.errors import ConfigError
from collector.strict_yaml import Mistake, Node, NotYaml, plain, read_file, read_yaml
from store.export import file_put_in_place
from store.instants import iso
from store.text import one_line

Act = Literal["accept", "reject"]

_ACTS: tuple[Act, ...] = ("accept", "reject")
_HEAD = "# Decisions about names: `tokentape aliases` adds to this file. The last entry for a name counts.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An act of the user."""

    act: Act
    provider: str
    """Canonical."""
    model_id: str
    """As published."""
    model: str
    """Canonical id that the name was joined with, or was not to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """All acts of the user, as they stand."""

    accepted: Mapping[tuple[str, str], str] = field(default_factory=lambda: MappingProxyType({}))
    """(provider, model id as published) -> canonical model."""
    rejected: frozenset[Decision] = frozenset()
    """Not to be proposed again."""


NONE_DECIDED = Decisions()


def read_decisions(path: Path, mistakes: list[Mistake]) -> Decisions:
    """The decisions in a file; none where there is no such file yet. What is wrong with it is added to `mistakes`.

    Raises: ConfigError if it cannot be read, or is not YAML.
    """
    accepted: dict[tuple[str, str], str] = {}
    rejected: set[Decision] = set()
    for node in _entries(path, mistakes):
        one = _decision(node, mistakes)
        if one.act == "accept":
            accepted[one.provider, one.model_id] = one.model
            rejected.discard(_rejection(one))
        else:
            rejected.add(one)
            if accepted.get((one.provider, one.model_id)) == one.model:
                del accepted[one.provider, one.model_id]
    return Decisions(accepted=MappingProxyType(accepted), rejected=frozenset(rejected))


def record(path: Path, decision: Decision, at: datetime) -> None:
    """Add an act to the file, which is made where there is none; it is changed whole or not at all.

    Raises: ConfigError if the file is not what it should be, or cannot be written.
    """
    mistakes: list[Mistake] = []
    _entries(path, mistakes)
    if mistakes:
        raise ConfigError(f"{path} is not added to:", mistakes=[str(one) for one in mistakes])
    before = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    entry = {"at": iso(at), "act": decision.act, "provider": decision.provider}
    entry |= {"model_id": decision.model_id, "model": decision.model}
    line = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items())
    if not _reads_as(f"{{{line}}}", entry):
        raise ConfigError(f"{one_line(decision.model_id, 80)!r} has characters that cannot be written down")
    try:
        with file_put_in_place(path) as out:
            out.write(f"{before}{'' if before.endswith(chr(10)) else chr(10)}- {{{line}}}\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def decide(act: Act, provider: str, model_id: str, model: str) -> Decision:
    """A decision about a name, its provider under whatever name.

    Raises: ConfigError if `model` is not a canonical id.
    """
    from collector.identify import identify  # every command that has a configuration reads this module

    canonical = identify("", provider, model).model
    if model != canonical or "/" not in model:
        raise ConfigError(f"{one_line(model, 80)!r} is not a canonical id: it reads as {canonical!r}")
    return Decision(act=act, provider=identify("", provider, model_id).provider, model_id=model_id, model=model)


def _reads_as(written: str, entry: Mapping[str, str]) -> bool:
    """Whether a line of JSON is the same in YAML, as nearly every one is."""
    try:
        return plain(read_yaml(written, "", [])) == entry
    except (NotYaml, UnicodeError):
        return False


def _rejection(one: Decision) -> Decision:
    return Decision(act="reject", provider=one.provider, model_id=one.model_id, model=one.model)


def _entries(path: Path, mistakes: list[Mistake]) -> list[Node]:
    node = read_file(path, mistakes, missing_ok=True)
    if node.value == {}:
        return []
    if not isinstance(node.value, list):
        mistakes.append(Mistake(node.file, node.line, "must be a list of decisions"))
        return []
    return node.value


def _decision(node: Node, mistakes: list[Mistake]) -> Decision:
    section = Section(node, "", mistakes)
    section.need("at", word, "")
    one = Decision(
        act=cast("Act", section.need("act", choice(*_ACTS), "reject")),
        provider=section.need("provider", word, ""),
        model_id=section.need("model_id", _exactly, ""),
        model=section.need("model", word, ""),
    )
    section.end()
    return one


@reads({"type": "string"})
def _exactly(node: Node) -> str:
    if not isinstance(node.value, str):
        raise Wrong("must be a text")
    return node.value
