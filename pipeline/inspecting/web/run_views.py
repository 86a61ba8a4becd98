"""Pages of a run as a whole: where its data come from, how many got through, any dataset's rows, a job under way."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.charts.funnel import lay_funnel
from pipeline.inspecting.condition_process import read_rows_apart
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.lineage import find_exports, trace_lineage
from pipeline.inspecting.live_view import LiveView, ReadLive, read_latest
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.reading import find_id_column, find_rows
from pipeline.inspecting.row_query import RowQuery, read_rows
from pipeline.inspecting.web.opened_runs import RunShelf
from pipeline.inspecting.web.rendering import PageRenderer, link, pick
from pipeline.report.agreement import compare_steps, drop_comparisons
from schemas.config import StageName
from schemas.ledger import RunRecord
from schemas.live import RunState

PAGE_ROWS = 50


class RunViews:
    """Pages of runs."""

    def __init__(self, shelf: RunShelf, renderer: PageRenderer, read_live: ReadLive) -> None:
        self._shelf = shelf
        self._renderer = renderer
        self._read_live = read_live

    def list_runs(self) -> Response:
        """All runs; the only one is shown at once."""
        found, rounds = self._shelf.find(), self._shelf.find_rounds()
        if len(found) == 1 and not rounds:
            return RedirectResponse(f"/{quote(next(iter(found)), safe='')}/", 303)
        runs: list[tuple[str, RunRecord | None, str, LiveView]] = []
        for name, place in found.items():
            try:
                run = self._shelf.read_card(place)
            except InspectError as error:
                runs.append((name, None, error.what, self._look(place)))
            else:
                runs.append((name, run, "", self._look(place)))
        return self._renderer.draw("runs.html", runs=runs, rounds=rounds, names=set(found))

    def show_run(self, run: str) -> HTMLResponse:
        """A run."""
        opened = self._shelf.open(run)
        summary = opened.summary
        record = summary.record
        return self._renderer.draw(
            "run.html",
            run=opened,
            summary=summary,
            record=record,
            steps=trace_lineage(opened.folder),
            rounds=next((view for view in self._shelf.find_rounds() if run.startswith(view.prefix)), None),
            exports=find_exports(self._shelf.place.folder, record) if opened.place.kept_here else (),
            funnel=lay_funnel(drop_comparisons(summary.funnel)),
            comparisons=compare_steps(summary.funnel),
            data={"acceptance": summary.acceptance, "leaks": None, "simulated": None},
            live=self._look(opened.place),
            reject_link=lambda stage, reason: _link_rejects(run, stage, reason, opened.has_attempts),
        )

    def show_dataset(self, request: Request, run: str, dataset: str) -> HTMLResponse:
        """Rows of a dataset."""
        opened = self._shelf.open(run)
        asked = pick(request.query_params)
        number = int(asked["page"]) if asked.get("page", "").isdecimal() else 1
        wanted = RowQuery(
            dataset=dataset,
            where=asked.get("where", ""),
            limit=PAGE_ROWS,
            offset=(max(1, min(number, 10**9)) - 1) * PAGE_ROWS,
            sort=asked.get("sort", ""),
            down=asked.get("down") == "1",
        )
        fault, page = None, None
        try:
            page = (
                read_rows_apart(opened.database.listing, wanted)
                if wanted.where.strip()
                else read_rows(opened.database, wanted)
            )
        except InspectError as error:
            fault = error
        columns = opened.database.columns(dataset) if dataset in opened.database.listing.datasets else {}
        key = find_id_column(dataset, columns)
        return self._renderer.draw(
            "dataset.html",
            400 if fault else 200,
            run=opened,
            wanted=wanted,
            page=page,
            number=max(1, number),
            columns=columns,
            key=key,
            fault=fault,
            size=PAGE_ROWS,
            link=link,
        )

    def show_row(self, request: Request, run: str) -> HTMLResponse:
        """Every row with an id, whole."""
        opened = self._shelf.open(run)
        key = request.query_params.get("id", "")[:200]
        return self._renderer.draw("row.html", run=opened, key=key, rows=find_rows(opened.database, key))

    def show_live(self, run: str) -> HTMLResponse:
        """A job under way, or what the last one left unfinished."""
        place = self._shelf.find().get(run)
        if place is None:
            raise InspectError(f"no run {run[:80]!r} lies here", "the first page lists the runs")
        latest, journal_bytes = read_latest(place.folder)
        live = self._look(place)
        return self._renderer.draw("live.html", name=run, live=live, latest=latest, journal_bytes=journal_bytes)

    def _look(self, place: DataLocation) -> LiveView:
        """What a run is doing."""
        return self._read_live(place.folder) if place.kept_here else LiveView(RunState.STORED, None, (), "")


def _link_rejects(run: str, stage: str, reason: str, judged: bool) -> str:
    """Where the rows that a reason took are shown."""
    if stage == StageName.JUDGEMENTS and judged:
        return f"/{quote(run, safe='')}/attempts?reason={quote(reason, safe='')}"
    where = " AND ".join(
        f"{column} = '{value.replace(chr(39), chr(39) * 2)}'"
        for column, value in (("stage", stage), ("reason", reason))
    )
    return f"/{quote(run, safe='')}/data/rejects?where={quote(where, safe='')}"
