"""How a task is put into words for a language model: numbered gaps, a heading for the page, the day's date."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from prompts.library import load_template
from schemas.record import content_id
from schemas.tasks import MASK
from schemas.trajectories import PromptUse

FIRST_DAY = datetime.date(2023, 1, 1)
DAYS = 3 * 365
"""Dated system lines name a day of these."""

_FAKE_GAP = re.compile(r"\[(?=\s*mask\b)", re.IGNORECASE)


def number_masks(masked_text: str) -> str:
    """The text with its gaps written `[mask 1]`, `[mask 2]`, ...; what only looks like one loses its bracket."""
    pieces = [_FAKE_GAP.sub("(", piece) for piece in masked_text.split(MASK)]
    return pieces[0] + "".join(f"[mask {number}]{piece}" for number, piece in enumerate(pieces[1:], start=1))


def write_page(title: str, section: Sequence[str]) -> str:
    """The title of a page and the headings above a passage, on one line."""
    return " > ".join((title, *section))


def draw_date(*content: str | int) -> str:
    """A day that follows from content alone, as YYYY-MM-DD."""
    return (FIRST_DAY + datetime.timedelta(days=int(content_id("date", *content), 16) % DAYS)).isoformat()


def use_templates(names: Sequence[str], lang: str) -> tuple[PromptUse, ...]:
    """The templates named, as a row records them."""
    templates = (load_template(name, lang) for name in names)
    return tuple(PromptUse(name=template.name, digest=template.digest) for template in templates)
