"""Search results and answers as lines of text, with their parsers.

A document is a line `Doc 1(Title: "...") text`, as in Search-R1 (arXiv 2503.09516, appendix); several answers are
numbered lines, a single one is the answer itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from prompts.library import load_words
from schemas.renderings import ShownDocument

_DOCUMENT = re.compile(r'Doc (\d{1,6})\(Title: "([^"\n]*)"\)(?: (.*))?')
_NUMBERED = re.compile(r"(\d{1,6})\.(?:\s+(.*))?")


class ReadingError(ValueError):
    """Text is malformed and cannot be parsed."""


def write_documents(documents: Sequence[ShownDocument], lang: str) -> str:
    """Write one line per document, or a fixed sentence when there is none."""
    if not documents:
        return load_words("solve_words", lang)["no_results"]
    lines = (f'Doc {number}(Title: "{doc.title}") {doc.text}' for number, doc in enumerate(documents, start=1))
    return "\n".join(line.rstrip() for line in lines)


def read_documents(text: str, lang: str) -> tuple[ShownDocument, ...]:
    """Parse documents. Raises ReadingError."""
    if text.strip() == load_words("solve_words", lang)["no_results"]:
        return ()
    documents = []
    for number, line in enumerate(text.split("\n"), start=1):
        match = _DOCUMENT.fullmatch(line)
        if not match or int(match[1]) != number:
            raise ReadingError(f"line {number} of the results is not a document")
        documents.append(ShownDocument(title=match[2], text=match[3] or ""))
    return tuple(documents)


def write_answers(answers: Sequence[str | None]) -> str:
    """Write a single answer unchanged, several as numbered lines; a missing one is empty."""
    if len(answers) == 1:
        return answers[0] or ""
    return "\n".join(f"{number}. {answer or ''}".rstrip() for number, answer in enumerate(answers, start=1))


def read_answers(text: str, count: int) -> tuple[str | None, ...]:
    """Parse `count` answers. Raises ReadingError."""
    if count == 1:
        return (text.strip() or None,)
    lines = [line for line in text.strip().split("\n") if line.strip()]
    if len(lines) != count:
        raise ReadingError(f"expected {count} answers, found {len(lines)} lines")
    answers = []
    for number, line in enumerate(lines, start=1):
        match = _NUMBERED.fullmatch(line.strip())
        if not match or int(match[1]) != number:
            raise ReadingError(f"line {number} of the answer does not start with {number}.")
        answers.append((match[2] or "").strip() or None)
    return tuple(answers)
