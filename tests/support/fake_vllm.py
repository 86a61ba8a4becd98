"""Stand-ins for vLLM: a module of that name that starts and fails on cue, and a server that scores spans for real."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from pipeline.masking.causal_scorer import CausalScorer

SERVER = """
import http.server, os, pathlib, signal, sys, time

flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
place = pathlib.Path(flags["--model"])
starts = len(list(place.glob("start-*")))
(place / f"start-{starts}").write_text(f"{os.getpid()} {' '.join(sys.argv[1:])}")
print("loading", flags["--served-model-name"], flush=True)
if (place / "broken").exists():
    raise SystemExit("ValueError: no such architecture")
if (place / "deaf").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while (place / "loading").exists():
    time.sleep(0.02)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((flags["--host"], int(flags["--port"])), Handler).serve_forever()
"""


def install_vllm(folder: Path) -> Path:
    """A folder for PYTHONPATH that holds a `vllm` with an OpenAI server in it."""
    package = folder / "vllm" / "entrypoints" / "launchers" / "api_server"
    package.mkdir(parents=True)
    (package / "entry.py").write_text(SERVER)
    return folder


@dataclass
class FakeServer:
    """Speaks the part of vLLM's protocol that scoring needs, with the weights of a scorer in process."""

    scorer: CausalScorer
    url: str = ""
    context: int = 512
    faults: list[int | bytes | tuple[int, bytes]] = field(default_factory=list)
    """For each POST to come: a status to refuse it with, a body to answer, or both."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    with_logprobs: bool = True
    with_ranks: bool = True
    lists: bool = True
    """Whether /models names what is served."""
    unlisted: int | None = None
    """Status with which /models is refused."""

    def chat(self, body: dict[str, Any]) -> dict[str, Any] | int:
        """One token, for the model that is served."""
        self.bodies.append(body)
        choice = {"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "length"}
        usage = {"prompt_tokens": 9, "completion_tokens": 1}
        return {"choices": [choice], "usage": usage} if body["model"] == "tiny" else 404

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        choices = [{"index": i, **self.score(ids)} for i, ids in enumerate(body["prompt"])]
        return {"choices": choices[::-1]}  # the index says which prompt it is

    def score(self, ids: list[int]) -> dict[str, Any]:
        assert len(ids) < self.context
        if not self.with_logprobs:
            return {"text": "x"}
        with torch.inference_mode():
            logits = self.scorer._model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        rows = list(enumerate(ids[1:]))
        told = [{str(token): {"logprob": logits[i, token].item()}} for i, token in rows]
        for (i, token), named in zip(rows, told, strict=True):
            named[str(token)] |= {"rank": 1 + int((logits[i] > logits[i, token]).sum())} if self.with_ranks else {}
        text = self.scorer._tokenizer.decode([int(logits[-1].argmax())])
        return {"prompt_logprobs": [None, *told], "text": text}


@contextmanager
def open_server(scorer: CausalScorer, context: int = 512) -> Iterator[FakeServer]:
    """Serve a scorer as the model `tiny`."""
    fake = FakeServer(scorer, context=context)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = [{"id": "tiny", "max_model_len": fake.context}] if fake.lists else []
            self.answer(fake.unlisted or {"data": listed})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "messages" in body:
                self.answer(fake.chat(body))
                return
            fault = fake.faults.pop(0) if fake.faults else None
            self.answer(fake.complete(body) if fault is None else fault)

        def answer(self, said: dict[str, Any] | int | bytes | tuple[int, bytes]) -> None:
            status, body = said if isinstance(said, tuple) else (said if isinstance(said, int) else 200, said)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        fake.url = f"http://127.0.0.1:{listener.server_port}/v1"
        yield fake
        listener.shutdown()
