"""A second, independent reading of recorded timelines: what the intervals of a source must be.

Nothing here calls the collector. An upstream is read straight from its files into plain values, one poll at a time, and
the absence rule and the rules of doubt are applied endpoint by endpoint, in the plainest way there is.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from hashlib import sha256
from itertools import takewhile
from math import prod
from pathlib import Path
from typing import Any

from tests import litellm_entries

Value = Any
Key = tuple[str, ...]
DAY = timedelta(hours=24)


@dataclass
class Seen:
    """An endpoint in one poll."""

    part: str
    amounts: dict[str, int]
    """Everything with a number, by a name of the reader's own: for the rules of doubt."""
    value: Value
    """Whatever must be equal for an interval to go on."""
    free: bool = False
    refused: bool = False
    """The row itself cannot be put on a rate card."""


@dataclass
class Poll:
    """One poll, read independently."""

    at: datetime
    complete: bool
    failed: frozenset[str]
    seen: dict[Key, Seen]
    said: str
    """Digest of all that the upstream said."""


@dataclass
class Expected:
    """One interval that must be in the store."""

    value: Value
    amounts: dict[str, int]
    first_seen: datetime
    not_before: datetime | None
    last_seen: datetime
    ended: datetime | None = None
    reason: str | None = None
    missing: list[datetime] = field(default_factory=list)
    """Complete polls in a row that did not show it."""
    unseen: bool = False


