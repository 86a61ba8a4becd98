"""Loads an export with verl's RLHFDataset as overrides.txt says: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

import verl.trainer
from hydra import compose, initialize_config_dir
from transformers import AutoTokenizer
from verl.utils.dataset.rl_dataset import RLHFDataset

export, model = sys.argv[1:]
os.chdir(export)
tokenizer = AutoTokenizer.from_pretrained(model)
folder = Path(next(iter(verl.trainer.__path__))) / "config"
with initialize_config_dir(str(folder), version_base=None):
    overrides = Path("overrides.txt").read_text().splitlines()
    config = compose("ppo_trainer", overrides=[*overrides, "data.max_prompt_length=2048"])
data = RLHFDataset(config.data.train_files, tokenizer, config.data)
row = data[0]
seen = {
    "rows": len(data),
    "text": tokenizer.apply_chat_template(row["raw_prompt"], tokenize=False, add_generation_prompt=True),
    "ground_truth": row["reward_model"]["ground_truth"],
    "extra_info": row["extra_info"],
    "agent": row.get("agent_name"),
    "index": row["index"],
}
sys.stdout.write("\n" + json.dumps(seen))
