"""The `tokentape` command: collecting commands here, reading commands in `store.cli`.

Little but click is imported before a command runs, so that a question costs no more than its answer.
"""

import importlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from collector.errors import BackfillRefused, CollectorError, ConfigError
from store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.config import Config
    from collector.contract import SourceSpec
    from collector.poll import Report
    from store.currency import CurrencyPolicy

T = TypeVar("T")
READING = (
    "cheapest",
    "changes",
    "conflicts",
    "endpoints",
    "explain",
    "export",
    "facts",
    "history",
    "models",
    "rates",
)
"""Commands that live in `store.cli`."""
NAMING = ("aliases", "identify")
"""Commands that live in `collector.names_cli`."""
ELSEWHERE = (
    dict.fromkeys(READING, "store.cli")
    | dict.fromkeys(NAMING, "collector.names_cli")
    | dict.fromkeys(("compare", "model"), "store.cli_compare")
    | dict.fromkeys(("archive", "backfill"), "collector.archive_cli")
    | {
        "alerts": "collector.alerts_cli",
        "audit-catalogue": "collector.audit_cli",
        "audit": "collector.audit_usage_cli",
        "breakeven": "store.cli_breakeven",
        "calendar": "store.cli_calendar",
        "config": "collector.config_cli",
        "cost": "store.cli_cost",
        "daemon": "collector.daemon_cli",
        "db": "collector.database",
        "held": "collector.held_cli",
        "init": "collector.init_cli",
        "mcp": "collector.mcp_cli",
        "report": "store.cli_report",
        "serve": "collector.serve_cli",
    }
    | dict.fromkeys(("backup", "doctor", "restore"), "collector.care")
    | dict.fromkeys(("index", "spread", "volatility"), "store.cli_index")
)
"""Commands, and groups of them, by the module that has them."""
SECTIONS = {
    "Collect": ("collect", "daemon", "sources", "try", "record", "reparse", "backfill"),
    "Ask": (
        *("models", "endpoints", "cheapest", "cost", "calendar", "history", "changes", "model", "compare"),
        *("breakeven", "facts", "rates"),
    ),
    "Measure": ("index", "spread", "volatility", "report"),
    "Check": ("explain", "conflicts", "held", "audit", "audit-catalogue", "identify", "aliases"),
    "Hand on": ("export", "serve", "mcp", "alerts"),
    "Look after": ("init", "config", "doctor", "verify", "backup", "restore", "archive", "db", "completion"),
}
"""Every command, under what it is for, in the order in which help lists them."""

CONFIG, CONFIG_PATH, STORE = "tokentape.config", "tokentape.config_path", "tokentape.store"
LONGEST_SENTENCE = 500
SHELLS = ("bash", "zsh", "fish")


class Doorway(click.Group):
    """A group that imports commands from elsewhere only when asked for, and ends every expected error in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Exits 1 for an upstream at fault, 2 for a mistake in what was given or a store at fault."""
        try:
            return self._invoke(ctx)
        except (CollectorError, StoreError) as error:
            click.echo(f"tokentape: {error}", err=True)
            ctx.exit(2 if isinstance(error, (ConfigError, BackfillRefused, StoreError)) else 1)

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # A fault of ours, unless the store holds what it cannot hold.
            if ctx.obj is not None:
                from store.read import look_for_damage

                look_for_damage(ctx.obj.store_url)
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, by name."""
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for, each with as much of its first sentence as says what it does."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                commands = ((name, self.get_command(ctx, name)) for name in names)
                formatter.write_dl([(name, _in_short(command)) for name, command in commands if command is not None])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, from here or from elsewhere."""
        if cmd_name in ELSEWHERE:
            command: click.Command = getattr(importlib.import_module(ELSEWHERE[cmd_name]), cmd_name.replace("-", "_"))
            return command
        return super().get_command(ctx, cmd_name)


def _in_short(command: click.Command) -> str:
    return re.split("[:;]", command.get_short_help_str(LONGEST_SENTENCE))[0].rstrip(".")


