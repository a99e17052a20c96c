"""`tokentape daemon`: polls on schedule, and the server beside them."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from collector.cli import chosen, renew_config, show_line, show_report
from collector.serve_cli import Server, where
from store.instants import iso

if TYPE_CHECKING:
    from collector.config import Config
    from collector.contract import SourceSpec
    from collector.poll import Report


@click.command()
@click.option("--serve", is_flag=True, help="Also serve every question over HTTP, as `tokentape serve` does.")
@where
@click.option(
    "--log",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The line of a poll: for people, or as JSON.",
)
@click.pass_context
def daemon(ctx: click.Context, host: str | None, port: int | None, form: str, *, serve: bool) -> None:
    """Poll every source on its schedule, until SIGTERM or SIGINT; SIGHUP has the configuration read again.

    With --serve the server has a thread of its own: a poll that fails or hangs delays no answer, and a fault that ends
    the server, which then begins again, ends no poll. It answers until the last poll is done.

    \b
    Examples:
      tokentape daemon
      tokentape --config /etc/tokentape.yaml daemon
      tokentape daemon --serve --port 8080 --log json
    """
    from collector.alerts import require
    from collector.commands import run_daemon

    if not serve and ParameterSource.COMMANDLINE in map(ctx.get_parameter_source, ("host", "port")):
        raise click.UsageError("--host and --port say where --serve listens, and it is not here")
    server = Server(ctx, host, port) if serve else None

    def accept(config: "Config") -> "tuple[Config, list[SourceSpec]]":
        specs = chosen(config)
        if config.alerts:
            require()
        if server is not None:
            server.use(config)
        return config, specs

    run_daemon(
        lambda: renew_config(ctx, accept),
        show=_log_json if form == "json" else _log,
        beside=nullcontext if server is None else server.listening,
    )


def _log(report: "Report") -> None:
    """A line that says when, for a log that does not."""
    show_report(report, f"{report.at:%Y-%m-%dT%H:%M:%SZ} ")


def _log_json(report: "Report") -> None:
    """The same as an object of JSON, whatever an upstream says in it: one event, one line."""
    show_line(json.dumps(asdict(report) | {"at": iso(report.at)}))
