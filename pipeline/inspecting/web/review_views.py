"""What is said of attempts: kept when a form is sent, listed on a page."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import read_attempt
from pipeline.inspecting.reviews import ReviewBook
from pipeline.inspecting.web.attempt_views import read_filter
from pipeline.inspecting.web.opened_runs import RunShelf
from pipeline.inspecting.web.rendering import PageRenderer, link
from schemas.reviews import NOTE_CHARS, Review, ReviewMark

MOST_BYTES = 32_000
TAKE_BACK = "none"


class ReviewViews:
    """Pages of reviews."""

    def __init__(self, shelf: RunShelf, renderer: PageRenderer, now: Callable[[], str], reviewer: str) -> None:
        self._shelf = shelf
        self._renderer = renderer
        self._now = now
        self._reviewer = reviewer

    def show_reviews(self, run: str) -> HTMLResponse:
        """Everything said of a run's attempts."""
        opened = self._shelf.open(run)
        reviews = ReviewBook(opened.folder).read()
        return self._renderer.draw("reviews.html", run=opened, reviews=list(reviews.values())[::-1])

    async def keep(self, request: Request, run: str, key: str) -> RedirectResponse:
        """Keep what a form says of an attempt, and go back to it."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise InspectError("the note is too long", f"write at most {NOTE_CHARS} characters")
        said = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        await run_in_threadpool(self._write, run, key, said)
        back = link(read_filter(request.query_params).as_query())
        return RedirectResponse(f"/{quote(run, safe='')}/attempts/{quote(key, safe='')}{back}", 303)

    def _write(self, run: str, key: str, said: dict[str, str]) -> None:
        opened = self._shelf.open(run)
        if not opened.place.kept_here:
            raise InspectError("reviews are kept beside a run on disk; this one lies in a store", "copy the run first")
        read_attempt(opened.database, key)  # what is not there cannot be reviewed
        mark, note = said.get("mark", ""), said.get("note", "").strip()
        if mark == TAKE_BACK:
            ReviewBook(opened.folder).remove(key)
            return
        if mark not in list(ReviewMark) or len(note) > NOTE_CHARS:
            raise InspectError("a review is `good` or `bad`, with a note that is not too long", "send the form again")
        ReviewBook(opened.folder).keep(
            Review(trajectory_id=key, mark=ReviewMark(mark), note=note, reviewer=self._reviewer, at=self._now())
        )
