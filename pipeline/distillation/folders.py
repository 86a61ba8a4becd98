"""What lies in the folder of a distillation.

distill.json              what it was begun with
steps.jsonl               how long each step took, a line a session
base/                     a run: pages, passages, spans, index, which all rounds share by links
validation/               a run: the tasks held out; round-NN/ in it: these attempted by the teacher of that round
round-NN/                 a run: the tasks of that round, attempts, judgements
union/round-NN/           a judged run: all rounds before that one, by links
teachers/round-NN/        its training; model/ is the teacher
student/after-round-NN/   union, sft/ and rl/
rounds/part-NN.parquet    the record of each round
report.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter, read_rows
from pipeline.training.folders import TrainingFolder
from schemas.rounds import RoundRecord


@dataclass(frozen=True, slots=True)
class DistillFolder:
    """The paths of one distillation, and its records."""

    root: Path

    @property
    def begun(self) -> Path:
        """What it was begun with."""
        return self.root / "distill.json"

    @property
    def steps(self) -> Path:
        """How long each step took."""
        return self.root / "steps.jsonl"

    @property
    def base(self) -> RunFolder:
        """The run whose first stages all rounds share."""
        return RunFolder(self.root / "base")

    @property
    def validation(self) -> RunFolder:
        """The run whose tasks are held out."""
        return RunFolder(self.root / "validation")

    @property
    def report(self) -> Path:
        """The report over all rounds."""
        return self.root / "report.html"

    @property
    def logs(self) -> Path:
        """What servers print."""
        return self.root / "logs"

    def round(self, number: int) -> RunFolder:
        """The run of a round."""
        return RunFolder(self.root / _name(number))

    def validated(self, number: int) -> RunFolder:
        """The run in which the teacher of a round meets what is held out."""
        return RunFolder(self.root / "validation" / _name(number))

    def union(self, number: int) -> RunFolder:
        """The run that joins all rounds before one."""
        return RunFolder(self.root / "union" / _name(number))

    def teacher(self, number: int) -> TrainingFolder:
        """The training of a round's teacher."""
        return TrainingFolder(self.root / "teachers" / _name(number))

    def student(self, number: int) -> Path:
        """What is trained when the last round has this number."""
        return self.root / "student" / f"after-{_name(number)}"

    def locate(self, path: Path) -> str:
        """A place in the folder, as records name it."""
        return path.relative_to(self.root).as_posix()

    def records(self) -> list[RoundRecord]:
        """The records of the finished rounds, in order. Raises StorageError."""
        found: list[RoundRecord] = []
        while (path := self._record(len(found))).exists():
            found += read_rows(path, RoundRecord)
        return found

    def write_record(self, record: RoundRecord) -> None:
        """Put a round's record in its place: from now on the round is over."""
        path = self._record(record.number)
        with ShardWriter(path.parent, path.name, RoundRecord, {}) as writer:
            writer.append(record.model_dump(mode="json"))
            writer.close()

    def _record(self, number: int) -> Path:
        return self.root / RoundRecord.dataset / f"part-{number:02d}.parquet"


def _name(number: int) -> str:
    return f"round-{number:02d}"
