"""Request of a training, stored beside its results: a training continues under its own request only."""

from __future__ import annotations

import json
import shutil
from typing import Any

from pipeline.errors import ConfigError, RampforgeError
from pipeline.storage.files import write_atomically
from pipeline.storage.hashing import hash_file
from pipeline.training.folders import TrainingFolder
from schemas.training import TrainingRequest

FREE = {
    "output": "the folder may have been moved",
    "data": "the rows themselves are compared",
    "save_every": "it changes when a checkpoint is written, not what is in it",
    "keep": "likewise",
    "layout.rank": "each machine has its own",
    "layout.address": "machines get other names",
    "layout.port": "and other ports",
    "rollouts.search.url": "the engine may have moved; preflight looks at what it serves",
    "rollouts.search.key": "a NAME of a variable",
    "rollouts.search.deadline": "how long one waits",
    "rollouts.search.tries": "how often one asks",
}
"""Keys that may differ when a training continues, and why."""


class TrainingError(RampforgeError):
    """A training cannot be started, or ended badly."""


def settle_request(folder: TrainingFolder, request: TrainingRequest, fresh: bool) -> None:
    """Write the request into the folder, or compare it with the one there. The rows must be in place.

    `fresh`: discard an earlier training. Raises ConfigError when another request began here.
    """
    if fresh:
        discard_progress(folder)
    asked = {"request": request.model_dump(mode="json"), "rows": hash_file(folder.rows)}
    if folder.request.exists():
        began = json.loads(folder.request.read_text("utf-8"))
        differing = compare_requests(began, asked)
        if differing and has_progress(folder):
            raise ConfigError(
                f"{folder.root} holds a training with other settings: {'; '.join(differing)}",
                "give the same settings, another --out, or --fresh to throw that training away",
            )
    write_atomically(folder.request, json.dumps(asked, indent=1).encode() + b"\n")


def compare_requests(began: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the keys in which two requests differ, with both values, where that matters."""
    old, new = ({**_flatten("", side["request"]), "rows": side["rows"]} for side in (began, asked))
    keys = sorted(key for key in old.keys() | new.keys() if key not in FREE and old.get(key) != new.get(key))
    return [f"{key} was {old.get(key)}, is {new.get(key)}" for key in keys]


def has_progress(folder: TrainingFolder) -> bool:
    """Return whether a training has made progress here."""
    return folder.model.exists() or any(folder.checkpoints.glob("checkpoint-*"))


def discard_progress(folder: TrainingFolder) -> None:
    """Discard everything that a training made, except its rows."""
    for path in (folder.checkpoints, folder.model):
        shutil.rmtree(path, ignore_errors=True)
    for path in (folder.request, folder.metrics, folder.samples, folder.attempt, folder.result, folder.log):
        path.unlink(missing_ok=True)


def _flatten(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flatten(f"{name}.{key}" if name else key, inner)
    return flat
