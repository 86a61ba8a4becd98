"""Formats with a single stream of tags: Search-R1 (arXiv 2503.09516) and ReSearch (2503.19470).

The model thinks, searches and stops at the closing tag; the environment inserts the results with the same white space
as `observe` here, so that training equals inference; then the model continues in the same message.
"""

from __future__ import annotations

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
from pipeline.rendering.questions import write_instruction, write_question
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
    Transcript,
)

_OPENINGS = ("<think>", "<search>", "<answer>", "<tool_call>")
_SPACE = re.compile(r"\s*")
_BOX = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TaggedRendering:
    """Format of tags in one assistant message."""

    name: RenderingName
    """The format."""
    results: str
    """Tag around results."""
    boxed: bool
    """The answer stands in `\\boxed{}`."""
    instruction: str = "solve_tagged"
    """Template of the instructions."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the stop strings: a query or the answer is complete."""
        return ("</search>", "</answer>")

    def prompt(self, question: RenderedQuestion) -> tuple[ChatMessage, ...]:
        """Return the prompt: the format's instructions and the question in one message, as for base models."""
        words = write_instruction(self.instruction, question, results=self.results, boxed=self.boxed)
        segment = Segment(kind=SegmentKind.PROMPT, text=f"{words}\n\n{write_question(question)}")
        return (ChatMessage(role=ChatRole.USER, segments=(segment,)),)

    def describe_tools(self, lang: str) -> str | None:
        """Return None: the prompt describes searching."""
        return None

    def observe(self, documents: Sequence[ShownDocument], lang: str) -> Segment:
        """Return the text to insert into the stream after a search."""
        inside = write_documents(documents, lang)
        text = f"\n\n<{self.results}>{inside}</{self.results}>\n\n"
        return Segment(kind=SegmentKind.OBSERVATION, text=text)

    def render(self, question: RenderedQuestion, transcript: Transcript) -> Rendered:
        """Return the conversation."""
        stream = ChatMessage(role=ChatRole.ASSISTANT, segments=tuple(self._write(question, transcript)))
        return Rendered(rendering=self.name, messages=(*self.prompt(question), stream), tools=None)

    def parse(self, question: RenderedQuestion, rendered: Rendered) -> Transcript:
        """Parse the transcript. Raises ReadingError for any malformed text."""
        return self.parse_stream(question, rendered.messages[-1].content)

    def parse_stream(self, question: RenderedQuestion, text: str) -> Transcript:
        """Parse a model's output with results inserted. Raises ReadingError at the first malformed part."""
        *searches, (think, _, _) = turns = self._walk(text)
        steps = (
            Step(think=thought, queries=_read_lines(said), documents=read_documents(found or "", question.lang))
            for thought, said, found in searches
        )
        return Transcript(steps=tuple(steps), think=think, answers=self._read_answers(question, turns))

    def check_stream(self, question: RenderedQuestion, text: str) -> None:
        """Raise ReadingError unless the text is well-formed, whatever the results contain, since
        others may write them.
        """
        *searches, _ = turns = self._walk(text)
        for _, said, _ in searches:
            _read_lines(said)
        self._read_answers(question, turns)

    def _walk(self, text: str) -> list[tuple[str, str, str | None]]:
        """Yield thought, query and results of each search, then the last thought and the answer, with None for results.

        White space between tags is ignored, and so is an initial `<think>` that ends the prompt.
        """
        turns: list[tuple[str, str, str | None]] = []
        text, at = open_thought(text), 0
        while True:
            think, at = _take(text, "think", at)
            if not text.startswith("<search>", at):
                answer, at = _take(text, "answer", at)
                if at < len(text):
                    raise ReadingError("text follows the answer")
                return [*turns, (think, answer, None)]
            said, at = _take(text, "search", at)
            found, at = _take(text, self.results, at)
            turns.append((think, said, found))

    def _read_answers(
        self, question: RenderedQuestion, turns: list[tuple[str, str, str | None]]
    ) -> tuple[str | None, ...]:
        answer = turns[-1][1]
        return read_answers(_unbox(answer) if self.boxed else answer, question.answers)

    def _write(self, question: RenderedQuestion, transcript: Transcript) -> Iterator[Segment]:
        for step in transcript.steps:
            yield _write_think(step.think)
            queries = "\n".join(step.queries)
            yield Segment(kind=SegmentKind.QUERY, text=f"<search>{queries}</search>")
            yield self.observe(step.documents, question.lang)
        yield _write_think(transcript.think)
        answer = write_answers(transcript.answers)
        inside = f"\\boxed{{{answer}}}" if self.boxed else answer
        yield Segment(kind=SegmentKind.ANSWER, text=f"<answer>{inside}</answer>")


def _write_think(think: str) -> Segment:
    return Segment(kind=SegmentKind.THINK, text=f"<think>{think}</think>\n")


def open_thought(text: str) -> str:
    """Return the text with the `<think>` of the chat template before it, if the text continues from there."""
    head, closed, _ = text.partition("</think>")
    return f"<think>{text}" if closed and not any(tag in head for tag in _OPENINGS) else text


def _take(text: str, tag: str, at: int) -> tuple[str, int]:
    """Return the content of the next tag, and the offset after it, ignoring white space."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = _skip_space(text, at)
    if not text.startswith(opening, start):
        raise ReadingError(f"{opening} is expected, {text[start : start + 20]!r} is there")
    start += len(opening)
    end = text.find(closing, start)
    if end < 0:
        raise ReadingError(f"{opening} is not closed")
    if tag == "think" and opening in text[start:end]:
        raise ReadingError("a thought is opened twice")
    return text[start:end], _skip_space(text, end + len(closing))


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _read_lines(text: str) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in text.split("\n") if line.strip())
    if not lines:
        raise ReadingError("a search has no query")
    return lines


def _unbox(answer: str) -> str:
    match = _BOX.fullmatch(answer.strip())
    if not match:
        raise ReadingError("the answer stands in no \\boxed{}")
    return match[1]


SEARCH_R1 = TaggedRendering(RenderingName.SEARCH_R1, results="information", boxed=False)
RESEARCH = TaggedRendering(RenderingName.RESEARCH, results="result", boxed=True)
