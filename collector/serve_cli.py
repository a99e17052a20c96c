"""`tokentape serve`: the store over HTTP."""

import os
from dataclasses import replace
from importlib.util import find_spec

import click

from collector.cli import read_config
from store.doors import Doors
from store.errors import StoreError

TOKEN = "TOKENTAPE_TOKEN"  # noqa: S105 - the name of the variable that holds it

NEEDED = ("fastapi", "uvicorn", "jinja2")


@click.command()
@click.option("--host", help="Address to listen on.  [default: `serve.host` of the configuration, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[default: `serve.port`, 8787]")
@click.pass_context
def serve(ctx: click.Context, host: str | None, port: int | None) -> None:
    """Serve the dashboard, and every question over HTTP, until SIGTERM or SIGINT.

    The dashboard is at /, the description of all routes at /v1/openapi.json. Read only, and for this machine alone,
    unless the section `serve` of the configuration says otherwise; for others only with a token, in $TOKENTAPE_TOKEN.

    \b
    Examples:
      tokentape serve
      tokentape serve --port 8080
      TOKENTAPE_TOKEN=... tokentape serve --host 0.0.0.0
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise StoreError(f"serving needs {', '.join(missing)}: pip install 'tokentape[serve]'")
    from store.http.app import serve as run

    doors: Doors = ctx.obj
    configured = read_config(ctx).serve
    settings = replace(
        configured,
        host=configured.host if host is None else host,
        port=configured.port if port is None else port,
        token=os.environ.get(TOKEN, "").strip(),
    )
    run(doors, settings, ready=lambda url: click.echo(f"serving {url}", err=True))
