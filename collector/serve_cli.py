"""`tokentape serve`: the store over HTTP."""

import os
from dataclasses import replace

import click

from collector.cli import CONFIG_PATH, read_config
from collector.errors import ConfigError
from collector.held_cli import decide
from store.doors import Doors
from store.errors import QueryError, StoreError

TOKEN = "TOKENTAPE_TOKEN"  # noqa: S105 - the name of the variable that holds it


@click.command()
@click.option("--host", help="Address to listen on.  [default: `serve.host` of the configuration, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[default: `serve.port`, 8787]")
@click.pass_context
def serve(ctx: click.Context, host: str | None, port: int | None) -> None:
    """Serve the dashboard, and every question over HTTP, until SIGTERM or SIGINT.

    The description of all routes is at /v1/openapi.json. Read only, and for this machine alone, unless the section
    `serve` of the configuration says otherwise; for others only with a token, in $TOKENTAPE_TOKEN.

    \b
    Examples:
      tokentape serve
      tokentape serve --port 8080
      TOKENTAPE_TOKEN=... tokentape serve --host 0.0.0.0
    """
    try:
        from store.http.app import serve as run
    except ImportError as error:
        raise StoreError(f"serving needs what is not installed ({error}): pip install 'tokentape[serve]'") from None
    doors: Doors = ctx.obj
    configured = read_config(ctx).serve
    settings = replace(
        configured,
        host=configured.host if host is None else host,
        port=configured.port if port is None else port,
        token=os.environ.get(TOKEN, "").strip(),
    )

    def decided(ref: str, released: bool, note: str, by: str) -> list[str]:
        try:
            return list(decide(ctx.meta[CONFIG_PATH], doors, ref, released=released, note=note, by=by))
        except ConfigError as error:
            raise QueryError(str(error)) from None

    run(doors, settings, decided, ready=lambda url: click.echo(f"serving {url}", err=True))
