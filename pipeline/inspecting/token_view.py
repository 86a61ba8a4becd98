"""View of the training data of an attempt: a conversation in one format, cut into stretches with and without loss."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.exporting.mask_view import Cell, view_row
from pipeline.inspecting.errors import InspectError
from pipeline.rendering.chat_template import INLINE, ChatTemplateError
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.token_masks import OWN_WORDS, MaskError, TokenMasker
from pipeline.rendering.transcript import TranscriptError, ask, transcribe
from pipeline.report.report_data import ReportExample
from schemas.renderings import Rendered, RenderingName, SegmentKind


@dataclass(frozen=True, slots=True)
class TokenMessage:
    """Message of a role; a tokenised conversation is one message without a role."""

    role: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class TokenView:
    """Conversation with its loss mask."""

    messages: tuple[TokenMessage, ...]
    trained: int
    """Tokens with loss; characters without a tokenizer."""
    total: int
    unit: str
    """`tokens` or `characters`."""


def view_tokens(example: ReportExample, name: RenderingName, masker: TokenMasker | None) -> TokenView:
    """An attempt in a format, by tokens if there is a tokenizer. Raises InspectError if it does not fit the format."""
    try:
        rendered = RENDERINGS[name].render(ask(example.task), transcribe(example.trajectory))
        if masker is None:
            return _view_segments(rendered)
        (row,) = masker.encode([rendered])
    except (TranscriptError, MaskError, ChatTemplateError) as error:
        raise InspectError(f"this attempt cannot be trained on in the format {name}: {error}") from None
    view = view_row(example.trajectory.trajectory_id, row, masker.tokenizer)
    return TokenView((TokenMessage("", view.cells),), view.trained, view.tokens, "tokens")


def _view_segments(rendered: Rendered) -> TokenView:
    messages = []
    for message in rendered.messages:
        cells = [Cell(INLINE.write_thought(message), SegmentKind.THINK, True)] if message.thought else []
        cells += [Cell(one.text, one.kind, one.kind in OWN_WORDS) for one in message.segments]
        cells += [Cell(f"{use.name}({use.arguments})", SegmentKind.QUERY, True) for use in message.tools]
        messages.append(TokenMessage(message.role, tuple(cells)))
    everything = [cell for message in messages for cell in message.cells]
    trained = sum(len(cell.text) for cell in everything if cell.trained)
    return TokenView(tuple(messages), trained, sum(len(cell.text) for cell in everything), "characters")
