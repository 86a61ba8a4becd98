"""Names in a question, which a task must not combine with its answer.

By rules, since a model would miss some: runs of capitalised words, quoted titles, and the titles of the
pages given by the benchmark. A name that is only part of a longer one is dropped in favour of the longer.
"""

from __future__ import annotations

import re

from pipeline.text.normalisation import fold_text, is_unspaced
from schemas.evaluations import EvalQuestion

_WORD = r"(?:[A-ZÀ-ÖØ-Þ][\w'’.&-]*|\d{2,}(?:st|nd|rd|th)?)"
_LINK = r"(?:of|the|and|for|in|on|at|to|de|del|della|di|da|du|des|la|le|las|los|van|von|der|den|al|bin|ibn|&)"
_NAME = re.compile(rf"{_WORD}(?:(?:\s+{_LINK}){{0,2}}\s+{_WORD})*")
_QUOTED = re.compile(r"[\"“«《〈「『]([^\"”»》〉」』]{2,80})[\"”»》〉」』]")
_BRACKETS = re.compile(r"\s*[(（][^)）]*[)）]\s*$")
_OPENING = """
who whom whose what which where when why how is was are were did does do has had have can could in on at of for from by
to if during after before the a an and or between among given
"""
_ASKING = frozenset(_OPENING.split())
LEAST_WORDS = 2


def fold_title(title: str) -> str:
    """Return a page's title without its qualifier, folded."""
    return fold_text(_BRACKETS.sub("", title) or title)


def find_names(question: EvalQuestion) -> frozenset[str]:
    """The names in the question, folded, without its golds."""
    names = [*_QUOTED.findall(question.question), *map(_strip_asking, _NAME.findall(question.question))]
    folded = map(fold_text, names)
    golds = {fold_text(form) for forms in question.golds for form in forms}
    return frozenset(name for name in folded if name and not name.isdigit()) - golds


def is_telling(name: str) -> bool:
    """Whether a folded name identifies one thing in any context: a single word is too often an adjective."""
    if any(map(is_unspaced, name)):
        return len(name.replace(" ", "")) > LEAST_WORDS
    return sum(not token.isdigit() for token in name.split()) >= LEAST_WORDS


def _strip_asking(name: str) -> str:
    """Strip question words that are capitalised because they start the sentence."""
    words = name.split()
    while words and words[0].lower() in _ASKING:
        words.pop(0)
    return " ".join(words)
