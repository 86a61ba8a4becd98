"""Classifier of what a mask hides and a candidate names, by words alone.

Two log-linear models fitted offline share a set of labels: one uses the context of a stretch, one its own words. The
first is applied to the mask, both to a candidate; the agreement of the two distributions is a feature.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.agents.extractive.candidates import CandidateKind

TRUST = 0.5  # weight of a candidate's context relative to its own words
OTHER_LABEL = "term"  # label of everything that no other fits
BROADER = {
    "name": ("person", "place", "people", "group", "work", "event", "thing"),
    "number": ("count", "order", "amount"),
    "moment": ("time", "year", "date"),
}
"""Labels by what they have in common, for a thought where no single one is likely."""
_SIGNS_ZH = (
    ("work", r"[《〈]$", r"[》〉]"),
    ("order", r"第$", ""),
    (
        "moment",
        r"[于於自从從至到在]$",
        r"(?:年|月|日|出生|逝世|去世|成立|建成|建立|举行|舉行|开始|開始|期间|期間|以来|以來|年间|年間)",
    ),
    ("moment", r"[年月]$", r"[，,。日]"),
    ("person", r"", r"(?:出生|生于|生於|认为|認為|表示|担任|擔任|先生|女士|教授|博士|饰演|飾演|执导|執導)"),
    (
        "person",
        r"(?:导演|導演|作者|总统|總統|主席|皇帝|国王|國王|将军|將軍|演员|演員|歌手|作家|教授|其子|其父|妻子|父亲|父親|母亲|母親)$",
        "",
    ),
    ("place", r"(?:位于|位於|前往|来到|來到|抵达|抵達|出生于|出生於|生于|生於|迁往|遷往)$", ""),
    ("place", r"", r"(?:省|市|县|縣|州|区|區|岛|島|境内|境內|地区|地區)"),
    ("group", r"", r"(?:公司|大学|大學|学院|學院|集团|集團|乐团|樂團|球队|球隊)"),
    ("people", r"", r"[族语語]"),
    ("number", r"(?:约|約|共有|多达|多達|达到|達到|超过|超過|近)$", ""),
    ("number", r"", r"(?:名|个|個|座|岁|歲|公里|公尺|平方|次|艘|架|部|万人|萬人|人口)"),
)
SIGNS_ZH = tuple((label, re.compile(rf"(?:{before})"), re.compile(after)) for label, before, after in _SIGNS_ZH)
"""What a Chinese mask hides, by the characters before and after it; the first that applies."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Context of a mask or a candidate."""

    left: tuple[str, ...]
    """Words to the left, nearest first."""
    right: tuple[str, ...]
    """Words to the right, nearest first."""
    before: str
    """`class_before`."""
    after: str
    """`class_after`."""

    def signs(self) -> Iterator[str]:
        """Yield the features of the first model."""
        l1, l2, l3 = map(_blur, (*self.left[:3], *"^^^"[: 3 - len(self.left[:3])]))
        r1, r2, r3 = map(_blur, (*self.right[:3], *"$$$"[: 3 - len(self.right[:3])]))
        yield from (f"l1 {l1}", f"l2 {l2}", f"l3 {l3}", f"r1 {r1}", f"r2 {r2}", f"r3 {r3}")
        yield from (f"ll {l2} {l1}", f"rr {r1} {r2}", f"lr {l1} {r1}")
        yield from (f"b {self.before}", f"a {self.after}", f"lb {l1} {self.before}", f"ra {r1} {self.after}")


def own_signs(kind: CandidateKind, words: Sequence[str]) -> Iterator[str]:
    """Yield the features of the second model: form and words (lower case) of a stretch."""
    first, last = _blur(words[0]), _blur(words[-1])
    yield from (f"k {kind}", f"kn {kind} {min(len(words), 4)}", f"w {first}", f"z {last}")
    yield f"s {last[-3:]}"
    if len(words) > 1:
        yield f"wz {first[-2:]} {last[-2:]}"


class LabelTable:
    """P(label) by two log-linear models."""

    def __init__(self, labels: Sequence[str], prior: Sequence[float], rows: dict[str, list[int]]) -> None:
        """`prior`: log P(label); `rows`: weights of each feature, one per label, in tenths."""
        self.labels = tuple(labels)
        self._prior = np.array(prior)
        self._oddity = np.exp(-self._prior)
        self._rows = {sign: np.array(row) / 10.0 for sign, row in rows.items()}
        self._none = np.zeros(len(self.labels))

    def read_context(self, around: Surroundings) -> np.ndarray:
        """Return P(label) given the context."""
        return softmax(self._prior + self._add(around.signs()))

    def read_candidate(self, kind: CandidateKind, words: Sequence[str], around: Surroundings) -> np.ndarray:
        """Return P(label) of a stretch, given its form, its words and its context."""
        return softmax(self._prior + self._add(own_signs(kind, words)) + TRUST * self._add(around.signs()))

    def agreement(self, one: np.ndarray, other: np.ndarray) -> float:
        """Return the log of the probability that both have one label, relative to chance."""
        return math.log(float((one * other) @ self._oddity) + 1e-3) if self.labels else 0.0

    def name_likely(self, distribution: np.ndarray, least: float) -> str | None:
        """Return the label with at least that probability, or the name in `BROADER` of several that have it together,
        if any.
        """
        shares = dict(zip(self.labels, distribution.tolist(), strict=True))
        single = {label: share for label, share in shares.items() if label != OTHER_LABEL}
        together = {name: sum(shares.get(label, 0.0) for label in some) for name, some in BROADER.items()}
        for likely in (single, together):
            best = max(likely, key=lambda name: likely[name], default=None)
            if best is not None and likely[best] >= least:
                return best
        return None

    def _add(self, signs: Iterable[str]) -> np.ndarray:
        rows = [row for sign in signs if (row := self._rows.get(sign)) is not None]
        total: np.ndarray = np.sum(rows, axis=0) if rows else self._none
        return total


def _blur(word: str) -> str:
    """Reduce a number to its length."""
    return "0" * len(word) if word.isdigit() else word


def softmax(logs: np.ndarray) -> np.ndarray:
    """Return the probabilities in proportion to exp(logs)."""
    if not len(logs):
        return logs
    weights: np.ndarray = np.exp(logs - logs.max())
    weights /= weights.sum()
    return weights


@cache
def load_labels(lang: str) -> LabelTable:
    """Return the models of a language; empty ones, whose agreements are all equal, if there are none."""
    path = Path(__file__).parent / f"labels.{lang.split('-')[0]}.json"
    if not path.is_file():
        return LabelTable((), (), {})
    return LabelTable(**json.loads(path.read_text(encoding="utf-8")))


def name_by_signs(before: str, after: str) -> str | None:
    """Return what a Chinese mask hides, by the text on each side of it; a name in `BROADER` or a label, if any fits."""
    return next((label for label, left, right in SIGNS_ZH if left.search(before) and right.match(after)), None)
