"""verl 0.9.1: messages for its multi-turn SFT dataset, prompts for RLHFDataset, and overrides for its command lines."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import yaml

from pipeline.exporting.columns import TEXT
from pipeline.exporting.command_arguments import OVERRIDES, quote_hydra, read_by, write_lines
from pipeline.exporting.prompt_columns import SHARED, write_shared
from pipeline.exporting.rows import build_chat_schema, write_chat
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import EVERY, SEARCH_PORT, SEARCH_URL, TURNS, Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.questions import describe_tool
from pipeline.rendering.tool_calls import ToolRendering
from schemas.exports import Purpose, Split, Trainer
from schemas.policies import STREAMED
from schemas.renderings import RenderingName
from schemas.training import Rollouts, SearchEndpoint

SOURCE = "rampforge"
TOOL_AGENT = "tool_agent"
"""verl's own agent loop for tools."""
STREAM_AGENT = "rampforge_search"
"""Our agent loop, for formats of one stream."""
REWARD = '''"""Reward of this export, for verl; it needs pydantic and rapidfuzz, and OpenCC for Chinese."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "source"))

from trainer_rewards import compute_score

__all__ = ["compute_score"]
'''
MOST_PROMPT, MOST_COMPLETION = 2048, 8192
STREAM_LINES = (
    f"actor_rollout_ref.rollout.agent.default_agent_loop={STREAM_AGENT}",
    "actor_rollout_ref.rollout.agent.agent_loop_config_path=agents.yaml",
)
TOOL_LINES = (
    "actor_rollout_ref.rollout.multi_turn.format=hermes",
    "actor_rollout_ref.rollout.multi_turn.function_tool_path=search_tool.py",
)


