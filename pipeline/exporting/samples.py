"""Samples: examples rendered in the chosen format, from which every row is made.

Guarantees: an example is a sample or a named reason; examples are tokenised together, never across a boundary; tokens
that a model wrote are not tokenised again for the same tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.rendering.chat_template import INLINE, MessageForm
from pipeline.rendering.formats import choose_rendering
from pipeline.rendering.token_masks import MaskError, TokenMasker, TokenRow
from schemas.exports import ExportSettings, Purpose, TrainingExample
from schemas.renderings import ChatMessage, Rendered, RenderingName

TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Sample:
    """Rendered example."""

    example: TrainingExample
    """Trajectory and its task."""
    rendering: RenderingName
    """The format."""
    form: MessageForm
    """Form in which a chat template gets the messages."""
    messages: tuple[ChatMessage, ...]
    """Conversation; for a prompt, the part given to the model."""
    tools: str | None
    """Schemas of the tools as a JSON array, for formats with tool calls as a field."""
    rejected: tuple[ChatMessage, ...] = ()
    """In a pair, what the wrong attempt said."""
    tokens: TokenRow | None = None
    """Conversation as tokens, where a tokenizer is named."""


def make_samples(
    examples: Sequence[TrainingExample],
    settings: ExportSettings,
    purpose: Purpose,
    masker: TokenMasker | None = None,
    written_as: MessageForm = INLINE,
) -> Iterator[Sample | MaskError]:
    """Return the sample of each example, or the reason for having none. `written_as`: form of the messages."""
    form = choose_rendering(settings.rendering, single_queries=settings.single_queries)
    if purpose is Purpose.RL:
        for example in examples:
            tools = form.describe_tools(example.question.lang)
            yield Sample(example, form.name, INLINE, form.prompt(example.question), tools)
        return
    conversations = [render_example(example, form.name) for example in examples]
    rows = _tokenise(examples, conversations, masker) if masker else [None] * len(conversations)
    for example, conversation, row in zip(examples, conversations, rows, strict=True):
        if isinstance(row, MaskError):
            yield row
        elif row and settings.max_tokens and len(row.input_ids) > settings.max_tokens:
            yield MaskError(TOO_LONG, f"{len(row.input_ids):,} tokens")
        else:
            rejected = render_rejected(example, form.name)
            yield Sample(example, form.name, written_as, conversation.messages, conversation.tools, rejected, row)


def render_rejected(example: TrainingExample, rendering: RenderingName) -> tuple[ChatMessage, ...]:
    """Return what the wrong attempt of a pair said; nothing where there is none."""
    if example.rejected is None:
        return ()
    form = choose_rendering(rendering, single_queries=example.single_queries)
    return form.render(example.question, example.rejected).messages[len(form.prompt(example.question)) :]


def _tokenise(
    examples: Sequence[TrainingExample], conversations: Sequence[Rendered], masker: TokenMasker
) -> list[TokenRow | MaskError]:
    """Tokenise conversations; tokens that a model of this tokenizer wrote are kept."""
    exact = {
        place: masker.take(one.stream)
        for place, (one, conversation) in enumerate(zip(examples, conversations, strict=True))
        if one.stream and one.stream.tokenizer == masker.digest and one.stream.rendering is conversation.rendering
    }
    rest = [conversation for place, conversation in enumerate(conversations) if place not in exact]
    encoded = iter(masker.try_encode(rest))
    return [exact[place] if place in exact else next(encoded) for place in range(len(conversations))]


def render_example(example: TrainingExample, rendering: RenderingName) -> Rendered:
    """Return the conversation of a usable example. Raises ValueError for any other."""
    if example.transcript is None:
        raise ValueError(f"{example.trajectory_id} has no transcript: {example.fault}")
    form = choose_rendering(rendering, single_queries=example.single_queries)
    return form.render(example.question, example.transcript)
