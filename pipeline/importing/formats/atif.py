"""Rows of ATIF, versions 1.0 to 1.8 (Harbor, rfcs/0001-trajectory-format): steps of system, user and agent.

A document of rampforge's own has its task in `extra`; another one may have the gold of its question there, as `answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.exporting.formats.atif import EXTRA
from pipeline.importing.attempt import ForeignAttempt
from pipeline.importing.dialogues import read_dialogue
from pipeline.importing.errors import RowError
from pipeline.importing.facts import read_facts
from pipeline.importing.fields import find_text, list_objects, read_golds
from schemas.imports import ImportFormat

GOLD_KEYS = ("answer", "golds", "golden_answers", "ground_truth")


def is_atif(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a document of ATIF."""
    return isinstance(row.get("steps"), list) and str(row.get("schema_version", "")).startswith("ATIF")


def read_atif(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a document. Raises RowError."""
    steps, extra = list_objects(row.get("steps"), "steps"), row.get("extra")
    extra = extra if isinstance(extra, Mapping) else {}
    if any(step.get("is_copied_context") for step in steps):
        raise RowError("copied_context", "steps repeat those of another trajectory")
    dialogue = read_dialogue([message for step in steps for message in _list_messages(step)])
    agent = row.get("agent")
    facts = None if extra.get(EXTRA) is None else read_facts(extra[EXTRA])
    golds = () if facts else read_golds(*map(extra.get, GOLD_KEYS))
    name = find_text(agent if isinstance(agent, Mapping) else {}, "name") or ImportFormat.ATIF.value
    return ForeignAttempt(dialogue.question, golds, name, dialogue, facts)


def _list_messages(step: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if step.get("source") != "agent":
        yield {"role": step.get("source"), "content": step.get("message")}
        return
    calls = [
        {"id": call.get("tool_call_id"), "name": call.get("function_name"), "arguments": call.get("arguments")}
        for call in list_objects(step.get("tool_calls"), "tool_calls")
    ]
    thought = step.get("reasoning_content")
    yield {"role": "assistant", "content": step.get("message"), "reasoning_content": thought, "tool_calls": calls}
    observation = step.get("observation")
    results = observation.get("results") if isinstance(observation, Mapping) else None
    for result in list_objects(results, "results"):
        yield {"role": "tool", "content": result.get("content"), "tool_call_id": result.get("source_call_id")}
