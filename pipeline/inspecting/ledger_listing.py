"""Holds the files of a place against the ledger of the run that it is: what is missing, not of its size, or foreign.

Promises: of stages that are not finished, of a ledger that cannot be read and of a folder that is no run nothing is
said.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from pipeline.errors import StorageError
from pipeline.inspecting.locations import DataLocation, FileHere
from pipeline.storage.ledger_files import advise_repair
from pipeline.storage.run_folder import RunFolder
from schemas.funnel import Reject
from schemas.ledger import ShardFile


def find_faults(place: DataLocation, files: Iterable[FileHere]) -> dict[str, str]:
    """What is wrong with files of finished stages, by name: those that are missing among them."""
    listed = _list_finished(place)
    here = {file.name: file.size for file in files}
    faults = {}
    for name, file in listed.items():
        if name not in here:
            faults[name] = f"missing; {advise_repair(place.address)}"
        elif here[name] != file.bytes:
            faults[name] = f"damaged: {here[name]:,} bytes instead of {file.bytes:,}; {advise_repair(place.address)}"
    datasets = {file.dataset for file in listed.values()} - {Reject.dataset}  # stages under way write there too
    for name in here.keys() - listed.keys():
        path = PurePosixPath(name)
        if len(path.parts) == 2 and path.parts[0] in datasets and path.suffix == ".parquet":
            faults[name] = "in no ledger of this run"
    return faults


def _list_finished(place: DataLocation) -> dict[str, ShardFile]:
    """The files of the finished stages, by name."""
    if place.is_file() or not (place.folder / "ledger").is_dir():
        return {}
    run = RunFolder(place.folder)
    try:
        manifests = [manifest for stage in run.stages() if (manifest := run.find_manifest(stage))]
    except StorageError:
        return {}
    files = [file for manifest in manifests for commit in manifest.shards for file in commit.files]
    return {f"{file.dataset}/{file.name}": file for file in files}
