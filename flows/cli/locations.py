"""Local copies of runs and files that commands are given by URL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.configuration.cache import cache_folder
from pipeline.storage.remote.log_backup import LogBackup
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.remote.transfer import copy_folder, copy_object
from schemas.config import StageName
from schemas.locations import is_url


def fetch_run(location: str, *datasets: str, index: bool = False) -> Path:
    """Return the folder of a run, or a copy of one on a store: its record and logs, the datasets named (all if none is
    named), and its index if requested."""
    run = open_run(location, cache_folder())
    if run.mirror is not None:
        from flows.stages.registry import STAGES, list_models

        run.find_record()
        for stage in STAGES:
            run.find_manifest(stage)
        run.fetch(run.report, changing=True)
        for dataset in datasets or list_models():
            run.files(dataset)
        if index:
            run.fetch_index()
    return run.root


def fetch_whole_run(location: str) -> Path:
    """Return the folder of a run with all its datasets."""
    return fetch_run(location)


def fetch_measured(location: str) -> Path:
    """Return a run with its attempts and its usage log, or a file."""
    if not is_url(location):
        return Path(location)
    run = open_run(location, cache_folder())
    if run.mirror is not None:
        LogBackup(run.mirror).restore(trusted=True)
    return fetch_run(location, StageName.TRAJECTORIES)


def fetch_index(location: str) -> Path:
    """Return the folder of a run with its index, or of a bare index."""
    if not is_url(location):
        return Path(location)
    if ObjectStore(location).identify("run.json") is None:
        return copy_folder(location, cache_folder())
    return fetch_run(location, "passages", index=True)


def fetch_data(location: str) -> Path:
    """Return a run with all its datasets, or any folder or file."""
    if not is_url(location):
        return Path(location)
    if ObjectStore(location).identify("run.json") is not None:
        return fetch_run(location)
    folder, _, name = location.rpartition("/")
    if name and ObjectStore(folder).identify(name) is not None:
        return copy_object(location, cache_folder())
    return copy_folder(location, cache_folder())


JudgedRun = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder or URL of a judged run.", parser=fetch_whole_run)
]
