"""Runs two trainings in TRL's environment, ours and one written by hand, step by step in turn; prints their times.

    python timed_trl.py sft|rl FOLDER     with PYTHONPATH=FOLDER/source

One process and one step at a time, so that whatever else the machine does falls on both. A step is timed from its start
to the start of the next, the other's apart: all that lies between counts. Each has its own random numbers, from one
seed, so both do the same work.
"""

# Lives in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import importlib
import json
import sys
import threading
import time
from functools import partial
from pathlib import Path

import bare_trl
import torch
from transformers import GenerationMixin, Trainer, TrainerCallback

KINDS = ("ours", "bare")


class Turns:
    """Lets one thread work at a time, and hands over at the start of every step."""

    def __init__(self):
        self.changed = threading.Condition()
        self.whose = KINDS[0]
        self.left = set()
        self.steps = {kind: [] for kind in KINDS}
        self.tokens = dict.fromkeys(KINDS, 0.0)
        self.generating = dict.fromkeys(KINDS, 0.0)
        self.began = {}

    def run(self, kind, train):
        self.wait(kind)
        torch.manual_seed(0)
        try:
            train()
        finally:
            with self.changed:
                self.left.add(kind)
                self.pass_on(kind)

    def hand_over(self):
        kind, state = threading.current_thread().name, torch.get_rng_state()
        if kind in self.began:
            clocks = zip(self.began[kind], self.look(kind), strict=True)
            self.steps[kind].append([after - before for before, after in clocks])
        with self.changed:
            self.pass_on(kind)
        self.wait(kind)
        torch.set_rng_state(state)
        self.began[kind] = self.look(kind)

    def look(self, kind):
        return time.perf_counter(), time.process_time(), self.generating[kind]

    def pass_on(self, kind):
        other = KINDS[kind == KINDS[0]]
        self.whose = kind if other in self.left else other
        self.changed.notify_all()

    def wait(self, kind):
        with self.changed:
            self.changed.wait_for(lambda: self.whose == kind)


class Tokens(TrainerCallback):
    def __init__(self, turns):
        self.turns = turns

    def on_log(self, args, state, control, logs=None, **more):
        kind = threading.current_thread().name
        self.turns.tokens[kind] = (logs or {}).get("num_tokens", self.turns.tokens[kind])


def watch(turns):
    take_step, generate, start = Trainer.training_step, GenerationMixin.generate, Trainer.train

    def timed_step(self, *arguments, **options):
        turns.hand_over()
        return take_step(self, *arguments, **options)

    def timed_generate(self, *arguments, **options):
        began = time.perf_counter()
        try:
            return generate(self, *arguments, **options)
        finally:
            turns.generating[threading.current_thread().name] += time.perf_counter() - began

    def counted_train(self, *arguments, **options):
        self.add_callback(Tokens(turns))
        return start(self, *arguments, **options)

    Trainer.training_step, GenerationMixin.generate, Trainer.train = timed_step, timed_generate, counted_train


def main(what, root):
    turns = Turns()
    watch(turns)
    request = json.loads((root / "request.json").read_text())["request"]
    by_hand = {"sft": bare_trl.train_sft, "rl": bare_trl.train_rl}[what]
    trainings = {
        "ours": partial(importlib.import_module(f"pipeline.training.trainers.{what}").main, root),
        "bare": partial(by_hand, request, str(root / "data" / "rows.parquet"), root),
    }
    threads = [threading.Thread(target=turns.run, args=(kind, train), name=kind) for kind, train in trainings.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = ("wall", "cpu", "generating")
    said = {
        kind: {
            "tokens": turns.tokens[kind],
            "steps": [dict(zip(names, step, strict=True)) for step in turns.steps[kind]],
        }
        for kind in KINDS
    }
    sys.stdout.write("\n" + json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
