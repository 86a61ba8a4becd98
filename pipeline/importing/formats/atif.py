"""Rows of ATIF, versions 1.0 to 1.8 (Harbor, rfcs/0001-trajectory-format): steps of system, user and agent.

A document of rampforge's own has its task in `extra`; another one may have the gold of its question there, as `answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.exporting.formats.atif import EXTRA
from pipeline.importing.attempt import ForeignAttempt, RowError
from pipeline.importing.dialogues import BAD_MESSAGES, list_texts, read_dialogue, require_text
from schemas.imports import ImportFormat

GOLD_KEYS = ("answer", "golds", "golden_answers", "ground_truth")


def is_atif(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a document of ATIF."""
    return isinstance(row.get("steps"), list) and str(row.get("schema_version", "")).startswith("ATIF")


def read_atif(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a document. Raises RowError."""
    steps, extra = row.get("steps"), row.get("extra")
    extra = extra if isinstance(extra, Mapping) else {}
    if not isinstance(steps, list):
        raise RowError(BAD_MESSAGES, "steps are not a list")
    if any(isinstance(step, Mapping) and step.get("is_copied_context") for step in steps):
        raise RowError("copied_context", "steps repeat those of another trajectory")
    dialogue = read_dialogue([message for step in steps for message in _list_messages(step)])
    agent = row.get("agent")
    facts = extra.get(EXTRA)
    golds = next((texts for key in GOLD_KEYS if (texts := list_texts(extra.get(key)))), ())
    return ForeignAttempt(
        dialogue.question,
        golds,
        require_text(agent if isinstance(agent, Mapping) else {}, "name") or ImportFormat.ATIF.value,
        dialogue,
        facts if isinstance(facts, Mapping) else {},
    )


def _list_messages(step: object) -> Iterator[dict[str, Any]]:
    if not isinstance(step, Mapping):
        raise RowError(BAD_MESSAGES, "a step is not an object")
    if step.get("source") != "agent":
        yield {"role": step.get("source"), "content": step.get("message")}
        return
    calls = [
        {"id": call.get("tool_call_id"), "name": call.get("function_name"), "arguments": call.get("arguments")}
        for call in step.get("tool_calls") or []
        if isinstance(call, Mapping)
    ]
    thought = step.get("reasoning_content")
    yield {"role": "assistant", "content": step.get("message"), "reasoning_content": thought, "tool_calls": calls}
    observation = step.get("observation")
    results = observation.get("results") if isinstance(observation, Mapping) else None
    for result in results or []:
        if isinstance(result, Mapping):
            yield {"role": "tool", "content": result.get("content"), "tool_call_id": result.get("source_call_id")}
