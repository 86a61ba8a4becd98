"""Files of a run in no sound record: foreign ones, and those of damaged records.

Guarantees: a file is reported as foreign only when no damaged record can have listed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pipeline.storage.remote.mirror import FILES
from pipeline.storage.verification.ledger import LedgerReading
from schemas.config import StageName
from schemas.verification import FileFault, Part, VerificationFinding

INDEX, ABOUT, PLAN = "index", "about.json", "plan.json"
REPORT, REJECTS = "report.html", "rejects"


def find_unlisted(
    sizes: Iterable[str], ledger: LedgerReading, expected: set[str], findings: Iterable[VerificationFinding]
) -> Iterator[VerificationFinding]:
    """Files in the folders of the datasets, of the ledger and of the index that no sound record lists.

    Hidden files are those of a running writer, or of a killed one (`rampforge gc`). `expected`: the files in sound
    records; `findings`: the defects of the records.
    """
    known = expected | ledger.names
    datasets = {file.dataset for commit in ledger.commits for file in commit.files}
    lost = _Lost(ledger, [one for one in findings if not one.harmless])
    for name in sizes:
        path = PurePosixPath(name)
        if name in known or any(part.startswith(".") for part in path.parts):
            continue
        if record := lost.find_record(path):
            what = f"cannot be compared: {record}, which may hold its checksum, is damaged"
            yield VerificationFinding(file=name, fault=FileFault.UNPROVEN, what=what, part=Part.OTHER)
            continue
        of_index = path.parts[0] == INDEX and path.name not in (ABOUT, PLAN, FILES)
        if len(path.parts) > 1 and (path.parts[0] in datasets or path.parts[0] == "ledger" or of_index):
            what = "in no ledger: no command reads it, and it is left alone"
            yield VerificationFinding(file=name, fault=FileFault.FOREIGN, what=what, part=Part.OTHER)


class _Lost:
    """Damaged records, by the files that they may have listed."""

    def __init__(self, ledger: LedgerReading, harmful: Iterable[VerificationFinding]) -> None:
        self._folders: dict[PurePosixPath, str] = {}
        self._shards: dict[str, str] = {}
        self._files: dict[str, str] = {}
        for one in harmful:
            path = PurePosixPath(one.file)
            if path.name in (ABOUT, "manifest.json"):
                self._folders[path.parent] = one.file
            if one.part is Part.MANIFEST and one.stage == StageName.REPORT:
                self._files[REPORT] = one.file
            if one.part is Part.COMMIT and (one.stage, one.shard) not in ledger.found:
                self._shards[f"part-{one.shard}.parquet"] = one.file
                self._files[f"{REJECTS}/part-{one.stage}-{one.shard}.parquet"] = one.file

    def find_record(self, path: PurePosixPath) -> str | None:
        """The damaged record that may have listed a file."""
        if str(path) in self._files:
            return self._files[str(path)]
        of_shard = len(path.parts) == 2 and path.parts[0] not in (REJECTS, INDEX, "ledger")
        return self._folders.get(path.parent) or (self._shards.get(path.name) if of_shard else None)
