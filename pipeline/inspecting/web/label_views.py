"""Pages of labels: a queue of masks with the form of the four codes, and the agreement of the raters.

Guarantees: a page of a mask shows nothing of other raters; the answer is in a closed part of it until the rater opens
that; a label is saved for the mask that was shown, whatever the queue is by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from pipeline.errors import ConfigError
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.web.forms import read_form, read_query
from pipeline.inspecting.web.opened_runs import OpenedRun, RunOpener
from pipeline.inspecting.web.rendering import PageRenderer, link
from pipeline.labelling.agreement import compare_raters
from pipeline.labelling.queue import QueuedMask, find_masks, list_masks
from pipeline.labelling.store import LabelStore
from pipeline.report.text_pieces import cut_at_masks
from schemas.mask_labels import RATER_CHARS, AliasesCode, MaskCodes, MaskLabel
from schemas.record import Frozen
from schemas.tasks import MaskTask

MOST_MASKS = 2_000
CODE_ALL = "give each of the codes, and each alias its own"


class LabelSession(Frozen):
    """What a rater labels, as in the address of a page."""

    rater: str = Field(default="", max_length=RATER_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$")
    """Name of the rater; empty on the first page."""
    seed: int = Field(default=0, ge=0, lt=10**9)
    """Seed of the sample."""
    n: int = Field(default=100, ge=1, le=MOST_MASKS)
    """Masks in the sample."""
    at: int | None = Field(default=None, ge=1)
    """Place of the mask in it, counted from 1; without one, or after the end, the first that the rater has not
    labelled."""

    def as_query(self, at: int | None = None) -> str:
        """Return the query string of another place."""
        return link("", rater=self.rater, seed=self.seed, n=self.n, at=at)


@dataclass(frozen=True)
class LabelViews:
    """Pages of labels."""

    opener: RunOpener
    renderer: PageRenderer
    now: Callable[[], str]
    reviewer: str

    def show(self, request: Request, run: str) -> HTMLResponse:
        """The mask at a place of the queue; without a rater, or at its end, the start of a queue and the agreement."""
        opened, session = self._open(run), _read_session(request)
        labels = LabelStore(opened.folder).read()
        own = {mask: label for (rater, mask), label in labels.items() if rater == session.rater}
        names = _list_queue(opened, session) if session.rater else []
        unlabelled = next((n for n, name in enumerate(names, start=1) if name not in own), 0)
        place = session.at if session.at and session.at <= len(names) else unlabelled
        if not place:
            return self._show_start(opened, session, list(labels.values()), bool(names))
        queued = find_masks(opened.database.select_rows, [names[place - 1]])[names[place - 1]]
        return self.renderer.render(
            "label.html",
            run=opened,
            session=session,
            place=place,
            total=len(names),
            done=sum(name in own for name in names),
            queued=queued,
            pieces=cut_at_masks(queued.task.masked_text),
            label=own.get(queued.name),
        )

    async def save(self, request: Request, run: str) -> RedirectResponse:
        """Save the codes in a form, and redirect to the next mask."""
        session = _read_session(request)
        form = await read_form(request, CODE_ALL)
        await run_in_threadpool(self._write, run, session, form)
        next_place = None if session.at is None else session.at + 1
        return RedirectResponse(f"/{quote(run, safe='')}/labels{session.as_query(next_place)}", 303)

    def _show_start(
        self, opened: OpenedRun, session: LabelSession, labels: Sequence[MaskLabel], finished: bool
    ) -> HTMLResponse:
        raters: dict[str, int] = {}
        for label in labels:
            raters[label.rater] = raters.get(label.rater, 0) + 1
        return self.renderer.render(
            "labels.html",
            run=opened,
            session=session,
            rater=session.rater or self.reviewer,
            finished=finished,
            raters=sorted(raters.items()),
            pairs=list(compare_raters(labels)),
            most=MOST_MASKS,
            rater_chars=RATER_CHARS,
        )

    def _open(self, run: str) -> OpenedRun:
        opened = self.opener.open(run)
        if MaskTask.dataset not in opened.database.listing.datasets:
            raise InspectError("no tasks here", "open the whole run, or make its tasks: rampforge mask RUN")
        return opened

    def _write(self, run: str, session: LabelSession, form: Mapping[str, str]) -> None:
        opened = self._open(run)
        if not opened.place.is_local:
            raise InspectError("labels are stored beside a run on disk; this one is in a store", "copy the run first")
        name = form.get("mask", "")
        queued = find_masks(opened.database.select_rows, [name]).get(name)
        if queued is None:
            raise InspectError(f"the run has no mask {name[:80]!r}", "open the queue again")
        try:
            label = queued.label(_read_codes(queued, form), session.rater, self.now())
        except (ConfigError, ValidationError):
            raise InspectError(f"the codes of {name} are not complete", CODE_ALL) from None
        LabelStore(opened.folder).save([label])


def _read_session(request: Request) -> LabelSession:
    session = read_query(LabelSession, request.query_params, "queue")
    return session.model_copy(update={"rater": session.rater.strip()})


def _list_queue(opened: OpenedRun, session: LabelSession) -> list[str]:
    database = opened.database

    def select(sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        return database.select_rows(f"SELECT * FROM {database.cache_result(sql, values)}")  # noqa: S608 - a name of ours

    return list_masks(select, session.seed, session.n)


def _read_codes(queued: QueuedMask, form: Mapping[str, str]) -> MaskCodes:
    """The codes of a form. Raises ValidationError."""
    codes = {alias: form.get(f"alias-{number}") for number, alias in enumerate(queued.span.aliases)}
    missing = {"yes": AliasesCode.MISSING, "no": AliasesCode.OK}.get(form.get("missing", ""))
    aliases = AliasesCode.WRONG if missing and "wrong" in codes.values() else missing
    named = {name: form.get(name) for name in ("needs", "fillings", "unit")}
    return MaskCodes.model_validate({**named, "aliases": aliases, "alias_codes": codes})
