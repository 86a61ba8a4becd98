"""Parser of completions: strict for the format, and lenient for the answers that rewards score.

A completion is one text, observations inserted (TRL without a chat, verl), or the messages of a chat (TRL, field
tools). The format is the order of the tags, with results for each search and nothing between them. White space around
tags, line ends, an initial `<think>` that ends the prompt, end-of-turn tokens, and the content of results do not
matter: trainers and templates determine them, not the policy.

Guarantees: an observation is identified by its position only, right after a closed query, and there are no more than
queries, so that results a model writes anywhere else count as its own words; no completion raises, whatever its
content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, cast

from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.observations import ReadingError, read_answers
from pipeline.rendering.tag_pairs import find_pairs
from pipeline.rendering.tagged import TaggedRendering, open_thought
from pipeline.rendering.tool_calls import RESPONSE_TAGS, ToolRendering
from pipeline.rewards.call_notations import Notation, find_notation, read_content, read_turn, split_turns
from pipeline.rewards.messages import clean_text, make_message, read_messages
from schemas.renderings import ChatMessage, ChatRole, QuestionKind, RenderedQuestion, RenderingName

Completion = str | Sequence[Mapping[str, Any]]
"""One text, or messages with `role`, `content` and perhaps `tool_calls`."""

_END_OF_TURN = re.compile(
    r"(?:<[|｜](?!tool_)(?=[\w▁]{2,64}[|｜]>)"
    r"(?:[\w▁]*?(?:end|eo[stmd]|pad|return|stop)[\w▁]*|reserved_special_token_\d+|user|observation)[|｜]>"
    r"|</s>|<eos>|<pad>|<unk>|\[(?:PAD|EOS)\]|<end_of_(?:turn|sentence)>|<turn\|>|<SPECIAL_\d+>)[\s\u200b\ufeff]*",
    re.IGNORECASE,
)
MINIMAX_END = "[e~["
OPEN, CLOSE = re.compile("<answer>"), "</answer>"
_BOX = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)
_NUMBER = re.compile(r"\A\s*\d{1,2}\s*[.、:)）．]\s*")
# What a chat template leaves between a call and its results, special tokens decoded or not.
_GLUE = (
    r"(?:\s|<[|｜][\w▁]{1,30}[|｜]>|<\|turn>|<turn\|>|</s>|<(?:start|end|beginning)_of_(?:turn|sentence)>|\[e~\[|\]~b\]"
    r"|\b(?:user|tool|assistant|model|ai|name=\w+)\b)*+"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Parsed completion."""

    own: str
    """Text written by the model, from the first word to the last, without observations."""
    observations: tuple[str, ...]
    """Texts in the positions where the environment inserts results."""
    in_form: bool
    """Whether the strict parser of the rendering accepts it."""
    answers: tuple[str | None, ...] | None
    """Answers, one for each requested, in any notation; None when there is no answer at all."""
    surplus: bool
    """Whether more answers are given than requested."""


def read_completion(rendering: RenderingName, lang: str, count: int, completion: Completion) -> Reading:
    """Parse a completion. `count`: number of answers requested."""
    question = RenderedQuestion(kind=QuestionKind.QA, lang=lang, text="", answers=count)
    form = RENDERINGS[rendering]
    if isinstance(form, TaggedRendering):
        return _read_tagged(form, question, completion)
    return _read_tools(cast(ToolRendering, form), question, completion)


def _read_tagged(form: TaggedRendering, question: RenderedQuestion, completion: Completion) -> Reading:
    text = open_thought(_strip_end(_join_contents(completion)))
    own, observations = _divide(text, _place_results(form.results))
    in_form = _is_read(lambda: form.check_stream(question, text))
    return _finish("".join(own), tuple(chain(*observations)), in_form, question.answers, boxed=form.boxed)


def _read_tools(form: ToolRendering, question: RenderedQuestion, completion: Completion) -> Reading:
    messages = _list_messages(form, completion)
    own, shown = [], []
    for message in messages:
        if message.role is ChatRole.ASSISTANT:
            own += [open_thought(message.content), *(use.arguments for use in message.tools)]
        else:
            shown.append(_bare_response(message.content))
    in_form = bool(own) and messages[-1].role is ChatRole.ASSISTANT
    in_form = in_form and _is_read(lambda: form.check_turns(question, messages))
    return _finish("".join(own), tuple(shown), in_form, question.answers, boxed=False)


def _list_messages(form: ToolRendering, completion: Completion) -> tuple[ChatMessage, ...]:
    """Return the messages of a completion, the calls in their text parsed."""
    if not isinstance(completion, str):
        messages = _end_turns(read_messages(completion))
        return messages if form.written else tuple(map(_parse_calls, messages))
    text = _strip_end(clean_text(completion))
    notation = find_notation(text)
    if notation is None or form.written:
        return _split_messages(text, notation)
    return tuple(_list_turns(text, notation))


def _list_turns(text: str, notation: Notation) -> Iterator[ChatMessage]:
    for turn in split_turns(text, notation):
        yield make_message(ChatRole.ASSISTANT, turn.content, tools=turn.tools)
        for result in turn.results:
            yield make_message(ChatRole.TOOL, result)


