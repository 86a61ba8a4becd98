"""Necessity of evidence against an engine that does not have it, and rival answers."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from pipeline.agents.solving import search_step
from pipeline.agents.trajectory_stage import write_requests
from pipeline.evidence.finder import EvidenceFinder
from pipeline.masking.task_stage import build_task
from pipeline.reachability.necessity import Replay
from pipeline.reachability.play import OraclePlayer
from pipeline.search.bm25 import Bm25Engine
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.config import AgentsConfig
from schemas.reachability import MaskReach
from schemas.tasks import AnswerStyle, MaskTask
from schemas.trajectories import HideMode
from tests.support.oracle_samples import WithoutPassages, draw_passages, draw_tasks, index_passages, open_search
from tests.support.passage_samples import make_passage
from tests.support.trajectory_samples import make_span

K = 2


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Bm25Engine:
    return index_passages(tmp_path_factory.mktemp("necessity"), draw_passages(3))


@pytest.mark.parametrize("hidden", ["evidence", "half", "nothing"])
def test_others_are_what_an_engine_without_the_evidence_shows(index: Bm25Engine, hidden: str) -> None:
    async def compare(task: MaskTask) -> list[str | None]:
        player = OraclePlayer(open_search(index), index, AgentsConfig(), K, HideMode.PASSAGE)
        rollout = await player.attempt(task)
        withheld = [frozenset(e.passage_id for e in span.evidence) for span in task.spans]
        withheld = withheld if hidden == "evidence" else [frozenset() for _ in withheld]
        if hidden == "half":
            withheld = [frozenset(hit.passage_id for hit in rollout.turns[0].calls[0].hits[:1]) for _ in withheld]
        write = partial(write_requests, task, HideMode.PASSAGE)
        found = await Replay(open_search(index), write, K, fold_text).find_others(rollout, task.spans, withheld)
        for span, without, other in zip(task.spans, withheld, found, strict=True):
            engine, shown = WithoutPassages(open_search(index), without), []
            for turn in rollout.turns:
                _, passages = await search_step(engine, write([call.query for call in turn.calls]), K)
                shown += passages or []
            holding = [
                p.passage_id for p in shown if holds_tokens(fold_text(f"{p.title} {p.text}"), fold_text(span.text))
            ]
            assert other == next(iter(holding), None)
        return found

    tasks = draw_tasks(draw_passages(3), index)[:20]
    found = [other for task in tasks for other in asyncio.run(compare(task))]
    assert any(found) == (hidden != "evidence")


def reach(folder: Path, masked: tuple[str, ...]) -> list[MaskReach]:
    """What the oracle says of masks in the first of a few passages."""
    source = make_passage(0, "Dervin married Felmel at Gadus in 1723.", 0)
    told = [
        "In 1723 came Dervin to Gadus with Felmel.",
        "Dervin left Felmel in 1801 at Gadus. It rained in 1802.",
        "Dervin and Felmel saw Gadus.",
        "Felmel and Dervin saw nothing in 1644.",
        "Of Dervin and Felmel in Gadus it was said in 1723 or 1724.",
    ]
    passages = [source, *(make_passage(1 + n, text, 1 + n) for n, text in enumerate(told))]
    passages += [make_passage(9 + n, f"Stone bridge {n}.", 9 + n) for n in range(400)]
    index = index_passages(folder, passages)
    spans = [make_span(text, source.text.index(text)) for text in masked]
    evidence = EvidenceFinder(index, 3).find(source, [(span.start, span.forms) for span in spans])
    known = [span.model_copy(update={"evidence": e[:1]}) for span, e in zip(spans, evidence, strict=True)]
    player = OraclePlayer(open_search(index), index, AgentsConfig(), K, HideMode.PASSAGE)
    return list(asyncio.run(player.play(build_task(source, known, AnswerStyle.SPANS))).masks)


def test_rivals_hold_the_clues_and_another_answer_of_the_kind(tmp_path: Path) -> None:
    (year,) = reach(tmp_path, ("1723",))
    assert (year.clues, year.hidden_clues, year.rivals) == (3, 0, 1)


def test_clues_that_another_mask_hides_are_not_counted(tmp_path: Path) -> None:
    _, year = reach(tmp_path, ("Gadus", "1723"))
    assert (year.clues, year.hidden_clues, year.rivals) == (2, 1, 2)


def test_a_second_source_is_named(tmp_path: Path) -> None:
    (year,) = reach(tmp_path, ("1723",))
    assert year.passage_id is not None
    assert year.other_passage_id not in (None, year.passage_id)
