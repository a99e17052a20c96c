"""The commands about names: `identify`, and `aliases` with its recorded acts."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from io import TextIOWrapper
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from collector.cli import CONFIG_PATH
from store.doors import FORMAT, RAW, Doors, Question, answer, done
from store.errors import QueryError

if TYPE_CHECKING:
    from collector.aliases import Act
    from collector.config import Config
    from collector.identify import Recorded
    from store.export import Written

R = TypeVar("R")

_FIELDS = ("provider", "model_id", "source", "tag", "quantization")
"""Columns that are read; where no header names them, the first two in this order."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A row of `identify`, in the order of its columns."""

    provider: str
    model_id: str
    canonical_provider: str
    canonical_model: str
    variant: str
    confidence: str
    why: str


@click.command(cls=Question)
@click.argument("pairs", nargs=-1, metavar="[PROVIDER,MODEL_ID]...")
@click.option("--source", default="", metavar="ID", help="Whose names these are, where no column `source` says so.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "json", "jsonl", "table"]), default="csv", show_default=True
)
@click.pass_context
def identify(ctx: click.Context, *, pairs: tuple[str, ...], source: str, form: str) -> None:
    """Say which provider, model and variant a provider's name and a model id stand for.

    A pair may also be two words, PROVIDER MODEL_ID. Without arguments CSV is read from standard input and answered row
    by row: two columns, or any with a header that names `provider` and `model_id`, and perhaps `source`, `tag` and
    `quantization`. `confidence` is exact, rule, alias or unsure; an unsure name has no canonical model but `unsure`,
    and `why` says why. Text comes back as it was given.

    \b
    Examples:
      tokentape identify fireworks,accounts/fireworks/models/kimi-k2p6 openai,gpt-4o
      tokentape identify < usage.csv > joined.csv
      cut -d, -f2,5 usage.csv | tokentape identify --format jsonl
    """
    recorded = recorded_names(ctx)
    rows = (_read(names, source, recorded) for names in (list(_given(pairs)) if pairs else _piped(sys.stdin)))
    done(_answer(form, rows, _Answer, raw=True), "standard input has no names")


class _Aliases(Question, click.Group):
    """A group that is a question when no act is named."""


@click.group(cls=_Aliases, invoke_without_command=True)
@FORMAT
@RAW
@click.pass_context
def aliases(ctx: click.Context, *, form: str, raw: bool) -> None:
    """Names that look like another model's, for you to decide; never joined by themselves.

    Proposed are ids whose own record names weights on the Hugging Face hub that our rules read as another model
    (`hugging_face`), and ids that came when another went, at the same prices (`renamed`). `accept` and `reject` add an
    entry to the file that `aliases` names in the configuration: the next poll reads by it, and `tokentape reparse` what
    is on the tape already.

    \b
    Examples:
      tokentape aliases
      tokentape aliases accept acme gpt-oss-big openai/gpt-oss-120b
      tokentape aliases reject acme llama-lite meta-llama/llama-3-8b-instruct
    """
    if ctx.invoked_subcommand is not None:
        return
    from collector.proposals import Proposal, proposals

    doors: Doors = ctx.obj
    config = _config(ctx)
    with doors.open() as reader:
        found = list(proposals(reader, config.sources, config.decisions, doors.archive or reader.archive))
    done(_answer(form, found, Proposal, raw=raw), "no name is proposed to be joined")


@aliases.command()
@click.argument("provider")
@click.argument("model_id")
@click.argument("model")
@click.pass_context
def accept(ctx: click.Context, provider: str, model_id: str, model: str) -> None:
    """Decide that a provider's MODEL_ID, as published, stands for the canonical MODEL."""
    _record(ctx, "accept", provider, model_id, model)


@aliases.command()
@click.argument("provider")
@click.argument("model_id")
@click.argument("model")
@click.pass_context
def reject(ctx: click.Context, provider: str, model_id: str, model: str) -> None:
    """Decide that a provider's MODEL_ID, as published, does not stand for the canonical MODEL."""
    _record(ctx, "reject", provider, model_id, model)


