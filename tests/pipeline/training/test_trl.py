"""Training for real, by TRL in its own environment, with a model of a few thousand weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder
from pipeline.assets.store import find_asset
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.token_masks import IGNORED
from pipeline.serving.environments import clean_variables, locate_python
from pipeline.training.folders import TrainingFolder, find_checkpoint
from pipeline.training.launching import TrainingFleet
from pipeline.training.requests import TrainingError, settle_request
from pipeline.training.rl_rows import list_run_prompts, write_prompts
from pipeline.training.running import TrainerEnvironment, run_training
from pipeline.training.sft_rows import admit_rows
from schemas.funnel import FunnelStep
from schemas.renderings import RenderingName
from schemas.training import (
    Layout,
    RlRequest,
    Rollouts,
    SearchEndpoint,
    SftRequest,
    StepMetrics,
    TrainingRequest,
    TrainingResult,
    Tuning,
    Weights,
)
from tests.pipeline.training.test_verl import TEXT, serve_one_document
from tests.support.trajectory_samples import make_task

pytestmark = [pytest.mark.slow, pytest.mark.assets]
CPU = TrainingFleet(Layout(), 0)


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with real tokens and hardly any weights."""
    source = find_asset("smollm2-135m-instruct", cache_folder())
    if source is None or not locate_python(environments_folder() / "trl").exists():
        pytest.skip("needs `rampforge env create trl` and `rampforge assets get demo`")
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    tokenizer = AutoTokenizer.from_pretrained(source)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = LlamaConfig(vocab_size=len(tokenizer), **sizes, max_position_embeddings=2048)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def write_rows(folder: TrainingFolder) -> FunnelStep:
    rows = [
        {"input_ids": [*range(n + 5, n + 25)], "labels": [IGNORED] * 5 + [*range(n + 10, n + 25)]} for n in range(24)
    ]
    return admit_rows(rows, folder, max_length=64, vocabulary=1000).funnel


