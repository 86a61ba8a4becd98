"""Evidence for a hidden span: where else in the corpus its answer stands."""

from __future__ import annotations

from schemas.record import Frozen


class Evidence(Frozen):
    """Sentence of another passage from which a hidden span can be recovered."""

    passage_id: str
    """The passage."""
    page_id: int
    """Number of its page."""
    start: int
    """Offset of the sentence's first character in that passage's text."""
    end: int
    """Offset just past its last character."""
    clues: tuple[str, ...]
    """Rare index terms that the sentence shares with the span's own sentence or its page's title."""
    score: float
    """Sum of the clues' inverse document frequencies."""
