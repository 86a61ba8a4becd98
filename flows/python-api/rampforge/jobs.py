"""Runs: the stages of the job over some sources, from their beginning or from where they were stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.configuration.cache import cache_folder
from flows.configuration.run_config import ConfigSource, make_config
from pipeline.errors import ConfigError
from pipeline.storage.remote.open_run import join_location
from rampforge.opened_run import Run, open_run
from schemas.config import RunConfig


def run(
    sources: str | Path | Sequence[str | Path] = (),
    config: ConfigSource = None,
    *,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    out: str | Path = "outputs",
    stages: Sequence[str] = (),
    redo: str | None = None,
    other_version: bool = False,
) -> Run:
    """Do the whole job, or some stages of it, and return the run.

    A run that exists already is continued, if its configuration is the same.

        run = rampforge.run("dump.xml.bz2", settings={"masking.limit": 100}, name="pilot")
        print(run.funnel, run.report)

    Args:
        sources: Dumps, Parquet or jsonl files, folders, `asset:NAME`, `hf:DATASET`; by default `corpus.sources`.
        config: A preset's name, the path of a YAML file, a mapping of sections, or a RunConfig.
        settings: Values on top of it, by key.
        name: Name of the run; by default that of the preset or file, else `run`.
        out: Folder that runs are written to, or a URL such as `s3://BUCKET/outputs`.
        stages: Stages to run, by name; by default all.
        redo: A stage that is discarded first, with all after it.
        other_version: Go on with what other versions of rampforge or of its libraries have begun.

    Raises:
        RampforgeError: Anything that a user can mend.
    """
    sources_list = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    given = {**(settings or {}), **({"corpus.sources": sources_list} if sources_list else {})}
    chosen = make_config(config, given)
    if not chosen.corpus.sources:
        raise ConfigError("no sources: nothing to read pages from", 'rampforge.run("DUMP.xml.bz2"), or config="demo"')
    named = Path(config).stem if isinstance(config, str | os.PathLike) else "run"
    return _do_stages(join_location(str(out), name or named), chosen, stages, redo, other_version)


def resume(
    run: str | Path | Run,
    *,
    settings: Mapping[str, Any] | None = None,
    stages: Sequence[str] = (),
    redo: str | None = None,
    other_version: bool = False,
) -> Run:
    """Go on with a run under its own configuration, and return it.

        run = rampforge.resume("outputs/pilot", settings={"llm.budget.money": 20})

    Args:
        run: A run's folder or URL, or what `open_run` returned.
        settings: Values that change, by key; only such as decide no row that is there.
        stages: Stages to run, by name; by default all.
        redo: A stage that is discarded first, with all after it.
        other_version: Go on with what other versions of rampforge or of its libraries have begun.

    Raises:
        RampforgeError: Anything that a user can mend.
    """
    begun = run if isinstance(run, Run) else open_run(run)
    return _do_stages(begun.location, make_config(begun.config, settings), stages, redo, other_version)


def _do_stages(location: str, config: RunConfig, stages: Sequence[str], redo: str | None, other_version: bool) -> Run:
    from flows.prefect_api.settings import settle_prefect

    settle_prefect(debug=False)  # before Prefect is imported
    from flows.execution.run import start_job
    from flows.stages.registry import STAGES

    if unknown := [stage for stage in stages if stage not in STAGES]:
        raise ConfigError(f"no such stage: {', '.join(unknown)}", f"the stages are {', '.join(STAGES)}")
    start_job(location, config, cache_folder(), list(stages or STAGES), redo, other_version)
    return open_run(location)
