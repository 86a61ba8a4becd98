"""Loads an export with LLaMA-Factory as sft.yaml and dataset_info.json say: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import yaml
from transformers import AutoTokenizer

os.environ["DISABLE_VERSION_CHECK"] = "1"
audio = ModuleType("torchaudio")  # imported for audio data, of which there is none
audio.__spec__ = ModuleSpec("torchaudio", None)
sys.modules["torchaudio"] = audio

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # noqa: E402  # after what it reads
from llamafactory.hparams import get_train_args  # noqa: E402

export, model = sys.argv[1:]
os.chdir(export)
values = yaml.safe_load(Path("sft.yaml").read_text())
values |= {"model_name_or_path": model, "use_cpu": True, "report_to": "none", "overwrite_cache": True}
model_args, data_args, training_args, _, _ = get_train_args(values)
tokenizer = AutoTokenizer.from_pretrained(model)
template = get_template_and_fix_tokenizer(tokenizer, data_args)
data = get_dataset(template, model_args, data_args, training_args, stage="sft", tokenizer=tokenizer, processor=None)
row = data["train_dataset"][0]
seen = {
    "rows": len(data["train_dataset"]),
    "id": json.loads(Path("train.jsonl").read_text().splitlines()[0])["id"],
    "text": tokenizer.decode(row["input_ids"]),
    "trained": tokenizer.decode([label for label in row["labels"] if label != -100]),
}
sys.stdout.write("\n" + json.dumps(seen))
