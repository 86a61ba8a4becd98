"""Completions and inserted results are read in linear time."""

from __future__ import annotations

import pytest

from pipeline.rewards.formulas import assess
from schemas.renderings import RenderingName
from tests.pipeline.rewards.test_spelling import STREAMS
from tests.support.growth import LINEAR, cpu_growth
from tests.support.reward_samples import make_asked

UNITS = [
    "<think>a</think><search>q</search><information></information>",
    *("<|im_end|>", "<pad>", "[PAD]", "</think>", "<", "</search>", "<answer>", "<|end", "<tool_call>", "</tool_call>"),
    *("<parameter=a>", "<tool_response>", "<think>a</think><tool_call>"),
]


@pytest.mark.slow
@pytest.mark.parametrize("rendering", STREAMS)
@pytest.mark.parametrize("unit", UNITS)
def test_reading_is_linear_in_the_completion(rendering: RenderingName, unit: str) -> None:
    asked = make_asked(rendering, question="")
    assert cpu_growth(lambda size: unit * size, lambda text: assess(asked, text)) <= LINEAR


@pytest.mark.slow
def test_inserted_results_are_compared_in_linear_time() -> None:
    asked = make_asked(RenderingName.SEARCH_R1, question="")

    def assess_shown(shown: str) -> None:
        assess(asked, "<think>a</think><answer>b</answer>", [shown])

    assert cpu_growth(lambda size: f"x{' ' * size}x", assess_shown) <= LINEAR
