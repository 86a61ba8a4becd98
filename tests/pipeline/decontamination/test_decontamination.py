"""What overlaps a question of a benchmark is found and named; what does not is let pass, in flat memory."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.exporting.dataset import export_dataset
from flows.exporting.decontamination import open_screen
from pipeline.decontamination.overlap import (
    ANSWER_AND_TITLE,
    ENTITY_PAIR,
    NGRAM,
    STAGE,
    QuestionIndex,
    drop_overlapping,
)
from pipeline.decontamination.question_names import find_names
from pipeline.errors import ConfigError
from pipeline.evaluation.benchmarks import read_benchmark
from pipeline.exporting.registry import EXPORTERS
from pipeline.storage.run_folder import RunFolder
from schemas.evaluations import DecontaminationConfig, EvalQuestion
from schemas.exports import ExportSettings, Trainer
from schemas.funnel import Reject
from schemas.renderings import RenderingName
from schemas.tasks import MaskTask
from tests.support.export_samples import PAGES, make_run
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

CLOCK = EvalQuestion(
    question_id="clock",
    dataset="d",
    lang="en",
    question="Where was the maker of the Aurel Clock that stands on the market square of Tarn born?",
    golds=(("Oste Bridge", "Ostebrück"),),
    titles=("Aurel Clock", "Ida Brandt (clockmaker)"),
)
BORN = "Ida Brandt was a clockmaker. She was born at Oste Bridge in 1871."


@pytest.mark.parametrize(
    ("title", "text", "gold", "reason"),
    [
        ("Ida Brandt", BORN, "Oste Bridge", ANSWER_AND_TITLE),
        ("Ida Brandt (artist)", BORN.replace("Oste Bridge", "Ostebrück"), "Ostebrück", ANSWER_AND_TITLE),
        ("List of makers", BORN, "Oste Bridge", ENTITY_PAIR),
        ("Aurel Clock", "It was made by Ida Brandt in 1899.", "Ida Brandt", ENTITY_PAIR),
        ("Tarn", "See the Aurel Clock that stands on the market square of Tarn, from 1899.", "1899", NGRAM),
        ("Oste", "The river flows under Oste Bridge to the sea.", "Oste Bridge", None),
        ("Ida Brandt", BORN, "1871", None),
        ("Tarn", "The market square of Tarn is paved with stone.", "stone", None),
    ],
)
def test_signs_of_overlap(title: str, text: str, gold: str, reason: str | None) -> None:
    found = QuestionIndex([CLOCK]).check_task(make_task(text, [gold], title=title))
    assert (found and found.reason) == reason
    assert found is None or (found.question_id == "clock" and found.detail)


def test_links_and_aliases_hide_nothing() -> None:
    task = make_task(BORN.replace("Oste Bridge", "the bridge"), ["the bridge"], title="Ida Brandt")
    assert QuestionIndex([CLOCK]).check_task(task) is None
    span = task.spans[0].model_copy(update={"target": "Oste Bridge"})
    found = QuestionIndex([CLOCK]).check_task(task.model_copy(update={"spans": (span,)}))
    assert found is not None
    assert found.reason == ANSWER_AND_TITLE


def test_chinese_questions() -> None:
    question = EvalQuestion(
        question_id="zh",
        dataset="d",
        lang="zh",
        question="《红楼梦》的作者曹雪芹出生在哪一座城市里面？",
        golds=(("江宁",),),
        titles=("曹雪芹",),
    )
    index = QuestionIndex([question])
    on_page = make_task("曹雪芹生於江寧，後遷居北京。", ["江寧"], title="曹雪芹", lang="zh")
    beside = make_task("紅樓夢的作者生在江寧。", ["江寧"], title="小说", lang="zh")
    other = make_task("江寧是一座城。", ["江寧"], title="城", lang="zh")
    found = [index.check_task(task) for task in (on_page, beside, other)]
    assert [one and one.reason for one in found] == [ANSWER_AND_TITLE, ENTITY_PAIR, None]


def test_yes_and_no_are_the_answer_to_anything() -> None:
    question = CLOCK.model_copy(update={"golds": (("yes",),)})
    task = make_task("Ida Brandt said yes to the council.", ["yes"], title="Ida Brandt")
    assert QuestionIndex([question]).check_task(task) is None


def test_a_trajectory_that_repeats_the_question() -> None:
    task = make_task("A tower of Tarn.", ["tower"])
    trajectory = make_trajectory(task, ["tower"], [make_turn([])])
    index = QuestionIndex([CLOCK])
    assert index.check_trajectory(trajectory) is None
    said = f"I recall: {CLOCK.question}"
    found = index.check_trajectory(trajectory.model_copy(update={"final_think": said}))
    assert found is not None
    assert found.reason == NGRAM


def test_names_in_questions() -> None:
    assert find_names(CLOCK) == {"aurel clock", "tarn"}
    assert "who" not in find_names(CLOCK.model_copy(update={"question": "Who Was the mayor of Tarn?"}))
    assert "oste bridge" not in find_names(CLOCK.model_copy(update={"question": "Is it Oste Bridge or Tarn?"}))


WORDS = ("amber", "birch", "cedar", "dover", "ember", "fjord", "gable", "haven", "inlet", "jetty", "knoll", "ledge")
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=9, max_size=16).map(" ".join)


@given(question=SENTENCES, before=SENTENCES, after=SENTENCES)
def test_a_question_in_a_passage_is_always_found(question: str, before: str, after: str) -> None:
    asked = EvalQuestion(question_id="q", dataset="d", lang="en", question=question, golds=(("zebra",),))
    task = make_task(f"{before}. Zero {question}! Then {after}", ["Zero"], title="Nothing")
    assert QuestionIndex([asked]).check_task(task) is not None


@given(st.lists(SENTENCES, min_size=1, max_size=6), st.lists(SENTENCES, min_size=1, max_size=6))
def test_an_index_finds_what_its_parts_find(questions: list[str], texts: list[str]) -> None:
    asked = [
        EvalQuestion(question_id=str(n), dataset="d", lang="en", question=text, golds=((WORDS[n],),))
        for n, text in enumerate(questions)
    ]
    whole, parts = QuestionIndex(asked), [QuestionIndex([question]) for question in asked]
    for text in texts:
        task = make_task(text, [text.split()[0]], title="Nothing")
        assert (whole.check_task(task) is not None) == any(part.check_task(task) is not None for part in parts)
        assert (QuestionIndex(asked[::-1]).check_task(task) is None) == (whole.check_task(task) is None)


def test_tasks_are_streamed_and_passed_on_or_rejected() -> None:
    def make_tasks(count: int) -> Iterator[MaskTask]:
        for number in range(count):
            text = BORN if number % 10 == 0 else "The river flows under Oste Bridge."
            yield make_task(f"{text} Note {number}.", ["Oste Bridge"], f"t{number}")

    index = QuestionIndex([CLOCK.model_copy(update={"titles": ("Ida Brandt",), "question": "Where was she born?"})])
    tracemalloc.start()
    peaks = []
    for count in (200, 1600):
        tracemalloc.reset_peak()
        kinds = Counter(type(row) for row in drop_overlapping(make_tasks(count), index))
        assert kinds == {Reject: count // 10, MaskTask: count - count // 10}
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
    row = next(row for row in drop_overlapping(make_tasks(1), index))
    assert isinstance(row, Reject)
    assert (row.stage, row.unit, row.input_id) == (STAGE, "task", "t0")


@pytest.fixture
def judged(tmp_path: Path) -> RunFolder:
    """A judged run of some tasks."""
    return make_run(tmp_path / "run")


def export(run: RunFolder, out: Path, *files: Path) -> Counter[str]:
    settings = ExportSettings(trainer=Trainer.TRL, rendering=RenderingName.SEARCH_R1, split=0.3)
    screen = open_screen(DecontaminationConfig(benchmarks=tuple(map(str, files))), out)
    done = export_dataset(run, out, settings, EXPORTERS[Trainer.TRL], screen=screen)
    for step in done.funnel:
        assert step.entered == step.passed + sum(step.rejected.values())
    for before, after in itertools.pairwise(done.funnel[:2] if screen else ()):
        assert before.passed == after.entered
    rejects = pq.read_table(out / "rejects.parquet").to_pylist()
    return Counter(row["reason"] for row in rejects if row["stage"] == STAGE)


def test_export_leaves_out_and_reports_overlaps(judged: RunFolder, tmp_path: Path) -> None:
    assert export(judged, tmp_path / "plain") == {}
    assert "Checked against no benchmark" in (tmp_path / "plain" / "README.md").read_text()
    row = {
        "id": "x",
        "question": "Who taught at the school?",
        "answers": ["Ada Byron"],
        "supporting_titles": ["A page"],
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    found = export(judged, tmp_path / "clean", tmp_path / "mine.jsonl")
    assert found == {ANSWER_AND_TITLE: 2 * PAGES}, "both attempts at the task of each page that hides the answer"
    card = (tmp_path / "clean" / "README.md").read_text()
    assert "Checked against 1 questions of mine" in card
    with pytest.raises(ConfigError, match="no such file"):
        open_screen(DecontaminationConfig(benchmarks=("gone.jsonl",)), tmp_path)


@pytest.mark.shared
def test_real_answers_hidden_on_their_own_pages_are_found(shared_data: Path) -> None:
    questions = read_benchmark(shared_data / "qa_dev.jsonl.gz").questions
    index = QuestionIndex(questions)
    for question in questions:
        gold, title = question.golds[0][0], question.titles[0]
        if gold.lower() not in ("yes", "no", title.lower()):
            task = make_task(f"Something of note: {gold} and more.", [gold], title=title)
            assert index.check_task(task) is not None, question
