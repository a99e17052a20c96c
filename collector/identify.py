"""Names -> canonical provider, model and variant, and how sure that is.

Rules, then reviewed data (`providers.yaml`, `models.yaml`, `canon.yaml`), then refusal: what neither reaches keeps its
published name, joins nothing and is `unsure`. Nearness never counts: `gpt-4o-mini` is not `gpt-4o`, nor is `-latest`
any dated model.

OpenRouter's own ids are the canon and stay as they are. Any other model id is read in this order:

1. Made safe: lower case, `[a-z0-9._~:@/-]`, no longer than makes 200 characters in the end. Where that loses anything,
   a digest of the original is appended: two names never become one, nor a disguised name the name it imitates.
2. Path: `accounts/fireworks/models/`, `@cf/` and the provider's own name in front go, a region or the provider behind a
   gateway becomes variant; then comes the author, or Bedrock's `eu.anthropic.` form of it.
3. Endings: `:free` and the like, a quantization, `-tee`, a host's `-turbo` become variant.
4. Spelling: `Meta-Llama-3.1-8B` and `llama3-1-8b` are `llama-3.1-8b`, `claude-4-5-sonnet-20250929` is
   `claude-sonnet-4.5`.
5. Author: as published; else the family's; else the provider's name stands in its place.
6. The canon and the aliases: the name itself, then the same letters and numbers (`kimi-k2p6` is `kimi-k2.6`,
   `qwen2.5-7b` is `qwen-2.5-7b`, and `gpt-52` is `gpt-5.2` where there is that and no `gpt-52`).
7. Doubt: a name that is not known is a new model only where all of it is understood.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from collector.names import key, models, providers, words
from store.records import Identity
from store.variants import QUANTIZATION, REGION

Confidence = Literal["exact", "rule", "alias", "unsure"]
"""The canon's own id as it was published; reached by rules; by a reviewed or recorded alias; or not reached."""

Recorded = Mapping[tuple[str, str], str]
"""What the user has decided: (canonical provider, published model id) -> canonical model."""

NONE_RECORDED: Recorded = MappingProxyType({})

_PROVIDER_LENGTH, _NAME_LENGTH, _PART_LENGTH, _TAG_PARTS = 50, 120, 50, 8
_UNSAFE = re.compile(r"[^a-z0-9._~:@/-]")
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")
_TERM = re.compile(r"[0-9]+-month-commitment|pro|tee")
_COLON = re.compile(r"(?::(?:free|batch|thinking|extended|beta|nitro|floor|online|exacto|flex|priority|fast))+$")
_ENDING = re.compile(rf"-(tee|maas|hf|free|batch|{QUANTIZATION.pattern})$")
_SPEED = re.compile(r"-(turbo|fast|tput|flex|priority|highspeed|high-throughput|ultraspeed|lightning)$")

