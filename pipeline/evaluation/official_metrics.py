"""EM, F1 and sub-EM by the published rules, for comparison with papers.

- EM: equal after SQuAD's normalisation (lower case, no ASCII punctuation, no articles anywhere, single spaces), as
  in HotpotQA's hotpot_evaluate_v1 and Search-R1's `em_check`.
- F1: HotpotQA's, over bags of such words; 0 where only one of the two is yes, no or noanswer.
- sub-EM: Search-R1's `subem_check`, a gold occurs in the answer, even inside a word. For an answer of several parts
  FanOutQA's loose accuracy instead (`answer_in_text`): the share of the parts that occur in the answer between word
  bounds, repeated ones each time. FanOutQA also compares lemmas, by spaCy; this does not.

The best form of a gold counts. EM and F1 of several parts are over their concatenation, which no paper defines.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TRUTHS = frozenset(("yes", "no", "noanswer"))
_QUOTES = str.maketrans("‘’“”", "''\"\"")
_GROUPED = re.compile(r"(?:\d+,)++(\d*)")  # also where no digit follows, so that the scan stays linear
_LOOSE_PUNCTUATION = re.compile(r"[,.?!:;]")


@dataclass(frozen=True, slots=True)
class OfficialScores:
    """Scores of one answer by the published rules, each from 0 to 1."""

    exact: float = 0.0
    f1: float = 0.0
    substring: float = 0.0


def score_officially(answer: str | None, golds: tuple[tuple[str, ...], ...]) -> OfficialScores:
    """The scores of an answer; zeros without one. `golds`: the forms of each part of the right answer."""
    if answer is None:
        return OfficialScores()
    given = normalise(answer)
    if len(golds) > 1:
        whole = normalise(" ".join(forms[0] for forms in golds))
        return OfficialScores(float(given == whole), measure_f1(given, whole), measure_loosely(answer, golds))
    forms = [normalise(form) for form in golds[0]]
    return OfficialScores(
        exact=float(given in forms),
        f1=max(measure_f1(given, form) for form in forms),
        substring=float(any(form in given for form in forms)),
    )


@lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """SQuAD's normalisation."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def measure_f1(given: str, gold: str) -> float:
    """HotpotQA's F1 of two normalised texts."""
    if given != gold and (given in _TRUTHS or gold in _TRUTHS):
        return 0.0
    tokens, gold_tokens = given.split(), gold.split()
    shared = (Counter(tokens) & Counter(gold_tokens)).total()
    return 2 * shared / (len(tokens) + len(gold_tokens)) if shared else 0.0


def measure_loosely(answer: str, golds: tuple[tuple[str, ...], ...]) -> float:
    """FanOutQA's loose accuracy, lemmas apart."""
    given = _normalise_loosely(answer)
    return sum(any(_occurs_in(_normalise_loosely(form), given) for form in forms) for forms in golds) / len(golds)


def _occurs_in(gold: str, given: str) -> bool:
    return re.search(rf"\b{re.escape(gold)}\b", given) is not None


@lru_cache(maxsize=8192)
def _normalise_loosely(text: str) -> str:
    folded = unicodedata.normalize("NFC", text.lower().translate(_QUOTES))
    joined = _GROUPED.sub(lambda found: found[0].replace(",", "") if found[1] else found[0], folded)
    return " ".join(_LOOSE_PUNCTUATION.sub("", joined).split())
