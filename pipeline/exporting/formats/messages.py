"""Chat messages as OpenAI-compatible servers write them: thoughts in `reasoning_content`, arguments as JSON text.

For trainers that are not listed, and for whatever else reads chats.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from pipeline.exporting.columns import list_facts, write_messages, write_spans
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, Trainer
from schemas.renderings import THOUGHT_FIELDS, RenderingName

FORM = MessageForm(thought_field=THOUGHT_FIELDS[0], arguments_as_text=True)


def write_row(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Messages, and the tools as a list where they are a field."""
    written = replace(sample, form=FORM)
    row = {"messages": write_messages(written), **list_facts(sample), "spans": write_spans(written)}
    return row | ({"tools": orjson.loads(sample.tools)} if sample.tools else {})


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations."""
    return (Table(Purpose.SFT, write_row),)


MESSAGES = Exporter(
    trainer=Trainer.MESSAGES,
    summary="chat messages with reasoning_content and tool_calls",
    renderings=(RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH, RenderingName.QWEN_TOOLS),
    applies_template=False,
    thought_field=FORM.thought_field,
    build_tables=build_tables,
    command='python -c \'import datasets; print(datasets.load_dataset("json", data_files={"train": "train.jsonl"}))\'',
)
