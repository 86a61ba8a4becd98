"""Preference pairs for TRL's DPOTrainer (1.16) and LLaMA-Factory's stage dpo (0.9.5).

Both compare whole completions, and LLaMA-Factory takes one turn for each: formats of tags, in which an attempt is one
message. TRL wants lists of messages, LLaMA-Factory single ones, so both stand in the row.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import yaml

from pipeline.exporting.columns import FACTS, MESSAGE, TEXT, list_facts, write_spans
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, Split, Trainer
from schemas.policies import STREAMED
from schemas.renderings import RenderingName

NAME, FOLDER = "rampforge", "pairs"
PAIRS = pa.schema(
    [
        ("prompt", pa.list_(MESSAGE)),
        ("chosen", pa.list_(MESSAGE)),
        ("rejected", pa.list_(MESSAGE)),
        ("chosen_turn", MESSAGE),
        ("rejected_turn", MESSAGE),
        ("rejected_id", TEXT),
        *FACTS,
        ("spans", TEXT),
    ]
)


def write_pair(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """The question, and what both attempts said."""
    *prompt, chosen = map(sample.form.write, sample.messages)
    (rejected,) = map(sample.form.write, sample.rejected)
    return {
        "prompt": prompt,
        "chosen": [chosen],
        "rejected": [rejected],
        "chosen_turn": chosen,
        "rejected_turn": rejected,
        "rejected_id": sample.example.rejected_id,
        **list_facts(sample),
        "spans": write_spans(sample),
    }


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Pairs."""
    return (Table(Purpose.PREFERENCE, write_pair, PAIRS, FOLDER),)


def write_configs(written: Written) -> dict[str, str]:
    """dpo.yaml for `trl dpo`; dataset_info.json and llama_factory.yaml for `llamafactory-cli train`."""
    files = written.files[Purpose.PREFERENCE]
    trl: dict[str, Any] = {
        "model_name_or_path": written.model,
        "dataset_name": FOLDER,
        "dataset_train_split": "train",
        "max_length": None,
        "output_dir": "trained",
    }
    factory: dict[str, Any] = {
        "stage": "dpo",
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": written.model,
        "template": "qwen",
        "dataset_dir": ".",
        "dataset": f"{NAME}_{Split.TRAIN}",
        "cutoff_len": written.longest or 8192,
        "output_dir": "trained",
    }
    if Split.VALIDATION in files:
        trl |= {"dataset_test_split": "validation", "eval_strategy": "epoch"}
        factory |= {"eval_dataset": f"{NAME}_{Split.VALIDATION}", "eval_strategy": "epoch"}
    about = {
        f"{NAME}_{split}": {
            "file_name": file,
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "prompt", "chosen": "chosen_turn", "rejected": "rejected_turn"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        }
        for split, file in files.items()
    }
    note = "# `template` must be that of the model to be trained.\n"
    return {
        "dpo.yaml": yaml.safe_dump(trl, sort_keys=False),
        "dataset_info.json": json.dumps(about, indent=2) + "\n",
        "llama_factory.yaml": note + yaml.safe_dump(factory, sort_keys=False),
    }


DPO = Exporter(
    trainer=Trainer.DPO,
    summary="pairs of attempts at one task for TRL and LLaMA-Factory; dpo.yaml, llama_factory.yaml",
    renderings=STREAMED,
    build_tables=build_tables,
    write_configs=write_configs,
    command="trl dpo --config dpo.yaml",
    environment="trl",
    pairs=True,
)
