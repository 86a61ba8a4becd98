"""The context of a run: its folder, its configuration, the folder of the assets, and what the process keeps open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig

T = TypeVar("T")


class ProcessResources:
    """Resources that a process opens once and uses for every shard: tokenizer, usage log, tracer; one of each kind."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, Any]] = {}

    def keep(self, kind: str, key: object, open_resource: Callable[[], T]) -> T:
        """The resource of a kind, opened anew when its key is another one."""
        if kind not in self._kept or self._kept[kind][0] != key:
            self._kept[kind] = key, open_resource()
        resource: T = self._kept[kind][1]
        return resource


@dataclass(frozen=True, slots=True)
class RunContext:
    """Folder and configuration that a shard is worked on with."""

    run: RunFolder
    config: RunConfig
    cache: Path
    """Folder of the assets."""
    resources: ProcessResources = field(default_factory=ProcessResources, compare=False, repr=False)
    """Shared by the contexts of a process that works on several shards."""
