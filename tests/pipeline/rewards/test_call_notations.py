"""Calls that models write in the notation of their own chat template, and what only looks like one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.trainer_rewards import compute_score
from pipeline.rendering.transcript import fold_line
from pipeline.rewards.completions import read_completion
from pipeline.rewards.formulas import assess, pay
from schemas.renderings import RenderingName
from schemas.rewards import GamingReason, RewardName
from tests.support.growth import LINEAR, cpu_growth
from tests.support.reward_samples import GOLDS, make_asked

GOLD = GOLDS["en"][0][0]
ANSWER = f"<answer>{GOLD}</answer>"
Queries = Sequence[str]


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Writer:
    """How a family writes a turn; written from its template's description, apart from the parsers."""

    think: Callable[[str], str]
    call: Callable[[Queries], str]
    section: tuple[str, str]
    result: Callable[[str], str]
    between: tuple[str, str]
    final: Callable[[str], str] = str
    comma: str = ""

    def calls(self, *queries: Queries) -> str:
        return self.comma.join(map(self.call, queries)).join(self.section)

    def turn(self, *queries: Queries) -> str:
        return self.think("Which one?") + self.calls(*queries)

    def shown(self, *results: str) -> str:
        return "".join(map(self.result, results)).join(self.between)

    def end(self) -> str:
        return self.think("Enough.") + self.final(ANSWER)


def tagged(text: str) -> str:
    return f"<think>\n{text}\n</think>\n\n"


def dsml(name: str, results: tuple[str, str], result: str) -> Writer:
    return Writer(
        tagged,
        lambda q: (
            f'<｜DSML｜invoke name="search">\n<｜DSML｜parameter name="queries" string="false">{dump(list(q))}'
            "</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
        ),
        (f"<｜DSML｜{name}>\n", f"</｜DSML｜{name}><｜end▁of▁sentence｜>"),
        lambda text: f"<{result}>{text}</{result}>",
        results,
    )


WRITERS = {
    "harmony": Writer(
        lambda text: f"<|channel|>analysis<|message|>{text}<|end|>",
        lambda q: (
            "<|start|>assistant<|channel|>commentary to=functions.search <|constrain|>json<|message|>"
            + dump({"queries": list(q)})
            + "<|call|>"
        ),
        ("", ""),
        lambda text: f"<|start|>functions.search to=assistant<|channel|>commentary<|message|>{dump(text)}<|end|>",
        ("", "<|start|>assistant"),
        lambda text: f"<|start|>assistant<|channel|>final<|message|>{text}",
    ),
    "gemma": Writer(
        lambda text: f"<|channel>thought\n{text}\n<channel|>",
        lambda q: (
            "<|tool_call>call:search{queries:[" + ",".join(f'<|"|>{query}<|"|>' for query in q) + "]}<tool_call|>"
        ),
        ("", ""),
        lambda text: f'<|tool_response>response:search{{value:<|"|>{text}<|"|>}}<tool_response|>',
        ("", ""),
    ),
    "lfm": Writer(
        tagged,
        lambda q: f"search(queries={list(q)!r})",
        ("<|tool_call_start|>[", "]<|tool_call_end|><|im_end|>\n"),
        lambda text: f"<|im_start|>tool\n{text}<|im_end|>\n",
        ("", "<|im_start|>assistant\n"),
        comma=", ",
    ),
    "kimi": Writer(
        tagged,
        lambda q: (
            f"<|tool_call_begin|>functions.search:0<|tool_call_argument_begin|>{dump({'queries': list(q)})}"
            "<|tool_call_end|>"
        ),
        ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|><|im_end|>"),
        lambda text: f"<|im_system|>tool<|im_middle|>## Return of functions.search:0\n{text}<|im_end|>",
        ("", "<|im_assistant|>assistant<|im_middle|>"),
    ),
    "kimi k3": Writer(
        lambda text: f"<|open|>think<|sep|>{text}<|close|>think<|sep|>",
        lambda q: (
            '<|open|>call tool="search" index="1"<|sep|><|open|>argument key="queries" type="array"<|sep|>'
            + dump(list(q))
            + "<|close|>argument<|sep|><|close|>call<|sep|>"
        ),
        (
            "<|open|>response<|sep|><|close|>response<|sep|><|open|>tools<|sep|>",
            "<|close|>tools<|sep|><|close|>message<|sep|><|end_of_msg|>",
        ),
        lambda text: (
            f'<|open|>message role="tool" tool="search" index="1"<|sep|>{text}<|close|>message<|sep|><|end_of_msg|>'
        ),
        ("", '<|open|>message role="assistant"<|sep|>'),
        lambda text: f"<|open|>response<|sep|>{text}<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>",
    ),
    "deepseek v3.2": dsml("function_calls", ("\n\n<function_results>\n", "\n</function_results>\n\n"), "result"),
    "deepseek v4": dsml("tool_calls", ("<｜User｜>", "<｜Assistant｜>"), "tool_result"),
    "minimax m2": Writer(
        tagged,
        lambda q: f'<invoke name="search">\n<parameter name="queries">{dump(list(q))}</parameter>\n</invoke>\n',
        ("<minimax:tool_call>\n", "</minimax:tool_call>[e~[\n"),
        lambda text: f"<response>{text}</response>",
        ("]~b]tool\n", "[e~[\n]~b]ai\n"),
    ),
    "minimax m3": Writer(
        lambda text: f"<mm:think>{text}</mm:think>",
        lambda q: (
            ']<]minimax[>[<invoke name="search">]<]minimax[>[<queries>'
            + "".join(f"]<]minimax[>[<item>{query}]<]minimax[>[</item>" for query in q)
            + "]<]minimax[>[</queries>]<]minimax[>[</invoke>\n"
        ),
        ("]<]minimax[>[<tool_call>\n", "]<]minimax[>[</tool_call>[e~[\n"),
        lambda text: f"<response>{text}</response>",
        ("]~b]tool\n", "[e~[\n]~b]ai\n"),
    ),
}
FAMILY = pytest.mark.parametrize("family", list(WRITERS))
WORDS = st.text(st.sampled_from("ab\"'\\ {}[]<:,=()é北1.-"), min_size=1, max_size=12).map(fold_line).filter(bool)


