"""Listing of the shards of a run folder, a dataset's folder, or one shard.

Guarantees: an incomplete Parquet file, or one that differs from the run's ledger, is listed with its fault and skipped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.locations import DataFile, DataLocation, LocalData, open_location
from pipeline.storage.ledger_files import advise_repair
from pipeline.storage.run_folder import RunFolder
from schemas.funnel import Reject
from schemas.ledger import ShardFile

SUFFIX = ".parquet"
FOOTERS_AT_ONCE = 16
_SHARD = re.compile(r"[^/]+/\.?part-[^/]*")
"""A shard that a stage wrote: exports and notes of a run have other names."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Complete Parquet file."""

    file: DataFile
    place: DataLocation
    rows: int
    schema: pa.Schema

    def open(self) -> pq.ParquetFile:
        """Open it."""
        return self.place.open(self.file)


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """File that is skipped."""

    name: str
    """Path relative to the opened folder."""
    why: str


@dataclass(frozen=True, slots=True)
class ShardListing:
    """Shards and skipped files of a location."""

    place: DataLocation
    datasets: dict[str, tuple[Shard, ...]]
    """Shards by dataset, in order of their names."""
    broken: tuple[BrokenFile, ...]
    stamp: str
    """Digest that changes with any file."""

    def rows(self, dataset: str) -> int:
        """Rows of a dataset."""
        return sum(shard.rows for shard in self.datasets.get(dataset, ()))


def list_shards(where: DataLocation | Path) -> ShardListing:
    """The readable shards of a location. Raises InspectError when there are none, StorageError."""
    place = open_location(where) if isinstance(where, Path) else where
    datasets: dict[str, list[Shard]] = {}
    broken: list[BrokenFile] = []
    files, alone = _find_files(place), place.is_file()
    faults = _find_faults(place, files)
    broken += [BrokenFile(name, fault) for name, fault in sorted(faults.items())]
    stamp = _stamp(files)
    files = [file for file in files if file.name not in faults]
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:  # of a store each footer is a round trip or two
        opened = list(pool.map(lambda file: _open_shard(place, file, alone), files))
    for file, shard in zip(files, opened, strict=True):
        if isinstance(shard, str):
            broken.append(BrokenFile(file.name, shard))
        else:
            datasets.setdefault(_name_dataset(shard, alone), []).append(shard)
    if not datasets and not broken and not place.is_run():
        raise InspectError(
            f"{place.address}: no Parquet shards here", "name a run, a dataset's folder or a .parquet file"
        )
    whole = {name: tuple(shards) for name, shards in sorted(datasets.items())}
    return ShardListing(place, whole, tuple(broken), stamp)


def _find_faults(place: DataLocation, files: Iterable[DataFile]) -> dict[str, str]:
    """Faults of the files of finished stages, by name: missing, of another size, or foreign.

    Unfinished stages, unreadable ledgers and folders that are not runs have none.
    """
    listed = _list_finished(place)
    here = {file.name: file.size for file in files}
    faults = {}
    for name, file in listed.items():
        if name not in here:
            faults[name] = f"missing; {advise_repair(place.address)}"
        elif here[name] != file.bytes:
            faults[name] = f"damaged: {here[name]:,} bytes instead of {file.bytes:,}; {advise_repair(place.address)}"
    datasets = {file.dataset for file in listed.values()} - {Reject.dataset}  # running stages write there too
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


def drop_damaged(listing: ShardListing) -> ShardListing:
    """The listing without shards with damaged data. Reads everything, so it is for a failed query."""
    sound: dict[str, tuple[Shard, ...]] = {}
    broken = list(listing.broken)
    for name, shards in listing.datasets.items():
        faults = {shard.file.name: _find_damage(shard) for shard in shards}
        sound[name] = tuple(shard for shard in shards if faults[shard.file.name] is None)
        broken += [BrokenFile(file, fault) for file, fault in faults.items() if fault]
    whole = {name: shards for name, shards in sound.items() if shards}
    return ShardListing(listing.place, whole, tuple(broken), listing.stamp)


def _find_damage(shard: Shard) -> str | None:
    try:
        with shard.open() as opened:
            for _ in opened.iter_batches():
                pass
    except (pa.ArrowException, OSError) as error:
        return f"damaged: {str(error).splitlines()[0][:160]}"
    return None


def stamp_files(place: DataLocation) -> str:
    """Digest of the names, sizes and times of all files of a location. Raises StorageError."""
    return _stamp(_find_files(place))


def _stamp(files: list[DataFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.size}\0{file.changed}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _find_files(place: DataLocation) -> list[DataFile]:
    """The files that may be shards; of a run, those in its datasets, which are the folders with shards of stages."""
    if place.is_file():
        return list(place.files())
    found = [file for file in place.files() if file.name.endswith((SUFFIX, f"{SUFFIX}.tmp"))]
    if not LocalData(place.folder).is_run():  # of a store, `files` has copied what tells
        return found
    datasets = {file.name.partition("/")[0] for file in found if _SHARD.fullmatch(file.name)}
    return [file for file in found if file.name.count("/") == 1 and file.name.partition("/")[0] in datasets]


def _open_shard(place: DataLocation, file: DataFile, alone: bool) -> Shard | str:
    """The shard, or its fault."""
    if file.is_outside:
        return "a link to outside the opened folder"
    if file.name.endswith(".tmp") and not alone:
        return "incomplete: its writer is still running, or died"
    try:
        with place.open(file) as opened:
            return Shard(file, place, opened.metadata.num_rows, opened.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        return f"not a complete Parquet file: {str(error).splitlines()[0][:160]}"


def _name_dataset(shard: Shard, alone: bool) -> str:
    """The folder below the root names a dataset; a file or folder opened directly has it in its metadata."""
    parts = PurePosixPath(shard.file.name).parts[:-1]
    if parts:
        return "_".join(parts)
    stored = (shard.schema.metadata or {}).get(b"rampforge.dataset", b"").decode("utf-8", "replace")
    return stored or (PurePosixPath(shard.place.name).stem if alone else shard.place.name)
