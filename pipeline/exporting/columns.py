"""Columns that several trainers share, as plain values with their Arrow types.

Promises: values of free form are JSON texts, so Arrow pads nothing with nulls; the `spans` of a row name every stretch
of its conversation, in order, so another loss mask can always be made from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from pipeline.exporting.samples import Sample
from pipeline.rendering.chat_template import INLINE, MessageForm
from pipeline.rendering.formats import RENDERINGS
from schemas.renderings import ChatMessage, RenderingName, SegmentKind

TEXT = pa.string()
FACTS = (
    ("id", TEXT),
    ("task_id", TEXT),
    ("document_id", TEXT),
    ("page_id", pa.int64()),
    ("passage_id", TEXT),
    ("title", TEXT),
    ("lang", TEXT),
    ("rendering", TEXT),
    ("policy", TEXT),
    ("mask_count", pa.int64()),
    ("mask_kinds", TEXT),
    ("difficulty", pa.float64()),
    ("hide", TEXT),
    ("turns", pa.int64()),
    ("shown", TEXT),
)
"""Columns of every row."""
MESSAGE = pa.struct([("role", TEXT), ("content", TEXT)])


def build_message_type(rendering: RenderingName, form: MessageForm = INLINE) -> pa.DataType:
    """Return the type of a message without fields that the format never fills, since Arrow would
    fill them with nulls.
    """
    fields = [*MESSAGE, *([(form.thought_field, TEXT)] if form.thought_field else [])]
    tools = RENDERINGS[rendering].describe_tools("en")
    if tools is None:
        return pa.struct(fields)
    (argument,) = orjson.loads(tools)[0]["function"]["parameters"]["required"]
    function = pa.struct([("name", TEXT), ("arguments", pa.struct([(argument, pa.list_(TEXT))]))])
    call = pa.struct([("id", TEXT), ("type", TEXT), ("function", function)])
    return pa.struct([*fields, ("tool_calls", pa.list_(call)), ("tool_call_id", TEXT), ("name", TEXT)])


def list_facts(sample: Sample) -> dict[str, Any]:
    """Return the values of `FACTS`."""
    example = sample.example
    return {
        "id": example.trajectory_id,
        "task_id": example.task_id,
        "document_id": example.document_id,
        "page_id": example.page_id,
        "passage_id": example.passage_id,
        "title": example.title,
        "lang": example.question.lang,
        "rendering": str(sample.rendering),
        "policy": example.policy,
        "mask_count": len(example.golds),
        "mask_kinds": write_json(example.mask_kinds),
        "difficulty": example.difficulty,
        "hide": str(example.hide),
        "turns": len(example.shown),
        "shown": write_json(example.shown),
    }


def write_spans(sample: Sample) -> str:
    """Write every stretch of the conversation with its message's index, the role, its kind and its text."""
    return write_json(list(_list_spans(sample.messages, sample.form)))


def _list_spans(messages: tuple[ChatMessage, ...], form: MessageForm) -> Iterator[dict[str, Any]]:
    for place, message in enumerate(messages):
        if message.thought is not None:
            yield {
                "message": place,
                "role": message.role,
                "kind": SegmentKind.THINK,
                "text": form.write_thought(message),
            }
        for segment in message.segments:
            yield {"message": place, "role": message.role, "kind": segment.kind, "text": segment.text}
        for use in message.tools:
            about = {"message": place, "role": message.role, "kind": SegmentKind.QUERY}
            yield about | {"tool": use.name, "text": use.arguments}


def write_golds(sample: Sample) -> str:
    """Write the accepted texts of each mask."""
    return write_json(sample.example.golds)


def write_messages(sample: Sample) -> list[dict[str, Any]]:
    """Write messages for chat templates; empty keys are omitted.

    Arguments are objects: many templates, Qwen2.5's among them, would write a JSON text as a quoted text. All calls
    have the same argument, so Arrow pads nothing.
    """
    return [sample.form.write(message) for message in sample.messages]


def write_json(value: Any) -> str:
    """Write a value as JSON text."""
    return orjson.dumps(value).decode()
