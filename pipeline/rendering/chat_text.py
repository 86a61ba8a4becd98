"""Conversation as the exact text a model sees: the messages, and what its chat template adds around them.

Built like a rollout: the prompt as the template writes it, with the generation prompt; then the model's output,
verbatim; then the text between two turns. Thus no template can change earlier output of the model (some drop earlier
thoughts, or parse `</think>` inside a message), and training sees the same text as serving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from pipeline.errors import RampforgeError
from schemas.renderings import ChatMessage, ChatRole, Rendered, SegmentKind

MARK = "\u2402mark\u2403"
"""Placeholder for content when a template is examined; no template or other text contains it."""


class ChatTemplateError(RampforgeError):
    """The chat template of a model does not support a format."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Stretch of the text."""

    kind: SegmentKind
    """Kind of the stretch; text added by a template counts as `prompt`, an end of turn as the segment that it ends."""
    text: str
    """Text of the stretch."""
    spoken: bool
    """Whether the model wrote it."""


class ChatText:
    """Writer of conversations with one model's chat template."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is one of transformers. Raises ChatTemplateError when it has no chat template."""
        if not tokenizer.chat_template:
            raise ChatTemplateError(
                f"the tokenizer {tokenizer.name_or_path} has no chat template",
                "use an instruct model, or set tokenizer.chat_template and save it",
            )
        self._tokenizer = tokenizer
        self._glue = lru_cache(maxsize=None)(self._find_glue)
        self._ending = lru_cache(maxsize=1)(self._find_ending)

    def write(self, rendered: Rendered) -> Iterator[Stretch]:
        """Return the whole text, in stretches. Raises ChatTemplateError."""
        messages = rendered.messages
        first = next(i for i, message in enumerate(messages) if message.role is ChatRole.ASSISTANT)
        yield Stretch(SegmentKind.PROMPT, self.write_prompt(messages[:first], rendered.tools), spoken=False)
        for at in range(first, len(messages)):
            message = messages[at]
            if message.role is not ChatRole.ASSISTANT:
                before, after = self._glue(message.role)
                yield Stretch(SegmentKind.PROMPT, before, spoken=False)
                yield from (Stretch(segment.kind, segment.text, spoken=False) for segment in message.segments)
                yield Stretch(SegmentKind.PROMPT, after, spoken=False)
                continue
            yield from self._write_spoken(message)

    def write_prompt(self, messages: Sequence[ChatMessage], tools: str | None) -> str:
        """Return the text that the model continues. Raises ChatTemplateError when the tools are not in it."""
        plain = [_to_plain(message) for message in messages]
        schemas = orjson.loads(tools) if tools else None
        text = self._apply(plain, tools=schemas, add_generation_prompt=True)
        if schemas and text == self._apply(plain, add_generation_prompt=True):
            raise ChatTemplateError(
                "the chat template does not render tools", "use the rendering qwen-tools, which writes them out"
            )
        return text

    def _write_spoken(self, message: ChatMessage) -> Iterator[Stretch]:
        last = SegmentKind.PROMPT
        for segment in message.segments:
            # A stream of tags contains its own results; the model wrote everything else.
            yield Stretch(segment.kind, segment.text, spoken=segment.kind is not SegmentKind.OBSERVATION)
            last = segment.kind
        if message.tools:
            last = SegmentKind.QUERY
            yield Stretch(last, self._write_calls(message), spoken=True)
        ending, rest = self._ending()
        yield Stretch(last, ending, spoken=True)
        if rest:
            yield Stretch(SegmentKind.PROMPT, rest, spoken=False)

    def _write_calls(self, message: ChatMessage) -> str:
        """Return the template's rendering of tool calls after the content."""
        calls = [
            {"type": "function", "id": u.call_id, "function": _to_function(u.name, u.arguments)} for u in message.tools
        ]
        asked = {"role": "user", "content": "-"}
        text = self._apply([asked, {"role": "assistant", "content": MARK, "tool_calls": calls}])
        _, found, after = text.partition(MARK)
        ending = "".join(self._ending())
        if not found or not after.endswith(ending) or after == ending:
            raise ChatTemplateError(
                "the chat template does not write tool calls after the content of a message",
                "use the rendering qwen-tools, which writes them out",
            )
        return after.removesuffix(ending)

    def _find_glue(self, role: ChatRole) -> tuple[str, str]:
        """Return the text between the end of a turn of the model and a message of the role, and between it and the
        next.
        """
        message: dict[str, Any] = {"role": str(role), "content": MARK}
        spoken: dict[str, Any] = {"role": "assistant", "content": MARK}
        if role is ChatRole.TOOL:
            function = _to_function("search", "{}")
            spoken["tool_calls"] = [{"type": "function", "id": "call_1", "function": function}]
            message |= {"tool_call_id": "call_1", "name": "search"}
        asked = {"role": "user", "content": "-"}
        turn = self._apply([asked, spoken])
        text = self._apply([asked, spoken, message], add_generation_prompt=True)
        parts = text.removeprefix(turn).split(MARK)
        if not text.startswith(turn) or len(parts) != 2:
            raise ChatTemplateError(
                f"the chat template does not put a message of role {role} after a turn of the model as it stands",
                "use the rendering search-r1 or research, which needs one turn only",
            )
        return parts[0], parts[1]

    def _find_ending(self) -> tuple[str, str]:
        """Return the end of a turn of the model: the part that the model writes, and what the
        template adds after it.
        """
        text = self._apply([{"role": "user", "content": "-"}, {"role": "assistant", "content": MARK}])
        _, found, after = text.partition(MARK)
        if not found:
            raise ChatTemplateError("the chat template does not render assistant messages", "use another model")
        eos = self._tokenizer.eos_token or ""
        ending, sep, rest = after.partition(eos) if eos else (after, "", "")
        return (ending + sep, rest) if sep else (eos, after)

    def _apply(self, messages: list[dict[str, Any]], **options: Any) -> str:
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, **options))
        except Exception as error:  # jinja templates may raise anything
            raise ChatTemplateError(f"the chat template fails: {error}", "use another rendering or model") from error


def _to_plain(message: ChatMessage) -> dict[str, Any]:
    return {"role": str(message.role), "content": message.content}


def _to_function(name: str, arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": orjson.loads(arguments)}
