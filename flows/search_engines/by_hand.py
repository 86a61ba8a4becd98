"""Search engine of a run, or over a bare index, opened outside a run: for a server, or for queries by hand."""

from __future__ import annotations

from pathlib import Path

from flows.configuration.cache import cache_folder
from flows.configuration.run_context import RunContext
from flows.search_engines.registry import find_engine, open_engine, open_local_engine
from pipeline.errors import ConfigError
from pipeline.search.engine import SearchEngine
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig


def locate_index(folder: Path) -> tuple[Path, RunConfig]:
    """Return the index of a run, or a bare index folder, with the configuration to open it with.

    Raises ConfigError if no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder", "name a run, such as outputs/demo, or an index")
    record = RunFolder(folder).find_record()
    config = RunConfig.model_validate(record.config) if record else RunConfig()
    return (RunFolder(folder).index if record else folder), config


def open_searcher(folder: Path, index: Path, config: RunConfig, shard: str = "by-hand") -> SearchEngine:
    """The configured engine. `shard`: name of the files in which a remote engine caches replies.

    Raises SearchError, ConfigError.
    """
    context = RunContext(RunFolder(folder), config, cache_folder())
    return open_local_engine(context, index) if find_engine(config).open else open_engine(context, shard)