def _parse_calls(message: ChatMessage) -> ChatMessage:
    """Return a message whose calls stand in its text, in the notation of some template, with them as its calls."""
    if message.role is not ChatRole.ASSISTANT or message.tools or not (found := find_notation(message.content)):
        return message
    turn = read_turn(message.content, found)
    return make_message(message.role, turn.content, tools=turn.tools)


def _bare_response(text: str) -> str:
    opening, closing = (tag.strip() for tag in RESPONSE_TAGS)
    return text.strip().removeprefix(opening).removesuffix(closing).strip()


def _join_contents(completion: Completion) -> str:
    if isinstance(completion, str):
        return clean_text(completion)
    return "".join(message.content for message in read_messages(completion))


def _finish(own: str, observations: tuple[str, ...], in_form: bool, count: int, boxed: bool) -> Reading:
    found = _find_last_answer(own)
    if found is None:
        return Reading(own, observations, in_form=False, answers=None, surplus=False)
    inside = found.strip()
    twice = boxed and inside.count("\\boxed{") > 1
    if boxed and (box := _BOX.fullmatch(inside)):
        inside = box[1]
    try:
        return Reading(own, observations, in_form, read_answers(inside, count), surplus=twice)
    except ReadingError:
        lines = [_NUMBER.sub("", line).strip() for line in inside.split("\n") if line.strip()]
        answers = tuple(line or None for line in lines[:count]) + (None,) * (count - len(lines))
        return Reading(own, observations, in_form=False, answers=answers, surplus=twice or len(lines) > count)


def _find_last_answer(text: str) -> str | None:
    """Return what stands between the last tags that are opened and closed."""
    answer = None
    for pair in find_pairs(text, OPEN, CLOSE):
        answer = pair.inside
    return answer


def _is_read(parse: Callable[[], object]) -> bool:
    try:
        parse()
    except (ReadingError, RecursionError):  # a call may contain arbitrarily nested brackets
        return False
    return True


def _strip_end(text: str) -> str:
    """Remove tokens that end a turn or pad a batch, where they were decoded with the text."""
    text = text.rstrip().removesuffix(MINIMAX_END) if MINIMAX_END in text[-12:] else text
    end = len(text)
    angle, square = text.rfind("<"), text.rfind("[")
    while (start := max(angle, square)) >= 0 and _END_OF_TURN.fullmatch(text, start, end):
        end = start
        angle, square = (text.rfind(mark, 0, at) if at == end else at for mark, at in (("<", angle), ("[", square)))
    return text[:end]


def _end_turns(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """Return the messages of the model without their end tokens."""
    return tuple(
        make_message(message.role, _strip_end(message.content), tools=message.tools)
        if message.role is ChatRole.ASSISTANT
        else message
        for message in messages
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Position of an observation in a stream."""

    query: str
    """Pattern that closes a query."""
    opening: re.Pattern[str]
    closing: str
    after: re.Pattern[str]
    """Pattern of the text after it that belongs to neither."""


@cache
def _place_results(tag: str) -> _Place:
    return _Place("</search>", re.compile(rf"(?<=</search>)\s*<{tag}>"), f"</{tag}>", re.compile(r"\s*"))


_RESPONSE = _Place(
    "</tool_call>", re.compile(rf"(?<=</tool_call>){_GLUE}<tool_response>"), "</tool_response>", re.compile(_GLUE)
)
_NEXT_RESPONSE = re.compile(r"\s*<tool_response>")


def _divide(text: str, place: _Place) -> tuple[list[str], list[list[str]]]:
    """Return the text written before, between and after the observations, and these, as many as requested at once."""
    own: list[str] = []
    observations: list[list[str]] = []
    at = 0
    while match := place.opening.search(text, at):
        written = text[at : match.start()]
        found, past = _take_observations(text, match.end(), place, max(written.count(place.query), 1))
        if not found:
            break
        own.append(written)
        observations.append(found)
        after = place.after.match(text, past)
        at = after.end() if after else past
    return [*own, text[at:]], observations


def _take_observations(text: str, at: int, place: _Place, most: int) -> tuple[list[str], int]:
    """Return at most this many consecutive observations, and the offset after them."""
    found: list[str] = []
    opened: re.Match[str] | None = None
    while (end := text.find(place.closing, at)) >= 0:
        found.append(text[at:end])
        past = end + len(place.closing)
        opened = _NEXT_RESPONSE.match(text, past) if len(found) < most else None
        if opened is None:
            return found, past
        at = opened.end()
    return found, opened.start() if opened else at


def _split_messages(text: str, notation: Notation | None) -> tuple[ChatMessage, ...]:
    """Return the messages that a stream of Qwen's tags consists of. `notation`: that of its thoughts, if another."""
    own, observations = _divide(text, _RESPONSE)
    own = own if notation is None else [read_content(written, notation) for written in own]
    messages = [make_message(ChatRole.ASSISTANT, own[0])]
    for shown, written in zip(observations, own[1:], strict=True):
        messages += [make_message(ChatRole.USER, f"<tool_response>{each}</tool_response>") for each in shown]
        messages.append(make_message(ChatRole.ASSISTANT, written))
    return tuple(messages)
