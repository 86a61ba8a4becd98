"""verl 0.9.1: messages for its multi-turn SFT dataset, prompts for RLHFDataset, and overrides for its command lines."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa

from pipeline.exporting.columns import TEXT
from pipeline.exporting.prompt_columns import list_shared_columns, write_shared
from pipeline.exporting.rows import build_chat_schema, write_chat
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import EVERY, TURNS, Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from pipeline.rendering.formats import RENDERINGS
from schemas.exports import Purpose, Split, Trainer
from schemas.renderings import RenderingName

SOURCE = "rampforge"
TOOL_AGENT = "tool_agent"
"""verl's own agent loop for tools; formats with tags of their own need one that writes those."""


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
    """overrides.txt, for `python -m verl.trainer.sft_trainer $(cat overrides.txt) model.path=...`."""
    files = written.files[Purpose.SFT]
    lines = [
        f"data.train_files={files[Split.TRAIN]}",
        f"data.val_files={files.get(Split.VALIDATION, 'null')}",
        "data.messages_key=messages",
        "data.tools_key=tools",
        f"data.max_length={written.longest or 8192}",
        "data.truncation=error",
        *_list_switches(written),
    ]
    return {"overrides.txt": "\n".join(lines) + "\n"}


def write_prompt(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """What the policy is given, and its gold."""
    row = write_shared(sample, place, SOURCE, [list(forms) for forms in sample.example.golds])
    return row | ({"agent_name": TOOL_AGENT} if sample.tools else {})


def build_prompt_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Prompts."""
    agent = [("agent_name", TEXT)] if RENDERINGS[rendering].describe_tools("en") else []
    return (Table(Purpose.RL, write_prompt, pa.schema([*list_shared_columns(pa.list_(pa.list_(TEXT))), *agent])),)


def write_prompt_configs(written: Written) -> dict[str, str]:
    """overrides.txt, for `python -m verl.trainer.main_ppo $(cat overrides.txt) ...`."""
    files = written.files[Purpose.RL]
    train = files[Split.TRAIN]
    lines = [
        f"data.train_files={train}",
        # verl asks for validation files; without any, the training file stands in.
        f"data.val_files={files.get(Split.VALIDATION, train)}",
        "data.prompt_key=prompt",
        "data.reward_fn_key=data_source",
        "data.return_raw_chat=True",
        "data.filter_overlong_prompts=True",
        "data.truncation=error",
        *_list_switches(written),
    ]
    return {"overrides.txt": "\n".join(lines) + "\n"}


def _list_switches(written: Written) -> list[str]:
    return [f"+data.apply_chat_template_kwargs.{name}={value}" for name, value in written.switches]


VERL_SFT = Exporter(
    trainer=Trainer.VERL_SFT,
    summary="messages for MultiTurnSFTDataset; overrides.txt",
    renderings=TURNS,
    sets_switches=True,
    build_tables=build_chat_tables,
    write_configs=write_chat_configs,
)
VERL_RL = Exporter(
    trainer=Trainer.VERL_RL,
    summary="prompts with ground truth for RLHFDataset; overrides.txt",
    renderings=(RenderingName.SEARCH_R1, *(name for name in EVERY if name is not RenderingName.SEARCH_R1)),
    sets_switches=True,
    build_tables=build_prompt_tables,
    write_configs=write_prompt_configs,
)
