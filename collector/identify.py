"""Names -> canonical provider, model and variant.

Rules, then reviewed data (`providers.yaml`, `models.yaml`), then refusal: what neither reaches keeps its published name
and joins nothing. Nearness never counts: `gpt-4o-mini` is not `gpt-4o`, nor is `-latest` any dated model.

OpenRouter's own ids are the canon and stay as they are. Any other model id is read in this order:

1. Made safe: lower case, `[a-z0-9._~:@/-]`, no longer than makes 200 characters in the end. Where that loses anything,
   a digest of the original is appended: two names never become one, nor a disguised name the name it imitates.
2. Path: `accounts/fireworks/models/`, `@cf/` and the provider's own name in front go, a region becomes variant; then
   comes the author, or Bedrock's `eu.anthropic.` form of it.
3. Endings: `:free` and the like, a quantization, `-tee`, a host's `-turbo` become variant.
4. Spelling: `Meta-Llama-3.1-8B` and `llama3-1-8b` are `llama-3.1-8b`, Fireworks' `kimi-k2p6` is `kimi-k2.6`,
   `claude-4-5-sonnet-20250929` is `claude-sonnet-4.5`.
5. Author: as published; else the family's; else the provider's name stands in its place.
6. Aliases.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from store.records import Identity

_PROVIDER_LENGTH, _NAME_LENGTH, _PART_LENGTH, _TAG_PARTS = 50, 120, 50, 8
_UNSAFE = re.compile(r"[^a-z0-9._~:@/-]")
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")
_QUANTIZATION = re.compile(r"(?:fp|bf|int|nvfp|mxfp)[0-9]{1,2}(?:-dynamic)?|awq|gptq|gguf|[468]bit")
_REGION = re.compile(
    r"global|global-standard|regional|us|us-gov|eu|europe|uk|au|jp|ca|apac|swedencentral"
    r"|(?:us|eu|ap|ca|sa|me|af|il|mx|asia|europe)-(?:gov-)?(?:north|south|east|west|central){1,2}-?[0-9]"
)
_TERM = re.compile(r"[0-9]+-month-commitment|pro|tee")
_COLON = re.compile(r"(?::(?:free|batch|thinking|extended|beta|nitro|floor|online|exacto|flex|priority|fast))+$")
_ENDING = re.compile(rf"-(tee|maas|free|batch|{_QUANTIZATION.pattern})$")
_SPEED = re.compile(r"-(turbo|fast|tput|flex|priority|highspeed|high-throughput|ultraspeed|lightning)$")

_LITELLM_KIND = re.compile(r"-[a-z0-9_-]*[_-]models$")  # `vertex_ai-anthropic_models`
_PATH = re.compile(
    r"(?:^|/)(?:(?:workers-ai/)?@[ch]f|accounts/[^/]+/(?:models|routers)|publishers|models)/|/[^/]+/models/|^hf:"
)
_DOTTED = re.compile(rf"^(?:({_REGION.pattern})\.)?([a-z0-9]+)(?:\.|--)(.+)$")
_BEDROCK_VERSION = re.compile(r"-v0:([0-9])$|(-v1|-1)?:0$")
_SIZE = re.compile(r":([0-9.]+[bt])$")
_POINT = re.compile(r"(?<=[0-9])_(?=[0-9])")
_FIREWORKS_POINT = re.compile(r"(?<=[0-9])p(?=[0-9])")
_STEM = r"^(gpt-|gemini-|glm-|grok-|llama-|qwen|kimi-k|deepseek-v|minimax-m|mimo-v|step-|aion-|claude-(?:[a-z]{3,}-?)?)"
_SPELLING = (
    (re.compile(r"^llama-?v?(?=[0-9])"), "llama-"),
    (re.compile(r"^qwen-(?=[23](?:[.-]|$))"), "qwen"),
    (re.compile(r"^gemma(?=[0-9])"), "gemma-"),
    (re.compile(r"^gpt-35(?=-)"), "gpt-3.5"),
    (re.compile(_STEM + r"([0-9])-(0|[1-9][0-9]?)(?=-|$)"), r"\1\2.\3"),
)
_CLAUDE = re.compile(
    r"^claude-(?:([a-z]{3,})-?)?([0-9](?:\.[0-9]+)?)(?:-(opus|sonnet|haiku|fable|mythos))?"
    r"((?:-.*?)??)(?:-v[0-9])?(-20[0-9]{6})?(?:-v[0-9])?$"
)


def identify(source: str, provider: str, model: str, tag: str = "", quantization: str | None = None) -> Identity:
    """The canonical names of an endpoint, from the names a source publishes; any text is accepted.

    Not: who stands behind a gateway. What a gateway states is its own price, so the gateway is the provider.
    """
    return _identify(source, provider, model, tag, quantization or "")


@lru_cache(maxsize=1 << 15)
def _identify(source: str, provider: str, model: str, tag: str, quantization: str) -> Identity:
    slug, sold_through = _provider(source, provider)
    name, own_parts = _model(source == "openrouter", slug, model)
    parts = [*own_parts, *_tag_parts(source, slug, tag), *sold_through]
    stated = _part(quantization)
    if stated not in ("", "unknown", "none") and not any(_QUANTIZATION.fullmatch(part) for part in parts):
        parts.insert(0, stated)
    return Identity(provider=slug, model=name, variant="/".join(sorted(filter(None, dict.fromkeys(parts)), key=_rank)))


def _rank(part: str) -> int:
    """Quantization, then region, then the rest as it came."""
    return 0 if _QUANTIZATION.fullmatch(part) else 1 if _REGION.fullmatch(part) else 2


@lru_cache(maxsize=1 << 12)
def _provider(source: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Canonical slug, and the router it is sold through where the name says so."""
    names, by_source = _providers()
    plain = name.removeprefix("huggingface_").strip().lower()
    key = _key(_LITELLM_KIND.sub("", plain[:_PROVIDER_LENGTH]))
    slug = by_source.get((source, key)) or names.get(key) or _NOT_ALNUM.sub("-", plain[:_PROVIDER_LENGTH]).strip("-")
    if not (key and name.isascii() and plain.isprintable() and len(plain) <= _PROVIDER_LENGTH):
        slug = f"{slug}-{_digest(name)}".lstrip("-")
    return slug, ("huggingface",) if name.startswith("huggingface_") else ()


