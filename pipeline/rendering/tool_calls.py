"""Formats with tool calls: OpenAI's messages, MaskSearch's function calls, the tags of Qwen and Hermes.

In the first two a call is a field of the message, rendered by the model's chat template; in the third the tags are
written out, so that any chat template preserves them verbatim.
"""

from __future__ import annotations

import json
import re
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
from pipeline.rendering.tag_pairs import drop_pairs, find_pairs
from pipeline.rendering.tagged import open_thought
from prompts.library import Block, load_template
from schemas.renderings import (
    ChatMessage,
    ChatRole,
    Rendered,
    RenderedQuestion,
    RenderingName,
    Segment,
    SegmentKind,
    ShownDocument,
    Step,
    ToolUse,
    Transcript,
)

CALL_TAGS = ("<tool_call>\n", "\n</tool_call>")
RESPONSE_TAGS = ("<tool_response>\n", "\n</tool_response>")
_CALL = re.compile("<tool_call>"), "</tool_call>"
_RESPONSE = re.compile("<tool_response>"), "</tool_response>"
_FUNCTION = re.compile(r"<function=(\w+)>(.*)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=(\w+)>"), "</parameter>"
_NAME = re.compile(r"(\w+)\s*(<arg_key>.*)", re.DOTALL)
_KEY_VALUE = re.compile(r"<arg_key>(\w+)</arg_key>\s*<arg_value>"), "</arg_value>"
_Call = tuple[str, tuple[str, ...], list[str]]
"""Thought, queries, and the results as written."""


@dataclass(frozen=True, slots=True)
class ToolRendering:
    """Format of tool calls, one per step."""

    name: RenderingName
    """The format."""
    argument: str
    """Name of the argument with the queries."""
    written: bool
    """Whether calls and results are text between tags of Qwen and Hermes rather than fields."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the stop strings: a call or the answer is complete."""
        return ("</tool_call>", "</answer>") if self.written else ("</answer>",)

    def prompt(self, question: RenderedQuestion) -> tuple[ChatMessage, ...]:
        """Return the instructions as a system message, the question as the user's."""
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

    def observe(self, documents: Sequence[ShownDocument], lang: str, call_id: str = "call_1") -> ChatMessage:
        """Return the message with the results of a search."""
        text = write_documents(documents, lang)
        if self.written:
            segment = Segment(kind=SegmentKind.OBSERVATION, text=text.join(RESPONSE_TAGS))
            return ChatMessage(role=ChatRole.USER, segments=(segment,))
        segment = Segment(kind=SegmentKind.OBSERVATION, text=text)
        return ChatMessage(role=ChatRole.TOOL, segments=(segment,), answers_call=call_id)

    def render(self, question: RenderedQuestion, transcript: Transcript) -> Rendered:
        """Return the conversation."""
        messages = (*self.prompt(question), *self._write(question, transcript))
        return Rendered(rendering=self.name, messages=messages, tools=self.describe_tools(question.lang))

    def describe_tools(self, lang: str) -> str | None:
        """Return the schemas of the tools, where they are a separate field."""
        return None if self.written else describe_tool(lang, self.argument)

    def parse(self, question: RenderedQuestion, rendered: Rendered) -> Transcript:
        """Parse the transcript. Raises ReadingError for any malformed text."""
        steps, think, answers = self._read_turns(question, rendered.messages[2:])
        return Transcript(
            steps=tuple(
                Step(think=thought, queries=queries, documents=_read_all(found, question.lang))
                for thought, queries, found in steps
            ),
            think=think,
            answers=answers,
        )

    def check_turns(self, question: RenderedQuestion, messages: Sequence[ChatMessage]) -> None:
        """Raise ReadingError unless the messages after the prompt are well-formed, whatever the results contain."""
        self._read_turns(question, messages)

    def _read_turns(
        self, question: RenderedQuestion, messages: Sequence[ChatMessage]
    ) -> tuple[list[_Call], str, tuple[str | None, ...]]:
        """Return the steps with their results as text, the last thought, and the answers."""
        *turns, last = messages
        steps: list[_Call] = []
        at = 0
        while at < len(turns):
            end = at + 1
            while end < len(turns) and turns[end].role is not ChatRole.ASSISTANT:
                end += 1
            steps.append(self._read_step(turns[at], turns[at + 1 : end]))
            at = end
        think, rest = _split_think(last)
        if last.tools or not (rest.startswith("<answer>") and rest.endswith("</answer>")):
            raise ReadingError("the last message does not answer")
        answer = rest.removeprefix("<answer>").removesuffix("</answer>")
        if "<answer>" in answer or "</answer>" in answer:
            raise ReadingError("there are two answers")
        return steps, think, read_answers(answer, question.answers)

    def _write(self, question: RenderedQuestion, transcript: Transcript) -> Iterator[ChatMessage]:
        for number, step in enumerate(transcript.steps, start=1):
            call_id = f"call_{number}"
            yield self._write_call(step, call_id)
            yield self.observe(step.documents, question.lang, call_id)
        answer = f"<answer>{write_answers(transcript.answers)}</answer>"
        segments = (Segment(kind=SegmentKind.ANSWER, text=answer),)
        yield ChatMessage(role=ChatRole.ASSISTANT, thought=transcript.think, segments=segments)

    def _write_call(self, step: Step, call_id: str) -> ChatMessage:
        arguments = {self.argument: list(step.queries)}
        if self.written:
            call = json.dumps({"name": SEARCH_TOOL, "arguments": arguments}, ensure_ascii=False)
            segments = (Segment(kind=SegmentKind.QUERY, text=call.join(CALL_TAGS)),)
            return ChatMessage(role=ChatRole.ASSISTANT, thought=step.think, segments=segments)
        use = ToolUse(call_id=call_id, name=SEARCH_TOOL, arguments=json.dumps(arguments, ensure_ascii=False))
        return ChatMessage(role=ChatRole.ASSISTANT, thought=step.think, segments=(), tools=(use,))

    def _read_step(self, call: ChatMessage, results: Sequence[ChatMessage]) -> _Call:
        """Parse a turn with one or several calls, and a result for each."""
        if call.role is not ChatRole.ASSISTANT:
            raise ReadingError("a call and its results do not alternate")
        think, rest = _split_think(call)
        calls: list[tuple[object, dict[str, object]]] = [(use.name, _read_object(use.arguments)) for use in call.tools]
        if not calls:
            calls = _read_written(rest)
        elif rest:
            raise ReadingError("text stands beside a call")
        found = [text for message in results for text in _read_results(message.content)]
        if not calls or len(found) != len(calls):
            raise ReadingError("a turn is not calls and a result for each")
        _check_ids([use.call_id for use in call.tools], [message.answers_call for message in results])
        return think, tuple(query for name, arguments in calls for query in self._read_queries(name, arguments)), found

    def _read_queries(self, name: object, arguments: dict[str, object]) -> list[str]:
        queries = arguments.get(self.argument)
        listed = [queries] if isinstance(queries, str) else queries
        if name != SEARCH_TOOL or not isinstance(listed, list) or not all(isinstance(q, str) for q in listed):
            raise ReadingError(f"a call is not {SEARCH_TOOL} with {self.argument}")
        if not any(query.strip() for query in listed):
            raise ReadingError("a search has no query")
        return listed


