"""Marks reserved to the environment: of results, of turns, and the special tokens of chat templates.

An agent's text that contains one is rejected by the judge (`trajectory_format`) and gets no reward
(`pipeline.rewards`), so that training data and rewards agree.
"""

from __future__ import annotations

import re

RESULT_TAGS = ("information", "result", "results", "tool_response", "observation", "document", "documents")
"""Names of tags around results."""
SPECIAL_TOKEN = r"<[|｜]\s*\w|<(?:start|end)_of_turn>|</s>|\[/?INST\]|<</?SYS>>"  # noqa: S105 - a pattern, not a secret
"""Special tokens of chat templates that mark turns."""
TURN = re.compile(
    r"^[ \t#*]*(?:user|human|assistant|system|observation|用户|助手|系统)[ \t*]*(?:[:：]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""Line that opens a turn."""
