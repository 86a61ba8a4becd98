"""Measured difficulty: what is counted, what is known by heart, and which tasks it keeps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.difficulty.learnable import Learnable, index_difficulties
from pipeline.difficulty.stage import DifficultyStage, TriedTask
from pipeline.exporting.selection import rank_difficulty
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.llm.chat_model import ChatRequest, RefusedRequestError
from pipeline.training.rl_rows import list_run_prompts
from schemas.config import JudgingConfig
from schemas.difficulties import Difficulty
from schemas.judgements import Judgement, Verdict
from schemas.policies import PolicyConfig
from schemas.renderings import RenderingName
from tests.support.scripted_model import ScriptedModel
from tests.support.trajectory_samples import make_attempt, make_task

TASK = make_task(
    "The school was founded in 1868 by Ada Byron.", ["1868", "Ada Byron"], aliases={"Ada Byron": ["A. Byron"]}
)
COUNTS = st.integers(0, 8)


def measure(replies: list[str | Exception], judgements: tuple[Judgement, ...] = ()) -> tuple[Difficulty, ScriptedModel]:
    """The difficulty of the task when closed-book attempts are answered so."""

    def say(request: ChatRequest) -> Any:
        return replies[request.attempt]

    model = ScriptedModel(say)
    stage = DifficultyStage(PolicyConfig(closed_book=len(replies)), JudgingConfig(), model)
    (row,) = asyncio.run(stage.work(TriedTask(TASK, judgements))).rows
    assert isinstance(row, Difficulty)
    return row, model


def make_difficulty(name: str = "t0", **counts: int) -> Difficulty:
    return Difficulty(task_id=name, **({"searched": 0, "solved": 0, "closed": 0, "known": 0} | counts))


def test_closed_book_answers_are_counted() -> None:
    row, model = measure(
        [
            "<think>I know.</think>\n<answer>1. 1868\n2. A. Byron</answer>",
            "<answer>1. 1868\n2. Charles</answer>",
            "garbage",
            "<answer>1. 1868\n2. Ada Byron\n3. Ada Byron</answer>",
            "<answer>1. 1868 or 1869\n2. Ada Byron</answer>",
            RefusedRequestError("content_filter", "no"),
        ]
    )
    assert (row.closed, row.known, row.searched) == (5, 1, 0)
    assert row.known_rate == 0.2
    assert row.pass_rate is None
    prompts = {request.messages[0].text for request in model.asked}
    assert len(prompts) == 1, "attempts differ by their number alone"
    assert not any(span.text in text for text in prompts for span in TASK.spans)


def test_attempts_with_searching_count_by_their_verdict() -> None:
    attempt = make_attempt()
    right = JudgeStage(JudgingConfig()).judge(attempt)
    wrong = JudgeStage(JudgingConfig()).judge(
        JudgedAttempt(make_attempt(answers=("1901",)).trajectory, attempt.task, frozenset())
    )
    unread = right.model_copy(update={"verdict": Verdict.UNJUDGEABLE, "accepted": False})
    row, _ = measure([], (right, wrong, wrong, unread))
    assert (row.searched, row.solved, row.closed) == (3, 1, 0)
    assert row.pass_rate == pytest.approx(1 / 3)


@given(solved=COUNTS, failed=COUNTS, known=COUNTS, unknown=COUNTS)
def test_only_tasks_solved_sometimes_are_learned(solved: int, failed: int, known: int, unknown: int) -> None:
    row = make_difficulty(searched=solved + failed, solved=solved, closed=known + unknown, known=known)
    fault = Learnable(memorised=0.5, sometimes=True).find_fault(row)
    if known + unknown and known / (known + unknown) > 0.5:
        assert fault == "memorised"
    elif (solved and failed) or not solved + failed:
        assert fault is None
    else:
        assert fault == ("impossible" if failed else "always_solved")
    assert Learnable().find_fault(row) is None
    twice = index_difficulties([row, row])["t0"]
    assert (twice.searched, twice.known) == (2 * row.searched, 2 * row.known)


def test_curriculum_follows_measured_difficulty() -> None:
    often, seldom = make_difficulty(searched=4, solved=3), make_difficulty(searched=4, solved=1)
    order = [
        rank_difficulty(1, 9.0, often),
        rank_difficulty(1, 1.0, seldom),
        rank_difficulty(1, 1.0, None),
        rank_difficulty(1, None, None),
        rank_difficulty(2, 1.0, often),
    ]
    assert order == sorted(order)


def test_prompts_of_hopeless_tasks_say_why_they_are_left_out() -> None:
    tasks = [make_task("Founded in 1868.", ["1868"], name=name) for name in ("never", "sometimes", "always", "unknown")]
    measured = index_difficulties(
        [
            make_difficulty("never", searched=2),
            make_difficulty("sometimes", searched=2, solved=1),
            make_difficulty("always", searched=2, solved=2),
        ]
    )
    rows = list_run_prompts(tasks, RenderingName.SEARCH_R1, True, measured, Learnable(sometimes=True))
    told = {row["task_id"]: row["left_out"] for row in rows}
    assert told == {"never": "impossible", "sometimes": None, "always": "always_solved", "unknown": None}
