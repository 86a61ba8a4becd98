"""Chat template of a tokenizer: the forms of messages that it can be given, and the text that it writes.

Guarantee: a template that writes today's date writes the date that was given instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import combinations, product
from os.path import commonprefix
from typing import Any

import orjson

from pipeline.errors import RampforgeError
from pipeline.rendering.questions import SEARCH_TOOL
from schemas.renderings import THOUGHT_FIELDS, ChatMessage, ChatRole, Segment, SegmentKind

THINK_TAGS = ("<think>\n", "\n</think>\n\n")
"""Tags around a thought in the content of a message."""
SWITCHES = {
    "enable_thinking": True,
    "thinking": True,
    "preserve_thinking": True,
    "keep_past_thinking": True,
    "truncate_history_thinking": False,
    "clear_thinking": False,
    "drop_thinking": False,
}
"""Variables of templates that open a thought or keep earlier ones, with the value that does."""
SPECIAL_TOKEN = r"<[|｜][^<>\s]{1,60}>|<[^<>\s|｜]{1,60}[|｜]>|<(?:start|end)_of_\w+>|</?s>|<SPECIAL_\d+>"  # noqa: S105
"""Special tokens as templates write them."""
THOUGHT_TAG = re.compile(r"</?(?:\w+:)?think>")
FAILS = "the chat template fails"
_DATE = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")


class ChatTemplateError(RampforgeError):
    """The chat template of a model does not support a format."""


class AlteredError(ValueError):
    """A row that the template of a model alters."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Stretch of the text."""

    kind: SegmentKind
    """Kind of the stretch; text added by a template counts as `prompt`, an end of turn as the segment that it ends."""
    text: str
    """Text of the stretch."""
    spoken: bool
    """Whether the model wrote it."""


@dataclass(frozen=True, slots=True)
class MessageForm:
    """Form in which messages are given to a template."""

    thought_field: str | None = None
    """Field of the thoughts; None for tags in the content."""
    arguments_as_text: bool = False
    """Whether the arguments of a call are JSON text rather than an object."""
    switches: tuple[tuple[str, bool], ...] = ()
    """Variables of the template, with their values."""

    def write(self, message: ChatMessage) -> dict[str, Any]:
        """Return a message for a chat template; empty keys are omitted."""
        plain: dict[str, Any] = {"role": str(message.role), "content": message.content}
        if message.thought is not None:
            thought = self.write_thought(message)
            if self.thought_field:
                plain[self.thought_field] = thought
            else:
                plain["content"] = thought + message.content
        if message.tools:
            plain["tool_calls"] = [
                {
                    "id": use.call_id,
                    "type": "function",
                    "function": {
                        "name": use.name,
                        "arguments": use.arguments if self.arguments_as_text else orjson.loads(use.arguments),
                    },
                }
                for use in message.tools
            ]
        if message.answers_call is not None:
            plain |= {"tool_call_id": message.answers_call, "name": SEARCH_TOOL}
        return plain

    def write_thought(self, message: ChatMessage) -> str:
        """Return the thought as it stands in its field, or with its tags in the content; empty without a thought."""
        thought = message.thought
        return "" if thought is None else thought if self.thought_field else thought.join(THINK_TAGS)


INLINE = MessageForm()
"""Form that every template takes: thoughts between tags in the content."""


def write_inline(message: ChatMessage) -> str:
    """Return the content of a message with its thought."""
    return INLINE.write_thought(message) + message.content


class ChatTemplate:
    """Writer of text with a tokenizer's chat template."""

    def __init__(self, tokenizer: Any, day: date | None = None) -> None:
        """`tokenizer` is one of transformers; `day`: date that the template writes, today by default.

        Raises ChatTemplateError when it has no chat template.
        """
        if not tokenizer.chat_template:
            raise ChatTemplateError(
                f"the tokenizer {tokenizer.name_or_path} has no chat template",
                "use an instruct model, or set tokenizer.chat_template and save it",
            )
        self._tokenizer = tokenizer
        self._day = day
        self.eos = str(tokenizer.eos_token or "")

    @cached_property
    def source(self) -> str:
        """Return the templates as text: some tokenizers have several."""
        templates = self._tokenizer.chat_template
        return "\n".join(templates.values()) if isinstance(templates, dict) else str(templates)

    def write(
        self, messages: Sequence[ChatMessage], tools: str | None, form: MessageForm, *, generation: bool = False
    ) -> str:
        """Return the text of messages; `generation`: with the prompt for the next turn of the model.

        Raises ChatTemplateError.
        """
        plain = [form.write(message) for message in messages]
        schemas = orjson.loads(tools) if tools else None
        options: dict[str, Any] = dict(form.switches)
        if self._day and "strftime_now" in self.source:
            # transformers passes no functions to a template.
            chosen = self._tokenizer.get_chat_template(tools=schemas)
            options["chat_template"] = _DATE.sub(self._write_date, chosen)
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    plain, tokenize=False, tools=schemas, add_generation_prompt=generation, **options
                )
            )
        except Exception as error:  # jinja templates may raise anything
            raise ChatTemplateError(f"{FAILS}: {error}", "use another rendering or model") from error

    def list_forms(self, *, thoughts: bool, calls: bool) -> Iterator[MessageForm]:
        """Return the forms to try, those with fewer switches first; a template with a place for thoughts gets no tags.

        `thoughts`: messages have thoughts of their own; `calls`: calls are a field.
        """
        takes = [field for field in THOUGHT_FIELDS if thoughts and self._takes_thoughts(field)]
        fields: list[str | None] = [*takes] or [None]
        for switches, field, as_text in product(self._list_switches(), fields, (False, True) if calls else (False,)):
            yield MessageForm(field, as_text, switches)

    def _takes_thoughts(self, field: str) -> bool:
        if field not in self.source:
            return False
        thought = "which-thought"
        asked = ChatMessage(role=ChatRole.USER, segments=(Segment(kind=SegmentKind.PROMPT, text="-"),))
        reply = ChatMessage(
            role=ChatRole.ASSISTANT, segments=(Segment(kind=SegmentKind.ANSWER, text="-"),), thought=thought
        )
        for switches in self._list_switches():
            try:
                if thought in self.write([asked, reply], None, MessageForm(field, switches=switches)):
                    return True
            except ChatTemplateError:
                continue
        return False

    def _list_switches(self) -> Iterator[tuple[tuple[str, bool], ...]]:
        declared = [item for item in SWITCHES.items() if re.search(rf"(?<![.\w\"']){item[0]}\b(?!['\"])", self.source)]
        for count in range(3):
            yield from combinations(declared, count)

    def _write_date(self, match: re.Match[str]) -> str:
        return orjson.dumps((self._day or date.today()).strftime(match[2])).decode()


def measure_end(last: str, middle: str, fallback: str, eos: str) -> int:
    """Return the length of the end of a turn that the model writes.

    `last`, `middle`: what stands after the turn when it is the last one, and when a message follows. The end is the
    last special token that both have. Without one, it is the first special token of `fallback`, if nothing else stands
    before it there.
    """
    special = re.compile(f"{re.escape(eos)}|{SPECIAL_TOKEN}" if eos else SPECIAL_TOKEN)
    common = commonprefix([last, middle])  # noqa: RUF071 - of texts, not of paths
    if found := list(special.finditer(common)):
        return found[-1].end()
    first = special.search(fallback)
    return first.end() if first and first.start() <= len(common) else 0
