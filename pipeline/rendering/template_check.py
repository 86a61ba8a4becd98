"""Check of a chat template: which formats it can express, how, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.rendering.chat_template import ChatTemplateError
from pipeline.rendering.chat_text import ChatText, render_probe
from pipeline.rendering.stream_turn import StreamTurn
from pipeline.rendering.tool_turns import ToolTurns
from schemas.renderings import RenderingName


class FormatOutcome(StrEnum):
    """Outcome of the check of one format."""

    IDENTICAL = "identical"
    """Tokens are those of the template's own rendering of the same messages."""
    AS_SERVED = "as served"
    """Each turn stands after the prompt that a server writes for it; the template drops thoughts only afterwards."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FormatCheck:
    """Check of one format."""

    rendering: RenderingName
    """The format."""
    outcome: FormatOutcome
    """Whether the template can express it."""
    notes: tuple[str, ...]
    """Reason of a refusal, or what a trainer and a server have to know."""


def check_template(chat: ChatText) -> tuple[FormatCheck, ...]:
    """Return the check of every format, in their order."""
    return tuple(check_format(chat, rendering) for rendering in RenderingName)


def check_format(chat: ChatText, rendering: RenderingName) -> FormatCheck:
    """Return the check of one format."""
    try:
        layout = chat.find_layout(rendering)
        if isinstance(layout, ToolTurns):
            outcome = FormatOutcome.AS_SERVED if layout.as_served else FormatOutcome.IDENTICAL
            return FormatCheck(rendering, outcome, tuple(_describe_turns(layout)))
        return FormatCheck(rendering, FormatOutcome.IDENTICAL, tuple(_describe_stream(layout, rendering)))
    except ChatTemplateError as error:
        return FormatCheck(rendering, FormatOutcome.REFUSED, (error.what, error.fix))


def _describe_turns(layout: ToolTurns) -> Iterator[str]:
    place = layout.form.thought_field
    yield f"thoughts in the field {place}" if place else "thoughts between tags in the content"
    yield from _describe_form(layout)
    if layout.as_served:
        yield "the template drops earlier thoughts once the conversation has ended: export tokens, not messages"


def _describe_stream(layout: StreamTurn, rendering: RenderingName) -> Iterator[str]:
    if layout.opened:
        yield "the generation prompt opens the first thought"
    if layout.lead.strip():
        yield f"the stream begins after {layout.lead!r}"
    yield from _describe_form(layout)
    if layout.is_altered(render_probe(rendering)):
        yield "as a message, the template would alter the stream: export tokens"


def _describe_form(layout: ToolTurns | StreamTurn) -> Iterator[str]:
    if layout.form.switches:
        yield "serve with " + ", ".join(f"{name}={str(value).lower()}" for name, value in layout.form.switches)
    if not layout.end:
        yield "the template writes no end of the last turn: the end-of-sequence token is added"
