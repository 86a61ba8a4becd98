"""Run folder of a deployed flow: named by its pattern and its scheduled time, or the newest match.

Guarantees: a flow run that is started again, on any machine, finds the same folder.
"""

from __future__ import annotations

import string
from datetime import datetime
from pathlib import Path

from flows.configuration.cache import cache_folder
from pipeline.errors import ConfigError, StorageError
from pipeline.storage.remote.open_run import join_location, open_run
from pipeline.storage.run_folder import RunFolder
from schemas.locations import is_url

PLACES = {"date": "%Y-%m-%d", "week": "%G-W%V", "time": "%H%M%S"}
"""Placeholders in the name of a run, and their formats. Times are UTC."""


def name_run(pattern: str, moment: datetime) -> str:
    """Return the name of the run scheduled for a moment. Raises ConfigError for a pattern that does not give a folder
    name.
    """
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None}
    except ValueError as error:
        raise ConfigError(f"name {pattern}: {error}", "use a name like corpus-{date}") from None
    if unknown := fields - set(PLACES):
        places = ", ".join(f"{{{place}}}" for place in PLACES)
        raise ConfigError(f"name {pattern}: unknown placeholder {{{min(unknown)}}}", f"the placeholders are {places}")
    name = pattern
    for place, written in PLACES.items():
        name = name.replace(f"{{{place}}}", moment.strftime(written))
    if name in ("", ".", "..") or Path(name).name != name:
        raise ConfigError(f"name {pattern}: a run is one folder", "use a name without slashes, like corpus-{date}")
    return name


def find_newest(out: str, pattern: str, stage: str) -> RunFolder:
    """Return the last run by name that matches a pattern such as `corpus-*` and has finished a stage.

    Runs on a store are not listed: there `pattern` is the name of one. Raises StorageError if there is none.
    """
    if is_url(out):
        names = [join_location(out, pattern)]
    else:
        names = [str(path) for path in sorted(Path(out).glob(pattern), reverse=True) if path.is_dir()]
    for name in names:
        run = open_run(name, cache_folder())
        if run.find_manifest(stage) is not None:
            return run
    sought = join_location(out, pattern)
    what = f"of {len(names)} runs {sought} none has finished {stage}" if names else f"no run {sought}"
    raise StorageError(what, "let the deployment weekly-corpus finish first, or use another run")
