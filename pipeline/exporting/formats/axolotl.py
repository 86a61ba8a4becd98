"""axolotl 0.19: messages for its `chat_template` strategy, or tokens with labels, which it takes as they are."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import yaml

from pipeline.exporting.rows import TOKENS, write_chat, write_tokens
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import EVERY, TURNS, Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, RowOrder, Split, Trainer
from schemas.renderings import RenderingName

MESSAGE_KEYS = ("role", "content", "tool_calls", "tool_call_id", "name")
ATTENTION = pa.field("attention_mask", pa.list_(pa.int8()))


def write_ready_tokens(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Tokens, labels, and an attention mask, by which axolotl knows that they are ready."""
    row = write_tokens(sample, place)
    return row | {"attention_mask": [1] * len(row["input_ids"])}


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations."""
    if form:
        return (Table(Purpose.SFT, write_ready_tokens, TOKENS.append(ATTENTION)),)
    return (Table(Purpose.SFT, write_chat),)


def write_configs(written: Written) -> dict[str, str]:
    """axolotl.yaml, for `axolotl train axolotl.yaml` in the folder of the export."""
    files, settings = written.files[Purpose.SFT], written.settings
    values: dict[str, Any] = {
        "base_model": written.model,
        "datasets": [_describe(files[Split.TRAIN], bool(settings.tokenizer))],
        "shuffle_merged_datasets": settings.order is RowOrder.MIXED,
        "curriculum_sampling": settings.order is RowOrder.CURRICULUM,
        "sequence_len": written.longest or 8192,
        "train_on_inputs": False,
        "output_dir": "trained",
    }
    if Split.VALIDATION in files:
        values["test_datasets"] = [_describe(files[Split.VALIDATION], bool(settings.tokenizer))]
    return {"axolotl.yaml": yaml.safe_dump(values, sort_keys=False)}


def _describe(file: str, tokenised: bool) -> dict[str, Any]:
    if tokenised:
        return {"path": file, "ds_type": "parquet", "split": "train", "type": ""}
    return {
        "path": file,
        "ds_type": "json",
        "split": "train",
        "type": "chat_template",
        "field_messages": "messages",
        "field_tools": "tools",
        # Without it axolotl drops whatever it does not see the chat template use, calls among it.
        "message_property_mappings": {key: key for key in MESSAGE_KEYS},
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }


AXOLOTL = Exporter(
    trainer=Trainer.AXOLOTL,
    summary="messages, or tokens and labels; axolotl.yaml",
    renderings=TURNS,
    token_renderings=EVERY,
    build_tables=build_tables,
    write_configs=write_configs,
    command="axolotl train axolotl.yaml",
)
