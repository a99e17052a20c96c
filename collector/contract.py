"""What a source is, in prose and in types.

A source turns into quotes in four steps, each a function that a family (`collector.parse`) or a module
(`collector.sources.<id>`) may supply; what it does not supply has the default written here.

1. `requests(spec)` names what to fetch first. Default: one request for `spec.url`.
2. `follow(document, spec)` reads links out of that first document. Default: none. A poll is complete only if every
   request succeeded; what did succeed is used all the same.
   Where it states facts of what it links to, `described(document, spec)` reads them. Default: none.
3. `parse(document, spec)` reads quotes out of one document, in the document's own words, unit and currency. It
   converts nothing, guesses nothing and leaves nothing out silently. Whole-document distrust raises `SourceChanged`;
   doubt about a single row is a `Finding` on its quote.
4. A source that is not on the network (`url: package:NAME`) supplies `read(spec, at)`, which returns its document.

Where a document is one JSON object whose members are read one by one, `quotes(members, spec)` may be supplied too: of a
long history of such documents only the members that changed are then read (`collector.entries`).

Where what a source publishes is made of many files, `reads(path)`, `said_in(path, tree, spec)` and
`quotes_of(path, said, spec)` may be supplied: of the history of such files, each commit is then a poll of its own
(`collector.trees`), with the offers that the published document had then, under the same names.

All but `read` are pure: no network, file, clock, logger or database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

from collector.identify import NONE_RECORDED, Recorded
from store.records import Document, Facts, Finding, Telemetry, Trust

NO_FACTS = Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A body to fetch."""

    url: str
    part: str = ""
    """Of a fan-out, what is asked for (a model id); empty for the first document."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Sent to this URL's origin only; never logged."""


Zero = Literal["price", "unknown", "absent"]
Kind = Literal["api", "page"]
"""A documented API or published file, or a page for people, for which robots.txt is asked first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSpec:
    """Where a meter's price stands and in which unit: configuration, never computation."""

    meter: str
    at: str
    """Dotted path (JSON) or complete column heading (tables)."""
    unit: str
    zero: Zero = "price"
    """What a published 0 means in this source: a price of nothing, not said, or no such meter."""
    after: str = ""
    """Words that must stand behind the number in a cell, such as its unit `/ MTok` (tables only)."""
    part: tuple[int, int] | None = None
    """Of a cell such as `$0.95 / $0.16 / $4.00`, which part, and of how many (tables only)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSpec:
    """Prices that replace the usual ones once a prompt is longer than a number that the record states."""

    above_at: str
    """Dotted path of that number of tokens."""
    prices: tuple[PriceSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """Columns of a table that price another offer of the same row, such as a batch tier."""

    tag: str
    prices: tuple[PriceSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSpec:
    """What a page of tables must say beside them, and how its tables are to be read."""

    says: tuple[str, ...] = ()
    """Words that must stand on the page, outside its tables."""
    above: tuple[str, ...] = ()
    """Words that must stand right above each table that is read, such as its unit: after any table before it."""
    ends: str = ""
    """Words that must stand behind the last table that is read: a text has no `</html>` to prove its end."""
    sections: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Title of a section -> tag of the offers in its tables; tables of other sections are passed over."""
    turned: bool = False
    """A model has a column, not a row."""
    by_line: bool = False
    """Each line of a name cell is a model of its own."""
    ranges: bool = False
    """Names end with the prompt lengths that their prices are for: `grok-4.3 (≥ 200k prompt tokens)`."""
    model_is: str = ""
    """The model that the whole page is about, where its rows are offers of that one."""


NO_PAGE = PageSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """One source as configured: everything that is data about it."""

    id: str
    title: str
    parser: str
    """A family of `collector.parse`, or the id of a module in `collector.sources`."""
    url: str
    trust: Trust
    every_s: int
    """Seconds between polls."""
    enabled: bool = True
    kind: Kind = "api"
    derives_from: tuple[str, ...] = ()
    """Sources that this one copies from, by id, or `first-party` for what providers publish: it is no witness
    for what they say."""
    also_at: tuple[str, ...] = ()
    """Further addresses at which the same is published, or was: recorded documents from there are this source's too."""
    provider: str = ""
    """Who sells what this source lists, where one provider speaks for itself; empty where each record names its own."""
    expect: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Least number of `endpoints` and of `models` in a whole document; fewer is an error."""
    records: str = ""
    """Dotted path to the list (or object) of records."""
    offers: str = ""
    """Dotted path, in a record, to the list (or object) of its offers, where one record holds several."""
    whole: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Path in the document -> values that only a whole one has (`has_more: false`), `missing` for no such key."""
    model: str = ""
    """Path or heading of the model id."""
    provider_at: str = ""
    """Path of the provider's name where records name their own."""
    tag_at: str = ""
    prices: tuple[PriceSpec, ...] = ()
    tiers: tuple[TierSpec, ...] = ()
    """Long-context prices, where records have a key for each (`json_list` only)."""
    variants: tuple[VariantSpec, ...] = ()
    """Further offers of each row (tables only)."""
    page: PageSpec = NO_PAGE
    """Of a page of tables, what it must say and how it is read."""
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a field of `Facts` -> path or heading."""
    telemetry: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a measure with its unit (`collector.parse.facts.MEASURES`) -> path (`json_list` only)."""
    require: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Path or heading -> the only values that are understood, such as a stated unit; with another one a row is held."""
    skip: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Path -> values; a record with one of them is not for sale by the token and is left out (and counted)."""
    grid_nano: int = 1
    """Amounts are rounded to whole multiples of this; above 1 for a source whose numbers carry binary noise."""
    varies: tuple[str, ...] = ()
    """Texts that mean "decided at run time", such as `-1`."""
    free: tuple[str, ...] = ()
    """Texts that mean free of charge, such as `Free`."""
    absent: tuple[str, ...] = ()
    """Texts that mean that there is no such meter, such as `-` or `N/A`."""
    unknown: tuple[str, ...] = ()
    """Texts that mean that there is a price and it is not said, such as `Not published`."""
    free_at: str = ""
    """Path of a flag that an offer is free of charge; where it is true it overrules the prices beside it."""
    key_env: str = ""
    """Environment variable that holds the API key; the source is off until it is set."""
    concurrency: int = 6
    """Requests under way at once to this source's host."""
    pause_s: float = 0.0
    """Least time between the starts of two requests to one host."""
    deadline_s: float = 60.0
    """For the whole poll, from the first byte asked to the last received."""
    card: str = ""
    """What is read, what the upstream's terms ask, oddities."""
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Read only by the source's own module."""
    recorded: Recorded = field(default_factory=lambda: NONE_RECORDED)
    """What the user has decided about names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price as published."""

    text: str
    """The number exactly as it stood, or a word (`Free`, `-1`); currency signs and separators removed by the parser
    only where the source declares them."""
    unit: str


