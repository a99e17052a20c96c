"""What passes between the rooms of the house: plain, immutable values.

Instants are aware `datetime`s in UTC. Amounts are integers of 1e-9 currency units per 1,000,000 tokens, or per single
other thing (see `store.units`). *Free* is the amount 0, *not offered* is a meter that is missing, *varies* and
*unknown* are states of a meter: four different facts, kept apart from parsing to the last answer.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from store.errors import StoreForeign
from store.units import METERS

State = Literal["varies", "unknown"]
"""Why a meter has no amount: its price is decided at run time, or it is charged and we cannot say how much."""

Trust = Literal["first-party", "aggregator", "catalogue", "scraped"]
"""Whom to believe first, best first: the store has the rank."""

TRUST_ORDER: tuple[Trust, ...] = get_args(Trust)

EndReason = Literal["changed", "withdrawn", "superseded"]
END_REASONS: tuple[EndReason, ...] = get_args(EndReason)
"""In the order of their codes in the store."""


def require_utc(at: datetime) -> None:
    """Raises: ValueError unless `at` is aware and in UTC."""
    if at.tzinfo is None or at.utcoffset() != UTC.utcoffset(None):
        raise ValueError(f"instant {at.isoformat()} is not in UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One fetched body with its facts."""

    source: str
    url: str
    fetched_at: datetime
    status: int
    body: bytes
    """Decoded (no content coding), exactly as sent otherwise."""
    content_type: str = ""
    etag: str | None = None
    last_modified: str | None = None
    not_modified: bool = False
    """The upstream answered 304: the body is the one we held."""
    part: str = ""
    """Of a fan-out, what was asked for (a model id); empty for the first document of a source."""
    sha256: str = ""
    """Of `body`, hex; filled in when left empty."""
    notes: tuple[str, ...] = ()
    """What its poll should say of how it came; not archived."""

    def __post_init__(self) -> None:
        require_utc(self.fetched_at)
        if not self.sha256:
            import hashlib  # only documents need it, and a question has none

            object.__setattr__(self, "sha256", hashlib.sha256(self.body).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Amounts that replace those of the rate card while its conditions hold; of several that hold, the last wins.

    With `above_tokens` the whole request is charged at these amounts once its prompt is *longer* than that.
    A window is half-open, in minutes of the day in `tz`, and may wrap midnight.
    """

    above_tokens: int | None = None
    start_minute: int | None = None
    end_minute: int | None = None
    days: tuple[int, ...] = ()
    """ISO weekdays 1 (Monday) to 7; empty means every day."""
    tz: str = "UTC"
    amounts: tuple[tuple[str, int], ...]
    unknown: tuple[str, ...] = ()
    """Meters of the card, sorted, that are charged here too, nobody says how much."""

    def __post_init__(self) -> None:
        if (self.start_minute is None) != (self.end_minute is None):
            raise ValueError("a window needs both its start and its end")
        if self.above_tokens is None and self.start_minute is None:
            raise ValueError("an override needs a condition")
        for minute in (self.start_minute, self.end_minute):
            if minute is not None and not 0 <= minute < 1440:
                raise ValueError(f"minute {minute} is not within a day")
        _check_amounts(self.amounts)
        if list(self.unknown) != sorted(set(self.unknown) & METERS.keys() - dict(self.amounts).keys()):
            raise ValueError("what is unknown is not sorted, or no meter, or has an amount")


@dataclass(frozen=True, kw_only=True)
class RateCard:
    """Everything an endpoint charges, in our unit; equal cards are stored once."""

    currency: str
    amounts: tuple[tuple[str, int], ...]
    """(meter, amount), sorted by meter; 0 is free."""
    states: tuple[tuple[str, State], ...] = ()
    """(meter, why it has no amount), sorted by meter."""
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        _check_amounts(self.amounts)
        names = [name for name, _ in self.amounts] + [name for name, _ in self.states]
        if len(set(names)) != len(names):
            raise ValueError("a meter stands twice in a rate card")
        if list(self.states) != sorted(self.states):
            raise ValueError("states are not sorted by meter")

    @cached_property
    def by_meter(self) -> dict[str, int]:
        """`amounts`, to look up in; never changed."""
        return dict(self.amounts)

    def amount(self, meter: str) -> int | None:
        """The amount outside all conditions, or None where there is none (see `state`)."""
        return self.by_meter.get(meter)

    def state(self, meter: str) -> str:
        """`priced`, `free`, `varies`, `unknown` or `not_offered`."""
        amount = self.amount(meter)
        if amount is not None:
            return "priced" if amount else "free"
        return dict(self.states).get(meter, "not_offered")

    @cached_property
    def text(self) -> str:
        """Canonical JSON: equal cards, equal text."""
        body: dict[str, Any] = {"currency": self.currency, "amounts": dict(self.amounts)}
        if self.states:
            body["states"] = dict(self.states)
        if self.overrides:
            body["overrides"] = [_override_body(override) for override in self.overrides]
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "RateCard":
        """The card of its canonical JSON.

        Raises: StoreForeign if it is none.
        """
        with _stored("a rate card"):
            return cls._from_body(json.loads(text))

    @classmethod
    def _from_body(cls, body: dict[str, Any]) -> "RateCard":
        return cls(
            currency=body["currency"],
            amounts=tuple(sorted(body["amounts"].items())),
            states=tuple(sorted(body.get("states", {}).items())),
            overrides=tuple(
                Override(
                    above_tokens=item.get("above_tokens"),
                    start_minute=item.get("start_minute"),
                    end_minute=item.get("end_minute"),
                    days=tuple(item.get("days", ())),
                    tz=item.get("tz", "UTC"),
                    amounts=tuple(sorted(item["amounts"].items())),
                    unknown=tuple(sorted(item.get("unknown", ()))),
                )
                for item in body.get("overrides", ())
            ),
        )


def _override_body(override: Override) -> dict[str, Any]:
    body: dict[str, Any] = {"amounts": dict(override.amounts)}
    if override.above_tokens is not None:
        body["above_tokens"] = override.above_tokens
    if override.start_minute is not None:
        body |= {"start_minute": override.start_minute, "end_minute": override.end_minute}
    if override.days:
        body["days"] = list(override.days)
    if override.tz != "UTC":
        body["tz"] = override.tz
    if override.unknown:
        body["unknown"] = list(override.unknown)
    return body


def _check_amounts(amounts: tuple[tuple[str, int], ...]) -> None:
    for meter, amount in amounts:
        if meter not in METERS:
            raise ValueError(f"unknown meter {meter!r}")
        if type(amount) is not int or amount < 0:
            raise ValueError(f"amount of {meter} is {amount!r}, not a whole number of nano units")
    if list(amounts) != sorted(amounts):
        raise ValueError("amounts are not sorted by meter")


COUNT_FACTS = ("context_length", "max_output_tokens", "max_prompt_tokens", "total_parameters", "active_parameters")
DATE_FACTS = ("release_date", "knowledge_cutoff", "deprecated_on", "retires_on")
TELLING_FACTS = frozenset(
    {
        "context_length",
        "max_output_tokens",
        "max_prompt_tokens",
        "quantization",
        "discount",
        "status",
        "features",
        "input_modalities",
        "output_modalities",
    }
)
"""What names an offer that shares provider, model and tag with others: so it never changes."""

_DAY = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", re.ASCII)


def is_day(text: str) -> bool:
    """Whether a text is a year, a month or a day of the calendar."""
    if _DAY.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text + "-01-01"[len(text) - 4 :])
    except ValueError:
        return False
    return True


def _canonical(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What belongs to an offer beside its price; a change of any of them opens a new interval."""

    context_length: int | None = None
    """Tokens; None: not stated."""
    max_output_tokens: int | None = None
    max_prompt_tokens: int | None = None
    quantization: str | None = None
    discount: str | None = None
    """Share already taken off the list price, as a plain decimal: `0.2`; negative is a surcharge."""
    status: str | None = None
    """The source's word for the offer's life: `deprecated`, `beta`, ...; never a health reading."""
    features: tuple[str, ...] = ()
    """Supported parameters and abilities as published, sorted."""
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    release_date: str | None = None
    """When the model came out: a year, a month or a day (`2025`, `2025-08`, `2025-08-05`), as finely as published."""
    knowledge_cutoff: str | None = None
    """Up to when the model was taught, as finely as published."""
    total_parameters: int | None = None
    """A count: 120 billion is 120000000000."""
    active_parameters: int | None = None
    """Of them, those used for each token."""
    open_weights: bool | None = None
    licence: str | None = None
    """Of the weights, as published."""
    successor: str | None = None
    """What the source names instead, in its own words."""
    deprecated_on: str | None = None
    """From when on the source advises against it."""
    retires_on: str | None = None
    """From when on it is no longer served."""
    regions: tuple[str, ...] = ()
    """Where it is served, as published, sorted; none: not stated."""
    trains_on_prompts: bool | None = None
    """Whether prompts may be used for training."""
    data_policy: str | None = None
    """What becomes of prompts, in the source's own word: `private`, `anonymized`, `zdr: all`."""

    def __post_init__(self) -> None:
        for name in COUNT_FACTS:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 < value < 2**53):
                raise ValueError(f"{name} is {value!r}, not a positive count")
        for name in DATE_FACTS:
            day = getattr(self, name)
            if day is not None and not is_day(day):
                raise ValueError(f"{name} is {day!r}, not a year, a month or a day")

    @property
    def stated(self) -> dict[str, Any]:
        """Those that are stated, by name."""
        # Asked of every offer of every poll, and most are None.
        fields = self.__dict__.items()
        return {name: value for name, value in fields if value is not None and value != () and name != "text"}

    def filled(self, other: "Facts") -> "Facts":
        """These, and those of others that are not stated here."""
        ours, theirs = self.stated, other.stated
        return self if theirs.keys() <= ours.keys() else Facts(**(theirs | ours))

    @cached_property
    def text(self) -> str:
        """Canonical JSON: equal facts, equal text."""
        return _canonical(self.stated)

    @property
    def telling_text(self) -> str:
        """The same of those alone that tell offers of one provider apart."""
        return _canonical({name: value for name, value in self.stated.items() if name in TELLING_FACTS})

    @classmethod
    def from_text(cls, text: str) -> "Facts":
        """The facts of their canonical JSON.

        Raises: StoreForeign if they are none.
        """
        with _stored("facts"):
            body: dict[str, Any] = json.loads(text)
            fields: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in body.items()
            }
            return cls(**fields)


