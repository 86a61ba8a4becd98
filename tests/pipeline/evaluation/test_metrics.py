"""Metrics against a naive oracle, intervals and tests against scipy."""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from pipeline.evaluation.bootstrap import compare_paired, estimate_interval
from pipeline.evaluation.metrics import AnswerScores, score_answer
from schemas.evaluations import EvalQuestion, MetricName

WORDS = st.sampled_from(["the", "river", "Oste,", "runs", "past", "Tarn", "in", "winter.", "(Vale)", "stone", "clock"])
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)


def ask(*golds: tuple[str, ...], lang: str = "en") -> EvalQuestion:
    return EvalQuestion(question_id="q", dataset="d", lang=lang, question="?", golds=golds)


def fold_naively(text: str) -> list[str]:
    """SQuAD's normalisation: lower case, no punctuation, no articles."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def score_naively(answer: str, gold: str) -> AnswerScores:
    said, wanted = fold_naively(answer), fold_naively(gold)
    shared = sum((Counter(said) & Counter(wanted)).values())
    recall = shared / len(wanted)
    precision = shared / len(said) if said else 0.0
    f1 = 2 * precision * recall / (precision + recall) if shared else 0.0
    stands = any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))
    return AnswerScores(recall, float(said == wanted), float(stands), f1)


@given(answer=TEXTS, golds=st.lists(TEXTS, min_size=1, max_size=3))
def test_scores_are_those_of_a_naive_oracle(answer: str, golds: list[str]) -> None:
    usable = [gold for gold in golds if fold_naively(gold)]
    if not usable or not fold_naively(answer):
        return
    ours = score_answer(answer, ask(tuple(usable)))
    each = [score_naively(answer, gold) for gold in usable]
    for metric in ("recall", "exact", "substring", "f1"):
        assert getattr(ours, metric) == pytest.approx(max(getattr(scores, metric) for scores in each)), metric


@given(st.lists(TEXTS.filter(fold_naively), min_size=1, max_size=4, unique=True))
def test_golds_score_one_and_no_answer_zero(parts: list[str]) -> None:
    question = ask(*((part,) for part in parts))
    for order in itertools.islice(itertools.permutations(parts), 6):
        assert score_answer(", ".join(order), question) == AnswerScores(1, 1, 1, 1)
    for nothing in (None, "", "  "):
        assert score_answer(nothing, question) == AnswerScores()


@given(answer=st.text(max_size=40), gold=st.text(min_size=1, max_size=20).filter(str.strip))
def test_scores_are_shares_and_ordered(answer: str, gold: str) -> None:
    scores = score_answer(answer, ask((gold,)))
    assert 0 <= scores.exact <= scores.f1 <= 1
    assert scores.exact <= scores.substring <= scores.recall <= 1


@pytest.mark.parametrize(
    ("answer", "golds", "expected"),
    [
        ("It was 1,000 metres", (("1000",),), (1, 0, 1)),
        ("twenty-one", (("21",),), (1, 1, 1)),
        ("北京市", (("北京",),), (1, 0, 1)),
        ("臺灣", (("台湾",),), (1, 1, 1)),
        ("上海", (("北京",),), (0, 0, 0)),
        ("Right and Left", (("Right",), ("Left",), ("Both",)), (2 / 3, 0, 2 / 3)),
        ("Left, Right and Both", (("Right",), ("Left",), ("Both",)), (1, 1, 1)),
        ("Jonathan", (("Jon",),), (0, 0, 0)),
    ],
)
def test_scores_by_script_and_by_part(
    answer: str, golds: tuple[tuple[str, ...], ...], expected: tuple[float, ...]
) -> None:
    scores = score_answer(answer, ask(*golds))
    assert (scores.recall, scores.exact, scores.substring) == pytest.approx(expected)


def test_intervals_are_those_of_scipy() -> None:
    dice = np.random.default_rng(0)
    for values in (dice.random(150), (dice.random(196) < 0.3).astype(float)):
        low, high = estimate_interval(values)
        theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000).confidence_interval
        assert low == pytest.approx(theirs.low, abs=0.01)
        assert high == pytest.approx(theirs.high, abs=0.01)
        assert (low, high) == estimate_interval(values)


def test_the_paired_test_is_that_of_scipy() -> None:
    dice = np.random.default_rng(1)
    for size, gain in ((12, 0.2), (60, 0.05), (196, 0.0)):
        base = dice.random(size)
        other = base + dice.normal(gain, 0.3, size)
        ours = compare_paired(MetricName.F1, base, other)
        theirs = stats.permutation_test(
            (base, other), lambda a, b: np.mean(b - a), permutation_type="samples", n_resamples=10_000, rng=2
        )
        assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.02)
        assert ours.difference == pytest.approx(float(np.mean(other - base)))
        assert ours.low <= ours.difference <= ours.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_equal_values_do_not_differ(values: list[float]) -> None:
    paired = compare_paired(MetricName.F1, values, values, rounds=50)
    assert (paired.difference, paired.low, paired.high, paired.p_value) == (0, 0, 0, 1)
    low, high = estimate_interval(values, rounds=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_gold_without_tokens_scores_zero() -> None:
    assert score_answer("0", ask(("\x80",))) == AnswerScores()
    assert score_answer("Tarn", ask(("Tarn",), ("\x80",))).recall == 0.5


def test_a_mean_of_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="no values"):
        estimate_interval([])