Prices = Mapping[str, Price]
"""Meter -> price. A meter that is missing is not offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedOverride:
    """Prices that replace the quote's own while a condition holds (see `store.records.Override`).

    A price without a text is charged and not known: of long prompts only.
    """

    above_tokens: int | None = None
    start_minute: int | None = None
    end_minute: int | None = None
    days: tuple[int, ...] = ()
    tz: str = "UTC"
    prices: Prices


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedQuote:
    """Prices that the source itself dates; `since` inclusive, `until` exclusive, None where it does not say."""

    since: datetime | None
    until: datetime | None
    prices: Prices
    overrides: tuple[QuotedOverride, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a document says about one endpoint, in the document's own words, unit and currency."""

    provider: str
    """As published (or `spec.provider`)."""
    model: str
    """Model id as published."""
    tag: str = ""
    """The provider's own label for this offer, as published."""
    prices: Prices
    """In force when the document was fetched. Where `stated` is not empty it is left empty: the stated entry that
    covers the poll's instant is the one in force."""
    overrides: tuple[QuotedOverride, ...] = ()
    stated: tuple[StatedQuote, ...] = ()
    facts: Facts = NO_FACTS
    declared_free: bool = False
    """The source says that this offer is free, so that zeros are prices."""
    telemetry: Telemetry | None = None
    locator: str = ""
    """Where in the document: `data.endpoints[3]`, `row 4`."""
    findings: tuple[Finding, ...] = ()


class Parser(Protocol):
    """What every family and source module supplies."""

    def parse(self, document: Document, spec: SourceSpec) -> list[Quote]:
        """Quotes as published, one per endpoint.

        Raises: SourceChanged if the document is not as expected.
        """
        ...


@runtime_checkable
class EntryParser(Protocol):
    """Supplied where a document is one JSON object, and each of its members is read by itself, whatever the time."""

    def quotes(self, members: Mapping[str, Any], spec: SourceSpec) -> list[Quote]:
        """Quotes of some members of the object, none where they have none; of all, what `parse` gives.

        Raises: SourceChanged if a member is not as expected.
        """
        ...


class Tree(Protocol):
    """Files that a source is made of, all as of one instant."""

    def read(self, path: str) -> Mapping[str, Any] | None:
        """What a TOML file says, through symbolic links; None if there is no such file, or a link leads to none.

        Raises: SourceChanged if it is not sound.
        """
        ...


@runtime_checkable
class TreeParser(Protocol):
    """Supplied where what is published is made of many files, which may take from one another, whatever the time."""

    def reads(self, path: str) -> bool:
        """Whether a file may have a say in an offer."""
        ...

    def said_in(self, path: str, tree: Tree, spec: SourceSpec) -> Mapping[str, Any] | None:
        """What one file says of offers, None if none stand there; all that they rest on is read through `tree`.

        What has no say in quotes is left out, for quotes are made only where this is not as it was.

        Raises: SourceChanged if the file, or one that it rests on, is not as expected: what is published stays as it
            was.
        """
        ...

    def quotes_of(self, path: str, said: Mapping[str, Any], spec: SourceSpec) -> list[Quote]:
        """Quotes of what one file says.

        Raises: SourceChanged as `said_in`.
        """
        ...


@runtime_checkable
class Follower(Protocol):
    """Supplied where one document links to the others."""

    def follow(self, document: Document, spec: SourceSpec) -> list[Request]:
        """What else to fetch, from the first document.

        Raises: SourceChanged if the document is not as expected.
        """
        ...


@runtime_checkable
class Describer(Protocol):
    """Supplied where the first document states facts of what stands in the others."""

    def described(self, document: Document, spec: SourceSpec) -> Mapping[str, tuple[Facts, tuple[Finding, ...]]]:
        """Part -> facts of all offers in it, where those state none of their own, and notes on them.

        Raises: SourceChanged if the document is not as expected.
        """
        ...


@runtime_checkable
class Reader(Protocol):
    """Supplied where a source is not on the network."""

    def read(self, spec: SourceSpec, at: datetime) -> Document:
        """The document of a source that lies on this machine."""
        ...
