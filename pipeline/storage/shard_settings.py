"""What the shards of a run say of the settings that they were made under: the last copy, when its ledger is lost."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

AGREEING = 2
"""Files that must say the same: no checksum proves any of them."""


def read_shard_settings(root: Path) -> dict[str, dict[str, str]]:
    """By stage the settings, flat, that at least two of its files agree on. `root`: the run's folder."""
    said: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(root.glob("*/part-*.parquet")):
        try:
            facts = pq.read_metadata(path).metadata or {}
            said[facts[b"rampforge.stage"].decode()][facts[b"rampforge.settings"].decode()] += 1
        except (OSError, pa.ArrowException, KeyError, ValueError):
            continue  # cut off, noise, or nobody's
    best = {stage: counts.most_common(1)[0] for stage, counts in said.items()}
    return {stage: json.loads(text) for stage, (text, count) in best.items() if count >= AGREEING}
