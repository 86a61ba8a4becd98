"""Training examples made from judged trajectories, and their spill file on disk.

Guarantees: every judged trajectory gives one example; one that cannot be used for training carries the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

from pipeline.rendering.transcript import FindDocument, QuerySplit, TranscriptError, ask, transcribe
from schemas.difficulties import Difficulty
from schemas.exports import TrainingExample
from schemas.judgements import Judgement, Verdict
from schemas.renderings import Transcript
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

NOT_ACCEPTED, NO_ANSWER = "not_accepted", "no_answer"


def make_example(
    task: MaskTask,
    trajectory: Trajectory,
    judgement: Judgement,
    stream: TokenStream | None = None,
    measured: Difficulty | None = None,
    find: FindDocument | None = None,
    wrong: bool = False,
) -> TrainingExample:
    """Make the example of a trajectory.

    `stream`: its tokens, where a trained model wrote it; `measured`: how often its task was solved; `find`: where the
    documents of hits are, to give each query of a step a search of its own, unless a trained model wrote it; `wrong`:
    keep the content of an attempt that was judged incorrect, too.
    """
    split = QuerySplit(find, task.lang) if find and stream is None else None
    transcript, fault, detail = _transcribe(trajectory, judgement, split, wrong)
    return TrainingExample(
        trajectory_id=trajectory.trajectory_id,
        task_id=task.task_id,
        document_id=task.document_id,
        page_id=task.page_id,
        passage_id=task.passage_id,
        title=task.title,
        policy=trajectory.policy,
        accepted=judgement.accepted,
        hide=trajectory.hide,
        shortcut=judgement.signature.shortcut,
        shown=tuple(tuple(passage.passage_id for passage in turn.shown) for turn in trajectory.turns),
        mask_kinds=tuple(span.kind for span in task.spans),
        difficulties=tuple(span.difficulty for span in task.spans),
        difficulty=task.difficulty,
        measured=measured,
        golds=tuple(span.forms for span in task.spans),
        question=ask(task),
        transcript=transcript,
        single_queries=split is not None,
        stream=stream if transcript else None,
        fault=fault,
        fault_detail=detail,
    )


def _transcribe(
    trajectory: Trajectory, judgement: Judgement, split: QuerySplit | None, wrong: bool
) -> tuple[Transcript | None, str | None, str]:
    if not judgement.accepted:
        kept = None
        if wrong and judgement.verdict is Verdict.INCORRECT and judgement.format_ok:
            with suppress(TranscriptError):
                kept = transcribe(trajectory, split)
        return kept, NOT_ACCEPTED, judgement.reject_reason or judgement.verdict
    try:
        transcript = transcribe(trajectory, split)
    except TranscriptError as error:
        return None, error.reason, error.detail
    if None in transcript.answers:
        return None, NO_ANSWER, f"{transcript.answers.count(None)} answers are missing"
    return transcript, None, ""


class ExampleSpill:
    """Examples on disk, read back in any order: memory holds one at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, example: TrainingExample) -> int:
        """Store an example, and return its offset."""
        place = self._file.tell()
        self._file.write(example.model_dump_json().encode() + b"\n")
        return place

    def read(self, places: Iterable[int]) -> Iterator[TrainingExample]:
        """Yield the examples at these offsets, in this order; no example may be appended afterwards."""
        for place in places:
            self._file.seek(place)
            yield TrainingExample.model_validate_json(self._file.readline())
