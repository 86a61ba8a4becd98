"""Reranking of answers by a model, and the kinds that thoughts name."""

from __future__ import annotations

import math

import pytest

from pipeline.agents.extractive.agents import LEAST_LABEL, ExtractiveAgents
from pipeline.agents.extractive.filling import Filling, weigh_texts, write_filling
from pipeline.agents.extractive.labels import BROADER, load_labels, name_by_signs
from pipeline.agents.extractive.solver import ExtractiveSolver
from pipeline.agents.trajectory_stage import TrajectoryStage
from pipeline.llm.async_stage import AsyncStage
from pipeline.search.batching import BatchedSearch
from prompts.library import load_words
from schemas.config import AgentsConfig
from schemas.tasks import MASK
from schemas.trajectories import HideMode, Trajectory
from tests.pipeline.agents.test_extractive import BRIDGE, K, ScriptedEngine, make_task, rate_rare

PAIR = "A bridge at Tisa was built by Petra Stan and Radu Lup, who never saw Lumea."


class Favourite:
    """Scorer that likes one text."""

    name = "favourite 1"

    def __init__(self, text: str) -> None:
        self._text = text
        self.fillings: list[Filling] = []

    def score_filling(self, filling: Filling) -> list[float]:
        self.fillings.append(filling)
        return [0.0 if text == self._text else -40.0 for text in filling.texts]


def attempt_with(scorer: Favourite) -> Trajectory:
    agents = ExtractiveAgents("en", rate_rare, scorer=scorer)
    solver = ExtractiveSolver(BatchedSearch(ScriptedEngine([PAIR])), agents, AgentsConfig(), K)
    (outcome,) = AsyncStage(TrajectoryStage(solver, (HideMode.PASSAGE,), 1).work, 1).run(
        [make_task(BRIDGE, ["Ion Vasile"])]
    )
    (trajectory,) = outcome.rows
    assert isinstance(trajectory, Trajectory)
    return trajectory


def test_the_model_chooses_among_the_likeliest_and_only_at_the_end() -> None:
    scorer = Favourite("Radu Lup")
    trajectory = attempt_with(scorer)
    assert trajectory.answers[0].answer == "Radu Lup"
    assert (len(trajectory.turns), len(scorer.fillings)) == (2, 1)
    assert "favourite 1" in trajectory.sampling


def test_a_text_that_was_not_shown_is_never_scored() -> None:
    scorer = Favourite("Ion Vasile")
    trajectory = attempt_with(scorer)
    assert all(text in PAIR for text in scorer.fillings[0].texts)
    assert trajectory.answers[0].answer != "Ion Vasile"


def test_other_masks_hold_their_answers_in_a_filling() -> None:
    masked = f"Built by {MASK} in {MASK} for {MASK}."
    filling = write_filling("Mara", masked, 1, ["1871"], {0: "Ion Vasile"})
    assert (filling.before, filling.after) == ("Built by Ion Vasile in ", f" for {MASK}.")


def test_shares_are_dealt_anew_among_the_scored_alone() -> None:
    belief = {"a": 0.5, "b": 0.25, "c": 0.05}
    weighed = weigh_texts(belief, {"a": -9.0, "b": -1.0})
    assert math.isclose(sum(weighed.values()), sum(belief.values()))
    assert weighed["c"] == belief["c"]
    assert weighed["b"] > weighed["a"]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("他著有《", "》一书", "work"),
        ("该校于", "成立", "moment"),
        ("全市共有", "名学生", "number"),
        ("他生于", "，是家中长子", "place"),
        ("导演", "执导了此片", "person"),
        ("天气", "很好", None),
    ],
)
def test_chinese_signs_name_the_kind(before: str, after: str, kind: str | None) -> None:
    assert name_by_signs(before, after) == kind


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_kind_has_words(lang: str) -> None:
    assert {*load_labels("en").labels, *BROADER, "unknown"} - {"term"} <= load_words("extractive_words", lang).keys()


def test_a_kind_is_named_as_narrowly_as_is_likely() -> None:
    labels = load_labels("en")

    def name(**shares: float) -> str | None:
        distribution = [shares.get(label, 0.0) for label in labels.labels]
        return labels.name_likely(labels._prior * 0 + distribution, LEAST_LABEL)

    assert name(person=0.8, place=0.2) == "person"
    assert name(person=0.5, place=0.4, year=0.1) == "name"
    assert name(count=0.5, amount=0.3) == "number"
    assert name(person=0.5, year=0.5) is None
    assert name(term=1.0) is None
