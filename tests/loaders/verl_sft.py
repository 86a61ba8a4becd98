"""Loads an export with verl's multi-turn SFT dataset as overrides.txt says: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path

import verl.trainer
from hydra import compose, initialize_config_dir
from transformers import AutoTokenizer
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

export, model = sys.argv[1:]
os.chdir(export)
tokenizer = AutoTokenizer.from_pretrained(model)
folder = Path(next(iter(verl.trainer.__path__))) / "config"
with initialize_config_dir(str(folder), version_base=None):
    config = compose("sft_trainer_engine", overrides=Path("overrides.txt").read_text().splitlines())
data = MultiTurnSFTDataset(config.data.train_files, tokenizer, config.data)
row = data[0]
ids, mask = row["input_ids"].tolist(), row["loss_mask"].tolist()
trained = [token for token, on in zip(ids, mask, strict=True) if on]
seen = {
    "rows": len(data),
    "id": data.dataframe.iloc[0]["id"],
    "text": tokenizer.decode(ids),
    "trained": tokenizer.decode(trained),
}
sys.stdout.write("\n" + json.dumps(seen))
