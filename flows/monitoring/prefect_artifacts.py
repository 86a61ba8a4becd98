"""Prefect artifacts of a run: a bar for each stage in progress, a table for each finished one, the funnel at the end.

Guarantees: an unavailable API of Prefect never stops the work, and a hanging one delays it only briefly.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Self

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.configuration.run_context import RunContext
from flows.monitoring.live_text import describe_stage
from flows.prefect_api.ephemeral_server import answers, name_server
from flows.stages.run_record import collect_funnel
from pipeline.report.agreement import drop_comparisons
from pipeline.storage.shard_run import sum_funnel
from schemas.funnel import FunnelStep, pluralise
from schemas.ledger import StageManifest
from schemas.live import StageLive

log = logging.getLogger(__name__)

UPDATE_SECONDS = 10.0
PATIENCE_SECONDS = 5.0
"""Maximum wait at the end of a stage for Prefect to accept the final state of its bar."""
HANGING_SECONDS = 20.0
"""Maximum wait for Prefect to accept a table or a link."""


class ProgressArtifact:
    """Progress bar of one stage in Prefect, updated by its own thread while the block runs."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._latest: StageLive | None = None
        self._id: Any = None  # typed by Prefect as the result for asynchronous callers, too
        self._stop = threading.Event()
        copied = copy_context()  # Prefect keeps the id of the flow run in a context variable
        self._thread = threading.Thread(target=copied.run, args=(self._publish_on,), daemon=True)

    def show(self, live: StageLive) -> None:
        """Set the state to show next."""
        self._latest = live

    def _publish_on(self) -> None:
        _try(self._publish)
        while not self._stop.wait(UPDATE_SECONDS):
            _try(self._publish)
        _try(self._publish)

    def _publish(self) -> None:
        live = self._latest
        share = measure_percent(live) if live else 0.0
        text = describe_stage(live) if live else self._stage
        if self._id is None:
            self._id = create_progress_artifact(share, key=f"progress-{self._stage}", description=text)
        else:
            update_progress_artifact(self._id, share, description=text)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)


def measure_percent(live: StageLive) -> float:
    """Return the share done, 0 to 100; 0 while the total is unknown."""
    return min(100.0, 100.0 * live.done / live.total) if live.total else 0.0


def publish_stage(live: StageLive, manifest: StageManifest) -> None:
    """Publish what a stage has done: counts and, if it called language models, calls, tokens and cost."""
    steps = drop_comparisons(sum_funnel(step for shard in manifest.shards for step in shard.funnel))
    row: dict[str, Any] = {
        "stage": live.stage,
        "unit": live.unit,
        "done": live.done,
        "done in this session": live.done_now,
        "seconds": round(live.seconds, 1),
        "rate": round(live.done_now / live.seconds, 2) if live.seconds else 0.0,
    }
    row |= {f"{pluralise(step.unit)} rejected": sum(step.rejected.values()) for step in steps}
    if live.calls:
        row |= {
            "calls": live.calls.answered,
            "tokens in": live.calls.prompt_tokens,
            "tokens out": live.calls.completion_tokens,
            "cost": round(live.calls.stage_cost, 4),
            "failed tries": f"{live.calls.fault_share:.1%}",
        }
    attempt(lambda: create_table_artifact(table=[row], key=f"stage-{live.stage}", description=describe_stage(live)))


def publish_run(context: RunContext) -> None:
    """Publish the funnel and a link to the report."""
    funnel = [show_step(step) for step in drop_comparisons(collect_funnel(context.run))]
    attempt(lambda: create_table_artifact(table=funnel, key="funnel", description="In = out + rejected"))
    remote = context.run.mirror is not None
    lines = [f"# {context.run.name}", "", f"Folder: `{context.run.location if remote else context.run.root.resolve()}`"]
    link = locate_report(context)
    if link:
        lines += ["", f"Report: [{context.run.report.name}]({link})"]
        attempt(lambda: create_link_artifact(link, link_text=f"Report of {context.run.name}", key="report"))
    attempt(lambda: create_markdown_artifact(markdown="\n".join(lines), key="run"))


def locate_report(context: RunContext) -> str:
    """Return the URL of the report for a browser, or for a client with access to the store; empty
    before there is one.
    """
    if not context.run.report.exists():
        return ""
    if served := context.config.watch.reports_url:
        return f"{served.rstrip('/')}/{context.run.name}/{context.run.report.name}"
    return (
        f"{context.run.location}/{context.run.report.name}"
        if context.run.mirror
        else context.run.report.resolve().as_uri()
    )


def show_step(step: FunnelStep) -> dict[str, Any]:
    """Write a row of the funnel."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.rejected.items(), key=lambda r: -r[1]))
    return {
        "stage": step.stage,
        "unit": step.unit,
        "in": step.entered,
        "out": step.passed,
        "rejected": sum(step.rejected.values()),
        "reasons": reasons,
    }


_hanging: list[threading.Thread] = []
"""The last artifact that was waited for."""


def attempt(publish: Callable[[], object]) -> None:
    """Publish from a thread of its own, if the API of Prefect accepts it in time.

    An artifact that is not accepted, for example while Prefect's database is locked, is waited for once and blocks no
    other.
    """
    thread = threading.Thread(target=copy_context().run, args=(_try, publish), daemon=True)
    thread.start()
    if not any(one.is_alive() for one in _hanging):
        thread.join(HANGING_SECONDS)
        _hanging[:] = [thread]


def _try(publish: Callable[[], object]) -> None:
    """Publish now, without a time limit. The API is probed first, because Prefect's client waits long for one that is
    gone."""
    server = name_server()
    if server is not None and not answers(server):
        log.info("Prefect's server does not answer: an artifact is skipped")
        return
    try:
        publish()
    except Exception as error:  # no error here may stop a run
        log.info("Prefect rejected an artifact: %s: %s", type(error).__name__, error)
