"""Detector of stages in which every request was rejected: that is an error of the configuration, and nothing is
recorded.

Guarantees: shards that were rejected whole are recorded only after another one was answered; a stage left with nothing
but rejections is discarded, so that all of it is requested again with a corrected configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.agents.trajectory_stage import SEARCH_FAILED
from pipeline.errors import SearchError
from pipeline.llm.async_stage import REFUSAL_HINT, REFUSED_IN_A_ROW
from pipeline.llm.chat_model import AllRefusedError
from pipeline.llm.errors import REFUSALS
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import sum_funnel
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import discard_stage
from schemas.config import StageName
from schemas.funnel import Reject

MEND_SEARCH = "check that the service of search.engine answers, then `rampforge resume RUN`"


class RefusalWatch:
    """Shards of one session that were rejected whole, until one is answered; updated from several threads."""

    def __init__(self, answered: bool) -> None:
        self.answered = answered
        """Whether any shard of the stage that has items has finished."""
        self._errors: list[AllRefusedError] = []

    def note(self, errors: Iterable[Exception]) -> None:
        """Record the errors of shards."""
        self._errors += [error for error in errors if isinstance(error, AllRefusedError)]

    def check(self) -> None:
        """Raise the last rejection once this many shards were rejected whole and none was answered: no further one is
        started.
        """
        if not self.answered and len(self._errors) >= REFUSED_IN_A_ROW:
            raise self._errors[-1]


def refuse_all_refused(run: RunFolder, stage: str) -> None:
    """Discard a stage of which a server rejected every item, or no search was answered.

    Raises AllRefusedError, SearchError.
    """
    steps = sum_funnel(step for commit in run.commits(stage) for step in commit.funnel)
    lost = REFUSALS | ({SEARCH_FAILED} if stage == StageName.TRAJECTORIES else set())
    whole = [step for step in steps if step.entered and set(step.rejected) <= lost]
    if not whole or any(step.passed for step in steps):
        return
    if {reason for step in whole for reason in step.rejected} == {SEARCH_FAILED}:
        detail = next(_list_details(run, stage), "")
        discard_stage(run, stage)
        raise SearchError(f"stage {stage}: every search failed ({detail}); nothing is recorded", MEND_SEARCH)
    reasons = ", ".join(sorted(set().union(*(step.rejected for step in whole))))
    discard_stage(run, stage)
    raise AllRefusedError(f"stage {stage}: each {whole[0].unit} is refused ({reasons}); none is recorded", REFUSAL_HINT)


def _list_details(run: RunFolder, stage: str) -> Iterator[str]:
    """Return the details of failed searches in the rejects of a stage."""
    for commit in run.commits(stage):
        for row in read_rows(run.part(Reject.dataset, commit.shard, stage), Reject):
            if row.unit != "task" and row.reason == SEARCH_FAILED and row.detail:
                yield row.detail
