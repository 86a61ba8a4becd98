"""Folder of a distillation.

distill.json              configuration that it was started with
steps.jsonl               duration of each step, one line per session
base/                     run: pages, passages, spans, index; linked into all rounds
validation/               run: validation tasks; round-NN/ in it: attempts of that round's teacher at them
round-NN/                 run: tasks of that round, attempts, judgements
union/round-NN/           judged run: all rounds before that one, linked
teachers/round-NN/        training of its teacher; model/ is the teacher
student/after-round-NN/   union, sft/ and rl/
rounds/part-NN.parquet    record of each round
report.html
"""

from __future__ import annotations

from pathlib import Path

from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter, read_rows
from pipeline.training.folders import TrainingFolder
from schemas.rounds import RoundRecord


class DistillFolder:
    """Paths and records of one distillation."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.begun = root / "distill.json"
        """The configuration that it was started with."""
        self.steps = root / "steps.jsonl"
        self.base = RunFolder(root / "base")
        """Run whose first stages all rounds share."""
        self.validation = RunFolder(root / "validation")
        """Run with the validation tasks."""
        self.report = root / "report.html"
        self.logs = root / "logs"
        """Output of the servers."""

    def round(self, number: int) -> RunFolder:
        """The run of a round."""
        return RunFolder(self.root / _name(number))

    def validated(self, number: int) -> RunFolder:
        """The run in which the teacher of a round attempts the validation tasks."""
        return RunFolder(self.root / "validation" / _name(number))

    def union(self, number: int) -> RunFolder:
        """The run that joins all rounds before one."""
        return RunFolder(self.root / "union" / _name(number))

    def teacher(self, number: int) -> TrainingFolder:
        """The training of a round's teacher."""
        return TrainingFolder(self.root / "teachers" / _name(number))

    def student(self, number: int) -> Path:
        """The folder of the student trained after a round."""
        return self.root / "student" / f"after-{_name(number)}"

    def locate(self, path: Path) -> str:
        """A path relative to the folder, as in records."""
        return path.relative_to(self.root).as_posix()

    def records(self) -> list[RoundRecord]:
        """The records of the finished rounds, in order. Raises StorageError."""
        records: list[RoundRecord] = []
        while (path := self._record(len(records))).exists():
            records += read_rows(path, RoundRecord)
        return records

    def write_record(self, record: RoundRecord) -> None:
        """Write the record of a round, which finishes it."""
        path = self._record(record.number)
        with ShardWriter(path.parent, path.name, RoundRecord, {}) as writer:
            writer.append(record.model_dump(mode="json"))
            writer.close()

    def _record(self, number: int) -> Path:
        return self.root / RoundRecord.dataset / f"part-{number:02d}.parquet"


def _name(number: int) -> str:
    return f"round-{number:02d}"
