"""Reviews of attempts by people: good or bad, with a note; in one small Parquet file beside the run.

Guarantees: the file is replaced atomically, so no earlier review is lost; the last review of an attempt counts; the
run's own shards are never changed. Exported, a review becomes labelled answers for the judge's calibration: each
answer of a good attempt is `correct`; of a bad one only an answer that the note names (`mask 2: ...`), or the only
answer, is `incorrect`, and the others are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.inspecting.errors import InspectError
from pipeline.report.report_data import ReportExample
from pipeline.storage.files import lock_folder, write_atomically
from pipeline.storage.shards import read_rows
from schemas.arrow import arrow_schema
from schemas.labelled_answers import LabelledAnswer
from schemas.reviews import Review, ReviewMark
from schemas.trajectories import MaskAnswer

FILE = "reviews/part-reviews.parquet"
MASK_NAMED = re.compile(r"\bmask\s+(\d+)", re.IGNORECASE)


class ReviewStore:
    """Reviews of one run."""

    def __init__(self, run: Path) -> None:
        self.path = run / FILE

    def read(self) -> dict[str, Review]:
        """Reviews by attempt, the latest last. Raises StorageError, or InspectError for a file of another version."""
        if not self.path.exists():
            return {}
        try:
            return {review.trajectory_id: review for review in read_rows(self.path, Review)}
        except ValidationError:
            raise InspectError(f"{self.path}: not reviews of this version", "move it away") from None

    def save(self, review: Review) -> None:
        """Add a review; it replaces an earlier one of the same attempt. Raises StorageError."""
        with lock_folder(self.path.parent):
            reviews = self.read()
            reviews.pop(review.trajectory_id, None)
            self._write([*reviews.values(), review])

    def remove(self, trajectory_id: str) -> None:
        """Delete a review. Raises StorageError."""
        with lock_folder(self.path.parent):
            reviews = self.read()
            if reviews.pop(trajectory_id, None) is not None:
                self._write(list(reviews.values()))

    def _write(self, reviews: list[Review]) -> None:
        rows = [review.model_dump(mode="json") for review in reviews]
        content = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(Review)), content, compression="zstd")
        write_atomically(self.path, content.getvalue())


def label_answers(review: Review, example: ReportExample) -> Iterator[LabelledAnswer]:
    """Labels of the single answers."""
    answers = [answer for answer in example.trajectory.answers if (answer.answer or "").strip()]
    named = {int(number) - 1 for number in MASK_NAMED.findall(review.note)}
    for answer in answers:
        wrong = answer.mask in named or (not named and len(example.task.spans) == 1)
        if review.mark is ReviewMark.GOOD or wrong:
            yield _label(review, example, answer)


def _label(review: Review, example: ReportExample, answer: MaskAnswer) -> LabelledAnswer:
    task, span = example.task, example.task.spans[answer.mask]
    return LabelledAnswer(
        lang=task.lang,
        title=task.title,
        section=task.section,
        masked_text=task.masked_text,
        mask=answer.mask,
        gold=span.text,
        aliases=span.aliases,
        kind=span.kind,
        answer=answer.answer or "",
        verdict="correct" if review.mark is ReviewMark.GOOD else "incorrect",
        source=review.trajectory_id,
        note=review.note,
    )
