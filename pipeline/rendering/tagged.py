"""Formats that write everything into one stream of tags: Search-R1 (arXiv 2503.09516) and ReSearch (2503.19470).

The model thinks, searches and stops at the closing tag; the results are put in by whoever runs it, with the same white
space here as in `observe`, so that what is learned is what is met; then the model goes on in the same message.
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
    Document,
    Question,
    Rendered,
    RenderingName,
    Segment,
    SegmentKind,
    Step,
    Transcript,
)

_BOX = re.compile(r"\\boxed\{(.*)\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TaggedRendering:
    """A format of tags in one assistant message."""

    name: RenderingName
    """The format."""
    results: str
    """The tag around results."""
    boxed: bool
    """The answer stands in `\\boxed{}`."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Where generation stops: a query or the answer is complete."""
        return ("</search>", "</answer>")

    def prompt(self, question: Question) -> tuple[ChatMessage, ...]:
        """What the model is given: the format's rules and the question in one message, as for base models."""
        words = write_instruction("solve_tagged", question, results=self.results, boxed=self.boxed)
        segment = Segment(kind=SegmentKind.PROMPT, text=f"{words}\n\n{write_question(question)}")
        return (ChatMessage(role=ChatRole.USER, segments=(segment,)),)

    def describe_tools(self, lang: str) -> str | None:
        """None: the prompt says how to search."""
        return None

    def observe(self, documents: Sequence[Document], lang: str) -> Segment:
        """What is put into the stream after a search."""
        inside = write_documents(documents, lang)
        text = f"\n\n<{self.results}>{inside}</{self.results}>\n\n"
        return Segment(kind=SegmentKind.OBSERVATION, text=text)

    def render(self, question: Question, transcript: Transcript) -> Rendered:
        """The conversation."""
        stream = ChatMessage(role=ChatRole.ASSISTANT, segments=tuple(self._write(question, transcript)))
        return Rendered(rendering=self.name, messages=(*self.prompt(question), stream), tools=None)

    def parse(self, question: Question, rendered: Rendered) -> Transcript:
        """Read the transcript back. Raises ReadingError, whatever the text."""
        return self.parse_stream(question, rendered.messages[-1].content)

    def parse_stream(self, question: Question, text: str) -> Transcript:
        """Read what a model wrote, results put in. Raises ReadingError at the first thing out of place."""
        steps: list[Step] = []
        rest = text
        while True:
            think, rest = _take(rest, "think")
            if not rest.startswith("<search>"):
                break
            queries, rest = _take(rest, "search")
            found, rest = _take(rest.lstrip("\n"), self.results)
            documents = read_documents(found, question.lang)
            steps.append(Step(think=think, queries=_read_lines(queries), documents=documents))
            rest = rest.lstrip("\n")
        answer, rest = _take(rest, "answer")
        if rest.strip():
            raise ReadingError("text follows the answer")
        if self.boxed:
            answer = _unbox(answer)
        return Transcript(steps=tuple(steps), think=think, answers=read_answers(answer, question.answers))

    def _write(self, question: Question, transcript: Transcript) -> Iterator[Segment]:
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


def _take(text: str, tag: str) -> tuple[str, str]:
    """The inside of a tag that opens the text, and what follows it (without the line end after a thought)."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    if not text.startswith(opening):
        raise ReadingError(f"{opening} is expected, {text[:20]!r} is there")
    inside, found, rest = text[len(opening) :].partition(closing)
    if not found:
        raise ReadingError(f"{opening} is not closed")
    return inside, rest.removeprefix("\n") if tag == "think" else rest


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
