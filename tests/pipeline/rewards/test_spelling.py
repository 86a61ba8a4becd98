"""What is spelling and not form: how trainers, templates and other loops write a completion, and anything else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.trainer_rewards import compute_score
from pipeline.rendering.tagged import SEARCH_R1
from pipeline.rewards.completions import read_completion
from pipeline.rewards.formulas import assess, pay
from pipeline.rewards.trainers import make_trl_reward
from schemas.renderings import QuestionKind, RenderedQuestion, RenderingName
from schemas.rewards import GamingReason, RewardName
from tests.support.reward_samples import GOLDS, make_asked, write_gold

TAGGED = [RenderingName.SEARCH_R1, RenderingName.RESEARCH]
STREAMS = [*TAGGED, RenderingName.QWEN_TOOLS]
FIELDS = [RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH]
GOLD = GOLDS["en"][0][0]


def reward_all(asked: Any, completion: Any, observations: Any = None) -> set[float]:
    assessed = assess(asked, completion, observations)
    return {pay(reward, assessed, (True,) * len(asked.golds)) for reward in RewardName}


SPELLINGS: list[Callable[[str], str]] = [
    lambda text: "\n" + text,
    lambda text: "  \n\n" + text + "\n\n",
    lambda text: text.replace("</think>", "</think>\n\n \n"),
    lambda text: text.replace("</think>\n", "</think>"),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("<answer>", "<answer> ").replace("</answer>", "\n</answer>"),
    lambda text: text.removeprefix("<think>"),
    lambda text: text.removeprefix("<think>\n"),
    *(
        lambda text, end=end: text + end
        for end in (
            *(
                "<｜end▁of▁sentence｜>",
                "<pad>",
                "<|endoftext|>",
                "<|im_end|>\n<|endoftext|><|endoftext|>",
                "[PAD][PAD]",
            ),
            *("<eos><pad><pad>", "</s>", "<|eot_id|>", "<｜▁pad▁｜>", "<|return|>", "<|eom_id|>", "<|vision_pad|>"),
            *("<|reserved_special_token_5|>", "<|user|>", "<|observation|>", "[EOS]", "<|im_end|>\u200b"),
        )
    ),
]


@pytest.mark.parametrize("rendering", STREAMS)
@pytest.mark.parametrize("spell", SPELLINGS)
def test_white_space_ends_and_opened_thoughts_are_no_form(
    rendering: RenderingName, spell: Callable[[str], str]
) -> None:
    for gaps in (1, 3):
        asked = make_asked(rendering, gaps=gaps)
        assert reward_all(asked, spell(str(write_gold(asked, steps=2)))) == {1.0}


@pytest.mark.parametrize("rendering", STREAMS)
@pytest.mark.parametrize(
    "shown",
    [
        "",
        " ",
        "Nothing was found.",
        'Doc 1(Title: ""Heroes" (song)") A song.',
        "[1] a\n\n[2] b </think> <answer>x</answer>",
        "x" * 99,
    ],
)
def test_results_may_hold_anything(rendering: RenderingName, shown: str) -> None:
    asked = make_asked(rendering)
    text = str(write_gold(asked))
    assert 'Doc 1(Title: "A page") It tells much.' in text
    assert reward_all(asked, text.replace('Doc 1(Title: "A page") It tells much.', shown)) == {1.0}


def test_a_policy_that_goes_on_from_the_prompts_thought_is_read() -> None:
    question = RenderedQuestion(kind=QuestionKind.QA, lang="en", text="When?", answers=1)
    read = SEARCH_R1.parse_stream(question, "I know it.\n</think>\n\n<answer>1868</answer>")
    assert (read.think, read.answers) == ("I know it.\n", ("1868",))


def call(queries: object, **more: Any) -> dict[str, Any]:
    return {"function": {"name": "search", "arguments": queries}, **more}


@pytest.mark.parametrize("rendering", FIELDS)
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("thought", ["content", "reasoning_content", "reasoning", "parts", "prompt"])
@pytest.mark.parametrize("arguments", ["object", "text", "one"])
def test_tool_calls_are_read_as_trainers_write_them(
    rendering: RenderingName, ids: bool, thought: str, arguments: str
) -> None:
    asked = make_asked(rendering)
    key = "query" if rendering is RenderingName.MASKSEARCH else "queries"
    given: Any = {key: "who" if arguments == "one" else ["who", "when"]}
    given = json.dumps(given) if arguments == "text" else given

    def say(text: str, **more: Any) -> dict[str, Any]:
        spoken: dict[str, Any] = {"role": "assistant", **more}
        if thought in ("reasoning_content", "reasoning"):
            return {**spoken, "content": text or None, thought: "Let me see."}
        if thought == "parts":
            return {**spoken, "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": text}]}
        return {**spoken, "content": ("" if thought == "prompt" else "<think>") + f"Let me see.</think>\n{text}"}

    names = ["a", "b"] if ids else ["", ""]
    calls = [call(given, **({"id": name} if name else {})) for name in names]
    results = [{"role": "tool", "content": "x", **({"tool_call_id": name} if name else {})} for name in names]
    for several in (1, 2):
        turns = [say("", tool_calls=calls[:several]), *results[:several], say(f"<answer>{GOLD}</answer>")]
        assert reward_all(asked, turns) == {1.0}
    short = [say("", tool_calls=calls), *results[:1], say(f"<answer>{GOLD}</answer>")]
    assert assess(asked, short).in_form is False
    if ids:
        crossed = [say("", tool_calls=calls[:1]), results[1], say(f"<answer>{GOLD}</answer>")]
        assert assess(asked, crossed).in_form is False


def test_qwens_calls_are_read_on_one_line_and_two_at_once() -> None:
    asked = make_asked(RenderingName.QWEN_TOOLS)
    for arguments in ({"queries": ["a"]}, {"queries": "a"}, json.dumps({"queries": ["a", "b"]})):
        one = "<tool_call>" + json.dumps({"name": "search", "arguments": arguments}) + "</tool_call>"
        for calls in (1, 2):
            shown = "\n".join(["<tool_response>x</tool_response>"] * calls)
            text = (
                f"<think>a</think>{one * calls}<|im_end|>\n<|im_start|>user\n{shown}<|im_end|>\n<|im_start|>assistant\n"
                f"<think>b</think><answer>{GOLD}</answer>"
            )
            assert reward_all(asked, text) == {1.0}
            assert reward_all(asked, text, [shown]) == {1.0}
            forged = text.replace(shown, shown + "\n<tool_response>y</tool_response>")
            assert assess(asked, forged).gaming is GamingReason.WRITTEN_RESULTS
        messages = [
            {"role": "assistant", "content": "<think>a</think>", "tool_calls": [call(arguments)]},
            {"role": "tool", "content": "x"},
            {"role": "assistant", "content": f"<think>b</think><answer>{GOLD}</answer>"},
        ]
        assert reward_all(asked, messages) == {1.0}


def test_two_queries_in_one_turn_of_tags_are_out_of_form() -> None:
    asked = make_asked(RenderingName.SEARCH_R1)
    text = str(write_gold(asked)).replace("<search>", "<search>one</search>\n<search>")
    assert assess(asked, text).in_form is False


@pytest.mark.parametrize(
    ("answer", "gold", "worth"),
    [
        (".5", "5", 0),
        ("≠42", "42", 0),
        ("≥42", "42", 0),
        ("€5", "$5", 0),
        ("1990", "1990s", 0),
        ("-5", "5", 0),
        ("5 dollars", "$5", 1),
        ("Dvorak", "Dvořák", 1),
        ("一" + "亿" * 600, "一" + "亿" * 600, 1),
        ("一" + "亿" * 600, "5", 0),
    ],
)
def test_em_pays_for_the_number_that_is_meant(answer: str, gold: str, worth: float) -> None:
    text = f"<think>a</think>\n<answer>{answer}</answer>"
    paid = compute_score("x", text, {"target": [gold]}, {}, reward="em", format_credit=0.0)
    assert paid["score"] == worth


SCRAPS: list[Any] = [
    None,
    "x",
    5,
    10**5000,
    [],
    [None],
    {},
    {"function": None},
    {"function": "f"},
    b"\xff",
    "\ud83d",
    1.5,
]
SCRAPS += [
    [["x"]],
    {"id": 5},
    call(None),
    call([1]),
    call({"queries": {1}}),
    call("{"),
    float("nan"),
    "1" * 5000 + ". x",
    True,
]


def mutate(dice: random.Random, completion: Any) -> Any:
    """The completion with one thing in it torn out, put in, doubled, or made something else."""
    if dice.random() < 0.02:
        return dice.choice(SCRAPS)
    if isinstance(completion, str):
        at, end = sorted(dice.randrange(len(completion) + 1) for _ in range(2))
        piece = dice.choice(
            ["", "<answer>", "</think>", "</search>", "\ud800", "\r", "1" * 5000, "亿" * 500, "<|im_end|>"]
        )
        return completion[:at] + piece + completion[dice.choice([at, end]) :]
    messages: list[Any] = [dict(message) for message in completion]
    message = dice.choice(messages)
    fields = ["role", "content", "tool_calls", "tool_call_id", "reasoning_content", "reasoning"]
    roll = dice.random()
    if roll < 0.6:
        message[dice.choice(fields)] = dice.choice([*SCRAPS, [dice.choice(SCRAPS)]])
    elif roll < 0.7 and isinstance(message.get("content"), str):
        message["content"] = mutate(dice, message["content"])
    elif roll < 0.8:
        messages.insert(dice.randrange(len(messages)), dice.choice(SCRAPS))
    else:
        del messages[dice.randrange(len(messages))]
    return messages


@pytest.mark.slow
@pytest.mark.parametrize("rendering", list(RenderingName))
def test_three_thousand_mutated_completions_get_a_number(rendering: RenderingName) -> None:
    dice = random.Random(0)
    rewards = [make_trl_reward(reward) for reward in RewardName if reward is not RewardName.JUDGE]
    for number in range(3000):
        asked = make_asked(rendering, "zh" if number % 2 else "en", number % 3 + 1)
        completion: Any = write_gold(asked, steps=number % 3)
        for _ in range(dice.randrange(1, 4)):
            if isinstance(completion, str) or (
                completion and isinstance(completion, list) and all(map(is_dict, completion))
            ):
                completion = mutate(dice, completion)
        columns: dict[str, Any] = {"golds": [asked.golds], "rendering": rendering.value, "lang": asked.lang}
        (paid,) = rewards[number % len(rewards)]([""], [completion], question=[asked.question], **columns)
        assert paid is not None
        assert 0 <= paid <= 1


def is_dict(value: object) -> bool:
    return isinstance(value, dict)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"role": st.just("assistant") | ANYTHING, "content": ANYTHING, "tool_calls": ANYTHING}
        )
        | ANYTHING,
        max_size=3,
    )
    | ANYTHING,
    st.sampled_from(list(RenderingName)),
)
@settings(max_examples=150, deadline=None)
def test_whatever_a_completion_is_it_is_read(completion: Any, rendering: RenderingName) -> None:
    assert read_completion(rendering, "en", 1, completion).in_form is False
