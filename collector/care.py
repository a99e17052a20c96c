"""`tokentape doctor`, `backup` and `restore`: what whoever runs tokentape needs when something is wrong."""

import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import click

from collector.cli import CONFIG_PATH
from store.doors import Doors

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "jsonl"]), default="table", show_default=True
)
@click.pass_context
def doctor(ctx: click.Context, form: str) -> None:
    """Say what is wrong, and the command that mends it.

    A look at store, schema, archive, clock, disks, permissions, locks and every source, within a second or two; exits 1
    if anything has to be done. Notes are worth knowing. `tokentape verify` reads everything, and takes its time.

    \b
    Examples:
      tokentape doctor
      tokentape doctor --format json
    """
    from collector.config import load
    from collector.doctor import examine
    from store.show import fold, print_lines, rows, terminal_width
    from store.text import printable

    doors: Doors = ctx.obj
    config = replace(load(ctx.meta[CONFIG_PATH]), store=doors.store_url, archive=str(doors.archive or ""))
    troubles = list(examine(config, os.environ, doors.now()))
    if form == "table":
        for one in troubles:
            told = printable(f"{one.level}: {one.what}: {one.message}")
            print_lines(fold(told, terminal_width(sys.stdout)))
            print_lines([printable(f"    {one.mend}")] if one.mend else [])
    else:
        rows([asdict(one) for one in troubles], form)
    faults = sum(one.level == "fault" for one in troubles)
    click.echo(
        f"tokentape: {faults or 'no'} fault{'s' if faults != 1 else ''}; `tokentape verify` proves all", err=True
    )
    ctx.exit(1 if faults else 0)


@click.command()
@click.argument("folder", type=_FOLDER, metavar="DIR")
@click.pass_obj
def backup(doors: Doors, folder: Path) -> None:
    """Write a backup of store and archive into a new folder, whatever is collected meanwhile.

    The store as of one moment, every document that it rests on, and SHA256SUMS of it all, which `sha256sum -c` reads.
    The folder appears whole, or not at all.

    \b
    Examples:
      tokentape backup /mnt/backup/tape-2026-08-22
    """
    from store.backup import back_up

    files = back_up(doors.store_url, doors.archive, folder)
    click.echo(f"{folder}: {files} files")


@click.command()
@click.argument("folder", type=_FOLDER, metavar="DIR")
@click.pass_obj
def restore(doors: Doors, folder: Path) -> None:
    """Put a backup back where no store is, after every file was held against its SHA-256.

    A store that is there is never replaced: move it away first. Documents that are there stay.

    \b
    Examples:
      tokentape restore /mnt/backup/tape-2026-08-22
      tokentape --store /var/lib/tokentape/tokentape.db restore /mnt/backup/tape-2026-08-22
    """
    from store.backup import restore as put_back

    files = put_back(folder, doors.store_url, doors.archive)
    click.echo(f"{doors.store_url}: {files} files; `tokentape verify` proves them against one another")
