"""Renderings: one trajectory as text for a model, in the formats of the field, with every stretch of text named.

A `Transcript` is what all formats carry. A `Rendered` is a chat whose messages are made of segments, so that what a
model wrote and what it was shown can be told apart to the character, whatever the format.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import model_validator

from schemas.record import Frozen


class RenderingName(StrEnum):
    """The formats."""

    SEARCH_R1 = "search-r1"
    RESEARCH = "research"
    MASKSEARCH = "masksearch"
    OPENAI_TOOLS = "openai-tools"
    QWEN_TOOLS = "qwen-tools"


class QuestionKind(StrEnum):
    """What a model is asked."""

    RAMP = "ramp"
    QA = "qa"


class RenderedQuestion(Frozen):
    """What a model is given to solve; it holds no gold."""

    kind: QuestionKind
    """Fill the masks of a passage, or answer a question."""
    lang: str
    """Language code; it picks the words of the prompt."""
    text: str
    """The masked passage with numbered masks under its page's title, or the question."""
    answers: int
    """How many answers are wanted."""


class ShownDocument(Frozen):
    """A search result as a model sees it: one line of title and one of text."""

    title: str
    """Title of its page."""
    text: str
    """Its text, without line breaks."""


class Step(Frozen):
    """A thought, the queries it led to, and what they brought."""

    think: str
    """What was concluded from the step before, and what is sought now."""
    queries: tuple[str, ...]
    """At least one, none with a line break."""
    documents: tuple[ShownDocument, ...]
    """Merged results in order; none when nothing was found."""


class Transcript(Frozen):
    """What every format carries of a trajectory, and gives back when it is read."""

    steps: tuple[Step, ...]
    """The steps, in order."""
    think: str
    """The last thought, before the answer."""
    answers: tuple[str | None, ...]
    """One for each answer wanted; None where there is none."""


class SegmentKind(StrEnum):
    """What a stretch of text is."""

    PROMPT = "prompt"
    THINK = "think"
    QUERY = "query"
    OBSERVATION = "observation"
    ANSWER = "answer"


class Segment(Frozen):
    """A stretch of a message, its own tags included."""

    kind: SegmentKind
    """What it is."""
    text: str
    """What stands there, white space and tags included."""


class ChatRole(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolUse(Frozen):
    """A call of a tool, as chat templates and the OpenAI protocol have it."""

    call_id: str
    """Its id in the conversation."""
    name: str
    """The tool."""
    arguments: str
    """Its arguments, a JSON object as text."""


class ChatMessage(Frozen):
    """A message; its content is the joined text of its segments."""

    role: ChatRole
    """Who speaks."""
    segments: tuple[Segment, ...]
    """Its content in stretches; empty when only tools are called."""
    tools: tuple[ToolUse, ...] = ()
    """Tools that it calls, after its content; they count as `query`."""
    answers_call: str | None = None
    """For role `tool`: the id of the call that it answers."""

    @property
    def content(self) -> str:
        """The whole text."""
        return "".join(segment.text for segment in self.segments)


class Rendered(Frozen):
    """A conversation in one format."""

    rendering: RenderingName
    """The format."""
    messages: tuple[ChatMessage, ...]
    """System and user first, an assistant last."""
    tools: str | None
    """Schemas of the tools, a JSON array as text; None for formats that write tags of their own."""

    @model_validator(mode="after")
    def _ends_with_the_model(self) -> Rendered:
        if not self.messages or self.messages[-1].role is not ChatRole.ASSISTANT:
            raise ValueError("a rendered conversation ends with the assistant")
        return self
