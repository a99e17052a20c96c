"""`tokentape db`: the store as a whole."""

import click

from store.doors import Doors


@click.group()
def db() -> None:
    """The store itself: what it is, and how it is brought to the schema of this tokentape.

    \b
    Examples:
      tokentape db status
      tokentape db upgrade --dry-run
    """


@db.command()
@click.pass_obj
def status(doors: Doors) -> None:
    """Show engine, place, schema, rows and size of the store.

    \b
    Examples:
      tokentape db status
      tokentape --store postgresql://tape@db.example/tape db status
    """
    from store.read import open_store
    from store.show import print_fields
    from store.status import status as describe

    with open_store(doors.store_url, any_schema=True) as reader:
        print_fields(describe(reader, doors.archive or reader.archive))


@db.command()
@click.option("--dry-run", is_flag=True, help="Do all of it, then take it back.")
@click.pass_obj
def upgrade(doors: Doors, *, dry_run: bool) -> None:
    """Bring a store of an earlier tokentape to the schema of this one.

    One transaction: all of it or nothing, however it ends; what is done already is not done again. Stop the daemon
    before it.

    \b
    Examples:
      tokentape db upgrade --dry-run
      tokentape db upgrade
    """
    from store.upgrade import upgrade as bring_up
    from store.version import SCHEMA_VERSION

    before = bring_up(doors.store_url, dry_run=dry_run)
    if before == SCHEMA_VERSION:
        click.echo(f"schema {before}: nothing to do")
    else:
        click.echo(f"schema {before} -> {SCHEMA_VERSION}{' would be possible: nothing was kept' if dry_run else ''}")
