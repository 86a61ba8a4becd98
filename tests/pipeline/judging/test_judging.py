"""The judge: metrics by script, what counts as right, and what is kept."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.judging.scoring import read_gold, score_answer
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.config import JudgingConfig
from schemas.funnel import Reject
from schemas.judgements import Judgement, Verdict
from schemas.trajectories import MaskAnswer, StopReason
from tests.support.trajectory_samples import make_attempt, make_span

COLOURS = ["red", "green", "blue", "12"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000"),
        ("1\u00a0000\u202f000", "1,000,000"),
        ("twenty-one", "21"),
        ("The  U.S.", "US"),
        ("J. R. R. Tolkien", "J.R.R. Tolkien"),
        ("Lincoln’s", "Lincoln"),
        ("Ｐａｒｉｓ，", "paris"),
        ("50%", "50 percent"),
        ("北京大學。", "北京大学"),
        ("一九四九年十月一日", "1949年10月1日"),
        ("二十一世紀", "21世纪"),
        ("一百零五", "105"),
        ("３万", "3万"),
        ("−5", "-5"),
    ],
)
def test_folding_makes_equal(one: str, other: str) -> None:
    assert fold_text(one) == fold_text(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1868", "1869"),
        ("C++", "C"),
        ("vitamin A", "vitamin"),
        ("-5", "5"),
        ("10²", "102"),
        ("1.5", "15"),
        ("!", "?"),
        ("The", "a"),
        ("上海", "海上"),
        ("1,2", "12"),
    ],
)
def test_folding_keeps_apart(one: str, other: str) -> None:
    assert fold_text(one) != fold_text(other)


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)


def squad_fold(text: str) -> str:
    """SQuAD's published recipe: lower case, no punctuation, no articles, single spaces."""
    bare = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


@given(st.lists(st.sampled_from(["The", "Queen", "of", "Hearts,", "(1868)", "was", "there.", "!", "and"])))
def test_folding_agrees_with_squad_on_plain_english(words: list[str]) -> None:
    expected = squad_fold(" ".join(words))
    assert not expected or fold_text(" ".join(words)) == expected


def test_presence_needs_token_bounds() -> None:
    assert holds_tokens(fold_text("It opened in the 1990s."), fold_text("1990s"))
    assert not holds_tokens(fold_text("It opened in the 1990s."), fold_text("1990"))
    assert holds_tokens(fold_text("位於北京市。"), fold_text("北京"))
    assert not holds_tokens("anything", "")


@given(st.lists(st.sampled_from(COLOURS), min_size=1), st.lists(st.sampled_from(COLOURS)))
def test_f1_is_over_bags(gold: list[str], answer: list[str]) -> None:
    """Against a plain count: F1 = 2·shared / (both lengths), and repeating a token never pays."""
    span = make_span(" ".join(gold), 0)
    scores = score_answer(fold_text(" ".join(answer)), read_gold(span), span)
    shared = sum((Counter(gold) & Counter(answer)).values())
    assert scores.f1 == pytest.approx(2 * shared / (len(gold) + len(answer)))
    assert scores.recall == pytest.approx(shared / len(gold))
    twice = score_answer(fold_text(" ".join(gold * 2)), read_gold(span), span)
    assert twice.f1 == pytest.approx(2 / 3)


def judge(attempt: JudgedAttempt, **config: object) -> Judgement:
    return JudgeStage(JudgingConfig.model_validate(config)).judge(attempt)


@pytest.mark.parametrize(("text", "accepted"), [("{} and {} met.", True), ("{} met {}.", False)])
def test_answers_of_order_free_masks_may_be_exchanged(text: str, accepted: bool) -> None:
    golds = ("Ada Byron", "Mary Shelley")
    verdict = judge(make_attempt(text.format(*golds), golds, golds[::-1], shown="Ada Byron, Mary Shelley."))
    assert (verdict.accepted, verdict.exact) == (accepted, float(accepted))


