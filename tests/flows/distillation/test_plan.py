"""What a distillation refuses before anything is done: faults that would else be found after hours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.distillation.plan import find_lacks
from schemas.config import RunConfig
from schemas.distill_config import ReinforcementConfig
from schemas.rewards import RewardName


def list_lacks(**distill: Any) -> list[str]:
    config = RunConfig.model_validate({"distill": {"rounds": 0, "student": {"enabled": False}, **distill}})
    return [f"{error.what}: {error.fix}" for error in find_lacks(config)]


def test_questions_without_answers_are_refused(tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    held = {"questions": str(asked), "baseline": False}
    (missing,) = list_lacks(validation=held)
    assert "asked.jsonl" in missing
    asked.write_text('{"question": "q?"}\n{"question": "r?", "answers": []}\n')
    (without,) = list_lacks(validation=held)
    assert "asked.jsonl" in without
    asked.write_text(json.dumps({"question": "q?", "answers": ["a"]}))
    assert list_lacks(validation=held) == []


@pytest.mark.parametrize(
    ("distill", "wanted"),
    [
        ({"validation": {"baseline": False}}, False),
        ({"validation": {"tasks": 0}}, False),
        ({"validation": {"tasks": 4}}, True),
        ({"rounds": 1, "validation": {"tasks": 0}}, True),
    ],
)
def test_a_role_is_required_where_a_model_is_served(distill: dict[str, Any], wanted: bool) -> None:
    assert any("policy" in line for line in list_lacks(**distill)) == wanted


@pytest.mark.parametrize(
    ("values", "said"),
    [({"batch": 6, "group": 4}, "a multiple of the group"), ({"reward": RewardName.JUDGE}, "the reward `judge`")],
)
def test_reinforcement_that_no_trainer_takes_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ReinforcementConfig.model_validate(values)
    assert ReinforcementConfig(batch=6, accumulate=2, group=4).steps == 0
