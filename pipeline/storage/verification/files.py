"""Verification of every file of a run against its record.

Guarantees: nothing is changed; each file that differs is reported once, with the command that repairs it; an unreadable
file is reported and the others are verified; memory grows with the number of files, not with their size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath

from pipeline.errors import StorageError
from pipeline.storage.ledger_files import advise_repair
from pipeline.storage.run_files import RunFiles
from pipeline.storage.seals import read_file, read_line
from pipeline.storage.verification.ledger import LedgerReading, read_ledger
from pipeline.storage.verification.unlisted_files import ABOUT, INDEX, find_unlisted
from schemas.verification import FileFault, Part, Verification, VerificationFinding

LOGS = ("journals", "calls", "searches")


@dataclass(frozen=True, slots=True)
class Expected:
    """Recorded identity of a file."""

    name: str
    part: Part
    sha256: str
    stage: str
    shard: str = ""
    size: int | None = None


def verify_files(files: RunFiles, location: str, *, quick: bool, note: Callable[[int], None]) -> Verification:
    """Verify every file of a run.

    Args:
        files: The files of the run.
        location: Location of the run, for messages.
        quick: Whether to compare sizes alone; the small files of the ledger are read all the same.
        note: Called with the bytes of each compared file.

    Raises StorageError where there is no run.
    """
    sizes = files.sizes()
    if "run.json" not in sizes and not any(name.startswith("ledger/") for name in sizes):
        raise StorageError(f"{location}: no run.json here", "name a run folder, such as outputs/demo")
    ledger = read_ledger(files, sizes)
    index = list(_read_index(files, sizes, ledger.names))
    expected = [one for one in (*_list_shards(ledger), *_list_made(ledger), *index) if isinstance(one, Expected)]
    findings = [*ledger.findings, *(one for one in index if isinstance(one, VerificationFinding))]

    def compare(one: Expected) -> VerificationFinding | None:
        finding = _compare(files, sizes, one, quick=quick)
        note(sizes.get(one.name, 0))
        return finding

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        logs = [name for name in sizes if name.startswith(tuple(f"{folder}/" for folder in LOGS))]
        compared = pool.map(compare, expected)
        read = pool.map(lambda name: _read_log(files, name, sizes[name], note), [] if quick else logs)
        findings += [finding for finding in chain(compared, read) if finding]
    findings += find_unlisted(sizes, ledger, {one.name for one in expected}, findings)
    verified = {one.name for one in expected} | set(ledger.names) | set(logs)
    return Verification(
        run=location,
        files=len(verified & set(sizes)),
        bytes=sum(sizes.get(name, 0) for name in verified),
        findings=tuple(_deduplicate(findings, location)),
    )


def _deduplicate(findings: list[VerificationFinding], location: str) -> Iterator[VerificationFinding]:
    """One finding per file, harmful ones first, with the command that repairs it."""
    seen: set[str] = set()
    for one in sorted(findings, key=lambda one: (one.harmless, one.file)):
        if one.file not in seen:
            seen.add(one.file)
            advised = one.fix or one.harmless
            yield one if advised else one.model_copy(update={"fix": advise_repair(location)})


def _list_shards(ledger: LedgerReading) -> Iterator[Expected]:
    for commit in ledger.commits:
        for file in commit.files:
            name = f"{file.dataset}/{file.name}"
            yield Expected(name, Part.SHARD, file.sha256, commit.stage, commit.shard, file.bytes)


def _list_made(ledger: LedgerReading) -> Iterator[Expected]:
    for manifest in ledger.manifests.values():
        for name, digest in manifest.files.items():
            part = Part.INDEX if name.startswith(f"{INDEX}/") else Part.MADE
            yield Expected(name, part, digest, manifest.stage)


def _read_index(files: RunFiles, sizes: dict[str, int], names: set[str]) -> Iterator[Expected | VerificationFinding]:
    """The files of the parts of an index, as each part records them. `names`: the descriptions are added to these."""
    for name in sizes:
        part = PurePosixPath(name)
        if len(part.parts) != 3 or part.parts[0] != INDEX or part.name != ABOUT or part.parts[1].startswith("."):
            continue
        names.add(name)
        try:
            about = read_file(files.read(name))
            lengths, digests = dict(about["files"]), dict(about["sha256s"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = str(error) if isinstance(error, ValueError) else "does not hold what it should"
            yield VerificationFinding(file=name, fault=FileFault.DAMAGED, what=what, part=Part.INDEX, stage=INDEX)
            continue
        for file in sorted(digests):
            yield Expected(str(part.parent / file), Part.INDEX, digests[file], INDEX, size=lengths.get(file))


def _compare(files: RunFiles, sizes: dict[str, int], one: Expected, *, quick: bool) -> VerificationFinding | None:
    def find(fault: FileFault, what: str) -> VerificationFinding:
        return VerificationFinding(
            file=one.name, fault=fault, what=what, part=one.part, stage=one.stage, shard=one.shard
        )

    size = sizes.get(one.name)
    if size is None:
        return find(FileFault.MISSING, "missing")
    if one.size is not None and size != one.size:
        return find(FileFault.DAMAGED, f"{size:,} bytes instead of {one.size:,}")
    if quick:
        return None
    try:
        same = files.digest(one.name) == one.sha256
    except OSError as error:
        return find(FileFault.DAMAGED, f"cannot be read: {error.strerror or error}")
    return None if same else find(FileFault.DAMAGED, "its SHA-256 is not the one recorded")


def _read_log(files: RunFiles, name: str, size: int, note: Callable[[int], None]) -> VerificationFinding | None:
    """Damaged lines of a log. An incomplete last line is not damage: its writer is running, or was killed."""
    stage = PurePosixPath(name).parts[1] if name.startswith("journals/") else ""
    try:
        damaged = sum(not is_sound(line) for line in files.lines(name))
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        return VerificationFinding(file=name, fault=FileFault.DAMAGED, what=what, part=Part.LOG, stage=stage)
    finally:
        note(size)
    if damaged:
        what = f"{damaged:,} damaged lines, which are left out"
        return VerificationFinding(file=name, fault=FileFault.DAMAGED, what=what, part=Part.LOG, stage=stage)
    return None


def is_sound(line: bytes) -> bool:
    """Whether a line of a log is undamaged."""
    if not line.endswith(b"\n") or not line.strip():
        return True
    try:
        value = read_line(line)
    except ValueError:
        return False
    return isinstance(value, list) or isinstance(value.get("key"), str)
