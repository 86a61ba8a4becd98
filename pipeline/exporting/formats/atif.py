"""ATIF, Harbor's Agent Trajectory Interchange Format (version 1.8): a trajectory a line, for viewers and other tools.

A step of the agent holds its thought, its calls and their results. What the format has no field for is `extra` of the
trajectory, under `rampforge`: from it, `rampforge import` restores the task with its gold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from pipeline.exporting.columns import list_facts
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, Trainer
from schemas.renderings import ChatMessage, ChatRole, RenderingName

VERSION = "ATIF-v1.8"
UNKNOWN = "unknown"
"""Version of an agent that names none; the format wants one."""
EXTRA = "rampforge"
"""Key of `extra` with what the format has no field for."""


def write_trajectory(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Write a trajectory."""
    example = sample.example
    facts = list_facts(sample) | {
        "kind": example.question.kind,
        "question": example.question.text,
        "golds": example.golds,
        "mask_kinds": example.mask_kinds,
        "difficulties": example.difficulties,
        "shown": example.shown,
    }
    agent = {"name": example.policy, "version": UNKNOWN}
    if sample.tools:
        agent |= {"tool_definitions": orjson.loads(sample.tools)}
    return {
        "schema_version": VERSION,
        "trajectory_id": example.trajectory_id,
        "session_id": example.trajectory_id,
        "agent": agent,
        "steps": list(_list_steps(sample.messages)),
        "extra": {EXTRA: facts},
    }


def _list_steps(messages: Sequence[ChatMessage]) -> Iterator[dict[str, Any]]:
    number = 0
    for place, message in enumerate(messages):
        if message.role is ChatRole.TOOL:
            continue
        number += 1
        yield {"step_id": number, **_write_step(message, messages[place + 1 :])}


def _write_step(message: ChatMessage, after: Sequence[ChatMessage]) -> dict[str, Any]:
    if message.role is not ChatRole.ASSISTANT:
        return {"source": str(message.role), "message": message.content}
    step: dict[str, Any] = {"source": "agent", "message": message.content}
    if message.thought is not None:
        step["reasoning_content"] = message.thought
    if message.tools:
        step["tool_calls"] = [
            {"tool_call_id": use.call_id, "function_name": use.name, "arguments": orjson.loads(use.arguments)}
            for use in message.tools
        ]
        shown = [found for found in after[: len(message.tools)] if found.role is ChatRole.TOOL]
        results = [{"source_call_id": found.answers_call, "content": found.content} for found in shown]
        step["observation"] = {"results": results}
    return step


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Accepted trajectories."""
    return (Table(Purpose.SFT, write_trajectory),)


ATIF = Exporter(
    trainer=Trainer.ATIF,
    summary="trajectories in ATIF v1.8, one a line",
    renderings=(RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH),
    build_tables=build_tables,
    applies_template=False,
)