def _tag_parts(source: str, provider: str, tag: str) -> list[str]:
    """Parts of a tag, without the provider's own name in front."""
    parts = [part for part in map(_part, tag.split("/")) if part][:_TAG_PARTS] or [""]
    if _key(parts[0]) == _key(provider) or _provider(source, parts[0])[0] == provider:
        return parts[1:]
    return [parts[0].removeprefix(f"{provider}-"), *parts[1:]]  # `sambanova-turbo`


@lru_cache(maxsize=1 << 15)
def _model(canon: bool, provider: str, published: str) -> tuple[str, tuple[str, ...]]:
    """Canonical `author/slug`, and the parts of the variant that stood in the name."""
    data, parts, path = _models(), list[str](), _safe(published)
    if colon := _COLON.search(path):
        parts += colon[0][1:].split(":")
        path = path[: colon.start()]
    if canon and "/" in path.strip("/") and path[0] != "/":
        return path, tuple(parts)
    author, own, name = _split_path(path, provider, parts)
    if not author:
        author, name = _split_dotted(name, parts)
    name = _strip_version(name, parts)
    name = _POINT.sub(".", _FIREWORKS_POINT.sub(".", name) if provider == "fireworks" else name)
    name = _strip_endings(_strip_vendor(author, name), parts)
    if (provider, name) in data.at:
        return data.at[provider, name], tuple(parts)
    if author in ("", _family(name)):
        name = _spelled(name)
    author = author or _family(name) or own or data.authors.get(_key(provider), provider)
    author, name = data.aliases.get((author, name), (author, name or _digest(published)))
    return f"{author}/{name}", tuple(parts)


def _split_path(path: str, provider: str, parts: list[str]) -> tuple[str, str, str]:
    """(author or "", author to fall back on or "", name)."""
    data = _models()
    segments = [part for part in _PATH.sub("/", path).split("/") if part] or [_digest(path)]
    own = ""
    while len(segments) > 1:
        first = segments[0]
        if _REGION.fullmatch(first) or _TERM.fullmatch(first):
            parts.append(first)
        elif first == provider or _provider("", first)[0] == provider:
            own = data.authors.get(_key(first), "")
        else:
            break
        del segments[0]
    if len(segments) > 2 and _QUANTIZATION.fullmatch(segments[-1].replace("-", "")):  # `deepseek/deepseek-r1/fp-8`
        parts.append(segments.pop().replace("-", ""))
    if len(segments) == 1:
        return "", own, segments[0]
    author, name = segments[0], "/".join(segments[1:])
    known = author if author.startswith("~") else data.authors.get(_key(author), author)
    return ("", known, name) if _key(author) in data.umbrellas else (known, "", name)


def _split_dotted(name: str, parts: list[str]) -> tuple[str, str]:
    """(author or "", name) of `eu.anthropic.claude-opus-5`, `anthropic--claude-4-opus` and of plain names."""
    data, match = _models(), _DOTTED.match(name)
    if not match or (match[2] not in data.authors and match[2] not in data.umbrellas):
        return "", name
    if match[1]:
        parts.append(match[1])
    return "" if match[2] in data.umbrellas else data.authors[match[2]], match[3]


def _strip_version(name: str, parts: list[str]) -> str:
    """Without Bedrock's `-v1:0` and Vertex's `@default`; what is a part of the name is joined with a hyphen."""
    if version := _BEDROCK_VERSION.search(name):  # `v0:2` is v0.2; in Amazon's own names `-v1` belongs to the name
        kept = f"-v0.{version[1]}" if version[1] else version[2] if name.startswith(("nova-", "titan-")) else ""
        return name[: version.start()] + (kept or "")
    base, _, suffix = _SIZE.sub(r"-\1", name).partition("@")
    if _REGION.fullmatch(suffix):
        parts.append(suffix)
    elif suffix and suffix != "default":
        return f"{base}-{suffix}"
    return base


