"""Parser and writer of the documents that a language model returns as a search engine.

Guarantees: text is only ever parsed; output of `write_documents` is read back unchanged; numbered, bulleted, tagged and
JSON lists are supported, and so are paragraphs and a single block; refusals, text around the documents and markup are
not documents; no duplicates, and no more documents than requested; linear time for any text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prompts.reply_scan import UNWRITABLE, drop_thoughts, find_objects

LONGEST_TEXT = 1_200
"""Maximum characters of a document; twenty documents fit into the part of a reply that is parsed."""
LONGEST_TITLE = 160
MOST_LAYERS = 50
"""Maximum layers of markup, field names and numbers that are stripped from a text; a text with more is discarded."""
NAME_WORDS, NAME_CHARS = 8, 40
"""Title of a document without one: at most this many words of its text, or characters."""

_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
_TAGGED = re.compile(r"<(doc(?:ument)?|passage|result)\b[^<>]*>(.*?)(?:</\1>|\Z|(?=<\1\b))", re.IGNORECASE | re.DOTALL)
_KIND = r"(?:doc(?:ument)?|passage|result|文档|文献|段落|结果|资料)"
_NUMBERED = re.compile(
    rf"^[ \t]*+[*_#>]*[ \t]*(?:{_KIND}[ \t]*#?[\[(（【]?(?P<kind>\d{{1,2}})[\])）】]?(?!\d)"
    rf"|第(?P<which>\d{{1,2}})[篇条]{_KIND}?|[\[(（【](?P<bracket>\d{{1,2}})[\])）】]|(?P<point>\d{{1,2}})[.)、．）:：](?=\D))"
    r"[*_]*[ \t]*(?:[:：.\-–—][ \t]*)?",
    re.IGNORECASE | re.MULTILINE,
)
_BRACKETED = re.compile(r"^(?:[\[(（【]\d{1,2}[\])）】][ \t]*)+")
_BULLET = re.compile(r"^[ \t]*(?:[-•·]|\*(?!\*))[ \t]+", re.MULTILINE)
_EMPHASIS = re.compile(r"\*\*|__|`|^[ \t]*#+[ \t]*", re.MULTILINE)
_TITLE_FIELD = re.compile(r"^\(?(?:page )?(?:title|标题|页面)[ \t]*[:：][ \t]*(.+?)\)?$", re.IGNORECASE)
_TITLE_INLINE = re.compile(r"^\((?:title|标题)[ \t]*[:：][ \t]*+\"?(.+?)\"?\)[ \t]*", re.IGNORECASE)
_BOLD_TITLE = re.compile(r"^\*\*(.{1,120}?)\*\*[ \t]*[:：–—-]?[ \t]*(?=\S)")
_TEXT_FIELD = re.compile(r"^(?:text|content|snippet|passage|summary|正文|内容|摘要)[ \t]*[:：][ \t]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)）]?$")
_REFUSAL = re.compile(
    r"(?:i['’]m sorry|i am sorry|sorry|i apologi[sz]e|i can(?:no|['’])t|i am unable|i['’]m unable|as an ai"
    r"|(?:there (?:are|is) )?no (?:documents?|results?|matches)|unfortunately"
    r"|很?抱歉|对不起|我?无法|作为(?:一个|一款)?(?:人工智能|AI)|没有(?:找到|检索到|结果))",
    re.IGNORECASE,
)
_TITLE_KEYS = ("title", "page", "name", "heading", "标题", "页面")
_TEXT_KEYS = ("text", "content", "contents", "snippet", "passage", "document", "body", "summary", "正文", "内容")
_AROUND_TITLE = "\"'“”《》:：-–—._* "


@dataclass(frozen=True, slots=True)
class Draft:
    """Document as written by the model; constructed by `make_draft` only."""

    title: str
    """Title of the page, on one line; the beginning of the text where there is no title."""
    text: str
    """Text on one line, never empty."""


def make_draft(title: str, text: str) -> Draft | None:
    """Make a document of plain lines, without markup, leading numbers or excess length; None when no text is left."""
    plain = _settle(text, lambda line: _TEXT_FIELD.sub("", _BRACKETED.sub("", line)))[:LONGEST_TEXT].rstrip()
    if not any(char.isalnum() for char in plain):
        return None
    return Draft(_settle(title, _strip_title) or _settle(_cut_name(plain), _strip_title) or plain[:NAME_CHARS], plain)


def write_documents(drafts: Sequence[Draft]) -> str:
    """Write documents in the form that the prompts ask for."""
    return "\n\n".join(f"[{number}] {draft.title}\n{draft.text}" for number, draft in enumerate(drafts, start=1))


def read_documents(reply: str, most: int) -> list[Draft]:
    """Read at most `most` documents from a reply; none for a refusal or an empty reply."""
    body = _FENCE.sub("", UNWRITABLE.sub("", drop_thoughts(reply).replace("\r\n", "\n"))).strip()
    found: dict[str, Draft] = {}
    for title, text in _find_pairs(body):
        draft = make_draft(title, text)
        if draft is not None:
            found.setdefault(draft.text.casefold(), draft)
        if len(found) == most:
            break
    return list(found.values())


def _find_pairs(body: str) -> Iterator[tuple[str, str]]:
    """Return title and text of every document, by the first layout that matches."""
    if body.startswith("[1] "):
        return (_divide(chunk, titled=True) for chunk in _cut_numbered(body))
    pairs = list(_read_json(body))
    if pairs or body.startswith(("{", "[{")):
        return iter(pairs)
    tagged = [match[2] for match in _TAGGED.finditer(body)]
    chunks = tagged or _cut_numbered(body) or _cut_at(body, list(_BULLET.finditer(body)), least=2)
    return (_divide(chunk) for chunk in chunks or _cut_paragraphs(body))


def _read_json(body: str) -> Iterator[tuple[str, str]]:
    if body.startswith("["):
        try:
            yield from _read_value(json.loads(body, strict=False))
            return
        except (ValueError, RecursionError):
            pass  # a number in brackets, or a list that was cut off
    whole = list(find_objects(body))
    if body.startswith("{") and whole and whole[0].fields is None:
        whole = list(find_objects(body[1:]))  # truncated: take the complete values inside
    for offer in whole:
        if offer.fields is not None:
            yield from _read_value(offer.fields)


def _read_value(value: object) -> Iterator[tuple[str, str]]:
    """Return the documents in a JSON value, in order, at any depth."""
    waiting: list[object] = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            yield "", inner
        elif isinstance(inner, list):
            waiting += [item for item in reversed(inner) if isinstance(item, str | list | Mapping)]
        elif isinstance(inner, Mapping):
            text = next((inner[key] for key in _TEXT_KEYS if isinstance(inner.get(key), str)), None)
            if text is not None:
                yield next((inner[key] for key in _TITLE_KEYS if isinstance(inner.get(key), str)), ""), text
            else:
                waiting += [item for item in reversed(list(inner.values())) if isinstance(item, list | Mapping)]


def _cut_numbered(body: str) -> list[str]:
    """Split at numbers of one style that count up from the first; any other number is part of the text."""
    marks: list[re.Match[str]] = []
    for match in _NUMBERED.finditer(body):
        number = _read_number(match)
        if not marks:
            fits = number <= 1
        else:
            fits = number == _read_number(marks[-1]) + 1 and match.lastgroup == marks[0].lastgroup
        if fits:
            marks.append(match)
    return _cut_at(body, marks, least=1)


def _read_number(mark: re.Match[str]) -> int:
    return int(mark[mark.lastgroup or 0])


def _cut_at(body: str, marks: Sequence[re.Match[str]], least: int) -> list[str]:
    if len(marks) < least:
        return []
    ends = [*(mark.start() for mark in marks[1:]), len(body)]
    chunks = [body[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    if (
        len(chunks) > 1
    ):  # text after the last document and a blank line is a comment, unless the other documents have as much
        longest = max(len(_split_paragraphs(chunk)) for chunk in chunks[:-1])
        chunks[-1] = "\n\n".join(_split_paragraphs(chunks[-1])[:longest])
    return chunks


def _cut_paragraphs(body: str) -> list[str]:
    paragraphs = _split_paragraphs(body)
    if _REFUSAL.match(body):
        return []
    if len(paragraphs) > 1 and len(paragraphs[0]) <= LONGEST_TITLE and paragraphs[0].endswith((":", "：")):
        del paragraphs[0]  # "Here are five documents:"
    return paragraphs


def _split_paragraphs(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def _divide(chunk: str, titled: bool = False) -> tuple[str, str]:
    """Split a piece into title and text; without a title where the first line reads like a sentence, unless it is known
    to be a title.
    """
    first, *rest = [line.strip() for line in chunk.splitlines() if line.strip()] or [""]
    if match := _TITLE_INLINE.match(first) or (not titled and _BOLD_TITLE.match(first)):
        return match[1], _join([first[match.end() :], *rest])
    if rest:
        plain = _EMPHASIS.sub("", first)
        if match := _TITLE_FIELD.match(plain):
            return match[1], _join(rest)
        if titled or (len(plain) <= LONGEST_TITLE and not _SENTENCE_END.search(plain)):
            return first, _join(rest)
    return "", _join([first, *rest])


def _join(lines: Iterable[str]) -> str:
    return " ".join(_TEXT_FIELD.sub("", _EMPHASIS.sub("", line)) for line in lines)


def _settle(text: str, strip: Callable[[str], str]) -> str:
    """Return the text on one line, stripped repeatedly until nothing changes; empty if it needs too many passes."""
    text = text[: 4 * LONGEST_TEXT]
    for _ in range(MOST_LAYERS):
        if (plain := strip(" ".join(_EMPHASIS.sub("", UNWRITABLE.sub("", text)).split()))) == text:
            return text
        text = plain
    return ""


def _strip_title(line: str) -> str:
    """Strip the field name, surrounding quotes and dashes, and excess length."""
    match = _TITLE_FIELD.match(line)
    return (match[1] if match else line)[:LONGEST_TITLE].strip(_AROUND_TITLE)


def _cut_name(text: str) -> str:
    words = text.split()[:NAME_WORDS]
    while len(words) > 1 and len(" ".join(words)) > NAME_CHARS:
        del words[-1]
    return " ".join(words)[:NAME_CHARS].rstrip(" ,.;，。；")
