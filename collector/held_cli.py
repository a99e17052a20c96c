"""`tokentape held`: what is held, the evidence for it, and the verdict of a person on it."""

import getpass
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector.cli import CONFIG_PATH
from store.cli import held as listed
from store.doors import Doors, Question
from store.errors import NothingMatched, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.catalogue import HeldRow

RELEASED_WITHOUT_CARD = frozenset({"context", "mass_absence", "rollback"})
"""Rules about something else than a price: what else has no card cannot be put on the tape."""

_REF = click.argument("ref")
_NOTE = click.option("--note", default="", help="Why; kept with the verdict.")
_BY = click.option("--by", default=None, help="Who says so. [default: the user's name on this machine]")


class ListByDefault(click.Group):
    """A group that lists unless told otherwise."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As written, with `list` put before options that belong to it."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ListByDefault)
def held() -> None:
    """What is kept out of the tape because it is not believed, and why; to release it, or to reject it.

    Time alone releases nothing but documents that came back: a value back within bounds does, a second source that
    copies from neither does, and so does a person. What is released is believed from its first sighting on, and what
    is rejected is as if it had never been seen, both as known from now on.

    \b
    Examples:
      tokentape held
      tokentape held --source litellm --format csv
      tokentape held show 3f2a91c0
      tokentape held release 3f2a91c0 --note "on the provider's page since Monday"
      tokentape held reject 3f2a91c0 --note "per 1K, not per 1M"
    """


held.add_command(listed, "list")


@held.command(cls=Question)
@_REF
@click.pass_context
def show(ctx: click.Context, ref: str) -> None:
    """Show what is held under a reference, what stands in its place, and what was said of it.

    \b
    Examples:
      tokentape held show 3f2a91c0
    """
    from store.catalogue import verdicts
    from store.show import print_fields
    from store.views import held_in_full

    rows = _find(ctx.obj, ref)
    with ctx.obj.open() as reader:
        print_fields(held_in_full(rows, verdicts(reader, rows[0])))


@held.command(cls=Question)
@_REF
@_NOTE
@_BY
@click.pass_context
def release(ctx: click.Context, ref: str, note: str, by: str | None) -> None:
    """Believe what is held, from its first sighting on.

    \b
    Examples:
      tokentape held release 3f2a91c0 --note "on the provider's page since Monday"
    """
    _decide(ctx, ref, note, by, released=True)


@held.command(cls=Question)
@_REF
@_NOTE
@_BY
@click.pass_context
def reject(ctx: click.Context, ref: str, note: str, by: str | None) -> None:
    """Take what is held as if it had never been seen; another value is judged anew.

    \b
    Examples:
      tokentape held reject 3f2a91c0 --note "per 1K, not per 1M"
    """
    _decide(ctx, ref, note, by, released=False)


def _find(doors: Doors, ref: str) -> "list[HeldRow]":
    """Everything that is held under a reference, or what begins with it.

    Raises: NothingMatched, QueryError.
    """
    from store.catalogue import held as find

    with doors.open() as reader:
        found = [row for row in find(reader) if row.held_ref.startswith(ref.lower())]
    refs = sorted({row.held_ref for row in found})
    if not refs:
        raise NothingMatched(f"nothing is held under {ref!r}: `tokentape held` lists what is")
    if len(refs) > 1:
        raise QueryError(f"{ref!r} is the beginning of {', '.join(refs)}: name one of them")
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return f"user {os.getuid()}"


def _decide(ctx: click.Context, ref: str, note: str, by: str | None, *, released: bool) -> None:
    for line in decide(ctx.meta[CONFIG_PATH], ctx.obj, ref, released=released, note=note, by=by or _user()):
        click.echo(line)


def decide(config_path: Path | None, doors: Doors, ref: str, *, released: bool, note: str, by: str) -> "Iterator[str]":
    """Record a verdict on what is held under a reference: lines about what it corrects.

    Raises: NothingMatched, QueryError, other StoreErrors; ConfigError.
    """
    from collector.commands import decide_held
    from collector.config import load
    from store.records import BY_OTHERS, BY_SOURCE, Verdict

    rows = _find(doors, ref)
    row = rows[0]
    if released and row.card is None and row.rule not in RELEASED_WITHOUT_CARD:
        raise QueryError(f"{row.held_ref}: {row.rule}: {row.message}: there is no price in it to release")
    if by == BY_OTHERS or by.startswith(BY_SOURCE):
        raise QueryError(f"{by!r} says a verdict that is no person's: name who says this one with --by")
    verdict = Verdict(
        subject=row.subject,
        value=row.value,
        released=released,
        by=by,
        note=note,
        since=min(one.first_seen for one in rows),
    )
    config = replace(load(config_path), store=doors.store_url, archive=str(doors.archive or ""))
    yield from decide_held(config, row, verdict, doors.now())