_LITELLM_KIND = re.compile(r"-[a-z0-9_-]*[_-]models$")  # `vertex_ai-anthropic_models`
_PATH = re.compile(
    r"(?:^|/)(?:(?:workers-ai/)?@[ch]f|accounts/[^/]+/(?:models|routers)|publishers|models)/|/[^/]+/models/|^hf:"
)
_DOTTED = re.compile(rf"^(?:({REGION.pattern})\.)?([a-z0-9]+)(?:\.|--)(.+)$")
_BEDROCK_VERSION = re.compile(r"-v0:([0-9])$|(-v1|-1)?:0$")
_NO_TIER = re.compile(r"20[0-9]{2}-?[0-9]{2}-?[0-9]{2}|mini|nano|micro|codex|coder|image|audio|vl|omni")
_SIZE = re.compile(r":([0-9.]+[bt])$")
_POINT = re.compile(r"(?<=[0-9])_(?=[0-9])")
_LETTER_POINT = re.compile(r"(?<=[0-9])p(?=[0-9])")
_NO_POINT = re.compile(r"(?<![0-9.])([0-9])([0-9])(?=v?(?:-|$))")
_STEM = r"^(gpt-|gemini-|glm-|grok-|llama-|qwen|kimi-k|deepseek-v|minimax-m|mimo-v|step-|aion-|claude-(?:[a-z]{3,}-?)?)"
_SPELLING = (
    (re.compile(r"^llama-?v?(?=[0-9])"), "llama-"),
    (re.compile(r"^qwen-(?=[23](?:[.-]|$))"), "qwen"),
    (re.compile(r"^gemma(?=[0-9])"), "gemma-"),
    (re.compile(r"^gpt-35(?=-)"), "gpt-3.5"),
    (re.compile(_STEM + r"([0-9])-(0|[1-9][0-9]?)(?=-|$)"), r"\1\2.\3"),
    (re.compile(r"^(gpt-[5-9](?:\.[0-9])?-chat)-latest$"), r"\1"),  # what OpenAI calls it; it has no other chat model
)
_CLAUDE = re.compile(
    r"^claude-(?:([a-z]{3,})-?)?([0-9](?:\.[0-9]+)?)(?:-(opus|sonnet|haiku|fable|mythos))?"
    r"((?:-.*?)??)(?:-v[0-9])?(-20[0-9]{6})?(?:-v[0-9])?$"
)
_PLAN = re.compile(r"(?:-(?:coding|token)-plan|-for-coding)?(?:-cn)?$")
_TUNED = ("-instruct", "-it", "-vision-instruct")
_BUILD = re.compile(
    r"-(?:non|no)?-?(?:reasoning|thinking|think)(?:-|$)|-latest$|-(?:20[0-9]{2}-?[0-9]{2}-?[0-9]{2}|[0-9]{4}|[0-9]{6})$"
)
"""A mode, a date or `-latest` after a known name: perhaps that model, perhaps another build, also in its own shop."""
_NEW_MODEL = re.compile(
    r"(?:-(?:mini|nano|micro|pro|max|air|plus|flash|large|small|medium|codex|coder|code|vl|image|audio|omni|embed"
    r"|embedding|v|[0-9.]+b|a[0-9.]+b|instruct))+$"
)
"""What new models of a known name are called by, and no host's offer of that model is."""
_ODD = re.compile(r"[~:@]|//|(?:^|/)[^a-z0-9]|[^a-z0-9](?:/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a published name is read."""

    identity: Identity
    """As it stands on the tape; of an unsure one, the published name in its own place."""
    confidence: Confidence
    why: str


@dataclass(frozen=True, slots=True)
class _Trail:
    """What was met on the way through a name."""

    parts: list[str] = field(default_factory=list)
    """Of the variant."""
    steps: list[str] = field(default_factory=list)
    """What was done, for whoever asks why."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A model's name as read, without what the provider's tag adds."""

    model: str
    parts: tuple[str, ...]
    confidence: Confidence
    why: str


def identify(
    source: str,
    provider: str,
    model: str,
    tag: str = "",
    quantization: str | None = None,
    recorded: Recorded = NONE_RECORDED,
) -> Identity:
    """The canonical names of an endpoint, from the names a source publishes; any text is accepted.

    Not: who stands behind a gateway. What a gateway states is its own price, so the gateway is the provider.
    """
    return read(source, provider, model, tag, quantization, recorded).identity


def read(
    source: str,
    provider: str,
    model: str,
    tag: str = "",
    quantization: str | None = None,
    recorded: Recorded = NONE_RECORDED,
) -> Reading:
    """As `identify`, with how sure that is and why."""
    reading = _read(source, provider, model, tag, quantization or "")
    decided = recorded.get((reading.identity.provider, model)) if recorded else None
    if decided is None:
        return reading
    identity = Identity(provider=reading.identity.provider, model=decided, variant=reading.identity.variant)
    return Reading(identity=identity, confidence="alias", why="a recorded alias")


@lru_cache(maxsize=1 << 15)
def _read(source: str, provider: str, model: str, tag: str, quantization: str) -> Reading:
    slug, sold_through = _provider(source, provider)
    name = _model(source == "openrouter", slug, model)
    tagged = _tag_parts(source, slug, tag)
    if own := _own_model(slug, name.model, tagged):
        name, tagged = replace(name, model=own), [part for part in tagged if not own.endswith((f"-{part}", f"/{part}"))]
    parts = [*name.parts, *tagged, *sold_through]
    stated = _part(quantization)
    if stated not in ("", "unknown", "none") and not any(QUANTIZATION.fullmatch(part) for part in parts):
        parts.insert(0, stated)
    variant = "/".join(sorted(filter(None, dict.fromkeys(parts)), key=_rank))
    identity = Identity(provider=slug, model=name.model, variant=variant)
    return Reading(identity=identity, confidence=name.confidence, why=name.why)


def _rank(part: str) -> int:
    """Quantization, then region, then the rest as it came."""
    return 0 if QUANTIZATION.fullmatch(part) else 1 if REGION.fullmatch(part) else 2


@lru_cache(maxsize=1 << 12)
def _provider(source: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Canonical slug, and the router it is sold through where the name says so."""
    data = providers()
    plain = name.removeprefix("huggingface_").strip().lower()
    short = key(_LITELLM_KIND.sub("", plain[:_PROVIDER_LENGTH]))
    slug = data.by_source.get((source, short)) or data.slugs.get(short)
    slug = slug or _NOT_ALNUM.sub("-", plain[:_PROVIDER_LENGTH]).strip("-")
    if not (short and name.isascii() and plain.isprintable() and len(plain) <= _PROVIDER_LENGTH):
        slug = f"{slug}-{_digest(name)}".lstrip("-")
    return slug, ("huggingface",) if name.startswith("huggingface_") else ()


def _tag_parts(source: str, provider: str, tag: str) -> list[str]:
    """Parts of a tag, without the provider's own name in front."""
    parts = [part for part in map(_part, tag.split("/")) if part][:_TAG_PARTS] or [""]
    if key(parts[0]) == key(provider) or _provider(source, parts[0])[0] == provider:
        return parts[1:]
    if (_shop(provider), parts[0]) in models().known:
        return parts
    return [parts[0].removeprefix(f"{provider}-"), *parts[1:]]  # `sambanova-turbo`


def _own_model(provider: str, model: str, tagged: list[str]) -> str:
    """The model that a tag makes of another: one id can stand for several, and the variant says which.

    A date, or a word that no host calls a tier, does so anywhere (Azure's `2024-08-06` of `gpt-4o`); any other in its
    author's own shop (Anthropic's `fast` of `claude-opus-4.7`), as does a whole name there: what stands behind an alias
    (DeepSeek's `DeepSeek-V4-Pro-0813` of `deepseek-v4-pro`).
    """
    author, _, slug = model.partition("/")
    own = _shop(provider) == author
    named = (
        name
        for part in tagged
        if own or _NO_TIER.fullmatch(part)
        for name in ((f"{slug}-{part}", part) if own else (f"{slug}-{part}",))
    )
    return next((f"{author}/{name}" for name in named if (author, name) in models().known), "")


@lru_cache(maxsize=1 << 15)
def _model(canon: bool, provider: str, published: str) -> _Name:
    """Canonical `author/slug`, the parts of the variant that stood in the name, and how sure that is."""
    data, trail, path = models(), _Trail(), _safe(published)
    if colon := _COLON.search(path):
        trail.parts.extend(colon[0][1:].split(":"))
        path = path[: colon.start()]
    if canon and "/" in path.strip("/") and path[0] != "/":
        return _Name(path, tuple(trail.parts), "exact", "an id of the canon")
    author, own, name = _split_path(path, provider, trail)
    canonical = author != "" and path.endswith(f"{author}/{name}")
    if (author, name) in data.known and (provider, name) not in data.at and (canonical or name not in data.moving):
        model = f"{author}/{name}"
        return _Name(model, tuple(trail.parts), "exact" if model == path else "rule", "a name of the canon")
    if not author:
        author, name = _split_dotted(name, trail)
    name = _strip_version(name, trail)
    name = _POINT.sub(".", _LETTER_POINT.sub(".", name) if provider == "fireworks" else name)
    name = _strip_endings(_strip_vendor(author, _strip_own(provider, name)), trail)
    if meant := data.at.get((provider, name)) or (None if canonical else data.moving.get(name)):
        return _meant(meant, provider, name, tuple(trail.parts))
    if author in ("", _family(name)):
        name = _spelled(name)
    family = _family(name)
    if not author and not family:
        author, name = _split_hyphened(name)
    elif not family:
        author, name = _repackaged(author, name)
    shop = _shop(provider)
    stated, author = author, author or family or (shop if _alike(shop, name) else _by_words(name))
    found, confidence, why = _known(author, name, family, provider, trail)
    if found:
        model = "/".join(found)
        return _Name(model, tuple(trail.parts), "exact" if model == path else confidence, why)
    author = author or own or data.authors.get(key(provider), provider)
    model = f"{author}/{name or _digest(published)}"
    if doubt := next(_doubts(model, family, stated, shop, published), ""):
        return _Name(model, tuple(trail.parts), "unsure", doubt)
    return _Name(model, tuple(trail.parts), "exact" if model == path else "rule", f"a new name of {author}")


def _meant(model: str, provider: str, name: str, parts: tuple[str, ...]) -> _Name:
    """What a provider means by a name that means something else elsewhere."""
    if model.startswith("~"):
        return _Name(model, parts, "unsure", f"a name that has stood for several models: `{name}`")
    return _Name(model, parts, "alias", f"what {provider} calls it")


def _split_path(path: str, provider: str, trail: _Trail) -> tuple[str, str, str]:
    """(author or "", author to fall back on or "", name)."""
    data = models()
    segments = [part for part in _PATH.sub("/", path).split("/") if part] or [_digest(path)]
    own = ""
    while len(segments) > 1:
        first = segments[0]
        if REGION.fullmatch(first) or _TERM.fullmatch(first):
            trail.parts.append(first)
        elif first == provider or _provider("", first)[0] == provider:
            own = data.authors.get(key(first), "")
        elif len(segments) == 2 and _is_host(first) and _family(segments[1]):
            trail.parts.append(providers().slugs[key(first)])  # a gateway's route: `siliconflow/deepseek-v3.2`
        else:
            break
        del segments[0]
    if len(segments) > 2 and QUANTIZATION.fullmatch(segments[-1].replace("-", "")):  # `deepseek/deepseek-r1/fp-8`
        trail.parts.append(segments.pop().replace("-", ""))
    if len(segments) == 1:
        return "", own, segments[0]
    author, name = segments[0], "/".join(segments[1:])
    known = author if author.startswith("~") else data.authors.get(key(author), author)
    return ("", known, name) if key(author) in data.umbrellas else (known, "", name)


def _is_host(name: str) -> bool:
    """Whether a name is a provider's that makes no models of its own."""
    return key(name) in providers().slugs and key(name) not in models().authors


def _split_dotted(name: str, trail: _Trail) -> tuple[str, str]:
    """(author or "", name) of `eu.anthropic.claude-opus-5`, `anthropic--claude-4-opus` and of plain names."""
    data, match = models(), _DOTTED.match(name)
    if not match or (match[2] not in data.authors and match[2] not in data.umbrellas):
        return "", name
    if match[1]:
        trail.parts.append(match[1])
    return "" if match[2] in data.umbrellas else data.authors[match[2]], match[3]


def _split_hyphened(name: str) -> tuple[str, str]:
    """(author, name) of `thedrummer-unslopnemo-12b`, where that is a name of the canon; or ("", name)."""
    for hyphen in re.finditer("-", name):
        author, rest = models().authors.get(key(name[: hyphen.start()]), ""), name[hyphen.end() :]
        if author and _alike(author, rest):
            return author, rest
    return "", name


def _repackaged(author: str, name: str) -> tuple[str, str]:
    """(author, name) of `somebody/thedrummer_skyfall-36b-v2`, where that is a name of the canon; or as they were."""
    data = models()
    first, _, rest = name.partition("_")
    owner = data.authors.get(key(first), "")
    return (owner, rest) if key(author) not in data.authors and (owner, rest) in data.known else (author, name)


def _strip_version(name: str, trail: _Trail) -> str:
    """Without Bedrock's `-v1:0` and Vertex's `@default`, `@001`; what is a part of the name is joined with a hyphen."""
    if version := _BEDROCK_VERSION.search(name):  # `v0:2` is v0.2; in Amazon's own names `-v1` belongs to the name
        kept = f"-v0.{version[1]}" if version[1] else version[2] if name.startswith(("nova-", "titan-")) else ""
        return name[: version.start()] + (kept or "")
    base, _, suffix = _SIZE.sub(r"-\1", name).partition("@")
    if REGION.fullmatch(suffix):
        trail.parts.append(suffix)
    elif suffix not in ("", "default", "001"):
        return f"{base}-{suffix}"
    return base


def _strip_endings(name: str, trail: _Trail) -> str:
    """Without endings that name a quantization, an enclave or a tier, or a speed where speeds are the host's."""
    while found := _ENDING.search(name) or (models().speeds.match(name) and _SPEED.search(name)):
        if not found.start():
            break
        if found[1] not in ("maas", "hf"):
            trail.parts.append(found[1])
        name = name[: found.start()]
    return name


def _strip_own(provider: str, name: str) -> str:
    """Without the provider's own name in front of a name of a known family: `parasail-gpt-oss-120b`."""
    if _family(name) or "-" not in name:
        return name
    for own in (provider, provider.partition("-")[0]):
        rest = name.removeprefix(f"{own}-")
        if rest != name and (_family(rest) or _by_words(rest)):
            return rest
    return name


def _strip_vendor(author: str, name: str) -> str:
    """Without a vendor in front of a name of its own: `Meta-Llama-3.1-8B`, `NVIDIA-Nemotron-Nano-9B-v2`."""
    data = models()
    while vendor := data.vendor.match(name):
        rest, short = name[vendor.end() :], key(vendor[1])
        owner = _family(rest)
        if author not in ("", owner) or not (short in data.umbrellas or data.authors[short] == owner):
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
    return dated if dated in models().snapshots else base + rest


def _family(name: str) -> str:
    data = models()
    found = data.family.match(name)
    return data.families[found[0]] if found else ""


def _by_words(name: str) -> str:
    """The only author of the canon with a name of these letters and numbers."""
    by_words = models().by_words
    return next((found[0] for spelling in _spellings(name) if (found := by_words.get(words(spelling)))), "")


def _known(
    author: str, name: str, family: str, provider: str, trail: _Trail
) -> tuple[tuple[str, str] | None, Confidence, str]:
    """(author, slug) of the canon that a name stands for, how it was reached, and by which rule."""
    data = models()
    repackaged = family not in ("", author) and any(map(QUANTIZATION.fullmatch, trail.parts))
    for owner in (author, family) if repackaged else (author,):
        if (owner, name) in data.known:
            return (owner, name), "rule", "a name of the canon"
        if alias := data.aliases.get((owner, name)):
            return alias, "alias", "a reviewed alias"
        if (owner, name) in data.previews and _shop(provider) != owner:
            return (owner, f"{name}-preview"), "alias", "there is only the preview"
        if alike := _alike(owner, name):
            return alike, "rule", "the letters and numbers of a name of the canon"
        if provider in data.tuned_at:
            tuned = {found for ending in _TUNED if (found := _alike(owner, name + ending))}
            if len(tuned) == 1:
                return tuned.pop(), "rule", f"{provider} leaves the ending of tuned models out"
    return None, "unsure", ""


def _alike(author: str, name: str) -> tuple[str, str] | None:
    """The only (author, slug) of the canon with the same letters and numbers."""
    alike = models().alike
    return next((found for spelling in _spellings(name) if (found := alike.get((author, words(spelling))))), None)


def _spellings(name: str) -> Iterator[str]:
    """A name, and what it stands for if its points are written as `p` or left out."""
    yield name
    if _LETTER_POINT.search(name):
        yield _LETTER_POINT.sub(".", name)
    if _NO_POINT.search(name):
        yield _NO_POINT.sub(r"\1.\2", name, count=1)


def _doubts(model: str, family: str, stated: str, shop: str, published: str) -> Iterator[str]:
    """Why a name that is not known is not simply that of a new model; nothing where it is."""
    data, (author, _, name) = models(), model.partition("/")
    if author.startswith("~"):
        yield "a name that its author gives to one model after another"
    if _ODD.search(model) or _safe(published).endswith(f"~{_digest(published)}"):
        yield "characters, or a length, that no id has"
    ending = _unexplained(author, name)
    strange = [word for word in words(name) if word.isalpha() and word not in data.vocabulary.get(author, ())]
    own = shop == author and author in data.vocabulary
    if own and (family or not strange) and not _BUILD.match(ending):
        return
    if not stated and not family:
        yield "no rule says who made it"
    if family not in ("", author) and _alike(family, name):
        yield f"a name of {family} under another author"
    if (author, name) in data.beginnings:
        yield "only the beginning of a known name"
    if ending:
        yield f"`{ending}` after a known name is explained by no rule"
    if not stated and _NO_POINT.search(name):
        yield "a version without its point, or another"
    if not stated and strange:
        yield f"`{strange[0]}` is in no known name of {author}"


def _shop(provider: str) -> str:
    """The author whose own shop a provider would be."""
    data, house = models(), _PLAN.sub("", provider)
    return data.shops.get(house) or data.authors.get(key(house), house)


def _unexplained(author: str, name: str) -> str:
    """What follows the longest known name that a name begins with, unless models are called so."""
    for place in (match.start() for match in reversed([*re.finditer("-", name)])):
        if _alike(author, name[:place]):
            return "" if _NEW_MODEL.fullmatch(name[place:]) else name[place:]
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _safe(text: str) -> str:
    low = text.strip(" ").replace(" ", "-").lower().replace("%2f", "/")
    if low and text.isascii() and len(low) <= _NAME_LENGTH and not _UNSAFE.search(low):
        return low
    return f"{_UNSAFE.sub('-', low[:_NAME_LENGTH]).rstrip('/')}~{_digest(text)}"


def _part(text: str) -> str:
    return _UNSAFE.sub("-", text.strip().lower()[:_PART_LENGTH]).replace("/", "-")
