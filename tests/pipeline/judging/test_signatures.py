"""Signatures: what was shown when and by what, shortcuts, chained turns and support, in both scripts; linear time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.judging.signatures import SignatureReader
from pipeline.text.normalisation import fold_text
from schemas.judgements import AttemptSignature, ShownBy
from schemas.renderings import QuestionKind
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, MaskAnswer, SearchCall, SearchStatus, Trajectory, Turn
from tests.support.growth import LINEAR, cpu_growth
from tests.support.passage_samples import make_passage
from tests.support.search_samples import open_index, write_index
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

TEXT = "The old school on the hill above Lumea was founded in 1868 by Ada Byron, and the town paid for its library."
TASK = make_task(TEXT, ["1868", "Ada Byron"], aliases={"Ada Byron": ("Countess Ada",)})
COPY = ("copy", "Schools", f"It is known that {TEXT[4:]}")
YEAR = ("year", "Lumea", "The school above Lumea opened in 1868 under Vera Holt. It rained in 1900.")
FOUNDER = ("founder", "Vera Holt", "With Vera Holt came Countess Ada to the hill.")


def step(shown: list[tuple[str, str, str]], *queries: str) -> Turn:
    calls = tuple(SearchCall(query=query, status=SearchStatus.OK, hits=(), detail=None) for query in queries)
    return make_turn(shown, calls=calls)


def sign(*turns: Turn, task: MaskTask = TASK, cited: tuple[str | None, ...] = (None, None)) -> AttemptSignature:
    return SignatureReader(attempt(task, turns, cited), task, fold_text).read()


def attempt(task: MaskTask, turns: tuple[Turn, ...], cited: tuple[str | None, ...]) -> Trajectory:
    trajectory = make_trajectory(task, [span.text for span in task.spans], turns)
    answers = [
        MaskAnswer(mask=mask, answer=span.text, evidence=passage)
        for mask, (span, passage) in enumerate(zip(task.spans, cited, strict=True))
    ]
    return trajectory.model_copy(update={"answers": tuple(answers), "hide": HideMode.PASSAGE})


def test_two_passages_found_one_after_the_other() -> None:
    first, second = step([YEAR], "school hill Lumea founded"), step([FOUNDER], "Vera Holt school", "town library")
    signature = sign(first, second, cited=("year", "founder"))
    year, founder = signature.masks
    assert (year.shown_turn, year.shown_by, year.support) == (1, ShownBy.OTHER, 3), "school, above, Lumea"
    assert (founder.shown_turn, founder.shown_by, founder.support) == (2, ShownBy.OTHER, 1), "hill"
    assert (signature.shortcut, signature.co_covered, year.queried_before_shown) == (False, False, False)
    assert (signature.queries, signature.queries_until_shown, signature.verbatim_queries) == (3, 3, 0)
    assert (signature.later_turns, signature.chained_turns) == (1, 1)


def test_a_turn_that_names_nothing_found_is_not_chained() -> None:
    signature = sign(step([YEAR], "Lumea"), step([FOUNDER], "who founded the school"), step([], "hill rained"))
    assert (signature.later_turns, signature.chained_turns) == (2, 0)
    assert signature.queries_until_shown == 2


@pytest.mark.parametrize(("passage", "shown_by"), [(COPY, "copy"), (("t0-source", "A page", TEXT), "source")])
def test_the_source_and_its_copies_are_shortcuts(passage: tuple[str, str, str], shown_by: str) -> None:
    signature = sign(step([YEAR, passage], "the old school on the hill above Lumea was founded in by, and"))
    assert (signature.shortcut, signature.co_covered, signature.verbatim_queries) == (True, True, 1)
    assert [mask.shown_by for mask in signature.masks] == [shown_by] * 2


def test_nothing_shown_and_an_answer_that_was_asked_for() -> None:
    signature = sign(step([], "Countess Ada school"), step([YEAR], "1868"))
    assert [mask.queried_before_shown for mask in signature.masks] == [True, True]
    assert [mask.shown_turn for mask in signature.masks] == [2, None]
    assert (signature.queries_until_shown, signature.masks[0].support) == (None, None)


def test_an_imported_question_is_its_own_context() -> None:
    task = make_task("Who founded the school above Lumea?\nVera Holt", ["Vera Holt"], kind=QuestionKind.QA)
    found = ("p", "Schools", "The school above Lumea is Vera Holt's.")
    assert sign(step([found], "Lumea"), task=task, cited=("p",)).masks[0].support == 3


def test_chinese() -> None:
    task = make_task("马拉河上的老桥由工程师王立强于1871年建成。", ["王立强"], lang="zh")
    found = ("p", "老桥", "老桥的工程师是王立强，生于山城。")
    signature = sign(step([found], "马拉河老桥工程师"), step([], "山城人物"), task=task, cited=("p",))
    assert signature.masks[0].support == 3, "老桥 工程 程师"
    assert (signature.verbatim_queries, signature.chained_turns) == (0, 1)


@pytest.mark.parametrize(
    ("queries", "selectivity"), [(("school hill",), 2), (("school", "hill Holts"), 1), (("bridges",), None), ((), None)]
)
def test_selectivity_of_the_rarest_clue(tmp_path: Path, queries: tuple[str, ...], selectivity: int | None) -> None:
    texts = ("The school.", "A school on the hill.", "The hill of Vera Holt and a school.")
    passages = [make_passage(number, text, number) for number, text in enumerate(texts)]
    counts = AnswerCounts(open_index(write_index(tmp_path, passages)))
    given = attempt(TASK, (step([YEAR], *queries),), (None, None))
    assert SignatureReader(given, TASK, fold_text, counts).read().clue_selectivity == selectivity
    assert SignatureReader(given, TASK, fold_text).read().clue_selectivity is None


@pytest.mark.slow
def test_time_is_linear() -> None:
    def make(size: int) -> Trajectory:
        shown = [(f"p{number}", f"Page {number}", f"{FOUNDER[2]} It was in {number}.") for number in range(size)]
        return attempt(TASK, tuple(step([one], f"query {one[0]}") for one in shown), ("p0", "p1"))

    assert cpu_growth(make, lambda given: SignatureReader(given, TASK, fold_text).read(), size=50) <= LINEAR