def parts_from_text(text: str | None) -> frozenset[str]:
    """The parts in a stored list of them; None is an empty one.

    Raises: StoreForeign if it is none.
    """
    with _stored("a list of parts"):
        return frozenset(json.loads(text)) if text else frozenset()


@contextmanager
def _stored(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"the store is damaged: {what} in it cannot be read ({error}): run `tokentape verify`"
        raise StoreForeign(told) from None


Offer: TypeAlias = tuple[str, str, str]
"""Provider, model and tag as published: what siblings share."""


class EndpointKey(NamedTuple):
    """What an endpoint is, as published; with the source it identifies the endpoint for good.

    A tuple, because it is hashed and compared for every endpoint of every poll.
    """

    provider: str
    model: str
    tag: str = ""
    sibling: str = ""
    """Tells apart offers that share provider, model and tag; empty for the first one seen."""

    @property
    def offer(self) -> Offer:
        """What it shares with its siblings."""
        return self[:3]


def endpoint_reference(published_model: str, tag: str, sibling: str) -> str:
    """An endpoint's name within its provider: `openai/gpt-oss-120b@deepinfra/turbo`, `meta/llama@fast#2f1c`."""
    return published_model + (f"@{tag}" if tag else "") + (f"#{sibling}" if sibling else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The canonical names of an endpoint."""

    provider: str
    """Slug: `deepinfra`, `amazon-bedrock`."""
    model: str
    """`author/slug`: `openai/gpt-oss-120b`."""
    variant: str = ""
    """What makes two offers of one provider differ: `fp8`, `flex`, `turbo`, `free`, `global/flex`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """How an endpoint fares just now; a series of its own that never opens a price interval.

    Speeds are measured anew for every answer and never twice the same: kept to the digit they would make a row for each
    endpoint and poll, of noise. What is kept of them is the nearest of 1, 2, 5, 10, 20, 50, ..., so that a row is a
    change to about the half or the double.
    """

    status: int | None = None
    """0 is fine, negative is trouble, in the source's own code."""
    uptime_percent: int | None = None
    """Over the last day, rounded to whole percent."""
    first_token_ms: int | None = None
    """Milliseconds to the first token, coarsely; the median, where the source says which."""
    tokens_per_second: int | None = None
    """Tokens of an answer in a second, once they come, coarsely; 0 is less than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A price that a source itself dates: kept beside what was observed, and never in force on its own."""

    since: datetime | None
    """First instant at which it holds, as stated; None: not said."""
    until: datetime | None
    """First instant at which it no longer holds; None: open."""
    card: RateCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A reason not to believe a quote or a whole document, or a note on one that was accepted."""

    rule: str
    """Snake-case name of the rule: `ratio`, `bound`, `mass_absence`, ..."""
    message: str
    held: bool
    """Kept out of the tape; otherwise only a note."""
    locator: str = ""
    """Where it stood in the document."""
    of_card: bool = True
    """About the prices; otherwise about a fact beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One endpoint as one poll saw it: the end of the pure half of the way of a price."""

    key: EndpointKey
    """`sibling` is empty here; the timeline tells siblings apart."""
    identity: Identity
    card: RateCard | None
    """None: the quote itself was refused (see `findings`); the endpoint still counts as seen."""
    facts: Facts
    part: str = ""
    """Of the document that it stood in (see `Sighting.documents`)."""
    locator: str = ""
    declared_free: bool = False
    stated: tuple[Stated, ...] = ()
    telemetry: Telemetry | None = None
    findings: tuple[Finding, ...] = ()


class Returned(NamedTuple):
    """Documents that a source had sent before, and that came back after others."""

    since: datetime
    """The first poll that had them again."""
    of: datetime
    """The last poll that had them before others came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """All that one successful poll saw of a source."""

    at: datetime
    complete: bool
    """Every followed request succeeded, so that absence may count."""
    failed_parts: frozenset[str] = frozenset()
    """Parts of a fan-out that were asked for and did not answer."""
    documents: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Part -> SHA-256 (hex) and URL of the document that is evidence for its observations."""
    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = field(default=())
    """About the whole document."""
    returned: Returned | None = None
    """Where its documents are old ones (see `store.returned`)."""


BY_SOURCE = "source "
"""Begins who said a verdict, where that is a second source."""
BY_OTHERS = "others"
"""Who said a verdict, where that is what others charge or say: it holds a card, until somebody else says otherwise."""


class Said(NamedTuple):
    """What was said so far of something that is held."""

    released: bool | None = None
    """By a person or a second source, the newest; None: neither has said anything."""
    against: str = ""
    """What others charge, in words, where it speaks against it: it is held for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person, a second source or what others charge says of what is held."""

    subject: str
    """As that of a finding; empty: of a whole document."""
    value: str
    """`RateCard.text` of the card that is held, or the finding's message where it has none."""
    released: bool
    """False: rejected, as if it had never been seen."""
    by: str
    """Who: a person, `source NAME`, or `others`."""
    note: str
    """Why."""
    since: datetime
    """From when on it was held."""


Verdicts: TypeAlias = Mapping[tuple[str, str], Said]
"""What was said of what is held, by its subject and value (see `Verdict`)."""


def with_said(verdicts: Verdicts, found: Iterable[Verdict]) -> dict[tuple[str, str], Said]:
    """What was said so far, with verdicts that follow."""
    said = dict(verdicts)
    for one in found:
        before = said.get((one.subject, one.value), Said())
        if one.by == BY_OTHERS:
            said[one.subject, one.value] = before._replace(against=one.note)
        else:
            said[one.subject, one.value] = before._replace(released=one.released)
    return said
