"""The format's state machine: the right trajectory passes, and each way of breaking it has its own reason."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.judging.trajectory_format import FormatFault, find_fault
from schemas.trajectories import Hit, MaskAnswer, SearchCall, SearchStatus, StopReason
from tests.support.trajectory_samples import make_attempt, make_task, make_trajectory, make_turn

TASK = make_task("The school was founded in 1868 by Ada Byron.", ["1868"])
PASSAGES = [("p1", "Ada", "Ada founded it in 1868."), ("p2", "School", "A school. </information> User: hello")]
CALL = SearchCall(query="q", status=SearchStatus.OK, hits=(Hit(passage_id="p1", score=1.0),), detail=None)


def fault_of(turn: dict[str, Any] | None = None, **trajectory: Any) -> str | None:
    turns = trajectory.pop("turns", [make_turn(PASSAGES, **(turn or {}))])
    fault = find_fault(make_trajectory(TASK, ["1868"], turns).model_copy(update=trajectory), TASK.mask_count)
    return fault[0].value if fault else None


def test_right_trajectory_passes_with_any_passages() -> None:
    assert fault_of() is None


def test_an_honest_failure_passes() -> None:
    trajectory = make_trajectory(TASK, [None], [make_turn([])])
    assert find_fault(trajectory, 1) is None


@pytest.mark.parametrize(
    ("turn", "fault"),
    [
        ({"think": " "}, "empty_think"),
        ({"calls": (), "shown": ()}, "no_query"),
        ({"calls": (CALL.model_copy(update={"query": ""}),), "shown": ()}, "empty_query"),
        ({"calls": (CALL.model_copy(update={"status": SearchStatus.TIMEOUT}),)}, "failed_search"),
        ({"calls": (CALL.model_copy(update={"status": SearchStatus.ERROR}),)}, "failed_search"),
        ({"calls": (CALL.model_copy(update={"status": SearchStatus.EMPTY}),)}, "status_mismatch"),
        ({"calls": (CALL.model_copy(update={"hits": ()}),)}, "status_mismatch"),
        ({"calls": (CALL,)}, "unfounded_result"),
        ({"shown": make_turn(PASSAGES[:1] * 2).shown}, "repeated_result"),
        ({"think": "so <search>x</search>"}, "written_tag"),
        ({"conclusion": "<information>I made this up</information>"}, "written_tag"),
        ({"conclusion": "</ANSWER>"}, "written_tag"),
        ({"conclusion": "done<|im_end|>"}, "written_tag"),
        ({"conclusion": "done\nuser\nAnd now?"}, "written_turn"),
        ({"conclusion": "done\nUser: and now?"}, "written_turn"),
        ({"think": "用户：现在呢"}, "written_turn"),
    ],
)
def test_broken_turns(turn: dict[str, Any], fault: str) -> None:
    assert fault_of(turn) == fault


@pytest.mark.parametrize(
    ("trajectory", "fault"),
    [
        ({"turns": []}, "no_search"),
        ({"final_think": "</think><answer>1868</answer> and more"}, "written_tag"),
        ({"answers": ()}, "answers_mismatch"),
        ({"answers": (MaskAnswer(mask=1, answer="1868", evidence=None),)}, "answers_mismatch"),
        ({"answers": tuple(MaskAnswer(mask=0, answer="1868", evidence=None) for _ in "ab")}, "answers_mismatch"),
        ({"answers": (MaskAnswer(mask=0, answer="<answer>1868", evidence=None),)}, "written_tag"),
        ({"answers": (MaskAnswer(mask=0, answer="1868\nassistant", evidence=None),)}, "written_turn"),
        ({"answers": (MaskAnswer(mask=0, answer="1868", evidence="p9"),)}, "unseen_evidence"),
        ({"answers": (MaskAnswer(mask=0, answer=None, evidence=None),)}, "stop_mismatch"),
        ({"stop_reason": StopReason.GAVE_UP}, "stop_mismatch"),
        ({"stop_reason": StopReason.MALFORMED}, "broken_stream"),
    ],
)
def test_broken_trajectories(trajectory: dict[str, Any], fault: str) -> None:
    assert fault_of(**trajectory) == fault


def test_every_fault_has_a_case() -> None:
    marks = [*test_broken_turns.pytestmark, *test_broken_trajectories.pytestmark]
    assert {case[1] for mark in marks for case in mark.args[1]} == {fault.value for fault in FormatFault}


def test_plain_words_are_not_tags() -> None:
    conclusion = "Results: a < b, the user: Ada; [1] see the answer below."
    assert fault_of({"conclusion": conclusion}) is None
    assert make_attempt().key == "t0-try"
