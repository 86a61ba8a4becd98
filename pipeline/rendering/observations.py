"""Search results and answers as lines of text, and back.

A document is a line `Doc 1(Title: "...") text`, as Search-R1 has it (arXiv 2503.09516, appendix); several answers are
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
    """Text does not have the form that it must have to be read back."""


def write_documents(documents: Sequence[ShownDocument], lang: str) -> str:
    """One line a document; a sentence of ours when there is none."""
    if not documents:
        return load_words("solve_words", lang)["no_results"]
    lines = (f'Doc {number}(Title: "{doc.title}") {doc.text}' for number, doc in enumerate(documents, start=1))
    return "\n".join(line.rstrip() for line in lines)


def read_documents(text: str, lang: str) -> tuple[ShownDocument, ...]:
    """The documents that were written. Raises ReadingError."""
    if text.strip() == load_words("solve_words", lang)["no_results"]:
        return ()
    documents = []
    for number, line in enumerate(text.split("\n"), start=1):
        match = _DOCUMENT.fullmatch(line)
        if not match or int(match[1]) != number:
            raise ReadingError(f"line {number} of the results is no document")
        documents.append(ShownDocument(title=match[2], text=match[3] or ""))
    return tuple(documents)


def write_answers(answers: Sequence[str | None]) -> str:
    """A single answer as it is, several as numbered lines; a missing one is empty."""
    if len(answers) == 1:
        return answers[0] or ""
    return "\n".join(f"{number}. {answer or ''}".rstrip() for number, answer in enumerate(answers, start=1))


def read_answers(text: str, count: int) -> tuple[str | None, ...]:
    """The answers that were written, `count` of them. Raises ReadingError."""
    if count == 1:
        return (text.strip() or None,)
    lines = [line for line in text.strip().split("\n") if line.strip()]
    if len(lines) != count:
        raise ReadingError(f"{count} answers are wanted, {len(lines)} lines are there")
    answers = []
    for number, line in enumerate(lines, start=1):
        match = _NUMBERED.fullmatch(line.strip())
        if not match or int(match[1]) != number:
            raise ReadingError(f"line {number} of the answer does not begin with {number}.")
        answers.append((match[2] or "").strip() or None)
    return tuple(answers)
