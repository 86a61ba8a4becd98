"""TRL: demonstrations for SFTTrainer and prompts for GRPOTrainer.

Demonstrations are tokens with labels where a tokenizer is named: the only form in which TRL 1.16 keeps loss off results
inside a message (a mask column alone is ignored). Without one they are messages, tools as JSON text.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import yaml

from pipeline.exporting.columns import FACTS, MESSAGE, TEXT, list_facts, write_golds, write_messages, write_spans
from pipeline.exporting.rows import TOKENS, build_chat_schema, write_chat, write_tokens
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import EVERY, TURNS, Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, RowOrder, Split, Trainer
from schemas.renderings import RenderingName

MARKS_NEEDED = (
    "# Needs a chat template with {% generation %} marks; for any other: rampforge export ... --tokenizer MODEL\n"
)
PROMPTS = pa.schema([("prompt", pa.list_(MESSAGE)), ("golds", TEXT), ("question", TEXT), *FACTS, ("spans", TEXT)])


def write_prompt(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """What the policy is given, and the gold for the reward. No completion: SFT would put loss on its results."""
    return {
        "prompt": write_messages(sample),
        "golds": write_golds(sample),
        "question": sample.example.question.text,
        **list_facts(sample),
        "spans": write_spans(sample),
    }


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations and prompts."""
    if form:
        shown = Table(Purpose.SFT, write_tokens, TOKENS, "sft")
    else:
        shown = Table(Purpose.SFT, write_chat, build_chat_schema(rendering), "sft")
    return shown, Table(Purpose.RL, write_prompt, PROMPTS, "rl")


def write_configs(written: Written) -> dict[str, str]:
    """sft.yaml, for `trl sft --config sft.yaml` in the folder of the export."""
    files, settings = written.files[Purpose.SFT], written.settings
    if not files:
        return {}
    values: dict[str, Any] = {
        "model_name_or_path": written.model,
        "dataset_name": "sft",
        "dataset_train_split": "train",
        "max_length": None,
        "output_dir": "trained",
        "shuffle_dataset": settings.order is RowOrder.MIXED,
    }
    if Split.VALIDATION in files:
        values |= {"dataset_test_split": "validation", "eval_strategy": "epoch"}
    about = ""
    if not settings.tokenizer:
        values["assistant_only_loss"] = True
        about = MARKS_NEEDED
    if settings.order is RowOrder.CURRICULUM:
        values["train_sampling_strategy"] = "sequential"
    return {"sft.yaml": about + yaml.safe_dump(values, sort_keys=False)}


TRL = Exporter(
    trainer=Trainer.TRL,
    summary="sft/ with tokens and labels, or messages; rl/ with prompts and gold; sft.yaml",
    renderings=TURNS,
    token_renderings=EVERY,
    build_tables=build_tables,
    write_configs=write_configs,
    command="trl sft --config sft.yaml",
    environment="trl",
)
