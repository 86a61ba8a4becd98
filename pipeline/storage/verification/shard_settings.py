"""What the shards of a run say of the settings that they were made under: the last copy, when its ledger is lost."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

STAGE, SETTINGS = b"rampforge.stage", b"rampforge.settings"
TWIN = b"ARROW:schema"
"""Where a Parquet file has the same facts once more: no checksum proves either copy, but that they are equal."""


def read_shard_settings(root: Path) -> dict[str, dict[str, str]]:
    """By stage the settings, flat, that most of its sound files have. `root`: the run's folder."""
    said: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(root.glob("*/part-*.parquet")):
        try:
            facts = pq.read_metadata(path).metadata or {}
            twin = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(facts[TWIN]))).metadata or {}
            if (facts[STAGE], facts[SETTINGS]) == (twin[STAGE], twin[SETTINGS]):
                said[facts[STAGE].decode()][facts[SETTINGS].decode()] += 1
        except (OSError, pa.ArrowException, KeyError, ValueError):
            continue  # cut off, noise, or nobody's
    return {stage: json.loads(counts.most_common(1)[0][0]) for stage, counts in said.items()}
