"""Notations in which families of models write calls, thoughts and results, as the chat templates of each do.

Guarantees: a result is one by its position only, after a section of calls, and there are no more than calls; all other
text of a stream is the model's own, so that results it writes elsewhere, or marks of another family, count as such.
Linear in the length of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.rendering.observations import ReadingError
from pipeline.rewards.tool_parsers import (
    Calls,
    parse_dsml,
    parse_gemma,
    parse_json,
    parse_kimi,
    parse_kimi_k3,
    parse_minimax,
    parse_minimax_m3,
    parse_python,
)

QWEN_SIGNS = ("<tool_call>", "<tool_response>")
_NOTHING = re.compile("")


@dataclass(frozen=True, slots=True)
class Notation:
    """Notation of one family. Patterns are matched at their place; all may include what the template puts around."""

    name: str
    """The family."""
    signs: tuple[str, ...]
    """Texts by which a stream in this notation is recognised."""
    calls: re.Pattern[str]
    """What opens a section of calls."""
    calls_end: str
    """What closes it."""
    parse: Callable[[re.Match[str], str], Calls]
    """Function that parses a section, given the match of what opened it."""
    result: re.Pattern[str]
    """What stands before a result, after a section or another result."""
    result_end: re.Pattern[str]
    """What stands after it."""
    resume: re.Pattern[str]
    """What stands before the next turn of the model."""
    thought: tuple[str, str] = ("<think>", "</think>")
    """Tags around a thought; the first may belong to the prompt."""
    lead: re.Pattern[str] = _NOTHING
    """What stands between a thought and the content."""
    tail: re.Pattern[str] = _NOTHING
    """What ends a content."""
    quotes: bool = False
    """Whether results are written as texts in JSON."""


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """Turn of a model, and the results that it was shown."""

    content: str
    """Thought between `<think>` tags, and text."""
    tools: Calls
    """Its calls."""
    results: tuple[str, ...]
    """Texts in the places of results, not more than calls."""


def find_notation(text: str) -> Notation | None:
    """Return the notation whose signs come first in a text; None for Qwen's, or for none."""
    places = [(at, notation) for notation in NOTATIONS for sign in notation.signs if (at := text.find(sign)) >= 0]
    if not places:
        return None
    at, notation = min(places, key=lambda place: place[0])
    qwen = (text.find(sign, 0, at) for sign in QWEN_SIGNS)
    return notation if all(place < 0 for place in qwen) else None


def split_turns(text: str, notation: Notation) -> Iterator[SpokenTurn]:
    """Divide a stream into turns; the last one has no results."""
    at = 0
    while found := _find_calls(text, at, notation):
        start, past, tools = found
        results, after = _take_results(text, past, notation, len(tools))
        if not results:
            break
        yield SpokenTurn(read_content(text[at:start], notation), tools, results)
        resume = notation.resume.match(text, after)
        at = resume.end() if resume else after
    yield read_turn(text[at:], notation)


def read_turn(text: str, notation: Notation) -> SpokenTurn:
    """Read one turn: its thought, its text and its calls, which stand at its end."""
    if found := _find_calls(text, 0, notation):
        start, past, tools = found
        if not notation.tail.sub("", text[past:], count=1).strip():
            return SpokenTurn(read_content(text[:start], notation), tools, ())
    return SpokenTurn(read_content(text, notation), (), ())


def _find_calls(text: str, at: int, notation: Notation) -> tuple[int, int, Calls] | None:
    """Return start, end and content of the next calls, in one section or several; None for none that is well-formed."""
    opening = notation.calls.search(text, at)
    start = past = opening.start() if opening else -1
    calls: Calls = ()
    while opening:
        end = text.find(notation.calls_end, opening.end())
        try:
            parsed = notation.parse(opening, text[opening.end() : end]) if end >= 0 else ()
        except ReadingError:
            parsed = ()
        if not parsed:
            break
        calls, past = (*calls, *parsed), end + len(notation.calls_end)
        opening = notation.calls.match(text, past)
    return (start, past, calls) if calls else None


def _take_results(text: str, at: int, notation: Notation, most: int) -> tuple[tuple[str, ...], int]:
    """Return at most this many consecutive results, and the offset after them."""
    found: list[str] = []
    while len(found) < most and (opening := notation.result.match(text, at)):
        end = notation.result_end.search(text, opening.end())
        if end is None:
            break
        result = text[opening.end() : end.start()]
        found.append(_unquote(result) if notation.quotes else result)
        at = end.end()
    return tuple(found), at


def _unquote(text: str) -> str:
    """Return a result that a template has written as a text in JSON."""
    if text[:1] == '"' == text[-1:]:
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def read_content(text: str, notation: Notation) -> str:
    """Return a turn without its calls, its thought between `<think>` tags; one without a thought as it is."""
    opening, closing = notation.thought
    thought, closed, rest = text.strip().removeprefix(opening).partition(closing)
    closed = "" if opening in thought else closed
    if not closed:
        thought, rest = "", text
    rest = rest.strip()
    if match := notation.lead.match(rest):
        rest = rest[match.end() :]
    rest = notation.tail.sub("", rest, count=1)
    return f"<think>\n{thought.strip()}\n</think>\n\n{rest}" if closed else rest


def _after(parse: Callable[[str], Calls]) -> Callable[[re.Match[str], str], Calls]:
    """Return a parser that needs nothing of what opened its section."""
    return lambda _, section: parse(section)


def _parse_harmony(opening: re.Match[str], section: str) -> Calls:
    return parse_json(opening["role"] or opening["channel"] or "", section)


