"""Names -> canonical provider, model and variant.

Rules first, then reviewed data (`providers.yaml`, `models.yaml`), then refusal: what neither reaches keeps the name it
was published under and joins nothing. No nearness of names counts: `gpt-4o-mini` is not `gpt-4o`, `qwen3-235b-a22b` is
not `qwen3-235b-a22b-2507`, and `-latest` is not any dated model.

OpenRouter's own ids are the canon and are kept. Any other model id is read in this order:

1. Made safe: lower case, `[a-z0-9._~:@/-]`. Where that loses anything, a digest of the original is appended, so that two
   names never become one, nor a disguised name the name it imitates.
2. Path: `accounts/fireworks/models/`, `@cf/`, `hf:` and the provider's own name in front go, a region becomes variant;
   then comes the author, or Bedrock's `eu.anthropic.` form of it.
3. Endings: `:free` and the like, a quantization, `-tee`, a host's `-turbo` become variant.
4. Spelling: `Meta-Llama-3.1-8B` and `llama3-1-8b` are `llama-3.1-8b`, `kimi-k2p6` at Fireworks is `kimi-k2.6`,
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

MAX_LENGTH = 200
"""Of a canonical model; a longer name is cut, and marked with a digest."""

_PROVIDER_LENGTH, _NAME_LENGTH, _PART_LENGTH = 50, 120, 50
_UNSAFE = re.compile(r"[^a-z0-9._~:@/-]")
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")

_QUANTIZATION = re.compile(r"(?:(?:fp|bf|int|nvfp|mxfp)-?\d{1,2}(?:-dynamic)?|awq|gptq|gguf|[468]bit)")
_REGION = re.compile(
    r"global|global-standard|us|us-gov|eu|europe|uk|au|jp|ca|apac|swedencentral"
    r"|(?:us|eu|ap|ca|sa|me|af|il|mx|asia|europe)-(?:gov-)?(?:north|south|east|west|central){1,2}-?\d"
)
_TERM = re.compile(r"\d+-month-commitment|pro")
_COLON = re.compile(r"(?::(?:free|batch|thinking|extended|beta|nitro|floor|online|exacto|flex|priority|fast))+$")
_ENDING = re.compile(rf"-(tee|maas|free|batch|{_QUANTIZATION.pattern})$")
_SPEED = re.compile(r"-(turbo|fast|tput|flex|priority|highspeed|high-throughput|ultraspeed|lightning)$")

_LITELLM_KIND = re.compile(r"-[a-z0-9_-]*[_-]models$")  # `vertex_ai-anthropic_models`
_VENDOR_PATH = re.compile(r"^(?:workers-ai/)?@[ch]f/|^hf:|^(?:accounts|publishers|projects)/(?=.*/(?:models|routers)/)")
_MODELS_PATH = re.compile(r"(?:^|/[^/]+/|/)(?:models|routers)/")
_DOTTED = re.compile(r"^(?:([a-z-]+)\.)?([a-z0-9]+)(?:\.|--)(.+)$")
_BEDROCK_VERSION = re.compile(r"-(?:v([0-9])|[0-9]):([0-9])$")
_SIZE = re.compile(r":([0-9.]+[bt])$")

_POINT = re.compile(r"(?<=[0-9])_(?=[0-9])")
_FIREWORKS_POINT = re.compile(r"(?<=[0-9])p(?=[0-9])")
_SPELLING = (
    (re.compile(r"^llama-?v?(?=[0-9])"), "llama-"),
    (re.compile(r"^qwen-(?=[23](?:[.-]|$))"), "qwen"),
    (re.compile(r"^gemma(?=[0-9])"), "gemma-"),
    (re.compile(r"^gpt-35(?=-)"), "gpt-3.5"),
    (
        re.compile(
            r"^(gpt-|gemini-|glm-|grok-|llama-|qwen|kimi-k|deepseek-v|minimax-m|mimo-v|step-|claude-(?:[a-z]+-?)?)"
            r"([0-9])-(0|[1-9][0-9]?)(?=-|$)"
        ),
        r"\1\2.\3",
    ),
)
_CLAUDE = re.compile(r"^claude-(?:([a-z]+)-?)?([0-9](?:\.[0-9]+)?)(?:-(opus|sonnet|haiku|fable|mythos))?(-.*)?$")
_CLAUDE_DATE = re.compile(r"(?:-v[0-9])?(-20[0-9]{6})?(?:-v[0-9])?$")


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
    ordered = sorted(dict.fromkeys(parts), key=_rank)
    return Identity(provider=slug, model=name, variant="/".join(ordered))


def _rank(part: str) -> int:
    """Quantization, then region, then the rest as it came."""
    return 0 if _QUANTIZATION.fullmatch(part) else 1 if _REGION.fullmatch(part) else 2


@lru_cache(maxsize=1 << 12)
def _provider(source: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Canonical slug, and the router it is sold through where the name says so."""
    if name.startswith("huggingface_"):
        return _provider(source, name[len("huggingface_") :])[0], ("huggingface",)
    names, by_source = _providers()
    key = _key(_LITELLM_KIND.sub("", name))
    return by_source.get((source, key)) or names.get(key) or _slug(name), ()


