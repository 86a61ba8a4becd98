"""Conversation as the exact text a model sees: the messages, and what its chat template adds around them.

The text is that of serving: the prompt as the template writes it, then the model's output, then the text between two
turns. A format that the template cannot express is refused, with the formats that it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache, lru_cache
from typing import Any

from pipeline.rendering.chat_template import ChatTemplate, ChatTemplateError, Stretch
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.stream_turn import StreamTurn, find_stream_turn
from pipeline.rendering.tool_turns import ToolTurns, find_tool_turns
from schemas.policies import STREAMED
from schemas.renderings import (
    ChatMessage,
    QuestionKind,
    Rendered,
    RenderedQuestion,
    RenderingName,
    ShownDocument,
    Step,
    Transcript,
)

PROBE = Transcript(
    steps=(
        Step(
            think="First thought:\n\nalpha?",
            queries=("alpha one", 'the "beta" é'),
            documents=(ShownDocument(title="Gamma", text='The "gamma" 北.'), ShownDocument(title="Delta", text="Two.")),
        ),
        Step(think="Next: epsilon.", queries=("zeta",), documents=(ShownDocument(title="Eta", text='An "eta".'),)),
    ),
    think="Last: theta.",
    answers=("iota", None),
)
"""Trajectory with which templates are examined; every text in it is different."""
QUESTION = RenderedQuestion(kind=QuestionKind.RAMP, lang="en", text="A page\nThe [mask 1] is [mask 2].", answers=2)


@cache
def render_probe(rendering: RenderingName) -> Rendered:
    """Return the conversation of the probe in a format."""
    return RENDERINGS[rendering].render(QUESTION, PROBE)


class ChatText:
    """Writer of conversations with one model's chat template."""

    def __init__(self, tokenizer: Any, day: date | None = None) -> None:
        """`tokenizer` is one of transformers; `day`: date that its template writes, today by default.

        Raises ChatTemplateError when it has no chat template.
        """
        self.template = ChatTemplate(tokenizer, day)
        self._layouts = lru_cache(maxsize=None)(self._find_layout)

    def write(self, rendered: Rendered) -> Iterable[Stretch]:
        """Return the whole text, in stretches. Raises AlteredError for a row that the template alters, and
        ChatTemplateError.
        """
        return self.find_layout(rendered.rendering).write(rendered)

    def write_prompt(self, messages: Sequence[ChatMessage]) -> str:
        """Return the text that the model continues with a stream of tags. Raises ChatTemplateError."""
        return self.find_stream().write_prompt(messages)

    def find_stream(self) -> StreamTurn:
        """Return the layout of a stream of tags. Raises ChatTemplateError."""
        found = self._layouts(RenderingName.SEARCH_R1)
        if isinstance(found, StreamTurn):
            return found
        raise self._refuse(RenderingName.SEARCH_R1)

    def find_layout(self, rendering: RenderingName) -> ToolTurns | StreamTurn:
        """Return the layout of a format. Raises ChatTemplateError, with the formats that the template can express."""
        found = self._layouts(rendering)
        if isinstance(found, ChatTemplateError):
            raise self._refuse(rendering)
        return found

    def _refuse(self, rendering: RenderingName) -> ChatTemplateError:
        layouts = {name: self._layouts(name) for name in RenderingName}
        fits = [name for name, layout in layouts.items() if not isinstance(layout, ChatTemplateError)]
        refused = layouts[rendering]
        reason = refused.what if isinstance(refused, ChatTemplateError) else ""
        fix = f"use the rendering {' or '.join(fits)}" if fits else "use another model"
        return ChatTemplateError(f"{reason}, so it cannot express {rendering}", fix)

    def _find_layout(self, rendering: RenderingName) -> ToolTurns | StreamTurn | ChatTemplateError:
        try:
            if rendering in STREAMED:
                return find_stream_turn(self.template)
            return find_tool_turns(self.template, render_probe(rendering))
        except ChatTemplateError as error:
            return error
