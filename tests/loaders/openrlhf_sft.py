"""Loads an export with OpenRLHF's SFTDataset as arguments.txt says: EXPORT MODEL."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from openrlhf.datasets.sft_dataset import SFTDataset
from openrlhf.datasets.utils import blending_datasets
from transformers import AutoTokenizer

export, model = sys.argv[1:]
os.chdir(export)
words = Path("arguments.txt").read_text().splitlines()
given = {name.removeprefix("--"): value for name, _, value in (word.partition("=") for word in words)}
tokenizer = AutoTokenizer.from_pretrained(model)
data = SimpleNamespace(
    input_key=given["data.input_key"],
    output_key=None,
    apply_chat_template="data.apply_chat_template" in given,
    tokenizer_chat_template=None,
)
strategy = SimpleNamespace(
    args=SimpleNamespace(data=data, use_ms=False), print=lambda *words: None, is_rank_0=lambda: False
)
rows = blending_datasets(given["data.dataset"], None, strategy)
dataset = SFTDataset(
    rows,
    tokenizer,
    int(given["data.max_len"]),
    strategy,
    num_processors=1,
    multiturn="data.multiturn" in given,
)
ids, _, mask = dataset[0]
# The mask lies on the logits: the token that carries loss is the next one.
trained = [token for token, on in zip(ids[0].tolist()[1:], mask[0].tolist()[:-1], strict=True) if on]
seen = {
    "rows": len(dataset),
    "id": rows[0]["id"],
    "text": tokenizer.decode(ids[0]),
    "trained": tokenizer.decode(trained),
}
sys.stdout.write("\n" + json.dumps(seen))
