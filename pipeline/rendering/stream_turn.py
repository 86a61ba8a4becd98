"""Layout of a stream of tags, one turn of the model, in the text of a chat template.

Guarantees: the text is the generation prompt, what the template writes before the content of a turn, the stream
unaltered, and the template's own end of a turn; a thought that the generation prompt has opened is not opened again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.rendering.chat_template import (
    THOUGHT_TAG,
    ChatTemplate,
    ChatTemplateError,
    MessageForm,
    Stretch,
    measure_end,
)
from schemas.renderings import ChatMessage, ChatRole, Rendered, Segment, SegmentKind

OPENING = "<think>"
MARK = "the-content"
_OPENED = re.compile(rf"{OPENING}\s*\Z")


@dataclass(frozen=True, slots=True)
class StreamTurn:
    """Layout for one template."""

    template: ChatTemplate
    form: MessageForm
    """Form in which the template gets messages."""
    lead: str
    """Text that the template writes between the generation prompt and the content: a channel, a line break."""
    opened: bool
    """Whether the generation prompt opens the first thought."""
    end: str
    """End of a turn, as far as the model writes it; empty where the template writes none."""
    rest: str
    """Text of the template after it."""

    def write_prompt(self, messages: Sequence[ChatMessage]) -> str:
        """Return the text that the model continues with its stream."""
        return self.template.write(messages, None, self.form, generation=True) + self.lead

    def write(self, rendered: Rendered) -> Iterator[Stretch]:
        """Return the text of a row, in stretches."""
        *messages, stream = rendered.messages
        prompt = self.template.write(messages, None, self.form, generation=True)
        yield Stretch(SegmentKind.PROMPT, prompt, spoken=False)
        yield Stretch(SegmentKind.THINK, self.lead, spoken=True)
        last = SegmentKind.PROMPT
        for number, segment in enumerate(stream.segments):
            text = segment.text.removeprefix(OPENING) if self.opened and number == 0 else segment.text
            # The stream contains its own results; the model wrote everything else.
            yield Stretch(segment.kind, text, spoken=segment.kind is not SegmentKind.OBSERVATION)
            last = segment.kind
        yield Stretch(last, self.end or self.template.eos, spoken=True)
        yield Stretch(SegmentKind.PROMPT, self.rest, spoken=False)

    def is_altered(self, rendered: Rendered) -> bool:
        """Return whether the template alters the stream when it is given as a message."""
        text = "".join(stretch.text for stretch in self.write(rendered))
        return self.template.write(rendered.messages, None, self.form) not in (
            text,
            text.removesuffix(self.template.eos),
        )


def find_stream_turn(template: ChatTemplate) -> StreamTurn:
    """Return the layout. Raises ChatTemplateError with the reason why the template cannot express a stream."""
    reason = ""
    for form in template.list_forms(thoughts=False, calls=False):
        try:
            return _probe(template, form)
        except ChatTemplateError as error:
            reason = reason or error.what
    raise ChatTemplateError(reason, "use another rendering or model")


def _probe(template: ChatTemplate, form: MessageForm) -> StreamTurn:
    asked, reply = _say(ChatRole.USER, "-"), _say(ChatRole.ASSISTANT, MARK)
    prompt = template.write([asked], None, form, generation=True)
    before, found, ending = template.write([asked, reply], None, form).partition(MARK)
    if not found:
        raise ChatTemplateError("the chat template does not render assistant messages", "use another model")
    try:
        middle = template.write([asked, reply, asked], None, form).partition(MARK)[2]
    except ChatTemplateError:
        middle = ending
    lead, opened = "", bool(_OPENED.search(prompt))
    if not opened:
        if not before.startswith(prompt):
            raise _refuse("the chat template begins a turn otherwise than its generation prompt does")
        lead = before.removeprefix(prompt)
        # An empty thought stands where the thought of the stream belongs.
        lead = re.sub(rf"{OPENING}\s*</think>\s*\Z", "", lead)
        if THOUGHT_TAG.search(lead) or THOUGHT_TAG.search(prompt.rpartition("-")[2]):
            raise _refuse("the generation prompt closes the thought of a turn, or opens it in another form")
    at = measure_end(ending, middle, ending, template.eos)
    return StreamTurn(template, form, lead, opened, ending[:at], ending[at:])


def _say(role: ChatRole, text: str) -> ChatMessage:
    return ChatMessage(role=role, segments=(Segment(kind=SegmentKind.PROMPT, text=text),))


def _refuse(reason: str) -> ChatTemplateError:
    return ChatTemplateError(reason, "use another rendering or model")
