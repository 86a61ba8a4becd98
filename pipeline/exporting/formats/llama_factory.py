"""LLaMA-Factory: ShareGPT rows with its own roles for calls and results, dataset_info.json, and a YAML to start from.

A call carries its thought before the JSON, where LLaMA-Factory 0.9.5 looks for one.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
import yaml

from pipeline.exporting.columns import list_facts, write_spans
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm, write_inline
from schemas.exports import Purpose, RowOrder, Split, Trainer
from schemas.renderings import ChatMessage, ChatRole, RenderingName

NAME = "rampforge"
ROLES = {ChatRole.USER: "human", ChatRole.TOOL: "observation", ChatRole.ASSISTANT: "gpt"}


def write_row(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Turns, the system message and the tools in columns of their own."""
    first, *rest = sample.messages
    system = first.content if first.role is ChatRole.SYSTEM else ""
    turns = rest if first.role is ChatRole.SYSTEM else [first, *rest]
    return {
        "conversations": [_write_turn(message) for message in turns],
        "system": system,
        "tools": sample.tools or "",
        **list_facts(sample),
        "spans": write_spans(sample),
    }


def _write_turn(message: ChatMessage) -> dict[str, str]:
    if not message.tools:
        return {"from": ROLES[message.role], "value": write_inline(message)}
    calls = [{"name": use.name, "arguments": orjson.loads(use.arguments)} for use in message.tools]
    written = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    return {"from": "function_call", "value": write_inline(message) + written}


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations."""
    return (Table(Purpose.SFT, write_row),)


def write_configs(written: Written) -> dict[str, str]:
    """dataset_info.json, and sft.yaml for `llamafactory-cli train sft.yaml` in the folder of the export."""
    files = written.files[Purpose.SFT]
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    about = {
        f"{NAME}_{split}": {"file_name": file, "formatting": "sharegpt", "columns": columns}
        for split, file in files.items()
    }
    values: dict[str, Any] = {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": written.model,
        "template": "qwen",
        "dataset_dir": ".",
        "dataset": f"{NAME}_{Split.TRAIN}",
        "cutoff_len": written.longest or 8192,
        # Loss on every turn of the model, not on the last one only.
        "mask_history": False,
        "train_on_prompt": False,
        "disable_shuffling": written.settings.order is RowOrder.CURRICULUM,
        "output_dir": "trained",
    }
    if Split.VALIDATION in files:
        values |= {"eval_dataset": f"{NAME}_{Split.VALIDATION}", "eval_strategy": "epoch"}
    note = "# `template` must be that of the model to be trained.\n"
    return {
        "dataset_info.json": json.dumps(about, indent=2) + "\n",
        "sft.yaml": note + yaml.safe_dump(values, sort_keys=False),
    }


LLAMA_FACTORY = Exporter(
    trainer=Trainer.LLAMA_FACTORY,
    summary="ShareGPT turns with function_call and observation; dataset_info.json; sft.yaml",
    renderings=(RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH, RenderingName.QWEN_TOOLS),
    applies_template=False,
    build_tables=build_tables,
    write_configs=write_configs,
    command="llamafactory-cli train sft.yaml",
)
