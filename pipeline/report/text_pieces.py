"""Outside text, cut into pieces to mark and made safe to look at. Escaping is the template engine's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.documents import HOLE
from schemas.tasks import MASK

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A stretch of text, and what it is: nothing, a numbered mask, or a form that was looked for."""

    text: str
    mask: int | None = None
    """The mask that stands here, counted from 0."""
    found: str | None = None
    """`gold` for a right form that stands here, `wrong` for a wrong answer."""


def show_controls(text: str) -> str:
    """Write invisible characters out: what turns text round, hides it or ends it must not do so in the report."""
    return _INVISIBLE.sub(lambda match: f"⟦U+{ord(match[0]):04X}⟧", text).replace(HOLE, "▯")


def cut_at_masks(masked_text: str) -> tuple[TextPiece, ...]:
    """The masked text, with a piece for each mask in order."""
    first, *others = masked_text.split(MASK)
    pieces = [TextPiece(first)]
    for number, text in enumerate(others):
        pieces += [TextPiece("", mask=number), TextPiece(text)]
    return tuple(pieces)


def mark_forms(text: str, gold: Iterable[str], wrong: Iterable[str]) -> tuple[TextPiece, ...]:
    """Cut text where a gold form or a wrong answer stands as whole words; where both could, gold wins."""
    kinds = {form.casefold(): "wrong" for form in wrong if form} | {form.casefold(): "gold" for form in gold if form}
    if not kinds:
        return (TextPiece(text),)
    longest_first = sorted(kinds, key=lambda form: (-len(form), form))
    pattern = "|".join(rf"(?<!\w){re.escape(f)}(?!\w)" if f.isascii() else re.escape(f) for f in longest_first)
    pieces, last = [], 0
    for match in re.finditer(pattern, text, re.IGNORECASE):
        pieces += [
            TextPiece(text[last : match.start()]),
            TextPiece(match[0], found=kinds.get(match[0].casefold(), "gold")),
        ]
        last = match.end()
    return (*pieces, TextPiece(text[last:]))
