"""Tasks with hidden mentions: an import restores them from an export."""

from __future__ import annotations

import json

import orjson
import pytest

from pipeline.exporting.examples import make_example
from pipeline.exporting.formats.atif import write_trajectory
from pipeline.exporting.samples import make_samples
from pipeline.exporting.spec import RowPlace
from pipeline.importing.formats.atif import read_atif
from pipeline.importing.records import make_task
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.masking.task_stage import build_task
from pipeline.rendering.transcript import ask
from schemas.config import JudgingConfig
from schemas.exports import ExportSettings, Purpose, Split, Trainer
from schemas.renderings import RenderingName
from schemas.tasks import AnswerStyle
from tests.support.passage_samples import make_passage
from tests.support.trajectory_samples import make_span, make_turn
from tests.support.trajectory_samples import make_trajectory as make_sample_trajectory


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hidden_mentions_stay_hidden(lang: str) -> None:
    text = "Ada Byron met Rome. Ada Byron left Rome in 1843."
    passage = make_passage(0, text, 0, lang, "Ada Byron").model_copy(update={"section": ("Of Rome",)})
    spans = [make_span(gold, text.index(gold)) for gold in ("Ada Byron", "Rome", "1843")]
    task = build_task(passage, spans, AnswerStyle.SPANS, mentions=True)
    assert (task.title, len(task.mentions)) == ("[=mask 1]", 4)
    trajectory = make_sample_trajectory(task, [span.text for span in spans], [make_turn([("p", "T", "x")])])
    judgement = JudgeStage(JudgingConfig()).judge(JudgedAttempt(trajectory, task, frozenset()))
    accepted = judgement.model_copy(update={"accepted": True, "reject_reason": None})
    example = make_example(task, trajectory, accepted)
    chosen = ExportSettings(trainer=Trainer.ATIF, rendering=RenderingName.OPENAI_TOOLS)
    (sample,) = make_samples([example], chosen, Purpose.SFT)
    row = json.loads(orjson.dumps(write_trajectory(sample, RowPlace(Split.TRAIN, 0))))  # type: ignore[arg-type]
    again = make_task(read_atif(row))
    assert (again.title, again.section, again.masked_text) == (task.title, task.section, task.masked_text)
    assert [(span.start, span.text) for span in again.spans] == [(span.start, span.text) for span in task.spans]
    assert again.fill([span.text for span in spans]) == text
    assert ask(again) == ask(task)
