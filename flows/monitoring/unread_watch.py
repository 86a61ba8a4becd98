"""Warns when nothing that a model says can be read, however the run is cut into shards.

Inside a shard the log warns after the first hundred replies; shards of a few items each never get so far.
"""

from __future__ import annotations

import logging
import threading

from pipeline.judging.llm_judge_stage import UNREAD_OPINION
from pipeline.llm.structured_output import ALARM, UNREADABLE
from schemas.funnel import FunnelStep
from schemas.ledger import ShardCommit

log = logging.getLogger(__name__)


class ParseFailureDetector:
    """Adds up over the shards of one session what could be read and what could not."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[int, int]] = {}
        self._warned = False

    def note(self, commit: ShardCommit) -> None:
        """Take in a finished shard; warns once, when `ALARM` items in all were unread and none was read."""
        with self._lock:
            for step in commit.funnel:
                unread, read = self._sums.get(step.unit, (0, 0))
                more_unread, more_read = count_unread(step)
                unread, read = unread + more_unread, read + more_read
                self._sums[step.unit] = unread, read
                if unread >= ALARM and not read and not self._warned:
                    self._warned = True
                    log.warning(
                        "%s: no reply could be read for any of the first %d items; rejects/ quotes them, and "
                        "`rampforge doctor` checks the models",
                        self._stage,
                        unread,
                    )


def count_unread(step: FunnelStep) -> tuple[int, int]:
    """How many things of a step were lost because no reply could be read, and for how many one was."""
    unread = step.rejected.get(UNREADABLE, 0) + step.rejected.get(UNREAD_OPINION, 0)
    return unread, step.entered - unread if step.compares else step.passed
