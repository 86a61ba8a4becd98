"""Application of the pages. It reads runs, and writes nothing but reviews and labels.

/                                   the runs
/RUN/                               a run: lineage, funnel, acceptance, datasets
/RUN/attempts                       the table of attempts under a filter; /RUN/charts its distributions
/RUN/attempts/ID                    one attempt; /tokens: its training data
/RUN/compare?a=ID&b=ID              two attempts side by side
/RUN/data/DATASET                   rows of any dataset; /RUN/rows?id=ID one row whole
/RUN/download                       the attempts under a filter, as a file
/RUN/reviews, /RUN/live             reviews of attempts; a running job
/RUN/labels                         masks to label, and the agreement of their raters
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
from pipeline.inspecting.web.label_views import LabelViews
from pipeline.inspecting.web.opened_runs import RunOpener
from pipeline.inspecting.web.rendering import PageRenderer
from pipeline.inspecting.web.review_views import ReviewViews
from pipeline.inspecting.web.run_views import RunViews
from pipeline.rendering.token_masks import TokenMasker


@dataclass(frozen=True, slots=True)
class PageServices:
    """Dependencies of the pages."""

    clock: Callable[[], float]
    """Monotonic time in seconds."""
    now: Callable[[], str]
    """Current time, ISO 8601 in UTC."""
    read_live: ReadLive
    """Reader of a running job's state."""
    reviewer: str = ""
    """Name of the reviewer."""
    timeout: float = 1.5
    """Seconds that a page waits for a run to be opened."""
    log: Callable[[str], None] = lambda line: None
    """Print a line in the terminal."""
    tokenizer: str = ""
    """Name of the model whose tokens are shown; empty for none."""
    masker: TokenMasker | None = None
    """Tokenizer of that model."""


def build_app(place: DataLocation, token: str, services: PageServices) -> App:
    """The application for a location. Raises InspectError when it is empty, StorageError."""
    opener, renderer = RunOpener(place, services.clock, services.timeout, services.log), PageRenderer()
    runs = RunViews(opener, renderer, services.read_live)
    attempts = AttemptViews(opener, renderer, services.tokenizer, services.masker)
    reviews = ReviewViews(opener, renderer, services.now, services.reviewer)
    labels = LabelViews(opener, renderer, services.now, services.reviewer)
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
        "/{run}/labels": labels.show,
    }
    for address, view in pages.items():
        app.add_api_route(address, view, methods=["GET"], response_model=None)
    app.add_api_route("/{run}/attempts/{key}/review", reviews.save, methods=["POST"], response_model=None)
    app.add_api_route("/{run}/labels", labels.save, methods=["POST"], response_model=None)

    def handle_error(request: Request, error: Exception) -> HTMLResponse:
        if isinstance(error, OpeningError):
            return renderer.render("opening.html", 503, what=error.what)
        if isinstance(error, RampforgeError):
            status = 400 if isinstance(error, InspectError) else 500
            return renderer.render("error.html", status, what=error.what, fix=error.fix)
        status = error.status_code if isinstance(error, HTTPException) else 500
        fault = "page not found" if status == 404 else f"the request failed ({status})"
        return renderer.render("error.html", status, what=fault, fix="the first page lists what there is")

    for kind in (RampforgeError, HTTPException, Exception):
        app.add_exception_handler(kind, handle_error)
    return Guard(app, token)
