"""Rows of Search-R1: `question`, `golden_answers` or `reward_model.ground_truth.target`, `prompt`, and a response.

The rows of its data sets only ask; rollouts that are kept have the response under one of several names, as one text of
`<think>`, `<search>`, `<information>` and `<answer>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.importing.attempt import Dialogue, ForeignAttempt, ForeignCall, ForeignStep
from pipeline.importing.errors import RowError
from pipeline.importing.fields import find_text, read_golds
from pipeline.rendering.tag_pairs import find_pairs
from schemas.imports import ImportFormat

RESPONSES = ("response", "responses", "completion", "output", "solution_str", "sequences_str", "generated_text")
_SEARCH = re.compile("<search>"), "</search>"
_RESULT = "<information>"
_INFORMATION, _INFORMATION_END = re.compile(rf"\s*{_RESULT}"), "</information>"
_THINK = re.compile(r"</?think>")
_SHOWN = re.compile(r"</search>\s*<information>")
_TAG = re.compile("<(?:think|search|information|answer)>")
_CHAT, _CHAT_REPLY = (
    re.compile(r"(?:<\|endoftext\|>\s*)*<\|im_start\|>"),
    re.compile(r"^<\|im_start\|>assistant\s*", re.MULTILINE),
)
_USER, _REPLY = re.compile("^User:", re.MULTILINE), re.compile(r"\nAssistant:\s*")
_REPLY_AT_ONCE = re.compile(
    r"[\s?]*(?:<\|im_end\|>\s*)?(?:<\|im_start\|>assistant|(?<=\n)Assistant:|(?:assistant|model)(?=\s*\n)|\[/INST\])\s*"
)
# What decoding without special tokens leaves of the marks of a chat.
_BARE_CHAT, _BARE_REPLY = re.compile(r"\s*(?:system|user)\n"), re.compile(r"^(?:assistant|model)\s*\n", re.MULTILINE)
_PAST_QUESTION = re.compile(r"[\s?]*")
UNCLEAR_PROMPT = "unclear_prompt"


def is_search_r1(row: Mapping[str, Any]) -> bool:
    """Return whether a row has the columns of Search-R1."""
    return "question" in row and bool({"golden_answers", "reward_model"} & row.keys())


def read_search_r1(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a row, without a dialogue where it only asks. Raises RowError."""
    model = row.get("reward_model")
    truth = model.get("ground_truth") if isinstance(model, Mapping) else None
    target = truth.get("target") if isinstance(truth, Mapping) else truth
    golds = read_golds(row.get("golden_answers"), target)
    question, text = find_text(row, "question"), find_text(row, *RESPONSES)
    dialogue = _read_response(question, text) if text else None
    return ForeignAttempt(question, golds, ImportFormat.SEARCH_R1.value, dialogue)


def _read_response(question: str, text: str) -> Dialogue:
    """Read a response, also one that begins with its prompt, or that is cut off in a result."""
    steps: list[ForeignStep] = []
    at = _find_prompt_end(question, text)
    while query := next(find_pairs(text, *_SEARCH, at), None):
        thought, result, past = _THINK.sub("", text[at : query.opening.start()]).strip(), None, query.end
        if shown := _INFORMATION.match(text, past):
            end = text.find(_INFORMATION_END, shown.end())
            end, past = (end, end + len(_INFORMATION_END)) if end >= 0 else (len(text), len(text))
            result = text[shown.end() : end].strip()
        steps.append(ForeignStep(thought, (ForeignCall("search", {"query": query.inside.strip()}, result),)))
        at = past
    thought, closed, reply = text[at:].rpartition("</think>")
    return Dialogue(question, tuple(steps), _THINK.sub("", thought).strip() if closed else "", reply.strip())


def _find_prompt_end(question: str, text: str) -> int:
    """Return the offset after the prompt that a text begins with; 0 for none.

    A prompt is a chat up to its first turn of the assistant, its marks decoded or not, or text before the first result
    that holds the question and either ends with it or has a line of `User:` before it. Its instructions may name the
    tags: they show a search and a result, but not one right after the other. Raises RowError for instructions whose end
    cannot be told: their examples would count as searches.
    """
    if _CHAT.match(text):
        reply = _CHAT_REPLY.search(text)
        return reply.end() if reply else 0
    if _TAG.match(text):
        return 0
    shown = _SHOWN.search(text)
    end = shown.start() if shown else len(text)
    asked = text.find(question, 0, end)
    if asked >= 0:
        past = asked + len(question)
        find = _REPLY.search if _USER.search(text, 0, asked) else _REPLY_AT_ONCE.match
        reply = find(text, past, end)
        if reply is None and _BARE_CHAT.match(text):
            reply = _BARE_REPLY.search(text, past, end)
        if reply is None and _RESULT in text[:asked]:
            reply = _PAST_QUESTION.match(text, past)
        if reply:
            return reply.end()
    if _RESULT in text[:end]:
        raise RowError(UNCLEAR_PROMPT, "the response begins with a prompt whose end cannot be told")
    return 0
