"""Tasks that are kept, those that are rejected as unreachable, and that neither order nor resuming changes a row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.llm.async_stage import AsyncStage
from pipeline.masking.task_stage import SpannedPassage
from pipeline.reachability.play import OraclePlayer
from pipeline.reachability.stage import UNREACHABLE, ReachabilityStage
from pipeline.search.bm25 import Bm25Engine
from pipeline.stage import Outcome
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from schemas.config import AgentsConfig, StageName
from schemas.funnel import FunnelStep, Reject
from schemas.ledger import ShardCommit
from schemas.passages import Passage
from schemas.reachability import Reachability
from schemas.tasks import MaskTask, SpanSet
from schemas.trajectories import HideMode
from tests.support.oracle_samples import draw_passages, draw_tasks, index_passages, open_search


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return draw_passages(2)


@pytest.fixture(scope="module")
def index(passages: list[Passage], tmp_path_factory: pytest.TempPathFactory) -> Bm25Engine:
    return index_passages(tmp_path_factory.mktemp("stage"), passages)


def make_outcomes(passages: Sequence[Passage], index: Bm25Engine) -> dict[str, Outcome]:
    """Tasks of passages; every fifth has lost its evidence, so that nothing can be found."""
    outcomes = {}
    for number, task in enumerate(draw_tasks(passages, index, masks=2)):
        if number % 5 == 0:
            spans = tuple(span.model_copy(update={"evidence": ()}) for span in task.spans)
            task = task.model_copy(update={"spans": spans})
        step = FunnelStep.count(StageName.TASKS, "passage", 1, {})
        outcomes[task.passage_id] = Outcome(task.passage_id, (task,), (step,))
    return outcomes


def run_stage(stage: ReachabilityStage, passages: Sequence[Passage]) -> dict[str, Outcome]:
    async def work() -> list[Outcome]:
        items = [SpannedPassage(p, SpanSet(passage_id=p.passage_id, spans=(), scorer=None)) for p in passages]
        return list(await asyncio.gather(*map(stage.work, items)))

    return {outcome.key: outcome for outcome in asyncio.run(work())}


def open_stage(index: Bm25Engine, made: dict[str, Outcome]) -> ReachabilityStage:
    player = OraclePlayer(open_search(index), index, AgentsConfig(max_turns=2), 3, HideMode.PASSAGE)
    return ReachabilityStage(made, player)


def test_every_task_is_kept_or_rejected_and_has_a_row(passages: list[Passage], index: Bm25Engine) -> None:
    made = make_outcomes(passages, index)
    found = run_stage(open_stage(index, made), [p for p in passages if p.passage_id in made])
    for key, outcome in made.items():
        (task,) = (row for row in outcome.rows if isinstance(row, MaskTask))
        (play,) = (row for row in found[key].rows if isinstance(row, Reachability))
        kept = [row for row in found[key].rows if isinstance(row, MaskTask)]
        lost = [row for row in found[key].rows if isinstance(row, Reject)]
        assert play.task_id == task.task_id
        assert len(play.masks) == task.mask_count
        assert play.reached == all(mask.passage_id for mask in play.masks)
        assert play.reached == bool(kept) != bool(lost)
        assert [(row.unit, row.reason, row.input_id) for row in lost] == [("task", UNREACHABLE, task.task_id)][
            : len(lost)
        ]
        rivals = [-1 if mask.rivals is None else mask.rivals for mask in play.masks]
        update = {"searches": play.searches, "pages": play.pages, "rivals": None if -1 in rivals else max(rivals)}
        assert kept == [task.model_copy(update=update)][: len(kept)]
        assert found[key].funnel[1].rejected == ({} if kept else {UNREACHABLE: 1})
    reached = [row.reached for outcome in found.values() for row in outcome.rows if isinstance(row, Reachability)]
    assert not any(reached[::5])
    assert 0.9 * len(reached) > sum(reached) > 0.7 * len(reached)


def test_an_outcome_depends_on_its_passage_alone(passages: list[Passage], index: Bm25Engine) -> None:
    made = make_outcomes(passages[:30], index)
    played = [p for p in passages if p.passage_id in made]
    together = run_stage(open_stage(index, made), played)
    rest = run_stage(open_stage(index, made), played[len(played) // 2 :][::-1])
    assert rest == {key: together[key] for key in rest}


def test_a_killed_shard_is_resumed_to_the_same_bytes(
    tmp_path: Path, passages: list[Passage], index: Bm25Engine
) -> None:
    made = make_outcomes(passages, index)
    items = [
        SpannedPassage(p, SpanSet(passage_id=p.passage_id, spans=(), scorer=None))
        for p in passages
        if p.passage_id in made
    ]

    class Dying:
        whole_shard = False

        def __init__(self, after: int) -> None:
            self.after = after
            self.worked = 0

        def run(self, inputs: Iterable[SpannedPassage]) -> Iterator[Outcome]:
            for outcome in AsyncStage(open_stage(index, made).work, in_flight=3).run(inputs):
                if self.worked == self.after:
                    raise KeyboardInterrupt
                self.worked += 1
                yield outcome

    def finish(folder: Path, stage: Dying) -> ShardCommit:
        plan = ShardPlan(RunFolder(folder), "tasks", "000", (MaskTask, Reachability), {"stage": "tasks"})
        return run_shard(plan, stage, items)

    whole = finish(tmp_path / "whole", Dying(len(items)))
    for after in (1, len(items) // 2, len(items) - 1):
        folder = tmp_path / str(after)
        with pytest.raises(KeyboardInterrupt):
            finish(folder, Dying(after))
        rest = Dying(len(items))
        assert finish(folder, rest) == whole
        assert rest.worked == len(items) - after


def test_a_task_with_no_words_to_search_by_is_given_up(tmp_path: Path, passages: list[Passage]) -> None:
    bare = [p.model_copy(update={"title": "", "text": f"{p.text.split()[0]}."}) for p in passages]
    index = index_passages(tmp_path, bare)
    task = draw_tasks(passages, index_passages(tmp_path / "full", passages), masks=1)[0]
    empty = task.model_copy(
        update={
            "title": "",
            "section": (),
            "masked_text": "[mask].",
            "spans": (task.spans[0].model_copy(update={"evidence": ()}),),
        }
    )
    play = asyncio.run(OraclePlayer(open_search(index), index, AgentsConfig(), 3, HideMode.PASSAGE).play(empty))
    assert (play.reached, play.turns, play.searches) == (False, 0, 0)