def train(request: TrainingRequest, funnel: FunnelStep, tell: Callable[[StepMetrics], None]) -> TrainingResult:
    folder = TrainingFolder(Path(request.output))
    settle_request(folder, request, fresh=False)
    variables = {**clean_variables(os.environ), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    workshop = TrainerEnvironment(str(locate_python(environments_folder() / "trl")), variables, "again")
    return run_training(request, CPU, workshop, funnel, tell)


def kill_trainer(root: Path) -> None:
    for process in psutil.Process().children(recursive=True):
        words = process.as_dict(["cmdline"])["cmdline"] or []  # one that has just ended has none
        if str(root) in words and "pipeline.training.trainers.sft" in words:
            process.kill()


def test_a_killed_training_goes_on_as_if_nothing_had_been(small_model: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    common: dict[str, Any] = {"base": small_model, "data": "d", "steps": 150, "batch": 2, "save_every": 2}
    common["weights"] = Weights(learning_rate=1e-2)
    funnel = write_rows(TrainingFolder(whole))
    straight = train(SftRequest(output=str(whole), **common), funnel, lambda _: None)

    request = SftRequest(output=str(broken), **common)
    write_rows(TrainingFolder(broken))
    with pytest.raises(TrainingError, match="was killed"):
        train(request, funnel, lambda step: kill_trainer(broken) if step.step >= 3 else None)
    begun = find_checkpoint(TrainingFolder(broken))
    assert begun is not None
    (begun[0].parent / "checkpoint-99").mkdir()
    done = train(request, funnel, lambda _: None)

    assert done.resumed_from == begun[1]
    assert begun[1] < done.steps == 150
    assert [step.step for step in done.curve] == [*range(1, 151)]
    losses = [[step.values["loss"] for step in result.curve] for result in (straight, done)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[0][-1] < losses[0][0]
    assert straight.resumed_from is None
    assert straight.rows == 24
    assert straight.tokens_per_second > 0
    assert train(request, funnel, lambda _: None) == done


def unfinish(folder: TrainingFolder) -> None:
    """Leave what a trainer leaves that is killed after its last checkpoint and before its end."""
    shutil.rmtree(folder.model)
    folder.result.unlink()


@pytest.mark.parametrize("tuning", Tuning)
def test_a_training_killed_after_its_last_step_takes_none_more(
    small_model: str, tmp_path: Path, tuning: Tuning
) -> None:
    folder, weights = TrainingFolder(tmp_path), Weights(tuning=tuning, lora_rank=2, learning_rate=1e-2)
    request = SftRequest(base=small_model, data="d", output=str(tmp_path), steps=3, batch=2, weights=weights)
    funnel = write_rows(folder)
    whole = train(request, funnel, lambda _: None)
    trained = (folder.model / "model.safetensors").read_bytes()
    unfinish(folder)
    done = train(request, funnel, lambda _: None)
    assert (done.steps, done.resumed_from, done.curve) == (3, 3, whole.curve)
    assert (folder.model / "model.safetensors").read_bytes() == trained


def test_an_adapter_is_merged_and_rows_keep_their_order(small_model: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = Weights(tuning=Tuning.LORA, lora_rank=2)
    request = SftRequest(
        base=small_model, data="d", output=str(tmp_path), steps=1, batch=2, curriculum=True, weights=weights
    )
    done = train(request, write_rows(TrainingFolder(tmp_path)), lambda _: None)
    assert done.curve[0].values["num_tokens"] == 40
    assert not list(Path(done.checkpoint).glob("adapter*"))
    AutoModelForCausalLM.from_pretrained(done.checkpoint)
    ChatText(AutoTokenizer.from_pretrained(done.checkpoint))


def test_rollouts_search_and_are_replaced_when_they_teach_nothing(small_model: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = TrainingFolder(tmp_path)
    tasks = [make_task(f"{TEXT} Room {number}.", ["1868"], f"t{number}") for number in range(6)]
    tokenizer = AutoTokenizer.from_pretrained(small_model)
    funnel = write_prompts(list_run_prompts(tasks, RenderingName.SEARCH_R1, False), folder, tokenizer, 2048)
    with serve_one_document() as url:
        rollouts = Rollouts(search=SearchEndpoint(url=url), group=2, max_completion=24, max_turn=16)
        request = RlRequest(
            base=small_model, data="d", output=str(tmp_path), steps=2, batch=4, rollouts=rollouts, resample=1
        )
        done = train(request, funnel, lambda _: None)
        unfinish(folder)
        again = train(request, funnel, lambda _: None)
    first = done.curve[0].values
    # Nothing that a random model writes earns anything: both groups are replaced once, and stay dull.
    assert (first["rollout/groups_drawn"], first["rollout/groups_dull"]) == (4.0, 2.0)
    assert first["frac_reward_zero_std"] == 1.0
    assert first["rollout/format"] == 0.0
    assert done.steps == 2
    assert (again.steps, again.resumed_from, again.curve) == (2, 2, done.curve)
    assert {"trl", "torch"} <= set(done.versions)


def test_fewer_tasks_than_a_step_takes_are_repeated(small_model: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder, tokenizer = TrainingFolder(tmp_path), AutoTokenizer.from_pretrained(small_model)
    tasks = [make_task(TEXT, ["1868"], "t")]
    funnel = write_prompts(list_run_prompts(tasks, RenderingName.SEARCH_R1, False), folder, tokenizer, 2048)
    with serve_one_document() as url:
        rollouts = Rollouts(search=SearchEndpoint(url=url), group=2, max_completion=24, max_turn=16)
        request = RlRequest(
            base=small_model, data="d", output=str(tmp_path), steps=2, batch=6, rollouts=rollouts, resample=0
        )
        done = train(request, funnel, lambda _: None)
    assert done.steps == 2
    assert [step.values["rollout/groups_drawn"] for step in done.curve] == [3.0, 3.0]
