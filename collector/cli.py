"""The `tokentape` command: collecting commands here, reading commands in `store.cli`.

Nothing but click is imported before a command runs, so that a question costs no more than its answer.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collector.config import Config
    from collector.contract import SourceSpec
    from collector.poll import Report

READING = ("cheapest", "changes", "endpoints", "explain", "export", "held", "history", "models")
"""Commands that live in `store.cli`."""

SHELLS = ("bash", "zsh", "fish")


class Doorway(click.Group):
    """A group that imports a reading command only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, by name."""
        return sorted([*super().list_commands(ctx), *READING])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, from here or from the reading side."""
        if cmd_name in READING:
            command: click.Command = getattr(importlib.import_module("store.cli"), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=Doorway, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--store", help="Store, as sqlite:///PATH or a path. [default: `store` of the configuration]")
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
    from store.cli import Doors

    ctx.obj = Doors(store_url=store, config_path=config_path)


@main.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=lambda *_: _source_ids())
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

    config = _config(ctx)
    specs = _chosen(config, sources)
    reports = collect_once(config, specs, show=_show)
    ctx.exit(0 if all(report.outcome == "ok" for report in reports) else 1)


@main.command()
@click.pass_context
def daemon(ctx: click.Context) -> None:
    """Poll every source on its schedule, until SIGTERM or SIGINT.

    \b
    Examples:
      tokentape daemon
      tokentape --config /etc/tokentape.yaml daemon
    """
    from collector.commands import run_daemon

    config = _config(ctx)
    run_daemon(config, _chosen(config, ()), show=_show)


@main.command("try")
@click.argument("source", shell_complete=lambda *_: _source_ids())
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Offers to show.")
@click.pass_context
def try_(ctx: click.Context, source: str, limit: int) -> None:
    """Fetch and parse a source, show what it says, store nothing.

    \b
    Examples:
      tokentape try deepinfra
      tokentape try openrouter --limit 5
    """
    from collector.commands import try_source

    config = _config(ctx)
    (spec,) = _chosen(config, (source,))
    for line in try_source(config, spec, limit):
        click.echo(line)


@main.command()
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "jsonl"]), default="table", show_default=True
)
@click.pass_context
def sources(ctx: click.Context, form: str) -> None:
    """Every configured source: last success, age, endpoints, changes, held, failures, when it is due next.

    \b
    Examples:
      tokentape sources
      tokentape sources --format json
    """
    from collector.commands import list_sources

    list_sources(_config(ctx), form, ctx.obj.now())


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
    """The console command: every expected error is one line and a proper exit code."""
    from store.errors import StoreError

    try:
        main.main(prog_name="tokentape", standalone_mode=True)
    except StoreError as error:
        _stop(error)
    except Exception as error:
        if type(error).__module__ != "collector.errors":
            raise
        _stop(error)


def _stop(error: Exception) -> None:
    click.echo(f"tokentape: {error}", err=True)
    sys.exit(2)


def _config(ctx: click.Context) -> "Config":
    from dataclasses import replace

    from collector.config import load

    config = load(ctx.obj.config_path)
    return replace(config, store=ctx.obj.store_url) if ctx.obj.store_url else config


def _chosen(config: "Config", names: tuple[str, ...]) -> list["SourceSpec"]:
    """The sources asked for; without names, all that are on."""
    from collector.config import ready
    from collector.errors import ConfigError

    unknown = [name for name in names if name not in config.sources]
    if unknown:
        raise ConfigError(f"no source {unknown[0]!r}: `tokentape sources` lists them")
    if not names:
        return [spec for spec in config.sources.values() if ready(spec, os.environ)]
    for name in names:
        spec = config.sources[name]
        if spec.key_env and not os.environ.get(spec.key_env):
            raise ConfigError(f"source {name} needs a key: set {spec.key_env}")
    return [config.sources[name] for name in dict.fromkeys(names)]


def _source_ids() -> list[str]:
    from collector.config import load

    return list(load(None).sources)


def _show(report: "Report") -> None:
    colour = {"ok": "green", "partial": "yellow", "failed": "red"}[report.outcome]
    name, _, rest = report.line.partition(": ")
    click.echo(f"{click.style(name, bold=True)}: {click.style(rest, fg=colour)}")

