"""Spawned processes that do not run the main module of their parent.

By itself `multiprocessing` imports the script that the parent was started from into every process, for what is defined
there. A script without `if __name__ == "__main__":` then does all its work again, in each. What rampforge sends to its
processes is defined in modules, so they need no script.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any


class ScriptlessProcess(SpawnProcess):
    """A process that starts without its parent's script."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 - how multiprocessing calls what starts a process
        with _hide_script():
            return SpawnProcess._Popen(process_obj)


class ScriptlessContext(SpawnContext):
    """The context of such processes."""

    Process = ScriptlessProcess


@contextmanager
def _hide_script() -> Iterator[None]:
    """Take from the main module what tells a new process where to find it: its file, or its name for `python -m`."""
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)
