"""What a route must be: pure. An unknown fact never satisfies a constraint."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from store.facts import OF_THE_MODEL, Measured
from store.intervals import IntervalRow
from store.records import DATE_FACTS, Facts, is_day

DEFERRED = frozenset({"batch", "flex", "1-month-commitment", "6-month-commitment"})
"""Parts of a variant by which an offer is no answer to ordinary traffic: it answers later, when there is room, or after
something was bought. Asked for by name."""
BITS = MappingProxyType(
    dict.fromkeys(("int4", "fp4", "nvfp4", "mxfp4", "awq", "4bit"), 4)
    | dict.fromkeys(("fp6", "6bit"), 6)
    | dict.fromkeys(("int8", "fp8", "fp8-dynamic", "8bit"), 8)
    | dict.fromkeys(("fp16", "bf16"), 16)
    | {"fp32": 32}
)
"""Bits of a weight, by the name of a quantization."""
GONE = timedelta(days=1)
"""An offer that its source has not listed for longer is no route, whether or not it is confirmed to be withdrawn."""
_REGIONS = MappingProxyType({"europe": "eu", "usa": "us"})


class Seen(NamedTuple):
    """What is known of an offer, by whoever says so."""

    facts: Facts
    measured: Measured


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that must hold of an offer: `context_length >= 131072`."""

    name: str
    sign: str
    value: str
    wanted: str | int | bool
    """`value`, as it is compared."""

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value}"


_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        ">=": operator.ge,
        "<=": operator.le,
        "!=": operator.ne,
        "=": operator.eq,
        ">": operator.gt,
        "<": operator.lt,
    }
)
_CONDITION = re.compile(r"\s*([a-z_]+)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*")
_OF_ROW: Mapping[str, Callable[[IntervalRow], str]] = MappingProxyType(
    {
        "model": lambda row: row.model,
        "author": lambda row: row.model.partition("/")[0],
        "provider": lambda row: row.provider,
        "endpoint": lambda row: row.endpoint,
        "variant": lambda row: row.variant,
        "source": lambda row: row.source,
    }
)
_FACTS = tuple(Facts.__dataclass_fields__)
_COUNTED = re.compile(r"([0-9]+)([kKmMbB]?)")
_TIMES = {"": 1, "k": 1000, "m": 1_000_000, "b": 1_000_000_000}


def condition(text: str) -> Condition:
    """A condition of its text, such as `open_weights=true`, `features=tools` or `release_date>=2026`.

    Raises: ValueError, saying what is wrong.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise ValueError(f"{text!r} is not of the form NAME=VALUE, such as open_weights=true or context_length>=131072")
    name, sign, value = match.groups()
    kind = _kind(name)
    if not kind:
        raise ValueError(f"{name!r} is none of {', '.join((*_OF_ROW, *_FACTS))}")
    if kind in {"text", "list", "bool"} and sign not in {"=", "!="}:
        raise ValueError(f"{name} is no number and no date: it is asked for by = or !=")
    if kind == "bool" and value not in {"true", "false"}:
        raise ValueError(f"{name} is true or false, not {value!r}")
    wanted: str | int | bool = value if kind in {"list", "date"} else value.casefold()
    if kind == "bool":
        wanted = value == "true"
    if kind == "count":
        counted = _COUNTED.fullmatch(value)
        if counted is None:
            raise ValueError(f"{name} is a count such as 131072 or 128k, not {value!r}")
        wanted = int(counted[1]) * _TIMES[counted[2].lower()]
    if kind == "date" and not is_day(value):
        raise ValueError(f"{name} is a year, a month or a day such as 2026-08, not {value!r}")
    return Condition(name, sign, value, wanted)


def _kind(name: str) -> str:
    if name in _OF_ROW or name == "quantization":
        return "text"
    told = Facts.__annotations__.get(name)
    if told is None:
        return ""
    if name in DATE_FACTS:
        return "date"
    return {int | None: "count", bool | None: "bool", tuple[str, ...]: "list"}.get(told, "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a route must be."""

    min_context: int | None = None
    max_output: int | None = None
    """Tokens of output that the endpoint must allow."""
    providers: frozenset[str] = frozenset()
    """Empty: any."""
    exclude_providers: frozenset[str] = frozenset()
    quantizations: frozenset[str] = frozenset()
    min_bits: int | None = None
    """Bits of a weight, at least."""
    sources: frozenset[str] = frozenset()
    """All offers of these sources; empty: for each provider and model those of the most trusted source (`believed`)."""
    tiers: frozenset[str] = frozenset()
    """Which of `DEFERRED` may be; `any`: all."""
    regions: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    input_modalities: frozenset[str] = frozenset()
    output_modalities: frozenset[str] = frozenset()
    no_training: bool = False
    """Prompts must not be used for training."""
    min_uptime_percent: int | None = None
    max_first_token_ms: int | None = None
    min_tokens_per_second: int | None = None
    max_age: timedelta | None = None
    """Since a price was last seen."""
    where: tuple[Condition, ...] = ()
    include_free: bool = False

    @property
    def measured(self) -> bool:
        """Whether it is asked how endpoints fare."""
        return any(
            one is not None for one in (self.min_uptime_percent, self.max_first_token_ms, self.min_tokens_per_second)
        )


