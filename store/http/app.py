"""The application: routes behind a cache behind a gate."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from store.doors import Doors
from store.errors import StoreError, StoreForeign
from store.http import problems
from store.http.cache import Cache
from store.http.gate import App, Gate
from store.http.metrics import MEDIA_TYPE, metrics
from store.http.pages.doors import add_pages
from store.http.routes import add_routes
from store.http.settings import ServeSettings
from store.http.state import state_of
from store.read import open_store

OPEN = ("/healthz", "/readyz")
"""Paths that anybody may ask for, token or not."""
THREADS = 8
"""Questions that are read at once; more wait."""


Decide = Callable[[str, bool, str, str], list[str]]
"""Records a verdict on what is held (reference, whether released, why, who says so); lines about what came of it."""


class Said(BaseModel):
    """A verdict on what is held."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=200, description="Who says so.")
    note: str = Field("", max_length=2000, description="Why.")


def create_app(doors: Doors, settings: ServeSettings, decide: Decide | None = None) -> App:
    """The application over a store, as an ASGI callable; without `decide`, verdicts are taken from nobody.

    Raises: StoreError where it would listen for others than this machine without a token.
    """
    settings.refuse_open()
    if settings.writes and not settings.token:
        raise StoreError("verdicts are taken from nobody who shows no token: set one, or serve without `writes`")
    settings = replace(settings, writes=settings.writes and decide is not None)
    return Gate(
        Cache(_application(doors, settings, decide), state_of(doors.store_url), doors.now, OPEN), settings, OPEN
    )


def _application(doors: Doors, settings: ServeSettings, decide: Decide | None) -> FastAPI:
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

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response, tags=["health"])
    def prometheus() -> Response:
        with open_store(doors.store_url, within_s=settings.statement_s) as reader:
            return Response(metrics(reader), headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"})

    @app.get("/v1/grafana.json", summary="A Grafana dashboard over these figures", response_class=Response)
    def grafana() -> Response:
        return Response(files("store.http").joinpath("grafana.json").read_bytes(), media_type="application/json")

    if settings.writes and decide is not None:

        @app.post("/v1/held/{ref}/{verdict}", summary="Release or reject what is held", response_class=Response)
        def verdict(
            ref: Annotated[str, Path(pattern="^[0-9a-f]{1,8}$")], verdict: Literal["release", "reject"], said: Said
        ) -> Response:
            lines = decide(ref, verdict == "release", said.note, said.by)
            return Response(json.dumps({"lines": lines}).encode(), media_type="application/json")

    app.add_exception_handler(StoreError, _told)
    app.add_exception_handler(RequestValidationError, _mistaken)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _fault)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


async def _told(_request: Request, error: Exception) -> Response:
    """An expected failure."""
    assert isinstance(error, StoreError)
    status, detail = problems.told(error)
    headers = {"Retry-After": "1"} if status == 503 and not isinstance(error, StoreForeign) else {}
    return _problem(status, detail, headers)


async def _fault(_request: Request, error: Exception) -> Response:
    """A fault of ours: an id for whoever asked, and all of it for the log."""
    status, body = problems.fault(error)
    return Response(body, status, {"Cache-Control": "no-store"}, media_type=problems.MEDIA_TYPE)


async def _mistaken(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _problem(400, problems.mistakes(error.errors(), skip=1), {})


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
