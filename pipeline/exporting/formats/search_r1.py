"""Search-R1's own trainer (commit a14dc3a): the columns of its nq_search data, and overrides for its command line.

Its scorer is chosen by the data source, so ours is called `nq`; it counts the `<answer>` of the prompt's example and
gives nothing unless there are two, so the prompt must hold exactly one.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.exporting.columns import TEXT
from pipeline.exporting.prompt_columns import list_shared_columns, list_targets, write_shared
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table, Written
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, Split, Trainer
from schemas.renderings import RenderingName

SOURCE = "nq"
PROMPTS = pa.schema(
    [("id", TEXT), ("question", TEXT), ("golden_answers", pa.list_(TEXT)), *list_shared_columns(pa.list_(TEXT))]
)


def write_prompt(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """The row of a task."""
    target = list_targets(sample)
    return {
        "id": sample.example.task_id,
        "question": sample.example.question.text,
        "golden_answers": target,
        **write_shared(sample, place, SOURCE, target),
    }


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Prompts."""
    return (Table(Purpose.RL, write_prompt, PROMPTS),)


def write_configs(written: Written) -> dict[str, str]:
    """overrides.txt, for `python -m verl.trainer.main_ppo $(cat overrides.txt) ...` of Search-R1."""
    files = written.files[Purpose.RL]
    train = files[Split.TRAIN]
    lines = [
        f"data.train_files={train}",
        f"data.val_files={files.get(Split.VALIDATION, train)}",
        # Off by default there, which trains on what was retrieved.
        "actor_rollout_ref.actor.state_masking=true",
        "retriever.topk=5",
        "max_turns=5",
    ]
    return {"overrides.txt": "\n".join(lines) + "\n"}


SEARCH_R1 = Exporter(
    trainer=Trainer.SEARCH_R1,
    summary="the columns of its nq_search data; overrides.txt",
    renderings=(RenderingName.SEARCH_R1,),
    build_tables=build_tables,
    write_configs=write_configs,
)
