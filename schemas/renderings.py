"""Renderings: one trajectory as text for a model, in the published formats, with every stretch of text classified.

A `Transcript` is the content common to all formats. A `Rendered` is a chat whose messages consist of segments, so that
text the model wrote and text it was shown are distinguished to the character in every format.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import model_validator

from schemas.record import Frozen


class RenderingName(StrEnum):
    """Conversation formats."""

    SEARCH_R1 = "search-r1"
    RESEARCH = "research"
    MASKSEARCH = "masksearch"
    OPENAI_TOOLS = "openai-tools"
    QWEN_TOOLS = "qwen-tools"


class QuestionKind(StrEnum):
    """Kind of question."""

    RAMP = "ramp"
    QA = "qa"


class RenderedQuestion(Frozen):
    """Question as given to a model, without gold."""

    kind: QuestionKind
    """Fill the masks of a passage, or answer a question."""
    lang: str
    """Language code; it selects the language of the prompt."""
    text: str
    """The masked passage with numbered masks under its page's title, or the question."""
    answers: int
    """Number of answers requested."""


class ShownDocument(Frozen):
    """Search result as shown to a model: one line of title and one of text."""

    title: str
    """Title of its page."""
    text: str
    """Its text, without line breaks."""


class Step(Frozen):
    """Thought, the queries that followed it, and their results."""

    think: str
    """Conclusion from the previous step, and what to search for now."""
    queries: tuple[str, ...]
    """At least one, none with a line break."""
    documents: tuple[ShownDocument, ...]
    """Merged results in order; empty when nothing was found."""


class Transcript(Frozen):
    """Content of a trajectory that every format carries, and that parsing returns."""

    steps: tuple[Step, ...]
    """The steps, in order."""
    think: str
    """The last thought, before the answer."""
    answers: tuple[str | None, ...]
    """One for each answer requested; None where there is none."""


class SegmentKind(StrEnum):
    """Kind of a stretch of text."""

    PROMPT = "prompt"
    THINK = "think"
    QUERY = "query"
    OBSERVATION = "observation"
    ANSWER = "answer"


class Segment(Frozen):
    """Stretch of a message, its own tags included."""

    kind: SegmentKind
    """Kind of the stretch."""
    text: str
    """Text, white space and tags included."""


class ChatRole(StrEnum):
    """Role of a message in a chat."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


THOUGHT_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Fields of a message in which servers and chat templates have its thought."""


class ToolUse(Frozen):
    """Tool call, as in chat templates and the OpenAI protocol."""

    call_id: str
    """Id of the call in the conversation."""
    name: str
    """Name of the tool."""
    arguments: str
    """Its arguments, a JSON object as text."""


class ChatMessage(Frozen):
    """Chat message whose content is the joined text of its segments."""

    role: ChatRole
    """Role of the message."""
    segments: tuple[Segment, ...]
    """Content as segments; empty when the message only calls tools."""
    thought: str | None = None
    """Thought before the content, without tags; None where the content holds the thoughts, or there is none."""
    tools: tuple[ToolUse, ...] = ()
    """Tool calls after the content; they count as `query`."""
    answers_call: str | None = None
    """For role `tool`: the id of the call that it answers."""

    @property
    def content(self) -> str:
        """Return the text of the segments."""
        return "".join(segment.text for segment in self.segments)


class Rendered(Frozen):
    """Conversation in one format."""

    rendering: RenderingName
    """The format."""
    messages: tuple[ChatMessage, ...]
    """System and user first, an assistant last."""
    tools: str | None
    """Schemas of the tools, a JSON array as text; None for formats that write tags of their own."""

    @model_validator(mode="after")
    def _ends_with_the_model(self) -> Rendered:
        if not self.messages or self.messages[-1].role is not ChatRole.ASSISTANT:
            raise ValueError("a rendered conversation must end with the assistant")
        return self
