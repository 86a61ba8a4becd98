"""Loads an export with axolotl as axolotl.yaml says: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

import yaml
from axolotl.utils.data.sft import prepare_datasets
from axolotl.utils.dict import DictDefault
from transformers import AutoTokenizer


def main() -> None:
    """Load, and say what the model sees."""
    export, model = sys.argv[1:]
    os.chdir(export)
    values = yaml.safe_load(Path("axolotl.yaml").read_text())
    values |= {"base_model": model, "dataset_prepared_path": "prepared", "micro_batch_size": 1, "num_epochs": 1}
    values |= {"gradient_accumulation_steps": 1, "batch_size": 1, "dataset_num_proc": 1, "dataset_processes": 1}
    values |= {"world_size": 1, "seed": 0, "val_set_size": 0.0, "chat_template": "tokenizer_default"}
    tokenizer = AutoTokenizer.from_pretrained(model)
    train, *_ = prepare_datasets(DictDefault(values), tokenizer)
    row = train[0]
    seen = {
        "rows": len(train),
        "text": tokenizer.decode(row["input_ids"]),
        "trained": tokenizer.decode([label for label in row["labels"] if label != -100]),
    }
    sys.stdout.write("\n" + json.dumps(seen))


if __name__ == "__main__":  # axolotl's own processes import this file again
    main()
