"""Finds the shards of a place: a run folder, a dataset's folder, or one shard.

Promises: a file that is no whole Parquet file is named with what is wrong with it, and the rest can be read.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.ledger_listing import find_faults
from pipeline.inspecting.locations import DataLocation, FileHere, open_location

SUFFIX = ".parquet"
FOOTERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Shard:
    """A whole Parquet file."""

    file: FileHere
    place: DataLocation
    """Where it was found."""
    rows: int
    schema: pa.Schema

    def open(self) -> pq.ParquetFile:
        """Open it."""
        return self.place.open(self.file)


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that is skipped."""

    name: str
    """Its path, counted from the opened folder."""
    why: str


@dataclass(frozen=True, slots=True)
class ShardListing:
    """What lies in a place."""

    place: DataLocation
    datasets: dict[str, tuple[Shard, ...]]
    """Whole shards by dataset, in order of their names."""
    broken: tuple[BrokenFile, ...]
    """What is skipped."""
    stamp: str
    """Changes whenever a file comes, goes or changes."""

    def rows(self, dataset: str) -> int:
        """Rows of a dataset."""
        return sum(shard.rows for shard in self.datasets.get(dataset, ()))


def list_shards(where: DataLocation | Path) -> ShardListing:
    """Everything that can be read in a place. Raises InspectError when nothing is there, StorageError."""
    place = open_location(where) if isinstance(where, Path) else where
    datasets: dict[str, list[Shard]] = {}
    broken: list[BrokenFile] = []
    files, alone = _find_files(place), place.is_file()
    faults = find_faults(place, files)
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
            f"{place.address}: no Parquet shard lies here", "name a run, a dataset's folder or a .parquet file"
        )
    whole = {name: tuple(shards) for name, shards in sorted(datasets.items())}
    return ShardListing(place, whole, tuple(broken), stamp)


def drop_damaged(listing: ShardListing) -> ShardListing:
    """The listing without the shards that look whole and cannot be read. Reads everything: for when a query failed."""
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
    """A digest of the names, sizes and times of all files of a place. Raises StorageError."""
    return _stamp(_find_files(place))


def _stamp(files: list[FileHere]) -> str:
    seen = hashlib.sha256()
    for file in files:
        seen.update(f"{file.name}\0{file.size}\0{file.changed}\n".encode("utf-8", "surrogateescape"))
    return seen.hexdigest()


def _find_files(place: DataLocation) -> list[FileHere]:
    alone = place.is_file()
    return [file for file in place.files() if alone or file.name.endswith((SUFFIX, f"{SUFFIX}.tmp"))]


def _open_shard(place: DataLocation, file: FileHere, alone: bool) -> Shard | str:
    """The shard, or what is wrong with it."""
    if file.leads_out:
        return "a link that leads out of the opened folder"
    if file.name.endswith(".tmp") and not alone:
        return "half-written: its writer is at work, or died"
    try:
        with place.open(file) as opened:
            return Shard(file, place, opened.metadata.num_rows, opened.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        return f"no whole Parquet file: {str(error).splitlines()[0][:160]}"


def _name_dataset(shard: Shard, alone: bool) -> str:
    """The folder below the root names a dataset; a file or folder that was opened itself tells it in its metadata."""
    parts = PurePosixPath(shard.file.name).parts[:-1]
    if parts:
        return "_".join(parts)
    told = (shard.schema.metadata or {}).get(b"rampforge.dataset", b"").decode("utf-8", "replace")
    return told or (PurePosixPath(shard.place.name).stem if alone else shard.place.name)