def unfit(row: IntervalRow, seen: Seen, needed: tuple[int, int], at: datetime, wanted: Constraints) -> str:
    """Why an endpoint is not what was asked for, whatever it costs; empty if it is.

    `needed`: tokens of the longest prompt and answer.
    """
    return next(filter(None, (judge(row, seen, needed, at, wanted) for judge in _JUDGES)), "")


def _of_whom(row: IntervalRow, _seen: Seen, _needed: tuple[int, int], _at: datetime, wanted: Constraints) -> str:
    if wanted.providers and row.provider not in wanted.providers:
        return "another provider"
    if row.provider in wanted.exclude_providers:
        return "provider excluded"
    return ""


def _of_terms(row: IntervalRow, seen: Seen, _needed: tuple[int, int], at: datetime, wanted: Constraints) -> str:
    parts = frozenset(row.variant.split("/"))
    if "any" not in wanted.tiers:
        for part in sorted((parts & DEFERRED) - wanted.tiers):
            return f"tier {part} not asked for"
    if row.unseen_since is not None and at - row.unseen_since > GONE:
        return "no longer listed"
    if wanted.max_age is not None and at - row.last_seen > wanted.max_age:
        return "not seen for too long"
    if wanted.regions and not wanted.regions & _regions(parts, seen.facts):
        return "another region" if _regions(parts, seen.facts) else "region unknown"
    if wanted.no_training and seen.facts.trains_on_prompts is not False:
        return "training on prompts unknown" if seen.facts.trains_on_prompts is None else "trains on prompts"
    return ""


def _of_size(row: IntervalRow, seen: Seen, needed: tuple[int, int], _at: datetime, wanted: Constraints) -> str:
    prompt, answer = needed
    context, longest_prompt, longest = limits(row, seen)
    return (
        _too_small("context", context, wanted.min_context)
        or _too_small("maximum output", longest, wanted.max_output)
        or _exceeded("context", context, prompt + answer)
        or _exceeded("maximum prompt", longest_prompt, prompt)
        or _exceeded("maximum output", longest, answer)
    )


def limits(row: IntervalRow, seen: Seen) -> tuple[int | None, int | None, int | None]:
    """Tokens of a prompt and its answer together, of a prompt, and of an answer, at most; None: not known."""
    facts = seen.facts
    context = facts.context_length if row.context_length is None else row.context_length
    longest = facts.max_output_tokens if row.max_output_tokens is None else row.max_output_tokens
    return context, facts.max_prompt_tokens, longest


def _of_abilities(row: IntervalRow, seen: Seen, _needed: tuple[int, int], _at: datetime, wanted: Constraints) -> str:
    facts = seen.facts
    quantization = row.quantization or facts.quantization
    if wanted.quantizations and quantization not in wanted.quantizations:
        return "quantization unknown" if quantization is None else "another quantization"
    if wanted.min_bits is not None:
        bits = BITS.get((quantization or "").lower())
        if bits is None:
            return "quantization unknown"
        if bits < wanted.min_bits:
            return f"quantization below {wanted.min_bits} bits"
    for name, has, needs in (
        ("feature", facts.features, wanted.features),
        ("input modality", facts.input_modalities, wanted.input_modalities),
        ("output modality", facts.output_modalities, wanted.output_modalities),
    ):
        for one in sorted(needs - frozenset(has)):
            return f"{name} {one} not stated"
    return next((reason for one in wanted.where if (reason := _fails(one, row, facts))), "")


