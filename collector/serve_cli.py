"""`tokentape serve`: the store over HTTP; and the same server beside a daemon."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from collector.cli import CONFIG_PATH, read_config, renew_config
from collector.errors import ConfigError
from collector.held_cli import decide
from store.doors import Doors
from store.errors import QueryError, StoreError, StoreMissing
from store.http.settings import ServeSettings

if TYPE_CHECKING:
    from collector.config import Config
    from store.http.gate import App
    from store.http.listen import Renewable

TOKEN = "TOKENTAPE_TOKEN"  # noqa: S105 - the name of the variable that holds it


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that listens."""
    port = click.option(
        "--port", type=click.IntRange(0, 65535), envvar="TOKENTAPE_PORT", help="[default: `serve.port`, 8787]"
    )
    host = click.option(
        "--host",
        metavar="ADDRESS",
        envvar="TOKENTAPE_HOST",
        help="Address to listen on.  [default: `serve.host` of the configuration, 127.0.0.1]",
    )
    return host(port(command))


@click.command()
@where
@click.pass_context
def serve(ctx: click.Context, host: str | None, port: int | None) -> None:
    """Serve the dashboard, and every question over HTTP, until SIGTERM or SIGINT; SIGHUP rereads the configuration.

    The description of all routes is at /v1/openapi.json. Read only, and for this machine alone, unless the section
    `serve` of the configuration says otherwise; for others only with a token, in $TOKENTAPE_TOKEN.

    \b
    Examples:
      tokentape serve
      tokentape serve --port 8080
      TOKENTAPE_TOKEN=... tokentape serve --host 0.0.0.0
    """
    server = Server(ctx, host, port)
    server.use(read_config(ctx))
    with suppress(StoreMissing), ctx.obj.open():  # what is not there yet may come; what is of no use is told at once
        pass
    from store.http.listen import until_stopped

    def hang_up() -> None:
        try:
            renew_config(ctx, server.use)
        except (ConfigError, StoreError) as error:
            click.echo(f"tokentape: the configuration stays as it was: {error}", err=True)

    with server.listening():
        until_stopped(hang_up)


class Server:
    """The store over HTTP, as the configuration of a command has it."""

    def __init__(self, ctx: click.Context, host: str | None, port: int | None) -> None:
        self._ctx, self._host, self._port = ctx, host, port
        self._settings: ServeSettings | None = None
        self._app: Renewable | None = None

    def use(self, config: "Config") -> None:
        """Serve, or go on serving, by this configuration; connections stay.

        Raises: StoreError if it must not be served so, or elsewhere than it is, or what that takes is not installed.
        """
        settings = listens(config.serve, self._host, self._port)
        before = self._settings
        if before is not None and (before.host, before.port) != (settings.host, settings.port):
            raise StoreError("another address to listen on needs a restart")
        app = self._made(settings)
        if self._app is None:
            from store.http.listen import Renewable

            self._app = Renewable(app)
        self._app.app, self._settings = app, settings

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Serve while the context lasts."""
        from store.http.listen import listening

        assert self._app is not None
        assert self._settings is not None
        with listening(self._app, self._settings) as url:
            click.echo(f"serving {url}", err=True)
            yield

    def _made(self, settings: ServeSettings) -> "App":
        try:
            from store.http.app import create_app
        except ImportError as error:
            raise StoreError(f"serving needs what is not installed ({error}): pip install 'tokentape[serve]'") from None
        doors: Doors = self._ctx.obj

        def decided(ref: str, released: bool, note: str, by: str) -> list[str]:
            try:
                return list(decide(self._ctx.meta[CONFIG_PATH], doors, ref, released=released, note=note, by=by))
            except ConfigError as error:
                raise QueryError(str(error)) from None

        return create_app(doors, settings, decided)


def listens(configured: ServeSettings, host: str | None, port: int | None) -> ServeSettings:
    """How a command listens, by its configuration, its options and the token in the environment."""
    return replace(
        configured,
        host=configured.host if host is None else host,
        port=configured.port if port is None else port,
        token=os.environ.get(TOKEN, "").strip(),
    )