def _read_all(found: Sequence[str], lang: str) -> tuple[ShownDocument, ...]:
    return tuple(document for text in found for document in read_documents(text, lang))


def _split_think(message: ChatMessage) -> tuple[str, str]:
    """Split a message into its thought and the rest, ignoring white space; a `<think>` in the content may belong to the
    prompt.
    """
    if message.thought is not None:
        return message.thought.strip(), message.content.strip()
    text = open_thought(message.content).strip()
    if not text.startswith("<think>"):
        raise ReadingError("a message does not start with a thought")
    think, found, rest = text.removeprefix("<think>").partition("</think>")
    if not found:
        raise ReadingError("a thought is not closed")
    return think.strip(), rest.strip()


def _read_written(text: str) -> list[tuple[object, dict[str, object]]]:
    """Parse the calls between their tags, in order."""
    calls = []
    at = 0
    for pair in find_pairs(text, *_CALL):
        if text[at : pair.opening.start()].strip():
            break
        calls.append(_read_call(pair.inside.strip()))
        at = pair.end
    if text[at:].strip():
        raise ReadingError(f"{CALL_TAGS[0].strip()} is expected, {text[at : at + 20]!r} is there")
    return calls


def _read_call(text: str) -> tuple[object, dict[str, object]]:
    """Parse one call: JSON as of Qwen2.5 and Hermes, or the tags of Qwen3.5 and Nemotron 3, or those of GLM."""
    if text.startswith("{"):
        call = _read_object(text)
        return call.get("name"), _read_object(call.get("arguments"))
    for name, argument in ((_FUNCTION, _PARAMETER), (_NAME, _KEY_VALUE)):
        if match := name.fullmatch(text):
            pairs = find_pairs(match[2], *argument)
            return match[1], {pair.opening[1]: _read_value(pair.inside.strip()) for pair in pairs}
    raise ReadingError("a call is neither JSON nor a function with parameters")


def _read_value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_results(text: str) -> list[str]:
    """Return the results in a message: between their tags, or the whole of it."""
    found = [pair.inside.strip() for pair in find_pairs(text, *_RESPONSE)]
    return found if found and not drop_pairs(text, *_RESPONSE).strip() else [text]


def _check_ids(calls: Sequence[str], results: Sequence[str | None]) -> None:
    """Raise ReadingError where ids are given and a result answers another call; some loops give none."""
    answered = [result for result in results if result]
    if any(calls) and not set(answered) <= set(calls):
        raise ReadingError("a result answers another call")


def _read_object(value: object) -> dict[str, object]:
    """Parse a JSON object, given as such or as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ReadingError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ReadingError("a call is not a JSON object with arguments")
    return value


OPENAI_TOOLS = ToolRendering(RenderingName.OPENAI_TOOLS, argument="queries", written=False)
MASKSEARCH = ToolRendering(RenderingName.MASKSEARCH, argument="query", written=False)
QWEN_TOOLS = ToolRendering(RenderingName.QWEN_TOOLS, argument="queries", written=True)
