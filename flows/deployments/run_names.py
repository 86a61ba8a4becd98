"""Which run folder a deployed flow works in: named by its pattern and its scheduled time, or the newest that fits.

Promises: a flow run that is started again, on whatever machine, finds the folder it had before.
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
"""What may stand in braces in the name of a run, and how it is written. Times are UTC."""


def name_run(pattern: str, moment: datetime) -> str:
    """The name of the run that was to start at a moment. Raises ConfigError for a pattern that makes no folder name."""
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None}
    except ValueError as error:
        raise ConfigError(f"name {pattern}: {error}", "write it like corpus-{date}") from None
    if unknown := fields - set(PLACES):
        places = ", ".join(f"{{{place}}}" for place in PLACES)
        raise ConfigError(f"name {pattern}: no {{{min(unknown)}}} is known", f"what may stand in braces: {places}")
    name = pattern
    for place, written in PLACES.items():
        name = name.replace(f"{{{place}}}", moment.strftime(written))
    if name in ("", ".", "..") or Path(name).name != name:
        raise ConfigError(f"name {pattern}: a run is one folder", "write it without slashes, like corpus-{date}")
    return name


def find_newest(out: str, pattern: str, stage: str) -> RunFolder:
    """The last run by name that fits a pattern such as `corpus-*` and has finished a stage.

    On a store runs are not listed: there `pattern` is the name of one. Raises StorageError when there is none.
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
    what = f"of {len(names)} runs {sought} none has finished {stage}" if names else f"there is no run {sought}"
    raise StorageError(what, "let the deployment weekly-corpus finish first, or name another run")
