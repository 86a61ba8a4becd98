"""Responses of Search-R1: a prompt before one is left out, and nothing else is."""

from __future__ import annotations

import pytest

from pipeline.importing.errors import RowError
from schemas.imports import ImportFormat
from tests.support.import_samples import SEARCH_R1, WHO, make_records

RULES = (
    "Answer the given question. Reason inside <think> and </think>, search by <search> query </search>: the results "
    "are between <information> and </information>. Give the answer as <answer> Beijing </answer>. "
)
ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"
MARKS = ("\nAssistant: ", "<|im_start|>assistant\n", ASSISTANT, f"Q: {WHO}\nAssistant: hello")
PROMPTS = (
    "",
    f"{RULES}Question: {WHO}\n\nAssistant: ",
    f"A conversation.\nUser: {WHO} {RULES}\nAssistant: ",
    f"<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\n{RULES}Question: {WHO}\n{ASSISTANT}",
    f"<|endoftext|><|im_start|>user\n{RULES} <search>a</search><information>b</information>{WHO} Show.{ASSISTANT}",
    f"{RULES}Question: {WHO}?{ASSISTANT}",
    "<|im_start|>assistant\n",
    # As decoding without special tokens leaves them, and prompts without a role.
    f"system\nHelp.\nuser\n{RULES}Question: {WHO}\n\nassistant\n",
    f"system\n\nCutting Knowledge Date: December 2023\n\nuser\n\n{RULES}Question: {WHO}assistant\n\n",
    f"user\n{WHO} {RULES}\nmodel\n",
    f"[INST] {RULES}Question: {WHO} [/INST]",
    f"{RULES}Question: {WHO}\n",
)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("thought", ["<think>{}</think>", "<think>{}", "<think></think>{}"])
def test_a_prompt_is_no_part_of_its_response_and_nothing_else_is_left_out(prompt: str, mark: str, thought: str) -> None:
    first = thought.format(f"{WHO}{mark} one")
    text = (
        f"{first}<search>a {mark} b</search>\n\n<information>one {mark} two</information><think>so {mark}</think>"
        f"<search>c</search><information>three</information><think>{mark}</think><answer>Ada Example</answer>"
    )
    _, trajectory = make_records({**SEARCH_R1, "response": prompt + text}, ImportFormat.SEARCH_R1)
    assert trajectory is not None
    kept = f"{WHO}{mark} one".strip()
    assert [turn.think for turn in trajectory.turns] == [kept, f"so {mark}".strip()]
    assert [call.query for turn in trajectory.turns for call in turn.calls] == [f"a {mark} b", "c"]
    assert trajectory.answers[0].answer == "Ada Example"


@pytest.mark.parametrize("opening", ["", "Sure. "])
@pytest.mark.parametrize("mark", MARKS)
def test_a_response_without_a_thought_keeps_its_first_search(opening: str, mark: str) -> None:
    text = f"{opening}<search>{WHO}</search>\n<information>{WHO}{mark}</information><answer>Ada Example</answer>"
    _, trajectory = make_records({**SEARCH_R1, "response": text}, ImportFormat.SEARCH_R1)
    assert trajectory is not None
    assert [call.query for turn in trajectory.turns for call in turn.calls] == [WHO]


@pytest.mark.parametrize("prompt", [f"{WHO} {RULES}\n", f"{RULES}Question: something else\n", RULES])
def test_instructions_whose_end_cannot_be_told_are_no_searches(prompt: str) -> None:
    with pytest.raises(RowError) as raised:
        make_records({**SEARCH_R1, "response": f"{prompt}{SEARCH_R1['response']}"}, ImportFormat.SEARCH_R1)
    assert raised.value.reason == "unclear_prompt"
