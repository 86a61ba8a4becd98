"""Outside text, cut into marked pieces, with invisible characters written out. The template engine escapes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.documents import HOLE
from schemas.tasks import MASK, REPEAT

INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Stretch of text: plain, a numbered mask, or a gold or wrong form."""

    text: str
    mask: int | None = None
    """Number of the mask, counted from 0."""
    repeats: int | None = None
    """Number of the mask whose mention is hidden here; `text` is its placeholder."""
    mark: str | None = None
    """`gold` for a form of the gold answer, `wrong` for a wrong answer."""


def show_controls(text: str) -> str:
    """Write out the characters that would reorder, hide or end the text that is shown."""
    return INVISIBLE.sub(lambda match: f"⟦U+{ord(match[0]):04X}⟧", text).replace(HOLE, "▯")


def cut_at_masks(masked_text: str) -> tuple[TextPiece, ...]:
    """The masked text, with a piece for each mask and each hidden mention, in order."""
    first, *others = masked_text.split(MASK)
    pieces = [*_cut_at_repeats(first)]
    for number, text in enumerate(others):
        pieces += [TextPiece("", mask=number), *_cut_at_repeats(text)]
    return tuple(pieces)


def _cut_at_repeats(text: str) -> Iterator[TextPiece]:
    at = 0
    for match in REPEAT.finditer(text):
        yield TextPiece(text[at : match.start()])
        yield TextPiece(match[0], repeats=int(match[1]) - 1)
        at = match.end()
    yield TextPiece(text[at:])


def mark_forms(text: str, gold: Iterable[str], wrong: Iterable[str]) -> tuple[TextPiece, ...]:
    """Cut text at gold forms and wrong answers that occur as whole words; gold takes precedence."""
    kinds = {form.casefold(): "wrong" for form in wrong if form} | {form.casefold(): "gold" for form in gold if form}
    if not kinds:
        return (TextPiece(text),)
    longest_first = sorted(kinds, key=lambda form: (-len(form), form))
    pattern = "|".join(rf"(?<!\w){re.escape(f)}(?!\w)" if f.isascii() else re.escape(f) for f in longest_first)
    pieces, last = [], 0
    for match in re.finditer(pattern, text, re.IGNORECASE):
        pieces += [
            TextPiece(text[last : match.start()]),
            TextPiece(match[0], mark=kinds.get(match[0].casefold(), "gold")),
        ]
        last = match.end()
    return (*pieces, TextPiece(text[last:]))
