"""Spawned processes that do not run the main module of their parent.

By default `multiprocessing` imports the parent's main script into every process, for the definitions in it. A script
without `if __name__ == "__main__":` then repeats all its work in each process. Everything that rampforge sends to its
processes is defined in modules, so they do not need the script.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any


class ScriptlessProcess(SpawnProcess):
    """Process that starts without its parent's script."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 - how multiprocessing calls what starts a process
        with _hide_script():
            return SpawnProcess._Popen(process_obj)


class ScriptlessContext(SpawnContext):
    """Context of such processes."""

    Process = ScriptlessProcess


@contextmanager
def _hide_script() -> Iterator[None]:
    """Remove from the main module what a new process finds it by: its file, or its name for `python -m`."""
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)
