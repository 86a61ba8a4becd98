"""Rows of Search-R1: `question`, `golden_answers` or `reward_model.ground_truth.target`, `prompt`, and a response.

The rows of its data sets only ask; rollouts that are kept have the response under one of several names, as one text of
`<think>`, `<search>`, `<information>` and `<answer>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.importing.attempt import Dialogue, ForeignAttempt, ForeignCall, ForeignStep
from pipeline.importing.dialogues import list_texts, require_text
from schemas.imports import ImportFormat

RESPONSES = ("response", "responses", "completion", "output", "solution_str", "sequences_str", "generated_text")
_SEARCH = re.compile(r"<search>(.*?)</search>\s*<information>(.*?)</information>", re.DOTALL)
_THINK = re.compile(r"</?think>")
_PROMPT_END = re.compile(r"<\|im_start\|>assistant\s*|\nAssistant:\s*")


def is_search_r1(row: Mapping[str, Any]) -> bool:
    """Return whether a row has the columns of Search-R1."""
    return "question" in row and bool({"golden_answers", "reward_model"} & row.keys())


def read_search_r1(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a row, without a dialogue where it only asks. Raises RowError."""
    model = row.get("reward_model")
    truth = model.get("ground_truth") if isinstance(model, Mapping) else None
    target = truth.get("target") if isinstance(truth, Mapping) else truth
    golds = list_texts(row.get("golden_answers")) or list_texts(target)
    question, text = require_text(row, "question"), require_text(row, *RESPONSES)
    dialogue = _read_response(question, text) if text else None
    return ForeignAttempt(question, golds, ImportFormat.SEARCH_R1.value, dialogue)


def _read_response(question: str, text: str) -> Dialogue:
    """Read a response, also one that begins with its prompt."""
    if starts := [match.end() for match in _PROMPT_END.finditer(text)]:
        text = text[starts[0] :]
    steps, at = [], 0
    for match in _SEARCH.finditer(text):
        call = ForeignCall("search", {"query": match[1].strip()}, match[2].strip())
        steps.append(ForeignStep(_THINK.sub("", text[at : match.start()]).strip(), (call,)))
        at = match.end()
    thought, closed, reply = text[at:].rpartition("</think>")
    return Dialogue(question, tuple(steps), _THINK.sub("", thought).strip() if closed else "", reply.strip())
