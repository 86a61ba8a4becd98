"""Pages of attempts: the table under a filter, one attempt, two side by side, charts, what is trained on."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import ValidationError

from pipeline.inspecting.attempt_charts import draw_charts
from pipeline.inspecting.attempt_filter import AttemptFilter, SortKey
from pipeline.inspecting.attempt_pages import find_neighbours, read_page
from pipeline.inspecting.downloads import FileFormat, write_attempts
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import list_attempts_of, read_attempt
from pipeline.inspecting.reviews import ReviewBook
from pipeline.inspecting.token_view import view_tokens
from pipeline.inspecting.web.opened_runs import OpenedRun, RunShelf
from pipeline.inspecting.web.rendering import PageRenderer, link, pick
from pipeline.rendering.token_masks import TokenMasker
from pipeline.report.example_view import view_example
from schemas.renderings import RenderingName

CONTENT = {FileFormat.CSV: "text/csv; charset=utf-8", FileFormat.JSONL: "application/x-ndjson"}
HEADS = (
    (SortKey.TITLE, "page"), (SortKey.MASKS, "masks"), (None, "kinds"), (None, "hidden"), (SortKey.TURNS, "turns"),
    (SortKey.F1, "F1"), (SortKey.DIFFICULTY, "difficulty"), (SortKey.REASON, "reason"), (None, "policy"),
    (SortKey.TOKENS, "tokens"),
)  # fmt: skip


class AttemptViews:
    """Pages of attempts."""

    def __init__(self, shelf: RunShelf, renderer: PageRenderer, tokenizer: str, masker: TokenMasker | None) -> None:
        self._shelf = shelf
        self._renderer = renderer
        self._tokenizer = tokenizer
        self._masker = masker

    def show_table(self, request: Request, run: str) -> HTMLResponse:
        """A page of the table."""
        opened, wanted = self._open(run), read_filter(request.query_params)
        number = request.query_params.get("page", "")
        page = read_page(opened.database, wanted, int(number) if number.isdecimal() and len(number) < 12 else 1)
        reviews = ReviewBook(opened.folder).read()
        return self._renderer.draw(
            "attempts.html", run=opened, wanted=wanted, page=page, link=link, heads=HEADS, reviews=reviews
        )

    def show_charts(self, request: Request, run: str) -> HTMLResponse:
        """Distributions under a filter."""
        opened, wanted = self._open(run), read_filter(request.query_params)
        charts = draw_charts(opened.database, wanted)
        total = read_page(opened.database, wanted, 1, 1).total
        return self._renderer.draw("charts.html", run=opened, wanted=wanted, charts=charts, total=total, link=link)

    def show_attempt(self, request: Request, run: str, key: str) -> HTMLResponse:
        """One attempt, and the way to the next one under the filter."""
        opened, wanted = self._open(run), read_filter(request.query_params)
        example = read_attempt(opened.database, key)
        return self._renderer.draw(
            "attempt.html",
            run=opened,
            wanted=wanted,
            link=link,
            view=view_example(1, example),
            neighbours=find_neighbours(opened.database, wanted, key),
            siblings=list_attempts_of(opened.database, example.task.task_id),
            review=ReviewBook(opened.folder).read().get(key),
            formats=list(RenderingName),
        )

    def show_tokens(self, request: Request, run: str, key: str) -> HTMLResponse:
        """What of an attempt is trained on, in one format."""
        opened, wanted = self._open(run), read_filter(request.query_params)
        asked = request.query_params.get("format", RenderingName.SEARCH_R1)
        name = next((form for form in RenderingName if form == asked), RenderingName.SEARCH_R1)
        example = read_attempt(opened.database, key)
        fault, view = None, None
        try:
            view = view_tokens(example, name, self._masker)
        except InspectError as error:
            fault = error
        return self._renderer.draw(
            "tokens.html",
            run=opened,
            wanted=wanted,
            link=link,
            example=example,
            view=view,
            fault=fault,
            name=name,
            formats=list(RenderingName),
            tokenizer=self._tokenizer,
        )

    def compare(self, request: Request, run: str) -> HTMLResponse:
        """Two attempts side by side."""
        opened = self._open(run)
        keys = [request.query_params.get(side, "") for side in ("a", "b")]
        views = [view_example(n, read_attempt(opened.database, key)) for n, key in enumerate(keys, start=1)]
        return self._renderer.draw("compare.html", run=opened, views=views)

    def download(self, request: Request, run: str) -> StreamingResponse:
        """What the filter lets through, as a file."""
        opened, wanted = self._open(run), read_filter(request.query_params)
        asked = request.query_params.get("format")
        form = next((form for form in FileFormat if form == asked), FileFormat.CSV)
        return StreamingResponse(
            write_attempts(opened.database, wanted, form),
            media_type=CONTENT.get(form, "application/octet-stream"),
            headers={"content-disposition": f'attachment; filename="attempts.{form}"'},
        )

    def _open(self, run: str) -> OpenedRun:
        opened = self._shelf.open(run)
        if not opened.has_attempts:
            raise InspectError("no trajectories lie here", "open the whole run, or look at the datasets")
        return opened


def read_filter(values: Mapping[str, str]) -> AttemptFilter:
    """The filter that an address holds. Raises InspectError."""
    try:
        return AttemptFilter.model_validate(pick(values))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise InspectError(f"the filter's {where} cannot be used: {fault['msg']}", "choose another value") from None
