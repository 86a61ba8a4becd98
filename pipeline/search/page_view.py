"""What of a page may be shown to a task.

Guarantees: neither the source of the task nor a near-copy of it is in a view, nor are headings over nothing else; a
page is read once for a task, and what was found about the last pages is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.search.index.passage_store import PassageStore
from pipeline.text.near_copies import is_copy
from schemas.trajectories import HideMode

KNOWN_VIEWS = 128
"""Views in memory."""


@dataclass(frozen=True, slots=True)
class PageView:
    """A page, as a task may see it."""

    rows: np.ndarray
    """Of all its passages, in order."""
    hidden: frozenset[int]
    """Those of them that are hidden."""
    sections: tuple[str, ...]
    """Headings over passages that may be shown, in order, with those above them."""


def open_views(store: PassageStore) -> Callable[[int, HideMode, str, int | None], PageView]:
    """Return a function from a page id, a mode, and the passage and page ids of a source to the view of the page."""

    @lru_cache(maxsize=KNOWN_VIEWS)
    def view(page_id: int, hide: HideMode, passage_id: str, source_page: int | None) -> PageView:
        rows = store.pages.rows_of(page_id)
        withheld = set(store.hidden_rows(hide, passage_id, source_page).tolist())
        source_row = None if hide is HideMode.NONE else store.find_row(passage_id)
        source = "" if source_row is None else store.read_row(source_row).text
        hidden: set[int] = set()
        sections: dict[str, None] = {}
        for row in rows.tolist():
            passage = None if row in withheld else store.read_row(row)
            if passage is None or (source and is_copy(passage.text, source)):
                hidden.add(row)
            elif passage.section:
                sections[write_section(passage.section)] = None
        return PageView(rows, frozenset(hidden), tuple(sections))

    return view


def write_section(section: Sequence[str]) -> str:
    """Headings, outermost first, as one line."""
    return " > ".join(section)
