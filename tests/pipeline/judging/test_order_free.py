"""Masks that only a conjunction joins: which they are, and that their answers are scored as a set."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging.order_free import align_answers, group_masks
from schemas.tasks import MASK, MOST_MASKS
from tests.support.growth import LINEAR, cpu_growth


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("The # and # seats are held.", [[0, 1]]),
        ("Written by # or the #, in #.", [[0, 1]]),
        ("Near #, # and #.", [[0, 1, 2]]),
        ("In #, Oslo and # it rained.", [[0, 1]]),
        ("Both # and # near # and #.", [[0, 1], [2, 3]]),
        ("出生於#和#。", [[0, 1]]),
        ("Between # and # it grew.", []),
        ("From # or # he came.", []),
        ("He met # and # in 1843 and 1844, respectively.", []),
        ("He met # and # in # and 1844 respectively.", []),
        ("He met # in # and left.", []),
        ("He met # (1900) and # (1901).", []),
    ],
)
def test_groups(text: str, groups: list[list[int]]) -> None:
    assert [list(group) for group in group_masks(text.replace("#", MASK), text.count("#"))] == groups


def test_a_question_with_another_number_of_masks_has_no_group() -> None:
    assert not list(group_masks(f"{MASK} and {MASK}", 3))
    assert align_answers("no mask", ("b", "a"), lambda _, __: True) == ("b", "a")


@given(st.permutations(["a", "b", "c"]), st.integers(0, 7))
def test_any_order_of_the_right_answers_is_right(answers: list[str], left_out: int) -> None:
    golds = ("a", "b", "c")
    given_answers = tuple(None if left_out == at else answer for at, answer in enumerate(answers))
    aligned = align_answers(f"{MASK}, {MASK} and {MASK}.", given_answers, lambda text, mask: text == golds[mask])
    assert sorted(map(str, aligned)) == sorted(map(str, given_answers))
    assert sum(one == gold for one, gold in zip(aligned, golds, strict=True)) == 3 - (left_out < 3)


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_the_first_of_the_best_orders_is_taken(hits: list[list[bool]]) -> None:
    places = range(len(hits))
    best = max(permutations(places), key=lambda order: sum(hits[mask][at] for mask, at in enumerate(order)))
    question = f"{', '.join([MASK] * (len(hits) - 1))} and {MASK}."
    answers = [str(at) for at in places]
    assert align_answers(question, answers, lambda text, mask: hits[mask][int(text)]) == tuple(map(str, best))


def test_as_many_masks_as_a_task_may_have_are_exchanged() -> None:
    question = f"{', '.join([MASK] * (MOST_MASKS - 1))} and {MASK}."
    golds = "abcdefgh"
    for answers in (golds[::-1], golds[3:] + golds[:3]):
        assert "".join(map(str, align_answers(question, answers, lambda text, mask: text == golds[mask]))) == golds


def test_order_stays_where_nothing_is_gained() -> None:
    question = f"{MASK} and {MASK}."
    for answers in permutations(("x", "y")):
        assert align_answers(question, answers, lambda _, __: False) == answers
    assert align_answers(question, ("a", "a"), lambda text, mask: (text, mask) == ("a", 1)) == ("a", "a")


def test_growth_with_the_question_is_linear() -> None:
    def make(size: int) -> str:
        return f"{MASK}, " + "a b, " * size + f" and {MASK}" + " and so on" * size

    assert cpu_growth(make, lambda text: list(group_masks(text, 2))) < LINEAR