def rows(folder: Path, upstream: str) -> list[dict[str, Any]]:
    """The index of one upstream, oldest first."""
    lines = (folder / "timeline" / "index.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return sorted((row for row in found if row["upstream"] == upstream), key=lambda row: row["observed_at"])


def body(folder: Path, row: Mapping[str, Any]) -> bytes:
    """The body of an index row."""
    return gzip.decompress((folder / "timeline" / row["file"]).read_bytes())


def instant(row: Mapping[str, Any]) -> datetime:
    """When the body of an index row was current."""
    return datetime.fromisoformat(row["observed_at"])


def nano(number: Decimal, scale: int) -> int:
    """The number times a scale, rounded half to even."""
    return int((number * scale).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def expected(polls: list[Poll]) -> dict[Key, list[Expected]]:
    """The intervals of every endpoint, from polls in order."""
    found: dict[Key, list[Expected]] = {}
    parts: dict[Key, str] = {}
    counted: list[Poll] = []
    for number, poll in enumerate(polls):
        returned = _is_old(polls[: number + 1])
        still_open = {
            key for key, one in found.items() if one and one[-1].ended is None and parts[key] not in poll.failed
        }
        gone = still_open - poll.seen.keys()
        at_once = sum(not found[key][-1].missing for key in gone)
        most = max((len(one.seen) for one in counted if (counted[-1].at.date() - one.at.date()).days < 30), default=0)
        too_few = any(
            lost >= 3 and 10 * lost >= of for lost, of in ((at_once, len(still_open)), (most - len(poll.seen), most))
        )
        absence_counts = poll.complete and not too_few
        counted += [poll] * absence_counts
        bad = _bad_company(poll, found)
        for key, seen in poll.seen.items():
            parts[key] = seen.part
            _see(found.setdefault(key, []), polls, number, seen, key[1], bad_company=key[0] in bad, returned=returned)
        for key in gone:
            _miss(found[key][-1], poll.at, absence_counts)
    return {key: one for key, one in found.items() if one}


def _before(polls: list[Poll], number: int, part: str) -> datetime | None:
    for poll in reversed(polls[:number]):
        if part not in poll.failed:
            return poll.at
    return None


def _is_old(polls: list[Poll]) -> bool:
    """Whether the last poll said what another had said within a month before others, and not yet lastingly."""
    now = polls[-1]
    run = [*takewhile(lambda one: one.said == now.said, reversed(polls))]
    start = run[-1].at
    before = polls[: len(polls) - len(run)]
    known = any(one.said == now.said and (start - one.at).days < 30 for one in before)
    return known and not (len(run) >= 3 and now.at - start >= DAY)


def _see(
    intervals: list[Expected],
    polls: list[Poll],
    number: int,
    seen: Seen,
    model: str,
    *,
    bad_company: bool,
    returned: bool,
) -> None:
    at = polls[number].at
    last = intervals[-1] if intervals else None
    amounts, value = dict(seen.amounts), seen.value
    born_at_nothing = not seen.free and amounts.get("input") == 0 and amounts.get("output") == 0
    nothing = {name: amount for name, amount in amounts.items() if amount}
    if born_at_nothing and (last is None or (last.amounts == nothing and last.value == ("unpriced", value))):
        polls_since = [
            one for one in polls[: number + 1] if last and one.at >= last.first_seen and seen.part not in one.failed
        ]
        lasted = last is not None and last.ended is None and at - last.first_seen >= DAY and len(polls_since) >= 3
        if not lasted:
            amounts, value = nothing, ("unpriced", value)
    whole, some = _doubted(model, amounts, last.amounts if last else {})
    if last is None and bad_company:
        whole = True
    if some and last is not None and not whole:
        amounts = {name: one for name, one in amounts.items() if name not in some}
        amounts |= {name: last.amounts[name] for name in some if name in last.amounts}
        unknown = sorted((name, "unknown") for name in some if name not in last.amounts)
        value = ([*sorted(amounts.items()), *unknown], *value[1:])
    if last is not None and value[0] != "unpriced":
        facts, old = value[-1], (last.value[1] if last.value[0] == "unpriced" else last.value)[-1][0]
        if facts[0] and old and max(facts[0], old) >= 8 * min(facts[0], old):
            value = (*value[:-1], [old, *facts[1:]])
    stands = last is not None and last.ended is None and last.value == value
    if seen.refused or whole or (some and last is None) or (returned and not stands):
        if last is not None and last.ended is None:
            last.last_seen, last.unseen, last.missing = at, False, []
        return
    if last is not None and last.ended is None:
        if last.value == value:
            last.last_seen, last.unseen, last.missing = at, False, []
            return
        last.ended, last.reason = at, "changed"
    intervals.append(
        Expected(
            value=value, amounts=amounts, first_seen=at, not_before=_before(polls, number, seen.part), last_seen=at
        )
    )


def _miss(interval: Expected, at: datetime, absence_counts: bool) -> None:
    interval.unseen = True
    if absence_counts:
        interval.missing.append(at)
        if len(interval.missing) >= 3 and at - interval.missing[0] >= DAY:
            interval.ended, interval.reason = interval.missing[0], "withdrawn"


def _bad_company(poll: Poll, found: Mapping[Key, list[Expected]]) -> set[str]:
    """Providers of whose newcomers three, and a quarter, have a price that no text ever had."""
    new: dict[str, list[bool]] = {}
    for key, seen in poll.seen.items():
        if not found.get(key) and not seen.refused:
            new.setdefault(key[0], []).append(any(_absurd(name, amount) for name, amount in seen.amounts.items()))
    return {provider for provider, marks in new.items() if sum(marks) >= 3 and 4 * sum(marks) >= len(marks)}


def _absurd(name: str, amount: int) -> bool:
    return name.split(" ", maxsplit=1)[0] in TEXT and (amount > 1000 * 10**9 or 0 < amount < 10**5)


def _too_dear(model: str, name: str, amount: int) -> bool:
    """Whether a text of a model that is named by its size costs more than a dollar for each billion, and 25."""
    words = [word.removesuffix("b").split("x") for word in re.split(r"[^a-z0-9.]", model.lower()) if word.endswith("b")]
    sizes = [prod(map(float, word)) for word in words if all(re.fullmatch(r"\d+(\.\d+)?", one) for one in word)]
    return bool(sizes) and name.split(" ", maxsplit=1)[0] in TEXT and amount > max(25.0, *sizes) * 10**9


def _doubted(model: str, amounts: Mapping[str, int], last: Mapping[str, int]) -> tuple[bool, set[str]]:
    """Whether the whole is doubted, and which amounts are."""
    some = {name for name, amount in amounts.items() if _absurd(name, amount) or _too_dear(model, name, amount)}
    read = amounts.get("cache_read", 0)
    if read and (read > (amounts.get("input") or read) or read == amounts.get("cache_write")):
        some.add("cache_read")
    if amounts == last:
        return any(" " in name for name in some), some  # what did not move is doubted for itself alone
    for name, amount in amounts.items():
        old = last.get(name)
        if old and (amount == 0 or amount >= 30 * old or 30 * amount <= old):
            some.add(name)
    factors = [
        Fraction(amount, last[name]) for name, amount in amounts.items() if name in TEXT and amount and last.get(name)
    ]
    together = bool(factors) and all(abs(one / factors[0] - 1) * 100 <= 1 for one in factors)
    factor = max(factors[0], 1 / factors[0]) if factors else Fraction(1)
    swapped = any(
        last.get(one) and last.get(other) and last[one] != last[other]
        and (amounts.get(one), amounts.get(other)) == (last[other], last[one])
        for one in TEXT for other in TEXT
    )  # fmt: skip
    whole = swapped or (together and (factor >= 10 or Fraction(62, 10) <= factor <= Fraction(76, 10)))
    return whole or any(" " in name for name in some), some


TEXT = {"input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "citation"}

OPENROUTER_METERS = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write",
    "input_cache_write_1h": "cache_write_1h",
    "internal_reasoning": "reasoning",
    "audio": "input_audio",
    "audio_output": "output_audio",
    "input_audio_cache": "cache_read_audio",
    "image_output": "output_image_token",
    "image": "input_image_token",
    "web_search": "web_search",
}
"""By hand: all keys that were recorded with an endpoint since July 2026."""


def openrouter(folder: Path) -> Iterator[tuple[datetime, bytes, dict[str, bytes | None]]]:
    """(instant, /models body, model id -> its answer or None where the mirror has none) for every recorded sweep."""
    lists = rows(folder, "openrouter-models")
    state: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    for row in rows(folder, "openrouter-endpoints"):
        bundle = json.loads(body(folder, row))
        if row["scope"] == "all":
            kept = {name: state[name] for name in row.get("not_recorded", ()) if name in state}
            state, aliases = kept | dict(bundle["models"]), bundle["aliases"]
        else:
            for name in row["scope"]:
                state.pop(name, None)
            state |= bundle["models"]
        newest = [one for one in lists if one["observed_at"] <= row["observed_at"]][-1]
        listed = body(folder, newest)
        answers: dict[str, bytes | None] = {}
        for model in json.loads(listed)["data"]:
            answer = state.get(model["id"], state.get(aliases.get(model["id"], "")))
            answers[model["id"]] = None if answer is None else json.dumps(answer).encode()
        yield instant(row), listed, answers


def told_day(text: str | None) -> str | None:
    """A date that can be one, as it is written."""
    for form in ("%Y-%m-%d", "%Y-%m"):
        try:
            return text if text and 2015 <= datetime.strptime(text, form).year < 2050 else None  # noqa: DTZ007 - a day
        except ValueError:
            continue
    return None


def read_openrouter(at: datetime, listed: bytes, answers: Mapping[str, bytes | None]) -> Poll:
    """A sweep as a poll."""
    seen: dict[Key, Seen] = {}
    lives = {
        model["id"]: [told_day(model.get("knowledge_cutoff")), told_day(model.get("expiration_date"))]
        for model in json.loads(listed)["data"]
    }
    for asked, answer in answers.items():
        if answer is None:
            continue
        data = json.loads(answer)["data"]
        counts: dict[tuple[str, str], int] = {}
        for one in data["endpoints"]:
            counts[one["provider_name"], one["tag"]] = counts.get((one["provider_name"], one["tag"]), 0) + 1
        for one in data["endpoints"]:
            twin = counts[one["provider_name"], one["tag"]] > 1
            apart = " ".join(sorted(one["supported_parameters"])) if twin else ""
            key = (one["provider_name"], data["id"], one["tag"], apart)
            seen.setdefault(key, _openrouter_endpoint(asked, data, one, lives[asked]))
    failed = frozenset(asked for asked, answer in answers.items() if answer is None)
    said = sha256(repr((listed, sorted(answers.items()))).encode()).hexdigest()
    return Poll(at=at, complete=not failed, failed=failed, seen=seen, said=said)


def _openrouter_endpoint(asked: str, data: Mapping[str, Any], one: Mapping[str, Any], life: list[str | None]) -> Seen:
    pricing = one["pricing"]
    base = openrouter_amounts(pricing)
    overrides = pricing.get("overrides", [])
    large = [(item["min_prompt_tokens"], item) for item in overrides if "min_prompt_tokens" in item]
    hours = [item for item in overrides if "utc_start" in item]
    by_minute: list[tuple[tuple[str, int], ...]] = [tuple(sorted(base.items()))] * (1440 if hours else 1)
    for item in hours:
        start, end = (item[name] // 100 * 60 + item[name] % 100 for name in ("utc_start", "utc_end"))
        minutes = range(start, end) if start < end else [*range(start, 1440), *range(end)]
        for minute in minutes:
            by_minute[minute] = tuple(sorted((base | openrouter_amounts(item)).items()))
    amounts = dict(min(Counter(by_minute).items(), key=lambda moment: (-moment[1], moment[0]))[0])
    for above, item in large:
        amounts |= {f"{name} above {above}": amount for name, amount in openrouter_amounts(item).items()}
    facts = [
        one["context_length"] or None,
        one["max_completion_tokens"],
        one["max_prompt_tokens"],
        None if one["quantization"] == "unknown" else one["quantization"],
        Decimal(str(pricing.get("discount") or 0)),
        sorted(set(one["supported_parameters"])),
        sorted(data["architecture"]["input_modalities"]),
        sorted(data["architecture"]["output_modalities"]),
        life,
    ]
    schedule = by_minute if hours else None
    return Seen(
        part=asked,
        amounts=amounts,
        value=(sorted(amounts.items()), schedule, facts),
        free=data["id"].endswith(":free"),
    )


def openrouter_amounts(pricing: Mapping[str, Any]) -> dict[str, int]:
    """Amounts of one offer, or of its headline, by our names."""
    found = {}
    for name, meter in OPENROUTER_METERS.items():
        text = pricing.get(name)
        if text is None or text == "-1":
            continue
        amount = nano(Decimal(text), 10**9 if meter == "web_search" else 10**15)
        if amount or meter in ("input", "output"):
            found[meter] = amount
    return found


LITELLM_METERS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "input_cost_per_token_cache_hit": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_token_cost_per_audio_token": "cache_read_audio",
    "cache_creation_input_audio_token_cost": "cache_write_audio",
    "input_cost_per_image_token": "input_image_token",
    "output_cost_per_image_token": "output_image_token",
    "cache_read_input_image_token_cost": "cache_read_image",
    "output_cost_per_video_token": "output_video_token",
    "citation_cost_per_token": "citation",
    "input_cost_per_request": "request",
    "input_cost_per_query": "query",
    "input_cost_per_image": "input_image",
    "output_cost_per_image": "output_image",
    "input_cost_per_second": "input_second",
    "output_cost_per_second": "output_second",
    "output_cost_per_video_per_second": "output_second",
    "input_cost_per_character": "input_character",
    "output_cost_per_character": "output_character",
    "ocr_cost_per_page": "input_page",
    "annotation_cost_per_page": "input_annotated_page",
}
SINGLE = ("request", "query", "input_image", "output_image", "input_page", "input_annotated_page")
LITELLM_TIERS = {"_batches": "batch", "_batch_requests": "batch", "_flex": "flex", "_priority": "priority"}


def read_litellm(at: datetime, raw: bytes) -> Poll:
    """A version of LiteLLM's file as a poll."""
    seen: dict[Key, Seen] = {}
    for name, entry in json.loads(raw, parse_float=Decimal).items():
        if not isinstance(entry, dict) or entry.get("mode") not in litellm_entries.MODES:
            continue
        silent = litellm_entries.unread(entry)
        model, size = litellm_entries.model_and_size(name, entry["mode"])
        tiers: dict[str, dict[str, int]] = {"": {}}
        unread: set[str] = set()
        too_fine: set[str] = set()
        for field_name, value in _litellm_fields(entry):
            base, above, tag = _litellm_name(field_name)
            meter = LITELLM_METERS.get(base)
            if meter is None or value is None or field_name in silent:
                continue
            single = meter.endswith(("_character", "_second")) or meter in SINGLE
            scale = 10**9 if single else 10**15
            amount = nano(Decimal(value), scale)
            if 10**6 * abs(amount - Decimal(value) * scale) > Decimal(value) * scale:
                too_fine.add(tag)
            where = f"{meter} above {above}" if above else meter
            if amount == 0 and not name.endswith(":free"):
                unread.add(f"{tag} {where}")
                tiers.setdefault(tag, {})
            else:
                tiers.setdefault(tag, {})[where] = amount
        facts = [
            int(entry.get("max_input_tokens") or 0),
            int(entry.get("max_output_tokens") or 0),
            entry.get("deprecation_date"),
            sorted(one for one, on in entry.items() if one.startswith("supports_") and on is True),
            sorted(entry.get("supported_modalities") or []),
            sorted(entry.get("supported_output_modalities") or []),
            sorted(entry.get("supported_regions") or []),
        ]
        for tag, amounts in tiers.items():
            hidden = sorted(one for one in unread if one.partition(" ")[0] == tag)
            seen[entry.get("litellm_provider", ""), model, "/".join(filter(None, (size, tag))), ""] = Seen(
                part="",
                amounts=amounts,
                value=(sorted(amounts.items()), hidden, facts),
                free=name.endswith(":free"),
                refused=tag in too_fine,
            )
    return Poll(at=at, complete=True, failed=frozenset(), seen=seen, said=sha256(raw).hexdigest())


def _litellm_fields(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from entry.items()
    for tier in (entry.get("tiered_pricing") or []) if entry["mode"] in litellm_entries.TEXT else []:
        start = int(tier["range"][0])
        for name, value in tier.items():
            yield (f"{name}_above_{start // 1000}k_tokens" if start else name), value


def _litellm_name(name: str) -> tuple[str, int, str]:
    tag = ""
    for suffix, word in LITELLM_TIERS.items():
        if name.endswith(suffix):
            name, tag = name.removesuffix(suffix), word
    base, _, above = name.partition("_above_")
    if above.endswith("k_tokens") and above.removesuffix("k_tokens").isdigit():
        return base, int(above.removesuffix("k_tokens")) * 1000, tag
    if above.startswith("1hr_above_"):
        return f"{base}_above_1hr", int(above.removeprefix("1hr_above_").removesuffix("k_tokens")) * 1000, tag
    return name, 0, tag


def read_models_dev(at: datetime, raw: bytes) -> Poll:
    """A version of the models.dev catalogue as a poll."""
    seen: dict[Key, Seen] = {}
    for provider, entry in json.loads(raw, parse_float=Decimal).items():
        for name, model in entry["models"].items():
            experimental = model.get("experimental")
            modes = (experimental.get("modes") or {}) if isinstance(experimental, dict) else {}
            costs = {"": model.get("cost")} | {mode: one["cost"] for mode, one in modes.items() if one.get("cost")}
            limit, modalities = model.get("limit", {}), model.get("modalities")
            modalities = modalities or {way: model.get(f"{way}_modalities") for way in ("input", "output")}
            facts = [
                limit.get("context") or 0,
                limit.get("output") or 0,
                limit.get("input") or 0,
                model.get("status"),
                [model.get(one) is True for one in ("attachment", "reasoning", "structured_output", "tool_call")],
                sorted(modalities.get("input") or []),
                sorted(modalities.get("output") or []),
                told_day(model.get("release_date")),
                told_day(model.get("knowledge")),
                model.get("open_weights"),
            ]
            for tag, cost in costs.items():
                amounts = _models_dev_amounts(cost or {}, free=name.endswith(":free"))
                seen[provider, name.strip(), tag, ""] = Seen(
                    part="", amounts=amounts, value=(sorted(amounts.items()), facts), free=name.endswith(":free")
                )
    return Poll(at=at, complete=True, failed=frozenset(), seen=seen, said=sha256(raw).hexdigest())


def _models_dev_amounts(cost: Mapping[str, Any], *, free: bool) -> dict[str, int]:
    found: dict[str, int] = {}

    def read(prices: Mapping[str, Any], condition: str) -> None:
        for meter in ("input", "output", "cache_read", "cache_write", "reasoning", "input_audio", "output_audio"):
            if prices.get(meter) is not None:
                amount = nano(Decimal(prices[meter]), 10**9)
                if amount or free:
                    found[meter + condition] = amount

    read(cost, "")
    for tier in cost.get("tiers") or []:
        read(tier, f" above {tier['tier']['size']}")
    if "tiers" not in cost and cost.get("context_over_200k"):
        read(cost["context_over_200k"], " above 200000")
    return found
