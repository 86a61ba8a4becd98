"""Rows of trajectories as others publish them, one of each format, with the question and its answer."""

from __future__ import annotations

from typing import Any

from pipeline.importing.reading import read_attempt, serialise_row
from pipeline.importing.records import make_task, make_trajectory
from schemas.imports import ImportFormat
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

WHO = "Who wrote the example book?"


def harmony(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}], **more}


OPENRESEARCHER = {
    "qid": 1,
    "question": WHO,
    "answer": "Ada Example",
    "messages": [
        {"role": "system", "content": [{"type": "system_content", "model_identity": "an assistant"}]},
        harmony("user", WHO),
        harmony("assistant", "I should search.", channel="analysis"),
        harmony("assistant", '{"query": "example book"}', channel="commentary", recipient="browser.search"),
        harmony("tool", "[0] Ada Example wrote it.", name="browser.search", recipient="assistant"),
        harmony("assistant", "Open it.", channel="analysis"),
        harmony("assistant", '{"id": 0}', channel="commentary", recipient="browser.open"),
        harmony("tool", "The example book, by Ada Example.", name="browser.open"),
        harmony("assistant", "Clear.", channel="analysis"),
        harmony("assistant", "Explanation: found.\nExact Answer: Ada Example\nConfidence: 90%", channel="final"),
    ],
}
CHAT = {
    "qid": 2,
    "question": "When?",
    "answer": "1900",
    "status": "success",
    "messages": [
        {"role": "user", "content": "When?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Look.",
            "tool_calls": [{"id": "1", "function": {"name": "browser.search", "arguments": {"query": "when"}}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "In 1900."},
        {"role": "assistant", "reasoning_content": "Known.", "content": "1900", "tool_calls": None},
    ],
}
OPENSEEKER = {
    "question": WHO,
    "answer": "Ada Example",
    "number of tool calls": 1,
    "trajectory correctness": "Correct",
    "trajectory": [
        {"role": "system", "content": "Tools: ..."},
        {"role": "user", "content": WHO},
        {
            "role": "assistant",
            "content": "<think>I should search.</think><tool_calls_begin><tool_call>"
            '{"name": "search", "arguments": {"query": ["example book", "its author"]}}</tool_call></tool_calls_end>',
        },
        {"role": "user", "content": "<tool_response>Ada Example wrote it.</tool_response>"},
        {"role": "assistant", "content": "<think>Clear.</think><answer>Ada Example</answer>"},
    ],
}
SEARCH_R1 = {
    "id": "test_0",
    "question": WHO,
    "golden_answers": ["Ada Example", "A. Example"],
    "data_source": "nq",
    "prompt": [{"role": "user", "content": f"Answer the given question. Question: {WHO}"}],
    "reward_model": {"style": "rule", "ground_truth": {"target": ["Ada Example", "A. Example"]}},
    "response": "<think>I should search.</think>\n<search>example book</search>\n\n<information>"
    'Doc 1(Title: "Example book") Ada Example wrote it.</information>\n\n<think>Clear.</think>\n'
    "<answer> A. Example </answer>",
}
MINIMAL = {
    "schema_version": "ATIF-v1.5",
    "agent": {"name": "some-agent", "version": "1"},
    "steps": [
        {"step_id": 1, "source": "user", "message": WHO},
        {
            "step_id": 2,
            "source": "agent",
            "message": "I should search.",
            "tool_calls": [{"tool_call_id": "a", "function_name": "web_search", "arguments": {"query": "book"}}],
            "observation": {"results": [{"source_call_id": "a", "content": "Ada Example wrote it."}]},
        },
        {"step_id": 3, "source": "agent", "message": "Ada Example"},
    ],
    "extra": {"answer": "Ada Example"},
}
ROWS: dict[ImportFormat, list[dict[str, Any]]] = {
    ImportFormat.ATIF: [MINIMAL],
    ImportFormat.OPENRESEARCHER: [OPENRESEARCHER, CHAT],
    ImportFormat.OPENSEEKER: [OPENSEEKER],
    ImportFormat.SEARCH_R1: [SEARCH_R1],
}


def make_records(row: object, format_: ImportFormat) -> tuple[MaskTask, Trajectory | None]:
    """Make the records of a row as an import does. Raises RowError."""
    attempt = read_attempt(row, format_)
    task = make_task(attempt)
    return task, make_trajectory(task, attempt, serialise_row(row), 0) if attempt.dialogue else None
