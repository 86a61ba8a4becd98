"""The pages, by address. Reads runs; the one thing it writes is reviews.

/                                   the runs
/RUN/                               a run: lineage, funnel, acceptance, datasets
/RUN/attempts                       the table of attempts under a filter; /RUN/charts its distributions
/RUN/attempts/ID                    one attempt; /tokens: what of it is trained on
/RUN/compare?a=ID&b=ID              two attempts side by side
/RUN/data/DATASET                   rows of any dataset; /RUN/rows?id=ID one row whole
/RUN/download                       what a filter lets through, as a file
/RUN/reviews, /RUN/live             what was said of attempts; a job under way
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from pipeline.errors import RampforgeError
from pipeline.inspecting.errors import InspectError, OpeningError
from pipeline.inspecting.live_view import ReadLive
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.web.attempt_views import AttemptViews
from pipeline.inspecting.web.guard import App, Guard
from pipeline.inspecting.web.opened_runs import RunShelf
from pipeline.inspecting.web.rendering import PageRenderer
from pipeline.inspecting.web.review_views import ReviewViews
from pipeline.inspecting.web.run_views import RunViews
from pipeline.rendering.token_masks import TokenMasker


@dataclass(frozen=True, slots=True)
class PageServices:
    """What the pages cannot know by themselves."""

    clock: Callable[[], float]
    """Seconds, from any start."""
    now: Callable[[], str]
    """The time, ISO 8601 in UTC."""
    read_live: ReadLive
    """What a run's job tells."""
    reviewer: str = ""
    """Who reviews."""
    patience: float = 1.5
    """Seconds that a page waits for a run to be opened, before it says so."""
    tell: Callable[[str], None] = lambda line: None
    """Shows a line in the terminal."""
    tokenizer: str = ""
    """The model whose tokens are shown; empty for none."""
    masker: TokenMasker | None = None
    """Cuts conversations into that model's tokens."""


def build_app(place: DataLocation, token: str, around: PageServices) -> App:
    """The application for what lies in a place. Raises InspectError where there is nothing, StorageError."""
    shelf, renderer = RunShelf(place, around.clock, around.patience, around.tell), PageRenderer()
    runs = RunViews(shelf, renderer, around.read_live)
    attempts = AttemptViews(shelf, renderer, around.tokenizer, around.masker)
    reviews = ReviewViews(shelf, renderer, around.now, around.reviewer)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages: dict[str, Callable[..., Any]] = {
        "/": runs.list_runs,
        "/static/{name}": renderer.send_file,
        "/{run}/": runs.show_run,
        "/{run}/live": runs.show_live,
        "/{run}/rows": runs.show_row,
        "/{run}/data/{dataset}": runs.show_dataset,
        "/{run}/attempts": attempts.show_table,
        "/{run}/charts": attempts.show_charts,
        "/{run}/download": attempts.download,
        "/{run}/compare": attempts.compare,
        "/{run}/attempts/{key}": attempts.show_attempt,
        "/{run}/attempts/{key}/tokens": attempts.show_tokens,
        "/{run}/reviews": reviews.show_reviews,
    }
    for address, view in pages.items():
        app.add_api_route(address, view, methods=["GET"], response_model=None)
    app.add_api_route("/{run}/attempts/{key}/review", reviews.keep, methods=["POST"], response_model=None)

    def tell_error(request: Request, error: Exception) -> HTMLResponse:
        if isinstance(error, OpeningError):
            return renderer.draw("opening.html", 503, what=error.what)
        if isinstance(error, RampforgeError):
            status = 400 if isinstance(error, InspectError) else 500
            return renderer.draw("error.html", status, what=error.what, fix=error.fix)
        status = error.status_code if isinstance(error, HTTPException) else 500
        what = "there is no such page" if status == 404 else f"the request failed ({status})"
        return renderer.draw("error.html", status, what=what, fix="the first page lists what there is")

    for kind in (RampforgeError, HTTPException, Exception):
        app.add_exception_handler(kind, tell_error)
    return Guard(app, token)