@click.group(cls=Doorway, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration file.")
@click.option(
    "--store",
    metavar="STORE",
    help="A path, sqlite:///PATH or postgresql://... [default: `store` of the configuration]",
)
@click.version_option(package_name="tokentape")
@click.pass_context
def main(ctx: click.Context, config_path: Path | None, store: str | None) -> None:
    """Keep the tape of what every inference provider charges for every language model.

    \b
    Examples:
      tokentape collect                         poll every source once
      tokentape cheapest openai/gpt-oss-120b    where to send this traffic now
      tokentape history openai/gpt-oss-120b     what it cost, when
      tokentape daemon                          poll on schedule until stopped
    """
    from store.doors import Doors

    ctx.meta[CONFIG_PATH], ctx.meta[STORE] = config_path, store
    ctx.obj = Doors(*_place(ctx), currencies=lambda: _currencies(ctx))


def source_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """What a shell may complete; nothing where the configuration is at fault, which the command itself will say."""
    from collector.config import load

    try:
        return [name for name in load(ctx.find_root().params["config_path"]).sources if name.startswith(incomplete)]
    except ConfigError:
        return []


@main.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=source_ids)
@click.pass_context
def collect(ctx: click.Context, sources: tuple[str, ...]) -> None:
    """Poll sources now, once: all that are on, or those named.

    One line per source. Exits 0 if all went well, 1 if some failed or answered in part, 2 for a mistake in usage or
    configuration. A failed poll changes no price.

    \b
    Examples:
      tokentape collect
      tokentape collect genai_prices openrouter
    """
    from collector.commands import collect_once
    from store import show  # noqa: F401 - now: where file handles run out, there is none to import it later

    config = read_config(ctx)
    specs = chosen(config, sources)
    reports = collect_once(config, specs, show=show_report)
    ctx.exit(0 if all(report.outcome == "ok" for report in reports) else 1)


_BODY = click.option(
    "--file", "file", type=click.Path(path_type=Path), metavar="BODY", help="Read this file instead of asking."
)


@main.command("try")
@click.argument("source", shell_complete=source_ids)
@_BODY
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Offers to show.")
@click.pass_context
def try_(ctx: click.Context, source: str, file: Path | None, limit: int) -> None:
    """Fetch and parse a source, show what it says, store nothing.

    Exits 1 if it does not answer as it should.

    \b
    Examples:
      tokentape try deepinfra
      tokentape try openrouter --limit 5
      tokentape --config my.yaml try acme --file saved.html
    """
    from collector.commands import try_source
    from store.show import print_lines

    config = read_config(ctx)
    (spec,) = named(config, (source,)) if file else chosen(config, (source,))
    print_lines(try_source(config, spec, file, limit))


@main.command()
@click.argument("source", shell_complete=source_ids)
@_BODY
@click.option("--out", "folder", type=click.Path(path_type=Path), metavar="DIR", help="[default: recorded/SOURCE]")
@click.option("--force", is_flag=True, help="Write over an earlier record.")
@click.pass_context
def record(ctx: click.Context, source: str, file: Path | None, folder: Path | None, *, force: bool) -> None:
    """Fetch a source and lay down what its sample is made after: bodies, facts about them, and the quotes in them.

    Exits 1 if it does not answer as it should; what came and could not be read is written all the same. Keys never are.

    \b
    Examples:
      tokentape --config my.yaml record acme
      tokentape record deepinfra --out /tmp/deepinfra --force
      tokentape --config my.yaml record acme --file saved.html
    """
    from collector.commands import record_source
    from store.show import print_lines

    config = read_config(ctx)
    (spec,) = named(config, (source,)) if file else chosen(config, (source,))
    print_lines(record_source(config, spec, file, folder or Path("recorded", source), force=force))


@main.command()
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "jsonl"]), default="table", show_default=True
)
@click.pass_context
def sources(ctx: click.Context, form: str) -> None:
    """Every configured source: last success, age, endpoints, changes, held, failures, when it is due next.

    A source of the store that is configured no longer is not watched: what it said stays, and gets older.

    \b
    Examples:
      tokentape sources
      tokentape sources --format json
    """
    from collector.commands import list_sources

    list_sources(read_config(ctx), form, ctx.obj.now())


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=source_ids)
@click.option("--dry-run", is_flag=True, help="Only tell what would be corrected.")
@click.pass_context
def reparse(ctx: click.Context, sources: tuple[str, ...], *, dry_run: bool) -> None:
    """Replay the archived documents of a source through today's parser, identity and checks.

    What differs from what is believed becomes corrections: the old belief is superseded, and stays the answer to
    --known-at an earlier instant. All of a source or nothing; may be interrupted.

    \b
    Examples:
      tokentape reparse litellm --dry-run
      tokentape reparse litellm openrouter
    """
    from collector.commands import reparse_source

    config = read_config(ctx)
    for spec in named(config, sources):
        for line in reparse_source(config, spec, ctx.obj.now(), dry_run=dry_run):
            click.echo(line)