@pytest.mark.parametrize(
    ("text", "gold", "answer"),
    [
        ("It opened in 1,868.", "1,868", "1868"),
        ("It opened on 4 July 1776 there.", "4 July 1776", "July 4, 1776"),
        ("It opened in 1868 there.", "1868", "in 1868"),
        ("Born to Abraham Lincoln there.", "Abraham Lincoln", "Abraham  lincoln."),
        ("The team of Trinidad and Tobago won.", "Trinidad and Tobago", "Trinidad and Tobago"),
        ("He wrote to Pyotr Ilyich Tchaikovsky often.", "Pyotr Ilyich Tchaikovsky", "Pyotr Ilich Tchaikovsky"),
        ("他毕业于北京大学。", "北京大学", "北京大學"),
        ("他毕业于北京大学。", "北京大学", "在北京大学。"),
        ("会议于一九四九年举行。", "一九四九年", "1949年"),
    ],
)
def test_right_answers_are_right(text: str, gold: str, answer: str) -> None:
    verdict = judge(make_attempt(text, [gold], [answer], shown=f"Somewhere: {gold}."))
    assert (verdict.verdict, verdict.accepted) == (Verdict.CORRECT, True), verdict.reason


EN = "The treaty was signed in Paris by the French king."
ZH = "这项条约在北京由清朝的代表签署。"
ADVERSARIAL = [
    (EN, "Paris", answer)
    for answer in (
        "The treaty was signed in [mask] by the French king.",
        EN,
        "[mask]",
        "Paris or London",
        "Paris, London, Berlin",
        "Paris / London",
        "Paris; London",
        "Paris and London",
        "Paris\nLondon",
        "either Paris or Rome",
        "Paris London",
        "Paris Paris",
        "Paris Paris Paris Paris",
        "not Paris",
        "not in Paris",
        "probably Paris",
        "Paris (unknown)",
        "It cannot be determined",
        "unknown",
        "Paris 1868",
        "New Paris",
        "<answer>Paris",
        "Paris</answer>",
        "<answer>Paris</answer><answer>London</answer>",
        "Paris<|im_end|>",
        "Pari",
        "P a r i s",
        "?",
    )
] + [
    (ZH, "北京", answer)
    for answer in (
        "这项条约在[mask]由清朝的代表签署。",
        ZH,
        "北京或上海",
        "北京、上海",
        "北京，上海",
        "北京和南京",
        "北京还是南京",
        "可能是北京",
        "不是北京",
        "非北京",
        "北京北京",
        "京北",
        "南京",
        "无法确定",
        "未知",
        "<answer>北京",
        "北京？上海",
    )
]


@pytest.mark.parametrize(("text", "gold", "answer"), ADVERSARIAL)
def test_adversarial_answers_are_wrong(text: str, gold: str, answer: str) -> None:
    shown = f"{gold} is named here, and so are London, Rome, Berlin, 上海 and 南京; the treaty is not."
    verdict = judge(make_attempt(text, [gold], [answer], shown=shown))
    assert (verdict.verdict, verdict.accepted) == (Verdict.INCORRECT, False), verdict.reason


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("the winter of 1868", "the winter of 1869"),
        ("World War II", "World War I"),
        ("the South Dakota legislature", "the North Dakota legislature"),
        ("symmetrical encryption", "asymmetrical encryption"),
        ("Hepatitis B virus type A", "Hepatitis B virus type B"),
        ("Martin Luther King Jr.", "Martin Luther King"),
        ("1,000,000 people", "100,000 people"),
        ("第二次世界大战", "第一次世界大战"),
        ("中国人民大学东门", "中国人民大学西门"),
    ],
)
def test_near_misses_are_wrong(gold: str, answer: str) -> None:
    text = f"This is about {gold} and no more."
    assert judge(make_attempt(text, [gold], [answer], shown=text)).verdict is Verdict.INCORRECT