def _slug(name: str) -> str:
    low = name.strip().lower()
    safe = _NOT_ALNUM.sub("-", low[:_PROVIDER_LENGTH]).strip("-")
    whole = safe and low.isascii() and len(low) <= _PROVIDER_LENGTH
    return safe if whole else f"{safe}-{_digest(name)}".lstrip("-")


def _tag_parts(source: str, provider: str, tag: str) -> list[str]:
    """Parts of a tag, without the provider's own name in front."""
    parts = [part for part in map(_part, tag.split("/")) if part]
    if parts and parts[0].startswith(f"{provider}-"):  # `sambanova-turbo`
        parts[0] = parts[0][len(provider) + 1 :]
    elif parts and _key(parts[0]) == _key(provider) or parts and _provider(source, parts[0])[0] == provider:
        del parts[0]
    return parts


@lru_cache(maxsize=1 << 15)
def _model(canon: bool, provider: str, published: str) -> tuple[str, tuple[str, ...]]:
    """Canonical `author/slug`, and the parts of the variant that stood in the name."""
    data, parts, path = _models(), list[str](), _safe(published)
    colon = _COLON.search(path)
    if colon:
        parts += colon[0][1:].split(":")
        path = path[: colon.start()]
    if canon and "/" in path.strip("/"):
        return path, tuple(parts)
    author, own, name = _split_path(path, provider, parts)
    if not author:
        author, name = _split_dotted(name, parts)
    name = _strip_version(name, parts)
    if provider == "fireworks":
        name = _FIREWORKS_POINT.sub(".", name)
    name = _POINT.sub(".", name)
    name = _strip_endings(_strip_vendor(author, name), parts)
    family = _family(name)
    if author in ("", family):
        name = _spelled(name)
    author = author or family or own or data.authors.get(_key(provider), provider)
    author, name = data.aliases.get((author, name), (author, name))
    return data.at.get((provider, name), f"{author}/{name}"), tuple(parts)


def _split_path(path: str, provider: str, parts: list[str]) -> tuple[str, str, str]:
    """(author or "", author to fall back on or "", name)."""
    data = _models()
    segments = [part for part in _MODELS_PATH.sub("/", _VENDOR_PATH.sub("", path)).split("/") if part] or [
        _digest(path)
    ]
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
    if len(segments) > 2 and _QUANTIZATION.fullmatch(segments[-1]):  # `deepseek/deepseek-r1/fp-8`
        parts.append(segments.pop().replace("-", ""))
    if len(segments) == 1:
        return "", own, segments[0]
    author, name = segments[0], "/".join(segments[1:])
    known = author if author.startswith("~") else data.authors.get(_key(author), author)
    return ("", known, name) if _key(author) in data.umbrellas else (known, "", name)


