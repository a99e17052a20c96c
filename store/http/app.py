"""The application: routes behind a cache behind a gate."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from store.doors import Doors
from store.errors import StoreError
from store.http import problems
from store.http.cache import Cache
from store.http.gate import App, Gate
from store.http.pages.doors import add_pages
from store.http.routes import add_routes
from store.http.settings import ServeSettings
from store.http.state import state_of
from store.read import open_store

OPEN = ("/healthz", "/readyz")
"""Paths that anybody may ask for, token or not."""
THREADS = 8
"""Questions that are read at once; more wait."""


def create_app(doors: Doors, settings: ServeSettings) -> App:
    """The application over a store, as an ASGI callable.

    Raises: StoreError where it would listen for others than this machine without a token.
    """
    if settings.is_public and not settings.token:
        raise StoreError(f"{settings.host} is reached by others than this machine: set a token, or serve 127.0.0.1")
    if settings.writes and not settings.token:
        raise StoreError("verdicts are taken from nobody who shows no token: set one, or serve without `writes`")
    return Gate(Cache(_questions(doors, settings), state_of(doors.store_url), doors.now, OPEN), settings, OPEN)


def _questions(doors: Doors, settings: ServeSettings) -> FastAPI:
    """All routes, with their description."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        from anyio.to_thread import current_default_thread_limiter

        current_default_thread_limiter().total_tokens = THREADS
        yield

    app = FastAPI(
        title="tokentape",
        version=version("tokentape"),
        summary="What every inference provider charges for every language model: when, and where it is cheapest.",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
        license_info={"name": "MIT"},
    )
    add_routes(app, doors, settings.statement_s)
    add_pages(app, doors, settings.statement_s)

    @app.get("/healthz", summary="Whether this process answers", response_class=Response, tags=["health"])
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/readyz", summary="Whether the store can be read", response_class=Response, tags=["health"])
    def readyz() -> Response:
        with open_store(doors.store_url, within_s=settings.statement_s):
            return Response(b'{"status":"ready"}', media_type="application/json", headers={"Cache-Control": "no-store"})

    app.add_exception_handler(StoreError, _told)
    app.add_exception_handler(RequestValidationError, _mistaken)
    app.add_exception_handler(HTTPException, _plain)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


async def _told(_request: Request, error: Exception) -> Response:
    """An expected failure."""
    assert isinstance(error, StoreError)
    status, detail = problems.told(error)
    headers = {"Retry-After": "1"} if status == 503 else {}
    return _problem(status, detail, headers)


async def _mistaken(_request: Request, error: Exception) -> Response:
    """Parameters that are none: which, and what is wrong with each, without what was sent."""
    assert isinstance(error, RequestValidationError)
    wrong = [
        f"{'.'.join(str(part) for part in one['loc'][1:])[:100]}: {one['msg'][:200]}" for one in error.errors()[:5]
    ]
    return _problem(400, "; ".join(wrong), {})


async def _plain(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, "", dict(error.headers or {}))


def _problem(status: int, detail: str, headers: dict[str, str]) -> Response:
    return Response(
        problems.body(status, detail),
        status,
        headers | {"Cache-Control": "no-store"},
        media_type=problems.MEDIA_TYPE,
    )


_DESCRIPTION = """
Every answer is a list of rows with the columns of the command of that name: JSON, JSON Lines or CSV by `format` or the
Accept header. Prices are plain decimals in currency units per 1M tokens, or per single other thing, as text; instants
are ISO 8601 in UTC. `at` is when it was true, `known_at` when it was known: the instants that an answer is about are in
its headers `Tokentape-At` and `Tokentape-Known-At`, and asking for them gives the same answer again. Answers have an
ETag; one page has at most `limit` rows, and `Tokentape-Next` is the `cursor` of the next. Problems are RFC 9457.
"""


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with the problems that the gate answers with."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
            },
            "required": ["type", "title", "status"],
        }
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{}, {"token": []}]
        for path in schema["paths"].values():
            for operation in path.values():
                # A parameter that is none is told as a problem with status 400.
                operation["responses"].pop("422", None)
        app.openapi_schema = schema
    return app.openapi_schema


def serve(doors: Doors, settings: ServeSettings, ready: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the address once it is listened on.

    Raises: StoreError if it cannot be, or must not.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(f"http://{listening.getsockname()[0]}:{listening.getsockname()[1]}/")

    app = create_app(doors, settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(settings.idle_s),
        timeout_graceful_shutdown=5,
        limit_concurrency=settings.connections,
        h11_max_incomplete_event_size=16_384,
    )
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise StoreError(f"{settings.host}:{settings.port} cannot be listened on: {error}") from None
    with listening:
        asyncio.run(Server(config).serve([listening]))