@pytest.mark.parametrize("answer", [None, "", "   "])
def test_no_answer_is_unanswered(answer: str | None) -> None:
    verdict = judge(make_attempt(answers=[answer]))
    assert (verdict.verdict, verdict.reject_reason) == (Verdict.INCORRECT, "unanswered")
    assert verdict.scores[0].f1 == 0


def test_one_of_two_masks_is_not_enough() -> None:
    verdict = judge(make_attempt(golds=["1868", "Ada Byron"], answers=["1868", None]))
    assert (verdict.verdict, verdict.reject_reason, verdict.exact) == (Verdict.INCORRECT, "unanswered", 0.5)
    verdict = judge(make_attempt(golds=["1868", "Ada Byron"], answers=["1868", "Ada Lovelace"]))
    assert verdict.reject_reason == "wrong_answer"


def test_alias_counts_and_is_named() -> None:
    verdict = judge(make_attempt(golds=["Ada Byron"], answers=["Lovelace"], aliases={"Ada Byron": ["Ada", "Lovelace"]}))
    assert (verdict.accepted, verdict.scores[0].gold) == (True, "Lovelace")


def test_guess_is_rejected_unless_allowed() -> None:
    attempt = make_attempt(shown="Nothing of the kind, though 18681 and 1868s stand here.")
    assert judge(attempt).reject_reason == "unseen_answer"
    assert judge(attempt).verdict is Verdict.CORRECT
    assert judge(attempt, require_seen=False).accepted


def test_failed_search_is_an_error_and_never_a_pass() -> None:
    verdict = judge(make_attempt(stop_reason=StopReason.SEARCH_FAILED))
    assert (verdict.verdict, verdict.accepted, verdict.reject_reason) == (Verdict.ERROR, False, "search_failed")


def test_repeated_answers_to_one_mask_do_not_count() -> None:
    attempt = make_attempt()
    twice = tuple(MaskAnswer(mask=0, answer="1868", evidence=None) for _ in range(2))
    trajectory = attempt.trajectory.model_copy(update={"answers": twice})
    verdict = judge(JudgedAttempt(trajectory, attempt.task, attempt.page_passages))
    assert (verdict.verdict, verdict.reject_reason) == (Verdict.INCORRECT, "bad_format")


def test_stage_gives_every_attempt_a_judgement_and_sums() -> None:
    attempts = [make_attempt(), make_attempt(answers=["1900"]), make_attempt(answers=[None])]
    outcomes = list(JudgeStage(JudgingConfig()).run(attempts))
    assert [o.key for o in outcomes] == [a.key for a in attempts]
    assert all(isinstance(o.rows[0], Judgement) for o in outcomes)
    rejects = [row for o in outcomes for row in o.rows if isinstance(row, Reject)]
    assert [r.reason for r in rejects] == ["wrong_answer", "unanswered"]
    total = outcomes[0].funnel[0] + outcomes[1].funnel[0] + outcomes[2].funnel[0]
    assert (total.entered, total.passed, total.rejected) == (3, 1, {"unanswered": 1, "wrong_answer": 1})


def test_judgement_id_follows_the_settings() -> None:
    attempt = make_attempt()
    assert judge(attempt).judgement_id == judge(attempt).judgement_id != judge(attempt, min_fuzzy=0.8).judgement_id


def test_source_page_is_identified_by_ids() -> None:
    attempt = make_attempt()
    assert judge(attempt).from_source_page
    assert not judge(JudgedAttempt(attempt.trajectory, attempt.task, frozenset({"other"}))).from_source_page


@given(st.text(max_size=40), st.text(min_size=1, max_size=40))
def test_any_text_is_judged(answer: str, gold: str) -> None:
    verdict = judge(make_attempt(text=f"x {gold} y", golds=[gold], answers=[answer]))
    assert verdict.accepted == (verdict.reject_reason is None)
    assert all(0 <= v <= 1 for s in verdict.scores for v in (s.f1, s.recall, s.fuzzy))
