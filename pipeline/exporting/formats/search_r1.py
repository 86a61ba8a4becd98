"""Search-R1's own trainer (commit a14dc3a), and SkyRL, slime and ReSearch, which took over its columns.

Search-R1's scorer is chosen by the data source, so ours is called `nq`; it counts the `<answer>` of the prompt's
example and gives nothing unless there are two, so the prompt must hold exactly one. SkyRL (a956457) reads `env_class`
and `reward_spec`. slime (624b824) takes `reward_model` as the label of its example for Search-R1. ReSearch (4bdb872)
puts its own instructions before the column `question`, and wants a plain list as `ground_truth`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.exporting.columns import TEXT
from pipeline.exporting.command_arguments import ARGUMENTS, OVERRIDES, quote_hydra, read_by, write_lines
from pipeline.exporting.prompt_columns import SHARED, TRUTH, write_shared
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import SEARCH_URL, Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from pipeline.rendering.questions import write_form, write_question
from schemas.exports import Purpose, Split, Trainer
from schemas.renderings import RenderingName

SOURCE = "nq"
ENVIRONMENT = "search"
"""SkyRL's environment for Search-R1."""
PROMPTS = pa.schema([*SHARED, ("env_class", TEXT), ("reward_spec", TRUTH)])
LISTED = pa.schema(
    [
        pa.field("reward_model", pa.struct([("style", TEXT), ("ground_truth", pa.list_(TEXT))]))
        if column[0] == "reward_model"
        else column
        for column in SHARED
    ]
)


