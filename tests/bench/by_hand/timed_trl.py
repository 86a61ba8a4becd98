"""Runs one training in TRL's environment, ours or one written by hand, and prints when its steps begin, as JSON.

    python timed_trl.py ours|bare sft|rl FOLDER     with PYTHONPATH=FOLDER/source

Steps are timed from the start of one to the start of the next, so all that lies between them counts.
"""

# Lives in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import importlib
import json
import sys
import time
from itertools import pairwise
from pathlib import Path

from transformers import GenerationMixin, Trainer, TrainerCallback

begun, generating, tokens = [], [], []


class Tokens(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **more):
        if logs and "num_tokens" in logs:
            tokens.append(logs["num_tokens"])


def watch():
    take_step, generate, start = Trainer.training_step, GenerationMixin.generate, Trainer.train

    def timed_step(self, *arguments, **options):
        begun.append({"wall": time.perf_counter(), "cpu": time.process_time(), "generating": sum(generating)})
        return take_step(self, *arguments, **options)

    def timed_generate(self, *arguments, **options):
        began = time.perf_counter()
        try:
            return generate(self, *arguments, **options)
        finally:
            generating.append(time.perf_counter() - began)

    def counted_train(self, *arguments, **options):
        self.add_callback(Tokens())
        return start(self, *arguments, **options)

    Trainer.training_step, GenerationMixin.generate, Trainer.train = timed_step, timed_generate, counted_train


def main(whose, kind, root):
    watch()
    if whose == "ours":
        importlib.import_module(f"pipeline.training.trainers.{kind}").main(root)
    else:
        import bare_trl

        request = json.loads((root / "request.json").read_text())["request"]
        {"sft": bare_trl.train_sft, "rl": bare_trl.train_rl}[kind](request, str(root / "data" / "rows.parquet"), root)
    steps = [
        {name: after[name] - before[name] for name in ("wall", "cpu", "generating")}
        for before, after in pairwise(begun)
    ]
    sys.stdout.write("\n" + json.dumps({"tokens": tokens[-1], "steps": steps}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