def _strip_endings(name: str, parts: list[str]) -> str:
    """Without endings that name a quantization, an enclave or a tier, or a speed where speeds are the host's."""
    while found := _ENDING.search(name) or (_models().speeds.match(name) and _SPEED.search(name)):
        if not found.start():
            break
        if found[1] != "maas":
            parts.append(found[1])
        name = name[: found.start()]
    return name


def _strip_vendor(author: str, name: str) -> str:
    """Without a vendor in front of a name of its own: `Meta-Llama-3.1-8B`, `NVIDIA-Nemotron-Nano-9B-v2`."""
    data = _models()
    while vendor := data.vendor.match(name):
        rest, key = name[vendor.end() :], _key(vendor[1])
        owner = _family(rest)
        if author not in ("", owner) or not (key in data.umbrellas or data.authors[key] == owner):
            break
        name = rest
    return name


def _spelled(name: str) -> str:
    """In the canon's spelling of families and versions."""
    for pattern, replacement in _SPELLING:
        name = pattern.sub(replacement, name)
    claude = _CLAUDE.match(name)
    if not claude or bool(claude[1]) == bool(claude[3]):
        return name
    tier, version, rest = claude[1] or claude[3], claude[2], claude[4]
    base = f"claude-{version}-{tier}" if version < "4" and tier != "instant" else f"claude-{tier}-{version}"
    dated = f"{base}{rest}{claude[5] or ''}"
    return dated if dated in _models().claude_snapshots else base + rest


def _family(name: str) -> str:
    data = _models()
    found = data.family.match(name)
    return data.families[found[0]] if found else ""


def _key(name: str) -> str:
    """What names of providers and authors are compared by."""
    return _NOT_ALNUM.sub("", name.lower())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _safe(text: str) -> str:
    low = text.strip(" ").replace(" ", "-").lower()
    if low and text.isascii() and len(low) <= _NAME_LENGTH and not _UNSAFE.search(low):
        return low
    return f"{_UNSAFE.sub('-', low[:_NAME_LENGTH]).rstrip('/')}~{_digest(text)}"


def _part(text: str) -> str:
    return _UNSAFE.sub("-", text.strip().lower()[:_PART_LENGTH]).replace("/", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models:
    """`models.yaml`, indexed."""

    authors: Mapping[str, str]
    umbrellas: frozenset[str]
    vendor: re.Pattern[str]
    families: Mapping[str, str]
    family: re.Pattern[str]
    speeds: re.Pattern[str]
    claude_snapshots: frozenset[str]
    aliases: Mapping[tuple[str, str], tuple[str, str]]
    at: Mapping[tuple[str, str], str]


@cache
def _providers() -> tuple[Mapping[str, str], Mapping[tuple[str, str], str]]:
    body = _load("providers.yaml")
    names = {_key(name): slug for slug, others in body["providers"].items() for name in (slug, *others)}
    by_source = {(source, _key(name)): slug for source, own in body["by_source"].items() for name, slug in own.items()}
    return names, by_source


@cache
def _models() -> _Models:
    body = _load("models.yaml")
    authors = {name: author for author, others in body["authors"].items() for name in (author, *others)}
    family = _beginning(name for names in body["families"].values() for name in names)
    vendors = "|".join(re.escape(name.lower()) for name in (*authors, *body["umbrellas"]))
    aliases = {
        (author, name): (author, slug)
        for author, slug, names in ((*canonical.split("/"), names) for canonical, names in body["aliases"].items())
        for name in names
    }
    for date, names in body["openai_snapshots"].items():
        aliases |= {("openai", f"{name}-{date}"): ("openai", name) for name in names}
    return _Models(
        authors={_key(name): author for name, author in authors.items()},
        umbrellas=frozenset(map(_key, body["umbrellas"])),
        vendor=re.compile(f"({vendors})-(?=(?:{family.pattern}))"),
        families={name.rstrip("*"): author for author, names in body["families"].items() for name in names},
        family=family,
        speeds=re.compile(f"(?!(?:{'|'.join(body['speed_models'])})$)(?:{_beginning(body['speeds']).pattern})"),
        claude_snapshots=frozenset(body["claude_snapshots"]),
        aliases=aliases,
        at={(provider, at["name"]): at["model"] for at in body["at"] for provider in at["providers"]},
    )


def _load(name: str) -> dict[str, Any]:
    return dict(yaml.load((Path(__file__).parent / name).read_bytes(), Loader=yaml.CSafeLoader))


def _beginning(names: Iterable[str]) -> re.Pattern[str]:
    """Matches the longest of `names` that a text begins with; one without `*` only as a whole word."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(re.escape(n[:-1]) if n[-1] == "*" else f"{re.escape(n)}(?=-|$)" for n in longest_first))
