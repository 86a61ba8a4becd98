"""Loads an export with ms-swift as sft.yaml says: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

import yaml
from swift.dataset import load_dataset
from swift.model import get_model_processor
from swift.template import get_template

export, model = sys.argv[1:]
os.chdir(export)
values = yaml.safe_load(Path("sft.yaml").read_text())
_, tokenizer = get_model_processor(model, load_model=False, model_type="qwen2")
template = get_template(
    tokenizer,
    max_length=values["max_length"],
    agent_template=values["agent_template"],
    loss_scale=values["loss_scale"],
    preserve_thinking=values["preserve_thinking"],
    truncation_strategy=values["truncation_strategy"],
    template_type="qwen2_5",
)
template.set_mode("train")
train, _ = load_dataset(values["dataset"], strict=True, shuffle=False)
row = template.encode(train[0])
seen = {
    "rows": len(train),
    "id": json.loads(Path("train.jsonl").read_text().splitlines()[0])["id"],
    "text": tokenizer.decode(row["input_ids"]),
    "trained": tokenizer.decode([label for label in row["labels"] if label != -100]),
}
sys.stdout.write("\n" + json.dumps(seen))
