"""What two ways of writing have in common, and what a number does not lose on the way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opencc import OpenCC

from pipeline.evaluation.metrics import AnswerScores
from pipeline.evaluation.metrics import score_answer as measure
from pipeline.judging.scoring import read_gold, score_answer
from pipeline.text.accents import respell
from pipeline.text.chinese_conversion import simplify
from pipeline.text.normalisation import fold_text
from schemas.evaluations import EvalQuestion
from tests.support.growth import LINEAR, cpu_growth
from tests.support.trajectory_samples import make_span

CONVERTER = OpenCC("t2s")
PHRASES = sorted(key for _, _, table in CONVERTER.dict_cache.values() for key in table if len(key) > 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("–5", "−5"),
        ("—5", "-5"),
        ("minus five", "-5"),
        ("负五", "-5"),
        ("-.5", "−0.5"),
        ("1.0", "1"),
        ("2.50", "2.5"),
        ("1 000", "1,000"),
        ("1 000 500", "1000500"),
        ("3½", "3 1/2"),
        ("½", "1/2"),
        ("三分之一", "1/3"),
        ("50 per cent", "50%"),
        ("百分之五十", "50%"),
        ("$5", "5 dollars"),
        ("US$5", "$5"),
        ("-$5", "$-5"),
        ("$5 million", "5 million dollars"),
        ("€5", "5 €"),
        ("≥ 42", ">=42"),
        ("⩽42", "≤42"),
        ("~42", "about 42"),
        ("5°C", "5 degrees Celsius"),
        ("5℃", "5 °C"),
        ("5km", "5 km"),
        ("+5", "5"),
        ("5 million", "5,000,000"),
        ("1.5 billion", "1,500,000,000"),
        ("two hundred and five thousand", "205,000"),
        ("two million three hundred thousand", "2.3 million"),
        ("twenty-first", "21st"),
        ("third", "3rd"),
        ("1990's", "1990s"),
        ("1990–1995", "1990—1995"),
        ("第2次", "第二次"),
        ("3个", "三个"),
        ("两百个", "200个"),
        ("三", "3"),
        ("三点五", "3.5"),
        ("一亿五千万", "1.5亿"),
        ("1亿5000万", "150000000"),
        ("3万", "三万"),
        ("１９９０", "١٩٩٠"),
        ("C++.", "C++"),
    ],
)
def test_one_number_is_written_in_many_ways(one: str, other: str) -> None:
    assert fold_text(one) == fold_text(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (".5", "5"),
        ("≠42", "42"),
        ("!=42", "42"),
        ("≥42", "42"),
        ("< 42", "42"),
        (">42", "42"),
        ("≤5", "≥5"),
        ("<-5", "-5"),
        ("±5", "5"),
        ("–5", "5"),
        ("—5", "5"),
        ("$5", "€5"),
        ("$5", "£5"),
        ("$5", "5"),
        ("1990's", "1990"),
        ("18+", "18"),
        ("5%", "5"),
        ("5‰", "5"),
        ("5‰", "5%"),
        ("5°C", "5°F"),
        ("1/2", "12"),
        ("1/2", "1, 2"),
        ("½", "2"),
        ("10⁻²", "10²"),
        ("5'10", "510"),
        ("nineteen eighty", "99"),
        ("5 million", "5"),
        ("百度", "100度"),
        ("第二次", "第三次"),
        ("1.5", "15"),
        ("、", "。"),
    ],
)
def test_what_changes_a_number_stays(one: str, other: str) -> None:
    assert fold_text(one) != fold_text(other)


@pytest.mark.parametrize("text", ["一" + "亿" * 600, "九" * 600, "五百" * 300])
def test_a_run_of_numerals_without_end_folds_to_itself(text: str) -> None:
    assert fold_text(text) == " ".join(text)


PIECES = st.sampled_from(
    [
        *"0123456789.,-–—−+/'’$€¥%°‰<>≤≠±~≈=!() \u00a0\u200b一二三十百千万亿两点第次负½²٥乾坤鍾書⁄",
        *("000", "1990", "km", "million", "hundred", "one", "twenty", "third", "minus", "the", "a", "us", "dollar"),
        *("per cent", "百分之", "三分之一", "s", "st", "u.s.", "'s", " "),
    ]
)


@given(st.lists(PIECES, max_size=10).map("".join))
@settings(max_examples=400)
def test_folding_twice_changes_nothing_whatever_stands_around_numbers(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)


@pytest.mark.parametrize("phrase", PHRASES)
def test_chinese_is_folded_as_the_corpus_is(phrase: str) -> None:
    assert simplify(phrase) == CONVERTER.convert(phrase)
    assert fold_text(simplify(phrase)) == fold_text(phrase)
    question = EvalQuestion(question_id="q", dataset="d", lang="zh", question="?", golds=((simplify(phrase),),))
    assert measure(phrase, question) == AnswerScores(1, 1, 1, 1)


def test_the_conversion_is_that_of_opencc_wherever_phrases_meet() -> None:
    dice = random.Random(0)
    for _ in range(2000):
        words = [dice.choice(PHRASES) if dice.random() < 0.5 else dice.choice(dice.choice(PHRASES)) for _ in range(6)]
        assert simplify("".join(words)) == CONVERTER.convert("".join(words))


@pytest.mark.parametrize(
    ("answer", "gold", "exact"),
    [
        ("Dvorak", "Dvořák", True),
        ("Dvořák", "Dvorak", True),
        ("Dvořak", "Dvořák", True),
        ("Lodz", "Łódź", True),
        ("Aero", "Ærø", True),
        ("Hung", "Hùng", True),
        ("Hưng Hung", "Hưng Hung", True),
        ("Hung Hưng", "Hung Hưng", True),
        ("Hưng", "Hùng", False),
        ("Dvorek", "Dvořák", False),
        ("か", "が", False),
    ],
)
def test_an_accent_may_be_left_out_and_not_be_another(answer: str, gold: str, exact: bool) -> None:
    span = make_span(gold, 0)
    scores = score_answer(fold_text(answer), read_gold(span), span)
    assert scores.exact is exact
    assert (scores.f1 == 1) is exact


@given(st.text(max_size=20), st.text(max_size=20))
def test_respelling_changes_accents_only(answer: str, gold: str) -> None:
    folded = fold_text(answer)
    respelled = respell(folded, fold_text(gold).split())
    assert len(respelled.split()) == len(folded.split())
    assert respell(respelled, fold_text(gold).split()) == respelled


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1,",
        "1.0",
        "$5 ",
        "≥",
        "'s",
        "two hundred ",
        "1/2 ",
        "一",
        "1万",
        "錢",
        "乾坤",
        "三分之一",
        "J. ",
        "é",
        "000 ",
    ],
)
def test_folding_is_linear_in_the_text(unit: str) -> None:
    assert cpu_growth(lambda size: unit * size, fold_text, 4000) <= LINEAR


@pytest.mark.parametrize("other", ["US$5", "$5", "C$5", "HK$5", "NZ$5", "5"])
def test_dollars_of_another_country_are_no_others(other: str) -> None:
    assert fold_text("A$5") != fold_text(other)
    assert fold_text("A$5") == fold_text("AU$5")
