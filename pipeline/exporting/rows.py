"""Rows of messages and rows of tokens, shared by several trainers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.exporting.columns import (
    FACTS,
    TEXT,
    build_message_type,
    list_facts,
    write_json,
    write_messages,
    write_spans,
)
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import RowPlace
from pipeline.rendering.chat_template import INLINE, MessageForm
from pipeline.rendering.formats import RENDERINGS
from schemas.renderings import RenderingName

TOKENS = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("token_spans", TEXT),
        *FACTS,
        ("spans", TEXT),
    ]
)
"""Columns of `write_tokens`."""


def write_tokens(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Write tokens and labels; `token_spans` gives kind, loss and length of each run of tokens."""
    if sample.tokens is None:
        raise ValueError("no tokens to write")
    return {
        "input_ids": sample.tokens.input_ids,
        "labels": sample.tokens.labels,
        "token_spans": write_json([list(run) for run in sample.tokens.runs]),
        **list_facts(sample),
        "spans": write_spans(sample),
    }


def write_chat(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Write messages for chat templates, and the tools as JSON text where they are a field."""
    row = {"messages": write_messages(sample), **list_facts(sample), "spans": write_spans(sample)}
    return row | ({"tools": sample.tools} if sample.tools else {})


def build_chat_schema(
    rendering: RenderingName, form: MessageForm | None = None, tools: pa.DataType = TEXT
) -> pa.Schema:
    """Columns of `write_chat`."""
    columns: list[Any] = [("messages", pa.list_(build_message_type(rendering, form or INLINE)))]
    if RENDERINGS[rendering].describe_tools("en"):
        columns.append(("tools", tools))
    return pa.schema([*columns, *FACTS, ("spans", TEXT)])
