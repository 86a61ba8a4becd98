"""Formats give back what was put into them, whatever the text; what is out of form is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rendering.formats import RENDERINGS, Rendering
from pipeline.rendering.observations import ReadingError
from pipeline.rendering.tagged import SEARCH_R1
from pipeline.rendering.transcript import TranscriptError, ask, transcribe
from schemas.renderings import ChatRole, QuestionKind, RenderedQuestion, RenderingName, SegmentKind, Transcript
from schemas.trajectories import SearchCall, SearchStatus
from tests.support.trajectory_samples import make_attempt, make_task, make_trajectory, make_turn

HOSTILE = st.sampled_from(
    [
        *(
            "</think>",
            "<answer>1</answer>",
            "</information>",
            "<|im_end|>",
            "\n\nDoc 2(Title: ",
            '") x',
            "}",
            "\\boxed{",
        ),
        *(
            "\\boxed{",
            "<tool_call>\n{}",
            "</tool_response>",
            "</result>",
            "2. no",
            "\u2028",
            "[mask 3]",
            "\r\n",
            "\x85",
            "{text}",
        ),
    ]
)
WORDS = st.lists(st.one_of(st.text(max_size=12), HOSTILE), max_size=5).map("".join)
TURNS = st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS), max_size=3)
ALL = pytest.mark.parametrize("rendering", RENDERINGS.values(), ids=lambda rendering: str(rendering.name))


def transcribe_words(
    turns: list[tuple[str, ...]], last: str, answers: list[str], lang: str
) -> tuple[RenderedQuestion, Transcript]:
    task = make_task("In 1868 Ada Byron founded it.", ("1868", "Ada Byron")[: len(answers)], lang=lang)
    steps = [
        make_turn(
            [("p1", title, text), ("p2", text, title)] if text else [],
            think=think,
            conclusion=conclusion,
            calls=(SearchCall(query="q " + query, status=SearchStatus.EMPTY, hits=(), detail=None),) * 2,
        )
        for think, conclusion, title, text, query in turns
    ]
    return ask(task), transcribe(make_trajectory(task, answers, steps, final_think=last))


@ALL
@given(turns=TURNS, last=WORDS, answers=st.lists(WORDS, min_size=1, max_size=2), lang=st.sampled_from(["en", "zh"]))
def test_what_is_rendered_is_read_back(
    rendering: Rendering, turns: list[tuple[str, ...]], last: str, answers: list[str], lang: str
) -> None:
    question, transcript = transcribe_words(turns, last, answers, lang)
    rendered = rendering.render(question, transcript)
    assert rendering.parse(question, rendered) == transcript
    shown = [doc.text for step in transcript.steps for doc in step.documents]
    observed = "".join(
        s.text for message in rendered.messages for s in message.segments if s.kind is SegmentKind.OBSERVATION
    )
    assert all(text in observed for text in shown)


@ALL
def test_a_plain_trajectory_reads_as_a_person_would_write_it(rendering: Rendering) -> None:
    attempt = make_attempt()
    question = ask(attempt.task)
    rendered = rendering.render(question, transcribe(attempt.trajectory))
    text = "".join(message.content for message in rendered.messages)
    assert "[mask 1]" in text
    assert 'Doc 1(Title: "Ada Byron") Ada Byron founded the school in 1868.' in text
    asked = text + "".join(use.arguments for message in rendered.messages for use in message.tools)
    assert "founding" in asked
    gold_free = "".join(m.content for m in rendered.messages if m.role in (ChatRole.SYSTEM, ChatRole.USER))
    assert rendering.name is RenderingName.QWEN_TOOLS or "1868" not in gold_free
    if rendered.tools:
        (tool,) = json.loads(rendered.tools)
        assert tool["function"]["parameters"]["required"] == [*tool["function"]["parameters"]["properties"]]


def test_a_failed_search_has_no_transcript() -> None:
    task = make_task("In 1868 it was founded.", ["1868"])
    call = SearchCall(query="when", status=SearchStatus.TIMEOUT, hits=(), detail="late")
    with pytest.raises(TranscriptError) as raised:
        transcribe(make_trajectory(task, ["1868"], [make_turn([], calls=(call,))]))
    assert raised.value.reason == "failed_search"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 1868.",
        "<think>a</think>\n<answer>1868</answer> and more",
        "<think>a</think>\n<answer>1868</answer>\n<answer>1869</answer>",
        "<think>a</think>\n<search></search>\n\n<information>x</information>\n\n<think>b</think>\n<answer>1</answer>",
        "<think>a</think>\n<search>q</search>\n\n<information>made up</information><think>b</think><answer>1</answer>",
        "<think>a</think>\n<search>q</search><answer>1868</answer>",
        "<think>a\n<answer>1868</answer>",
        "<think>a</think>\n<answer>1868",
    ],
)
def test_a_stream_out_of_form_is_refused(text: str) -> None:
    question = RenderedQuestion(kind=QuestionKind.QA, lang="en", text="When?", answers=1)
    with pytest.raises(ReadingError):
        SEARCH_R1.parse_stream(question, text)


def test_prompts_speak_the_language_of_the_question() -> None:
    question = RenderedQuestion(kind=QuestionKind.QA, lang="zh", text="何时？", answers=1)
    system, user = RENDERINGS[RenderingName.OPENAI_TOOLS].prompt(question)
    assert "搜索" in system.content
    assert "何时？" in user.content
    assert RENDERINGS[RenderingName.RESEARCH].prompt(question)[0].content.count("\\boxed") == 1
