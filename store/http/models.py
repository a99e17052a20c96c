"""Routes about models as a whole: side by side, the page of one, and own GPUs against them."""

from fractions import Fraction
from typing import Annotated

from fastapi import Response
from pydantic import Field

from store import breakeven as even
from store import cli_cost, views_breakeven, views_compare, views_model
from store.compare import compare as put_together
from store.compare import subject
from store.costing import Workload
from store.errors import QueryError
from store.http.asked import Asked, Count, Currency, Name, Paged
from store.mix import counts_of
from store.model_page import page
from store.naming import find_model
from store.offers import Wanted
from store.priced import priced

Volume = Annotated[int, Field(ge=1, le=10**15)]
Volumes = Annotated[tuple[Volume, ...], Field(max_length=20)]
Decimal = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]


class Request(Paged):
    """The request that a volume is made of."""

    input: Count = Field(3000, description="Prompt tokens a request.")
    output: Count = Field(1000, description="Tokens answered.")
    tokens_a_day: Volumes = Field((1_000_000, 10_000_000), description="Cost of a month of this volume.")


class Compared(Request):
    """Models side by side, as a row for each property of each."""

    model: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20, examples=[["openai/gpt-oss-120b"]])]
    currency: Currency = "USD"


class Page(Paged):
    """The page of a model, as a row for each property of it and of its offers."""

    model: Name = Field(examples=["openai/gpt-oss-120b"])
    tokens_a_day: Volumes = (1_000_000, 10_000_000)
    currency: Currency = "USD"


class Even(Request):
    """Own GPUs against hosted open weights and a vendor's API."""

    model: Name = Field(examples=["openai/gpt-oss-120b"])
    against: Name | None = Field(None, description="The vendor's API: this model at its author's.")
    tokens_a_day: Volumes = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
    gpu_rate: Decimal = Field(even.GPU_RATE_USD, description="USD an hour of one GPU.")
    gpus: Annotated[int, Field(ge=1, le=10**6)] = 1
    tokens_per_second: Decimal | None = Field(None, description="What one GPU takes, in and out.")
    utilisation: Annotated[int, Field(ge=1, le=100)] = Field(100, description="Percent of the time in use.")


class Bill(Paged):
    """A request, or several that are charged alike, at one offer."""

    model: Name = Field(examples=["openai/gpt-oss-120b"])
    provider: Name = Field("", description="Who sells it: the model's own author, if left out.", examples=["groq"])
    input: Count = Field(0, description="Prompt tokens, cached ones included.", examples=[3000])
    output: Count = 0
    cached: Count = 0
    also: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    requests: Annotated[int, Field(ge=1, le=10**12)] = Field(1, description="Requests that is the sum of.")
    variant: Name = ""
    endpoint: Name = ""
    source: Name = ""
    currency: Currency = "USD"


def billed(ask: Asked, wanted: Bill) -> Response:
    """As `tokentape cost`."""
    try:
        workload = Workload(
            input_tokens=wanted.input,
            output_tokens=wanted.output,
            cached_tokens=wanted.cached,
            more=tuple(sorted(counts_of(wanted.also).items())),
            requests=wanted.requests,
        )
    except ValueError as error:
        raise QueryError(str(error)) from None
    with ask.open() as reader:
        name = find_model(reader, wanted.model)
        offer = Wanted(name, wanted.provider, wanted.variant, wanted.endpoint, wanted.source)
        into = ask.doors.converter(reader, wanted.currency, ask.known)
        found = priced(reader, offer, workload, ask.at, into, known=ask.known)
    return ask.answer([(found, charge) for charge in found.cost.charges], cli_cost.columns())


def compared(ask: Asked, wanted: Compared) -> Response:
    """As `tokentape compare`."""
    month = _request(wanted)
    with ask.open() as reader:
        into = ask.doors.converter(reader, wanted.currency, ask.known)
        names = dict.fromkeys(find_model(reader, name) for name in wanted.model)
        subjects = [subject(reader, name, ask.at, known=ask.known, into=into) for name in names]
        found = put_together(subjects, month, sorted(set(wanted.tokens_a_day)))
    return ask.answer(found, views_compare.PROPERTIES)


def model_page(ask: Asked, wanted: Page) -> Response:
    """As `tokentape model`."""
    with ask.open() as reader:
        into = ask.doors.converter(reader, wanted.currency, ask.known)
        one = subject(reader, find_model(reader, wanted.model), ask.at, known=ask.known, into=into)
        found = page(reader, one, ask.known, sorted(set(wanted.tokens_a_day)))
    return ask.answer(views_model.long(found), views_compare.PROPERTIES)


def broken_even(ask: Asked, wanted: Even) -> Response:
    """As `tokentape breakeven`."""
    asked = _request(wanted)
    if not Fraction(wanted.gpu_rate) or (wanted.tokens_per_second and not Fraction(wanted.tokens_per_second)):
        raise QueryError("gpu_rate and tokens_per_second are above zero")
    own = even.Gpus(
        rate=Fraction(wanted.gpu_rate),
        count=wanted.gpus,
        tokens_per_second=None if wanted.tokens_per_second is None else Fraction(wanted.tokens_per_second),
        utilisation=Fraction(wanted.utilisation, 100),
    )
    with ask.open() as reader:
        into = ask.doors.converter(reader, "USD", ask.known)
        one, other = (
            subject(reader, find_model(reader, name), ask.at, known=ask.known, into=into)
            for name in (wanted.model, wanted.against or wanted.model)
        )
    charged = even.lines(one, other, asked, anybody=wanted.against is not None)
    found = even.breakeven(own, charged, sorted(set(wanted.tokens_a_day)))
    return ask.answer(found.points if charged else (), views_breakeven.columns(found, asked, other.model))


def _request(wanted: Request) -> Workload:
    try:
        return Workload(input_tokens=wanted.input, output_tokens=wanted.output)
    except ValueError as error:
        raise QueryError(str(error)) from None
