"""What a policy wrote, read as strictly as its rendering asks and, beside that, as leniently as rewards need.

A completion is one text, observations put in (TRL without a chat, verl), or the messages of a chat (TRL, field tools).

Promises: an observation is known only by its place, right after a closed query, so results that a model writes anywhere
else stay its own words; no completion raises, whatever it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.observations import ReadingError, read_answers
from pipeline.rendering.tagged import TaggedRendering
from pipeline.rendering.tool_calls import RESPONSE_TAGS
from schemas.renderings import (
    ChatMessage,
    ChatRole,
    Question,
    QuestionKind,
    Rendered,
    RenderingName,
    Segment,
    SegmentKind,
    ToolUse,
)

Completion = str | Sequence[Mapping[str, Any]]
"""One text, or messages with `role`, `content` and perhaps `tool_calls`."""

_ENDS_OF_TURN = (
    *("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>"),
    *("</s>", "<eos>", "<end_of_turn>"),
)
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_BOX = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)
_NUMBER = re.compile(r"\A\s*\d{1,2}\s*[.、:)）．]\s*")
# What a chat template leaves between a call and its results, special tokens decoded or not.
_GLUE = r"(?:\s|<\|[a-z_]{1,30}\|>|</s>|<(?:start|end)_of_turn>|\b(?:user|tool|assistant|model)\b)*+"


@dataclass(frozen=True, slots=True)
class Reading:
    """A completion, taken apart."""

    own: str
    """What the model wrote, from the first word to the last, observations left out."""
    observations: tuple[str, ...]
    """What stands where the environment puts results."""
    in_form: bool
    """The strict parser of the rendering reads it."""
    answers: tuple[str | None, ...] | None
    """The answers, one for each that is wanted, however they are written; None when there is no answer at all."""
    surplus: bool
    """More answers are given than are wanted."""


def read_completion(rendering: RenderingName, lang: str, wanted: int, completion: Completion) -> Reading:
    """Take a completion apart. `wanted`: how many answers are asked for."""
    question = Question(kind=QuestionKind.QA, lang=lang, text="", answers=wanted)
    form = RENDERINGS[rendering]
    if isinstance(form, TaggedRendering):
        text = completion if isinstance(completion, str) else "".join(str(m.get("content") or "") for m in completion)
        text = _strip_end(text)
        own, observations = _divide(text, _place_results(form.results))
        in_form = _is_read(lambda: form.parse_stream(question, text))
        return _finish("".join(own), observations, in_form, wanted, boxed=form.boxed)
    messages = _join_messages(completion) if isinstance(completion, str) else tuple(map(_read_message, completion))
    spoken = [message for message in messages if message.role is ChatRole.ASSISTANT]
    shown = [message.content for message in messages if message.role is not ChatRole.ASSISTANT]
    own_text = "".join(message.content + "".join(use.arguments for use in message.tools) for message in spoken)
    observations = tuple(text.strip().removeprefix(RESPONSE_TAGS[0]).removesuffix(RESPONSE_TAGS[1]) for text in shown)
    in_form = (
        bool(spoken)
        and messages[-1].role is ChatRole.ASSISTANT
        and _is_read(
            lambda: form.parse(
                question, Rendered(rendering=form.name, messages=(_ASKED, _ASKED, *messages), tools=None)
            )
        )
    )
    return _finish(own_text, observations, in_form, wanted, boxed=False)


def _finish(own: str, observations: tuple[str, ...], in_form: bool, wanted: int, boxed: bool) -> Reading:
    found = ANSWER.findall(own)
    if not found:
        return Reading(own, observations, in_form=False, answers=None, surplus=False)
    inside = found[-1].strip()
    twice = boxed and inside.count("\\boxed{") > 1
    if boxed and (box := _BOX.fullmatch(inside)):
        inside = box[1]
    try:
        return Reading(own, observations, in_form, read_answers(inside, wanted), surplus=twice)
    except ReadingError:
        lines = [_NUMBER.sub("", line).strip() for line in inside.split("\n") if line.strip()]
        answers = tuple(line or None for line in lines[:wanted]) + (None,) * (wanted - len(lines))
        return Reading(own, observations, in_form=False, answers=answers, surplus=twice or len(lines) > wanted)


def _is_read(parse: Callable[[], object]) -> bool:
    try:
        parse()
    except (ReadingError, RecursionError):  # a call may hold brackets without end
        return False
    return True


def _strip_end(text: str) -> str:
    """The text without the tokens that end a turn, where they were decoded with it."""
    while ending := next((token for token in _ENDS_OF_TURN if text.rstrip().endswith(token)), ""):
        text = text.rstrip().removesuffix(ending)
    return text


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an observation stands in a stream."""

    opening: re.Pattern[str]
    closing: str
    after: re.Pattern[str]
    """What follows it and belongs to nobody."""


@cache
def _place_results(tag: str) -> _Place:
    return _Place(re.compile(rf"(?<=</search>)\s*<{tag}>"), f"</{tag}>", re.compile(r"\s*"))


_RESPONSE = _Place(re.compile(rf"(?<=</tool_call>){_GLUE}<tool_response>"), "</tool_response>", re.compile(_GLUE))
_ASKED = ChatMessage(role=ChatRole.USER, segments=())


def _divide(text: str, place: _Place) -> tuple[list[str], tuple[str, ...]]:
    """What the model wrote before, between and after the observations, and the observations."""
    own: list[str] = []
    observations: list[str] = []
    at = 0
    while match := place.opening.search(text, at):
        end = text.find(place.closing, match.end())
        if end < 0:
            break
        own.append(text[at : match.start()])
        observations.append(text[match.end() : end])
        after = place.after.match(text, end + len(place.closing))
        at = after.end() if after else end + len(place.closing)
    return [*own, text[at:]], tuple(observations)


def _join_messages(text: str) -> tuple[ChatMessage, ...]:
    """The messages that a stream of Qwen's tags was made of."""
    own, observations = _divide(_strip_end(text), _RESPONSE)
    messages = [_write(ChatRole.ASSISTANT, own[0])]
    for shown, said in zip(observations, own[1:], strict=True):
        messages.append(_write(ChatRole.USER, f"<tool_response>{shown}</tool_response>"))
        messages.append(_write(ChatRole.ASSISTANT, said))
    return tuple(messages)


def _write(role: ChatRole, text: str, **more: Any) -> ChatMessage:
    kind = SegmentKind.THINK if role is ChatRole.ASSISTANT else SegmentKind.OBSERVATION
    return ChatMessage(role=role, segments=(Segment(kind=kind, text=text),), **more)


def _read_message(message: Mapping[str, Any]) -> ChatMessage:
    role = ChatRole(message["role"]) if message.get("role") in list(ChatRole) else ChatRole.USER
    text = str(message.get("content") or "")
    if role is not ChatRole.ASSISTANT:
        return _write(role, text, answers_call=message.get("tool_call_id"))
    return _write(role, _strip_end(text), tools=tuple(map(_read_use, message.get("tool_calls") or ())))


def _read_use(call: Mapping[str, Any]) -> ToolUse:
    function = call.get("function") or call
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolUse(call_id=str(call.get("id") or ""), name=str(function.get("name") or ""), arguments=arguments)
