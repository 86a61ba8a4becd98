"""Parsers of the tool calls in one turn of a model, each in the notation of its family's chat template.

A parser takes the section of the calls without the tags around it, and returns them with their arguments as JSON; it
raises ReadingError for a malformed one. Nothing is evaluated: calls in Python's notation are parsed as literals.
"""

from __future__ import annotations

import ast
import json
import re

from pipeline.rendering.observations import ReadingError
from schemas.renderings import ToolUse

Calls = tuple[ToolUse, ...]

_GEMMA_QUOTE = '<|"|>'
_GEMMA_CALL = re.compile(r"call:([\w.]+)(\{.*\})", re.DOTALL)
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_][\w.-]*)(\s*:)")
_KIMI_CALL = re.compile(
    r"\s*<\|tool_call_begin\|>\s*(?:functions\.)?([\w.]+)(?::\d+)?\s*"
    r"<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>\s*",
    re.DOTALL,
)
_K3_CALL = re.compile(r'<\|open\|>call tool="([\w.]+)"[^<>]*<\|sep\|>(.*?)<\|close\|>call<\|sep\|>', re.DOTALL)
_K3_ARGUMENT = re.compile(
    r'<\|open\|>argument key="([^"]+)"(?: type="(\w+)")?[^<>]*<\|sep\|>(.*?)<\|close\|>argument<\|sep\|>', re.DOTALL
)
_INVOKE = r'\s*<{0}invoke name="([\w.]+)">(.*?)</{0}invoke>\s*'
_PARAMETER = r'\s*<{0}parameter name="([^"]+)"(?: string="(true|false)")?>(.*?)</{0}parameter>\s*'
_DSML_INVOKE, _DSML_PARAMETER = (re.compile(form.format("｜DSML｜"), re.DOTALL) for form in (_INVOKE, _PARAMETER))
_XML_INVOKE, _XML_PARAMETER = (re.compile(form.format(""), re.DOTALL) for form in (_INVOKE, _PARAMETER))
_M3_MARK = "]<]minimax[>["
_M3_ARGUMENT = re.compile(r"\s*<(\w+)()>(.*?)</\1>\s*", re.DOTALL)
_M3_ITEM = re.compile(r"\s*<item>(.*?)</item>\s*", re.DOTALL)
_TEXT_TYPES = ("string", "true")
"""Types of an argument whose value is the text itself and no JSON."""


def parse_json(name: str, section: str) -> Calls:
    """Parse a call whose arguments are an object in JSON."""
    return (_make_use(name, section),)


def parse_gemma(section: str) -> Calls:
    """Parse Gemma 4's call: `call:NAME{KEY:VALUE}`, with texts between quotes of its own and bare keys."""
    match = _GEMMA_CALL.fullmatch(section.strip())
    if match is None:
        raise ReadingError("a call is not call:NAME{...}")
    pieces = match[2].split(_GEMMA_QUOTE)
    pieces[::2] = (_BARE_KEY.sub(r'\1"\2"\3', piece) for piece in pieces[::2])
    pieces[1::2] = (_write(piece) for piece in pieces[1::2])
    return (_make_use(match[1], "".join(pieces)),)


def parse_python(section: str) -> Calls:
    """Parse LFM2's list of calls in Python's notation, with literals as keyword arguments."""
    try:
        tree = ast.parse(section.strip(), mode="eval").body
        return tuple(map(_read_python_call, tree.elts if isinstance(tree, ast.List) else [tree]))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ReadingError(f"not a list of calls: {error}") from None


def _read_python_call(call: ast.expr) -> ToolUse:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ReadingError("a call is not a function with keyword arguments")
    return _make_use(call.func.id, _write({str(each.arg): ast.literal_eval(each.value) for each in call.keywords}))


def parse_kimi(section: str) -> Calls:
    """Parse the calls of Kimi K2: `functions.NAME:INDEX` and its arguments in JSON."""
    return tuple(_make_use(call[1], call[2]) for call in _match_all(_KIMI_CALL, section))


def parse_kimi_k3(section: str) -> Calls:
    """Parse the calls of Kimi K3, one tag an argument."""
    return _parse_tags(_K3_CALL, _K3_ARGUMENT, section)


def parse_dsml(section: str) -> Calls:
    """Parse the calls of DeepSeek V3.2 and V4, in DSML."""
    return _parse_tags(_DSML_INVOKE, _DSML_PARAMETER, section)


def parse_minimax(section: str) -> Calls:
    """Parse the calls of MiniMax M2."""
    return _parse_tags(_XML_INVOKE, _XML_PARAMETER, section)


def parse_minimax_m3(section: str) -> Calls:
    """Parse the calls of MiniMax M3: an argument is a tag, a list the tags `item` in it."""
    return _parse_tags(_XML_INVOKE, _M3_ARGUMENT, section.replace(_M3_MARK, ""))


def _parse_tags(call: re.Pattern[str], argument: re.Pattern[str], section: str) -> Calls:
    """Parse calls between tags. Groups of `call`: name, arguments; of `argument`: key, type, value."""
    return tuple(
        _make_use(found[1], _write({each[1]: _read_value(each[2], each[3]) for each in _match_all(argument, found[2])}))
        for found in _match_all(call, section)
    )


def _read_value(kind: str | None, text: str) -> object:
    if kind in _TEXT_TYPES:
        return text
    if text.lstrip().startswith("<item>"):
        return [item[1] for item in _match_all(_M3_ITEM, text)]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _match_all(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Return the matches that a text consists of."""
    found: list[re.Match[str]] = []
    while not found or found[-1].end() < len(text):
        match = pattern.match(text, found[-1].end() if found else 0)
        if match is None:
            raise ReadingError(f"{pattern.pattern[:30]} is expected in a call")
        found.append(match)
    return found


def _make_use(name: str, arguments: str) -> ToolUse:
    return ToolUse(call_id="", name=name, arguments=arguments)


def _write(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