_TO = r"(?: to=(?:functions\.)?(?P<{0}>[\w.]+))"
NOTATIONS = (
    Notation(
        "gpt-oss (Harmony)",
        ("<|channel|>",),
        re.compile(
            rf"(?:<\|start\|>assistant{_TO.format('role')}?)?"
            rf"<\|channel\|>commentary{_TO.format('channel')}?\s*(?:<\|constrain\|>)?\s*(?:json)?<\|message\|>"
        ),
        "<|call|>",
        _parse_harmony,
        re.compile(
            r"<\|start\|>(?!assistant\b)[\w.]+(?: to=assistant)?"
            r"(?:<\|channel\|>commentary(?: to=assistant)?)?<\|message\|>"
        ),
        re.compile(r"<\|end\|>"),
        re.compile(r"<\|start\|>assistant(?! to=)"),
        thought=("<|channel|>analysis<|message|>", "<|end|>"),
        lead=re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"),
        quotes=True,
    ),
    Notation(
        "Gemma 4",
        ("<|channel>", "<|tool_call>"),
        re.compile(r"<\|tool_call>"),
        "<tool_call|>",
        _after(parse_gemma),
        re.compile(r'\s*<\|tool_response>response:[\w.]+\{value:<\|"\|>'),
        re.compile(r'<\|"\|>\}<tool_response\|>'),
        re.compile(r"\s*(?:<turn\|>\s*<\|turn>model)?\s*"),
        thought=("<|channel>thought", "<channel|>"),
    ),
    Notation(
        "LFM2",
        ("<|tool_call_start|>",),
        re.compile(r"<\|tool_call_start\|>"),
        "<|tool_call_end|>",
        _after(parse_python),
        re.compile(r"(?:<\|im_end\|>)?\s*<\|im_start\|>tool\n(?:<\|tool_response_start\|>)?"),
        re.compile(r"(?:<\|tool_response_end\|>)?<\|im_end\|>"),
        re.compile(r"\s*<\|im_start\|>assistant\n"),
    ),
    Notation(
        "Kimi K2",
        ("<|tool_calls_section_begin|>",),
        re.compile(r"<\|tool_calls_section_begin\|>"),
        "<|tool_calls_section_end|>",
        _after(parse_kimi),
        re.compile(
            r"(?:<\|im_end\|>)?\s*<\|im_system\|>[^<]{0,64}<\|im_middle\|>(?:## Return of [^\n\\]{0,64}(?:\\n|\n))?"
        ),
        re.compile(r"<\|im_end\|>"),
        re.compile(r"\s*<\|im_assistant\|>assistant<\|im_middle\|>"),
    ),
    Notation(
        "Kimi K3",
        ("<|close|>", "<|open|>"),
        re.compile(r"(?:<\|open\|>response<\|sep\|><\|close\|>response<\|sep\|>)?<\|open\|>tools<\|sep\|>"),
        "<|close|>tools<|sep|>",
        _after(parse_kimi_k3),
        re.compile(
            r"(?:<\|close\|>message<\|sep\|>)?(?:<\|end_of_msg\|>)?"
            r'<\|open\|>message role="tool"[^<>]{0,100}<\|sep\|>'
        ),
        re.compile(r"<\|close\|>message<\|sep\|>(?:<\|end_of_msg\|>)?"),
        re.compile(r'<\|open\|>message role="assistant"[^<>]{0,100}<\|sep\|>'),
        thought=("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
        lead=re.compile(r"<\|open\|>response<\|sep\|>"),
        tail=re.compile(r"(?:<\|close\|>response<\|sep\|>)?(?:<\|close\|>message<\|sep\|>)?\Z"),
    ),
    Notation(
        "DeepSeek V3.2",
        ("<｜DSML｜function_calls>",),
        re.compile("<｜DSML｜function_calls>"),
        "</｜DSML｜function_calls>",
        _after(parse_dsml),
        re.compile(r"(?:<｜end▁of▁sentence｜>)?\s*(?:<function_results>\s*)?<result>"),
        re.compile(r"</result>"),
        re.compile(r"\s*</function_results>\s*(?:<｜Assistant｜>)?"),
    ),
    Notation(
        "DeepSeek V4",
        ("<｜DSML｜tool_calls>",),
        re.compile("<｜DSML｜tool_calls>"),
        "</｜DSML｜tool_calls>",
        _after(parse_dsml),
        re.compile(r"(?:<｜end▁of▁sentence｜>)?(?:<｜User｜>)?\s*<tool_result>"),
        re.compile(r"</tool_result>"),
        re.compile(r"\s*<｜Assistant｜>"),
    ),
    Notation(
        "MiniMax M2",
        ("<minimax:tool_call>",),
        re.compile("<minimax:tool_call>"),
        "</minimax:tool_call>",
        _after(parse_minimax),
        re.compile(r"(?:\[e~\[\s*\]~b\]tool)?\s*<response>"),
        re.compile(r"</response>"),
        re.compile(r"\s*\[e~\[\s*\]~b\]ai"),
    ),
    Notation(
        "MiniMax M3",
        ("<mm:think>", "]<]minimax[>[<tool_call>"),
        re.compile(r"\]<\]minimax\[>\[<tool_call>"),
        "]<]minimax[>[</tool_call>",
        _after(parse_minimax_m3),
        re.compile(r"(?:\[e~\[\s*\]~b\]tool)?\s*<response>"),
        re.compile(r"</response>"),
        re.compile(r"\s*\[e~\[\s*\]~b\]ai"),
        thought=("<mm:think>", "</mm:think>"),
    ),
)
"""Notations of the templates that write calls otherwise than between the tags of Qwen, Hermes, GLM and Nemotron."""
