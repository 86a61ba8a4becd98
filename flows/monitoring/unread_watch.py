"""Detector of unreadable replies: warns when no reply can be parsed, however the run is divided into shards.

Inside a shard the log warns after the first hundred replies; shards of a few items never reach that number.
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
    """Total of readable and unreadable replies over the shards of one session."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[int, int]] = {}
        self._warned = False

    def note(self, commit: ShardCommit) -> None:
        """Add a finished shard; warn once, when `ALARM` items in total were unreadable and none was readable."""
        with self._lock:
            for step in commit.funnel:
                unread, read = self._sums.get(step.unit, (0, 0))
                more_unread, more_read = count_unread(step)
                unread, read = unread + more_unread, read + more_read
                self._sums[step.unit] = unread, read
                if unread >= ALARM and not read and not self._warned:
                    self._warned = True
                    log.warning(
                        "%s: no reply could be parsed for any of the first %d items; rejects/ quotes them, and "
                        "`rampforge doctor` checks the models",
                        self._stage,
                        unread,
                    )


def count_unread(step: FunnelStep) -> tuple[int, int]:
    """Return the items of a step that were lost to unreadable replies, and those with a readable one."""
    unread = step.rejected.get(UNREADABLE, 0) + step.rejected.get(UNREAD_OPINION, 0)
    return unread, step.entered - unread if step.compares else step.passed
