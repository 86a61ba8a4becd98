"""Pages of a run: lineage, funnel, rows of any dataset, running job."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.charts.funnel import lay_funnel
from pipeline.errors import StorageError
from pipeline.inspecting.condition_process import read_rows_apart
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.lineage import find_exports, trace_lineage
from pipeline.inspecting.live_view import LiveView, ReadLive, read_latest
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.reading import find_id_column, find_rows
from pipeline.inspecting.row_query import RowQuery, read_rows
from pipeline.inspecting.web.opened_runs import RunOpener
from pipeline.inspecting.web.rendering import PageRenderer, link, pick
from pipeline.report.agreement import compare_steps, drop_comparisons
from pipeline.report.shortfall import describe_shortfall
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.ledger import RunRecord
from schemas.live import RunState
from schemas.tasks import MaskTask

PAGE_ROWS = 50


@dataclass(frozen=True)
class RunViews:
    """Pages of runs."""

    opener: RunOpener
    renderer: PageRenderer
    read_live: ReadLive

    def list_runs(self) -> Response:
        """All runs; redirects to a single one."""
        found, rounds = self.opener.find(), self.opener.find_rounds()
        if len(found) == 1 and not rounds:
            return RedirectResponse(f"/{quote(next(iter(found)), safe='')}/", 303)
        runs = [(name, *self._read_record(place), self._read_state(place)) for name, place in found.items()]
        return self.renderer.render("runs.html", runs=runs, rounds=rounds, names=set(found))

    def show_run(self, run: str) -> HTMLResponse:
        """A run."""
        opened = self.opener.open(run)
        summary = opened.summary
        record = summary.record
        return self.renderer.render(
            "run.html",
            run=opened,
            summary=summary,
            record=record,
            steps=trace_lineage(opened.folder),
            rounds=next((view for view in self.opener.find_rounds() if run.startswith(view.prefix)), None),
            exports=find_exports(self.opener.place.folder, record) if opened.place.is_local else (),
            funnel=lay_funnel(drop_comparisons(summary.funnel)),
            shortfall=describe_shortfall(record, opened.database.listing.rows(MaskTask.dataset)) if record else "",
            comparisons=compare_steps(summary.funnel),
            data={"acceptance": summary.acceptance, "leaks": None, "simulated": None},
            ceilings=summary.ceilings,
            live=self._read_state(opened.place),
            reject_link=lambda stage, reason: _link_rejects(run, stage, reason, opened.has_attempts),
        )

    def show_dataset(self, request: Request, run: str, dataset: str) -> HTMLResponse:
        """Rows of a dataset."""
        opened = self.opener.open(run)
        params = pick(request.query_params)
        number = int(params["page"]) if params.get("page", "").isdecimal() else 1
        query = RowQuery(
            dataset=dataset,
            where=params.get("where", ""),
            limit=PAGE_ROWS,
            offset=(max(1, min(number, 10**9)) - 1) * PAGE_ROWS,
            sort=params.get("sort", ""),
            down=params.get("down") == "1",
        )
        fault, page = None, None
        try:
            page = (
                read_rows_apart(opened.database.listing, query)
                if query.where.strip()
                else read_rows(opened.database, query)
            )
        except InspectError as error:
            fault = error
        columns = opened.database.columns(dataset) if dataset in opened.database.listing.datasets else {}
        key = find_id_column(dataset, columns)
        return self.renderer.render(
            "dataset.html",
            400 if fault else 200,
            run=opened,
            query=query,
            page=page,
            number=max(1, number),
            columns=columns,
            key=key,
            fault=fault,
            size=PAGE_ROWS,
            link=link,
        )

    def show_row(self, request: Request, run: str) -> HTMLResponse:
        """All rows with an id, in full."""
        opened = self.opener.open(run)
        key = request.query_params.get("id", "")[:200]
        return self.renderer.render("row.html", run=opened, key=key, rows=find_rows(opened.database, key))

    def show_live(self, run: str) -> HTMLResponse:
        """The running job, or the state that the last one left."""
        place = self.opener.find().get(run)
        if place is None:
            raise InspectError(f"no run {run[:80]!r}", "the first page lists the runs")
        latest, journal_bytes = read_latest(place.folder)
        live = self._read_state(place)
        return self.renderer.render("live.html", name=run, live=live, latest=latest, journal_bytes=journal_bytes)

    def _read_record(self, place: DataLocation) -> tuple[RunRecord | None, str]:
        """run.json, or the reason why it is unreadable."""
        try:
            place.fetch_record()
            return RunFolder(place.folder).find_record(), ""
        except StorageError as error:
            return None, f"{place.name}: {error.what}"

    def _read_state(self, place: DataLocation) -> LiveView:
        """State of a run."""
        return self.read_live(place.folder) if place.is_local else LiveView(RunState.STORED, None, (), "")


def _link_rejects(run: str, stage: str, reason: str, judged: bool) -> str:
    """Link to the rows rejected for a reason."""
    if stage == StageName.JUDGEMENTS and judged:
        return f"/{quote(run, safe='')}/attempts?reason={quote(reason, safe='')}"
    where = " AND ".join(
        f"{column} = '{value.replace(chr(39), chr(39) * 2)}'"
        for column, value in (("stage", stage), ("reason", reason))
    )
    return f"/{quote(run, safe='')}/data/rejects?where={quote(where, safe='')}"
