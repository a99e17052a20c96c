"""The forms of usage files: which column says what, in the exports of systems that are known.

What is told of each form is from these places; where only documentation was read and no file, it says so.

- `openai`: completions usage. CSV that the usage page exports, as a published file has it: a row for each minute, or
  day, and project, key, model and service tier, with counts such as `59200.0`, `batch` as TRUE or FALSE, and empty
  rows for times without use. JSON of `GET /v1/organization/usage/completions` by its documentation: buckets of results
  (https://platform.openai.com/docs/api-reference/usage/completions_object). Input counts all tokens of the prompt,
  cached ones included. It has no cost: that is another export, for `--invoice`.
- `litellm`: rows of `LiteLLM_SpendLogs`, by the table's declaration (`schema.prisma` of BerriAI/litellm) and published
  rows: `metadata.usage_object` holds what was read from a cache, in OpenAI's or Anthropic's words. Instants are UTC.
  `prompt_tokens` counts the whole prompt. `spend` is a binary floating-point number.
- `langfuse`: observations, as the table exports them (columns by the code of the export, langfuse/langfuse
  `observation-stream.ts`) or as blob storage does (documentation only:
  https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields). Usage types are disjoint: those
  with `input` in their name add up to the prompt, those with `output` to the answer.
- `openrouter`: the CSV of the activity page, by headers and rows that others published (whether `tokens_prompt` counts
  by the provider's own tokenizer is said nowhere), and `GET /api/v1/activity` by its documentation
  (https://openrouter.ai/docs/api-reference/analytics/get-activity): a row for each day and endpoint. Reasoning is
  part of the completion. Whoever pays a provider by a key of his own pays OpenRouter a fee: such rows have no invoice.
- anything else: columns that are called as our fields are, and those that `--map` names.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.usage import FIELDS, UNCACHED, BadRow, Fields, Reading, shown
from store.errors import QueryError

Record = Mapping[str, Any]
MAPPED = "columns"
"""Of a file whose columns are named by the user, or are called as our fields are."""


class NotCharged(BadRow):
    """A row of something that nobody charged for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a kind of export is read."""

    name: str
    needs: tuple[frozenset[str], ...]
    """Columns by which it is recognised: all of any of these sets."""
    fields: Callable[[Record], Iterable[Fields]]
    """The rows in a record, in our words. Raises: BadRow."""
    reading: Reading = field(default_factory=Reading)
    provider: str = ""
    """Who sold it, where the export does not say."""
    names_of: str = ""
    """The source whose names of providers those are."""
    source: str = ""
    """The source that states what was paid, where there is such an offer: a gateway's own price."""


def recognise(columns: Sequence[str], given: Mapping[str, str], *, utc: bool, cost_digits: int | None) -> Form:
    """The form of a file with these columns; `given` are fields and the columns that the user named for them.

    Raises: QueryError if it is of none.
    """
    there = frozenset(columns)
    if not given:
        for form in FORMS:
            if any(needed <= there for needed in form.needs):
                return form
    missing = [name for name in given.values() if name not in there]
    if missing:
        raise QueryError(f"has no column {missing[0]!r}; it has {', '.join(columns)}")
    named = {name: name for name in FIELDS if name in there} | dict(given)
    lacking = [name for name in ("instant", "model") if name not in named]
    if lacking or not {"input", UNCACHED, "output"} & named.keys():
        wanted = ",".join(f"{name}=COLUMN" for name in lacking or ("input", "output"))
        raise QueryError(
            f"is of no form that is known ({', '.join(dict.fromkeys(form.name for form in FORMS))}): name its columns, "
            f"--map {wanted}; it has {', '.join(columns)}"
        )
    return Form(name=MAPPED, needs=(), fields=_renamed(named), reading=Reading(utc=utc, cost_digits=cost_digits))


def _renamed(named: Mapping[str, str]) -> Callable[[Record], Iterable[Fields]]:
    """Of a record, the values of columns by the names of fields."""
    pairs = tuple(named.items())
    return lambda record: ({name: record.get(column) for name, column in pairs},)


