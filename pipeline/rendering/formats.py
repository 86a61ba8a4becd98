"""Registry of the formats by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from pipeline.rendering.tagged import RESEARCH, SEARCH_R1
from pipeline.rendering.tool_calls import MASKSEARCH, OPENAI_TOOLS, QWEN_TOOLS
from schemas.renderings import ChatMessage, Rendered, RenderedQuestion, RenderingName, Transcript


class Rendering(Protocol):
    """Format of a transcript: how it is written and parsed. `parse(render(t)) == t` for every transcript."""

    @property
    def name(self) -> RenderingName:
        """The format."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the stop strings for a model that writes it."""
        ...

    def prompt(self, question: RenderedQuestion) -> tuple[ChatMessage, ...]:
        """Return the prompt."""
        ...

    def describe_tools(self, lang: str) -> str | None:
        """Return the schemas of the tools as a JSON array, for formats with tool calls as a field; else None."""
        ...

    def render(self, question: RenderedQuestion, transcript: Transcript) -> Rendered:
        """Return the whole conversation."""
        ...

    def parse(self, question: RenderedQuestion, rendered: Rendered) -> Transcript:
        """Parse the transcript. Raises ReadingError for malformed text."""
        ...


RENDERINGS: dict[RenderingName, Rendering] = {
    rendering.name: rendering for rendering in (SEARCH_R1, RESEARCH, MASKSEARCH, OPENAI_TOOLS, QWEN_TOOLS)
}
"""Every format."""
_SINGLE: dict[RenderingName, Rendering] = {
    rendering.name: replace(rendering, instruction="solve_tagged_single") for rendering in (SEARCH_R1, RESEARCH)
}


def choose_rendering(name: RenderingName, *, single_queries: bool) -> Rendering:
    """Return a format.

    `single_queries`: of a format of tags, the one whose prompt asks for one query in a search, as others read it.
    """
    return _SINGLE.get(name, RENDERINGS[name]) if single_queries else RENDERINGS[name]
