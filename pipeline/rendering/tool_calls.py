"""Formats that search by calling a tool: OpenAI's messages, MaskSearch's function calls, Qwen's and Hermes' tags.

In the first two a call is a field of the message, and the chat template of the model decides how it looks; in the
third the tags are written out, so that any chat template carries them to the letter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.rendering.observations import (
    ReadingError,
    read_answers,
    read_documents,
    write_answers,
    write_documents,
)
from pipeline.rendering.questions import SEARCH_TOOL, describe_tool, write_instruction, write_question
from prompts.library import Block, load_template
from schemas.renderings import (
    ChatMessage,
    ChatRole,
    Document,
    Question,
    Rendered,
    RenderingName,
    Segment,
    SegmentKind,
    Step,
    ToolUse,
    Transcript,
)

CALL_TAGS = ("<tool_call>\n", "\n</tool_call>")
RESPONSE_TAGS = ("<tool_response>\n", "\n</tool_response>")


@dataclass(frozen=True, slots=True)
class ToolRendering:
    """A format of tool calls, one a step."""

    name: RenderingName
    """The format."""
    argument: str
    """The argument that takes the queries."""
    written: bool
    """Calls and results are text between tags of Qwen and Hermes, not fields."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Where generation stops: a call or the answer is complete."""
        return ("</tool_call>", "</answer>") if self.written else ("</answer>",)

    def prompt(self, question: Question) -> tuple[ChatMessage, ...]:
        """The rules as a system message, the question as the user's."""
        rules = write_instruction("solve_tools", question)
        if self.written:
            (tool,) = json.loads(describe_tool(question.lang, self.argument))
            tools = Block(json.dumps(tool, ensure_ascii=False))
            rules += "\n\n" + load_template("tool_list", question.lang).fill(tools=tools)
        return (
            ChatMessage(role=ChatRole.SYSTEM, segments=(Segment(kind=SegmentKind.PROMPT, text=rules),)),
            ChatMessage(
                role=ChatRole.USER, segments=(Segment(kind=SegmentKind.PROMPT, text=write_question(question)),)
            ),
        )

    def observe(self, documents: Sequence[Document], lang: str, call_id: str = "call_1") -> ChatMessage:
        """The message that brings the results of a search."""
        text = write_documents(documents, lang)
        if self.written:
            segment = Segment(kind=SegmentKind.OBSERVATION, text=text.join(RESPONSE_TAGS))
            return ChatMessage(role=ChatRole.USER, segments=(segment,))
        segment = Segment(kind=SegmentKind.OBSERVATION, text=text)
        return ChatMessage(role=ChatRole.TOOL, segments=(segment,), answers_call=call_id)

    def render(self, question: Question, transcript: Transcript) -> Rendered:
        """The conversation."""
        messages = (*self.prompt(question), *self._write(question, transcript))
        return Rendered(rendering=self.name, messages=messages, tools=self.describe_tools(question.lang))

    def describe_tools(self, lang: str) -> str | None:
        """Schemas of the tools, where they are a field of their own."""
        return None if self.written else describe_tool(lang, self.argument)

    def parse(self, question: Question, rendered: Rendered) -> Transcript:
        """Read the transcript back. Raises ReadingError, whatever the text."""
        *turns, last = rendered.messages[2:]
        if len(turns) % 2:
            raise ReadingError("a call and its results do not alternate")
        steps = [self._read_step(question, *turns[i : i + 2]) for i in range(0, len(turns), 2)]
        think, rest = _split_think(last.content)
        if last.tools or not (rest.startswith("<answer>") and rest.rstrip().endswith("</answer>")):
            raise ReadingError("the last message does not answer")
        answer = rest.rstrip().removeprefix("<answer>").removesuffix("</answer>")
        if "<answer>" in answer or "</answer>" in answer:
            raise ReadingError("there are two answers")
        return Transcript(steps=tuple(steps), think=think, answers=read_answers(answer, question.answers))

    def _write(self, question: Question, transcript: Transcript) -> Iterator[ChatMessage]:
        for number, step in enumerate(transcript.steps, start=1):
            call_id = f"call_{number}"
            yield self._write_call(step, call_id)
            yield self.observe(step.documents, question.lang, call_id)
        answer = f"<answer>{write_answers(transcript.answers)}</answer>"
        segments = (_write_think(transcript.think), Segment(kind=SegmentKind.ANSWER, text=answer))
        yield ChatMessage(role=ChatRole.ASSISTANT, segments=segments)

    def _write_call(self, step: Step, call_id: str) -> ChatMessage:
        think, arguments = _write_think(step.think), {self.argument: list(step.queries)}
        if self.written:
            call = json.dumps({"name": SEARCH_TOOL, "arguments": arguments}, ensure_ascii=False)
            query = Segment(kind=SegmentKind.QUERY, text=call.join(CALL_TAGS))
            return ChatMessage(role=ChatRole.ASSISTANT, segments=(think, query))
        use = ToolUse(call_id=call_id, name=SEARCH_TOOL, arguments=json.dumps(arguments, ensure_ascii=False))
        return ChatMessage(role=ChatRole.ASSISTANT, segments=(think,), tools=(use,))

    def _read_step(self, question: Question, call: ChatMessage, results: ChatMessage) -> Step:
        think, rest = _split_think(call.content)
        if self.written:
            name, arguments = _read_call(_cut(rest.rstrip(), CALL_TAGS))
            found = _cut(results.content, RESPONSE_TAGS)
        else:
            if len(call.tools) != 1 or rest.strip() or results.answers_call != call.tools[0].call_id:
                raise ReadingError("a step is not one call and its results")
            name, arguments = call.tools[0].name, _read_object(call.tools[0].arguments)
            found = results.content
        queries = arguments.get(self.argument)
        if name != SEARCH_TOOL or not isinstance(queries, list) or not all(isinstance(q, str) for q in queries):
            raise ReadingError(f"a call is not {SEARCH_TOOL} with {self.argument}")
        return Step(think=think, queries=tuple(queries), documents=read_documents(found, question.lang))


def _write_think(think: str) -> Segment:
    return Segment(kind=SegmentKind.THINK, text=f"<think>\n{think}\n</think>\n\n")


def _split_think(text: str) -> tuple[str, str]:
    if not text.startswith("<think>\n"):
        raise ReadingError("a message does not begin with a thought")
    think, found, rest = text.removeprefix("<think>\n").partition("\n</think>\n\n")
    if not found:
        raise ReadingError("a thought is not closed")
    return think, rest


def _cut(text: str, tags: tuple[str, str]) -> str:
    if not (text.startswith(tags[0]) and text.endswith(tags[1])):
        raise ReadingError(f"{tags[0].strip()} is expected, {text[:20]!r} is there")
    return text.removeprefix(tags[0]).removesuffix(tags[1])


def _read_call(text: str) -> tuple[object, dict[str, object]]:
    call = _read_object(text)
    arguments = call.get("arguments")
    if not isinstance(arguments, dict):
        raise ReadingError("a call has no arguments")
    return call.get("name"), arguments


def _read_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ReadingError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ReadingError("a call is no JSON object")
    return value


OPENAI_TOOLS = ToolRendering(RenderingName.OPENAI_TOOLS, argument="queries", written=False)
MASKSEARCH = ToolRendering(RenderingName.MASKSEARCH, argument="query", written=False)
QWEN_TOOLS = ToolRendering(RenderingName.QWEN_TOOLS, argument="queries", written=True)
