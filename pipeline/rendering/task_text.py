"""Text of a task for a language model: numbered gaps, the title of the page, the date."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

from prompts.library import load_template
from schemas.record import content_id
from schemas.tasks import MASK, REPEAT
from schemas.trajectories import PromptUse

FIRST_DAY = datetime.date(2023, 1, 1)
DAYS = 3 * 365
"""Number of days that dated system lines are drawn from."""

REPEATED = "repeated_gaps"
"""Template of the line that says what the placeholders of mentions are."""

_FAKE_GAP = re.compile(r"\[(?=\s*mask\b)|\[(?!=mask \d{1,2}\])(?=\s*=\s*mask\b)", re.IGNORECASE)


def number_masks(masked_text: str) -> str:
    """Write the gaps of a text as `[mask 1]`, `[mask 2]`, ...; look-alikes lose their bracket."""
    pieces = [_FAKE_GAP.sub("(", piece) for piece in masked_text.split(MASK)]
    return pieces[0] + "".join(f"[mask {number}]{piece}" for number, piece in enumerate(pieces[1:], start=1))


def describe_repeats(texts: Iterable[str], lang: str) -> str:
    """Return a line break and what the placeholders of mentions are, where texts of a task show any; else nothing."""
    return f"\n{load_template(REPEATED, lang).fill().strip()}" if any(map(REPEAT.search, texts)) else ""


def write_page(title: str, section: Sequence[str]) -> str:
    """Write the title of a page and the headings above a passage on one line."""
    return " > ".join((title, *section))


def draw_date(*content: str | int) -> str:
    """Return a date derived from content alone, as YYYY-MM-DD."""
    return (FIRST_DAY + datetime.timedelta(days=int(content_id("date", *content), 16) % DAYS)).isoformat()


def use_templates(names: Sequence[str], lang: str) -> tuple[PromptUse, ...]:
    """Return the templates named, as recorded in rows."""
    templates = (load_template(name, lang) for name in names)
    return tuple(PromptUse(name=template.name, digest=template.digest) for template in templates)
