"""From what a trained model wrote to what is trained on: the same tokens, and tasks chosen by how hard they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.exporting.dataset import export_dataset
from pipeline.exporting.registry import EXPORTERS
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.rendering.tagged import SEARCH_R1
from pipeline.rendering.token_masks import IGNORED, TokenMasker
from pipeline.rendering.transcript import ask, transcribe
from pipeline.storage.run_folder import RunFolder
from schemas.config import JudgingConfig
from schemas.difficulties import Difficulty
from schemas.exports import ExportSettings, RowOrder, TaskSelection, Trainer
from schemas.record import Record
from schemas.renderings import RenderingName, SegmentKind
from schemas.streams import TokenStream
from tests.pipeline.difficulty.test_difficulties import make_difficulty
from tests.pipeline.rollouts.test_policy import attempt, own_text, pick
from tests.support.export_samples import write_run
from tests.support.tiny_policies import END, RIGHT, in_turn, make_tokenizer, read
from tests.support.trajectory_samples import make_task

ODD = ("<think> When? </think>\n<search> school  founded </search>", RIGHT[1])
"""In form, and not as a rendering writes it: tokenised anew it would be something else."""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Four solved tasks of as many pages, some measured."""
    rows: list[Record] = []
    for number, counts in enumerate(({"solved": 1}, {"solved": 4}, {"solved": 3, "closed": 2, "known": 2}, {})):
        task = make_task(f"School {number} was founded in 1868.", ["1868"], f"t{number}", document_id=f"d{number}")
        outcome = attempt(in_turn(*RIGHT), task)
        trajectory, stream = pick(outcome)
        judgement = JudgeStage(JudgingConfig()).judge(JudgedAttempt(trajectory, task, frozenset()))
        assert judgement.accepted
        rows += [task, trajectory, stream, judgement]
        if counts:
            rows.append(make_difficulty(task.task_id, **({"searched": 4} | counts)))
    return write_run(tmp_path / "run", [rows], TokenStream, Difficulty)


def export(
    run: RunFolder, purpose: str = "sft", masker: TokenMasker | None = None, **more: Any
) -> list[dict[str, Any]]:
    settings = ExportSettings(
        trainer=Trainer.TRL, rendering=RenderingName.SEARCH_R1, tokenizer="tiny" if masker else None, split=0.0, **more
    )
    out = run.root / "export"
    export_dataset(run, out, settings, EXPORTERS[Trainer.TRL], masker)
    (file,) = (out / purpose).glob("*.parquet")
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def test_demonstrations_are_the_very_tokens(run: RunFolder) -> None:
    streams = {row["trajectory_id"]: row for row in pq.read_table(run.dataset("streams")).to_pylist()}
    rows = export(run, masker=TokenMasker(make_tokenizer()))
    assert len(rows) == 4
    for row in rows:
        stream = TokenStream.model_validate(streams[row["id"]])
        assert row["input_ids"] == [*stream.prompt_ids, *stream.ids]
        learned = [label for label in row["labels"] if label != IGNORED]
        assert read(learned) == own_text(stream) == "".join(RIGHT) + END
        assert sum(label != IGNORED for label in row["labels"]) == sum(stream.mask)


def test_a_stream_in_form_is_kept_though_a_rendering_would_write_it_otherwise(tmp_path: Path) -> None:
    task = make_task("The school was founded in 1868.", ["1868"])
    trajectory, stream = pick(attempt(in_turn(*ODD), task))
    judgement = JudgeStage(JudgingConfig()).judge(JudgedAttempt(trajectory, task, frozenset()))
    assert judgement.accepted
    made = write_run(tmp_path, [[task, trajectory, stream, judgement]], TokenStream)
    (row,) = export(made, masker=TokenMasker(make_tokenizer()))
    assert row["input_ids"] == [*stream.prompt_ids, *stream.ids]
    assert SEARCH_R1.render(ask(task), transcribe(trajectory)).messages[-1].content != stream.text


def test_for_another_tokenizer_or_format_the_text_is_tokenised(run: RunFolder) -> None:
    other = make_tokenizer().__class__.from_pretrained(_save(run))
    other.chat_template = other.chat_template.replace("<|im_start|>", "<|turn|>")
    for row in export(run, masker=TokenMasker(other)):
        assert "<|turn|>assistant" in read(row["input_ids"])
    form = ExportSettings(trainer=Trainer.TRL, rendering=RenderingName.RESEARCH, tokenizer="tiny", split=0.0)
    export_dataset(run, run.root / "research", form, EXPORTERS[Trainer.TRL], TokenMasker(make_tokenizer()))
    for row in pq.read_table(run.root / "research" / "sft").to_pylist():
        assert "<result>" in read(row["input_ids"])


def _save(run: RunFolder) -> str:
    make_tokenizer().save_pretrained(run.root / "tokenizer")
    return str(run.root / "tokenizer")


def test_observations_carry_loss_only_on_purpose(run: RunFolder) -> None:
    purpose = frozenset(SegmentKind) - {SegmentKind.PROMPT}
    row = export(run, masker=TokenMasker(make_tokenizer(), purpose), train_observations=True)[0]
    assert "<information>" in read([label for label in row["labels"] if label != IGNORED])


def test_prompts_are_chosen_by_measured_difficulty(run: RunFolder) -> None:
    order: dict[str, Any] = {"order": RowOrder.CURRICULUM, "tasks": TaskSelection.ALL}
    assert [row["task_id"] for row in export(run, "rl", **order)] == ["t1", "t2", "t0", "t3"]
    assert {row["task_id"] for row in export(run, "rl", learnable=True, **order)} == {"t0", "t2", "t3"}
    assert {row["task_id"] for row in export(run, "rl", learnable=True, max_closed_book=0.5)} == {"t0", "t3"}
    assert {row["task_id"] for row in export(run, max_closed_book=0.5)} == {"t0", "t1", "t3"}
    rejects = pq.read_table(run.root / "export" / "rejects.parquet").to_pylist()
    assert {row["reason"] for row in rejects} == {"memorised"}
