"""Runs inside verl's environment: verl's own code reads what was written for it. Prints a JSON object.

    python verl_probe.py FOLDER MODEL TURNS     with PYTHONPATH=FOLDER/source

Composes the configuration, checks it by verl's own rules, reads the dataset by RLHFDataset, loads the reward as verl
does, and runs the agent loop, which verl makes from its YAML, over a model that says the turns.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import hydra  # type: ignore[import-not-found]  # this and the like live in verl's environment
import verl.trainer.main_ppo as main_ppo  # type: ignore[import-not-found]
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf  # type: ignore[import-not-found]
from transformers import AutoTokenizer
from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap  # type: ignore[import-not-found]
from verl.trainer.ppo.reward import get_custom_reward_fn  # type: ignore[import-not-found]
from verl.utils.config import validate_config  # type: ignore[import-not-found]
from verl.utils.dataset.rl_dataset import RLHFDataset  # type: ignore[import-not-found]
from verl.workers.rollout.replica import TokenOutput  # type: ignore[import-not-found]

TURNS: list[str] = json.loads(sys.argv[3])


class ScriptedServer:
    """Says its lines, one a call."""

    def __init__(self, tokenizer: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._tokenizer = tokenizer

    async def generate(self, **request: Any) -> Any:
        self.asked.append(request)
        ids = self._tokenizer(TURNS[len(self.asked) - 1], add_special_tokens=False)["input_ids"]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


async def run_loop(config: Any, tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    (agent,) = OmegaConf.load(config.actor_rollout_ref.rollout.agent.agent_loop_config_path)
    server = ScriptedServer(tokenizer)
    loop = hydra.utils.instantiate(
        config=agent,
        trainer_config=DictConfigWrap(config=config),
        server_manager=server,
        tokenizer=tokenizer,
        processor=None,
        hf_model_type="llama",
        dataset_cls=RLHFDataset,
        data_config=DictConfigWrap(config.data),
        tools=ToolListWrap([]),
    )
    out = await loop.run({"temperature": 1.0, "logprobs": True}, **row)
    fields = out.as_dict()
    return {
        "prompt": tokenizer.decode(out.prompt_ids),
        "text": tokenizer.decode(out.response_ids),
        "own": tokenizer.decode([t for t, mine in zip(out.response_ids, out.response_mask, strict=True) if mine]),
        "lengths": [len(out.response_ids), len(out.response_mask), len(out.response_logprobs)],
        "extra": {name: fields["extra_fields"][name] for name in ("own_tokens", "observations", "searches")},
        "stops": server.asked[0]["sampling_params"]["stop"],
    }


def main(folder: Path, model: str) -> None:
    overrides = (folder / "verl" / "overrides.txt").read_text().splitlines()
    where = str(Path(main_ppo.__file__).parent / "config")
    with initialize_config_dir(config_dir=where, version_base=None):
        config = compose("ppo_trainer", overrides=overrides)
    validate_config(config, use_reference_policy=False, use_critic=False)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = RLHFDataset(config.data.train_files, tokenizer, config.data, None)
    row = rows[0]
    done = asyncio.run(run_loop(config, tokenizer, row))
    score = get_custom_reward_fn(config)
    extra = {**row["extra_info"], **done["extra"]}
    paid = score(row["data_source"], done["text"], row["reward_model"]["ground_truth"], extra)
    sys.stdout.write(json.dumps({"rows": len(rows), "agent": row["agent_name"], "paid": paid, **done}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
