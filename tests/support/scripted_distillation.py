"""Stand-ins for the environments of trainers and servers: programs that do in a moment what takes TRL and vLLM long.

What they did is written down in `log.jsonl` beside them, and files there make them fail or wait on cue:
`<program>-wait` makes it wait until the file is gone, `<program>-fail` makes it end with an error; `say.json` tells
what models say. They import next to nothing, so that a test starts them in a blink.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.places import REPOSITORY

PROGRAM = """#!{python}
import sys
sys.path.insert(0, {repository!r})
from tests.support.scripted_distillation import play
play({folder!r}, sys.argv[1:])
"""
CONTEXT = 12
"""Letters beside a mask by which a passage is known again."""


def install_environments(folder: Path) -> dict[str, str]:
    """Environments in which our stand-ins run; returns the variables under which rampforge finds them."""
    from flows.configuration.environments import read_recipe
    from pipeline.serving.environments import MARKER

    for name in ("trl", "vllm-cpu"):
        place = folder / "envs" / name
        (place / "bin").mkdir(parents=True)
        program = place / "bin" / "python"
        program.write_text(PROGRAM.format(python=sys.executable, repository=str(REPOSITORY), folder=str(folder)))
        program.chmod(0o755)
        (place / MARKER).write_text(json.dumps({"digest": read_recipe(name).digest}))
    return {"RAMPFORGE_CACHE": str(folder)}


def read_log(folder: Path) -> list[dict[str, Any]]:
    """What the stand-ins did."""
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def play(folder: str, words: list[str]) -> None:
    """Be the program that the words ask for."""
    place = Path(folder)
    if "vllm.entrypoints.launchers.api_server.entry" in words:
        serve(place, dict(zip(words[2::2], words[3::2], strict=False)))
    else:
        train(place, Path(words[-1]))


def note(folder: Path, **facts: Any) -> None:
    """Write down what is done, and stop or wait where that is asked for."""
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps({**facts, "pid": os.getpid()}) + "\n")
    while (folder / f"{facts['program']}-wait").exists():
        time.sleep(0.02)
    if (folder / f"{facts['program']}-fail").exists():
        sys.exit("ValueError: told to fail")


def train(folder: Path, out: Path) -> None:
    """A training of three steps with a checkpoint after the second; its model has weights of its own."""
    from pipeline.training.folders import TrainingFolder, find_checkpoint, mark_whole

    training = TrainingFolder(out)
    begun = find_checkpoint(training)
    first = begun[1] if begun else 0
    base = json.loads(training.request.read_text())["request"]["base"]
    for step in range(first + 1, 4):
        with training.metrics.open("a") as metrics:
            metrics.write(json.dumps({"step": step, "loss": 3.0 / step, "seconds": 0.01}) + "\n")
        if step == 2:
            checkpoint = training.checkpoints / "checkpoint-2"
            checkpoint.mkdir(parents=True, exist_ok=True)
            mark_whole(checkpoint, 2)
        if step == 2 or first:
            note(folder, program="train", out=str(out), base=base, begun=first)
    shutil.copytree(base, training.model)
    (training.model / "model.safetensors").write_bytes(str(out.name).encode())
    attempt = {"steps": 3, "seconds": 0.03, "tokens": 300, "resumed_from": first or None, "device": "script"}
    training.attempt.write_text(json.dumps({**attempt, "processes": 1, "versions": {}}))


def serve(folder: Path, flags: Mapping[str, str]) -> None:
    """A server of the model at that place, until it is ended."""
    from tokenizers import Tokenizer

    model = Path(flags["--model"])
    note(folder, program="serve", model=str(model))
    tokenizer, answered = Tokenizer.from_file(str(model / "tokenizer.json")), count()

    def tell(path: str, asked: dict[str, Any]) -> dict[str, Any]:
        script = read_script(folder)
        if path == "/v1/models":
            return {"data": [{"id": script.get("name") or flags["--served-model-name"], "max_model_len": 8192}]}
        if path == "/tokenize":
            return {"tokens": tokenizer.encode(asked["prompt"], add_special_tokens=False).ids}
        text = tokenizer.decode(asked["prompt"], skip_special_tokens=False)
        note(folder, program="complete", prompt=len(text))
        said = script.get("always") or solve(text, script.get("base_knows", False) or model.name == "model")
        if script.get("wobbles") and "<answer>" in said and asked["temperature"] and next(answered) % 2:
            said = "<think>I forgot.</think>\n<answer>1. nothing</answer>"
        ids = tokenizer.encode(said, add_special_tokens=False).ids
        finish = "stop" if said.endswith(tuple(asked["stop"])) else "length"
        cut = ids[: asked["max_tokens"]]
        return {"choices": [{"text": tokenizer.decode(cut), "finish_reason": finish, "token_ids": cut}]}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer({} if self.path == "/health" else tell(self.path, {}))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path in ("/v1/completions", "/tokenize")
            self.answer(tell(self.path, asked) if known else {}, 200 if known else 404)

        def answer(self, value: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer((flags["--host"], int(flags["--port"])), Handler).serve_forever()


def read_script(folder: Path) -> dict[str, Any]:
    """What the models are told to say: `always` the same; `base_knows` how; one that `wobbles` is right every second
    time; `name`: what the server calls its model."""
    told = folder / "say.json"
    script: dict[str, Any] = json.loads(told.read_text()) if told.exists() else {}
    return script


def solve(text: str, knows: bool) -> str:
    """Search for the passage with holes; then read what stands in the holes. A base model does not know how."""
    if not knows:
        return "I do not know what is asked of me."
    asked, _, found = text.partition("<|im_start|>assistant\n")
    passage = asked.rpartition("\n\n")[2].partition("<|im_end|>")[0].partition("\n")[2]
    if "<information>" not in found:
        return f"<think>What is missing?</think>\n<search>{re.sub(r'.mask .*?.]', '', passage)[:120]}</search>"
    answers = []
    for number, hole in enumerate(re.finditer(r"\[mask \d+\]", passage), start=1):
        before, after = passage[: hole.start()][-CONTEXT:], passage[hole.end() :][:CONTEXT]
        before, after = before.rpartition("]")[2], after.partition("[")[0]
        match = re.search(f"{re.escape(before)}(.{{1,60}}?){re.escape(after)}", found)
        answers.append(f"{number}. {match[1] if match else 'unknown'}")
    return f"<think>It is found.</think>\n<answer>{chr(10).join(answers)}</answer>"