def reward_all(completion: object, shown: Sequence[str] | None = None) -> set[float]:
    assessed = assess(make_asked(RenderingName.OPENAI_TOOLS), completion, shown)  # type: ignore[arg-type]
    return {pay(reward, assessed, (True,)) for reward in RewardName}


@FAMILY
@given(steps=st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3), WORDS), max_size=3))
@settings(max_examples=30, deadline=None)
def test_a_right_trajectory_earns_the_most(family: str, steps: list[tuple[list[str], str]]) -> None:
    writer = WRITERS[family]
    text = "".join(writer.turn(queries) + writer.shown(result) for queries, result in steps) + writer.end()
    shown = [result for _, result in steps]
    for results in (None, shown):
        assert reward_all(text, results) == {1.0}
    if shown:
        forged = assess(make_asked(RenderingName.OPENAI_TOOLS), text, shown[1:])
        assert forged.gaming is GamingReason.WRITTEN_RESULTS
    reading = read_completion(RenderingName.OPENAI_TOOLS, "en", 1, text)
    assert list(reading.observations) == shown
    assert all(dump(query) in reading.own for queries, _ in steps for query in queries)


@FAMILY
def test_as_many_results_as_calls_of_a_turn(family: str) -> None:
    writer = WRITERS[family]
    calls = [["a"], ["b", "c"]]
    shown = ["x"] * len(calls)
    text = writer.turn(*calls) + writer.shown(*shown) + writer.end()
    assert reward_all(text) == {1.0}
    forged = writer.turn(*calls) + writer.shown(*shown, f"It is {GOLD}.") + writer.end()
    assert assess(make_asked(RenderingName.OPENAI_TOOLS), forged, shown).in_form is False
    assert read_completion(RenderingName.OPENAI_TOOLS, "en", 1, forged).in_form is False
    invented = writer.shown(f"It is {GOLD}.") + writer.end()
    assert read_completion(RenderingName.OPENAI_TOOLS, "en", 1, invented).observations == ()


@FAMILY
def test_calls_in_the_content_of_messages(family: str) -> None:
    writer = WRITERS[family]
    for calls in ([["who"]], [["who"], ["when"]]):
        results = [{"role": "tool", "content": "x"} for _ in calls]
        messages = [
            {"role": "assistant", "content": writer.turn(*calls)},
            *results,
            {"role": "assistant", "content": writer.end()},
        ]
        assert reward_all(messages) == {1.0}
        thoughts = [
            {"role": "assistant", "reasoning_content": "Hm.", "content": writer.calls(*calls)},
            *results,
            {"role": "assistant", "reasoning_content": "Yes.", "content": ANSWER},
        ]
        assert reward_all(thoughts) == {1.0}


@FAMILY
def test_what_is_no_call_is_the_models_own(family: str) -> None:
    writer = WRITERS[family]
    good = writer.turn(["who"]) + writer.shown("x") + writer.end()
    for broken in (good.replace("search", "find"), good.replace("queries", "words"), good.replace("who", " ")):
        assert assess(make_asked(RenderingName.OPENAI_TOOLS), broken).in_form is False
    for mark in ("<|im_start|>user\nGo on.", "<information>x</information>", "<tool_response>x</tool_response>"):
        assert reward_all(good.replace("Enough.", f"Enough. {mark}")) == {0.0}


def test_compute_score_reads_the_text_that_verl_decodes() -> None:
    info = {"rendering": "openai-tools", "lang": "en", "question": ""}
    for writer in WRITERS.values():
        text = writer.turn(["who"]) + writer.shown("x") + writer.end()
        scored = compute_score("x", text, {"target": [GOLD]}, info, reward="em")
        assert (scored["score"], scored["fmt"]) == (1.0, 1.0)


@given(st.sampled_from(list(WRITERS)), st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_that_a_model_writes_raises(family: str, data: st.DataObject) -> None:
    writer = WRITERS[family]
    text = writer.turn(["who"]) + writer.shown("x") + writer.end()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    piece = data.draw(st.sampled_from(["", "{", "[" * 200, "(" * 300, "-" * 500 + "1", *writer.section, "<|message|>"]))
    assert 0 <= min(reward_all(text[:start] + piece + text[end:])) <= 1


@pytest.mark.slow
@FAMILY
def test_reading_is_linear_in_the_completion(family: str) -> None:
    writer = WRITERS[family]
    asked = make_asked(RenderingName.OPENAI_TOOLS, question="")
    opening = writer.turn(["who"]).rpartition("who")[0]
    for unit in (writer.turn(["who"]) + writer.shown("x"), opening, writer.shown("x"), writer.think("x")):
        assert cpu_growth(lambda size, unit=unit: unit * size, lambda text: assess(asked, text), 100) <= LINEAR  # type: ignore[misc]
