"""A door for each page: what is asked of the store, and which template shows it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from store.doors import Doors
from store.errors import StoreError
from store.http import problems
from store.http.asked import Question
from store.http.pages import models, overview, proof
from store.http.pages.assets import FOREVER, by_path
from store.http.pages.render import page
from store.http.pages.visit import Visit, visit


class Page(NamedTuple):
    """A page."""

    path: str
    kind: type[Question]
    """Its parameters."""
    make: Callable[[Visit, Any], Response]


PAGES = (
    Page("/", Question, overview.overview),
    Page("/changes", overview.Changed, overview.changes),
    Page("/conflicts", overview.Contradictory, overview.conflicts),
    Page("/held", overview.OfSource, overview.held),
    Page("/sources", overview.Listed, overview.sources),
    Page("/models", overview.Listed, models.search),
    Page("/model", models.OfModel, models.model),
    Page("/compare", models.Compared, models.compare),
    Page("/provider", models.OfProvider, models.provider),
    Page("/source", proof.OneSource, proof.source),
    Page("/endpoint", proof.OneEndpoint, proof.endpoint),
    Page("/document/{sha256}", Question, proof.document),
    Page("/document/{sha256}/raw", Question, proof.raw),
)


def add_pages(app: FastAPI, doors: Doors, statement_s: float) -> None:
    """Give an application the dashboard over a store, and the files it needs."""
    for one in PAGES:
        app.add_api_route(one.path, _handler(one, doors, statement_s), methods=["GET"], include_in_schema=False)
    app.add_api_route("/static/{name:path}", _static, methods=["GET"], include_in_schema=False)


def _handler(one: Page, doors: Doors, statement_s: float) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        try:
            return one.make(*visit(doors, statement_s, request, one.kind))
        except StoreError as error:
            status, detail = problems.told(error)
            return page("problem.html", status, {"Cache-Control": "no-store"}, visit=None, code=status, detail=detail)

    return handle


def _static(request: Request) -> Response:
    """One of the files there are; whatever else the path says leads nowhere."""
    asset = by_path().get(request.scope["raw_path"].decode("latin-1"))
    if asset is None:
        raise HTTPException(404)
    return Response(asset.body, media_type=asset.media_type, headers={"Cache-Control": FOREVER})