def _nested(value: Any, what: str) -> Record:
    """An object that stands in a record, in CSV as JSON; empty where it is not there.

    Raises: BadRow if it is none.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=str) if value.strip() else None
        except (ValueError, RecursionError):
            raise BadRow(f"{what} is not JSON: {shown(value)}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRow(f"{what} is {shown(value)}")
    return value


def _first(record: Record, *names: str) -> Any:
    """The first of some columns that says anything."""
    return next((value for name in names if (value := record.get(name)) not in (None, "")), None)


_OPENAI = _renamed(
    {
        "instant": "start_time",
        "until": "end_time",
        "model": "model",
        "tier": "service_tier",
        "input": "input_tokens",
        "output": "output_tokens",
        "cached": "input_cached_tokens",
        "cache_write": "input_cache_write_tokens",
        "input_audio": "input_audio_tokens",
        "output_audio": "output_audio_tokens",
        "input_image_token": "input_image_tokens",
        "output_image_token": "output_image_tokens",
        "requests": "num_model_requests",
        "key": "api_key_id",
        "user": "user_id",
        "project": "project_id",
    }
)


def _openai(record: Record) -> Iterator[Fields]:
    for result in _openai_results(record):
        if not any(result.get(name) for name in ("input_tokens", "output_tokens", "num_model_requests")):
            continue  # a stretch of time without use
        (fields,) = _OPENAI(result)
        batch = str(result.get("batch") or "").lower() == "true"
        for name in ("input_cached_audio_tokens", "input_cached_image_tokens"):
            if result.get(name) not in (None, "", 0, "0", "0.0"):
                raise BadRow(f"{name} is {shown(result[name])}: no price is kept of what that is")
        yield {**fields, "tier": "batch" if batch else fields["tier"]}


def _openai_results(record: Record) -> Iterator[Record]:
    """The results of a page, of a bucket, or one by itself, each with the time of its bucket."""
    for bucket in _several(record, "data"):
        times = {name: bucket.get(name) for name in ("start_time", "end_time")}
        for result in _several(bucket, "results"):
            yield {**times, **result}


def _several(record: Record, name: str) -> Sequence[Record]:
    """The records that stand in one, or that one itself where none do.

    Raises: BadRow if something else stands there.
    """
    found = record.get(name, [record])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadRow(f"{name} is {shown(found)}")
    return found


def _litellm(record: Record) -> Iterator[Fields]:
    if str(record.get("cache_hit")).lower() == "true":
        raise NotCharged("answered from the gateway's own cache: no provider was asked")
    if record.get("status") == "failure":
        raise NotCharged("a request that failed")
    stated = _nested(record.get("metadata"), "metadata")
    used = _nested(stated.get("usage_object"), "usage_object")
    prompt = _nested(used.get("prompt_tokens_details"), "prompt_tokens_details")
    answer = _nested(used.get("completion_tokens_details"), "completion_tokens_details")
    kept = _nested(prompt.get("cache_creation_token_details"), "cache_creation_token_details")
    written = _first(used, "cache_creation_input_tokens") or _first(prompt, "cache_creation_tokens") or 0
    hour = kept.get("ephemeral_1h_input_tokens") or 0
    yield {
        "instant": record.get("startTime"),
        "provider": record.get("custom_llm_provider"),
        "model": record.get("model"),
        "tier": _first(used, "service_tier"),
        "input": record.get("prompt_tokens"),
        "output": record.get("completion_tokens"),
        "cached": _first(used, "cache_read_input_tokens") or _first(prompt, "cached_tokens"),
        "cache_write": max(0, written - hour) if type(written) is type(hour) is int else written,
        "cache_write_1h": hour,
        "reasoning": answer.get("reasoning_tokens"),
        "input_audio": prompt.get("audio_tokens"),
        "output_audio": answer.get("audio_tokens"),
        "cost": record.get("spend"),
        "key": record.get("api_key"),
        "user": _first(record, "user", "end_user"),
        "project": record.get("team_id"),
    }


_DIGITS = 15
_LANGFUSE_TYPES = {
    "input": UNCACHED,
    "output": "output",
    "input_cached_tokens": "cached",
    "cache_read_input_tokens": "cached",
    "input_cache_read": "cached",
    "cache_creation_input_tokens": "cache_write",
    "input_cache_creation": "cache_write",
    "input_cache_creation_5m": "cache_write",
    "input_cache_creation_1h": "cache_write_1h",
    "input_audio_tokens": "input_audio",
    "output_audio_tokens": "output_audio",
    "output_reasoning_tokens": "reasoning",
}
"""Usage type -> what it counts. `total` is none."""
_LANGFUSE_PARTS = {"input_audio": UNCACHED, "reasoning": "output", "output_audio": "output"}
"""What is counted apart there and is part of a whole here."""


def _langfuse(record: Record) -> Iterator[Fields]:
    if _first(record, "type") not in (None, "GENERATION", "EMBEDDING"):
        raise NotCharged("no generation")
    used = _nested(_first(record, "usageDetails", "usage_details"), "usage details")
    counted: dict[str, int] = {}
    for name, value in used.items():
        count = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= _DIGITS else value
        if name == "total" or not count:
            continue
        if name not in _LANGFUSE_TYPES or type(count) is not int or count < 0:
            raise BadRow(f"usage type {shown(name)} is {shown(value)}: what that is charged as is not known")
        counted[_LANGFUSE_TYPES[name]] = counted.get(_LANGFUSE_TYPES[name], 0) + count
    if not counted:
        raise BadRow("has no usage")
    for part, into in _LANGFUSE_PARTS.items():
        if part in counted:
            counted[into] = counted.get(into, 0) + counted[part]
    yield {
        **counted,
        "instant": _first(record, "startTime", "start_time"),
        "model": _first(record, "model", "providedModelName", "provided_model_name"),
        "cost": _first(record, "totalCost", "total_cost", "calculatedTotalCost"),
        "user": _first(record, "userId", "user_id"),
        "project": _first(record, "projectId", "project_id"),
        "key": _first(record, "traceName", "trace_name"),
        UNCACHED: counted.get(UNCACHED, 0),
    }


def _openrouter(record: Record) -> Iterator[Fields]:
    own_key = str(record.get("byok_usage_inference") or 0)
    variant = record.get("variant")
    model = record.get("model_permaslug")
    if variant not in (None, "", "standard"):
        model = f"{model}:{variant}"
    yield {
        "instant": record.get("created_at"),
        "provider": record.get("provider_name"),
        "model": model,
        "input": record.get("tokens_prompt"),
        "output": record.get("tokens_completion"),
        "cached": record.get("tokens_cached"),
        "reasoning": record.get("tokens_reasoning"),
        "cost": record.get("cost_total") if own_key.strip("0.") == "" else None,
        "key": record.get("api_key_name"),
        "user": record.get("user"),
        "project": record.get("app_name"),
    }


def _openrouter_days(record: Record) -> Iterator[Fields]:
    for day in _several(record, "data"):
        own_key = str(day.get("byok_usage_inference") or 0)
        yield {
            "instant": day.get("date"),
            "provider": day.get("provider_name"),
            "model": _first(day, "model_permaslug", "model"),
            "input": day.get("prompt_tokens"),
            "output": day.get("completion_tokens"),
            "reasoning": day.get("reasoning_tokens"),
            "requests": day.get("requests"),
            "cost": day.get("usage") if own_key.strip("0.") == "" else None,
        }


def _any(*columns: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split()) for one in columns)


_AS_IT_IS = Reading(exact=True)
FORMS = (
    Form(
        name="openai",
        needs=_any(
            "start_time end_time input_tokens num_model_requests", "object start_time results", "object data has_more"
        ),
        fields=_openai,
        provider="openai",
    ),
    Form(
        name="litellm",
        needs=_any("request_id startTime spend prompt_tokens completion_tokens model"),
        fields=_litellm,
        reading=_AS_IT_IS,
        names_of="litellm",
    ),
    Form(
        name="langfuse",
        needs=_any("startTime usageDetails", "start_time usage_details"),
        fields=_langfuse,
        reading=_AS_IT_IS,
    ),
    Form(
        name="openrouter",
        needs=_any("created_at tokens_prompt tokens_completion model_permaslug"),
        fields=_openrouter,
        reading=_AS_IT_IS,
        names_of="openrouter",
        source="openrouter",
    ),
    Form(
        name="openrouter",
        needs=_any("date model_permaslug prompt_tokens completion_tokens usage"),
        fields=_openrouter_days,
        reading=_AS_IT_IS,
        names_of="openrouter",
        source="openrouter",
    ),
)
