"""The official metrics against the published rules, written again from their description, and FanOutQA's package."""

from __future__ import annotations

import collections
import gzip
import json
import random
import re
import string
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluation.benchmark_rows import read_question
from pipeline.evaluation.metrics import score_answer
from pipeline.evaluation.official_metrics import OfficialScores, measure_loosely, score_officially
from schemas.evaluations import EvalQuestion
from tests.support.growth import LINEAR, cpu_growth


def squad_words(text: str) -> list[str]:
    """What hotpot_evaluate_v1 and Search-R1's qa_em call the normalised answer, word by word."""
    bare = "".join(char for char in text.lower() if char not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def hotpot_f1(said: list[str], gold: list[str]) -> float:
    special = (["yes"], ["no"], ["noanswer"])
    if (said in special or gold in special) and said != gold:
        return 0.0
    shared = sum((collections.Counter(said) & collections.Counter(gold)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(said), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def score_by_the_book(answer: str, golds: tuple[str, ...]) -> OfficialScores:
    said, wanted = squad_words(answer), [squad_words(gold) for gold in golds]
    return OfficialScores(
        exact=float(any(said == gold for gold in wanted)),
        f1=max(hotpot_f1(said, gold) for gold in wanted),
        substring=float(any(" ".join(gold) in " ".join(said) for gold in wanted)),
    )


@pytest.mark.parametrize(
    ("answer", "golds", "expected"),
    [
        ("yes it is", ("yes",), (0, 0, 1)),
        ("yes", ("Yes, Giorgio",), (0, 0, 0)),
        ("no, both are American", ("no",), (0, 0, 1)),
        ("Yes.", ("yes",), (1, 1, 1)),
        ("director of a film", ("director of film",), (1, 1, 1)),
        ("vitamin A", ("vitamin",), (1, 1, 1)),
        ("J. R. R. Tolkien", ("JRR Tolkien",), (0, 1 / 3, 0)),
        ("well known", ("well-known",), (0, 0, 0)),
        ("twenty-one", ("21",), (0, 0, 0)),
        ("$5", ("5",), (1, 1, 1)),
        ("Dvorak", ("Dvořák",), (0, 0, 0)),
        ("Jonathan", ("Jon",), (0, 0, 1)),
    ],
)
def test_published_rules_hold_where_ours_differ(
    answer: str, golds: tuple[str, ...], expected: tuple[float, float, float]
) -> None:
    scores = score_officially(answer, (golds,))
    assert (scores.exact, scores.f1, scores.substring) == pytest.approx(expected)


def test_no_answer_scores_zero() -> None:
    assert score_officially(None, (("x",),)) == OfficialScores()


def test_loose_accuracy_counts_repeated_parts() -> None:
    row = {"question": "When?", "answer": {"A town": 1990, "B town": 1990}, "decomposition": []}
    question = read_question(row, "fanoutqa")
    assert question.golds == (("A town",), ("1990",), ("B town",), ("1990",))
    assert score_officially("1990", question.golds).substring == 0.5
    assert score_answer("1990", question).substring == 0.5
    assert score_answer("A town and B town, 1990", question).exact == 1


def perturb(dice: random.Random, answer: str, others: list[str]) -> Iterator[str]:
    words = answer.split()
    yield answer
    yield answer.upper() + "."
    yield " ".join(dice.sample(words, len(words)))
    yield " ".join(words[: max(1, len(words) // 2)])
    yield f"The {answer}, or {dice.choice(others)}"
    yield dice.choice(others)
    yield answer.replace(" ", "-") + " a"


@pytest.mark.shared
def test_every_answer_of_the_benchmarks_scores_as_published(shared_data: Path) -> None:
    dice = random.Random(0)
    names = ["bamboogle", "frames", "freshqa_2023", "hotpot_dev_500", "qa_dev", "zh_qa"]
    rows = [(name, row) for name in names for row in read_lines(shared_data / f"{name}.jsonl.gz")[:1500]]
    golds = [tuple(map(str, row["answers"])) for _, row in rows if row["answers"]]
    others = [forms[0] for forms in golds]
    for forms in golds:
        for answer in perturb(dice, dice.choice(forms), others):
            ours, book = score_officially(answer, (forms,)), score_by_the_book(answer, forms)
            assert (ours.exact, ours.substring) == (book.exact, book.substring), (answer, forms)
            assert ours.f1 == pytest.approx(book.f1), (answer, forms)


@pytest.mark.slow
@pytest.mark.shared
def test_loose_accuracy_is_that_of_fanoutqa(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against fanoutqa 1.1.1 of PyPI, its lemmas switched off."""
    norm = pytest.importorskip("fanoutqa.norm")
    monkeypatch.setattr(norm, "lemmatize", lambda text, remove_stopwords=False: text)
    # The package that holds it wants a model client as well.
    found = spec_from_file_location("fanoutqa_string", Path(norm.__file__).parent / "eval" / "string.py")
    assert found is not None
    assert found.loader is not None
    theirs = module_from_spec(found)
    found.loader.exec_module(theirs)
    for row in read_lines(shared_data / "fanoutqa_dev.jsonl.gz"):
        question = read_question(row, "fanoutqa")
        answer = row["answer"]
        if any(isinstance(value, float) for value in (answer.values() if isinstance(answer, dict) else [answer])):
            continue  # we write 5.0 as 5; they make it 50
        for kept in (1, 2, 3):
            said = ", ".join(forms[0] for forms in question.golds[::kept])
            assert measure_loosely(said, question.golds) == pytest.approx(theirs.answer_in_text(answer, said).score), (
                said
            )


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["the ", "1,", "a.", "é"])
def test_official_scores_are_linear_in_the_answer(unit: str) -> None:
    question = EvalQuestion(question_id="q", dataset="d", lang="en", question="?", golds=(("1",), ("x y",)))
    assert cpu_growth(lambda size: unit * size, lambda text: score_officially(text, question.golds)) <= LINEAR
