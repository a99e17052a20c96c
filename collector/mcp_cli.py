"""`tokentape mcp`: the store as tools of the Model Context Protocol."""

from dataclasses import replace

import click

from collector.cli import read_config
from collector.serve_cli import listens
from store.doors import Doors
from store.errors import StoreError


@click.command()
@click.option("--http", is_flag=True, help="Listen for HTTP, instead of talking over standard input and output.")
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8788, show_default=True)
@click.pass_context
def mcp(ctx: click.Context, host: str, port: int, *, http: bool) -> None:
    """Serve questions as tools of the Model Context Protocol (MCP), read only.

    The tools are models, price, history, cheapest, compare, changes and explain. A client starts this as a process of
    its own, or finds it under /mcp of the address that --http listens on; for others than this machine only with a
    token, in $TOKENTAPE_TOKEN.

    \b
    Examples:
      tokentape mcp
      tokentape --store /var/lib/tokentape/tokentape.db mcp
      tokentape mcp --http --port 8788
    """
    try:
        from store import tools
    except ImportError as error:
        raise StoreError(f"serving tools needs what is not installed ({error}): pip install 'tokentape[mcp]'") from None
    doors: Doors = ctx.obj
    settings = listens(read_config(ctx).serve, host, port)
    if not http:
        tools.serve_stdio(doors, settings.statement_s)
        return
    from store.http.listen import listening, until_stopped

    with listening(tools.create_app(doors, replace(settings, writes=False)), settings) as url:
        click.echo(f"serving {url.rstrip('/')}{tools.PATH}", err=True)
        until_stopped()
