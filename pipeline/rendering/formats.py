"""The formats by name."""

from __future__ import annotations

from typing import Protocol

from pipeline.rendering.tagged import RESEARCH, SEARCH_R1
from pipeline.rendering.tool_calls import MASKSEARCH, OPENAI_TOOLS, QWEN_TOOLS
from schemas.renderings import ChatMessage, Rendered, RenderedQuestion, RenderingName, Transcript


class Rendering(Protocol):
    """A format: how a transcript looks, and how it is read back. `parse(render(t)) == t` for every transcript."""

    @property
    def name(self) -> RenderingName:
        """The format."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Where a model that writes it is stopped."""
        ...

    def prompt(self, question: RenderedQuestion) -> tuple[ChatMessage, ...]:
        """What the model is given."""
        ...

    def describe_tools(self, lang: str) -> str | None:
        """Schemas of the tools as a JSON array, for formats that call them by a field; else None."""
        ...

    def render(self, question: RenderedQuestion, transcript: Transcript) -> Rendered:
        """The whole conversation."""
        ...

    def parse(self, question: RenderedQuestion, rendered: Rendered) -> Transcript:
        """Read the transcript back. Raises ReadingError for text out of form."""
        ...


RENDERINGS: dict[RenderingName, Rendering] = {
    rendering.name: rendering for rendering in (SEARCH_R1, RESEARCH, MASKSEARCH, OPENAI_TOOLS, QWEN_TOOLS)
}
"""Every format."""
