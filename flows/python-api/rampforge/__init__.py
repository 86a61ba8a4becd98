"""Turn Wikipedia into corpora that teach language models to search.

import rampforge

run = rampforge.run("dump.xml.bz2", settings={"masking.limit": 100}, name="pilot")
rampforge.export(run, "trl")

Every error that a user can mend is a `RampforgeError`: what is wrong, and what to do next.
"""

# ruff: noqa: E402 - nothing of the packages is imported before they are checked

from __future__ import annotations

from rampforge.own_packages import check_packages

if __name__ != "rampforge":
    raise ImportError(f"{__name__} is imported as rampforge", name=__name__)

check_packages()

from pipeline.errors import (
    AssetError,
    ConfigError,
    RampforgeError,
    RunHeldError,
    SearchError,
    SourceError,
    StorageError,
)
from rampforge.exporting import ExportOptions, export
from rampforge.jobs import resume, run
from rampforge.judging import AnswerVerdict, GivenAnswer, Judge
from rampforge.opened_run import Run, open_run
from rampforge.searching import FoundText, Search
from schemas.config import RunConfig
from schemas.judgements import Verdict

__all__ = [
    "AnswerVerdict",
    "AssetError",
    "ConfigError",
    "ExportOptions",
    "FoundText",
    "GivenAnswer",
    "Judge",
    "RampforgeError",
    "Run",
    "RunConfig",
    "RunHeldError",
    "Search",
    "SearchError",
    "SourceError",
    "StorageError",
    "Verdict",
    "export",
    "open_run",
    "resume",
    "run",
]
