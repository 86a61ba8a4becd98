"""Loads an export with TRL's SFTTrainer as sft.yaml says: EXPORT MODEL. Prints what the model sees of the first row."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

import yaml
from datasets import load_dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

export, model = sys.argv[1:]
os.chdir(export)
values = yaml.safe_load(Path("sft.yaml").read_text())
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
args = SFTConfig(
    **values, per_device_train_batch_size=1, max_steps=1, use_cpu=True, bf16=False, report_to="none", save_strategy="no"
)
trainer = SFTTrainer(
    model=LlamaForCausalLM(tiny), args=args, train_dataset=train, eval_dataset=test, processing_class=tokenizer
)
batch = trainer.data_collator([trainer.train_dataset[0]])
ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
loss = trainer.train().training_loss
seen = {
    "rows": len(trainer.train_dataset),
    "id": train[0]["id"],
    "text": tokenizer.decode(ids),
    "trained": tokenizer.decode([token for token in labels if token != -100]),
    "loss": loss,
}
sys.stdout.write("\n" + json.dumps(seen))
