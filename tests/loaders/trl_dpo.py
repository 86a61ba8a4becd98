"""Loads an export of pairs with TRL's DPOTrainer as dpo.yaml says, and takes two steps: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

import yaml
from datasets import load_dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer

export, model = sys.argv[1:]
os.chdir(export)
values = yaml.safe_load(Path("dpo.yaml").read_text())
data = load_dataset(values.pop("dataset_name"))
train = data[values.pop("dataset_train_split")]
test = data[values.pop("dataset_test_split")] if "dataset_test_split" in values else None
del values["model_name_or_path"]
tokenizer = AutoTokenizer.from_pretrained(model)
tiny = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
)
args = DPOConfig(
    **values, per_device_train_batch_size=1, max_steps=2, use_cpu=True, bf16=False, report_to="none", save_strategy="no"
)
LlamaForCausalLM(tiny).save_pretrained("tiny")  # the reference model is loaded from where the model was
trainer = DPOTrainer(
    model=LlamaForCausalLM.from_pretrained("tiny"),
    args=args,
    train_dataset=train,
    eval_dataset=test,
    processing_class=tokenizer,
)
row = trainer.train_dataset[0]
texts = {name: tokenizer.decode(ids) for name, ids in row.items() if name.endswith("_ids")}
seen = {"rows": len(trainer.train_dataset), "texts": texts, "loss": trainer.train().training_loss}
sys.stdout.write("\n" + json.dumps(seen))