def _split_dotted(name: str, parts: list[str]) -> tuple[str, str]:
    """(author or "", name) of `eu.anthropic.claude-opus-5`, `anthropic--claude-4-opus` and of plain names."""
    data, match = _models(), _DOTTED.match(name)
    if not match or (match[1] and not _REGION.fullmatch(match[1])):
        return "", name
    vendor = _key(match[2])
    if vendor not in data.authors and vendor not in data.umbrellas:
        return "", name
    if match[1]:
        parts.append(match[1])
    return "" if vendor in data.umbrellas else data.authors[vendor], match[3]


def _strip_version(name: str, parts: list[str]) -> str:
    """Without Bedrock's `-v1:0` and Vertex's `@default`; what is a part of the name is joined with a hyphen."""
    version = _BEDROCK_VERSION.search(name)
    if version:  # `nova-lite-v1:0` is nova-lite-v1, `mistral-7b-instruct-v0:2` is the v0.2
        kept = f"-v0.{version[2]}" if version[1] == "0" else f"-v{version[1]}" if name.startswith("nova-") else ""
        return name[: version.start()] + kept
    base, _, suffix = _SIZE.sub(r"-\1", name).partition("@")
    if _REGION.fullmatch(suffix):
        parts.append(suffix)
    elif suffix and suffix != "default":
        return f"{base}-{suffix}"
    return base


def _strip_endings(name: str, parts: list[str]) -> str:
    """Without endings that name a quantization, an enclave or a tier, or a speed where speeds are the host's."""
    data = _models()
    endings = (_ENDING, _SPEED) if data.speeds.match(name) else (_ENDING,)
    while name not in data.speed_models:
        found = next((match for match in (ending.search(name) for ending in endings) if match and match.start()), None)
        if not found:
            break
        if found[1] != "maas":
            parts.append(found[1])
        name = name[: found.start()]
    return name


def _strip_vendor(author: str, name: str) -> str:
    """Without a vendor in front of a name of its own: `Meta-Llama-3.1-8B`, `NVIDIA-Nemotron-Nano-9B-v2`."""
    data, vendor = _models(), _models().vendor.match(name)
    if not vendor:
        return name
    rest, key = name[vendor.end() :], _key(vendor[1])
    owner = _family(rest)
    return rest if (key in data.umbrellas or data.authors[key] == owner) and author in ("", owner) else name


def _spelled(name: str) -> str:
    """In the canon's spelling of families and versions."""
    for pattern, replacement in _SPELLING:
        name = pattern.sub(replacement, name)
    claude = _CLAUDE.match(name)
    if not claude or bool(claude[1]) == bool(claude[3]):
        return name
    tier, version, rest = claude[1] or claude[3], claude[2], claude[4] or ""
    base = f"claude-{version}-{tier}" if version < "4" and tier != "instant" else f"claude-{tier}-{version}"
    date = _CLAUDE_DATE.search(rest)
    if not date:
        return base + rest
    snapshot = base + (date[1] or "")
    return snapshot if snapshot in _models().claude_snapshots else base + rest[: date.start()]


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
    low = text.strip(" ").lower().replace(" ", "-")
    if low and len(low) <= _NAME_LENGTH and not _UNSAFE.search(low):
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
    speed_models: frozenset[str]
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
        speeds=_beginning(body["speeds"]),
        speed_models=frozenset(body["speed_models"]),
        claude_snapshots=frozenset(body["claude_snapshots"]),
        aliases=aliases,
        at={(provider, name): model for provider, names in body["at"].items() for name, model in names.items()},
    )


def _load(name: str) -> dict[str, Any]:
    with (Path(__file__).parent / name).open("rb") as file:
        return dict(yaml.load(file, Loader=yaml.CSafeLoader))


def _beginning(names: Iterable[str]) -> re.Pattern[str]:
    """Matches the longest of `names` that a text begins with; one without `*` only as a whole word."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(re.escape(n[:-1]) if n[-1] == "*" else f"{re.escape(n)}(?=-|$)" for n in longest_first))
