"""The reviewed data that names are read with: `providers.yaml`, `models.yaml` and `canon.yaml`, indexed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

_NOT_ALNUM = re.compile(r"[^a-z0-9]+")
_ACTIVE = re.compile(r"(?<=[0-9]b)-a[0-9.]+b(?=-|$)")
_WORD = re.compile(r"(?!v[0-9])[a-z]+|[0-9]+")

Words = tuple[str, ...]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """`providers.yaml`: who serves inference."""

    slugs: Mapping[str, str]
    """Any name, as a key -> canonical slug."""
    by_source: Mapping[tuple[str, str], str]
    """(source, name as a key) -> canonical slug, where a source means another provider by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """`models.yaml` and `canon.yaml`: what is served, and by whom it was made."""

    authors: Mapping[str, str]
    """Any name of an author, as a key -> canonical author."""
    umbrellas: frozenset[str]
    """Names, as keys, that say less than the family does."""
    vendor: re.Pattern[str]
    """An author's name and a hyphen, before the beginning of a family."""
    families: Mapping[str, str]
    family: re.Pattern[str]
    """The beginning of a name that tells its author (`families`)."""
    speeds: re.Pattern[str]
    """Models whose speeds are the host's."""
    snapshots: frozenset[str]
    """Dated names that are models of their own beside the undated one."""
    known: frozenset[tuple[str, str]]
    """(author, slug) of the canon."""
    beginnings: frozenset[tuple[str, str]]
    """(author, what some of the author's slugs begin with, short of a hyphen)."""
    vocabulary: Mapping[str, frozenset[str]]
    """Author -> the words in the names of its models."""
    aliases: Mapping[tuple[str, str], tuple[str, str]]
    """Reviewed (author, name) -> (author, slug)."""
    alike: Mapping[tuple[str, Words], tuple[str, str]]
    """(author, letters and numbers of a name of the canon, of an alias, or of a name short of its active parameters)
    -> (author, slug); only where it is one."""
    by_words: Mapping[Words, tuple[str, str]]
    """Letters and numbers -> (author, slug), where only one author has such a name."""
    at: Mapping[tuple[str, str], str]
    """(provider, name) -> what that provider means by it."""
    moving: Mapping[str, str]
    """Name without author whose model is changed from time to time -> the name that it keeps on the tape."""
    previews: frozenset[tuple[str, str]]
    """(author, name) that hosts give to the preview of that name."""
    tuned_at: frozenset[str]
    """Providers that sell no base models and leave `-instruct` and the like out of names."""
    shops: Mapping[str, str]
    """Provider -> the author whose own shop it is, where their names differ."""


def key(name: str) -> str:
    """What names of providers and authors are compared by."""
    return _NOT_ALNUM.sub("", name.lower())


def words(name: str) -> Words:
    """Letters and numbers of a name in their order, but for a `v` before a number.

    The same for `qwen2.5-7b` and `qwen-2-5-7b`, or `deepseek-v4` and `deepseek-4`; another for `qwen-25-7b`.
    """
    return tuple(_WORD.findall(name))


@cache
def providers() -> Providers:
    """Who serves inference."""
    body = _load("providers.yaml")
    return Providers(
        slugs={key(name): slug for slug, others in body["providers"].items() for name in (slug, *others)},
        by_source={
            (source, key(name)): slug for source, own in body["by_source"].items() for name, slug in own.items()
        },
    )


@cache
def models() -> Models:
    """What is served."""
    body, canon = _load("models.yaml"), _load("canon.yaml")
    authors = {author: author for author in canon}
    authors |= {name: author for author, others in body["authors"].items() for name in (author, *others)}
    family = _beginning(name for names in body["families"].values() for name in names)
    vendors = sorted((name.lower() for name in (*authors, *body["umbrellas"])), key=len, reverse=True)
    known = frozenset((author, slug) for author, slugs in canon.items() for slug in slugs)
    aliases = {
        _pair(name if "/" in name else f"{_pair(canonical)[0]}/{name}"): _pair(canonical)
        for canonical, names in body["aliases"].items()
        for name in names
    }
    for date, by_author in body["snapshots"].items():
        aliases |= {(author, f"{name}-{date}"): (author, name) for author, names in by_author.items() for name in names}
    vocabulary = defaultdict[str, set[str]](set)
    for author, slug in known:
        vocabulary[author].update(words(slug))
    spelt = {model: model for model in known} | aliases
    alike = _only(
        ((author, words(spelling)), model)
        for (author, name), model in spelt.items()
        for spelling in (name, _ACTIVE.sub("", name))
    )
    return Models(
        authors={key(name): author for name, author in authors.items()},
        umbrellas=frozenset(map(key, body["umbrellas"])),
        vendor=re.compile(f"({'|'.join(map(re.escape, vendors))})-(?=(?:{family.pattern}))"),
        families={name.rstrip("*"): author for author, names in body["families"].items() for name in names},
        family=family,
        speeds=re.compile(f"(?!(?:{'|'.join(body['speed_models'])})$)(?:{_beginning(body['speeds']).pattern})"),
        snapshots=frozenset(body["separate_snapshots"]),
        known=known,
        beginnings=frozenset(
            (author, slug[: hyphen.start()]) for author, slug in known for hyphen in re.finditer("-", slug)
        ),
        vocabulary={author: frozenset(found) for author, found in vocabulary.items()},
        aliases=aliases,
        alike=alike,
        by_words=_only((found, model) for (_, found), model in alike.items()),
        at={(provider, at["name"]): at["model"] for at in body["at"] for provider in at["providers"]},
        moving={name: f"~{author}/{name}" for author, names in body["moving"].items() for name in names},
        previews=frozenset((author, name) for author, names in body["previews"].items() for name in names),
        tuned_at=frozenset(body["tuned_at"]),
        shops=body["shops"],
    )


def _pair(name: str) -> tuple[str, str]:
    """(author, slug)"""
    author, _, slug = name.partition("/")
    return author, slug


def _only(pairs: Iterable[tuple[K, V]]) -> dict[K, V]:
    """Keys that have one value."""
    found = defaultdict[K, set[V]](set)
    for name, value in pairs:
        found[name].add(value)
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def _load(name: str) -> dict[str, Any]:
    return dict(yaml.load((Path(__file__).parent / name).read_bytes(), Loader=yaml.CSafeLoader))


def _beginning(names: Iterable[str]) -> re.Pattern[str]:
    """Matches the longest of `names` that a text begins with; one without `*` only as a whole word."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(re.escape(n[:-1]) if n[-1] == "*" else f"{re.escape(n)}(?=-|$)" for n in longest_first))
