"""Marks that only the environment writes: of results, of turns, and the special tokens of chat templates.

A text of an agent that holds one is refused by the judge (`trajectory_format`) and paid nothing (`pipeline.rewards`):
what teaches and what is rewarded must not differ here.
"""

from __future__ import annotations

import re

RESULT_TAGS = ("information", "result", "results", "tool_response", "observation", "document", "documents")
"""Names of tags that results stand between."""
SPECIAL_TOKEN = r"<[|｜]\s*\w|<(?:start|end)_of_turn>|</s>|\[/?INST\]|<</?SYS>>"  # noqa: S105 - a pattern, no secret
"""How chat templates mark turns."""
TURN = re.compile(
    r"^[ \t#*]*(?:user|human|assistant|system|observation|用户|助手|系统)[ \t*]*(?:[:：]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that opens a turn."""