def write_prompt(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """The row of a task."""
    row = write_shared(sample, place, SOURCE)
    return {**row, "env_class": ENVIRONMENT, "reward_spec": row["reward_model"]}


def write_question_row(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """The row of a task whose instructions the trainer writes: its question says what is asked."""
    row = write_shared(sample, place, SOURCE)
    asked = sample.example.question
    truth = {"style": "rule", "ground_truth": row["golden_answers"]}
    return {**row, "question": f"{write_question(asked)}\n\n{write_form(asked)}", "reward_model": truth}


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Prompts."""
    return (Table(Purpose.RL, write_prompt, PROMPTS),)


def build_question_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Prompts as questions."""
    return (Table(Purpose.RL, write_question_row, LISTED),)


def write_configs(written: Written) -> dict[str, str]:
    """overrides.txt for Search-R1's `verl.trainer.main_ppo`."""
    batch = written.choose_batch()
    lines = [
        *_list_files(written, "data.train_files={}", "data.val_files={}"),
        f"data.train_batch_size={batch}",
        f"data.val_batch_size={written.choose_batch(Split.VALIDATION)}",
        # Its defaults cut our prompts.
        "data.max_start_length=2048",
        "data.max_prompt_length=8192",
        "data.max_response_length=512",
        "data.max_obs_length=1024",
        "algorithm.adv_estimator=grpo",
        "algorithm.no_think_rl=false",
        f"actor_rollout_ref.model.path={quote_hydra(written.model)}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={batch}",
        "actor_rollout_ref.actor.use_kl_loss=true",
        # Off by default there, which trains on what was retrieved.
        "actor_rollout_ref.actor.state_masking=true",
        "actor_rollout_ref.rollout.n_agent=5",
        "+trainer.val_before_train=false",
        "trainer.logger=[console]",
        f"retriever.url={SEARCH_URL}/retrieve",
        f"retriever.topk={written.shown}",
        f"max_turns={written.searches}",
    ]
    return {OVERRIDES: write_lines(lines)}


def write_skyrl_configs(written: Written) -> dict[str, str]:
    """overrides.txt for SkyRL's `skyrl.train.entrypoints.main_base`."""
    batch, stops = written.choose_batch(), '["</search>","</answer>"]'
    lines = [
        *_list_files(written, "data.train_data=['{}']", "data.val_data=['{}']"),
        f"trainer.policy.model.path={quote_hydra(written.model)}",
        "trainer.algorithm.advantage_estimator=grpo",
        f"trainer.train_batch_size={batch}",
        f"trainer.policy_mini_batch_size={batch}",
        "trainer.max_prompt_length=2048",
        "trainer.logger=console",
        "generator.batched=false",
        "generator.use_conversation_multi_turn=false",
        "generator.max_input_length=8192",
        "generator.n_samples_per_prompt=5",
        f"generator.max_turns={written.searches + 1}",
        "generator.sampling_params.max_generate_length=512",
        f"generator.sampling_params.stop={stops}",
        f"generator.eval_sampling_params.stop={stops}",
        f"environment.env_class={ENVIRONMENT}",
        f"environment.skyrl_gym.search.search_url={SEARCH_URL}/retrieve",
        f"environment.skyrl_gym.search.topk={written.shown}",
    ]
    return {OVERRIDES: write_lines(lines)}


def write_slime_configs(written: Written) -> dict[str, str]:
    """arguments.txt for slime's train.py with its example for Search-R1, and the settings of that example."""
    files, batch = written.files[Purpose.RL], written.choose_batch()
    lines = [
        f"--hf-checkpoint={written.model}",
        f"--prompt-data={files[Split.TRAIN]}",
        "--input-key=prompt",
        "--label-key=reward_model",
        "--metadata-key=extra_info",
        "--apply-chat-template",
        "--rollout-shuffle",
        f"--rollout-batch-size={min(batch, 32)}",
        "--n-samples-per-prompt=8",
        f"--global-batch-size={8 * min(batch, 32)}",
        "--rollout-max-response-len=512",
        "--advantage-estimator=grpo",
        "--custom-generate-function-path=search_generate.generate",
        "--custom-rm-path=search_generate.reward_func",
    ]
    if Split.VALIDATION in files:
        lines += [
            *("--eval-prompt-data", "rampforge", files[Split.VALIDATION]),
            "--eval-input-key=prompt",
            "--eval-label-key=reward_model",
            "--n-samples-per-eval-prompt=1",
        ]
    settings = {"max_turns": written.searches + 1, "topk": written.shown}
    code = f'''"""Rollouts and reward of slime's example for Search-R1, as this export needs them."""

from generate_with_search import SEARCH_R1_CONFIGS, generate, reward_func

SEARCH_R1_CONFIGS.update({settings})
SEARCH_R1_CONFIGS["local"]["search_url"] = "{SEARCH_URL}/retrieve"

__all__ = ["generate", "reward_func"]
'''
    return {ARGUMENTS: write_lines(lines), "search_generate.py": code}


def write_question_configs(written: Written) -> dict[str, str]:
    """overrides.txt for ReSearch's `verl.trainer.main_ppo`."""
    batch = written.choose_batch()
    lines = [
        *_list_files(written, "data.train_files={}", "data.val_files={}"),
        "data.prompt_key=question",
        "data.apply_chat=True",
        "data.prompt_template_name=re_search_template_sys",
        f"data.train_batch_size={batch}",
        "data.max_prompt_length=2048",
        "data.max_response_length=8192",
        "algorithm.adv_estimator=grpo",
        f"actor_rollout_ref.model.path={quote_hydra(written.model)}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={batch}",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        "actor_rollout_ref.actor.use_kl_loss=True",
        "actor_rollout_ref.rollout.name=vllm_with_search",
        "actor_rollout_ref.rollout.n=5",
        f"actor_rollout_ref.rollout.search_url={SEARCH_URL}",
        "reward_model.reward_manager=re_search",
        "trainer.logger=[console]",
    ]
    return {OVERRIDES: write_lines(lines)}


def _list_files(written: Written, train: str, validation: str) -> list[str]:
    """Return the lines that name the files; without a validation file the training file stands in."""
    files = written.files[Purpose.RL]
    return [
        train.format(files[Split.TRAIN]),
        validation.format(files.get(Split.VALIDATION, files[Split.TRAIN])),
    ]


SEARCH_R1 = Exporter(
    trainer=Trainer.SEARCH_R1,
    summary="the columns of its nq_search data; overrides.txt",
    renderings=(RenderingName.SEARCH_R1,),
    build_tables=build_tables,
    write_configs=write_configs,
    command="PYTHONPATH=${SEARCH_R1:?its folder} " + read_by("python -m verl.trainer.main_ppo", OVERRIDES),
    searches=True,
)
SKYRL = Exporter(
    trainer=Trainer.SKYRL,
    summary="prompts with env_class and reward_spec for its search environment; overrides.txt",
    renderings=(RenderingName.SEARCH_R1,),
    build_tables=build_tables,
    write_configs=write_skyrl_configs,
    command=read_by("python -m skyrl.train.entrypoints.main_base", OVERRIDES),
    searches=True,
)
SLIME = Exporter(
    trainer=Trainer.SLIME,
    summary="prompts and labels for its example for Search-R1; arguments.txt, search_generate.py",
    renderings=(RenderingName.SEARCH_R1,),
    build_tables=build_tables,
    write_configs=write_slime_configs,
    command="PYTHONPATH=$PWD:${SLIME:?its folder}/examples/search-r1:${MEGATRON:?folder of Megatron-LM} "
    + read_by('python "$SLIME/train.py" "${MODEL_ARGS[@]:?source one of its scripts/models}"', ARGUMENTS),
    searches=True,
)
RESEARCH = Exporter(
    trainer=Trainer.RESEARCH,
    summary="questions with a plain list of right answers; overrides.txt",
    renderings=(RenderingName.RESEARCH,),
    build_tables=build_question_tables,
    write_configs=write_question_configs,
    command="PYTHONPATH=${RESEARCH:?its folder}/src " + read_by("python -m verl.trainer.main_ppo", OVERRIDES),
    searches=True,
)
