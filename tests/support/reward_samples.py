"""Right trajectories for rewards: questions with one to four gaps, English and Chinese, in every rendering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.rendering.chat_template import write_inline
from pipeline.rendering.formats import RENDERINGS
from pipeline.rewards.adversarial import write_stream
from pipeline.rewards.formulas import RewardInput
from schemas.renderings import (
    ChatMessage,
    ChatRole,
    QuestionKind,
    RenderedQuestion,
    RenderingName,
    ShownDocument,
    Step,
    Transcript,
)

GOLDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("Marguerite Ollander", "M. Ollander"),
        ("14 March 1702", "March 14, 1702"),
        ("Trinidad and Tobago",),
        ("C++",),
    ),
    "zh": (("林曼青",), ("一九〇三年", "1903年"), ("中华人民共和国", "新中国"), ("碟中谍：不可能的任务",)),
}


def make_asked(rendering: RenderingName, lang: str = "en", gaps: int = 1, **more: Any) -> RewardInput:
    golds = more.pop("golds", GOLDS[lang][:gaps])
    text = "Skarn Point\n" + " ".join(f"[mask {n}]" for n in range(1, len(golds) + 1)) + " stands there."
    return RewardInput(rendering, lang, more.pop("question", text), golds)


def make_transcript(answers: Sequence[str | None], steps: int = 1, shown: str = "It tells much.") -> Transcript:
    step = Step(think="What is it?", queries=("what", "who"), documents=(ShownDocument(title="A page", text=shown),))
    return Transcript(steps=(step,) * steps, think="Now it is known.", answers=tuple(answers))


def write_completion(asked: RewardInput, transcript: Transcript) -> str | list[Mapping[str, Any]]:
    """As a rollout leaves it: one text where the rendering is one stream, else messages."""
    question = RenderedQuestion(kind=QuestionKind.RAMP, lang=asked.lang, text=asked.question, answers=len(asked.golds))
    rendered = RENDERINGS[asked.rendering].render(question, transcript)
    if rendered.tools is None:
        return write_stream(rendered)
    start = next(n for n, message in enumerate(rendered.messages) if message.role is ChatRole.ASSISTANT)
    return [_write_plain(message) for message in rendered.messages[start:]]


def _write_plain(message: ChatMessage) -> Mapping[str, Any]:
    plain: dict[str, Any] = {"role": str(message.role), "content": write_inline(message)}
    if message.tools:
        calls = [{"id": u.call_id, "function": {"name": u.name, "arguments": u.arguments}} for u in message.tools]
        plain["tool_calls"] = calls
    if message.answers_call:
        plain["tool_call_id"] = message.answers_call
    return plain


def write_gold(asked: RewardInput, form: int = 0, **more: Any) -> str | list[Mapping[str, Any]]:
    """The right trajectory, written with the gold or, by number, another right form."""
    answers = [forms[min(form, len(forms) - 1)] for forms in asked.golds]
    return write_completion(asked, make_transcript(answers, **more))