@main.command()
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Prove that everything the store says follows from the documents in its archive.

    A line for each thing that does not; exits 1 if there is any. Nothing is written.

    \b
    Examples:
      tokentape verify
      tokentape --store /var/lib/tokentape/tokentape.db verify
    """
    from collector.commands import verify_store

    faults = 0
    for line in verify_store(read_config(ctx), ctx.obj.now()):
        click.echo(line)
        faults += 1
    click.echo(f"tokentape: {faults or 'no'} fault{'s' if faults != 1 else ''} found", err=True)
    ctx.exit(1 if faults else 0)


@main.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      eval "$(tokentape completion bash)"
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(main, {}, "tokentape", "_TOKENTAPE_COMPLETE").source())


def run() -> None:
    """The console command."""
    main.main(prog_name="tokentape")


def _place(ctx: click.Context) -> tuple[str, Path | None]:
    """The store and the folder of its archive, if that is elsewhere.

    Where there is no configuration of the user's own, none is read: that takes longer than most answers.
    """
    from collector.places import DEFAULT_STORE, ENVIRON_STORE, user_file
    from store.location import expanded, is_postgres

    store = ctx.meta[STORE]
    if store is not None and not is_postgres(store):
        return store, None
    if user_file(ctx.meta[CONFIG_PATH], os.environ) is None:
        return store or os.environ.get(ENVIRON_STORE) or DEFAULT_STORE, None
    config = read_config(ctx)
    return config.store, expanded(config.archive) if config.archive else None


def _currencies(ctx: click.Context) -> "CurrencyPolicy | None":
    """Which exchange rates may be used; None where there is no configuration of the user's own."""
    from collector.places import user_file

    return None if user_file(ctx.meta[CONFIG_PATH], os.environ) is None else read_config(ctx).currencies


def read_config(ctx: click.Context) -> "Config":
    """The configuration, read once."""
    if CONFIG not in ctx.meta:
        ctx.meta[CONFIG] = _loaded(ctx)
    config: Config = ctx.meta[CONFIG]
    return config


def renew_config(ctx: click.Context, accept: "Callable[[Config], T]") -> "T":
    """Read the configuration again, for a command that goes on by it; what `accept` makes of it.

    Raises: ConfigError if it has a mistake, or names another store or archive; what `accept` raises. The one before
    stays then.
    """
    config, before = _loaded(ctx), ctx.meta.get(CONFIG)
    if before is not None and (before.store, before.archive) != (config.store, config.archive):
        raise ConfigError("another store or archive needs a restart")
    accepted = accept(config)
    ctx.meta[CONFIG] = config
    return accepted


def _loaded(ctx: click.Context) -> "Config":
    """The configuration as it is now; a store named on the command line has its archive beside it."""
    from dataclasses import replace

    from collector.config import load
    from store.location import is_postgres

    config = load(ctx.meta[CONFIG_PATH])
    store = ctx.meta[STORE]
    if store is not None:
        config = replace(config, store=store, archive=config.archive if is_postgres(store) else "")
    return config


def chosen(config: "Config", names: tuple[str, ...] = ()) -> list["SourceSpec"]:
    """The sources asked for; without names, all that are on.

    Raises: ConfigError if there is none, or if one that is asked for needs a key.
    """
    from collector.config import ready, requests_for

    asked = named(config, names)
    for spec in asked:
        requests_for(spec, os.environ)
    found = asked or [spec for spec in config.sources.values() if ready(spec, os.environ)]
    if not found:
        raise ConfigError("no source is on: `tokentape sources` lists them")
    return found


def named(config: "Config", names: tuple[str, ...]) -> list["SourceSpec"]:
    """The sources of these names, each once.

    Raises: ConfigError if there is none of one.
    """
    unknown = [name for name in names if name not in config.sources]
    if unknown:
        raise ConfigError(f"no source {unknown[0]!r}: `tokentape sources` lists them")
    return [config.sources[name] for name in dict.fromkeys(names)]


def show_report(report: "Report", prefix: str = "") -> None:
    """The line of a poll, in colour on a terminal."""
    from store.show import in_bold

    colour = {"ok": "green", "partial": "yellow", "failed": "red"}[report.outcome]
    name, _, rest = report.line.partition(": ")
    styled = f"{click.style(name, bold=True)}: {click.style(rest, fg=colour)}"
    show_line(prefix + (styled if in_bold(sys.stdout) else report.line))


def show_line(line: str) -> None:
    """A line on standard output, which nobody need be reading."""
    from store.show import print_lines

    try:
        print_lines([line])
    except BrokenPipeError:  # whoever read the lines is gone: the polls go on, and their lines go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
