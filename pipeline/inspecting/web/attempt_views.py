"""Pages of attempts: the table under a filter, one attempt, two side by side, charts, training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse

from pipeline.inspecting.attempt_charts import lay_charts
from pipeline.inspecting.attempt_filter import AttemptFilter, SortKey
from pipeline.inspecting.attempt_pages import find_neighbours, read_page
from pipeline.inspecting.downloads import FileFormat, write_attempts
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import list_attempts_of, read_attempt
from pipeline.inspecting.reviews import ReviewStore
from pipeline.inspecting.token_view import view_tokens
from pipeline.inspecting.web.forms import read_query
from pipeline.inspecting.web.opened_runs import OpenedRun, RunOpener
from pipeline.inspecting.web.rendering import PageRenderer, link
from pipeline.rendering.token_masks import TokenMasker
from pipeline.report.example_view import view_example
from schemas.renderings import RenderingName

Format = TypeVar("Format", bound=StrEnum)

CONTENT = {FileFormat.CSV: "text/csv; charset=utf-8", FileFormat.JSONL: "application/x-ndjson"}
HEADS = (
    (SortKey.TITLE, "page"), (SortKey.MASKS, "masks"), (None, "kinds"), (None, "hidden"), (SortKey.TURNS, "turns"),
    (SortKey.F1, "F1"), (SortKey.DIFFICULTY, "difficulty"), (SortKey.REASON, "reason"), (None, "policy"),
    (SortKey.TOKENS, "tokens"),
)  # fmt: skip


@dataclass(frozen=True)
class AttemptViews:
    """Pages of attempts."""

    opener: RunOpener
    renderer: PageRenderer
    tokenizer: str
    masker: TokenMasker | None

    def show_table(self, request: Request, run: str) -> HTMLResponse:
        """A page of the table."""
        opened, filters = self._open(run), read_filter(request.query_params)
        number = request.query_params.get("page", "")
        page = read_page(opened.database, filters, int(number) if number.isdecimal() and len(number) < 12 else 1)
        reviews = ReviewStore(opened.folder).read()
        return self.renderer.render(
            "attempts.html", run=opened, filters=filters, page=page, link=link, heads=HEADS, reviews=reviews
        )

    def show_charts(self, request: Request, run: str) -> HTMLResponse:
        """Distributions under a filter."""
        opened, filters = self._open(run), read_filter(request.query_params)
        charts = lay_charts(opened.database, filters)
        total = read_page(opened.database, filters, 1, 1).total
        return self.renderer.render("charts.html", run=opened, filters=filters, charts=charts, total=total, link=link)

    def show_attempt(self, request: Request, run: str, key: str) -> HTMLResponse:
        """One attempt, with links to its neighbours under the filter."""
        opened, filters = self._open(run), read_filter(request.query_params)
        example = read_attempt(opened.database, key)
        return self.renderer.render(
            "attempt.html",
            run=opened,
            filters=filters,
            link=link,
            view=view_example(1, example),
            neighbours=find_neighbours(opened.database, filters, key),
            siblings=list_attempts_of(opened.database, example.task.task_id),
            review=ReviewStore(opened.folder).read().get(key),
            formats=list(RenderingName),
        )

    def show_tokens(self, request: Request, run: str, key: str) -> HTMLResponse:
        """Training data of an attempt in one format."""
        opened, filters = self._open(run), read_filter(request.query_params)
        name = _pick_format(request, RenderingName.SEARCH_R1)
        example = read_attempt(opened.database, key)
        fault, view = None, None
        try:
            view = view_tokens(example, name, self.masker)
        except InspectError as error:
            fault = error
        return self.renderer.render(
            "tokens.html",
            run=opened,
            filters=filters,
            link=link,
            example=example,
            view=view,
            fault=fault,
            name=name,
            formats=list(RenderingName),
            tokenizer=self.tokenizer,
        )

    def compare(self, request: Request, run: str) -> HTMLResponse:
        """Two attempts side by side."""
        opened = self._open(run)
        keys = [request.query_params.get(side, "") for side in ("a", "b")]
        views = [view_example(n, read_attempt(opened.database, key)) for n, key in enumerate(keys, start=1)]
        return self.renderer.render("compare.html", run=opened, views=views)

    def download(self, request: Request, run: str) -> StreamingResponse:
        """The attempts that match the filter, as a file."""
        opened, filters = self._open(run), read_filter(request.query_params)
        form = _pick_format(request, FileFormat.CSV)
        return StreamingResponse(
            write_attempts(opened.database, filters, form),
            media_type=CONTENT.get(form, "application/octet-stream"),
            headers={"content-disposition": f'attachment; filename="attempts.{form}"'},
        )

    def _open(self, run: str) -> OpenedRun:
        opened = self.opener.open(run)
        if not opened.has_attempts:
            raise InspectError("no trajectories here", "open the whole run, or look at the datasets")
        return opened


def _pick_format(request: Request, default: Format) -> Format:
    """The format of a query string; the default for an unknown one."""
    return next((one for one in type(default) if one == request.query_params.get("format")), default)


def read_filter(values: Mapping[str, str]) -> AttemptFilter:
    """The filter of a query string. Raises InspectError."""
    return read_query(AttemptFilter, values, "filter")
