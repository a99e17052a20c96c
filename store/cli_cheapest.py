"""`cheapest`: a door to `store.routing`, `store.crossovers` and `store.gateways`, with no logic of its own."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from store.cli_currency import tell
from store.doors import (
    AT,
    COUNT,
    KNOWN_AT,
    RAW,
    Doors,
    Doubts,
    answer,
    currency_option,
    done,
    question,
)
from store.errors import NothingMatched
from store.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.constraints import Constraints
    from store.crossovers import Crossing
    from store.routing import Excluded
    from store.traffic import Traffic

_FORMATS = ("table", "csv", "json", "jsonl", "litellm", "openrouter")
_PERCENT = click.IntRange(0, 100)


class _Share(click.ParamType[Fraction]):
    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        text = str(value)
        try:
            share = Fraction(Decimal(text.removesuffix("%")))
        except (InvalidOperation, ValueError, OverflowError):
            self.fail(f"{text!r} is not a share such as 0.75 or 75%", param, ctx)
        share = share / 100 if text.endswith("%") else share
        if not 0 <= share <= 1:
            self.fail(f"{text!r} is not between 0 and 1", param, ctx)
        return share


def _many(*names: str, text: str) -> "Any":
    return click.option(*names, multiple=True, metavar="NAME", help=f"{text} (repeatable).")


WORKLOAD = (
    click.option(
        "--input", "input_tokens", type=COUNT, default=3000, show_default=True, help="Prompt tokens a request."
    ),
    click.option("--output", "output_tokens", type=COUNT, default=1000, show_default=True, help="Tokens answered."),
    click.option("--cached", "cached_tokens", type=COUNT, default=0, show_default=True, help="Of --input, from cache."),
    click.option("--cache-hit", "hits", type=_Share(), help="Of --input, the share from cache: 0.75 or 75%."),
    click.option(
        "--cache-ttl",
        "ttl",
        type=click.Choice(["5m", "1h"]),
        help="The rest of --input is written to a cache, so long.",
    ),
    click.option(
        "--also", "more", multiple=True, metavar="METER=N", help="Also used, such as reasoning=500 or web_search=2."
    ),
    click.option(
        "--mix",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Several kinds of requests instead: a CSV of requests,input,output,cached and further meters.",
    ),
    click.option("--requests", "a_month", type=click.IntRange(1, 10**12), help="Requests a month."),
    click.option("--hours", metavar="PATTERN", help="When they come, such as 'Mon-Fri 08-18 x3; 0-24'. [default: now]"),
    click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help="Time zone of --hours."),
)
LIMITS = (
    click.option("--min-context", type=COUNT, help="Context length needed; unknown is too short."),
    click.option("--max-output", type=COUNT, help="Output tokens that must be allowed; unknown is too few."),
    _many("--provider", "providers", text="Only this provider"),
    _many("--exclude-provider", "exclude_providers", text="Not this provider"),
    _many("--quantization", "quantizations", text="Only this one, such as fp8"),
    click.option("--min-bits", type=click.IntRange(1, 64), help="Weights of at least so many bits, such as 8."),
    _many("--source", "sources", text="Every offer of this source"),
    _many("--tier", "tiers", text="Also offers that answer later: batch, flex; any"),
    _many("--region", "regions", text="Served in this region, such as eu or us-east-1"),
    _many("--feature", "features", text="Has this feature, such as tools"),
    _many("--modality", "input_modalities", text="Reads this, such as image"),
    _many("--output-modality", "output_modalities", text="Answers in this, such as image"),
    click.option("--no-training", is_flag=True, help="Says that it does not train on prompts."),
    click.option("--min-uptime", "min_uptime_percent", type=_PERCENT, help="Uptime in percent, when last measured."),
    click.option("--max-latency", "max_first_token_ms", type=COUNT, help="Milliseconds to the first token."),
    click.option("--min-throughput", "min_tokens_per_second", type=COUNT, help="Tokens a second."),
    click.option("--max-age", "max_age_h", type=COUNT, help="Hours since the price was last seen."),
    click.option(
        "--where",
        multiple=True,
        metavar="NAME=VALUE",
        help="What else must hold: open_weights=true, author=qwen, release_date>=2026 (repeatable).",
    ),
    click.option("--include-free", is_flag=True, help="Also endpoints that charge nothing for this workload."),
)


@question(
    click.argument("model", nargs=-1, metavar="[MODEL]..."),
    *WORKLOAD,
    *LIMITS,
    currency_option("Rank by the cost in this currency, by the rates on the tape.", "USD"),
    click.option(
        "--current", metavar="PROVIDER", help="Where it is sent now (or SOURCE:PROVIDER:ENDPOINT): the saving."
    ),
    click.option(
        "--crossovers", is_flag=True, help="At which cache hits, prompt or hour another is cheapest, instead."
    ),
    click.option("--top", type=click.IntRange(min=1), help="Only so many routes.  [default: all, or 50 of any model]"),
    click.option("--why", is_flag=True, help="Name each endpoint that is left out, with the reason (standard error)."),
    AT,
    KNOWN_AT,
    click.option("--format", "form", type=click.Choice(_FORMATS), default="table", show_default=True),
    RAW,
)
def cheapest(
    doors: Doors,
    *,
    model: tuple[str, ...],
    currency: str,
    current: str | None,
    crossovers: bool,
    top: int | None,
    why: bool,
    at: datetime | None,
    known_at: datetime | None,
    form: str,
    raw: bool,
    **described: Any,
) -> None:
    """Rank endpoints by what a request costs there, conditions applied; equal costs share a rank.

    For each provider the most trusted source answers (a fresh one, where that is stale and it saw the price begin
    since), unless --source names others. A price that is
    unknown, varies or is not offered never competes, and neither does one in a currency without a rate, an endpoint
    known to be too small for the request, or one that answers later (--tier). The prices shown are those that apply to
    the workload. Cached tokens are charged as cache reads where those are offered, else as input. Several models are
    ranked together; without any, all that fit --where and the other constraints. A fact nobody states never fits.

    With --hours, a cost is the mean over the week around --at. --format litellm writes the model_list of a LiteLLM
    router, --format openrouter the provider preferences of OpenRouter.

    \b
    Examples:
      tokentape cheapest openai/gpt-oss-120b
      tokentape cheapest gpt-oss-120b --input 20000 --cache-hit 75% --output 500 --requests 1000000 --current groq
      tokentape cheapest gpt-oss-120b --input 20000 --cached 15000 --crossovers
      tokentape cheapest --where open_weights=true --feature tools --modality image --min-context 128000 --top 10
      tokentape cheapest deepseek/deepseek-v4-flash --hours 'Mon-Fri 09-18' --tz Europe/Berlin --requests 50000
      tokentape cheapest openai/gpt-oss-120b --min-bits 8 --region eu --format litellm
    """
    from store import columns, gateways, views
    from store.choice import choose

    traffic, wanted = _described(described)
    if not model and not wanted.where:
        raise click.UsageError("Missing argument '[MODEL]...': name a model, or what it must be by --where")
    if form == "openrouter":
        wanted = replace(wanted, sources=frozenset({gateways.OPENROUTER}))
    instant, known = doors.instants(at, known_at)
    with doors.open() as reader:
        into = doors.converter(reader, currency, known)
        choice = choose(reader, model, traffic, wanted, instant, into, known=known, sent_to=current, top=top)
        one = choice.models[0] if len(choice.models) == 1 else ""
        crossing = list(choice.crossings()) if crossovers or (form == "table" and one) else []
    routes, left_out = choice.routes, list(choice.excluded)
    nothing = f"no route; see `tokentape endpoints {one}`" if one else "no route; --why names what is left out"
    if crossovers:
        written = answer(form, crossing, columns.CROSSOVERS, views.crossovers(), raw=raw)
        _left_out(left_out, why=why)
        done(written, nothing)
        return
    if form in {"litellm", "openrouter"}:
        if not routes:
            _left_out(left_out, why=why)
            raise NothingMatched(nothing)
        if form == "litellm":
            text, unnamed = gateways.litellm(routes, choice.offers)
            left_out += unnamed
        else:
            text = gateways.openrouter(routes, wanted)
        click.echo(text.rstrip("\n"))
        _left_out(left_out, why=why)
        return
    shown = views.cheapest(min(instant, known), models=len({route.row.model for route in routes}), currency=currency)
    written = answer(form, routes, columns.CHEAPEST, shown, raw=raw)
    tell(route.cost.conversion for route in routes)
    _told(crossing)
    _left_out(left_out, why=why)
    doubts = Doubts()
    deque(doubts.counted(route.row for route in routes), maxlen=0)
    doubts.tell(one)
    done(written, nothing)


def _described(options: dict[str, Any]) -> "tuple[Traffic, Constraints]":
    """The traffic and the constraints that options describe."""
    from store.constraints import Constraints, condition
    from store.mix import described

    with _usage():
        traffic = described(**{name: options.pop(name) for name in _TRAFFIC})
        max_age_h = options.pop("max_age_h")
        limits: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, tuple) else value for name, value in options.items()
        }
        limits["where"] = tuple(condition(text) for text in options["where"])
        wanted = Constraints(**limits, max_age=None if max_age_h is None else timedelta(hours=max_age_h))
    return traffic, wanted


_TRAFFIC = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "hits",
    "ttl",
    "more",
    "mix",
    "a_month",
    "hours",
    "tz",
)


@contextmanager
def _usage() -> "Iterator[None]":
    """A mistake in what was asked."""
    try:
        yield
    except (KeyError, ValueError) as error:
        raise click.UsageError(str(error.args[0] if error.args else error)) from None


def _told(found: "Iterable[Crossing]") -> None:
    """Say in a line by what another route becomes the cheapest."""
    many = {"prompt": "prompt lengths", "hour": "hours"}
    by = dict.fromkeys(many.get(one.by, one.by) for one in found if not one.always)
    if by:
        click.echo(f"another is cheapest at other {', '.join(by)} (--crossovers shows at which)", err=True)


def _left_out(excluded: "Sequence[Excluded]", *, why: bool) -> None:
    """Tell what does not compete: how many for which reason, or each by name."""
    if why:
        for one in excluded:
            click.echo(printable(f"left out: {one.row.ref}: {one.reason}"), err=True)
    elif excluded:
        reasons = Counter(one.reason for one in excluded).most_common(8)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons)
        more = len({one.reason for one in excluded}) - len(reasons)
        others = f", {more} other reasons" if more > 0 else ""
        click.echo(printable(f"left out: {told}{others} (--why names them)"), err=True)
