"""Fingerprint of a model folder, from samples of its files instead of tens of gigabytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.storage.files import wrap_os_errors

WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
DESCRIPTIONS = ("config.json", "generation_config.json")
BLOCK = 4096
BLOCKS = 256
"""Number of blocks sampled from a file, evenly spread: fine-tuning, or a merged adapter, changes every part."""


def fingerprint_model(folder: Path) -> str:
    """Return a hash of a model's files: sizes, and samples of the weights. Raises ConfigError without weights."""
    weights = sorted({path for pattern in WEIGHTS for path in folder.glob(pattern)})
    if not weights or not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} is not a model folder: config.json or the weights are missing",
            "name the folder `model` of a training, or another one that vLLM could serve",
        )
    digest = hashlib.blake2b(digest_size=10)
    with wrap_os_errors(folder):
        for path in (*weights, *(folder / name for name in DESCRIPTIONS)):
            if path.is_file():
                digest.update(f"{path.name} {path.stat().st_size}\n".encode())
                digest.update(_sample(path))
    return digest.hexdigest()


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= BLOCK * BLOCKS:
            return file.read()
        blocks = []
        for number in range(BLOCKS):
            file.seek((size - BLOCK) * number // (BLOCKS - 1))
            blocks.append(file.read(BLOCK))
        return b"".join(blocks)
