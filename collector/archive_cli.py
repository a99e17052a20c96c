"""`backfill` and `archive`: documents of the past taken over, written for others, and dropped."""

from pathlib import Path

import click

from collector.cli import named, read_config, source_ids


@click.group()
def backfill() -> None:
    """Take over documents of the past: from a recorded folder, or from a git history.

    Each gets its place in the timeline by its own instant, as if it had been polled then; what the store has already
    changes nothing, so that a run that was stopped is run again.

    \b
    Examples:
      tokentape backfill archive ./timeline
      tokentape backfill git ./litellm --path model_prices_and_context_window.json --source litellm
    """


_SOURCES = click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="ID",
    shell_complete=source_ids,
    help="Only this source.",
)
_FOLDER = click.Path(path_type=Path)


@backfill.command("archive")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@_SOURCES
@click.pass_context
def backfill_archive(ctx: click.Context, folder: Path, sources: tuple[str, ...]) -> None:
    """Take over a folder with an `index.jsonl`, such as `tokentape archive export` writes.

    All of it is proven before any of it is used: a body that is not what the index says stops it, with nothing written.

    \b
    Examples:
      tokentape backfill archive ./timeline
      tokentape backfill archive ./timeline --source litellm --source openrouter
    """
    from collector.backfill.commands import backfill_folder

    config = read_config(ctx)
    for line in backfill_folder(config, folder, named(config, sources), ctx.obj.now()):
        click.echo(line)


@backfill.command("git")
@click.argument("repository", metavar="REPO")
@click.option("--path", "paths", required=True, multiple=True, metavar="PATH", help="From the top of the repository.")
@click.option("--source", required=True, metavar="ID", shell_complete=source_ids, help="Whose documents these are.")
@click.option("--since", metavar="INSTANT", help="Only versions from this instant on.")
@click.pass_context
def backfill_git(ctx: click.Context, repository: str, paths: tuple[str, ...], source: str, since: str | None) -> None:
    """Take over every version of a file in a git repository on this machine, as of its commit.

    Of a source that is made of many files, name the folders that hold them. Nothing is checked out or fetched: of a
    repository elsewhere, make a clone first (`git clone --bare`).

    \b
    Examples:
      tokentape backfill git ./litellm --path model_prices_and_context_window.json --source litellm
      tokentape backfill git ./genai-prices --path prices/data.json --source genai_prices --since 2026-01-01
      tokentape backfill git ./models.dev --path providers --path models --source models_dev
    """
    from collector.backfill.commands import backfill_git as take_over
    from store.instants import parse_instant

    config, now = read_config(ctx), ctx.obj.now()
    (spec,) = named(config, (source,))
    for line in take_over(config, repository, paths, spec, parse_instant(since, now) if since else None, now):
        click.echo(line)


@click.group()
def archive() -> None:
    """The archived documents themselves.

    \b
    Examples:
      tokentape archive export ./timeline
      tokentape archive prune --full 90d --dry-run
    """


@archive.command("export")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@_SOURCES
@click.pass_context
def archive_export(ctx: click.Context, folder: Path, sources: tuple[str, ...]) -> None:
    """Write every archived document into a new folder, for others, or for `tokentape backfill archive`.

    Equal bodies are one file; `index.jsonl` says of each what it was, where and when, and is written last.

    \b
    Examples:
      tokentape archive export ./timeline
      tokentape archive export ./timeline --source litellm
    """
    from collector.backfill.commands import export_archive

    config = read_config(ctx)
    for line in export_archive(config, folder, named(config, sources)):
        click.echo(line)


@archive.command("prune")
@click.option("--full", metavar="SPAN", help="How long all are kept, as 90d, or all. [default: retention.full]")
@click.option("--then", type=click.Choice(["daily", "weekly", "evidence"]), help="[default: retention.then]")
@click.option("--drop-evidence-before", "before", metavar="INSTANT", help="Also what something rests on. For good.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be dropped.")
@click.option("--yes", is_flag=True, help="Drop evidence without asking.")
@click.pass_context
def archive_prune(
    ctx: click.Context, full: str | None, then: str | None, before: str | None, *, dry_run: bool, yes: bool
) -> None:
    """Drop archived documents that a policy does not keep, by default that of the configuration, which keeps all.

    Of documents older than --full there stay, of each source, the first of each day or week (--then) and all that
    something stored rests on: prices, findings, gaps and their witnesses. No answer changes; `verify` proves the same.

    \b
    Examples:
      tokentape archive prune --full 90d --then weekly --dry-run
      tokentape archive prune
    """
    from collector.backfill.commands import prune_archive
    from collector.config import policy_with
    from store.instants import parse_instant

    config, now = read_config(ctx), ctx.obj.now()
    policy = policy_with(config.retention, full, then)
    drop_before = parse_instant(before, now) if before else None
    if drop_before and not (dry_run or yes):
        for line in prune_archive(config, policy, now, drop_before=drop_before, dry_run=True):
            click.confirm(
                f"{line}: what they say cannot be proven or made anew after that. Go on?", abort=True, err=True
            )
    for line in prune_archive(config, policy, now, drop_before=drop_before, dry_run=dry_run):
        click.echo(line)
