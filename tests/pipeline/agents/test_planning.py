"""Planning and queries of the extractive agents: the weakest gap first, no stretch of the passage, answers fed on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.agents.extractive.agents import ExtractiveAgents
from pipeline.agents.extractive.features import mask_views
from pipeline.agents.extractive.queries import build_queries, make_keyword_cutter
from pipeline.agents.extractive.words import make_word_cutter
from pipeline.agents.roles import TrajectoryProgress, open_task
from pipeline.search.engine import FoundPassage
from schemas.tasks import MASK
from schemas.trajectories import MaskAnswer, ShownPassage, StopReason, Turn
from tests.pipeline.agents.test_extractive import BRIDGE, ZH_COPY, ScriptedEngine, make_task, rate_rare, run_stage

BUILDER = FoundPassage("s0", "Lumea", "The bridge over the Mara was built by Ion Vasile and it carries the coast road.")


def write_queries(
    masked_text: str, title: str, lang: str = "en", tries: int = 0, found: Mapping[int, str] | None = None
) -> tuple[str, ...]:
    views = mask_views(masked_text, make_word_cutter(lang), title, rate_rare)
    keywords = make_keyword_cutter(lang)(views[0].words)
    return build_queries(views[0], keywords, title, tries, found or {}, "", 3)


def squash(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize("tries", [0, 1])
def test_no_query_is_a_stretch_of_the_passage(tries: int) -> None:
    masked = open_task(make_task(BRIDGE, ["Ion Vasile"])).masked_text
    queries = write_queries(masked, "Mara", tries=tries)
    assert not any(squash(query) in squash(masked.replace(MASK, " ")) for query in queries)
    assert all("the" not in squash(query).split() for query in queries)


@given(
    text=st.text("a[中文 .,王\ufffc", max_size=30),
    title=st.sampled_from(["", "A page", "页面"]),
    tries=st.integers(0, 3),
)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_any_text_gives_three_different_queries(lang: str, text: str, title: str, tries: int) -> None:
    queries = write_queries(text + MASK, title, lang, tries)
    assert len(set(queries)) == 3
    assert all(map(str.strip, queries))


def test_chinese_queries_are_words_not_characters() -> None:
    queries = write_queries(ZH_COPY.replace("王立强", MASK, 1), "马拉河", lang="zh")
    assert any("工程师" in query.split() for query in queries)
    assert not any(len(word) == 1 for query in queries for word in query.split())


def test_an_answer_found_stands_in_the_query_in_place_of_its_mask() -> None:
    masked = f"The bridge was built by {MASK} in {MASK} for the crown."
    second = mask_views(masked, make_word_cutter("en"), "", rate_rare)[1].offset
    assert "bridge built 1871 crown" in write_queries(masked, "", found={second: "1871"})


def test_the_next_step_is_for_the_mask_that_is_least_settled() -> None:
    task = open_task(make_task(BRIDGE, ["Ion Vasile", "1871", "Lumea harbour"]))
    shown = (ShownPassage(passage_id="s0", title=BUILDER.title, text=BUILDER.text),)
    turn = Turn(think="", calls=(), shown=shown, conclusion="")
    agents = ExtractiveAgents("en", rate_rare)
    findings = agents._find(task, (BUILDER,))
    first, second = (
        asyncio.run(agents.plan(TrajectoryProgress(task, 0, turns=turns, seen=(BUILDER,)[: len(turns)]))).mask
        for turns in ((), (turn,))
    )
    assert first == 0
    assert second == min((1, 2), key=lambda mask: (findings[mask].belief if mask in findings else 0.0, mask))


def test_a_name_that_nothing_connects_with_the_gap_is_no_answer() -> None:
    stray = "Ana Pop sold salt to Radu Lup and Mihai Dan at Tisa."
    (trajectory,) = run_stage(ScriptedEngine([stray]), [make_task(BRIDGE, ["Ion Vasile"])])
    assert trajectory.answers == (MaskAnswer(mask=0, answer=None, evidence=None),)
    assert trajectory.stop_reason is StopReason.GAVE_UP
    assert len(trajectory.turns) == 2  # it looked twice
