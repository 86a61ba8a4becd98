"""Training examples of a judged run, read from its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from flows.exporting.passage_texts import open_texts
from pipeline.exporting.examples import make_example
from pipeline.rendering.transcript import FindDocument, write_document
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.config import StageName
from schemas.difficulties import Difficulty
from schemas.exports import TrainingExample
from schemas.judgements import Judgement
from schemas.record import Record
from schemas.renderings import ShownDocument
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

R = TypeVar("R", bound=Record)


def read_examples(
    run: RunFolder,
    admits: Callable[[MaskTask, Trajectory], bool] = lambda *_: True,
    find: FindDocument | None = None,
    wrong: bool = False,
) -> Iterator[TrainingExample]:
    """Return every admitted judged trajectory of a run, joined with its task, shard by shard.

    `find`: documents of hits, to give each query of a step a search of its own; `wrong`: with the content of attempts
    that were judged incorrect.
    """
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        name = shard.shard
        tasks = {task.task_id: task for task in read_rows(run.part(MaskTask.dataset, name, ""), MaskTask)}
        judged = {row.trajectory_id: row for row in read_rows(run.part(Judgement.dataset, name, ""), Judgement)}
        streams, measured = _read_beside(run, name, TokenStream), _read_beside(run, name, Difficulty)
        for trajectory in read_rows(run.part(Trajectory.dataset, name, ""), Trajectory):
            judgement, task = judged.get(trajectory.trajectory_id), tasks[trajectory.task_id]
            if judgement and admits(task, trajectory):  # without a judgement it was rejected by the judge
                stream, difficulty = streams.get(trajectory.trajectory_id), measured.get(trajectory.task_id)
                yield make_example(task, trajectory, judgement, stream, difficulty, find, wrong)


def open_documents(run: RunFolder) -> FindDocument:
    """Open the documents of the passages that the searches of a run found."""
    texts = open_texts(run)

    def find(passage_id: str) -> ShownDocument | None:
        passage = texts(passage_id)
        return None if passage is None else write_document(passage.title, passage.text)

    return find


def _read_beside(run: RunFolder, shard: str, model: type[R]) -> dict[str, R]:
    """Return the rows, by id, of a dataset that not every run has."""
    path = run.find_part(model.dataset, shard)
    return {row.key: row for row in read_rows(path, model)} if path else {}
