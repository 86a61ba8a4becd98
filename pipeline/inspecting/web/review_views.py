"""Pages of reviews: the form's target, and the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import read_attempt
from pipeline.inspecting.reviews import ReviewStore
from pipeline.inspecting.web.attempt_views import read_filter
from pipeline.inspecting.web.forms import read_form
from pipeline.inspecting.web.opened_runs import RunOpener
from pipeline.inspecting.web.rendering import PageRenderer, link
from schemas.reviews import NOTE_CHARS, Review, ReviewMark

TAKE_BACK = "none"


@dataclass(frozen=True)
class ReviewViews:
    """Pages of reviews."""

    opener: RunOpener
    renderer: PageRenderer
    now: Callable[[], str]
    reviewer: str

    def show_reviews(self, run: str) -> HTMLResponse:
        """All reviews of a run."""
        opened = self.opener.open(run)
        reviews = ReviewStore(opened.folder).read()
        return self.renderer.render("reviews.html", run=opened, reviews=list(reviews.values())[::-1])

    async def save(self, request: Request, run: str, key: str) -> RedirectResponse:
        """Save the review in a form, and redirect to its attempt."""
        form = await read_form(request, f"write at most {NOTE_CHARS} characters")
        await run_in_threadpool(self._write, run, key, form)
        back = link(read_filter(request.query_params).as_query())
        return RedirectResponse(f"/{quote(run, safe='')}/attempts/{quote(key, safe='')}{back}", 303)

    def _write(self, run: str, key: str, form: dict[str, str]) -> None:
        opened = self.opener.open(run)
        if not opened.place.is_local:
            raise InspectError("reviews are stored beside a run on disk; this one is in a store", "copy the run first")
        read_attempt(opened.database, key)  # raises InspectError for an unknown attempt
        mark, note = form.get("mark", ""), form.get("note", "").strip()
        if mark == TAKE_BACK:
            ReviewStore(opened.folder).remove(key)
            return
        if mark not in list(ReviewMark) or len(note) > NOTE_CHARS:
            raise InspectError("a review is `good` or `bad`, with a note that is not too long", "send the form again")
        ReviewStore(opened.folder).save(
            Review(trajectory_id=key, mark=ReviewMark(mark), note=note, reviewer=self.reviewer, at=self.now())
        )
