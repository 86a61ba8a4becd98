"""Rules of self-distillation: when it ends, whom it trusts, how varied a round is, and what its page shows."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distillation.diversity import BLOCK, DistinctBlocks, DiversityCounter, measure_divergence
from pipeline.distillation.rounds_page import build_page
from pipeline.distillation.steps import StepLog, measure_overhead
from pipeline.distillation.stopping import find_best, find_stop, measure_regression
from schemas.config import StageName
from schemas.distill_config import DistillConfig, OnRegression, StopConfig
from schemas.rounds import MaskAcceptance, NamedCount, RoundRecord, StepSeconds, TeacherTraining, ValidationFigures
from schemas.tasks import MaskTask
from schemas.trajectories import SearchCall, SearchStatus, Trajectory
from tests.support.report_samples import POISON
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

EMPTY = DiversityCounter().describe(None)


def make_record(number: int, recall: float | None = None, **more: Any) -> RoundRecord:
    figures = (
        ValidationFigures(questions=10, finished=9, recall=recall, exact=0.1, f1=0.2) if recall is not None else None
    )
    values: dict[str, Any] = {
        "round_id": f"r{number}",
        "number": number,
        "policy": f"teacher-r{number}" if number else "extractive",
        "inputs": (),
        "base": "model" if number else None,
        "checkpoint": f"teachers/round-{number:02d}/model" if number else None,
        "training": None,
        "mask_counts": (1, 2),
        "wanted": 10,
        "tasks": 10,
        "attempts": 20,
        "unfinished": 0,
        "correct": 9,
        "accepted": 8,
        "rejects": (NamedCount(name="wrong_answer", count=12),),
        "by_masks": (MaskAcceptance(masks=1, attempts=20, accepted=8),),
        "diversity": EMPTY,
        "validation": figures,
        "regression": None,
        "seconds": (StepSeconds(step="train", seconds=60.0), StepSeconds(step="other", seconds=1.0)),
        "overhead": 1 / 61,
        "tokens": 1000,
        "cost": 0.5,
        "stop": None,
    }
    return RoundRecord.model_validate({**values, **more})


@pytest.mark.parametrize(
    ("recalls", "last", "stop", "reason"),
    [
        ((0.1, 0.3), {}, {}, None),
        ((0.1, 0.3), {}, {"recall": 0.3}, "reaches 0.3"),
        ((0.5,), {}, {"recall": 0.3}, None),  # the base model is no teacher
        ((0.1, 0.3), {}, {"accept_rate": 0.5}, "accept rate 40.0% is below 50.0%"),
        ((0.1, 0.3), {"unfinished": 60}, {"accept_rate": 0.2}, "accept rate 10.0% is below 20.0%"),
        ((0.1, 0.3), {"accepted": 0}, {}, "nothing was accepted in round 1"),
        ((0.1, 0.3), {"tasks": 0}, {}, "no task is left"),
        (
            (0.1, 0.3),
            {"diversity": EMPTY.model_copy(update={"distinct_2": 0.2})},
            {"diversity": 0.3},
            "0.200, are below",
        ),
        ((0.1, 0.3, 0.3, 0.2), {}, {"patience": 2}, "no gain on validation for 2 rounds"),
        ((0.1, 0.3, 0.3, 0.4), {}, {"patience": 2}, None),
        ((0.1, 0.3, 0.31, 0.32), {}, {"patience": 2, "min_gain": 0.05}, "no gain on validation for 2 rounds"),
        ((None, None, None), {}, {"patience": 1}, None),
        ((0.1, 0.3), {}, {"tokens": 2000}, "2000 tokens are spent"),
        ((0.1, 0.3), {}, {"money": 0.9}, "1 of money are spent"),
        ((0.1, 0.3), {}, {"hours": 0.01}, "hours are spent"),
        ((0.1, 0.3), {"number": 4}, {}, "all 4 rounds are done"),
    ],
)
def test_a_rule_ends_the_loop(
    recalls: tuple[float | None, ...], last: dict[str, Any], stop: dict[str, Any], reason: str | None
) -> None:
    records = [make_record(number, recall) for number, recall in enumerate(recalls)]
    records[-1] = records[-1].model_copy(update=last)
    found = find_stop(records, DistillConfig(rounds=4, stop=StopConfig(**stop)))
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_regression_is_beyond_the_tolerance() -> None:
    config = DistillConfig(regression=0.05, on_regression=OnRegression.STOP)
    records = [make_record(0, 0.2), make_record(1, 0.4), make_record(2, 0.45)]
    assert measure_regression(records, 0.42, config) is None
    assert measure_regression(records, 0.3, config) == pytest.approx(0.15)
    assert measure_regression([], 0.0, config) is None
    best = find_best(records)
    assert best is not None
    assert best.number == 2
    assert find_best([make_record(0, 0.9)]) is None, "the agents of round 0 are no teacher"
    worse = records[-1].model_copy(update={"regression": 0.15})
    assert "lost 0.150" in str(find_stop([*records, worse], config))
    falling = config.model_copy(update={"on_regression": OnRegression.FALL_BACK})
    assert find_stop([*records, worse.model_copy(update={"number": 1})], falling) is None


@given(st.lists(st.sampled_from("abcdefgh"), min_size=0, max_size=40), st.integers(1, 3), st.integers(1, 80))
def test_blocks_do_not_reward_a_small_round(words: list[str], size: int, times: int) -> None:
    blocks = DistinctBlocks(size)
    for _ in range(times):
        blocks.add(words)
    grams = times * max(0, len(words) - size + 1)
    assert (blocks.mean is None) == (grams < BLOCK)
    if blocks.mean is not None:
        assert 0 < blocks.mean <= len({tuple(words[i : i + size]) for i in range(len(words))}) / BLOCK


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), min_size=1), st.integers(1, 7))
def test_divergence_is_a_distance_between_shares(counts: dict[str, int], factor: int) -> None:
    scaled = {word: count * factor for word, count in counts.items()}
    assert measure_divergence(counts, scaled) == pytest.approx(0.0, abs=1e-9)
    assert measure_divergence(counts, {"z": 3}) == pytest.approx(1.0)
    other = {"a": 1, "b": 5}
    assert measure_divergence(counts, other) == pytest.approx(measure_divergence(other, counts))


def test_divergence_agrees_with_its_definition() -> None:
    one, other = Counter("aab"), Counter("abb")
    p, q = {"a": 2 / 3, "b": 1 / 3}, {"a": 1 / 3, "b": 2 / 3}
    middle = {word: (p[word] + q[word]) / 2 for word in p}
    entropy = [-sum(share * math.log2(share) for share in bag.values()) for bag in (p, q, middle)]
    assert measure_divergence(one, other) == pytest.approx(entropy[2] - (entropy[0] + entropy[1]) / 2)


def attempt(task: MaskTask, thought: str, query: str) -> Trajectory:
    call = SearchCall(query=query, status=SearchStatus.EMPTY, hits=(), detail=None)
    return make_trajectory(task, ["1868"], [make_turn((), think=thought, calls=(call,))], final_think="")


def test_repetition_lowers_diversity() -> None:
    varied, same = DiversityCounter(), DiversityCounter()
    task = make_task("It was lit in 1868.", ["1868"])
    for number in range(40):
        thought = " ".join(f"word{number}x{n}" for n in range(30))
        varied.add(attempt(task, thought, f"query {number}"), True, ["date"])
        same.add(attempt(task, "I look for the year in which it was lit.", "the year"), number % 2 == 0, ["date"])
    told, dull = varied.describe(None), same.describe(varied.words)
    assert told.duplicates == 0
    assert dull.duplicates == pytest.approx(39 / 40)
    assert dull.queries_distinct == pytest.approx(1 / 20)
    assert told.distinct_2 is not None
    assert told.distinct_2 > 0.8
    assert dull.kinds == (NamedCount(name="date", count=20),), "of accepted attempts alone"
    assert dull.searches == (NamedCount(name="1", count=40),), "of all attempts"
    assert dull.drift is not None
    assert dull.drift > 0.5


def test_seconds_are_summed_over_sessions(tmp_path: Any) -> None:
    log = StepLog(tmp_path / "steps.jsonl")
    log.add(1, "train", 50.0)
    log.close()
    with (tmp_path / "steps.jsonl").open("ab") as torn:
        torn.write(b'{"key": "01/tr')
    log = StepLog(tmp_path / "steps.jsonl")
    for number, step, spent in ((1, "train", 25.0), (1, "other", 5.0), (2, "train", 9.0), (1, "judgements", 20.0)):
        log.add(number, step, spent)
    seconds = log.sum_round(1)
    assert [(step.step, step.seconds) for step in seconds] == [("train", 75.0), ("other", 5.0), ("judgements", 20.0)]
    assert measure_overhead(seconds, [StageName.TRAJECTORIES]) == pytest.approx(0.25)
    assert measure_overhead(seconds, [StageName.TRAJECTORIES, StageName.JUDGEMENTS]) == pytest.approx(0.05)
    assert measure_overhead((), []) == 0
    log.close()


def test_the_page_is_inert_and_the_same_for_the_same_rounds() -> None:
    trained = TeacherTraining(rows=9, steps=3, first_loss=2.5, last_loss=0.5, tokens_per_second=10.0)
    records = [
        make_record(0, 0.1),
        make_record(1, 0.3, training=trained, policy=POISON),
        make_record(2, None, rejects=(NamedCount(name=POISON, count=3),), stop=POISON),
    ]
    learned = ValidationFigures(questions=10, finished=9, recall=0.625, exact=0.1, f1=0.2)
    page = build_page(POISON, records, learned, {"corpus": {"sources": [POISON]}})
    assert page == build_page(POISON, records, learned, {"corpus": {"sources": [POISON]}})
    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert "default-src &#39;none&#39;" in page
    assert "http://" not in page
    assert "2.500 → 0.500" in page
    assert "<dd>0.625</dd>" in page
    assert "Validation recall went from 0.100 to <b>0.300</b>" in page
    assert build_page("empty", [], None, {}).count("No round is finished yet") == 2
