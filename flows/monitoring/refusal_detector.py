"""Ends a stage in which every request was refused: that is the fault of the configuration, and nothing is recorded.

Promises: shards that are refused whole are given up only once another one was answered; a stage that is left with
nothing but refusals is thrown away, so that all of it is asked again when the configuration is mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.agents.trajectory_stage import SEARCH_FAILED
from pipeline.errors import SearchError
from pipeline.llm.async_stage import MEND, REFUSED_IN_A_ROW
from pipeline.llm.chat_model import AllRefusedError
from pipeline.llm.errors import REFUSALS
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import sum_funnel
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import discard_stage
from schemas.funnel import Reject

ATTEMPTS = "trajectories"
"""The stage that searches."""
MEND_SEARCH = "see that the service of search.engine answers, then `rampforge resume RUN`"


class RefusalWatch:
    """The shards of one session that were refused whole, until one is answered; noted from several threads."""

    def __init__(self, answered: bool) -> None:
        self.answered = answered
        """Whether any shard of the stage that has items has come to its end."""
        self._errors: list[AllRefusedError] = []

    def note(self, errors: Iterable[Exception]) -> None:
        """Take in the errors of shards."""
        self._errors += [error for error in errors if isinstance(error, AllRefusedError)]

    def check(self) -> None:
        """Raise the last refusal once so many shards were refused whole and none was answered: none need be begun."""
        if not self.answered and len(self._errors) >= REFUSED_IN_A_ROW:
            raise self._errors[-1]


def refuse_all_refused(run: RunFolder, stage: str) -> None:
    """Throw away a stage of which a server refused every item, or no search was answered.

    Raises AllRefusedError, SearchError.
    """
    steps = sum_funnel(step for commit in run.commits(stage) for step in commit.funnel)
    lost = REFUSALS | ({SEARCH_FAILED} if stage == ATTEMPTS else set())
    whole = [step for step in steps if step.entered and set(step.rejected) <= lost]
    if not whole or any(step.passed for step in steps):
        return
    if {reason for step in whole for reason in step.rejected} == {SEARCH_FAILED}:
        detail = next(_list_details(run, stage), "")
        discard_stage(run, stage)
        raise SearchError(f"stage {stage}: every search failed ({detail}); nothing is recorded", MEND_SEARCH)
    reasons = ", ".join(sorted(set().union(*(step.rejected for step in whole))))
    discard_stage(run, stage)
    raise AllRefusedError(f"stage {stage}: each {whole[0].unit} is refused ({reasons}); none is recorded", MEND)


def _list_details(run: RunFolder, stage: str) -> Iterator[str]:
    """What the rejects of a stage say of failed searches."""
    for commit in run.commits(stage):
        for row in read_rows(run.part(Reject.dataset, commit.shard, stage), Reject):
            if row.unit != "task" and row.reason == SEARCH_FAILED and row.detail:
                yield row.detail