def _of_measures(_row: IntervalRow, seen: Seen, _needed: tuple[int, int], _at: datetime, wanted: Constraints) -> str:
    uptime, latency, speed = seen.measured
    if wanted.max_first_token_ms is not None and (latency is None or latency > wanted.max_first_token_ms):
        return "latency unknown" if latency is None else f"latency above {wanted.max_first_token_ms} ms"
    return _too_small("uptime", uptime, wanted.min_uptime_percent) or _too_small(
        "throughput", speed, wanted.min_tokens_per_second
    )


_JUDGES = (_of_whom, _of_terms, _of_size, _of_abilities, _of_measures)


def _regions(parts: Iterable[str], facts: Facts) -> frozenset[str]:
    """Where an offer is served, as told by its name and its facts: `eu-west-1` is also `eu`."""
    told = set()
    for part in (*parts, *facts.regions):
        name = _REGIONS.get(part.lower(), part.lower())
        head = name.partition("-")[0]
        if part in facts.regions or name in _KNOWN_REGIONS or (head in _KNOWN_REGIONS and "-" in name):
            told |= {name, head}
    return frozenset(told)


_KNOWN_REGIONS = frozenset({"us", "eu", "ap", "apac", "au", "jp", "cn", "ca", "sa", "me", "af", "uk", "in", "global"})


def _too_small(name: str, value: int | None, wanted: int | None) -> str:
    if wanted is None or (value is not None and value >= wanted):
        return ""
    return f"{name} unknown" if value is None else f"{name} below {wanted}"


def _exceeded(name: str, value: int | None, needed: int) -> str:
    """What is known to be too small for a request; what is not known may be enough."""
    return f"{name} of {value} is too short" if value is not None and value < needed else ""


def _fails(wanted: Condition, row: IntervalRow, facts: Facts) -> str:
    """Why a condition does not hold; empty if it does."""
    name, sign, value = wanted.name, wanted.sign, wanted.wanted
    has: object = _OF_ROW[name](row) if name in _OF_ROW else getattr(facts, name)
    if has is None or has == ():
        return f"{name} unknown"
    if isinstance(has, tuple):
        holds = (value in has) == (sign == "=")
    elif name in DATE_FACTS:
        shared = min(len(str(has)), len(str(value)))
        holds = _SIGNS[sign](str(has)[:shared], str(value)[:shared])
    else:
        holds = _SIGNS[sign](has.casefold() if isinstance(has, str) else has, value)
    return "" if holds else f"not {wanted}"


def sights(
    rows: Iterable[IntervalRow], measured: Callable[[IntervalRow], Measured] = lambda _row: Measured()
) -> Callable[[IntervalRow], Seen]:
    """What is known of each of these offers by all of them together.

    What a source does not state of an offer is taken from others of the same provider, model and variant; what is so of
    a model whoever serves it, from any. The most trusted answers.
    """
    of_offer: dict[tuple[str, str, str], list[IntervalRow]] = {}
    of_model: dict[str, list[IntervalRow]] = {}
    for row in sorted(rows, key=lambda one: (one.trust, one.source, one.endpoint)):
        of_offer.setdefault((row.provider, row.model, row.variant), []).append(row)
        of_model.setdefault(row.model, []).append(row)
    models: dict[str, Facts] = {}

    def model_facts(model: str) -> Facts:
        if model not in models:
            told: dict[str, object] = {}
            for row in of_model.get(model, ()):
                told = {name: value for name, value in row.facts.stated.items() if name in OF_THE_MODEL} | told
            models[model] = Facts(**told)  # type: ignore[arg-type]
        return models[model]

    def sight(row: IntervalRow) -> Seen:
        facts, found = row.facts, measured(row)
        for other in of_offer.get((row.provider, row.model, row.variant), ()):
            if other.endpoint_id != row.endpoint_id:
                facts = facts.filled(other.facts)
                if found == Measured():
                    found = measured(other)
        return Seen(facts.filled(model_facts(row.model)), found)

    return sight
