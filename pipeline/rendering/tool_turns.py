"""Layout of a conversation with tool calls in the text of a chat template: who wrote which part.

The text of a row is the template's own: what it writes before the last turn of the model, as when the model is served,
and what it writes for that turn. A probe of two steps shows what stands between the turns; a row is then cut there.
Guarantees: no thought, query, result or answer is lost; what stands before a turn stays as it is in later turns; a
generation prompt and the turn after it open one thought at most. A template for which one of these does not hold is
refused with the reason, a row with the part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from pipeline.rendering.chat_template import (
    FAILS,
    THOUGHT_TAG,
    AlteredError,
    ChatTemplate,
    ChatTemplateError,
    MessageForm,
    Stretch,
    measure_end,
)
from schemas.renderings import ChatMessage, ChatRole, Rendered, Segment, SegmentKind

_CLOSING = re.compile(r"\s*(?:<[^<>]{1,40}>\s*)?")
_EMPTY = re.compile(r"\s*(?:<(?:\w+:)?think>\s*</(?:\w+:)?think>\s*)?")
LOST_EARLIER = "the chat template drops the thoughts of earlier turns"
CHANGED_EARLIER = "the chat template changes what stands before a turn when the conversation goes on"
CALL_ID = "\u2402call\u2403"
_NEXT = ChatMessage(role=ChatRole.USER, segments=(Segment(kind=SegmentKind.PROMPT, text="next-question"),))


def _write_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _write_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


def _write_literal(text: str) -> str:
    return repr(text)[1:-1]


ENCODINGS: tuple[Callable[[str], str], ...] = (str, _write_json, _write_ascii, _write_literal)
"""Ways in which templates write a text: as it is, or inside JSON or a Python literal."""


@dataclass(frozen=True, slots=True)
class ToolTurns:
    """Layout for one template and format."""

    template: ChatTemplate
    form: MessageForm
    """Form in which the template gets messages."""
    encode: Callable[[str], str]
    """Function that writes a result as the template does."""
    header: str
    """Text between the end of a turn of the model and a result, with `CALL_ID` for the id of a call."""
    footer: str
    """Text between a result and the next turn of the model, the generation prompt included."""
    end: str
    """End of the last turn, as far as the model writes it; empty where the template writes none."""
    rest: str
    """Text of the template after it."""
    as_served: bool
    """Whether the template writes earlier turns otherwise once the conversation has ended."""

    def write(self, rendered: Rendered) -> Iterator[Stretch]:
        """Return the text of a row, in stretches. Raises AlteredError, ChatTemplateError."""
        messages = rendered.messages
        first = next(n for n, message in enumerate(messages) if message.role is ChatRole.ASSISTANT)
        prompt = self.template.write(messages[:first], rendered.tools, self.form, generation=True)
        served = prompt
        if len(messages) > first + 1:
            served = self.template.write(messages[:-1], rendered.tools, self.form, generation=True)
        if not served.startswith(prompt):
            raise AlteredError("the prompt is altered by later turns")
        yield Stretch(SegmentKind.PROMPT, prompt, spoken=False)
        at, passage = len(prompt), prompt
        for turn, shown in zip(messages[first:-1:2], messages[first + 1 :: 2], strict=True):
            result = self.encode(shown.content)
            header = self.header.replace(CALL_ID, shown.answers_call or "")
            passage = header + result + self.footer
            start = served.find(passage, at)
            if start < 0:
                raise AlteredError("a result is altered")
            yield from _write_turn(turn, served[at:start])
            yield Stretch(SegmentKind.PROMPT, header, spoken=False)
            yield Stretch(SegmentKind.OBSERVATION, result, spoken=False)
            yield Stretch(SegmentKind.PROMPT, self.footer, spoken=False)
            at = start + len(passage)
        whole = self.template.write(messages, rendered.tools, self.form)
        _, found, last = whole.rpartition(passage)
        if at != len(served) or not found or not last.endswith(self.end + self.rest):
            raise AlteredError("the last turn is altered")
        own = last.removesuffix(self.rest)
        yield from _write_turn(messages[-1], own if self.end else own + self.template.eos)
        yield Stretch(SegmentKind.PROMPT, self.rest, spoken=False)


def _write_turn(message: ChatMessage, text: str) -> Iterator[Stretch]:
    """Return a turn of the model: its thought, then its calls or answer. Raises AlteredError when one is missing."""
    if fault := _find_loss(message, text):
        raise AlteredError(f"a {fault} is altered")
    thought = (message.thought or "").strip()
    end = text.find(thought) + len(thought)
    match = (_CLOSING if thought else _EMPTY).match(text, end)
    at = match.end() if match else end
    answers = not message.tools and not any(segment.kind is SegmentKind.QUERY for segment in message.segments)
    yield Stretch(SegmentKind.THINK, text[:at], spoken=True)
    yield Stretch(SegmentKind.ANSWER if answers else SegmentKind.QUERY, text[at:], spoken=True)


def _find_loss(message: ChatMessage, text: str) -> str | None:
    """Return which part of a message a text lacks, or has in another order."""
    thought = (message.thought or "").strip()
    start = text.find(thought)
    if start < 0:
        return "thought"
    rest = text[start + len(thought) :]
    if message.content.strip() not in rest:
        return "call" if any(segment.kind is SegmentKind.QUERY for segment in message.segments) else "answer"
    for use in message.tools:
        arguments = orjson.loads(use.arguments)
        queries = [query for value in arguments.values() for query in (value if isinstance(value, list) else [value])]
        written = use.name in rest and all(any(write(query) in rest for write in ENCODINGS) for query in queries)
        if not written or str(arguments) in text:
            return "call"
    return None


def find_tool_turns(template: ChatTemplate, probe: Rendered) -> ToolTurns:
    """Return the layout for a format.

    `probe`: a conversation of two steps; no text of it is part of another. Raises ChatTemplateError with the reason why
    the template cannot express the format.
    """
    reasons: list[str] = []
    for form in template.list_forms(thoughts=True, calls=probe.tools is not None):
        try:
            return _Probe(template, probe, form).find()
        except ChatTemplateError as error:
            reasons.append(error.what)
    # What a template writes says more than that it fails for another form of messages.
    raise _refuse(min(reasons, key=lambda reason: reason.startswith(FAILS)))


class _Probe:
    """Text of a template for one form of messages."""

    def __init__(self, template: ChatTemplate, probe: Rendered, form: MessageForm) -> None:
        self.template, self.form = template, form
        self.messages, self.tools = probe.messages, probe.tools
        self.prompts = [self._write(end, generation=True) for end in (2, 4, 6)]
        self.whole = self._write(7)

    def find(self) -> ToolTurns:
        """Return the layout. Raises ChatTemplateError."""
        if self.tools and self.prompts[0] == self.template.write(self.messages[:2], None, self.form, generation=True):
            raise _refuse("the chat template does not render tools")
        encode, turns, footers = self._cut()
        last = self._find_last(encode, footers[1])
        self._check(turns, footers, last)
        header = self._find_header(turns[0])
        ids = [self.messages[number].answers_call or CALL_ID for number in (3, 5)]
        header = header.replace(ids[0], CALL_ID)
        if not turns[1].endswith(header.replace(CALL_ID, ids[1])) or footers[0] != footers[1]:
            raise _refuse("the chat template writes the second result otherwise than the first")
        end, rest = self._find_end(last)
        as_served = not self.whole.startswith(self.prompts[2])
        return ToolTurns(self.template, self.form, encode, header, footers[0], end, rest, as_served)

    def _cut(self) -> tuple[Callable[[str], str], list[str], list[str]]:
        """Return how results are written, the turns with what stands before the result, and what stands after it."""
        encode = next((e for e in ENCODINGS if e(self.messages[3].content) in self.prompts[1]), None)
        if encode is None:
            raise _refuse("the chat template does not render search results")
        turns, footers = [], []
        for before, after, shown in zip(
            self.prompts, self.prompts[1:], (self.messages[3], self.messages[5]), strict=False
        ):
            turn, found, footer = after.removeprefix(before).partition(encode(shown.content))
            if not after.startswith(before) or not found:
                dropped = (self.messages[2].thought or "") not in after
                raise _refuse(LOST_EARLIER if dropped else CHANGED_EARLIER)
            turns.append(turn)
            footers.append(footer)
        return encode, turns, footers

    def _find_last(self, encode: Callable[[str], str], footer: str) -> str:
        """Return the last turn of the model, with what the template writes after it."""
        _, _, last = self.whole.rpartition(encode(self.messages[5].content))
        if not last.startswith(footer):
            raise _refuse("the chat template begins the last turn otherwise than its generation prompt does")
        return last.removeprefix(footer)

    def _check(self, turns: Sequence[str], footers: Sequence[str], last: str) -> None:
        user = self.messages[1].content
        openings = [self.prompts[0].rpartition(user)[2], *footers]
        texts, messages = [*turns, last], [self.messages[n] for n in (2, 4, 6)]
        for number, (opening, text, message) in enumerate(zip(openings, texts, messages, strict=True)):
            if lost := _find_loss(message, text):
                if lost == "thought" and number < 2 and not _find_loss(messages[-1], last):
                    raise _refuse(LOST_EARLIER)
                raise _refuse(f"the chat template drops or alters the {lost} of a turn")
            before = opening + text[: text.index(message.thought or "")]
            if len(THOUGHT_TAG.findall(before)) > 1:
                raise _refuse("the generation prompt opens a thought of its own, or closes it")

    def _find_header(self, turn: str) -> str:
        """Return what the template writes between the end of a turn and a result."""
        alone = self._write(3)
        query = self._find_query(turn)
        _, _, ending = alone.rpartition(query)
        _, _, middle = turn.rpartition(query)
        return middle[measure_end(ending, middle, middle, self.template.eos) :]

    def _find_query(self, turn: str) -> str:
        """Return the last text of the first call, as the template writes it."""
        if not self.messages[2].tools:
            return self.messages[2].content.strip()
        (*_, query) = next(iter(orjson.loads(self.messages[2].tools[0].arguments).values()))
        return next(text for write in ENCODINGS if (text := write(query)) in turn)

    def _find_end(self, last: str) -> tuple[str, str]:
        """Return the end of the last turn: what the model writes, and what follows."""
        answer = self.messages[6].content.strip()
        _, _, ending = last.rpartition(answer)
        try:
            more = self.template.write([*self.messages, _NEXT], self.tools, self.form)
            _, _, middle = more.rpartition(answer)
        except ChatTemplateError:
            middle = ending
        at = measure_end(ending, middle, ending, self.template.eos)
        return ending[:at], ending[at:]

    def _write(self, end: int, *, generation: bool = False) -> str:
        return self.template.write(self.messages[:end], self.tools, self.form, generation=generation)


def _refuse(reason: str) -> ChatTemplateError:
    return ChatTemplateError(reason, "use another rendering")