def _record(ctx: click.Context, act: "Act", provider: str, model_id: str, model: str) -> None:
    from collector.aliases import decide, record
    from collector.errors import ConfigError
    from store.location import expanded

    config = _config(ctx)
    if not config.aliases:
        raise ConfigError("no file to record it in: name one as `aliases` in the configuration")
    path: Path = expanded(config.aliases)
    record(path, decide(act, provider, model_id, model), ctx.obj.now())
    click.echo(f"tokentape: recorded in {path}", err=True)


def _config(ctx: click.Context) -> "Config":
    from collector.config import load

    return load(ctx.meta[CONFIG_PATH])


def recorded_names(ctx: click.Context) -> "Recorded":
    """What the user has decided. Where there is no configuration of the user's own, that is nothing."""
    from collector.identify import NONE_RECORDED
    from collector.places import user_file

    if user_file(ctx.meta[CONFIG_PATH], os.environ) is None:
        return NONE_RECORDED
    return _config(ctx).decisions.accepted


def _given(words: tuple[str, ...]) -> Iterator[Mapping[str, str]]:
    """Names in pairs, `PROVIDER,MODEL_ID` or in two words: no provider's name has a comma."""
    rest = iter(words)
    for word in rest:
        provider, comma, name = word.partition(",")
        if not comma and (following := next(rest, None)) is None:
            raise QueryError(f"{word!r} has no model id: names come in pairs, PROVIDER,MODEL_ID")
        yield {"provider": provider, "model_id": name if comma else following or ""}


def _piped(lines: TextIO) -> Iterator[Mapping[str, str]]:
    """Names of CSV, row by row.

    Raises: QueryError, with the line, for what is not CSV or has no pair in it.
    """
    import csv

    if lines.isatty():
        raise QueryError("no names: give PROVIDER,MODEL_ID, or CSV on standard input")
    if isinstance(lines, TextIOWrapper):
        lines.reconfigure(encoding="utf-8-sig", errors="replace", newline="")
    rows, header = csv.reader(lines, strict=True), list(_FIELDS[:2])
    try:
        for count, row in enumerate(filter(None, rows)):
            if not count and {"provider", "model_id"} <= set(row):
                header = row
                continue
            named = {name: cell for name, cell in zip(header, row, strict=False) if name in _FIELDS}
            if not {"provider", "model_id"} <= named.keys():
                raise QueryError(f"standard input, line {rows.line_num}: has no provider and model id")
            yield named
    except csv.Error as error:
        raise QueryError(f"standard input, line {rows.line_num}: not CSV: {error}") from None


def _read(names: Mapping[str, str], source: str, recorded: "Recorded") -> _Answer:
    from collector.identify import read

    provider, model_id = names["provider"], names["model_id"]
    reading = read(
        names.get("source") or source,
        provider,
        model_id,
        names.get("tag", ""),
        names.get("quantization") or None,
        recorded,
    )
    one = reading.identity
    model = "unsure" if reading.confidence == "unsure" else one.model
    return _Answer(provider, model_id, one.provider, model, one.variant, reading.confidence, reading.why)


_SPARE = {"source": 1, "link": 2, "reads_as": 3, "confidence": 4, "evidence": 5, "why": 5}


def _answer(form: str, rows: "Iterable[R]", kind: type[R], *, raw: bool) -> "Written":
    """Print rows of a dataclass of texts, a column for each of its fields; those that decide are kept longest."""
    from store.columns import Column
    from store.show import TableColumn

    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    columns = [Column(name, attrgetter(name)) for name in names]
    shown = [
        TableColumn(name, attrgetter(name), _SPARE.get(name, 0), "right" if name in _SPARE else "") for name in names
    ]
    return answer(form, rows, tuple(columns), tuple(shown), raw=raw)
