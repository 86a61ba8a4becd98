"""Settings in the metadata of a run's shards: the last copy when the ledger is lost."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

STAGE, SETTINGS = b"rampforge.stage", b"rampforge.settings"
ARROW_SCHEMA = b"ARROW:schema"
"""Key of a second copy of the metadata: there is no checksum, so equal copies are trusted."""


def read_shard_settings(root: Path) -> dict[str, dict[str, str]]:
    """Flat settings by stage, those of most of its sound files. `root`: the run's folder."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(root.glob("*/part-*.parquet")):
        try:
            own = pq.read_metadata(path).metadata or {}
            copy = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(own[ARROW_SCHEMA]))).metadata or {}
            if (own[STAGE], own[SETTINGS]) == (copy[STAGE], copy[SETTINGS]):
                counts[own[STAGE].decode()][own[SETTINGS].decode()] += 1
        except (OSError, pa.ArrowException, KeyError, ValueError):
            continue  # truncated, damaged, or foreign
    return {stage: json.loads(settings.most_common(1)[0][0]) for stage, settings in counts.items()}
