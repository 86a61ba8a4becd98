"""ms-swift 4.6: messages with its roles for calls and results, tools as JSON text, and a YAML to start from.

Pieces of one turn may carry `loss` of their own there, so streams of tags keep loss off their results too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import orjson
import yaml

from pipeline.exporting.columns import list_facts, write_spans
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import INLINE, MessageForm
from schemas.exports import Purpose, RowOrder, Split, Trainer
from schemas.renderings import ChatMessage, ChatRole, RenderingName, Segment, SegmentKind


def write_row(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Messages, and the tools where they are a field."""
    messages = [piece for message in sample.messages for piece in _write_pieces(message)]
    row = {"messages": messages, **list_facts(sample), "spans": write_spans(sample)}
    return row | ({"tools": sample.tools} if sample.tools else {})


def _write_pieces(message: ChatMessage) -> Iterator[dict[str, Any]]:
    if message.role is ChatRole.TOOL:
        yield {"role": "tool_response", "content": message.content}
        return
    if message.role is not ChatRole.ASSISTANT:
        yield {"role": str(message.role), "content": message.content}
        return
    segments = message.segments
    if message.thought is not None:
        segments = (Segment(kind=SegmentKind.THINK, text=INLINE.write_thought(message)), *segments)
    for shown, piece in groupby(segments, key=lambda segment: segment.kind is SegmentKind.OBSERVATION):
        yield {"role": "assistant", "content": "".join(segment.text for segment in piece), "loss": not shown}
    for use in message.tools:
        call = {"name": use.name, "arguments": orjson.loads(use.arguments)}
        yield {"role": "tool_call", "content": json.dumps(call, ensure_ascii=False)}


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations."""
    return (Table(Purpose.SFT, write_row),)


def write_configs(written: Written) -> dict[str, str]:
    """sft.yaml, for `swift sft sft.yaml` in the folder of the export."""
    files, settings = written.files[Purpose.SFT], written.settings
    values: dict[str, Any] = {
        "model": written.model,
        "dataset": [files[Split.TRAIN]],
        "loss_scale": "default",
        "agent_template": "hermes",
        # Earlier thoughts stay, as they do when the model searches.
        "preserve_thinking": True,
        "max_length": written.longest or 8192,
        "truncation_strategy": "raise",
        "dataset_shuffle": settings.order is RowOrder.MIXED,
        "train_dataloader_shuffle": settings.order is RowOrder.MIXED,
        "output_dir": "trained",
    }
    if Split.VALIDATION in files:
        values["val_dataset"] = [files[Split.VALIDATION]]
    return {"sft.yaml": yaml.safe_dump(values, sort_keys=False)}


MS_SWIFT = Exporter(
    trainer=Trainer.MS_SWIFT,
    summary="messages with tool_call and tool_response; sft.yaml",
    renderings=(
        RenderingName.OPENAI_TOOLS,
        RenderingName.MASKSEARCH,
        RenderingName.QWEN_TOOLS,
        RenderingName.SEARCH_R1,
        RenderingName.RESEARCH,
    ),
    applies_template=False,
    build_tables=build_tables,
    write_configs=write_configs,
    command="swift sft --config sft.yaml",
)