def write_chat_with_tools(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Messages, and the tools as a list: verl hands both on as they are."""
    row = write_chat(sample, place)
    return row | ({"tools": orjson.loads(row["tools"])} if "tools" in row else {})


def build_chat_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations."""
    tools = RENDERINGS[rendering].describe_tools("en")
    listed = pa.array([orjson.loads(tools)]).type if tools else None
    return (Table(Purpose.SFT, write_chat_with_tools, build_chat_schema(rendering, form, listed)),)


def write_chat_configs(written: Written) -> dict[str, str]:
    """overrides.txt for `verl.trainer.sft_trainer`."""
    files = written.files[Purpose.SFT]
    lines = [
        f"data.train_files={files[Split.TRAIN]}",
        f"data.val_files={files.get(Split.VALIDATION, 'null')}",
        "data.messages_key=messages",
        "data.tools_key=tools",
        f"data.max_length={written.longest or 8192}",
        "data.truncation=error",
        f"model.path={quote_hydra(written.model)}",
        *_list_switches(written),
    ]
    return {OVERRIDES: write_lines(lines)}


def write_prompt(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """What the policy is given, and its gold."""
    row = write_shared(sample, place, SOURCE)
    return row if sample.rendering in STREAMED else row | {"agent_name": TOOL_AGENT}


def build_prompt_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Prompts."""
    agent = [] if rendering in STREAMED else [("agent_name", TEXT)]
    return (Table(Purpose.RL, write_prompt, pa.schema([*SHARED, *agent])),)


def write_prompt_configs(written: Written) -> dict[str, str]:
    """overrides.txt for `verl.trainer.main_ppo`, and what plays the rollouts: agents.yaml, or search_tool.py."""
    files, batch = written.files[Purpose.RL], written.choose_batch()
    train = files[Split.TRAIN]
    stream = written.settings.rendering in STREAMED
    lines = [
        f"data.train_files={train}",
        # verl asks for validation files; without any, the training file stands in.
        f"data.val_files={files.get(Split.VALIDATION, train)}",
        "data.prompt_key=prompt",
        "data.reward_fn_key=data_source",
        "data.return_raw_chat=True",
        "data.filter_overlong_prompts=True",
        "data.truncation=error",
        f"data.train_batch_size={batch}",
        f"data.max_prompt_length={MOST_PROMPT}",
        f"data.max_response_length={MOST_COMPLETION}",
        "algorithm.adv_estimator=grpo",
        f"actor_rollout_ref.model.path={quote_hydra(written.model)}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={batch}",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1",
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.n=8",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=1",
        "actor_rollout_ref.rollout.multi_turn.enable=True",
        f"actor_rollout_ref.rollout.multi_turn.max_assistant_turns={written.searches + 1}",
        *(STREAM_LINES if stream else TOOL_LINES),
        "reward.custom_reward_function.path=reward.py",
        "reward.custom_reward_function.name=compute_score",
        "trainer.logger=[console]",
        *_list_switches(written),
    ]
    play = {"agents.yaml": _write_agents(written)} if stream else {"search_tool.py": _write_tool(written)}
    return {OVERRIDES: write_lines(lines), "reward.py": REWARD, **play}


def _write_agents(written: Written) -> str:
    """Return the agent loop of rampforge, which searches inside of a message."""
    search = SearchEndpoint(url=SEARCH_URL, k=written.shown)
    rollouts = Rollouts(
        search=search, rendering=written.settings.rendering, turns=written.searches, max_completion=MOST_COMPLETION
    )
    target = "pipeline.training.trainers.verl_agent_loop.SearchAgentLoop"
    return yaml.safe_dump([{"name": STREAM_AGENT, "_target_": target, "rollouts": rollouts.model_dump_json()}])


def _write_tool(written: Written) -> str:
    """Return a tool for verl's own agent loop, which asks a search server; it withholds nothing."""
    rendering = RENDERINGS[written.settings.rendering]
    argument = rendering.argument if isinstance(rendering, ToolRendering) else ""
    return f'''"""The tool `search`, which asks a search server: rampforge search serve RUN --port {SEARCH_PORT}."""

from __future__ import annotations

from functools import cache

from verl.tools.function_tool import function_tool

from pipeline.rendering.observations import write_documents
from pipeline.rollouts.search_rollout import SearchStep
from pipeline.training.trainers.retriever import Retriever
from schemas.training import SearchEndpoint

SCHEMA = {orjson.loads(describe_tool("en", argument))[0]!r}


@cache
def open_retriever():
    """Return the client of the server, one per process."""
    return Retriever(SearchEndpoint(url="{SEARCH_URL}", k={written.shown}))


@function_tool(schema=SCHEMA)
def search({argument}):
    """Return the merged results of the queries as text."""
    queries = [{argument}] if isinstance({argument}, str) else list({argument})
    (documents,) = open_retriever().find([SearchStep(tuple(map(str, queries)), "")])
    return write_documents(documents, "en")
'''


def _list_switches(written: Written) -> list[str]:
    return [f"+data.apply_chat_template_kwargs.{name}={value}" for name, value in written.switches]


VERL_SFT = Exporter(
    trainer=Trainer.VERL_SFT,
    summary="messages for MultiTurnSFTDataset; overrides.txt",
    renderings=TURNS,
    sets_switches=True,
    build_tables=build_chat_tables,
    write_configs=write_chat_configs,
    command=read_by("torchrun --standalone --nproc_per_node=1 -m verl.trainer.sft_trainer", OVERRIDES),
    environment="verl",
)
VERL_RL = Exporter(
    trainer=Trainer.VERL_RL,
    summary="prompts with ground truth for RLHFDataset; overrides.txt",
    renderings=(RenderingName.SEARCH_R1, *(name for name in EVERY if name is not RenderingName.SEARCH_R1)),
    sets_switches=True,
    build_tables=build_prompt_tables,
    write_configs=write_prompt_configs,
    command="PYTHONPATH=$PWD/source " + read_by("python -m verl.trainer.main_ppo", OVERRIDES),
    environment="verl",
    searches=True,
    withholding=STREAMED,
    carries_reward=True,
)
